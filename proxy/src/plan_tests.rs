//! Campaigns played against the planner.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

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
        chance: None,
        sibling: None,
        passing: None,
    }
}

fn short(t: &Treatment) -> String {
    match t {
        Treatment::Pass => "P".to_owned(),
        Treatment::Control { twin: None, .. } => "C".to_owned(),
        Treatment::Control { twin: Some(_), .. } => "T".to_owned(),
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
            late: false,
            together: 0,
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
    check(&[ca(), host()], strict, "C ca C C ca C host C C host C");
    check(&[kx(), ca()], strict, "C ca C C ca C T kx T T kx T");
    // One acceptance decides at once.
    check(&[ca(), host()], |_| TrialResult::Accepted, "C ca C C host");
    // A client that does not trust the lab: its own server is the control, and what needs the anchor is not asked.
    let untrusting = |t: &Treatment| if *t == Treatment::Pass { TrialResult::Accepted } else { TrialResult::Rejected };
    check(&[ca(), host()], untrusting, "C C P ca P P ca P");
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
            late: false,
            together: 0,
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
    check(&[ca()], quiet, "C ca C C ca");
    // Not allowed: nothing to decide, everything passes.
    let attacks = [ca()];
    let spared = Terms { allowed: false, ..terms(&attacks, Mode::Runs) };
    assert_eq!(plan(&History::default(), &spared, Time::default()), Treatment::Pass);
    assert!(undecided(&History::default(), &spared).is_empty());
}

/// A program that makes connection after connection, each only when the one before worked.
#[test]
fn later_connections() {
    let (at_once, late) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
    let run = |attacks: &[Attack], mode: Mode, connections: &[bool], tries: usize| {
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
            // Some try again, and as many connections are met under attack as there are.
            let connections = if arm == Arm::Attack { ends + tries } else { ends + 1 };
            let by_clear = BTreeSet::new();
            history.past.push(Past {
                arm,
                attack: id,
                shape: t.shape(),
                result,
                at,
                by_clear,
                late: late.get() && result == TrialResult::Rejected,
                together: at_once.get(),
                connections,
                after,
            });
        }
        out.join(" ")
    };
    let ca = [attack("ca", Defect::UntrustedCa, &[])];
    assert_eq!(run(&ca, Mode::Runs, &[true], 1), "C ca C");
    assert_eq!(run(&ca, Mode::Runs, &[true, true], 1), "C ca C C ca1 C");
    assert_eq!(run(&ca, Mode::Runs, &[true, false], 1), "C ca C C ca1");
    assert_eq!(run(&ca, Mode::Runs, &[true, false], 3), "C ca C C ca1", "the first was tried again");
    assert_eq!(run(&ca, Mode::Runs, &[true, true, false, true], 1), "C ca C C ca1 C ca2");
    assert_eq!(run(&ca, Mode::Runs, &[true, true, true, true, true, false], 1), "C ca C C ca1 C ca2 C C ca3 C ca4 C C ca5");
    let asked = run(&ca, Mode::Runs, &[true; 20], 1);
    assert_eq!((asked.matches("ca").count(), asked.contains("ca8"), asked.contains("ca9")), (1 + LATER, true, false));
    assert_eq!(run(&ca, Mode::Runs, &[false, true], 1), "C ca");
    // A device in use is not asked more than it must be.
    assert_eq!(run(&ca, Mode::Live, &[true, true], 1), "P P C ca P C");
    // Of two that begin at once either may come first: the one behind is asked several times.
    at_once.set(2);
    let asked = run(&ca, Mode::Runs, &[true, true], 1);
    assert_eq!((asked.matches("ca1").count(), asked.matches("ca").count()), (5, 6), "{asked}");
    assert!(run(&ca, Mode::Runs, &[true, true, false], 1).ends_with("ca2"));
    // A crowd meets the attack at once.
    at_once.set(20);
    assert_eq!(run(&ca, Mode::Runs, &[true, true], 1), "C ca C");
    at_once.set(0);
    // A refusal after the handshake may have come too late for what was sent.
    late.set(true);
    let asked = run(&ca, Mode::Runs, &[true], 1);
    assert_eq!((asked.matches("ca").count(), asked.ends_with("ca C")), (10, true), "{asked}");
    let asked = run(&ca, Mode::Live, &[true], 1);
    assert_eq!(asked.matches("ca").count(), 2, "{asked}");
    late.set(false);
    assert_eq!(run(&[attack("cut", Defect::TlsBlocked, &[])], Mode::Runs, &[true, false], 1), "C cut C C cut1");
}

