//! Who on the device caused which flows, as another tool or the operator knows it: CSV, or TOML (`overhear/actors/1`).
//!
//! CSV columns, in this order unless a first line names them: `flow` (`tcp 10.0.0.2:50000>203.0.113.1:443`, either end may be `*`) or
//! `window` (`2026-05-01T10:00:00Z/2026-05-01T10:05:00Z`), `package`, `class`.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::csv;
use crate::document::{Document, MOST_PROBLEMS, place};
use crate::{Problem, Time};

/// One line of an actors file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorRow {
    pub of: ActorOf,
    /// The app's or component's name; empty if only its class is known.
    pub package: String,
    pub class: ActorClass,
    /// The row's line in its file, from 1.
    pub line: usize,
}

/// What an actor is stated to have caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorOf {
    Flow(FlowTuple),
    /// Everything between two moments: for runs in which one app was exercised at a time.
    Window {
        from: Time,
        to: Time,
    },
}

/// The ends of flows; what is `None` may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTuple {
    /// IP protocol number: 6 TCP, 17 UDP.
    pub protocol: Option<u8>,
    pub from: End,
    pub to: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub addr: Option<IpAddr>,
    pub port: Option<u16>,
}

impl End {
    fn matches(self, end: SocketAddr) -> bool {
        self.addr.is_none_or(|a| a.to_canonical() == end.ip().to_canonical()) && self.port.is_none_or(|p| p == end.port())
    }
}

impl FlowTuple {
    /// Whether a flow between `a` and `b` is meant, in either direction.
    pub fn matches(&self, protocol: u8, a: SocketAddr, b: SocketAddr) -> bool {
        self.protocol.is_none_or(|own| own == protocol)
            && ((self.from.matches(a) && self.to.matches(b)) || (self.from.matches(b) && self.to.matches(a)))
    }

    /// Reads `[tcp|udp|number] from>to`, an end being `address:port`, `[address]:port`, `address`, `:port` or `*`.
    pub fn parse(text: &str) -> Option<FlowTuple> {
        let text = text.trim();
        let (protocol, ends) = match text.split_once(' ') {
            Some((first, rest)) if !first.contains([':', '>', '*']) => (Some(protocol(first)?), rest),
            _ => (None, text),
        };
        let (from, to) = ends.split_once('>')?;
        let (from, to) = (end(from.trim())?, end(to.trim())?);
        (from != End::default() || to != End::default()).then_some(FlowTuple { protocol, from, to })
    }
}

fn protocol(word: &str) -> Option<u8> {
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Some(6),
        "udp" => Some(17),
        number => number.parse().ok(),
    }
}

fn end(text: &str) -> Option<End> {
    if text == "*" {
        return Some(End::default());
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:"))
        && let Ok(port) = port.parse()
    {
        return Some(End { addr: None, port: Some(port) });
    }
    if let Ok(both) = text.parse::<SocketAddr>() {
        return Some(End { addr: Some(both.ip()), port: Some(both.port()) });
    }
    let addr = text.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(End { addr: Some(addr), port: None })
}

/// Who on the device caused a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActorClass {
    Os,
    Preloaded,
    UserApp,
    Browser,
    #[default]
    Unknown,
}

