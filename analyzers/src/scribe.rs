//! The scribe joins what all pipelines put out into lines: it numbers flows and devices, names peers from DNS, and says each
//! certificate once. It is the one serial part of the house, so it does nothing that a pipeline could do. Long, for telling devices apart
//! is one set of rules with a table of cases.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use policies::{ActorOf, ActorRow, Time};

use crate::encode::Digest;
use crate::flow::{Dir, Ends, FlowId, FlowKey, Mac};
use crate::journal::Line;
use crate::links::Links;
use crate::observation::{
    Activity, Attribution, Bound, Device, Lease, Ledger, LinkAddress, NameSource, Neighbour, NeighbourSource, Observation, Tally, is_local,
};
use crate::pipeline::{About, Draft, Out, Told};
use crate::sealed;
use crate::subject::{Actor, DeviceId, Peer, Subject};
use crate::text::{Text, Veil};

/// Bounds of what a hostile input can make the scribe hold.
const DEVICES_KEPT: usize = 1 << 14;
const NAMES_KEPT: usize = 1 << 17;
const CERTIFICATES_KEPT: usize = 1 << 17;
/// Closed flows whose number a late trial may still ask for: far more than one device opens in a trial's three seconds.
const CLOSED_KEPT: usize = 1 << 13;

/// Where finished lines and sealed values go.
pub trait Desk {
    fn line(&mut self, line: Line);
    /// A personal value for `sealed/`; dropped unless the desk keeps one.
    fn sealed(&mut self, flow: Option<FlowId>, value: sealed::Value);
}

impl Desk for Vec<Line> {
    fn line(&mut self, mut line: Line) {
        line.n = self.len() as u64 + 1;
        self.push(line);
    }

    fn sealed(&mut self, _: Option<FlowId>, _: sealed::Value) {}
}

/// What the operator said before the run.
#[derive(Clone, Debug, Default)]
pub struct Briefing {
    pub told: Vec<Told>,
    pub label: Option<Text>,
    /// Addresses that are one device whatever the link says: a lab knows which it gave out.
    pub same: Vec<Vec<IpAddr>>,
    /// Link addresses of the machine that watches, and its IP addresses: what it says itself is no device's.
    pub own: Vec<Mac>,
    pub here: Vec<IpAddr>,
    /// Who caused which flow (`--actors`); the first row that fits counts.
    pub actors: Vec<ActorRow>,
    pub masks: Masks,
}

/// What hides planted values among the link addresses, which the scribe itself must know.
#[derive(Clone, Default)]
pub struct Masks(pub Option<Arc<dyn Veil>>);

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masks")
    }
}

