//! Folds lines into the rows of report.json, in bounded memory: lists stop at `rows` and go on to the hook.
//!
//! Long, for every kind of row is folded here.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use analyzers::encode::Digest;
use analyzers::flow::{Close, FlowId};
use analyzers::journal::{Line, LineNo};
use analyzers::observation::{
    self, Arm, Bound, Certificate, Flow, Hello, Hit, Ledger, NameSource, Observation, ReactionKind, Request, RunKind, TrialEnd,
};
use analyzers::reading::Reading;
use analyzers::subject::{Actor, DeviceId, Peer};
use analyzers::text::Text;
use foldhash::fast::FixedState;
use indexmap::{Equivalent, IndexMap};
use policies::Time;

use crate::places::Places;
use crate::rows::{
    ActorRow, CountRow, DamageRow, DeviceRow, EventRow, FlowRow, InputRow, LeakRow, NameRow, PresenceRow, RequestRow, Row, SubjectRow,
    Suite, Table, Tabular, TlsRow, TreatmentRow, TrialRow, Version, actor_word, peer_word, version_word,
};
use crate::timeline::{Lane, Timeline};

/// Rows kept per list unless `--rows` says otherwise (interface: *report.json*).
pub const ROWS: usize = 50_000;

/// Distinct names counted one by one; a later new name has a row per sighting. The scribe keeps as many.
const NAMES_COUNTED: usize = 1 << 17;
/// Flows whose peer, device and half-told handshake are remembered; past it the oldest are let go, their handshakes as far as they were told.
const OPEN_KEPT: usize = 1 << 18;
/// Devices, actors, standing changes, inputs: lists that are short by nature. A hostile input can make them long, and then they stop.
const FEW_KEPT: usize = 1 << 14;
/// Certificates and presented chains kept for showing beside fails.
const CHAINS_KEPT: usize = 1 << 12;

/// What a [`Tables`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows per list.
    pub rows: usize,
    /// Hand every row to the hook, also those of lists that fit (`--tables`).
    pub stream_all: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { rows: ROWS, stream_all: false }
    }
}

/// Reads lines, makes rows. `hook` gets the rows of every list that outgrows its limit, from that list's first row on.
#[derive(Debug)]
pub struct Tables<F> {
    out: Tabled,
    lists: Lists<F>,
    open: BTreeMap<FlowId, Open>,
    /// Of flows that were read live: their first frame, and how the client left.
    captured: BTreeMap<FlowId, (Option<u64>, Option<Close>)>,
    names: IndexMap<NameKey, Seen, FixedState>,
    shared: Shared,
    devices: BTreeMap<DeviceId, DeviceRow>,
    actors: IndexMap<Actor, u64, FixedState>,
    sums: Ledger,
    apps: BTreeMap<&'static str, u64>,
    /// The run's ledger was read: its traffic is over.
    ended: bool,
    reveal: BTreeMap<String, Text>,
}

/// The rows, and what else a report tells.
#[derive(Debug, Default)]
pub struct Tabled {
    pub run: Option<observation::Run>,
    pub started: Option<Time>,
    pub ended: Option<Time>,
    pub inputs: Vec<InputRow>,
    pub events: Vec<EventRow>,
    pub treatments: Vec<TreatmentRow>,
    pub presence: Vec<PresenceRow>,
    pub devices: Vec<DeviceRow>,
    pub actors: Vec<ActorRow>,
    pub flows: Vec<FlowRow>,
    pub tls: Vec<TlsRow>,
    pub names: Vec<NameRow>,
    pub requests: Vec<RequestRow>,
    pub leaks: Vec<LeakRow>,
    pub trials: Vec<TrialRow>,
    /// Lists that were longer than their limit, with their whole length.
    pub truncated: Vec<(Table, u64)>,
    /// What the run saw: its own last word if it had one, else summed from its flows.
    pub ledger: Ledger,
    /// Odd things by kind: damage and surprises, never verdicts.
    pub odd: BTreeMap<String, u64>,
    /// Encrypted flows that were not opened, by protocol and reason.
    pub undecrypted: BTreeMap<String, u64>,
    pub places: Places,
    /// Frames of lines that were written before their packets were read.
    pub frames: BTreeMap<LineNo, u64>,
    pub timeline: Timeline,
    pub certificates: IndexMap<Digest, Certificate>,
    /// By flow: the chain that was presented, and the honest one it was mirrored from.
    pub presented: BTreeMap<FlowId, Presented>,
    /// Lines read up to the end of the run.
    pub lines: u64,
    /// There are lines, and none that ends the run.
    pub unfinished: bool,
}

