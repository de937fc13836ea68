//! Enrolment of a finger or face sends nothing out
//!
//! # What it does
//! Compares what the device sends in confirmed windows of biometric enrolment with what it sends in sham windows (the same handling
//! without a finger or face), and searches readable traffic for biometric content.
//!
//! # Why it matters
//! A biometric sample cannot be changed once it is out. It must stay on the device, and enrolment is when it would leave.
//!
//! # How it is judged
//! *Fail*: biometric content was found in what could be read. Otherwise never more than undecided, for silence cannot be proven:
//! `no-indication` when at least five confirmed enrolment and five sham windows differ by no more than chance (one-sided rank-sum
//! test at 5 %, over what is not known to be an app of the user's, where a file of actors says so of the very flow), with the smallest upload that would have been noticed; `volume-differs` when they do; `windows-not-confirmed` when
//! there are too few. Without a stimulus: not tested.
//!
//! # Evidence
//! The `event` and `activity` lines; the `hit` lines of type biometric.
//!
//! # References
//! ETSI TS 103 732-2 (biometric module; class level, text not seen), ISO/IEC 19794.

use policies::{IdentifierType, Severity, Time};

use crate::case::Case;
use crate::checks::meta::stimulus_log::is_beside;
use crate::checks::{Context, Example, Mode, Rule};
use crate::observation::{Activity, Event, Grade, Hit, HitDirection, HitFact, Input, Missed, Phase, Run, RunKind};
use crate::outcome::{Outcome, Proof, Reason};
use crate::pipeline::Window;
use crate::subject::Scope;

pub(crate) const RULE: Rule =
    Rule { scope: Scope::Device, severity: Severity::High, mode: Mode::Passive, needs: &["events"], judge, examples: EXAMPLES };

const EXPECTED: &str = "no more traffic than in the sham windows, and no biometric content";

fn judge(case: &Case, cx: &Context<'_>) -> Outcome {
    let hits = case.seen::<Hit>();
    let template = |h: &HitFact| h.kind == IdentifierType::Biometric && h.direction != HitDirection::In;
    if let Some(proof) = hits.proof(|h| template(h) && h.grade >= Grade::Structural) {
        return Outcome::fail(proof, EXPECTED, "biometric content left the device");
    }
    // Stimuli are done to the device and journalled for the run.
    let events = cx.run.seen::<Event>();
    let is_enrol = |e: &Event| e.kind == "enrol" && e.phase == Phase::Start;
    let Some(proof) = events.proof(is_enrol) else { return Outcome::NotTested(Reason::NoEvents) };
    let enough = cx.policy.thresholds.biometric_windows as usize;
    let (enrol, sham) = (usable("enrol", "sham", cx), usable("sham", "enrol", cx));
    let undecided = |reason, proof: Proof, what: String| Outcome::inconclusive(reason, proof, EXPECTED, what);
    if enrol.len() < enough || sham.len() < enough {
        let what = format!("{} confirmed enrolment and {} sham windows; {enough} of each are needed", enrol.len(), sham.len());
        return undecided(Reason::WindowsNotConfirmed, proof, what);
    }
    if let Some(lost) = case.any::<Missed>(|_| true) {
        return undecided(Reason::MissedBytes, proof.and(&Proof::line(lost.first)), "bytes are missing".to_owned());
    }
    let activities = case.seen::<Activity>();
    let activity = activities.proof(|a| counts(a) && (a.kind == "enrol" || a.kind == "sham"));
    if activities.overflowed() {
        return undecided(Reason::Overflowed, proof, "more flows were active in the windows than are kept".to_owned());
    }
    let (enrol, sham) = (volumes(case, "enrol", &enrol), volumes(case, "sham", &sham));
    let proof = activity.map_or(proof.clone(), |a| proof.and(&a));
    let (p, noticed) = (rank_sum(&enrol, &sham), sham.iter().max().copied().unwrap_or(0));
    if p < 0.05 {
        return undecided(Reason::VolumeDiffers, proof, format!("enrolment windows send more than sham windows (p = {p:.3})"));
    }
    undecided(Reason::NoIndication, proof, format!("no difference (p = {p:.2}); an upload of more than {noticed} bytes in each window would have been noticed"))
}

/// The windows of a kind that can be compared, by number: confirmed at both ends, of some length, within the capture, and beside those of the
/// other kind.
fn usable(kind: &str, other: &str, cx: &Context<'_>) -> Vec<u32> {
    let events = cx.run.seen::<Event>();
    let windows = Window::pair(events.iter().map(|(event, _)| event));
    let apart = |w: &Window| windows.iter().filter(|o| o.kind == other).all(|o| o.end <= w.start || w.end <= o.start);
    let closed = |w: &Window| w.confirmed && w.start < w.end && w.end < Time::MAX && !is_beside(w.start, cx) && !is_beside(w.end, cx);
    windows.iter().filter(|w| w.kind == kind && closed(w) && apart(w) && was_watched(w, cx)).map(|w| w.n).collect()
}

/// Whether some of the window lies within what was read.
fn was_watched(window: &Window, cx: &Context<'_>) -> bool {
    let inputs = cx.run.seen::<Input>();
    let mut times = inputs.iter().filter_map(|(input, _)| input.first.zip(input.last)).peekable();
    let live = cx.run.any::<Run>(|run| run.kind != RunKind::Capture).is_some();
    live || times.peek().is_none() || times.any(|(first, last)| window.start <= last && first <= window.end)
}

/// Whether what a flow carried may be the device's own word, and leaves the local link. What the user's apps send is noise in both kinds of
/// windows: biometric samples are the device's own.
fn counts(activity: &Activity) -> bool {
    !activity.local && !activity.users
}

