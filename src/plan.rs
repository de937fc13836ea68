//! `overhear plan`: what can be decided in the time there is, at the rates a run showed, and what the operator has to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use analyzers::flow::FlowId;
use analyzers::observation::Observation;
use policies::{Attack, Defect, Need, Policy};

use crate::cli;
use crate::fault::Fault;
use crate::live::select;
use crate::run::Folder;
use crate::{knowledge, render};

/// How often a client connected to a peer, in a run.
#[derive(Clone, Copy, Default)]
struct Rate {
    hellos: u32,
    offered_13: bool,
}

pub(crate) fn plan(args: &cli::Plan) -> Result<u8, Fault> {
    let policy = match &args.policy {
        Some(path) => Policy::parse(&path.display().to_string(), &knowledge::read(path)?)?,
        None => Policy::default_lab(),
    };
    let time = crate::setup::duration(&args.duration)?;
    let attacks = select(&args.attacks, &policies::attack::catalogue())?;
    let mut out = String::new();
    let needed: u32 = attacks.iter().map(|a| attempts(a, &policy)).sum();
    let _ = writeln!(
        out,
        "{} attacks; each peer and client stack needs about {needed} connections of its own to decide them all.",
        attacks.len()
    );
    let _ = writeln!(out, "\n  {:<36} {:>9}  needs", "attack", "attempts");
    for attack in &attacks {
        let needs: Vec<&str> = attack.needs.iter().map(|n| need(*n)).collect();
        let _ = writeln!(out, "  {:<36} {:>9}  {}", attack.id, attempts(attack, &policy), needs.join("; "));
    }
    if let Some(run) = &args.from {
        out.push_str(&from_run(run, time, &attacks, &policy)?);
    } else {
        let _ = writeln!(out, "\nWith --from RUN the rates of a run tell which peers can be decided in {}.", args.duration);
    }
    let _ = writeln!(out, "\nWhat you have to do");
    if policy.authorisation.is_none() {
        let _ = writeln!(out, "  - write an [authorisation] into the policy: without it nothing is attacked");
    }
    if attacks.iter().any(|a| a.needs.contains(&Need::LabCaTrusted)) {
        let _ = writeln!(
            out,
            "  - install the campaign's authority on the device (overhear ca show): most attacks are told apart only by a chain the device trusts"
        );
    }
    if attacks.iter().any(|a| matches!(a.defect, Defect::AddedAnchor | Defect::AddedAnchorSibling)) {
        let _ = writeln!(out, "  - declare the pins the maker claims (--declaration): without them a refusal stays undecided");
    }
    let _ = writeln!(
        out,
        "  - exercise every app and function often: each attempt needs a new connection; opening and closing an app makes some"
    );
    render::print(out.as_bytes())?;
    Ok(0)
}

/// Connections an attack takes: its refusals, each with the control that follows it, and one control before.
fn attempts(attack: &Attack, policy: &Policy) -> u32 {
    let n = policy.n.of(attack.severity).max(1);
    match attack.defect {
        // Asked of the controls themselves.
        Defect::UserAnchor | Defect::AddedAnchor | Defect::AddedAnchorSibling => 0,
        _ => 2 * n,
    }
}

fn need(need: Need) -> &'static str {
    match need {
        Need::LabCaTrusted => "the authority in the device's store",
        Need::UserCaInstalled => "the authority in the user store",
        Need::DeclaredPins => "declared pins",
        Need::OfferedTls13 => "a client that offers TLS 1.3",
        Need::OfferedTls12 => "a client that offers TLS 1.2",
    }
}

/// Peers that are listed, the busiest first.
const ROWS: usize = 50;

fn from_run(run: &std::path::Path, time: Duration, attacks: &[Attack], policy: &Policy) -> Result<String, Fault> {
    let folder = Folder::open(run)?;
    let mut rates: BTreeMap<String, Rate> = BTreeMap::new();
    let mut open: BTreeMap<FlowId, String> = BTreeMap::new();
    let (mut first, mut last) = (policies::Time::MAX, policies::Time::MIN);
    let mut over = false;
    folder.read(|line| {
        if !over {
            first = first.min(line.at);
            last = last.max(line.at);
        }
        // What a later command adds is of another time.
        over |= matches!(line.seen, Observation::Ledger(_));
        match (&line.seen, line.flow) {
            (Observation::Bound(bound), Some(flow)) => {
                let client = bound.client.map_or_else(|| "-".to_owned(), |c| c.to_string());
                open.insert(flow, format!("{} {client}", bound.peer));
            }
            (Observation::Hello(hello), Some(flow)) => {
                if let Some(subject) = open.get(&flow) {
                    let rate = rates.entry(subject.clone()).or_default();
                    rate.hellos += 1;
                    rate.offered_13 |= hello.versions.contains(&0x0304);
                }
            }
            (Observation::Flow(_), Some(flow)) => {
                open.remove(&flow);
            }
            _ => {}
        }
    })?;
    let lasted = last.since(first).as_secs_f64().max(1.0);
    let mut out = String::new();
    let _ = writeln!(out, "\nAt the rates of {} ({:.0} s long)", run.display(), lasted);
    let _ = writeln!(out, "  {:<58} {:>8} {:>9}", "peer and client stack", "expected", "decidable");
    let share = f64::from(policy.thresholds.attack_share_percent) / 100.0;
    let mut rows: Vec<(&String, &Rate)> = rates.iter().collect();
    rows.sort_by_key(|(name, rate)| (std::cmp::Reverse(rate.hellos), (*name).clone()));
    // Every attack is followed by a control, and has its rest from the one before.
    let rest = f64::from(policy.thresholds.attack_pause_ms.max(1)) / 1000.0;
    let rested = 2.0 * time.as_secs_f64() / rest;
    for (name, rate) in rows.iter().take(ROWS) {
        let expected = f64::from(rate.hellos) * time.as_secs_f64() / lasted;
        let (mut left, mut decidable) = ((expected * share.max(0.01) / 0.5).min(rested), 0);
        let mut dropped = Vec::new();
        for attack in attacks {
            if attack.needs.contains(&Need::OfferedTls13) && !rate.offered_13 {
                continue;
            }
            let attempts = attempts(attack, policy);
            // What controls answer takes no time of its own, and needs a declaration.
            if attempts == 0 {
                continue;
            }
            let cost = f64::from(attempts);
            if left >= cost {
                left -= cost;
                decidable += 1;
            } else {
                dropped.push(attack.id.as_str());
            }
        }
        let possible = decidable + dropped.len();
        let word = match dropped.as_slice() {
            [] => String::new(),
            _ if decidable == 0 => "no time for any".to_owned(),
            [one] => format!("no time for {one}"),
            [first, later @ ..] => format!("no time for {first} and {} below it", later.len()),
        };
        let _ = writeln!(out, "  {name:<58} {expected:>8.0} {decidable:>5} of {possible}  {word}");
    }
    if rows.len() > ROWS {
        let _ = writeln!(out, "  and {} more, with fewer connections each", rows.len() - ROWS);
    }
    if rates.is_empty() {
        let _ = writeln!(out, "  the run shows no TLS hello: nothing can be planned from it");
    }
    Ok(out)
}
