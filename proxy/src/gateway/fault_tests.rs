//! Connections that break at every byte of their handshakes, and servers that are not there: nothing hangs, every flow is told, and what
//! was cut off is no evidence.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use analyzers::observation::{Evidence, Observation, Trial, TrialEnd};
use analyzers::pipeline::{Out, Tools};
use analyzers::text::Bare;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use policies::Defect;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::forge::{KeyKind, Leaf};
use crate::serve::{Conduct, Hindrance};
use crate::serve_tests::{Client, HOST, Scene, attack, now, scene};
use crate::upstream::Upstream;

/// No connection here has a reason to last longer: the origin's answers take a millisecond. A busy machine gets some more.
const HANGS: Duration = Duration::from_secs(30);
/// Connections at once.
const LANES: usize = 8;

/// Where the connection breaks: after so many bytes of one direction both its ends get a reset.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// Bytes of who opened the connection.
    Up(usize),
    /// Bytes of who answers.
    Down(usize),
    Nowhere,
}

/// Passes a connection on to `to` and breaks it. Returns the bytes that went up and down.
async fn breaking(mut near: TcpStream, to: SocketAddr, cut: Cut) -> [usize; 2] {
    let Ok(mut far) = TcpStream::connect(to).await else { return [0, 0] };
    let mut left = match cut {
        Cut::Up(n) => [n, usize::MAX],
        Cut::Down(n) => [usize::MAX, n],
        Cut::Nowhere => [usize::MAX; 2],
    };
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    let mut passed = [0, 0];
    let mut open = [true, true];
    while left[0] > 0 && left[1] > 0 && open != [false, false] {
        let (way, read) = tokio::select! {
            read = near.read(&mut up), if open[0] => (0, read),
            read = far.read(&mut down), if open[1] => (1, read),
        };
        let Ok(n) = read else { break };
        let pass = n.min(left[way]);
        left[way] = left[way].saturating_sub(if left[way] == usize::MAX { 0 } else { pass });
        passed[way] += pass;
        let to = if way == 0 { &mut far } else { &mut near };
        if n == 0 {
            open[way] = false;
            let _ = to.shutdown().await;
        } else if to.write_all(if way == 0 { &up[..pass] } else { &down[..pass] }).await.is_err() {
            break;
        }
    }
    if cut != Cut::Nowhere {
        for stream in [&near, &far] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
    passed
}

/// A scene whose flows are told to a pipeline, as in a run.
struct Stage {
    scene: Scene,
    feed: Feed,
    outs: Mutex<Receiver<Out>>,
    threads: Vec<JoinHandle<()>>,
    opened: AtomicUsize,
}

async fn stage(key: KeyKind, version: u16) -> Arc<Stage> {
    let scene = scene(key, version).await;
    let (feed, outs, threads) = Feed::start(2, &Arc::new(Tools::default()), now, None).unwrap();
    Arc::new(Stage { scene, feed, outs: Mutex::new(outs), threads, opened: AtomicUsize::new(0) })
}

/// What became of one connection.
#[derive(Debug)]
struct Told {
    trial: Trial,
    conduct: Conduct,
    passed: [usize; 2],
}

impl Stage {
    /// One connection under `treatment` towards `server`, cut on the device's side at `cut`.
    async fn meet(&self, treatment: &Treatment, client: Client, cut: Cut, server: SocketAddr) -> Told {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entrance = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (gateway, door) = (listener.local_addr().unwrap(), entrance.local_addr().unwrap());
        let line = tokio::spawn(async move { breaking(entrance.accept().await.unwrap().0, gateway, cut).await });
        let roots = self.scene.roots.clone();
        let device = tokio::spawn(async move {
            // Cut at its first byte, the connection may be gone before it was seen to stand.
            if let Ok(stream) = TcpStream::connect(door).await {
                drop(client.talk(stream, &roots).await);
            }
        });
        let (mut stream, from) = listener.accept().await.unwrap();
        let told = async {
            let start = hello::read(&mut stream, Duration::from_secs(5)).await;
            self.opened.fetch_add(1, Ordering::SeqCst);
            let tap = self.feed.open(from, server, HOST);
            tap.wire(analyzers::flow::Dir::Out, start.seen());
            let progress = Progress::default();
            let (host, there, tap_too) = (HOST.to_owned(), None, tap.clone());
            let visit = Box::new(Visit { stream, start, onward: None, server, there, host, tap: tap_too, progress, now: now() });
            let key = Key { device: from.ip(), host: HOST.to_owned(), port: server.port(), class: ClientClass([0; 6]), lane: 0 };
            let mut subjects = Subjects::new(policies::policy::Thresholds::default());
            let group = subjects.begin(&key, treatment.clone(), (server.ip(), &[]), now(), Some(1));
            let prepared = self.scene.server.prepare(&visit, treatment.clone(), Leaf::First).await;
            let place = subjects.join(&key, group, &tap, &visit.progress, prepared.treatment()).unwrap();
            let conduct = self.scene.server.run(visit, prepared).await;
            tap.close(flow_end(conduct.close));
            subjects.leave(&key, group, place, conduct.clone(), &Bare);
            (subjects.finish_one(&key, &Bare).unwrap().trial, conduct)
        };
        let (trial, conduct) = timeout(HANGS, told).await.unwrap_or_else(|_| panic!("hangs: {treatment:?} {cut:?}"));
        let passed = timeout(HANGS, line).await.unwrap_or_else(|_| panic!("the line hangs: {treatment:?} {cut:?}")).unwrap();
        timeout(HANGS, device).await.unwrap_or_else(|_| panic!("the device hangs: {treatment:?} {cut:?}")).unwrap();
        Told { trial, conduct, passed }
    }

    /// Every flow that was opened has been told to its end.
    fn all_told(self: Arc<Stage>) {
        let stage = Arc::into_inner(self).unwrap();
        let opened = stage.opened.load(Ordering::SeqCst);
        drop(stage.feed);
        stage.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let outs = stage.outs.into_inner().unwrap();
        let ended = outs.iter().filter(|out| matches!(out, Out::Seen(draft) if matches!(draft.seen, Observation::Flow(_)))).count();
        assert_eq!(ended, opened);
    }
}

/// Runs `each` for all of `0..end`, some at a time.
async fn sweep<F: Future<Output = ()> + Send + 'static>(end: usize, each: impl Fn(usize) -> F) {
    let mut tasks = JoinSet::new();
    for n in 0..end {
        if tasks.len() >= LANES {
            tasks.join_next().await.unwrap().unwrap();
        }
        tasks.spawn(each(n));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// What a device's connection may show that was cut before it said anything but its handshake.
#[track_caller]
fn no_evidence(told: &Told, case: &dyn std::fmt::Debug) {
    match told.trial.result {
        TrialResult::None => {}
        // Stacks refuse by reset, too: but only what they have been shown.
        TrialResult::Rejected => {
            assert!(told.conduct.grade >= Evidence::E2 && told.conduct.acked == Some(true), "{case:?} {told:?}");
        }
        _ => panic!("{case:?}: {told:?}"),
    }
    assert!(!matches!(told.conduct.hindrance, Some(Hindrance::Ours)), "{case:?} {told:?}");
}

/// The device's side breaks at every byte of the device's flights, and at every byte of ours. It verifies nothing and says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_is_cut_off_at_every_byte() {
    for (key, version) in [(KeyKind::P256, 0x0304), (KeyKind::Rsa2048, 0x0303)] {
        let stage = stage(key, version).await;
        let origin = stage.scene.origin;
        for treatment in [Treatment::Control { twin: None, after: 0 }, attack(Defect::UntrustedCa)] {
            let whole = stage.meet(&treatment, Client::LateRefusal, Cut::Nowhere, origin).await;
            assert!(whole.conduct.handshake && whole.passed[0] > 200 && whole.passed[1] > 500, "{whole:?}");
            let [up, down] = whole.passed;
            sweep(up + down, |n| {
                let (stage, treatment) = (stage.clone(), treatment.clone());
                async move {
                    let cut = if n < up { Cut::Up(n) } else { Cut::Down(n - up) };
                    let told = stage.meet(&treatment, Client::LateRefusal, cut, origin).await;
                    no_evidence(&told, &(cut, &treatment));
                    assert_ne!(told.trial.end, TrialEnd::Alert, "{cut:?} {told:?}");
                }
            })
            .await;
        }
        stage.all_told();
    }
}

/// A server behind a line that breaks at the given byte of each connection but the first `whole` ones.
async fn broken_server(origin: SocketAddr, whole: usize, cut: Cut) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for n in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(breaking(stream, origin, if n < whole { Cut::Nowhere } else { cut }));
        }
    });
    addr
}

