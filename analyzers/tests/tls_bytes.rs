//! TLS and QUIC from published traces: what is said of them with keys, without, with wrong ones, cut anywhere, and damaged.

#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_for_each, reason = "tests")]

use std::sync::Arc;

use analyzers::chunk::{Chunk, Gap, Layer, Lost, Unit, Want};
use analyzers::encode::unhex;
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use analyzers::keys::{Keys, Secret, SecretLabel};
use analyzers::observation::{KeyExchange, NotOpened, Observation, ReactionKind};
use analyzers::pipeline::{Out, Pipeline, Tools};
use policies::Time;
use proptest::prelude::*;

const RFC8448: &str = include_str!("data/rfc8448-3.txt");
const TLS12: &str = include_str!("data/tls12-lab.txt");
const RFC9001: &str = include_str!("data/rfc9001-a.txt");

type Piece = (Dir, Vec<u8>);

/// The pieces of a trace, by direction, in order; the rest of the lines are a key log.
fn trace(text: &str) -> (Vec<Piece>, Vec<Secret>) {
    let (mut pieces, mut secrets) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["c", hex] => pieces.push((Dir::Out, unhex(hex).unwrap())),
            ["s", hex] => pieces.push((Dir::Back, unhex(hex).unwrap())),
            [label, random, secret] if SecretLabel::parse(label.as_bytes()).is_some() => secrets.push(Secret {
                label: SecretLabel::parse(label.as_bytes()).unwrap(),
                client_random: unhex(random).unwrap().try_into().unwrap(),
                secret: unhex(secret).unwrap(),
            }),
            _ => {}
        }
    }
    (pieces, secrets)
}

struct Told {
    seen: Vec<Observation>,
}

impl Told {
    fn words(&self) -> Vec<&'static str> {
        self.seen.iter().map(Observation::word).filter(|w| *w != "flow").collect()
    }

    fn of<T>(&self, pick: impl Fn(&Observation) -> Option<T>) -> Option<T> {
        self.seen.iter().find_map(pick)
    }
}

/// A flow's life: pieces in order, FIN from both sides at the end.
struct Feed {
    pipeline: Pipeline,
    out: Vec<Out>,
    offset: [u64; 2],
    /// What nobody wants is not handed in, as in a capture.
    want: [Want; 2],
    transport: Transport,
}

const KEY: FlowKey = FlowKey::new(0, 1);

impl Feed {
    fn new(transport: Transport, from_start: bool, secrets: &[Secret]) -> Feed {
        let mut keys = Keys::default();
        for secret in secrets {
            keys.insert(secret.clone());
        }
        let mut pipeline = Pipeline::new(Arc::new(Tools { keys: Arc::new(keys), ..Tools::default() }));
        let mut out = Vec::new();
        let (a, b) = ("10.0.0.2:40000".parse().unwrap(), "198.51.100.7:443".parse().unwrap());
        pipeline.open(KEY, &Ends { transport, a, b, a_mac: None, b_mac: None, from_start }, Time(0), 1, &mut out);
        Feed { pipeline, out, offset: [0; 2], want: [Want::All; 2], transport }
    }

    fn piece(&mut self, dir: Dir, bytes: &[u8]) {
        let offset = &mut self.offset[dir.index()];
        let unit = if self.transport == Transport::Udp { Unit::Datagram } else { Unit::Stream { offset: *offset } };
        *offset += bytes.len() as u64;
        let want = &mut self.want[dir.index()];
        if *want == Want::Nothing {
            self.pipeline.passed(KEY, dir, bytes.len() as u64, Time(0));
            return;
        }
        *want = self.pipeline.chunk(Chunk { flow: KEY, dir, unit, layer: Layer::Wire, time: Time(0), frame: 2, bytes }, &mut self.out);
    }

    fn gap(&mut self, dir: Dir, len: u64) {
        let offset = self.offset[dir.index()];
        self.offset[dir.index()] += len;
        self.pipeline.gap(Gap { flow: KEY, dir, offset, len, why: Lost::Sequence, time: Time(0), frame: 2 }, &mut self.out);
    }

    fn close(mut self) -> Told {
        let counts = Counts { fin: [true, true], ..Counts::default() };
        self.pipeline.close(KEY, FlowEnd::Fin, &counts, Time(1), 3, &mut self.out);
        let seen = self.out.into_iter().filter_map(|o| if let Out::Seen(draft) = o { Some(draft.seen) } else { None });
        Told { seen: seen.collect() }
    }
}

