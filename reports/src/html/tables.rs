//! Tables at the foot of the page: handshakes, requests, names, trials, flows.

use crate::json::Report;
use crate::words;

pub(super) struct Table {
    pub(super) title: &'static str,
    /// Rows of the run, also those that are not on the page.
    pub(super) total: String,
    pub(super) heads: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

/// The tables that people look things up in; the rest stands in report.json.
pub(super) fn of(report: &Report, limit: usize) -> Vec<Table> {
    fn text(it: Option<impl ToString>) -> String {
        it.map_or(String::new(), |it| it.to_string())
    }
    let total = |name: &str, kept: usize| report.truncated.get(name).map_or(kept as u64, |t| t.total);
    let word = |it: &dyn std::fmt::Debug| format!("{it:?}").to_lowercase();
    let mut out = Vec::new();
    let mut table = |title, name, kept, heads, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            out.push(Table { title, total: words::number(total(name, kept)), heads, rows });
        }
    };
    let rows = report.tls.iter().take(limit).map(|r| {
        let did = match r.alert {
            Some(alert) => format!("{}, alert {alert}", word(&r.reaction)),
            None => word(&r.reaction),
        };
        vec![
            r.flow.to_string(),
            text(r.frame),
            text(r.sni.as_ref()),
            text(r.version.as_ref()),
            text(r.cipher.as_ref()),
            text(r.alpn.as_ref()),
            text(r.ja4.as_ref()),
            did,
        ]
    });
    let heads = &["Flow", "Frame", "Server name", "Version", "Suite", "ALPN", "JA4", "Client then"];
    table("TLS and QUIC handshakes", "tls", report.tls.len(), heads, rows.collect());
    let rows = report.requests.iter().take(limit).map(|r| {
        vec![
            text(r.flow),
            text(r.frame),
            word(&r.layer),
            r.method.to_string(),
            r.url.to_string(),
            text(r.status),
            words::bytes(r.request_bytes),
        ]
    });
    let heads = &["Flow", "Frame", "Layer", "Method", "URL", "Status", "Sent"];
    table("HTTP requests", "requests", report.requests.len(), heads, rows.collect());
    let rows = report
        .names
        .iter()
        .take(limit)
        .map(|r| vec![r.name.to_string(), source(r.source), text(r.device), words::number(r.count), text(r.frame)]);
    table("Names", "names", report.names.len(), &["Name", "Source", "Device", "Times", "First frame"], rows.collect());
    let rows = report.trials.iter().take(limit).map(|r| {
        vec![
            r.n.to_string(),
            words::clock(r.at),
            r.attack.clone(),
            r.subject.to_string(),
            word(&r.reaction),
            r.grade.clone(),
            text(r.alert),
        ]
    });
    table("Trials", "trials", report.trials.len(), &["No", "At", "Treatment", "Subject", "Reaction", "Grade", "Alert"], rows.collect());
    let rows = report.flows.iter().take(limit).map(|r| {
        let (src, dst) = (std::net::SocketAddr::new(r.src, r.sport), std::net::SocketAddr::new(r.dst, r.dport));
        vec![
            r.id.to_string(),
            text(r.frame),
            r.proto.to_string(),
            src.to_string(),
            dst.to_string(),
            r.app.word().to_owned(),
            text(r.peer.as_ref()),
            text(r.actor.as_ref()),
            words::number(r.packets),
            words::bytes(r.bytes),
        ]
    });
    let heads = &["Flow", "Frame", "Over", "From", "To", "Protocol", "Peer", "Actor", "Packets", "Payload"];
    table("Flows", "flows", report.flows.len(), heads, rows.collect());
    out
}

fn source(source: analyzers::observation::NameSource) -> String {
    match serde_json::to_value(source) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
