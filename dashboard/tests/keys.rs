//! What keys do: each row is a sequence of keys, where it leads and what it asks of the run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dashboard::{Action, App, Look, Panel, Snapshot};
use fixture::Story;
use policies::{EventKind, Phase};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// `<Tab>`, `<Enter>` and the like, else a character each.
fn keys(text: &str) -> Vec<KeyEvent> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((name, after)) = rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            let (code, modifiers) = match name {
                "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
                "BackTab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
                "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
                "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                "Backspace" => (KeyCode::Backspace, KeyModifiers::NONE),
                "Down" => (KeyCode::Down, KeyModifiers::NONE),
                "C-c" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
                "C-y" => (KeyCode::Char('y'), KeyModifiers::CONTROL),
                other => panic!("no key {other}"),
            };
            out.push(KeyEvent::new(code, modifiers));
            rest = after;
        } else {
            let modifiers = if c.is_ascii_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
            out.push(KeyEvent::new(KeyCode::Char(c), modifiers));
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn drawn(app: &mut App, snapshot: &Snapshot) -> String {
    let mut terminal = Terminal::new(TestBackend::new(120, 24)).unwrap();
    terminal.draw(|frame| dashboard::draw::draw(frame, app, snapshot)).unwrap();
    terminal.backend().to_string()
}

/// Presses the keys one after the other, drawing in between, and gives what they asked for.
fn press(snapshot: &Snapshot, text: &str) -> (App, Vec<Action>, String) {
    let mut app = App::new(Look::PLAIN);
    let mut asked = Vec::new();
    for key in keys(text) {
        asked.extend(app.key(key, snapshot));
        drawn(&mut app, snapshot);
    }
    let last = drawn(&mut app, snapshot);
    (app, asked, last)
}

#[track_caller]
fn leads(snapshot: &Snapshot, text: &str, panel: Panel, shows: &str) {
    let (app, asked, last) = press(snapshot, text);
    assert_eq!(app.panel(), panel, "{text}");
    assert_eq!(asked, [], "{text}");
    assert!(last.contains(shows), "{text} does not show {shows}:\n{last}");
}

#[test]
fn keys_lead() {
    let snapshot = fixture::snapshot(&Story::whole());
    for (text, panel, shows) in [
        ("", Panel::Overview, "[1 Overview]"),
        ("<Tab>", Panel::Matrix, "[2 Matrix]"),
        ("<BackTab>", Panel::Help, "[7 Help]"),
        ("<Tab><Tab><Tab><Tab><Tab><Tab><Tab>", Panel::Overview, "[1 Overview]"),
        ("5", Panel::Journal, "›    415"),
        ("5k", Panel::Journal, "›    414"),
        ("5kkG", Panel::Journal, "›    415"),
        ("5g", Panel::Journal, "›      1"),
        ("5gkkk", Panel::Journal, "›      1"),
        ("5g<Down>j", Panel::Journal, "›      3"),
        ("?", Panel::Help, "next panel"),
        ("3?<Esc>", Panel::Trials, "[3 Trials]"),
        ("<Enter>", Panel::Detail, "cert.hostname-mismatch"),
        ("j<Enter>", Panel::Detail, "≠ CN=Lab Intermediate"),
        ("j<Enter><Esc>", Panel::Overview, "›✗F critical cert.self-signed"),
        ("<Enter>l", Panel::Detail, "┌ cert.self-signed"),
        ("<Enter>lh", Panel::Detail, "┌ cert.hostname-mismatch"),
        ("<Enter>GGkg", Panel::Detail, "1-19 of"),
        ("6", Panel::Detail, "cert.hostname-mismatch"),
        ("2lll<Enter>", Panel::Detail, "untrusted-ca"),
        ("3gjj<Enter>", Panel::Detail, "┌ cert.self-signed"),
        ("3g<Enter>", Panel::Detail, "┌ Line"),
        ("4<Enter>", Panel::Detail, "leak.identifier-encoded"),
        ("5/zebra<Enter>", Panel::Journal, "no line has these words"),
        ("5/zebra<Esc>", Panel::Journal, "›    415"),
        ("5/zebra<Enter><Esc>", Panel::Journal, "›    415"),
        ("5/zebr<Backspace><Backspace><Backspace><Backspace>odd<Enter>", Panel::Journal, "1/1"),
        ("q", Panel::Overview, "The run goes on"),
        ("qn", Panel::Overview, "Tab panel"),
        ("Kn", Panel::Overview, "not killed"),
        ("m9 9<Enter>", Panel::Overview, "KIND start"),
        ("me<Tab>", Panel::Overview, "mark: enrol"),
    ] {
        leads(&snapshot, text, panel, shows);
    }
}

#[test]
fn keys_ask() {
    let mark = |kind: &str, phase: Phase| vec![Action::Mark { kind: EventKind::parse(kind).unwrap(), phase }];
    let running = fixture::snapshot(&Story::whole());
    let mut ended = running.clone();
    ended.state.ended = true;
    let mut killed = running.clone();
    killed.state.killed = true;
    for (snapshot, text, asks) in [
        (&running, "p", vec![Action::Pause]),
        (&running, "pp", vec![Action::Pause, Action::Pause]),
        (&running, "K", vec![]),
        (&running, "Ky", vec![Action::Kill]),
        (&running, "KY", vec![Action::Kill]),
        (&running, "K<C-y>", vec![]),
        (&running, "K<Enter>", vec![]),
        (&running, "Kny", vec![]),
        (&running, "k", vec![]),
        (&running, "q", vec![]),
        (&running, "qy", vec![Action::Quit]),
        (&running, "q<Enter>y", vec![]),
        (&running, "<C-c>", vec![Action::Quit]),
        (&running, "/abc<C-c>", vec![Action::Quit]),
        (&running, "menrol<Enter>", mark("enrol", Phase::At)),
        (&running, "menrol start<Enter>", mark("enrol", Phase::Start)),
        (&running, "mapp:com.example.shop end<Enter>", mark("app:com.example.shop", Phase::End)),
        (&running, "menrol middle<Enter>", vec![]),
        (&running, "menrol<Esc><Enter>", vec![]),
        (&running, "/pKqm<Enter>", vec![]),
        (&ended, "p", vec![]),
        (&ended, "Ky", vec![]),
        (&ended, "q", vec![Action::Quit]),
        (&ended, "mboot<Enter>", mark("boot", Phase::At)),
        (&killed, "p", vec![]),
    ] {
        assert_eq!(press(snapshot, text).1, asks, "{text}");
    }
}

/// The selection stays on its row while lines come.
#[test]
fn the_selection_stays() {
    let story = Story::whole();
    let mut begun = Story::none();
    begun.lines = story.lines[..100].to_vec();
    let (few, many) = (fixture::snapshot(&begun), fixture::snapshot(&story));
    for (text, before, after) in [("5", "›    100", "›    415"), ("5kk", "›     98", "›     98"), ("5g", "›      1", "›      1")]
    {
        let (mut app, _, last) = press(&few, text);
        assert!(last.contains(before), "{text}:\n{last}");
        let later = drawn(&mut app, &many);
        assert!(later.contains(after), "{text}:\n{later}");
    }
}
