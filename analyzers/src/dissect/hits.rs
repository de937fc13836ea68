//! What was found in a flow so far, and the lines that say so: the same value at the same place is told once, then counted.

use std::net::IpAddr;

use indexmap::IndexMap;
use policies::{IdentifierType, Time};

use crate::chunk::Layer;
use crate::dissect::Cx;
use crate::dissect::marks::Origin;
use crate::dissect::search::{Place, Spot};
use crate::flow::{Dir, Ends, Transport};
use crate::leak::{self, Found};
use crate::observation::{App, Exposure, Grade, Hit, HitDirection, NotParsed, Rank, is_local};
use crate::pipeline::Out;
use crate::sealed;
use crate::text::Text;

/// Distinct finds of one flow that are written, of each rank. A flow that sends more has long been told; a planted value is told all the
/// same when it comes for the first time.
const MOST_HITS: usize = 256;

/// What was found in a flow so far: the same value at the same place is written once, then counted.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    seen: IndexMap<u64, Again, foldhash::fast::FixedState>,
    /// How many of them were told, of each rank.
    told: [usize; Rank::COUNT],
    /// Bytes of finds beyond the limit: of planted values, and by direction of what only has a shape or a name.
    folded: u64,
    folded_shapes: [u64; 2],
    /// Bytes of messages whose codings were not undone to the end.
    pub(super) unpeeled: u64,
    /// Bytes that a reader of the wire may understand and that were not searched, by direction; and the same under encryption.
    pub(super) unsearched: [u64; 2],
    pub(super) unsearched_inside: [u64; 2],
    /// Bytes on the wire that were searched as they passed, in plain and in one coding, by direction.
    pub(super) streamed: [u64; 2],
}

#[derive(Debug)]
struct Again {
    hit: Hit,
    frame: u64,
    at: Time,
    times: u64,
}

impl Hits {
    /// Counts what was found before, at a place of the same name; the same bytes found in another way are not there twice.
    pub(super) fn again(&mut self, key: u64, grade: Grade, origin: Origin) -> bool {
        let Some(again) = self.seen.get_mut(&key).filter(|again| again.hit.grade >= grade) else { return false };
        if (again.hit.offset, again.hit.len, again.frame) == (origin.offset, origin.len, origin.frame) {
            return true;
        }
        again.times += 1;
        (again.hit.offset, again.hit.len) = (origin.offset, origin.len);
        (again.frame, again.at) = (origin.frame, origin.time);
        true
    }

    /// Whether this was found for certain, at a place of the same name.
    pub(super) fn proven(&self, key: u64) -> bool {
        self.seen.get(&key).is_some_and(|again| again.hit.grade == Grade::Proof)
    }

    /// Whether one more find of this rank is told. Of planted values there are as many as the operator planted.
    fn has_room(&self, rank: Rank, token: &[u8; 16], layer: Layer, dir: Dir) -> bool {
        if self.told.get(rank as usize).is_some_and(|told| *told < MOST_HITS) {
            return true;
        }
        let token = crate::encode::hex(token);
        let is_same = |hit: &Hit| hit.grade == Grade::Proof && (hit.layer, hit.dir) == (layer, dir) && hit.token.as_str() == token;
        rank == Rank::Proof && !self.seen.values().any(|again| is_same(&again.hit))
    }
}

/// What a value, how it was coded and the place it was found at are known by. `coding` is that of the bytes searched at this place.
pub(super) fn again_key(token: &[u8; 16], coding: u64, spot: &Spot<'_>) -> u64 {
    use std::hash::{BuildHasher, Hash, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    (token, coding.wrapping_add(leak::coding(spot.chain.iter().copied()))).hash(&mut hasher);
    (spot.layer as u8, spot.dir, std::mem::discriminant(&spot.place)).hash(&mut hasher);
    if let Place::Of(place) | Place::Field(place, _) = spot.place {
        place.hash(&mut hasher);
    }
    if let Some(name) = spot.place.name() {
        name.len().hash(&mut hasher);
        for b in name {
            hasher.write_u8(b.to_ascii_lowercase());
        }
    }
    hasher.finish()
}

/// A find on its way to a line.
pub(super) struct Find<'a> {
    pub(super) kind: IdentifierType,
    pub(super) field: Option<Text>,
    pub(super) grade: Grade,
    pub(super) mask: Text,
    pub(super) token: [u8; 16],
    pub(super) chain: &'a [Text],
    pub(super) value: &'a [u8],
}

