//! A small reader of captures for tests of dissectors: classic pcap and pcapng, the common links, naive reassembly. The real reader is the
//! `captures` crate, which these crates may not depend on.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analyzers::chunk::{Chunk, Gap, Layer, Lost, Unit, Want};
use analyzers::flow::{Counts, Dir, Ends, FlowEnd, FlowKey, Transport};
use analyzers::keys::{Keys, Secret, SecretLabel};
use analyzers::pipeline::{Out, Pipeline, Tools};
use policies::Time;

/// Where captures with truth lie, if they do: where `OVERHEAR_CAPTURES` says (from the workspace's root), or beside the workspace.
pub fn captures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let told = std::env::var_os("OVERHEAR_CAPTURES").map(PathBuf::from);
    let places = told.map_or_else(|| vec!["../shared/captures".into(), "../../shared/captures".into()], |dir| vec![dir]);
    places.iter().map(|p| root.join(p)).find(|p| p.join("MANIFEST.toml").exists())
}

pub struct Packet {
    pub time: Time,
    pub link: u16,
    pub bytes: Vec<u8>,
}

/// All packets, and the secrets of Decryption Secrets Blocks.
pub fn read(path: &Path) -> (Vec<Packet>, Vec<u8>) {
    let mut raw = std::fs::read(path).unwrap();
    if raw.starts_with(&[0x1f, 0x8b]) {
        let mut out = Vec::new();
        let _ = std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&raw[..]), &mut out);
        raw = out;
    }
    match raw.first_chunk::<4>() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(&raw),
        Some(magic) => (pcap(&raw, *magic), Vec::new()),
        None => (Vec::new(), Vec::new()),
    }
}

fn pcap(raw: &[u8], magic: [u8; 4]) -> Vec<Packet> {
    let (big, nanos) = match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
        _ => return Vec::new(),
    };
    let u32_at = |at: usize| {
        raw.get(at..at + 4).map(|b| if big { u32::from_be_bytes(b.try_into().unwrap()) } else { u32::from_le_bytes(b.try_into().unwrap()) })
    };
    let Some(link) = u32_at(20) else { return Vec::new() };
    let mut out = Vec::new();
    let mut at = 24;
    while let (Some(secs), Some(frac), Some(len)) = (u32_at(at), u32_at(at + 4), u32_at(at + 8)) {
        let Some(bytes) = raw.get(at + 16..at + 16 + len as usize) else { break };
        let time = Time(i64::from(secs) * 1_000_000_000 + i64::from(frac) * if nanos { 1 } else { 1000 });
        out.push(Packet { time, link: link as u16, bytes: bytes.to_vec() });
        at += 16 + len as usize;
    }
    out
}

