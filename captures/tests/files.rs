//! Capture files: what is written reads back; every flavour of header; wrapped, cut and damaged ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Write as _;

use analyzers::keys::{Secret, SecretLabel};
use captures::write::Packet;
use captures::{Block, Link, Note, OpenError, Options, Reader, Summary, Writer, scan};
use policies::Time;
use proptest::prelude::*;
use support::{ACK, Pcap, conversation, run, tcp, udp};

type Frames = Vec<(i64, u32, Vec<u8>)>;

/// Everything in a capture: frames as (time, wire length, bytes), notes, summary.
fn read(bytes: &[u8]) -> (Frames, Vec<(u64, Note)>, Summary) {
    let mut reader = Reader::open(bytes).unwrap();
    let mut block = Block::new();
    let (mut frames, mut notes) = (Vec::new(), Vec::new());
    while reader.fill(&mut block).unwrap() {
        frames.extend(block.frames().map(|f| (f.time.0, f.len, f.bytes.to_vec())));
        notes.extend_from_slice(block.notes());
    }
    (frames, notes, reader.summary().clone())
}

const T0: u64 = 1_700_000_000_123_456_789;

fn some_frames() -> Vec<Vec<u8>> {
    (0..50).map(|i| udp(i % 3 != 0, (5000, 53), &vec![i as u8; i * 7])).collect()
}

/// A pcap with 50 frames, a second apart.
fn fifty() -> Vec<u8> {
    let mut capture = Pcap::new(1);
    for (i, frame) in some_frames().iter().enumerate() {
        capture.frame(T0 + i as u64 * 1_000_000_000, frame);
    }
    capture.0
}

fn fifty_ng() -> Vec<u8> {
    let mut w = Writer::new(Vec::new(), "a test").unwrap();
    w.interface(Link::ETHERNET, 262_144, "dut").unwrap();
    for (i, frame) in some_frames().iter().enumerate() {
        let time = Time((T0 + i as u64 * 1_000_000_000) as i64);
        w.packet(&Packet { interface: 0, time, len: frame.len() as u32, bytes: frame, comments: &[] }).unwrap();
    }
    w.finish().unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let secret = Secret { label: SecretLabel::ClientTraffic(0), client_random: [7; 32], secret: vec![0xab; 32] };
    let mut w = Writer::new(Vec::new(), "a test").unwrap();
    assert_eq!(w.interface(Link::ETHERNET, 0, "dut").unwrap(), 0);
    assert_eq!(w.interface(Link::RAW, 96, "").unwrap(), 1);
    w.secrets(std::slice::from_ref(&secret)).unwrap();
    w.packet(&Packet { interface: 0, time: Time(T0 as i64), len: 3, bytes: b"abc", comments: &["cert.self-signed", "é"] }).unwrap();
    w.packet(&Packet { interface: 1, time: Time(T0 as i64 + 1), len: 200, bytes: b"abcde", comments: &[] }).unwrap();
    w.statistics(0, Time(T0 as i64), 9, 4).unwrap();
    w.statistics(0, Time(T0 as i64), 12, 6).unwrap();
    assert!(w.packet(&Packet { interface: 2, time: Time(0), len: 0, bytes: &[], comments: &[] }).is_err());
    let bytes = w.finish().unwrap();
    let (frames, notes, summary) = read(&bytes);
    assert_eq!(frames, [(T0 as i64, 3, b"abc".to_vec()), (T0 as i64 + 1, 200, b"abcde".to_vec())]);
    let said: Vec<String> = notes.iter().map(|(n, note)| format!("{n} {note:?}")).collect();
    assert_eq!(
        said,
        ["0 Secrets([Secret { CLIENT_TRAFFIC_SECRET_0, 32 bytes hidden }])", "1 Comment(\"cert.self-signed\")", "1 Comment(\"é\")"]
    );
    assert_eq!((summary.dropped, summary.cut, summary.secrets, summary.sections), (Some(6), 1, 1, 1));
    assert_eq!(summary.links.into_iter().collect::<Vec<_>>(), [(Link::ETHERNET, 1), (Link::RAW, 1)]);
    assert_eq!(scan::secrets(&mut std::io::Cursor::new(&bytes)).unwrap(), [secret]);
}

