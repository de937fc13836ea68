//! One accepted connection under one treatment: run it, and say what the device did.
//!
//! Long, for it is one state machine: every way a connection can be served ends in the same account of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use analyzers::dissect::tls::suites::hash13;
use analyzers::flow::{Close, Dir};
use analyzers::observation::{Evidence, TrialEnd};
use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use policies::{Defect, Time};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::error::Error;
use crate::face::{Face, Faces};
use crate::forge::prober::{self, Reply};
use crate::forge::signer::Astray;
use crate::forge::{Chain, KeyKind, Leaf, Mint, Mirror};
use crate::hello::{Hello, Start};
use crate::preamble;
use crate::relay::{self, relay};
use crate::socket::Socket;
use crate::treatment::{Shape, Treatment};
use crate::upstream::{Learned, Upstream};
use crate::wire::{Link, Record, SharedLog, Tap, Wire, is_reset};

/// How much of what a device said under an attack, or first under a control, is kept for judgement.
pub const KEPT: usize = 64 * 1024;
/// How much of what a device answers to a server that spoke first is kept for the same.
const ANSWER: usize = 512;
/// A greeting longer than this is not one.
const LONGEST_GREETING: usize = 1024;
/// How many peers' greetings are remembered.
const MOST_GREETINGS: usize = 4096;
/// Less text than this on a connection whose TLS has failed may be the rest of something sealed.
const LEAST_TEXT: usize = 16;

/// How long to wait for a device. All bounds are per connection.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For its first bytes.
    pub hello: Duration,
    /// For its answer to our flight.
    pub handshake: Duration,
    /// For application data after a completed handshake (half of it, then a greeting if the real server has one, then the rest).
    pub data: Duration,
    /// For more data once some came.
    pub more: Duration,
    /// For its FIN or RST once it has refused.
    pub close: Duration,
}

impl Waits {
    /// As the policy wants a silent connection watched.
    pub fn of(thresholds: &policies::policy::Thresholds) -> Waits {
        Waits { data: Duration::from_millis(thresholds.trial_idle_ms.into()), ..Waits::default() }
    }
}

impl Default for Waits {
    fn default() -> Waits {
        Waits {
            hello: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            data: Duration::from_secs(5),
            more: Duration::from_millis(300),
            close: Duration::from_millis(500),
        }
    }
}

/// A connection to be treated.
#[derive(Debug)]
pub struct Visit<S> {
    pub stream: S,
    pub start: Start,
    /// What its server is told instead of those first bytes (a request that was meant for a proxy).
    pub onward: Option<Bytes>,
    /// Where the device wanted to go.
    pub server: SocketAddr,
    /// A connection to there, if one was opened to hear whether the server speaks first.
    pub there: Option<Socket>,
    /// The name it asked for, else the address as text.
    pub host: String,
    pub tap: Arc<dyn Tap>,
    pub progress: Progress,
    pub now: Time,
}

/// How far a connection that still runs has come: a control may stay open for hours, and its trial must not wait for its end.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Halfway>>);

#[derive(Debug)]
struct Halfway {
    began: std::time::Instant,
    /// A relayed connection's log.
    log: Option<SharedLog>,
    /// A control's handshake is done: what was negotiated.
    negotiated: Option<(Option<u16>, Option<Vec<u8>>)>,
    grade: Option<Evidence>,
    /// When it first said something.
    said: Option<std::time::Instant>,
    /// Who is told of requests that follow the first on a connection in clear.
    asked: Option<Sender<Bytes>>,
}

impl Default for Halfway {
    /// A connection begins now.
    fn default() -> Halfway {
        Halfway { began: std::time::Instant::now(), log: None, negotiated: None, grade: None, said: None, asked: None }
    }
}

impl Progress {
    /// When the device opened the connection.
    pub fn began(&self) -> std::time::Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).began
    }

    /// What the connection has shown so far: (grade, version, ALPN).
    pub fn so_far(&self) -> (Evidence, Option<u16>, Option<Vec<u8>>) {
        let half = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = half.log.as_ref().map(|log| {
            let log = log.lock();
            said(&log.records, log.sent, log.suite)
        });
        let (version, alpn) = half.negotiated.clone().unwrap_or_default();
        (half.grade.or(passed).unwrap_or(Evidence::E1), version, alpn)
    }

    /// Each request in clear that follows the first is sent there as it is passed on.
    pub fn tell_requests(&self, asked: Sender<Bytes>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(asked);
    }

    fn watch(&self, log: &SharedLog) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).log = Some(log.clone());
    }

    fn note(&self, conduct: &Conduct) {
        let mut half = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        half.negotiated = Some((conduct.version, conduct.alpn.clone()));
        half.grade = Some(conduct.grade);
    }

    fn grade(&self, grade: Evidence) {
        let mut half = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        half.grade = Some(grade);
        half.said.get_or_insert_with(std::time::Instant::now);
    }

    /// When the connection first said something, where it is known.
    pub fn said_at(&self) -> Option<std::time::Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).said
    }
}