fn pcapng(raw: &[u8]) -> (Vec<Packet>, Vec<u8>) {
    let mut out = Vec::new();
    let mut secrets = Vec::new();
    let mut links: Vec<(u16, i64)> = Vec::new();
    let (mut at, mut big) = (0, false);
    while at + 12 <= raw.len() {
        let kind_le = u32::from_le_bytes(raw[at..at + 4].try_into().unwrap());
        if kind_le == 0x0a0d_0d0a {
            big = raw[at + 8] == 0x1a;
            links.clear();
        }
        let u32_at = |at: usize| {
            raw.get(at..at + 4)
                .map_or(0, |b| if big { u32::from_be_bytes(b.try_into().unwrap()) } else { u32::from_le_bytes(b.try_into().unwrap()) })
        };
        let u16_at = |at: usize| {
            raw.get(at..at + 2)
                .map_or(0, |b| if big { u16::from_be_bytes(b.try_into().unwrap()) } else { u16::from_le_bytes(b.try_into().unwrap()) })
        };
        let len = u32_at(at + 4) as usize;
        if len < 12 || at + len > raw.len() {
            break;
        }
        let body = at + 8;
        match u32_at(at) {
            1 => {
                let mut unit = 1000;
                let mut o = body + 8;
                while o + 4 <= at + len - 4 {
                    let (code, olen) = (u16_at(o), usize::from(u16_at(o + 2)));
                    if code == 9 && olen == 1 {
                        let v = raw[o + 4];
                        unit = if v & 0x80 == 0 { 10i64.pow(9u32.saturating_sub(u32::from(v))) } else { 1 };
                    }
                    if code == 0 {
                        break;
                    }
                    o += 4 + olen.div_ceil(4) * 4;
                }
                links.push((u16_at(body), unit));
            }
            6 => {
                let (link, unit) = links.get(u32_at(body) as usize).copied().unwrap_or((1, 1000));
                let ticks = i64::from(u32_at(body + 4)) << 32 | i64::from(u32_at(body + 8));
                let n = u32_at(body + 12) as usize;
                if let Some(bytes) = raw.get(body + 20..body + 20 + n) {
                    out.push(Packet { time: Time(ticks.wrapping_mul(unit)), link, bytes: bytes.to_vec() });
                }
            }
            3 => {
                let link = links.first().map_or(1, |l| l.0);
                let n = (u32_at(body) as usize).min(len - 16);
                out.push(Packet { time: Time(0), link, bytes: raw[body + 4..body + 4 + n].to_vec() });
            }
            10 => {
                let n = u32_at(body + 4) as usize;
                if let Some(bytes) = raw.get(body + 8..body + 8 + n) {
                    secrets.extend_from_slice(bytes);
                    secrets.push(b'\n');
                }
            }
            _ => {}
        }
        at += len;
    }
    (out, secrets)
}

/// A key log in the NSS format.
pub fn keys(log: &[u8]) -> Keys {
    let mut keys = Keys::default();
    for line in log.split(|b| *b == b'\n') {
        let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split_whitespace().collect();
        let [label, random, secret] = words[..] else { continue };
        let (Some(label), Some(random), Some(secret)) =
            (SecretLabel::parse(label.as_bytes()), analyzers::encode::unhex(random), analyzers::encode::unhex(secret))
        else {
            continue;
        };
        let Ok(client_random) = random.try_into() else { continue };
        keys.insert(Secret { label, client_random, secret });
    }
    keys
}

struct Segment<'a> {
    src: SocketAddr,
    dst: SocketAddr,
    tcp: Option<(u32, u8)>,
    payload: &'a [u8],
}

fn be(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn segment(link: u16, bytes: &[u8]) -> Option<Segment<'_>> {
    let (mut kind, mut rest) = match link {
        1 => (be(bytes, 12)?, bytes.get(14..)?),
        113 => (be(bytes, 14)?, bytes.get(16..)?),
        276 => (be(bytes, 0)?, bytes.get(20..)?),
        0 | 9 | 108 => (0, bytes.get(4..)?),
        12 | 14 | 101 | 228 | 229 => (0, bytes),
        _ => return None,
    };
    loop {
        match kind {
            0x8100 | 0x88a8 => {
                kind = be(rest, 2)?;
                rest = rest.get(4..)?;
            }
            0x8864 => {
                kind = 0;
                rest = rest.get(8..)?;
            }
            _ => break,
        }
    }
    if !matches!(kind, 0 | 0x0800 | 0x86dd) {
        return None;
    }
    ip(rest, 0)
}

