//! What attempts under treatment prove (the procedure of `docs/method.md`): pure, from trials to an outcome.
//!
//! One acceptance is a fail. A refusal counts only between two controls that reached application data and differ from the attack in
//! nothing but the defect. Everything else is undecided, and says why. The file is long for its tables of cases, one row per rule.

use std::collections::{BTreeMap, BTreeSet};

use policies::{Attack, Defect, Need};

use crate::case::{Case, Concern};
use crate::dissect::tls::suites;
use crate::journal::LineNo;
use crate::observation::{Arm, Evidence, Hello, Trial, TrialEnd, TrialResult};
use crate::outcome::{Outcome, Proof, Reason};
use crate::text::Text;

/// Connections behind the first of a run that are attacked by themselves; a program of one more is met in all.
pub const LATER: usize = 8;

/// Refusals that tell something about a client whose check comes after the handshake, in a lab: its data may race the check, and one that
/// loses the race in four of ten attempts is met in all but one of 160 runs.
const LATE: u32 = 10;

/// How many refusals are asked for instead of `required` where they come after the handshake, or where the client does not always do the same. A device in use is asked twice as often only.
/// Of two connections that begin at once either may come first: an attack on all but the first meets one of them by chance. So often it is
/// made where it tells something, which leaves three in a hundred that it always met the same; ten times where some such attacks were
/// accepted and others refused. In a crowd it meets nearly all whichever comes first.
pub fn required_behind(after: usize, together: usize, wavers: bool) -> usize {
    match (after, together, wavers) {
        (1, 2..=LATER, false) => 5,
        (1, 2..=LATER, true) => LATE as usize,
        _ => 1,
    }
}

/// So many refusals are asked for of a client that refuses when its data may be on its way.
pub fn required_late(required: u32, in_lab: bool) -> u32 {
    if in_lab { required.max(LATE) } else { required.saturating_mul(2) }
}

/// What the end of one attempt looked like to the gateway; [`classify`] says what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub grade: Evidence,
    pub alert: Option<u8>,
    pub end: TrialEnd,
    /// A preamble (E4) was answered and the client went on.
    pub continued: bool,
    /// A request in clear to the same peer followed within the fall-back window.
    pub cleartext_followed: bool,
}

/// Alerts that say *I do not accept this certificate or its proof* (RFC 8446 §6.2): bad_certificate, unsupported_certificate,
/// certificate_revoked, certificate_expired, certificate_unknown, unknown_ca, access_denied, decrypt_error,
/// bad_certificate_status_response, bad_certificate_hash_value.
const REFUSES_CERTIFICATE: [u8; 10] = [42, 43, 44, 45, 46, 48, 49, 51, 113, 114];

/// What stacks were measured to answer a bad handshake signature with: unexpected_message, handshake_failure, illegal_parameter, decode_error.
const REFUSES_SIGNATURE: [u8; 4] = [10, 40, 47, 50];

/// What stacks answer an old version or a downgrade marker with: unexpected_message, handshake_failure, illegal_parameter,
/// protocol_version, insufficient_security, inappropriate_fallback.
const REFUSES_VERSION: [u8; 6] = [10, 40, 47, 70, 71, 86];

/// Alerts that name no reason of ours (unexpected_message, handshake_failure, illegal_parameter, decode_error, internal_error). Programs that
/// check a name or a pin in a callback of their library were seen to send them. Alone they prove nothing; between two controls with the very
/// same handshake nothing but the defect can have caused them.
const NAMES_NO_REASON: [u8; 5] = [10, 40, 47, 50, 80];

/// What one attempt showed. `None` defect = a control or a passed-through attempt.
pub fn classify(defect: Option<&Defect>, ending: &Ending) -> TrialResult {
    if ending.cleartext_followed && defect.is_some() {
        return TrialResult::Accepted;
    }
    if ending.grade >= Evidence::E5 || (ending.grade == Evidence::E4 && ending.continued) {
        return TrialResult::Accepted;
    }
    if let Some(Defect::VersionTls11) = defect
        && ending.grade >= Evidence::E3
    {
        // The plaintext-flight prober cannot finish a handshake: a ClientKeyExchange is the acceptance.
        return TrialResult::Accepted;
    }
    if ending.grade == Evidence::E4 {
        // A preamble alone proves neither: some stacks send it before a late check.
        return TrialResult::None;
    }
    if let Some(Defect::TlsBlocked) = defect {
        // There is no flight to deliver; the attempt counts when the device tried TLS and nothing in clear followed.
        return if ending.grade >= Evidence::E1 { TrialResult::Rejected } else { TrialResult::None };
    }
    if let Some(alert) = ending.alert {
        if refuses(defect, alert) {
            return TrialResult::Rejected;
        }
        return match alert {
            // close_notify, user_canceled: left without a word.
            0 | 90 if ending.grade >= Evidence::E2 => TrialResult::Rejected,
            0 | 90 => TrialResult::None,
            _ => TrialResult::Incompatible,
        };
    }
    if ending.grade < Evidence::E2 {
        return TrialResult::None;
    }
    match ending.end {
        TrialEnd::Fin | TrialEnd::Rst | TrialEnd::CloseNotify | TrialEnd::Alert => TrialResult::Rejected,
        TrialEnd::Timeout => TrialResult::Silent,
        TrialEnd::Us => TrialResult::None,
    }
}

fn refuses(defect: Option<&Defect>, alert: u8) -> bool {
    REFUSES_CERTIFICATE.contains(&alert)
        || match defect {
            Some(Defect::KxSignatureCorrupt | Defect::VerifySignatureCorrupt) => REFUSES_SIGNATURE.contains(&alert),
            Some(Defect::DowngradeMarker12 | Defect::VersionTls11) => REFUSES_VERSION.contains(&alert),
            _ => false,
        }
}

/// The worst of the connections of one attempt group: an acceptance outweighs everything, a refusal outweighs what tells nothing.
pub fn worst(results: impl IntoIterator<Item = TrialResult>) -> TrialResult {
    let rank = |r: &TrialResult| match r {
        TrialResult::Accepted => 4,
        TrialResult::Silent => 3,
        TrialResult::Rejected => 2,
        TrialResult::Incompatible => 1,
        TrialResult::None => 0,
    };
    results.into_iter().max_by_key(rank).unwrap_or(TrialResult::None)
}

/// What the policy and the rest of the run say, beside the trials themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Bracketed refusals a pass needs (the policy's `n` for the attack's severity).
    pub required: u32,
    /// Refusals, each between passes that worked, that tell a pin (the policy's `pin_trials`).
    pub pin_trials: u32,
    /// The maker claims a pin for this peer, or the policy requires one.
    pub pin_claimed: bool,
    /// Where the peer stands to the pins of the declaration.
    pub beside: Beside,
    /// The policy lists this peer's client as strict: it must not trust authorities that the user installed.
    pub strict: bool,
    /// The lab's authority stands in the device's user store (said of the whole run, not of one subject).
    pub user_anchor: bool,
    /// The same device and client class accepted the lab chain for another peer: the anchor is live.
    pub anchor_live: bool,
    /// The attack was selected and authorised in this run.
    pub selected: bool,
    /// The operator or the budget ended the run.
    pub ended: bool,
    /// Only what asked the explicit proxy was seen.
    pub proxied_only: bool,
    /// The policy lets nobody attack this peer.
    pub forbidden: bool,
}

impl Terms {
    /// Why there is no attempt.
    fn unasked(&self) -> Reason {
        match (self.selected, self.ended) {
            (false, _) => Reason::NoAttacks,
            _ if self.forbidden => Reason::NotAuthorised,
            (true, true) => Reason::OutOfTime,
            (true, false) => Reason::NotExercised,
        }
    }
}

/// Where a peer stands to the pins that the maker declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// No pin is declared at all.
    #[default]
    NoPins,
    /// It is itself declared as pinned.
    Declared,
    /// Beside or below one that is.
    Sibling,
    Elsewhere,
}

/// The one-sided 95 % upper bound on the probability that the device accepts, after `n` refusals and no acceptance.
pub fn bound_percent(n: u32) -> u32 {
    if n == 0 {
        return 100;
    }
    let bound = 1.0 - 0.05_f64.powf(1.0 / f64::from(n));
    (bound * 100.0).round() as u32
}

