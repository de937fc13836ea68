//! The numbers a verdict depends on, each with where it comes from.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Severity;

/// Declares the thresholds once: the resolved struct, the optional form a file has, and the range of each.
macro_rules! thresholds {
    ($( $(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $range:expr; )*) => {
        /// The numbers a verdict depends on.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct Thresholds { $( $(#[$doc])* pub $name: $type, )* }

        /// What a file changes of them.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Changes { $( $(#[$doc])* $name: Option<$type>, )* }

        impl Default for Thresholds {
            fn default() -> Thresholds { Thresholds { $( $name: $default, )* } }
        }

        impl Changes {
            pub(crate) fn over(&self, base: &Thresholds) -> Thresholds {
                Thresholds { $( $name: self.$name.unwrap_or(base.$name), )* }
            }
        }

        impl Thresholds {
            /// Calls `note` with the key and complaint of every number out of its range.
            pub(crate) fn problems(&self, note: &mut dyn FnMut(&'static str, String)) {
                $( if !$range.contains(&self.$name) {
                    note(stringify!($name), format!("{} is out of range: {:?} to {:?}", self.$name, $range.start(), $range.end()));
                } )*
            }
        }
    };
}

thresholds! {
    /// Payload bytes that may be missing before an absence proves nothing, in percent. A phone's hour has some 100 MB: 0.1 % is one photo.
    loss_percent: f64 = 0.1, (0.0..=100.0);
    /// Clear or decrypted payload that must have been understood before an absence proves something, in percent.
    coverage_percent: f64 = 95.0, (0.0..=100.0);
    /// Connections of one subject that begin within this time of the first are one attempt and get one treatment (races of IPv4 and IPv6,
    /// browsers' spare sockets): 3 s covers RFC 8305 and what was measured of browsers.
    attempt_ms: u32 = 3_000, (100..=60_000);
    /// How long a connection is watched after its handshake before it counts as silent: stacks that check names and pins in a callback have
    /// sent or closed by then.
    trial_idle_ms: u32 = 5_000, (100..=600_000);
    /// Least pause between two attacks on one peer: a device that keeps failing drops the network or backs off for hours.
    attack_pause_ms: u32 = 30_000, (0..=86_400_000);
    /// Largest share of a peer's attempts that may be attacks; the rest are controls and relayed.
    attack_share_percent: u32 = 34, (1..=90);
    /// Untouched attempts of a device that failed within a minute, in percent, above which attacks stop for a while: the device is about to leave the network.
    health_failing_percent: u32 = 50, (1..=100);
    /// How long after a failed TLS connection a cleartext one counts as its substitute.
    fallback_ms: u32 = 60_000, (1_000..=3_600_000);
    /// Complete separation of this many trials and as many controls has a chance of 1/C(2n,n) without a pin (Fisher's exact test, one-sided):
    /// 1/70 for 4. A policy may ask for more, not for less.
    pin_trials: u32 = 4, (4..=20);
    /// Confirmed windows of enrolment or verification, and as many sham ones.
    biometric_windows: u32 = 5, (1..=100);
    /// A TCP flow of a capture without packets for this long is closed. RFC 5382 asks NATs to hold two hours; phones refresh their push
    /// connections within 30 minutes.
    tcp_idle_s: u32 = 3_600, (1..=86_400);
    /// The same for datagrams and for TCP that was never answered: RFC 4787 recommends five minutes.
    udp_idle_s: u32 = 300, (1..=86_400);
}

/// Refused, bracketed trials that a pass needs, by the attack's severity. The chance of acceptance is then below 1 − 0.05^(1/n) with 95 %
/// confidence: 63 % for 3, 95 % for 1; a single accepted trial fails whatever n is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    pub critical: u32,
    pub high: u32,
    pub medium: u32,
    pub low: u32,
    pub info: u32,
}

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats { critical: 3, high: 3, medium: 2, low: 1, info: 1 }
    }
}

impl Repeats {
    pub fn of(self, severity: Severity) -> u32 {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Info => self.info,
        }
    }

    pub(crate) fn problems(self, note: &mut dyn FnMut(&'static str, String)) {
        for severity in Severity::ALL {
            let n = self.of(severity);
            if !(1..=100).contains(&n) {
                note(severity.word(), format!("{n} trials is out of range: 1 to 100"));
            }
        }
    }
}

/// What a file changes of the repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RepeatChanges {
    critical: Option<u32>,
    high: Option<u32>,
    medium: Option<u32>,
    low: Option<u32>,
    info: Option<u32>,
}

impl RepeatChanges {
    pub(crate) fn over(&self, base: Repeats) -> Repeats {
        Repeats {
            critical: self.critical.unwrap_or(base.critical),
            high: self.high.unwrap_or(base.high),
            medium: self.medium.unwrap_or(base.medium),
            low: self.low.unwrap_or(base.low),
            info: self.info.unwrap_or(base.info),
        }
    }
}
