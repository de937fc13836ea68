//! Facts. An observation says what was seen; whether that is good or bad is a check's business.
//!
//! Every kind has a `key()`: the part that checks judge (version × suite, never time or frame). A [`Case`](crate::case::Case) keeps
//! distinct keys only, so a key must hold all a check reads and nothing that merely counts.
//!
//! Long, for every kind of fact stands here with its key: this file is what a journal can say.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use policies::Phase;
use policies::{IdentifierType, Severity, Time};
use serde::{Deserialize, Serialize};

use crate::chunk::{Layer, Lost};
use crate::dissect::http::secrets::{KNOWN_SCHEME, UNKNOWN_SCHEME};
use crate::encode::Digest;
use crate::flow::{Close, Counts, Dir, FlowEnd, FlowId, Mac, Transport};
use crate::journal::LineNo;
use crate::subject::{Actor, ClientClass, DeviceId, Peer};
use crate::text::{Text, Veil};

/// A kind of observation: its word in the journal, and the part of it that checks judge.
pub trait Kind: Clone + std::fmt::Debug {
    /// What a case keeps; equal keys are one fact.
    type Key: Clone + std::fmt::Debug + PartialEq + Eq + std::hash::Hash;
    const WORD: &'static str;
    /// Its place in tables that hold one entry per kind.
    const INDEX: usize;
    fn key(&self) -> Self::Key;
    /// How much a fact says; a case has room for each rank.
    fn rank(_: &Self::Key) -> Rank {
        Rank::Usual
    }
}

/// How much a fact says by itself: what says less takes no room from what says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Usual,
    /// A protocol says that a value is a credential.
    Credential,
    /// A planted value was found.
    Proof,
}

impl Rank {
    pub const COUNT: usize = 3;

    /// That of a find. `authorizes`: it stands in the field that does so in HTTP.
    pub(crate) fn of_hit(kind: IdentifierType, grade: Grade, authorizes: bool, chain_has: impl Fn(&str) -> bool) -> Rank {
        let is_token = || chain_has(KNOWN_SCHEME) || authorizes && !chain_has(UNKNOWN_SCHEME);
        match (grade, kind) {
            (Grade::Proof, _) => Rank::Proof,
            (_, IdentifierType::Password) => Rank::Credential,
            (_, kind) if kind != IdentifierType::UserName && is_token() => Rank::Credential,
            _ => Rank::Usual,
        }
    }
}

/// Declares the enum of all observations and, for each, its word and its key.
macro_rules! observations {
    ($( $(#[$doc:meta])* $variant:ident / $word:literal => $key:ty = |$it:ident| $make:expr $(, $rank:path)?; )*) => {
        /// The kinds by number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Tag { $( $variant, )* }

        /// How many kinds there are.
        pub const KINDS: usize = [ $( Tag::$variant, )* ].len();

        /// One fact, of any kind.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Observation { $( $(#[$doc])* $variant($variant), )* }

        impl Observation {
            /// The word this kind has in the journal.
            pub fn word(&self) -> &'static str {
                match self { $( Observation::$variant(_) => $word, )* }
            }
        }

        $(
            impl From<$variant> for Observation {
                fn from(it: $variant) -> Observation { Observation::$variant(it) }
            }
            impl Kind for $variant {
                type Key = $key;
                const WORD: &'static str = $word;
                const INDEX: usize = Tag::$variant as usize;
                fn key(&self) -> $key { let $it = self; $make }
                $( fn rank(key: &$key) -> Rank { $rank(key) } )?
            }
        )*

        /// Calls `$apply!(Variant)` for every kind: for code that treats all kinds alike.
        macro_rules! for_each_kind { ($apply:ident) => { $apply! { $($variant),* } } }
        pub(crate) use for_each_kind;
    };
}

observations! {
    /// The first line of a run.
    Run / "run" => Run = |it| it.clone();
    Input / "input" => Input = |it| it.clone();
    Planted / "planted" => Planted = |it| it.clone();
    Device / "device" => DeviceId = |it| it.id;
    Neighbour / "neighbour" => Neighbour = |it| it.clone();
    Bound / "bound" => Bound = |it| it.clone();
    Flow / "flow" => FlowFact = |it| it.fact();
    Hello / "hello" => HelloFact = |it| it.fact();
    Served / "served" => ServedFact = |it| it.fact();
    Certificate / "certificate" => Digest = |it| it.sha256;
    Reaction / "reaction" => ReactionFact = |it| it.fact();
    Request / "request" => RequestFact = |it| it.fact();
    Question / "question" => QuestionFact = |it| it.fact();
    Lease / "lease" => Lease = |it| it.clone();
    Announcement / "announcement" => Announcement = |it| it.clone();
    Hit / "hit" => HitFact = |it| it.fact(), HitFact::rank;
    Update / "update" => Update = |it| it.clone();
    Treatment / "treatment" => TreatmentFact = |it| it.fact();
    Trial / "trial" => Trial = |it| it.clone();
    Standing / "standing" => Standing = |it| it.clone();
    Event / "event" => Event = |it| it.clone();
    Activity / "activity" => Activity = |it| it.clone();
    Presence / "presence" => Presence = |it| it.clone();
    Missed / "missed" => MissedFact = |it| MissedFact { why: it.why };
    Undecrypted / "undecrypted" => UndecryptedFact = |it| UndecryptedFact { protocol: it.protocol, reason: it.reason, choice_unseen: it.choice_unseen };
    Unparsed / "unparsed" => UnparsedFact = |it| UnparsedFact { what: it.what, reason: it.reason, layer: it.layer };
    Odd / "odd" => OddKind = |it| it.what;
    InCapture / "in-capture" => InCapture = |it| it.clone();
    Ledger / "ledger" => Ledger = |it| it.clone();
    Revealed / "revealed" => Revealed = |it| it.clone();
    Purged / "purged" => Purged = |it| it.clone();
}

/// Where a run came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    Capture,
    Live,
    Lab,
}

