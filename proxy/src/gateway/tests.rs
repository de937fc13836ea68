//! Whole campaigns against clients of known virtue, through the explicit entrance: planner, server, groups and trials together.
//!
//! Long, for each way a device can behave has its campaign here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use analyzers::observation::{Evidence, Observation, Trial, TrialEnd};
use analyzers::pipeline::{Out, Tools};
use analyzers::text::Bare;
use policies::{Class, Defect, Need};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::forge::KeyKind;
use crate::serve::{Conduct, Waits};
use crate::serve_tests::{Client, Scene, now, scene, scene_with};

#[derive(Debug)]
struct All;

impl Rules for All {
    fn may_attack(&self, _: &str, _: u16, _: &[IpAddr]) -> bool {
        true
    }
    fn enrolled(&self, _: IpAddr) -> bool {
        true
    }
}

#[derive(Debug)]
struct Nobody;

impl Rules for Nobody {
    fn may_attack(&self, _: &str, _: u16, _: &[IpAddr]) -> bool {
        true
    }
    fn enrolled(&self, _: IpAddr) -> bool {
        false
    }
}

fn attacks() -> Vec<Attack> {
    let tls12 = [Need::LabCaTrusted, Need::OfferedTls12];
    let tls13 = [Need::LabCaTrusted, Need::OfferedTls13];
    let rows: [(&str, Defect, &[Need]); 9] = [
        ("cert.untrusted-ca", Defect::UntrustedCa, &[]),
        ("cert.self-signed", Defect::SelfSigned, &[]),
        ("cert.replaced-key", Defect::ReplacedKey, &[]),
        ("cert.hostname-mismatch", Defect::HostnameMismatch, &[Need::LabCaTrusted]),
        ("cert.expired", Defect::Expired, &[Need::LabCaTrusted]),
        ("tls.verify-signature-corrupt", Defect::VerifySignatureCorrupt, &tls13),
        ("tls.kx-signature-corrupt", Defect::KxSignatureCorrupt, &tls12),
        ("channel.tls-block-fallback", Defect::TlsBlocked, &[]),
        ("pin.absent", Defect::AddedAnchor, &[]),
    ];
    rows.into_iter()
        .map(|(id, defect, needs)| Attack {
            id: id.to_owned(),
            title: String::new(),
            page: String::new(),
            defect,
            expect: String::new(),
            class: Class::Critical,
            severity: policies::Severity::High,
            brick_risk: 0,
            needs: needs.to_vec(),
        })
        .collect()
}

struct Campaign {
    scene: Scene,
    gateway: Arc<Gateway>,
    outs: Receiver<Out>,
    feed: Feed,
    entrance: SocketAddr,
}

async fn campaign(rules: Arc<dyn Rules>) -> Campaign {
    campaign_of(rules, attacks()).await
}

async fn campaign_of(rules: Arc<dyn Rules>, attacks: Vec<Attack>) -> Campaign {
    campaign_at(scene(KeyKind::P256, 0x0304).await, rules, attacks)
}

