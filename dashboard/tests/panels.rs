//! Every panel as it is drawn, at two sizes, over a run made by hand. `INSTA_UPDATE=always cargo test -p overhear-dashboard` rewrites them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dashboard::draw::draw;
use dashboard::{App, Look, Panel, Snapshot};
use fixture::Story;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

fn frame(app: &mut App, snapshot: &Snapshot, size: (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, app, snapshot)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width).map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn press(app: &mut App, snapshot: &Snapshot, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        app.key(KeyEvent::new(code, KeyModifiers::NONE), snapshot);
    }
}

/// Draws what is there after `keys`, at both sizes.
#[track_caller]
fn check(name: &str, snapshot: &Snapshot, keys: &str) {
    for (width, height) in SIZES {
        let mut app = App::new(Look::PLAIN);
        frame(&mut app, snapshot, (width, height));
        press(&mut app, snapshot, keys);
        let drawn = text(&frame(&mut app, snapshot, (width, height)));
        insta::assert_snapshot!(format!("{name}-{width}x{height}"), drawn);
    }
}

#[test]
fn every_panel() {
    let snapshot = fixture::snapshot(&Story::whole());
    for (name, keys) in [
        ("overview", ""),
        ("matrix", "2l"),
        ("trials", "3gj"),
        ("leaks", "4"),
        ("journal", "5"),
        ("detail", "\n"),
        ("detail-scrolled", "\n  "),
        ("detail-of-a-line", "5gjj\n"),
        ("help", "7"),
        ("journal-filtered", "5/trial expired\n"),
        ("asks-to-quit", "q"),
        ("asks-what-to-mark", "menr"),
    ] {
        check(name, &snapshot, keys);
    }
}

#[test]
fn paused_and_killed_and_ended() {
    let mut snapshot = fixture::snapshot(&Story::whole());
    let shows = |snapshot: &Snapshot, words: &str| {
        for (width, height) in [(60, 14), (80, 24), (200, 60)] {
            let drawn = text(&frame(&mut App::new(Look::PLAIN), snapshot, (width, height)));
            let head = drawn.lines().next().unwrap_or_default();
            assert!(head.contains(words) && head.contains("0:12:33") && head.contains("✗F"), "{width}: {head}");
        }
    };
    snapshot.state.paused = true;
    shows(&snapshot, "PAUSED, relaying only");
    snapshot.state.killed = true;
    shows(&snapshot, "KILLED, relaying only");
    snapshot.state.ended = true;
    shows(&snapshot, "ENDED");
}

#[test]
fn before_the_first_line() {
    let snapshot = fixture::snapshot(&Story::none());
    for (i, panel) in Panel::all().enumerate() {
        for size in SIZES {
            let mut app = App::new(Look::PLAIN);
            press(&mut app, &snapshot, &format!("{}jkG \n", i + 1));
            let drawn = text(&frame(&mut app, &snapshot, size));
            assert!(drawn.contains("RUNNING"), "{panel:?}:\n{drawn}");
        }
    }
    check("nothing-yet", &snapshot, "");
}

#[test]
fn without_colour_there_is_none_and_nothing_is_lost() {
    let snapshot = fixture::snapshot(&Story::whole());
    for (i, panel) in Panel::all().enumerate() {
        for size in SIZES {
            let drawn = |look: Look| {
                let mut app = App::new(look);
                press(&mut app, &snapshot, &(i + 1).to_string());
                frame(&mut app, &snapshot, size)
            };
            let (plain, coloured) = (drawn(Look::PLAIN), drawn(Look::COLOUR));
            assert_eq!(text(&plain), text(&coloured), "{panel:?}");
            assert!(plain.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset), "{panel:?}");
            assert!(coloured.content.iter().any(|c| c.fg != Color::Reset), "{panel:?}");
        }
    }
}

#[test]
fn a_name_that_acts_on_terminals_does_not() {
    let snapshot = fixture::snapshot(&Story::hostile());
    for (i, panel) in Panel::all().enumerate() {
        for size in SIZES {
            let mut app = App::new(Look::COLOUR);
            press(&mut app, &snapshot, &(i + 1).to_string());
            let buffer = frame(&mut app, &snapshot, size);
            for cell in &buffer.content {
                let acts = |c: char| c.is_control() || ('\u{200b}'..='\u{200f}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c);
                assert!(!cell.symbol().contains(acts), "{panel:?}: {:?}", cell.symbol());
            }
        }
    }
    let mut app = App::new(Look::PLAIN);
    press(&mut app, &snapshot, "3");
    let drawn = text(&frame(&mut app, &snapshot, (200, 60)));
    assert!(drawn.contains(r"evil\x1b]0;gone"), "{drawn}");
}

#[test]
fn any_size_is_drawn() {
    let snapshot = fixture::snapshot(&Story::whole());
    for width in (0..=90).step_by(3).chain([139, 140, 141, 500]) {
        for height in (0..=40).step_by(3).chain([24, 200]) {
            for i in 1..=Panel::COUNT {
                let mut app = App::new(Look::COLOUR);
                press(&mut app, &snapshot, &format!("{i}G l"));
                frame(&mut app, &snapshot, (width, height));
            }
        }
    }
    let mut app = App::new(Look::PLAIN);
    assert_eq!(text(&frame(&mut app, &snapshot, (40, 3))).trim(), "Overhear needs 60×14, this is 40×3; q q…");
}
