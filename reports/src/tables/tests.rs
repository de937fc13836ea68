//! Rows join what belongs together, lists stop at their limit, and files hold all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::fixture;

#[test]
fn joins_hello_answer_and_reaction() {
    let tabled = fixture::tabled(&fixture::story());
    let row = tabled.tls.iter().find(|r| r.flow == FlowId(5)).unwrap();
    assert_eq!(
        (row.sni.as_ref().unwrap().as_str(), row.version, row.cipher),
        ("api.shop.test", Some(Version(0x0304)), Some(Suite(0x1301)))
    );
    assert_eq!((row.reaction, row.alert, row.chain_sha256.len(), row.frame), (ReactionKind::Refused, Some(45), 2, Some(64)));
    let quic = tabled.tls.iter().find(|r| r.flow == FlowId(8)).unwrap();
    assert!(quic.quic && quic.version.is_none() && quic.reaction == ReactionKind::Unknown);
}

#[test]
fn names_are_distinct_and_counted() {
    let tabled = fixture::tabled(&fixture::story());
    let rows: Vec<_> = tabled.names.iter().map(|n| (n.name.as_str(), format!("{:?}", n.source), n.count, n.frame)).collect();
    assert!(rows.contains(&("api.shop.test", "Dns".to_owned(), 2, Some(8))), "{rows:?}");
    assert!(rows.contains(&("api.shop.test", "Sni".to_owned(), 5, Some(10))), "{rows:?}");
    assert!(rows.contains(&("video.shop.test", "QuicSni".to_owned(), 1, Some(110))), "{rows:?}");
    assert!(rows.contains(&("cdn.shop.test", "HttpHost".to_owned(), 1, Some(101))), "{rows:?}");
}

#[test]
fn a_flow_knows_its_peer_and_actor() {
    let tabled = fixture::tabled(&fixture::story());
    let row = tabled.flows.iter().find(|r| r.id == FlowId(7)).unwrap();
    assert_eq!((row.peer.as_deref(), row.actor.as_deref()), (Some("cdn.shop.test"), Some("user-app:org.example.shop")));
    assert!(tabled.flows.is_sorted_by_key(|f| f.id));
}

#[test]
fn sums_flows_when_the_run_has_no_last_word() {
    let ledger = fixture::tabled(&fixture::story()).ledger;
    assert_eq!((ledger.flows, ledger.encrypted, ledger.missed), (9, 52_120, 1448));
}

/// For each limit: what report.json keeps and what the hook got, per table.
#[track_caller]
fn check(rows: usize, stream_all: bool, kept: usize, hooked: usize) {
    let mut got: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut tables = Tables::streaming(Limits { rows, stream_all }, |table, row| {
        got.entry(table.name()).or_default().push(serde_json::to_string(&row).unwrap());
    });
    for line in &fixture::story() {
        tables.line(line);
    }
    let tabled = tables.end();
    let requests = got.get("requests").map_or(0, Vec::len);
    assert_eq!((tabled.requests.len(), requests), (kept, hooked), "{rows} {stream_all}");
    let truncated = tabled.truncated.iter().find(|(t, _)| *t == Table::Requests).map(|(_, n)| *n);
    assert_eq!(truncated, (kept < 5).then_some(5));
    // What the file holds is what an unlimited list holds, in the same order.
    let all: Vec<String> = fixture::tabled(&fixture::story()).requests.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
    assert!(hooked == 0 || got["requests"] == all);
}

#[test]
fn lists_stop_and_files_hold_all() {
    check(50_000, false, 5, 0);
    check(5, false, 5, 0);
    check(4, false, 4, 5);
    check(1, false, 1, 5);
    check(0, false, 0, 5);
    check(50_000, true, 5, 5);
    check(2, true, 2, 5);
}

#[test]
fn says_where_a_line_stands() {
    let tabled = fixture::tabled(&fixture::story());
    let place = tabled.places.of(60).unwrap();
    assert_eq!((place.frame, place.flow), (Some(101), Some(FlowId(7))));
}