fn whole(pieces: &[Piece], secrets: &[Secret]) -> Told {
    let mut feed = Feed::new(Transport::Tcp, true, secrets);
    pieces.iter().for_each(|(dir, bytes)| feed.piece(*dir, bytes));
    feed.close()
}

fn reaction(told: &Told) -> (ReactionKind, bool, u64, bool) {
    told.of(|o| if let Observation::Reaction(r) = o { Some((r.reaction, r.finished, r.client_bytes, r.decrypted)) } else { None }).unwrap()
}

fn undecrypted(told: &Told) -> Option<(NotOpened, u64)> {
    told.of(|o| if let Observation::Undecrypted(u) = o { Some((u.reason, u.bytes)) } else { None })
}

/// Whether closed bytes are said to lie under a choice of the server's that was not seen.
fn choice_unseen(told: &Told) -> Option<bool> {
    told.of(|o| if let Observation::Undecrypted(u) = o { Some(u.choice_unseen) } else { None })
}

#[test]
fn rfc8448_with_keys() {
    let (pieces, secrets) = trace(RFC8448);
    let told = whole(&pieces, &secrets);
    assert_eq!(told.words(), ["bound", "hello", "certificate", "served", "reaction", "unparsed"]);
    let (sni, ja4) = told.of(|o| if let Observation::Hello(h) = o { Some((h.sni.clone().unwrap(), h.ja4.clone())) } else { None }).unwrap();
    assert_eq!(sni, "server");
    assert!(ja4.as_str().starts_with("t13d030900_"), "{ja4}");
    told.of(|o| {
        let Observation::Served(s) = o else { return None };
        assert_eq!((s.version, s.suite, s.key_exchange, s.group), (0x0304, 0x1301, KeyExchange::Ecdhe, Some(29)));
        assert_eq!((s.chain.len(), s.chain_hidden, s.resumed, s.retry), (1, false, false, false));
        Some(())
    })
    .unwrap();
    told.of(|o| {
        let Observation::Certificate(c) = o else { return None };
        assert_eq!((c.key.as_str(), c.signature.as_str(), c.subject.as_str()), ("rsa-1024", "rsa-sha256", "CN=rsa"));
        Some(())
    })
    .unwrap();
    assert_eq!(reaction(&told), (ReactionKind::Data, true, 50, true));
    assert_eq!(undecrypted(&told), None);
}

#[test]
fn rfc8448_without_keys() {
    let (pieces, _) = trace(RFC8448);
    let told = whole(&pieces, &[]);
    assert_eq!(told.words(), ["bound", "hello", "served", "reaction", "undecrypted"]);
    assert_eq!(reaction(&told), (ReactionKind::Data, true, 67, false));
    let sealed: usize = pieces.iter().filter(|(_, b)| b[0] == 23).map(|(_, b)| b.len()).sum();
    assert_eq!(undecrypted(&told), Some((NotOpened::NoKey, sealed as u64)));
    // What the client did is told from what it did: each prefix of its records.
    let until = |n: usize| {
        let mut client = 0;
        let mut part = pieces.clone();
        part.retain(|(dir, b)| {
            let sealed = *dir == Dir::Out && b[0] == 23;
            client += usize::from(sealed);
            !sealed || client <= n
        });
        reaction(&whole(&part, &[])).0
    };
    assert_eq!([until(0), until(1), until(2), until(3)], [ReactionKind::None, ReactionKind::None, ReactionKind::Data, ReactionKind::Data]);
}

/// What is opened and then not inflated would be noise: alerts and messages that nobody sent.
#[test]
fn compressed_records_are_not_opened() {
    let random = [9; 32];
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3, 0, body.len() as u8][..], body].concat();
    let hello = |kind: u8, body: &[u8]| record(22, &[&[kind, 0, 0, body.len() as u8][..], body].concat());
    let master = Secret { label: SecretLabel::Master, client_random: random, secret: vec![1; 48] };
    for (method, expect) in [(0, NotOpened::WrongKey), (1, NotOpened::WrongKey), (64, NotOpened::Unsupported)] {
        let client = [&[3, 3][..], &random, &[0, 0, 2, 0xc0, 0x2f, 2, 1, 0]].concat();
        let server = [&[3, 3][..], &random, &[0, 0xc0, 0x2f, method]].concat();
        let pieces = [
            (Dir::Out, hello(1, &client)),
            (Dir::Back, hello(2, &server)),
            (Dir::Out, record(20, &[1])),
            (Dir::Out, record(22, &[5; 40])),
            (Dir::Out, record(23, &[5; 60])),
        ];
        let told = whole(&pieces, std::slice::from_ref(&master));
        assert_eq!(undecrypted(&told).map(|u| u.0), Some(expect), "compression method {method}");
    }
}

