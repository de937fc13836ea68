//! What stands where a value should and is none: a word for nothing, a mask, a placeholder, a label, a name in a program.

use std::ops::Range;

/// What programs write where a value should stand and none does: a word for nothing, or a mask.
pub(crate) fn is_stand_in(said: &[u8]) -> bool {
    const WORDS: [&str; 14] =
        ["null", "(null)", "none", "true", "false", "undefined", "nil", "unknown", "string", "string!", "n/a", "nan", "yes", "no"];
    WORDS.iter().any(|word| said.eq_ignore_ascii_case(word.as_bytes()))
        || said.iter().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'#'))
        || is_masked(said)
        || is_redacted(said)
}

/// A row of asterisks or of what fields of passwords show (bullets, black circles), with no more than as many characters left open behind it, and
/// four at most.
fn is_masked(said: &[u8]) -> bool {
    const SIGNS: [&[u8]; 5] = ["*".as_bytes(), "•".as_bytes(), "●".as_bytes(), "∙".as_bytes(), "·".as_bytes()];
    let (mut rest, mut signs) = (said, 0);
    while let Some(behind) = SIGNS.iter().find_map(|sign| rest.strip_prefix(*sign)) {
        (rest, signs) = (behind, signs + 1);
    }
    signs > 0 && (rest.is_empty() || signs >= 4 && rest.len() <= 4 && rest.iter().all(u8::is_ascii_alphanumeric))
}

/// Whether a form says which button was pressed: `Login=Login`, `login=Submit`.
pub(crate) fn is_button(name: &[u8], said: &[u8]) -> bool {
    const WORDS: [&str; 12] =
        ["login", "log in", "log+in", "log%20in", "sign in", "sign+in", "submit", "ok", "go", "enter", "anmelden", "connexion"];
    let is = |said: &[u8], word: &str| said.eq_ignore_ascii_case(word.as_bytes());
    (is(name, "login") || is(name, "log")) && WORDS.iter().any(|word| is(said, word))
}

/// Whether a value in quotes is what a page calls the field of a password. In small letters `password` is what careless people choose.
pub(super) fn is_label(said: &[u8]) -> bool {
    const WORDS: [&str; 26] = [
        "password",
        "passwort",
        "kennwort",
        "passphrase",
        "passcode",
        "login",
        "wachtwoord",
        "lösenord",
        "adgangskode",
        "passord",
        "salasana",
        "contraseña",
        "senha",
        "hasło",
        "heslo",
        "jelszó",
        "parola",
        "şifre",
        "пароль",
        "密码",
        "密碼",
        "パスワード",
        "비밀번호",
        "palavra-passe",
        "mot de passe",
        "parola d'ordine",
    ];
    let Ok(text) = std::str::from_utf8(said) else { return false };
    let text = text.trim_end_matches([':', '*', '…']);
    let lower = text.to_lowercase();
    (text != lower || !lower.is_ascii()) && WORDS.contains(&lower.as_str())
}

/// What a log's filter writes in place of a value: `[FILTERED]`, `<redacted>`, `__REDACTED__`; of `\u003credacted\u003e` what stands
/// between its backslashes, and of what stands in brackets without quotes what stands before the closing one.
fn is_redacted(said: &[u8]) -> bool {
    const WORDS: [&str; 11] =
        ["redacted", "filtered", "masked", "hidden", "removed", "omitted", "scrubbed", "protected", "private", "sanitized", "sensitive"];
    const AROUND: [(&str, &str); 9] =
        [("[", "]"), ("[", ""), ("<", ">"), ("(", ")"), ("{", "}"), ("***", "***"), ("__", "__"), ("u003c", ""), ("&lt;", "&gt;")];
    let is_word = |inner: &[u8]| WORDS.iter().any(|word| inner.eq_ignore_ascii_case(word.as_bytes()));
    let between = |open: &str, close: &str| said.strip_prefix(open.as_bytes()).and_then(|rest| rest.strip_suffix(close.as_bytes()));
    said.eq_ignore_ascii_case(b"redacted") || AROUND.iter().any(|(open, close)| between(open, close).is_some_and(is_word))
}

