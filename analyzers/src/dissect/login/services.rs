//! Services whose commands mean a login only behind their own greeting, or by the name of who is spoken to: FreeSWITCH, TeamSpeak, the NickServ of
//! IRC; and the head with which a client of STOMP begins.

use policies::IdentifierType;

use super::is_secret;
use crate::dissect::http::secrets::Secret;
use crate::leak::is_stand_in;

/// Services that say who they are before anybody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    FreeSwitch,
    TeamSpeak,
}

impl Greeting {
    /// What the first line of a direction says.
    pub(super) fn of(line: &[u8]) -> Option<Greeting> {
        match line {
            b"Content-Type: auth/request" => Some(Greeting::FreeSwitch),
            b"TS3" => Some(Greeting::TeamSpeak),
            _ => None,
        }
    }
}

/// The longest command has five.
const MOST_WORDS: usize = 6;

fn secret(kind: IdentifierType, (value, at): (&[u8], usize), out: &mut Vec<Secret>) {
    if is_secret(value) && !is_stand_in(value) {
        out.push(Secret { kind, value: value.to_vec(), at, len: value.len(), chain: &[] });
    }
}

/// Reads a command to such a service, whose greeting was `greeted`. Says whether it was one.
pub(super) fn read(line: &[u8], greeted: Option<Greeting>, out: &mut Vec<Secret>) -> bool {
    use IdentifierType::{Password, UserName};
    let mut at = 0;
    let words: Vec<(&[u8], usize)> = line
        .split(|b| *b == b' ')
        .map(|word| {
            at += word.len() + 1;
            (word, at - word.len() - 1)
        })
        .filter(|(word, _)| !word.is_empty())
        .take(MOST_WORDS)
        .collect();
    match (words.as_slice(), greeted) {
        // Event Socket: `auth PASSWORD`, `userauth USER:PASSWORD`.
        ([(b"auth", _), password], Some(Greeting::FreeSwitch)) => secret(Password, *password, out),
        ([(b"userauth", _), (both, at)], Some(Greeting::FreeSwitch)) => {
            if let Some(colon) = memchr::memchr(b':', both) {
                secret(UserName, (&both[..colon], *at), out);
                secret(Password, (&both[colon + 1..], at + colon + 1), out);
            }
        }
        // ServerQuery: `login USER PASSWORD`, or by name.
        ([(b"login", _), named @ ..], _) if named.iter().any(|(word, _)| word.starts_with(LOGIN_PASSWORD)) => {
            for (name, kind) in [(LOGIN_NAME, UserName), (LOGIN_PASSWORD, Password)] {
                for (word, at) in named {
                    word.strip_prefix(name).into_iter().for_each(|value| secret(kind, (value, at + name.len()), out));
                }
            }
        }
        ([(b"login", _), user, password], Some(Greeting::TeamSpeak)) => {
            secret(UserName, *user, out);
            secret(Password, *password, out);
        }
        ([(command, _), (service, _), said @ ..], _) if command.eq_ignore_ascii_case(b"PRIVMSG") && is_nick_service(service) => {
            return identifies(said, out);
        }
        ([(command, _), said @ ..], _) if [&b"NICKSERV"[..], b"NS"].iter().any(|name| command.eq_ignore_ascii_case(name)) => {
            return identifies(said, out);
        }
        _ => return false,
    }
    true
}

const LOGIN_NAME: &[u8] = b"client_login_name=";
const LOGIN_PASSWORD: &[u8] = b"client_login_password=";

/// The service by its name, or by that and the server's.
fn is_nick_service(name: &[u8]) -> bool {
    name.split(|b| *b == b'@').next().is_some_and(|name| name.eq_ignore_ascii_case(b"NickServ"))
}

/// What networks of IRC have in common: `IDENTIFY [ACCOUNT] PASSWORD`, `REGISTER PASSWORD [MAILBOX]`.
fn identifies(said: &[(&[u8], usize)], out: &mut Vec<Secret>) -> bool {
    use IdentifierType::{Password, UserName};
    let [(command, _), said @ ..] = said else { return false };
    let command = command.strip_prefix(b":").unwrap_or(command);
    let is = |name: &[u8]| command.eq_ignore_ascii_case(name);
    match said {
        [password] if is(b"IDENTIFY") || is(b"REGISTER") => secret(Password, *password, out),
        [user, password] if is(b"IDENTIFY") => {
            secret(UserName, *user, out);
            secret(Password, *password, out);
        }
        [password, _] if is(b"REGISTER") => secret(Password, *password, out),
        _ => return false,
    }
    true
}

/// The head of the first frame of a client (STOMP 1.2, "CONNECT or STOMP frame"): what its `login` and `passcode` say. False where the head ends.
pub(super) fn stomp(line: &[u8], out: &mut Vec<Secret>) -> bool {
    for (name, kind) in [(&b"login:"[..], IdentifierType::UserName), (b"passcode:", IdentifierType::Password)] {
        if let Some(value) = line.strip_prefix(name) {
            secret(kind, (value, name.len()), out);
        }
    }
    !line.is_empty()
}

/// Whether a line begins such a frame.
pub(super) fn is_stomp(line: &[u8]) -> bool {
    matches!(line, b"CONNECT" | b"STOMP")
}