struct Row<'c> {
    trial: &'c Trial,
    line: LineNo,
    /// What it shows, in the light of the other trials.
    result: TrialResult,
    /// Clear traffic came of which nothing tells whether it stood in for TLS.
    unclear: bool,
}

/// The trials that are this attack's own, and those that are its controls.
struct Sides<'c> {
    rows: Vec<Row<'c>>,
    /// Which rows are attempts of the attack.
    is_attack: Vec<bool>,
}

impl<'c> Sides<'c> {
    fn of(case: &'c Case, attack: &Attack) -> Sides<'c> {
        let anyway: Vec<&Text> =
            case.seen::<Trial>().iter().filter(|(t, _)| t.arm != Arm::Attack).flat_map(|(t, _)| &t.cleartext).collect();
        let restless = restless(case);
        let provoked = provoked(case);
        let row = |(trial, span): (&'c Trial, &'c crate::case::Span)| {
            // What a device asks its peer in clear while TLS works it asks whatever happens to TLS; and where it asks something else each
            // time, something else under attack says nothing.
            let known = !anyway.is_empty() && (restless || trial.cleartext.iter().all(|shape| anyway.contains(&shape)));
            let as_ever = known && trial.arm == Arm::Attack && trial.result == TrialResult::Accepted && trial.only_by_clear();
            let result = if as_ever { TrialResult::None } else { trial.result };
            let by_attack = trial.arm == Arm::Attack && trial.elsewhere.iter().any(|place| provoked.contains(place));
            Row { trial, line: span.first, result, unclear: as_ever || trial.cleartext_unclear || by_attack }
        };
        // What came before the TLS of the next run and comes anyway is no answer to the attack of the run before; with TLS cut there is no other.
        let as_usual = |trial: &Trial| {
            let known = !trial.cleartext.is_empty() && trial.cleartext.iter().all(|shape| anyway.contains(&shape));
            trial.cleartext_later && known && attack.defect != Defect::TlsBlocked
        };
        let mut rows: Vec<Row<'c>> = case.seen::<Trial>().iter().filter(|(trial, _)| !as_usual(trial)).map(row).collect();
        rows.sort_by_key(|r| r.trial.n);
        let is_attack = rows.iter().map(|r| is_attempt(attack, r.trial)).collect();
        Sides { rows, is_attack }
    }

    fn attempts(&self) -> impl Iterator<Item = (usize, &Row<'c>)> {
        self.rows.iter().enumerate().filter(|(i, _)| self.is_attack[*i])
    }

    /// The nearest control on one side of attempt `i`, looking no further than the nearest that is comparable.
    fn control(&self, attack: &Attack, i: usize, before: bool) -> Option<&Row<'c>> {
        let comparable = |r: &&Row<'c>| is_control(attack, self.rows[i].trial, r.trial);
        if before { self.rows[..i].iter().rev().find(comparable) } else { self.rows[i + 1..].iter().find(comparable) }
    }

    /// Both controls of attempt `i`, when both reached application data.
    fn bracket(&self, attack: &Attack, i: usize) -> Option<[LineNo; 2]> {
        let good = |before| self.control(attack, i, before).filter(|r| r.result == TrialResult::Accepted).map(|r| r.line);
        Some([good(true)?, good(false)?])
    }

    /// An attack that the same client accepted in one attempt and refused after the handshake in another.
    fn racy(&self) -> Option<&'c str> {
        let of = |result: TrialResult| {
            self.rows.iter().filter(move |r| r.trial.arm == Arm::Attack && r.result == result && r.trial.grade >= Evidence::E3)
        };
        // What a later connection does says nothing about what the first one does.
        let question = |r: &Row<'c>| (r.trial.attack.as_ref(), r.trial.after);
        let accepted = of(TrialResult::Accepted).find(|row| of(TrialResult::Rejected).any(|r| question(r) == question(row)))?;
        accepted.trial.attack.as_ref().map(Text::as_str)
    }

    /// An attack on its checks that the same client accepted in one attempt and refused in time in another.
    fn intermittent(&self) -> Option<&'c str> {
        let of = |result: TrialResult| {
            let asks = |r: &&Row<'c>| r.trial.arm == Arm::Attack && r.trial.attack.as_ref().is_some_and(|id| is_of_checks(id.as_str()));
            self.rows.iter().filter(asks).filter(move |r| r.result == result && !r.trial.only_by_clear())
        };
        let question = |r: &Row<'c>| (r.trial.attack.as_ref(), r.trial.after);
        let in_time = || of(TrialResult::Rejected).filter(|r| r.trial.grade < Evidence::E3);
        let accepted = of(TrialResult::Accepted).find(|row| in_time().any(|r| question(r) == question(row)))?;
        accepted.trial.attack.as_ref().map(Text::as_str)
    }

    /// Whether attempt `i` was refused: in words or by leaving, or with an alert that only the defect can have caused.
    fn refused(&self, attack: &Attack, i: usize) -> bool {
        let Some(row) = self.rows.get(i) else { return false };
        match row.result {
            TrialResult::Rejected => true,
            // Only a control of our own making has the attack's handshake; a passed-through one has the real server's.
            TrialResult::Incompatible => {
                attack.needs.contains(&Need::LabCaTrusted)
                    && row.trial.grade >= Evidence::E2
                    && row.trial.alert.is_some_and(|alert| NAMES_NO_REASON.contains(&alert))
                    && self.bracket(attack, i).is_some()
            }
            _ => false,
        }
    }
}

/// The gateway could not answer the hello: there was nothing in it that it speaks, or what followed broke the protocol.
fn no_common_ground(trial: &Trial) -> bool {
    trial.result == TrialResult::Incompatible && trial.end == TrialEnd::Us && trial.grade <= Evidence::E1
}

/// Whether the attack asks what the client checks of a server, and not which versions it speaks or what it does without TLS.
pub fn is_of_checks(attack: &str) -> bool {
    !matches!(attack, "tls.version-tls11" | "tls.downgrade-marker-12" | "channel.tls-block-fallback")
}

/// Whether the device asks its peer in clear for something new again and again while nothing is done to its TLS.
fn restless(case: &Case) -> bool {
    let mut honest: Vec<&Trial> =
        case.seen::<Trial>().iter().map(|(t, _)| t).filter(|t| t.arm != Arm::Attack && !t.cleartext.is_empty()).collect();
    honest.sort_by_key(|t| t.n);
    let mut known: Vec<&Text> = Vec::new();
    let mut new = 0;
    for trial in honest {
        let before = known.len();
        for shape in &trial.cleartext {
            if !known.contains(&shape) {
                known.push(shape);
            }
        }
        new += usize::from(known.len() > before);
    }
    // The first time everything is new, and a second time may be another part of what it does.
    new > 2
}

/// In so many attempts, each beside one that was not attacked, something that comes by chance would have come in one of those (one in 64 did not).
const OFTEN: usize = 6;
/// And in so many, if it came in all and in none of as many others.
const ALWAYS: usize = 3;

/// What was said in clear, to whomever, under attacks alone, again and again: it is their doing. An attack that was accepted gave no cause for it.
fn provoked(case: &Case) -> BTreeSet<&Text> {
    let trials = case.seen::<Trial>();
    let (attacked, others): (Vec<&Trial>, Vec<&Trial>) = trials.iter().map(|(trial, _)| trial).partition(|trial| trial.arm == Arm::Attack);
    let refused = attacked.iter().filter(|trial| trial.result != TrialResult::Accepted).count();
    let mut times: BTreeMap<&Text, usize> = BTreeMap::new();
    for place in attacked.iter().flat_map(|trial| &trial.elsewhere) {
        *times.entry(place).or_default() += 1;
    }
    times.retain(|_, n| *n >= OFTEN || *n >= ALWAYS && *n >= refused && others.len() >= ALWAYS);
    for place in others.iter().flat_map(|trial| &trial.elsewhere) {
        times.remove(place);
    }
    times.into_keys().collect()
}

/// For the anchor questions (pin.absent, pin.scope, cert.user-ca-trusted) the flawless lab chain itself is the attempt.
fn is_attempt(attack: &Attack, trial: &Trial) -> bool {
    match attack.defect {
        Defect::AddedAnchor | Defect::AddedAnchorSibling | Defect::UserAnchor => trial.arm == Arm::Control,
        _ => trial.arm == Arm::Attack && trial.attack.as_ref().is_some_and(|a| a == attack.id.as_str()),
    }
}

