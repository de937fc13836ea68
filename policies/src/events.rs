//! What was done to the device and when (the stimuli), as the operator wrote it down: CSV, or TOML (`overhear/events/1`).
//!
//! CSV columns, in this order unless a first line names them: `time` (RFC 3339, or seconds since 1970) or `frame` (a number),
//! `phase` (start, end, at), `kind`, `confirmed` (yes, no), `operator`, `note`. The last three may be missing.

use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::csv::{self, Cell};
use crate::document::{Document, MOST_PROBLEMS, place};
use crate::{Problem, Time};

/// One line of an events file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub when: When,
    pub phase: Phase,
    pub kind: EventKind,
    /// Somebody or something saw that it really happened. Only confirmed windows can carry a verdict from absence.
    pub confirmed: bool,
    /// Who did it; empty if not stated.
    pub operator: String,
    pub note: String,
    /// The row's line in its file, from 1.
    pub line: usize,
}

/// When something happened: by the clock, or by the frame of the capture that was the last before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    Time(Time),
    Frame(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Start,
    End,
    /// A moment, not a window.
    At,
}

impl Phase {
    pub fn parse(word: &str) -> Option<Phase> {
        match word {
            "start" => Some(Phase::Start),
            "end" => Some(Phase::End),
            "at" => Some(Phase::At),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::End => "end",
            Phase::At => "at",
        }
    }
}

/// What kind of thing was done: small letters, digits and hyphens, where needed with a name after a colon (`app:org.example.mail`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventKind(String);

impl EventKind {
    /// Kinds that checks know, and what they mean. Others are allowed: they are journalled and shown.
    pub const KNOWN: [(&'static str, &'static str); 16] = [
        ("factory-start", "first start after a factory reset, before any choice was made"),
        ("consent", "the user agrees to data processing"),
        ("withdrawal", "the user withdraws the agreement"),
        ("enrol", "a finger, face or iris is enrolled"),
        ("verify", "the device is unlocked by finger, face or iris"),
        ("sham", "the same handling as enrol or verify, but without a finger or face: the comparison window"),
        ("update-start", "the user asks for an update"),
        ("idle", "nothing is done; the device lies still"),
        ("boot", "the device starts"),
        ("erase", "a factory reset or a deletion of the account"),
        ("vpn", "a VPN profile is on"),
        ("sign-in", "the planted account signs in"),
        ("location", "location is used"),
        ("call", "a call is made"),
        ("message", "a message is sent"),
        ("app", "an app is used: app:NAME"),
    ];

    pub fn parse(word: &str) -> Option<EventKind> {
        let (kind, name) = word.split_once(':').map_or((word, None), |(k, n)| (k, Some(n)));
        let good = |w: &str| !w.is_empty() && w.len() <= 64 && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let named = |n: &str| !n.is_empty() && n.len() <= 256 && !n.chars().any(|c| c.is_control() || c.is_whitespace());
        // What people write for a kind that checks know.
        let word = if matches!(word, "enrolment" | "enrollment" | "enroll") { "enrol" } else { word };
        (good(kind) && name.is_none_or(named)).then(|| EventKind(word.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<EventKind, D::Error> {
        let word = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        EventKind::parse(&word).ok_or_else(|| D::Error::custom(NOT_A_KIND))
    }
}

impl JsonSchema for EventKind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventKind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-z0-9-]+(:\\S+)?$" })
    }
}

const NOT_A_KIND: &str = "a kind is a word of small letters, digits and hyphens, or app:NAME";