#[test]
fn some_keys() {
    let (pieces, secrets) = trace(RFC8448);
    let only = |labels: &[SecretLabel]| -> Vec<Secret> { secrets.iter().filter(|s| labels.contains(&s.label)).cloned().collect() };
    // The application's secrets alone: its first record is searched for.
    let told = whole(&pieces, &only(&[SecretLabel::ClientTraffic(0), SecretLabel::ServerTraffic(0)]));
    assert_eq!(reaction(&told), (ReactionKind::Data, true, 50, true));
    // The handshake's alone: certificates, and no more.
    let told = whole(&pieces, &only(&[SecretLabel::ClientHandshake, SecretLabel::ServerHandshake]));
    assert_eq!(told.words(), ["bound", "hello", "certificate", "served", "reaction", "undecrypted"]);
    assert_eq!(reaction(&told).0, ReactionKind::Data);
    assert_eq!(undecrypted(&told).map(|u| u.0), Some(NotOpened::NoKey));
    // Wrong ones: the shape of the records still tells.
    let mut wrong = secrets.clone();
    wrong.iter_mut().for_each(|s| s.secret[0] ^= 1);
    let told = whole(&pieces, &wrong);
    assert_eq!(reaction(&told), (ReactionKind::Data, true, 67, false));
    assert_eq!(undecrypted(&told).map(|u| u.0), Some(NotOpened::WrongKey));
}

/// HKDF-Expand-Label (RFC 8446 §7.1) without context.
fn expand<const N: usize>(secret: &[u8], label: &str) -> [u8; N] {
    use aws_lc_rs::hmac;
    let label = format!("tls13 {label}");
    let info = [&(N as u16).to_be_bytes()[..], &[label.len() as u8], label.as_bytes(), &[0, 1]].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &info);
    tag.as_ref()[..N].try_into().unwrap()
}

/// A record of TLS_AES_128_GCM_SHA256, sealed under this traffic secret as its `n`th.
fn sealed(secret: &[u8], n: u64, kind: u8, inner: &[u8]) -> Vec<u8> {
    use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &expand::<16>(secret, "key")).unwrap());
    let mut nonce: [u8; 12] = expand(secret, "iv");
    nonce[4..].iter_mut().zip(n.to_be_bytes()).for_each(|(b, n)| *b ^= n);
    let mut body = [inner, &[kind]].concat();
    let head = [&[23, 3, 3][..], &(body.len() as u16 + 16).to_be_bytes()].concat();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&head), &mut body).unwrap();
    [head, body].concat()
}

/// A client that is asked for its certificate after the handshake (RFC 8446 §4.6.2) says Finished again; its key stays.
#[test]
fn a_certificate_asked_for_later() {
    let (mut pieces, secrets) = trace(RFC8448);
    let secret = &secrets.iter().find(|s| s.label == SecretLabel::ClientTraffic(0)).unwrap().secret;
    let alert = pieces.iter().rposition(|(dir, _)| *dir == Dir::Out).unwrap();
    let finished = [&[20, 0, 0, 32][..], &[7; 32]].concat();
    let certificate = [11, 0, 0, 4, 0, 0, 0, 0];
    let mut later = vec![(Dir::Out, sealed(secret, 1, 22, &[&certificate[..], &finished].concat()))];
    later.extend((2..4).map(|n| (Dir::Out, sealed(secret, n, 23, &[b'x'; 30]))));
    pieces.splice(alert..=alert, later);
    let told = whole(&pieces, &secrets);
    assert_eq!((reaction(&told), undecrypted(&told)), ((ReactionKind::Data, true, 110, true), None));
}

#[test]
fn late_keys() {
    let (pieces, secrets) = trace(RFC8448);
    let mut feed = Feed::new(Transport::Tcp, true, &[]);
    for (i, (dir, bytes)) in pieces.iter().enumerate() {
        // After the ServerHello's flight, before the first application record.
        if i == 5 {
            secrets.iter().for_each(|s| feed.pipeline.key(s.clone()));
        }
        feed.piece(*dir, bytes);
    }
    assert_eq!(reaction(&feed.close()), (ReactionKind::Data, true, 50, true));
}

