//! The board over any lines: read from disk they give what they gave live, and no bound makes a pass or unmakes a fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use analyzers::board::{Board, Demands, RequirementVerdict};
use analyzers::case::Caps;
use analyzers::checks;
use analyzers::flow::FlowId;
use analyzers::journal::{self, Line, Writer};
use analyzers::observation::{Bound, Observation};
use analyzers::reading::Reading;
use policies::{Declaration, Policy, Time};
use proptest::prelude::*;

/// Facts that some check speaks of: those of all examples.
fn pool() -> &'static [Observation] {
    static POOL: OnceLock<Vec<Observation>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut out: Vec<Observation> = Vec::new();
        for line in
            checks::all().iter().flat_map(|c| c.rule.examples).flat_map(|e| e.facts.lines()).map(str::trim).filter(|l| !l.is_empty())
        {
            let seen = serde_json::from_str(line).unwrap();
            if !out.contains(&seen) {
                out.push(seen);
            }
        }
        out
    })
}

/// Eight flows of two devices, three peers and two stacks; one flow is nobody's.
const BOUND: &str = r#"{"device":1,"attribution":"opener","side":"out","peer":{"name":"shop.test","port":443,"transport":"tcp"},"named_by":"sni","client":"c-010101010101","actor":{"class":"os"}}
{"device":1,"attribution":"opener","side":"out","peer":{"name":"shop.test","port":443,"transport":"tcp"},"named_by":"sni","client":"c-020202020202","actor":{"class":"user-app"}}
{"device":1,"attribution":"opener","side":"out","peer":{"name":"ota.test","port":80,"transport":"tcp"},"named_by":"http-host","actor":{"class":"unknown"}}
{"device":1,"attribution":"opener","side":"out","peer":{"addr":"192.0.2.53","port":53,"transport":"udp"},"actor":{"class":"unknown"}}
{"device":2,"attribution":"opener","side":"out","peer":{"name":"shop.test","port":443,"transport":"tcp"},"named_by":"sni","client":"c-010101010101","actor":{"class":"unknown"}}
{"device":2,"attribution":"opener","side":"out","peer":{"name":"ota.test","port":80,"transport":"tcp"},"named_by":"http-host","actor":{"class":"unknown"}}
{"device":2,"attribution":"opener","side":"out","peer":{"addr":"192.0.2.53","port":53,"transport":"udp"},"actor":{"class":"unknown"}}
{"attribution":"none","peer":{"addr":"192.0.2.9","port":9000,"transport":"tcp"},"actor":{"class":"unknown"}}"#;

fn lines(picks: &[(usize, Option<u64>)]) -> Vec<Line> {
    let bound = BOUND.lines().map(|l| serde_json::from_str::<Bound>(l).unwrap());
    let bound = (1..).zip(bound).map(|(flow, bound)| (Observation::Bound(bound), Some(FlowId(flow))));
    let facts = picks.iter().map(|(fact, flow)| (pool()[fact % pool().len()].clone(), flow.map(|f| FlowId(f % 8 + 1))));
    (1..)
        .zip(bound.chain(facts))
        .map(|(n, (seen, flow))| Line { n, at: Time(n as i64 * 1_000_000), frame: Some(n), flow, subject: None, seen })
        .collect()
}

fn demands() -> Arc<Demands> {
    static DEMANDS: OnceLock<Arc<Demands>> = OnceLock::new();
    Arc::clone(DEMANDS.get_or_init(|| {
        let declaration = "schema = \"overhear/declaration/1\"\nchannels_complete = true\n[dns]\nclaim = \"strict\"\nresolvers = [\"dns.test\"]\n[[channels]]\nname = \"shop\"\npeers = [\"shop.test\"]\nprotocol = \"https\"\npurpose = \"orders\"\n";
        Arc::new(Demands {
            policy: Policy::default_analyze(),
            declaration: Some(Declaration::parse("d", declaration).unwrap()),
            requirements: policies::requirement::catalogue(),
            attacks: policies::attack::catalogue(),
        })
    }))
}