impl ActorClass {
    pub fn parse(word: &str) -> Option<ActorClass> {
        Some(match word {
            "os" => ActorClass::Os,
            "preloaded" => ActorClass::Preloaded,
            "user-app" => ActorClass::UserApp,
            "browser" => ActorClass::Browser,
            "unknown" => ActorClass::Unknown,
            _ => return None,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            ActorClass::Os => "os",
            ActorClass::Preloaded => "preloaded",
            ActorClass::UserApp => "user-app",
            ActorClass::Browser => "browser",
            ActorClass::Unknown => "unknown",
        }
    }
}

/// As a TOML file has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Actors", title = "Overhear actors")]
pub(crate) struct File {
    #[expect(dead_code, reason = "its reading is its check")]
    schema: Schema,
    #[serde(default)]
    actor: Vec<Row>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/actors/1")]
    V1,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Row {
    /// `tcp 10.0.0.2:50000>203.0.113.1:443`. Either this or `window`.
    flow: Option<String>,
    /// `2026-05-01T10:00:00Z/2026-05-01T10:05:00Z`.
    window: Option<String>,
    #[serde(default)]
    package: String,
    class: ActorClass,
}

/// Reads an actors file: TOML if its name ends in `.toml` or its first word says so, else CSV.
pub fn parse(file: &str, text: &str) -> Result<Vec<ActorRow>, Vec<Problem>> {
    if crate::events::is_toml(file, text) { from_toml(file, text) } else { from_csv(file, text) }
}

fn from_toml(file: &str, text: &str) -> Result<Vec<ActorRow>, Vec<Problem>> {
    let (mut doc, read) = Document::read::<File>(file, text)?;
    let mut rows = Vec::with_capacity(read.actor.len());
    for (i, row) in read.actor.into_iter().enumerate() {
        let (key, given) = match (&row.flow, &row.window) {
            (Some(flow), None) => ("flow", flow),
            (None, Some(window)) => ("window", window),
            _ => {
                doc.problem(place!["actor", i], "an actor has either a flow or a window", "");
                continue;
            }
        };
        match read_of(given) {
            Ok(of) if (key == "flow") == matches!(of, ActorOf::Flow(_)) => {
                let line = doc.line(place!["actor", i]);
                rows.push(ActorRow { of, package: row.package, class: row.class, line });
            }
            Ok(_) => doc.problem(place!["actor", i, key], format!("this is not a {key}"), OF_HELP),
            Err(what) => doc.problem(place!["actor", i, key], what, OF_HELP),
        }
    }
    doc.end(rows)
}

const OF_HELP: &str = "tcp 10.0.0.2:50000>203.0.113.1:443, or 2026-05-01T10:00:00Z/2026-05-01T10:05:00Z";

fn from_csv(file: &str, text: &str) -> Result<Vec<ActorRow>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    let mut records = csv::records(file, text, &mut problems).into_iter().peekable();
    let mut note = |line: usize, column: usize, what: String, help: &str| {
        if problems.len() < MOST_PROBLEMS {
            problems.push(Problem { file: file.to_owned(), line, column, what, help: help.to_owned() });
        }
    };
    let mut order = [Some(0), Some(1), Some(2)];
    if let Some(heading) = records.next_if(|r| r.iter().any(|c| c.text.eq_ignore_ascii_case("class"))) {
        order = [None; 3];
        for (place, cell) in heading.iter().enumerate() {
            let slot = match cell.text.to_ascii_lowercase().as_str() {
                "flow" | "window" | "flow|window" => &mut order[0],
                "package" => &mut order[1],
                "class" => &mut order[2],
                other => {
                    note(
                        cell.line,
                        cell.column,
                        format!("'{}' is not a column of an actors file", other.escape_debug()),
                        "flow or window, package, class",
                    );
                    continue;
                }
            };
            if slot.replace(place).is_some() {
                note(cell.line, cell.column, "this column stands twice".to_owned(), "");
            }
        }
        if order[0].is_none() {
            note(heading.first().map_or(1, |c| c.line), 1, "the heading lacks flow or window".to_owned(), "");
            return Err(problems);
        }
    }
    for record in records {
        let line = record.first().map_or(0, |c| c.line);
        let cell = |c: usize| order.get(c).copied().flatten().and_then(|place| record.get(place));
        let text = |c: usize| cell(c).map_or("", |c| c.text.as_str());
        let place = |c: usize| cell(c).map_or((line, 1), |c| (c.line, c.column));
        let of = read_of(text(0));
        let class = ActorClass::parse(text(2));
        if let Err(what) = &of {
            let (line, column) = place(0);
            note(line, column, what.clone(), OF_HELP);
        }
        if class.is_none() {
            let (line, column) = place(2);
            note(
                line,
                column,
                format!("'{}' is not a class of actor", text(2).escape_debug()),
                "os, preloaded, user-app, browser or unknown",
            );
        }
        if let (Ok(of), Some(class)) = (of, class) {
            rows.push(ActorRow { of, package: text(1).to_owned(), class, line });
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn read_of(text: &str) -> Result<ActorOf, String> {
    if text.contains('>') {
        return FlowTuple::parse(text)
            .map(ActorOf::Flow)
            .ok_or_else(|| format!("'{}' does not name the ends of a flow", text.escape_debug()));
    }
    let Some((from, to)) = text.split_once('/') else {
        return Err(format!("'{}' is neither a flow nor a window of time", text.escape_debug()));
    };
    match (Time::parse(from.trim()), Time::parse(to.trim())) {
        (Some(from), Some(to)) if from <= to => Ok(ActorOf::Window { from, to }),
        (Some(_), Some(_)) => Err("the window ends before it starts".to_owned()),
        _ => Err(format!("'{}' is not a window of time", text.escape_debug())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn flow(pattern: &str, protocol: u8, a: &str, b: &str, expect: bool) {
        let tuple = FlowTuple::parse(pattern).unwrap_or_else(|| panic!("{pattern}"));
        assert_eq!(tuple.matches(protocol, a.parse().unwrap(), b.parse().unwrap()), expect, "{pattern} on {protocol} {a} {b}");
    }

    #[test]
    fn flows() {
        flow("tcp 10.0.0.2:50000>203.0.113.1:443", 6, "10.0.0.2:50000", "203.0.113.1:443", true);
        flow("tcp 10.0.0.2:50000>203.0.113.1:443", 6, "203.0.113.1:443", "10.0.0.2:50000", true);
        flow("tcp 10.0.0.2:50000>203.0.113.1:443", 17, "10.0.0.2:50000", "203.0.113.1:443", false);
        flow("10.0.0.2:50000>203.0.113.1:443", 17, "10.0.0.2:50000", "203.0.113.1:443", true);
        flow("* > 203.0.113.1", 6, "10.0.0.2:50000", "203.0.113.1:443", true);
        flow("udp :5353>*", 17, "10.0.0.2:5353", "224.0.0.251:5353", true);
        flow("[2001:db8::2]:5 > 2001:db8::1", 6, "[2001:db8::2]:5", "[2001:db8::1]:443", true);
        flow("10.0.0.2:50000>203.0.113.1:443", 6, "10.0.0.2:50001", "203.0.113.1:443", false);
        for bad in ["", "*>*", "a>b", "tcp 10.0.0.2", "xyz 10.0.0.2:1>*"] {
            assert_eq!(FlowTuple::parse(bad), None, "{bad}");
        }
    }

    #[track_caller]
    fn bad(file: &str, text: &str, expect: &[&str]) {
        let got: Vec<String> = parse(file, text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn files() {
        let rows = parse(
            "a.csv",
            "flow,package,class\ntcp 10.0.0.2:1>203.0.113.1:443,org.example.mail,user-app\n1970-01-01T00:00:01Z/1970-01-01T00:00:02Z,,os\n",
        )
        .unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[1],
            ActorRow {
                of: ActorOf::Window { from: Time::from_secs(1), to: Time::from_secs(2) },
                package: String::new(),
                class: ActorClass::Os,
                line: 3
            }
        );
        let rows =
            parse("a.toml", "schema = \"overhear/actors/1\"\n[[actor]]\nflow = \"*>203.0.113.1:443\"\nclass = \"browser\"\n").unwrap();
        assert_eq!((rows[0].class, rows[0].line), (ActorClass::Browser, 2));
        bad(
            "a.csv",
            "x,p,os\n*>10.0.0.1,p,game\n2026-05-02T00:00:00Z/2026-05-01T00:00:00Z,p,os\n",
            &[
                "a.csv:1:1: 'x' is neither a flow nor a window of time (tcp 10.0.0.2:50000>203.0.113.1:443, or 2026-05-01T10:00:00Z/2026-05-01T10:05:00Z)",
                "a.csv:2:14: 'game' is not a class of actor (os, preloaded, user-app, browser or unknown)",
                "a.csv:3:1: the window ends before it starts (tcp 10.0.0.2:50000>203.0.113.1:443, or 2026-05-01T10:00:00Z/2026-05-01T10:05:00Z)",
            ],
        );
        bad(
            "a.toml",
            "schema = \"overhear/actors/1\"\n[[actor]]\nflow = \"1970-01-01T00:00:01Z/1970-01-01T00:00:02Z\"\nclass = \"os\"\n",
            &["a.toml:3:8: this is not a flow (tcp 10.0.0.2:50000>203.0.113.1:443, or 2026-05-01T10:00:00Z/2026-05-01T10:05:00Z)"],
        );
    }
}
