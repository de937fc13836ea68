//! Trials: each attempt with what was done to it and what it showed.
//!
//! ```text
//! ┌ Trials ───────────────────────────────────────────────────────────────────────────────┐
//! │ time     subject               arm, attack   result         grade alert         end    │
//! │›10:00:04 api.shop.test:443     cert.expired  ! accepted     E6    -             fin    │
//! └───────────────────────────────────────────────────────────────────────────── 2/9 ─────┘
//! ```

use std::sync::Arc;

use analyzers::observation::{Arm, TrialResult};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::app::{App, Shown};
use crate::look::Tone;
use crate::screen::TrialRow;
use crate::snapshot::Snapshot;
use crate::table::{self, Column, List, Width, column, peers};
use crate::words;

const NARROW: [Column; 6] = [
    column("time", Width::Fixed(8)),
    peers("subject", Width::Rest(1)),
    column("arm, attack", Width::Fixed(22)),
    column("  result", Width::Fixed(15)),
    column("gr", Width::Fixed(2)),
    column("end", Width::Fixed(9)),
];

const WIDE: [Column; 9] = [
    column("time", Width::Fixed(8)),
    peers("subject", Width::Rest(3)),
    column("arm, attack", Width::Fixed(34)),
    column("  result", Width::Fixed(15)),
    column("grade", Width::Fixed(5)),
    column("alert", Width::Fixed(26)),
    column("end", Width::Fixed(12)),
    column("flows", Width::Fixed(14)),
    column("first bytes", Width::Rest(2)),
];

/// From this width on everything has a column.
const WIDE_FROM: u16 = 140;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    let rows: Vec<&Arc<TrialRow>> = filtered(snapshot, &app.filter).collect();
    let keys: Vec<u64> = rows.iter().map(|row| row.line).collect();
    let wide = area.width >= WIDE_FROM;
    let before = snapshot.counters.trials.saturating_sub(snapshot.trials.len() as u64);
    let name = if before > 0 { format!("Trials · {} before these", words::count(before)) } else { "Trials".to_owned() };
    let list = List {
        title: table::title(&name, &app.filter),
        columns: if wide { &WIDE } else { &NARROW },
        len: rows.len(),
        chosen: app.place(&keys),
        empty: if snapshot.trials.is_empty() { "no trials yet" } else { "no trial has these words; Esc ends the filter" },
    };
    app.page = table::draw(frame, area, app.look, &list, |i| rows.get(i).map_or_else(Vec::new, |row| cells(row, wide)));
}

fn cells(row: &TrialRow, wide: bool) -> Vec<table::Words> {
    let it = &row.trial;
    // Taking a flawed chain is what one looks for: told by a sign as well.
    let (sign, tone) = match (it.arm, it.result) {
        (Arm::Attack, TrialResult::Accepted) => ("!", Tone::Bad),
        (Arm::Attack, TrialResult::Rejected) | (Arm::Control, TrialResult::Accepted) => (" ", Tone::Good),
        (Arm::Pass, _) => (" ", Tone::Plain),
        _ => ("?", Tone::Warn),
    };
    let alert = match (it.alert, it.alert_encrypted) {
        (Some(code), _) => words::alert_words(code),
        (None, true) => "hidden".to_owned(),
        (None, false) => "-".to_owned(),
    };
    let mut out = vec![
        (words::clock(row.at), Tone::Plain),
        (subject(row, wide), Tone::Plain),
        (words::arm(it.arm, it.attack.as_ref()), if it.arm == Arm::Attack { Tone::Plain } else { Tone::Faint }),
        (format!("{sign} {}", words::result(it.result)), tone),
        (format!("{:?}", it.grade), Tone::Plain),
    ];
    if wide {
        out.push((alert, Tone::Plain));
        out.push((words::trial_end(it.end).to_owned(), Tone::Plain));
        out.push((it.flows.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), Tone::Plain));
        out.push((it.first_bytes.as_ref().map(ToString::to_string).unwrap_or_default(), Tone::Plain));
    } else {
        // An alert's number says more than that there was one.
        let end = it.alert.map_or_else(|| words::trial_end(it.end).to_owned(), |code| format!("alert {code}"));
        out.push((end, Tone::Plain));
    }
    out
}

fn subject(row: &TrialRow, wide: bool) -> String {
    match row.subject.as_ref() {
        None => "-".to_owned(),
        Some(subject) if wide => subject.to_string(),
        Some(subject) => subject.peer.as_ref().map_or_else(|| subject.to_string(), ToString::to_string),
    }
}

fn filtered<'a>(snapshot: &'a Snapshot, filter: &'a str) -> impl Iterator<Item = &'a Arc<TrialRow>> {
    let words = |row: &TrialRow| cells(row, true).into_iter().map(|(words, _)| words).collect::<Vec<_>>().join(" ");
    snapshot.trials.iter().filter(move |row| table::matches(filter, || words(row)))
}

pub(super) fn rows(snapshot: &Snapshot, filter: &str) -> Vec<u64> {
    filtered(snapshot, filter).map(|row| row.line).collect()
}

/// The finding of the trial's attack on its subject, else the line itself.
pub(super) fn shown(row: u64, _: usize, snapshot: &Snapshot) -> Option<Shown> {
    let trial = snapshot.trials.iter().find(|t| t.line == row)?;
    let attack = trial.trial.attack.as_ref();
    let finding =
        snapshot.findings.answered().find(|f| attack.is_some_and(|a| a.as_str() == f.check) && trial.subject.as_ref() == Some(&f.subject));
    Some(finding.map_or(Shown::Line(row), |f| Shown::Finding(f.key)))
}