/// `if_tsresol` in powers of ten and of two.
#[test]
fn units_of_time() {
    let mut w = Writer::new(Vec::new(), "a test").unwrap();
    w.interface(Link::ETHERNET, 0, "dut").unwrap();
    w.packet(&Packet { interface: 0, time: Time(T0 as i64), len: 3, bytes: b"abc", comments: &[] }).unwrap();
    let bytes = w.finish().unwrap();
    let option = [9, 0, 1, 0, 9, 0, 0, 0];
    let at = bytes.windows(8).position(|w| w == option).unwrap() + 4;
    let units = i128::from(T0);
    for (resolution, per_second) in [(9, 1_000_000_000), (12, 1_000_000_000_000), (0x9e, 1 << 30), (0xa8, 1_i128 << 40)] {
        let mut bytes = bytes.clone();
        bytes[at] = resolution;
        assert_eq!(i128::from(read(&bytes).0[0].0), units * 1_000_000_000 / per_second, "{resolution:x}");
    }
}

/// Secrets before the first packet are found without reading on; others end a reading that knows of those alone.
#[test]
fn secrets_by_their_place() {
    let secret = |n: u8| Secret { label: SecretLabel::ClientTraffic(0), client_random: [n; 32], secret: vec![n; 32] };
    let packet = |w: &mut Writer<Vec<u8>>| w.packet(&Packet { interface: 0, time: Time(T0 as i64), len: 3, bytes: b"abc", comments: &[] });
    let file = |late: bool| {
        let mut w = Writer::new(Vec::new(), "a test").unwrap();
        w.interface(Link::ETHERNET, 0, "dut").unwrap();
        w.secrets(&[secret(1), secret(2)]).unwrap();
        packet(&mut w).unwrap();
        if late {
            w.secrets(&[secret(3)]).unwrap();
        }
        packet(&mut w).unwrap();
        w.finish().unwrap()
    };
    let analyse = |bytes: &[u8], secrets: captures::Known| {
        let options = captures::Options { secrets, ..captures::Options::default() };
        let read =
            captures::analyse(bytes, &options, |_| analyzers::pipeline::Pipeline::new(std::sync::Arc::default()), &mut |_| {}, &mut |_| {});
        read.map(|report| (report.input.packets, report.late_secrets))
    };
    for late in [false, true] {
        let bytes = file(late);
        assert_eq!(scan::leading(&mut std::io::Cursor::new(&bytes)).unwrap(), [secret(1), secret(2)]);
        assert_eq!(scan::secrets(&mut std::io::Cursor::new(&bytes)).unwrap().len(), 2 + usize::from(late));
        assert_eq!(analyse(&bytes, captures::Known::All).unwrap(), (2, 0));
        assert_eq!(analyse(&bytes, captures::Known::None).unwrap(), (2, 2 + u64::from(late)));
        let leading = analyse(&bytes, captures::Known::Leading(2));
        match leading {
            Err(OpenError::LateSecrets) => assert!(late),
            other => assert_eq!((other.unwrap(), late), ((2, 0), false)),
        }
        let fewer = analyse(&bytes, captures::Known::Leading(1));
        assert!(matches!(fewer, Err(OpenError::LateSecrets)), "one that was not known: {fewer:?}");
    }
}

#[test]
fn pcap_to_pcapng_keeps_everything() {
    assert_eq!(read(&fifty()).0, read(&fifty_ng()).0);
}

/// The header's flavours: byte order, resolution, the modified one.
#[test]
fn flavours() {
    let frames: Frames = read(&fifty()).0;
    let swap = |nanos: bool, big: bool, extra: usize| {
        let word = |w: u32| if big { w.to_be_bytes() } else { w.to_le_bytes() };
        let half = |h: u16| if big { h.to_be_bytes() } else { h.to_le_bytes() };
        let magic = if extra > 0 {
            0xa1b2_cd34
        } else if nanos {
            0xa1b2_3c4d
        } else {
            0xa1b2_c3d4_u32
        };
        let mut out = word(magic).to_vec();
        out.extend([half(2), half(4)].concat());
        out.extend([word(0), word(0), word(65_535), word(1)].concat());
        for (time, len, bytes) in &frames {
            let frac = (time % 1_000_000_000) as u32 / if nanos { 1 } else { 1000 };
            out.extend([word((time / 1_000_000_000) as u32), word(frac), word(bytes.len() as u32), word(*len)].concat());
            out.extend(vec![0; extra]);
            out.extend(bytes);
        }
        out
    };
    for (nanos, big, extra) in [(true, false, 0), (true, true, 0), (false, false, 0), (false, true, 0), (false, false, 8), (false, true, 8)]
    {
        let got = read(&swap(nanos, big, extra)).0;
        assert_eq!(got.len(), 50, "{nanos} {big} {extra}");
        for (got, expect) in got.iter().zip(&frames) {
            let time = if nanos { expect.0 } else { expect.0 / 1000 * 1000 };
            assert_eq!((got.0, &got.2), (time, &expect.2));
        }
    }
}

