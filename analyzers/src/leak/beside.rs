//! Words that mean a password only beside a user's name: a pass may be a season's, a pin one of a map.

use std::ops::Range;

use policies::IdentifierType as Kind;
use smallvec::SmallVec;

use super::shapes::{Shape, distinct, secret};
use super::stand_ins::placeholder;

/// What the last word of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    User,
    /// May name a user, or a customer whose pin is that of a post office.
    Contact,
    Weak,
    Pin,
}

/// Reads the last word of `user[pass]`, `login.pin`, `userPass`.
pub(super) fn word(name: &[u8]) -> Option<Word> {
    let name = name.strip_suffix(b"]").unwrap_or(name);
    // By their last letter: names stand in front of every value of a message.
    let words: &[(&str, Word)] = match name.last()?.to_ascii_lowercase() {
        b's' => &[("pass", Word::Weak)],
        b'w' => &[("pw", Word::Weak)],
        b'p' => &[("otp", Word::Weak)],
        b't' => &[("secret", Word::Weak), ("account", Word::Contact)],
        b'n' => &[("pin", Word::Pin), ("login", Word::User)],
        b'r' => &[("user", Word::User), ("usr", Word::User)],
        b'e' => &[("username", Word::User), ("uname", Word::User)],
        b'd' => &[("userid", Word::User), ("user_id", Word::User)],
        b'l' => &[("email", Word::Contact)],
        _ => return None,
    };
    let ends = |word: &str| {
        let Some((before, last)) = name.len().checked_sub(word.len()).and_then(|at| name.split_at_checked(at)) else { return false };
        let hump = || last.first().is_some_and(u8::is_ascii_uppercase);
        let border = before.last().is_none_or(|b| !b.is_ascii_alphanumeric() || b.is_ascii_lowercase() && hump());
        border && last.eq_ignore_ascii_case(word.as_bytes())
    };
    words.iter().find(|(word, _)| ends(word)).map(|(_, said)| *said)
}

/// What of a text waits for its neighbour.
#[derive(Debug, Default)]
pub(super) struct Beside {
    user: Option<(Word, Range<usize>)>,
    waiting: SmallVec<[Weak; 2]>,
}

#[derive(Debug)]
struct Weak {
    word: Word,
    key: Range<usize>,
    value: Range<usize>,
}

/// Who signs in says name and password within a few lines; a part of a multipart form has some of its own.
const NEAR: usize = 512;
/// Longer than any name that people sign in with.
const LONGEST_NAME: usize = 64;
/// More words that may mean a password stand in no login.
const MOST: usize = 16;

impl Beside {
    /// A field whose name has such a word, and its value.
    pub(super) fn field(&mut self, text: &[u8], word: Word, key: Range<usize>, value: Range<usize>, sink: &mut dyn FnMut(Shape)) {
        if matches!(word, Word::User | Word::Contact) {
            let said = text.get(value.clone()).unwrap_or_default();
            if said.len() > LONGEST_NAME || placeholder(said) || said.iter().any(|b| b"{}()<>".contains(b)) {
                return;
            }
            for weak in std::mem::take(&mut self.waiting) {
                weak.tell(text, is_near(text, weak.value.end, key.start).then_some(word), sink);
            }
            self.user = Some((word, value));
            return;
        }
        let weak = Weak { word, key, value };
        let user = self.user.as_ref().filter(|(_, name)| is_near(text, name.end, weak.key.start));
        if let Some((user, _)) = user {
            weak.tell(text, Some(*user), sink);
        } else if self.waiting.len() < MOST {
            self.waiting.push(weak);
        }
    }

    pub(super) fn end(self, text: &[u8], sink: &mut dyn FnMut(Shape)) {
        for weak in self.waiting {
            weak.tell(text, None, sink);
        }
    }
}

