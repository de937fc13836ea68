//! The maker's statement of what the device does on a network, ETSI's IXIT (`overhear/declaration/1`).
//!
//! A conformity test compares a statement with what is seen; without one, "as declared" cannot be decided, only shown.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::{Document, Step, place};
use crate::{Host, IdentifierType, Problem};

/// What the maker states. Empty lists mean *nothing stated*; an explicit statement of "none" has a field of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Overhear declaration")]
pub struct Declaration {
    #[schemars(required, with = "Schema")]
    schema: Option<Schema>,
    /// Who states it, for which item and version; printed.
    pub label: String,
    /// Communication mechanisms (IXIT 11-ComMech, V2.1.1: 11-SecComMech).
    pub channels: Vec<Channel>,
    /// `true` states that the channels are all there are: only then is another end point a failure.
    pub channels_complete: bool,
    /// End points whose certificate or key is pinned.
    pub pins: Vec<Pin>,
    /// Update mechanisms (IXIT 7-UpdMech).
    pub updates: Vec<Update>,
    /// Services the device itself offers on the network (IXIT 13-SoftServ, 15-Intf).
    pub services: Vec<Service>,
    /// Telemetry (IXIT 24-TelData).
    pub telemetry: Vec<Telemetry>,
    /// Sensing abilities (EN 303 645 provision 5.8-3).
    pub sensors: Vec<Sensor>,
    /// Components and times that are stated to be silent on the network.
    pub silent: Vec<Silent>,
    pub dns: Dns,
    /// What local discovery and address configuration show.
    pub local: Local,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum Schema {
    #[serde(rename = "overhear/declaration/1")]
    V1,
}

/// One way the device talks to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    pub name: String,
    pub peers: Vec<Host>,
    /// Empty: any port.
    #[serde(default)]
    pub ports: Vec<u16>,
    pub protocol: Protocol,
    /// What it is for; printed.
    pub purpose: String,
    #[serde(default)]
    pub guarantees: Vec<Guarantee>,
    /// Personal values stated to travel on it.
    #[serde(default)]
    pub carries: Vec<IdentifierType>,
    /// Who runs the other side.
    #[serde(default)]
    pub party: Party,
}

/// The protocol of a channel, as it can be told on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP over TLS over TCP.
    Https,
    /// HTTP/3.
    Http3,
    /// Either of the two.
    HttpsOrHttp3,
    Http,
    /// TLS with something else inside.
    Tls,
    Dtls,
    Quic,
    Mqtt,
    Mqtts,
    Dns,
    /// DNS over TLS.
    Dot,
    /// DNS over HTTPS.
    Doh,
    Ntp,
    /// IKEv2 and ESP.
    Ipsec,
    Wireguard,
    Sip,
    Rtp,
    Srtp,
    Other,
}

impl Protocol {
    /// Whether the protocol itself promises confidentiality and a checked peer.
    pub fn is_protected(self) -> bool {
        !matches!(self, Protocol::Http | Protocol::Mqtt | Protocol::Dns | Protocol::Ntp | Protocol::Sip | Protocol::Rtp | Protocol::Other)
    }
}

/// A security guarantee, in the words of TS 103 701's IXIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    Confidentiality,
    Integrity,
    PeerAuthenticity,
    DeviceAuthenticity,
    ReplayProtection,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The maker, or who works for the maker under contract.
    #[default]
    First,
    Third,
}

/// A statement that these end points are pinned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub peers: Vec<Host>,
    /// Base64 SHA-256 of the accepted SubjectPublicKeyInfo values (as in RFC 7469), where stated.
    #[serde(default)]
    pub spki: Vec<String>,
}

/// One update mechanism.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    pub name: String,
    pub hosts: Vec<Host>,
    pub transport: Transport,
    pub signature: Signature,
    /// Longest time from start-up to the first check, in minutes.
    #[serde(default)]
    pub check_after_start_minutes: Option<u32>,
    /// Longest time between checks, in hours.
    #[serde(default)]
    pub check_every_hours: Option<u32>,
    /// Identifiers that an update check carries.
    #[serde(default)]
    pub identifiers: Vec<IdentifierType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Manifest and payload over TLS.
    Tls,
    /// Manifest over TLS, payload in the clear.
    TlsManifest,
    Clear,
}

