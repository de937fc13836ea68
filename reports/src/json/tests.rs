//! report.json keeps to its schema and to interface.md, and says what the board found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::fixture;

fn json(report: &Report) -> (String, serde_json::Value) {
    let mut bytes = Vec::new();
    report.write(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

#[test]
fn the_schema_is_committed() {
    fixture::golden("schema/report-1.json", &schema());
}

#[test]
fn the_story_in_json() {
    fixture::golden("tests/golden/report.json", &json(&fixture::report()).0);
}

#[test]
fn reports_keep_to_their_schema() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for report in [fixture::report(), fixture::hostile(), fixture::report_of(&[], &[])] {
        let (_, value) = json(&report);
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    // And the schema is one that can say no.
    let (_, mut wrong) = json(&fixture::report());
    wrong["findings"][0]["verdict"] = "perhaps".into();
    assert!(!validator.is_valid(&wrong));
}

/// The board's own findings over the story, with the checks and requirements that are shipped.
#[test]
fn what_the_board_finds_makes_a_report() {
    use analyzers::board::Board;
    use analyzers::reading::Reading;
    let demands = std::sync::Arc::new(fixture::demands());
    let mut board = Board::new(std::sync::Arc::clone(&demands));
    for line in &fixture::story() {
        board.line(line);
    }
    let findings = board.findings();
    let rolled = board.roll_up(&findings);
    let selection = crate::gates::Selection::of(&demands, board.run());
    let exit = crate::gates::exit_code(&findings, &rolled, &selection, &crate::gates::Gates::default());
    let tabled = fixture::tabled(&fixture::story());
    let report = Report::new(&demands, &Catalogue::of(&demands), &findings, &rolled, &exit, tabled);
    let (_, value) = json(&report);
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&value));
    let fail = report.findings.iter().find(|f| f.check == "cert.self-signed").unwrap();
    assert_eq!((fail.verdict, fail.evidence[0].frame, exit.code), (FindingVerdict::Fail, Some(28), 1));
    assert_eq!(report.presented(fail).unwrap().chain.len(), 1);
}

/// The keys that interface.md promises, by path.
#[test]
fn every_promised_key_is_there() {
    let (_, value) = json(&fixture::report());
    let promised = "schema tool run item lab inputs events treatments presence coverage devices actors flows tls names requests leaks trials \
                    findings not_tested not_applicable requirements summary truncated";
    let keys = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut expect: Vec<String> = promised.split_whitespace().map(str::to_owned).collect();
    expect.sort();
    let mut got = keys(&value);
    got.sort();
    assert_eq!(got, expect);
    for (path, promised) in [
        ("/tool", "name version catalogue_sha256"),
        ("/run", "kind started ended policy_sha256 label mode"),
        ("/item", "maker model build patch_level serial_digest"),
        ("/lab", "report_id operator reviewer clock deviations"),
        ("/inputs/0", "path sha256 bytes packets first last link_types truncated damage"),
        ("/inputs/0/damage/0", "offset what"),
        ("/events/0", "at kind phase confirmed by"),
        ("/coverage", "bytes flows flows_by_protocol not_exercised decided in_scope"),
        ("/coverage/bytes", "analysed encrypted unparsed missed"),
        ("/devices/0", "id macs ips label"),
        ("/flows/0", "id community_id src sport dst dport proto packets bytes app peer actor"),
        ("/tls/0", "flow frame sni version cipher alpn ja4 ja3 chain_sha256 resumed reaction alert close"),
        ("/names/0", "name source device count flow frame"),
        ("/requests/0", "flow frame layer method url status request_bytes response_bytes"),
        ("/leaks/0", "type persona_field grade masked digest flow frame layer direction where chain peer exposure"),
        ("/trials/0", "attack subject at flows reaction grade alert close"),
        (
            "/findings/0",
            "check subject subjects subjects_total transport verdict severity reason expected observed evidence evidence_total requirements \
             waived fingerprint",
        ),
        ("/findings/0/subject", "device peer port client"),
        ("/findings/0/evidence/0", "line frame flow"),
        ("/not_tested/0", "check reason subjects"),
        ("/not_applicable/0", "check reason subjects"),
        ("/requirements/0", "id title verdict strength checks observable"),
        ("/summary", "fail pass inconclusive not_tested exit_code"),
    ] {
        let at = value.pointer(path).unwrap_or_else(|| panic!("{path} is missing"));
        for key in promised.split_whitespace() {
            assert!(at.get(key).is_some(), "{path}/{key} is missing");
        }
    }
    assert_eq!(value["flows"][0]["id"], "f1");
    assert_eq!(value["findings"][0]["evidence"][0], serde_json::json!({ "line": 33, "frame": 28, "flow": "f3" }));
    assert!(value["leaks"][0].get("value").is_none(), "unmasked without --reveal");
}

#[test]
fn fails_stand_alone_and_equal_passes_together() {
    let report = fixture::report();
    assert!(report.findings.iter().filter(|f| f.verdict == FindingVerdict::Fail).all(|f| f.subjects_total == 1));
    let pass = report.findings.iter().find(|f| f.check == "tls.p").unwrap();
    assert_eq!((pass.subjects_total, pass.subjects.len()), (3, 3));
    let mut many = fixture::findings(&"tls.p pass,".repeat(40));
    many.extend(fixture::findings(&"tls.p fail,".repeat(40)));
    let report = fixture::report_of(&[], &many);
    assert_eq!(report.findings.len(), 41);
    let pass = report.findings.last().unwrap();
    assert_eq!((pass.subjects_total, pass.subjects.len(), report.summary.pass), (40, 16, 40));
}

#[test]
fn the_same_lines_give_the_same_bytes() {
    assert_eq!(json(&fixture::report()).0, json(&fixture::report()).0);
}

#[test]
fn hostile_names_are_inert() {
    let (text, value) = json(&fixture::hostile());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "a control character got through");
    assert!(!text.contains('\u{202e}'));
    assert!(value["flows"][0]["peer"].as_str().unwrap().contains("\\x1b[31m"));
}

/// What a program does after it was ended is not seen: said when no working run went on to its end.
#[test]
fn a_program_that_was_always_ended() {
    let mut report = fixture::report();
    assert!(!report.always_ended());
    let honest = |t: &crate::rows::TrialRow| matches!(t.attack.as_str(), "control" | "pass");
    assert!(report.trials.iter().any(honest));
    report.trials.iter_mut().filter(|t| honest(t)).for_each(|t| t.cut_short = true);
    assert!(report.always_ended());
    let mut page = Vec::new();
    crate::summary::write(&report, &crate::summary::View { paint: crate::paint::Paint::Plain, width: 200, report: None }, &mut page)
        .unwrap();
    assert!(String::from_utf8(page).unwrap().contains("what it does later was not seen"));
    if let Some(one) = report.trials.iter_mut().find(|t| honest(t) && t.reaction == TrialResult::Accepted) {
        one.cut_short = false;
    }
    assert!(!report.always_ended());
}
