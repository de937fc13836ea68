//! The panels: one file each, one line each in this table.

pub(crate) mod detail;
mod help;
mod journal;
mod leaks;
mod matrix;
mod overview;
mod trials;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::app::{App, Shown};
use crate::snapshot::Snapshot;

/// What a panel's file offers.
struct Parts {
    name: &'static str,
    draw: fn(&mut Frame<'_>, Rect, &mut App, &Snapshot),
    /// Keys of its rows, in order; `None` where text scrolls instead.
    rows: Option<fn(&Snapshot, &str) -> Vec<u64>>,
    /// What Enter on a row (and column) shows.
    shown: fn(u64, usize, &Snapshot) -> Option<Shown>,
    /// The selection stays on the last row as rows come.
    follows: bool,
}

macro_rules! panels {
    ($( $variant:ident $module:ident $rows:expr, $shown:expr, $follows:literal; )*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Panel { $( $variant, )* }

        const PANELS: &[(Panel, Parts)] = &[ $( (
            Panel::$variant,
            Parts { name: stringify!($variant), draw: $module::draw, rows: $rows, shown: $shown, follows: $follows },
        ), )* ];
    };
}

panels! {
    Overview overview Some(overview::rows), overview::shown, false;
    Matrix matrix Some(matrix::rows), matrix::shown, false;
    Trials trials Some(trials::rows), trials::shown, true;
    Leaks leaks Some(leaks::rows), leaks::shown, false;
    Journal journal Some(journal::rows), journal::shown, true;
    Detail detail None, nothing, false;
    Help help None, nothing, false;
}

fn nothing(_: u64, _: usize, _: &Snapshot) -> Option<Shown> {
    None
}

impl Panel {
    pub const COUNT: usize = PANELS.len();

    pub fn all() -> impl Iterator<Item = Panel> {
        PANELS.iter().map(|(panel, _)| *panel)
    }

    fn parts(self) -> &'static Parts {
        &PANELS[self as usize].1
    }

    pub fn name(self) -> &'static str {
        self.parts().name
    }

    pub(crate) fn next(self) -> Panel {
        PANELS[(self as usize + 1) % Panel::COUNT].0
    }

    pub(crate) fn previous(self) -> Panel {
        PANELS[(self as usize + Panel::COUNT - 1) % Panel::COUNT].0
    }

    pub(crate) fn draw(self, frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
        (self.parts().draw)(frame, area, app, snapshot);
    }

    pub(crate) fn rows(self, snapshot: &Snapshot, filter: &str) -> Option<Vec<u64>> {
        self.parts().rows.map(|rows| rows(snapshot, filter))
    }

    pub(crate) fn shown(self, row: u64, column: usize, snapshot: &Snapshot) -> Option<Shown> {
        (self.parts().shown)(row, column, snapshot)
    }

    pub(crate) fn follows(self) -> bool {
        self.parts().follows
    }
}