/// What the gateway showed on one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    pub attack: Option<Text>,
    pub chain: Vec<Digest>,
    pub honest: Vec<Digest>,
}

/// What is remembered of a flow until it closes.
#[derive(Debug, Default)]
struct Open {
    device: Option<DeviceId>,
    peer: Option<Arc<str>>,
    actor: Option<Box<str>>,
    tls: Option<Box<TlsRow>>,
}

#[derive(Debug, PartialEq, Eq)]
struct NameKey {
    name: Text,
    source: NameSource,
    device: Option<DeviceId>,
}

/// A key to look up without cloning the name.
struct NameRef<'a>(&'a Text, NameSource, Option<DeviceId>);

impl Hash for NameKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NameRef(&self.name, self.source, self.device).hash(state);
    }
}

impl Hash for NameRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1, self.2).hash(state);
    }
}

impl Equivalent<NameKey> for NameRef<'_> {
    fn equivalent(&self, key: &NameKey) -> bool {
        *self.0 == key.name && self.1 == key.source && self.2 == key.device
    }
}

#[derive(Debug)]
struct Seen {
    count: u64,
    flow: Option<FlowId>,
    frame: Option<u64>,
    line: LineNo,
}

/// Words that stand in many rows, kept once: each line brings its own.
#[derive(Debug, Default)]
struct Shared {
    words: HashSet<Text, FixedState>,
    peers: HashSet<Arc<str>, FixedState>,
    alpn: HashSet<Arc<[Text]>, FixedState>,
    chains: HashSet<Arc<[Digest]>, FixedState>,
}

/// Words that are kept, and lists of them; those of devices are few.
const SHARED: usize = 1 << 13;

impl Shared {
    fn of(&mut self, word: &Text) -> Text {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        if self.words.len() < SHARED {
            self.words.insert(word.clone());
        }
        word.clone()
    }

    fn peer(&mut self, peer: &Peer) -> Arc<str> {
        let word = peer_word(peer);
        if let Some(known) = self.peers.get(word.as_str()) {
            return known.clone();
        }
        let word: Arc<str> = word.into();
        if self.peers.len() < SHARED {
            self.peers.insert(word.clone());
        }
        word
    }

    fn alpn(&mut self, offered: &[Text]) -> Arc<[Text]> {
        shared(&mut self.alpn, offered)
    }

    fn chain(&mut self, chain: &[Digest]) -> Arc<[Digest]> {
        shared(&mut self.chains, chain)
    }
}

fn shared<T: Clone + Eq + Hash>(known: &mut HashSet<Arc<[T]>, FixedState>, list: &[T]) -> Arc<[T]> {
    if let Some(known) = known.get(list) {
        return known.clone();
    }
    let list: Arc<[T]> = list.into();
    if known.len() < SHARED {
        known.insert(list.clone());
    }
    list
}

/// The lists that can grow with the input, and what happens when they do.
#[derive(Debug)]
struct Lists<F> {
    limits: Limits,
    hook: F,
    totals: [u64; Table::ALL.len()],
}

