//! Numbers, times and codes in words for people: one way of saying each, for terminal and page.

use std::collections::BTreeMap;

use analyzers::observation::{Exposure, Grade, HitDirection, RunKind, RunMode};
use analyzers::subject::DeviceId;
use indexmap::IndexMap;
use policies::identifier::About;
use policies::{Severity, Time};

use crate::json::{FindingRow, FindingVerdict, Report};
use crate::rows::{LeakRow, SubjectRow, TreatmentRow};

/// Decimal units, as disks and captures are measured: `148.9 kB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "B";
    for next in UNITS {
        // Past 999.95 one decimal would round up to 1000.0.
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `1 flow`, `12 flows`, with thin groups of thousands: `1 204 flows`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// `3 frames of LLDP`, `2 custom blocks`, `5 fragments that never became whole datagrams`: not all that is not read are frames.
pub(crate) fn unread(n: u64, name: &str) -> String {
    if name.ends_with(" block") {
        return count(n, name, &format!("{name}s"));
    }
    let own = ["fragments ", "segments ", "secrets "].iter().any(|what| name.starts_with(what));
    if own { format!("{} {name},", number(n)) } else { format!("{} of {name}", count(n, "frame", "frames")) }
}

/// `12 tls, 3 http`.
pub(crate) fn listed(map: &BTreeMap<String, u64>) -> String {
    map.iter().map(|(what, n)| format!("{} {what}", number(*n))).collect::<Vec<_>>().join(", ")
}

/// Of a program that never ended by itself in a run in which it worked.
pub(crate) const ENDED: &str = "the program, in every run in which it worked, before it ended by itself: what it does later was not seen";

/// Of a journal that breaks off: its run was killed, or is going on.
pub(crate) const UNFINISHED: &str =
    "the journal breaks off before the end of the run: what came later, and what is read only at its end, is not in any answer";

/// What the operator, or what he allowed, did to the run.
pub(crate) fn interventions(report: &Report) -> impl Iterator<Item = &TreatmentRow> {
    report.treatments.iter().filter(|t| ["operator", "budget", "reading"].contains(&t.what.as_str()))
}

/// What opens less than it might, where an input could not be read twice.
pub(crate) fn late_secrets(count: u64) -> Option<String> {
    (count > 0).then(|| format!("{} of its own open only what stands behind them", self::count(count, "secret", "secrets")))
}

/// Whose frames came under the gateway's link address: `2 from 10.0.0.9`.
pub(crate) fn disguised(map: &BTreeMap<String, u64>) -> String {
    map.iter().map(|(who, n)| format!("{} from {who}", number(*n))).collect::<Vec<_>>().join(", ")
}

pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + 4);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(d);
    }
    out
}

/// `2026-01-01 10:00:00`, UTC.
pub(crate) fn moment(at: Time) -> String {
    let text = at.to_string();
    let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {}", rest.get(..8).unwrap_or_default())
}

/// `10:00:00.2`: within a run the day is known.
pub(crate) fn clock(at: Time) -> String {
    let text = at.to_string();
    text.get(11..21).unwrap_or(&text).to_owned()
}

/// `3 d 4 h`, `12 min 5 s`, `8.4 s`, `120 ms`.
pub(crate) fn span(from: Time, to: Time) -> String {
    let length = to.since(from);
    let secs = length.as_secs();
    match secs {
        0 => format!("{} ms", length.as_millis()),
        1..=59 => format!("{:.1} s", length.as_secs_f64()),
        60..=3599 => format!("{} min {} s", secs / 60, secs % 60),
        3600..=86_399 => format!("{} h {} min", secs / 3600, secs / 60 % 60),
        _ => format!("{} d {} h", secs / 86_400, secs / 3600 % 24),
    }
}

/// `24 %`; what is not nothing is never rounded to nothing, and what is not all never to all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let value = part as f64 * 100.0 / whole as f64;
    if part > 0 && value < 1.0 {
        "< 1 %".to_owned()
    } else if part < whole && value > 99.0 {
        "> 99 %".to_owned()
    } else {
        format!("{value:.0} %")
    }
}

pub(crate) fn run_kind(report: &Report) -> String {
    let kind = match report.run.kind {
        RunKind::Capture => "capture",
        RunKind::Live => "live run",
        RunKind::Lab => "lab run",
    };
    match report.run.mode {
        None => kind.to_owned(),
        Some(RunMode::Transparent) => format!("{kind}, transparent"),
        Some(RunMode::Explicit) => format!("{kind}, explicit proxy"),
        Some(RunMode::Memory) => format!("{kind}, in memory"),
    }
}

