//! Where the operator stands: panel, selection, filter, an open question. Keys change it; what they ask of the run comes back.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use policies::{EventKind, Phase};

use crate::keys::{self, Wish};
use crate::look::Look;
use crate::panels::Panel;
use crate::snapshot::Snapshot;

/// What the operator wants done; the caller does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pause, or go on.
    Pause,
    /// End all treatments for good.
    Kill,
    Mark {
        kind: EventKind,
        phase: Phase,
    },
    Quit,
}

/// What Detail shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A finding, by its key.
    Finding(u64),
    /// A line of the journal.
    Line(u64),
}

/// A question at the foot of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    Filter,
    Mark { text: String, wrong: bool },
    Kill,
    Quit,
}

/// The selected row of a list: it stays on its row while rows come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    key: Option<u64>,
    at: usize,
}

impl Cursor {
    /// Stays on the last row as rows come.
    const FOLLOW: Cursor = Cursor { key: None, at: usize::MAX };
    const FIRST: Cursor = Cursor { key: None, at: 0 };

    pub(crate) fn place(self, rows: &[u64]) -> usize {
        let known = self.key.and_then(|key| rows.iter().position(|row| *row == key));
        known.unwrap_or(self.at).min(rows.len().saturating_sub(1))
    }

    fn to(at: usize, rows: &[u64], follows: bool) -> Cursor {
        if rows.is_empty() || (at == 0 && !follows) {
            Cursor::FIRST
        } else if follows && at + 1 >= rows.len() {
            Cursor::FOLLOW
        } else {
            let at = at.min(rows.len() - 1);
            Cursor { key: rows.get(at).copied(), at }
        }
    }
}

/// The longest filter or mark that can be typed.
const LONGEST_INPUT: usize = 64;

#[derive(Clone, Debug)]
pub struct App {
    pub(crate) look: Look,
    pub(crate) panel: Panel,
    /// Where `Esc` leads from Detail and Help.
    before: Panel,
    cursors: [Cursor; Panel::COUNT],
    /// The selected column of the matrix.
    pub(crate) column: usize,
    pub(crate) shown: Option<Shown>,
    pub(crate) scroll: usize,
    pub(crate) filter: String,
    pub(crate) prompt: Option<Prompt>,
    /// What became of the last key, until the next.
    pub(crate) said: Option<String>,
    /// Rows of the list or text drawn last, and how far it can scroll: drawing says so.
    pub(crate) page: usize,
    pub(crate) furthest: usize,
}

impl App {
    pub fn new(look: Look) -> App {
        let mut cursors = [Cursor::FIRST; Panel::COUNT];
        for panel in Panel::all().filter(|p| p.follows()) {
            cursors[panel as usize] = Cursor::FOLLOW;
        }
        App {
            look,
            panel: Panel::Overview,
            before: Panel::Overview,
            cursors,
            column: 0,
            shown: None,
            scroll: 0,
            filter: String::new(),
            prompt: None,
            said: None,
            page: 10,
            furthest: usize::MAX,
        }
    }

    pub fn panel(&self) -> Panel {
        self.panel
    }

    /// The selected row among those of its panel.
    pub(crate) fn place(&self, rows: &[u64]) -> usize {
        self.cursors[self.panel as usize].place(rows)
    }

    /// Takes one key; what it asks of the run comes back.
    pub fn key(&mut self, key: KeyEvent, snapshot: &Snapshot) -> Option<Action> {
        self.said = None;
        if keys::wish(key) == Some(Wish::QuitNow) {
            return Some(Action::Quit);
        }
        if let Some(prompt) = self.prompt.take() {
            return self.answer(prompt, key);
        }
        self.wish(keys::wish(key)?, snapshot)
    }

    fn wish(&mut self, wish: Wish, snapshot: &Snapshot) -> Option<Action> {
        match wish {
            Wish::Panel(panel) => self.go(panel),
            Wish::NextPanel => self.go(self.panel.next()),
            Wish::PreviousPanel => self.go(self.panel.previous()),
            Wish::Down => self.step(1, snapshot),
            Wish::Up => self.step(-1, snapshot),
            Wish::PageDown => self.step(self.page.max(1) as isize, snapshot),
            Wish::PageUp => self.step(-(self.page.max(1) as isize), snapshot),
            Wish::First => self.step(isize::MIN, snapshot),
            Wish::Last => self.step(isize::MAX, snapshot),
            Wish::Left => self.sideways(-1, snapshot),
            Wish::Right => self.sideways(1, snapshot),
            Wish::Open => self.open(snapshot),
            Wish::Back => self.back(),
            Wish::Filter => self.prompt = Some(Prompt::Filter),
            Wish::Mark => self.prompt = Some(Prompt::Mark { text: String::new(), wrong: false }),
            Wish::Pause if snapshot.state.ended => self.say("the run has ended: there is nothing to pause"),
            Wish::Pause if snapshot.state.killed => self.say("the kill key was used: nothing is treated any more"),
            Wish::Pause => return Some(Action::Pause),
            Wish::Kill if snapshot.state.ended => self.say("the run has ended: there is nothing to kill"),
            Wish::Kill if snapshot.state.killed => self.say("the kill key was used already"),
            Wish::Kill => self.prompt = Some(Prompt::Kill),
            Wish::Quit if snapshot.state.ended => return Some(Action::Quit),
            Wish::Quit => self.prompt = Some(Prompt::Quit),
            Wish::QuitNow => return Some(Action::Quit),
        }
        None
    }

