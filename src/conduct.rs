//! What `lab` and `intercept` share: the way in, the operator's hand on a run (dashboard, Ctrl-C), and its end.

use analyzers::text::Text;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proxy::gateway::Gateway;
use proxy::gateway::nft::{self, Installed};
use reports::gates::Gates;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::signal::unix::{SignalKind, signal};

use crate::analyze::{eprint_line, next, show};
use crate::cli::SummaryFormat;
use crate::eyes::{LiveEyes, watch};
use crate::fault::Fault;
use crate::knowledge::{self, Knowledge};
use crate::live::{Live, lock};
use crate::render;
use crate::run::{RUN_SCHEMA, RunFile};
use crate::urge::Urge;

/// The table that redirects, while there is one. The kill key takes it out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Arc<Mutex<Option<Installed>>>);

impl Table {
    /// Installs what `rules` says at that moment; what a killed run left is replaced.
    pub(crate) fn install(&self, rules: impl FnOnce() -> nft::Rules) -> Result<(), Fault> {
        let mut table = lock(&self.0);
        *table = Some(Installed::install(&rules()).map_err(|e| Fault::new(e.to_string(), "apt install nftables"))?);
        Ok(())
    }

    /// Takes the table out: new connections go past us.
    pub(crate) fn drop_now(&self) {
        lock(&self.0).take();
    }

    /// An enrolled device came to an address. Before the table stands there is nothing to do: it is made from the addresses known then.
    pub(crate) fn add(&self, device: IpAddr) -> Result<(), proxy::Error> {
        lock(&self.0).as_ref().map_or(Ok(()), |table| table.add(device))
    }

    pub(crate) fn remove(&self, device: IpAddr) -> Result<(), proxy::Error> {
        lock(&self.0).as_ref().map_or(Ok(()), |table| table.remove(device))
    }

    /// Packets and bytes of devices that are not enrolled.
    pub(crate) fn others(&self) -> Option<(u64, u64)> {
        lock(&self.0).as_ref().and_then(|table| table.others().ok())
    }
}

/// What steers a run from outside.
#[derive(Clone)]
pub(crate) struct Reins {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) table: Table,
    /// Set when the disk failed: nothing more can be proven.
    broken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// Nothing is to be printed while the run goes on.
    pub(crate) quiet: bool,
}