/// Options of eight bytes in both byte orders: the offset of an interface's clock, and what it dropped.
#[test]
fn long_options() {
    let file = |big: bool| {
        let word = |w: u32| if big { w.to_be_bytes() } else { w.to_le_bytes() };
        let half = |h: u16| if big { h.to_be_bytes() } else { h.to_le_bytes() };
        let eight = |e: u64| if big { e.to_be_bytes() } else { e.to_le_bytes() };
        let option = |code: u16, value: u64| [&half(code)[..], &half(8), &eight(value), &[0; 4]].concat();
        let block = |kind: u32, body: &[u8]| {
            let len = word(body.len() as u32 + 12);
            [&word(kind)[..], &len, body, &len].concat()
        };
        let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
        let interface = [&half(1)[..], &half(0), &word(0), &option(14, 1_600_000_000)].concat();
        let packet = [word(0), word(0), word(7_000_000), word(4), word(4), *b"abcd"].concat();
        let statistics = [&[word(0), word(0), word(0)].concat()[..], &option(5, 37)].concat();
        [block(0x0a0d_0d0a, &section), block(1, &interface), block(6, &packet), block(5, &statistics)].concat()
    };
    for big in [false, true] {
        let (frames, _, summary) = read(&file(big));
        assert_eq!((frames.len(), frames[0].0, summary.dropped), (1, 1_600_000_007_000_000_000, Some(37)), "{big}");
    }
}

