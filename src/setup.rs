//! Before a run: check a file, make a persona, make or show the campaign's authority, see what this machine lacks.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use policies::{Declaration, Persona, Policy, Problem};
use proxy::forge::ca::Authority;

use crate::cli;
use crate::fault::Fault;
use crate::{knowledge, private, render};

/// A span such as `90s`, `30m`, `12h`, `30d`.
pub(crate) fn duration(word: &str) -> Result<Duration, Fault> {
    let wrong = || Fault::new(format!("'{word}' is not a time"), "a number with s, m, h or d: 90s, 30m, 4h, 2d");
    let unit = word.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let n: u64 = word.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    Ok(Duration::from_secs(n.saturating_mul(seconds)))
}

/// `policy check FILE`: tells by the file's own schema line, else by its form, what it is.
pub(crate) fn check_file(path: &Path) -> Result<u8, Fault> {
    let text = knowledge::read(path)?;
    let name = path.display().to_string();
    let schema = text.lines().find_map(|l| l.trim().strip_prefix("schema")).unwrap_or_default();
    let done = |what: &str, result: Result<String, Vec<Problem>>| -> Result<u8, Fault> {
        let about = result?;
        render::print(format!("{name}: a good {what}{about}\n").as_bytes())?;
        Ok(0)
    };
    let csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    if schema.contains("overhear/persona/") {
        done("persona", Persona::parse(&name, &text).map(|p| format!(" ({} values)", p.values.len())))
    } else if schema.contains("overhear/declaration/") {
        done("declaration", Declaration::parse(&name, &text).map(|d| format!(" ({} channels)", d.channels.len())))
    } else if schema.contains("overhear/events/") {
        done("events file", policies::events::parse(&name, &text).map(|r| format!(" ({} rows)", r.len())))
    } else if schema.contains("overhear/actors/") {
        done("actors file", policies::actors::parse(&name, &text).map(|r| format!(" ({} rows)", r.len())))
    } else if csv {
        // Both kinds of CSV are read; the one that reads without problems is meant.
        match policies::events::parse(&name, &text) {
            Ok(rows) => done("events file", Ok(format!(" ({} rows)", rows.len()))),
            Err(events) => match policies::actors::parse(&name, &text) {
                Ok(rows) => done("actors file", Ok(format!(" ({} rows)", rows.len()))),
                Err(actors) => Err(Fault::File(if actors.len() < events.len() { actors } else { events })),
            },
        }
    } else if schema.is_empty() {
        let help = "a policy begins with schema = \"overhear/policy/1\"; there are persona, declaration, events and actors too";
        Err(vec![Problem { file: name, line: 1, column: 1, what: "no schema says what this file is".to_owned(), help: help.to_owned() }]
            .into())
    } else {
        let policy = Policy::parse(&name, &text)?;
        knowledge::known_checks(&policy, path, &text)?;
        done("policy", Ok(format!(" (profile {})", policy.profile.name)))
    }
}

pub(crate) fn new_persona(output: Option<&Path>, label: &str) -> Result<u8, Fault> {
    let mut broken = None;
    let text = policies::persona::synthetic(&mut |buffer| {
        if let Err(e) = private::random(buffer) {
            broken = Some(e);
        }
    });
    if let Some(fault) = broken {
        return Err(fault);
    }
    let text = relabel(&text, label);
    match output {
        None => render::print(text.as_bytes())?,
        Some(path) if path.exists() => {
            return Err(Fault::new(format!("{} exists", path.display()), "a persona is not overwritten; choose another name"));
        }
        Some(path) => {
            use std::io::Write as _;
            let mut file = private::create(path).map_err(|e| Fault::io("write", path, &e))?;
            file.write_all(text.as_bytes()).map_err(|e| Fault::io("write", path, &e))?;
            render::print(
                format!("wrote {} (mode 0600): plant its values on the device, then give it with --persona\n", path.display()).as_bytes(),
            )?;
        }
    }
    Ok(0)
}

