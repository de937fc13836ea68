//! The keys: one table that the program obeys, and that the footer and the help print.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::panels::Panel;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Panel(Panel),
    NextPanel,
    PreviousPanel,
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
    Left,
    Right,
    Open,
    Back,
    Filter,
    Pause,
    Kill,
    Mark,
    Quit,
    QuitNow,
}

#[derive(Debug)]
pub(crate) struct Binding {
    codes: &'static [(KeyCode, KeyModifiers)],
    pub(crate) wish: Wish,
    /// As people read it.
    pub(crate) shown: &'static str,
    pub(crate) what: &'static str,
    /// A word for the footer, if it is there.
    pub(crate) hint: Option<&'static str>,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

macro_rules! keys {
    ($( $wish:expr, $shown:literal, $what:literal, $hint:expr, [$($code:expr),*]; )*) => {
        &[ $( Binding { codes: &[$($code),*], wish: $wish, shown: $shown, what: $what, hint: $hint } ),* ]
    };
}

const fn plain(code: KeyCode) -> (KeyCode, KeyModifiers) {
    (code, NONE)
}

const fn char(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), NONE)
}

pub(crate) const KEYS: &[Binding] = keys! {
    Wish::NextPanel, "Tab", "next panel", Some("panel"), [plain(KeyCode::Tab)];
    Wish::PreviousPanel, "Shift-Tab", "previous panel", None, [plain(KeyCode::BackTab), (KeyCode::BackTab, KeyModifiers::SHIFT)];
    Wish::Panel(Panel::Overview), "1", "Overview", None, [char('1')];
    Wish::Panel(Panel::Matrix), "2", "Matrix", None, [char('2')];
    Wish::Panel(Panel::Trials), "3", "Trials", None, [char('3')];
    Wish::Panel(Panel::Leaks), "4", "Leaks", None, [char('4')];
    Wish::Panel(Panel::Journal), "5", "Journal", None, [char('5')];
    Wish::Panel(Panel::Detail), "6", "Detail", None, [char('6')];
    Wish::Panel(Panel::Help), "7 ?", "Help", None, [char('7'), char('?'), (KeyCode::Char('?'), KeyModifiers::SHIFT)];
    Wish::Down, "↓ j", "next row, or scroll down", None, [plain(KeyCode::Down), char('j')];
    Wish::Up, "↑ k", "previous row, or scroll up", None, [plain(KeyCode::Up), char('k')];
    Wish::PageDown, "PgDn Space", "a page down", None, [plain(KeyCode::PageDown), char(' ')];
    Wish::PageUp, "PgUp b", "a page up", None, [plain(KeyCode::PageUp), char('b')];
    Wish::First, "Home g", "first row", None, [plain(KeyCode::Home), char('g')];
    Wish::Last, "End G", "last row; the journal then follows", None, [plain(KeyCode::End), char('G'), (KeyCode::Char('G'), KeyModifiers::SHIFT)];
    Wish::Left, "← h", "previous column of the matrix", None, [plain(KeyCode::Left), char('h')];
    Wish::Right, "→ l", "next column of the matrix", None, [plain(KeyCode::Right), char('l')];
    Wish::Open, "Enter", "the selected row in detail", Some("detail"), [plain(KeyCode::Enter)];
    Wish::Back, "Esc", "back; ends a filter", Some("back"), [plain(KeyCode::Esc), plain(KeyCode::Backspace)];
    Wish::Filter, "/", "show only rows with these words", Some("filter"), [char('/')];
    Wish::Mark, "m", "mark what is being done to the device", Some("mark"), [char('m')];
    Wish::Pause, "p", "pause: no treatments, all is relayed; again to go on", Some("pause"), [char('p')];
    Wish::Kill, "K", "kill: end all treatments for good, relay untouched", Some("kill"), [char('K'), (KeyCode::Char('K'), KeyModifiers::SHIFT)];
    Wish::Quit, "q", "quit; asks while the run goes on", Some("quit"), [char('q')];
    Wish::QuitNow, "Ctrl-C", "quit without asking", None, [(KeyCode::Char('c'), CTRL)];
};

pub(crate) fn wish(key: KeyEvent) -> Option<Wish> {
    KEYS.iter().find(|b| b.codes.contains(&(key.code, key.modifiers))).map(|b| b.wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        let mut seen = Vec::new();
        for code in KEYS.iter().flat_map(|b| b.codes) {
            assert!(!seen.contains(&code), "{code:?} twice");
            seen.push(code);
        }
    }

    #[test]
    fn every_panel_has_a_key() {
        for panel in Panel::all() {
            assert!(KEYS.iter().any(|b| b.wish == Wish::Panel(panel)), "{panel:?}");
        }
    }
}