/// The server's ChangeCipherSpec ends a segment: its key is looked for at the record after it all the same.
#[test]
fn tls12_in_segments() {
    let (pieces, secrets) = trace(TLS12);
    let told = whole(&pieces, &secrets);
    assert_eq!(told.words(), ["bound", "hello", "certificate", "certificate", "served", "request", "reaction"]);
    check12(&told);
}

/// The client's Finished comes with the message its key is made of, so before the key.
#[test]
fn tls12_key_after_finished() {
    let (pieces, secrets) = trace(TLS12);
    for (late, open) in [(2, true), (3, true), (4, true), (5, true), (6, false)] {
        let mut feed = Feed::new(Transport::Tcp, true, &[]);
        // The keys of other connections came before.
        feed.pipeline.key(Secret { client_random: [9; 32], ..secrets[0].clone() });
        for (i, (dir, bytes)) in pieces.iter().enumerate() {
            if i == late {
                secrets.iter().for_each(|s| feed.pipeline.key(s.clone()));
            }
            feed.piece(*dir, bytes);
        }
        let told = feed.close();
        if open {
            check12(&told);
        } else {
            assert!(undecrypted(&told).is_some_and(|(why, bytes)| why == NotOpened::NoKey && bytes > 45), "{late}");
        }
    }
}

fn check12(told: &Told) {
    let status = told.of(|o| if let Observation::Request(r) = o { Some(r.status) } else { None });
    assert_eq!(status, Some(Some(404)));
    assert_eq!(reaction(told), (ReactionKind::Data, true, 113, true));
    assert_eq!(undecrypted(told), None);
    let coverage = told.of(|o| if let Observation::Flow(f) = o { Some(f.coverage) } else { None }).unwrap();
    assert_eq!((coverage.encrypted, coverage.unparsed), (0, 0));
    assert_eq!(coverage.analysed, 2001);
}

#[test]
fn holes() {
    let (pieces, secrets) = trace(RFC8448);
    // The client's Finished is missing: without keys nothing can be said, nor with them.
    for secrets in [&secrets[..], &[]] {
        let mut feed = Feed::new(Transport::Tcp, true, secrets);
        for (i, (dir, bytes)) in pieces.iter().enumerate() {
            if i == 3 { feed.gap(*dir, bytes.len() as u64) } else { feed.piece(*dir, bytes) }
        }
        let told = feed.close();
        assert_eq!(reaction(&told).0, ReactionKind::Unknown);
        assert_eq!(undecrypted(&told).map(|u| u.0), Some(NotOpened::Gap));
    }
    // A hole inside a record nobody opens is none: the server's certificate flight.
    let mut feed = Feed::new(Transport::Tcp, true, &[]);
    for (i, (dir, bytes)) in pieces.iter().enumerate() {
        if i == 2 {
            feed.piece(*dir, &bytes[..100]);
            feed.gap(*dir, 300);
            feed.piece(*dir, &bytes[400..]);
        } else {
            feed.piece(*dir, bytes);
        }
    }
    assert_eq!(reaction(&feed.close()), (ReactionKind::Data, true, 67, false));
}

/// A capture that holds one side only says nothing of what the other did.
#[test]
fn one_side_only() {
    let (pieces, _) = trace(RFC8448);
    let mut feed = Feed::new(Transport::Tcp, true, &[]);
    pieces.iter().filter(|(dir, _)| *dir == Dir::Back).for_each(|(dir, bytes)| feed.piece(*dir, bytes));
    let told = feed.close();
    assert_eq!(told.words(), ["bound", "served", "reaction", "undecrypted"]);
    assert_eq!(reaction(&told).0, ReactionKind::Unknown);
}