fn picks() -> impl Strategy<Value = Vec<(usize, Option<u64>)>> {
    prop::collection::vec((any::<usize>(), prop::option::weighted(0.8, 0_u64..8)), 0..80)
}

fn board(lines: &[Line], caps: Caps, subjects: usize) -> Board {
    let mut board = Board::with_caps(demands(), caps, subjects);
    for line in lines {
        board.line(line);
    }
    board
}

/// How a check did, and what the requirements come to.
fn verdicts(board: &Board) -> (HashMap<String, &'static str>, Vec<(String, RequirementVerdict)>) {
    let findings = board.findings();
    let checks = Board::tally(&findings).iter().map(|(check, tallied)| ((*check).to_owned(), tallied.word())).collect();
    (checks, board.roll_up(&findings).into_iter().map(|r| (r.id, r.verdict)).collect())
}

/// What was worth a line before the handshake leaves the handshake its client; without its hello too it is judged.
#[test]
fn a_handshake_on_a_flow_that_was_bound_before() {
    let bound = r#"{"bound":{"device":1,"attribution":"opener","side":"out","peer":{"addr":"192.0.2.25","port":587,"transport":"tcp"},"actor":{"class":"unknown"}}}"#;
    let hello = r#"{"hello":{"transport":"tcp","dir":"out","sni":"mail.test","versions":[769],"suites":[47],"ja3":"","ja4":"","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#;
    let served = r#"{"served":{"version":769,"suite":47,"key_exchange":"rsa","resumed":false}}"#;
    let flow = r#"{"flow":{"transport":"tcp","a":"10.0.0.2:5000","b":"192.0.2.25:587","community_id":"","app":"tls","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","counts":{"packets":[3,3],"bytes":[100,100],"missing":[0,0]},"coverage":{"analysed":200,"encrypted":0,"unparsed":0},"end":"fin","from_start":true}}"#;
    let said = |facts: &[&str]| {
        let lines: Vec<Line> = (1..)
            .zip(facts)
            .map(|(n, fact)| {
                let seen = serde_json::from_str(fact).unwrap();
                Line { n, at: Time(n as i64), frame: Some(n), flow: Some(FlowId(1)), subject: None, seen }
            })
            .collect();
        let findings = board(&lines, Caps::default(), 100).findings();
        let of = |check: &str| {
            let own = findings.iter().filter(|f| &*f.check == check).map(|f| (f.outcome.word(), f.subject.client.map(|c| c.to_string())));
            own.collect::<Vec<_>>()
        };
        (of("tls.hello-versions"), of("tls.negotiated-version"), of("channel.undeclared-endpoint"))
    };
    let client = Some("c-010101010101".to_owned());
    let (hello_versions, version, declared) = said(&[bound, hello, served, flow]);
    assert_eq!(hello_versions, [("fail", client.clone())]);
    assert_eq!(version, [("fail", client)]);
    assert_eq!(declared, [("inconclusive", None)], "its name came late");
    let (_, version, declared) = said(&[bound, served, flow]);
    assert_eq!(version, [("fail", Some("c-000000000000".to_owned()))]);
    assert_eq!(declared, [("fail", None)]);
}

