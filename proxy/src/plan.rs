//! What to do with the next attempt of a subject: pure, from what was tried so far.
//!
//! Attacks stand between controls that differ from them in nothing but the defect: *control, x, control, y, control* – one control
//! serves both neighbours where it fits both. The cheapest question comes first, a decided one never again.

use std::collections::BTreeSet;
use std::time::Duration;

use analyzers::observation::{Arm, TrialResult};
use policies::policy::{Repeats, Thresholds};
use policies::{Attack, Defect, Need, Time};

use crate::treatment::{Shape, Treatment};

/// Untouched attempts before anything is tried (live).
const LEARN: usize = 2;
/// Attempts of one attack beyond those required, before it is given up as undecidable here.
const SPARE: usize = 3;
/// Controls that may fail in a row before a subject counts as not answering.
const PATIENCE: usize = 3;
/// Peers on which a client class must have refused an unknown authority before its library is believed to refuse its like.
const LIKE: usize = 3;
/// Attempts at connections that a device only makes when those before them succeed. A program of four of them is met in all.
const LATER: usize = 3;

/// How attempts come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A command is run again and again: each run is one attempt, nothing depends on the clock.
    Runs,
    /// A device does as it pleases, and must go on working.
    Live,
}

/// One attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub arm: Arm,
    pub attack: Option<String>,
    pub shape: Shape,
    pub result: TrialResult,
    pub at: Time,
    /// Connections it was made of, and how many of them were relayed before an attack began.
    pub connections: usize,
    pub after: usize,
    /// Nothing but these kinds of requests in clear made it an acceptance.
    pub by_clear: BTreeSet<String>,
}

/// What is known of one subject (device, peer, client class).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub past: Vec<Past>,
    pub offered_tls13: bool,
    pub offered_tls12: bool,
    /// The gateway could not show these attacks here (no suite, no chain), by id, with how often.
    pub hindered: Vec<String>,
    /// Attacks this class has refused elsewhere often enough, by id with the number of peers.
    pub refused_elsewhere: Vec<(String, usize)>,
    /// Peers on which this class refused an authority it does not know.
    pub strangers_refused_on: usize,
}

/// What the policy says about one subject.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Selected attacks. Their order is the order of asking, after the planner's own preference.
    pub attacks: &'a [Attack],
    /// Refusals between good controls that a pass needs.
    pub required: Repeats,
    /// How close together, how often and how soon again.
    pub thresholds: Thresholds,
    pub mode: Mode,
    /// Authorised, in scope, not spared.
    pub allowed: bool,
    /// The maker declares a pin for this peer, or for one beside or above it.
    pub pin_near: bool,
    /// The device's own connectivity checks and most of its hosts work.
    pub healthy: bool,
    /// How long this device was seen to wait between attempts at this peer.
    pub interval: Option<Duration>,
}

/// The treatment for the next attempt.
pub fn plan(history: &History, terms: &Terms<'_>, now: Time) -> Treatment {
    if !terms.allowed || !terms.healthy {
        return Treatment::Pass;
    }
    if terms.mode == Mode::Live {
        if history.past.iter().filter(|p| p.arm == Arm::Pass).count() < LEARN {
            return Treatment::Pass;
        }
        if let Some(wait) = restrained(history, terms, now) {
            return wait;
        }
    }
    let view = View { history, terms };
    // What an earlier attack still lacks: the control after it.
    if let Some(last) = view.open_bracket() {
        return view.control_for(last);
    }
    let Some(attack) = view.next() else { return Treatment::Pass };
    view.step(attack)
}

/// Ids of the attacks that another attempt could still decide. Empty: the subject is finished.
pub fn undecided<'a>(history: &History, terms: &Terms<'a>) -> Vec<&'a str> {
    if !terms.allowed {
        return Vec::new();
    }
    let view = View { history, terms };
    let mut out: Vec<&str> = terms.attacks.iter().filter(|a| view.open(a)).map(|a| a.id.as_str()).collect();
    if out.is_empty() {
        // A last refusal still waits for the control after it.
        out.extend(view.open_bracket().map(|a| a.id.as_str()));
    }
    out
}

