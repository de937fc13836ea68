//! Overview: what runs, what came of it, how much was seen, and the worst findings first.
//!
//! ```text
//! ┌ Run ───────────────────────┐┌ Verdicts ────────────────────────────────┐
//! │ lab · transparent          ││ ✗F fail           2   ✓P pass          9 │
//! │ d1 toy phone, is there     ││ …                                        │
//! └────────────────────────────┘└──────────────────────────────────────────┘
//! ┌ Coverage ──────────────────────────────────────────────────────────────┐
//! │ ██████████████████▓▓▓▓▓▓▓▒░                                            │
//! └────────────────────────────────────────────────────────────────────────┘
//! ┌ Findings, worst first ─────────────────────────────────────────────────┐
//! │›✗F critical cert.self-signed       api.shop.test:443  it sent a request │
//! └──────────────────────────────────────────────────────────────── 1/15 ──┘
//! ```

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Shown};
use crate::findings::FindingRow;
use crate::look::{Look, Mark, Tone};
use crate::snapshot::Snapshot;
use crate::table::{self, Column, List, Width, column, peers};
use crate::words;

const NARROW: [Column; 5] = [
    column("", Width::Fixed(2)),
    column("severity", Width::Fixed(8)),
    column("check", Width::Fixed(24)),
    peers("subject", Width::Rest(2)),
    column("observed", Width::Rest(2)),
];

const WIDE: [Column; 5] = [
    column("", Width::Fixed(2)),
    column("severity", Width::Fixed(8)),
    column("check", Width::Fixed(34)),
    peers("subject", Width::Rest(2)),
    column("observed", Width::Rest(3)),
];

const WIDE_FROM: u16 = 140;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    let [top, middle, rest] = Layout::vertical([Constraint::Length(6), Constraint::Length(6), Constraint::Min(3)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Min(20), Constraint::Length(50)]).areas(top);
    draw_run(frame, left, app.look, snapshot);
    draw_verdicts(frame, right, app.look, snapshot);
    draw_coverage(frame, middle, app.look, snapshot);
    draw_findings(frame, rest, app, snapshot);
}

fn draw_run(frame: &mut Frame<'_>, area: Rect, look: Look, snapshot: &Snapshot) {
    let block = table::block(look, "Run");
    let width = usize::from(block.inner(area).width).saturating_sub(1);
    let mut lines = Vec::new();
    match &snapshot.run {
        None => lines.push("no line yet".to_owned()),
        Some(run) => {
            let mode = run.mode.map(|m| format!(" · {}", words::run_mode(m))).unwrap_or_default();
            let attacks = if run.attacks.is_empty() { String::new() } else { format!(" · {} attacks", run.attacks.len()) };
            let label = run.label.as_ref().map(|l| format!(" · {l}")).unwrap_or_default();
            lines.push(format!("{}{mode}{attacks}{label}", words::run_kind(run.kind)));
        }
    }
    let presence = match snapshot.present {
        Some(true) => "there · ",
        Some(false) => "gone · ",
        None => "",
    };
    lines.push(match snapshot.devices.as_slice() {
        [] => "no device seen yet".to_owned(),
        [one] => format!("{presence}{one}"),
        [first, rest @ ..] => format!("{presence}{} devices · {first}", rest.len() + 1),
    });
    if !snapshot.standing.is_empty() {
        lines.push(snapshot.standing.iter().map(|(what, state)| format!("{what}: {state}")).collect::<Vec<_>>().join(" · "));
    }
    let requirements = snapshot.findings.requirements.iter().rev().map(|(verdict, n)| format!("{n} {}", verdict.word()));
    let requirements = requirements.collect::<Vec<_>>().join(" · ");
    if !requirements.is_empty() {
        lines.push(format!("clauses: {requirements}"));
    }
    let lines: Vec<Line<'_>> = lines.iter().map(|text| Line::from(format!(" {}", words::fit(text, width)))).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_verdicts(frame: &mut Frame<'_>, area: Rect, look: Look, snapshot: &Snapshot) {
    let count = |mark: Mark, width: usize| {
        let n = snapshot.findings.count(mark);
        let tone = if n == 0 { Tone::Faint } else { mark.tone() };
        let words = format!(" {} {:<width$}{:>6}", mark.sign(), mark.word(), words::count(n as u64));
        Span::styled(words, look.style(tone))
    };
    let lines = vec![
        Line::from(vec![count(Mark::Fail, 13), count(Mark::Pass, 14)]),
        Line::from(vec![count(Mark::Error, 13), count(Mark::NotTested, 14)]),
        Line::from(vec![count(Mark::Undecided, 13), count(Mark::NotApplicable, 14)]),
        Line::from(vec![count(Mark::Waived, 13)]),
    ];
    frame.render_widget(Paragraph::new(lines).block(table::block(look, "Verdicts")), area);
}