/// What is sealed lies under a version and suite that the server chose: whether that was seen is said, and nothing else makes it unseen.
#[test]
fn a_choice_that_was_not_seen() {
    for (name, text) in [("1.3", RFC8448), ("1.2", TLS12)] {
        let (pieces, _) = trace(text);
        let told = |from_start: bool, keep: &dyn Fn(usize, Dir) -> bool, lost: bool| {
            let mut feed = Feed::new(Transport::Tcp, from_start, &[]);
            for (i, (dir, bytes)) in pieces.iter().enumerate() {
                if keep(i, *dir) {
                    feed.piece(*dir, bytes);
                } else if lost {
                    feed.gap(*dir, bytes.len() as u64);
                }
            }
            choice_unseen(&feed.close())
        };
        let answer = pieces.iter().position(|(dir, _)| *dir == Dir::Back).unwrap();
        assert_eq!(told(true, &|_, _| true, false), Some(false), "{name}: whole");
        assert_eq!(told(false, &|i, _| i + 4 >= pieces.len(), false), Some(true), "{name}: from its middle");
        assert_eq!(told(true, &|i, _| i != answer, true), Some(true), "{name}: without the server's first piece");
        assert_eq!(told(true, &|i, _| i + 4 >= pieces.len(), true), Some(true), "{name}: all but the end is lost");
        assert_eq!(told(true, &|_, dir| dir == Dir::Out, false), Some(true), "{name}: the client's side alone");
        assert_eq!(told(true, &|_, dir| dir == Dir::Back, false), Some(false), "{name}: the server's side alone");
        assert_eq!(told(true, &|i, _| i < answer, false), None, "{name}: a hello that nobody answered");
    }
}

/// A stream that was joined inside a record is known by the records behind it, whichever side they are on, in whatever pieces.
#[test]
fn inside_a_record() {
    let record = |len: u8| [&[23, 3, 3, 0, len][..], &vec![0x91; usize::from(len)]].concat();
    let middle = [&[0xd1; 77][..], &record(40), &record(90), &record(30)].concat();
    let told = |pieces: &[(Dir, &[u8])], from_start: bool| {
        let mut feed = Feed::new(Transport::Tcp, from_start, &[]);
        pieces.iter().for_each(|(dir, bytes)| feed.piece(*dir, bytes));
        let told = feed.close();
        (choice_unseen(&told), undecrypted(&told).map(|u| u.0))
    };
    let unseen = (Some(true), Some(NotOpened::NoHandshake));
    for dir in Dir::BOTH {
        for piece in [1, 4, 50, 1000] {
            let pieces: Vec<(Dir, &[u8])> = middle.chunks(piece).map(|p| (dir, p)).collect();
            assert_eq!(told(&pieces, false), unseen, "{dir:?} in pieces of {piece}");
            assert_eq!(told(&pieces, true), (None, None), "from its first byte it is no TLS");
        }
        let other = record(20);
        assert_eq!(told(&[(dir, &middle[..77]), (dir.other(), &other)], false), unseen, "the other side begins with a record");
        assert_eq!(told(&[(dir, &middle[..77]), (dir.other(), &[23, 3])], false), (None, None));
    }
    let mut feed = Feed::new(Transport::Tcp, true, &[]);
    feed.gap(Dir::Back, 3000);
    feed.piece(Dir::Back, &middle);
    assert_eq!(choice_unseen(&feed.close()), Some(true), "the beginning is lost");
}

#[test]
fn mid_stream() {
    let (pieces, _) = trace(RFC8448);
    let mut feed = Feed::new(Transport::Tcp, false, &[]);
    pieces[5..].iter().for_each(|(dir, bytes)| feed.piece(*dir, bytes));
    let told = feed.close();
    assert_eq!(told.words(), ["bound", "undecrypted"]);
    assert_eq!(undecrypted(&told).map(|u| u.0), Some(NotOpened::NoHandshake));
    assert!(
        told.of(|o| if let Observation::Flow(f) = o { (f.app == analyzers::observation::App::Tls).then_some(()) } else { None }).is_some()
    );
}

#[test]
fn rfc9001() {
    let (pieces, _) = trace(RFC9001);
    let mut feed = Feed::new(Transport::Udp, true, &[]);
    pieces.iter().for_each(|(dir, bytes)| feed.piece(*dir, bytes));
    let told = feed.close();
    assert_eq!(told.words(), ["bound", "hello", "served"]);
    told.of(|o| {
        let Observation::Hello(h) = o else { return None };
        assert_eq!((h.sni.clone().unwrap().as_str(), h.quic_version, h.transport), ("example.com", Some(1), Transport::Udp));
        assert_eq!(h.alpn, ["alpn"]);
        assert!(h.ja4.as_str().starts_with("q13d0211an_"), "{}", h.ja4);
        Some(())
    })
    .unwrap();
}