/// The obsolete Packet Block says how many were lost before it, or that nobody knows.
#[test]
fn packets_of_old_say_what_was_dropped() {
    let block = |kind: u32, body: &[u8]| {
        let len = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let packet = |drops: u16| {
        let body = [&[0, 0][..], &drops.to_le_bytes(), &[0; 8], &4_u32.to_le_bytes(), &4_u32.to_le_bytes(), b"abcd"].concat();
        block(2, &body)
    };
    let start = [block(0x0a0d_0d0a, &section), block(1, &[1, 0, 0, 0, 0, 0, 0, 0])].concat();
    for (drops, expect) in [(&[9, 0xffff, 2][..], 11), (&[0xffff], 0), (&[0], 0)] {
        let file = [start.clone(), drops.iter().flat_map(|n| packet(*n)).collect()].concat();
        let (frames, _, summary) = read(&file);
        assert_eq!((frames.len(), summary.dropped.unwrap_or(0)), (drops.len(), expect), "{drops:?}");
    }
}

/// One link address, two addresses of its own.
#[test]
fn who_stands_behind_a_link_address() {
    use analyzers::pipeline::Told;
    let (named, other) = ([192, 0, 2, 1], [169, 254, 9, 9]);
    let mut capture = Pcap::new(1);
    capture.frame(T0, &udp(true, (4000, 53), b"one"));
    let mut frame = udp(true, (4000, 53), b"two");
    frame[26..30].copy_from_slice(&other);
    capture.frame(T0 + 1, &frame);
    let links = captures::links(&capture.0[..], &Options::default()).unwrap();
    let groups = links.groups(&[Told::Ip(named.into())]);
    assert_eq!(groups, [[other.into(), std::net::IpAddr::from(named)]]);
    assert!(links.groups(&[Told::Ip([192, 0, 2, 9].into())]).is_empty());
}

#[test]
fn wrapped_and_concatenated() {
    let plain = fifty();
    let gzip = |bytes: &[u8]| {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        w.write_all(bytes).unwrap();
        w.finish().unwrap()
    };
    let (front, back) = plain.split_at(999);
    for wrapped in [
        gzip(&plain),
        [gzip(front), gzip(back)].concat(),
        zstd::encode_all(&plain[..], 1).unwrap(),
        [zstd::encode_all(front, 1).unwrap(), zstd::encode_all(back, 1).unwrap()].concat(),
    ] {
        let (frames, _, summary) = read(&wrapped);
        assert_eq!((frames.len(), summary.truncated, summary.bytes), (50, false, plain.len() as u64));
        // Cut: as far as it goes, and said. (A zstd block gives all of its bytes or none.)
        let cut = &wrapped[..wrapped.len() - 20];
        match Reader::open(cut) {
            Ok(_) => assert!(read(cut).2.truncated),
            Err(e) => assert!(e.to_string().contains("cannot be unpacked"), "{e}"),
        }
    }
}

#[test]
fn not_a_capture() {
    let error = |bytes: &[u8]| Reader::open(bytes).map(|_| ()).unwrap_err().to_string();
    assert!(matches!(Reader::open(&b""[..]), Err(OpenError::Empty)));
    assert_eq!(
        error(b"PK\x03\x04 and more than twenty-four bytes"),
        "not a capture: neither a pcap nor a pcapng header at its start (it is a ZIP archive; unpack it first)"
    );
    assert!(error(b"hello").contains("shorter than a header"));
    assert!(error(&[0x1f, 0x8b, 8, 0, 1]).contains("cannot be unpacked"));
}

/// After damage the next sound record is found; what was lost is said.
#[test]
fn damage() {
    let lost = |mut bytes: Vec<u8>, at: usize, with: &[u8]| {
        bytes[at..at + with.len()].copy_from_slice(with);
        let (frames, _, summary) = read(&bytes);
        (50 - frames.len(), summary.damage.len(), summary.truncated)
    };
    let plain = fifty();
    assert_eq!(lost(plain.clone(), 0, &[]), (0, 0, false));
    // The captured length of the first record.
    assert_eq!(lost(plain.clone(), 24 + 8, &[0xff; 4]), (1, 1, false));
    assert_eq!(lost(plain.clone(), 24 + 8, &[0xff, 0, 0, 0]), (1, 1, false));
    // A stretch of zeros over several records.
    assert!(matches!(lost(plain.clone(), 2000, &[0; 700]), (1..=6, 1, false)));
    assert_eq!(read(&plain[..plain.len() - 1]).0.len(), 49);
    let ng = fifty_ng();
    assert_eq!(lost(ng.clone(), 0, &[]), (0, 0, false));
    // The section header and the interface description go before the first packet.
    let len = |at: usize| u32::from_le_bytes(ng[at + 4..at + 8].try_into().unwrap()) as usize;
    let first = len(0) + len(len(0));
    assert!(matches!(lost(ng.clone(), first + 4, &[0xff; 4]), (1..=2, 1, false)));
    assert!(matches!(lost(ng.clone(), 3000, &[0; 700]), (1..=7, 1, false)));
    assert!(read(&ng[..ng.len() - 1]).2.truncated);
}

/// A fragment in the middle of a run, a stacked VLAN, ARP and neighbour discovery: the rest of the way down.
#[test]
fn links_and_fragments() {
    let mut capture = Pcap::new(1);
    let plain = udp(true, (5000, 53), b"question");
    let mut tagged = plain[..12].to_vec();
    tagged.extend_from_slice(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]);
    tagged.extend_from_slice(&plain[12..]);
    capture.frame(T0, &tagged);
    // Two fragments of one datagram, the later first.
    let payload = &plain[34..];
    for (offset, more, part) in [(1_u16, false, &payload[8..]), (0, true, &payload[..8])] {
        let mut f = support::ipv4(true, 17, part);
        f[18..20].copy_from_slice(&[0, 9]);
        f[20..22].copy_from_slice(&((u16::from(more) << 13) | offset).to_be_bytes());
        capture.frame(T0 + 1, &f);
    }
    let mut arp = plain[..12].to_vec();
    arp.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 192, 0, 2, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 2]);
    capture.frame(T0 + 2, &arp);
    capture.frame(T0 + 3, &arp);
    let (lines, report) = run(&capture.0, &Options::default());
    assert_eq!(lines[..4], ["open udp 5000-53", "> question", "> question", "Arp 192.0.2.1 is 02:00:00:00:00:02"]);
    assert_eq!((report.flows, report.fragments_lost, lines.len()), (1, 0, 5));
}

