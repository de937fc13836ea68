//! A persona made up for a test: distinctive, of no living person, with valid check digits.

use std::fmt::Write as _;

use crate::identifier::luhn_digit;

/// A whole persona file with fresh values; `random` fills a buffer with bytes from the system's generator.
///
/// Nothing in it belongs to anybody: a test TAC (GSMA TS.06 keeps 00 for tests), the test network 001/01 (3GPP TS 23.003), e-mail domains of
/// RFC 2606, telephone numbers that the British regulator keeps for drama, invented names.
pub fn synthetic(random: &mut dyn FnMut(&mut [u8])) -> String {
    let mut dice = Dice { random };
    let first = dice.pick(FIRST_NAMES);
    let last = dice.surname();
    let home = dice.surname();
    let phones = dice.below(1000);
    let mut out = String::from(HEAD);
    let imei = with_check_digit(format!("00{}", dice.digits(12)));
    let iccid = with_check_digit(format!("8988201{}", dice.digits(11)));
    add(&mut out, "imei-1", "imei", &imei, "owner");
    add(&mut out, "imsi-1", "imsi", &format!("00101{}", dice.digits(10)), "owner");
    add(&mut out, "iccid-1", "iccid", &iccid, "owner");
    add(&mut out, "phone-own", "msisdn", &drama_number(phones, 0), "owner");
    add(&mut out, "android-id", "android-id", &dice.hex(16), "owner");
    add(&mut out, "ad-id", "ad-id", &dice.uuid(), "owner");
    add(&mut out, "serial", "serial", &format!("R{}", dice.serial(10)), "owner");
    add(&mut out, "name-own", "person-name", &format!("{first} {last}"), "owner");
    add(&mut out, "email-main", "email", &format!("{}.{}@example.org", first.to_lowercase(), last.to_lowercase()), "owner");
    add(&mut out, "user-name", "user-name", &format!("{}{}", last.to_lowercase(), dice.digits(3)), "owner");
    add(&mut out, "password", "password", &format!("{}-{}-{}", dice.word(8), dice.digits(4), dice.word(6)), "owner");
    add(&mut out, "address-home", "postal-address", &format!("{} {home} Lane", 11 + dice.below(180)), "owner");
    add(&mut out, "position-home", "position", &dice.position(), "owner");
    add(&mut out, "wifi-home", "ssid", &format!("{}-{}", home.to_lowercase(), dice.hex(4)), "owner");
    add(&mut out, "clipboard", "text", &format!("clip {} {} {}", dice.word(9), dice.digits(5), dice.word(7)), "owner");
    for n in 1..=5 {
        let (first, last) = (dice.pick(FIRST_NAMES), dice.surname());
        add(&mut out, &format!("contact-{n}-name"), "person-name", &format!("{first} {last}"), "contact");
        add(
            &mut out,
            &format!("contact-{n}-email"),
            "email",
            &format!("{}.{}@example.net", first.to_lowercase(), last.to_lowercase()),
            "contact",
        );
        add(&mut out, &format!("contact-{n}-phone"), "msisdn", &drama_number(phones, n), "contact");
    }
    out
}

const HEAD: &str = "\
# A made-up identity: plant these values on the device under test, then run it. No value belongs to a person.
# Values the device fixes itself (IMEI, IMSI, serial, Wi-Fi address …) must be replaced by its own, or the line removed:
# a value that is not on the device cannot leak from it.
schema = \"overhear/persona/1\"
label  = \"synthetic\"
";

fn add(out: &mut String, name: &str, kind: &str, value: &str, whose: &str) {
    let _ = write!(out, "\n[[value]]\nname  = \"{name}\"\ntype  = \"{kind}\"\nvalue = \"{value}\"\n");
    if whose != "owner" {
        let _ = writeln!(out, "whose = \"{whose}\"");
    }
}

fn with_check_digit(mut body: String) -> String {
    body.extend(luhn_digit(&body));
    body
}

/// The `n`-th of this persona's numbers: Ofcom keeps +44 7700 900000 to 900999 out of use. 137 has no common divisor with 1000, so none repeats.
fn drama_number(base: u32, n: u32) -> String {
    format!("+447700900{:03}", (base + n * 137) % 1000)
}

struct Dice<'r> {
    random: &'r mut dyn FnMut(&mut [u8]),
}