/// Such bytes sent in each of these windows of a kind; a window in which nothing was sent counts as zero.
fn volumes(case: &Case, kind: &str, numbers: &[u32]) -> Vec<u64> {
    let mut out: Vec<u64> = vec![0; numbers.len()];
    for (activity, span) in case.seen::<Activity>().iter().filter(|(a, _)| a.kind == kind && counts(a)) {
        if let Some(at) = numbers.iter().position(|n| *n == activity.window)
            && let Some(sum) = out.get_mut(at)
        {
            // Flows that sent the same are one fact.
            *sum = sum.saturating_add(activity.out.saturating_mul(span.count));
        }
    }
    out
}

/// One-sided p of the Mann–Whitney rank-sum test that `a` tends to be larger than `b` (normal approximation with continuity correction;
/// ties count a half).
fn rank_sum(a: &[u64], b: &[u64]) -> f64 {
    let wins: f64 = a.iter().flat_map(|x| b.iter().map(move |y| match x.cmp(y) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    })).sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mean, deviation) = (n * m / 2.0, (n * m * (n + m + 1.0) / 12.0).sqrt());
    if deviation == 0.0 {
        return 1.0;
    }
    upper_tail((wins - mean - 0.5) / deviation)
}

/// P(Z > z) of the standard normal distribution (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly
}

const EXAMPLES: &[Example] = &[
    Example::new("no stimulus", r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.1:443","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#, "not-tested no-events"),
    Example::new("one window only", r#"{"event":{"at":"2026-01-01T00:00:01Z","kind":"enrol","phase":"start","confirmed":true}}"#, "inconclusive windows-not-confirmed"),
    Example::new(
        "five and five, alike",
        r#"{"event":{"at":"2026-01-01T00:01:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:01:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}"#,
        "inconclusive no-indication",
    ),
    Example::new(
        "five and five, enrolment sends more",
        r#"{"event":{"at":"2026-01-01T00:01:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":90000,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:01:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":90001,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":90002,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":90003,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":90004,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}"#,
        "inconclusive volume-differs",
    ),
    Example::new(
        "the same behind two that were not confirmed",
        r#"{"event":{"at":"2026-01-01T00:01:00Z","kind":"enrol","phase":"start","confirmed":false}}
           {"event":{"at":"2026-01-01T00:01:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":0,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:00Z","kind":"enrol","phase":"start","confirmed":false}}
           {"event":{"at":"2026-01-01T00:02:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":0,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":90003,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":90004,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":90005,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:06:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:06:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":6,"confirmed":true,"out":90006,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:07:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:07:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":7,"confirmed":true,"out":90007,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:01:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}"#,
        "inconclusive volume-differs",
    ),
    Example::new(
        "the end of one is not confirmed",
        r#"{"event":{"at":"2026-01-01T00:01:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:01:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:10Z","kind":"enrol","phase":"end","confirmed":false}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}"#,
        "inconclusive windows-not-confirmed",
    ),
    Example::new(
        "five and five, alike but for what a user's app sends",
        r#"{"event":{"at":"2026-01-01T00:01:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":90000,"back":0,"encrypted":true,"local":false,"users":true}}
           {"event":{"at":"2026-01-01T00:01:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":90001,"back":0,"encrypted":true,"local":false,"users":true}}
           {"event":{"at":"2026-01-01T00:02:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":90002,"back":0,"encrypted":true,"local":false,"users":true}}
           {"event":{"at":"2026-01-01T00:03:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":90003,"back":0,"encrypted":true,"local":false,"users":true}}
           {"event":{"at":"2026-01-01T00:04:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":90004,"back":0,"encrypted":true,"local":false,"users":true}}
           {"event":{"at":"2026-01-01T00:05:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}"#,
        "inconclusive no-indication",
    ),
    Example::new(
        "five and five, enrolment sends twice as much in two flows that are alike",
        r#"{"event":{"at":"2026-01-01T00:01:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:01:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:01:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":1,"confirmed":true,"out":100,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:02:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:02:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":2,"confirmed":true,"out":101,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:03:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:03:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":3,"confirmed":true,"out":102,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:04:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:04:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":4,"confirmed":true,"out":103,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:00Z","kind":"enrol","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:10Z","kind":"enrol","phase":"end","confirmed":true}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}
           {"activity":{"kind":"enrol","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}
           {"event":{"at":"2026-01-01T00:05:20Z","kind":"sham","phase":"start","confirmed":true}}
           {"event":{"at":"2026-01-01T00:05:30Z","kind":"sham","phase":"end","confirmed":true}}
           {"activity":{"kind":"sham","window":5,"confirmed":true,"out":104,"back":0,"encrypted":true,"local":false}}"#,
        "inconclusive volume-differs",
    ),
    Example::new("a template was seen", r#"{"hit":{"kind":"biometric","field":"imei-1","grade":"proof","masked":"‹m›","token":"aa","layer":"decrypted","direction":"out","where":"http.request.uri","chain":[],"exposure":"peer","dir":"out","offset":1,"len":9}}"#, "fail"),
];

#[cfg(test)]
mod tests {
    use super::{rank_sum, upper_tail};

    /// Exact one-sided p of complete separation of 5 and 5 is 1/252 = 0.004; the approximation gives 0.006.
    #[test]
    fn rank_sums() {
        assert!((rank_sum(&[6, 7, 8, 9, 10], &[1, 2, 3, 4, 5]) - 0.006).abs() < 0.001);
        assert!(rank_sum(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]) > 0.4);
        assert!((rank_sum(&[], &[]) - 1.0).abs() < 1e-9);
        assert!((upper_tail(1.644_853_6) - 0.05).abs() < 1e-6);
    }
}