/// Whether nothing but other fields of the same object stands between.
fn is_near(text: &[u8], from: usize, to: usize) -> bool {
    let Some(between) = text.get(from..to).filter(|between| between.len() <= NEAR) else { return false };
    let mut depth = 0i32;
    for b in between {
        match b {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

impl Weak {
    fn tell(&self, text: &[u8], user: Option<Word>, sink: &mut dyn FnMut(Shape)) {
        let said = text.get(self.value.clone()).unwrap_or_default();
        let kind = match (user, looks(said, self.word)) {
            (_, None) => None,
            (Some(Word::Contact), Some(_)) if self.word == Word::Pin => Some(Kind::Token),
            (Some(_), Some(Looks::Secret)) => Some(Kind::Password),
            (Some(_), Some(Looks::Word)) => Some(Kind::Token),
            (None, Some(look)) => {
                let long = self.word != Word::Pin && look == Looks::Secret && said.len() >= 8 && said.iter().any(u8::is_ascii_alphabetic);
                long.then_some(Kind::Token)
            }
        };
        if let Some(kind) = kind {
            sink(Shape { kind, span: self.value.clone(), key: Some(self.key.clone()), detail: None });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Secret,
    /// Letters alone: somebody's password, or what any field may say.
    Word,
}

fn looks(said: &[u8], word: Word) -> Option<Looks> {
    if !secret(said) || distinct(said) < 2 || memchr::memmem::find(said, b"://").is_some() || said.contains(&b'%') {
        return None;
    }
    let count = |is: fn(&u8) -> bool| said.iter().filter(|b| is(b)).count();
    let (digits, letters) = (count(u8::is_ascii_digit), count(|b| b.is_ascii_alphabetic() || *b >= 0x80));
    let signs = count(|b| b.is_ascii_punctuation() && !b"-_.,:/".contains(b));
    let least = if word == Word::Pin { 4 } else { 6 };
    let dated = said.get(..5).is_some_and(|d| d[..4].iter().all(u8::is_ascii_digit) && d[4] == b'-');
    match () {
        () if digits == said.len() => (least..=12).contains(&digits).then_some(Looks::Secret),
        () if letters > 0 && digits + signs > 0 && said.len() >= 6 && !dated => Some(Looks::Secret),
        () if letters == said.len() && letters >= 8 && !is_label(said) => Some(Looks::Word),
        () => None,
    }
}

/// What a form calls its fields: `Password`, `Kennwort`.
fn is_label(said: &[u8]) -> bool {
    let [first, rest @ ..] = said else { return false };
    first.is_ascii_uppercase() && rest.iter().all(|b| !b.is_ascii_uppercase()) || super::keys::promise(said).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words() {
        for (name, expect) in [
            ("pass", Some(Word::Weak)),
            ("PASS", Some(Word::Weak)),
            ("userPass", Some(Word::Weak)),
            ("user[pass]", Some(Word::Weak)),
            ("db_pw", Some(Word::Weak)),
            ("$.login.pin", Some(Word::Pin)),
            ("user", Some(Word::User)),
            ("user-id", None),
            ("user_id", Some(Word::User)),
            ("e-mail.account", Some(Word::Contact)),
            ("bypass", None),
            ("spin", None),
            ("secretary", None),
            ("blog", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(word(name.as_bytes()), expect, "{name}");
        }
    }

    #[test]
    fn values_that_look_like_secrets() {
        for (said, word, expect) in [
            ("hunter2x", Word::Weak, Some(Looks::Secret)),
            ("hunter2-Xy9", Word::Weak, Some(Looks::Secret)),
            ("horse!battery", Word::Weak, Some(Looks::Secret)),
            ("correcthorse", Word::Weak, Some(Looks::Word)),
            ("482913", Word::Weak, Some(Looks::Secret)),
            ("4829", Word::Pin, Some(Looks::Secret)),
            ("4829", Word::Weak, None),
            ("0000", Word::Pin, None),
            ("map-1", Word::Pin, None),
            ("season", Word::Weak, None),
            ("12/15", Word::Weak, None),
            ("2026-01-01T10", Word::Weak, None),
            ("Kennwort", Word::Weak, None),
            ("password", Word::Weak, None),
            ("http://a.test/1", Word::Weak, None),
            ("%7Bpass1%7D", Word::Weak, None),
            ("[REDACTED]", Word::Weak, None),
            ("true", Word::Weak, None),
        ] {
            assert_eq!(looks(said.as_bytes(), word), expect, "{said}");
        }
    }

    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let mut out = Vec::new();
        crate::leak::shapes::find(text.as_bytes(), crate::leak::signs::Signs::of(text.as_bytes()), false, &mut |shape| {
            if matches!(shape.kind, Kind::Password | Kind::Token) {
                out.push(format!("{}={}", shape.kind, &text[shape.span]));
            }
        });
        assert_eq!(out, expect, "{text}");
    }

    #[test]
    fn beside_a_users_name() {
        for text in [
            r#"{"user":"joe","pass":"hunter2-Xy9"}"#,
            r#"{"pass":"hunter2-Xy9","ttl":5,"user":"joe"}"#,
            r#"{"login":"joe","remember":true,"userPass":"hunter2-Xy9"}"#,
            r#"{"username" : "joe", "pw" : "hunter2-Xy9"}"#,
            r#"CONNECT {"verbose":false,"user":"joe","pass":"hunter2-Xy9"}"#,
            r#"{"q":"{\"user\":\"joe\",\"pass\":\"hunter2-Xy9\"}"}"#,
            "<login><user>joe</user><pass>hunter2-Xy9</pass></login>",
            r#"<login user="joe" pass="hunter2-Xy9"/>"#,
            "<dict><key>user</key><string>joe</string><key>pass</key><string>hunter2-Xy9</string></dict>",
            "user: joe\npass: hunter2-Xy9\n",
            "user=joe&pass=hunter2-Xy9",
            "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\njoe\r\n--B\r\n\
             Content-Disposition: form-data; name=\"pass\"\r\n\r\nhunter2-Xy9\r\n--B--\r\n",
        ] {
            check(text, &["password=hunter2-Xy9"]);
        }
        check(r#"{"user":"joe","pin":"482913"}"#, &["password=482913"]);
        check(r#"{"email":"joe@a.test","pin":"560001"}"#, &["token=560001"]);
        check(r#"{"user":"joe","pass":"correcthorse"}"#, &["token=correcthorse"]);
        for text in [
            r#"{"user":"joe","pass":true,"pin":4829,"secret":null}"#,
            r#"{"user":"joe","pass":"season","pin":"map-1"}"#,
            r#"{"user":"User name","pass":"Password"}"#,
            r#"{"users":[{"user":"joe"}],"pin":"482913"}"#,
            r#"{"user":null,"pin":"482913"}"#,
            "l({user:e.user,pass:t.pass1word})",
            "<p>user: joe</p> a pass: hunter2-Xy9 for all",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn alone() {
        check(r#"{"secret":"hunter2xyz"}"#, &["token=hunter2xyz"]);
        check("pass=hunter2-Xy9", &["token=hunter2-Xy9"]);
        check(r#"{"users":[{"user":"joe"}],"pass":"hunter2-Xy9"}"#, &["token=hunter2-Xy9"]);
        check(&format!(r#"{{"user":"joe","text":"{}","pass":"hunter2-Xy9"}}"#, "x".repeat(NEAR)), &["token=hunter2-Xy9"]);
        for text in [r#"{"pass":"season"}"#, r#"{"pin":"4829131234a"}"#, r#"{"pass":"ok1"}"#, "a pass: hunter2-Xy9 b"] {
            check(text, &[]);
        }
    }

    /// What a query parameter of the name leaves undecided, a member of an object does too.
    #[test]
    fn tokens() {
        for name in ["access_token", "refresh_token", "api_key", "apiKey", "client_secret", "token"] {
            check(&format!(r#"{{"{name}":"abc123"}}"#), &["token=abc123"]);
        }
        check("<token>abc123</token>", &["token=abc123"]);
        check(r#"{"access_token":"abc"}"#, &["token=abc"]);
        for text in [
            r#"{"token":"EUR","access_token":null,"api_key":"","apiKey":"***"}"#,
            r#"{"token":"next","api_key":"[FILTERED]","access_token":"aaa"}"#,
            "f({token:e.tokens1,access_token:t.b})",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn proofs_and_stand_ins() {
        let digest = r#"<w:Username>joe</w:Username><w:Password Type="x#PasswordDigest">q8dq0c7ZVjhbLmp3RTnkFNbhYlM=</w:Password>"#;
        check(digest, &[]);
        check(&digest.replace("Digest", "Text"), &["password=q8dq0c7ZVjhbLmp3RTnkFNbhYlM="]);
        for said in ["[REDACTED]", "<redacted>", "REDACTED", "[FILTERED]", "[Masked]", "***REDACTED***", r"\u003credacted\u003e"] {
            check(&format!(r#"{{"user":"joe","password":"{said}","pass":"{said}"}}"#), &[]);
        }
        check(r#"{"password":"[secret1]"}"#, &["password=[secret1]"]);
    }
}
