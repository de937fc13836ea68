//! Reads key logs in the NSS format (SSLKEYLOGFILE, the body of a TLS Decryption Secrets Block); tolerant, bounded, silent about values.

use std::io::{self, BufRead, BufReader, Read};

use analyzers::keys::{LONGEST_SECRET, Secret, SecretLabel};

/// The most secrets one log gives; past it they are counted. A million sessions' worth is far beyond one capture.
pub const MOST_SECRETS: usize = 1 << 20;

/// The longest line: label, 32-byte random and 64-byte secret take 225 characters; old logs carry comments.
const LONGEST_LINE: usize = 4096;

/// What a key log held.
#[derive(Debug, Default)]
pub struct KeyLog {
    pub secrets: Vec<Secret>,
    /// Lines that are neither secret, comment nor blank.
    pub broken: u64,
    /// Well-formed lines with a label that opens nothing here (`RSA`, `ECH_SECRET`, …).
    pub unknown: u64,
    /// Secrets past [`MOST_SECRETS`].
    pub over: u64,
}

/// Reads a key log to its end.
pub fn read(input: impl Read) -> io::Result<KeyLog> {
    let mut log = KeyLog::default();
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut line = Vec::with_capacity(256);
    loop {
        line.clear();
        if input.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(log);
        }
        if line.len() == LONGEST_LINE && line.last() != Some(&b'\n') {
            skip_line(&mut input)?;
            log.broken += 1;
        } else {
            log.line(&line);
        }
    }
}

/// Reads a key log that is in memory.
pub fn parse(bytes: &[u8]) -> KeyLog {
    read(bytes).unwrap_or_default()
}

impl KeyLog {
    fn line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() || line.first() == Some(&b'#') {
            return;
        }
        let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        let (Some(label), Some(random), Some(secret), None) = (words.next(), words.next(), words.next(), words.next()) else {
            self.broken += 1;
            return;
        };
        let Some(label) = SecretLabel::parse(label) else {
            // A label is upper-case words; anything else is not a key log's line.
            let is_label = label.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_');
            *(if is_label { &mut self.unknown } else { &mut self.broken }) += 1;
            return;
        };
        let mut client_random = [0; 32];
        let mut value = [0; LONGEST_SECRET];
        let Some(value) = value.get_mut(..secret.len() / 2).filter(|v| !v.is_empty()) else {
            self.broken += 1;
            return;
        };
        if !(unhex(random, &mut client_random) && unhex(secret, value)) {
            self.broken += 1;
        } else if self.secrets.len() < MOST_SECRETS {
            self.secrets.push(Secret { label, client_random, secret: value.to_vec() });
        } else {
            self.over += 1;
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buf = input.fill_buf()?;
        let (n, done) = match memchr::memchr(b'\n', buf) {
            Some(i) => (i + 1, true),
            None => (buf.len(), buf.is_empty()),
        };
        input.consume(n);
        if done {
            return Ok(());
        }
    }
}

/// Fills `out` from exactly twice as many hex digits.
fn unhex(digits: &[u8], out: &mut [u8]) -> bool {
    let nibble = |d: u8| (d as char).to_digit(16);
    digits.len() == out.len() * 2
        && digits.chunks_exact(2).zip(out).all(|(pair, byte)| {
            let [high, low] = pair else { return false };
            let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) else { return false };
            *byte = (high << 4 | low) as u8;
            true
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, secrets: usize, broken: u64, unknown: u64) {
        let got = parse(log.as_bytes());
        assert_eq!((got.secrets.len(), got.broken, got.unknown), (secrets, broken, unknown), "{log:.80}");
    }

    #[test]
    fn lines() {
        let r = "ab".repeat(32);
        let s = "cd".repeat(48);
        check("", 0, 0, 0);
        check("# made by hand\n\n", 0, 0, 0);
        check(&format!("CLIENT_RANDOM {r} {s}\n"), 1, 0, 0);
        check(&format!("CLIENT_RANDOM {r} {s}"), 1, 0, 0);
        check(&format!("  CLIENT_RANDOM\t{r}  {s}\r\nSERVER_TRAFFIC_SECRET_0 {r} {}\n", r.to_uppercase()), 2, 0, 0);
        check(&format!("RSA 0011223344556677 {s}\nECH_SECRET {r} {r}\n"), 0, 0, 2);
        check(&format!("CLIENT_RANDOM {r}\n"), 0, 1, 0);
        check(&format!("CLIENT_RANDOM {r} {s} more\n"), 0, 1, 0);
        check(&format!("CLIENT_RANDOM {s} {s}\n"), 0, 1, 0);
        check(&format!("CLIENT_RANDOM {r} {}\n", "cd".repeat(65)), 0, 1, 0);
        check(&format!("CLIENT_RANDOM {r} xy\n"), 0, 1, 0);
        check(&format!("CLIENT_RANDOM {r} abc\n"), 0, 1, 0);
        check("<html> no key log\n", 0, 1, 0);
        check(&format!("{}\nCLIENT_RANDOM {r} {s}\n", "x".repeat(10_000)), 1, 1, 0);
        check(&format!("{}\nCLIENT_RANDOM {r} {s}\n", "x".repeat(LONGEST_LINE - 1)), 1, 1, 0);
    }

    #[test]
    fn values() {
        let got = parse(format!("CLIENT_TRAFFIC_SECRET_3 {} 00ff\n", "0f".repeat(32)).as_bytes());
        assert_eq!(got.secrets, [Secret { label: SecretLabel::ClientTraffic(3), client_random: [0x0f; 32], secret: vec![0, 0xff] }]);
    }
}
