//! Journal: the last lines as they come, filtered by words.
//!
//! ```text
//! ┌ Journal · only with “tls” ────────────────────────────────────────────────────────────┐
//! │    line time     flow  kind         what                                              │
//! │›     31 10:00:04 f3    trial        #2 cert.self-signed → accepted · E6 · fin         │
//! └───────────────────────────────────────────────────────────────────────────── 31/31 ───┘
//! ```

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::app::{App, Shown};
use crate::look::Tone;
use crate::screen::JournalRow;
use crate::snapshot::Snapshot;
use crate::table::{self, Column, List, Width, column};
use crate::words;

const COLUMNS: [Column; 5] = [
    column("   line", Width::Fixed(7)),
    column("time", Width::Fixed(8)),
    column("flow", Width::Fixed(6)),
    column("kind", Width::Fixed(12)),
    column("what", Width::Rest(1)),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    let rows: Vec<&Arc<JournalRow>> = filtered(snapshot, &app.filter).collect();
    let keys: Vec<u64> = rows.iter().map(|row| row.n).collect();
    let before = snapshot.counters.lines.saturating_sub(snapshot.journal.len() as u64);
    let name = if before > 0 {
        format!("Journal · the last {}; {} before", words::count(snapshot.journal.len() as u64), words::plural(before, "line"))
    } else {
        "Journal".to_owned()
    };
    let list = List {
        title: table::title(&name, &app.filter),
        columns: &COLUMNS,
        len: rows.len(),
        chosen: app.place(&keys),
        empty: if snapshot.journal.is_empty() { "no lines yet" } else { "no line has these words; Esc ends the filter" },
    };
    app.page = table::draw(frame, area, app.look, &list, |i| {
        let Some(row) = rows.get(i) else { return Vec::new() };
        vec![
            (format!("{:>7}", row.n), Tone::Faint),
            (words::clock(row.at), Tone::Plain),
            (row.flow.map(|f| f.to_string()).unwrap_or_default(), Tone::Plain),
            (row.word.to_owned(), tone(row.word)),
            (row.text.clone(), Tone::Plain),
        ]
    });
}

/// What an operator looks for stands out.
fn tone(word: &str) -> Tone {
    match word {
        "trial" | "treatment" | "event" => Tone::Title,
        "hit" | "odd" | "missed" | "undecrypted" | "unparsed" => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn filtered<'a>(snapshot: &'a Snapshot, filter: &'a str) -> impl Iterator<Item = &'a Arc<JournalRow>> {
    let words = |row: &JournalRow| format!("{} {} {}", row.flow.map(|f| f.to_string()).unwrap_or_default(), row.word, row.text);
    snapshot.journal.iter().filter(move |row| table::matches(filter, || words(row)))
}

pub(super) fn rows(snapshot: &Snapshot, filter: &str) -> Vec<u64> {
    filtered(snapshot, filter).map(|row| row.n).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "the table of panels asks for it")]
pub(super) fn shown(row: u64, _: usize, _: &Snapshot) -> Option<Shown> {
    Some(Shown::Line(row))
}
