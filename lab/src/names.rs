//! The lab's resolver: an answer for every name, the same one each time.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The resolver. Cheap to clone; all clones share their memory.
#[derive(Clone, Debug)]
pub struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fixed: HashMap<String, Vec<IpAddr>>,
    memory: Mutex<Memory>,
    queries: AtomicU64,
    odd: AtomicU64,
}

#[derive(Debug, Default)]
struct Memory {
    place: HashMap<String, u32>,
    name: HashMap<u32, String>,
    log: VecDeque<Asked>,
}

/// One question that reached the resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    pub kind: u16,
    pub from: IpAddr,
    pub tcp: bool,
}

impl Names {
    /// `fixed` overrides; a name with only an IPv4 override has no IPv6 address, and the other way round.
    pub fn new(fixed: impl IntoIterator<Item = (String, IpAddr)>) -> Self {
        let mut map: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (name, address) in fixed {
            map.entry(clean(&name)).or_default().push(address);
        }
        Self(Arc::new(Inner { fixed: map, memory: Mutex::default(), queries: AtomicU64::new(0), odd: AtomicU64::new(0) }))
    }

    /// The addresses of a name, as the resolver would answer.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let name = clean(name);
        if let Some(fixed) = self.0.fixed.get(&name) {
            return fixed.clone();
        }
        let place = self.place(&name);
        vec![v4(place).into(), v6(place).into()]
    }

    /// The first of the names an address was given out for.
    pub fn name_of(&self, address: IpAddr) -> Option<String> {
        self.names_of(address).into_iter().next()
    }

    /// The names an address was given out for, in order.
    pub fn names_of(&self, address: IpAddr) -> Vec<String> {
        let fixed = self.0.fixed.iter().filter(|(_, fixed)| fixed.contains(&address));
        let mut names: Vec<String> = fixed.map(|(name, _)| name.clone()).collect();
        names.sort();
        if names.is_empty() {
            let memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
            names.extend(place_of(address).and_then(|place| memory.name.get(&place).cloned()));
        }
        names
    }

    /// Questions answered, and packets that were none.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.queries.load(Ordering::Relaxed), self.0.odd.load(Ordering::Relaxed))
    }

    /// The last [`LOG`] questions, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).log.iter().cloned().collect()
    }

    /// The answer to one message; `None` for what is not a question.
    pub fn answer(&self, message: &[u8], from: IpAddr, tcp: bool) -> Option<Vec<u8>> {
        let answer = self.answered(message, from, tcp);
        let counter = if answer.is_some() { &self.0.queries } else { &self.0.odd };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    fn answered(&self, message: &[u8], from: IpAddr, tcp: bool) -> Option<Vec<u8>> {
        let &[id0, id1, flags0, _, qd0, qd1, ..] = message else { return None };
        let (response, opcode) = (flags0 & 0x80 != 0, (flags0 >> 3) & 15);
        if response || u16::from_be_bytes([qd0, qd1]) != 1 {
            return None;
        }
        let mut code = if opcode == 0 { NO_ERROR } else { NOT_IMPLEMENTED };
        let (name, after) = question(message)?;
        let &[k0, k1, c0, c1] = message.get(after..after + 4)? else { return None };
        let (kind, class) = (u16::from_be_bytes([k0, k1]), u16::from_be_bytes([c0, c1]));
        self.log(Asked { name: name.clone(), kind, from, tcp });
        let mut records: Vec<(u16, Vec<u8>)> = Vec::new();
        if code == NO_ERROR && class == IN {
            match kind {
                A => records.extend(self.addresses(&name).iter().filter_map(|address| match address {
                    IpAddr::V4(v4) => Some((A, v4.octets().to_vec())),
                    IpAddr::V6(_) => None,
                })),
                AAAA => records.extend(self.addresses(&name).iter().filter_map(|address| match address {
                    IpAddr::V6(v6) => Some((AAAA, v6.octets().to_vec())),
                    IpAddr::V4(_) => None,
                })),
                PTR => match arpa(&name).and_then(|address| self.name_of(address)) {
                    Some(name) => records.push((PTR, labels(&name)?)),
                    None => code = NX_DOMAIN,
                },
                _ => {} // HTTPS, SVCB and everything else: the name exists, the record does not
            }
        }
        let edns = has_opt(message, after + 4);
        let mut out = Vec::with_capacity(message.len() + 64);
        // QR, opcode and RD as asked; AA and RA set.
        out.extend([id0, id1, 0x80 | (flags0 & 0x79) | 0x04, 0x80 | code, 0, 1]);
        out.extend((records.len() as u16).to_be_bytes());
        out.extend([0, 0, 0, u8::from(edns)]);
        out.extend(message.get(12..after + 4)?);
        for (kind, data) in records {
            out.extend([0xc0, 12]); // the question's name
            out.extend(kind.to_be_bytes());
            out.extend(IN.to_be_bytes());
            out.extend(TTL.to_be_bytes());
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        if edns {
            out.extend([0, 0, 41]); // root, OPT (RFC 6891 §6.1.2), 1232 bytes (DNS flag day 2020)
            out.extend(1232u16.to_be_bytes());
            out.extend([0; 6]);
        }
        Some(out)
    }

    /// Serves connections until the task is dropped.
    pub async fn serve_tcp(self, listener: TcpListener) {
        loop {
            let Ok((mut stream, from)) = listener.accept().await else {
                tokio::time::sleep(crate::world::BREATH).await;
                continue;
            };
            let names = self.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut message = vec![0; usize::from(length)];
                    if stream.read_exact(&mut message).await.is_err() {
                        return;
                    }
                    let Some(answer) = names.answer(&message, from.ip().to_canonical(), true) else { return };
                    let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                    framed.extend(answer);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    fn log(&self, asked: Asked) {
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.log.len() >= LOG {
            memory.log.pop_front();
        }
        memory.log.push_back(asked);
    }

    /// A number below [`PLACES`] for each name: its hash, or the next free one. Beyond [`KNOWN`] names they are shared.
    fn place(&self, name: &str) -> u32 {
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = memory.place.get(name) {
            return *place;
        }
        let mut place = hash(name) % PLACES;
        if memory.place.len() < KNOWN {
            while memory.name.contains_key(&place) {
                place = (place + 1) % PLACES;
            }
            memory.place.insert(name.to_owned(), place);
            memory.name.insert(place, name.to_owned());
        }
        place
    }
}

fn clean(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The question's name in lower case, and where it ends. A compression pointer has nothing to point at here.
fn question(message: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = 12;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 || at + length - 12 > 255 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in message.get(at..at + length)? {
            match byte {
                b'!'..=b'~' if *byte != b'.' && *byte != b'\\' => name.push(char::from(byte.to_ascii_lowercase())),
                // RFC 1035 §5.1
                _ => {
                    let _ = write!(name, "\\{byte:03}");
                }
            }
        }
        at += length;
    }
}

fn labels(name: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?);
        out.extend(label.as_bytes());
    }
    out.push(0);
    Some(out)
}

/// Is there an OPT record behind the question? Only looks at the first record after it, where clients put it.
fn has_opt(message: &[u8], at: usize) -> bool {
    message.get(10..12).is_some_and(|count| count != [0, 0]) && message.get(at..at + 3).is_some_and(|head| head == [0, 0, 41])
}

fn arpa(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = rest.rsplit('.');
        for octet in &mut octets {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut value = 0u128;
    let mut count = 0;
    for digit in rest.rsplit('.') {
        value = value << 4 | u128::from(u8::from_str_radix(digit, 16).ok()?);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(value).into())
}

/// 198.18.0.0/15, set aside for tests of network gear (RFC 2544).
fn v4(place: u32) -> Ipv4Addr {
    Ipv4Addr::from(BASE4 + 1 + place)
}

/// In 2001:db8::/32, set aside for documentation (RFC 3849).
fn v6(place: u32) -> Ipv6Addr {
    Ipv6Addr::from(BASE6 + 1 + u128::from(place))
}

fn place_of(address: IpAddr) -> Option<u32> {
    let place = match address {
        IpAddr::V4(v4) => u32::from(v4).checked_sub(BASE4 + 1)?,
        IpAddr::V6(v6) => u32::try_from(u128::from(v6).checked_sub(BASE6 + 1)?).ok()?,
    };
    (place < PLACES).then_some(place)
}

/// FNV-1a, 32 bit.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

const BASE4: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const BASE6: u128 = 0x2001_0db8_0018_0000_0000_0000_0000_0000;
/// A /15 without its first and last address.
const PLACES: u32 = (1 << 17) - 2;
/// Names remembered; half of the places, so that probing stays short.
const KNOWN: usize = 1 << 16;
/// Questions remembered.
pub const LOG: usize = 10_000;
/// Seconds. Short, so that a device asks again between trials.
const TTL: u32 = 30;
const IN: u16 = 1;
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const NO_ERROR: u8 = 0;
const NX_DOMAIN: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    const FROM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ask(name: &str, kind: u16, edns: bool) -> Vec<u8> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        message.extend(labels(name).unwrap());
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
        if edns {
            message.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
        }
        message
    }

    /// Response code, answers, and the data of the last answer.
    fn check(names: &Names, name: &str, kind: u16, expect: (u8, u8, &[u8])) {
        let query = ask(name, kind, false);
        let answer = names.answer(&query, FROM, false).unwrap();
        assert_eq!(answer[..2], [7, 9], "id of {name}");
        assert_eq!((answer[3] & 15, answer[7]), (expect.0, expect.1), "{name} {kind}");
        assert!(answer.ends_with(expect.2), "{name} {kind}: {answer:?}");
        let with_edns = names.answer(&ask(name, kind, true), FROM, false).unwrap();
        assert_eq!(with_edns[11], 1, "EDNS of {name}");
        assert_eq!(with_edns[with_edns.len() - 11..][..5], [0, 0, 41, 4, 208]);
    }

    #[test]
    fn every_name_has_an_answer() {
        let names = Names::new([("Fixed.Test.".into(), "192.0.2.7".parse().unwrap())]);
        let IpAddr::V4(shop) = names.addresses("shop.test")[0] else { panic!("IPv4 first") };
        check(&names, "shop.test", A, (0, 1, &shop.octets()));
        check(&names, "SHOP.test", A, (0, 1, &shop.octets()));
        let IpAddr::V6(shop6) = names.addresses("shop.test")[1] else { panic!("IPv6 second") };
        check(&names, "shop.test", AAAA, (0, 1, &shop6.octets()));
        check(&names, "shop.test", 65, (0, 0, &[]));
        check(&names, "shop.test", 64, (0, 0, &[]));
        check(&names, "shop.test", 16, (0, 0, &[]));
        check(&names, "fixed.test", A, (0, 1, &[192, 0, 2, 7]));
        check(&names, "fixed.test", AAAA, (0, 0, &[]));
        let [a, b, c, d] = shop.octets();
        check(&names, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), PTR, (0, 1, b"\x04shop\x04test\x00"));
        check(&names, "9.9.9.9.in-addr.arpa", PTR, (3, 0, &[]));
        assert_eq!(names.name_of(shop6.into()).as_deref(), Some("shop.test"));
        assert_ne!(names.addresses("a.test"), names.addresses("b.test"));
        assert!(names.counts().0 >= 18);
    }

    #[test]
    fn names_that_meet_get_different_addresses() {
        let names = Names::new([]);
        let mut seen = std::collections::HashSet::new();
        for n in 0..20_000 {
            assert!(seen.insert(names.addresses(&format!("n{n}.test"))[0]), "n{n}.test shares an address");
        }
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let names = Names::new([]);
        let good = ask("shop.test", A, false);
        for cut in 0..good.len() {
            assert_eq!(names.answer(&good[..cut], FROM, false), None, "cut at {cut}");
        }
        let mut response = good.clone();
        response[2] |= 0x80;
        let mut pointer = good.clone();
        pointer[12] = 0xc0;
        let mut two = good;
        two[5] = 2;
        for message in [response, pointer, two] {
            assert_eq!(names.answer(&message, FROM, false), None);
        }
        assert_eq!(names.counts().0, 0);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do_no_harm(message in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _ = Names::new([]).answer(&message, FROM, false);
        }
    }
}