/// A program that pins its first connection only: behind it the lab's chain is shown to the second.
#[test]
fn a_pin_is_asked_of_later_connections_too() {
    let attacks = [attack("pin", Defect::AddedAnchor, &[])];
    let terms = Terms { required: Repeats { critical: 1, high: 1, medium: 1, low: 1, info: 1 }, ..terms(&attacks, Mode::Runs) };
    let terms = Terms { thresholds: Thresholds { pin_trials: 2, ..Thresholds::default() }, ..terms };
    let mut history = History::default();
    let mut out = Vec::new();
    while !undecided(&history, &terms).is_empty() {
        let t = plan(&history, &terms, Time::default());
        out.push(format!("{}{}", short(&t), t.after()));
        let (arm, result) = match &t {
            Treatment::Control { after: 0, .. } => (Arm::Control, TrialResult::Rejected),
            Treatment::Control { .. } => (Arm::Control, TrialResult::Accepted),
            _ => (Arm::Pass, TrialResult::Accepted),
        };
        let (shape, at, by_clear) = (t.shape(), Time::default(), BTreeSet::new());
        let connections = if result == TrialResult::Rejected { 1 } else { 2 };
        history.past.push(Past { arm, attack: None, shape, result, at, by_clear, late: false, together: 0, connections, after: t.after() });
    }
    assert_eq!(out.join(" "), "P0 C0 P0 C0 P0 C1");
}

/// A client that refused an attack on its checks and then accepted it may have refused the others by chance; what it does about versions is
/// another question.
#[test]
fn a_client_that_does_not_always_do_the_same_is_asked_more() {
    for (first, defect, expect) in [("cert.untrusted-ca", Defect::UntrustedCa, 10), ("tls.version-tls11", Defect::UntrustedCa, 2)] {
        let attacks = [attack(first, defect, &[]), attack("cert.expired", Defect::Expired, &[])];
        let met = std::cell::Cell::new(0);
        let (sequence, left) = play(&attacks, Mode::Runs, 1, |t| {
            let wavers = short(t) == first;
            met.set(met.get() + usize::from(wavers));
            if wavers && met.get() > 1 { TrialResult::Accepted } else { strict(t) }
        });
        assert_eq!((sequence.matches("cert.expired").count(), left), (expect, Vec::new()), "{first}: {sequence}");
    }
}

/// A stack that speaks because another was attacked is asked the same, at once and again; one that will hardly be met twice is asked at once.
#[test]
fn stacks_that_come_behind_others() {
    let attacks = [attack("ca", Defect::UntrustedCa, &[]), attack("host", Defect::HostnameMismatch, &[Need::LabCaTrusted])];
    let behind = Terms { sibling: Some("host"), ..terms(&attacks, Mode::Runs) };
    let mut history = History::default();
    let mut out = Vec::new();
    for _ in 0..5 {
        let t = plan(&history, &behind, Time::default());
        out.push(short(&t));
        let arm = if matches!(t, Treatment::Attack { .. }) { Arm::Attack } else { Arm::Control };
        let id = (arm == Arm::Attack).then(|| out.last().cloned()).flatten();
        let (shape, result, at, by_clear) = (t.shape(), strict(&t), Time::default(), BTreeSet::new());
        history.past.push(Past { arm, attack: id, shape, result, at, by_clear, late: false, together: 0, connections: 1, after: 0 });
    }
    assert_eq!(out, ["host", "C", "C", "host", "C"]);
    let once = |asked: &[(String, usize)]| {
        short(&plan(&History::default(), &Terms { passing: Some(asked), ..terms(&attacks, Mode::Runs) }, Time::default()))
    };
    assert_eq!(once(&[]), "ca");
    assert_eq!(once(&[("ca".to_owned(), 2), ("host".to_owned(), 1)]), "host");
}