fn ip(rest: &[u8], depth: u8) -> Option<Segment<'_>> {
    if depth > 3 {
        return None;
    }
    let (src, dst, proto, body): (IpAddr, IpAddr, u8, &[u8]) = match rest.first()? >> 4 {
        4 => {
            let ihl = usize::from(rest[0] & 15) * 4;
            let total = usize::from(be(rest, 2)?);
            if be(rest, 6)? & 0x3fff != 0 {
                return None;
            }
            let end = if total == 0 { rest.len() } else { total.min(rest.len()) };
            let a: [u8; 4] = rest.get(12..16)?.try_into().ok()?;
            let b: [u8; 4] = rest.get(16..20)?.try_into().ok()?;
            (a.into(), b.into(), *rest.get(9)?, rest.get(ihl..end)?)
        }
        6 => {
            let len = usize::from(be(rest, 4)?);
            let a: [u8; 16] = rest.get(8..24)?.try_into().ok()?;
            let b: [u8; 16] = rest.get(24..40)?.try_into().ok()?;
            let end = if len == 0 { rest.len() } else { (40 + len).min(rest.len()) };
            (a.into(), b.into(), *rest.get(6)?, rest.get(40..end)?)
        }
        _ => return None,
    };
    match proto {
        6 => {
            let (sp, dp) = (be(body, 0)?, be(body, 2)?);
            let seq = u32::from_be_bytes(body.get(4..8)?.try_into().ok()?);
            let off = usize::from(body.get(12)? >> 4) * 4;
            Some(Segment { src: (src, sp).into(), dst: (dst, dp).into(), tcp: Some((seq, *body.get(13)?)), payload: body.get(off..)? })
        }
        17 => {
            let (sp, dp, len) = (be(body, 0)?, be(body, 2)?, usize::from(be(body, 4)?));
            let payload = body.get(8..len.clamp(8, body.len()))?;
            Some(Segment { src: (src, sp).into(), dst: (dst, dp).into(), tcp: None, payload })
        }
        4 | 41 => ip(body, depth + 1),
        _ => None,
    }
}

#[derive(Default)]
struct Half {
    next: Option<u32>,
    delivered: u64,
    held: BTreeMap<u64, (Vec<u8>, Time, u64)>,
    want: Option<Want>,
}

struct Conn {
    key: FlowKey,
    ends: Ends,
    halves: [Half; 2],
    counts: Counts,
    closed: bool,
}