/// A control differs from the attack in the defect only: where the attack rests on the lab's anchor, so must its control;
/// and both negotiated the same version, where both are known and the defect is not the version itself. Copies of the device that run at
/// the same time are told apart: what one does shows nothing about the moment in which another was attacked.
fn is_control(attack: &Attack, attempt: &Trial, other: &Trial) -> bool {
    let arm = match attack.defect {
        Defect::AddedAnchor | Defect::AddedAnchorSibling | Defect::UserAnchor => other.arm == Arm::Pass,
        _ if attack.needs.contains(&Need::LabCaTrusted) => other.arm == Arm::Control,
        _ => other.arm != Arm::Attack,
    };
    let version = match (attack.defect.clone(), attempt.version, other.version) {
        (Defect::VersionTls11 | Defect::TlsBlocked, ..) => true,
        // Passed-through attempts negotiate with the real server: what they show is that the client works at all.
        _ if other.arm == Arm::Pass => true,
        (_, Some(a), Some(b)) => a == b,
        _ => true,
    };
    // Behind connections that were let through, the lab's chain asks for a pin.
    arm && version && other.after == 0 && attempt.lane == other.lane
}

/// Judges one attack on one subject (a device, a peer, a client stack).
pub fn judge(attack: &Attack, case: &Case, terms: &Terms) -> Outcome {
    let sides = Sides::of(case, attack);
    let attempts: Vec<&Row<'_>> = sides.attempts().map(|(_, r)| r).collect();
    let anchor = matches!(attack.defect, Defect::AddedAnchor | Defect::AddedAnchorSibling | Defect::UserAnchor);
    let accepted: Vec<&&Row<'_>> = attempts.iter().filter(|r| r.result == TrialResult::Accepted).collect();

    if anchor && let Some(not_asked) = anchor_question(attack, terms) {
        return not_asked;
    }
    if attack.defect == Defect::AddedAnchorSibling && terms.beside == Beside::Sibling {
        return sibling(&attempts, terms);
    }
    if !accepted.is_empty() && attack.defect == Defect::AddedAnchor && !terms.pin_claimed {
        // Not pinned, and nobody said it was: a fact for the report, not a failure.
        return Outcome::NotApplicable(Reason::NothingDeclared);
    }
    if let [once] = accepted[..]
        && once.trial.attempt.is_some()
        && once.trial.only_by_clear()
        && let Some(all) = Proof::of(attempts.iter().map(|r| r.line))
        && attempts.iter().any(|r| r.result == TrialResult::Rejected && r.trial.after == once.trial.after)
    {
        // What stands in for TLS does so again: a request that came once came by chance, or by turns.
        let observed = format!("in 1 of {} attempts a request in clear came that was not seen while TLS works", attempts.len());
        return Outcome::inconclusive(Reason::ClearUnclear, all, attack.expect.clone(), observed);
    }
    if !accepted.is_empty() {
        return accepts(attack, &attempts, &accepted);
    }
    if let Some(reason) = not_applicable(attack, &sides) {
        return Outcome::NotApplicable(reason);
    }
    if attack.defect == Defect::VersionTls11 && !may_speak_11(case) {
        return Outcome::NotApplicable(Reason::NotOffered);
    }
    if attack.needs.contains(&Need::LabCaTrusted) && !anchor {
        let controls: Vec<&Row<'_>> = sides.rows.iter().filter(|r| r.trial.arm == Arm::Control && r.trial.after == 0).collect();
        if !controls.is_empty() && !controls.iter().any(|r| r.result == TrialResult::Accepted) {
            let mut passes = sides.rows.iter().filter(|r| r.trial.arm == Arm::Pass).peekable();
            let nothing_works = passes.peek().is_some() && passes.all(|r| r.result != TrialResult::Accepted);
            let strange = controls.iter().all(|r| no_common_ground(r.trial));
            return Outcome::NotTested(match (strange, nothing_works) {
                (true, _) => Reason::NoCommonGround,
                (false, true) => Reason::NothingWorked,
                (false, false) => Reason::LabCaNotTrusted,
            });
        }
    }
    let Some(all) = Proof::of(attempts.iter().map(|r| r.line)) else {
        return Outcome::NotTested(terms.unasked());
    };
    refused(attack, case, terms, &sides, all)
}