impl<F: FnMut(Table, Row<'_>)> Lists<F> {
    fn push<T: Tabular>(&mut self, list: &mut Vec<T>, row: T) {
        let table = T::TABLE;
        let Some(total) = self.totals.get_mut(table as usize) else { return };
        *total += 1;
        let fits = list.len() < self.limits.rows;
        if self.limits.stream_all {
            (self.hook)(table, row.row());
        } else if !fits {
            if *total == list.len() as u64 + 1 {
                // The first row too many: the file holds all, so those that were kept go before it.
                for kept in list.iter() {
                    (self.hook)(table, kept.row());
                }
            }
            (self.hook)(table, row.row());
        }
        if fits {
            // Doubled, a list would take up to twice the room its limit needs.
            if list.len() == list.capacity() {
                list.reserve_exact(list.len().max(64).min(self.limits.rows - list.len()));
            }
            list.push(row);
        }
    }
}

impl Tables<fn(Table, Row<'_>)> {
    /// Keeps up to [`ROWS`] rows per list and lets go of the rest, counted.
    pub fn new() -> Self {
        Tables::streaming(Limits::default(), |_, _| {})
    }
}

impl Default for Tables<fn(Table, Row<'_>)> {
    fn default() -> Self {
        Tables::new()
    }
}

impl<F: FnMut(Table, Row<'_>)> Tables<F> {
    /// `hook` writes `tables/*.jsonl`: it gets all rows of each list that outgrows `limits.rows`.
    pub fn streaming(limits: Limits, hook: F) -> Tables<F> {
        Tables {
            out: Tabled::default(),
            lists: Lists { limits, hook, totals: [0; Table::ALL.len()] },
            open: BTreeMap::new(),
            captured: BTreeMap::new(),
            names: IndexMap::default(),
            shared: Shared::default(),
            devices: BTreeMap::new(),
            actors: IndexMap::default(),
            sums: Ledger::default(),
            apps: BTreeMap::new(),
            ended: false,
            reveal: BTreeMap::new(),
        }
    }

    /// Shows values beside their masks: token → value. Only for `--reveal`, which the caller journals.
    pub fn revealing(mut self, values: BTreeMap<String, Text>) -> Tables<F> {
        self.reveal = values;
        self
    }

    fn open(&mut self, flow: FlowId) -> &mut Open {
        if self.open.len() >= OPEN_KEPT
            && !self.open.contains_key(&flow)
            && let Some((_, oldest)) = self.open.pop_first()
        {
            self.tls(oldest.tls);
        }
        self.open.entry(flow).or_default()
    }

    fn tls(&mut self, row: Option<Box<TlsRow>>) {
        if let Some(row) = row {
            self.lists.push(&mut self.out.tls, *row);
        }
    }

    fn name(&mut self, name: &Text, source: NameSource, line: &Line) {
        if name.is_empty() {
            return;
        }
        let of_flow = line.flow.and_then(|f| self.open.get(&f)).and_then(|o| o.device);
        let device = line.subject.as_ref().and_then(|s| s.device).or(of_flow);
        if let Some(seen) = self.names.get_mut(&NameRef(name, source, device)) {
            seen.count += 1;
        } else if self.names.len() < NAMES_COUNTED.max(self.lists.limits.rows) {
            let key = NameKey { name: name.clone(), source, device };
            self.names.insert(key, Seen { count: 1, flow: line.flow, frame: line.frame, line: line.n });
        } else {
            let row = NameRow { name: name.clone(), source, device, count: 1, flow: line.flow, frame: line.frame, line: line.n };
            self.lists.late_name(&row);
        }
    }

    fn bound(&mut self, flow: FlowId, bound: &Bound, line: &Line) {
        if bound.named_by == Some(NameSource::Connect)
            && let Some(name) = &bound.peer.name
        {
            self.name(name, NameSource::Connect, line);
        }
        if let Some(count) = self.actors.get_mut(&bound.actor) {
            *count += 1;
        } else if self.actors.len() < FEW_KEPT {
            self.actors.insert(bound.actor.clone(), 1);
        }
        let peer = self.shared.peer(&bound.peer);
        let open = self.open(flow);
        open.device = bound.device;
        open.peer = Some(peer);
        open.actor = actor_word(&bound.actor).map(Into::into);
    }

    fn flow(&mut self, id: FlowId, flow: &Flow, line: &Line) {
        let open = self.open.remove(&id).unwrap_or_default();
        self.tls(open.tls);
        self.out.timeline.count(flow.first, Lane::Flows);
        self.sums.flows += 1;
        self.sums.analysed += flow.coverage.analysed;
        self.sums.encrypted += flow.coverage.encrypted;
        self.sums.unparsed += flow.coverage.unparsed;
        self.sums.missed += flow.counts.missing[0] + flow.counts.missing[1];
        *self.apps.entry(flow.app.word()).or_default() += 1;
        let row = FlowRow {
            id,
            community_id: flow.community_id.clone(),
            src: flow.a.ip(),
            sport: flow.a.port(),
            dst: flow.b.ip(),
            dport: flow.b.port(),
            proto: flow.transport,
            packets: flow.counts.packets[0] + flow.counts.packets[1],
            bytes: flow.counts.bytes[0] + flow.counts.bytes[1],
            app: flow.app,
            peer: open.peer,
            actor: open.actor,
            device: open.device,
            first: flow.first,
            last: flow.last,
            frame: (flow.first_frame > 0).then_some(flow.first_frame).or(line.frame),
            end: flow.end,
            missed: flow.counts.missing[0] + flow.counts.missing[1],
        };
        self.lists.push(&mut self.out.flows, row);
    }

    fn hello(&mut self, flow: FlowId, hello: &Hello, line: &Line) {
        // DTLS comes in datagrams too.
        let quic = hello.is_quic();
        if let Some(sni) = &hello.sni
            && !hello.retry
        {
            self.name(sni, if quic { NameSource::QuicSni } else { NameSource::Sni }, line);
        }
        if hello.retry && self.open(flow).tls.is_some() {
            return;
        }
        let row = TlsRow {
            sni: hello.sni.as_ref().map(|name| self.shared.of(name)),
            ja4: Some(self.shared.of(&hello.ja4)),
            ja3: Some(self.shared.of(&hello.ja3)),
            client: Some(hello.class),
            offered: hello.versions.iter().copied().map(Version).collect(),
            offered_alpn: self.shared.alpn(&hello.alpn),
            ech: hello.ech,
            quic,
            ..unanswered(flow, line)
        };
        let earlier = self.open(flow).tls.replace(Box::new(row));
        self.tls(earlier);
    }

    /// The half-told handshake of a flow, begun if its ClientHello was not seen.
    fn handshake(&mut self, flow: FlowId, line: &Line) -> &mut TlsRow {
        self.open(flow).tls.get_or_insert_with(|| Box::new(unanswered(flow, line)))
    }

    fn request(&mut self, request: &Request, line: &Line) {
        if let Some(host) = &request.host {
            self.name(host, NameSource::HttpHost, line);
        }
        self.out.timeline.count(line.at, Lane::Requests);
        let row = RequestRow {
            flow: line.flow,
            frame: line.frame,
            layer: request.layer,
            method: self.shared.of(&request.method),
            url: self.shared.of(&request.url),
            status: request.status,
            request_bytes: request.request_bytes,
            response_bytes: request.response_bytes,
            user_agent: request.user_agent.as_ref().map(|word| self.shared.of(word)),
            response_type: request.response_type.as_ref().map(|word| self.shared.of(word)),
            line: line.n,
        };
        self.lists.push(&mut self.out.requests, row);
    }

    fn hit(&mut self, hit: &Hit, line: &Line) {
        self.out.timeline.count(line.at, Lane::Leaks);
        let of_flow = line.flow.and_then(|f| self.open.get(&f)).and_then(|o| o.peer.clone());
        let of_subject = || line.subject.as_ref().and_then(|s| s.peer.as_ref());
        let peer = of_flow.or_else(|| of_subject().map(|peer| self.shared.peer(peer)));
        let row = LeakRow {
            kind: hit.kind,
            persona_field: hit.field.as_ref().map(|word| self.shared.of(word)),
            grade: hit.grade,
            masked: self.shared.of(&hit.masked),
            value: self.reveal.get(hit.token.as_str()).cloned(),
            digest: (!hit.token.is_empty()).then(|| self.shared.of(&hit.token)),
            flow: line.flow,
            frame: line.frame,
            layer: hit.layer,
            direction: hit.direction,
            place: self.shared.of(&hit.place),
            chain: hit.chain.iter().map(|word| self.shared.of(word)).collect(),
            peer,
            exposure: hit.exposure,
            count: hit.repeats + 1,
            line: line.n,
        };
        self.lists.push(&mut self.out.leaks, row);
    }

    fn trial(&mut self, trial: &observation::Trial, line: &Line) {
        self.out.timeline.count(line.at, Lane::Trials);
        let attack = match (trial.arm, &trial.attack) {
            (Arm::Attack, Some(id)) => id.as_str().to_owned(),
            (Arm::Attack, None) => "?".to_owned(),
            (Arm::Control, _) => "control".to_owned(),
            (Arm::Pass, _) => "pass".to_owned(),
        };
        let row = TrialRow {
            n: trial.n,
            attack,
            subject: line.subject.as_ref().map(SubjectRow::from).unwrap_or_default(),
            at: line.at,
            flows: trial.flows.clone(),
            reaction: trial.result,
            grade: format!("{:?}", trial.grade),
            alert: trial.alert,
            close: match trial.end {
                TrialEnd::Fin | TrialEnd::CloseNotify => Close::Fin,
                TrialEnd::Rst => Close::Rst,
                TrialEnd::Alert | TrialEnd::Timeout | TrialEnd::Us => Close::None,
            },
            version: trial.version.map(version_word),
            cut_short: trial.cut_short,
            line: line.n,
        };
        self.lists.push(&mut self.out.trials, row);
    }

    fn in_capture(&mut self, flow: FlowId, captured: &observation::InCapture, frame: Option<u64>) {
        if self.captured.len() < OPEN_KEPT {
            self.captured.insert(flow, (frame, captured.close));
        }
        let room = OPEN_KEPT.saturating_sub(self.out.frames.len());
        self.out.frames.extend(captured.lines.iter().copied().take(room));
    }

    fn input(&mut self, input: &observation::Input) {
        let count = |t: &observation::Tally| CountRow { name: t.name.clone(), count: t.count };
        let row = InputRow {
            path: input.path.clone(),
            sha256: input.sha256,
            bytes: input.bytes,
            packets: input.packets,
            first: input.first,
            last: input.last,
            link_types: input.link_types.clone(),
            truncated: input.truncated,
            damage: input.damage.iter().map(|d| DamageRow { offset: d.offset, what: d.what.clone() }).collect(),
            unread: input.unread.iter().map(count).collect(),
            dropped: input.dropped,
            late_secrets: input.late_secrets,
        };
        few(&mut self.out.inputs, row);
    }

    fn device(&mut self, device: &observation::Device) {
        let row = DeviceRow {
            id: device.id,
            macs: device.macs.iter().map(ToString::to_string).collect(),
            ips: device.ips.clone(),
            label: device.label.clone(),
        };
        if self.devices.len() < FEW_KEPT || self.devices.contains_key(&device.id) {
            self.devices.insert(device.id, row);
        }
    }
}