/// The server's side breaks at every byte, when it is first asked and when it was known already. The device is a sound one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_cut_off_at_every_byte() {
    // Each server is another to the gateway and keeps its port: four thousand of them, where most users are given a thousand files.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(16_384), most).unwrap();
    let stage = stage(KeyKind::P256, 0x0304).await;
    let origin = stage.scene.origin;
    // The origin's flight as long as it is to a strict client that goes straight there, its answer included.
    let straight = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = straight.local_addr().unwrap();
    let line = tokio::spawn(async move { breaking(straight.accept().await.unwrap().0, origin, Cut::Nowhere).await });
    Client::Strict.talk(TcpStream::connect(door).await.unwrap(), &stage.scene.roots).await.unwrap();
    let [up, down] = line.await.unwrap();
    let answer = 22 + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".len() + 24;
    let handshake = down - answer;
    assert!(up > 200 && handshake > 500, "{up} {down}");
    for (treatment, whole) in [
        (Treatment::Control { twin: None, after: 0 }, 0),
        (Treatment::Control { twin: None, after: 0 }, 1),
        (attack(Defect::UntrustedCa), 0),
    ] {
        sweep(handshake, |n| {
            let (stage, treatment) = (stage.clone(), treatment.clone());
            async move {
                let server = broken_server(origin, whole, Cut::Down(n)).await;
                let told = stage.meet(&treatment, Client::Strict, Cut::Nowhere, server).await;
                let control = treatment.defect().is_none();
                let expect = if control { (TrialResult::None, Some(Hindrance::UpstreamDown)) } else { (TrialResult::Rejected, None) };
                let got = (told.trial.result, told.conduct.hindrance);
                // An ECDSA signature is a few bytes shorter now and then: cut behind the end of such a flight, the channel stands.
                let whole = control && n + SIGNATURE_VARIES >= handshake && got == (TrialResult::Accepted, None);
                assert!(whole || got == expect, "{n} of {handshake} {treatment:?} {told:?}");
            }
        })
        .await;
    }
    stage.all_told();
}

