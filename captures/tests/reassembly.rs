//! TCP as devices, networks and captures really send it: each row is a conversation and what the pipeline hears of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use captures::{Limits, Options};
use support::{conversation, run};

#[track_caller]
fn check(packets: &str, expect: &[&str]) {
    let (lines, _) = run(&conversation(packets), &Options::default());
    assert_eq!(lines, expect, "{packets}");
}

const OPEN: &str = "open tcp 40000-443";
const JOIN: &str = "join tcp 40000-443";

#[test]
fn plain() {
    check(
        ">S100 <S300,101 >101,301 >101,301:hello <301,106:world >F106,306 <F306,107 >107,307",
        &[OPEN, ">0 hello", "<0 world", "close Fin at 8"],
    );
    check(">S100 <S300,101 >101,301:ab >103,301:cd", &[OPEN, ">0 ab", ">2 cd", "close EndOfRun at 4"]);
    check(">S100 <R0,101", &[OPEN, "close Reset at 2"]);
}

#[test]
fn retransmission() {
    check(">S100 <S300,101 >101:abc >101:abc >104:d", &[OPEN, ">0 abc", ">3 d", "close EndOfRun at 5 again 1"]);
    check(">S100 >S100 <S300,101 <S300,101 >101:a", &[OPEN, ">0 a", "close EndOfRun at 5 again 2"]);
    // Partly new.
    check(">S100 >101:abc >102:bcde", &[OPEN, ">0 abc", ">3 de", "close EndOfRun at 3 again 1"]);
    check(">S100 >101:abc >101:abcdef >107:g", &[OPEN, ">0 abc", ">3 def", ">6 g", "close EndOfRun at 4 again 1"]);
}

#[test]
fn conflict() {
    check(">S100 >101:abc >101:aXc >104:d", &[OPEN, ">0 abc", "odd ConflictingSegment", ">3 d", "close EndOfRun at 4 again 1 differ 1"]);
    check(">S100 >101:abc >102:bXde", &[OPEN, ">0 abc", "odd ConflictingSegment", ">3 de", "close EndOfRun at 3 again 1 differ 1"]);
    // Held first, then overlapped: what came first stands.
    check(
        ">S100 >103:cd >101:abXX >105:e",
        &[OPEN, ">0 ab", "odd ConflictingSegment", ">2 cd", ">4 e", "close EndOfRun at 4 reordered 1 differ 1"],
    );
    check(
        ">S100 >103:cd >103:XXe >101:ab",
        &[OPEN, "odd ConflictingSegment", ">0 ab", ">2 cd", ">4 e", "close EndOfRun at 4 reordered 2 differ 1"],
    );
}

#[test]
fn reordering() {
    check(">S100 >104:def >101:abc >107:g", &[OPEN, ">0 abc", ">3 def", ">6 g", "close EndOfRun at 4 reordered 1"]);
    check(
        ">S100 >105:e >103:cd >107:g >101:ab >106:f",
        &[OPEN, ">0 ab", ">2 cd", ">4 e", ">5 f", ">6 g", "close EndOfRun at 6 reordered 3"],
    );
    // One that covers two held ones, and the space between.
    check(">S100 >102:b >104:d >101:abcde", &[OPEN, ">0 a", ">1 b", ">2 c", ">3 d", ">4 e", "close EndOfRun at 4 reordered 2"]);
}

#[test]
fn loss() {
    check(">S100 >101:ab >105:ef", &[OPEN, ">0 ab", ">2 gap 2 Sequence", ">4 ef", "close EndOfRun at 3 reordered 1 missing 2"]);
    // The peer has it, the capture does not: not waited for longer than reordering takes.
    let acks = " <301,107".repeat(40);
    check(
        &format!(">S100 <S300,101 >101:ab >105:ef{acks} >107:g"),
        &[OPEN, ">0 ab", ">2 gap 2 Sequence", ">4 ef", ">6 g", "close EndOfRun at 45 reordered 1 missing 2"],
    );
    // Tail known only by what the peer acknowledged.
    check(">S100 <S300,101 >101:ab <301,108", &[OPEN, ">0 ab", ">2 gap 5 Sequence", "close EndOfRun at 4 missing 5"]);
    // Before the FIN.
    check(">S100 <S300,101 >101:ab >F106 <F301,107", &[OPEN, ">0 ab", ">2 gap 3 Sequence", "close EndOfRun at 5 missing 3"]);
    // An acknowledged FIN that was not captured is no lost byte.
    check(">S100 <S300,101 >101:ab <301,104", &[OPEN, ">0 ab", "close EndOfRun at 4"]);
}