/// How a live run stood between device and Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    Transparent,
    Explicit,
    Memory,
}

impl RunMode {
    /// Whatever a device sends comes by: not only what it hands to a proxy, or a toy to a pipe.
    pub fn sees_all(self) -> bool {
        self == RunMode::Transparent
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// `overhear/journal/1`.
    pub schema: Text,
    pub tool: Text,
    pub version: Text,
    pub kind: RunKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RunMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Text>,
    pub policy_sha256: Digest,
    pub catalogue_sha256: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration_sha256: Option<Digest>,
    /// A word that the project's key gives: runs with another one were made with another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Text>,
    /// Attacks selected for this run, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<Text>,
    #[serde(default, skip_serializing_if = "Asked::is_nothing")]
    pub asked: Asked,
}

/// What the operator asked for beside policy and declaration, as far as it decides what the run's report says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// Attacks named one by one: they are needed whatever the profile says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<policies::Severity>,
    /// What is undecided was only to be warned of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warn: bool,
    /// The fails of another report were excused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub baseline: bool,
    /// Rows per list of the report, where not the usual number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// A key log and a file of actors were given beside the capture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keylog: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub actors: bool,
}

impl Asked {
    fn is_nothing(&self) -> bool {
        *self == Asked::default()
    }
}

/// A capture file, written when it has been read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Input {
    pub path: Text,
    #[serde(default)]
    pub sha256: Option<Digest>,
    pub bytes: u64,
    pub packets: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
    pub link_types: Vec<Text>,
    /// The file ended inside a packet or block.
    pub truncated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
    /// Frames whose link type is not read, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Tally>,
    /// Packets the capturing kernel said it dropped, when the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Frames that may have held packets and could not be followed to any: link types that are not read, broken and cut headers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unfollowed: u64,
    /// Secrets in the file (DSB) and from a key log; those that came after the packets they open.
    #[serde(default)]
    pub secrets: u64,
    #[serde(default)]
    pub late_secrets: u64,
}

impl Input {
    /// Damaged before its end.
    pub fn is_damaged(&self) -> bool {
        self.damage.len() > usize::from(self.truncated)
    }

    /// Whether more packets than so many percent are missing or were not followed; damage in the middle of a file may have cost any number.
    pub fn loses_more_than(&self, percent: f64) -> bool {
        let lost = self.dropped.unwrap_or(0) + self.unfollowed;
        let sent = self.packets + self.dropped.unwrap_or(0);
        self.is_damaged() || lost as f64 * 100.0 > percent * sent as f64
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Damage {
    /// Byte offset in the (decompressed) input.
    pub offset: u64,
    pub what: Text,
}

/// How often something was counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tally {
    pub name: Text,
    pub count: u64,
}

/// A persona value that was looked for: its name and type, never the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Planted {
    pub name: Text,
    pub kind: IdentifierType,
    /// HMAC of the value under the project key, as printed in masks.
    pub token: Text,
}

/// A device, when first seen and again when an address is learned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    pub id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Text>,
    pub macs: Vec<LinkAddress>,
    pub ips: Vec<IpAddr>,
    /// The operator named it (`--device`), or it was paired.
    pub named: bool,
}

/// A link address as it is written down: as it is, or masked where it is a planted value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkAddress {
    Plain(Mac),
    Masked(Text),
}

impl LinkAddress {
    /// The address, unless it is masked.
    pub fn mac(&self) -> Option<Mac> {
        match self {
            LinkAddress::Plain(mac) => Some(*mac),
            LinkAddress::Masked(_) => None,
        }
    }

    /// Masked, if the veil hides any of it.
    pub fn veiled(self, veil: &dyn Veil) -> LinkAddress {
        let LinkAddress::Plain(mac) = self else { return self };
        let (text, mut spans) = (mac.to_string(), Vec::new());
        veil.spans(text.as_bytes(), &mut spans);
        if spans.is_empty() { self } else { LinkAddress::Masked(Text::veiled(text.as_bytes(), veil)) }
    }
}

impl From<Mac> for LinkAddress {
    fn from(mac: Mac) -> LinkAddress {
        LinkAddress::Plain(mac)
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkAddress::Plain(mac) => mac.fmt(f),
            LinkAddress::Masked(text) => f.pad(text.as_str()),
        }
    }
}

