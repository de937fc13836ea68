//! Facts that look like failures and are meant to be so: always with a reason, and wherever possible with a condition on the content.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{IdPattern, PeerPattern};

/// An exception excuses what meets *all* it says; what it excuses is counted and shown under its rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Its name; findings it excused print it.
    pub rule: String,
    pub checks: Vec<IdPattern>,
    /// Empty: any peer; then the content must be conditioned.
    #[serde(default)]
    pub peers: Vec<PeerPattern>,
    pub content: Content,
    /// Starts of paths, of connectivity probes whole paths; empty: any path.
    #[serde(default)]
    pub paths: Vec<String>,
    pub reason: String,
}

/// What the traffic itself must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A request without body, query (beside `ipv4` or `ipv6`), cookie, authorization or header fields that not every client sends, answered by
    /// 204 or a body of at most [`PROBE_BODY`] bytes.
    ConnectivityProbe,
    /// OCSP (RFC 6960), a CRL or an issuer's certificate (RFC 5280 §4.2.2.1): signed themselves, and fetched in the clear to avoid a circle.
    RevocationFetch,
    /// An update whose payload or manifest carries a signature that was recognised, and a declaration says that the device checks it.
    SignedUpdate,
    /// DNS over TLS to a resolver the network handed out, without a name to check (RFC 7858 §4.1).
    OpportunisticDot,
    /// Whatever it is: allowed only for named peers.
    Any,
}

/// Largest answer of a connectivity probe, in bytes: the known pages stay under 100, a portal's page has kilobytes.
pub const PROBE_BODY: u64 = 256;

/// What is wrong with an exception, and under which key.
pub(crate) struct Fault {
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) help: &'static str,
}

impl Exception {
    pub fn covers(&self, check: &str, host: &str, port: u16) -> bool {
        self.checks.iter().any(|c| c.matches(check)) && (self.peers.is_empty() || self.peers.iter().any(|p| p.matches(host, port)))
    }

    /// Whether a path (without query) is one of those meant.
    pub fn covers_path(&self, path: &str) -> bool {
        // Behind the path of a probe anything could be said.
        let fits = |p: &String| if self.content == Content::ConnectivityProbe { path == p } else { path.starts_with(p.as_str()) };
        self.paths.is_empty() || self.paths.iter().any(fits)
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        let mut add = |wrong: bool, key, what, help| {
            if wrong {
                out.push(Fault { key, what, help });
            }
        };
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        add(!word(&self.rule), "rule", "a rule's name is a word of small letters, digits and hyphens", "findings it excused print it");
        add(self.reason.trim().is_empty(), "reason", "the reason is empty", "an exception without a reason is a hole");
        add(self.checks.is_empty(), "checks", "no check is named", "the checks whose findings it excuses");
        add(
            self.checks.contains(&IdPattern::Begins(String::new())),
            "checks",
            "an exception from every check excuses everything",
            "name the checks",
        );
        let everywhere = self.peers.is_empty() || self.peers.iter().any(|p| p.host.is_too_wide());
        add(
            self.content == Content::Any && everywhere,
            "content",
            "any content with any peer excuses everything",
            "name the peers, or condition the content",
        );
        add(self.paths.iter().any(|p| !p.starts_with('/')), "paths", "a path begins with /", "");
        out
    }
}