/// What a peer beside a pinned one did: nobody claimed a pin for it, so it is said and not judged.
fn sibling(attempts: &[&Row<'_>], terms: &Terms) -> Outcome {
    let any = |result| attempts.iter().any(|r| r.result == result);
    if any(TrialResult::Accepted) {
        Outcome::NotApplicable(Reason::SiblingAccepts)
    } else if any(TrialResult::Rejected) {
        Outcome::NotApplicable(Reason::SiblingRefuses)
    } else {
        Outcome::NotTested(terms.unasked())
    }
}

fn accepts(attack: &Attack, attempts: &[&Row<'_>], accepted: &[&&Row<'_>]) -> Outcome {
    let best = accepted.iter().map(|r| r.trial.grade).max().unwrap_or(Evidence::E0);
    let did = match attack.defect {
        _ if accepted.iter().all(|r| r.trial.only_by_clear()) => "sent its request in clear after TLS had failed",
        Defect::VersionTls11 => "went on with the key exchange",
        _ => "sent application data",
    };
    let behind = accepted.iter().map(|r| r.trial.after).min().unwrap_or(0);
    let how_often = if accepted.len() == attempts.len() {
        let n = attempts.len();
        format!("in {n} of {n} {}", if n == 1 { "attempt" } else { "attempts" })
    } else if behind > 0 {
        format!("in a connection that it makes after {behind} that succeeded; it refused the first")
    } else {
        format!("in {} of {} attempts (intermittent: more than one code path?)", accepted.len(), attempts.len())
    };
    let what = accepted.iter().find_map(|r| r.trial.first_bytes.as_ref()).map_or(String::new(), |t| format!(": {t}"));
    let Some(proof) = Proof::of(accepted.iter().map(|r| r.line)) else { return Outcome::NotTested(Reason::NotExercised) };
    let outcome = Outcome::fail(proof, attack.expect.clone(), format!("the device {did} {how_often}, grade {best:?}{what}"));
    if best == Evidence::E6 && attack.severity < policies::Severity::Critical {
        outcome.graded(policies::Severity::Critical)
    } else {
        outcome
    }
}

/// What must have been offered for the question to exist at all.
fn not_applicable(attack: &Attack, sides: &Sides<'_>) -> Option<Reason> {
    if sides.rows.is_empty() {
        return None;
    }
    let never = |offered: fn(&Trial) -> bool| !sides.rows.iter().any(|r| offered(r.trial));
    let missing = attack.needs.iter().any(|need| match need {
        Need::OfferedTls13 => never(|t| t.offered_tls13),
        Need::OfferedTls12 => never(|t| t.offered_tls12),
        Need::LabCaTrusted | Need::UserCaInstalled | Need::DeclaredPins => false,
    });
    missing.then_some(Reason::NotOffered)
}

/// Whether any hello of the client offers a suite that TLS 1.1 has: without one there is nothing that version could negotiate.
fn may_speak_11(case: &Case) -> bool {
    let hellos = case.seen::<Hello>();
    hellos.overflowed() || hellos.iter().count() == 0 || hellos.iter().any(|(h, _)| h.suites.iter().any(|s| suites::before_12(*s)))
}

/// Whether an anchor question was asked here: it is about claims, and about where the anchor stands.
fn anchor_question(attack: &Attack, terms: &Terms) -> Option<Outcome> {
    match attack.defect {
        Defect::UserAnchor if !terms.user_anchor => Some(Outcome::NotTested(Reason::UserCaNotInstalled)),
        Defect::UserAnchor if !terms.strict => Some(Outcome::NotApplicable(Reason::NothingDeclared)),
        Defect::AddedAnchorSibling => match terms.beside {
            Beside::NoPins => Some(Outcome::NotTested(Reason::NoDeclaration)),
            Beside::Elsewhere => Some(Outcome::NotApplicable(Reason::NothingDeclared)),
            Beside::Declared | Beside::Sibling => None,
        },
        _ => None,
    }
}

fn refused(attack: &Attack, case: &Case, terms: &Terms, sides: &Sides<'_>, all: Proof) -> Outcome {
    let mut bracketed: Vec<LineNo> = Vec::new();
    let mut refusals = 0;
    let mut counted: u32 = 0;
    let mut worst_other: Option<TrialResult> = None;
    for (i, row) in sides.attempts() {
        if sides.refused(attack, i) {
            refusals += 1;
            if let Some(controls) = sides.bracket(attack, i) {
                // The bound speaks of one question: of what the device does first.
                counted += u32::from(row.trial.after == 0);
                bracketed.push(row.line);
                bracketed.extend(controls);
            }
        } else if worst_other.is_none_or(|known| worst([known, row.result]) != known) {
            worst_other = Some(row.result);
        }
    }
    let required = match attack.defect {
        Defect::AddedAnchor | Defect::AddedAnchorSibling => terms.required.max(terms.pin_trials),
        _ => terms.required.max(1),
    };
    let late = sides.attempts().any(|(i, row)| sides.refused(attack, i) && row.trial.grade >= Evidence::E3);
    let in_lab = sides.attempts().any(|(_, row)| row.trial.attempt.is_some());
    let required = if late { required_late(required, in_lab) } else { required };
    let undecided = |reason: Reason, observed: String| Outcome::inconclusive(reason, all.clone(), attack.expect.clone(), observed);

    let unclear = sides.attempts().filter(|(_, row)| row.unclear).count();
    if unclear > 0 {
        return undecided(Reason::ClearUnclear, format!("in {unclear} attempts other traffic in clear came"));
    }
    let cut = sides.attempts().filter(|(_, row)| row.trial.cut_short).count();
    if cut > 0 && counted < required {
        return undecided(
            Reason::CutShort,
            format!(
                "in {cut} attempts the device was ended before it could do more; give its runs more time, or keep the program in front until what it started is over"
            ),
        );
    }
    // Where one attack was accepted in one attempt and refused in another, the check comes too late to hold the data back reliably.
    if let Some(other) = sides.racy()
        && sides.attempts().any(|(_, row)| row.result == TrialResult::Rejected && row.trial.grade >= Evidence::E3)
    {
        return undecided(
            Reason::Racy,
            format!("{refusals} refusals after the handshake; {other} was refused at times and accepted at times"),
        );
    }
    // The same without a race: it is another code path that runs at times, or chance.
    if refusals > 0
        && attack.defect != Defect::TlsBlocked
        && let Some(other) = sides.intermittent()
    {
        return undecided(
            Reason::Intermittent,
            format!("{refusals} refusals; {other} was refused at times and accepted at times by the same client"),
        );
    }
    if refusals == 0 {
        let opened = sides.attempts().any(|(_, row)| row.trial.grade == Evidence::E4);
        return match worst_other {
            Some(TrialResult::None) if opened => undecided(
                Reason::OpeningOnly,
                "the device completed the handshake and sent its protocol's fixed opening, then nothing".to_owned(),
            ),
            Some(TrialResult::Silent) => undecided(Reason::Silent, "the connection stayed open and the device sent nothing".to_owned()),
            Some(TrialResult::Incompatible) if sides.attempts().all(|(_, row)| no_common_ground(row.trial)) => {
                undecided(Reason::NoCommonGround, Reason::NoCommonGround.sentence().to_owned())
            }
            Some(TrialResult::Incompatible) => {
                undecided(Reason::Incompatible, "the handshake failed for a reason that is not the defect".to_owned())
            }
            _ => undecided(Reason::NotDelivered, "the device left before the defect reached it, or nothing could be told".to_owned()),
        };
    }
    // A silent attempt could have been an acceptance that waits for the server to speak: it stands against a pass.
    if worst_other == Some(TrialResult::Silent) {
        return undecided(Reason::Silent, format!("{refusals} refusals, and an attempt in which the connection stayed open in silence"));
    }
    if counted == 0 {
        return undecided(Reason::NoControl, format!("{refusals} refusals, none between two controls that reached application data"));
    }
    if counted < required {
        return undecided(
            Reason::TooFewAttempts,
            format!(
                "{counted} of {required} refusals between good controls (95 % bound on acceptance {} %){}",
                bound_percent(counted),
                if late { "; it refuses after the handshake, when its data may have been on its way" } else { "" }
            ),
        );
    }
    if let Some(observed) = unmet(attack, sides) {
        return undecided(Reason::TooFewAttempts, format!("refused {counted} of {counted} times; {observed}"));
    }
    if matches!(attack.defect, Defect::AddedAnchor | Defect::AddedAnchorSibling) && !(terms.pin_claimed && terms.anchor_live) {
        return undecided(
            Reason::NoDiscriminatingTrial,
            format!("refuses added anchors: {counted} of {counted} attempts, while the real chain was accepted in between"),
        );
    }
    // A pin refuses every added authority: it says nothing of the store that this one stands in.
    if attack.defect == Defect::UserAnchor && (terms.pin_claimed || terms.anchor_live) {
        let why = if terms.anchor_live {
            "the same client takes the added authority from another peer, so this may be a pin"
        } else {
            "a pin is claimed for this peer, which would refuse any other authority too"
        };
        return undecided(Reason::NoDiscriminatingTrial, format!("refused {counted} of {counted} attempts; {why}"));
    }
    if attack.defect == Defect::TlsBlocked && terms.proxied_only {
        let observed = format!("{counted} attempts without a request in clear through the proxy; one that goes around it is not seen");
        return undecided(Reason::ProxyOnly, observed);
    }
    let Some(proof) = Proof::of(bracketed) else { return undecided(Reason::NoControl, "no bracketed refusal".to_owned()) };
    let observed = format!(
        "refused {counted} of {counted} times between good controls (95 % bound on acceptance {} %){}",
        bound_percent(counted),
        later(sides)
    );
    match case.seen::<Trial>().complete(case, Concern::Trials) {
        Ok(complete) => Outcome::pass(complete, proof, attack.expect.clone(), observed),
        Err(hole) => Outcome::inconclusive(hole.reason, proof, attack.expect.clone(), observed),
    }
}

/// Connections of an attempt at most, attacked and not: a device may stop after the first that fails, or try it again.
fn connections(sides: &Sides<'_>) -> (usize, usize) {
    let most = |attempt: bool| {
        let rows = sides.rows.iter().zip(&sides.is_attack).filter(|(r, is)| {
            let works = r.trial.arm != Arm::Attack && r.result == TrialResult::Accepted;
            r.trial.after == 0 && if attempt { **is } else { !**is && works }
        });
        rows.map(|(r, _)| r.trial.flows.len()).max().unwrap_or(0)
    };
    (most(true), most(false))
}

/// Connections of a program's runs that were not attacked by themselves and refused, in words: what they would do is not known. An attempt in
/// which the connection did not come, or that told nothing, is none.
fn unmet(attack: &Attack, sides: &Sides<'_>) -> Option<String> {
    if !sides.attempts().any(|(_, r)| r.trial.attempt.is_some()) {
        return None;
    }
    let (met, whole) = connections(sides);
    // What begins at once without attacks, and did so under attack, was attacked by itself in the same attempt.
    let works = sides.rows.iter().filter(|r| r.trial.arm != Arm::Attack && r.trial.after == 0 && r.result == TrialResult::Accepted);
    let together = works.map(|r| r.trial.together).max().unwrap_or(0);
    // Two that begin at once need not come to the same: under attack they show it.
    let crowd = sides.rows.iter().filter(|r| r.trial.after == 0).map(|r| r.trial.together).max().unwrap_or(0);
    let of_checks = |r: &&Row<'_>| r.trial.arm == Arm::Attack && r.trial.attack.as_ref().is_some_and(|id| is_of_checks(id.as_str()));
    let wavers = |after: u64| {
        let any = |result| sides.rows.iter().filter(of_checks).any(|r| r.trial.after == after && r.result == result);
        any(TrialResult::Accepted) && any(TrialResult::Rejected)
    };
    let asked = |after: usize| {
        let refused =
            |by_itself: &dyn Fn(&Trial) -> bool| sides.attempts().filter(|(i, r)| by_itself(r.trial) && sides.refused(attack, *i)).count();
        let required = required_behind(after, crowd as usize, wavers(after as u64));
        let behind = refused(&|t| t.after == after as u64);
        let nobody = || sides.attempts().filter(|(_, r)| r.trial.after == after as u64).all(|(_, r)| r.result == TrialResult::None);
        behind >= required || (required == 1 || nobody()) && refused(&|t| t.after == 0 && t.together.min(together) > after as u64) > 0
    };
    let left = (1..whole).take(LATER).filter(|after| !asked(*after)).count();
    let beyond = whole.saturating_sub(LATER + 1);
    match (left, beyond) {
        (0, 0) => None,
        (0, _) if met >= whole => None,
        (0, beyond) => Some(format!("of the {whole} connections of a run the last {beyond} were not attacked")),
        (left, _) => Some(format!("of the {whole} connections of a run {left} were not attacked by themselves")),
    }
}

/// What a pass must add about connections beyond the first.
fn later(sides: &Sides<'_>) -> String {
    let (met, whole) = connections(sides);
    let behind = sides.attempts().filter(|(_, r)| r.trial.after > 0 && r.result == TrialResult::Rejected).count();
    let mut out = match behind {
        0 if met < whole => format!("; met at most {met} of the {whole} connections of an attempt"),
        0 => String::new(),
        n => format!("; and {n} more in connections that come only after others succeeded"),
    };
    let mut honest = sides.rows.iter().filter(|r| r.trial.arm != Arm::Attack && r.result == TrialResult::Accepted).peekable();
    if honest.peek().is_some() && honest.all(|r| r.trial.cut_short) {
        out += "; the program was ended in every run, and what it does later was not seen";
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::case::Caps;
    use crate::flow::FlowId;
    use crate::journal::Line;
    use crate::outcome::Verdict;
    use crate::subject::Subject;
    use crate::text::Text;
    use policies::{Class, Severity, Time};

    fn attack(id: &str, defect: Defect, needs: &[Need]) -> Attack {
        Attack {
            id: id.to_owned(),
            title: String::new(),
            page: String::new(),
            defect,
            expect: "the device sends nothing".to_owned(),
            class: Class::Critical,
            severity: Severity::High,
            brick_risk: 0,
            needs: needs.to_vec(),
        }
    }

    /// Trials in a row: `P` passed through, `C` flawless lab chain, `x` the attack; then `+` accepted, `-` refused, `i` incompatible,
    /// `h` the same with an alert that names no reason, `n` the same by us, `s` silent, `_` refused after the handshake, `o` its protocol's opening alone, `f` refused but then asked in clear, `?`
    /// nothing; then `2` for TLS 1.2 (else 1.3), `2o` when the client offered only TLS 1.2, `c` when clear followed, `k` when the device was ended too soon, `u` when clear came that
    /// cannot be told, `/…` what the peer was asked in clear, `~` on a second copy of the device.
    fn case(id: &str, rows: &str, caps: Caps) -> Case {
        let mut case = Case::new(Subject::default(), caps);
        for (n, word) in (1..).zip(rows.split_whitespace()) {
            let arm = match &word[..1] {
                "P" => Arm::Pass,
                "C" => Arm::Control,
                _ => Arm::Attack,
            };
            let (result, grade) = match &word[1..2] {
                "+" => (TrialResult::Accepted, Evidence::E5),
                "!" => (TrialResult::Accepted, Evidence::E6),
                "-" => (TrialResult::Rejected, Evidence::E2),
                "i" | "h" => (TrialResult::Incompatible, Evidence::E2),
                "n" => (TrialResult::Incompatible, Evidence::E1),
                "s" => (TrialResult::Silent, Evidence::E3),
                "f" => (TrialResult::Accepted, Evidence::E2),
                "o" => (TrialResult::None, Evidence::E4),
                "_" => (TrialResult::Rejected, Evidence::E3),
                _ => (TrialResult::None, Evidence::E1),
            };
            let trial = Trial {
                n,
                arm,
                attack: (arm == Arm::Attack).then(|| Text::ours(id)),
                result,
                grade,
                alert: match &word[1..2] {
                    "i" => Some(70),
                    "h" => Some(80),
                    _ => None,
                },
                alert_encrypted: false,
                end: if &word[1..2] == "n" { TrialEnd::Us } else { TrialEnd::Fin },
                flows: Vec::new(),
                version: Some(if word.contains('2') { 0x0303 } else { 0x0304 }),
                alpn: None,
                offered_tls13: !word.contains('o'),
                offered_tls12: true,
                first_bytes: None,
                attempt: None,
                cleartext_followed: word.contains(['c', 'f']),
                cleartext_unclear: word.contains('u'),
                cut_short: word.contains('k'),
                after: 0,
                together: 0,
                cleartext_later: word.contains('L'),
                cleartext: word.find('/').map(|at| Text::ours(&word[at..])).into_iter().collect(),
                elsewhere: word.find('@').map(|at| Text::ours(&word[at..])).into_iter().collect(),
                waited_ms: 0,
                lane: u8::from(word.contains('~')),
            };
            case.add(&Line { n, at: Time(n as i64), frame: None, flow: None, subject: None, seen: trial.into() });
        }
        case
    }

    const TERMS: Terms = Terms {
        required: 3,
        pin_trials: 4,
        pin_claimed: false,
        beside: Beside::NoPins,
        strict: false,
        user_anchor: false,
        anchor_live: true,
        selected: true,
        ended: false,
        proxied_only: false,
        forbidden: false,
    };

    #[track_caller]
    fn check(attack: &Attack, rows: &str, terms: Terms, expect: &str) {
        let outcome = judge(attack, &case(&attack.id, rows, Caps::default()), &terms);
        let got = outcome.reason().map_or(outcome.word().to_owned(), |r| format!("{} {r}", outcome.word()));
        assert_eq!(got, expect, "{rows}");
    }

    #[test]
    fn an_attack_anybody_can_do() {
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        for (rows, expect) in [
            ("", "not-tested not-exercised"),
            ("P+ P+", "not-tested not-exercised"),
            ("P+ x- P+ x- P+ x- P+", "pass"),
            ("P+ P+~ x- P+~ P+ x- P+~ P+ P+~ x- P+", "pass"),
            ("P+ P?~ x- P?~ P+ x- P?~ P+ P?~ x- P+", "pass"),
            ("P+~ x- P+~ x- P+~ x- P+~", "inconclusive no-control"),
            ("P+ x- P+ x- P+ x- P+ x+~", "fail"),
            ("C+ x- C+ x- P+ x- C+", "pass"),
            ("P+ x- x- x- P+", "pass"),
            ("P+ x- P+ x- P+", "inconclusive too-few-attempts"),
            ("P+ x- P+ x- P+ x-", "inconclusive too-few-attempts"),
            ("x- P+ x- P+ x- P+", "inconclusive too-few-attempts"),
            ("x- x- x-", "inconclusive no-control"),
            ("P- x- P- x- P- x- P-", "inconclusive no-control"),
            ("P+ x- P- x- P- x- P+", "inconclusive no-control"),
            ("P+ x- P+ x+ P+ x- P+", "fail"),
            ("x+", "fail"),
            ("P- x+ P-", "fail"),
            ("P+ x- P+ x- P+ x-c P+ x- P+", "pass"),
            ("P+ xi P+ xi P+", "inconclusive incompatible"),
            ("P+ xn P+ xi P+", "inconclusive incompatible"),
            ("P+ xn P+ xn P+", "inconclusive no-common-ground"),
            ("P+ xi P+ x- P+ x- P+ x- P+", "pass"),
            // The real server is no control for an alert that may speak of anything in our handshake.
            ("P+ xh P+ xh P+ xh P+", "inconclusive incompatible"),
            ("P+ xs P+ x- P+ x- P+ x- P+", "inconclusive silent"),
            ("P+ x? P+ x? P+", "inconclusive not-delivered"),
            ("P+ xo P+ xo P+", "inconclusive opening-only"),
            ("P+ xo P+ x- P+ x- P+ x- P+", "pass"),
            ("P+ xf P+", "fail"),
            // It asks in clear while TLS works too: that shows nothing about the attack.
            ("P+ xf/ping P+ x- P+ x- P+ x- P+/ping", "inconclusive clear-unclear"),
            ("P+/ping xf/login P+/ping", "fail"),
            // It asks for something else each time: something else under attack shows nothing either.
            ("P+/red xf/green P+/blue xf/grey P+/pink", "inconclusive clear-unclear"),
            ("P+/red xf/login P+/blue xf/login P+/blue", "fail"),
            ("P+/ping x+ P+/ping", "fail"),
            ("P+/ping x- P+/ping x- P+/ping x- P+/ping", "pass"),
            ("P+ x?k P+ x?k P+", "inconclusive cut-short"),
            ("P+ x?k P+ x- P+ x- P+ x- P+", "pass"),
            ("P+ xu P+ x- P+ x- P+ x- P+", "inconclusive clear-unclear"),
            ("P+ x? P+ x- P+ x- P+ x- P+", "pass"),
            // It came before the TLS of the next run: new, or as ever.
            ("P+ x?uL/b P+ x- P+ x- P+ x- P+", "inconclusive clear-unclear"),
            ("P+ x?uL/b P+/b x- P+ x- P+ x- P+", "pass"),
            // Said elsewhere under every attack and never else; not always; and anyway, earlier or later.
            ("P+ x-@b P+ x-@b P+ x-@b P+", "inconclusive clear-unclear"),
            ("P+ x- P+ x-@b P+ x-@b P+ x-@b P+", "pass"),
            ("P+ x- P+ x-@b P+ x-@b P+ x-@b P+ x-@b P+ x-@b P+ x-@b P+", "inconclusive clear-unclear"),
            ("P+ x-@b P+ x-@b P+ x-@b P+@b", "pass"),
            ("P+@b x-@b P+ x-@b P+ x-@b P+", "pass"),
            ("P+ x-@a P+ x-@b P+ x-@d P+", "pass"),
        ] {
            check(&a, rows, TERMS, expect);
        }
        check(&a, "", Terms { selected: false, ..TERMS }, "not-tested no-attacks");
        check(&a, "P+ P+", Terms { ended: true, ..TERMS }, "not-tested out-of-time");
        let forbidden = Terms { forbidden: true, ..TERMS };
        check(&a, "P+ P+", forbidden, "not-tested not-authorised");
        check(&a, "P+ x+ P+", forbidden, "fail");
    }

    #[test]
    fn a_client_whose_check_comes_late() {
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        let mut racing = case(&a.id, &format!("P+{}", " x_ P+".repeat(6)), Caps::default());
        let other = |n: u64, result| {
            let (trial, _) = racing.seen::<Trial>().iter().nth(1).map(|(t, s)| (t.clone(), s)).unwrap();
            Trial { n, attack: Some(Text::ours("cert.expired")), result, grade: Evidence::E3, ..trial }
        };
        let trials = [other(20, TrialResult::Rejected), other(21, TrialResult::Accepted)];
        let says = |case: &Case| judge(&a, case, &TERMS).reason();
        assert_eq!(says(&racing), None, "a pass");
        for trial in trials {
            racing.add(&Line { n: trial.n, at: Time(20), frame: None, flow: None, subject: None, seen: trial.into() });
        }
        assert_eq!(says(&racing), Some(Reason::Racy));
        // A refusal within the handshake is in time whatever comes later.
        let mut early = case(&a.id, "P+ x- P+ x- P+ x- P+", Caps::default());
        for (trial, span) in racing.seen::<Trial>().iter().filter(|(t, _)| t.n >= 20) {
            early.add(&Line { n: span.first, at: Time(20), frame: None, flow: None, subject: None, seen: trial.clone().into() });
        }
        assert_eq!(says(&early), None);
        // Accepted at times and refused in the handshake at others: no race, and no less chance.
        let (trial, _) = early.seen::<Trial>().iter().find(|(t, _)| t.n == 20).map(|(t, s)| (t.clone(), s)).unwrap();
        let in_time = Trial { n: 22, grade: Evidence::E2, ..trial };
        for (id, expect) in [("tls.version-tls11", None), ("cert.expired", Some(Reason::Intermittent))] {
            let refused = Trial { attack: Some(Text::ours(id)), ..in_time.clone() };
            let accepted = Trial { n: 23, result: TrialResult::Accepted, grade: Evidence::E3, ..refused.clone() };
            for trial in [refused, accepted] {
                early.add(&Line { n: trial.n, at: Time(20), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            assert_eq!(says(&early), expect, "{id}");
        }
        // By chance all refusals were in time: more of them are needed, in a lab as many as make that unlikely.
        for (refusals, in_lab, expect) in
            [(5, false, Some(Reason::TooFewAttempts)), (6, false, None), (9, true, Some(Reason::TooFewAttempts)), (10, true, None)]
        {
            let late = case(&a.id, &format!("P+{}", " x_ P+".repeat(refusals)), Caps::default());
            let mut runs = Case::new(Subject::default(), Caps::default());
            for (trial, span) in late.seen::<Trial>().iter() {
                let trial = Trial { attempt: in_lab.then_some(trial.n), ..trial.clone() };
                runs.add(&Line { n: span.first, at: Time(1), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            assert_eq!(says(&runs), expect, "{refusals} {in_lab}");
        }
    }

    #[test]
    fn connections_that_were_never_attacked_are_told() {
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        let mut case = case(&a.id, "P+ x- P+ x- P+ x- P+", Caps::default());
        let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
        assert!(!judged.observed.contains("connections"), "{}", judged.observed);
        let (mut trial, _) = case.seen::<Trial>().iter().last().map(|(t, s)| (t.clone(), s)).unwrap();
        (trial.n, trial.flows) = (20, vec![FlowId(1), FlowId(2)]);
        case.add(&Line { n: 20, at: Time(20), frame: None, flow: None, subject: None, seen: trial.into() });
        let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
        assert!(judged.observed.contains("met at most 0 of the 2 connections"), "{}", judged.observed);
    }

    /// In a lab every connection of a run is asked by itself: a pass says so of all.
    #[test]
    fn every_connection_of_a_run_is_asked() {
        use Verdict::{Inconclusive, Pass};
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        let with = |whole: usize, met: usize, behind: &[u64], cut: bool| {
            let before = case(&a.id, &["P+", &" x- P+".repeat(3 + behind.len())].concat(), Caps::default());
            let mut case = Case::new(Subject::default(), Caps::default());
            let mut left = behind.iter();
            let first = 2 * 3;
            for (trial, span) in before.seen::<Trial>().iter() {
                let mut trial = trial.clone();
                let attacked = trial.arm == Arm::Attack;
                trial.attempt = Some(trial.n);
                trial.flows = (1..=if attacked { met } else { whole } as u64).map(FlowId).collect();
                trial.after = if attacked && trial.n > first { *left.next().unwrap() } else { 0 };
                trial.cut_short = cut && !attacked;
                case.add(&Line { n: span.first, at: Time(1), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
            (judged.verdict, judged.observed)
        };
        for (whole, met, behind, expect, says) in [
            (1, 1, &[][..], Pass, "refused 3 of 3 times between good controls (95 % bound on acceptance 63 %)"),
            (2, 1, &[], Inconclusive, "of the 2 connections of a run 1 were not attacked by themselves"),
            // As many were met as there are: they may all have been the first, tried again.
            (2, 2, &[], Inconclusive, "of the 2 connections of a run 1 were not attacked by themselves"),
            (2, 1, &[1], Pass, "; and 1 more in connections that come only after others succeeded"),
            (4, 1, &[1, 3], Inconclusive, "of the 4 connections of a run 1 were not attacked by themselves"),
            (9, 1, &[1, 2, 3, 4, 5, 6, 7, 8], Pass, "; and 8 more in connections that come only after others succeeded"),
            (12, 1, &[1, 2, 3, 4, 5, 6, 7, 8], Inconclusive, "of the 12 connections of a run the last 3 were not attacked"),
            (12, 12, &[1, 2, 3, 4, 5, 6, 7, 8], Pass, "; and 8 more in connections that come only after others succeeded"),
        ] {
            let (verdict, observed) = with(whole, met, behind, false);
            assert!(verdict == expect && observed.ends_with(says), "{whole} {met} {behind:?}: {verdict:?} {observed}");
        }
        // Of two that begin at once, what was attacked alone may always have been the same one: once is not enough.
        for (tries, expect) in [(1, Inconclusive), (4, Inconclusive), (5, Pass)] {
            let before = case(&a.id, "P+ x- P+ x- P+ x- P+ x- P+ x- P+ x- P+ x- P+ x- P+", Caps::default());
            let mut case = Case::new(Subject::default(), Caps::default());
            let mut left = tries;
            for (trial, span) in before.seen::<Trial>().iter() {
                let mut trial = Trial { attempt: Some(trial.n), together: 2, ..trial.clone() };
                trial.flows = (1..=2).map(FlowId).collect();
                if trial.arm == Arm::Attack && left > 0 {
                    left -= 1;
                    trial.after = 1;
                }
                case.add(&Line { n: span.first, at: Time(1), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
            assert_eq!(judged.verdict, expect, "{tries} {}", judged.observed);
        }
        // (of the attempt behind one, how many of the honest runs and of the attacks begin at once)
        for (result, together, expect) in [
            (TrialResult::Rejected, (0, 0), Pass),
            (TrialResult::None, (0, 0), Inconclusive),
            (TrialResult::None, (2, 2), Pass),
            // Tried again at once, or at once for another reason.
            (TrialResult::None, (1, 2), Inconclusive),
            (TrialResult::None, (2, 1), Inconclusive),
        ] {
            let before = case(&a.id, "P+ x- P+ x- P+ x- P+ x- P+", Caps::default());
            let mut case = Case::new(Subject::default(), Caps::default());
            let last = before.seen::<Trial>().iter().map(|(t, _)| t.n).max().unwrap();
            for (trial, span) in before.seen::<Trial>().iter() {
                let mut trial = Trial { attempt: Some(trial.n), ..trial.clone() };
                trial.flows = (1..=if trial.arm == Arm::Attack { 1 } else { 2 }).map(FlowId).collect();
                trial.together = if trial.arm == Arm::Attack { together.1 } else { together.0 };
                if trial.n + 1 == last {
                    // The second connection did not come.
                    (trial.after, trial.result) = (1, result);
                }
                case.add(&Line { n: span.first, at: Time(1), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
            assert_eq!(judged.verdict, expect, "{result:?} {together:?} {}", judged.observed);
        }
        let (verdict, observed) = with(1, 1, &[], true);
        assert!(
            verdict == Pass && observed.ends_with("; the program was ended in every run, and what it does later was not seen"),
            "{observed}"
        );
    }

    #[test]
    fn what_came_once_in_clear_decides_nothing() {
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        let with = |story: &str| {
            let before = case(&a.id, story, Caps::default());
            let mut case = Case::new(Subject::default(), Caps::default());
            for (trial, span) in before.seen::<Trial>().iter() {
                let trial = Trial { attempt: Some(trial.n), ..trial.clone() };
                case.add(&Line { n: span.first, at: Time(1), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
            (judged.verdict, judged.reason)
        };
        assert_eq!(with("P+ xf/login P+"), (Verdict::Fail, None));
        assert_eq!(with("P+ xf/login P+ xf/login P+"), (Verdict::Fail, None));
        assert_eq!(with("P+ x- P+ xf/login P+ xf/login P+"), (Verdict::Fail, None));
        assert_eq!(with("P+ x- P+ xf/login P+ x- P+ x- P+"), (Verdict::Inconclusive, Some(Reason::ClearUnclear)));
        assert_eq!(with("P+ x- P+ x+ P+ x- P+ x- P+"), (Verdict::Fail, None));
    }

    #[test]
    fn connections_behind_others_are_a_question_of_their_own() {
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        let with = |story: &str, behind: u64| {
            let before = case(&a.id, story, Caps::default());
            let mut case = Case::new(Subject::default(), Caps::default());
            let last = before.seen::<Trial>().iter().map(|(t, _)| t.n).max().unwrap();
            for (trial, span) in before.seen::<Trial>().iter() {
                let mut trial = trial.clone();
                // The last attack but for the control behind it.
                trial.after = if trial.n + 1 == last && trial.arm == Arm::Attack { behind } else { 0 };
                case.add(&Line { n: span.first, at: Time(1), frame: None, flow: None, subject: None, seen: trial.into() });
            }
            let Outcome::Judged(judged) = judge(&a, &case, &TERMS) else { panic!() };
            (judged.verdict, judged.observed)
        };
        let (verdict, observed) = with("P+ x- P+ x- P+ x- P+ x- P+", 1);
        assert!(verdict == Verdict::Pass && observed.starts_with("refused 3 of 3 times"), "{observed}");
        assert!(observed.ends_with("; and 1 more in connections that come only after others succeeded"), "{observed}");
        let (verdict, observed) = with("P+ x- P+ x- P+ x- P+ x+ P+", 2);
        assert!(verdict == Verdict::Fail && observed.contains("after 2 that succeeded; it refused the first"), "{observed}");
        // They do not stand in for attempts at the first.
        let (verdict, observed) = with("P+ x- P+ x- P+ x- P+", 1);
        assert!(verdict == Verdict::Inconclusive && observed.starts_with("2 of 3 refusals"), "{observed}");
    }

    #[test]
    fn a_request_around_the_proxy_is_not_seen() {
        let a = attack("channel.tls-block-fallback", Defect::TlsBlocked, &[]);
        check(&a, "P+ x- P+ x- P+ x- P+", TERMS, "pass");
        let explicit = Terms { proxied_only: true, ..TERMS };
        check(&a, "P+ x- P+ x- P+ x- P+", explicit, "inconclusive proxy-only");
        check(&a, "P+ xf/ P+", explicit, "fail");
        check(&attack("cert.self-signed", Defect::SelfSigned, &[]), "P+ x- P+ x- P+ x- P+", explicit, "pass");
    }

    #[test]
    fn an_attack_under_the_labs_anchor() {
        let a = attack("cert.expired", Defect::Expired, &[Need::LabCaTrusted]);
        for (rows, expect) in [
            ("C+ x- C+ x- C+ x- C+", "pass"),
            // Passed-through attempts say nothing about the lab chain.
            ("P+ x- P+ x- P+ x- P+", "inconclusive no-control"),
            ("P+ C- P+ x- P+", "not-tested lab-ca-not-trusted"),
            ("P- C- P- x- P-", "not-tested nothing-worked"),
            ("Pn Cn Pn xn Pn", "not-tested no-common-ground"),
            ("P+ Cn P+ C- P+ xn", "not-tested lab-ca-not-trusted"),
            ("P+ Cn P+ C+ P+ xn", "inconclusive no-common-ground"),
            ("C- x- C- x- C-", "not-tested lab-ca-not-trusted"),
            ("C+ x- C- x- C- x- C+", "inconclusive no-control"),
            // Whatever the alert: with the same handshake the device goes on when the certificate is sound.
            ("C+ xh C+ xh C+ xh C+", "pass"),
            ("C+ xh C+ x- C+ xh C+", "pass"),
            ("C+ xi C+ xi C+ xi C+", "inconclusive incompatible"),
            ("C- xh C- xh C- xh C+", "inconclusive incompatible"),
            ("C+2 xh C+2 xh C+2 xh C+2", "inconclusive incompatible"),
            // Accepted although the flawless chain was refused: still proof.
            ("C- x+ C-", "fail"),
        ] {
            check(&a, rows, TERMS, expect);
        }
    }

    #[test]
    fn the_control_has_the_attacks_version() {
        let a = attack("tls.kx-signature-corrupt", Defect::KxSignatureCorrupt, &[Need::LabCaTrusted, Need::OfferedTls12]);
        check(&a, "C+ x-2 C+ x-2 C+ x-2 C+", TERMS, "inconclusive no-control");
        check(&a, "C+2 x-2 C+2 C+ x-2 C+2 x-2 C+ C+2", TERMS, "pass");
    }

    #[test]
    fn what_was_never_offered_is_not_applicable() {
        let a = attack("tls.downgrade-marker-12", Defect::DowngradeMarker12, &[Need::OfferedTls13]);
        check(&a, "P+2o x+2o P+2o", TERMS, "fail");
        check(&a, "P+2o x-2o P+2o x-2o P+2o x-2o P+2o", TERMS, "not-applicable not-offered");
        check(&a, "P+ x-2 P+ x-2 P+ x-2 P+", TERMS, "pass");
    }

    #[test]
    fn a_pin_needs_more_than_refusals() {
        let a = attack("pin.absent", Defect::AddedAnchor, &[Need::LabCaTrusted]);
        let claimed = Terms { pin_claimed: true, ..TERMS };
        check(&a, "P+ C- P+ C- P+ C- P+ C- P+", TERMS, "inconclusive no-discriminating-trial");
        check(&a, "P+ C- P+ C- P+ C- P+ C- P+", claimed, "pass");
        check(&a, "P+ C- P+ C- P+ C- P+ C- P+", Terms { anchor_live: false, ..claimed }, "inconclusive no-discriminating-trial");
        check(&a, "P+ C- P+ C- P+ C- P+", claimed, "inconclusive too-few-attempts");
        check(&a, "P+ C- P+ C- P+ C- P+ C- P+", Terms { pin_trials: 5, ..claimed }, "inconclusive too-few-attempts");
        check(&a, "P+ C+ P+", claimed, "fail");
        check(&a, "P+ C+ P+", TERMS, "not-applicable nothing-declared");
    }

    #[test]
    fn siblings_of_a_pin_are_listed_and_declared_ones_judged() {
        let a = attack("pin.scope", Defect::AddedAnchorSibling, &[Need::LabCaTrusted, Need::DeclaredPins]);
        let refused = "P+ C- P+ C- P+ C- P+ C- P+";
        let at = |beside| Terms { beside, pin_claimed: beside == Beside::Declared, ..TERMS };
        for (beside, rows, expect) in [
            (Beside::NoPins, "P+ C+ P+", "not-tested no-declaration"),
            (Beside::Elsewhere, "P+ C+ P+", "not-applicable nothing-declared"),
            (Beside::Declared, "P+ C+ P+", "fail"),
            (Beside::Declared, refused, "pass"),
            (Beside::Declared, "P+ C- P+", "inconclusive too-few-attempts"),
            (Beside::Declared, "P+", "not-tested not-exercised"),
            (Beside::Sibling, "P+ C- P+ C+ P+", "not-applicable sibling-accepts"),
            (Beside::Sibling, refused, "not-applicable sibling-refuses"),
            (Beside::Sibling, "P+ Cs P+", "not-tested not-exercised"),
        ] {
            check(&a, rows, at(beside), expect);
        }
        check(&a, refused, Terms { anchor_live: false, ..at(Beside::Declared) }, "inconclusive no-discriminating-trial");
    }

    #[test]
    fn user_anchor_is_asked_of_strict_clients_only() {
        let a = attack("cert.user-ca-trusted", Defect::UserAnchor, &[Need::UserCaInstalled]);
        check(&a, "P+ C+ P+", TERMS, "not-tested user-ca-not-installed");
        let installed = Terms { user_anchor: true, ..TERMS };
        check(&a, "P+ C+ P+", installed, "not-applicable nothing-declared");
        let strict = Terms { strict: true, anchor_live: false, ..installed };
        let refused = "P+ C- P+ C- P+ C- P+";
        check(&a, "P+ C+ P+", strict, "fail");
        check(&a, refused, strict, "pass");
        check(&a, "P+ C- P+", strict, "inconclusive too-few-attempts");
        // What a pin refuses may be trusted all the same.
        check(&a, refused, Terms { anchor_live: true, ..strict }, "inconclusive no-discriminating-trial");
        check(&a, refused, Terms { pin_claimed: true, ..strict }, "inconclusive no-discriminating-trial");
        check(&a, "P+ C+ P+", Terms { pin_claimed: true, ..strict }, "fail");
    }

    #[test]
    fn a_grade_e6_acceptance_is_critical() {
        let a = attack("cert.expired", Defect::Expired, &[Need::LabCaTrusted]);
        let Outcome::Judged(judged) = judge(&a, &case("cert.expired", "C+ x! C+", Caps::default()), &TERMS) else { panic!() };
        assert_eq!((judged.verdict, judged.severity), (Verdict::Fail, Some(Severity::Critical)));
    }

    #[test]
    fn bounds() {
        for (n, percent) in [(0, 100), (1, 95), (3, 63), (5, 45), (10, 26), (29, 10)] {
            assert_eq!(bound_percent(n), percent, "{n}");
        }
    }

    #[track_caller]
    fn ends(defect: Option<Defect>, grade: Evidence, alert: Option<u8>, end: TrialEnd, expect: TrialResult) {
        let ending = Ending { grade, alert, end, continued: false, cleartext_followed: false };
        assert_eq!(classify(defect.as_ref(), &ending), expect, "{defect:?} {ending:?}");
    }

    /// Rows measured with real stacks (active-testing C.1, H).
    #[test]
    fn endings() {
        use Evidence::{E1, E2, E3, E4, E5};
        use TrialEnd::{Alert, CloseNotify, Fin, Rst, Timeout, Us};
        use TrialResult::{Accepted, Incompatible, None as Nothing, Rejected, Silent};
        let cert = || Some(Defect::UntrustedCa);
        ends(cert(), E2, Some(48), Alert, Rejected); // OpenSSL
        ends(cert(), E2, Some(46), Alert, Rejected); // Chromium, Java
        ends(cert(), E3, Some(42), Alert, Rejected); // NSS: after the handshake
        ends(cert(), E3, Some(0), CloseNotify, Rejected); // curl, wrong host
        ends(cert(), E3, None, Fin, Rejected); // wget
        ends(cert(), E2, None, Fin, Rejected); // Node, TLS 1.3
        ends(cert(), E2, None, Rst, Rejected); // Bun
        ends(cert(), E5, None, Fin, Accepted);
        ends(cert(), E5, Some(42), Alert, Accepted); // sent, then failed a late check: the data is out
        ends(cert(), E4, None, Fin, Nothing); // a preamble alone
        ends(cert(), E3, None, Timeout, Silent);
        ends(cert(), E1, None, Rst, Nothing); // left before the flight arrived
        ends(cert(), E2, Some(40), Alert, Incompatible);
        ends(cert(), E2, Some(70), Alert, Incompatible);
        ends(cert(), E3, None, Us, Nothing);
        ends(Some(Defect::VerifySignatureCorrupt), E2, Some(40), Alert, Rejected); // JSSE
        ends(Some(Defect::KxSignatureCorrupt), E2, Some(10), Alert, Rejected); // Go 1.19
        ends(Some(Defect::DowngradeMarker12), E2, Some(47), Alert, Rejected);
        ends(Some(Defect::VersionTls11), E2, Some(70), Alert, Rejected);
        ends(Some(Defect::VersionTls11), E3, None, Fin, Accepted); // ClientKeyExchange
        ends(None, E5, None, Fin, Accepted);
    }

    #[test]
    fn an_answered_preamble_is_acceptance_and_clear_after_tls_too() {
        let ending = Ending { grade: Evidence::E4, alert: None, end: TrialEnd::Fin, continued: true, cleartext_followed: false };
        assert_eq!(classify(Some(&Defect::Expired), &ending), TrialResult::Accepted);
        let ending = Ending { grade: Evidence::E1, continued: false, cleartext_followed: true, ..ending };
        assert_eq!(classify(Some(&Defect::TlsBlocked), &ending), TrialResult::Accepted);
        assert_eq!(classify(None, &ending), TrialResult::None);
    }

    #[test]
    fn the_worst_counts() {
        use TrialResult::{Accepted, Incompatible, None as Nothing, Rejected, Silent};
        assert_eq!(worst([Rejected, Accepted]), Accepted);
        assert_eq!(worst([Rejected, Silent, Nothing]), Silent);
        assert_eq!(worst([Incompatible, Rejected]), Rejected);
        assert_eq!(worst([]), Nothing);
    }

    /// No cap turns a fail into a pass, whatever the trials.
    #[test]
    fn caps_never_make_a_pass() {
        let a = attack("cert.self-signed", Defect::SelfSigned, &[]);
        let rows = "P+ x- P+ x- P+ x- P+ x+ P+ x- P+";
        assert!(judge(&a, &case(&a.id, rows, Caps::default()), &TERMS).is_fail());
        for trials in 0..11 {
            let outcome = judge(&a, &case(&a.id, rows, Caps { facts: 8, trials }), &TERMS);
            assert_ne!(outcome.verdict(), Some(Verdict::Pass), "{trials}");
        }
    }
}