/// What a program does in every fifth run meets attacks too, whichever run it begins with.
#[test]
fn by_chance() {
    let attacks: Vec<Attack> = (0..8).map(|n| attack(&format!("a{n}"), Defect::SelfSigned, &[])).collect();
    for careless_on in 0..5 {
        let terms = Terms { chance: Some(7), ..terms(&attacks, Mode::Runs) };
        let mut history = History::default();
        for run in 0..200 {
            if undecided(&history, &terms).is_empty() {
                break;
            }
            let t = plan(&history, &terms, Time::default());
            let attacked = matches!(t, Treatment::Attack { .. });
            let result = if attacked && run % 5 != careless_on { TrialResult::Rejected } else { TrialResult::Accepted };
            let id = attacked.then(|| short(&t));
            let arm = if attacked { Arm::Attack } else { Arm::Control };
            let (shape, at, by_clear) = (t.shape(), Time::default(), BTreeSet::new());
            history.past.push(Past { arm, attack: id, shape, result, at, by_clear, late: false, together: 0, connections: 1, after: 0 });
        }
        assert!(history.past.iter().any(|p| p.arm == Arm::Attack && p.result == TrialResult::Accepted), "careless on {careless_on}");
    }
}

/// A request in clear that came once may be one that comes by turns.
#[test]
fn what_came_once_in_clear_is_asked_again() {
    let attacks = [attack("ca", Defect::UntrustedCa, &[])];
    let terms = terms(&attacks, Mode::Runs);
    let past = |arm, attack: Option<&str>, result, clear: Option<&str>| Past {
        arm,
        attack: attack.map(str::to_owned),
        shape: Shape::Mirrored,
        result,
        at: Time::default(),
        by_clear: clear.map(str::to_owned).into_iter().collect(),
        connections: 1,
        late: false,
        together: 0,
        after: 0,
    };
    let honest = || past(Arm::Control, None, TrialResult::Accepted, None);
    let clear = || past(Arm::Attack, Some("ca"), TrialResult::Accepted, Some("GET /"));
    let left = |past: Vec<Past>| undecided(&History { past, ..History::default() }, &terms).len();
    assert_eq!(left(vec![honest(), past(Arm::Attack, Some("ca"), TrialResult::Accepted, None)]), 0, "beyond doubt");
    assert_eq!(left(vec![honest(), clear()]), 1);
    assert_eq!(left(vec![honest(), clear(), honest(), clear()]), 1, "too few attempts to which nothing was done");
    let many = (0..HONEST).map(|_| honest());
    assert_eq!(left(many.clone().chain([clear()]).collect()), 1);
    assert_eq!(left(many.chain([clear(), clear()]).collect()), 0);
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
        late: false,
        together: 0,
        after: 0,
        at: Time::from_secs(secs),
    };
    let past = [Arm::Pass, Arm::Pass, Arm::Pass, Arm::Pass, Arm::Attack, Arm::Pass]
        .into_iter()
        .zip(0..)
        .map(|(arm, secs)| past(arm, secs))
        .collect();
    let history = History { past, ..History::default() };
    for (share, pause, now, held) in [(34, 30_000, 20, true), (34, 30_000, 40, false), (34, 10_000, 20, false), (25, 10_000, 40, true)] {
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
        late: false,
        together: 0,
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
    let attacks =
        [attack("ca", Defect::UntrustedCa, &[]), attack("kx", Defect::KxSignatureCorrupt, &[]), attack("block", Defect::TlsBlocked, &[])];
    let client = |t: &Treatment| match t {
        Treatment::Control { twin: Some(_), after: 0 } => TrialResult::Incompatible,
        Treatment::Attack { .. } => TrialResult::Rejected,
        _ => TrialResult::Accepted,
    };
    let (asked, left) = play(&attacks, Mode::Runs, 1, client);
    assert_eq!((asked.as_str(), left.len()), ("C ca C C ca C T T T C block C C block C", 0));
}