impl Masks {
    fn hide(&self, address: LinkAddress) -> LinkAddress {
        match &self.0 {
            Some(veil) => address.veiled(&**veil),
            None => address,
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: FlowId,
    /// Until it was said whom it is about.
    ends: Option<Box<Ends>>,
    /// Who it is about, once that was said.
    subject: Option<Subject>,
    /// It came through the machine that watches, from somebody beyond it; a device would answer in this direction.
    answers: Option<Dir>,
    /// A user's app or browser caused it.
    users: bool,
}

/// Joins drafts into lines.
#[derive(Debug)]
pub struct Scribe {
    briefing: Briefing,
    /// Boxed, for the map has room for twice as many as there are.
    flows: HashMap<FlowKey, Box<Entry>, foldhash::fast::FixedState>,
    flows_seen: u64,
    /// The newest closed flows, and the order in which they closed, oldest first.
    closed: HashMap<FlowKey, (FlowId, Option<Subject>), foldhash::fast::FixedState>,
    closing: VecDeque<FlowKey>,
    devices: Devices,
    names: HashMap<IpAddr, Text, foldhash::fast::FixedState>,
    certificates: HashSet<Digest, foldhash::fast::FixedState>,
    ledger: Ledger,
    apps: HashMap<&'static str, u64>,
    /// Where a device was named by an IP address: who speaks from behind its link address.
    links: Option<Links>,
}

impl Scribe {
    pub fn new(briefing: Briefing) -> Scribe {
        let devices = Devices {
            label: briefing.label.clone(),
            told: briefing.told.clone(),
            same: briefing.same.clone(),
            own: briefing.own.clone(),
            ..Devices::default()
        };
        let by_ip = briefing.told.iter().any(|t| matches!(t, Told::Ip(_)));
        Scribe {
            briefing,
            links: by_ip.then(Links::default),
            flows: HashMap::default(),
            flows_seen: 0,
            closed: HashMap::default(),
            closing: VecDeque::new(),
            devices,
            names: HashMap::default(),
            certificates: HashSet::default(),
            ledger: Ledger::default(),
            apps: HashMap::new(),
        }
    }

    /// Takes what a pipeline put out. Must be called in the order of the run (frame, shard, n).
    pub fn take(&mut self, out: Out, desk: &mut impl Desk) {
        match out {
            Out::Opened { flow, ends, .. } => {
                self.flows_seen += 1;
                let entry = Entry { id: FlowId(self.flows_seen), ends: Some(Box::new(ends)), subject: None, answers: None, users: false };
                self.flows.insert(flow, Box::new(entry));
            }
            Out::Seen(draft) => self.written(*draft, None, desk),
            Out::Tried { mut draft, flows } => {
                if let Observation::Trial(trial) = &mut draft.seen {
                    trial.flows = flows.iter().filter_map(|f| self.number(*f)).collect();
                }
                let subject = flows.iter().find_map(|f| self.subject_of(*f));
                self.written(*draft, subject, desk);
            }
            Out::Sealed(value) => {
                let flow = self.flows.get(&value.flow).map(|e| e.id);
                desk.sealed(flow, value);
            }
            Out::Named { address, name } => self.named(address, name),
            Out::Joined { mac, ips, at } => {
                for grown in self.devices.joined(mac, &ips) {
                    self.device_line(Some(grown), at, None, desk);
                }
            }
        }
    }

    /// The run's number of a flow that is open or was closed lately.
    fn number(&self, flow: FlowKey) -> Option<FlowId> {
        let open = self.flows.get(&flow).map(|e| e.id);
        open.or_else(|| self.closed.get(&flow).map(|(id, _)| *id))
    }

    fn subject_of(&self, flow: FlowKey) -> Option<Subject> {
        match self.flows.get(&flow) {
            Some(entry) => entry.subject.clone(),
            None => self.closed.get(&flow).and_then(|(_, subject)| subject.clone()),
        }
    }

    fn written(&mut self, draft: Draft, known: Option<Subject>, desk: &mut impl Desk) {
        let Draft { at, frame, flow, about, seen } = draft;
        let frame = (frame > 0).then_some(frame);
        let id = flow.and_then(|f| self.number(f));
        let subject = about.map(|a| self.subject(a, at, frame, desk)).or(known);
        let seen = match seen {
            Observation::Bound(bound) => Observation::Bound(self.bound(bound, flow, at, frame, desk)),
            Observation::Certificate(certificate) => {
                if self.certificates.len() < CERTIFICATES_KEPT && !self.certificates.insert(certificate.sha256) {
                    return;
                }
                Observation::Certificate(certificate)
            }
            Observation::Neighbour(fact) => {
                let grown = self.devices.neighbour(&fact);
                self.device_line(grown, at, frame, desk);
                if let Some(links) = &mut self.links {
                    links.neighbour(&fact);
                }
                Observation::Neighbour(Neighbour { mac: self.briefing.masks.hide(fact.mac), ..fact })
            }
            Observation::Lease(lease) => Observation::Lease(Lease { mac: self.briefing.masks.hide(lease.mac), ..lease }),
            Observation::Question(question) => {
                if question.source == NameSource::Dns {
                    for address in &question.addresses {
                        self.named(*address, question.name.clone());
                    }
                }
                Observation::Question(question)
            }
            Observation::Activity(activity) => {
                let users = flow.and_then(|f| self.flows.get(&f)).is_some_and(|entry| entry.users);
                Observation::Activity(Activity { users, ..activity })
            }
            Observation::Flow(mut closed) => {
                self.ledger.flows += 1;
                self.ledger.analysed += closed.coverage.analysed;
                self.ledger.encrypted += closed.coverage.encrypted;
                self.ledger.unparsed += closed.coverage.unparsed;
                self.ledger.missed += closed.counts.missing[0] + closed.counts.missing[1];
                *self.apps.entry(closed.app.word()).or_default() += 1;
                if let Some((key, entry)) = flow.and_then(|f| self.flows.remove_entry(&f)) {
                    closed.users = entry.users;
                    // A device was called from beyond and said something, and it is not known which one.
                    if entry.answers.is_some_and(|dir| closed.counts.bytes[dir.index()] > 0) {
                        self.ledger.elsewhere = self.ledger.elsewhere.saturating_sub(1);
                        self.ledger.unattributed += 1;
                    }
                    if self.closing.len() >= CLOSED_KEPT
                        && let Some(oldest) = self.closing.pop_front()
                    {
                        self.closed.remove(&oldest);
                    }
                    self.closing.push_back(key);
                    self.closed.insert(key, (entry.id, entry.subject));
                }
                Observation::Flow(closed)
            }
            other => other,
        };
        desk.line(Line { n: 0, at, frame, flow: id, subject, seen });
    }

    fn bound(&mut self, mut bound: Bound, flow: Option<FlowKey>, at: Time, frame: Option<u64>, desk: &mut impl Desk) -> Bound {
        let Some(ends) = flow.and_then(|f| self.flows.get_mut(&f)).and_then(|entry| entry.ends.take()) else { return bound };
        if let Some(side) = bound.side {
            let (device, grown) = self.devices.of(ends.addr(side).ip(), ends.mac(side));
            bound.device = device;
            self.device_line(grown, at, frame, desk);
        }
        // Somebody without an address, whom the operator may have named by one.
        let homeless = Dir::BOTH.into_iter().find(|d| ends.addr(*d).ip().is_unspecified()).filter(|_| bound.side.is_none());
        let known = homeless.and_then(|side| self.devices.at(ends.mac(side)?));
        if known.is_some_and(|(_, named)| named) {
            bound.side = homeless;
            bound.device = known.map(|(id, _)| id);
            bound.attribution = Attribution::Told;
        }
        if let Some(links) = &mut self.links {
            links.flow(&ends);
        }
        let mut answers = None;
        bound.elsewhere = bound.device.is_none() && !self.briefing.told.is_empty();
        if bound.device.is_none() {
            // Without link addresses a device that was named by its own cannot be told from others.
            let unknowable = self.briefing.told.iter().any(|t| matches!(t, Told::Mac(_))) && ends.a_mac.is_none() && ends.b_mac.is_none();
            let by_ip = self.briefing.told.iter().any(|t| matches!(t, Told::Ip(_)));
            let unsaid = by_ip && homeless.is_some() && known.is_none();
            let own = bound.side.and_then(|side| ends.mac(side)).is_some_and(|mac| self.devices.own.contains(&mac));
            // What a server grants to all who listen is nobody's word but its own.
            let granted = bound.side.is_some_and(|side| is_lease_for_all(ends.addr(side)));
            if !own && !granted && (self.briefing.told.is_empty() || bound.side.is_some() || unknowable || unsaid) {
                self.ledger.unattributed += 1;
            } else {
                self.ledger.elsewhere += 1;
                if let Some(links) = &mut self.links {
                    links.elsewhere(&ends);
                }
                answers = bound.side.filter(|side| own && !self.is_here(ends.addr(*side).ip())).map(Dir::other);
            }
        }
        if self.name(&mut bound.peer) {
            bound.named_by = Some(NameSource::Dns);
        }
        // A row about this very flow knows more than one about a time.
        let about = |row: &&ActorRow| matches!(row.of, ActorOf::Window { .. });
        if let Some(row) = self.briefing.actors.iter().filter(|r| fits(r, &ends, at)).min_by_key(about) {
            let package = (!row.package.is_empty()).then(|| Text::ours(&row.package));
            let method = if about(&row) { Actor::OF_TIME } else { Actor::OF_FLOW };
            bound.actor = Actor { class: row.class, package, method: Some(Text::ours(method)) };
        }
        if let Some(entry) = flow.and_then(|f| self.flows.get_mut(&f)) {
            entry.users = bound.actor.is_users();
            entry.answers = answers;
            entry.subject = Some(Subject { device: bound.device, peer: Some(bound.peer.clone()), client: bound.client });
        }
        bound
    }

    /// The machine that watches has these addresses too; they may have come after the run began.
    pub fn also_here(&mut self, ips: Vec<IpAddr>) {
        self.briefing.here.extend(ips);
    }

    /// An address of the machine that watches; none stands for one it has not taken yet.
    fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self.briefing.here.contains(&ip)
    }

    fn named(&mut self, address: IpAddr, name: Text) {
        if self.names.len() < NAMES_KEPT || self.names.contains_key(&address) {
            self.names.insert(address, name);
        }
    }

    /// Gives a peer that has only an address the name that DNS gave it. A name in clear beside an encrypted one is the peer's own, and hides
    /// nothing, if DNS gave this address for that very name: browsers send such extensions to everybody (RFC 9849 §6.2).
    fn name(&self, peer: &mut Peer) -> bool {
        if peer.name_hidden
            && let (Some(outer), Some(asked)) = (&peer.name, peer.addr.and_then(|a| self.names.get(&a)))
            && outer.as_str().eq_ignore_ascii_case(asked.as_str())
        {
            peer.name_hidden = false;
            peer.addr = None;
        }
        if peer.name.is_some() {
            return false;
        }
        let Some(name) = peer.addr.and_then(|a| self.names.get(&a)) else { return false };
        peer.name = Some(name.clone());
        peer.addr = None;
        true
    }

    fn subject(&mut self, about: About, at: Time, frame: Option<u64>, desk: &mut impl Desk) -> Subject {
        let device = about.device.and_then(|ip| {
            let (device, grown) = self.devices.of(ip, None);
            self.device_line(grown, at, frame, desk);
            device
        });
        let mut peer = about.peer;
        if let Some(peer) = &mut peer {
            self.name(peer);
        }
        Subject { device, peer, client: about.client }
    }

    fn device_line(&self, grown: Option<DeviceId>, at: Time, frame: Option<u64>, desk: &mut impl Desk) {
        if let Some(mut device) = grown.and_then(|id| self.devices.line(id)) {
            device.macs = device.macs.into_iter().map(|mac| self.briefing.masks.hide(mac)).collect();
            desk.line(Line { n: 0, at, frame, flow: None, subject: None, seen: device.into() });
        }
    }

    /// The run's denominator; write it last.
    pub fn ledger(&self) -> Ledger {
        let mut by_app: Vec<Tally> = self.apps.iter().map(|(name, count)| Tally { name: Text::ours(name), count: *count }).collect();
        by_app.sort();
        let mut folded = Vec::new();
        if self.devices.dropped > 0 {
            folded.push(Tally { name: Text::ours("devices"), count: self.devices.dropped });
        }
        // They may be a named device's under an address of which nobody knew.
        let doubtful = self.links.as_ref().map_or(0, |links| links.doubtful(&self.briefing.told));
        let unattributed = self.ledger.unattributed.saturating_add(doubtful);
        let elsewhere = self.ledger.elsewhere.saturating_sub(doubtful);
        Ledger { unattributed, elsewhere, by_app, folded, ..self.ledger.clone() }
    }

    /// The number of a flow that is open.
    pub fn flow(&self, key: FlowKey) -> Option<FlowId> {
        self.flows.get(&key).map(|e| e.id)
    }
}

/// Where a DHCP server answers clients that have no address yet (RFC 2131 §4.1): nobody is there to be a device.
fn is_lease_for_all(at: std::net::SocketAddr) -> bool {
    at.ip() == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) && at.port() == 68
}