/// Whether a sealed record of TLS 1.3 is as long as one with an alert: two bytes, their type and 16 of the tag (RFC 8446 §5.2), or the same
/// padded by 16.
fn is_alert_long(record: Record) -> bool {
    matches!(record.len, 19 | 35)
}

/// The same behind a Finished, whose length says whether this client pads: it is as long as the suite's hash, four bytes, type and tag.
fn is_alert_behind(finished: Record, record: Record, suite: Option<u16>) -> bool {
    let Some(plain) = suite.map(|suite| hash13(suite).size() + 21) else { return is_alert_long(record) };
    match usize::from(finished.len).checked_sub(plain) {
        Some(0) => record.len == 19,
        Some(16) => record.len == 35,
        _ => is_alert_long(record),
    }
}

/// What a relayed TLS client said, from its record headers alone: data (E5), a Finished and no more (E3), or only its hello (E1).
///
/// TLS 1.2: a Finished of at most 96 bytes follows ChangeCipherSpec as a handshake record, data are records of type 23. TLS 1.3: the first record
/// of type 23 is the Finished; one of 19 or 35 bytes is an alert (close_notify), anything else after it data.
pub fn said(records: &[Record], answered: u64, suite: Option<u16>) -> Evidence {
    if answered == 0 {
        return Evidence::E1;
    }
    let finished_12 = records.windows(2).any(|w| matches!(w, [a, b] if a.kind == 20 && b.kind == 22 && b.len <= 96));
    let mut encrypted = records.iter().filter(|r| r.kind == 23);
    if finished_12 {
        return if encrypted.next().is_some() { Evidence::E5 } else { Evidence::E3 };
    }
    match encrypted.next() {
        None => Evidence::E1,
        Some(first) if is_alert_long(*first) => Evidence::E2,
        Some(first) if encrypted.any(|r| !is_alert_behind(*first, *r, suite)) => Evidence::E5,
        Some(_) => Evidence::E3,
    }
}

/// An alert of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    pub code: u8,
    /// Known only of alerts in clear: 1 warning, 2 fatal.
    pub level: Option<u8>,
    pub encrypted: bool,
}

/// Why there is no reaction to the treatment to speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// The real server could not be reached.
    UpstreamDown,
    /// The real server's chain does not verify: no control is possible.
    UpstreamUnverified,
    /// The defect cannot be shown here (no RSA suite offered, no chain learned).
    NotForgeable,
    /// The device did not offer the version that the treatment needs.
    NotOffered,
    /// The connection holds no ClientHello.
    NotTls,
    /// We refused the hello (no common suite, group, scheme, ALPN).
    NoCommonGround,
    /// Our own fault.
    Ours,
}

/// What the device did: facts for the judge, which alone says whether that is good or bad.
#[derive(Clone, Debug)]
pub struct Conduct {
    pub grade: Evidence,
    /// The kernel saw our whole flight acknowledged; `None` where it does not say.
    pub acked: Option<bool>,
    /// The client's Finished was verified.
    pub handshake: bool,
    /// After a hand-written flight: it sent a ClientKeyExchange.
    pub key_exchange: bool,
    pub alert: Option<Alert>,
    pub end: TrialEnd,
    /// How its TCP side closed, as far as it was waited for.
    pub close: Close,
    pub hindrance: Option<Hindrance>,
    pub version: Option<u16>,
    pub suite: Option<u16>,
    pub alpn: Option<Vec<u8>>,
    /// First application bytes of the device, at most [`KEPT`]; of a relayed connection only where its server spoke first.
    pub data: Bytes,
    /// What it said in clear on this connection after its TLS had failed.
    pub in_clear: Bytes,
    /// Application bytes from and to the device (raw bytes for a pass).
    pub bytes: [u64; 2],
    /// The device's first record headers.
    pub records: Vec<Record>,
    /// From the last byte of our flight to the end.
    pub waited: Duration,
    /// From our flight's last byte to the first application byte.
    pub first_data: Option<Duration>,
}

impl Conduct {
    pub(crate) fn nothing(hindrance: Option<Hindrance>) -> Conduct {
        Conduct {
            grade: Evidence::E1,
            acked: None,
            handshake: false,
            key_exchange: false,
            alert: None,
            end: TrialEnd::Us,
            close: Close::None,
            hindrance,
            version: None,
            suite: None,
            alpn: None,
            data: Bytes::new(),
            in_clear: Bytes::new(),
            bytes: [0, 0],
            records: Vec::new(),
            waited: Duration::ZERO,
            first_data: None,
        }
    }
}

