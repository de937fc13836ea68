//! What was shown in an attack beside what is good, certificate by certificate.

use analyzers::encode::Digest;
use analyzers::text::Text;

use crate::json::Report;

/// One line of the comparison: a certificate's heading, or a field of both.
#[derive(Clone)]
pub(super) struct ChainRow {
    pub(super) head: bool,
    pub(super) label: String,
    pub(super) presented: String,
    pub(super) honest: String,
    pub(super) differs: bool,
}

/// Both chains side by side; what differs besides the digests is marked.
pub(super) fn chain(report: &Report, presented: &[Digest], good: &[Digest]) -> Vec<ChainRow> {
    let mut rows = Vec::new();
    for i in 0..presented.len().max(good.len()).min(8) {
        let (ours, theirs) = (presented.get(i), good.get(i));
        let label = if i == 0 { "Leaf".to_owned() } else { format!("Certificate {}", i + 1) };
        rows.push(ChainRow { head: true, label, presented: String::new(), honest: String::new(), differs: false });
        let (left, right) = (certificate(report, ours), certificate(report, theirs));
        for ((label, presented), (_, honest)) in left.into_iter().zip(right) {
            if !(presented.is_empty() && honest.is_empty()) {
                // Digests of twins differ whatever the defect is.
                let both = ours.is_some() && theirs.is_some();
                let differs = if both { presented != honest && label != "SHA-256" } else { label == "SHA-256" };
                rows.push(ChainRow { head: false, label: label.to_owned(), presented, honest, differs });
            }
        }
    }
    rows
}

/// Of these rows those that are not the same on both sides, each certificate with its heading.
pub(super) fn differing(rows: &[ChainRow]) -> Vec<ChainRow> {
    let certificates = rows.chunk_by(|_, next| !next.head);
    let differ = certificates.filter(|rows| rows.iter().any(|row| row.differs));
    let mut differ: Vec<ChainRow> = differ.flat_map(|rows| rows.iter().filter(|row| row.head || row.differs)).cloned().collect();
    for text in differ.iter_mut().filter(|row| !row.head).flat_map(|row| [&mut row.presented, &mut row.honest]) {
        if text.is_empty() {
            "none".clone_into(text);
        }
    }
    differ
}

fn certificate(report: &Report, digest: Option<&Digest>) -> [(&'static str, String); 10] {
    let known = digest.and_then(|d| report.aside.certificates.get(d));
    let of = |text: fn(&analyzers::observation::Certificate) -> String| known.map_or(String::new(), text);
    [
        ("Subject", of(|c| c.subject.to_string())),
        ("Issuer", of(|c| c.issuer.to_string())),
        ("Names", of(|c| listed(&c.names))),
        (
            "Valid",
            of(|c| {
                let day = |t: Option<policies::Time>| t.map_or("?".to_owned(), |t| t.to_string().chars().take(10).collect());
                format!("{} to {}", day(c.not_before), day(c.not_after))
            }),
        ),
        ("Key", of(|c| format!("{}, signed with {}", c.key, c.signature))),
        ("Public key", of(|c| c.spki.as_str().chars().take(16).chain(['…']).collect())),
        ("Purposes", of(|c| listed(&c.purposes))),
        ("Unknown, critical", of(|c| listed(&c.critical))),
        ("Authority", of(|c| if c.ca { "yes".to_owned() } else { "no".to_owned() })),
        ("SHA-256", digest.map_or("not shown".to_owned(), |d| d.to_string().chars().take(16).chain(['…']).collect())),
    ]
}

fn listed(texts: &[Text]) -> String {
    texts.iter().take(8).map(Text::as_str).collect::<Vec<_>>().join(", ")
}