/// Live only: the share of attacks, the rest between them and the device's own backing off.
fn restrained(history: &History, terms: &Terms<'_>, now: Time) -> Option<Treatment> {
    let attacks = history.past.iter().filter(|p| p.arm == Arm::Attack).count();
    if (attacks + 1) * 100 > (history.past.len() + 1) * terms.thresholds.attack_share_percent as usize {
        return Some(Treatment::Pass);
    }
    let rest = Duration::from_millis(terms.thresholds.attack_pause_ms.into());
    let rest = terms.interval.map_or(rest, |i| rest.max(i * 2));
    let last = history.past.iter().rev().find(|p| p.arm == Arm::Attack);
    // An open bracket may be closed at any time; only the next attack has to wait.
    let waits = last.is_some_and(|p| now.since(p.at) < rest) && history.past.last().is_some_and(|p| p.arm != Arm::Attack);
    (waits || backing_off(history)).then_some(Treatment::Pass)
}

/// The device waits 1.8 times longer each time, three times in a row: it suffers, leave it alone.
fn backing_off(history: &History) -> bool {
    let [.., a, b, c, d] = history.past.as_slice() else { return false };
    let gaps = [b.at.since(a.at), c.at.since(b.at), d.at.since(c.at)];
    let grows = |x: Duration, y: Duration| x > Duration::from_millis(100) && y.as_nanos() * 10 >= x.as_nanos() * 18;
    let suffers = |p: &Past| p.result != TrialResult::Accepted;
    grows(gaps[0], gaps[1]) && grows(gaps[1], gaps[2]) && [b, c, d].into_iter().all(suffers)
}

#[derive(Clone, Copy)]
struct View<'h, 'a> {
    history: &'h History,
    terms: &'h Terms<'a>,
}

