//! What to do with the next attempt of a subject: pure, from what was tried so far.
//!
//! Attacks stand between controls that differ from them in nothing but the defect: *control, x, control, y, control* – one control
//! serves both neighbours where it fits both. After every second attack of a program there are two, so that what it does by turns meets
//! both, and now and then more, by chance. The cheapest question comes first, a decided one never again.

use std::collections::BTreeSet;
use std::time::Duration;

use analyzers::observation::{Arm, TrialResult};
use analyzers::trial::{LATER, is_of_checks, required_behind, required_late};
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
/// Untouched attempts that must show what a program asks in clear while TLS works, before what it asked once under attack counts.
const HONEST: usize = 6;

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
    /// A refusal after the handshake.
    pub late: bool,
    /// Connections with its result that began before any of them was over or said something.
    pub together: usize,
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
    /// The run's own number, by which it draws further controls; none: no draw.
    pub chance: Option<u64>,
    /// The attack that another stack of the same program has met in this very run, before this one spoke.
    pub sibling: Option<&'a str>,
    /// How often stacks or peers that are met only once have been asked each attack, where there are many of them.
    pub passing: Option<&'a [(String, usize)]>,
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
    if let Some(attack) = view.at_once().or_else(|| terms.attacks.iter().find(|a| view.old(a) && view.open(a))) {
        return attempt(attack, 0);
    }
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
        // A stack that speaks when another has failed is asked what made that one fail: it may never meet anything else.
        let met = self.terms.sibling.and_then(|id| self.terms.attacks.iter().find(|a| a.id == id && self.open(a)));
        let attack = met.unwrap_or(attack);
        let last = self.history.past.last();
        let good_before = last.is_some_and(|p| p.result == TrialResult::Accepted && self.comparable(attack, p));
        if good_before && !self.rests() { attempt(attack, self.later(attack).unwrap_or(0)) } else { self.control_for(attack) }
    }

    /// What a stack that was never met is asked before any control: it speaks because another has failed, or will not be met again. Its refusal
    /// decides nothing without controls, its acceptance does.
    fn at_once(self) -> Option<&'a Attack> {
        if self.terms.mode != Mode::Runs || !self.history.past.is_empty() {
            return None;
        }
        let mut open = self.terms.attacks.iter().filter(|a| !is_anchor(&a.defect) && self.open(a));
        if let Some(id) = self.terms.sibling {
            return open.find(|a| a.id == id);
        }
        let asked = self.terms.passing?;
        open.min_by_key(|a| (asked.iter().find(|(id, _)| *id == a.id).map_or(0, |(_, n)| *n), order(&a.defect)))
    }

    /// Whether another control comes first, though the last one would do. A program that does something every other time would else always
    /// meet the same of both: after every second attack one control more moves the next to the other's place, so that two attempts of one
    /// attack are made at both. What it does every third or fifth time meets both by chance: after one attack in four come two more.
    fn rests(self) -> bool {
        let past = &self.history.past;
        let attacks = past.iter().filter(|p| p.arm == Arm::Attack).count();
        let rested = past.iter().rev().take_while(|p| p.arm != Arm::Attack).count();
        let drawn = attacks > 0 && self.terms.chance.is_some_and(|chance| draw(chance, attacks as u64).is_multiple_of(4));
        self.terms.mode == Mode::Runs && rested <= attacks % 2 + if drawn { 2 } else { 0 }
    }

    /// The control this attack is compared with: the lab's flawless chain where the device trusts it, else its own server.
    fn control_for(self, attack: &Attack) -> Treatment {
        if is_anchor(&attack.defect) {
            return Treatment::Pass;
        }
        let shape = Shape::twin_of(&attack.defect);
        let twin = matches!(shape, Shape::Only(_)).then(|| attack.defect.clone());
        if attack.needs.contains(&Need::LabCaTrusted) || self.anchor() != Anchor::Refused {
            Treatment::Control { twin, after: 0 }
        } else {
            Treatment::Pass
        }
    }

    /// Whether a past attempt is a control for this attack.
    fn comparable(self, attack: &Attack, past: &Past) -> bool {
        match past.arm {
            Arm::Attack => false,
            Arm::Pass => is_anchor(&attack.defect) || !attack.needs.contains(&Need::LabCaTrusted) && self.anchor() == Anchor::Refused,
            Arm::Control if past.after > 0 => false,
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
        let required = match attack.defect {
            Defect::AddedAnchor | Defect::AddedAnchorSibling => {
                self.terms.thresholds.pin_trials.max(self.terms.required.of(attack.severity))
            }
            _ => self.terms.required.of(attack.severity).max(1),
        };
        let late = self.tries(attack).any(|(_, p)| p.late) || self.intermittent();
        (if late { required_late(required, self.terms.mode == Mode::Runs) } else { required }) as usize
    }

    /// Whether this client accepted an attack on its checks in one attempt and refused it in another: what it did with the others may be chance.
    fn intermittent(self) -> bool {
        let of = |result: TrialResult| {
            let asks = |p: &&Past| p.attack.as_deref().is_some_and(is_of_checks) && p.by_clear.is_empty();
            self.history.past.iter().filter(asks).filter(move |p| p.result == result)
        };
        of(TrialResult::Accepted).any(|a| of(TrialResult::Rejected).any(|r| !r.late && (&r.attack, r.after) == (&a.attack, a.after)))
    }

    /// Whether some attacks behind so many connections were accepted and others refused: which connection they met may be chance.
    fn wavers_behind(self, after: usize) -> bool {
        let asks = |p: &&Past| p.after == after && p.attack.as_deref().is_some_and(is_of_checks);
        let any = |result: TrialResult| self.history.past.iter().filter(asks).any(|p| p.result == result);
        any(TrialResult::Accepted) && any(TrialResult::Rejected)
    }

    /// How many connections to let through before this attack begins, where the device makes more than one: it may stop after the first that
    /// fails, or try the same one again, and what it would do in the next is another question. Between runs of a program only.
    fn later(self, attack: &Attack) -> Option<usize> {
        if self.terms.mode != Mode::Runs || self.bracketed(attack) < self.required(attack) {
            return None;
        }
        let works = self.history.past.iter().filter(|p| p.arm != Arm::Attack && p.after == 0 && p.result == TrialResult::Accepted);
        let whole = works.clone().map(|p| p.connections).max()?;
        let together = works.clone().map(|p| p.together).max().unwrap_or(0);
        // Two that begin at once need not come to the same: under attack they show it.
        let crowd = self.history.past.iter().filter(|p| p.after == 0).map(|p| p.together).max().unwrap_or(0);
        // What told nothing (the connection may not have come) is tried again.
        let asked = |after: usize| {
            let required = required_behind(after, crowd, self.wavers_behind(after));
            let tries = || self.tries(attack).map(|(_, p)| p).filter(|p| p.after == after);
            let told = tries().filter(|p| p.result != TrialResult::None).count();
            let at_once = |p: &Past| p.after == 0 && p.result == TrialResult::Rejected && p.together.min(together) > after;
            let met = required == 1 || told == 0 && tries().count() > 0;
            if met && self.tries(attack).any(|(_, p)| at_once(p)) {
                return true;
            }
            tries().count() >= required + SPARE - 1 || told >= required
        };
        (1..whole).take(LATER).find(|after| !asked(*after))
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

    /// Whether this asks a client that offers nothing newer than TLS 1.1 whether it speaks that: most servers have no control for it, and its
    /// acceptance needs none.
    fn old(self, attack: &Attack) -> bool {
        attack.defect == Defect::VersionTls11 && !self.history.past.is_empty() && !self.history.offered_tls12 && !self.history.offered_tls13
    }

    /// Whether another attempt could still tell something about this attack.
    fn open(self, attack: &Attack) -> bool {
        let required = self.required(attack);
        let tries = self.tries(attack).filter(|(_, p)| p.after == 0).count();
        if self.accepted(attack) {
            return false;
        }
        if self.old(attack) {
            return tries < PATIENCE && !self.history.hindered.contains(&attack.id);
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

    /// Whether this attack was accepted beyond doubt. A request in clear may have come by chance: it counts when it came twice, and did not come
    /// in many attempts that nothing was done to.
    fn accepted(self, attack: &Attack) -> bool {
        let accepted = || self.tries(attack).filter(|(_, p)| p.result == TrialResult::Accepted);
        let honest = self.history.past.iter().filter(|p| p.arm != Arm::Attack && p.result == TrialResult::Accepted).count();
        let by_chance = self.terms.mode == Mode::Runs && accepted().all(|(_, p)| !p.by_clear.is_empty());
        accepted().count() > 0 && (!by_chance || accepted().count() > 1 && honest >= HONEST)
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
        let mut controls = self.history.past.iter().filter(|p| p.arm == Arm::Control && p.after == 0).peekable();
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
        return Treatment::Control { twin: None, after };
    }
    Treatment::Attack { id: attack.id.clone(), defect: attack.defect.clone(), after }
}

/// A number that nobody can foresee who does not know `chance` (SplitMix64).
fn draw(chance: u64, n: u64) -> u64 {
    let z = chance.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
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
        Defect::UntrustedCaWithRoot
        | Defect::UntrustedCaLeafAlone
        | Defect::UntrustedCaLookalike
        | Defect::ReplacedKey
        | Defect::SignatureCorrupt
        | Defect::LeafAsIssuer
        | Defect::IntermediateCaFalse => 4,
        Defect::HostnameCnOnly | Defect::NotYetValid | Defect::EkuClientOnly | Defect::UnknownCriticalExtension => 5,
        Defect::AddedAnchor | Defect::UserAnchor | Defect::AddedAnchorSibling => 6,
        Defect::VerifySignatureCorrupt => 7,
        Defect::KxSignatureCorrupt | Defect::DowngradeMarker12 => 8,
        Defect::VersionTls11 => 9,
        Defect::TlsBlocked => 10,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