#[test]
fn answered_elsewhere() {
    let attacks = [attack("eku", Defect::EkuClientOnly, &[]), attack("ca", Defect::UntrustedCa, &[])];
    let known = History { refused_elsewhere: vec![("eku".into(), 1), ("ca".into(), 3)], strangers_refused_on: 3, ..History::default() };
    assert_eq!(undecided(&known, &terms(&attacks, Mode::Live)), ["ca"]);
    assert_eq!(undecided(&known, &terms(&attacks, Mode::Runs)), ["eku", "ca"]);
}

/// A program that is careless, or talks, in every other run: what it does by turns meets attacks and controls alike.
#[test]
fn turns() {
    let ca = attack("ca", Defect::UntrustedCa, &[]);
    for careless_on in [0, 1] {
        let runs = std::cell::Cell::new(0);
        let client = |t: &Treatment| {
            let run = runs.replace(runs.get() + 1);
            if matches!(t, Treatment::Attack { .. }) && run % 2 != careless_on { TrialResult::Rejected } else { TrialResult::Accepted }
        };
        let attacks = [ca.clone()];
        let terms = terms(&attacks, Mode::Runs);
        let mut history = History::default();
        while !undecided(&history, &terms).is_empty() {
            let t = plan(&history, &terms, Time::default());
            let result = client(&t);
            let arm = if matches!(t, Treatment::Attack { .. }) { Arm::Attack } else { Arm::Control };
            let id = (arm == Arm::Attack).then(|| "ca".to_owned());
            let (shape, at, by_clear) = (t.shape(), Time::default(), BTreeSet::new());
            history.past.push(Past { arm, attack: id, shape, result, at, by_clear, late: false, together: 0, connections: 1, after: 0 });
        }
        assert!(history.past.iter().any(|p| p.arm == Arm::Attack && p.result == TrialResult::Accepted), "careless on {careless_on}");
    }
}

#[test]
fn who_offers_only_old_versions_is_asked_without_controls() {
    let attacks = [
        attack("cert.expired", Defect::Expired, &[Need::LabCaTrusted]),
        attack("tls.version-tls11", Defect::VersionTls11, &[Need::LabCaTrusted]),
    ];
    let terms = terms(&attacks, Mode::Runs);
    let past = |arm, id: Option<&str>, result| Past {
        arm,
        attack: id.map(str::to_owned),
        shape: Shape::Mirrored,
        result,
        at: Time(0),
        by_clear: BTreeSet::new(),
        connections: 1,
        late: false,
        together: 0,
        after: 0,
    };
    let failed = |arm| past(arm, None, TrialResult::Incompatible);
    let mut history = History { past: vec![failed(Arm::Pass), failed(Arm::Pass), failed(Arm::Control)], ..History::default() };
    assert_eq!(short(&plan(&history, &terms, Time(0))), "tls.version-tls11");
    // A newer client whose controls fail is not.
    let newer = History { offered_tls12: true, ..history.clone() };
    assert_eq!(short(&plan(&newer, &terms, Time(0))), "C");
    for result in [TrialResult::Rejected, TrialResult::Accepted] {
        assert!(undecided(&history, &terms).contains(&"tls.version-tls11"));
        history.past.push(past(Arm::Attack, Some("tls.version-tls11"), result));
    }
    assert!(!undecided(&history, &terms).contains(&"tls.version-tls11"));
}