fn campaign_at(scene: Scene, rules: Arc<dyn Rules>, attacks: Vec<Attack>) -> Campaign {
    let (feed, outs, _) = Feed::start(2, &Arc::new(Tools::default()), now, None).unwrap();
    let gateway = Gateway::new(Setup {
        server: scene.server.clone(),
        feed: feed.clone(),
        attacks,
        required: Repeats { critical: 2, high: 2, medium: 2, low: 2, info: 2 },
        thresholds: policies::policy::Thresholds::default(),
        mode: Mode::Runs,
        chance: None,
        rules,
        veil: Arc::new(Veiled(Arc::new(Bare))),
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let entrance = listener.local_addr().unwrap();
    let (g, origin, mirror) = (gateway.clone(), scene.origin, mirror(scene.origin));
    let resolve = move |_, port| async move { Some(if port == 443 { origin } else { mirror }) };
    tokio::spawn(async move { g.serve_explicit(listener, resolve).await });
    Campaign { scene, gateway, outs, feed, entrance }
}

/// The same server at another address.
fn mirror(origin: SocketAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(origin).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

impl Campaign {
    async fn tunnel(&self) -> TcpStream {
        self.tunnel_to(443).await
    }

    async fn tunnel_to(&self, port: u16) -> TcpStream {
        let mut stream = TcpStream::connect(self.entrance).await.unwrap();
        let head = format!("CONNECT shop.test:{port} HTTP/1.1\r\nHost: shop.test:{port}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"));
        stream
    }

    /// Runs the client again and again until nothing is undecided. Returns the trials.
    async fn until_decided(&self, client: Client) -> Vec<(Trial, usize)> {
        let device = IpAddr::from([127, 0, 0, 1]);
        for run in 1..100 {
            self.gateway.begin_run(device, run);
            client.talk(self.tunnel().await, &self.scene.roots).await;
            self.gateway.end_run(device, false).await;
            if self.gateway.undecided(device).is_empty() {
                break;
            }
        }
        assert_eq!(self.gateway.undecided(device), []);
        self.trials()
    }

    fn trials(&self) -> Vec<(Trial, usize)> {
        self.feed.drain();
        let mut out = Vec::new();
        while let Ok(it) = self.outs.try_recv() {
            if let Out::Tried { draft, flows } = it {
                let Observation::Trial(trial) = draft.seen else { panic!() };
                out.push((trial, flows.len()));
            }
        }
        out
    }
}

fn results(trials: &[(Trial, usize)]) -> BTreeMap<String, Vec<TrialResult>> {
    let mut out: BTreeMap<String, Vec<TrialResult>> = BTreeMap::new();
    for (trial, flows) in trials {
        assert!(*flows >= 1);
        let name = trial.attack.as_ref().map_or_else(|| format!("{:?}", trial.arm), ToString::to_string);
        out.entry(name).or_default().push(trial.result);
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_client_refuses_everything_between_working_controls() {
    let c = campaign(Arc::new(All)).await;
    let trials = c.until_decided(Client::Strict).await;
    let seen = results(&trials);
    for attack in attacks().iter().filter(|a| a.defect != Defect::AddedAnchor) {
        assert_eq!(seen.get(&attack.id), Some(&vec![TrialResult::Rejected; 2]), "{}", attack.id);
    }
    assert!(seen["Control"].iter().all(|r| *r == TrialResult::Accepted), "{seen:?}");
    // Every attack stands between two controls of its own version.
    for (i, (trial, _)) in trials.iter().enumerate().filter(|(_, (t, _))| t.arm == Arm::Attack) {
        for other in [&trials[i - 1].0, &trials[i + 1].0] {
            assert_eq!((other.arm, other.result), (Arm::Control, TrialResult::Accepted), "{trial:?}");
        }
    }
    let ns: Vec<u64> = trials.iter().map(|(t, _)| t.n).collect();
    assert!(ns.windows(2).all(|w| w[0] < w[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_careless_client_accepts_everything_but_a_cut() {
    let c = campaign(Arc::new(All)).await;
    let trials = c.until_decided(Client::Careless).await;
    let seen = results(&trials);
    for attack in attacks().iter().filter(|a| a.defect != Defect::AddedAnchor) {
        let expect = if attack.defect == Defect::TlsBlocked { vec![TrialResult::Rejected; 2] } else { vec![TrialResult::Accepted] };
        assert_eq!(seen.get(&attack.id), Some(&expect), "{}", attack.id);
    }
    let shown = trials.iter().find(|(t, _)| t.arm == Arm::Attack && t.result == TrialResult::Accepted).unwrap();
    assert_eq!(shown.0.first_bytes.as_ref().map(ToString::to_string).as_deref(), Some("GET / HTTP/1.1"));
}

/// A client that checks nothing but that it meets whom it met first is no sound one: no refusal of its stands between controls that worked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_knows_a_certificate_by_heart() {
    let mut some = attacks();
    some.retain(|a| {
        matches!(a.defect, Defect::UntrustedCa | Defect::SelfSigned | Defect::HostnameMismatch | Defect::VerifySignatureCorrupt)
    });
    let c = campaign_of(Arc::new(All), some).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    let mut known = None;
    for run in 1..60 {
        c.gateway.begin_run(device, run);
        let connector = tokio_rustls::TlsConnector::from(Client::Careless.config(&c.scene.roots));
        if let Ok(mut tls) = connector.connect("shop.test".try_into().unwrap(), c.tunnel().await).await {
            let leaf = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            if *known.get_or_insert(leaf.clone()) == leaf {
                tls.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
                let _ = tls.read_to_end(&mut Vec::new()).await;
            } else {
                let _ = tls.shutdown().await;
            }
        }
        c.gateway.end_run(device, false).await;
        if c.gateway.undecided(device).is_empty() {
            break;
        }
    }
    let trials: Vec<Trial> = c.trials().into_iter().map(|(trial, _)| trial).collect();
    let asked = trials.iter().filter(|t| t.arm == Arm::Attack && t.result == TrialResult::Rejected).count();
    assert!(asked > 4, "{asked}");
    for (i, trial) in trials.iter().enumerate().filter(|(_, t)| t.arm == Arm::Attack && t.result == TrialResult::Rejected) {
        let works = |t: Option<&Trial>| t.is_some_and(|t| t.result == TrialResult::Accepted);
        let before = trials[..i].iter().rev().find(|t| t.arm == Arm::Control);
        let after = trials[i..].iter().find(|t| t.arm == Arm::Control);
        assert!(!(works(before) && works(after)), "{trial:?}");
    }
}

/// A peer that has nothing left to be asked is left alone, while another that comes in every run still has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_by_itself_needs_no_waking() {
    let mut some = attacks();
    some.retain(|a| matches!(a.defect, Defect::TlsBlocked | Defect::SelfSigned | Defect::HostnameMismatch));
    let c = campaign_of(Arc::new(All), some).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    for run in 1..60 {
        c.gateway.begin_run(device, run);
        Client::Strict.talk(c.tunnel_to(8443).await, &c.scene.roots).await;
        Client::Careless.talk(c.tunnel().await, &c.scene.roots).await;
        c.gateway.end_run(device, false).await;
        if c.gateway.undecided(device).is_empty() {
            break;
        }
    }
    // Two of each peer: the careless one was done with the others long before.
    assert_eq!(results(&c.trials())["channel.tls-block-fallback"].len(), 4);
}

/// A client that opens a connection and begins TLS on it long after is attacked as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_begins_late() {
    let waits = Waits { data: Duration::from_millis(600), hello: Duration::from_millis(150), ..Waits::default() };
    let mut some = attacks();
    some.retain(|a| a.defect == Defect::SelfSigned);
    let c = campaign_at(scene_with(KeyKind::P256, 0x0304, waits).await, Arc::new(All), some);
    let device = IpAddr::from([127, 0, 0, 1]);
    for (run, expect) in [(1, Some("ok")), (2, Some(""))] {
        c.gateway.begin_run(device, run);
        let stream = c.tunnel().await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let said = Client::Careless.talk(stream, &c.scene.roots).await;
        assert_eq!(said.as_deref().map(|s| s.rsplit("\r\n").next().unwrap()), expect, "run {run}");
        c.gateway.end_run(device, false).await;
    }
    let seen = results(&c.trials());
    assert_eq!(seen.get("cert.self-signed"), Some(&vec![TrialResult::Accepted]), "{seen:?}");
}

/// A stack that only speaks when another was refused is met until it is decided, though nothing is left to ask the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_another_wakes() {
    woken(Client::Plain, 443).await;
}

/// The same stack at a peer that stands in for the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_another_wakes() {
    woken(Client::Strict, 8443).await;
}

async fn woken(second: Client, port: u16) {
    let mut some = attacks();
    some.retain(|a| matches!(a.defect, Defect::UntrustedCa | Defect::SelfSigned | Defect::HostnameMismatch));
    let c = campaign_of(Arc::new(All), some).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    let mut woken = 0;
    for run in 1..60 {
        c.gateway.begin_run(device, run);
        if Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.is_none() {
            second.talk(c.tunnel_to(port).await, &c.scene.roots).await;
            woken += 1;
        }
        c.gateway.end_run(device, false).await;
        if c.gateway.undecided(device).is_empty() {
            break;
        }
    }
    assert_eq!(c.gateway.undecided(device), []);
    let seen = results(&c.trials());
    assert!(woken > 6 && seen["Control"].iter().all(|r| *r == TrialResult::Accepted), "{woken} {seen:?}");
    for attack in ["cert.untrusted-ca", "cert.self-signed", "cert.hostname-mismatch"] {
        assert!(seen[attack].len() >= 4 && seen[attack].iter().all(|r| *r == TrialResult::Rejected), "{attack} {seen:?}");
    }
}

/// A stack that another woke once and never again is not asked after for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_comes_no_more() {
    let mut some = attacks();
    some.retain(|a| matches!(a.defect, Defect::UntrustedCa | Defect::SelfSigned));
    let c = campaign_of(Arc::new(All), some).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    let mut woken = false;
    for run in 1..60 {
        c.gateway.begin_run(device, run);
        if Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.is_none() && !std::mem::replace(&mut woken, true) {
            Client::Plain.talk(c.tunnel().await, &c.scene.roots).await;
        }
        c.gateway.end_run(device, false).await;
    }
    let attempts = c.trials().iter().filter(|(trial, _)| trial.arm == Arm::Attack).count();
    // Four refusals of each of the two, and in vain.
    assert!((8..=10 + super::VAIN).contains(&attempts), "{attempts}");
    assert!(!c.gateway.undecided(device).is_empty());
}

/// What is written before the check is done is sent, though the client leaves with a reset soon after: nothing of ours holds it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_looks_after_it_has_written() {
    let mut some = attacks();
    some.retain(|a| matches!(a.defect, Defect::UntrustedCa | Defect::SelfSigned));
    let c = campaign_of(Arc::new(All), some).await;
    let seen = results(&c.until_decided(Client::Hasty).await);
    for attack in ["cert.untrusted-ca", "cert.self-signed"] {
        assert_eq!(seen[attack].last(), Some(&TrialResult::Accepted), "{seen:?}");
    }
}

/// rustls offers no suite that TLS 1.1 has: the attack cannot be shown, and its connections reach the real server instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shown_is_no_attempt() {
    let mut some = attacks();
    some.retain(|a| a.defect == Defect::UntrustedCa);
    some.push(Attack { id: "tls.version-tls11".to_owned(), defect: Defect::VersionTls11, ..some[0].clone() });
    let c = campaign_of(Arc::new(All), some).await;
    let seen = results(&c.until_decided(Client::Strict).await);
    assert_eq!(seen.get("tls.version-tls11"), None, "{seen:?}");
    assert_eq!(seen["cert.untrusted-ca"], [TrialResult::Rejected; 2]);
}