/// What is signed, and checked by the device against a key it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    Payload,
    Manifest,
    Both,
    None,
}

/// A service the device offers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub name: String,
    pub port: u16,
    /// `tcp` unless stated.
    #[serde(default)]
    pub udp: bool,
    pub purpose: String,
    /// How its users are authenticated; empty: not at all.
    #[serde(default)]
    pub authentication: String,
}

/// One kind of telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub name: String,
    pub peers: Vec<Host>,
    pub purpose: String,
    #[serde(default)]
    pub identifiers: Vec<IdentifierType>,
    /// Sent only after the user agreed.
    #[serde(default)]
    pub after_consent: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    pub name: String,
    /// Whether what it senses leaves the device.
    #[serde(default)]
    pub leaves_device: bool,
}

/// A component or a time in which nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silent {
    /// The kind of event (see events) during which it is silent, for example `enrol`.
    pub during: String,
    /// Peers that may be talked to all the same.
    #[serde(default)]
    pub except: Vec<Host>,
}

/// What is claimed about name resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    pub claim: DnsClaim,
    /// Resolvers used besides those the network hands out.
    pub resolvers: Vec<Host>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsClaim {
    /// Nothing is said about encryption.
    #[default]
    NotStated,
    /// In the clear.
    Clear,
    /// Encrypted where the network's resolver offers it, in the clear otherwise.
    Opportunistic,
    /// Always encrypted to a checked resolver, or no resolution.
    Strict,
}

/// What local discovery and address configuration are stated to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// Host names sent in DHCP; `*` at the end stands for any rest (`Android_*`). Empty and not stated: none is expected to tell anything.
    pub dhcp_names: Vec<String>,
    /// Service types announced (mDNS `_googlecast._tcp`, SSDP device types).
    pub discovery: Vec<String>,
    /// Identifiers shown in discovery on purpose.
    pub identifiers: Vec<IdentifierType>,
}

impl Declaration {
    pub fn parse(file: &str, text: &str) -> Result<Declaration, Vec<Problem>> {
        let (mut doc, it) = Document::read::<Declaration>(file, text)?;
        if it.schema.is_none() {
            doc.problem(place![], "the file does not say what it is", "begin with schema = \"overhear/declaration/1\"");
        }
        for (i, c) in it.channels.iter().enumerate() {
            hosts(&mut doc, &c.peers, place!["channels", i, "peers"]);
            if let Some(n) = c.ports.iter().position(|p| *p == 0) {
                doc.problem(place!["channels", i, "ports", n], "0 is not a port", "leave the list empty for any port");
            }
            if !c.protocol.is_protected() && c.guarantees.contains(&Guarantee::Confidentiality) && c.protocol != Protocol::Other {
                doc.problem(
                    place!["channels", i, "guarantees"],
                    "this protocol is in the clear: it cannot guarantee confidentiality",
                    "state the protocol that protects it",
                );
            }
            if it.channels.iter().take(i).any(|e| e.name == c.name) {
                doc.problem(place!["channels", i, "name"], format!("the channel '{}' is stated twice", c.name.escape_debug()), "");
            }
        }
        for (i, p) in it.pins.iter().enumerate() {
            hosts(&mut doc, &p.peers, place!["pins", i, "peers"]);
            for (n, spki) in p.spki.iter().enumerate() {
                if spki.len() != 44
                    || !spki.ends_with('=')
                    || !spki.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
                {
                    doc.problem(place!["pins", i, "spki", n], "this is not a SHA-256 in base64", "44 characters, as RFC 7469 writes pins");
                }
            }
        }
        for (i, u) in it.updates.iter().enumerate() {
            hosts(&mut doc, &u.hosts, place!["updates", i, "hosts"]);
        }
        for (i, t) in it.telemetry.iter().enumerate() {
            hosts(&mut doc, &t.peers, place!["telemetry", i, "peers"]);
        }
        for (i, s) in it.silent.iter().enumerate() {
            if crate::EventKind::parse(&s.during).is_none() {
                doc.problem(
                    place!["silent", i, "during"],
                    "this is not a kind of event",
                    "a word of small letters and hyphens, for example enrol or app:mail",
                );
            }
        }
        for (i, s) in it.services.iter().enumerate() {
            if s.port == 0 {
                doc.problem(place!["services", i, "port"], "0 is not a port", "");
            }
        }
        doc.end(it)
    }