/// As a TOML file has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Events", title = "Overhear events")]
pub(crate) struct File {
    #[expect(dead_code, reason = "its reading is its check")]
    schema: Schema,
    #[serde(default)]
    event: Vec<Row>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/events/1")]
    V1,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Row {
    /// RFC 3339, quoted. Either this or `frame`.
    time: Option<Time>,
    /// Frame number, from 1.
    frame: Option<u64>,
    phase: Phase,
    kind: EventKind,
    #[serde(default)]
    confirmed: bool,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    note: String,
}

/// Reads an events file: TOML if its name ends in `.toml` or its first word says so, else CSV.
pub fn parse(file: &str, text: &str) -> Result<Vec<EventRow>, Vec<Problem>> {
    if is_toml(file, text) { from_toml(file, text) } else { from_csv(file, text) }
}

/// Whether a file that may be TOML or CSV is TOML.
pub(crate) fn is_toml(file: &str, text: &str) -> bool {
    let first = text.lines().map(str::trim_start).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or_default();
    file.to_ascii_lowercase().ends_with(".toml")
        || first.starts_with('[')
        || first.strip_prefix("schema").is_some_and(|r| r.trim_start().starts_with('='))
}

fn from_toml(file: &str, text: &str) -> Result<Vec<EventRow>, Vec<Problem>> {
    let (mut doc, read) = Document::read::<File>(file, text)?;
    let mut rows = Vec::with_capacity(read.event.len());
    for (i, row) in read.event.into_iter().enumerate() {
        let when = match (row.time, row.frame) {
            (Some(time), None) => When::Time(time),
            (None, Some(frame)) if frame > 0 => When::Frame(frame),
            (None, Some(_)) => {
                doc.problem(place!["event", i, "frame"], "frames count from 1", "");
                continue;
            }
            (Some(_), Some(_)) => {
                doc.problem(place!["event", i, "frame"], "the event has a time and a frame", "give one of them");
                continue;
            }
            (None, None) => {
                doc.problem(place!["event", i], "the event has no time and no frame", "give one of them");
                continue;
            }
        };
        let line = doc.line(place!["event", i]);
        rows.push(EventRow {
            when,
            phase: row.phase,
            kind: row.kind,
            confirmed: row.confirmed,
            operator: row.operator,
            note: row.note,
            line,
        });
    }
    for (i, what) in unpaired(&rows) {
        doc.problem(place!["event", i], what, PAIR_HELP);
    }
    doc.end(rows)
}

/// The columns of a CSV file, in their order without a heading.
const COLUMNS: [&str; 6] = ["time", "phase", "kind", "confirmed", "operator", "note"];

fn from_csv(file: &str, text: &str) -> Result<Vec<EventRow>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    let mut records = csv::records(file, text, &mut problems).into_iter().peekable();
    let mut by_frame = false;
    let mut order: Vec<Option<usize>> = (0..COLUMNS.len()).map(Some).collect();
    let mut note = |line: usize, column: usize, what: String, help: &str| {
        if problems.len() < MOST_PROBLEMS {
            problems.push(Problem { file: file.to_owned(), line, column, what, help: help.to_owned() });
        }
    };
    if let Some(heading) = records.next_if(|r| is_heading(r)) {
        order = vec![None; COLUMNS.len()];
        for (place, cell) in heading.iter().enumerate() {
            let word = cell.text.to_ascii_lowercase();
            by_frame |= word == "frame";
            match column(&word) {
                Some(c) if order.get(c).is_some_and(Option::is_none) => order[c] = Some(place),
                Some(_) => note(cell.line, cell.column, format!("the column '{word}' stands twice"), ""),
                None => note(
                    cell.line,
                    cell.column,
                    format!("'{}' is not a column of an events file", word.escape_debug()),
                    "time or frame, phase, kind, confirmed, operator, note",
                ),
            }
        }
        let (line, missing) = (
            heading.first().map_or(1, |c| c.line),
            COLUMNS.iter().take(3).zip(&order).filter(|(_, o)| o.is_none()).map(|(c, _)| *c).collect::<Vec<_>>(),
        );
        if !missing.is_empty() {
            note(line, 1, format!("the heading lacks {}", missing.join(", ")), "");
            return Err(problems);
        }
    }
    for record in records {
        let line = record.first().map_or(0, |c| c.line);
        if record.len() > COLUMNS.len() && order.iter().all(Option::is_some) {
            let column = record.get(COLUMNS.len()).map_or(1, |c| c.column);
            note(
                line,
                column,
                format!("the row has {} cells, a row has at most {}", record.len(), COLUMNS.len()),
                "put a note with commas in quotes",
            );
            continue;
        }
        let cell = |c: usize| order.get(c).copied().flatten().and_then(|place| record.get(place));
        let text = |c: usize| cell(c).map_or("", |c| c.text.as_str());
        let place = |c: usize| cell(c).map_or((line, 1), |c| (c.line, c.column));
        let mut wrong = |c: usize, what: String, help: &str| {
            let (line, column) = place(c);
            note(line, column, what, help);
        };
        let when = read_when(text(0), by_frame);
        let phase = Phase::parse(&text(1).to_ascii_lowercase());
        let kind = EventKind::parse(text(2));
        let confirmed = read_yes(text(3));
        if let Err(what) = &when {
            wrong(0, what.clone(), "RFC 3339 such as 2026-05-01T10:00:00Z, seconds since 1970, or a frame number");
        }
        if phase.is_none() {
            wrong(1, format!("'{}' is not start, end or at", text(1).escape_debug()), "");
        }
        if kind.is_none() {
            wrong(2, format!("'{}' is not a kind of event", text(2).escape_debug()), NOT_A_KIND);
        }
        if confirmed.is_none() {
            wrong(3, format!("'{}' is not yes or no", text(3).escape_debug()), "whether it was seen that this really happened");
        }
        if let (Ok(when), Some(phase), Some(kind), Some(confirmed)) = (when, phase, kind, confirmed) {
            rows.push(EventRow { when, phase, kind, confirmed, operator: text(4).to_owned(), note: text(5).to_owned(), line });
        }
    }
    if problems.is_empty() {
        problems.extend(unpaired(&rows).into_iter().take(MOST_PROBLEMS).map(|(i, what)| Problem {
            file: file.to_owned(),
            line: rows.get(i).map_or(0, |r: &EventRow| r.line),
            column: 1,
            what,
            help: PAIR_HELP.to_owned(),
        }));
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn is_heading(record: &[Cell]) -> bool {
    record.iter().any(|c| c.text.eq_ignore_ascii_case("kind"))
}

fn column(word: &str) -> Option<usize> {
    match word {
        "time" | "frame" | "time|frame" => Some(0),
        "phase" | "start|end|at" => Some(1),
        "kind" => Some(2),
        "confirmed" => Some(3),
        "operator" => Some(4),
        "note" => Some(5),
        _ => None,
    }
}

/// A bare number of up to eight digits is a frame; captures have no 100 million frames, and seconds since 1970 have ten digits.
fn read_when(text: &str, by_frame: bool) -> Result<When, String> {
    let number = text.strip_prefix('#').unwrap_or(text);
    let all_digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if all_digits && (by_frame || number.len() != text.len() || number.len() <= 8) {
        return match number.parse() {
            Ok(0) => Err("frames count from 1".to_owned()),
            Ok(frame) => Ok(When::Frame(frame)),
            Err(_) => Err("the frame number is too large".to_owned()),
        };
    }
    Time::parse(text).map(When::Time).ok_or_else(|| format!("'{}' is neither a time nor a frame", text.escape_debug()))
}

/// Not stated is *not confirmed*.
pub(crate) fn read_yes(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "y" => Some(true),
        "" | "no" | "false" | "0" | "n" => Some(false),
        _ => None,
    }
}

const PAIR_HELP: &str = "a window is one start and one end of the same kind, in this order";

/// Ends without a start, starts within an open window of the same kind, ends before their start: index and complaint.
fn unpaired(rows: &[EventRow]) -> Vec<(usize, String)> {
    let mut open: Vec<(&EventKind, When)> = Vec::new();
    let mut out = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let at = open.iter().position(|(kind, _)| **kind == row.kind);
        match (row.phase, at) {
            (Phase::At, _) => {}
            (Phase::Start, None) => open.push((&row.kind, row.when)),
            (Phase::Start, Some(_)) => out.push((i, format!("'{}' starts again before it ended", row.kind))),
            (Phase::End, None) => out.push((i, format!("'{}' ends but never started", row.kind))),
            (Phase::End, Some(at)) => {
                let (_, start) = open.swap_remove(at);
                let backwards = match (start, row.when) {
                    (When::Time(a), When::Time(b)) => b < a,
                    (When::Frame(a), When::Frame(b)) => b < a,
                    _ => false,
                };
                if backwards {
                    out.push((i, format!("'{}' ends before it starts", row.kind)));
                }
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn good(file: &str, text: &str) -> Vec<String> {
        let rows = parse(file, text).unwrap_or_else(|p| panic!("{p:?}"));
        rows.iter()
            .map(|r| format!("{} {:?} {} {} {} {}|{}", r.line, r.when, r.phase.word(), r.kind, r.confirmed, r.operator, r.note))
            .collect()
    }

    #[track_caller]
    fn bad(file: &str, text: &str, expect: &[&str]) {
        let got: Vec<String> = parse(file, text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn reads_csv() {
        assert_eq!(
            good(
                "e.csv",
                "time,phase,kind,confirmed,operator,note\n1970-01-01T00:00:01Z,start,enrol,yes,ab,\"left thumb, twice\"\n1970-01-01T00:00:09Z,end,enrol,yes,ab\n"
            ),
            ["2 Time(Time(1000000000)) start enrol true ab|left thumb, twice", "3 Time(Time(9000000000)) end enrol true ab|",]
        );
        assert_eq!(
            good("e.csv", "# by hand\n17,at,app:org.example.mail\n1700000000.5,at,consent,no\n#18,at,idle\n"),
            ["2 Frame(17) at app:org.example.mail false |", "3 Time(Time(1700000000500000000)) at consent false |",]
        );
        assert_eq!(good("e.csv", "kind,frame,phase\nboot,100000000,at\n"), ["2 Frame(100000000) at boot false |"]);
        assert_eq!(good("e.csv", ""), Vec::<String>::new());
    }

    #[test]
    fn reads_toml() {
        let text = "schema = \"overhear/events/1\"\n[[event]]\ntime = \"1970-01-01T00:00:01Z\"\nphase = \"at\"\nkind = \"consent\"\nconfirmed = true\n[[event]]\nframe = 7\nphase = \"at\"\nkind = \"idle\"\n";
        assert_eq!(good("e.toml", text), ["2 Time(Time(1000000000)) at consent true |", "7 Frame(7) at idle false |"]);
        assert_eq!(good("-", text).len(), 2);
    }

    #[test]
    fn reports_every_problem() {
        bad(
            "e.csv",
            "when,phase,kind\n1,at,idle\n",
            &[
                "e.csv:1:1: 'when' is not a column of an events file (time or frame, phase, kind, confirmed, operator, note)",
                "e.csv:1:1: the heading lacks time",
            ],
        );
        bad(
            "e.csv",
            "yesterday,at,idle\n12,middle,Enrol,perhaps\n13,at,idle,yes,me,a,b\n0,at,idle\n",
            &[
                "e.csv:1:1: 'yesterday' is neither a time nor a frame (RFC 3339 such as 2026-05-01T10:00:00Z, seconds since 1970, or a frame number)",
                "e.csv:2:4: 'middle' is not start, end or at",
                "e.csv:2:11: 'Enrol' is not a kind of event (a kind is a word of small letters, digits and hyphens, or app:NAME)",
                "e.csv:2:17: 'perhaps' is not yes or no (whether it was seen that this really happened)",
                "e.csv:3:21: the row has 7 cells, a row has at most 6 (put a note with commas in quotes)",
                "e.csv:4:1: frames count from 1 (RFC 3339 such as 2026-05-01T10:00:00Z, seconds since 1970, or a frame number)",
            ],
        );
        bad(
            "e.csv",
            "5,end,enrol\n6,start,idle\n7,start,idle\n4,end,idle\n",
            &[
                "e.csv:1:1: 'enrol' ends but never started (a window is one start and one end of the same kind, in this order)",
                "e.csv:3:1: 'idle' starts again before it ended (a window is one start and one end of the same kind, in this order)",
                "e.csv:4:1: 'idle' ends before it starts (a window is one start and one end of the same kind, in this order)",
            ],
        );
        bad(
            "e.toml",
            "schema = \"overhear/events/1\"\n[[event]]\nphase = \"at\"\nkind = \"idle\"\n[[event]]\nframe = 0\nphase = \"at\"\nkind = \"idle\"\n",
            &["e.toml:2:1: the event has no time and no frame (give one of them)", "e.toml:6:9: frames count from 1"],
        );
        let many: String = (0..50).map(|_| "x,at,idle\n").collect();
        assert_eq!(parse("e.csv", &many).unwrap_err().len(), MOST_PROBLEMS);
    }
}