impl Serialize for LinkAddress {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LinkAddress {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<LinkAddress, D::Error> {
        let text = Text::deserialize(d)?;
        Ok(Mac::parse(text.as_str()).map_or(LinkAddress::Masked(text), LinkAddress::Plain))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourSource {
    Arp,
    Nd,
    Dhcp,
}

/// A link address bound to an IP address by ARP, ND or DHCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Neighbour {
    pub mac: LinkAddress,
    pub ip: IpAddr,
    pub source: NeighbourSource,
}

/// How a flow's device was told (architecture: *Which side is the device*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribution {
    /// As the operator said.
    Told,
    /// The side that sent the SYN, ClientHello, request or question.
    Opener,
    /// Mid-stream: the private or link-local side.
    Private,
    None,
}

/// Who a flow is about: one line per flow, before its first fact that carries application meaning, else at close.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bound {
    /// Filled by the [`Scribe`](crate::scribe::Scribe).
    #[serde(default)]
    pub device: Option<DeviceId>,
    pub attribution: Attribution,
    /// Which side is the device.
    #[serde(default)]
    pub side: Option<Dir>,
    pub peer: Peer,
    /// How the peer's name is known: `sni`, `http-host`, `dns`, `quic-sni`, …; absent without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_by: Option<NameSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientClass>,
    pub actor: Actor,
    /// The operator named devices, and this flow is none of theirs as far as can be told: nothing is judged of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameSource {
    Sni,
    QuicSni,
    HttpHost,
    Dns,
    Mdns,
    Llmnr,
    Nbns,
    Ssdp,
    Dhcp,
    Connect,
    Certificate,
}

/// What a flow turned out to carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum App {
    Tls,
    Quic,
    Http,
    Http2,
    Dns,
    Mdns,
    Llmnr,
    Dhcp,
    Ssdp,
    Nbns,
    Snmp,
    /// Bytes were seen and no dissector knew them.
    #[default]
    Unknown,
    /// No payload at all.
    Empty,
}

impl App {
    pub fn word(self) -> &'static str {
        match self {
            App::Tls => "tls",
            App::Quic => "quic",
            App::Http => "http",
            App::Http2 => "http2",
            App::Dns => "dns",
            App::Mdns => "mdns",
            App::Llmnr => "llmnr",
            App::Dhcp => "dhcp",
            App::Ssdp => "ssdp",
            App::Nbns => "nbns",
            App::Snmp => "snmp",
            App::Unknown => "unknown",
            App::Empty => "empty",
        }
    }
}

/// What became of a flow's payload bytes. Every byte is in exactly one of these, or in `Counts::missing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coverage {
    /// Read by a dissector, in clear or decrypted.
    pub analysed: u64,
    /// Encrypted and not opened.
    pub encrypted: u64,
    /// Clear but not understood (still searched for planted values).
    pub unparsed: u64,
}

/// A flow at its close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub transport: Transport,
    pub a: SocketAddr,
    pub b: SocketAddr,
    pub community_id: Text,
    pub app: App,
    pub first: Time,
    pub last: Time,
    #[serde(default)]
    pub first_frame: u64,
    pub counts: Counts,
    pub coverage: Coverage,
    pub end: FlowEnd,
    pub from_start: bool,
    /// Somebody else opened it: the device is at `b`, or what it sends is an error that answers somebody (RFC 792, RFC 4443 §3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called: bool,
    /// A user's app or browser caused it, as somebody knows who tells of this very flow; filled by the [`Scribe`](crate::scribe::Scribe).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub users: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowFact {
    pub transport: Transport,
    pub app: App,
    /// Server port: `b`'s.
    pub port: u16,
    /// Bytes are missing from it, or it was not seen from its start.
    pub incomplete: bool,
    /// Bytes came twice and differed, or what came again could not be compared: the other end may have read something else.
    pub ambiguous: bool,
    pub encrypted: bool,
    pub unparsed: bool,
    pub empty: bool,
    /// Both ends are on the local link (multicast, broadcast, private to private of one block).
    pub local: bool,
    /// Somebody else called the device, and it said nothing, but for what its network stack answers to anybody.
    pub uninvited: bool,
    /// A user's app or browser caused it.
    pub users: bool,
}

impl Flow {
    fn fact(&self) -> FlowFact {
        FlowFact {
            transport: self.transport,
            app: self.app,
            port: self.b.port(),
            incomplete: self.counts.missing != [0, 0] || !self.from_start || self.counts.cut > 0 || self.end == FlowEnd::Evicted,
            ambiguous: self.counts.conflicting > 0 || self.counts.unchecked > 0,
            encrypted: self.coverage.encrypted > 0,
            unparsed: self.coverage.unparsed > 0,
            empty: self.counts.bytes == [0, 0],
            local: on_one_site(self.a.ip(), self.b.ip()),
            uninvited: self.called && (self.counts.bytes[1] == 0 || self.transport == Transport::Icmp),
            users: self.users,
        }
    }
}