/// Everything that serving needs, shared by all connections.
#[derive(Debug)]
pub struct Server {
    pub mint: Mint,
    pub faces: Faces,
    pub upstream: Upstream,
    pub waits: Waits,
    /// What servers say before a device says anything of its own, learned from controls: shown to devices that fall silent under an attack.
    greetings: Mutex<HashMap<(SocketAddr, String), Greeting>>,
}

/// A server's part of a protocol's opening.
#[derive(Clone, Debug, Default)]
struct Greeting {
    /// Before the device's first byte.
    first: Bytes,
    /// An opening that every client sends, and the answer to it.
    opening: Bytes,
    reply: Bytes,
}

/// What the device is about to be shown; known before the first byte goes out, so that it can be written down first.
#[derive(Debug)]
pub struct Prepared {
    treatment: Treatment,
    learned: Option<Arc<Learned>>,
    chain: Option<Arc<Chain>>,
    /// The hand-written flight, for the treatments that have one.
    flight: Option<prober::Flight>,
    hindrance: Option<Hindrance>,
}

impl Prepared {
    /// What is really done: a control that is not possible becomes a pass, an attack that cannot be forged too.
    pub fn treatment(&self) -> &Treatment {
        if self.hindrance.is_some() { &Treatment::Pass } else { &self.treatment }
    }

    pub fn hindrance(&self) -> Option<Hindrance> {
        self.hindrance
    }

    pub fn chain(&self) -> &[CertificateDer<'static>] {
        self.chain.as_ref().map_or(&[], |c| &c.certificates)
    }

    pub fn honest(&self) -> &[CertificateDer<'static>] {
        self.learned.as_ref().map_or(&[], |l| &l.mirror.chain)
    }
}

impl Server {
    pub fn new(mint: Mint, upstream: Upstream, waits: Waits) -> Result<Server, Error> {
        Ok(Server { mint, faces: Faces::new()?, upstream, waits, greetings: Mutex::new(HashMap::new()) })
    }

