//! JUnit XML for CI: a suite per check, a case per answer. Fail = failure, our fault = error, whatever is not decided = skipped with why.

use std::io::{self, Write};

use indexmap::IndexMap;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::json::{FindingRow, FindingVerdict, Report, Unanswered};
use crate::summary::cited;

/// Writes the report as JUnit XML. No times and no random ids: the same report gives the same bytes.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    out.write_all(xml(report, "")?.as_bytes())
}

/// Begins one document for several reports.
pub const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"overhear\">\n";
/// Ends it.
pub const FOOT: &str = "</testsuites>\n";

/// The suites of one of several reports, named after its input, to stand between [`HEAD`] and [`FOOT`].
pub fn write_suites(report: &Report, mut out: impl Write) -> io::Result<()> {
    let of = report.inputs.first().map_or(String::new(), |input| format!("{}: ", input.path));
    let text = xml(report, &of)?;
    let inner = text.find("<testsuites").and_then(|at| text[at..].find('>').map(|end| at + end + 1));
    let inner = inner.and_then(|from| text.rfind("</testsuites>").and_then(|to| text.get(from..to)));
    out.write_all(inner.unwrap_or_default().trim_start_matches('\n').as_bytes())
}

fn xml(report: &Report, of: &str) -> io::Result<String> {
    let mut suites: IndexMap<&str, Vec<TestCase>> = IndexMap::new();
    for finding in &report.findings {
        suites.entry(&finding.check).or_default().push(answer(finding));
    }
    for (word, rows) in [("not tested", &report.not_tested), ("not applicable", &report.not_applicable)] {
        for row in rows {
            suites.entry(&row.check).or_default().push(no_answer(word, row));
        }
    }
    suites.sort_keys();
    let mut junit = quick_junit::Report::new(format!("overhear {}", report.run.profile));
    for (check, cases) in suites {
        let mut suite = TestSuite::new(format!("{of}{check}"));
        suite.add_test_cases(cases);
        junit.add_test_suite(suite);
    }
    junit.to_string().map_err(io::Error::other)
}

fn answer(finding: &FindingRow) -> TestCase {
    let evidence: Vec<String> = finding.evidence.iter().map(|e| cited(e, 1)).collect();
    let details = format!(
        "{}\nexpected: {}\nobserved: {}\nevidence: {}\n",
        finding.title,
        finding.expected,
        finding.observed,
        if evidence.is_empty() { "-".to_owned() } else { evidence.join("; ") }
    );
    let status = match (finding.verdict, &finding.waived) {
        (FindingVerdict::Pass, _) => TestCaseStatus::success(),
        (FindingVerdict::Fail, Some(why)) => skipped(format!("fail (waived): {why}"), "waived"),
        (FindingVerdict::Fail, None) => unsuccessful(NonSuccessKind::Failure, &finding.observed, finding.severity.word(), details),
        (FindingVerdict::Error, _) => unsuccessful(NonSuccessKind::Error, &finding.observed, "overhear", details),
        (FindingVerdict::Inconclusive, _) => {
            let (code, why) = finding.reason.map_or(("undecided", ""), |r| (r.word(), r.sentence()));
            skipped(format!("undecided: {why} ({})", finding.observed), code)
        }
    };
    let name = match finding.subjects_total {
        1 => finding.subject.to_string(),
        n => format!("{} and {} more", finding.subject, n - 1),
    };
    case(&finding.check, &name, status)
}

fn no_answer(word: &str, row: &Unanswered) -> TestCase {
    let subjects = if row.subjects == 1 { "1 subject".to_owned() } else { format!("{} subjects", row.subjects) };
    let status = skipped(format!("{word}: {}", row.reason.sentence()), row.reason.word());
    case(&row.check, &format!("{subjects}, {word}: {}", row.reason.word()), status)
}

fn case(check: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(check);
    case
}

fn skipped(message: String, code: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message).set_type(code);
    status
}

fn unsuccessful(kind: NonSuccessKind, message: &str, code: &str, details: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_type(code).set_description(details);
    status
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture;

    fn whole(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_story_in_xml() {
        fixture::golden("tests/golden/junit.xml", &whole(&fixture::report()));
    }

    #[test]
    fn several_reports_are_one_document() {
        let mut out = HEAD.as_bytes().to_vec();
        write_suites(&fixture::report(), &mut out).unwrap();
        write_suites(&fixture::hostile(), &mut out).unwrap();
        out.extend_from_slice(FOOT.as_bytes());
        let text = String::from_utf8(out).unwrap();
        let suites = |of: &Report| whole(of).matches("<testsuite ").count();
        assert_eq!(text.matches("<testsuite ").count(), suites(&fixture::report()) + suites(&fixture::hostile()));
        assert_eq!((text.matches("<testsuites").count(), text.matches("<?xml").count()), (1, 1));
        assert!(text.contains("<testsuite name=\"capture.pcapng: ") && text.ends_with("</testsuite>\n</testsuites>\n"), "{text}");
    }

    #[test]
    fn hostile_names_are_inert() {
        let text = whole(&fixture::hostile());
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
    }
}
