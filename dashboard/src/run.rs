//! The loop: snapshot → draw → one key → again, four times a second, on a terminal that is put back whatever happens.

use std::io::{self, Stdout, Write};
use std::mem::ManuallyDrop;
use std::os::fd::AsFd as _;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::app::{Action, App};
use crate::draw::draw;
use crate::look::Look;
use crate::snapshot::Snapshot;

/// How many columns the terminal has, where there is one.
pub fn columns() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Where a run can be looked at, live or replayed, and what can be asked of it.
pub trait Source {
    /// The run as it is now; called four times a second.
    fn snapshot(&mut self) -> Snapshot;

    /// Does what a key asked for. After [`Action::Quit`] the dashboard closes.
    fn act(&mut self, action: Action);

    /// Nothing more will come.
    fn ended(&self) -> bool;

    /// The dashboard is to close without a key.
    fn leave(&self) -> bool {
        false
    }
}

/// A new snapshot so often: four times a second is what an eye follows in text.
const EVERY: Duration = Duration::from_millis(250);

/// Shows a run until the operator quits, in colour unless the environment says otherwise. Standard output must be a terminal.
pub fn run(source: &mut dyn Source) -> io::Result<()> {
    run_with(source, Look::from_env())
}

/// As [`run`], with colours as told.
pub fn run_with(source: &mut dyn Source, look: Look) -> io::Result<()> {
    let mut screen = AlternateScreen::enter()?;
    let mut app = App::new(look);
    let mut snapshot = fresh(source);
    let mut taken = Instant::now();
    while !source.leave() {
        screen.terminal.draw(|frame| draw(frame, &mut app, &snapshot))?;
        let mut wait = EVERY.saturating_sub(taken.elapsed());
        loop {
            if is_gone(wait) {
                return Ok(());
            }
            // What came together is read together: the library keeps the rest, and no wait on the terminal would show it.
            if !event::poll(Duration::ZERO)? {
                break;
            }
            wait = Duration::ZERO;
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if let Some(action) = app.key(key, &snapshot) {
                        let quit = action == Action::Quit;
                        source.act(action);
                        if quit {
                            return Ok(());
                        }
                        taken = Instant::now();
                        snapshot = fresh(source);
                    }
                }
                Event::Resize(..) => screen.terminal.autoresize()?,
                _ => {}
            }
            if taken.elapsed() >= EVERY {
                break;
            }
        }
        // Keys held down do not stop the clock.
        if taken.elapsed() >= EVERY {
            snapshot = fresh(source);
            taken = Instant::now();
        }
    }
    Ok(())
}

/// Waits for input, and says whether the terminal is gone. It must be asked before the library is: that one reads the end of a closed terminal
/// again and again, and never returns.
fn is_gone(wait: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    // What interrupts (a new size) is asked for afterwards.
    let _ = poll(&mut fds, PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO));
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    fds.iter().any(|fd| fd.revents().is_some_and(|got| got.intersects(gone)))
}

fn fresh(source: &mut dyn Source) -> Snapshot {
    let mut snapshot = source.snapshot();
    snapshot.state.ended |= source.ended();
    snapshot
}

type Hook = Box<dyn Fn(&panic::PanicHookInfo<'_>) + Sync + Send + 'static>;

/// The alternate screen in raw mode. Dropping it, or a panic of its thread, gives the terminal back as it was.
struct AlternateScreen {
    /// Never dropped: all that does is to show the cursor, which we do, and to panic where the terminal is gone and cannot be told so.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    before: Arc<Hook>,
    /// Still on: it is left once only, or what a panic printed after that would be overwritten.
    on: Arc<AtomicBool>,
    /// What other threads said when they panicked: it would smear the screen, and is told when the screen is gone.
    late: Arc<Mutex<Vec<String>>>,
}

impl AlternateScreen {
    fn enter() -> io::Result<AlternateScreen> {
        let before: Arc<Hook> = Arc::new(panic::take_hook());
        let late = Arc::new(Mutex::new(Vec::new()));
        let on = Arc::new(AtomicBool::new(true));
        panic::set_hook(hook(Arc::clone(&before), Arc::clone(&on), Arc::clone(&late)));
        let entered = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide));
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match terminal {
            Ok(terminal) => Ok(AlternateScreen { terminal: ManuallyDrop::new(terminal), before, on, late }),
            Err(e) => {
                put_back(&on);
                panic::set_hook(plain(before));
                Err(e)
            }
        }
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        put_back(&self.on);
        // Changing hooks while panicking aborts; the hook that is there does no harm.
        if !thread::panicking() {
            panic::set_hook(plain(Arc::clone(&self.before)));
        }
        for words in self.late.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = writeln!(io::stderr(), "{words}");
        }
    }
}

fn plain(before: Arc<Hook>) -> Hook {
    Box::new(move |info| before(info))
}

fn hook(before: Arc<Hook>, on: Arc<AtomicBool>, late: Arc<Mutex<Vec<String>>>) -> Hook {
    let drawing = thread::current().id();
    Box::new(move |info| {
        if thread::current().id() == drawing {
            put_back(&on);
            before(info);
        } else {
            late.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
    })
}

/// Nothing can be done about a terminal that does not listen any more.
fn put_back(on: &AtomicBool) {
    if !on.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}
