//! The rows of report.json: flat, printable, one per fact that people and tools look up.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use analyzers::chunk::Layer;
use analyzers::encode::Digest;
use analyzers::flow::{Close, FlowEnd, FlowId, Transport};
use analyzers::journal::LineNo;
use analyzers::observation::{App, Exposure, Grade, HitDirection, NameSource, ReactionKind, TrialResult};
use analyzers::subject::{Actor, ActorClass, ClientClass, DeviceId, Peer, Subject};
use analyzers::text::Text;
use policies::{IdentifierType, Time};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// The tables that stop at `--rows` and go on in `tables/NAME.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Flows,
    Tls,
    Names,
    Requests,
    Leaks,
    Trials,
    Events,
}

impl Table {
    pub const ALL: [Table; 7] = [Table::Flows, Table::Tls, Table::Names, Table::Requests, Table::Leaks, Table::Trials, Table::Events];

    /// The list's name in report.json, and its file's under `tables/`.
    pub fn name(self) -> &'static str {
        match self {
            Table::Flows => "flows",
            Table::Tls => "tls",
            Table::Names => "names",
            Table::Requests => "requests",
            Table::Leaks => "leaks",
            Table::Trials => "trials",
            Table::Events => "events",
        }
    }

    /// `tables/requests.jsonl`, relative to the run's folder.
    pub fn path(self) -> String {
        format!("tables/{}.jsonl", self.name())
    }
}

