//! Punycode (RFC 3492): names with letters beyond ASCII as they stand in DNS.

use super::undo::{Undone, Writer};

/// Labels of DNS are no longer (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;
const PREFIX: &[u8] = b"xn--";

/// A domain with letters beyond ASCII as it stands in DNS (RFC 3492, with the `xn--` of RFC 5890); `None` if it is ASCII already.
pub(super) fn punycode(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return None;
    }
    let labels: Option<Vec<String>> = domain
        .to_lowercase()
        .split('.')
        .map(|label| if label.is_ascii() { Some(label.to_owned()) } else { label_punycode(label) })
        .collect();
    Some(labels?.join("."))
}

fn label_punycode(label: &str) -> Option<String> {
    let input: Vec<u32> = label.chars().map(u32::from).collect();
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = out.len() as u32;
    let (mut handled, mut n, mut delta, mut bias) = (basic, 128u32, 0u32, 72u32);
    if basic > 0 {
        out.push('-');
    }
    while (handled as usize) < input.len() {
        let next = input.iter().copied().filter(|c| *c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for c in &input {
            if *c < n {
                delta = delta.checked_add(1)?;
            }
            if *c == n {
                let (mut q, mut k) = (delta, 36u32);
                loop {
                    let t = k.saturating_sub(bias).clamp(1, 26);
                    if q < t {
                        break;
                    }
                    out.push(puny_digit(t + (q - t) % (36 - t)));
                    q = (q - t) / (36 - t);
                    k += 36;
                }
                out.push(puny_digit(q));
                let mut d = if handled == basic { delta / 700 } else { delta / 2 };
                d += d / (handled + 1);
                let mut shift = 0;
                while d > 455 {
                    d /= 35;
                    shift += 36;
                }
                bias = shift + 36 * d / (d + 38);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        n += 1;
    }
    Some(format!("xn--{out}"))
}

fn puny_digit(value: u32) -> char {
    char::from(if value < 26 { b'a' + value as u8 } else { b'0' + (value as u8 - 26) })
}

/// Where labels in Punycode begin.
pub(super) fn is_label(text: &[u8]) -> bool {
    text.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The labels of a name that are in Punycode as the letters they stand for.
pub(super) fn undo(name: &[u8]) -> Option<Undone> {
    let mut out = Writer::default();
    for (n, label) in name.split(|b| !b.is_ascii_alphanumeric() && *b != b'-').enumerate() {
        if n > 0 {
            out.copy(name.get(out.at()).copied().unwrap_or(b'.'));
        }
        match label.get(PREFIX.len()..).filter(|_| is_label(label)).and_then(decoded) {
            Some(text) => out.decoded(text.as_bytes(), label.len()),
            None => label.iter().for_each(|b| out.copy(*b)),
        }
    }
    out.done()
}

/// RFC 3492 §6.2.
fn decoded(label: &[u8]) -> Option<String> {
    if label.len() > LONGEST_LABEL {
        return None;
    }
    let (basic, rest) = match label.iter().rposition(|b| *b == b'-') {
        Some(at) => (label.get(..at)?, label.get(at + 1..)?),
        None => (&b""[..], label),
    };
    let mut out: Vec<char> = basic.iter().copied().map(char::from).collect();
    let (mut n, mut i, mut bias) = (128u32, 0u32, 72u32);
    let mut digits = rest.iter();
    while !digits.as_slice().is_empty() {
        let (before, mut weight, mut k) = (i, 1u32, 36u32);
        loop {
            let digit = match digits.next()? {
                b @ b'a'..=b'z' => b - b'a',
                b @ b'A'..=b'Z' => b - b'A',
                b @ b'0'..=b'9' => b - b'0' + 26,
                _ => return None,
            };
            i = i.checked_add(u32::from(digit).checked_mul(weight)?)?;
            let t = k.saturating_sub(bias).clamp(1, 26);
            if u32::from(digit) < t {
                break;
            }
            weight = weight.checked_mul(36 - t)?;
            k += 36;
        }
        let len = out.len() as u32 + 1;
        let mut d = if before == 0 { (i - before) / 700 } else { (i - before) / 2 };
        d += d / len;
        let mut shift = 0;
        while d > 455 {
            d /= 35;
            shift += 36;
        }
        bias = shift + 36 * d / (d + 38);
        n = n.checked_add(i / len)?;
        i %= len;
        out.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(out.into_iter().collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// RFC 3492 §7.1.
    #[test]
    fn punycode_rows() {
        assert_eq!(punycode("bücher.ch").as_deref(), Some("xn--bcher-kva.ch"));
        assert_eq!(label_punycode("他们为什么不说中文").as_deref(), Some("xn--ihqwcrb4cv8a8dqg056pqjye"));
        assert_eq!(label_punycode("ünicode").as_deref(), Some("xn--nicode-2ya"));
        assert_eq!(punycode("plain.test"), None);
    }

    /// RFC 3492 §7.1, and what is none.
    #[test]
    fn labels_and_back() {
        for text in ["他们为什么不说中文", "ünicode", "bücher", "jürgen-großmann", "jürgens-pixel", "3年b組金八先生", "ひとつ屋根の下2"]
        {
            let coded = label_punycode(text).unwrap();
            assert_eq!(decoded(&coded.as_bytes()[4..]).as_deref(), Some(text));
            let name = format!("www.{}:80", coded.to_ascii_uppercase());
            let undone = undo(name.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(undone.bytes).unwrap().to_lowercase(), format!("www.{text}:80"));
            assert_eq!(undone.map.back(&(4..4 + text.len())), 4..4 + coded.len());
        }
        for none in ["www.example.org", "xn--", "xn--99999999", "-xn--", "axn--bcher-kva"] {
            assert!(undo(none.as_bytes()).is_none_or(|undone| undone.bytes.is_empty()), "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_label_is_survived(label in "[a-zA-Z0-9-]{0,70}") {
            let _ = (decoded(label.as_bytes()), undo(format!("xn--{label}").as_bytes()));
        }

        #[test]
        fn any_text_comes_back(text in "\\PC{1,12}") {
            if !text.is_ascii() && let Some(coded) = label_punycode(&text) {
                proptest::prop_assert_eq!(decoded(&coded.as_bytes()[4..]), Some(text));
            }
        }
    }
}
