//! A moment, in nanoseconds since 1970-01-01 UTC, written as RFC 3339 with nine decimals.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds since the Unix epoch. Times are arguments everywhere; nothing in the pure crates asks a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    pub const MIN: Time = Time(i64::MIN);
    pub const MAX: Time = Time(i64::MAX);

    pub fn from_secs(secs: i64) -> Time {
        Time(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds from `earlier` to `self`, zero when `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    pub fn plus(self, d: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
    }

    pub fn minus(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Reads RFC 3339 (`2026-05-01T10:00:00Z`), or seconds since the epoch with up to nine decimals.
    pub fn parse(text: &str) -> Option<Time> {
        if let Ok(t) = OffsetDateTime::parse(text, &Rfc3339) {
            return i64::try_from(t.unix_timestamp_nanos()).ok().map(Time);
        }
        let (secs, frac) = text.split_once('.').unwrap_or((text, ""));
        if secs.is_empty() || frac.len() > 9 || !frac.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let secs: i64 = secs.parse().ok()?;
        let nanos: i64 = format!("{frac:0<9}").parse().ok()?;
        secs.checked_mul(1_000_000_000)?.checked_add(nanos).map(Time)
    }

    /// The RFC 3339 form in a fixed 30-byte buffer: `2026-05-01T10:00:00.000000000Z`.
    pub fn ascii(self) -> [u8; 30] {
        let days = self.0.div_euclid(86_400_000_000_000);
        let in_day = self.0.rem_euclid(86_400_000_000_000);
        let (y, m, d) = civil(days);
        let secs = in_day / 1_000_000_000;
        let mut out = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut out[0..4], y.clamp(0, 9999));
        digits(&mut out[5..7], m);
        digits(&mut out[8..10], d);
        digits(&mut out[11..13], secs / 3600);
        digits(&mut out[14..16], secs / 60 % 60);
        digits(&mut out[17..19], secs % 60);
        digits(&mut out[20..29], in_day % 1_000_000_000);
        out
    }
}

/// Days since the epoch to (year, month, day), proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn digits(out: &mut [u8], mut n: i64) {
    for slot in out.iter_mut().rev() {
        *slot = b'0' + (n % 10).unsigned_abs() as u8;
        n /= 10;
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.ascii()).unwrap_or_default())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(std::str::from_utf8(&self.ascii()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Time::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not an RFC 3339 time")))
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[track_caller]
    fn check(text: &str, nanos: i64) {
        assert_eq!(Time::parse(text), Some(Time(nanos)), "{text}");
    }

    #[test]
    fn reads_both_forms() {
        check("1970-01-01T00:00:00Z", 0);
        check("2000-02-29T23:59:59.000000001Z", 951_868_799_000_000_001);
        check("1700000000", 1_700_000_000_000_000_000);
        check("1700000000.5", 1_700_000_000_500_000_000);
        check("2026-05-01T12:00:00+02:00", 1_777_629_600_000_000_000);
        assert_eq!(Time::parse("yesterday"), None);
        assert_eq!(Time::parse("1.1234567890"), None);
    }

    #[test]
    fn writes_what_it_reads() {
        for nanos in [0, 1, 951_868_799_000_000_001, 1_777_629_600_123_456_789, -1, i64::MAX] {
            let t = Time(nanos);
            assert_eq!(Time::parse(&t.to_string()), Some(t), "{t}");
        }
    }
}