/// A row on its way to `tables/*.jsonl`; serialises as the row itself.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Row<'a> {
    Flow(&'a FlowRow),
    Tls(&'a TlsRow),
    Name(&'a NameRow),
    Request(&'a RequestRow),
    Leak(&'a LeakRow),
    Trial(&'a TrialRow),
    Event(&'a EventRow),
}

/// What stands in one of the [`Table`]s.
pub(crate) trait Tabular {
    const TABLE: Table;
    fn row(&self) -> Row<'_>;
}

macro_rules! tabular {
    ($( $row:ident = $table:ident, $variant:ident; )*) => { $(
        impl Tabular for $row {
            const TABLE: Table = Table::$table;
            fn row(&self) -> Row<'_> { Row::$variant(self) }
        }
    )* };
}

tabular! {
    FlowRow = Flows, Flow;
    TlsRow = Tls, Tls;
    NameRow = Names, Name;
    RequestRow = Requests, Request;
    LeakRow = Leaks, Leak;
    TrialRow = Trials, Trial;
    EventRow = Events, Event;
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct InputRow {
    #[schemars(with = "String")]
    pub path: Text,
    #[schemars(with = "Option<String>")]
    pub sha256: Option<Digest>,
    pub bytes: u64,
    pub packets: u64,
    pub first: Option<Time>,
    pub last: Option<Time>,
    #[schemars(with = "Vec<String>")]
    pub link_types: Vec<Text>,
    /// The file ended inside a packet or block.
    pub truncated: bool,
    pub damage: Vec<DamageRow>,
    /// Frames of link types that are not read, by name.
    pub unread: Vec<CountRow>,
    /// Packets the capturing kernel said it dropped, when the file says.
    pub dropped: Option<u64>,
    /// Secrets of the input's own that were met on the way, for it could not be read twice: they open only what stands behind them.
    pub late_secrets: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DamageRow {
    /// Byte offset in the (decompressed) input.
    pub offset: u64,
    #[schemars(with = "String")]
    pub what: Text,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CountRow {
    #[schemars(with = "String")]
    pub name: Text,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeviceRow {
    #[serde(serialize_with = "shown")]
    #[schemars(with = "String")]
    pub id: DeviceId,
    pub macs: Vec<String>,
    #[schemars(with = "Vec<String>")]
    pub ips: Vec<IpAddr>,
    #[schemars(with = "Option<String>")]
    pub label: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ActorRow {
    /// `os`, `preloaded`, `user-app`, `browser`, `unknown`.
    #[schemars(with = "String")]
    pub class: ActorClass,
    #[schemars(with = "Option<String>")]
    pub package: Option<Text>,
    /// How it is known.
    #[schemars(with = "Option<String>")]
    pub method: Option<Text>,
    pub flows: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FlowRow {
    #[serde(serialize_with = "shown")]
    #[schemars(with = "String")]
    pub id: FlowId,
    #[schemars(with = "String")]
    pub community_id: Text,
    /// The side that opened the flow.
    #[schemars(with = "String")]
    pub src: IpAddr,
    pub sport: u16,
    #[schemars(with = "String")]
    pub dst: IpAddr,
    pub dport: u16,
    /// `tcp`, `udp`, `icmp`, `sctp`, `ip-N`.
    #[serde(serialize_with = "shown")]
    #[schemars(with = "String")]
    pub proto: Transport,
    /// Of both directions.
    pub packets: u64,
    /// Payload bytes above the transport, of both directions.
    pub bytes: u64,
    #[schemars(with = "String")]
    pub app: App,
    /// The peer's name if known, else its address.
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub peer: Option<Arc<str>>,
    /// `class` or `class:package`; absent when not known.
    pub actor: Option<Box<str>>,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub device: Option<DeviceId>,
    pub first: Time,
    pub last: Time,
    pub frame: Option<u64>,
    /// `fin`, `reset`, `idle`, `end-of-run`, `evicted`.
    #[schemars(with = "String")]
    pub end: FlowEnd,
    /// Payload bytes known to be missing.
    pub missed: u64,
}

/// One TLS or QUIC handshake: what was offered, what was served, what the client did then.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TlsRow {
    #[serde(serialize_with = "shown")]
    #[schemars(with = "String")]
    pub flow: FlowId,
    pub frame: Option<u64>,
    #[schemars(with = "Option<String>")]
    pub sni: Option<Text>,
    /// The version the server chose, `TLS1.3`; absent when no answer was seen.
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub version: Option<Version>,
    /// The suite the server chose, by IANA number: `0x1301`.
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub cipher: Option<Suite>,
    /// The protocol the server chose; absent when it chose none, or when that was not readable.
    #[schemars(with = "Option<String>")]
    pub alpn: Option<Text>,
    #[schemars(with = "Option<String>")]
    pub ja4: Option<Text>,
    #[schemars(with = "Option<String>")]
    pub ja3: Option<Text>,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub client: Option<ClientClass>,
    /// Versions the client offered, in its order.
    #[serde(serialize_with = "shown_all")]
    #[schemars(with = "Vec<String>")]
    pub offered: Box<[Version]>,
    #[schemars(with = "Vec<String>")]
    #[serde(serialize_with = "shown_all")]
    pub offered_alpn: Arc<[Text]>,
    #[schemars(with = "Vec<String>")]
    #[serde(serialize_with = "shown_all")]
    pub chain_sha256: Arc<[Digest]>,
    /// The certificates that the client showed.
    #[schemars(with = "Vec<String>")]
    pub client_chain_sha256: Box<[Digest]>,
    pub resumed: bool,
    /// What the client did after the server's flight, from bytes and record lengths alone: indicative.
    #[schemars(with = "String")]
    pub reaction: ReactionKind,
    /// The client's alert.
    pub alert: Option<u8>,
    /// `fin`, `rst`, `none`.
    #[schemars(with = "String")]
    pub close: Close,
    /// encrypted_client_hello was offered: `sni` is then an outer name.
    pub ech: bool,
    pub quic: bool,
    /// The journal line.
    #[serde(skip)]
    pub line: LineNo,
}

/// A name, once per source and device.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct NameRow {
    #[schemars(with = "String")]
    pub name: Text,
    #[schemars(with = "String")]
    pub source: NameSource,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub device: Option<DeviceId>,
    pub count: u64,
    /// Where it was seen first.
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub flow: Option<FlowId>,
    pub frame: Option<u64>,
    /// The journal line.
    #[serde(skip)]
    pub line: LineNo,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RequestRow {
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub flow: Option<FlowId>,
    pub frame: Option<u64>,
    /// `wire` or `decrypted`.
    #[schemars(with = "String")]
    pub layer: Layer,
    #[schemars(with = "String")]
    pub method: Text,
    /// Query values and user parts are masked.
    #[schemars(with = "String")]
    pub url: Text,
    pub status: Option<u16>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    #[schemars(with = "Option<String>")]
    pub user_agent: Option<Text>,
    #[schemars(with = "Option<String>")]
    pub response_type: Option<Text>,
    /// The journal line.
    #[serde(skip)]
    pub line: LineNo,
}

/// An identifier or personal datum found in bytes; one row per flow and place.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LeakRow {
    #[serde(rename = "type")]
    pub kind: IdentifierType,
    /// The planted value's name, for proof.
    #[schemars(with = "Option<String>")]
    pub persona_field: Option<Text>,
    /// `proof`, `structural`, `linkable`.
    #[schemars(with = "String")]
    pub grade: Grade,
    #[schemars(with = "String")]
    pub masked: Text,
    /// Only with `--reveal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub value: Option<Text>,
    /// HMAC under the project key: the same value has the same digest in all runs of a project.
    #[schemars(with = "Option<String>")]
    pub digest: Option<Text>,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub flow: Option<FlowId>,
    pub frame: Option<u64>,
    #[schemars(with = "String")]
    pub layer: Layer,
    #[schemars(with = "String")]
    pub direction: HitDirection,
    #[serde(rename = "where")]
    #[schemars(with = "String")]
    pub place: Text,
    /// Decoders from the outside in; empty = as it is.
    #[schemars(with = "Vec<String>")]
    pub chain: Vec<Text>,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub peer: Option<Arc<str>>,
    /// Who can read it: `cleartext`, `local-link`, `peer`, `interceptor`.
    #[schemars(with = "String")]
    pub exposure: Exposure,
    /// Sightings this row stands for: the same value at the same place of the same flow.
    pub count: u64,
    /// The journal line.
    #[serde(skip)]
    pub line: LineNo,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TrialRow {
    /// The trial's number in the run.
    pub n: u64,
    /// An attack's id, `control` or `pass`.
    pub attack: String,
    pub subject: SubjectRow,
    pub at: Time,
    #[serde(serialize_with = "shown_all")]
    #[schemars(with = "Vec<String>")]
    pub flows: Vec<FlowId>,
    /// `accepted`, `rejected`, `incompatible`, `silent`, `none`.
    #[schemars(with = "String")]
    pub reaction: TrialResult,
    /// `E0` to `E6`.
    pub grade: String,
    pub alert: Option<u8>,
    /// `fin`, `rst`, `none`.
    #[schemars(with = "String")]
    pub close: Close,
    /// The version the decisive flow negotiated.
    pub version: Option<String>,
    /// The device was ended before it could do more.
    pub cut_short: bool,
    /// The journal line, to find what a finding cites.
    pub line: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EventRow {
    pub at: Time,
    #[schemars(with = "String")]
    pub kind: Text,
    /// `start`, `end`, `at`.
    #[schemars(with = "String")]
    pub phase: analyzers::observation::Phase,
    pub confirmed: bool,
    #[schemars(with = "Option<String>")]
    pub by: Option<Text>,
    #[schemars(with = "Option<String>")]
    pub note: Option<Text>,
}

/// A standing change of the set-up.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TreatmentRow {
    pub at: Time,
    /// `quic`, `dns`, `dot`, `anchor`.
    #[schemars(with = "String")]
    pub what: Text,
    #[schemars(with = "String")]
    pub state: Text,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PresenceRow {
    pub at: Time,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub device: Option<DeviceId>,
    pub present: bool,
}

/// Who a finding or trial is about; absent parts widen it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SubjectRow {
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub device: Option<DeviceId>,
    /// The peer's name if known, else its address.
    pub peer: Option<String>,
    pub port: Option<u16>,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub client: Option<ClientClass>,
}

impl From<&Subject> for SubjectRow {
    fn from(subject: &Subject) -> SubjectRow {
        SubjectRow {
            device: subject.device,
            peer: subject.peer.as_ref().map(peer_word),
            port: subject.peer.as_ref().map(|p| p.port).filter(|p| *p != 0),
            client: subject.client,
        }
    }
}

impl Display for SubjectRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = Vec::with_capacity(3);
        parts.extend(self.device.map(|d| d.to_string()));
        if let Some(peer) = &self.peer {
            let bare_v6 = peer.parse::<std::net::Ipv6Addr>().is_ok();
            let peer = if bare_v6 { format!("[{peer}]") } else { peer.clone() };
            parts.push(self.port.map_or(peer.clone(), |port| format!("{peer}:{port}")));
        }
        parts.extend(self.client.map(|c| c.to_string()));
        if parts.is_empty() {
            parts.push("the whole run".to_owned());
        }
        f.pad(&parts.join(" "))
    }
}

/// A peer in one word: its name if known, else its address; an ECH outer name carries its address, for it names nobody.
pub fn peer_word(peer: &Peer) -> String {
    match (&peer.name, peer.addr) {
        (Some(name), Some(addr)) if peer.name_hidden => format!("{name} ({addr}, name hidden)"),
        (Some(name), _) => name.as_str().to_owned(),
        (None, Some(addr)) => addr.to_string(),
        (None, None) => "?".to_owned(),
    }
}

/// `user-app:org.example`, or nothing when nothing is known.
pub fn actor_word(actor: &Actor) -> Option<String> {
    if actor.class == ActorClass::Unknown && actor.package.is_none() {
        return None;
    }
    let class = match actor.class {
        ActorClass::Os => "os",
        ActorClass::Preloaded => "preloaded",
        ActorClass::UserApp => "user-app",
        ActorClass::Browser => "browser",
        ActorClass::Unknown => "unknown",
    };
    Some(actor.package.as_ref().map_or(class.to_owned(), |p| format!("{class}:{p}")))
}

/// A version of TLS as it is on the wire; its word where it is shown. Rows are many, and words take room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u16);

impl Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&version_word(self.0))
    }
}

/// A cipher suite by its IANA number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(pub u16);

impl Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// A TLS or DTLS version number in the form that journals of other tools use too: `TLS1.2`; unknown ones as `0x7f1c`.
pub fn version_word(version: u16) -> String {
    match version {
        0x0002 => "SSL2.0".to_owned(),
        0x0300 => "SSL3.0".to_owned(),
        0x0301 => "TLS1.0".to_owned(),
        0x0302 => "TLS1.1".to_owned(),
        0x0303 => "TLS1.2".to_owned(),
        0x0304 => "TLS1.3".to_owned(),
        0xfeff => "DTLS1.0".to_owned(),
        0xfefd => "DTLS1.2".to_owned(),
        0xfefc => "DTLS1.3".to_owned(),
        other => format!("{other:#06x}"),
    }
}

fn shown<T: Display, S: Serializer>(it: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(it)
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(crate) fn shown_if<T: Display, S: Serializer>(it: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
    match it {
        Some(it) => s.collect_str(it),
        None => s.serialize_none(),
    }
}

fn shown_all<T: Display, S: Serializer>(it: &[T], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(it.iter().map(ToString::to_string))
}