/// Everything a capture makes the pipeline say. `cut` splits every chunk further, for tests of segmentation.
pub fn run(path: &Path, keylog: &[u8], cut: Option<usize>) -> Vec<Out> {
    let (packets, dsb) = read(path);
    let mut log = keylog.to_vec();
    log.push(b'\n');
    log.extend_from_slice(&dsb);
    let tools = Arc::new(Tools { keys: Arc::new(keys(&log)), ..Tools::default() });
    let mut pipeline = Pipeline::new(tools);
    let mut out: Vec<Out> = Vec::new();
    let mut conns: Vec<Conn> = Vec::new();
    let mut index: HashMap<(SocketAddr, SocketAddr, bool), usize> = HashMap::new();
    let mut last = Time(0);
    let mut frame = 0;
    for packet in &packets {
        frame += 1;
        last = packet.time;
        let Some(seg) = segment(packet.link, &packet.bytes) else { continue };
        let udp = seg.tcp.is_none();
        let syn = seg.tcp.is_some_and(|(_, f)| f & 0x12 == 0x02);
        let found = index.get(&(seg.src, seg.dst, udp)).or_else(|| index.get(&(seg.dst, seg.src, udp))).copied();
        let at = match found {
            Some(at) if !(syn && conns[at].closed) => at,
            _ => {
                let synack = seg.tcp.is_some_and(|(_, f)| f & 0x12 == 0x12);
                let swap = synack || (!udp && !syn && seg.src.port() < seg.dst.port());
                let (a, b) = if swap { (seg.dst, seg.src) } else { (seg.src, seg.dst) };
                let transport = if udp { Transport::Udp } else { Transport::Tcp };
                let ends = Ends { transport, a, b, a_mac: None, b_mac: None, from_start: udp || syn || synack };
                let key = FlowKey::new(0, conns.len() as u64 + 1);
                pipeline.open(key, &ends, packet.time, frame, &mut out);
                conns.push(Conn { key, ends, halves: [Half::default(), Half::default()], counts: Counts::default(), closed: false });
                index.insert((a, b, udp), conns.len() - 1);
                conns.len() - 1
            }
        };
        let conn = &mut conns[at];
        let dir = if seg.src == conn.ends.a { Dir::Out } else { Dir::Back };
        let (key, counts) = (conn.key, &mut conn.counts);
        counts.packets[dir.index()] += 1;
        counts.bytes[dir.index()] += seg.payload.len() as u64;
        let half = &mut conn.halves[dir.index()];
        let mut give = |offset: u64, unit: Option<Unit>, bytes: &[u8], time: Time, frame: u64, half_want: &mut Option<Want>| {
            if *half_want == Some(Want::Nothing) {
                pipeline.passed(key, dir, bytes.len() as u64, time);
                return;
            }
            let size = if unit.is_some() { bytes.len().max(1) } else { cut.unwrap_or(bytes.len()).max(1) };
            for (i, piece) in bytes.chunks(size).enumerate() {
                let unit = unit.unwrap_or(Unit::Stream { offset: offset + (i * size) as u64 });
                *half_want = Some(pipeline.chunk(Chunk { flow: key, dir, unit, layer: Layer::Wire, time, frame, bytes: piece }, &mut out));
            }
        };
        let Some((seq, flags)) = seg.tcp else {
            if !seg.payload.is_empty() {
                give(0, Some(Unit::Datagram), seg.payload, packet.time, frame, &mut half.want);
            }
            continue;
        };
        if flags & 0x04 != 0 {
            counts.rst[dir.index()] = true;
            conn.closed = true;
        }
        if flags & 0x01 != 0 {
            counts.fin[dir.index()] = true;
            conn.closed |= counts.fin == [true, true];
        }
        let seq = if flags & 0x02 != 0 {
            half.next.get_or_insert(seq.wrapping_add(1));
            seq.wrapping_add(1)
        } else {
            seq
        };
        if seg.payload.is_empty() {
            continue;
        }
        let next = *half.next.get_or_insert(seq);
        let rel = i64::from(seq.wrapping_sub(next) as i32) + half.delivered as i64;
        // Keep-alives and old data.
        if rel + (seg.payload.len() as i64) <= half.delivered as i64 {
            continue;
        }
        let skip = (half.delivered as i64 - rel).max(0) as usize;
        half.held.entry((rel + skip as i64) as u64).or_insert_with(|| (seg.payload[skip..].to_vec(), packet.time, frame));
        // In order, or after too much waiting with a gap.
        while let Some(entry) = half.held.first_entry() {
            let start = *entry.key();
            if start > half.delivered {
                break;
            }
            let (bytes, _, _) = entry.remove();
            let skip = (half.delivered - start) as usize;
            if skip < bytes.len() {
                give(half.delivered, None, &bytes[skip..], packet.time, frame, &mut half.want);
                let n = (bytes.len() - skip) as u64;
                half.delivered += n;
                half.next = half.next.map(|s| s.wrapping_add(n as u32));
            }
        }
    }
    for conn in &mut conns {
        for dir in Dir::BOTH {
            let half = &mut conn.halves[dir.index()];
            while let Some((start, (bytes, time, frame))) = half.held.pop_first() {
                if start > half.delivered {
                    let gap =
                        Gap { flow: conn.key, dir, offset: half.delivered, len: start - half.delivered, why: Lost::Sequence, time, frame };
                    conn.counts.missing[dir.index()] += gap.len;
                    pipeline.gap(gap, &mut out);
                    half.delivered = start;
                }
                let skip = (half.delivered - start) as usize;
                if skip < bytes.len() {
                    let unit = Unit::Stream { offset: half.delivered };
                    pipeline.chunk(Chunk { flow: conn.key, dir, unit, layer: Layer::Wire, time, frame, bytes: &bytes[skip..] }, &mut out);
                    half.delivered += (bytes.len() - skip) as u64;
                }
            }
        }
        let end = match (conn.counts.fin, conn.counts.rst) {
            (_, [true, _] | [_, true]) => FlowEnd::Reset,
            ([true, true], _) => FlowEnd::Fin,
            _ => FlowEnd::EndOfRun,
        };
        pipeline.close(conn.key, end, &conn.counts, last, frame, &mut out);
    }
    pipeline.finish(last, frame, &mut out);
    out
}