/// Whether two addresses may be on one link: both are local, and not private ones of different blocks (RFC 1918 §3), between which there is a router.
fn on_one_site(a: IpAddr, b: IpAddr) -> bool {
    let block = |ip| match ip {
        IpAddr::V4(v4) if v4.is_private() => Some(v4.octets()[0]),
        _ => None,
    };
    let apart = matches!((block(a), block(b)), (Some(a), Some(b)) if a != b);
    is_local(a) && is_local(b) && !apart
}

/// Link-local, private, loopback, multicast or broadcast.
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_multicast() || v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_unique_local()
        }
    }
}

/// A TLS ClientHello, over TCP or in a QUIC Initial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub transport: Transport,
    /// The direction the ClientHello ran in.
    pub dir: Dir,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<Text>,
    /// Versions offered (`supported_versions`, else the legacy field), GREASE removed, in the client's order. 0x0303 is TLS 1.2.
    pub versions: Vec<u16>,
    pub suites: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<Text>,
    pub ja3: Text,
    pub ja4: Text,
    pub class: ClientClass,
    pub grease: bool,
    /// encrypted_client_hello was offered (real or GREASE); the SNI is then an outer name.
    pub ech: bool,
    pub psk: bool,
    pub early_data: bool,
    pub session_ticket: bool,
    /// This is the second ClientHello, after a HelloRetryRequest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// TLS_FALLBACK_SCSV (RFC 7507) was offered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback_scsv: bool,
    /// QUIC version of the Initial, for QUIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic_version: Option<u32>,
    /// Somebody else offers it to the device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_peer: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HelloFact {
    pub transport: Transport,
    pub versions: Vec<u16>,
    pub suites: Vec<u16>,
    pub ja4: Text,
    pub class: ClientClass,
    pub ech: bool,
    /// It names the server.
    pub named: bool,
    /// Somebody else offers it to the device.
    pub by_peer: bool,
    /// It offers DNS (ALPN `dot`, `doq`), or goes to a public resolver.
    pub dns: bool,
}

impl Hello {
    /// It came over QUIC, not over TCP or as DTLS: what JA4 says first.
    pub fn is_quic(&self) -> bool {
        self.ja4.as_str().starts_with('q')
    }

    fn fact(&self) -> HelloFact {
        HelloFact {
            transport: self.transport,
            versions: self.versions.clone(),
            suites: self.suites.clone(),
            named: self.sni.is_some(),
            ja4: self.ja4.clone(),
            class: self.class,
            ech: self.ech,
            by_peer: self.by_peer,
            dns: self.alpn.iter().any(|name| name == "dot" || name == "doq")
                || self.sni.as_ref().is_some_and(|name| is_resolver(name.as_str())),
        }
    }
}

impl HelloFact {
    /// It came over QUIC.
    pub fn is_quic(&self) -> bool {
        self.ja4.as_str().starts_with('q')
    }
}

/// Names of public resolvers that answer over TLS or HTTPS, as browsers and systems ship them.
fn is_resolver(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "dns.google",
        "dns.google.com",
        "dns64.dns.google",
        "one.one.one.one",
        "cloudflare-dns.com",
        "dns.quad9.net",
        "dns.opendns.com",
        "doh.opendns.com",
        "dns.adguard.com",
        "dns.adguard-dns.com",
        "dns.nextdns.io",
        "doh.cleanbrowsing.org",
        "dns.alidns.com",
        "doh.pub",
    ];
    NAMES.iter().any(|known| name.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

/// How a key exchange was done, as far as the wire shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyExchange {
    Ecdhe,
    Dhe,
    /// Static RSA: no forward secrecy.
    Rsa,
    /// Static DH or ECDH.
    StaticDh,
    /// A pre-shared key without (EC)DHE.
    Psk,
    /// A pre-shared key with (EC)DHE.
    PskDhe,
    Anonymous,
    Null,
    Unknown,
}

/// What the server answered: one line per handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub version: u16,
    pub suite: u16,
    pub key_exchange: KeyExchange,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Text>,
    /// A HelloRetryRequest came first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    pub resumed: bool,
    /// SHA-256 of each certificate in order; empty when hidden (TLS 1.3 without keys) or resumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Digest>,
    /// The certificates were there and could not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chain_hidden: bool,
    /// The ClientHello of this handshake was not seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_hello: bool,
    /// The client did not go on: it broke off, where the wire shows that (to TLS 1.2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// The client was seen neither to go on with it nor to break it off (to TLS 1.2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
}

