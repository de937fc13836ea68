//! Handshake messages: joined over records, read, and said.

use super::hello::{self, Carrier, extension};
use super::reaction::{self, Generation};
use super::side::{Epoch, Lock};
use super::{Answer, Offer, Tls, certificate, server, suites};
use crate::dissect::dns;
use crate::dissect::marks::Origin;
use crate::dissect::search::{From, Place, Spot};
use crate::dissect::{Cx, Hint, Rest};
use crate::flow::Dir;
use crate::observation::{KeyExchange, NameSource, NotOpened, OddKind, Served};

impl Tls {
    pub(super) fn handshake(&mut self, dir: Dir, bytes: &[u8], cx: &mut Cx<'_>) {
        let mut rest = bytes;
        loop {
            let side = &mut self.sides[dir.index()];
            if side.message_skip > 0 {
                let n = side.message_skip.min(rest.len());
                side.message_skip -= n;
                rest = &rest[n..];
            }
            if rest.is_empty() {
                return;
            }
            if side.message.is_empty()
                && let Some((kind, body, tail)) = split_message(rest)
            {
                self.message(dir, kind, body, cx);
                rest = tail;
                continue;
            }
            // A message over several records, or the start of one.
            let before = side.message.len();
            let need = match *side.message.as_slice() {
                [_, a, b, c, ..] => 4 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)),
                _ => 4,
            };
            let (more, tail) = rest.split_at(rest.len().min(need - before));
            side.message.extend_from_slice(more);
            rest = tail;
            let [kind, a, b, c, ..] = *side.message.as_slice() else { continue };
            let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if !known_message(kind) || 4 + len > cx.tools.limits.message {
                let unknown = !known_message(kind);
                let message = std::mem::take(&mut side.message);
                if self.offer.is_none() {
                    // Picked up mid-stream, where a sealed Finished looks like this.
                    side.ccs = true;
                    self.why.get_or_insert(NotOpened::NoHandshake);
                    cx.rest(Rest::Encrypted);
                    return;
                }
                let what = if unknown { format!("handshake message of type {kind}") } else { format!("handshake message of {len} bytes") };
                cx.odd(OddKind::BrokenTls, what, None);
                if unknown {
                    let place = Place::Of("tls.handshake");
                    let message = [&message[..], rest].concat();
                    cx.search_planted(&self.spot(dir, place, &message, cx), &message, |_| place);
                    return;
                }
                self.unread += len as u64;
                self.sides[dir.index()].message_skip = len;
                continue;
            }
            if side.message.len() == 4 + len {
                let mut message = std::mem::take(&mut side.message);
                self.message(dir, kind, &message[4..], cx);
                message.clear();
            }
        }
    }

    fn message(&mut self, dir: Dir, kind: u8, body: &[u8], cx: &mut Cx<'_>) {
        let from_server = self.client == Some(dir.other());
        match kind {
            1 => match hello::parse_body(body, false) {
                Ok(hello) => self.offered(dir, &hello, body, cx),
                Err(error) => {
                    self.client.get_or_insert(dir);
                    cx.odd(OddKind::BrokenTls, error.to_string(), None);
                    let place = Place::Of("tls.hello");
                    cx.search_planted(&self.spot(dir, place, body, cx), body, |_| place);
                }
            },
            2 => match server::ServerHello::parse(body) {
                Ok(hello) => self.answered(dir, &hello, cx),
                Err(part) => cx.odd(OddKind::BrokenTls, format!("ServerHello ends inside its {part}"), None),
            },
            5 if !from_server => self.rekey(dir, Epoch::Handshake, cx),
            8 if from_server => {
                if let (Some(name), Some(answer)) = (server::encrypted_extensions(body), &mut self.answer) {
                    answer.served.alpn = Some(cx.text(name));
                }
            }
            11 => self.certificates(dir, body, cx),
            25 => match server::decompress(body, cx.tools.limits.message) {
                Some(plain) => self.certificates(dir, &plain, cx),
                None => cx.odd(OddKind::BrokenCertificate, "compressed certificate does not decompress", None),
            },
            12 => {
                if let Some(answer) = &mut self.answer {
                    answer.full = true;
                    if matches!(answer.served.key_exchange, KeyExchange::Ecdhe | KeyExchange::PskDhe | KeyExchange::Anonymous) {
                        answer.served.group = server::key_exchange_group(body);
                    }
                }
            }
            16 if !from_server => {
                self.go_on_with(cx);
                let psk = self.answer.as_ref().is_some_and(|a| matches!(a.served.key_exchange, KeyExchange::Psk | KeyExchange::PskDhe));
                let place = Place::Of(if psk { "tls.psk-identity" } else { "tls.client-key-exchange" });
                cx.search_planted(&self.spot(dir, place, body, cx), body, |_| place);
            }
            14 if from_server => {
                if let Some(answer) = &mut self.answer {
                    answer.full = true;
                }
                self.serve(cx);
            }
            20 => {
                if from_server {
                    self.serve(cx);
                } else {
                    self.opened.finished = true;
                    self.go_on_with(cx);
                }
                if matches!(self.generation, Some(Generation::Modern { .. })) {
                    self.rekey(dir, Epoch::Traffic, cx);
                }
            }
            24 => self.update_key(dir),
            // Whatever else a client says, but for signatures: SupplementalData (RFC 4680), CertificateURL (RFC 6066), what nobody knows.
            0 | 3 | 4 | 6 | 21..=23 | 67 if !from_server => {
                let place = Place::Of("tls.handshake");
                cx.search_planted(&self.spot(dir, place, body, cx), body, |_| place);
            }
            _ => {}
        }
    }

    /// Where a message that is at hand stands.
    fn spot<'p>(&self, dir: Dir, place: Place<'p>, body: &[u8], cx: &Cx<'_>) -> Spot<'p> {
        let origin = Origin { offset: self.at, len: body.len() as u64, frame: cx.frame, time: cx.at };
        Spot { place, dir, layer: self.reading, from: From::Decoded(origin), chain: &[] }
    }

    /// A ClientHello; `message` are the bytes it was read from.
    pub(super) fn offered(&mut self, dir: Dir, hello: &hello::ClientHello<'_>, message: &[u8], cx: &mut Cx<'_>) {
        if self.client == Some(dir.other()) {
            cx.odd(OddKind::BrokenTls, "ClientHello from the server", None);
            return;
        }
        self.client = Some(dir);
        // An answer to no hello is this one's: the capture has the directions in another order than they were sent in.
        let late = self.offer.is_none() && self.answer.is_some();
        if !late {
            self.serve_late(false, cx);
            self.answer = None;
            self.went_on = false;
        }
        let mut seen = hello.seen(Carrier::Tcp, dir, self.retry, None, &*cx.tools.veil);
        if let Some(kind) = hello.damaged {
            cx.odd(OddKind::BrokenTls, format!("ClientHello extension {kind} unreadable"), None);
        }
        cx.hint(Hint {
            client: Some(dir),
            name: seen.sni.clone().map(|name| (name, NameSource::Sni)),
            class: Some(seen.class),
            hidden: seen.ech && seen.sni.is_some(),
            ..Hint::default()
        });
        seen.by_peer = cx.is_peers(dir);
        cx.see(seen);
        cx.search_planted(&self.spot(dir, Place::Of("tls.hello"), message, cx), message, |at| hello.place(message, at));
        if let Some(name) = hello.sni {
            dns::search_labels(&self.spot(dir, Place::Of("tls.sni"), message, cx), name, cx);
        }
        let early = hello.has(extension::EARLY_DATA);
        self.watch.early |= early;
        self.offer = Some(Offer { random: hello.random, session_id: hello.session_id.into(), early });
        if late {
            self.answered_before(hello.session_id, cx);
        }
    }

    /// The hello of an answer that was read before it.
    fn answered_before(&mut self, session_id: &[u8], cx: &mut Cx<'_>) {
        let Some(answer) = &mut self.answer else { return };
        answer.served.without_hello = false;
        if !suites::is_modern(answer.served.version) {
            answer.served.resumed = !session_id.is_empty() && *answer.session_id == *session_id;
        }
        if self.why == Some(NotOpened::NoHandshake) {
            self.why = None;
            for side in self.sides.iter_mut().filter(|side| matches!(side.lock, Lock::Dead) && !side.lost) {
                side.lock = Lock::Closed;
            }
        }
        self.say_certificates(cx);
        if self.answer.as_ref().is_some_and(|a| a.due.is_some()) {
            self.serve(cx);
        }
    }

    fn answered(&mut self, dir: Dir, hello: &server::ServerHello<'_>, cx: &mut Cx<'_>) {
        if self.client == Some(dir) {
            cx.odd(OddKind::BrokenTls, "ServerHello from the client", None);
            return;
        }
        if self.client.is_none() {
            self.client = Some(dir.other());
            cx.hint(Hint { client: self.client, ..Hint::default() });
        }
        self.server_spoke = Some(cx.at);
        let resumed = if hello.modern() {
            hello.psk
        } else {
            self.offer.as_ref().is_some_and(|o| !o.session_id.is_empty() && *o.session_id == *hello.session_id)
        };
        let served = Served {
            version: hello.version,
            suite: hello.suite,
            key_exchange: hello.key_exchange(),
            group: hello.group,
            alpn: hello.alpn.map(|name| cx.text(name)),
            retry: hello.retry || std::mem::take(&mut self.retry),
            resumed,
            chain: Vec::new(),
            chain_hidden: false,
            without_hello: self.offer.is_none(),
            refused: false,
            unsettled: false,
        };
        let answer = Answer {
            served,
            random: hello.random,
            compression: hello.compression,
            encrypt_then_mac: hello.encrypt_then_mac,
            session_id: hello.session_id.into(),
            certificates: Vec::new(),
            due: None,
            said: false,
            full: false,
            at: cx.at,
            frame: cx.frame,
        };
        if hello.retry {
            self.retry = true;
            self.asked = Some(Box::new(answer));
            return;
        }
        self.answer = Some(answer);
        if hello.modern() {
            self.generation.get_or_insert(Generation::Modern { hash: suites::hash13(hello.suite).size() });
            cx.rest(Rest::Encrypted);
            // 0-RTT keys stay with the client until EndOfEarlyData, or until they fail.
            let server = &mut self.sides[dir.index()];
            server.lock = Lock::Closed;
            server.sealed = 0;
            if !self.has_key(dir, cx) || !matches!(self.sides[dir.index()].lock, Lock::Open { epoch: Epoch::Handshake, .. }) {
                self.serve(cx);
            }
        } else {
            self.generation.get_or_insert(Generation::Legacy);
        }
    }

    fn certificates(&mut self, dir: Dir, body: &[u8], cx: &mut Cx<'_>) {
        let modern = matches!(self.generation, Some(Generation::Modern { .. }));
        let (chain, whole) = server::certificates(body, modern);
        if !whole {
            cx.odd(OddKind::BrokenCertificate, "certificate list ends early", None);
        }
        let mut digests = Vec::with_capacity(chain.len());
        for der in chain {
            let cert = certificate::read(der, &*cx.tools.veil);
            if cert.subject.is_empty() && cert.not_after.is_none() {
                cx.odd(OddKind::BrokenCertificate, cert.odd.first().map_or("unreadable", |t| t.as_str()), None);
            }
            digests.push(cert.sha256);
            if self.offer.is_none()
                && self.client == Some(dir.other())
                && let Some(answer) = self.answer.as_mut().filter(|a| a.certificates.len() < server::CHAIN)
            {
                answer.certificates.push((cx.at, cx.frame, cert));
                continue;
            }
            cx.see(cert);
            // Whose name a server's certificate bears is no secret of the device: what the device shows of itself is searched.
            if cx.known.side.or(self.client) == Some(dir) {
                let place = Place::Of("tls.certificate");
                cx.search_planted(&self.spot(dir, place, body, cx), der, |_| place);
            }
        }
        if self.client == Some(dir.other())
            && let Some(answer) = &mut self.answer
        {
            answer.full = true;
            answer.served.chain = digests;
        } else if self.client == Some(dir) {
            self.client_chain = digests;
        }
    }

    /// The client's key exchange, ChangeCipherSpec or Finished: it takes the server's choice.
    pub(super) fn go_on_with(&mut self, cx: &mut Cx<'_>) {
        self.went_on = true;
        if self.answer.as_ref().is_some_and(|a| a.due.is_some()) {
            self.serve(cx);
        }
    }

    /// The server's answer is whole, as far as it can be read. Without its hello it is said at the end, for the hello may still come.
    pub(super) fn serve(&mut self, cx: &mut Cx<'_>) {
        let modern = matches!(self.generation, Some(Generation::Modern { .. }));
        // To TLS 1.2 the wire shows whether the client takes the answer.
        let waits = self.offer.is_none() || !modern && !self.went_on;
        let Some(answer) = self.answer.as_mut().filter(|a| !a.said) else { return };
        let (at, frame) = *answer.due.get_or_insert((cx.at, cx.frame));
        if waits {
            return;
        }
        let full = answer.full;
        answer.said = true;
        let served = &mut answer.served;
        if !modern {
            // TLS 1.2 resumes without a word: ChangeCipherSpec right after the ServerHello (RFC 5077 §3.4).
            served.resumed = !full;
        }
        served.chain_hidden = modern && served.chain.is_empty() && !served.resumed;
        let served = served.clone();
        cx.see_at(at, frame, served);
    }

    /// The same, when it is over before it was whole, or its hello never came. `left`: the client ended the connection, and all it sent was seen.
    pub(super) fn serve_late(&mut self, left: bool, cx: &mut Cx<'_>) {
        self.say_certificates(cx);
        let broke_off = !self.went_on && (left || self.watch.alert.is_some_and(|(level, code)| reaction::refuses(level, code)));
        let Some(answer) = self.answer.as_mut().filter(|a| !a.said) else { return };
        answer.said = true;
        let served = &mut answer.served;
        let modern = suites::is_modern(served.version);
        if answer.due.is_some() && !modern {
            served.resumed = !answer.full;
        }
        served.resumed &= !answer.full;
        served.refused = broke_off && !modern;
        served.unsettled = !broke_off && !self.went_on && !modern;
        served.chain_hidden = modern && served.chain.is_empty() && !served.resumed;
        let (at, frame) = answer.due.unwrap_or((answer.at, answer.frame));
        let served = served.clone();
        cx.see_at(at, frame, served);
    }

    /// Says the certificates that waited for the hello, which names the peer.
    fn say_certificates(&mut self, cx: &mut Cx<'_>) {
        for (at, frame, certificate) in self.answer.as_mut().map(|a| std::mem::take(&mut a.certificates)).unwrap_or_default() {
            cx.see_at(at, frame, certificate);
        }
    }
}

/// A whole message at the start of `bytes`: type, body, what follows.
fn split_message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, a, b, c], rest) = bytes.split_first_chunk::<4>()?;
    let (body, tail) = rest.split_at_checked(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c))?;
    known_message(*kind).then_some((*kind, body, tail))
}

/// Handshake message types (IANA TLS HandshakeType registry, and next_protocol).
pub(super) fn known_message(kind: u8) -> bool {
    matches!(kind, 0..=6 | 8 | 11..=16 | 20..=25 | 67)
}

/// Whether these bytes are exactly one message of this type.
pub(super) fn is_one(bytes: &[u8], kind: u8) -> bool {
    split_message(bytes).is_some_and(|(k, _, tail)| k == kind && tail.is_empty())
}