impl Reins {
    /// The operator wants an end.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Ends when the operator wants an end, or the disk failed.
    pub(crate) async fn let_go(&self) {
        while !self.stopped() && !self.broken() {
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// How soon an operator's word is heard.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs `work` with the dashboard beside it where there is a terminal; what it has to say in the end.
pub(crate) fn conduct(
    live: &Live,
    table: &Table,
    headless: bool,
    quiet: bool,
    work: impl AsyncFnOnce(&Reins) -> Result<Option<String>, Fault> + Send,
) -> Result<Option<String>, Fault> {
    let shown = is_shown(headless);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Fault::new(format!("cannot start the gateway's threads: {e}"), ""))?;
    let reins = Reins {
        gateway: live.gateway.clone(),
        table: table.clone(),
        broken: live.broken.clone(),
        stop: Arc::default(),
        quiet: quiet || shown,
    };
    let signalled = Arc::new(AtomicBool::new(false));
    listen(reins.stop.clone(), reins.table.clone(), signalled.clone());
    let told = if shown {
        let done = Arc::new(AtomicBool::new(false));
        let mut eyes = LiveEyes {
            desk: live.desk.clone(),
            veil: live.veil.clone(),
            gateway: live.gateway.clone(),
            table: reins.table.clone(),
            stop: reins.stop.clone(),
            leave: signalled,
            done: done.clone(),
            began: Instant::now(),
            took: None,
            judge: dashboard::Judge::default(),
            killed: false,
        };
        std::thread::scope(|scope| {
            let reins = &reins;
            let work = scope.spawn(move || {
                let told = runtime.block_on(work(reins));
                done.store(true, Ordering::SeqCst);
                runtime.shutdown_timeout(PARTING);
                told
            });
            let seen = watch(&mut eyes);
            reins.stop.store(true, Ordering::SeqCst);
            let told =
                work.join().unwrap_or_else(|_| Err(Fault::new("the run's thread died", "this is a fault of ours; please report it")));
            // What was seen is worth a report also where the terminal went away.
            if let Err(fault) = seen {
                eprint_line(&format!("overhear: {fault}"));
            }
            told
        })
    } else {
        let told = runtime.block_on(work(&reins));
        runtime.shutdown_timeout(PARTING);
        told
    };
    // However the run ended, nobody is redirected to a gateway that is gone.
    reins.table.drop_now();
    told
}

/// How long connections that are open at the end get to notice it.
const PARTING: Duration = Duration::from_millis(500);

/// Whether a dashboard is shown.
pub(crate) fn is_shown(headless: bool) -> bool {
    !headless && crate::eyes::terminal()
}

/// Heeds signals from now on, also when the run is over and its threads are gone: the dashboard is left, the report is written. It must not
/// hold the gateway, whose end it would outlive.
fn listen(stop: Arc<AtomicBool>, table: Table, signalled: Arc<AtomicBool>) {
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(heed(stop, table, signalled));
    };
    // Without it a signal ends the program as it ends any.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

/// Ctrl-C and its like end the run in good order; the second one ends it at once. A terminal that goes away ends it in good order too.
async fn heed(stop: Arc<AtomicBool>, table: Table, signalled: Arc<AtomicBool>) {
    crate::urge::survive_file_limits();
    let of = |kind| signal(kind).ok();
    let (mut int, mut term, mut hup) = (of(SignalKind::interrupt()), of(SignalKind::terminate()), of(SignalKind::hangup()));
    let mut urge = Urge::default();
    loop {
        let now = tokio::select! {
            () = next(&mut int) => urge.again(Instant::now()),
            () = next(&mut term) => urge.again(Instant::now()),
            // A terminal that closes says so more than once, and urges nothing.
            () = next(&mut hup) => false,
        };
        signalled.store(true, Ordering::SeqCst);
        stop.store(true, Ordering::SeqCst);
        if now {
            table.drop_now();
            crate::urge::leave();
        }
    }
}

/// Ends a live run: judges, renders, prints; the exit code.
pub(crate) fn close(live: Live, known: &Knowledge, gates: &Gates, json: Option<&Path>, told: Option<&str>) -> Result<u8, Fault> {
    let (finished, folder) = live.stop(known)?;
    let rendered = render::render(&finished.board, analyzers::reading::Reading::end(finished.tables), gates);
    render::write(&folder, &rendered)?;
    folder.finish(&RunFile {
        schema: RUN_SCHEMA.to_owned(),
        tool: "overhear".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: Vec::new(),
        lines: finished.lines,
        head: finished.head,
        devices: Vec::new(),
        persona: known.persona.is_some(),
    })?;
    if let Some(path) = json {
        let mut json = Vec::new();
        rendered.report.write(&mut json).map_err(|e| Fault::io("write", path, &e))?;
        let written = crate::private::create(path).and_then(|mut file| file.write_all(&json));
        written.map_err(|e| Fault::io("write", path, &e))?;
    }
    show(SummaryFormat::Text, &rendered, &folder)?;
    if let Some(told) = told {
        eprint_line(told);
    }
    Ok(rendered.exit.code)
}

/// Adds the authorities of a PEM file to what the gateway trusts upstream.
pub(crate) fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), Fault> {
    let text = knowledge::read(path)?;
    let mut any = false;
    for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let der = der.map_err(|e| Fault::new(format!("{}: {e}", path.display()), "PEM certificates are read"))?;
        roots.add(der).map_err(|e| Fault::new(format!("{}: an authority cannot be used: {e}", path.display()), ""))?;
        any = true;
    }
    if any { Ok(()) } else { Err(Fault::new(format!("{} holds no certificate", path.display()), "--upstream-ca takes PEM certificates")) }
}

/// The names that were asked for one by one.
pub(crate) fn named(attacks: &[String]) -> Vec<Text> {
    attacks.iter().filter(|w| *w != "core" && *w != "all").map(Text::ours).collect()
}