/// Whether a version is older than TLS 1.2, or than DTLS 1.2, which count downwards (RFC 6347 §4.1; 0x0100 is what OpenSSL spoke before).
pub fn is_outdated(version: u16) -> bool {
    match version {
        0x0100 => true,
        0xfe00..=0xfeff => version > 0xfefd,
        _ => version < 0x0303,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServedFact {
    pub version: u16,
    pub suite: u16,
    pub key_exchange: KeyExchange,
    pub resumed: bool,
    pub refused: bool,
    pub unsettled: bool,
}

impl ServedFact {
    /// The client went on with what the server chose, or is taken to have: under TLS 1.3 the wire does not show it.
    pub fn is_taken(&self) -> bool {
        !self.refused && !self.unsettled
    }
}

impl Served {
    fn fact(&self) -> ServedFact {
        ServedFact {
            version: self.version,
            suite: self.suite,
            key_exchange: self.key_exchange,
            resumed: self.resumed,
            refused: self.refused,
            unsettled: self.unsettled,
        }
    }
}

/// A certificate's content: once per run, then by digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    pub sha256: Digest,
    pub len: u32,
    pub subject: Text,
    pub issuer: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Text>,
    #[serde(default)]
    pub not_before: Option<Time>,
    #[serde(default)]
    pub not_after: Option<Time>,
    pub serial: Text,
    /// `rsa-2048`, `ec-p256`, `ed25519`, …
    pub key: Text,
    pub signature: Text,
    pub ca: bool,
    pub self_issued: bool,
    /// What the key may be used for, where the certificate says so: `server`, `client`, …, else OIDs (RFC 5280 §4.2.1.12).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<Text>,
    /// OIDs of critical extensions that RFC 5280 does not define: who does not know one must refuse the certificate (§4.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<Text>,
    /// base64 SHA-256 of the SubjectPublicKeyInfo, for pins.
    pub spki: Text,
    /// What could not be read of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<Text>,
}

/// What the client did after the server's flight (active-testing H.3): from bytes and record lengths alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReactionKind {
    /// Application data followed.
    Data,
    /// A fatal alert, or an encrypted record that can only be one.
    Refused,
    /// It went away, or stayed, without sending anything.
    None,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    pub reaction: ReactionKind,
    #[serde(default)]
    pub alert: Option<u8>,
    /// The alert was encrypted: its code is known only with keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alert_encrypted: bool,
    /// The server's alert, if it sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_alert: Option<u8>,
    pub close: Close,
    /// The handshake was completed by the client (its Finished was seen, or its encrypted stand-in).
    pub finished: bool,
    /// Client application bytes after the handshake: plaintext when decrypted, else record payload (counted to 16 KiB at least).
    pub client_bytes: u64,
    /// They were only the opening of a protocol (HTTP/2 preface and settings), which proves nothing. Known when decrypted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preamble: bool,
    /// Decrypted, rather than judged by record types and lengths.
    pub decrypted: bool,
    /// SHA-256 of each certificate that the client showed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_chain: Vec<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReactionFact {
    pub reaction: ReactionKind,
    pub alert: Option<u8>,
    pub close: Close,
    pub preamble: bool,
}

impl Reaction {
    fn fact(&self) -> ReactionFact {
        ReactionFact { reaction: self.reaction, alert: self.alert, close: self.close, preamble: self.preamble }
    }
}

/// How an HTTP request proved who asks; never the proof itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authorization {
    Basic,
    Bearer,
    Digest,
    Negotiate,
    Other,
}

/// An HTTP request and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The device was asked, not the one that asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_peer: bool,
    pub layer: Layer,
    /// The direction the request ran in.
    pub dir: Dir,
    /// Empty when only an answer was seen.
    pub method: Text,
    /// `http://host/path?name=‹…›`: query values and user-part names are always masked.
    pub url: Text,
    #[serde(default)]
    pub host: Option<Text>,
    /// Path without query, masked: for checks.
    pub path: Text,
    #[serde(default)]
    pub status: Option<u16>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_type: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_type: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Number of cookies sent, and set.
    #[serde(default)]
    pub cookies: u16,
    #[serde(default)]
    pub set_cookies: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Text>,
    /// The query had parameters.
    pub query: bool,
    /// The request had a body.
    pub body: bool,
    /// Beside its body it says something of its own: a query (other than the `ipv4` or `ipv6` of Firefox's probe), cookies, credentials,
    /// header fields that not every client sends, trailers, a fragment, a method of its own; or its body or the answer's is not of the type
    /// that is claimed, where that would excuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telling: Option<bool>,
    /// Bytes of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_body: Option<u64>,
    /// Body bytes that could not be decoded (unknown coding, damage, over the limit).
    #[serde(default)]
    pub undecoded: u64,
    /// The response frame, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_frame: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestFact {
    pub layer: Layer,
    pub method: Text,
    pub host: Option<Text>,
    pub path: Text,
    pub status: Option<u16>,
    pub authorization: Option<Authorization>,
    pub carries_data: bool,
    /// The same without its body.
    pub telling: bool,
    /// Its body is an OCSP request by its media type (RFC 6960 §A.1).
    pub asks_ocsp: bool,
    /// The body of the answer has at most as many bytes as a connectivity probe's ([`policies::policy::PROBE_BODY`]).
    pub small_answer: bool,
    pub response_type: Option<Text>,
    /// The device was asked, not the one that asks.
    pub by_peer: bool,
    /// It asks for a name: for certain, or by its look alone.
    pub asks_dns: Option<bool>,
}

