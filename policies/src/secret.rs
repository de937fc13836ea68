//! A value that must not be shown: no `Display`, a `Debug` without content, errors without the value.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A planted or personal value. The only way to its text is [`Secret::reveal`], so that every use can be found by that word.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself: for matching and for sealed storage, never for output.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    /// Overwrites the text, so that a core dump has one copy less.
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// Written by hand because serde's own messages quote the value they could not use.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_str<E: Error>(self, v: &str) -> Result<Secret, E> {
                Ok(Secret(v.to_owned()))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom(NOT_QUOTED))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(NOT_QUOTED))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom(NOT_QUOTED))
            }

            fn visit_i128<E: Error>(self, _: i128) -> Result<Secret, E> {
                Err(E::custom(NOT_QUOTED))
            }

            fn visit_u128<E: Error>(self, _: u128) -> Result<Secret, E> {
                Err(E::custom(NOT_QUOTED))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(NOT_QUOTED))
            }
        }
        d.deserialize_str(Quoted)
    }
}

const NOT_QUOTED: &str = "the value must stand in quotes";

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn shows_nothing() {
        let secret = Secret::new("356938035643809");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
        assert_eq!(secret.reveal(), "356938035643809");
    }

    #[test]
    fn errors_do_not_quote_it() {
        #[derive(Debug, Deserialize)]
        struct File {
            #[expect(dead_code, reason = "only its reading is tested")]
            value: Secret,
        }
        for text in [
            "value = 356938035643809",
            "value = 3569.38035643809",
            "value = [356938035643809]",
            "value = 1987-03-02",
            "value = { a = \"356938035643809\" }",
        ] {
            let error = toml::from_str::<File>(text).unwrap_err();
            assert!(!error.message().contains("3569") && !error.message().contains("1987"), "{}", error.message());
        }
    }
}