/// A subflow of MPTCP (RFC 8684) is no connection by itself: its stream begins elsewhere, and pieces of it are missing.
#[test]
fn a_subflow_of_mptcp() {
    for (subtype, expect) in [(0x10, true), (0x00, false)] {
        let option = [&[1, 1, 30, 12, subtype, 1][..], &[7; 8], &[1, 0]].concat();
        let mut syn = tcp(true, (40_000, 443), 100, 0, support::SYN, &option);
        syn[14 + 20 + 12] = 0x90;
        let mut capture = Pcap::new(1);
        capture.frame(T0, &syn);
        capture.frame(T0 + 1, &tcp(false, (40_000, 443), 500, 101, support::SYN | support::ACK, b""));
        capture.frame(T0 + 2, &tcp(true, (40_000, 443), 101, 501, support::ACK, b"piece"));
        let (lines, _) = run(&capture.0, &Options::default());
        assert_eq!(lines.iter().any(|line| line == "odd Unread"), expect, "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("gap")).count(), if expect { 2 } else { 0 }, "{lines:?}");
        assert!(lines.iter().any(|line| line.ends_with("piece")), "{lines:?}");
    }
}

/// A fragment whose first one never came belongs to no connection that could be named.
#[test]
fn fragments_without_their_first() {
    let mut capture = Pcap::new(1);
    let mut f = support::ipv4(true, 17, b"the end of a datagram");
    f[20..22].copy_from_slice(&[0, 9]);
    capture.frame(T0, &f);
    let (lines, report) = run(&capture.0, &Options::default());
    assert_eq!((report.flows, report.fragments_lost), (1, 1));
    assert_eq!(lines[0], "open ip-44 0-0");
}

/// What the link type PPP has under it: IP, labels, Cisco's HDLC.
#[test]
fn ppp() {
    let ip = &udp(true, (5000, 53), b"question")[14..];
    let label = [0, 0, 0x11, 64];
    for head in [
        &[0xff, 3, 0, 0x21][..],
        &[0x21],
        &[&[0xff, 3, 2, 0x81][..], &label].concat(),
        &[&[2, 0x83][..], &label].concat(),
        &[0x0f, 0, 8, 0],
        &[0x8f, 0, 8, 0],
    ] {
        let mut capture = Pcap::new(9);
        capture.frame(T0, &[head, ip].concat());
        let (lines, _) = run(&capture.0, &Options::default());
        assert_eq!(lines[..2], ["open udp 5000-53", "> question"], "{head:x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any cutting into segments, any order within reach, any repetition: the same bytes come out, or a gap is said.
    #[test]
    fn any_segmentation_delivers_the_stream(
        start in any::<u32>(),
        cuts in prop::collection::vec(1_usize..40, 1..60),
        order in prop::collection::vec((0_usize..8, 0_u8..4), 60),
        lose in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let total: usize = cuts.iter().sum();
        let stream: Vec<u8> = (0..total).map(|i| b'a' + (i % 26) as u8).collect();
        let mut segments = Vec::new();
        let mut at = 0;
        for (cut, (_, again)) in cuts.iter().zip(&order) {
            segments.push((at, at + cut));
            // A repetition that begins earlier.
            if *again == 0 {
                segments.push((at.saturating_sub(5), at + cut));
            }
            at += cut;
        }
        for (i, (far, _)) in order.iter().enumerate() {
            if i + far < segments.len() {
                segments.swap(i, i + far);
            }
        }
        for index in &lose {
            if segments.len() > 1 {
                segments.remove(index.index(segments.len()));
            }
        }
        let mut capture = Pcap::new(1);
        capture.frame(T0, &tcp(true, (40_000, 443), start, 0, support::SYN, b""));
        for (from, to) in &segments {
            capture.frame(T0, &tcp(true, (40_000, 443), start.wrapping_add(1).wrapping_add(*from as u32), 1, ACK, &stream[*from..*to]));
        }
        let (lines, _) = run(&capture.0, &Options::default());
        let mut expect = 0;
        let mut missing = Vec::new();
        for line in lines.iter().filter_map(|l| l.strip_prefix('>')) {
            let (offset, rest) = line.split_once(' ').unwrap();
            prop_assert_eq!(offset.parse::<usize>().unwrap(), expect);
            if let Some(gap) = rest.strip_prefix("gap ") {
                let len: usize = gap.split_once(' ').unwrap().0.parse().unwrap();
                missing.push(expect..expect + len);
                expect += len;
            } else {
                prop_assert_eq!(rest.as_bytes(), &stream[expect..expect + rest.len()]);
                expect += rest.len();
            }
        }
        // A gap is where no segment was, and nothing else is.
        for i in 0..expect {
            prop_assert_eq!(missing.iter().any(|m| m.contains(&i)), !segments.iter().any(|(from, to)| (*from..*to).contains(&i)));
        }
        prop_assert_eq!(expect, segments.iter().map(|(_, to)| *to).max().unwrap_or(0));
        prop_assert!(!lines.iter().any(|l| l.contains("odd")));
    }

    /// Flipped bits and cuts: read to the end, whatever they say, and the same for any number of threads.
    #[test]
    fn damaged_captures_are_read(flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..20), keep in any::<prop::sample::Index>(), ng in any::<bool>()) {
        let mut bytes = if ng { fifty_ng() } else { [fifty(), conversation(">S100 <S300,101 >103:cd >101:ab <301,105:xyz")[24..].to_vec()].concat() };
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        if Reader::open(&bytes[..]).is_ok() {
            let say = |jobs| {
                let (lines, report) = run(&bytes, &Options { jobs, ..Options::default() });
                (lines, format!("{report:?}"))
            };
            prop_assert_eq!(say(1), say(3));
        }
    }
}

/// Who opens a conversation of datagrams: who speaks first, but that a service answers; and that no service stands inside.
#[test]
fn openers_of_datagrams() {
    let first = |from: [u8; 4], to: [u8; 4], ports: (u16, u16)| {
        let mut frame = udp(true, ports, b"hello");
        frame[26..30].copy_from_slice(&from);
        frame[30..34].copy_from_slice(&to);
        let mut capture = Pcap::new(1);
        capture.frame(T0, &frame);
        run(&capture.0, &Options::default()).0.remove(0)
    };
    let (inside, other, outside) = ([10, 9, 0, 2], [10, 9, 0, 3], [198, 18, 0, 1]);
    assert_eq!(first(inside, outside, (5000, 443)), "open udp 5000-443");
    assert_eq!(first(outside, inside, (443, 5000)), "open udp 5000-443");
    assert_eq!(first(other, inside, (53, 5000)), "open udp 5000-53");
    assert_eq!(first(inside, outside, (443, 9000)), "open udp 443-9000");
    assert_eq!(first(inside, outside, (9000, 5000)), "open udp 9000-5000");
}

/// Whoever asks for a lease speaks from the same address: each has a conversation of its own.
#[test]
fn who_has_no_address_is_told_apart_by_the_link() {
    let mut capture = Pcap::new(1);
    for (n, mac) in [1, 2, 1].into_iter().enumerate() {
        let mut frame = udp(true, (68, 67), b"hello");
        frame[11] = mac;
        frame[26..30].copy_from_slice(&[0; 4]);
        frame[30..34].copy_from_slice(&[255; 4]);
        capture.frame(T0 + n as u64, &frame);
    }
    let lines = run(&capture.0, &Options::default()).0;
    assert_eq!(lines.iter().filter(|l| l.starts_with("open udp 68-67")).count(), 2, "{lines:?}");
}

#[test]
fn who_logs_in_to_the_link_is_heard() {
    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1];
    let pap = b"\x01\x01\0\x0e\x03ada\x05petal";
    let session = |payload: &[u8]| [&MACS[..], b"\x88\x64\x11\0\0\x01\0\x10\xc0\x23", payload].concat();
    let eap = [&MACS[..], b"\x88\x8e\x01\0\0\x08\x02\x01\0\x08\x01ada"].concat();
    let key = [&MACS[..], b"\x88\x8e\x01\x03\0\x04\x02\0\0\0"].concat();
    let mut capture = Pcap::new(1);
    capture.frame(T0, &session(pap));
    // Padded, as short frames are; then cut by the capture.
    capture.frame(T0 + 1, &[&eap[..], &[0; 20]].concat());
    capture.cut_frame(T0 + 2, &session(pap), 30);
    capture.frame(T0 + 3, &key);
    let (lines, report) = run(&capture.0, &Options::default());
    let expect = [
        "open link-c023 0-0",
        "> \\x01\\x01\\x00\\x0e\\x03ada\\x05petal",
        "open link-888e 0-0",
        "> \\x02\\x01\\x00\\x08\\x01ada",
        "> \\x01\\x01\\x00\\x0e\\x03ada",
        "close EndOfRun at 3 missing 6",
        "close EndOfRun at 2",
    ];
    let mut said: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.contains("gap")).collect();
    said[5..].sort_unstable_by_key(|line| !line.contains("missing"));
    assert_eq!(said, expect, "{lines:?}");
    assert_eq!(report.unread.into_iter().collect::<Vec<_>>(), [("802.1X (EAPOL)".to_owned(), 1)]);
}