/// What is to be filled in.
pub(super) fn placeholder(said: &[u8]) -> bool {
    is_stand_in(said)
        || said.starts_with(b"{")
        || said.starts_with(b"$")
        || said.starts_with(b"/")
        || said.ends_with(b"!)")
        || said.starts_with(b"%s")
        || is_variable(said)
        || is_yours(said)
}

/// A variable as command files of Windows name one: `%PASSWORD%`.
fn is_variable(said: &[u8]) -> bool {
    let name = said.strip_prefix(b"%").and_then(|rest| rest.strip_suffix(b"%")).unwrap_or_default();
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// What an example has: `your_password`, `YOUR-API-KEY`.
fn is_yours(said: &[u8]) -> bool {
    const LAST: [&str; 9] = ["password", "passwd", "passphrase", "pass", "secret", "token", "key", "username", "user"];
    let is_your = said.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"your")) && matches!(said.get(4), Some(b'_' | b'-'));
    let last = said.rsplit(|b| matches!(b, b'_' | b'-')).next().unwrap_or_default();
    is_your && said.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-')) && is_among(&LAST, last)
}

fn is_among(words: &[&str], said: &[u8]) -> bool {
    words.iter().any(|word| said.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether what stands behind a name without quotes is what programs and their manuals have there: a name of the same, a part of a selector, a
/// state, a label.
pub(super) fn is_source(text: &[u8], key: &Range<usize>, sign: usize, value: &Range<usize>) -> bool {
    // `password changed`, said by a log.
    #[rustfmt::skip]
    const STATES: [&str; 42] = [
        "set", "unset", "changed", "required", "masked", "hidden", "missing", "invalid", "incorrect", "expired", "present", "provided",
        "failed", "failure", "mismatch", "wrong", "rejected", "accepted", "denied", "timeout", "saved", "cleared", "locked", "unlocked",
        "skipped", "cancelled", "canceled", "entered", "disabled", "enabled", "updated", "verified", "removed", "reset", "prompt", "blank",
        "authentication", "publickey", "keyboard-interactive", "attempt", "attempts", "too_short",
    ];
    let (Some(name), Some(said)) = (text.get(key.clone()), text.get(value.clone())) else { return false };
    let part = |name: &[u8]| name.rsplit(|b| matches!(b, b'.' | b'-')).next().unwrap_or_default().to_vec();
    let is_member = said.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$'));
    // `this.password = password`, `password:e.password`, `--password=PASSWORD`.
    let is_name = is_member && said.rsplit(|b| *b == b'.').next().is_some_and(|last| last.eq_ignore_ascii_case(&part(name)));
    let is_option = name.starts_with(b"--")
        && is_among(&["PASS", "PASSWD", "PASSWORD", "PWD", "PW", "PASSPHRASE", "USER", "NAME"], said)
        && said.iter().all(u8::is_ascii_uppercase);
    let line = text.get(value.start..).unwrap_or_default().iter().take(LONGEST_LABEL).take_while(|b| !matches!(b, b'\r' | b'\n')).count();
    let line = text.get(value.start..value.start + line).unwrap_or_default();
    is_name
        || is_option
        || is_among(&STATES, said)
        || text.get(sign) == Some(&b':') && is_selector(text, key, said)
        || is_label(said)
        || is_label(line.trim_ascii_end())
}

/// Longer than any label there is.
const LONGEST_LABEL: usize = 48;

/// Parts of the name of a method in Objective-C, each before a colon: `password:completion:handler:`.
fn is_selector(text: &[u8], key: &Range<usize>, said: &[u8]) -> bool {
    let Some(parts) = said.strip_suffix(b":") else { return false };
    let is_part = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_alphabetic);
    let inside = key.start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b':');
    let several = parts.contains(&b':');
    // `forService:`, `completion:`.
    let is_named = parts.first().is_some_and(u8::is_ascii_lowercase) && parts.iter().any(u8::is_ascii_uppercase)
        || is_among(&["completion", "error", "handler"], parts);
    parts.split(|b| *b == b':').all(is_part) && (inside || several || is_named)
}

#[cfg(test)]
mod tests {
    use policies::IdentifierType as Kind;

    use super::super::shapes;
    use super::super::signs::Signs;

