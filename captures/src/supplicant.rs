//! Who somebody says to be before having an address: PAP, CHAP and EAP, over PPP or 802.1X. What is asked of him, and what keys are made
//! of, names nobody and is only counted.

use std::ops::Range;

use analyzers::dissect::supplicant::{CHAP, EAP, EAPOL, PAP};

use crate::slice::half;

/// Where such words stand in a frame of this EtherType, or of PPP of this protocol; they may go on beyond what was captured.
pub(crate) fn words(kind: u16, frame: &[u8]) -> Option<Range<usize>> {
    let (start, code) = match kind {
        // Authenticate-Request (RFC 1334 §2.2.1).
        PAP => (0, 1),
        // Response (RFC 1994 §4.1, RFC 3748 §4.1).
        CHAP | EAP => (0, 2),
        // An EAP packet behind version, type and length (IEEE 802.1X §11.3).
        EAPOL if frame.get(1) == Some(&0) => (4, 2),
        _ => return None,
    };
    let len = usize::from(half(frame, start + 2)?);
    (frame.get(start) == Some(&code) && len > 4).then_some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_of_who_asks_to_be_let_in() {
        for (kind, frame, expect) in [
            (PAP, &b"\x01\x01\0\x0e\x03ada\x05petal"[..], Some(0..14)),
            (PAP, b"\x02\x01\0\x07\x02ok", None),
            (CHAP, b"\x02\x01\0\x19\x10", Some(0..25)),
            (CHAP, b"\x01\x01\0\x19\x10", None),
            (EAP, b"\x02\x01\0\x08\x01ada", Some(0..8)),
            (EAPOL, b"\x01\0\0\x08\x02\x01\0\x08\x01ada", Some(4..12)),
            (EAPOL, b"\x01\0\0\x05\x01\x01\0\x05\x01", None),
            // A start, and a key.
            (EAPOL, b"\x01\x01\0\0", None),
            (EAPOL, b"\x01\x03\0\x5f\x02\0\x8a\0", None),
            (EAPOL, b"\x01\0\0\x04\x02\x01\0\x04", None),
            (0xc021, b"\x02\x01\0\x08\x01ada", None),
            (PAP, b"\x01", None),
        ] {
            assert_eq!(words(kind, frame), expect, "{kind:#x} {}", frame.escape_ascii());
        }
    }
}