/// Puts the operator's label in place of the made-up one.
fn relabel(text: &str, label: &str) -> String {
    let quoted = format!("label  = {}", toml::Value::String(label.to_owned()));
    let lines = text.lines().map(|l| if l.trim_start().starts_with("label") { quoted.as_str() } else { l });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

pub(crate) fn ca(args: &cli::Ca) -> Result<u8, Fault> {
    let lifetime = Duration::from_secs(u64::from(args.days) * 86_400);
    let there = args.dir.join("ca.pem").exists();
    if matches!(args.action, cli::CaAction::Make) && there {
        return Err(Fault::new(
            format!("{} holds an authority already", args.dir.display()),
            "one campaign, one authority: choose another --dir",
        ));
    }
    if !matches!(args.action, cli::CaAction::Make) && !there {
        return Err(Fault::new(format!("there is no authority in {}", args.dir.display()), "`overhear ca make` makes one"));
    }
    let authority = Authority::load_or_make(&args.dir, crate::runs::now(), lifetime).map_err(|e| Fault::new(e.to_string(), ""))?;
    match args.action {
        cli::CaAction::Export if args.format == cli::CaFormat::Der => render::print(authority.der())?,
        cli::CaAction::Export => render::print(authority.pem().as_bytes())?,
        cli::CaAction::Make | cli::CaAction::Show => {
            let mut out = String::new();
            let sha = analyzers::encode::hex(&analyzers::encode::sha256(authority.der()));
            let _ = writeln!(out, "folder         {}", args.dir.display());
            let _ = writeln!(out, "valid          {} to {}", authority.not_before, authority.not_after);
            let _ = writeln!(out, "sha256         {sha}");
            let _ = writeln!(out, "pin            {}", authority.pin());
            let _ = writeln!(out, "Android name   {}   (in /system/etc/security/cacerts)", authority.android_name());
            let _ = writeln!(
                out,
                "install        {} on the device under test; remove it when the campaign ends",
                args.dir.join("ca.pem").display()
            );
            render::print(out.as_bytes())?;
        }
    }
    Ok(0)
}

/// One thing a mode needs.
#[derive(serde::Serialize)]
struct Need {
    mode: &'static str,
    what: &'static str,
    there: bool,
    how: &'static str,
}

pub(crate) fn doctor(args: &cli::Doctor) -> Result<u8, Fault> {
    let best = lab::rung::best();
    let root = nix::unistd::geteuid().is_root();
    let namespaces = best.rung == lab::rung::Rung::Namespaces;
    let needs = [
        Need { mode: "analyze", what: "nothing beside this program", there: true, how: "" },
        Need { mode: "lab", what: "ip (iproute2)", there: lab::tool::is_there("ip"), how: "apt install iproute2" },
        Need { mode: "lab", what: "nft (nftables)", there: lab::tool::is_there("nft"), how: "apt install nftables" },
        Need {
            mode: "lab",
            what: "user namespaces, or root",
            there: namespaces,
            how: "sysctl kernel.unprivileged_userns_clone=1, or run as root",
        },
        Need { mode: "intercept", what: "root (or CAP_NET_ADMIN and CAP_NET_RAW)", there: root, how: "run as root, or use --listen" },
        Need { mode: "intercept", what: "nft (nftables)", there: lab::tool::is_there("nft"), how: "apt install nftables" },
    ];
    let mut out = String::new();
    if args.json {
        out = serde_json::to_string_pretty(&serde_json::json!({ "rung": best.rung.text(), "needs": needs })).unwrap_or_default();
        out.push('\n');
    } else {
        for need in &needs {
            let state = if need.there { "ok      " } else { "missing " };
            let how = if need.there || need.how.is_empty() { String::new() } else { format!("   get it: {}", need.how) };
            let _ = writeln!(out, "{state} {:<10} {}{how}", need.mode, need.what);
        }
        let _ = writeln!(out, "\nlab runs as: {}", best.rung.text());
        for fault in &best.why_not {
            let _ = writeln!(out, "  not higher because: {fault}");
        }
    }
    render::print(out.as_bytes())?;
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (word, seconds) in [("90s", 90), ("30m", 1800), ("4h", 14_400), ("2d", 172_800)] {
            assert_eq!(duration(word).unwrap().as_secs(), seconds);
        }
        for word in ["", "4", "h", "4w", "-1h", "4µ"] {
            assert!(duration(word).is_err(), "{word}");
        }
    }
}