pub(crate) fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Proof => "planted value",
        Grade::Structural => "by its format",
        Grade::Linkable => "recurring token",
    }
}

pub(crate) fn exposure(exposure: Exposure) -> &'static str {
    match exposure {
        Exposure::Cleartext => "anybody on the path",
        Exposure::LocalLink => "anybody on the local link",
        Exposure::Interceptor => "whoever interposes a certificate",
        Exposure::Peer => "the peer, under encryption",
    }
}

/// A leak over all flows in which it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Leaked<'r> {
    pub(crate) first: &'r LeakRow,
    pub(crate) times: u64,
    pub(crate) flows: u64,
}

impl Leaked<'_> {
    /// `http.request.body, through gzip, base64`.
    pub(crate) fn place(&self) -> String {
        let chain: Vec<&str> = self.first.chain.iter().map(analyzers::text::Text::as_str).collect();
        if chain.is_empty() { self.first.place.to_string() } else { format!("{}, through {}", self.first.place, chain.join(", ")) }
    }

    /// `to ads.test`; what a peer says comes from it.
    pub(crate) fn whither(&self) -> String {
        let way = if self.first.direction == HitDirection::In { "from" } else { "to" };
        self.first.peer.as_ref().map_or_else(String::new, |peer| format!("{way} {peer}"))
    }
}

/// Leaks joined over flows: those most people can read first, then planted values and credentials, then what the device itself says.
pub(crate) fn leaks(report: &Report) -> Vec<Leaked<'_>> {
    let mut joined: IndexMap<_, Leaked<'_>> = IndexMap::new();
    for row in &report.leaks {
        let what = (&row.digest, &row.masked, &row.persona_field);
        let key = (row.kind, row.grade, row.exposure, what, (&row.place, &row.chain, &row.peer, row.direction));
        let leaked = joined.entry(key).or_insert(Leaked { first: row, times: 0, flows: 0 });
        leaked.times += row.count;
        leaked.flows += 1;
    }
    let mut out: Vec<Leaked<'_>> = joined.into_values().collect();
    let reach = |e: Exposure| match e {
        Exposure::Cleartext => 0,
        Exposure::Interceptor => 1,
        Exposure::LocalLink => 2,
        Exposure::Peer => 3,
    };
    let rank = |row: &LeakRow| match (row.grade, row.kind.about()) {
        (Grade::Proof, _) => 0,
        (_, About::Credential | About::Session) => 1,
        (Grade::Structural, _) => 2,
        (Grade::Linkable, _) => 3,
    };
    out.sort_by_key(|l| (reach(l.first.exposure), rank(l.first), l.first.direction == HitDirection::In, l.first.kind));
    out
}

/// What failed with one peer, or with one device where no peer is to blame.
pub(crate) struct Place {
    pub subject: SubjectRow,
    pub severity: Severity,
    pub failures: usize,
    /// `cert.* ×15, tls.negotiated-version`.
    pub checks: String,
}

/// So many checks of one family are named together.
const FAMILY: usize = 3;

/// Where failures gather, worst and fullest first; waived ones do not count, and clients of one peer are one place. Empty where each place
/// has one failure: it would say nothing that the failures do not.
pub(crate) fn places(report: &Report) -> Vec<Place> {
    type Where<'r> = (Option<DeviceId>, Option<&'r str>, Option<u16>);
    let mut gathered: IndexMap<Where<'_>, Vec<&FindingRow>> = IndexMap::new();
    for row in report.findings.iter().filter(|f| f.verdict == FindingVerdict::Fail && f.waived.is_none()) {
        gathered.entry((row.subject.device, row.subject.peer.as_deref(), row.subject.port)).or_default().push(row);
    }
    let place = |((device, peer, port), rows): (Where<'_>, Vec<&FindingRow>)| {
        let mut families: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in &rows {
            families.entry(row.check.split('.').next().unwrap_or_default()).or_default().push(&row.check);
        }
        let mut checks = Vec::new();
        for (family, mut ids) in families {
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            if ids.len() >= FAMILY {
                checks.push(format!("{family}.*\u{a0}×{all}"));
            } else {
                checks.extend(ids.into_iter().map(str::to_owned));
            }
        }
        Place {
            subject: SubjectRow { device, peer: peer.map(str::to_owned), port, client: None },
            severity: rows.iter().map(|r| r.severity).max().unwrap_or(Severity::Info),
            failures: rows.len(),
            checks: checks.join(", "),
        }
    };
    if gathered.values().all(|rows| rows.len() == 1) {
        return Vec::new();
    }
    let mut places: Vec<Place> = gathered.into_iter().map(place).collect();
    places.sort_by_key(|p| std::cmp::Reverse((p.severity, p.failures)));
    places
}