impl<'a> View<'_, 'a> {
    /// The next question: cheapest first, and questions of one handshake shape together, so that their controls are shared.
    fn next(self) -> Option<&'a Attack> {
        let open = self.terms.attacks.iter().filter(|a| self.open(a));
        // An attack in the middle of its repetitions goes on.
        let begun = |a: &&Attack| self.tries(a).next().is_some();
        let mut open: Vec<&Attack> = open.collect();
        open.sort_by_key(|a| (order(&a.defect), !begun(a)));
        open.first().copied()
    }

    /// The treatment that this attack needs now.
    fn step(self, attack: &Attack) -> Treatment {
        let last = self.history.past.last();
        let good_before = last.is_some_and(|p| p.result == TrialResult::Accepted && self.comparable(attack, p));
        if good_before { attempt(attack, self.later(attack).unwrap_or(0)) } else { self.control_for(attack) }
    }

    /// The control this attack is compared with: the lab's flawless chain where the device trusts it, else its own server.
    fn control_for(self, attack: &Attack) -> Treatment {
        if is_anchor(&attack.defect) {
            return Treatment::Pass;
        }
        let shape = Shape::twin_of(&attack.defect);
        let twin = matches!(shape, Shape::Only(_)).then(|| attack.defect.clone());
        if attack.needs.contains(&Need::LabCaTrusted) || self.anchor() != Anchor::Refused {
            Treatment::Control { twin }
        } else {
            Treatment::Pass
        }
    }

    /// Whether a past attempt is a control for this attack.
    fn comparable(self, attack: &Attack, past: &Past) -> bool {
        match past.arm {
            Arm::Attack => false,
            Arm::Pass => is_anchor(&attack.defect) || !attack.needs.contains(&Need::LabCaTrusted) && self.anchor() == Anchor::Refused,
            Arm::Control => {
                let twin = Shape::twin_of(&attack.defect);
                !is_anchor(&attack.defect) && (past.shape == twin || !matches!(twin, Shape::Only(_)) && past.shape == Shape::Mirrored)
            }
        }
    }

    fn tries(self, attack: &Attack) -> impl Iterator<Item = (usize, &'a Past)>
    where
        Self: 'a,
    {
        let past: &'a [Past] = &self.history.past;
        let attack = attack.clone();
        past.iter().enumerate().filter(move |(_, p)| is_attempt(&attack, p))
    }

    /// The attack whose refusal is the newest trial that tells something and lacks the control after it.
    fn open_bracket(self) -> Option<&'a Attack> {
        let at =
            self.history.past.iter().rposition(|p| p.arm == Arm::Attack || p.arm == Arm::Control && p.result == TrialResult::Rejected)?;
        let past = self.history.past.get(at)?;
        if past.result != TrialResult::Rejected {
            return None;
        }
        let attack = self.terms.attacks.iter().find(|a| is_attempt(a, past) && (past.arm == Arm::Attack || is_anchor(&a.defect)))?;
        let after = self.history.past.get(at + 1..).unwrap_or_default();
        let tried = after.iter().filter(|p| self.comparable(attack, p)).count();
        let closed = after.iter().any(|p| self.comparable(attack, p));
        (!closed && tried < PATIENCE).then_some(attack)
    }

    /// How many refusals of this attack a pass needs.
    fn required(self, attack: &Attack) -> usize {
        match attack.defect {
            Defect::AddedAnchor | Defect::AddedAnchorSibling => {
                self.terms.thresholds.pin_trials.max(self.terms.required.of(attack.severity)) as usize
            }
            _ => (self.terms.required.of(attack.severity) as usize).max(1),
        }
    }

    /// How many connections to let through before this attack begins, where the device makes more of them than it was seen to make under
    /// attack: it stops after the first that fails, and what it would do in the next is another question. Between runs of a program only.
    fn later(self, attack: &Attack) -> Option<usize> {
        let asked = self.terms.mode == Mode::Runs && !is_anchor(&attack.defect) && attack.defect != Defect::TlsBlocked;
        if !asked || self.bracketed(attack) < self.required(attack) {
            return None;
        }
        let works = self.history.past.iter().filter(|p| p.arm != Arm::Attack && p.result == TrialResult::Accepted);
        let whole = works.map(|p| p.connections).max()?;
        let met = self.tries(attack).map(|(_, p)| p.connections).max()?;
        let asked = self.tries(attack).filter(|(_, p)| p.after > 0).count();
        (met > 0 && met < whole && asked < LATER).then_some(met)
    }

    /// How often this attack was refused from the first connection on, between two controls that worked.
    fn bracketed(self, attack: &Attack) -> usize {
        let past = &self.history.past;
        let good = |p: Option<&Past>| p.is_some_and(|p| p.result == TrialResult::Accepted);
        let refused = self.tries(attack).filter(|(_, p)| p.result == TrialResult::Rejected && p.after == 0);
        refused
            .filter(|(i, _)| {
                let before = past.get(..*i).unwrap_or_default().iter().rev().find(|p| self.comparable(attack, p));
                let after = past.get(i + 1..).unwrap_or_default().iter().find(|p| self.comparable(attack, p));
                good(before) && good(after)
            })
            .count()
    }

    /// Whether another attempt could still tell something about this attack.
    fn open(self, attack: &Attack) -> bool {
        let required = self.required(attack);
        let tries = self.tries(attack).filter(|(_, p)| p.after == 0).count();
        if self.tries(attack).any(|(_, p)| p.result == TrialResult::Accepted) {
            return false;
        }
        let enough = tries >= required + SPARE || self.bracketed(attack) >= required;
        if enough && self.later(attack).is_none() {
            return false;
        }
        // Two silences are enough to know that this client waits for its server to speak.
        if self.tries(attack).filter(|(_, p)| p.result == TrialResult::Silent).count() >= 2 {
            return false;
        }
        if self.history.hindered.iter().filter(|id| **id == attack.id).count() >= 2 {
            return false;
        }
        let nothing_yet = self.history.past.is_empty();
        let unmet = |need: &Need| match need {
            Need::OfferedTls13 => !nothing_yet && !self.history.offered_tls13,
            Need::OfferedTls12 => !nothing_yet && !self.history.offered_tls12,
            Need::LabCaTrusted => !is_anchor(&attack.defect) && self.anchor() == Anchor::Refused,
            Need::DeclaredPins => !self.terms.pin_near,
            Need::UserCaInstalled => false,
        };
        !attack.needs.iter().any(unmet) && !self.dead() && !self.uncontrolled(attack) && !self.predicted(attack)
    }

    /// Controls of this attack's own handshake never worked: nothing could be compared with it, and others can still be asked.
    fn uncontrolled(self, attack: &Attack) -> bool {
        let twin = Shape::twin_of(&attack.defect);
        let mut controls = self.history.past.iter().filter(|p| p.arm == Arm::Control && p.shape == twin);
        twin != Shape::Mirrored && controls.clone().count() >= PATIENCE && controls.all(|p| p.result != TrialResult::Accepted)
    }

    /// The subject has stopped working even when left alone.
    fn dead(self) -> bool {
        let mut passes = self.history.past.iter().rev().filter(|p| p.arm == Arm::Pass);
        let last: Vec<&Past> = passes.by_ref().take(PATIENCE).collect();
        last.len() == PATIENCE && last.iter().all(|p| p.result != TrialResult::Accepted)
    }

    /// A question about the library that this class has answered elsewhere (live only: in a lab every answer is cheap).
    fn predicted(self, attack: &Attack) -> bool {
        let of_library =
            !matches!(attack.defect, Defect::UntrustedCa | Defect::HostnameMismatch | Defect::TlsBlocked) && !is_anchor(&attack.defect);
        self.terms.mode == Mode::Live
            && of_library
            && self.history.strangers_refused_on >= LIKE
            && self.history.refused_elsewhere.iter().any(|(id, peers)| *id == attack.id && *peers >= 1)
    }

    /// Whether the device takes the lab's flawless chain here.
    fn anchor(self) -> Anchor {
        let mut controls = self.history.past.iter().filter(|p| p.arm == Arm::Control).peekable();
        if controls.peek().is_none() {
            return Anchor::Unknown;
        }
        if controls.clone().any(|p| p.result == TrialResult::Accepted) {
            return Anchor::Trusted;
        }
        // Whatever the reason is: two flawless chains that did not lead to data are no controls.
        if controls.count() >= 2 { Anchor::Refused } else { Anchor::Unknown }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Unknown,
    Trusted,
    Refused,
}

