//! Small words: times, counts, names of codes, and text cut to a width.

use std::time::Duration;

use analyzers::observation::{Arm, Exposure, Grade, HitDirection, RunKind, RunMode, TrialEnd, TrialResult};
use analyzers::text::Text;
use policies::Time;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Words of checks and of the binary quote what is inert already; this holds should one forget.
pub(crate) fn inert(words: &str) -> String {
    Text::ours(words).to_string()
}

/// Whether characters could act on a terminal or reorder a line. Texts hold none; the last look before a frame is shown sees to it.
pub(crate) fn acts(symbol: &str) -> bool {
    !symbol.bytes().all(|b| (0x20..0x7f).contains(&b)) && inert(symbol) != symbol
}

/// Cut to `width` columns, with an ellipsis where something was cut.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Cut in its middle: of a peer, the end of the name and the port tell more than the middle does.
pub(crate) fn fit_ends(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let tail_room = width.saturating_sub(1) * 3 / 5;
    let mut tail = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        let w = c.width().unwrap_or(0);
        if used + w > tail_room {
            break;
        }
        used += w;
        tail.push(c);
    }
    let mut out = fit(text, width.saturating_sub(used));
    out.extend(tail.into_iter().rev());
    out
}

/// Cut and filled to exactly `width` columns.
pub(crate) fn cell(text: &str, width: usize) -> String {
    let mut out = fit(text, width);
    let fill = width.saturating_sub(out.width());
    out.extend(std::iter::repeat_n(' ', fill));
    out
}

/// Broken into lines of at most `width` columns, at spaces where there are some.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut out = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let w = word.width();
        if !line.is_empty() && used + 1 + w <= width {
            line.push(' ');
            line.push_str(word);
            used += 1 + w;
            continue;
        }
        if !line.is_empty() {
            out.push(std::mem::take(&mut line));
        }
        used = 0;
        for c in word.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > width {
                out.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += w;
        }
    }
    out.push(line);
    out
}

/// `10:02:33`, UTC.
pub(crate) fn clock(time: Time) -> String {
    String::from_utf8_lossy(&time.ascii()[11..19]).into_owned()
}

/// `2026-05-01 10:02`, UTC.
pub(crate) fn date(time: Time) -> String {
    String::from_utf8_lossy(&time.ascii()[..16]).replace('T', " ")
}

/// `1:02:33`.
pub(crate) fn lasted(d: Duration) -> String {
    let s = d.as_secs();
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// `12 345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// `1.5 MB`, decimal.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 flow`, `2 flows`.
pub(crate) fn plural(n: u64, word: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {word}{s}", count(n))
}

/// A TLS alert's name in RFC 8446 §6 and, for what it dropped, RFC 5246 §7.2.
pub(crate) fn alert(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

/// `48 unknown_ca`.
pub(crate) fn alert_words(code: u8) -> String {
    alert(code).map_or_else(|| code.to_string(), |name| format!("{code} {name}"))
}

pub(crate) fn version(code: u16) -> String {
    match code {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        _ => format!("version {code:04x}"),
    }
}

pub(crate) fn arm(arm: Arm, attack: Option<&Text>) -> String {
    match (arm, attack) {
        (Arm::Pass, _) => "pass through".to_owned(),
        (Arm::Control, _) => "control".to_owned(),
        (Arm::Attack, Some(id)) => id.to_string(),
        (Arm::Attack, None) => "attack".to_owned(),
    }
}

pub(crate) fn result(result: TrialResult) -> &'static str {
    match result {
        TrialResult::Accepted => "accepted",
        TrialResult::Rejected => "rejected",
        TrialResult::Incompatible => "incompatible",
        TrialResult::Silent => "silent",
        TrialResult::None => "tells nothing",
    }
}

pub(crate) fn trial_end(end: TrialEnd) -> &'static str {
    match end {
        TrialEnd::Alert => "alert",
        TrialEnd::CloseNotify => "close-notify",
        TrialEnd::Fin => "fin",
        TrialEnd::Rst => "rst",
        TrialEnd::Timeout => "timeout",
        TrialEnd::Us => "by us",
    }
}

pub(crate) fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Linkable => "linkable",
        Grade::Structural => "structural",
        Grade::Proof => "proof",
    }
}

pub(crate) fn exposure(exposure: Exposure) -> &'static str {
    match exposure {
        Exposure::Cleartext => "cleartext",
        Exposure::LocalLink => "local link",
        Exposure::Peer => "peer only",
        Exposure::Interceptor => "interceptor",
    }
}

pub(crate) fn hit_direction(direction: HitDirection) -> &'static str {
    match direction {
        HitDirection::Out => "out",
        HitDirection::In => "in",
        HitDirection::Local => "local",
    }
}

pub(crate) fn run_kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Capture => "capture",
        RunKind::Live => "live gateway",
        RunKind::Lab => "lab",
    }
}

pub(crate) fn run_mode(mode: RunMode) -> &'static str {
    match mode {
        RunMode::Transparent => "transparent",
        RunMode::Explicit => "explicit proxy",
        RunMode::Memory => "in memory",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits() {
        for (text, width, expect) in [
            ("shop.test", 9, "shop.test"),
            ("shop.test", 5, "shop…"),
            ("shop", 0, ""),
            ("shop", 1, "…"),
            ("日本語", 4, "日…"),
            ("日本語", 6, "日本語"),
        ] {
            assert_eq!(fit(text, width), expect, "{text} in {width}");
        }
        assert_eq!(cell("日本語", 4), "日… ");
    }

    #[test]
    fn fits_ends() {
        for (text, width, expect) in [
            ("shop.test:443", 13, "shop.test:443"),
            ("metrics.adverts.example:443", 20, "metrics.…example:443"),
            ("日本語日本語", 7, "日本…語"),
            ("shop", 1, "…"),
            ("shop", 0, ""),
        ] {
            let got = fit_ends(text, width);
            assert!(got.width() <= width, "{got}");
            assert_eq!(got, expect, "{text} in {width}");
        }
    }

    #[test]
    fn wraps() {
        for (text, width, expect) in [
            ("", 4, vec![""]),
            ("one two", 7, vec!["one two"]),
            ("one two", 6, vec!["one", "two"]),
            ("abcdefgh", 3, vec!["abc", "def", "gh"]),
            ("a bcdefg h", 3, vec!["a", "bcd", "efg", "h"]),
        ] {
            assert_eq!(wrap(text, width), expect, "{text} in {width}");
        }
    }

    #[test]
    fn numbers() {
        for (n, counted, sized) in [
            (0, "0", "0 B"),
            (999, "999", "999 B"),
            (1000, "1 000", "1.0 kB"),
            (999_999, "999 999", "1.0 MB"),
            (1_234_567, "1 234 567", "1.2 MB"),
            (u64::MAX, "18 446 744 073 709 551 615", "18446.7 PB"),
        ] {
            assert_eq!((count(n).as_str(), bytes(n).as_str()), (counted, sized));
        }
        assert_eq!(lasted(Duration::from_secs(3753)), "1:02:33");
    }
}