#[test]
fn cut_by_the_snap_length() {
    check(">S100 >101:abcdef!2 >107:gh", &[OPEN, ">0 ab", ">2 gap 4 SnapLength", ">6 gh", "close EndOfRun at 3 missing 4"]);
    check(
        ">S100 >104:def!1 >101:abc >107:g",
        &[OPEN, ">0 abc", ">3 d", ">4 gap 2 SnapLength", ">6 g", "close EndOfRun at 4 reordered 1 missing 2"],
    );
}

#[test]
fn wrap_around() {
    check(
        ">S4294967290 >4294967291:abcd >4294967295:efgh >3:ij >3:ij",
        &[OPEN, ">0 abcd", ">4 efgh", ">8 ij", "close EndOfRun at 5 again 1"],
    );
    check(">S4294967294 >2:cd >4294967295:zab", &[OPEN, ">0 zab", ">3 cd", "close EndOfRun at 3 reordered 1"]);
}

#[test]
fn mid_stream() {
    check(">500,900:ab <900,502:yes >502,903:cd", &[JOIN, ">0 ab", "<0 yes", ">2 cd", "close EndOfRun at 3"]);
    // The service is told by its port, whoever is heard first.
    check("<900,502:yes >502,903:cd", &[JOIN, "<0 yes", ">0 cd", "close EndOfRun at 2"]);
    // Only the SYN-ACK: both beginnings are known.
    check("<S300,101 >103:cd >101:ab", &[OPEN, ">0 ab", ">2 cd", "close EndOfRun at 3 reordered 1"]);
    // The SYN-ACK is missing: the third step says where the answer begins.
    check(">S100 >A101,301 <303:cd <301:ab", &[OPEN, "<0 ab", "<2 cd", "close EndOfRun at 4 reordered 1"]);
}

/// A capture that swaps packets: the beginning of a stream comes a little late.
#[test]
fn late_beginnings() {
    check(">503:de >500:abc >505:f", &[JOIN, ">0 abc", ">3 de", ">5 f", "close EndOfRun at 3 reordered 1"]);
    check(">503:de >505:f >500:abc <900,506:yes", &[JOIN, ">0 abc", ">3 de", ">5 f", "<0 yes", "close EndOfRun at 4 reordered 1"]);
    // Right in front of what waits, or not its beginning.
    check(">505:de >500:abc >507:f", &[JOIN, ">0 de", ">2 f", "close EndOfRun at 3 again 1"]);
    // What the peer has acknowledged does not wait.
    check(">503:de <900,505:yes >500:abc >505:f", &[JOIN, ">0 de", ">2 f", "<0 yes", "close EndOfRun at 4 again 1"]);
    // Nor does more than a few packets.
    check(">503:a >504:b >505:c >506:d >500:abc", &[JOIN, ">0 a", ">1 b", ">2 c", ">3 d", "close EndOfRun at 5 again 1"]);
    // The SYN after the bytes.
    check(">101,301:ab >S100 <S300,101 >101,301 >103,301:cd", &[JOIN, ">0 ab", ">2 cd", "close EndOfRun at 5"]);
    check(">103,301:cd >S100 <S300,101 >101,301:ab >105,301:e", &[JOIN, ">0 ab", ">2 cd", ">4 e", "close EndOfRun at 5"]);
    check(">101,301:ab <301,103:x >S100 <S300,101 >103,302:c", &[JOIN, ">0 ab", "<0 x", ">2 c", "close EndOfRun at 5"]);
    // Another connection's.
    check(">101,301:ab >S70000000 <S300,70000001 >70000001:c", &[JOIN, ">0 ab", "close Idle at 1", OPEN, ">0 c", "close EndOfRun at 4"]);
}