    /// Learns from the real server what the treatment mirrors, and forges. Says in [`Prepared::hindrance`] why it cannot.
    pub async fn prepare<S>(&self, visit: &Visit<S>, treatment: Treatment, leaf: Leaf) -> Prepared {
        let mut out = Prepared { treatment, learned: None, chain: None, flight: None, hindrance: None };
        if out.treatment == Treatment::Pass {
            return out;
        }
        let Start::Tls { hello, .. } = &visit.start else {
            out.hindrance = Some(Hindrance::NotTls);
            return out;
        };
        let shape = out.treatment.shape();
        if let Shape::Only(version) | Shape::Flight(version) = shape {
            // The flight's version is the question itself; the version that rustls is to speak must have been offered.
            if matches!(shape, Shape::Only(_)) && !hello.offers(version) {
                out.hindrance = Some(Hindrance::NotOffered);
                return out;
            }
        }
        if shape == Shape::Cut {
            return out;
        }
        let control = matches!(out.treatment, Treatment::Control { .. });
        match self.upstream.learn(visit.server, &visit.host, hello).await {
            Ok(learned) if control && !learned.verified => {
                out.learned = Some(learned);
                out.hindrance = Some(Hindrance::UpstreamUnverified);
                return out;
            }
            Ok(learned) => out.learned = Some(learned),
            Err(_) if control => {
                out.hindrance = Some(Hindrance::UpstreamDown);
                return out;
            }
            // An attack needs no server: the host alone is mirrored.
            Err(_) => {}
        }
        let mirror = out.learned.as_ref().map_or_else(|| Arc::new(Mirror::bare(&visit.host)), |l| l.mirror.clone());
        let key = match shape {
            Shape::Flight(version) => prober::key_for(hello, version),
            _ => fitting(hello, version_for(shape, out.learned.as_deref(), hello), mirror.key),
        };
        let mirror = if key == mirror.key { mirror } else { Arc::new(Mirror { key, ..(*mirror).clone() }) };
        let chain = match out.treatment.defect() {
            None => self.mint.control(&mirror, leaf, visit.now),
            Some(defect) => self.mint.forged(&mirror, defect, visit.now),
        };
        // Whether the flight can be written at all must be known before the treatment is: a connection that is relayed after all
        // reaches its real server, and its request there would read as an acceptance.
        let made = chain.and_then(|chain| {
            if let Shape::Flight(version) = shape {
                let mut random = [0; 32];
                aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::Crypto("a random value"))?;
                out.flight = Some(prober::flight(hello, version, &chain, random)?);
            }
            Ok(chain)
        });
        match made {
            Ok(chain) => out.chain = Some(chain),
            Err(Error::NotForgeable { .. }) => out.hindrance = Some(Hindrance::NotForgeable),
            Err(_) => out.hindrance = Some(Hindrance::Ours),
        }
        out
    }

    /// Runs the connection to its end.
    pub async fn run<S: Link>(&self, visit: Box<Visit<S>>, prepared: Prepared) -> Conduct {
        let hindrance = prepared.hindrance;
        let mut conduct = match (prepared.treatment().clone(), &visit.start) {
            (Treatment::Pass, _) | (_, Start::Other { .. } | Start::Silent { .. } | Start::Gone { .. }) => self.pass(visit).await,
            (treatment, Start::Tls { .. }) => match (treatment.shape(), prepared.chain, prepared.flight) {
                (Shape::Cut, ..) => cut(visit).await,
                (Shape::Flight(_), _, Some(flight)) => self.probe(visit, flight).await,
                (_, Some(chain), None) => self.terminate(visit, &treatment, &chain, prepared.learned).await,
                _ => Conduct::nothing(Some(Hindrance::Ours)),
            },
        };
        conduct.hindrance = conduct.hindrance.or(hindrance);
        conduct
    }

    /// Relays raw bytes to where the device wanted to go.
    async fn pass<S: Link>(&self, visit: Box<Visit<S>>) -> Conduct {
        let gone = matches!(visit.start, Start::Gone { .. });
        let progress = visit.progress.clone();
        let mut wire = Wire::new(visit.stream, visit.start.seen().clone(), visit.tap);
        let log = wire.log();
        let there = match visit.there {
            Some(there) => Ok(there),
            None => self.upstream.connect(visit.server).await,
        };
        let Ok(mut server) = there else {
            wire.link_mut().abort();
            return Conduct::nothing(Some(Hindrance::UpstreamDown));
        };
        let mut conduct = Conduct::nothing(None);
        progress.watch(&log);
        if let Some(onward) = visit.onward {
            let mut head = vec![0; visit.start.seen().len()];
            let passed = async {
                wire.read_exact(&mut head).await?;
                server.write_all(&onward).await
            };
            if passed.await.is_err() {
                wire.link_mut().abort();
                return Conduct::nothing(Some(Hindrance::UpstreamDown));
            }
        }
        let silent = matches!(visit.start, Start::Silent { .. });
        let mut answer = Vec::new();
        let asked = progress.0.lock().unwrap_or_else(PoisonError::into_inner).asked.take();
        let mut first = true;
        let end = relay(&mut wire, &mut server, |dir, piece| {
            if let (Dir::Out, Some(asked)) = (dir, &asked)
                && !std::mem::take(&mut first)
                && preamble::request_line(piece).is_some()
            {
                // There is room for all that one turn of this task can read.
                let _ = asked.try_send(Bytes::copy_from_slice(piece.get(..piece.len().min(KEPT)).unwrap_or_default()));
            }
            let room = ANSWER.saturating_sub(answer.len()).min(piece.len());
            if silent && dir == Dir::Out {
                answer.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
        })
        .await;
        conduct.data = answer.into();
        carry_over_reset(&end, &mut wire);
        note(&mut conduct, &log);
        let log = log.lock();
        conduct.bytes = [log.received, log.sent];
        conduct.end = transport_end(log.closed);
        conduct.grade = said(&log.records, log.sent, log.suite);
        conduct.alert = log.plain_alert().map(|(level, code)| Alert { code, level: Some(level), encrypted: false });
        if gone && log.received == 0 {
            conduct.grade = Evidence::E0;
        }
        conduct
    }

    /// A hand-written flight, and the one record that answers it.
    async fn probe<S: Link>(&self, visit: Box<Visit<S>>, flight: prober::Flight) -> Conduct {
        let mut conduct = Conduct::nothing(None);
        conduct.version = Some(flight.version);
        conduct.suite = Some(flight.suite);
        let prefix = visit.start.seen().clone();
        let hello_len = prefix.len();
        let mut wire = Wire::new(visit.stream, prefix, visit.tap);
        let log = wire.log();
        // Read our own prefix back out, so that log and tap see it.
        let mut seen = vec![0; hello_len];
        let _ = wire.read_exact(&mut seen).await;
        let sent = async {
            wire.write_all(&flight.bytes).await?;
            wire.flush().await
        };
        if let Err(e) = sent.await {
            conduct.end = if is_reset(&e) { TrialEnd::Rst } else { TrialEnd::Us };
            note(&mut conduct, &log);
            return conduct;
        }
        let until = Instant::now() + self.waits.handshake;
        let mut answer = Vec::new();
        conduct.end = loop {
            match prober::reply(&answer) {
                Reply::More if answer.len() < KEPT => {}
                Reply::KeyExchange => {
                    conduct.key_exchange = true;
                    break TrialEnd::Us;
                }
                Reply::Alert(level, code) => {
                    conduct.alert = Some(Alert { code, level: Some(level), encrypted: false });
                    break TrialEnd::Alert;
                }
                Reply::Other | Reply::More => break TrialEnd::Us,
            }
            match timeout_at(until, wire.read_buf(&mut answer)).await {
                Err(_) => break TrialEnd::Timeout,
                Ok(Ok(0)) => break TrialEnd::Fin,
                Ok(Ok(_)) => {}
                Ok(Err(e)) => break if is_reset(&e) { TrialEnd::Rst } else { TrialEnd::Us },
            }
        };
        // Asked before our side closes, whose FIN would count as one more.
        conduct.acked = acked(&wire, &log, flight.bytes.len() as u64);
        if conduct.key_exchange {
            // There will be no Finished to verify: this is as far as a client can go along with such a flight.
            conduct.grade = Evidence::E3;
        } else if conduct.acked == Some(true) {
            conduct.grade = Evidence::E2;
        }
        self.linger(&mut wire, &conduct).await;
        note(&mut conduct, &log);
        conduct
    }

    /// Terminates TLS as the shown face: a control is relayed to the real server, an attack ends here.
    async fn terminate<S: Link>(
        &self,
        visit: Box<Visit<S>>,
        treatment: &Treatment,
        chain: &Chain,
        learned: Option<Arc<Learned>>,
    ) -> Conduct {
        let Some(hello) = visit.start.hello() else { return Conduct::nothing(Some(Hindrance::NotTls)) };
        let control = matches!(treatment, Treatment::Control { .. });
        // A control's channel to the real server stands before the device is answered: what it negotiates is what the device gets.
        let mut leg = None;
        let mut learned = learned;
        if control {
            // Boxed, as the device's side below and all that is over before the relay: a future keeps a place for whatever it ever holds.
            let opened = async {
                let stream = self.upstream.connect(visit.server).await?;
                let (tls, now) = self.upstream.open(stream, visit.server, &visit.host, hello).await?;
                Ok::<_, Error>((Box::new(tls), now))
            };
            match Box::pin(opened).await {
                Ok((tls, now)) => {
                    leg = Some(tls);
                    learned = Some(now);
                }
                Err(_) => return self.fall_back(visit, Hindrance::UpstreamDown).await,
            }
        }
        let version = version_for(treatment.shape(), learned.as_deref(), hello);
        // A server that was not learned speaks HTTP/1.1 if the device does, and otherwise what the device likes best.
        let fallback = || hello.alpn.iter().find(|p| *p == b"http/1.1").or(hello.alpn.first()).cloned();
        let alpn = match &learned {
            Some(l) if l.verified => l.alpn.clone().filter(|p| hello.alpn.contains(p)),
            _ => fallback(),
        };
        let certified = chain.certified().map(|sound| match treatment.defect() {
            Some(Defect::KxSignatureCorrupt | Defect::VerifySignatureCorrupt) => {
                Arc::new(CertifiedKey::new(sound.cert.clone(), Arc::new(Astray(sound.key.clone()))))
            }
            _ => sound,
        });
        let Ok(certified) = certified else { return Conduct::nothing(Some(Hindrance::Ours)) };
        let marked = treatment.defect() == Some(&Defect::DowngradeMarker12);
        let config = self.faces.config(Face { certified, version, alpn, marked, old: hello.is_old() }, visit.tap.clone());

        let mut conduct = Conduct::nothing(None);
        // Taken apart: the hello is not kept while the connection lasts.
        let Visit { stream, start, server, host, tap, progress, .. } = *visit;
        let (prefix, place) = (start.seen().clone(), (server, host));
        drop((start, learned));
        let wire = Wire::new(stream, prefix, tap.clone());
        let log = wire.log();
        let accept = TlsAcceptor::from(config).accept(wire).into_fallible();
        let accept = async { accept.await.map(Box::new).map_err(Box::new) };
        let mut tls = match Box::pin(timeout(self.waits.handshake, accept)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(failed)) => {
                let (e, mut wire) = *failed;
                read_error(&e, &log, &mut conduct);
                let flight = flight_before(&e, &log);
                conduct.acked = acked(&wire, &log, flight);
                if conduct.hindrance.is_none() && conduct.acked == Some(true) && flight > 0 {
                    conduct.grade = Evidence::E2;
                }
                conduct.in_clear = self.linger(&mut wire, &conduct).await;
                note(&mut conduct, &log);
                return conduct;
            }
            Err(_) => {
                conduct.end = TrialEnd::Timeout;
                note(&mut conduct, &log);
                return conduct;
            }
        };
        conduct.handshake = true;
        conduct.acked = Some(true);
        conduct.grade = Evidence::E3;
        {
            let (_, session) = tls.get_ref();
            conduct.version = session.protocol_version().map(u16::from);
            conduct.suite = session.negotiated_cipher_suite().map(|s| u16::from(s.suite()));
            conduct.alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        }
        if let Some(leg) = leg {
            progress.note(&conduct);
            self.relay(tls, leg, &log, (tap, progress), place, &mut conduct).await;
        } else {
            self.listen(&mut tls, &log, &*tap, &place, &mut conduct).await;
            let (mut wire, _) = (*tls).into_inner();
            conduct.in_clear = self.linger(&mut wire, &conduct).await;
        }
        note(&mut conduct, &log);
        conduct
    }

    /// A control: both legs stand, bytes pass unchanged.
    async fn relay<S: Link>(
        &self,
        mut tls: Box<TlsStream<Wire<S>>>,
        mut leg: Box<tokio_rustls::client::TlsStream<Socket>>,
        log: &SharedLog,
        (tap, progress): (Arc<dyn Tap>, Progress),
        place: (SocketAddr, String),
        conduct: &mut Conduct,
    ) {
        let after = Instant::now();
        let mut data: Vec<u8> = Vec::new();
        let (mut greeting, mut reply) = (Vec::new(), Vec::new());
        let mut asked = Bytes::new();
        let mut bytes = [0u64; 2];
        let mut first = None;
        let mut settled = false;
        let mut opening = false;
        let alpn = conduct.alpn.clone();
        let end = relay(&mut *tls, &mut *leg, |dir, piece| {
            tap.plain(dir, piece);
            let count = &mut bytes[dir.index()];
            *count += piece.len() as u64;
            match dir {
                Dir::Out => {
                    first.get_or_insert_with(|| after.elapsed());
                    let room = KEPT.saturating_sub(data.len()).min(piece.len());
                    data.extend_from_slice(piece.get(..room).unwrap_or_default());
                    if room > 0 && !settled {
                        let grade = preamble::grade(&data, alpn.as_deref());
                        settled = grade >= Evidence::E5 && data.len() >= preamble::SETTLED;
                        opening = grade == Evidence::E4;
                        progress.grade(grade);
                    }
                }
                Dir::Back => {
                    if opening && reply.is_empty() {
                        asked = Bytes::copy_from_slice(&data);
                    }
                    let said = if first.is_none() { &mut greeting } else { &mut reply };
                    if (first.is_none() || opening) && said.len() + piece.len() <= LONGEST_GREETING {
                        said.extend_from_slice(piece);
                    }
                }
            }
        })
        .await;
        if !greeting.is_empty() || !reply.is_empty() {
            let mut all = self.greetings.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST_GREETINGS {
                all.clear();
            }
            all.insert(place, Greeting { first: greeting.into(), opening: asked, reply: reply.into() });
        }
        conduct.first_data = first;
        conduct.bytes = bytes;
        conduct.grade = preamble::grade(&data, conduct.alpn.as_deref());
        conduct.data = data.into();
        conduct.end = match &end {
            relay::End::Failed(Dir::Out, e) => {
                read_error(e, log, conduct);
                conduct.end
            }
            relay::End::Done | relay::End::Left(_) => TrialEnd::CloseNotify,
            relay::End::Failed(Dir::Back, _) => TrialEnd::Us,
        };
        let (wire, _) = tls.get_mut();
        carry_over_reset(&end, wire);
    }

    /// An attack whose handshake was completed: what does the device say into the false channel?
    async fn listen<S: Link>(
        &self,
        tls: &mut TlsStream<Wire<S>>,
        log: &SharedLog,
        tap: &dyn Tap,
        place: &(SocketAddr, String),
        conduct: &mut Conduct,
    ) {
        let after = Instant::now();
        let half = after + self.waits.data / 2;
        let until = after + self.waits.data;
        let h2 = conduct.alpn.as_deref() == Some(b"h2");
        if h2 {
            // What any HTTP/2 server says first (RFC 9113 §3.4): an empty SETTINGS frame, so that a client that waits for it goes on.
            let _ = tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            let _ = tls.flush().await;
        }
        let known = self.greetings.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned().filter(|_| !h2).unwrap_or_default();
        let words = |bytes: Bytes| (!bytes.is_empty()).then_some(bytes);
        let (mut greeting, mut reply) = (words(known.first.clone()), words(known.reply.clone()));
        let mut data: Vec<u8> = Vec::new();
        let mut bytes = 0u64;
        let mut buffer = vec![0; 16 * 1024];
        conduct.end = loop {
            let grade = preamble::grade(&data, conduct.alpn.as_deref());
            let content = grade >= Evidence::E5;
            let opened = grade == Evidence::E4 && reply.is_some();
            let wait = if content || opened {
                Instant::now() + self.waits.more
            } else if greeting.is_some() {
                half
            } else {
                until
            };
            match timeout_at(wait, tls.read(&mut buffer)).await {
                Ok(Ok(0)) => break TrialEnd::CloseNotify,
                Ok(Ok(n)) => {
                    let piece = buffer.get(..n).unwrap_or_default();
                    tap.plain(Dir::Out, piece);
                    conduct.first_data.get_or_insert_with(|| after.elapsed());
                    bytes += n as u64;
                    let room = KEPT.saturating_sub(data.len()).min(n);
                    data.extend_from_slice(piece.get(..room).unwrap_or_default());
                    if data.len() >= KEPT {
                        break TrialEnd::Us;
                    }
                }
                Ok(Err(e)) => {
                    read_error(&e, log, conduct);
                    break conduct.end;
                }
                Err(_) if content => break TrialEnd::Us,
                Err(_) => {
                    match if opened { reply.take().map(|r| preamble::retagged(&r, &known.opening, &data)) } else { greeting.take() } {
                        Some(words) => {
                            let _ = tls.write_all(&words).await;
                            let _ = tls.flush().await;
                        }
                        None => break TrialEnd::Timeout,
                    }
                }
            }
        };
        conduct.bytes = [bytes, 0];
        conduct.grade = preamble::grade(&data, conduct.alpn.as_deref());
        conduct.data = data.into();
    }

    /// The treatment cannot be shown after all: the device gets its real server.
    async fn fall_back<S: Link>(&self, visit: Box<Visit<S>>, why: Hindrance) -> Conduct {
        let mut conduct = Box::pin(self.pass(visit)).await;
        conduct.hindrance = Some(why);
        conduct
    }

    /// Waits a little for the device's FIN or RST; what it still sends is thrown away, but for text in clear.
    async fn linger<S: Link>(&self, wire: &mut Wire<S>, conduct: &Conduct) -> Bytes {
        let mut said = Vec::new();
        if matches!(conduct.end, TrialEnd::Us | TrialEnd::Timeout) {
            return Bytes::new();
        }
        let until = Instant::now() + self.waits.close;
        let mut buffer = vec![0; 1024];
        while let Ok(Ok(n)) = timeout_at(until, wire.read(&mut buffer)).await
            && n > 0
        {
            let room = KEPT.saturating_sub(said.len()).min(n);
            said.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
        if preamble::is_text(&said, LEAST_TEXT) { said.into() } else { Bytes::new() }
    }
}

