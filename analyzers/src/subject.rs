//! Who a fact is about: a device, the peer it talks to, the client stack that speaks.

use std::fmt;
use std::net::IpAddr;

pub use policies::ActorClass;
use serde::{Deserialize, Serialize};

use crate::flow::Transport;
use crate::text::Text;

/// A device's number in the run, from 1. Printed as `d1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub u32);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// A service: its name if known, else its address; and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    /// Present when no name is known, or when the name is only an ECH outer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addr: Option<IpAddr>,
    pub port: u16,
    pub transport: Transport,
    /// Only an ECH outer name is known: the real name is hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub name_hidden: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.addr) {
            (Some(name), None) => write!(f, "{name}:{}", self.port)?,
            (Some(name), Some(addr)) => write!(f, "{name}({addr}):{}", self.port)?,
            (None, Some(IpAddr::V6(addr))) => write!(f, "[{addr}]:{}", self.port)?,
            (None, Some(addr)) => write!(f, "{addr}:{}", self.port)?,
            (None, None) => write!(f, "?:{}", self.port)?,
        }
        if self.transport == Transport::Udp {
            f.write_str("/udp")?;
        }
        if self.name_hidden {
            f.write_str(" (name hidden)")?;
        }
        Ok(())
    }
}

/// The stack that speaks, told by its ClientHello without what resumption and chance change. Printed as `c-` and 12 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientClass(pub [u8; 6]);

impl ClientClass {
    /// Of a handshake whose ClientHello was not seen.
    pub const UNSEEN: ClientClass = ClientClass([0; 6]);
}

impl fmt::Display for ClientClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("c-")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for ClientClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ClientClass {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientClass {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<ClientClass, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        let hex = text.strip_prefix("c-").and_then(crate::encode::unhex);
        let bytes = hex.and_then(|h| <[u8; 6]>::try_from(h.as_slice()).ok());
        bytes.map(ClientClass).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not a client class")))
    }
}

/// Who on the device caused a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Actor {
    pub class: ActorClass,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Text>,
    /// How it is known: `actors-file` of this very flow, `actors-window` of all flows of its time, `adb`, `socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Text>,
}

impl Actor {
    /// Known of a flow itself. That an app was used at the time is no proof that it was the app.
    pub const OF_FLOW: &str = "actors-file";
    pub const OF_TIME: &str = "actors-window";

    /// It is for certain an app that the user put there, or what the user looked at with a browser.
    pub fn is_users(&self) -> bool {
        let told = self.method.as_ref().is_some_and(|method| method.as_str() != Self::OF_TIME);
        told && matches!(self.class, ActorClass::UserApp | ActorClass::Browser)
    }
}

/// What a case is about. Absent parts widen it: all absent is the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientClass>,
}

/// How wide a subject a check judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    Run,
    Device,
    Peer,
    Client,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Scope::Run, Scope::Device, Scope::Peer, Scope::Client];
}

impl Subject {
    /// The narrowest scope this subject fills.
    pub fn scope(&self) -> Scope {
        match (&self.device, &self.peer, &self.client) {
            (_, Some(_), Some(_)) => Scope::Client,
            (_, Some(_), None) => Scope::Peer,
            (Some(_), None, _) => Scope::Device,
            (None, None, _) => Scope::Run,
        }
    }

    /// This subject seen at `scope`, if it is at least that narrow.
    pub fn at(&self, scope: Scope) -> Option<Subject> {
        Some(match scope {
            Scope::Run => Subject::default(),
            Scope::Device => Subject { device: Some(self.device?), ..Subject::default() },
            Scope::Peer => Subject { device: self.device, peer: Some(self.peer.clone()?), client: None },
            Scope::Client => Subject { device: self.device, peer: Some(self.peer.clone()?), client: Some(self.client?) },
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::with_capacity(3);
        parts.extend(self.device.map(|d| d.to_string()));
        parts.extend(self.peer.as_ref().map(Peer::to_string));
        parts.extend(self.client.map(|c| c.to_string()));
        if parts.is_empty() {
            parts.push("run".to_owned());
        }
        f.pad(&parts.join(" "))
    }
}
