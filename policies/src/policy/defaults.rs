//! The shipped list of peers never to attack, and the shipped exceptions (`policies/defaults/*.toml`).

use serde::Deserialize;

use super::{Exception, NeverAttack};

const NEVER_ATTACK: &str = include_str!("../../defaults/never_attack.toml");
const EXCEPTIONS: &str = include_str!("../../defaults/exceptions.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeverAttackFile {
    never_attack: Vec<NeverAttack>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionsFile {
    exceptions: Vec<Exception>,
}

#[expect(clippy::expect_used, reason = "embedded data, read by a test; to go on without the list would be worse than to stop")]
pub(super) fn never_attack() -> Vec<NeverAttack> {
    toml::from_str::<NeverAttackFile>(NEVER_ATTACK).expect("the shipped list reads").never_attack
}

#[expect(clippy::expect_used, reason = "embedded data, read by a test")]
pub(super) fn exceptions() -> Vec<Exception> {
    toml::from_str::<ExceptionsFile>(EXCEPTIONS).expect("the shipped exceptions read").exceptions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_entries_are_sound() {
        assert!(never_attack().iter().all(|n| !n.peers.is_empty() && n.reason.len() > 20));
        for e in exceptions() {
            assert!(e.faults().is_empty(), "{}: {}", e.rule, e.faults().first().map_or("", |f| f.what));
        }
    }
}