/// TLS to this server is cut: RST as the answer to the ClientHello.
async fn cut<S: Link>(visit: Box<Visit<S>>) -> Conduct {
    let mut conduct = Conduct::nothing(None);
    let prefix = visit.start.seen().clone();
    let mut seen = vec![0; prefix.len()];
    let mut wire = Wire::new(visit.stream, prefix, visit.tap);
    let _ = wire.read_exact(&mut seen).await;
    let log = wire.log();
    wire.link_mut().abort();
    note(&mut conduct, &log);
    conduct
}

/// The version that the device is answered in: the treatment's, else the real server's, else its own newest.
fn version_for(shape: Shape, learned: Option<&Learned>, hello: &Hello) -> u16 {
    match shape {
        Shape::Only(version) => version,
        _ => learned.map(|l| l.version).filter(|v| hello.offers(*v)).unwrap_or_else(|| newest(hello)),
    }
}

/// The kind of key for this device: that of the real server as we met it, unless the device takes only the other. Servers with a key of each
/// kind choose by what they are asked, and we ask for both.
fn fitting(hello: &Hello, version: u16, key: KeyKind) -> KeyKind {
    let other = match key {
        KeyKind::P256 => KeyKind::Rsa2048,
        KeyKind::Rsa2048 => KeyKind::P256,
    };
    if !hello.takes(key, version) && hello.takes(other, version) { other } else { key }
}