fn attempt(attack: &Attack, after: usize) -> Treatment {
    if is_anchor(&attack.defect) {
        return Treatment::Control { twin: None };
    }
    Treatment::Attack { id: attack.id.clone(), defect: attack.defect.clone(), after }
}

/// Whether a past attempt asked this attack's question.
fn is_attempt(attack: &Attack, past: &Past) -> bool {
    if is_anchor(&attack.defect) { past.arm == Arm::Control } else { past.attack.as_deref() == Some(attack.id.as_str()) }
}

fn is_anchor(defect: &Defect) -> bool {
    matches!(defect, Defect::AddedAnchor | Defect::AddedAnchorSibling | Defect::UserAnchor)
}

/// Cheapest first: the questions that most careless clients fail, then their like, grouped by handshake shape.
fn order(defect: &Defect) -> u8 {
    match defect {
        Defect::UntrustedCa => 0,
        Defect::HostnameMismatch => 1,
        Defect::SelfSigned => 2,
        Defect::Expired => 3,
        Defect::ReplacedKey | Defect::SignatureCorrupt | Defect::LeafAsIssuer | Defect::IntermediateCaFalse => 4,
        Defect::HostnameCnOnly | Defect::NotYetValid | Defect::EkuClientOnly | Defect::UnknownCriticalExtension => 5,
        Defect::AddedAnchor | Defect::UserAnchor | Defect::AddedAnchorSibling => 6,
        Defect::VerifySignatureCorrupt => 7,
        Defect::KxSignatureCorrupt | Defect::DowngradeMarker12 => 8,
        Defect::VersionTls11 => 9,
        Defect::TlsBlocked => 10,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use policies::Class;

    fn attack(id: &str, defect: Defect, needs: &[Need]) -> Attack {
        Attack {
            id: id.to_owned(),
            title: String::new(),
            page: String::new(),
            defect,
            expect: String::new(),
            class: Class::Critical,
            severity: policies::Severity::High,
            brick_risk: 0,
            needs: needs.to_vec(),
        }
    }

    fn terms(attacks: &[Attack], mode: Mode) -> Terms<'_> {
        Terms {
            attacks,
            required: Repeats { critical: 2, high: 2, medium: 2, low: 2, info: 2 },
            thresholds: Thresholds::default(),
            mode,
            allowed: true,
            pin_near: false,
            healthy: true,
            interval: None,
        }
    }

    fn short(t: &Treatment) -> String {
        match t {
            Treatment::Pass => "P".to_owned(),
            Treatment::Control { twin: None } => "C".to_owned(),
            Treatment::Control { twin: Some(_) } => "T".to_owned(),
            Treatment::Attack { id, .. } => id.clone(),
        }
    }

    /// Plays a client against the planner until nothing is undecided: the sequence of treatments.
    fn play(attacks: &[Attack], mode: Mode, seconds: i64, client: impl Fn(&Treatment) -> TrialResult) -> (String, Vec<String>) {
        let terms = terms(attacks, mode);
        let mut history = History::default();
        let mut out = Vec::new();
        for i in 0..80 {
            if undecided(&history, &terms).is_empty() {
                break;
            }
            let now = Time::from_secs(1000 + i * seconds);
            let t = plan(&history, &terms, now);
            out.push(short(&t));
            let (arm, id) = match &t {
                Treatment::Pass => (Arm::Pass, None),
                Treatment::Control { .. } => (Arm::Control, None),
                Treatment::Attack { id, .. } => (Arm::Attack, Some(id.clone())),
            };
            history.past.push(Past {
                arm,
                attack: id,
                shape: t.shape(),
                result: client(&t),
                at: now,
                by_clear: BTreeSet::new(),
                connections: 1,
                after: 0,
            });
            (history.offered_tls13, history.offered_tls12) = (true, true);
        }
        let left = undecided(&history, &terms).into_iter().map(str::to_owned).collect();
        (out.join(" "), left)
    }

    #[track_caller]
    fn check(attacks: &[Attack], client: impl Fn(&Treatment) -> TrialResult, expect: &str) {
        let (got, left) = play(attacks, Mode::Runs, 0, client);
        assert_eq!(got, expect);
        assert!(left.is_empty(), "{left:?}");
    }

    fn strict(t: &Treatment) -> TrialResult {
        if matches!(t, Treatment::Attack { .. }) { TrialResult::Rejected } else { TrialResult::Accepted }
    }

    #[test]
    fn runs() {
        let ca = || attack("ca", Defect::UntrustedCa, &[]);
        let host = || attack("host", Defect::HostnameMismatch, &[Need::LabCaTrusted]);
        let kx = || attack("kx", Defect::KxSignatureCorrupt, &[Need::LabCaTrusted, Need::OfferedTls12]);
        let pin = || attack("pin", Defect::AddedAnchor, &[]);
        // A sound client: controls are shared between neighbours, the shape of a handshake gets its own.
        check(&[ca(), host()], strict, "C ca C ca C host C host C");
        check(&[kx(), ca()], strict, "C ca C ca C T kx T kx T");
        // One acceptance decides at once.
        check(&[ca(), host()], |_| TrialResult::Accepted, "C ca C host");
        // A client that does not trust the lab: its own server is the control, and what needs the anchor is not asked.
        let untrusting = |t: &Treatment| if *t == Treatment::Pass { TrialResult::Accepted } else { TrialResult::Rejected };
        check(&[ca(), host()], untrusting, "C C P ca P ca P");
        // Pins: the flawless chain is the attempt, the untouched connection its control.
        check(&[pin()], |_| TrialResult::Accepted, "P C");
        check(&[pin()], untrusting, "P C P C P C P C P");
        // Siblings of a declared pin are asked the same way; the same attempts answer both questions.
        let scope = || attack("scope", Defect::AddedAnchorSibling, &[Need::DeclaredPins]);
        let attacks = [pin(), scope()];
        let near = Terms { pin_near: true, ..terms(&attacks, Mode::Runs) };
        assert_eq!(undecided(&History::default(), &near), ["pin", "scope"]);
        assert_eq!(undecided(&History::default(), &terms(&attacks, Mode::Runs)), ["pin"], "nothing is declared near it");
        let stricter = Thresholds { pin_trials: 5, ..Thresholds::default() };
        for (thresholds, left) in [(Thresholds::default(), 0), (stricter, 1)] {
            let past = |arm| Past {
                arm,
                attack: None,
                shape: Shape::Mirrored,
                result: if arm == Arm::Control { TrialResult::Rejected } else { TrialResult::Accepted },
                by_clear: BTreeSet::new(),
                connections: 1,
                after: 0,
                at: Time::default(),
            };
            let past: Vec<Past> = [Arm::Pass].into_iter().chain([Arm::Control, Arm::Pass].into_iter().cycle().take(8)).map(past).collect();
            let history = History { past, ..History::default() };
            let pins = [pin()];
            assert_eq!(undecided(&history, &Terms { thresholds, ..terms(&pins, Mode::Runs) }).len(), left);
        }
        // Nobody answers: it ends.
        let (_, left) = play(&[ca(), host()], Mode::Runs, 0, |_| TrialResult::None);
        assert!(left.is_empty());
        // A client that waits for its server to speak is left after two silences.
        let quiet = |t: &Treatment| if matches!(t, Treatment::Attack { .. }) { TrialResult::Silent } else { TrialResult::Accepted };
        check(&[ca()], quiet, "C ca C ca");
        // Not allowed: nothing to decide, everything passes.
        let attacks = [ca()];
        let spared = Terms { allowed: false, ..terms(&attacks, Mode::Runs) };
        assert_eq!(plan(&History::default(), &spared, Time::default()), Treatment::Pass);
        assert!(undecided(&History::default(), &spared).is_empty());
    }

    /// A program that makes connection after connection, each only when the one before worked.
    #[test]
    fn later_connections() {
        let run = |attacks: &[Attack], mode: Mode, connections: &[bool]| {
            let terms = Terms { required: Repeats { critical: 1, high: 1, medium: 1, low: 1, info: 1 }, ..terms(attacks, mode) };
            let mut history = History { offered_tls13: true, offered_tls12: true, ..History::default() };
            let mut out = Vec::new();
            for i in 0..80 {
                if undecided(&history, &terms).is_empty() {
                    break;
                }
                let at = Time::from_secs(1000 * i);
                let t = plan(&history, &terms, at);
                let (arm, id, after) = match &t {
                    Treatment::Pass => (Arm::Pass, None, 0),
                    Treatment::Control { .. } => (Arm::Control, None, 0),
                    Treatment::Attack { id, after, .. } => (Arm::Attack, Some(id.clone()), *after),
                };
                out.push(format!("{}{}", short(&t), if after > 0 { after.to_string() } else { String::new() }));
                // The first strict connection under attack ends the run, and so does a careless one that got no answer.
                let ends = if arm == Arm::Attack { after.min(connections.len() - 1) } else { connections.len() - 1 };
                let result = if arm == Arm::Attack && connections[ends] { TrialResult::Rejected } else { TrialResult::Accepted };
                let past = Past { arm, attack: id, shape: t.shape(), result, at, by_clear: BTreeSet::new(), connections: ends + 1, after };
                history.past.push(past);
            }
            out.join(" ")
        };
        let ca = [attack("ca", Defect::UntrustedCa, &[])];
        assert_eq!(run(&ca, Mode::Runs, &[true]), "C ca C");
        assert_eq!(run(&ca, Mode::Runs, &[true, true]), "C ca C ca1 C");
        assert_eq!(run(&ca, Mode::Runs, &[true, false]), "C ca C ca1");
        assert_eq!(run(&ca, Mode::Runs, &[true, true, false, true]), "C ca C ca1 C ca2");
        assert_eq!(run(&ca, Mode::Runs, &[true; 9]), "C ca C ca1 C ca2 C ca3 C");
        assert_eq!(run(&ca, Mode::Runs, &[false, true]), "C ca");
        // A device in use is not asked more than it must be, and what is no defect of a chain is asked of the first.
        assert_eq!(run(&ca, Mode::Live, &[true, true]), "P P C ca P C");
        assert_eq!(run(&[attack("cut", Defect::TlsBlocked, &[])], Mode::Runs, &[true, true]), "C cut C");
    }

    #[test]
    fn live_is_gentle() {
        let attacks = [attack("ca", Defect::UntrustedCa, &[]), attack("host", Defect::HostnameMismatch, &[Need::LabCaTrusted])];
        let (got, left) = play(&attacks, Mode::Live, 20, strict);
        assert!(left.is_empty(), "{got} {left:?}");
        let words: Vec<&str> = got.split(' ').collect();
        assert_eq!(words[..2], ["P", "P"]);
        for end in 1..=words.len() {
            let attacked = words[..end].iter().filter(|w| w.len() > 1).count();
            assert!(attacked * 100 <= end * 34, "{got}");
        }
        // As the policy wants it: how large a share, and how soon again.
        let past = |arm, secs| Past {
            arm,
            attack: Some("ca".to_owned()),
            shape: Shape::Mirrored,
            result: TrialResult::Rejected,
            by_clear: BTreeSet::new(),
            connections: 1,
            after: 0,
            at: Time::from_secs(secs),
        };
        let past = [Arm::Pass, Arm::Pass, Arm::Pass, Arm::Pass, Arm::Attack, Arm::Pass]
            .into_iter()
            .zip(0..)
            .map(|(arm, secs)| past(arm, secs))
            .collect();
        let history = History { past, ..History::default() };
        for (share, pause, now, held) in [(34, 30_000, 20, true), (34, 30_000, 40, false), (34, 10_000, 20, false), (25, 10_000, 40, true)]
        {
            let thresholds = Thresholds { attack_share_percent: share, attack_pause_ms: pause, ..Thresholds::default() };
            let terms = Terms { thresholds, ..terms(&attacks, Mode::Live) };
            assert_eq!(restrained(&history, &terms, Time::from_secs(now)).is_some(), held, "{share} % {pause} ms {now} s");
        }
        let sick = Terms { healthy: false, ..terms(&attacks, Mode::Live) };
        let history = History { past: vec![], ..History::default() };
        assert_eq!(plan(&history, &sick, Time::default()), Treatment::Pass);
    }

    #[test]
    fn live_backs_off_with_the_device() {
        let past = |secs: i64, result| Past {
            arm: Arm::Pass,
            attack: None,
            shape: Shape::Mirrored,
            result,
            at: Time::from_secs(secs),
            by_clear: BTreeSet::new(),
            connections: 1,
            after: 0,
        };
        let attacks = [attack("ca", Defect::UntrustedCa, &[])];
        let bad = TrialResult::None;
        let history = History { past: vec![past(0, bad), past(10, bad), past(30, bad), past(70, bad)], ..History::default() };
        assert!(backing_off(&history));
        assert_eq!(plan(&history, &terms(&attacks, Mode::Live), Time::from_secs(200)), Treatment::Pass);
        let steady = History { past: vec![past(0, bad), past(10, bad), past(20, bad), past(30, bad)], ..History::default() };
        assert!(!backing_off(&steady));
    }

    #[test]
    fn a_handshake_that_no_control_can_have_holds_nothing_up() {
        let attacks = [
            attack("ca", Defect::UntrustedCa, &[]),
            attack("kx", Defect::KxSignatureCorrupt, &[]),
            attack("block", Defect::TlsBlocked, &[]),
        ];
        let client = |t: &Treatment| match t {
            Treatment::Control { twin: Some(_) } => TrialResult::Incompatible,
            Treatment::Attack { .. } => TrialResult::Rejected,
            _ => TrialResult::Accepted,
        };
        let (asked, left) = play(&attacks, Mode::Runs, 1, client);
        assert_eq!((asked.as_str(), left.len()), ("C ca C ca C T T T C block C block C", 0));
    }

    #[test]
    fn answered_elsewhere() {
        let attacks = [attack("eku", Defect::EkuClientOnly, &[]), attack("ca", Defect::UntrustedCa, &[])];
        let known = History { refused_elsewhere: vec![("eku".into(), 1), ("ca".into(), 3)], strangers_refused_on: 3, ..History::default() };
        assert_eq!(undecided(&known, &terms(&attacks, Mode::Live)), ["ca"]);
        assert_eq!(undecided(&known, &terms(&attacks, Mode::Runs)), ["eku", "ca"]);
    }
}
