//! Toy phones: several peers, several habits.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Dial, Flaw, Toy, Trust, Visit, clear};
use crate::pem;

/// A phone that can be run as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// Validates everything at all of its peers.
    StrictPhone,
    /// One app that accepts any certificate, telemetry with an identifier in clear, updates over HTTP, its owner's name on the wire.
    CarelessPhone,
    /// One app that pins the key of its service, and not that of the sibling (`cdn.`) its pictures come from.
    PinnedApp,
}

impl Device {
    pub const ALL: &'static [Device] = &[Device::StrictPhone, Device::CarelessPhone, Device::PinnedApp];

    pub fn word(self) -> &'static str {
        match self {
            Self::StrictPhone => "strict-phone",
            Self::CarelessPhone => "careless-phone",
            Self::PinnedApp => "pinned-app",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|device| device.word() == word)
    }

    /// Does what it does, once. `host` is the maker's domain; its peers are that and names below it.
    pub async fn live(self, dial: &dyn Dial, trust: &Trust, host: &str) -> Vec<Visit> {
        let strict = Toy::new(Flaw::None, trust.clone());
        match self {
            Self::StrictPhone => {
                let mut visits = Vec::new();
                for (peer, request) in [
                    (host.to_owned(), "GET /api/state?build=lab-toy"),
                    (format!("push.{host}"), "GET /generate_204"),
                    (format!("update.{host}"), "GET /update/manifest.json"),
                ] {
                    visits.push(strict.ask(dial, &peer, request).await);
                }
                visits
            }
            Self::PinnedApp => vec![
                strict.ask(dial, &format!("cdn.{host}"), "GET /bytes/512").await,
                strict.pinned().ask(dial, host, "GET /api/state?build=lab-toy").await,
            ],
            Self::CarelessPhone => {
                announce(dial);
                let careless = Toy::new(Flaw::AcceptsAnything, trust.clone());
                let body = format!("{{\"v\":1,\"device\":{{\"id\":\"{}\"}},\"up\":3600}}", pem::base64(IMEI.as_bytes()));
                vec![
                    strict.ask(dial, host, "GET /api/state?build=lab-toy").await,
                    careless.ask(dial, &format!("app.{host}"), &format!("GET /api/login?user={}", MAIL.replace('@', "%40"))).await,
                    clear(dial, &format!("telemetry.{host}"), &format!("POST /v1/report?imei={IMEI}"), body.as_bytes()).await,
                    clear(dial, &format!("update.{host}"), &format!("GET /update/manifest.json?model=LAB-1&serial={SERIAL}"), &[]).await,
                ]
            }
        }
    }
}

/// What the careless phone gives away, in the persona format (`overhear/persona/1`).
pub fn persona() -> String {
    let value = |name: &str, kind: &str, value: &str| format!("\n[[value]]\nname = \"{name}\"\ntype = \"{kind}\"\nvalue = \"{value}\"\n");
    let mut text = String::from("schema = \"overhear/persona/1\"\nlabel = \"the lab's careless phone\"\n");
    for (name, kind, datum) in
        [("imei-1", "imei", IMEI), ("serial", "serial", SERIAL), ("email-main", "email", MAIL), ("device-name", "hostname", HOST_NAME)]
    {
        text.push_str(&value(name, kind, datum));
    }
    text
}

/// Says its owner's name to the neighbourhood: mDNS (RFC 6762) and DHCP (option 12).
fn announce(dial: &dyn Dial) {
    // One answer, class IN with the cache-flush bit: NAME.local A 10.77.0.10
    let mut mdns = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    mdns.push(HOST_NAME.len() as u8);
    mdns.extend(HOST_NAME.as_bytes());
    mdns.extend(b"\x05local\x00\x00\x01\x80\x01\x00\x00\x00\x78\x00\x04\x0a\x4d\x00\x0a");
    dial.datagram(5353, SocketAddr::from((Ipv4Addr::new(224, 0, 0, 251), 5353)), &mdns);
    let mut dhcp = vec![0; 236];
    for (place, byte) in [1u8, 1, 6].into_iter().enumerate().chain((4..8).zip([0x6c, 0x61, 0x62, 0x31])).chain((28..34).zip(MAC)) {
        if let Some(at) = dhcp.get_mut(place) {
            *at = byte;
        }
    }
    // The magic cookie; DISCOVER; the name; what it would like to know.
    dhcp.extend([99, 130, 83, 99, 53, 1, 1, 12, HOST_NAME.len() as u8]);
    dhcp.extend(HOST_NAME.as_bytes());
    dhcp.extend([55, 3, 1, 3, 6, 255]);
    dial.datagram(68, SocketAddr::from((Ipv4Addr::BROADCAST, 67)), &dhcp);
}

/// The example IMEI of GSMA documents and Wikipedia; its check digit is right.
const IMEI: &str = "490154203237518";
const SERIAL: &str = "LABZ9Q7K41XW";
const MAIL: &str = "anna.quist@example.org";
const HOST_NAME: &str = "Anna-Quists-Phone";
const MAC: [u8; 6] = [0x02, 0x00, 0x4c, 0x41, 0x42, 0x01];
