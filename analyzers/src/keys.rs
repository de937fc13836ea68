//! A TLS secret that the operator handed in (a key log, a Decryption Secrets Block); its value is never printed.

use std::collections::HashMap;
use std::fmt;

/// What a secret opens, by the labels of the NSS key log format (draft-ietf-tls-keylogfile §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretLabel {
    /// `CLIENT_RANDOM`: the 48-byte master secret of SSL 3.0 to TLS 1.2.
    Master,
    ClientEarly,
    ClientHandshake,
    ServerHandshake,
    /// `CLIENT_TRAFFIC_SECRET_N`; N grows with key updates, which most tools do not log.
    ClientTraffic(u32),
    ServerTraffic(u32),
    EarlyExporter,
    Exporter,
}

impl SecretLabel {
    pub fn parse(word: &[u8]) -> Option<SecretLabel> {
        Some(match word {
            b"CLIENT_RANDOM" => SecretLabel::Master,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => SecretLabel::ClientEarly,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => SecretLabel::ClientHandshake,
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => SecretLabel::ServerHandshake,
            b"EARLY_EXPORTER_SECRET" | b"EARLY_EXPORTER_MASTER_SECRET" => SecretLabel::EarlyExporter,
            b"EXPORTER_SECRET" => SecretLabel::Exporter,
            _ => {
                let (make, n): (fn(u32) -> SecretLabel, &[u8]) = if let Some(n) = word.strip_prefix(b"CLIENT_TRAFFIC_SECRET_") {
                    (SecretLabel::ClientTraffic, n)
                } else {
                    (SecretLabel::ServerTraffic, word.strip_prefix(b"SERVER_TRAFFIC_SECRET_")?)
                };
                make(std::str::from_utf8(n).ok()?.parse().ok()?)
            }
        })
    }
}

impl fmt::Display for SecretLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SecretLabel::Master => "CLIENT_RANDOM",
            SecretLabel::ClientEarly => "CLIENT_EARLY_TRAFFIC_SECRET",
            SecretLabel::ClientHandshake => "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            SecretLabel::ServerHandshake => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            SecretLabel::ClientTraffic(n) => return write!(f, "CLIENT_TRAFFIC_SECRET_{n}"),
            SecretLabel::ServerTraffic(n) => return write!(f, "SERVER_TRAFFIC_SECRET_{n}"),
            SecretLabel::EarlyExporter => "EARLY_EXPORTER_SECRET",
            SecretLabel::Exporter => "EXPORTER_SECRET",
        })
    }
}

/// The longest secret any label carries: SHA-384 output and the TLS 1.2 master secret are 48 bytes, SHA-512 output is 64.
pub const LONGEST_SECRET: usize = 64;

/// One secret of one handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub label: SecretLabel,
    /// The ClientHello's random: which handshake this belongs to.
    pub client_random: [u8; 32],
    pub secret: Vec<u8>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {{ {}, {} bytes hidden }}", self.label, self.secret.len())
    }
}

/// The secrets of a run, found by handshake.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    map: HashMap<(SecretLabel, [u8; 32]), Vec<u8>, foldhash::fast::FixedState>,
}

impl Keys {
    /// Secrets beyond this many are not kept: a hostile key log cannot eat memory. (The largest key log seen in tests has some hundreds.)
    pub const KEPT: usize = 1 << 20;

    /// Adds a secret; false when there are too many.
    pub fn insert(&mut self, secret: Secret) -> bool {
        if self.map.len() >= Keys::KEPT || secret.secret.len() > LONGEST_SECRET {
            return false;
        }
        self.map.insert((secret.label, secret.client_random), secret.secret);
        true
    }

    pub fn find(&self, label: SecretLabel, client_random: &[u8; 32]) -> Option<&[u8]> {
        if self.map.is_empty() {
            return None;
        }
        self.map.get(&(label, *client_random)).map(Vec::as_slice)
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_what_they_write() {
        for word in [
            "CLIENT_RANDOM",
            "CLIENT_EARLY_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_7",
        ] {
            assert_eq!(SecretLabel::parse(word.as_bytes()).map(|l| l.to_string()).as_deref(), Some(word));
        }
        for word in ["", "RSA", "CLIENT_TRAFFIC_SECRET_", "CLIENT_TRAFFIC_SECRET_x", "client_random"] {
            assert_eq!(SecretLabel::parse(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn debug_hides_the_value() {
        let secret = Secret { label: SecretLabel::Master, client_random: [1; 32], secret: vec![0xab; 48] };
        assert_eq!(format!("{secret:?}"), "Secret { CLIENT_RANDOM, 48 bytes hidden }");
    }
}