    /// Every stated channel that covers this end point, by name or address in text form.
    pub fn channels_for<'a>(&'a self, host: &'a str, port: u16) -> impl Iterator<Item = &'a Channel> {
        self.channels.iter().filter(move |c| c.covers(host, port))
    }

    /// Whether the end point is stated anywhere: as a channel, an update host, telemetry, or a resolver on a DNS port.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let any = |hosts: &[Host]| hosts.iter().any(|h| h.matches(host));
        self.channels_for(host, port).next().is_some()
            || self.updates.iter().any(|u| any(&u.hosts))
            || self.telemetry.iter().any(|t| any(&t.peers))
            || (matches!(port, 53 | 443 | 853) && any(&self.dns.resolvers))
    }

    /// Whether these hosts are stated to be pinned.
    pub fn pinned(&self, host: &str) -> bool {
        self.pins.iter().any(|p| p.peers.iter().any(|h| h.matches(host)))
    }

    /// Whether a host stands beside or below one that is stated to be pinned, and is not stated itself: `cdn.maker.test` and
    /// `eu.api.maker.test` beside `api.maker.test`. What a registry's own suffix is, is not known here; a pin right below one has
    /// strangers for siblings.
    pub fn beside_pin(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        if self.pinned(host) || host.parse::<std::net::IpAddr>().is_ok() {
            return false;
        }
        let names = self.pins.iter().flat_map(|p| &p.peers).filter_map(|h| match h {
            Host::Name(name) | Host::Below(name) => Some(name.as_str()),
            _ => None,
        });
        let is_or_below = |top: &str| Host::Name(top.to_owned()).matches(host) || Host::Below(top.to_owned()).matches(host);
        names.into_iter().any(|name| {
            // A parent of one label is a whole top-level domain.
            let parent = name.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
            is_or_below(parent.unwrap_or(name))
        })
    }

    /// The update mechanism a host belongs to.
    pub fn update_for(&self, host: &str) -> Option<&Update> {
        self.updates.iter().find(|u| u.hosts.iter().any(|h| h.matches(host)))
    }

    /// Whether a DHCP host name is one of those stated.
    pub fn states_dhcp_name(&self, name: &str) -> bool {
        self.local.dhcp_names.iter().any(|own| match own.strip_suffix('*') {
            Some(start) => name.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start)),
            None => own.eq_ignore_ascii_case(name),
        })
    }
}

impl Channel {
    pub fn covers(&self, host: &str, port: u16) -> bool {
        (self.ports.is_empty() || self.ports.contains(&port)) && self.peers.iter().any(|h| h.matches(host))
    }
}

