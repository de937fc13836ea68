//! One line of the journal as one line of the screen.

use analyzers::encode::Digest;
use analyzers::observation::{
    Announcement, Authorization, Certificate, Event, Flow, Hello, Hit, Input, Lease, Phase, Question, Reaction, ReactionKind, Request,
    RunKind, Served, Treatment, Trial,
};
use analyzers::observation::{NameSource, Observation};
use policies::suites::Suite;
use serde::Serialize;

use crate::words;

/// What a fact says, in a few words; nothing of it was not in the line.
pub(crate) fn describe(seen: &Observation) -> String {
    match seen {
        Observation::Run(it) => {
            let label = it.label.as_ref().map(|l| format!(" · {l}")).unwrap_or_default();
            let attacks = if it.kind == RunKind::Capture { String::new() } else { format!(" · {} attacks selected", it.attacks.len()) };
            format!("{} {} · {}{label}{attacks}", it.tool, it.version, words::run_kind(it.kind))
        }
        Observation::Input(it) => input(it),
        Observation::Planted(it) => format!("looked for: {} ({})", it.name, it.kind),
        Observation::Device(it) => {
            let label = it.label.as_ref().map(|l| format!(" {l}")).unwrap_or_default();
            format!("{}{label} · {} · {}", it.id, list(&it.macs), list(&it.ips))
        }
        Observation::Neighbour(it) => format!("{} is {} ({})", it.ip, it.mac, word(&it.source)),
        Observation::Bound(it) => {
            let device = it.device.map_or_else(|| "no device".to_owned(), |d| d.to_string());
            let client = it.client.map(|c| format!(" {c}")).unwrap_or_default();
            let package = it.actor.package.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
            format!("{device} → {}{client} · by {}{package}", it.peer, it.actor.class.word())
        }
        Observation::Flow(it) => flow(it),
        Observation::Hello(it) => hello(it),
        Observation::Served(it) => served(it),
        Observation::Certificate(it) => certificate(it),
        Observation::Reaction(it) => reaction(it),
        Observation::Request(it) => request(it),
        Observation::Question(it) => question(it),
        Observation::Lease(it) => lease(it),
        Observation::Announcement(it) => announcement(it),
        Observation::Hit(it) => hit(it),
        Observation::Update(it) => {
            let host = it.host.as_ref().map(ToString::to_string).unwrap_or_default();
            let signature = it.signature.as_ref().map_or_else(|| "no signature seen".to_owned(), |s| format!("signature {s}"));
            format!("{} {} {host}{} · {signature} · {}", it.system, word(&it.part), it.path, word(&it.layer))
        }
        Observation::Treatment(it) => treatment(it),
        Observation::Trial(it) => trial(it),
        Observation::Standing(it) => format!("{}: {}", it.what, it.state),
        Observation::Event(it) => event(it),
        Observation::Activity(it) => {
            format!("{} window {}: {} out, {} back", it.kind, it.window, words::bytes(it.out), words::bytes(it.back))
        }
        Observation::InCapture(it) => format!("in the run's capture · {} of its lines with their frames", it.lines.len()),
        Observation::Presence(it) => {
            let device = it.device.map_or_else(|| "the device".to_owned(), |d| d.to_string());
            format!("{device} {}", if it.present { "is there" } else { "is gone" })
        }
        Observation::Missed(it) => {
            let more = if it.repeats > 0 { format!(" and {} more gaps", it.repeats) } else { String::new() };
            format!("{} missing at {} ({}){more}", words::bytes(it.len), it.offset, word(&it.why))
        }
        Observation::Undecrypted(it) => {
            format!("{} of {} stayed closed ({})", words::bytes(it.bytes), it.protocol.word(), word(&it.reason))
        }
        Observation::Unparsed(it) => format!("{} of {} not understood ({})", words::bytes(it.bytes), it.what.word(), word(&it.reason)),
        Observation::Odd(it) => format!("{}: {}", word(&it.what), it.detail),
        Observation::Ledger(it) => format!(
            "{}: {} analysed, {} encrypted, {} unparsed, {} missed",
            words::plural(it.flows, "flow"),
            words::bytes(it.analysed),
            words::bytes(it.encrypted),
            words::bytes(it.unparsed),
            words::bytes(it.missed)
        ),
        Observation::Revealed(it) => format!("{} shown unmasked by {}", it.what, it.by),
        Observation::Purged(it) => format!("{} {} erased by {}", it.count, it.what, it.by),
    }
}