#[test]
fn syn_and_fin_with_bytes() {
    check(">S100:early <S300,106 >106:late", &[OPEN, ">0 early", ">5 late", "close EndOfRun at 3"]);
    check(">S100 <S300,101 >F101:bye <F301,105:ok", &[OPEN, ">0 bye", "<0 ok", "close Fin at 4"]);
    // FIN ahead of a hole.
    check(">S100 <S300,101 >F103:cd >101:ab <F301,106", &[OPEN, ">0 ab", ">2 cd", "close Fin at 5 reordered 1"]);
    // FIN again.
    check(">S100 <S300,101 >F101:bye >F101:bye <F301,105", &[OPEN, ">0 bye", "close Fin at 5 again 1"]);
}

#[test]
fn keep_alive_and_probe() {
    check(">S100 <S300,101 >101:ab >102,301 <301,103 >102,301:x <301,103 >103:c", &[OPEN, ">0 ab", ">2 c", "close EndOfRun at 8"]);
    // A zero-window probe is the next byte; it comes again with the rest.
    check(">S100 <S300,101 >101:ab >103:c >103:cdef", &[OPEN, ">0 ab", ">2 c", ">3 def", "close EndOfRun at 5 again 1"]);
}

#[test]
fn reset() {
    check(">S100 <S300,101 >101:ab <R301,103 >103:cd", &[OPEN, ">0 ab", ">2 cd", "close Reset at 5"]);
    // It stands behind what was sent: the rest is missing. One byte more may be a FIN, and a guess from far away says nothing.
    check(">S100 <S300,101 >101:ab >R107", &[OPEN, ">0 ab", ">2 gap 4 Sequence", "close Reset at 4 missing 4"]);
    check(">S100 <S300,101 >101:ab >R104", &[OPEN, ">0 ab", "close Reset at 4"]);
    check(">S100 <S300,101 >101:ab >R5000103", &[OPEN, ">0 ab", "close Reset at 4"]);
    // What a RST carries is a message for people, not of the stream.
    check(">S100 <S300,101 >101:ab <R301,103:go_away", &[OPEN, ">0 ab", "close Reset at 4"]);
}

/// A reset and a FIN that the client ignored, then the answer: one connection, every byte of it.
#[test]
fn evasion() {
    check(">S100 <RA0,101 <F0,101 <S300,101 >101,301:get <301,104:page", &[OPEN, ">0 get", "<0 page", "close Reset at 6"]);
    // Garbage far outside the window between sound segments, and a reset with a number from nowhere.
    check(">S100 <S300,101 >101:ab >800000000:XX >R800000000 >103:cd", &[OPEN, ">0 ab", ">2 cd", "close Reset at 6"]);
}

#[test]
fn port_reuse() {
    check(
        ">S100 <S300,101 >F101:a <F301,103:b >S9000 <S7000,9001 >9001:c",
        &[OPEN, ">0 a", "<0 b", "close Fin at 4", OPEN, ">0 c", "close EndOfRun at 7"],
    );
    check(">S100 >S5000 <S300,5001 >5001:a", &[OPEN, "close Idle at 1", OPEN, ">0 a", "close EndOfRun at 4"]);
    // Amid a live connection: only when it is answered.
    check(">S100 <S300,101 >101:a >S9000 >102:b", &[OPEN, ">0 a", ">1 b", "close EndOfRun at 5"]);
    check(">S100 <S300,101 >101:a >S9000 <S7000,9001 >9001:c", &[OPEN, ">0 a", "close Idle at 4", OPEN, ">0 c", "close EndOfRun at 6"]);
    // Segments of the old connection after its end.
    check(">S100 <S300,101 >F101:a <F301,103 >F101:a <302,103", &[OPEN, ">0 a", "close Fin at 6 again 1"]);
    // Without any SYN: the numbers start afresh.
    check(
        ">S2000000000 <S300,2000000001 >2000000001:a >1000:b >1001:c >1002:d >1003:e",
        &[OPEN, ">0 a", "close Idle at 5", JOIN, ">0 d", ">1 e", "close EndOfRun at 7"],
    );
}