    /// What is told as a password or a user's name.
    fn told(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        shapes::find(text.as_bytes(), Signs::of(text.as_bytes()), false, &mut |shape| {
            if matches!(shape.kind, Kind::Password | Kind::UserName) {
                out.push(text.get(shape.span).unwrap_or("inside a character").to_owned());
            }
        });
        out
    }

    #[test]
    fn what_filters_write() {
        for none in [
            "[REDACTED]",
            "[FILTERED]",
            "[Filtered]",
            "[omitted]",
            "[hidden]",
            "[MASKED]",
            "[SCRUBBED]",
            "[PROTECTED]",
            "[redacted by app]",
            "__REDACTED__",
            "***REDACTED***",
            "<private>",
            "%PASSWORD%",
            "%DB_PASSWORD%",
            "your_password",
            "YOUR-PASSWORD",
            "your_db_password",
            "****5678",
            "********",
            "\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}",
            "\u{25cf}\u{25cf}\u{25cf}\u{25cf}\u{25cf}",
        ] {
            for text in [
                format!("2026 I/Auth: login host=a password={none} ok\n"),
                format!("password: {none}\r\n"),
                format!("{{\"password\":\"{none}\",\"n\":1}}"),
            ] {
                assert_eq!(told(&text), [""; 0], "{text}");
            }
        }
        for word in [
            "hunter2",
            "Passw0rd",
            "focus1",
            "[hunter2",
            "__hunter__",
            "hidden1",
            "private7",
            "%PASSWORD",
            "%a-b%",
            "yourpassword1",
            "your_horse",
            "your_password1",
            "**5678",
            "****56789",
            "***hunter2***",
            "\u{2022}hunter2",
            "x1xx",
            "[redacted2",
            "setter",
            "changed1",
        ] {
            for text in [format!("2026 I/Auth: login host=a password={word} ok\n"), format!("{{\"password\":\"{word}\",\"n\":1}}")] {
                assert_eq!(told(&text), [word], "{text}");
            }
        }
    }

    #[test]
    fn what_programs_and_manuals_have() {
        for none in [
            "login user=- password=set ok",
            "I/Auth: password=changed by 7",
            "wifi: password: required, retry",
            "password=masked ok",
            "a{}input[type=password]:focus{color:red}",
            "input[name=username]:hover{color:red}",
            "usage: x [--host=HOST] [--password=PASSWORD]",
            "usage: x --password=PASS ...",
            "usage: x --db-password=PASSWORD",
            "this.password = password; a()",
            "const o={id:1,password:e.password};",
            "x={n:1,password:t.user.password}",
            "initWith:password:completion:handler: x",
            "initWithA:password: setPassword:forService: x",
            "a\npassword=Mot de passe\nhost=b\n",
            "a\npassword=Passwort\nhost=b\n",
            "log password=PASSWORD ok",
            "<14>Jan  1 00:00:00 tv login[12]: user=bob password: failed",
            r#"{"msg":"user bob entered wrong password: rejected"}"#,
            "o={username:e.username,b:1}",
        ] {
            assert_eq!(told(none), [""; 0], "{none}");
        }
        for (text, word) in [
            ("login password=setting ok", "setting"),
            ("u=x&password=changed&y=1", "changed"),
            ("u=x&password=failed&y=1", "failed"),
            (r#"{"password":"changed","n":1}"#, "changed"),
            (r#"{"password":"masked","n":1}"#, "masked"),
            ("user[password]=hunter2&x=1", "hunter2"),
            ("login host=a user[password]: hunter2", "hunter2"),
            ("x --password=HUNTER", "HUNTER"),
            ("x --password=pass", "pass"),
            ("x password=PASS y", "PASS"),
            ("this.password = passwords; a()", "passwords"),
            ("o={password:e.horse}", "e.horse"),
            ("host:a password:hunter:more", "hunter:more"),
            ("host:a password:Hunter:", "Hunter:"),
            ("host:a password:hunter2:x1:", "hunter2:x1:"),
            ("a\npassword=Mot1 de passe\n", "Mot1"),
            ("a\npassword=Mot\n", "Mot"),
            (r#"{"password":"password","n":1}"#, "password"),
            ("u=x&password=password", "password"),
        ] {
            assert_eq!(told(text), [word], "{text}");
        }
    }
}