impl Cx<'_> {
    pub(super) fn found(&mut self, f: &Found, spot: &Spot<'_>, origin: Origin) {
        let value = f.value.expose();
        let find =
            Find { kind: f.kind, field: f.seed.clone(), grade: f.grade, mask: f.mask.clone(), token: f.token, chain: &f.chain, value };
        self.hit(&find, spot, origin);
    }

    pub(super) fn hit(&mut self, find: &Find<'_>, spot: &Spot<'_>, origin: Origin) {
        let key = again_key(&find.token, leak::coding(find.chain.iter().map(Text::as_str)), spot);
        if self.known.hits().again(key, find.grade, origin) {
            return;
        }
        let authorizes = matches!(spot.place, Place::RequestHeader(name) if name.eq_ignore_ascii_case(b"authorization"));
        let chain_has = |word: &str| spot.chain.contains(&word) || find.chain.iter().any(|step| step.as_str() == word);
        let rank = Rank::of_hit(find.kind, find.grade, authorizes, chain_has);
        if !self.known.hits().has_room(rank, &find.token, spot.layer, spot.dir) {
            let hits = self.known.hits();
            let folded = if rank == Rank::Proof { &mut hits.folded } else { &mut hits.folded_shapes[spot.dir.index()] };
            *folded += origin.len.max(1);
            return;
        }
        // A header's name is the sender's word too, and lower case would hide what it says in base64.
        let told = spot.place.name().is_none_or(|name| self.text(name).as_str().as_bytes() == name);
        let place = if told { spot.place } else { spot.place.unnamed() }.to_string();
        self.known.hits().told[rank as usize] += 1;
        self.bind();
        let local = on_link(&self.known.ends);
        let direction = match self.known.side {
            // What another host answers is its word, on a link as elsewhere.
            side if local && side.is_none_or(|side| side == spot.dir) => HitDirection::Local,
            Some(side) if side != spot.dir => HitDirection::In,
            None if spot.dir == Dir::Back => HitDirection::In,
            _ => HitDirection::Out,
        };
        let exposure = match spot.layer {
            Layer::Decrypted => self.known.exposure,
            Layer::Wire if local => Exposure::LocalLink,
            Layer::Wire => Exposure::Cleartext,
        };
        let hit = Hit {
            kind: find.kind,
            field: find.field.clone(),
            grade: find.grade,
            masked: find.mask.clone(),
            token: Text::ours(crate::encode::hex(&find.token)),
            layer: spot.layer,
            direction,
            place: Text::ours(&place),
            chain: spot.chain.iter().map(Text::ours).chain(find.chain.iter().cloned()).collect(),
            exposure,
            dir: spot.dir,
            offset: origin.offset,
            len: origin.len,
            sealed: None,
            repeats: 0,
        };
        self.out.put(Out::Sealed(sealed::Value { token: find.token, flow: self.flow, bytes: find.value.to_vec() }));
        self.see_at(origin.time, origin.frame, hit.clone());
        self.known.hits().seen.insert(key, Again { hit, frame: origin.frame, at: origin.time, times: 0 });
    }

    /// The flow closes: values that came again get a second line, for the last time they came and how often in between.
    pub(crate) fn close_hits(&mut self, app: App) {
        let Some(hits) = self.known.hits.take() else { return };
        for (_, again) in hits.seen {
            if again.times > 0 {
                self.see_at(again.at, again.frame, Hit { repeats: again.times - 1, ..again.hit });
            }
        }
        // What only the other side said changes no answer about the device; on a link, either may be one.
        let local = on_link(&self.known.ends);
        let side = self.known.side.unwrap_or(Dir::Out);
        let of_device = |counts: [u64; 2]| if local { counts[0] + counts[1] } else { counts[side.index()] };
        // Nor do values that only look like some in what the peer says, however many they are.
        let limit = hits.folded + of_device(hits.folded_shapes) + hits.unpeeled + of_device(hits.unsearched);
        let inside = of_device(hits.unsearched_inside);
        let streamed = of_device(hits.streamed);
        for (reason, bytes) in [(NotParsed::Limit, limit), (NotParsed::NotBuilt, inside), (NotParsed::Streamed, streamed)] {
            if bytes > 0 {
                self.not_parsed(app, reason, bytes);
            }
        }
    }
}

/// Whether a flow stays on the local link by its addresses, or by a protocol that only speaks there.
///
/// Private addresses alone do not say so: a home's DNS forwarder and a laboratory's servers have them too, and what a device sends to one host
/// of its link is no announcement; nor is a login, which goes to one who lets in, and often further.
pub(super) fn on_link(ends: &Ends) -> bool {
    /// mDNS, LLMNR, SSDP, NetBIOS names, DHCP and DHCPv6.
    const PORTS: [u16; 8] = [5353, 5355, 1900, 137, 67, 68, 546, 547];
    let link = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    };
    if ends.transport.is_link() {
        return false;
    }
    let (a, b) = (ends.a.ip(), ends.b.ip());
    let speaks = ends.transport == Transport::Icmp || PORTS.iter().any(|p| ends.a.port() == *p || ends.b.port() == *p);
    link(a) || link(b) || is_local(a) && is_local(b) && speaks
}

#[cfg(test)]
mod tests {
    use crate::dissect::testing::{datagram, seeking, stream, told};

    /// A value in plain and coded in one message, in whatever order, is two facts; one that comes again in the same form is one.
    #[test]
    fn every_form_is_told() {
        let run = |bytes: &[u8]| {
            let tools = seeking(&[(policies::IdentifierType::Imei, "490154203237518")]);
            let mut told = told(&datagram(tools, ("192.0.2.1:5000", "198.51.100.1:5000"), bytes));
            told.sort_unstable();
            told
        };
        let (plain, base64, hex) = ("490154203237518", "NDkwMTU0MjAzMjM3NTE4", "343930313534323033323337353138");
        for text in [format!("a={plain} b={base64}"), format!("a={base64} b={plain}"), format!("a={base64} b={plain} c={base64} d={plain}")]
        {
            assert_eq!(run(text.as_bytes()), ["udp.datagram", "udp.datagram base64"], "{text}");
        }
        assert_eq!(run(format!("a={hex} b={base64}").as_bytes()), ["udp.datagram base64", "udp.datagram hex"]);
        assert_eq!(run(format!("a={plain} b={plain}").as_bytes()), ["udp.datagram"]);
    }

    /// What a dissector undid and what the search undid is one form.
    #[test]
    fn one_form_is_told_once() {
        let tools = seeking(&[(policies::IdentifierType::Password, "kumquat-Zeppelin-77")]);
        let login = b"EHLO a\r\nAUTH PLAIN AHRpbGRhAGt1bXF1YXQtWmVwcGVsaW4tNzc=\r\n";
        let told = told(&stream(tools, ("192.0.2.1:5000", "198.51.100.1:25"), login));
        assert_eq!(told.iter().filter(|hit| !hit.ends_with('?')).collect::<Vec<_>>(), ["tcp.stream base64"]);
    }
}