    fn say(&mut self, words: &str) {
        self.said = Some(words.to_owned());
    }

    fn go(&mut self, panel: Panel) {
        if panel == self.panel {
            return;
        }
        if !matches!(self.panel, Panel::Detail | Panel::Help) {
            self.before = self.panel;
        }
        self.panel = panel;
        self.scroll = 0;
    }

    fn back(&mut self) {
        if matches!(self.panel, Panel::Detail | Panel::Help) {
            self.go(self.before);
        } else {
            self.filter.clear();
        }
    }

    fn step(&mut self, by: isize, snapshot: &Snapshot) {
        let Some(rows) = self.panel.rows(snapshot, &self.filter) else {
            self.scroll = self.scroll.min(self.furthest).saturating_add_signed(by).min(self.furthest);
            return;
        };
        let at = self.place(&rows).saturating_add_signed(by);
        self.cursors[self.panel as usize] = Cursor::to(at, &rows, self.panel.follows());
    }

    fn sideways(&mut self, by: isize, snapshot: &Snapshot) {
        match self.panel {
            Panel::Matrix => {
                let last = snapshot.findings.columns.len().saturating_sub(1);
                self.column = self.column.min(last).saturating_add_signed(by).min(last);
            }
            Panel::Detail => {
                let all: Vec<u64> = snapshot.findings.answered().map(|f| f.key).collect();
                let here = self.finding(snapshot).and_then(|key| all.iter().position(|k| *k == key));
                let at = here.map_or(0, |i| i.saturating_add_signed(by)).min(all.len().saturating_sub(1));
                self.shown = all.get(at).map(|key| Shown::Finding(*key)).or(self.shown);
                self.scroll = 0;
            }
            _ => {}
        }
    }

    /// The finding that Detail shows: the one that was opened, else the worst.
    pub(crate) fn finding(&self, snapshot: &Snapshot) -> Option<u64> {
        match self.shown {
            Some(Shown::Finding(key)) => Some(key),
            Some(Shown::Line(_)) => None,
            None => snapshot.findings.answered().next().map(|f| f.key),
        }
    }

    fn open(&mut self, snapshot: &Snapshot) {
        let Some(rows) = self.panel.rows(snapshot, &self.filter) else { return };
        let chosen = rows.get(self.place(&rows)).and_then(|row| self.panel.shown(*row, self.column, snapshot));
        match chosen {
            Some(shown) => {
                self.shown = Some(shown);
                self.go(Panel::Detail);
            }
            None => self.say("nothing to show here"),
        }
    }

    fn answer(&mut self, prompt: Prompt, key: KeyEvent) -> Option<Action> {
        match prompt {
            Prompt::Filter => self.type_filter(key),
            Prompt::Mark { text, .. } => return self.type_mark(text, key),
            Prompt::Kill => {
                if is_yes(key) {
                    return Some(Action::Kill);
                }
                self.say("not killed");
            }
            Prompt::Quit => {
                if is_yes(key) {
                    return Some(Action::Quit);
                }
            }
        }
        None
    }

    fn type_filter(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.filter.clear();
                return;
            }
            _ => edit(&mut self.filter, key),
        }
        self.prompt = Some(Prompt::Filter);
    }

    fn type_mark(&mut self, mut text: String, key: KeyEvent) -> Option<Action> {
        let mut wrong = false;
        match key.code {
            KeyCode::Esc => return None,
            KeyCode::Enter => match mark(&text) {
                Some(action) => return Some(action),
                None => wrong = true,
            },
            KeyCode::Tab => {
                if let Some((word, _)) = EventKind::KNOWN.iter().find(|(word, _)| word.starts_with(text.as_str())) {
                    (*word).clone_into(&mut text);
                }
            }
            _ => edit(&mut text, key),
        }
        self.prompt = Some(Prompt::Mark { text, wrong });
        None
    }
}

fn is_yes(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Char('y' | 'Y')) && (key.modifiers - KeyModifiers::SHIFT).is_empty()
}

fn edit(text: &mut String, key: KeyEvent) {
    match key.code {
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char(c) if !c.is_control() && (key.modifiers - KeyModifiers::SHIFT).is_empty() && text.len() < LONGEST_INPUT => {
            text.push(c);
        }
        _ => {}
    }
}

/// `enrol`, `enrol start`, `app:com.example.shop end`.
fn mark(text: &str) -> Option<Action> {
    let mut words = text.split_whitespace();
    let kind = EventKind::parse(words.next()?)?;
    let phase = words.next().map_or(Some(Phase::At), Phase::parse)?;
    words.next().is_none().then_some(Action::Mark { kind, phase })
}