impl Dice<'_> {
    /// Evenly from `0..n`, by throwing away the uneven rest.
    fn below(&mut self, n: u32) -> u32 {
        let limit = u32::MAX - u32::MAX % n;
        // A generator that is stuck above the limit must not hang us.
        for _ in 0..64 {
            let mut bytes = [0; 4];
            (self.random)(&mut bytes);
            let x = u32::from_le_bytes(bytes);
            if x < limit {
                return x % n;
            }
        }
        0
    }

    fn pick<'a>(&mut self, from: &'a [&'a str]) -> &'a str {
        let at = self.below(from.len() as u32) as usize;
        from.get(at).copied().unwrap_or_default()
    }

    fn of(&mut self, alphabet: &str, n: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..n).filter_map(|_| letters.get(self.below(letters.len() as u32) as usize).copied()).collect()
    }

    fn digits(&mut self, n: usize) -> String {
        self.of("0123456789", n)
    }

    fn hex(&mut self, n: usize) -> String {
        self.of("0123456789abcdef", n)
    }

    /// Without the letters that are read wrongly.
    fn serial(&mut self, n: usize) -> String {
        self.of("0123456789ABCDEFGHJKLMNPRSTVWXYZ", n)
    }

    fn word(&mut self, n: usize) -> String {
        self.of("abcdefghijkmnpqrstuvwxyz", n)
    }

    /// Version 4, lower case, as Android writes it.
    fn uuid(&mut self) -> String {
        let variant = self.of("89ab", 1);
        format!("{}-{}-4{}-{variant}{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }

    /// Four open syllables: about 2^27 surnames that nobody has.
    fn surname(&mut self) -> String {
        let mut out = String::new();
        for i in 0..4 {
            let consonant = self.of("bdfgklmnprstvz", 1);
            out.push_str(&if i == 0 { consonant.to_uppercase() } else { consonant });
            out.push_str(&self.of("aeiou", 1));
        }
        out
    }

    /// Five decimals, about one metre; no trailing zero, so that a shortened form is not the value itself.
    fn position(&mut self) -> String {
        let lat_sign = if self.below(2) == 0 { "" } else { "-" };
        let lon_sign = if self.below(2) == 0 { "" } else { "-" };
        let lat = 10 + self.below(50);
        let lon = 20 + self.below(150);
        format!("{lat_sign}{lat}.{}{},{lon_sign}{lon}.{}{}", self.digits(4), 1 + self.below(9), self.digits(4), 1 + self.below(9))
    }
}

/// Rare today, plain ASCII, told apart at a glance.
const FIRST_NAMES: &[&str] = &[
    "Ottoline",
    "Thaddeus",
    "Isaura",
    "Leocadia",
    "Evander",
    "Philippa",
    "Casimir",
    "Desdemona",
    "Ignatius",
    "Rosalba",
    "Balthasar",
    "Clothilde",
    "Erasmus",
    "Hyacinth",
    "Leopoldine",
    "Melchior",
    "Ottilie",
    "Perpetua",
    "Quirin",
    "Sidonie",
    "Theodora",
    "Valentin",
    "Wilhelmine",
    "Zacharias",
    "Aurelian",
    "Benedikta",
    "Crispin",
    "Dorothea",
    "Emmerich",
    "Friederike",
    "Gideon",
    "Hildegard",
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::Persona;

    /// A plain generator for tests (SplitMix64).
    fn generator(mut state: u64) -> impl FnMut(&mut [u8]) {
        move |out| {
            for b in out {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                *b = ((z ^ (z >> 27)) >> 24) as u8;
            }
        }
    }

    #[test]
    fn every_one_is_valid() {
        for seed in 0..200 {
            let text = synthetic(&mut generator(seed));
            let persona = Persona::parse("new.toml", &text).unwrap_or_else(|p| panic!("{seed}: {p:?}\n{text}"));
            assert!(persona.values.len() >= 30);
        }
    }

    #[test]
    fn two_have_nothing_in_common() {
        let one = Persona::parse("1", &synthetic(&mut generator(1))).unwrap();
        let two = Persona::parse("2", &synthetic(&mut generator(2))).unwrap();
        for v in &one.values {
            let same = two.values.iter().any(|w| w.value == v.value);
            assert!(!same || v.kind == crate::IdentifierType::Msisdn, "{} is in both", v.name);
        }
    }

    #[test]
    fn a_broken_generator_does_not_hang() {
        let text = synthetic(&mut |out| out.fill(0xff));
        assert!(text.contains("overhear/persona/1"));
    }
}