#[test]
fn class_does_not_see_resumption() {
    use analyzers::dissect::tls::hello::{Carrier, parse};
    let (pieces, _) = trace(RFC8448);
    let plain = &pieces[0].1[5..];
    // The same hello with a ticket, a cookie, GREASE and another name.
    let with = |more: &[u8]| {
        let mut out = plain.to_vec();
        let at = 4 + 2 + 32 + 1 + 2 + 6 + 2;
        let len = u16::from_be_bytes([out[at], out[at + 1]]) + more.len() as u16;
        out[at..at + 2].copy_from_slice(&len.to_be_bytes());
        out.extend_from_slice(more);
        let len = out.len() - 4;
        out[1..4].copy_from_slice(&(len as u32).to_be_bytes()[1..]);
        out
    };
    let class = |bytes: &[u8], carrier| parse(bytes).unwrap().class(carrier);
    let base = class(plain, Carrier::Tcp);
    for (more, same) in [
        (&[0x0a, 0x0a, 0, 0][..], true),
        (&[0, 42, 0, 0], true),
        (&[0, 44, 0, 4, 0, 2, 1, 1], true),
        (&[0, 21, 0, 3, 0, 0, 0], true),
        (&[0, 41, 0, 2, 9, 9], true),
        (&[0, 5, 0, 5, 1, 0, 0, 0, 0], false),
    ] {
        assert_eq!(class(&with(more), Carrier::Tcp) == base, same, "{more:?}");
    }
    assert_ne!(class(plain, Carrier::Quic), base);
}

/// Observations as text, without what may differ with the cut.
fn said(told: &Told) -> Vec<String> {
    told.seen.iter().map(|o| serde_json::to_string(o).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_cut_says_the_same(cuts in proptest::collection::vec(1usize..400, 1..60), with_keys: bool) {
        let (pieces, secrets) = trace(RFC8448);
        let secrets = if with_keys { secrets } else { Vec::new() };
        let expect = said(&whole(&pieces, &secrets));
        let mut feed = Feed::new(Transport::Tcp, true, &secrets);
        let mut cuts = cuts.iter().cycle();
        for (dir, bytes) in &pieces {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                feed.piece(*dir, head);
                rest = tail;
            }
        }
        prop_assert_eq!(said(&feed.close()), expect);
    }

    #[test]
    fn damage_does_not_panic(at in proptest::collection::vec((0usize..9, 0usize..2000, any::<u8>()), 1..8), size in 1usize..700, keys: bool) {
        let (mut pieces, secrets) = trace(RFC8448);
        let count = pieces.len();
        for (piece, byte, value) in at {
            let bytes = &mut pieces[piece % count].1;
            let n = bytes.len();
            bytes[byte % n] = value;
        }
        let mut feed = Feed::new(Transport::Tcp, true, if keys { &secrets } else { &[] });
        for (dir, bytes) in &pieces {
            bytes.chunks(size).for_each(|c| feed.piece(*dir, c));
        }
        feed.close();
    }

    #[test]
    fn damaged_datagrams_do_not_panic(at in proptest::collection::vec((0usize..2, 0usize..2000, any::<u8>()), 0..6), cut in 0usize..1300) {
        let (mut pieces, _) = trace(RFC9001);
        for (piece, byte, value) in at {
            let bytes = &mut pieces[piece].1;
            let n = bytes.len();
            bytes[byte % n] = value;
        }
        let mut feed = Feed::new(Transport::Udp, true, &[]);
        for (dir, bytes) in &pieces {
            feed.piece(*dir, &bytes[..bytes.len().min(cut)]);
            feed.piece(*dir, bytes);
        }
        feed.close();
    }

    #[test]
    fn hellos_of_chance_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use analyzers::dissect::tls::hello;
        let _ = hello::parse(&bytes).map(|h| (h.ja3(), h.ja4(hello::Carrier::Tcp), h.class(hello::Carrier::Dtls)));
        let _ = hello::parse_body(&bytes, true);
        let _ = hello::parse_sslv2(&bytes);
        let _ = hello::peek(&bytes, 1 << 16);
        analyzers::dissect::tls::certificate::read(&bytes, &analyzers::text::Bare);
        if bytes.len() > 5 {
            bytes[0] = 22;
            bytes[1] = 3;
            let _ = hello::peek(&bytes, 1 << 16);
        }
    }
}
