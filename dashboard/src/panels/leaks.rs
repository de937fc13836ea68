//! Leaks: what was found where, masked; the selected one in full below.
//!
//! ```text
//! ┌ Leaks ────────────────────────────────────────────────────────────────────────────────┐
//! │ grade      type         field             where                     exposure    times  │
//! │›proof      email        email-main        http.request.body         cleartext       3  │
//! └───────────────────────────────────────────────────────────────────────────── 1/4 ─────┘
//! ┌ Selected ─────────────────────────────────────────────────────────────────────────────┐
//! │ ‹email-main› out to api.shop.test:80, in http.request.body, gzip → json:$.mail → …     │
//! └───────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::sync::Arc;

use analyzers::observation::{Exposure, Grade};
use analyzers::text::Text;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Shown};
use crate::describe;
use crate::look::Tone;
use crate::screen::LeakRow;
use crate::snapshot::Snapshot;
use crate::table::{self, Column, List, Width, column, peers};
use crate::words;

const NARROW: [Column; 6] = [
    column("grade", Width::Fixed(10)),
    column("type", Width::Fixed(12)),
    column("field", Width::Rest(2)),
    column("where", Width::Rest(3)),
    column("exposure", Width::Fixed(11)),
    column("times", Width::Fixed(5)),
];

const WIDE: [Column; 10] = [
    column("grade", Width::Fixed(10)),
    column("type", Width::Fixed(14)),
    column("field", Width::Rest(2)),
    column("masked", Width::Rest(3)),
    column("where", Width::Rest(4)),
    column("chain, from the outside in", Width::Rest(4)),
    peers("peer", Width::Rest(4)),
    column("exposure", Width::Fixed(11)),
    column("times", Width::Fixed(5)),
    column("   line", Width::Fixed(7)),
];

const WIDE_FROM: u16 = 140;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    let [above, below] = Layout::vertical([Constraint::Min(4), Constraint::Length(6)]).areas(area);
    let rows: Vec<&Arc<LeakRow>> = filtered(snapshot, &app.filter).collect();
    let keys: Vec<u64> = rows.iter().map(|row| row.line).collect();
    let wide = area.width >= WIDE_FROM;
    let left_out = snapshot.leaks_left_out;
    let name = if left_out > 0 { format!("Leaks · {} more in the journal", words::count(left_out)) } else { "Leaks".to_owned() };
    let chosen = app.place(&keys);
    let list = List {
        title: table::title(&name, &app.filter),
        columns: if wide { &WIDE } else { &NARROW },
        len: rows.len(),
        chosen,
        empty: if snapshot.leaks.is_empty() {
            "none found so far; what was not read is in the coverage"
        } else {
            "no leak has these words; Esc ends the filter"
        },
    };
    app.page = table::draw(frame, above, app.look, &list, |i| rows.get(i).map_or_else(Vec::new, |row| cells(row, wide)));
    let block = table::block(app.look, "Selected");
    let width = usize::from(block.inner(below).width);
    let lines = rows.get(chosen).map_or_else(Vec::new, |row| selected(row, app, width));
    frame.render_widget(Paragraph::new(lines).block(block), below);
}

fn cells(row: &LeakRow, wide: bool) -> Vec<table::Words> {
    let it = &row.hit;
    let tone = match (it.exposure, it.grade) {
        (Exposure::Peer, _) => Tone::Plain,
        (_, Grade::Proof) => Tone::Bad,
        _ => Tone::Warn,
    };
    let field = it.field.as_ref().map_or("-", Text::as_str).to_owned();
    let mut out = vec![(words::grade(it.grade).to_owned(), tone), (it.kind.to_string(), Tone::Plain), (field, Tone::Plain)];
    if wide {
        out.push((it.masked.to_string(), Tone::Plain));
    }
    out.push((it.place.to_string(), Tone::Plain));
    if wide {
        out.push((chain(row), Tone::Plain));
        out.push((row.peer.to_string(), Tone::Plain));
    }
    out.push((words::exposure(it.exposure).to_owned(), tone));
    out.push((format!("{:>5}", row.times), Tone::Plain));
    if wide {
        out.push((format!("{:>7}", row.line), Tone::Faint));
    }
    out
}

fn chain(row: &LeakRow) -> String {
    if row.hit.chain.is_empty() {
        return "as it is".to_owned();
    }
    row.hit.chain.iter().map(Text::as_str).collect::<Vec<_>>().join(" → ")
}

fn selected(row: &LeakRow, app: &App, width: usize) -> Vec<Line<'static>> {
    let it = &row.hit;
    let flow = row.flow.map(|f| format!(" · {f}")).unwrap_or_default();
    let frame = row.frame.map(|n| format!(" · frame {n}")).unwrap_or_default();
    let times = if row.times > 1 { format!(" · seen {} times with this peer", words::count(row.times)) } else { String::new() };
    let lines = [
        ("value", it.masked.to_string()),
        ("peer", format!("{} · {} · {}", row.peer, words::hit_direction(it.direction), describe::word(&it.layer))),
        ("where", format!("{} · {}", it.place, chain(row))),
        ("first", format!("line {} · {}{flow}{frame}{times}", row.line, words::clock(row.at))),
    ];
    let line = |(label, text): (&str, String)| {
        Line::from(vec![
            Span::styled(format!(" {label:<6} "), app.look.style(Tone::Key)),
            Span::raw(words::fit(&text, width.saturating_sub(9))),
        ])
    };
    lines.into_iter().map(line).collect()
}

fn filtered<'a>(snapshot: &'a Snapshot, filter: &'a str) -> impl Iterator<Item = &'a Arc<LeakRow>> {
    let words = |row: &LeakRow| cells(row, true).into_iter().map(|(words, _)| words).collect::<Vec<_>>().join(" ");
    snapshot.leaks.iter().filter(move |row| table::matches(filter, || words(row)))
}

pub(super) fn rows(snapshot: &Snapshot, filter: &str) -> Vec<u64> {
    filtered(snapshot, filter).map(|row| row.line).collect()
}

/// The worst finding that cites the leak's line, else the line itself.
pub(super) fn shown(row: u64, _: usize, snapshot: &Snapshot) -> Option<Shown> {
    snapshot.leaks.iter().find(|l| l.line == row)?;
    Some(snapshot.citing(row).next().map_or(Shown::Line(row), |f| Shown::Finding(f.key)))
}