impl Tabled {
    /// Gives rows of a live run what its own capture told of them.
    fn put_in_capture(&mut self, captured: &BTreeMap<FlowId, (Option<u64>, Option<Close>)>) {
        let Tabled { frames, flows, tls, names, requests, leaks, .. } = self;
        let rows = tls.iter_mut().map(|row| (&mut row.frame, row.line)).chain(names.iter_mut().map(|row| (&mut row.frame, row.line)));
        let rows = rows.chain(requests.iter_mut().map(|row| (&mut row.frame, row.line)));
        for (frame, line) in rows.chain(leaks.iter_mut().map(|row| (&mut row.frame, row.line))) {
            *frame = frame.or_else(|| frames.get(&line).copied());
        }
        for row in flows {
            row.frame = row.frame.or(captured.get(&row.id).and_then(|(frame, _)| *frame));
        }
        for row in tls.iter_mut().filter(|row| row.close == Close::None) {
            row.close = captured.get(&row.flow).and_then(|(_, close)| *close).unwrap_or(Close::None);
        }
    }
}

impl<F: FnMut(Table, Row<'_>)> Lists<F> {
    /// A name past those that are counted: it is told, once per sighting.
    fn late_name(&mut self, row: &NameRow) {
        if let Some(total) = self.totals.get_mut(Table::Names as usize) {
            *total += 1;
        }
        (self.hook)(Table::Names, Row::Name(row));
    }
}

