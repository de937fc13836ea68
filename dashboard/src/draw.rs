//! One frame: head line, tabs, the panel, foot line.
//!
//! ```text
//!  Overhear · lab · toy phone · RUNNING 0:12:33                       ✗F 2  !E 0  ?U 4  ✓P 9
//!  1 Overview  2 Matrix  3 Trials  4 Leaks  5 Journal  6 Detail  7 Help
//! ┌ panel ────────────────────────────────────────────────────────────────────────────────┐
//! └───────────────────────────────────────────────────────────────────────────────────────┘
//!  Tab panel  Enter detail  Esc back  / filter  m mark  p pause  K kill  q quit
//! ```

use policies::EventKind;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Prompt};
use crate::keys::KEYS;
use crate::look::{Look, Mark, Tone};
use crate::panels::Panel;
use crate::snapshot::Snapshot;
use crate::words;

/// Below this nothing useful fits.
const LEAST: (u16, u16) = (60, 14);

pub fn draw(frame: &mut Frame<'_>, app: &mut App, snapshot: &Snapshot) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!("Overhear needs {}×{}, this is {}×{}; q quits", LEAST.0, LEAST.1, area.width, area.height);
        frame.render_widget(Paragraph::new(words::fit(&words, usize::from(area.width))), area);
        return;
    }
    let [head, tabs, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    draw_head(frame, head, app.look, snapshot);
    draw_tabs(frame, tabs, app);
    app.panel().draw(frame, body, app, snapshot);
    draw_foot(frame, foot, app, snapshot);
    for cell in &mut frame.buffer_mut().content {
        if words::acts(cell.symbol()) {
            cell.set_symbol("?");
        }
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, look: Look, snapshot: &Snapshot) {
    let state = &snapshot.state;
    let (word, tone) = match () {
        () if state.ended => ("ENDED", Tone::Title),
        () if state.killed => ("KILLED, relaying only", Tone::Alarm),
        () if state.paused => ("PAUSED, relaying only", Tone::Warn),
        () => ("RUNNING", Tone::Good),
    };
    let mut left = vec![Span::styled(" Overhear", look.style(Tone::Title))];
    let clock = words::lasted(state.elapsed);
    let must = " Overhear · ".chars().count() + word.len() + 1 + clock.len() + 2;
    let room = usize::from(area.width).saturating_sub(must);
    let mut right = counts(look, snapshot, true);
    if right.width() > room {
        right = counts(look, snapshot, false);
    }
    let room = room.saturating_sub(right.width() + " · ".chars().count());
    if let Some(run) = &snapshot.run {
        let label = run.label.as_ref().map_or_else(|| words::run_kind(run.kind).to_owned(), ToString::to_string);
        if room >= 4 {
            left.push(Span::raw(format!(" · {}", words::fit(&label, room))));
        }
    }
    left.push(Span::raw(" · "));
    left.push(Span::styled(word, look.style(tone)));
    left.push(Span::raw(format!(" {clock}")));
    frame.render_widget(Line::from(left), area);
    let width = (right.width() as u16).min(area.width);
    frame.render_widget(right, Rect { x: area.right() - width, width, ..area });
}

/// How many of each answer; in words where there is room.
fn counts(look: Look, snapshot: &Snapshot, in_words: bool) -> Line<'static> {
    let mut spans = Vec::new();
    for mark in [Mark::Fail, Mark::Error, Mark::Undecided, Mark::Pass] {
        let n = snapshot.findings.count(mark);
        if mark == Mark::Error && n == 0 {
            continue;
        }
        let tone = if n == 0 { Tone::Faint } else { mark.tone() };
        let word = if in_words { format!(" {}", mark.word()) } else { String::new() };
        spans.push(Span::styled(format!("{}{word} {n}  ", mark.sign()), look.style(tone)));
    }
    Line::from(spans)
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let mut spans = vec![Span::raw(" ")];
    for (i, panel) in Panel::all().enumerate() {
        let chosen = panel == app.panel();
        let style = app.look.style(if chosen { Tone::Chosen } else { Tone::Plain });
        let (open, close) = if chosen { ("[", "]") } else { (" ", " ") };
        spans.push(Span::styled(format!("{open}{} {}{close}", i + 1, panel.name()), style));
    }
    frame.render_widget(Line::from(spans), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, app: &App, snapshot: &Snapshot) {
    let look = app.look;
    let asked = |question: &str, answer: &str, rest: &str| {
        Line::from(vec![
            Span::styled(format!(" {question} "), look.style(Tone::Key)),
            Span::raw(format!("{answer}▏")),
            Span::styled(format!("  {rest}"), look.style(Tone::Faint)),
        ])
    };
    let line = match &app.prompt {
        Some(Prompt::Filter) => asked("filter:", &words::inert(&app.filter), "Enter keeps it, Esc ends it"),
        Some(Prompt::Mark { text, wrong }) => {
            let help = if *wrong { "KIND, KIND start or KIND end; a kind is like enrol or app:NAME".to_owned() } else { kinds(text) };
            asked("mark:", &words::inert(text), &help)
        }
        Some(Prompt::Kill) => asked("End all treatments for good and relay untouched? y/n", "", ""),
        Some(Prompt::Quit) => asked("The run goes on. End it and quit? y/n", "", ""),
        None => foot_words(look, app, snapshot),
    };
    frame.render_widget(line, area);
}

fn foot_words(look: Look, app: &App, snapshot: &Snapshot) -> Line<'static> {
    if let Some(said) = &app.said {
        return Line::from(Span::styled(format!(" {said}"), look.style(Tone::Warn)));
    }
    let mut spans = vec![Span::raw(" ")];
    for key in KEYS {
        if let Some(hint) = key.hint {
            spans.push(Span::styled(key.shown, look.style(Tone::Key)));
            spans.push(Span::raw(format!(" {hint}  ")));
        }
    }
    if !snapshot.state.note.is_empty() {
        spans.push(Span::styled(format!("· {}", snapshot.state.note), look.style(Tone::Faint)));
    }
    Line::from(spans)
}

/// The kinds that begin as typed, and what the only one left means.
fn kinds(text: &str) -> String {
    let kind = text.split_whitespace().next().unwrap_or_default();
    let fits: Vec<_> = EventKind::KNOWN.iter().filter(|(word, _)| word.starts_with(kind)).collect();
    match fits.as_slice() {
        [] => "Enter marks it, Esc does not".to_owned(),
        [(word, what)] => format!("{word} [start|end]: {what}"),
        many => many.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" "),
    }
}
