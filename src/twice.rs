//! Twice seen: the run's own capture is read again when it ends. What the gateway fed live must come out the same, by flow, kind and key;
//! what only the capture has (DNS, UDP, QUIC, what was spliced) is added to the journal from it, with frame numbers, and so are the frames of
//! what was fed live.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::sync::Arc;

use analyzers::flow::{Close, FlowId, FlowKey};
use analyzers::journal::{Line, LineNo};
use analyzers::keys::Keys;
use analyzers::observation::{Arm, InCapture, Kind, Observation, ServedFact};
use analyzers::pipeline::{Met, MetFlow, Out, Pipeline, Tools};
use analyzers::scribe::{Briefing, Desk, Scribe};
use analyzers::sealed::Value;
use analyzers::text::{Text, Veil};
use policies::Time;

use crate::desk::RunDesk;
use crate::fault::Fault;
use crate::knowledge::Knowledge;

/// As many facts as are compared; a longer run is compared as far as this goes, and says so.
const COMPARED: usize = 200_000;

/// Facts of flows, to be compared: by Community ID, then as words.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    open: HashMap<FlowId, Said>,
    flows: BTreeMap<String, Vec<Ended>>,
    /// Flows under an attack, until they end.
    attacked: HashSet<FlowId>,
    met: Met,
    kept: usize,
    pub(crate) cut: bool,
}

/// A flow that is over, and what was said of it.
#[derive(Debug)]
struct Ended {
    flow: FlowId,
    began: Time,
    first_frame: u64,
    said: Said,
}

#[derive(Debug, Default)]
struct Said {
    close: Option<Close>,
    facts: Vec<Fact>,
}

/// A fact in words, its line and the frame it stands in.
#[derive(Debug)]
struct Fact {
    words: String,
    line: LineNo,
    frame: Option<u64>,
}

impl Facts {
    pub(crate) fn line(&mut self, line: &Line) {
        let Some(flow) = line.flow else { return };
        match &line.seen {
            Observation::Flow(closed) => {
                let said = self.open.remove(&flow).unwrap_or_default();
                let ended = Ended { flow, began: closed.first, first_frame: closed.first_frame, said };
                let met = MetFlow { flow, began: closed.first, attacked: self.attacked.remove(&flow) };
                self.met.add(closed.community_id.as_str(), met);
                self.flows.entry(closed.community_id.as_str().to_owned()).or_default().push(ended);
                return;
            }
            Observation::Treatment(treatment) if treatment.arm == Arm::Attack => {
                self.attacked.insert(flow);
            }
            Observation::Reaction(reaction) => self.open.entry(flow).or_default().close = Some(reaction.close),
            _ => {}
        }
        let Some(words) = fact(&line.seen) else { return };
        if self.kept >= COMPARED {
            self.cut = true;
            return;
        }
        self.kept += 1;
        self.open.entry(flow).or_default().facts.push(Fact { words, line: line.n, frame: line.frame });
    }

    /// What flows of these ends said, sorted.
    fn words(&self, community_id: &str) -> Vec<&str> {
        let flows = self.flows.get(community_id).map_or(&[][..], Vec::as_slice);
        let mut words: Vec<&str> = flows.iter().flat_map(|flow| &flow.said.facts).map(|fact| fact.words.as_str()).collect();
        words.sort_unstable();
        words
    }

    /// Where each of these flows stands in the capture that `seen` was read from.
    fn places(&self, seen: &Facts) -> Vec<(FlowId, Option<u64>, InCapture)> {
        let mut out = Vec::new();
        for (community_id, flows) in &seen.flows {
            for there in flows {
                let Some(met) = self.met.find(community_id, there.began) else { continue };
                let here = self.flows.get(community_id).and_then(|flows| flows.iter().find(|here| here.flow == met.flow));
                let Some(here) = here else { continue };
                let mut left: HashMap<&str, VecDeque<u64>> = HashMap::new();
                for fact in &there.said.facts {
                    if let Some(frame) = fact.frame {
                        left.entry(&fact.words).or_default().push_back(frame);
                    }
                }
                let lines = here.said.facts.iter().filter_map(|fact| Some((fact.line, left.get_mut(fact.words.as_str())?.pop_front()?)));
                let frame = (there.first_frame > 0).then_some(there.first_frame);
                out.push((here.flow, frame, InCapture { close: there.said.close, lines: lines.collect() }));
            }
        }
        out.sort_by_key(|(flow, frame, _)| (*flow, *frame));
        // Where packets are missing, a capture may have two flows for one.
        out.dedup_by_key(|(flow, ..)| *flow);
        out
    }
}