/// The operator pauses between two connections of one attempt: the second reaches its server, which is no acceptance of the attack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pause_relays_says_nothing_about_the_attack() {
    let c = campaign(Arc::new(All)).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    let mut relayed = 0;
    for run in 1..12 {
        c.gateway.begin_run(device, run);
        let refused = Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.is_none();
        c.gateway.pause(true);
        assert!(Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.is_some());
        relayed += u32::from(refused);
        c.gateway.pause(false);
        c.gateway.end_run(device, false).await;
    }
    assert!(relayed > 0, "no attack was under way when the pause came");
    for (trial, _) in c.trials().iter().filter(|(t, _)| t.arm == Arm::Attack) {
        // Behind the first, all that would be attacked was relayed.
        let says = if trial.after == 0 { TrialResult::Rejected } else { TrialResult::None };
        assert_eq!(trial.result, says, "{trial:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleartext_after_a_cut_is_an_acceptance_and_stays_here() {
    let c = campaign(Arc::new(All)).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    let heard = c.scene.reached.load(Ordering::SeqCst);
    let mut followed = false;
    for run in 1..60 {
        c.gateway.begin_run(device, run);
        if Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.is_none() {
            // TLS failed: try again without.
            let before = c.scene.reached.load(Ordering::SeqCst);
            let mut stream = c.tunnel().await;
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty());
            assert_eq!(c.scene.reached.load(Ordering::SeqCst), before, "provoked cleartext went on to the origin");
            followed = true;
        }
        c.gateway.end_run(device, false).await;
        if c.gateway.undecided(device).is_empty() {
            break;
        }
    }
    assert!(followed && heard == 0);
    let seen = results(&c.trials());
    // What came once in clear may have come by chance: it is asked again.
    assert_eq!(seen.get("channel.tls-block-fallback"), Some(&vec![TrialResult::Accepted; 2]), "{seen:?}");
}