fn draw_coverage(frame: &mut Frame<'_>, area: Rect, look: Look, snapshot: &Snapshot) {
    let covered = &snapshot.covered;
    let title = if covered.is_final { "Coverage of the whole run" } else { "Coverage of the flows closed so far" };
    let block = table::block(look, title);
    let width = usize::from(block.inner(area).width).saturating_sub(2);
    let parts = [
        ("█", "read", covered.analysed, Tone::Good),
        ("▓", "encrypted", covered.encrypted, Tone::Plain),
        ("▒", "unparsed", covered.unparsed, Tone::Warn),
        ("░", "missing", covered.missing, Tone::Bad),
    ];
    let sizes = shares(&parts.map(|(_, _, n, _)| n), width);
    let mut bar = vec![Span::raw(" ")];
    let mut legend = Vec::new();
    for ((glyph, word, n, tone), size) in parts.iter().zip(&sizes) {
        bar.push(Span::styled(glyph.repeat(*size), look.style(*tone)));
        legend.push(Span::styled(format!(" {glyph} "), look.style(*tone)));
        legend.push(Span::raw(format!("{word} {} ", words::bytes(*n))));
    }
    if sizes.iter().all(|s| *s == 0) {
        bar.push(Span::styled("no flow has closed yet", look.style(Tone::Faint)));
    }
    let c = &snapshot.counters;
    let counted = format!(
        " {} ({} open, {} tls) · {} · {} · {}",
        words::plural(c.flows_closed + c.flows_open, "flow"),
        words::count(c.flows_open),
        words::count(c.tls),
        words::plural(c.requests, "request"),
        words::plural(c.questions, "question"),
        words::plural(c.trials, "trial")
    );
    let odd = format!(" {} · {} · {} ", words::plural(c.lines, "line"), words::plural(c.odd, "odd thing"), words::plural(c.missed, "gap"));
    let spare = width.saturating_sub(odd.chars().count() + 26);
    let per_second = snapshot.rate.iter().sum::<u64>() as f64 / snapshot.rate.len().max(1) as f64;
    let rate = format!("· {per_second:.1} lines/s in a minute ");
    let last = vec![Span::raw(odd), Span::raw(rate), Span::styled(sparks(&snapshot.rate, spare), look.style(Tone::Faint))];
    let lines = vec![Line::from(bar), Line::from(legend), Line::from(words::fit(&counted, width + 1)), Line::from(last)];
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Columns of each part; a part that is there gets at least one, so that little is never shown as nothing.
fn shares(parts: &[u64], width: usize) -> Vec<usize> {
    let total: u128 = parts.iter().map(|n| u128::from(*n)).sum();
    if total == 0 {
        return vec![0; parts.len()];
    }
    let mut out: Vec<usize> =
        parts.iter().map(|n| if *n == 0 { 0 } else { ((u128::from(*n) * width as u128 / total) as usize).max(1) }).collect();
    // What rounding left over or took goes to the widest.
    let sum: usize = out.iter().sum();
    if let Some(widest) = out.iter_mut().max() {
        *widest = (*widest + width).saturating_sub(sum);
    }
    out
}

/// Bars of the last seconds, as many as fit, scaled to the highest.
fn sparks(rate: &[u64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &rate[rate.len().saturating_sub(width)..];
    let most = shown.iter().copied().max().unwrap_or(0).max(1);
    shown.iter().map(|n| if *n == 0 { ' ' } else { BARS[((n * 8).div_ceil(most) as usize).clamp(1, 8) - 1] }).collect()
}

fn draw_findings(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    let rows: Vec<&Arc<FindingRow>> = filtered(snapshot, &app.filter).collect();
    let keys: Vec<u64> = rows.iter().map(|row| row.key).collect();
    let left_out = snapshot.findings.left_out;
    let name = if left_out > 0 { format!("Findings, worst first · {left_out} more counted") } else { "Findings, worst first".to_owned() };
    let list = List {
        title: table::title(&name, &app.filter),
        columns: if area.width >= WIDE_FROM { &WIDE } else { &NARROW },
        len: rows.len(),
        chosen: app.place(&keys),
        empty: "nothing judged yet",
    };
    app.page = table::draw(frame, area, app.look, &list, |i| {
        let Some(row) = rows.get(i) else { return Vec::new() };
        let observed = match row.reason {
            Some(reason) if row.observed.is_empty() => reason.sentence().to_owned(),
            Some(reason) => format!("{}: {}", reason.word(), row.observed),
            None => row.observed.clone(),
        };
        vec![
            (row.mark.sign().to_owned(), row.mark.tone()),
            (row.severity.to_string(), Tone::Plain),
            (row.check.clone(), Tone::Plain),
            (subject(row), Tone::Plain),
            (observed, Tone::Plain),
        ]
    });
}

fn subject(row: &FindingRow) -> String {
    row.subject.peer.as_ref().map_or_else(|| row.subject.to_string(), ToString::to_string)
}

fn filtered<'a>(snapshot: &'a Snapshot, filter: &'a str) -> impl Iterator<Item = &'a Arc<FindingRow>> {
    let words = |r: &FindingRow| format!("{} {} {} {} {}", r.mark.word(), r.severity, r.check, r.subject, r.observed);
    snapshot.findings.answered().filter(move |row| table::matches(filter, || words(row)))
}

pub(super) fn rows(snapshot: &Snapshot, filter: &str) -> Vec<u64> {
    filtered(snapshot, filter).map(|row| row.key).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "the table of panels asks for it")]
pub(super) fn shown(row: u64, _: usize, _: &Snapshot) -> Option<Shown> {
    Some(Shown::Finding(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fill_the_bar_and_lose_nobody() {
        for (parts, width, expect) in [
            (vec![0, 0], 10, vec![0, 0]),
            (vec![1, 1], 10, vec![5, 5]),
            (vec![1_000_000, 1], 10, vec![9, 1]),
            (vec![u64::MAX, u64::MAX, 1], 9, vec![4, 4, 1]),
            (vec![3, 0, 1], 8, vec![6, 0, 2]),
        ] {
            let got = shares(&parts, width);
            assert_eq!(got.iter().sum::<usize>(), expect.iter().sum::<usize>(), "{parts:?}");
            assert_eq!(got, expect, "{parts:?}");
        }
    }

    #[test]
    fn sparks_show_a_single_line() {
        assert_eq!(sparks(&[0, 1, 100], 3), " ▁█");
        assert_eq!(sparks(&[0, 1, 100], 2), "▁█");
        assert_eq!(sparks(&[], 5), "");
    }
}
