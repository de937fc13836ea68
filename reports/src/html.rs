//! The report as one HTML file: no script, nothing loaded, everything escaped; light, dark and print; the same bytes each time.

mod chain;
mod svg;
mod tables;
mod view;

use std::io::{self, Write};

use analyzers::encode;
use askama::Template;

use crate::catalogue::Catalogue;
use crate::json::Report;

const CSS: &str = include_str!("../templates/report.css");

/// Writes the page.
pub fn write(report: &Report, catalogue: &Catalogue, mut out: impl Write) -> io::Result<()> {
    let page = view::Page::of(report, catalogue, CSS, style_hash());
    let text = page.render().map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// What the page's Content-Security-Policy allows: this one style sheet, by its digest.
fn style_hash() -> String {
    format!("sha256-{}", encode::base64(&encode::sha256(CSS.as_bytes())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture;

    fn html(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &fixture::catalogue(&fixture::demands()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_story_as_a_page() {
        fixture::golden("tests/golden/report.html", &html(&fixture::report()));
    }

    #[test]
    fn the_policy_allows_the_style_sheet_and_nothing_else() {
        let page = html(&fixture::report());
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash = encode::base64(&encode::sha256(style.as_bytes()));
        assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'")), "the digest must be written as it is, unescaped");
        for word in
            ["<script", "<link", "<img", "<iframe", "<form", "style=\"", "url(", "@import", " onload", " onclick", "http-equiv=\"refresh"]
        {
            assert!(!page.contains(word), "{word}");
        }
    }

    /// Whatever stands in a tag or attribute was written by us: what came from the wire opens none.
    #[test]
    fn hostile_names_are_inert() {
        let page = html(&fixture::hostile());
        assert!(page.contains("&#60;script&#62;alert(1)") || page.contains("&lt;script&gt;alert(1)"), "the name is shown as text");
        assert!(!page.contains("<script") && !page.contains("<!--") && !page.contains('\u{202e}'));
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
        // No tag is there that the harmless story does not have.
        let tags = |page: &str| {
            let mut tags: Vec<String> =
                page.split('<').skip(1).map(|t| t.chars().take_while(char::is_ascii_alphanumeric).collect()).collect();
            tags.sort();
            tags.dedup();
            tags
        };
        let known = tags(&html(&fixture::report()));
        assert!(tags(&page).iter().all(|t| known.contains(t)));
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let page = html(&fixture::report_of(&[], &[]));
        assert!(page.contains("Nothing failed of what was tested") && page.ends_with("</html>\n"));
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(html(&fixture::report()), html(&fixture::report()));
    }

    /// A failure is never folded away from its subject, however many there are.
    #[test]
    fn every_failed_subject_is_on_the_page() {
        let findings: Vec<_> = (0..300)
            .map(|i| {
                let mut finding = fixture::findings("channel.x fail").remove(0);
                finding.subject = fixture::subject(&format!("peer-{i}.test"), 80, false).into();
                finding
            })
            .collect();
        let page = html(&fixture::report_of(&[], &findings));
        assert!((0..300).all(|i| page.contains(&format!("peer-{i}.test:80"))));
    }
}