/// Kinds that a tap and a capture must agree on, with their keys as words. Counts, ends and gaps are the source's own.
fn fact(seen: &Observation) -> Option<String> {
    Some(match seen {
        Observation::Hello(it) => format!("hello {:?}", it.key()),
        // Whether the client broke off shows in how the connection ended, of which a tap sees its own side.
        Observation::Served(it) => format!("served {:?}", ServedFact { refused: false, unsettled: false, ..it.key() }),
        Observation::Request(it) => format!("request {:?}", it.key()),
        Observation::Hit(it) => format!("hit {:?}", it.key()),
        Observation::Question(it) => format!("question {:?}", it.key()),
        _ => return None,
    })
}

/// What the comparison came to.
pub(crate) struct Compared {
    pub(crate) facts: usize,
    pub(crate) differs: Vec<String>,
}

impl Compared {
    pub(crate) fn state(&self) -> Text {
        Text::ours(if self.differs.is_empty() { "equal" } else { "differs" })
    }
}

/// Collects lines of the second reading without writing them.
#[derive(Default)]
struct Shadow(Facts);

impl Desk for Shadow {
    fn line(&mut self, line: Line) {
        self.0.line(&line);
    }

    fn sealed(&mut self, _: Option<FlowId>, _: Value) {}
}

/// The kinds of the facts that `these` has more often than `those`, both sorted.
fn beyond(these: &[&str], those: &[&str]) -> String {
    let mut rest = those.iter().peekable();
    let mut kinds: Vec<&str> = Vec::new();
    for fact in these {
        while rest.next_if(|other| *other < fact).is_some() {}
        if rest.next_if(|other| *other == fact).is_none() {
            kinds.extend(fact.split(' ').next());
        }
    }
    if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") }
}

/// Reads the run's capture, adds what only it has through `scribe` to `desk`, and compares the rest with `live`.
pub(crate) fn read_again(
    mut file: File,
    known: &Knowledge,
    scribe: &mut Scribe,
    desk: &mut RunDesk,
    live: &Facts,
) -> Result<Compared, Fault> {
    let unread = |e: &dyn std::fmt::Display| Fault::new(format!("the run's own capture cannot be read again: {e}"), "");
    let mut keys = Keys::default();
    for secret in captures::scan::secrets(&mut file).map_err(|e| unread(&e))? {
        keys.insert(secret);
    }
    let tools = Arc::new(Tools {
        veil: Arc::clone(&known.engine) as Arc<dyn Veil>,
        engine: Some(Arc::clone(&known.engine)),
        keys: Arc::new(keys),
        met: live.met.clone(),
        ..Tools::default()
    });
    let mut shadow = Shadow::default();
    let mut shadow_scribe = Scribe::new(Briefing::default());
    let mut again: HashSet<FlowKey> = HashSet::new();
    let mut deliver = |out: Out| {
        if let Out::Opened { flow, ends, at, .. } = &out
            && live.met.find(&ends.community_id(), *at).is_some()
        {
            again.insert(*flow);
        }
        let flow = match &out {
            Out::Opened { flow, .. } => Some(*flow),
            Out::Seen(draft) => draft.flow,
            Out::Sealed(value) => Some(value.flow),
            Out::Tried { .. } | Out::Joined { .. } | Out::Named { .. } => None,
        };
        match flow {
            Some(flow) if again.contains(&flow) => shadow_scribe.take(out, &mut shadow),
            _ => scribe.take(out, desk),
        }
    };
    let options = captures::run::Options {
        secrets: captures::Known::All,
        limits: crate::analyze::limits(known.policy()),
        ..captures::run::Options::default()
    };
    let mut hashed = crate::source::Counted::hashing(&mut file);
    let read = captures::run::analyse(&mut hashed, &options, |_| Pipeline::new(Arc::clone(&tools)), &mut deliver, &mut |_| {});
    let report = read.map_err(|e| unread(&e))?;
    hashed.drain();
    desk.say(report.line(Text::ours("capture.pcapng"), hashed.digest(), 0));
    for (flow, frame, seen) in live.places(&shadow.0) {
        desk.say_in_capture(flow, frame, seen);
    }
    let mut differs = Vec::new();
    let mut facts = 0;
    for flow in live.flows.keys() {
        let (seen, twice) = (live.words(flow), shadow.0.words(flow));
        facts += seen.len();
        if seen != twice {
            differs.push(format!("{flow}: only live: {}; only in the capture: {}", beyond(&seen, &twice), beyond(&twice, &seen)));
        }
    }
    Ok(Compared { facts, differs })
}

#[cfg(test)]
mod tests {
    use super::beyond;

    #[test]
    fn what_only_one_reading_has_is_named() {
        let live = ["hello 1", "hit a", "hit a", "request /"];
        let twice = ["hello 1", "hello 2", "hit a", "served 3"];
        assert_eq!(beyond(&live, &twice), "hit, request");
        assert_eq!(beyond(&twice, &live), "hello, served");
        assert_eq!(beyond(&live, &live), "nothing");
    }
}