fn newest(hello: &Hello) -> u16 {
    if hello.offers(0x0304) { 0x0304 } else { 0x0303 }
}

/// Whether all `flight` bytes of ours have reached the device's TCP.
fn acked<S: Link>(wire: &Wire<S>, log: &SharedLog, flight: u64) -> Option<bool> {
    let sent = log.lock().sent;
    wire.link().acked().map(|n| n >= flight.min(sent))
}

/// How many bytes of ours the device had to get before this happened. What it said last made the TLS library fail, and the library's own alert
/// went out after that: whether that one arrives says nothing about the flight.
fn flight_before(e: &io::Error, log: &SharedLog) -> u64 {
    let log = log.lock();
    let ours = e.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
    if ours { log.sent_before_last } else { log.sent }
}

/// Copies out of the log what a conduct keeps of it.
fn note(conduct: &mut Conduct, log: &SharedLog) {
    let log = log.lock();
    conduct.records.clone_from(&log.records);
    conduct.close = log.closed.unwrap_or(Close::None);
    if let (Some(sent), Some(received)) = (log.last_sent, log.last_received) {
        conduct.waited = received.saturating_duration_since(sent);
    }
    if conduct.end == TrialEnd::Timeout {
        conduct.waited = log.last_sent.map_or(Duration::ZERO, |t| t.elapsed());
    }
}

