//! What was tried with whom: attempt groups, and the history that the planner reads.

use std::net::IpAddr;
use std::sync::Arc;

use analyzers::flow::FlowKey;
use analyzers::observation::{Arm, Evidence, Trial, TrialEnd, TrialResult};
use analyzers::subject::ClientClass;
use analyzers::text::{Text, Veil};
use analyzers::trial::{Ending, classify, worst};
use foldhash::{HashMap, HashMapExt as _};
use policies::{Defect, Time};

use crate::feed::FlowTap;
use crate::plan::{GROUP, History, Past};
use crate::serve::{Conduct, Hindrance, Progress};
use crate::treatment::Treatment;

/// How long a cut-off device is watched for traffic in clear: its group stays open as long.
const FALL_BACK: std::time::Duration = std::time::Duration::from_secs(60);
/// Subjects beyond this are relayed without a plan.
const MOST_SUBJECTS: usize = 1 << 14;
/// Connections of one group that are kept in mind; browsers open eight.
const MOST_MEMBERS: usize = 256;
/// Of the first application bytes this much is printed, masked.
const SHOWN: usize = 96;

/// Device, peer, client class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) device: IpAddr,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) class: ClientClass,
}

#[derive(Debug)]
pub(super) struct Member {
    tap: Arc<FlowTap>,
    progress: Progress,
    /// What this connection was really shown: when paused, or when the planned could not be made, not what its group is about.
    shown: Treatment,
    conduct: Option<Conduct>,
}

/// Connections that belong to one attempt and get one treatment.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) treatment: Treatment,
    pub(super) server: IpAddr,
    started: Time,
    /// The process run that caused it (lab).
    attempt: Option<u64>,
    members: Vec<Member>,
    cleartext_followed: bool,
}

impl Group {
    fn is_over(&self, now: Time, attempt: Option<u64>) -> bool {
        if let (Some(mine), Some(current)) = (self.attempt, attempt) {
            return mine != current;
        }
        let window = if self.treatment.defect() == Some(&Defect::TlsBlocked) { FALL_BACK } else { GROUP };
        now.since(self.started) > window
    }

    fn running(&self) -> usize {
        self.members.iter().filter(|m| m.conduct.is_none()).count()
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) history: History,
    pub(super) group: Option<Group>,
}

/// All subjects of the run.
#[derive(Debug)]
pub(super) struct Subjects {
    pub(super) all: HashMap<Key, State>,
    groups: u64,
    trials: u64,
}

/// A trial ready to be written, with its flows and the tap through which it goes.
pub(super) struct Tried {
    pub(super) trial: Trial,
    pub(super) flows: Vec<FlowKey>,
    pub(super) tap: Arc<FlowTap>,
}

impl Subjects {
    pub(super) fn new() -> Subjects {
        Subjects { all: HashMap::new(), groups: 0, trials: 0 }
    }

    /// The subject's state; `None` when there are too many to remember.
    pub(super) fn state(&mut self, key: &Key) -> Option<&mut State> {
        if self.all.len() >= MOST_SUBJECTS && !self.all.contains_key(key) {
            return None;
        }
        Some(self.all.entry(key.clone()).or_default())
    }

    /// The open group if the connection belongs to it.
    pub(super) fn open_group(&mut self, key: &Key, now: Time, attempt: Option<u64>) -> Option<(u64, Treatment)> {
        let group = self.all.get(key)?.group.as_ref()?;
        (!group.is_over(now, attempt)).then(|| (group.id, group.treatment.clone()))
    }

    pub(super) fn begin(&mut self, key: &Key, treatment: Treatment, server: IpAddr, now: Time, attempt: Option<u64>) -> u64 {
        self.groups += 1;
        let id = self.groups;
        if let Some(state) = self.state(key) {
            state.group = Some(Group { id, treatment, server, started: now, attempt, members: Vec::new(), cleartext_followed: false });
        }
        id
    }

