//! The dashboard over a run made by hand, for looking at it: `cargo run -p overhear-dashboard --example demo`.
//!
//! `--plain` without colour, `--panic` panics after two seconds (the terminal must come back), `--thread-panic` does so beside the
//! screen (it must stay whole), `--fast` writes lines without end.

use std::time::{Duration, Instant};

use analyzers::board::Board;
use analyzers::reading::Reading;
use dashboard::{Action, Judge, Look, Screen, Snapshot, Source, State};

#[path = "../tests/fixture/mod.rs"]
mod fixture;

struct Demo {
    story: fixture::Story,
    board: Board,
    screen: Screen,
    judge: Judge,
    state: State,
    start: Instant,
    told: usize,
    per_second: f64,
    panics: bool,
}

impl Source for Demo {
    #[allow(clippy::panic, reason = "asked for on the command line")]
    fn snapshot(&mut self) -> Snapshot {
        self.state.elapsed = self.start.elapsed();
        assert!(!self.panics || self.state.elapsed < Duration::from_secs(2), "panicking as asked");
        let due = (self.state.elapsed.as_secs_f64() * self.per_second) as usize;
        while self.told < due && !self.ended() {
            if let Some(line) = self.story.lines.get(self.told) {
                self.board.line(line);
                self.screen.line(line);
            }
            self.told += 1;
        }
        let findings = if self.ended() { self.judge.judge(&self.board) } else { self.judge.findings(&self.board) };
        Snapshot::with(findings, &self.screen, self.state.clone())
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Pause => self.state.paused = !self.state.paused,
            Action::Kill => self.state.killed = true,
            Action::Mark { kind, phase } => self.state.note = format!("marked {kind} {phase:?}"),
            Action::Quit => {}
        }
    }

    fn ended(&self) -> bool {
        self.told >= self.story.lines.len()
    }
}

fn main() -> std::io::Result<()> {
    let given = |flag: &str| std::env::args().any(|a| a == flag);
    let (board, screen) = fixture::read(&[]);
    if given("--thread-panic") {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(2));
            #[allow(clippy::panic, reason = "asked for on the command line")]
            {
                panic!("a worker panics as asked");
            }
        });
    }
    let mut demo = Demo {
        story: fixture::Story::whole(),
        board,
        screen,
        judge: Judge::default(),
        state: State::default(),
        start: Instant::now(),
        told: 0,
        per_second: if given("--fast") { 100_000.0 } else { 40.0 },
        panics: given("--panic"),
    };
    let look = if given("--plain") { Look::PLAIN } else { Look::from_env() };
    dashboard::run_with(&mut demo, look)
}