/// A connection seen from its middle, or without the server's answer, may have ended on anything: others to the same peer or to another
/// do not vouch for it. One that nobody answered went on to nothing.
#[test]
fn a_handshake_that_was_not_seen_holds_back_the_requirement() {
    let bound = |client: &str, port: u16| {
        format!(
            r#"{{"bound":{{"device":1,"attribution":"opener","side":"out","peer":{{"addr":"192.0.2.25","port":{port},"transport":"tcp"}},{client}"actor":{{"class":"unknown"}}}}}}"#
        )
    };
    let known = r#""client":"c-010101010101","#;
    let hello = r#"{"hello":{"transport":"tcp","dir":"out","sni":"mail.test","versions":[772],"suites":[4865],"ja3":"","ja4":"","class":"c-010101010101","grease":false,"ech":false,"psk":false,"early_data":false,"session_ticket":false}}"#;
    let served = r#"{"served":{"version":772,"suite":4865,"key_exchange":"ecdhe","resumed":false}}"#;
    let closed = |more: &str| format!(r#"{{"undecrypted":{{"protocol":"tls","reason":"no-handshake","bytes":69{more}}}}}"#);
    let unseen = closed(r#","choice_unseen":true"#);
    let said = |second: &[&str]| {
        let first = [&bound(known, 443), hello, served, &closed("")].map(|fact| (1, fact.to_owned()));
        let second = second.iter().map(|fact| (2, (*fact).to_owned()));
        let lines: Vec<Line> = (1..)
            .zip(first.into_iter().chain(second))
            .map(|(n, (flow, fact))| {
                let seen = serde_json::from_str(&fact).unwrap();
                Line { n, at: Time(n as i64), frame: Some(n), flow: Some(FlowId(flow)), subject: None, seen }
            })
            .collect();
        let (checks, requirements) = verdicts(&board(&lines, Caps::default(), 100));
        let verdict = requirements.iter().find(|(id, _)| id == "mastg/0218").unwrap().1;
        (checks["tls.negotiated-version"], checks["tls.negotiated-suite"], checks["tls.forward-secrecy"], verdict)
    };
    let open = ("inconclusive", "inconclusive", "inconclusive", RequirementVerdict::Inconclusive);
    let holds = ("pass", "pass", "pass", RequirementVerdict::Pass);
    assert_eq!(said(&[]), holds);
    assert_eq!(said(&[&bound("", 443), &unseen]), open, "the same peer, from the middle");
    assert_eq!(said(&[&bound("", 993), &unseen]), open, "another");
    assert_eq!(said(&[&bound(known, 993), hello, &unseen]), open, "the answer is missing");
    assert_eq!(said(&[&bound(known, 993), hello]), holds, "nobody answered");
    assert_eq!(said(&[&bound("", 993), &closed("")]), holds, "no sign of a choice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A journal that was written and read again, and one that was judged at every line, come to the same.
    #[test]
    fn read_again_they_say_the_same(picks in picks(), look in any::<u8>()) {
        let mut lines = lines(&picks);
        let mut live = Board::new(demands());
        let mut writer = Writer::new(Vec::new());
        for (n, line) in lines.iter_mut().enumerate() {
            writer.write(line).unwrap();
            live.line(line);
            if n % (usize::from(look) + 1) == 0 {
                live.findings();
            }
        }
        let (bytes, _) = writer.finish().unwrap();
        let mut again = Board::new(demands());
        let (_, broken) = journal::read(&bytes[..], |line| again.line(&line)).unwrap();
        prop_assert!(broken.is_empty());
        let (one, two) = (live.findings(), again.findings());
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(live.roll_up(&one), again.roll_up(&two));
        prop_assert_eq!(live.ledger(), again.ledger());
        prop_assert_eq!(live.span(), again.span());
    }

    /// With less room than the facts need, a check or a requirement may become undecided. It never passes where it did not, nor where it failed.
    #[test]
    fn no_bound_makes_a_pass(picks in picks(), facts in 1_usize..4, trials in 1_usize..4, subjects in 1_usize..12) {
        let lines = lines(&picks);
        let (checks, requirements) = verdicts(&board(&lines, Caps::default(), 1 << 13));
        let (bounded, rolled) = verdicts(&board(&lines, Caps { facts, trials }, subjects));
        for (check, word) in &bounded {
            if *word == "pass" {
                prop_assert_eq!(checks.get(check).copied(), Some("pass"), "{}", check);
            }
        }
        for ((id, was), (_, is)) in requirements.iter().zip(&rolled) {
            if *is == RequirementVerdict::Pass {
                prop_assert_eq!(*was, RequirementVerdict::Pass, "{}", id);
            }
        }
    }
}
