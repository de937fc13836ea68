//! What one campaign demands and allows: profile, scope, authorisation, thresholds, exceptions, waivers (`overhear/policy/1`).

mod defaults;
mod exception;
pub(crate) mod thresholds;

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub use exception::{Content, Exception, PROBE_BODY};
pub use thresholds::{Repeats, Thresholds};

use crate::document::{Document, place};
use crate::profile::{self, Profile};
use crate::{DevicePattern, IdPattern, PeerPattern, Problem, Time, TlsTerms};

/// A policy with its profile worked in: what the rest of the house reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The operator's words for the campaign; printed.
    pub label: String,
    /// What is needed, and by default how it is judged.
    pub profile: Profile,
    pub scope: Scope,
    /// Without it nothing is attacked, decrypted or kept with payload from a live device.
    pub authorisation: Option<Authorisation>,
    pub accounts: Accounts,
    /// Days that payload and personal values are kept; `None` if not stated.
    pub retention_days: Option<u32>,
    pub store: Store,
    pub thresholds: Thresholds,
    /// Trials per severity of an attack.
    pub n: Repeats,
    /// Peers that are relayed untouched whatever else is said.
    pub never_attack: Vec<NeverAttack>,
    /// Servers that belong to the operator: towards these alone may recorded messages be replayed.
    pub own: Vec<PeerPattern>,
    /// Facts that look like failures but are meant to be so.
    pub exceptions: Vec<Exception>,
    pub waivers: Vec<Waiver>,
    pub tls: TlsTerms,
    /// Peers whose clients must not trust authorities that the user added.
    pub strict: Vec<PeerPattern>,
    /// Peers that must be pinned, besides those the declaration states.
    pub pins_required: Vec<PeerPattern>,
    pub item: Item,
    pub lab: Lab,
}

/// Which traffic a campaign is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Empty: every peer.
    pub peers: Vec<PeerPattern>,
    /// Empty: no device is named; a live run then needs one paired.
    pub devices: Vec<DevicePattern>,
}

impl Scope {
    pub fn has_peer(&self, host: &str, port: u16) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|p| p.matches(host, port))
    }
}

/// Who allowed the test. The tool cannot check it; it prints it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorisation {
    /// Whose device it is.
    pub owner: String,
    /// Contract, order or ticket.
    pub reference: String,
    /// Who gave the authorisation.
    pub by: String,
}

/// Whose accounts are signed in on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Accounts {
    /// Made for the test.
    #[default]
    Synthetic,
    /// A person who agreed, with the reference of the agreement.
    Volunteer(String),
}

/// How much of the traffic a run keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    #[default]
    Full,
    /// Only packets that evidence cites.
    CitedOnly,
    /// Headers without payload.
    Headers,
}

/// Peers that are never attacked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeverAttack {
    pub peers: Vec<PeerPattern>,
    pub reason: String,
}

/// A failure that somebody answers for: printed as *fail (waived)*, never hidden.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    pub check: IdPattern,
    /// Peers it holds for; `*` for findings without a peer too.
    pub subject: PeerPattern,
    pub reason: String,
    /// The last moment it holds: a day (its end, UTC) or an RFC 3339 time.
    #[serde(deserialize_with = "day_or_time")]
    #[schemars(with = "String")]
    pub until: Time,
}

impl Waiver {
    /// Whether it holds at `now` for a finding on this peer (`None`: a finding without a peer).
    pub fn holds(&self, check: &str, peer: Option<(&str, u16)>, now: Time) -> bool {
        let subject = match peer {
            Some((host, port)) => self.subject.matches(host, port),
            None => self.subject.host == crate::Host::Any && self.subject.port.is_none(),
        };
        subject && self.check.matches(check) && now <= self.until
    }
}

/// The item under test, as the report's head shows it. All may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Item {
    pub maker: String,
    pub model: String,
    pub build: String,
    pub patch_level: String,
    pub baseband: String,
    /// A digest of the serial number, never the number itself.
    pub serial_digest: String,
}