impl Request {
    /// DNS over HTTP: by its media types (RFC 8484 §6, and the JSON that public resolvers offer), its usual path, or the parameters that
    /// such interfaces take.
    fn asks_dns(&self) -> Option<bool> {
        let is_dns = |kind: &Option<Text>| {
            kind.as_ref().is_some_and(|t| {
                ["application/dns-message", "application/dns-json", "application/oblivious-dns-message"].contains(&t.as_str())
            })
        };
        let path = self.path.as_str();
        if is_dns(&self.request_type) || is_dns(&self.response_type) || path.ends_with("/dns-query") {
            return Some(true);
        }
        let query = self.url.as_str().split_once('?').map_or("", |(_, query)| query);
        let names = || query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let last = path.rsplit('/').next().unwrap_or_default();
        let looks = names().any(|name| name == "dns")
            || matches!(last, "resolve" | "d" | "httpdns") && names().any(|name| matches!(name, "name" | "host" | "dn"));
        looks.then_some(false)
    }

    fn fact(&self) -> RequestFact {
        let telling = self.telling.unwrap_or(self.query || self.cookies > 0 || self.authorization.is_some());
        RequestFact {
            layer: self.layer,
            method: self.method.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            status: self.status,
            authorization: self.authorization,
            carries_data: self.body || telling,
            telling,
            asks_ocsp: self.request_type.as_ref().is_some_and(|t| t == "application/ocsp-request"),
            by_peer: self.by_peer,
            asks_dns: self.asks_dns(),
            small_answer: self.status.is_some() && self.response_body.unwrap_or(self.response_bytes) <= policies::policy::PROBE_BODY,
            response_type: self.response_type.clone(),
        }
    }
}

/// A name asked for, with the answers that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub name: Text,
    pub source: NameSource,
    /// RR type asked, as a number (1 = A, 28 = AAAA, 65 = HTTPS).
    pub qtype: u16,
    #[serde(default = "wire")]
    pub layer: Layer,
    pub dir: Dir,
    pub transport: Transport,
    /// Response code; absent when no answer was seen.
    #[serde(default)]
    pub rcode: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Text>,
    /// The HTTPS/SVCB answer carried an ECH configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ech: bool,
    /// Only an answer was seen (the question's packet was not).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answer_only: bool,
    /// The question was sent again so often before its answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u64,
    /// The device was asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_peer: bool,
}

fn wire() -> Layer {
    Layer::Wire
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuestionFact {
    pub layer: Layer,
    pub source: NameSource,
    pub name: Text,
    pub qtype: u16,
    /// The device was asked.
    pub by_peer: bool,
}

impl Question {
    fn fact(&self) -> QuestionFact {
        QuestionFact { layer: self.layer, source: self.source, name: self.name.clone(), qtype: self.qtype, by_peer: self.by_peer }
    }
}

/// What a DHCP client said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// DHCP message type (1 = DISCOVER, 3 = REQUEST, …).
    pub message: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_class: Option<Text>,
    /// The client identifier (option 61) equals the hardware address, or is something else that lasts.
    pub client_id: ClientId,
    pub mac: LinkAddress,
    /// Requested options (55), a fingerprint of the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientId {
    None,
    HardwareAddress,
    Other,
}

/// What a device tells the local link about itself (mDNS, SSDP, LLMNR, NBNS).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Announcement {
    pub source: NameSource,
    pub name: Text,
    /// `_airplay._tcp`, a TXT key, an SSDP header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Text>,
    pub record: Text,
    /// The other side said it, of itself: an answer to what the device asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_peer: bool,
}

/// How sure a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// An unknown high-entropy token that comes again.
    Linkable,
    /// Format, checksum and context.
    Structural,
    /// Equals a planted value, or a transform of it.
    Proof,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HitDirection {
    Out,
    In,
    Local,
}

/// Who can read a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// Anybody on the path.
    Cleartext,
    /// Anybody on the local link.
    LocalLink,
    /// The peer, under encryption that held.
    Peer,
    /// Whoever interposes a certificate this client accepts.
    Interceptor,
}

/// An identifier or personal datum found in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    pub kind: IdentifierType,
    /// The persona value's name, for proof.
    #[serde(default)]
    pub field: Option<Text>,
    pub grade: Grade,
    /// Printable stand-in, never the value.
    pub masked: Text,
    /// HMAC under the project key, 32 hex digits: the same value has the same token in all runs of a project.
    pub token: Text,
    pub layer: Layer,
    pub direction: HitDirection,
    /// `http.request.uri`, `http.request.header:NAME`, `http.request.body`, `dns.qname`, `tcp.stream`, …
    #[serde(rename = "where")]
    pub place: Text,
    /// Decoders from the outside in: `["gzip", "json:$.device.id", "base64"]`; empty = as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Text>,
    pub exposure: Exposure,
    /// Direction and byte range in the flow's stream (or datagram) of that layer.
    pub dir: Dir,
    pub offset: u64,
    pub len: u64,
    /// The value is in `sealed/` under this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<u64>,
    /// Further hits of the same value at the same place in this flow that were only counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HitFact {
    pub kind: IdentifierType,
    pub field: Option<Text>,
    pub grade: Grade,
    pub token: Text,
    pub layer: Layer,
    pub direction: HitDirection,
    pub place: Text,
    pub chain: Vec<Text>,
    pub exposure: Exposure,
    pub masked: Text,
}

impl HitFact {
    pub fn rank(&self) -> Rank {
        let authorizes = self.place.as_str().eq_ignore_ascii_case("http.request.header:authorization");
        Rank::of_hit(self.kind, self.grade, authorizes, |word| self.chain.iter().any(|step| step.as_str() == word))
    }
}