fn transport_end(closed: Option<Close>) -> TrialEnd {
    match closed {
        Some(Close::Fin) => TrialEnd::Fin,
        Some(Close::Rst) => TrialEnd::Rst,
        Some(Close::None) | None => TrialEnd::Us,
    }
}

/// A reset on one side of a relay becomes a reset on the other.
fn carry_over_reset<S: Link>(end: &relay::End, wire: &mut Wire<S>) {
    if let relay::End::Failed(Dir::Back, e) | relay::End::Left(e) = end
        && is_reset(e)
    {
        wire.link_mut().abort();
    }
}

fn first_sealed_is_an_alert(log: &SharedLog) -> bool {
    let log = log.lock();
    let mut sealed = log.records.iter().filter(|r| r.kind == 23);
    sealed.next().is_some_and(|r| is_alert_long(*r)) && sealed.next().is_none()
}

/// The exhaustive table from what the TLS library says to what the device did.
fn read_error(e: &io::Error, log: &SharedLog, conduct: &mut Conduct) {
    let known = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    conduct.end = match known {
        Some(rustls::Error::AlertReceived(alert)) => {
            let code = u8::from(*alert);
            let plain = log.lock().plain_alert().filter(|(_, c)| *c == code);
            conduct.alert = Some(Alert { code, level: plain.map(|(level, _)| level), encrypted: plain.is_none() });
            if *alert == AlertDescription::CloseNotify { TrialEnd::CloseNotify } else { TrialEnd::Alert }
        }
        // The first sealed record cannot be opened, and is as long as an alert: a device that found the handshake wrong may say so under
        // other keys than ours.
        Some(rustls::Error::DecryptError) if first_sealed_is_an_alert(log) => TrialEnd::Alert,
        // Incompatible, or a device that breaks the protocol: the attempt ends by our alert, which is neither acceptance nor refusal.
        Some(_) => {
            conduct.hindrance = Some(Hindrance::NoCommonGround);
            TrialEnd::Us
        }
        None if is_reset(e) => {
            log.lock().closed.get_or_insert(Close::Rst);
            TrialEnd::Rst
        }
        None if e.kind() == io::ErrorKind::UnexpectedEof => TrialEnd::Fin,
        None => TrialEnd::Us,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths as measured of real stacks.
    #[test]
    fn what_a_relayed_client_said() {
        for (records, expect) in [
            (&[(22, 512)][..], Evidence::E1),
            (&[(22, 512), (21, 2)], Evidence::E1),
            (&[(22, 512), (20, 1), (23, 69), (23, 96)], Evidence::E5),
            (&[(22, 512), (20, 1), (23, 53)], Evidence::E3),
            (&[(22, 512), (20, 1), (23, 53), (23, 19)], Evidence::E3),
            (&[(22, 512), (20, 1), (23, 85), (23, 35)], Evidence::E3),
            (&[(22, 512), (20, 1), (23, 19)], Evidence::E2),
            (&[(22, 200), (22, 37), (20, 1), (22, 40), (23, 100)], Evidence::E5),
            (&[(22, 200), (22, 37), (20, 1), (22, 40), (21, 26)], Evidence::E3),
            // HelloRetryRequest: ChangeCipherSpec comes before the second hello.
            (&[(22, 512), (20, 1), (22, 512), (23, 53)], Evidence::E3),
        ] {
            let records: Vec<Record> = records.iter().map(|(kind, len)| Record { kind: *kind, len: *len, alert: None }).collect();
            assert_eq!(said(&records, 100, None), expect, "{records:?}");
        }
        assert_eq!(said(&[], 0, None), Evidence::E1);
        // A request of 18 bytes is as long as an alert of a client that pads; the Finished shows whether this one does.
        for (suite, finished, behind, expect) in [
            (0x1302, 69, 35, Evidence::E5),
            (0x1302, 69, 19, Evidence::E3),
            (0x1302, 85, 35, Evidence::E3),
            (0x1301, 69, 35, Evidence::E3),
            (0x1301, 53, 35, Evidence::E5),
            (0x1301, 281, 35, Evidence::E3),
        ] {
            let records = [finished, behind].map(|len| Record { kind: 23, len, alert: None });
            assert_eq!(said(&records, 100, Some(suite)), expect, "{suite:x} {finished} {behind}");
        }
    }
}