/// Who tests, and where. All may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lab {
    pub report_id: String,
    pub operator: String,
    pub reviewer: String,
    /// How the clock was set.
    pub clock: String,
    /// Deviations from the method.
    pub deviations: String,
}

/// As the file has it; what is left out comes from the profile or the shipped defaults.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Policy", title = "Overhear policy")]
pub(crate) struct File {
    #[expect(dead_code, reason = "its reading is its check")]
    schema: Schema,
    #[serde(default)]
    label: String,
    /// A built-in profile: default, ts103732, en303645, en18031, niap-tls.
    #[serde(default = "default_profile")]
    profile: String,
    #[serde(default)]
    scope: Scope,
    authorisation: Option<Authorisation>,
    #[serde(default)]
    accounts: Accounts,
    /// Days that payload and personal values are kept.
    retention_days: Option<u32>,
    #[serde(default)]
    store: Store,
    /// Only what differs from the profile.
    #[serde(default)]
    thresholds: thresholds::Changes,
    /// Only what differs from the profile.
    #[serde(default)]
    n: thresholds::RepeatChanges,
    /// Added to the shipped list.
    #[serde(default)]
    never_attack: Vec<NeverAttack>,
    /// `false` leaves the shipped list out; then every entry that matters must stand here.
    #[serde(default = "yes")]
    never_attack_defaults: bool,
    #[serde(default)]
    own: Vec<PeerPattern>,
    /// Added to the shipped ones.
    #[serde(default)]
    exceptions: Vec<Exception>,
    /// `false` leaves the shipped exceptions out.
    #[serde(default = "yes")]
    exception_defaults: bool,
    #[serde(default)]
    waivers: Vec<Waiver>,
    /// The agreed TLS versions and suites.
    #[serde(default)]
    tls: TlsTerms,
    #[serde(default)]
    strict: Vec<PeerPattern>,
    #[serde(default)]
    pins_required: Vec<PeerPattern>,
    #[serde(default)]
    item: Item,
    #[serde(default)]
    lab: Lab,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/policy/1")]
    V1,
}

fn default_profile() -> String {
    "default".to_owned()
}

fn yes() -> bool {
    true
}