fn few<T>(list: &mut Vec<T>, row: T) {
    if list.len() < FEW_KEPT {
        list.push(row);
    }
}

fn unanswered(flow: FlowId, line: &Line) -> TlsRow {
    TlsRow {
        flow,
        frame: line.frame,
        sni: None,
        version: None,
        cipher: None,
        alpn: None,
        ja4: None,
        ja3: None,
        client: None,
        offered: Box::default(),
        offered_alpn: Arc::default(),
        chain_sha256: Arc::default(),
        client_chain_sha256: Box::default(),
        resumed: false,
        reaction: ReactionKind::Unknown,
        alert: None,
        close: Close::None,
        ech: false,
        quic: false,
        line: line.n,
    }
}

impl<F: FnMut(Table, Row<'_>)> Reading for Tables<F> {
    type End = Tabled;

    fn line(&mut self, line: &Line) {
        self.out.places.note(line);
        self.out.started = Some(self.out.started.map_or(line.at, |t| t.min(line.at)));
        // What a later command adds is of another time.
        if !self.ended {
            self.out.lines += 1;
            self.out.ended = self.out.ended.max(Some(line.at));
        }
        self.ended |= matches!(line.seen, Observation::Ledger(_));
        match (&line.seen, line.flow) {
            (Observation::Run(run), _) => {
                self.out.run.get_or_insert_with(|| run.clone());
            }
            (Observation::Input(input), _) => self.input(input),
            (Observation::Device(device), _) => self.device(device),
            (Observation::Bound(bound), Some(flow)) => self.bound(flow, bound, line),
            (Observation::Flow(closed), Some(id)) => self.flow(id, closed, line),
            (Observation::Hello(hello), Some(flow)) => self.hello(flow, hello, line),
            (Observation::Served(served), Some(flow)) => {
                let chain = self.shared.chain(&served.chain);
                let row = self.handshake(flow, line);
                row.version = Some(Version(served.version));
                row.cipher = Some(Suite(served.suite));
                row.alpn.clone_from(&served.alpn);
                row.chain_sha256 = chain;
                row.resumed = served.resumed;
            }
            (Observation::Reaction(reaction), Some(flow)) => {
                let row = self.handshake(flow, line);
                row.reaction = reaction.reaction;
                row.client_chain_sha256 = reaction.client_chain.as_slice().into();
                row.alert = reaction.alert;
                row.close = reaction.close;
            }
            (Observation::Certificate(certificate), _) if self.out.certificates.len() < CHAINS_KEPT => {
                self.out.certificates.entry(certificate.sha256).or_insert_with(|| certificate.clone());
            }
            (Observation::Request(request), _) => self.request(request, line),
            (Observation::Question(question), _) => self.name(&question.name, question.source, line),
            (Observation::Lease(lease), _) => {
                for name in lease.host_name.iter().chain(&lease.fqdn) {
                    self.name(name, NameSource::Dhcp, line);
                }
            }
            (Observation::Announcement(announcement), _) => self.name(&announcement.name, announcement.source, line),
            (Observation::Hit(hit), _) => self.hit(hit, line),
            (Observation::Trial(trial), _) => self.trial(trial, line),
            (Observation::Treatment(treatment), Some(flow)) if !treatment.chain.is_empty() && self.out.presented.len() < CHAINS_KEPT => {
                let honest = treatment.honest_chain.clone();
                self.out.presented.insert(flow, Presented { attack: treatment.attack.clone(), chain: treatment.chain.clone(), honest });
            }
            (Observation::Standing(standing), _) => {
                few(&mut self.out.treatments, TreatmentRow { at: line.at, what: standing.what.clone(), state: standing.state.clone() });
            }
            (Observation::Presence(presence), _) => {
                few(&mut self.out.presence, PresenceRow { at: line.at, device: presence.device, present: presence.present });
            }
            (Observation::Event(event), _) => {
                let row = EventRow {
                    at: event.at,
                    kind: event.kind.clone(),
                    phase: event.phase,
                    confirmed: event.confirmed,
                    by: event.by.clone(),
                    note: event.note.clone(),
                };
                self.lists.push(&mut self.out.events, row);
            }
            (Observation::InCapture(captured), Some(flow)) => self.in_capture(flow, captured, line.frame),
            (Observation::Ledger(ledger), _) => self.out.ledger = ledger.clone(),
            (Observation::Odd(odd), _) => *self.out.odd.entry(word(&odd.what)).or_default() += 1,
            (Observation::Undecrypted(closed), _) => {
                *self.out.undecrypted.entry(format!("{} {}", closed.protocol.word(), word(&closed.reason))).or_default() += 1;
            }
            _ => {}
        }
    }

    fn end(mut self) -> Tabled {
        for (_, open) in std::mem::take(&mut self.open) {
            self.tls(open.tls);
        }
        for (key, seen) in std::mem::take(&mut self.names) {
            let row = NameRow {
                name: key.name,
                source: key.source,
                device: key.device,
                count: seen.count,
                flow: seen.flow,
                frame: seen.frame,
                line: seen.line,
            };
            self.lists.push(&mut self.out.names, row);
        }
        let Tables { mut out, lists, captured, devices, actors, mut sums, apps, ended, .. } = self;
        out.put_in_capture(&captured);
        out.unfinished = out.run.is_some() && !ended;
        out.devices = devices.into_values().collect();
        out.actors =
            actors.into_iter().map(|(a, flows)| ActorRow { class: a.class, package: a.package, method: a.method, flows }).collect();
        out.flows.sort_by_key(|row| row.id);
        out.tls.sort_by_key(|row| (row.flow, row.frame));
        if out.ledger == Ledger::default() {
            sums.by_app = apps.iter().map(|(name, count)| observation::Tally { name: Text::ours(name), count: *count }).collect();
            out.ledger = sums;
        }
        // A capture's times are those of its frames, not of the lines about it.
        if out.run.as_ref().is_none_or(|r| r.kind == RunKind::Capture) && !out.inputs.is_empty() {
            out.started = out.inputs.iter().filter_map(|i| i.first).min();
            out.ended = out.inputs.iter().filter_map(|i| i.last).max();
        }
        let kept =
            [out.flows.len(), out.tls.len(), out.names.len(), out.requests.len(), out.leaks.len(), out.trials.len(), out.events.len()];
        let grown = Table::ALL.iter().zip(lists.totals).zip(kept).filter(|((_, total), kept)| *total > *kept as u64);
        out.truncated = grown.map(|((table, total), _)| (*table, total)).collect();
        out
    }
}

/// The word a kebab-case enum has in the journal.
fn word(it: &impl serde::Serialize) -> String {
    match serde_json::to_value(it) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