/// A program whose second connection is careless and only made when the first worked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_careless_connection_behind_a_strict_one() {
    let c = campaign(Arc::new(All)).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    for run in 1..100 {
        c.gateway.begin_run(device, run);
        if Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.is_some() {
            Client::Careless.talk(c.tunnel().await, &c.scene.roots).await;
        }
        c.gateway.end_run(device, false).await;
        if c.gateway.undecided(device).is_empty() {
            break;
        }
    }
    assert_eq!(c.gateway.undecided(device), []);
    let trials = c.trials();
    let seen = results(&trials);
    for attack in attacks().iter().filter(|a| !matches!(a.defect, Defect::AddedAnchor | Defect::TlsBlocked)) {
        assert_eq!(seen[&attack.id], [TrialResult::Rejected, TrialResult::Rejected, TrialResult::Accepted], "{}", attack.id);
    }
    // The acceptance is of the second connection; the first was let through.
    for (trial, flows) in trials.iter().filter(|(t, _)| t.arm == Arm::Attack) {
        assert!(trial.after < 2 && (trial.after == 1 || trial.result != TrialResult::Accepted), "trial {}", trial.n);
        assert_eq!(*flows as u64, trial.after + 1, "trial {}", trial.n);
    }
}

/// A sound client that also asks its server in clear, whatever happens to TLS: that is another check's business.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleartext_as_ever_is_no_acceptance() {
    let c = campaign(Arc::new(All)).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    for run in 1..60 {
        c.gateway.begin_run(device, run);
        let _ = Client::Strict.talk(c.tunnel().await, &c.scene.roots).await;
        for host in ["shop.test", "revocation.test"] {
            let mut stream = c.tunnel().await;
            let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        c.gateway.end_run(device, false).await;
        if c.gateway.undecided(device).is_empty() {
            break;
        }
    }
    let seen = results(&c.trials());
    assert_eq!(seen["cert.untrusted-ca"], [TrialResult::Rejected; 2], "{seen:?}");
    // Nothing tells the usual request from one that was made because TLS was cut.
    assert!(seen["channel.tls-block-fallback"].iter().all(|r| *r == TrialResult::None), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_relayed_and_only_counted() {
    let c = campaign(Arc::new(Nobody)).await;
    let answer = Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.unwrap();
    assert!(answer.ends_with("ok"));
    c.feed.drain();
    assert!(c.outs.try_recv().is_err(), "something was said about a device that is not enrolled");
    assert_eq!(c.gateway.counted().others, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_and_kill_relay() {
    let c = campaign(Arc::new(All)).await;
    let device = IpAddr::from([127, 0, 0, 1]);
    c.gateway.pause(true);
    c.gateway.begin_run(device, 1);
    assert!(Client::Careless.talk(c.tunnel().await, &c.scene.roots).await.unwrap().ends_with("ok"));
    c.gateway.end_run(device, false).await;
    let trials = c.trials();
    assert_eq!(trials.iter().map(|(t, _)| t.arm).collect::<Vec<_>>(), [Arm::Pass]);
    assert_eq!(trials[0].0.result, TrialResult::Accepted);
    c.gateway.pause(false);
    c.gateway.kill();
    assert!(Client::Strict.talk(c.tunnel().await, &c.scene.roots).await.unwrap().ends_with("ok"));
    c.feed.drain();
    assert!(c.trials().is_empty());
}

#[test]
fn hosts_of_requests() {
    for (bytes, expect) in [
        (&b"GET / HTTP/1.1\r\nHost: Shop.Test:80\r\n\r\n"[..], Some("shop.test")),
        (b"GET / HTTP/1.1\r\nAccept: x\r\nhost:shop.test\r\n\r\n", Some("shop.test")),
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (b"\xff\xff", None),
    ] {
        assert_eq!(http_host(bytes).as_deref(), expect);
    }
}

/// What a connection's task holds beside the TLS library's own buffers: 40 KiB per idle connection is the goal for all together.
#[tokio::test]
async fn a_connection_is_small() {
    let c = campaign(Arc::new(All)).await;
    let stream = c.tunnel().await;
    let addr = c.entrance;
    let size = std::mem::size_of_val(&c.gateway.clone().handle(stream.into(), addr, addr, None, None));
    assert!(size <= 16 * 1024, "{size} bytes");
}

#[test]
fn groups_end_when_the_policy_says() {
    use analyzers::subject::ClientClass;
    use policies::Defect;
    let key = Key { device: IpAddr::from([10, 0, 0, 2]), host: "shop.test".to_owned(), port: 443, class: ClientClass([0; 6]), lane: 0 };
    let blocked = crate::treatment::Treatment::Attack { id: "block".to_owned(), defect: Defect::TlsBlocked, after: 0 };
    for (treatment, attempt_ms, fallback_ms, secs, open) in [
        (Treatment::Pass, 3_000, 60_000, 3, true),
        (Treatment::Pass, 3_000, 60_000, 4, false),
        (Treatment::Pass, 10_000, 60_000, 9, true),
        (blocked.clone(), 3_000, 60_000, 59, true),
        (blocked.clone(), 3_000, 20_000, 21, false),
    ] {
        let mut subjects = Subjects::new(Thresholds { attempt_ms, fallback_ms, ..Thresholds::default() });
        subjects.begin(&key, treatment.clone(), (key.device, &[]), Time::from_secs(0), None);
        assert_eq!(subjects.open_group(&key, Time::from_secs(secs), None).is_some(), open, "{treatment:?} after {secs} s");
    }
}

#[test]
fn how_ill_a_device_may_be() {
    for (failed, of, percent, expect) in [(2, 4, 50, true), (3, 4, 50, false), (3, 4, 75, true), (1, 4, 20, false), (3, 3, 50, true)] {
        let recent: Vec<bool> = (0..of).map(|n| n >= failed).collect();
        assert_eq!(works_well_enough(&recent, percent), expect, "{failed} of {of}, {percent} %");
    }
}

#[test]
fn a_silent_connection_is_watched_as_long_as_the_policy_says() {
    let thresholds = Thresholds { trial_idle_ms: 9_000, ..Thresholds::default() };
    assert_eq!(crate::serve::Waits::of(&thresholds).data, Duration::from_secs(9));
    assert_eq!(crate::serve::Waits::of(&Thresholds::default()).data, crate::serve::Waits::default().data);
}

/// A peer and what was asked in clear: first while a control works, then with TLS cut.
struct Story<'a> {
    host: &'a str,
    /// Where TLS to it went.
    at: &'a str,
    before: &'a [Asked<'a>],
    during: &'a [Asked<'a>],
    cut_short: bool,
}

/// (address, name, kind of request)
type Asked<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// The result, and whether it could not be told what the clear traffic means.
#[track_caller]
fn told(story: &Story<'_>, expect: TrialResult, unclear: bool) {
    use analyzers::subject::ClientClass;
    let device = IpAddr::from([10, 0, 0, 2]);
    let key = Key { device, host: story.host.to_owned(), port: 443, class: ClientClass([0; 6]), lane: 0 };
    let (feed, _outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    let server = story.at.parse().unwrap();
    let mut subjects = Subjects::new(Thresholds::default());
    let mut attempt = |treatment: Treatment, grade: Evidence, asked: &[Asked<'_>], cut_short: bool| {
        let group = subjects.begin(&key, treatment.clone(), (server, &[]), Time::from_secs(1), Some(1));
        let tap = feed.open(SocketAddr::new(device, 4000), SocketAddr::new(server, 443), story.host);
        let place = subjects.join(&key, group, &tap, &Progress::default(), &treatment).unwrap();
        let conduct = Conduct { grade, end: TrialEnd::Fin, ..Conduct::nothing(None) };
        subjects.leave(&key, group, place, conduct, &Bare);
        for (server, name, shape) in asked {
            let names: Vec<String> = name.iter().map(|n| (*n).to_owned()).collect();
            let speaks = shape.is_none_or(|s| !s.starts_with("waits"));
            let clear = Clear { device, server: server.parse().unwrap(), names: &names, shape: *shape, speaks, tap: Some(&tap) };
            subjects.cleartext(clear, Time::from_secs(2), Mode::Runs);
        }
        if cut_short {
            subjects.cut_short(device, Time::from_secs(3));
        }
        subjects.finish_one(&key, &Bare).unwrap().trial
    };
    let control = attempt(Treatment::Control { twin: None, after: 0 }, Evidence::E5, story.before, false);
    assert_eq!(control.result, TrialResult::Accepted);
    let blocked = Treatment::Attack { id: "channel.tls-block-fallback".to_owned(), defect: Defect::TlsBlocked, after: 0 };
    let trial = attempt(blocked, Evidence::E1, story.during, story.cut_short);
    assert_eq!((trial.result, trial.cleartext_unclear), (expect, unclear), "{trial:#?}");
}

#[test]
fn what_stands_in_for_tls() {
    use TrialResult::{Accepted, None as Nothing, Rejected};
    let shop = Story { host: "shop.test", at: "192.0.2.5", before: &[], during: &[], cut_short: false };
    let (get, ping) = (Some("GET /"), Some("GET /ping"));
    told(&shop, Rejected, false);
    told(&Story { during: &[("192.0.2.5", Some("shop.test"), get)], ..shop }, Accepted, false);
    // Another address of the same name, and the same address without a name.
    told(&Story { during: &[("2001:db8::5", Some("shop.test"), get)], ..shop }, Accepted, false);
    told(&Story { during: &[("192.0.2.5", None, get)], ..shop }, Accepted, false);
    // Its hello named nobody: its address is all there is.
    let nameless = Story { host: "192.0.2.5", ..shop };
    told(&Story { during: &[("192.0.2.5", Some("shop.test"), get)], ..nameless }, Accepted, false);
    // What it asks anyway, and what it does not.
    let pings = Story { before: &[("192.0.2.5", None, ping)], ..shop };
    told(&Story { during: &[("192.0.2.5", None, ping)], ..pings }, Nothing, true);
    told(&Story { during: &[("192.0.2.5", None, ping), ("192.0.2.5", None, get)], ..pings }, Accepted, true);
    // Elsewhere: new, or as ever.
    let elsewhere = [("192.0.2.9", Some("mirror.test"), get)];
    told(&Story { during: &elsewhere, ..shop }, Nothing, true);
    told(&Story { before: &elsewhere, during: &elsewhere, ..shop }, Rejected, false);
    // The server would speak first: what the device answers is not known.
    told(&Story { during: &[("192.0.2.5", None, None)], ..shop }, Nothing, true);
    // It turns to a server that speaks first, as it does not otherwise.
    let waits = ("192.0.2.5", None, Some("waits on port 21"));
    told(&Story { during: &[waits], ..shop }, Nothing, true);
    told(&Story { before: &[waits], during: &[waits], ..shop }, Rejected, false);
    // Ended before its time.
    told(&Story { cut_short: true, ..shop }, Nothing, false);
    told(&Story { during: &[("192.0.2.5", None, get)], cut_short: true, ..shop }, Accepted, false);
}

/// What comes in clear to another place is told with the attacks it came beside; and what comes anyway once, with the next trial that is none.
#[test]
fn what_is_said_elsewhere() {
    use analyzers::subject::ClientClass;
    let device = IpAddr::from([10, 0, 0, 2]);
    let (server, other) = (IpAddr::from([192, 0, 2, 5]), IpAddr::from([192, 0, 2, 9]));
    let key = Key { device, host: "shop.test".to_owned(), port: 443, class: ClientClass([0; 6]), lane: 0 };
    let (feed, _outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    let told = |shape: Option<&str>, quiet_in: Option<u64>, datagram: bool| {
        let mut subjects = Subjects::new(Thresholds::default());
        let mut out = Vec::new();
        for run in 0..6u64 {
            let attacked = run % 2 == 1;
            let treatment = if attacked {
                Treatment::Attack { id: "cert.expired".to_owned(), defect: Defect::Expired, after: 0 }
            } else {
                Treatment::Control { twin: None, after: 0 }
            };
            let group = subjects.begin(&key, treatment.clone(), (server, &[]), Time::from_secs(run as i64), Some(run));
            let tap = feed.open(SocketAddr::new(device, 4000), SocketAddr::new(server, 443), "shop.test");
            let place = subjects.join(&key, group, &tap, &Progress::default(), &treatment).unwrap();
            let grade = if attacked { Evidence::E2 } else { Evidence::E5 };
            subjects.leave(&key, group, place, Conduct { grade, end: TrialEnd::Fin, ..Conduct::nothing(None) }, &Bare);
            if attacked || quiet_in == Some(run) {
                let names = ["backup.test".to_owned()];
                let clear = Clear { device, server: other, names: &names, shape, speaks: true, tap: None };
                for _ in 0..3 {
                    if datagram {
                        subjects.datagram(clear, Time::from_secs(run as i64), Mode::Runs);
                    } else {
                        subjects.cleartext(clear, Time::from_secs(run as i64), Mode::Runs);
                    }
                }
            }
            let trial = subjects.finish_one(&key, &Bare).unwrap().trial;
            assert_eq!(trial.result, if attacked { TrialResult::Rejected } else { TrialResult::Accepted });
            out.push(trial.elsewhere.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        }
        out
    };
    let report = "GET /report?imei backup.test";
    assert_eq!(told(Some("GET /report?imei"), None, false), ["", report, "", report, "", report]);
    assert_eq!(told(None, None, true)[1], "bytes backup.test");
    // Is the network there at all?
    assert_eq!(told(Some("GET /hotspot-detect.html"), None, false), [""; 6]);
    // As ever.
    assert_eq!(told(Some("GET /report?imei"), Some(2), false), ["", report, report, report, "", report]);
}

/// A program that tries again until it is ended has refused, if it did so often enough; without TLS it may still do something else.
#[test]
fn who_tries_again_for_ever() {
    use analyzers::subject::ClientClass;
    let device = IpAddr::from([10, 0, 0, 2]);
    let server = IpAddr::from([192, 0, 2, 5]);
    let key = Key { device, host: "shop.test".to_owned(), port: 443, class: ClientClass([0; 6]), lane: 0 };
    let (feed, _outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    let told = |defect: Defect, tries: usize, at_once: bool| {
        let mut subjects = Subjects::new(Thresholds::default());
        let treatment = Treatment::Attack { id: "x".to_owned(), defect, after: 0 };
        let group = subjects.begin(&key, treatment.clone(), (server, &[]), Time::from_secs(1), Some(1));
        let tap = feed.open(SocketAddr::new(device, 4000), SocketAddr::new(server, 443), "shop.test");
        let join = |subjects: &mut Subjects| subjects.join(&key, group, &tap, &Progress::default(), &treatment).unwrap();
        let alert = Some(crate::serve::Alert { code: 48, level: Some(2), encrypted: false });
        let refuse = |subjects: &mut Subjects, place| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            subjects.leave(
                &key,
                group,
                place,
                Conduct { grade: Evidence::E2, alert, end: TrialEnd::Alert, ..Conduct::nothing(None) },
                &Bare,
            );
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        if at_once {
            let places: Vec<_> = (0..tries).map(|_| join(&mut subjects)).collect();
            for place in places {
                refuse(&mut subjects, place);
            }
        } else {
            for _ in 0..tries {
                let place = join(&mut subjects);
                refuse(&mut subjects, place);
            }
        }
        subjects.cut_short(device, Time::from_secs(3));
        subjects.finish_one(&key, &Bare).unwrap().trial.result
    };
    assert_eq!(told(Defect::UntrustedCa, 9, false), TrialResult::None);
    assert_eq!(told(Defect::UntrustedCa, 20, false), TrialResult::Rejected);
    assert_eq!(told(Defect::UntrustedCa, 20, true), TrialResult::None, "one try in many connections");
    assert_eq!(told(Defect::TlsBlocked, 20, false), TrialResult::None);
}

/// A live device that asks by its own clock, between attacks that follow one another fast: what comes so is told with the attempt that worked.
#[test]
fn what_a_live_device_asks_by_its_own_clock() {
    use TrialResult::{Accepted, Rejected};
    use analyzers::subject::ClientClass;
    let device = IpAddr::from([10, 0, 0, 2]);
    let server = IpAddr::from([192, 0, 2, 5]);
    let key = Key { device, host: "shop.test".to_owned(), port: 443, class: ClientClass([0; 6]), lane: 0 };
    let (feed, _outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    // When an attack began and when the next attempt did; when a request in clear came in which of the two.
    let told = |in_attack: Option<i64>, in_pass: Option<i64>| {
        let mut subjects = Subjects::new(Thresholds::default());
        let mut out = Vec::new();
        let attack = Treatment::Attack { id: "cert.expired".to_owned(), defect: Defect::Expired, after: 0 };
        for (at, treatment, asked) in
            [(0, Treatment::Pass, None), (30, attack, in_attack), (34, Treatment::Pass, in_pass), (70, Treatment::Pass, None)]
        {
            let attacked = treatment.defect().is_some();
            let group = subjects.begin(&key, treatment.clone(), (server, &[]), Time::from_secs(at), None);
            let tap = feed.open(SocketAddr::new(device, 4000), SocketAddr::new(server, 443), "shop.test");
            let place = subjects.join(&key, group, &tap, &Progress::default(), &treatment).unwrap();
            let grade = if attacked { Evidence::E2 } else { Evidence::E5 };
            subjects.leave(&key, group, place, Conduct { grade, end: TrialEnd::Fin, ..Conduct::nothing(None) }, &Bare);
            let names = ["shop.test".to_owned()];
            if let Some(at) = asked {
                let clear = Clear { device, server, names: &names, shape: Some("GET /ping"), speaks: true, tap: Some(&tap) };
                subjects.cleartext(clear, Time::from_secs(at), Mode::Live);
            }
            let trial = subjects.finish_one(&key, &Bare).unwrap().trial;
            out.push((trial.result, trial.cleartext.len()));
        }
        (out[1], out[2].1)
    };
    assert_eq!(told(None, None), ((Rejected, 0), 0));
    assert_eq!(told(Some(31), None), ((Accepted, 1), 0));
    assert_eq!(told(Some(31), Some(56)), ((Accepted, 1), 1), "the judge knows by this that it comes anyway");
    assert_eq!(told(Some(31), Some(35)), ((Accepted, 1), 0), "right after an attack it may be its substitute");
    assert_eq!(told(None, Some(56)), ((Rejected, 0), 1));
}

/// A program that remembers a failure and asks in clear when it is started again.
#[test]
fn what_the_next_run_does_instead() {
    use analyzers::subject::ClientClass;
    let device = IpAddr::from([10, 0, 0, 2]);
    let server = IpAddr::from([192, 0, 2, 5]);
    let key = Key { device, host: "shop.test".to_owned(), port: 443, class: ClientClass([0; 6]), lane: 0 };
    let (feed, _outs, _) = Feed::start(1, &Arc::new(Tools::default()), now, None).unwrap();
    // Each run: a treatment of its TLS, if it tries that, and what it asks in clear before and after.
    let told = |runs: &[(Option<&str>, &[&str], &[&str])]| {
        let mut subjects = Subjects::new(Thresholds::default());
        let mut out = Vec::new();
        for (run, (tls, before, after)) in (1..).zip(runs) {
            let tap = feed.open(SocketAddr::new(device, 4000), SocketAddr::new(server, 443), "shop.test");
            let asks = |subjects: &mut Subjects, shapes: &[&str]| {
                for shape in shapes {
                    let names = ["shop.test".to_owned()];
                    let clear = Clear { device, server, names: &names, shape: Some(shape), speaks: true, tap: Some(&tap) };
                    subjects.cleartext(clear, Time::from_secs(run), Mode::Runs);
                }
            };
            asks(&mut subjects, before);
            if let Some(tls) = tls {
                let (treatment, grade) = match *tls {
                    "control" => (Treatment::Control { twin: None, after: 0 }, Evidence::E5),
                    id => (Treatment::Attack { id: id.to_owned(), defect: Defect::UntrustedCa, after: 0 }, Evidence::E2),
                };
                let group = subjects.begin(&key, treatment.clone(), (server, &[]), Time::from_secs(run), Some(run as u64));
                let place = subjects.join(&key, group, &tap, &Progress::default(), &treatment).unwrap();
                let alert = Some(crate::serve::Alert { code: 48, level: Some(2), encrypted: false });
                let conduct =
                    Conduct { grade, alert: alert.filter(|_| grade == Evidence::E2), end: TrialEnd::Alert, ..Conduct::nothing(None) };
                subjects.leave(&key, group, place, conduct, &Bare);
            }
            asks(&mut subjects, after);
            let tried = subjects.finish(Time::from_secs(run), Some(device), &Bare);
            out.extend(
                tried.into_iter().map(|t| format!("{} {:?}", t.trial.attack.map_or("control".into(), |a| a.to_string()), t.trial.result)),
            );
        }
        out
    };
    let control = ("control", "control Accepted");
    let start = (Some(control.0), &[][..], &[][..]);
    let attack = (Some("ca"), &[][..], &[][..]);
    assert_eq!(told(&[start, attack, (None, &["GET /login"], &[])]), [control.1, "ca Rejected", "ca Accepted"]);
    // TLS is tried all the same: before it, what came may be what could not be sent; after it, it is not.
    assert_eq!(told(&[start, attack, (Some("control"), &["GET /login"], &[])]), [control.1, "ca Rejected", "ca None", control.1]);
    assert_eq!(told(&[start, attack, (Some("control"), &[], &["GET /login"])]), [control.1, "ca Rejected", control.1]);
    // It asks that anyway, or nothing was attacked before.
    let pings = (Some("control"), &[][..], &["GET /ping"][..]);
    assert_eq!(told(&[pings, attack, (None, &["GET /ping"], &[])]), [control.1, "ca Rejected"]);
    assert_eq!(told(&[start, (None, &["GET /login"], &[])]), [control.1]);
}

#[test]
fn a_request_in_clear_is_known_by_what_stays() {
    use shape::shape;
    for (bytes, expect) in [
        (&b"GET /ping?t=1 HTTP/1.1\r\nHost: a\r\n\r\n"[..], "GET /ping?t"),
        (b"GET /?b=1&a7=2&b=3 HTTP/1.1\r\n\r\n", "GET /?a#&b"),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic eA==\r\n\r\n", "GET / with credentials"),
        (b"POST /rpc HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "POST /rpc with a body"),
        (b"POST /rpc HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "POST /rpc"),
        (b"POST /v1/session/8f3a HTTP/1.0\r\n\r\n", "POST /v#/session/#"),
        (b"GET /v1/status2 HTTP/1.1\r\n\r\n", "GET /v#/status#"),
        (b"GET /v1/login2?u=anna HTTP/1.1\r\n\r\n", "GET /v#/login#?u"),
        (b"GET /a/averylongname7 HTTP/1.1\r\n\r\n", "GET /a/#"),
        (b"EHLO phone\r\n", "bytes EHLO"),
        (b"HB 17\n", "bytes HB"),
        (b"LOGIN anna secret", "bytes LOGIN"),
        (b"{\"type\":\"x\"}", "bytes"),
        (b"Ab\x00\x01", "bytes"),
        (b"\x10\x0e\x00\x04MQTT", "bytes"),
        (b"", "bytes"),
    ] {
        assert_eq!(shape(bytes), expect);
    }
    assert_eq!(http_host(b"GET / HTTP/1.1\r\nHost: Shop.Test.:80\r\n\r\n").as_deref(), Some("shop.test"));
    assert_eq!(http_host(b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n").as_deref(), Some("2001:db8::1"));
}