impl Policy {
    /// Reads a policy file and works its profile in.
    pub fn parse(file: &str, text: &str) -> Result<Policy, Vec<Problem>> {
        let (mut doc, it) = Document::read::<File>(file, text)?;
        let profile = profile::built_in(&it.profile).unwrap_or_else(|| {
            let known: Vec<String> = profile::all().into_iter().map(|p| p.name).collect();
            doc.problem(
                place!["profile"],
                format!("there is no profile '{}'", it.profile.escape_debug()),
                format!("built in are {}", known.join(", ")),
            );
            profile::default()
        });
        if let Some(a) = &it.authorisation {
            for (key, value) in [("owner", &a.owner), ("reference", &a.reference), ("by", &a.by)] {
                if value.trim().is_empty() {
                    doc.problem(
                        place!["authorisation", key],
                        format!("'{key}' is empty"),
                        "an authorisation names owner, reference and who gave it",
                    );
                }
            }
        }
        if it.accounts == Accounts::Volunteer(String::new()) {
            doc.problem(place!["accounts"], "the volunteer's agreement has no reference", "accounts = { volunteer = \"reference\" }");
        }
        let thresholds = it.thresholds.over(&profile.thresholds);
        thresholds.problems(&mut |key, what| doc.problem(place!["thresholds", key], what, ""));
        let n = it.n.over(profile.n);
        n.problems(&mut |key, what| doc.problem(place!["n", key], what, ""));
        for (i, never) in it.never_attack.iter().enumerate() {
            if never.reason.trim().is_empty() {
                doc.problem(place!["never_attack", i, "reason"], "the reason is empty", "it is printed with every peer left out");
            }
        }
        for (i, own) in it.own.iter().enumerate() {
            if own.host.is_too_wide() {
                doc.problem(place!["own", i], format!("'{own}' is wider than anything one operator owns"), "name the hosts that are yours");
            }
        }
        for (i, e) in it.exceptions.iter().enumerate() {
            for fault in e.faults() {
                doc.problem(place!["exceptions", i, fault.key], fault.what, fault.help);
            }
            if it.exceptions.iter().take(i).any(|o| o.rule == e.rule) {
                doc.problem(
                    place!["exceptions", i, "rule"],
                    format!("the rule '{}' stands twice", e.rule.escape_debug()),
                    "findings name the rule that excused them",
                );
            }
        }
        for (i, w) in it.waivers.iter().enumerate() {
            if w.reason.trim().is_empty() {
                doc.problem(place!["waivers", i, "reason"], "the reason is empty", "a waiver is somebody's answer for a failure");
            }
            if w.check == IdPattern::Begins(String::new()) {
                doc.problem(place!["waivers", i, "check"], "a waiver of every check waives the test", "name the check or its family");
            }
        }
        if it.store != Store::Full {
            doc.problem(
                place!["store"],
                "only \"full\" is built yet",
                "leave it out; `overhear purge --raw` erases the packets of a run that is over",
            );
        }
        if it.tls.suites.is_empty() {
            doc.problem(place!["tls", "suites"], "no suite is agreed", "leave the list out for the shipped one");
        }
        let mut never_attack = if it.never_attack_defaults { defaults::never_attack() } else { Vec::new() };
        never_attack.extend(it.never_attack);
        let mut exceptions = it.exceptions;
        if it.exception_defaults {
            for shipped in defaults::exceptions() {
                if !exceptions.iter().any(|e| e.rule == shipped.rule) {
                    exceptions.push(shipped);
                }
            }
        }
        doc.end(Policy {
            label: it.label,
            profile,
            scope: it.scope,
            authorisation: it.authorisation,
            accounts: it.accounts,
            retention_days: it.retention_days,
            store: it.store,
            thresholds,
            n,
            never_attack,
            own: it.own,
            exceptions,
            waivers: it.waivers,
            tls: it.tls,
            strict: it.strict,
            pins_required: it.pins_required,
            item: it.item,
            lab: it.lab,
        })
    }

    /// What `analyze` judges by without a policy file: the default profile, passive only.
    pub fn default_analyze() -> Policy {
        Policy::of(profile::default())
    }

    /// What `lab` judges by without a policy file: as `analyze`, but authorised by itself, because the lab is closed and the device its own.
    pub fn default_lab() -> Policy {
        let authorisation =
            Authorisation { owner: "the operator".to_owned(), reference: "closed lab".to_owned(), by: "overhear lab".to_owned() };
        Policy { authorisation: Some(authorisation), ..Policy::of(profile::default()) }
    }

    /// A profile with the shipped defaults.
    pub fn of(profile: Profile) -> Policy {
        Policy {
            label: String::new(),
            scope: Scope::default(),
            authorisation: None,
            accounts: Accounts::default(),
            retention_days: None,
            store: Store::default(),
            thresholds: profile.thresholds,
            n: profile.n,
            never_attack: defaults::never_attack(),
            own: Vec::new(),
            exceptions: defaults::exceptions(),
            waivers: Vec::new(),
            tls: TlsTerms::default(),
            strict: Vec::new(),
            pins_required: Vec::new(),
            item: Item::default(),
            lab: Lab::default(),
            profile,
        }
    }

    /// Why a peer must be left alone, if it must.
    pub fn spares(&self, host: &str, port: u16) -> Option<&str> {
        let named = self.never_attack.iter().find(|n| n.peers.iter().any(|p| p.matches(host, port)));
        named.map(|n| n.reason.as_str())
    }