#[test]
fn simultaneous_open() {
    check(">S100 <S300 >S100,301 <S300,101 >101:a <301:b", &[OPEN, ">0 a", "<0 b", "close EndOfRun at 6 again 2"]);
}

#[test]
fn far_away() {
    // One segment from nowhere is not followed; a stream that goes on there is.
    check(">S100 >101:a >900000000:X >102:b", &[OPEN, ">0 a", ">1 b", "close EndOfRun at 4"]);
    check(
        ">S100 >101:a >900000000:b >900000001:c >900000002:d >900000003:e",
        &[OPEN, ">0 a", ">1 gap 899999900 Sequence", ">899999901 d", ">899999902 e", "close EndOfRun at 6 missing 899999900"],
    );
}

#[test]
fn silence() {
    check(">S100 <S300,101 >101:a wait3700 >102:b >103:c", &[OPEN, ">0 a", "close Idle at 3", JOIN, ">0 b", ">1 c", "close EndOfRun at 5"]);
}

/// A sender tries again within minutes: after them holes stay, and the connection is still the same.
#[test]
fn holes_of_the_silent() {
    let before = ">S100 <S300,101 >101:ab >105:ef";
    check(&format!("{before} wait250 >103:cd >107:g"), &[OPEN, ">0 ab", ">2 cd", ">4 ef", ">6 g", "close EndOfRun at 6 reordered 1"]);
    check(
        &format!("{before} wait310 >107:g >109:i wait400 >111:k wait3700 >112:l >F113"),
        &[
            OPEN,
            ">0 ab",
            ">2 gap 2 Sequence",
            ">4 ef",
            ">6 g",
            ">7 gap 1 Sequence",
            ">8 i",
            ">9 gap 1 Sequence",
            ">10 k",
            "close Idle at 7 reordered 3 missing 4",
            JOIN,
            ">0 l",
            "close EndOfRun at 9",
        ],
    );
    // What was delivered is still compared with.
    check(
        &format!("{before} wait310 >101:aX >107:g"),
        &[
            OPEN,
            ">0 ab",
            ">2 gap 2 Sequence",
            ">4 ef",
            "odd ConflictingSegment",
            ">6 g",
            "close EndOfRun at 6 again 1 reordered 1 differ 1 missing 2",
        ],
    );
}

/// Out-of-order bytes are held only up to the limit; then the hole is given up.
#[test]
fn memory() {
    let limits = Limits { held: 200, ..Limits::default() };
    let (lines, _) = run(&conversation(">S100 >103:cd >106:fg >109:ij >112:lm >101:ab >114:n"), &Options { limits, ..Options::default() });
    let expect = [
        OPEN,
        ">0 gap 2 Memory",
        ">2 cd",
        ">4 gap 1 Memory",
        ">5 fg",
        ">7 gap 1 Sequence",
        ">8 ij",
        ">10 gap 1 Sequence",
        ">11 lm",
        ">13 n",
    ];
    assert_eq!(lines[..lines.len() - 1], expect);
}

/// Of a stream of which nothing is wanted any more, what is no part of it is handed over all the same.
#[test]
fn what_nobody_expects_is_wanted() {
    use analyzers::chunk::Want;
    let check = |packets: &str, expect: &[&str]| {
        let make = |_| {
            let mut recorder = support::Recorder::default();
            recorder.want = Some((1, Want::Nothing));
            recorder
        };
        let mut lines = Vec::new();
        let capture = conversation(packets);
        captures::analyse(&capture[..], &Options::default(), make, &mut |line: String| lines.push(line), &mut |_| {}).unwrap();
        assert_eq!(lines, expect, "{packets}");
    };
    let text = "{\"serial\":\"R58M12ABCDE\",\"n\":12345}";
    let end = 103 + text.len();
    check(
        &format!(">S100 <S300,101 >101:a >102:b >103:{text} >{end}:c"),
        &[OPEN, ">0 a", &format!(">2 {}", text.replace('"', "\\\"")), "close EndOfRun at 6"],
    );
    check(">S100 <S300,101 >101:a >102:short_text >112:b", &[OPEN, ">0 a", "close EndOfRun at 5"]);
}