impl Hit {
    fn fact(&self) -> HitFact {
        HitFact {
            kind: self.kind,
            field: self.field.clone(),
            grade: self.grade,
            token: self.token.clone(),
            layer: self.layer,
            direction: self.direction,
            place: self.place.clone(),
            chain: self.chain.clone(),
            exposure: self.exposure,
            masked: self.masked.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdatePart {
    /// A question whether there is an update.
    Check,
    /// What describes the update.
    Manifest,
    /// The image itself.
    Payload,
}

/// Traffic of a software-update channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Update {
    pub part: UpdatePart,
    /// `android-ota`, `omaha`, `apple-mesu`, `windows-update`, `apt`, …
    pub system: Text,
    pub layer: Layer,
    /// How it was recognised: `host`, `path`, `magic`, `mime`.
    pub by: Text,
    pub host: Option<Text>,
    pub path: Text,
    /// A signature was seen in or beside it: `pkcs7-footer`, `payload-signature`, `inline`, …; absent when none was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Text>,
}

/// What the gateway does with one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// Relayed untouched.
    Pass,
    /// The flawless lab chain.
    Control,
    /// An attack, by id.
    Attack,
}

/// A treatment about to be applied to a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    pub arm: Arm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<Text>,
    /// The attempt group this flow belongs to; all its flows get the same treatment.
    pub group: u64,
    /// SHA-256 of each certificate that will be presented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Digest>,
    /// The honest chain it was mirrored from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub honest_chain: Vec<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub community_id: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TreatmentFact {
    pub arm: Arm,
    pub attack: Option<Text>,
}

impl Treatment {
    fn fact(&self) -> TreatmentFact {
        TreatmentFact { arm: self.arm, attack: self.attack.clone() }
    }
}

/// How far an attempt went (active-testing C.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Evidence {
    /// A connection, nothing more.
    E0,
    /// A ClientHello.
    E1,
    /// Our whole certificate flight was acknowledged by the device's TCP.
    E2,
    /// The client's Finished was verified.
    E3,
    /// Application bytes that are only a protocol's preamble.
    E4,
    /// A request with content.
    E5,
    /// E5 with a secret, a credential or a planted identifier in it.
    E6,
}

/// What one attempt showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialResult {
    Accepted,
    Rejected,
    /// The handshake failed for a reason that is not the defect (versions, suites, groups).
    Incompatible,
    /// The connection stayed open and nothing came.
    Silent,
    /// Nothing can be told (nobody came, we broke, the network broke).
    None,
}

/// What ended an attempt's decisive connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialEnd {
    Alert,
    CloseNotify,
    Fin,
    Rst,
    Timeout,
    /// We ended it.
    Us,
}

/// One attempt group with its treatment and reaction: the worst of its flows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trial {
    /// The trial's number in the run, from 1; orders trials of a subject.
    pub n: u64,
    pub arm: Arm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<Text>,
    pub result: TrialResult,
    pub grade: Evidence,
    #[serde(default)]
    pub alert: Option<u8>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alert_encrypted: bool,
    pub end: TrialEnd,
    pub flows: Vec<FlowId>,
    /// The version, suite and ALPN the decisive flow negotiated; a control must equal its attack here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Text>,
    /// What the client had offered, as far as attacks depend on it.
    #[serde(default)]
    pub offered_tls13: bool,
    #[serde(default)]
    pub offered_tls12: bool,
    /// First application bytes, described and masked: `GET /path`, `h2 preface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bytes: Option<Text>,
    /// Which process run or stimulus caused it (lab: the run's number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// A request in clear that followed to the same peer within the fall-back window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleartext_followed: bool,
    /// The device was ended before it ended by itself; under attack, before the time was over in which it may yet react.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// So many connections were relayed untouched before the attack began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: u64,
    /// So many connections, each with the trial's result, had begun before any of them was over or said something: none of them can be there
    /// because of what became of another.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub together: u64,
    /// With TLS cut, clear traffic came of which it cannot be told whether it stands in for TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleartext_unclear: bool,
    /// What came in clear came in the run after, before its TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleartext_later: bool,
    /// What the same peer was asked in clear, as method and path: of an attack what followed, else what the device does anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleartext: Vec<Text>,
    /// What was said in clear to anybody, as method, path and place: of an attack while it went on, else what was not said of an earlier trial and
    /// came while nothing was attacked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Text>,
    /// From the last byte of our flight to the end, in milliseconds.
    #[serde(default)]
    pub waited_ms: u64,
    /// Which of a lab's parallel copies of the device it was: attempts of one copy are no controls of another's.
    #[serde(default, skip_serializing_if = "is_first")]
    pub lane: u8,
}

impl Trial {
    /// Nothing but a request in clear made it an acceptance.
    pub fn only_by_clear(&self) -> bool {
        let shown = match self.attack.as_ref().map(Text::as_str) {
            // The flight of an old version cannot be finished: its key exchange is the acceptance.
            Some("tls.version-tls11") => Evidence::E3,
            _ => Evidence::E5,
        };
        self.cleartext_followed && self.grade < shown
    }
}