    /// A connection takes its place in its group. Returns its place.
    pub(super) fn join(&mut self, key: &Key, group: u64, tap: &Arc<FlowTap>, progress: &Progress, shown: &Treatment) -> Option<usize> {
        let group = self.all.get_mut(key)?.group.as_mut().filter(|g| g.id == group)?;
        if group.members.len() >= MOST_MEMBERS {
            return None;
        }
        group.members.push(Member { tap: tap.clone(), progress: progress.clone(), shown: shown.clone(), conduct: None });
        Some(group.members.len() - 1)
    }

    /// What was planned cannot be shown: the group is relayed instead, and the planner learns it.
    pub(super) fn hindered(&mut self, key: &Key, group: u64) {
        let Some(state) = self.all.get_mut(key) else { return };
        let Some(group) = state.group.as_mut().filter(|g| g.id == group) else { return };
        if let Treatment::Attack { id, .. } = &group.treatment {
            state.history.hindered.push(id.clone());
        }
        // A connection that was shown it already keeps its say; the relayed ones say nothing about it.
        if group.members.is_empty() {
            group.treatment = Treatment::Pass;
        }
    }

    pub(super) fn leave(&mut self, key: &Key, group: u64, place: usize, conduct: Conduct) {
        let open = self.all.get_mut(key).and_then(|s| s.group.as_mut()).filter(|g| g.id == group);
        if let Some(member) = open.and_then(|g| g.members.get_mut(place)) {
            member.conduct = Some(conduct);
        }
    }

    /// Something in clear came from `device` to `server` or for `host`: whether it follows an attack that is open.
    pub(super) fn cleartext(&mut self, device: IpAddr, server: IpAddr, host: Option<&str>) -> bool {
        let mut follows = false;
        for (key, state) in &mut self.all {
            let Some(group) = state.group.as_mut() else { continue };
            let same = key.device == device && (group.server == server || host == Some(key.host.as_str()));
            if same && group.treatment.defect().is_some() {
                group.cleartext_followed = true;
                follows = true;
            }
        }
        follows
    }

    /// Connections of `device` that still run under an attack.
    pub(super) fn attacks_running(&self, device: IpAddr) -> usize {
        let groups = self.all.iter().filter(|(k, _)| k.device == device).filter_map(|(_, s)| s.group.as_ref());
        groups.filter(|g| g.treatment.defect().is_some()).map(Group::running).sum()
    }

    /// All groups that are over at `now` (or `all` of one device): their trials, in the order of their groups.
    pub(super) fn finish(&mut self, now: Time, all_of: Option<IpAddr>, veil: &dyn Veil) -> Vec<Tried> {
        let over = |(key, state): (&Key, &State)| {
            let group = state.group.as_ref()?;
            let due = match all_of {
                Some(device) => key.device == device,
                // An attack that still runs has not said its last word; its own waits bound it.
                None => group.is_over(now, group.attempt) && (group.treatment.defect().is_none() || group.running() == 0),
            };
            due.then(|| (group.id, key.clone()))
        };
        let mut due: Vec<(u64, Key)> = self.all.iter().filter_map(over).collect();
        due.sort_by_key(|(id, _)| *id);
        due.into_iter().filter_map(|(_, key)| self.finish_one(&key, veil)).collect()
    }

