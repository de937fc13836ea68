//! Prompts and their answers, as over telnet.

use policies::IdentifierType;

use super::LOOKED_AT;
use crate::dissect::http::secrets::Secret;
use crate::flow::Dir;

/// A conversation of prompts and answers, as over telnet (RFC 854): who is asked for a password answers with one.
#[derive(Debug, Default)]
pub(crate) struct Prompts {
    /// The last words of each direction.
    tails: [Vec<u8>; 2],
    /// Who is asked, and whether for a password.
    asked: Option<(Dir, bool)>,
    answer: Vec<u8>,
    /// Where the answer begins in its stream.
    start: u64,
    user: Option<Box<(Secret, u64)>>,
    seen: u64,
}

/// More than the longest prompt, and than any name or password.
const LONGEST_PROMPT: usize = 64;
const LONGEST_ANSWER: usize = 256;
/// A prompt with the controls of a terminal in it.
const LAST_WORDS: usize = 512;

/// "Interpret as command" (RFC 854).
const IAC: u8 = 255;

impl Prompts {
    /// Takes the bytes that stand at `offset`; hands over each secret with the place in the stream of `dir`.
    pub(crate) fn take(&mut self, dir: Dir, offset: u64, bytes: &[u8], told: &mut dyn FnMut(Dir, Secret, u64)) {
        if self.seen > LOOKED_AT {
            return;
        }
        self.seen += bytes.len() as u64;
        // Of what is no answer the last words count.
        let answers = self.asked.is_some_and(|(who, _)| who == dir);
        let last = bytes.get(bytes.len().saturating_sub(LAST_WORDS)..).unwrap_or_default();
        if answers || last.contains(&IAC) {
            for (at, byte) in said(if answers { bytes } else { last }) {
                match self.asked {
                    Some((who, password)) if who == dir => self.hear(password, dir, offset + at as u64, byte, told),
                    _ => self.remember(dir, &[byte]),
                }
            }
        } else {
            self.remember(dir, last.get(last.len().saturating_sub(LONGEST_PROMPT)..).unwrap_or_default());
        }
        let tail = self.tails[dir.index()].trim_ascii_end();
        let asks = |words: &[&[u8]]| words.iter().any(|word| tail.ends_with(word));
        let password = asks(&[b"password:", b"passcode:", b"passwort:", b"mot de passe:"]);
        if password || asks(&[b"login:", b"username:", b"user name:", b"user:"]) {
            self.asked = Some((dir.other(), password));
            self.answer.clear();
            self.tails[dir.index()].clear();
        }
    }

    /// What is no answer may end in a prompt.
    fn remember(&mut self, dir: Dir, bytes: &[u8]) {
        let tail = &mut self.tails[dir.index()];
        if tail.len() + bytes.len() > LONGEST_PROMPT {
            tail.drain(..tail.len().saturating_sub(LONGEST_PROMPT / 2));
        }
        tail.extend(bytes.iter().map(u8::to_ascii_lowercase));
    }

    /// A byte of an answer.
    fn hear(&mut self, password: bool, dir: Dir, at: u64, byte: u8, told: &mut dyn FnMut(Dir, Secret, u64)) {
        match byte {
            b'\r' | b'\n' if self.answer.is_empty() => {}
            b'\r' | b'\n' => {
                self.asked = None;
                let value = std::mem::take(&mut self.answer);
                let len = (at - self.start) as usize;
                let kind = if password { IdentifierType::Password } else { IdentifierType::UserName };
                let secret = Secret { kind, value, at: 0, len, chain: &[] };
                if password {
                    for (secret, start) in self.user.take().map(|user| *user).into_iter().chain([(secret, self.start)]) {
                        told(dir, secret, start);
                    }
                } else {
                    self.user = Some(Box::new((secret, self.start)));
                }
            }
            // Whoever types makes mistakes.
            8 | 0x7f => {
                self.answer.pop();
            }
            0 => {}
            _ if self.answer.len() >= LONGEST_ANSWER => self.asked = None,
            _ => {
                if self.answer.is_empty() {
                    self.start = at;
                }
                self.answer.push(byte);
            }
        }
    }
}

/// What is said, without telnet's commands (RFC 854, RFC 855), with the place of each byte.
fn said(bytes: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *bytes.get(at)?;
            let here = at;
            if byte != IAC {
                at += 1;
                return Some((here, byte));
            }
            match bytes.get(at + 1) {
                // A subnegotiation lasts to its end.
                Some(250) => {
                    let end = memchr::memmem::find(bytes.get(at..)?, &[IAC, 240]);
                    at = end.map_or(bytes.len(), |end| at + end + 2);
                }
                Some(251..=254) => at += 3,
                Some(&IAC) => {
                    at += 2;
                    return Some((here, IAC));
                }
                _ => at += 2,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hostile(bytes in prop::collection::vec(any::<u8>(), 1..200), cut in 1usize..50) {
            let mut prompts = Prompts::default();
            for (n, piece) in bytes.chunks(cut).enumerate() {
                prompts.take(if n % 2 == 0 { Dir::Out } else { Dir::Back }, (n / 2 * cut) as u64, piece, &mut |_, _, _| {});
            }
        }
    }

    /// What a user types into a terminal, byte by byte and echoed, between the commands of telnet.
    #[test]
    fn prompts_and_answers() {
        let mut prompts = Prompts::default();
        let mut got = Vec::new();
        let mut at = [0; 2];
        let say = [
            (Dir::Back, &b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0Debian\r\nhost login: "[..]),
            (Dir::Out, b"\xff\xfb\x18a"),
            (Dir::Back, b"a"),
            (Dir::Out, b"dx\x7f"),
            (Dir::Out, b"a\r\0"),
            (Dir::Back, b"da\r\nPassword: "),
            (Dir::Out, b"se cret\r\0"),
            (Dir::Back, b"\r\nLast login: today\r\n$ "),
            (Dir::Out, b"ls\r\0"),
        ];
        for (dir, bytes) in say {
            prompts.take(dir, at[dir.index()], bytes, &mut |dir, s, from| {
                assert_eq!(dir, Dir::Out);
                got.push((s.kind, String::from_utf8_lossy(&s.value).into_owned(), from));
            });
            at[dir.index()] += bytes.len() as u64;
        }
        let expect = [(IdentifierType::UserName, "ada".to_owned(), 3), (IdentifierType::Password, "se cret".to_owned(), 10)];
        assert_eq!(got, expect);
    }
}