/// Breaks words into lines of at most `width` characters; a word that is longer is broken where it must.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut len = 0;
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let mut chars: Vec<char> = word.chars().collect();
        while !chars.is_empty() {
            let space = usize::from(len > 0);
            let room = width.saturating_sub(len + space);
            if chars.len() <= room {
                if space == 1 {
                    line.push(' ');
                }
                len += space + chars.len();
                line.extend(chars.drain(..));
            } else if len > 0 {
                lines.push(std::mem::take(&mut line));
                len = 0;
            } else {
                lines.push(chars.drain(..width).collect());
            }
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use analyzers::board::Finding;

    use super::*;
    use crate::fixture;

    #[test]
    fn says_sizes() {
        for (n, expect) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (148_992, "149.0 kB"), (999_960, "1.0 MB"), (u64::MAX, "18446.7 PB")]
        {
            assert_eq!(bytes(n), expect);
        }
        assert_eq!(count(1_234_567, "flow", "flows"), "1\u{a0}234\u{a0}567 flows");
    }

    #[test]
    fn says_what_is_not_read() {
        for (n, name, expect) in [
            (1, "LLDP", "1 frame of LLDP"),
            (2, "frame ends inside a header", "2 frames of frame ends inside a header"),
            (2, "custom block", "2 custom blocks"),
            (1, "name resolution block", "1 name resolution block"),
            (3, "fragments that never became whole datagrams", "3 fragments that never became whole datagrams,"),
        ] {
            assert_eq!(unread(n, name), expect);
        }
    }

    #[test]
    fn says_shares_honestly() {
        for (part, whole, expect) in
            [(0, 0, "0 %"), (0, 9, "0 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (9, 9, "100 %"), (1, 4, "25 %")]
        {
            assert_eq!(percent(part, whole), expect);
        }
    }

    #[test]
    fn says_spans() {
        for (nanos, expect) in
            [(5_000_000, "5 ms"), (8_400_000_000, "8.4 s"), (725_000_000_000, "12 min 5 s"), (273_600_000_000_000, "3 d 4 h")]
        {
            assert_eq!(span(Time(0), Time(nanos)), expect);
        }
    }

    #[test]
    fn failures_gather_at_peers() {
        let at = |rows: &str, name: &str, client| {
            let mut out = fixture::findings(rows);
            for finding in &mut out {
                finding.subject = fixture::subject(name, 443, client).into();
            }
            out
        };
        let of = |findings: &[Finding]| -> Vec<String> {
            let places = places(&fixture::report_of(&[], findings));
            places.iter().map(|p| format!("{} {} at {}: {}", p.severity.word(), p.failures, p.subject, p.checks)).collect()
        };
        let all =
            "cert.expired fail@critical, cert.self-signed fail@critical, cert.user-ca-trusted fail!, cert.hostname-mismatch fail@critical";
        let bad = [
            at("leak.a fail@low, leak.b fail@low, leak.c pass@low", "quiet.test", false),
            at(all, "bad.test", true),
            // Two clients of one peer fail the same.
            at("channel.x fail, cert.expired fail", "bad.test", false),
        ]
        .concat();
        assert_eq!(of(&bad), ["critical 5 at d1 bad.test:443: cert.*\u{a0}×4, channel.x", "low 2 at d1 quiet.test:443: leak.a, leak.b"]);
        assert_eq!(of(&[at("leak.a fail", "a.test", false), at("leak.a fail", "b.test", false)].concat()), [""; 0]);
    }

    #[test]
    fn wraps() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("aaaaaaaaaaaaaaaaaaaa b", 8), ["aaaaaaaa", "aaaaaaaa", "aaaa b"]);
        assert_eq!(wrap("", 8), [""]);
    }
}