/// Two DER integers of 32 or 33 bytes, or rarely a little less (SEC 1 §C.5).
const SIGNATURE_VARIES: usize = 6;

/// A server that fails in its own way.
#[derive(Clone, Debug)]
enum Failing {
    /// Nobody listens.
    Refused,
    /// No answer to the SYN.
    BlackHole,
    /// Takes the connection, says nothing for two seconds, and closes.
    Mute,
    /// Closes when it has read the ClientHello.
    Closes,
    /// Answers the ClientHello with this, and closes.
    Says(&'static [u8]),
    /// A certificate with a defect, under an authority that the gateway trusts.
    Shows(Defect),
}

/// Where it is, and what must be kept for it to go on failing.
async fn failing(kind: &Failing, scene: &Scene) -> (SocketAddr, Vec<socket2::Socket>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = async |listener: TcpListener, acceptor: Option<tokio_rustls::TlsAcceptor>, words: &'static [u8], mute: bool| {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Some(acceptor) = acceptor {
                    let Ok(mut tls) = acceptor.accept(stream).await else { return };
                    let mut request = [0; 1024];
                    if tls.read(&mut request).await.is_ok_and(|n| n > 0) {
                        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
                        let _ = tls.shutdown().await;
                    }
                    return;
                }
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(words).await;
                if mute {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            });
        }
    };
    match kind {
        Failing::Refused => {}
        Failing::BlackHole => {
            drop(listener);
            let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            full.listen(0).unwrap();
            let at = full.local_addr().unwrap();
            let mut kept = vec![full];
            for _ in 0..4 {
                let waiting = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                waiting.set_nonblocking(true).unwrap();
                let _ = waiting.connect(&at);
                kept.push(waiting);
            }
            return (at.as_socket().unwrap(), kept);
        }
        Failing::Mute => drop(tokio::spawn(serve(listener, None, b"", true))),
        Failing::Closes => drop(tokio::spawn(serve(listener, None, b"", false))),
        Failing::Says(words) => drop(tokio::spawn(serve(listener, None, words, false))),
        Failing::Shows(defect) => {
            let mirror = crate::forge::Mirror::bare(HOST);
            let chain = scene.server.mint.forged(&mirror, defect, now()).unwrap();
            let face = crate::face::Face { certified: chain.certified().unwrap(), version: 0x0304, alpn: None, marked: false, old: false };
            let config = crate::face::Faces::new().unwrap().config(face, Arc::new(crate::wire::NoTap));
            drop(tokio::spawn(serve(listener, Some(config.into()), b"", false)));
        }
    }
    (addr, Vec::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_not_there() {
    let mut stage = stage(KeyKind::P256, 0x0304).await;
    {
        let scene = &mut Arc::get_mut(&mut stage).unwrap().scene;
        let server = Arc::get_mut(&mut scene.server).unwrap();
        server.upstream = Upstream::new(scene.roots.clone(), Duration::from_millis(400)).unwrap();
    }
    let down = Some(Hindrance::UpstreamDown);
    let bad = Some(Hindrance::UpstreamUnverified);
    for (kind, hindrance) in [
        (Failing::Refused, down),
        (Failing::BlackHole, down),
        (Failing::Mute, down),
        (Failing::Closes, down),
        (Failing::Says(b"SSH-2.0-OpenSSH_9.2\r\n"), down),
        (Failing::Says(&[21, 3, 3, 0, 2, 2, 40]), down),
        (Failing::Shows(Defect::Expired), bad),
        (Failing::Shows(Defect::HostnameMismatch), bad),
        (Failing::Shows(Defect::SelfSigned), bad),
        (Failing::Shows(Defect::UntrustedCa), bad),
    ] {
        for (treatment, client) in [
            (Treatment::Pass, Client::Strict),
            (Treatment::Control { twin: None, after: 0 }, Client::Strict),
            (Treatment::Control { twin: None, after: 0 }, Client::Careless),
            (attack(Defect::Expired), Client::Strict),
            (attack(Defect::Expired), Client::Careless),
            (attack(Defect::ReplacedKey), Client::Strict),
        ] {
            let case = format!("{kind:?} {treatment:?} {client:?}");
            let (server, kept) = failing(&kind, &stage.scene).await;
            let began = std::time::Instant::now();
            let told = stage.meet(&treatment, client, Cut::Nowhere, server).await;
            drop(kept);
            let (result, found) = (told.trial.result, told.conduct.hindrance);
            match &treatment {
                // The device meets its real server, such as it is: a sound one goes no further.
                Treatment::Pass => assert!(result != TrialResult::Accepted, "{case} {told:?}"),
                Treatment::Control { .. } => assert_eq!((result, found), (TrialResult::None, hindrance), "{case} {told:?}"),
                Treatment::Attack { defect: Defect::ReplacedKey, .. } if hindrance == down => {
                    // Without the server's chain there is nothing to forge from: the connection is relayed, and fails with the server.
                    let why = [down, Some(Hindrance::NotForgeable)];
                    assert!(result == TrialResult::None && why.contains(&found), "{case} {told:?}");
                }
                Treatment::Attack { .. } => {
                    let expect = if client == Client::Strict { TrialResult::Rejected } else { TrialResult::Accepted };
                    assert_eq!((result, found), (expect, None), "{case} {told:?}");
                }
            }
            // The server's own wait twice, and a handshake that nobody answers: none of it near the bounds for devices.
            if !matches!(kind, Failing::Mute) {
                assert!(began.elapsed() < Duration::from_secs(5), "{case}: {:?}", began.elapsed());
            }
        }
    }
    stage.all_told();
}