fn hosts(doc: &mut Document<'_>, list: &[Host], at: &[Step<'_>]) {
    if list.is_empty() {
        doc.problem(at, "no host is named", "an end point, *.suffix or address");
    }
    for (n, host) in list.iter().enumerate() {
        if host.is_too_wide() {
            let path: Vec<Step<'_>> = at.iter().copied().chain([Step::from(n)]).collect();
            doc.problem(
                &path,
                format!("'{host}' covers nearly everything: a statement with it states nothing"),
                "name the domains that are meant",
            );
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    const TEXT: &str = r#"
schema = "overhear/declaration/1"
label = "Phone X, build 7"
channels_complete = true
[[channels]]
name = "account"
peers = ["api.maker.test", "*.cdn.maker.test"]
ports = [443]
protocol = "https"
purpose = "account and settings"
guarantees = ["confidentiality", "integrity", "peer-authenticity"]
[[channels]]
name = "time"
peers = ["192.0.2.0/24"]
protocol = "ntp"
purpose = "clock"
[[updates]]
name = "system"
hosts = ["ota.maker.test"]
transport = "tls-manifest"
signature = "both"
[[pins]]
peers = ["api.maker.test"]
[dns]
claim = "opportunistic"
resolvers = ["198.51.100.53"]
[local]
dhcp_names = ["Phone-X", "Android_*"]
"#;

    #[test]
    fn covers() {
        let d = Declaration::parse("d.toml", TEXT).unwrap();
        for (host, port, expect) in [
            ("api.maker.test", 443, true),
            ("API.maker.test.", 443, true),
            ("api.maker.test", 80, false),
            ("maker.test", 443, false),
            ("a.b.cdn.maker.test", 443, true),
            ("cdn.maker.test", 443, false),
            ("xcdn.maker.test", 443, false),
            ("192.0.2.9", 123, true),
            ("192.0.3.9", 123, false),
            ("ota.maker.test", 8080, true),
            ("198.51.100.53", 853, true),
            ("198.51.100.53", 80, false),
            ("tracker.test", 443, false),
        ] {
            assert_eq!(d.covers(host, port), expect, "{host}:{port}");
        }
        assert!(d.pinned("api.maker.test") && !d.pinned("x.api.maker.test"));
        for (host, expect) in [
            ("api.maker.test", false),
            ("x.api.maker.test", true),
            ("CDN.maker.test.", true),
            ("eu.cdn.maker.test", true),
            ("maker.test", true),
            ("evilmaker.test", false),
            ("other.test", false),
            ("192.0.2.7", false),
        ] {
            assert_eq!(d.beside_pin(host), expect, "{host}");
        }
        assert_eq!(d.update_for("ota.maker.test").map(|u| u.signature), Some(Signature::Both));
        for (name, expect) in [("phone-x", true), ("android_1f", true), ("Anna's phone", false), ("Andro", false)] {
            assert_eq!(d.states_dhcp_name(name), expect, "{name}");
        }
    }

    #[track_caller]
    fn problems(body: &str, expect: &[&str]) {
        let got = Declaration::parse("d.toml", &format!("schema = \"overhear/declaration/1\"\n{body}")).unwrap_err();
        let got: Vec<String> = got.iter().map(ToString::to_string).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let channel = |rest: &str| format!("[[channels]]\nname = \"a\"\npurpose = \"p\"\n{rest}");
        problems(
            &channel("protocol = \"https\"\npeers = [\"a.test\", \"*.com\"]\n"),
            &["d.toml:6:20: '*.com' covers nearly everything: a statement with it states nothing (name the domains that are meant)"],
        );
        problems(
            &channel("protocol = \"http\"\npeers = [\"a.test\"]\nguarantees = [\"confidentiality\"]\n"),
            &["d.toml:7:14: this protocol is in the clear: it cannot guarantee confidentiality (state the protocol that protects it)"],
        );
        problems(
            &channel("protocol = \"https\"\npeers = [\"a b\"]\n"),
            &["d.toml:6:9: 'a b' is not a host name, *.suffix, address or address/bits"],
        );
        problems(
            "[[pins]]\npeers = [\"a.test\"]\nspki = [\"abc\"]\n",
            &["d.toml:4:9: this is not a SHA-256 in base64 (44 characters, as RFC 7469 writes pins)"],
        );
        problems(
            "[[silent]]\nduring = \"En Rol\"\n",
            &["d.toml:3:10: this is not a kind of event (a word of small letters and hyphens, for example enrol or app:mail)"],
        );
        problems(
            "colour = 1\n",
            &[
                "d.toml:2:1: unknown field `colour`, expected one of `schema`, `label`, `channels`, `channels_complete`, `pins`, `updates`, `services`, `telemetry`, `sensors`, `silent`, `dns`, `local`",
            ],
        );
        assert_eq!(
            Declaration::parse("d.toml", "label = \"x\"").unwrap_err().first().map(ToString::to_string).as_deref(),
            Some("d.toml:1:1: the file does not say what it is (begin with schema = \"overhear/declaration/1\")")
        );
    }
}