    /// Whether an attack on this peer, met at these addresses, is allowed at all: authorised, in scope, not spared. A peer is in scope by its
    /// name or by an address, and spared by either. `Err` says why not, in machine-readable words.
    pub fn may_attack(&self, host: &str, port: u16, servers: &[IpAddr]) -> Result<(), &'static str> {
        let met = || servers.iter().map(ToString::to_string);
        if self.authorisation.is_none() {
            Err("no-authorisation")
        } else if !self.scope.has_peer(host, port) && !met().any(|ip| self.scope.has_peer(&ip, port)) {
            Err("out-of-scope")
        } else if self.spares(host, port).is_some() || met().any(|ip| self.spares(&ip, port).is_some()) {
            Err("never-attack")
        } else {
            Ok(())
        }
    }

    /// Whether no peer of that name (or address, of one without) may be attacked, at whatever address it was met.
    pub fn forbids(&self, host: &str, port: u16) -> bool {
        // A scope of addresses may hold one that the name had.
        let by_name = self.scope.peers.iter().all(|p| !matches!(p.host, crate::Host::Addr(_) | crate::Host::Net(..)));
        let nameless = host.parse::<IpAddr>().is_ok();
        let out_of_scope = (by_name || nameless) && !self.scope.has_peer(host, port);
        self.authorisation.is_some() && (out_of_scope || self.spares(host, port).is_some())
    }

    /// Whether messages may be replayed towards this server.
    pub fn owns(&self, host: &str, port: u16) -> bool {
        self.own.iter().any(|p| p.matches(host, port))
    }

    /// Exceptions that may excuse this check on this peer; whether one does depends on its content condition.
    pub fn exceptions_for<'a>(&'a self, check: &'a str, host: &'a str, port: u16) -> impl Iterator<Item = &'a Exception> {
        self.exceptions.iter().filter(move |e| e.covers(check, host, port))
    }

    /// The waiver that holds for a failure at `now`.
    pub fn waiver(&self, check: &str, peer: Option<(&str, u16)>, now: Time) -> Option<&Waiver> {
        self.waivers.iter().find(|w| w.holds(check, peer, now))
    }
}