fn is_first(lane: &u8) -> bool {
    *lane == 0
}

/// A standing change that the set-up makes for all traffic (QUIC blocked, DNS rewritten, the anchor installed).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// `quic`, `dns`, `dot`, `anchor`.
    pub what: Text,
    pub state: Text,
}

/// A stimulus: what was done to the device and when.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// When it happened (a line's own time is when it was written).
    pub at: Time,
    pub kind: Text,
    pub phase: Phase,
    pub confirmed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text>,
}

/// What a flow carried inside one event window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Activity {
    pub kind: Text,
    /// The window's number among windows of its kind, from 1.
    pub window: u32,
    pub confirmed: bool,
    /// Payload bytes from the device and to it; by direction of the flow when the device is not known.
    pub out: u64,
    pub back: u64,
    pub encrypted: bool,
    pub local: bool,
    /// A user's app or browser caused it, as somebody knows who tells of this very flow; filled by the [`Scribe`](crate::scribe::Scribe).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub users: bool,
}

/// Where a flow that was read live stands in the run's own capture, and what only packets tell of it. Written when the run ends, with the
/// flow's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InCapture {
    /// How the client left its handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<Close>,
    /// Lines of the flow, each with the frame that says the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<(LineNo, u64)>,
}

/// The device came or went (live).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Presence {
    pub device: Option<DeviceId>,
    pub present: bool,
}

/// Bytes that should have been there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    pub why: Lost,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<Dir>,
    pub offset: u64,
    pub len: u64,
    /// Further gaps of this flow that were only counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MissedFact {
    pub why: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotOpened {
    /// No secret for this session.
    NoKey,
    /// A secret was there and did not open the records.
    WrongKey,
    /// The suite or version is not one we open.
    Unsupported,
    /// The handshake was not seen from its start.
    NoHandshake,
    /// Records are missing.
    Gap,
}

/// Encrypted bytes that stayed closed: counted per flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecrypted {
    pub protocol: App,
    pub reason: NotOpened,
    pub bytes: u64,
    /// Of TLS: sealed records show that the server chose a version and a suite, and no answer of it was seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub choice_unseen: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UndecryptedFact {
    pub protocol: App,
    pub reason: NotOpened,
    pub choice_unseen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotParsed {
    /// No dissector knows these bytes.
    Unknown,
    /// A dissector gave up on them.
    Broken,
    /// The protocol is known and not read yet (HTTP/2 inside TLS, a QUIC stream).
    NotBuilt,
    /// A limit was reached.
    Limit,
    /// Searched only as they passed: planted values in plain and in one coding, not what is packed or coded more than once.
    Streamed,
}

/// Clear bytes nobody understood: counted per flow, still searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unparsed {
    pub what: App,
    pub reason: NotParsed,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "is_wire")]
    pub layer: Layer,
}

fn is_wire(layer: &Layer) -> bool {
    *layer == Layer::Wire
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnparsedFact {
    pub what: App,
    pub reason: NotParsed,
    pub layer: Layer,
}

impl UnparsedFact {
    /// HTTP/2 without TLS: its preface was seen (RFC 9113 §3.4), its requests are not read.
    pub fn is_clear_http2(&self) -> bool {
        self.layer == Layer::Wire && self.what == App::Http2
    }
}

/// Something that should not be as it is; never an error of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OddKind {
    /// A frame an hour or more ahead of its neighbours, or behind one that came earlier.
    ClockStep,
    /// A header that lies about lengths, or is cut.
    BrokenFrame,
    BrokenTcp,
    /// Fragments that overlap with different bytes.
    FragmentOverlap,
    /// A retransmission with other bytes.
    ConflictingSegment,
    BrokenTls,
    BrokenQuic,
    BrokenHttp,
    BrokenDns,
    BrokenDhcp,
    BrokenSnmp,
    BrokenCertificate,
    /// A body that does not decode, or decodes to more than the limit.
    BrokenBody,
    /// A link type, tunnel or protocol that is not read.
    Unread,
    /// A secret for no session, or a line of a key log that is none.
    BrokenKeylog,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odd {
    pub what: OddKind,
    pub detail: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// What the whole run saw, written at its end: the denominator of every absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ledger {
    pub flows: u64,
    pub analysed: u64,
    pub encrypted: u64,
    pub unparsed: u64,
    pub missed: u64,
    /// Flows that no device could be found for.
    pub unattributed: u64,
    /// Flows that none of the devices named by the operator is an end of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub elsewhere: u64,
    /// Frames that somebody else sent under a link address of the machine that watches (live), by the address they gave as their source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disguised: Vec<Tally>,
    pub by_app: Vec<Tally>,
    /// Lines that were folded away by caps, by kind.
    pub folded: Vec<Tally>,
}

/// Somebody looked at unmasked values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revealed {
    pub what: Text,
    pub by: Text,
}

/// Values or packets were erased.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Purged {
    pub what: Text,
    pub count: u64,
    pub by: Text,
    /// What is left of the file they were in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_sha256: Option<Digest>,
}

/// The severity words are the catalogue's; re-exported so that readers of a journal need one import.
pub type Weight = Severity;