fn fits(row: &ActorRow, ends: &Ends, at: Time) -> bool {
    match &row.of {
        ActorOf::Flow(tuple) => tuple.matches(ends.transport.number(), ends.a, ends.b),
        ActorOf::Window { from, to } => (*from..=*to).contains(&at),
    }
}

/// Addresses joined into devices: by ARP, ND or DHCP, or on-link; a MAC that sources several public addresses is a router.
#[derive(Debug, Default)]
struct Devices {
    all: Vec<Known>,
    by_ip: HashMap<IpAddr, DeviceId, foldhash::fast::FixedState>,
    by_mac: HashMap<Mac, Behind, foldhash::fast::FixedState>,
    label: Option<Text>,
    told: Vec<Told>,
    same: Vec<Vec<IpAddr>>,
    own: Vec<Mac>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Known {
    macs: Vec<Mac>,
    ips: Vec<IpAddr>,
    named: bool,
}

/// What stands behind a MAC.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    device: Option<DeviceId>,
    public: Option<IpAddr>,
    router: bool,
}

/// As many addresses as a device's line lists.
const ADDRESSES_LISTED: usize = 64;

impl Devices {
    /// The device at an address, and its id again if it is new or has grown.
    fn of(&mut self, ip: IpAddr, mac: Option<Mac>) -> (Option<DeviceId>, Option<DeviceId>) {
        let mac = mac.filter(|m| !m.is_multicast() && m.0 != [0; 6]);
        if let Some(id) = self.by_ip.get(&ip) {
            return (Some(*id), None);
        }
        if ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
            return (None, None);
        }
        if mac.is_some_and(|m| self.own.contains(&m)) {
            return (None, None);
        }
        if ip.is_unspecified() {
            return mac.map_or((None, None), |mac| self.without_address(mac));
        }
        let on_link = is_local(ip);
        let mut join = self.same.iter().find(|g| g.contains(&ip)).and_then(|g| g.iter().find_map(|other| self.by_ip.get(other).copied()));
        if let Some(mac) = mac {
            let behind = self.by_mac.entry(mac).or_default();
            if !on_link {
                match behind.public {
                    None => behind.public = Some(ip),
                    Some(known) if known != ip => behind.router = true,
                    Some(_) => {}
                }
            }
            if !behind.router && on_link {
                join = join.or(behind.device);
            }
        }
        let id = match join {
            Some(id) => id,
            None => {
                if self.all.len() >= DEVICES_KEPT {
                    self.dropped += 1;
                    return (None, None);
                }
                self.all.push(Known::default());
                DeviceId(self.all.len() as u32)
            }
        };
        self.by_ip.insert(ip, id);
        let told = self.told.iter().any(|t| t.is(ip, mac));
        let known = &mut self.all[id.0 as usize - 1];
        known.ips.push(ip);
        known.named |= told;
        if let Some(mac) = mac
            && on_link
            && let Some(behind) = self.by_mac.get_mut(&mac)
            && !behind.router
        {
            behind.device.get_or_insert(id);
            if !known.macs.contains(&mac) {
                known.macs.push(mac);
            }
        }
        let small = known.ips.len() <= ADDRESSES_LISTED;
        (Some(id), small.then_some(id))
    }

    /// The device behind a link address, and whether the operator named it.
    fn at(&self, mac: Mac) -> Option<(DeviceId, bool)> {
        let id = self.by_mac.get(&mac).filter(|b| !b.router)?.device?;
        self.all.get(id.0 as usize - 1).map(|known| (id, known.named))
    }

    /// A device that has no address yet and asks for one.
    fn without_address(&mut self, mac: Mac) -> (Option<DeviceId>, Option<DeviceId>) {
        let behind = self.by_mac.entry(mac).or_default();
        if behind.router || behind.device.is_some() {
            return (behind.device.filter(|_| !behind.router), None);
        }
        if self.all.len() >= DEVICES_KEPT {
            self.dropped += 1;
            return (None, None);
        }
        let named = self.told.iter().any(|t| t.is(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), Some(mac)));
        self.all.push(Known { macs: vec![mac], ips: Vec::new(), named });
        let id = DeviceId(self.all.len() as u32);
        behind.device = Some(id);
        (Some(id), Some(id))
    }

    /// The operator's device: its addresses are one, public ones too. The ids that grew.
    fn joined(&mut self, mac: Option<Mac>, ips: &[IpAddr]) -> Vec<DeviceId> {
        match self.same.iter_mut().find(|g| g.iter().any(|ip| ips.contains(ip))) {
            Some(group) => group.extend(ips.iter().filter(|ip| !group.contains(ip)).copied().collect::<Vec<_>>()),
            None => self.same.push(ips.to_vec()),
        }
        let mut grown: Vec<DeviceId> = ips.iter().filter_map(|ip| self.of(*ip, mac).1).collect();
        let id = ips.first().and_then(|ip| self.by_ip.get(ip)).copied();
        if let (Some(id), Some(mac)) = (id, mac)
            && let Some(known) = self.all.get_mut(id.0 as usize - 1)
            && !known.macs.contains(&mac)
        {
            known.macs.push(mac);
            self.by_mac.entry(mac).or_default().device.get_or_insert(id);
            grown.push(id);
        }
        grown.dedup();
        // One line says all of it.
        grown.drain(..grown.len().saturating_sub(1));
        grown
    }

    /// A binding the link told of.
    fn neighbour(&mut self, fact: &Neighbour) -> Option<DeviceId> {
        let Neighbour { mac: LinkAddress::Plain(mac), ip, source } = fact else { return None };
        if mac.is_multicast() || mac.0 == [0; 6] || ip.is_unspecified() || ip.is_multicast() {
            return None;
        }
        let behind = self.by_mac.entry(*mac).or_default();
        // A proxy that answers ARP for others is a router too; only DHCP and plain private addresses join.
        if behind.router || (*source != NeighbourSource::Dhcp && !is_local(*ip)) {
            return None;
        }
        match (behind.device, self.by_ip.get(ip).copied()) {
            (Some(id), None) => {
                self.by_ip.insert(*ip, id);
                let known = &mut self.all[id.0 as usize - 1];
                known.ips.push(*ip);
                known.named |= self.told.iter().any(|t| t.is(*ip, Some(*mac)));
                Some(id)
            }
            (None, Some(id)) => {
                behind.device = Some(id);
                let known = &mut self.all[id.0 as usize - 1];
                known.macs.push(*mac);
                known.named |= self.told.iter().any(|t| t.is(*ip, Some(*mac)));
                Some(id)
            }
            // A device that never sends anything else is not worth a number; two known ones stay two.
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    fn line(&self, id: DeviceId) -> Option<Device> {
        let known = self.all.get(id.0 as usize - 1)?;
        let label = if known.named || (self.told.is_empty() && id.0 == 1) { self.label.clone() } else { None };
        Some(Device {
            id,
            label,
            macs: known.macs.iter().copied().map(LinkAddress::Plain).collect(),
            ips: known.ips.clone(),
            named: known.named,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::unnecessary_wraps, reason = "tests")]
mod tests {
    use super::*;
    use crate::flow::Transport;

    fn mac(n: u8) -> Option<Mac> {
        Some(Mac([2, 0, 0, 0, 0, n]))
    }

    /// Rows: (address, MAC) in order of appearance, and the device number each must get.
    #[track_caller]
    fn check(rows: &[(&str, Option<Mac>, u32)]) {
        let mut devices = Devices::default();
        for (ip, mac, expect) in rows {
            let (id, _) = devices.of(ip.parse().unwrap(), *mac);
            assert_eq!(id, Some(DeviceId(*expect)), "{ip}");
        }
    }

    #[test]
    fn a_mac_joins_what_is_on_link() {
        check(&[("10.0.0.2", mac(1), 1), ("fe80::1", mac(1), 1), ("10.0.0.3", mac(2), 2), ("10.0.0.2", mac(1), 1)]);
    }

    #[test]
    fn who_asks_for_an_address_is_a_device() {
        check(&[("0.0.0.0", mac(1), 1), ("10.0.0.2", mac(1), 1), ("0.0.0.0", mac(2), 2), ("0.0.0.0", mac(1), 1)]);
        assert_eq!(Devices::default().of("0.0.0.0".parse().unwrap(), None), (None, None));
    }

    #[test]
    fn a_router_joins_nothing() {
        check(&[("8.8.8.8", mac(9), 1), ("1.1.1.1", mac(9), 2), ("10.0.0.1", mac(9), 3), ("10.0.0.9", mac(9), 4)]);
    }

    #[test]
    fn a_public_address_is_no_reason_to_join() {
        check(&[("10.0.0.2", mac(1), 1), ("8.8.8.8", mac(1), 2)]);
    }

    #[test]
    fn a_lab_knows_which_addresses_are_one() {
        let both: Vec<IpAddr> = vec!["10.77.0.10".parse().unwrap(), "fd77::10".parse().unwrap()];
        let mut devices = Devices { same: vec![both.clone()], ..Devices::default() };
        assert_eq!(devices.of(both[0], None).0, devices.of(both[1], None).0);
    }

    #[test]
    fn the_machine_that_watches_is_no_device() {
        let ip: IpAddr = "fd00::1".parse().unwrap();
        let mut devices = Devices { own: mac(1).into_iter().collect(), ..Devices::default() };
        assert_eq!(devices.of(ip, mac(1)), (None, None));
        assert_eq!(devices.of(ip, mac(2)).0, Some(DeviceId(1)));
    }

    /// One flow between two ends, at which so many bytes came back: (nobody's, elsewhere).
    #[track_caller]
    fn through_the_gateway(opener: (&str, u8), back: u64, expect: (u64, u64)) {
        let (flow, at) = (FlowKey::new(1, 1), Time::default());
        let here = vec!["10.9.0.1".parse().unwrap()];
        let mut scribe = Scribe::new(Briefing { own: mac(9).into_iter().collect(), here, ..Briefing::default() });
        scribe.also_here(vec!["fe80::9".parse().unwrap()]);
        let a = std::net::SocketAddr::new(opener.0.parse().unwrap(), 4000);
        let b = "10.9.0.2:5000".parse().unwrap();
        let ends = Ends { transport: Transport::Udp, a, b, a_mac: mac(opener.1), b_mac: mac(1), from_start: true };
        let mut pipeline = crate::pipeline::Pipeline::new(std::sync::Arc::default());
        let mut out = Vec::new();
        pipeline.open(flow, &ends, at, 1, &mut out);
        pipeline.close(flow, crate::flow::FlowEnd::Idle, &crate::flow::Counts { bytes: [9, back], ..Default::default() }, at, 2, &mut out);
        let mut lines = Vec::new();
        for it in out {
            scribe.take(it, &mut lines);
        }
        let ledger = scribe.ledger();
        assert_eq!((ledger.unattributed, ledger.elsewhere), expect, "{opener:?} {back}");
    }

    #[test]
    fn who_answers_somebody_beyond_the_gateway_is_not_known() {
        // The gateway's own words, whoever answers: its addresses, the late one, and none yet.
        for own in ["10.9.0.1", "fe80::9", "::"] {
            through_the_gateway((own, 9), 9, (0, 1));
        }
        // What it forwards to a device that keeps silent, and to one that does not.
        through_the_gateway(("10.8.0.5", 9), 0, (0, 1));
        through_the_gateway(("10.8.0.5", 9), 9, (1, 0));
        // From the Internet: the device is the one inside.
        through_the_gateway(("203.0.113.5", 9), 9, (0, 0));
        // A device's own.
        through_the_gateway(("10.9.0.3", 3), 9, (0, 0));
    }

    #[test]
    fn an_answer_to_all_is_of_no_device() {
        use crate::chunk::{Chunk, Layer, Unit};
        let (flow, at) = (FlowKey::new(1, 1), Time::default());
        let (a, b) = ("255.255.255.255:68".parse().unwrap(), "10.0.0.1:67".parse().unwrap());
        let ends = Ends { transport: Transport::Udp, a, b, a_mac: None, b_mac: mac(7), from_start: true };
        let mut offer = vec![0; 240];
        offer[..3].copy_from_slice(&[2, 1, 6]);
        offer[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        offer.extend([53, 1, 2, 255]);
        let mut pipeline = crate::pipeline::Pipeline::new(std::sync::Arc::default());
        let mut out = Vec::new();
        pipeline.open(flow, &ends, at, 1, &mut out);
        let chunk = Chunk { flow, dir: Dir::Back, unit: Unit::Datagram, layer: Layer::Wire, time: at, frame: 1, bytes: &offer };
        pipeline.chunk(chunk, &mut out);
        pipeline.close(flow, crate::flow::FlowEnd::Idle, &crate::flow::Counts { bytes: [0, 244], ..Default::default() }, at, 2, &mut out);
        let mut scribe = Scribe::new(Briefing::default());
        let mut lines = Vec::new();
        for it in out {
            scribe.take(it, &mut lines);
        }
        assert_eq!((scribe.ledger().unattributed, scribe.ledger().elsewhere), (0, 1));
    }

    /// A device was named by one address, and its link address speaks under another of which nobody knew: it may be the device.
    #[test]
    fn another_address_of_the_named_devices_link_address_is_nobodys() {
        let told = Told::Ip("10.0.0.5".parse().unwrap());
        let ledger = |link: u8| {
            let mut pipeline =
                crate::pipeline::Pipeline::new(std::sync::Arc::new(crate::pipeline::Tools { told: vec![told], ..Default::default() }));
            let mut out = Vec::new();
            for (n, from, link) in [(1, "10.0.0.5:4000", 1), (2, "10.0.0.6:4000", link)] {
                let (a, b) = (from.parse().unwrap(), "198.51.100.9:80".parse().unwrap());
                let ends = Ends { transport: Transport::Udp, a, b, a_mac: mac(link), b_mac: mac(9), from_start: true };
                let (flow, at) = (FlowKey::new(1, n), Time::default());
                pipeline.open(flow, &ends, at, 1, &mut out);
                let counts = crate::flow::Counts { bytes: [9, 0], ..Default::default() };
                pipeline.close(flow, crate::flow::FlowEnd::Idle, &counts, at, 2, &mut out);
            }
            let mut scribe = Scribe::new(Briefing { told: vec![told], ..Briefing::default() });
            let mut lines = Vec::new();
            for it in out {
                scribe.take(it, &mut lines);
            }
            (scribe.ledger().unattributed, scribe.ledger().elsewhere)
        };
        assert_eq!((ledger(1), ledger(2)), ((1, 0), (0, 1)));
    }

    #[test]
    fn who_has_no_address_yet_may_be_the_one_that_was_named() {
        let (zero, told): (IpAddr, IpAddr) = ("0.0.0.0".parse().unwrap(), "10.0.0.5".parse().unwrap());
        // (others seen before, what was told) -> the bound line's device, and the flows that are nobody's.
        let check = |before: &[(&str, u8)], told: Told, expect: (Option<u32>, u64)| {
            let mut scribe = Scribe::new(Briefing { told: vec![told], ..Briefing::default() });
            for (ip, n) in before {
                scribe.devices.of(ip.parse().unwrap(), mac(*n));
            }
            let (flow, at) = (FlowKey::new(1, 1), Time::default());
            let (a, b) = (std::net::SocketAddr::new(zero, 68), "255.255.255.255:67".parse().unwrap());
            let ends = Ends { transport: Transport::Udp, a, b, a_mac: mac(1), b_mac: None, from_start: true };
            let mut pipeline =
                crate::pipeline::Pipeline::new(std::sync::Arc::new(crate::pipeline::Tools { told: vec![told], ..Default::default() }));
            let mut out = Vec::new();
            pipeline.open(flow, &ends, at, 1, &mut out);
            pipeline.close(flow, crate::flow::FlowEnd::Idle, &crate::flow::Counts { bytes: [9, 0], ..Default::default() }, at, 2, &mut out);
            let mut lines = Vec::new();
            for it in out {
                scribe.take(it, &mut lines);
            }
            let device = lines.iter().find_map(|l| if let Observation::Bound(b) = &l.seen { Some(b.device) } else { None }).flatten();
            assert_eq!((device.map(|d| d.0), scribe.ledger().unattributed), expect, "{before:?} {told:?}");
        };
        check(&[], Told::Ip(told), (None, 1));
        check(&[("10.0.0.5", 1)], Told::Ip(told), (Some(1), 0));
        check(&[("10.0.0.9", 1)], Told::Ip(told), (None, 0));
        check(&[("10.0.0.5", 2)], Told::Ip(told), (None, 1));
        check(&[], Told::Mac(mac(2).unwrap()), (None, 0));
        check(&[], Told::Mac(mac(1).unwrap()), (Some(1), 0));
    }

    #[test]
    fn who_is_meant_by_an_address() {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let check = |said: Option<&str>, hidden: bool, given: Option<&str>, expect: &str| {
            let mut scribe = Scribe::new(Briefing::default());
            if let Some(name) = given {
                scribe.take(Out::Named { address, name: Text::ours(name) }, &mut Vec::new());
            }
            let name = said.map(Text::ours);
            let addr = (name.is_none() || hidden).then_some(address);
            let mut peer = Peer { name, addr, port: 443, transport: Transport::Tcp, name_hidden: hidden };
            scribe.name(&mut peer);
            assert_eq!(peer.to_string(), expect);
        };
        check(None, false, None, "192.0.2.7:443");
        check(None, false, Some("shop.test"), "shop.test:443");
        check(Some("shop.test"), false, Some("other.test"), "shop.test:443");
        check(Some("outer.test"), true, Some("shop.test"), "outer.test(192.0.2.7):443 (name hidden)");
        check(Some("shop.test"), true, Some("Shop.test"), "shop.test:443");
    }

    #[test]
    fn an_enrolled_device_is_one_at_all_its_addresses() {
        let ips: Vec<IpAddr> = ["10.0.0.2", "2001:db8::2"].iter().map(|ip| ip.parse().unwrap()).collect();
        let mut devices = Devices::default();
        assert_eq!(devices.joined(mac(1), &ips[..1]), [DeviceId(1)]);
        assert_eq!(devices.joined(mac(1), &ips), [DeviceId(1)]);
        assert_eq!(devices.joined(mac(1), &ips), []);
        assert_eq!(devices.of(ips[1], None).0, Some(DeviceId(1)));
        assert_eq!(devices.of("10.0.0.3".parse().unwrap(), None).0, Some(DeviceId(2)));
        let line = devices.line(DeviceId(1)).unwrap();
        assert_eq!((line.macs.len(), line.ips.len()), (1, 2));
        // A device whose flows came before its link address was known.
        let mut devices = Devices::default();
        devices.of(ips[0], None);
        assert_eq!(devices.joined(mac(1), &ips[..1]), [DeviceId(1)]);
        assert_eq!(devices.line(DeviceId(1)).unwrap().macs.len(), 1);
    }

    #[test]
    fn who_caused_a_flow_is_on_the_lines_that_are_judged_by_it() {
        let (flow, at) = (FlowKey::new(1, 1), Time::default());
        let users = |rows: &str| {
            let actors = policies::actors::parse("actors.csv", &format!("flow|window,package,class\n{rows}")).unwrap();
            let mut scribe = Scribe::new(Briefing { actors, ..Briefing::default() });
            let (a, b) = ("10.9.0.2:4000".parse().unwrap(), "192.0.2.7:5000".parse().unwrap());
            let ends = Ends { transport: Transport::Udp, a, b, a_mac: mac(1), b_mac: mac(2), from_start: true };
            let (mut pipeline, mut out) = (crate::pipeline::Pipeline::new(std::sync::Arc::default()), Vec::new());
            pipeline.open(flow, &ends, at, 1, &mut out);
            let counts = crate::flow::Counts { bytes: [9, 0], ..Default::default() };
            pipeline.close(flow, crate::flow::FlowEnd::Idle, &counts, at, 2, &mut out);
            let mut lines: Vec<Line> = Vec::new();
            for it in out {
                scribe.take(it, &mut lines);
            }
            let flows = lines.iter().filter_map(|line| match &line.seen {
                Observation::Flow(closed) => Some(closed.users),
                _ => None,
            });
            flows.collect::<Vec<bool>>()
        };
        let time = "1970-01-01T00:00:00Z/1970-01-01T00:00:01Z,org.example.app";
        let own = "udp 10.9.0.2:4000>192.0.2.7:5000,org.example.app";
        assert_eq!(users(""), [false]);
        assert_eq!(users(&format!("{own},user-app\n")), [true]);
        assert_eq!(users(&format!("{own},browser\n")), [true]);
        assert_eq!(users(&format!("{own},os\n")), [false]);
        assert_eq!(users(&format!("{time},user-app\n")), [false], "that an app was used at the time is no proof that it was the app");
        assert_eq!(users(&format!("{time},user-app\n{own},preloaded\n")), [false]);
        assert_eq!(users(&format!("{time},os\n{own},user-app\n")), [true]);
    }

    #[test]
    fn arp_joins() {
        let mut devices = Devices::default();
        let (one, _) = devices.of("10.0.0.2".parse().unwrap(), None);
        let fact = |ip: &str| Neighbour { mac: mac(1).unwrap().into(), ip: ip.parse().unwrap(), source: NeighbourSource::Arp };
        assert_eq!(devices.neighbour(&fact("10.0.0.2")), one);
        assert_eq!(devices.neighbour(&fact("10.0.0.7")), one);
        assert_eq!(devices.of("10.0.0.7".parse().unwrap(), None).0, one);
    }
}