/// A quoted or bare TOML date (its last moment, UTC), or a full time.
fn day_or_time<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
    struct Day;
    impl<'de> Visitor<'de> for Day {
        type Value = Time;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a day such as 2026-12-31 or an RFC 3339 time")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
            let whole = if text.len() == 10 { Time::parse(&format!("{text}T23:59:59.999999999Z")) } else { Time::parse(text) };
            whole.ok_or_else(|| E::custom(format!("'{}' is not a day such as 2026-12-31, nor an RFC 3339 time", text.escape_debug())))
        }

        /// How the toml crate hands a bare date over.
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Time, A::Error> {
            match map.next_entry::<String, String>()? {
                Some((_, text)) => self.visit_str(&text),
                None => Err(A::Error::custom("expected a day or a time")),
            }
        }
    }
    d.deserialize_any(Day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn policy(body: &str) -> Policy {
        Policy::parse("p.toml", &format!("schema = \"overhear/policy/1\"\n{body}")).unwrap()
    }

    #[test]
    fn attacks_need_authorisation_scope_and_mercy() {
        assert_eq!(Policy::default_analyze().may_attack("shop.test", 443, &[]), Err("no-authorisation"));
        assert_eq!(Policy::default_lab().may_attack("shop.test", 443, &[]), Ok(()));
        let p = policy(
            "[scope]\npeers = [\"*.test\"]\n[authorisation]\nowner = \"o\"\nreference = \"r\"\nby = \"b\"\n[[never_attack]]\npeers = [\"pay.test\"]\nreason = \"a real card\"\n",
        );
        for (host, port, expect) in [
            ("shop.test", 443, Ok(())),
            ("shop.example", 443, Err("out-of-scope")),
            ("PAY.test", 443, Err("never-attack")),
            ("shop.test", 7275, Err("never-attack")), // SUPL: emergency location
        ] {
            assert_eq!(p.may_attack(host, port, &[]), expect, "{host}:{port}");
        }
        let p = policy(
            "[scope]\npeers = [\"*.test\", \"192.0.2.0/24\"]\n[authorisation]\nowner = \"o\"\nreference = \"r\"\nby = \"b\"\n[[never_attack]]\npeers = [\"198.51.100.0/24\"]\nreason = \"not ours\"\n",
        );
        for (host, server, expect) in [
            ("shop.test", "203.0.113.1", Ok(())),
            ("shop.test", "198.51.100.9", Err("never-attack")),
            ("shop.example", "192.0.2.7", Ok(())),
            ("shop.example", "203.0.113.1", Err("out-of-scope")),
        ] {
            assert_eq!(p.may_attack(host, 443, &[server.parse().unwrap()]), expect, "{host} at {server}");
        }
        // What nobody may attack, whatever its addresses: of names a scope of addresses says nothing.
        for (host, forbidden) in [
            ("shop.test", false),
            ("shop.example", false),
            ("203.0.113.1", true),
            ("192.0.2.7", false),
            ("198.51.100.9", true),
            ("www.paypal.com", true),
        ] {
            assert_eq!(p.forbids(host, 443), forbidden, "{host}");
        }
        let names = policy("[scope]\npeers = [\"*.test\"]\n[authorisation]\nowner = \"o\"\nreference = \"r\"\nby = \"b\"\n");
        assert!(names.forbids("shop.example", 443) && !names.forbids("shop.test", 443));
        assert!(!Policy::default_analyze().forbids("www.paypal.com", 443), "a passive run attacks nobody");
        assert!(p.spares("www.paypal.com", 443).is_some());
        assert!(policy("never_attack_defaults = false\n").never_attack.is_empty());
        assert!(!p.owns("shop.test", 443));
    }

    #[test]
    fn a_profile_gives_what_a_file_leaves_out() {
        let p = policy("profile = \"ts103732\"\n[n]\nhigh = 7\n");
        assert_eq!((p.n.critical, p.n.high, p.n.info), (5, 7, 1));
        assert_eq!(Policy::default_analyze().n, Repeats::default());
    }

    #[test]
    fn exceptions_and_waivers() {
        let p = policy(
            "[[waivers]]\ncheck = \"dns.*\"\nsubject = \"a.test\"\nreason = \"r\"\nuntil = \"1970-01-02\"\n[[waivers]]\ncheck = \"leak.dhcp-identity\"\nsubject = \"*\"\nreason = \"r\"\nuntil = 1970-01-02\n",
        );
        let rules = |check, host| p.exceptions_for(check, host, 80).map(|e| e.rule.clone()).collect::<Vec<_>>();
        assert_eq!(
            rules("channel.cleartext-http", "captive.apple.com"),
            ["connectivity-probe", "revocation-fetch", "signed-update-over-http"]
        );
        assert_eq!(rules("channel.cleartext-http", "shop.test"), ["revocation-fetch", "signed-update-over-http"]);
        assert!(rules("leak.credential-cleartext", "captive.apple.com").is_empty());
        let probe = p.exceptions.iter().find(|e| e.rule == "connectivity-probe").unwrap();
        assert!(probe.covers_path("/generate_204") && probe.covers_path("/"));
        assert!(!probe.covers_path("/generate_204/x") && !probe.covers_path("/x/generate_204"));
        let (last, late) = (Time(2 * 86_400_000_000_000 - 1), Time(2 * 86_400_000_000_000));
        for (check, peer, now, expect) in [
            ("dns.cleartext", Some(("a.test", 53)), last, true),
            ("dns.cleartext", Some(("a.test", 53)), late, false),
            ("dns.cleartext", Some(("b.test", 53)), last, false),
            ("dns.cleartext", None, last, false),
            ("leak.dhcp-identity", None, last, true),
        ] {
            assert_eq!(p.waiver(check, peer, now).is_some(), expect, "{check} {peer:?}");
        }
    }
}
