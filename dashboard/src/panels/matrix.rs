//! Matrix: subjects down, checks and attacks across; a sign and a letter per cell.
//!
//! ```text
//! ┌ Matrix ───────────────────────────────────────────────────────────────────────────────┐
//! │                         cert        channel     leak                                   │
//! │                          1   2   3   4   5   6   7                                     │
//! │›api.shop.test:443 d1    [✗F] ✓P  ?U  ·t  -a                                            │
//! └───────────────────────────────────────────────────────────────────────────── 1/12 ────┘
//! ┌ 1 cert.expired ───────────────────────────────────────────────────────────────────────┐
//! │ A certificate that has expired                                                         │
//! │ ✗F fail · api.shop.test:443 d1 · it sent a request                                     │
//! └───────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Shown};
use crate::findings::MatrixRow;
use crate::look::{Look, Mark, Tone};
use crate::snapshot::Snapshot;
use crate::table;
use crate::words;

/// Columns of the terminal per cell: a sign of two between brackets or blanks.
const CELL: usize = 4;

/// From this height on there is room to name all columns.
const TALL_FROM: u16 = 36;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    let columns = &snapshot.findings.columns;
    let filter = app.filter.clone();
    let rows: Vec<(u64, &MatrixRow)> = filtered(snapshot, &filter).collect();
    let keys: Vec<u64> = rows.iter().map(|(key, _)| *key).collect();
    let chosen = app.place(&keys);
    let column = app.column.min(columns.len().saturating_sub(1));
    let named = if area.height >= TALL_FROM { names_height(columns.len(), area.width) } else { 0 };
    let [above, legend, below] = Layout::vertical([Constraint::Min(6), Constraint::Length(named), Constraint::Length(6)]).areas(area);
    draw_table(frame, above, app, snapshot, &rows, chosen, column);
    draw_names(frame, legend, app.look, columns, column);
    draw_selected(frame, below, app.look, snapshot, rows.get(chosen).map(|(_, row)| *row), column);
}

fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &mut App,
    snapshot: &Snapshot,
    rows: &[(u64, &MatrixRow)],
    chosen: usize,
    column: usize,
) {
    let look = app.look;
    let findings = &snapshot.findings;
    let at = if rows.is_empty() { String::new() } else { format!(" {}/{} ", chosen + 1, rows.len()) };
    let mut title = "Matrix".to_owned();
    if findings.subjects_left_out > 0 {
        title = format!("{title} · {} more subjects", findings.subjects_left_out);
    }
    if findings.unanswered > 0 {
        title = format!("{title} · {} checks answered for nobody", findings.unanswered);
    }
    let block = table::block(look, &table::title(&title, &app.filter)).title_bottom(Line::from(at).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let room = usize::from(inner.height).saturating_sub(2);
    app.page = room;
    if rows.is_empty() || findings.columns.is_empty() {
        let words =
            if findings.matrix.is_empty() || findings.columns.is_empty() { " nothing judged yet" } else { " no subject has these words" };
        frame.render_widget(Paragraph::new(Span::styled(words, look.style(Tone::Faint))), inner);
        return;
    }
    let longest = rows.iter().map(|(_, row)| row.label.chars().count()).max().unwrap_or(0);
    let label = longest.clamp(14, (usize::from(inner.width) / 3).max(14));
    let fits = (usize::from(inner.width).saturating_sub(label + 2) / CELL).max(1);
    let across = table::window(findings.columns.len(), column, fits);
    let mut lines = vec![families(look, &findings.columns, &across, label), numbers(look, &across, column, label)];
    for i in table::window(rows.len(), chosen, room) {
        if let Some((_, row)) = rows.get(i) {
            lines.push(cells(look, row, &across, label, i == chosen, column));
        }
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

/// Each family's name over its columns, as far as it fits.
fn families(look: Look, columns: &[String], across: &std::ops::Range<usize>, label: usize) -> Line<'static> {
    let family = |i: usize| columns.get(i).and_then(|id| id.split_once('.')).map_or("", |(f, _)| f);
    let mut spans = vec![Span::raw(" ".repeat(label + 2))];
    let mut i = across.start;
    while i < across.end {
        let name = family(i);
        let end = (i..across.end).find(|k| family(*k) != name).unwrap_or(across.end);
        let width = (end - i) * CELL;
        spans.push(Span::styled(words::cell(name, width - 1), look.style(Tone::Title)));
        spans.push(Span::raw(" "));
        i = end;
    }
    Line::from(spans)
}

fn numbers(look: Look, across: &std::ops::Range<usize>, column: usize, label: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(" ".repeat(label + 2))];
    for i in across.clone() {
        let tone = if i == column { Tone::Chosen } else { Tone::Head };
        spans.push(Span::styled(format!("{:>3}", i + 1), look.style(tone)));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

fn cells(look: Look, row: &MatrixRow, across: &std::ops::Range<usize>, label: usize, chosen: bool, column: usize) -> Line<'static> {
    let style = look.style(if chosen { Tone::Chosen } else { Tone::Plain });
    let mut spans = vec![
        Span::raw(if chosen { "›" } else { " " }),
        Span::styled(words::cell(&words::fit_ends(&row.label, label), label), style),
        Span::raw(" "),
    ];
    for i in across.clone() {
        let here = chosen && i == column;
        let (sign, tone) = match row.cells.get(i).copied().flatten() {
            Some(cell) => (cell.mark.sign(), cell.mark.tone()),
            None => ("  ", Tone::Plain),
        };
        let mut style = look.style(tone);
        if here {
            style = style.patch(look.style(Tone::Chosen));
        }
        let (open, close) = if here { ("[", "]") } else { (" ", " ") };
        spans.push(Span::styled(format!("{open}{sign}{close}"), style));
    }
    Line::from(spans)
}

/// A column of names is this wide: number, blank, the longest id, two blanks.
const NAME: usize = 38;

fn per_line(width: u16) -> usize {
    (usize::from(width.saturating_sub(2)) / NAME).max(1)
}

fn names_height(columns: usize, width: u16) -> u16 {
    // At most fifteen lines, or the table has no room.
    (columns.div_ceil(per_line(width)).min(15) as u16) + 2
}

fn draw_names(frame: &mut Frame<'_>, area: Rect, look: Look, columns: &[String], column: usize) {
    if area.height < 3 {
        return;
    }
    let block = table::block(look, "Columns");
    let inner = block.inner(area);
    let across = per_line(area.width);
    let down = columns.len().div_ceil(across);
    let mut lines = Vec::new();
    for i in 0..down.min(usize::from(inner.height)) {
        let mut spans = Vec::new();
        for k in (i..columns.len()).step_by(down.max(1)) {
            let tone = if k == column { Tone::Chosen } else { Tone::Plain };
            let name = columns.get(k).map_or("", String::as_str);
            spans.push(Span::styled(words::cell(&format!("{:>3} {name}", k + 1), NAME - 2), look.style(tone)));
            spans.push(Span::raw("  "));
        }
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_selected(frame: &mut Frame<'_>, area: Rect, look: Look, snapshot: &Snapshot, row: Option<&MatrixRow>, column: usize) {
    let id = snapshot.findings.columns.get(column).map_or("", String::as_str);
    let block = table::block(look, &format!("{} {id}", column + 1));
    let width = usize::from(block.inner(area).width).saturating_sub(1);
    let mut lines = vec![Line::from(format!(" {}", words::fit(snapshot.title(id), width)))];
    if let Some(row) = row {
        let cell = row.cells.get(column).copied().flatten();
        let (sign, word, tone) = cell.map_or(("  ", "not of this subject", Tone::Faint), |c| (c.mark.sign(), c.mark.word(), c.mark.tone()));
        let label = words::fit_ends(&row.label, width.saturating_sub(22));
        lines.push(Line::from(vec![Span::styled(format!(" {sign} {word}"), look.style(tone)), Span::raw(format!(" · {label}"))]));
        let finding = cell.and_then(|c| snapshot.findings.find(c.key));
        let why = finding.map(|f| match f.reason {
            Some(reason) if f.observed.is_empty() => reason.sentence().to_owned(),
            _ => f.observed.clone(),
        });
        lines.push(Line::from(format!(" {}", words::fit(&why.unwrap_or_default(), width))));
    }
    let mut legend = vec![Span::raw(" ")];
    for mark in Mark::all() {
        legend.push(Span::styled(mark.sign(), look.style(mark.tone())));
        let word = match mark {
            Mark::Waived => "waived",
            Mark::NotApplicable => "n/a",
            _ => mark.word(),
        };
        legend.push(Span::raw(format!(" {word}  ")));
    }
    lines.push(Line::from(legend));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn filtered<'a>(snapshot: &'a Snapshot, filter: &'a str) -> impl Iterator<Item = (u64, &'a MatrixRow)> {
    let rows = snapshot.findings.matrix.iter().map(|row| (key(row), row));
    rows.filter(move |(_, row)| table::matches(filter, || format!("{} {}", row.label, row.worst.word())))
}

fn key(row: &MatrixRow) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    row.label.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn rows(snapshot: &Snapshot, filter: &str) -> Vec<u64> {
    filtered(snapshot, filter).map(|(key, _)| key).collect()
}

pub(super) fn shown(row: u64, column: usize, snapshot: &Snapshot) -> Option<Shown> {
    let (_, row) = filtered(snapshot, "").find(|(key, _)| *key == row)?;
    let column = column.min(snapshot.findings.columns.len().saturating_sub(1));
    let cell = row.cells.get(column).copied().flatten()?;
    snapshot.findings.find(cell.key).map(|f| Shown::Finding(f.key))
}
