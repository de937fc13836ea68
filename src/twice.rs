//! Twice seen: the run's own capture is read again when it ends. What the gateway fed live must come out the same, by flow, kind and key;
//! what only the capture has (DNS, UDP, QUIC, what was spliced) is added to the journal from it, with frame numbers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::sync::Arc;

use analyzers::flow::{FlowId, FlowKey};
use analyzers::journal::Line;
use analyzers::keys::Keys;
use analyzers::observation::{Arm, Kind, Observation, ServedFact};
use analyzers::pipeline::{Met, Out, Pipeline, Tools};
use analyzers::scribe::{Briefing, Desk, Scribe};
use analyzers::sealed::Value;
use analyzers::text::{Text, Veil};

use crate::desk::RunDesk;
use crate::fault::Fault;
use crate::knowledge::Knowledge;

/// As many facts as are compared; a longer run is compared as far as this goes, and says so.
const COMPARED: usize = 200_000;

/// Facts of flows, to be compared: by Community ID, then as words.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    open: HashMap<FlowId, Vec<String>>,
    flows: BTreeMap<String, Vec<String>>,
    /// Flows under an attack, until they end; then all that ended.
    attacked: HashSet<FlowId>,
    met: Met,
    kept: usize,
    pub(crate) cut: bool,
}

impl Facts {
    pub(crate) fn line(&mut self, line: &Line) {
        let Some(flow) = line.flow else { return };
        if let Observation::Flow(closed) = &line.seen {
            let facts = self.open.remove(&flow).unwrap_or_default();
            self.met.add(closed.community_id.as_str(), closed.first, self.attacked.remove(&flow));
            self.flows.entry(closed.community_id.as_str().to_owned()).or_default().extend(facts);
            return;
        }
        if let Observation::Treatment(treatment) = &line.seen
            && treatment.arm == Arm::Attack
        {
            self.attacked.insert(flow);
        }
        let Some(fact) = fact(&line.seen) else { return };
        if self.kept >= COMPARED {
            self.cut = true;
            return;
        }
        self.kept += 1;
        self.open.entry(flow).or_default().push(fact);
    }
}

/// Kinds that a tap and a capture must agree on, with their keys as words. Counts, ends and gaps are the source's own.
fn fact(seen: &Observation) -> Option<String> {
    Some(match seen {
        Observation::Hello(it) => format!("hello {:?}", it.key()),
        // Whether the client broke off shows in how the connection ended, of which a tap sees its own side.
        Observation::Served(it) => format!("served {:?}", ServedFact { refused: false, ..it.key() }),
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
fn beyond(these: &[String], those: &[String]) -> String {
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
    let mut differs = Vec::new();
    let mut facts = 0;
    for (flow, seen) in &live.flows {
        let mut seen = seen.clone();
        let mut twice = shadow.0.flows.get(flow).cloned().unwrap_or_default();
        seen.sort();
        twice.sort();
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
        let facts = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let live = facts(&["hello 1", "hit a", "hit a", "request /"]);
        let twice = facts(&["hello 1", "hello 2", "hit a", "served 3"]);
        assert_eq!(beyond(&live, &twice), "hit, request");
        assert_eq!(beyond(&twice, &live), "hello, served");
        assert_eq!(beyond(&live, &live), "nothing");
    }
}
