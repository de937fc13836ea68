//! Recall over the hand-checked leaks of `leaks.toml`, and its traps: values that look like leaks and are none.

use std::path::Path;
use std::sync::Arc;

use analyzers::leak::{Engine, Seed};
use analyzers::observation::{Grade, Hit, Observation};
use policies::IdentifierType;

use crate::ours::{self, Capture, Seen};
use crate::tally::Tally;

#[derive(serde::Deserialize)]
pub(crate) struct List {
    leak: Vec<Leak>,
    false_positive: Vec<Trap>,
}

#[derive(serde::Deserialize)]
struct Leak {
    file: String,
    #[serde(rename = "type")]
    kind: String,
    value: String,
    #[serde(default)]
    encoding: String,
    #[serde(rename = "where")]
    place: String,
}

#[derive(serde::Deserialize)]
struct Trap {
    file: String,
    looks_like: String,
    value: String,
    why_not: String,
}

impl List {
    pub(crate) fn read(dir: &Path) -> List {
        toml::from_str(&std::fs::read_to_string(dir.join("leaks.toml")).unwrap()).unwrap()
    }
}

/// Identifier types of the list in the words of this house.
fn kind(word: &str) -> IdentifierType {
    match word {
        "email" => IdentifierType::Email,
        "mac_address" => IdentifierType::Mac,
        "imei" => IdentifierType::Imei,
        "imsi" => IdentifierType::Imsi,
        "phone_number" | "msisdn" => IdentifierType::Msisdn,
        "person_name" => IdentifierType::PersonName,
        "password" => IdentifierType::Password,
        "username" => IdentifierType::UserName,
        _ => IdentifierType::Text,
    }
}

/// What a trap must not be told as.
fn temptations(looks_like: &str) -> &'static [IdentifierType] {
    use IdentifierType as T;
    match looks_like {
        "bssid" => &[T::Bssid, T::Mac, T::BluetoothMac],
        "email" => &[T::Email],
        "serial_number" => &[T::Serial],
        "token" => &[T::Token],
        // A digest's user name is told as such; it is its password that is not there.
        "password" | "credential" => &[T::Password],
        _ => &[],
    }
}

fn hits(seen: &Seen) -> impl Iterator<Item = (u64, &Hit)> {
    seen.facts.iter().filter_map(|(frame, _, f)| if let Observation::Hit(h) = f { Some((*frame, h)) } else { None })
}

pub(crate) fn all(dir: &Path, capture: &Capture, bare: &Seen, list: &List, tally: &mut Tally<'_>) {
    // Without a persona nothing can be proven, anywhere.
    let proofs = hits(bare).filter(|(_, h)| h.grade == Grade::Proof).count();
    if proofs > 0 {
        tally.wrong("proof", &format!("{proofs} hits are told as proven, and nothing was planted"));
    } else {
        tally.agree("proof", 1);
    }
    traps(capture, bare, list, tally);
    let leaks: Vec<&Leak> = list.leak.iter().filter(|l| l.file == capture.name).collect();
    if leaks.is_empty() {
        return;
    }
    let seeds = leaks.iter().enumerate().map(|(n, l)| Seed { name: format!("seed-{n}"), kind: kind(&l.kind), value: l.value.clone() });
    let engine = Arc::new(Engine::new(seeds, &[7; 32]));
    let Ok(planted) = ours::read(dir, capture, &engine) else { return tally.wrong("leaks", "not read with planted values") };
    for (n, leak) in leaks.iter().enumerate() {
        // A value that stands in the list twice is planted once.
        let first = leaks.iter().position(|l| l.value == leak.value).unwrap_or(n);
        let name = format!("seed-{first}");
        let coded = leak.encoding == "base64" && first != n;
        let hit = hits(&planted)
            .any(|(_, h)| h.field.as_ref().is_some_and(|f| f == name.as_str()) && (!coded || h.chain.iter().any(|c| c == "base64")));
        // The list writes some credentials as `user:password`, which nobody sends so.
        let mut parts = leak.value.split([':', '/', ' ']).filter(|p| !p.is_empty());
        let found = hit || parts.all(|p| bare.values.iter().any(|(_, v)| v == p.as_bytes()));
        let value = leak.value.to_lowercase();
        let shaped = bare.values.iter().any(|(_, v)| {
            let v = String::from_utf8_lossy(v).to_lowercase();
            v == value || (v.len() > 6 && value.contains(&v))
        });
        tally.leak(&leak.kind, found, shaped);
        if found { tally.agree("leaks", 1) } else { tally.differ("leaks", &format!("{}: {}", leak.kind, leak.place)) }
    }
}

fn traps(capture: &Capture, bare: &Seen, list: &List, tally: &mut Tally<'_>) {
    for trap in list.false_positive.iter().filter(|t| t.file == capture.name) {
        let tempting = temptations(&trap.looks_like);
        // A part of the value is the value: `name=` is no part of it.
        let is = |found: &[u8]| {
            let found = String::from_utf8_lossy(found);
            found.len() > 3 && (trap.value.contains(&*found) || found.contains(&trap.value))
        };
        let tokens: Vec<&str> = bare.values.iter().filter(|(_, v)| is(v)).map(|(t, _)| t.as_str()).collect();
        let taken: Vec<String> = hits(bare)
            .filter(|(_, h)| tempting.contains(&h.kind) && tokens.contains(&h.token.as_str()))
            .map(|(frame, h)| format!("{:?} {:?} at frame {frame}, {}", h.kind, h.grade, h.place))
            .collect();
        if taken.is_empty() {
            tally.agree("traps", 1);
        } else {
            tally.differ("traps", &format!("{}: {}; told as {}", trap.looks_like, trap.why_not, taken.join("; ")));
        }
    }
}
