//! The dashboard's view of a run: live over the desk's lock, or a journal that is read again.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analyzers::board::Board;
use analyzers::journal::Line;
use analyzers::observation::Event;
use analyzers::reading::Reading;
use analyzers::text::{Text, Veil};
use dashboard::{Action, Judge, Screen, Snapshot, Source, State};
use policies::Time;
use proxy::gateway::Gateway;

use crate::conduct::Table;
use crate::desk::RunDesk;
use crate::fault::Fault;
use crate::knowledge;
use crate::live::lock;
use crate::runs::now;

/// Whether there is a terminal to draw on.
pub(crate) fn terminal() -> bool {
    let draws = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    draws && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Draws until the operator quits.
pub(crate) fn watch(source: &mut dyn Source) -> Result<(), Fault> {
    dashboard::run(source).map_err(|e| Fault::new(format!("the dashboard cannot draw: {e}"), "--headless prints plain lines"))
}

/// A run that is going on.
pub(crate) struct LiveEyes {
    pub(crate) desk: Arc<Mutex<RunDesk>>,
    pub(crate) veil: Arc<dyn Veil>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) table: Table,
    pub(crate) stop: Arc<AtomicBool>,
    /// A signal came: nobody is there to press a key.
    pub(crate) leave: Arc<AtomicBool>,
    pub(crate) done: Arc<AtomicBool>,
    pub(crate) began: Instant,
    /// How long the run took, once it is over.
    pub(crate) took: Option<Duration>,
    pub(crate) judge: Judge,
    pub(crate) killed: bool,
}

impl Source for LiveEyes {
    fn snapshot(&mut self) -> Snapshot {
        let ended = self.ended();
        let state = State {
            paused: self.gateway.paused(),
            killed: self.killed,
            ended,
            elapsed: if ended { *self.took.get_or_insert_with(|| self.began.elapsed()) } else { self.began.elapsed() },
            now: Some(now()),
            note: if ended { "over: q judges the rest, reports".to_owned() } else { String::new() },
        };
        let desk = lock(&self.desk);
        let findings = self.judge.findings(&desk.board);
        match &desk.screen {
            Some(screen) => Snapshot::with(findings, screen, state),
            None => Snapshot::with(findings, &Screen::new(desk.board.demands()), state),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Pause => {
                let pause = !self.gateway.paused();
                self.gateway.standing("operator", if pause { "paused the attacks" } else { "went on with the attacks" });
                self.gateway.pause(pause);
            }
            Action::Kill => {
                self.gateway.standing("operator", "killed the run: nothing is intercepted any more");
                self.killed = true;
                self.gateway.kill();
                self.table.drop_now();
            }
            Action::Mark { kind, phase } => {
                let event = Event { at: now(), kind: Text::ours(kind.as_str()), phase, confirmed: true, by: None, note: None };
                lock(&self.desk).say_at(now(), knowledge::veil(event, &*self.veil));
            }
            Action::Quit => self.stop.store(true, Ordering::SeqCst),
        }
    }

    fn ended(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    fn leave(&self) -> bool {
        self.leave.load(Ordering::SeqCst)
    }
}

/// A journal that is shown again, as fast as asked.
pub(crate) struct ReplayEyes {
    lines: std::vec::IntoIter<Line>,
    next: Option<Line>,
    board: Board,
    screen: Screen,
    judge: Judge,
    first: Time,
    last: Time,
    began: Instant,
    paused_at: Option<Instant>,
    speed: f64,
}

impl ReplayEyes {
    pub(crate) fn new(lines: Vec<Line>, board: Board, speed: f64) -> ReplayEyes {
        let first = lines.iter().map(|l| l.at).min().unwrap_or_default();
        let screen = Screen::new(board.demands());
        let mut lines = lines.into_iter();
        let next = lines.next();
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        ReplayEyes {
            lines,
            next,
            board,
            screen,
            judge: Judge::default(),
            first,
            last: first,
            began: Instant::now(),
            paused_at: None,
            speed,
        }
    }

    fn advance(&mut self) {
        if self.paused_at.is_some() {
            return;
        }
        let gone = Duration::from_secs_f64((self.began.elapsed().as_secs_f64() * self.speed).min(1e9));
        let until = self.first.plus(gone);
        // Lines stand in the order they were written; one that was written late about something early does not hold up the rest.
        while let Some(line) = self.next.take() {
            if line.at > until {
                self.next = Some(line);
                return;
            }
            self.last = self.last.max(line.at);
            self.board.line(&line);
            self.screen.line(&line);
            self.next = self.lines.next();
        }
    }
}

impl Source for ReplayEyes {
    fn snapshot(&mut self) -> Snapshot {
        self.advance();
        let state = State {
            paused: self.paused_at.is_some(),
            killed: false,
            ended: self.ended(),
            elapsed: self.last.since(self.first),
            now: None,
            note: format!("replay, {} times as fast", self.speed),
        };
        Snapshot::with(self.judge.findings(&self.board), &self.screen, state)
    }

    fn act(&mut self, action: Action) {
        if action == Action::Pause {
            match self.paused_at.take() {
                Some(since) => self.began += since.elapsed(),
                None => self.paused_at = Some(Instant::now()),
            }
        }
    }

    fn ended(&self) -> bool {
        self.next.is_none()
    }
}