/// The word a value has in the journal.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// The first eight hex digits: enough to tell certificates of one run apart by eye.
pub(crate) fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(8).collect()
}

fn list<T: ToString>(all: &[T]) -> String {
    if all.is_empty() { "-".to_owned() } else { all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") }
}

fn input(it: &Input) -> String {
    let cut = if it.truncated { " · cut off" } else { "" };
    let damage = if it.damage.is_empty() { String::new() } else { format!(" · {} damaged places", it.damage.len()) };
    format!("{} · {} · {}{cut}{damage}", it.path, words::bytes(it.bytes), words::plural(it.packets, "packet"))
}

fn flow(it: &Flow) -> String {
    let [out, back] = it.counts.bytes;
    let missing: u64 = it.counts.missing.iter().sum();
    let missing = if missing > 0 { format!(" · {} missing", words::bytes(missing)) } else { String::new() };
    format!(
        "{} {} {} → {} · {} out, {} back · {}{missing}",
        it.transport,
        it.app.word(),
        it.a,
        it.b,
        words::bytes(out),
        words::bytes(back),
        word(&it.end)
    )
}

fn hello(it: &Hello) -> String {
    let sni = it.sni.as_ref().map_or_else(|| "no name".to_owned(), ToString::to_string);
    let newest = it.versions.iter().max().map(|v| format!(" · up to {}", words::version(*v))).unwrap_or_default();
    let alpn = if it.alpn.is_empty() { String::new() } else { format!(" · {}", list(&it.alpn)) };
    format!("{sni}{newest}{alpn} · {}", it.ja4)
}

fn served(it: &Served) -> String {
    let alpn = it.alpn.as_ref().map(|a| format!(" · {a}")).unwrap_or_default();
    let chain = match (it.resumed, it.chain_hidden, it.chain.len()) {
        (true, ..) => " · resumed".to_owned(),
        (_, true, _) => " · chain hidden".to_owned(),
        (.., 0) => String::new(),
        (.., n) => format!(" · {}", words::plural(n as u64, "certificate")),
    };
    format!("{} · {}{alpn}{chain}", words::version(it.version), Suite(it.suite))
}

fn certificate(it: &Certificate) -> String {
    let until = it.not_after.map(|t| format!(" · until {}", words::date(t))).unwrap_or_default();
    format!("{} · {} · issued by {} · {}{until}", short(&it.sha256), it.subject, it.issuer, it.key)
}

fn reaction(it: &Reaction) -> String {
    let what = match it.reaction {
        ReactionKind::Data => format!("sent {}", words::bytes(it.client_bytes)),
        ReactionKind::Refused => "refused".to_owned(),
        ReactionKind::None => "sent nothing".to_owned(),
        ReactionKind::Unknown => "not known".to_owned(),
    };
    let alert = match (it.alert, it.alert_encrypted) {
        (Some(code), _) => format!(" · alert {}", words::alert_words(code)),
        (None, true) => " · alert, encrypted".to_owned(),
        (None, false) => String::new(),
    };
    let preamble = if it.preamble { " · a preamble only" } else { "" };
    format!("{what}{alert}{preamble} · close {}", word(&it.close))
}

fn request(it: &Request) -> String {
    let status = it.status.map_or_else(|| "no answer".to_owned(), |s| s.to_string());
    let authorization = match it.authorization {
        None => "",
        Some(Authorization::Basic) => " · Basic",
        Some(Authorization::Bearer) => " · Bearer",
        Some(Authorization::Digest) => " · Digest",
        Some(Authorization::Negotiate) => " · Negotiate",
        Some(Authorization::Other) => " · other authorization",
    };
    format!("{} {} → {status}{authorization} · {}", it.method, it.url, word(&it.layer))
}

fn question(it: &Question) -> String {
    let kind = match it.qtype {
        1 => "A".to_owned(),
        12 => "PTR".to_owned(),
        16 => "TXT".to_owned(),
        28 => "AAAA".to_owned(),
        33 => "SRV".to_owned(),
        65 => "HTTPS".to_owned(),
        n => format!("type {n}"),
    };
    let answer = match (it.rcode, it.addresses.as_slice()) {
        (None, _) => "no answer".to_owned(),
        (Some(0), []) => "no address".to_owned(),
        (Some(0), all) => list(all),
        (Some(3), _) => "no such name".to_owned(),
        (Some(n), _) => format!("response code {n}"),
    };
    let source = if it.source == NameSource::Dns { String::new() } else { format!("{} ", word(&it.source)) };
    format!("{source}{} {kind} → {answer}", it.name)
}

fn lease(it: &Lease) -> String {
    let host = it.host_name.as_ref().or(it.fqdn.as_ref()).map_or_else(|| "no host name".to_owned(), |h| format!("host name {h}"));
    let vendor = it.vendor_class.as_ref().map(|v| format!(" · {v}")).unwrap_or_default();
    format!("{} · {host}{vendor}", it.mac)
}

fn announcement(it: &Announcement) -> String {
    let service = it.service.as_ref().map(|s| format!(" {s}")).unwrap_or_default();
    format!("{} {}{service} {}", word(&it.source), it.name, it.record)
}

fn hit(it: &Hit) -> String {
    let field = it.field.as_ref().map(|f| format!(" {f}")).unwrap_or_default();
    let chain = if it.chain.is_empty() { String::new() } else { format!(" via {}", list(&it.chain)) };
    format!("{}{field} {} in {}{chain} · {} · {}", it.kind, it.masked, it.place, words::grade(it.grade), words::exposure(it.exposure))
}

fn treatment(it: &Treatment) -> String {
    let chain =
        if it.chain.is_empty() { String::new() } else { format!(" · shows {}", words::plural(it.chain.len() as u64, "certificate")) };
    format!("group {} · {}{chain}", it.group, words::arm(it.arm, it.attack.as_ref()))
}

fn trial(it: &Trial) -> String {
    let alert = it.alert.map(|a| format!(" · alert {}", words::alert_words(a))).unwrap_or_default();
    let first = it.first_bytes.as_ref().map(|b| format!(" · {b}")).unwrap_or_default();
    let clear = match (it.cleartext_followed, it.cleartext_unclear, it.cut_short) {
        (true, ..) => " · a request in clear followed",
        (_, true, _) => " · other traffic in clear came",
        (.., true) => " · ended early",
        _ => "",
    };
    let after = if it.after > 0 { format!(" after {}", words::plural(it.after, "connection")) } else { String::new() };
    format!(
        "#{} {}{after} → {} · {:?}{alert} · {}{first}{clear}",
        it.n,
        words::arm(it.arm, it.attack.as_ref()),
        words::result(it.result),
        it.grade,
        words::trial_end(it.end)
    )
}

fn event(it: &Event) -> String {
    let phase = match it.phase {
        Phase::Start => " starts",
        Phase::End => " ends",
        Phase::At => "",
    };
    let confirmed = if it.confirmed { "" } else { " · not confirmed" };
    let note = it.note.as_ref().map(|n| format!(" · {n}")).unwrap_or_default();
    format!("{}{phase} at {}{confirmed}{note}", it.kind, words::clock(it.at))
}
