//! Help: the keys, made from their table, and what the signs mean.
//!
//! ```text
//! ┌ Keys and signs ───────────────────────────────────────────────────────────────────────┐
//! │ Tab        next panel                                                                  │
//! └───────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::App;
use crate::keys::KEYS;
use crate::look::{Mark, Tone};
use crate::snapshot::Snapshot;
use crate::table;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, _: &Snapshot) {
    let block = table::block(app.look, "Keys and signs");
    let room = usize::from(block.inner(area).height);
    let lines = lines(app);
    app.page = room;
    app.furthest = lines.len().saturating_sub(room);
    let scroll = app.scroll.min(app.furthest);
    frame.render_widget(Paragraph::new(lines).scroll((scroll as u16, 0)).block(block), area);
}

fn lines(app: &App) -> Vec<Line<'static>> {
    let row = |left: &str, tone: Tone, right: &str| {
        Line::from(vec![Span::raw(" "), Span::styled(format!("{left:<12}"), app.look.style(tone)), Span::raw(right.to_owned())])
    };
    let head = |words: &'static str| Line::from(Span::styled(format!(" {words}"), app.look.style(Tone::Title)));
    let mut out: Vec<Line<'static>> = KEYS.iter().map(|key| row(key.shown, Tone::Key, key.what)).collect();
    out.push(Line::default());
    out.push(head("Signs"));
    out.extend(Mark::all().map(|mark| row(mark.sign(), mark.tone(), mark.word())));
    out.push(Line::default());
    out.push(head("Grades of an attempt"));
    let grades = [
        ("E0 E1", "a connection; a ClientHello"),
        ("E2 E3", "our whole flight arrived; the handshake was finished"),
        ("E4", "application bytes that are only a protocol's preamble"),
        ("E5 E6", "a request with content; with a secret in it"),
    ];
    out.extend(grades.map(|(left, right)| row(left, Tone::Plain, right)));
    out.push(Line::default());
    out.push(head("Masks"));
    out.push(row("‹name›", Tone::Plain, "stands for a planted value; values are never shown here"));
    out
}
