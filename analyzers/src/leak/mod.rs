//! The leak engine: seeks planted values in every form and coding, recognises identifiers by their shape, and veils both.
//!
//! Three ways in. [`Engine::scan`] goes over the bytes of a stream as they come, a value split over segments included, and finds
//! planted values in their forms and in the codings that are cheaper to seek than to undo. [`Engine::peel`] takes a whole message,
//! undoes what codes it until nothing is left to undo, and finds planted values and shapes at every depth. As a [`Veil`](crate::text::Veil) the engine
//! hides both in whatever is about to be written down. All three are pure and may be shared between threads.

mod beside;
mod budget;
mod charset;
mod clean;
mod code;
mod coding;
mod edge;
mod fields;
mod forms;
mod found;
mod geo;
mod heads;
mod items;
mod keys;
pub(crate) mod labels;
mod names;
mod needles;
mod parts;
mod paths;
mod peel;
mod puny;
mod regions;
mod rows;
mod shapes;
mod signs;
mod sip;
mod stand_ins;
mod stream;
mod table;
mod undo;
mod varint;
mod veil;
mod words;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use policies::{Persona, PersonaValue};

pub use self::budget::{Budget, Stop};
pub use self::charset::Charset;
pub use self::found::{Found, Secret};
pub(crate) use self::parts::Names;
pub(crate) use self::peel::coding;
pub use self::peel::{Finds, Glance, Peeled};
pub(crate) use self::regions::SWITCHES;
pub(crate) use self::stand_ins::{is_button, is_stand_in};
pub use self::stream::Carry;
pub use self::undo::Packed;
pub(crate) use self::undo::stays_packed;
pub use policies::IdentifierType as Kind;

use self::clean::Clean;
use self::needles::{Meaning, Needles};
use self::table::Table;
use crate::encode::hex;
use crate::text::Text;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::format_collect, reason = "tests")]
mod tests;

/// A value planted on the device, that nothing else should know.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// What reports call it; unique, printable.
    pub name: String,
    pub kind: Kind,
    pub value: String,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Everything the leak search knows; made once per run and shared.
pub struct Engine {
    seeds: Box<[Planted]>,
    /// Parts of values among them: they count in whole messages only, in a stream they would be noise.
    table: Table,
    meanings: Box<[Meaning]>,
    names: Box<[names::Name]>,
    places: Box<[shapes::Place]>,
    parts: Box<[parts::Part]>,
    key: hmac::Key,
    /// Tells decoded contents apart; keyed, so that nobody outside can make two that look the same.
    hasher: foldhash::quality::FixedState,
    plain: Arc<[Text]>,
    /// Messages in which nothing was found.
    clean: Clean,
}

struct Planted {
    name: Text,
    kind: Kind,
    mask: Text,
    token: [u8; 16],
    value: Secret,
    needles: usize,
}

impl Engine {
    /// An engine that seeks `seeds`; tokens and masks are made with `project_key`, which never leaves it.
    pub fn new(seeds: impl IntoIterator<Item = Seed>, project_key: &[u8; 32]) -> Engine {
        let key = hmac::Key::new(hmac::HMAC_SHA256, project_key);
        let mut needles = Needles::default();
        let mut planted = Vec::new();
        let (mut places, mut parts) = (Vec::new(), Vec::new());
        for (n, seed) in (0u32..).zip(seeds) {
            let count = needles.add(n, seed.kind, &seed.value);
            parts.extend(parts::parts(n, seed.kind, &seed.value));
            if seed.kind == Kind::Position {
                places.extend(shapes::Place::parse(n, &seed.value));
            }
            let name = Text::ours(&seed.name);
            planted.push(Planted {
                mask: Text::ours(format!("‹{name}›")),
                name,
                kind: seed.kind,
                token: token(&key, seed.kind, &forms::canonical(seed.kind, &seed.value)),
                value: Secret::new(seed.value.as_bytes()),
                needles: count,
            });
        }
        let Needles { sought, meanings, names, .. } = needles;
        let clean = Clean::new(&token(&key, Kind::Text, b"clean messages"));
        let secret = token(&key, Kind::Text, b"decoded content");
        let seed = secret.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Engine {
            seeds: planted.into(),
            table: Table::new(sought),
            meanings: meanings.into(),
            names: names.into(),
            places: places.into(),
            parts: parts.into(),
            key,
            hasher: foldhash::quality::FixedState::with_seed(seed),
            plain: Arc::new([]),
            clean,
        }
    }

    /// An engine that seeks what a persona planted.
    pub fn for_persona(persona: &Persona, project_key: &[u8; 32]) -> Engine {
        let seed = |value: &PersonaValue| Seed { name: value.name.clone(), kind: value.kind, value: value.value.reveal().to_owned() };
        Engine::new(persona.values.iter().map(seed), project_key)
    }

    /// An engine without planted values: shapes only.
    pub fn bare(project_key: &[u8; 32]) -> Engine {
        Engine::new([], project_key)
    }

    /// Names of planted values too short to be sought: their absence proves nothing.
    pub fn unsought(&self) -> impl Iterator<Item = &Text> {
        self.seeds.iter().filter(|seed| seed.needles == 0).map(|seed| &seed.name)
    }

    /// How many byte strings are sought.
    pub fn needles(&self) -> usize {
        self.table.len()
    }

    /// The same by tier of the matcher: of 15 bytes and more, of 8, of 6, of 4; and of less than 8 whose case matters.
    pub fn tiers(&self) -> [usize; 5] {
        self.table.tiers()
    }

    /// The keyed digest that stands for a value in the journal: equal values of a kind, however written, have equal tokens.
    pub fn token(&self, kind: Kind, value: &str) -> [u8; 16] {
        token(&self.key, kind, &forms::canonical(kind, value))
    }

    /// What is shown in place of a value that was not planted.
    pub fn mask(&self, kind: Kind, value: &str) -> Text {
        mask(kind, &self.token(kind, value))
    }

    fn planted(&self, n: u32) -> Option<&Planted> {
        self.seeds.get(n as usize)
    }
}

fn mask(kind: Kind, token: &[u8; 16]) -> Text {
    Text::ours(format!("‹{kind}:{}›", hex(&token[..4])))
}

fn token(key: &hmac::Key, kind: Kind, canonical: &[u8]) -> [u8; 16] {
    let mut context = hmac::Context::with_key(key);
    context.update(kind.word().as_bytes());
    context.update(&[0]);
    context.update(canonical);
    let mut out = [0; 16];
    out.copy_from_slice(&context.sign().as_ref()[..16]);
    out
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("seeds", &self.seeds.len()).field("needles", &self.table.len()).finish_non_exhaustive()
    }
}