    /// Ends the subject's open group and says what it showed.
    pub(super) fn finish_one(&mut self, key: &Key, veil: &dyn Veil) -> Option<Tried> {
        self.trials += 1;
        let n = self.trials;
        let state = self.all.get_mut(key)?;
        let group = state.group.take()?;
        let (arm, id) = match &group.treatment {
            Treatment::Pass => (Arm::Pass, None),
            Treatment::Control { .. } => (Arm::Control, None),
            Treatment::Attack { id, .. } => (Arm::Attack, Some(id.clone())),
        };
        let looked: Vec<Look> = group.members.iter().map(|m| m.look(&group.treatment, group.cleartext_followed, veil)).collect();
        let result = worst(looked.iter().map(|l| l.result));
        // The decisive connection: of those with the group's result the one that went farthest.
        let decisive = looked.iter().filter(|l| l.result == result).max_by_key(|l| l.grade)?;
        let trial = Trial {
            n,
            arm,
            attack: id.as_deref().map(Text::ours),
            result,
            grade: decisive.grade,
            alert: decisive.alert,
            alert_encrypted: decisive.alert_encrypted,
            end: decisive.end,
            flows: Vec::new(),
            version: decisive.version,
            alpn: decisive.alpn.clone(),
            offered_tls13: state.history.offered_tls13,
            offered_tls12: state.history.offered_tls12,
            first_bytes: decisive.first_bytes.clone(),
            attempt: group.attempt,
            cleartext_followed: group.cleartext_followed,
            waited_ms: decisive.waited_ms,
        };
        let past = Past { arm, attack: id, shape: group.treatment.shape(), result, at: group.started };
        state.history.past.push(past);
        let flows = group.members.iter().map(|m| m.tap.flow()).collect();
        let tap = group.members.last()?.tap.clone();
        Some(Tried { trial, flows, tap })
    }
}

/// What one connection adds to its group's trial.
struct Look {
    result: TrialResult,
    grade: Evidence,
    alert: Option<u8>,
    alert_encrypted: bool,
    end: TrialEnd,
    version: Option<u16>,
    alpn: Option<Text>,
    first_bytes: Option<Text>,
    waited_ms: u64,
}

impl Member {
    fn look(&self, treatment: &Treatment, cleartext_followed: bool, veil: &dyn Veil) -> Look {
        let defect = treatment.defect();
        let relayed = *treatment != Treatment::Pass && self.shown != *treatment;
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| Text::veiled(b, veil));
        let Some(conduct) = &self.conduct else {
            // Still open: a relayed connection that has carried a request works; nothing else can be told yet.
            let (grade, version, alpn) = self.progress.so_far();
            let ending = Ending { grade, alert: None, end: TrialEnd::Us, continued: false, cleartext_followed };
            let result = if relayed { TrialResult::None } else { classify(defect, &ending) };
            let alpn = text(&alpn);
            return Look {
                result,
                grade,
                alert: None,
                alert_encrypted: false,
                end: TrialEnd::Us,
                version,
                alpn,
                first_bytes: None,
                waited_ms: 0,
            };
        };
        let mut grade = conduct.grade;
        if grade == Evidence::E5 && carries_secret(&conduct.data, veil) {
            grade = Evidence::E6;
        }
        let ending = Ending {
            grade,
            alert: conduct.alert.map(|a| a.code),
            end: conduct.end,
            continued: conduct.bytes[1] > 0 && defect.is_none(),
            cleartext_followed,
        };
        let result = match conduct.hindrance {
            Some(Hindrance::NoCommonGround) => TrialResult::Incompatible,
            Some(Hindrance::UpstreamDown | Hindrance::Ours) => TrialResult::None,
            _ if relayed => TrialResult::None,
            _ => classify(defect, &ending),
        };
        let shown = conduct.data.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        let shown = shown.get(..shown.len().min(SHOWN)).unwrap_or_default();
        Look {
            result,
            grade,
            alert: conduct.alert.map(|a| a.code),
            alert_encrypted: conduct.alert.is_some_and(|a| a.encrypted),
            end: conduct.end,
            version: conduct.version,
            alpn: text(&conduct.alpn),
            first_bytes: (!shown.is_empty()).then(|| Text::veiled(shown, veil)),
            waited_ms: conduct.waited.as_millis() as u64,
        }
    }
}

/// Credentials in an HTTP/1 head, or anything the veil would hide.
fn carries_secret(data: &[u8], veil: &dyn Veil) -> bool {
    let head = data.split(|b| *b == b'\n').take_while(|line| line.len() > 1);
    let named = |line: &[u8]| {
        let name: Vec<u8> = line.iter().take_while(|b| **b != b':').map(u8::to_ascii_lowercase).collect();
        matches!(name.as_slice(), b"authorization" | b"proxy-authorization" | b"cookie")
    };
    let mut spans = Vec::new();
    veil.spans(data, &mut spans);
    !spans.is_empty() || head.skip(1).any(named)
}
