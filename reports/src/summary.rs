//! The summary on the terminal: what was read, what it means, what was not seen. Fails first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use analyzers::board::RequirementVerdict;
use analyzers::outcome::Reason;
use indexmap::IndexMap;

use crate::json::{EvidenceRow, FindingRow, FindingVerdict, Report, Unanswered};
use crate::paint::{Ink, Paint};
use crate::words;

/// How the summary is shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub paint: Paint,
    /// Columns of the terminal; less than 80 counts as 80.
    pub width: usize,
    /// Where the full report is.
    pub report: Option<&'a str>,
}

/// Subjects shown in full for each failed check, and kinds of leak; the page has all.
const SHOWN: usize = 8;
/// The text column that labels and checks line up at.
const INDENT: usize = 12;

/// Writes the summary.
pub fn write(report: &Report, view: &View<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut page = Page { view: *view, width: view.width.clamp(80, 140), out };
    page.head(report)?;
    page.fails(report)?;
    page.leaks(report)?;
    page.undecided(report)?;
    page.passes(report)?;
    page.not_tested(report)?;
    page.coverage(report)?;
    page.requirements(report)?;
    page.foot(report)
}

struct Page<'a, W> {
    view: View<'a>,
    width: usize,
    out: &'a mut W,
}

impl<W: Write> Page<'_, W> {
    fn paint(&self, ink: Ink, word: &str) -> String {
        self.view.paint.word(ink, word)
    }

    fn title(&mut self, ink: Ink, title: &str, rest: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}{}", self.paint(ink, title), if rest.is_empty() { String::new() } else { format!("  {rest}") })
    }

    /// A label in its column, and words that wrap beside it.
    fn row(&mut self, ink: Option<Ink>, label: &str, text: &str) -> io::Result<()> {
        let label_width = label.chars().count();
        let mut lines = words::wrap(text, self.width - INDENT - 2).into_iter();
        let painted = ink.map_or_else(|| label.to_owned(), |ink| self.paint(ink, label));
        if label_width >= INDENT {
            // A long label (a check's id) stands on a line of its own.
            writeln!(self.out, "  {painted}")?;
        } else {
            let first = lines.next().unwrap_or_default();
            writeln!(self.out, "  {painted}{:pad$}{first}", "", pad = INDENT - label_width)?;
        }
        lines.try_for_each(|line| writeln!(self.out, "  {:INDENT$}{line}", ""))
    }

    fn quiet(&mut self, label: &str, text: &str) -> io::Result<()> {
        self.row(Some(Ink::Quiet), label, text)
    }

    fn head(&mut self, report: &Report) -> io::Result<()> {
        let tool =
            if report.tool.name.is_empty() { "overhear".to_owned() } else { format!("{} {}", report.tool.name, report.tool.version) };
        let label = report.run.label.as_ref().filter(|l| !l.as_str().is_empty()).map_or(String::new(), |l| format!(" · {l}"));
        let when = match (report.run.started, report.run.ended) {
            (Some(from), Some(to)) => format!(" · {} UTC, {}", words::moment(from), words::span(from, to)),
            _ => String::new(),
        };
        writeln!(self.out, "{} · {}{label}{when}", self.paint(Ink::Head, &tool), words::run_kind(report))?;
        let item = &report.item;
        let item: Vec<&str> =
            [&item.maker, &item.model, &item.build, &item.patch_level].into_iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
        if !item.is_empty() {
            self.quiet("item", &item.join(" · "))?;
        }
        if report.run.unfinished {
            self.row(Some(Ink::Warn), "unfinished", words::UNFINISHED)?;
        }
        for done in words::interventions(report).take(SHOWN) {
            self.row(Some(Ink::Warn), done.what.as_str(), done.state.as_str())?;
        }
        for input in report.inputs.iter().take(SHOWN) {
            let links: Vec<&str> = input.link_types.iter().map(analyzers::text::Text::as_str).collect();
            let mut parts =
                vec![input.path.to_string(), words::bytes(input.bytes), words::count(input.packets, "packet", "packets"), links.join(", ")];
            if input.truncated {
                parts.push("ends inside a packet".to_owned());
            }
            if !input.damage.is_empty() {
                parts.push(words::count(input.damage.len() as u64, "damaged place", "damaged places"));
            }
            if let Some(dropped) = input.dropped.filter(|n| *n > 0) {
                parts.push(format!("{} dropped by the kernel", words::number(dropped)));
            }
            parts.extend(words::late_secrets(input.late_secrets));
            parts.extend(input.unread.iter().map(|t| format!("{} not read", words::unread(t.count, t.name.as_str()))));
            parts.retain(|p| !p.is_empty());
            self.quiet("read", &parts.join(" · "))?;
        }
        self.more(report.inputs.len(), SHOWN, "inputs")?;
        for device in report.devices.iter().take(SHOWN) {
            let mut parts: Vec<String> = device.label.iter().map(ToString::to_string).collect();
            parts.extend(device.macs.iter().take(2).cloned());
            parts.extend(device.ips.iter().take(3).map(ToString::to_string));
            if device.ips.len() > 3 {
                parts.push(format!("+{} addresses", device.ips.len() - 3));
            }
            parts.retain(|p| !p.is_empty());
            self.quiet(&format!("device {}", device.id), &parts.join(" · "))?;
        }
        self.more(report.devices.len(), SHOWN, "devices")?;
        let mut apps: Vec<(&String, &u64)> = report.coverage.flows_by_protocol.iter().collect();
        apps.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), (*name).clone()));
        let apps: Vec<String> = apps.into_iter().map(|(name, n)| format!("{} {name}", words::number(*n))).collect();
        let flows = words::count(report.coverage.flows, "flow", "flows");
        self.quiet("traffic", &if apps.is_empty() { flows } else { format!("{flows}: {}", apps.join(", ")) })
    }

    fn more(&mut self, all: usize, shown: usize, what: &str) -> io::Result<()> {
        if all > shown { self.quiet("", &format!("… and {} more {what}", all - shown)) } else { Ok(()) }
    }

    fn fails(&mut self, report: &Report) -> io::Result<()> {
        let (waived, fails): (Vec<&FindingRow>, Vec<&FindingRow>) =
            of(report, FindingVerdict::Fail).into_iter().partition(|f| f.waived.is_some());
        if fails.is_empty() {
            // Green only where something was shown to be well.
            let (ink, rest) = match report.summary.pass {
                0 => (Ink::Head, "(and nothing passed: see below what was not tested)"),
                _ => (Ink::Good, "(of what was tested; see what was not, below)"),
            };
            self.title(ink, "Nothing failed", rest)?;
        } else {
            let subjects = words::count(fails.len() as u64, "failure", "failures");
            self.title(Ink::Worst, "FAILED", &subjects)?;
            let places = words::places(report);
            for place in places.iter().take(SHOWN) {
                let label = format!("{} at", words::number(place.failures as u64));
                self.row(Some(Ink::of(place.severity)), &label, &format!("{}: {}", place.subject, place.checks))?;
            }
            self.more(places.len(), SHOWN, "places")?;
        }
        for (check, of_check) in by_check(&fails) {
            let Some(first) = of_check.first() else { continue };
            let worst = of_check.iter().map(|f| f.severity).max().unwrap_or(first.severity);
            writeln!(self.out)?;
            let severity = worst.word().to_uppercase();
            let title = if first.title == check { String::new() } else { format!(" · {}", first.title) };
            self.row(Some(Ink::of(worst)), &severity, &format!("{check}{title}"))?;
            self.quiet("expected", &first.expected)?;
            for finding in of_check.iter().take(SHOWN) {
                let actor = finding.actor.as_ref().map_or(String::new(), |a| format!(" · {a}"));
                self.row(Some(Ink::Fail), "fail", &format!("{}{actor}", finding.subject))?;
                self.quiet("observed", &finding.observed)?;
                if let Some(evidence) = finding.evidence.first() {
                    self.quiet("evidence", &cited(evidence, finding.evidence_total))?;
                }
            }
            self.more(of_check.len(), SHOWN, "subjects that fail it: see the report")?;
        }
        if !waived.is_empty() {
            self.title(Ink::Warn, "Failed, waived", &words::number(waived.len() as u64))?;
            for finding in waived.iter().take(SHOWN) {
                let why = finding.waived.as_deref().unwrap_or_default();
                self.row(Some(Ink::Warn), "waived", &format!("{} · {} · because: {why}", finding.check, finding.subject))?;
            }
            self.more(waived.len(), SHOWN, "waived failures")?;
        }
        let errors = of(report, FindingVerdict::Error);
        if !errors.is_empty() {
            self.title(Ink::Warn, "Faults of the tool", "(not of the device; please report them)")?;
            for finding in errors.iter().take(SHOWN) {
                self.row(Some(Ink::Warn), "error", &format!("{} · {} · {}", finding.check, finding.subject, finding.observed))?;
            }
            self.more(errors.len(), SHOWN, "faults")?;
        }
        Ok(())
    }

    fn leaks(&mut self, report: &Report) -> io::Result<()> {
        let leaks = words::leaks(report);
        if leaks.is_empty() {
            return Ok(());
        }
        let masked = if report.leaks.iter().any(|l| l.value.is_some()) { "(with the values that --reveal shows)" } else { "(masked)" };
        self.title(Ink::Head, "Identifiers and personal data seen", masked)?;
        for leak in leaks.iter().take(SHOWN) {
            let row = leak.first;
            let ink = match row.exposure {
                analyzers::observation::Exposure::Peer => Ink::Quiet,
                _ if row.grade == analyzers::observation::Grade::Proof => Ink::Fail,
                _ => Ink::Warn,
            };
            let value = row.value.as_ref().map_or(String::new(), |v| format!(" = {v}"));
            let to = Some(leak.whither()).filter(|to| !to.is_empty()).map_or(String::new(), |to| format!(" {to}"));
            let frame = row.frame.map_or(String::new(), |f| format!(", first in frame {f}"));
            let text = format!(
                "{}{value} ({}){to} in {} · readable by {} · {}{frame}",
                row.masked,
                words::grade(row.grade),
                leak.place(),
                words::exposure(row.exposure),
                if leak.times == 1 { "once".to_owned() } else { format!("{} times", words::number(leak.times)) },
            );
            self.row(Some(ink), row.kind.word(), &text)?;
        }
        self.more(leaks.len(), SHOWN, "of them: see the report")
    }

    fn undecided(&mut self, report: &Report) -> io::Result<()> {
        let rows = of(report, FindingVerdict::Inconclusive);
        if rows.is_empty() {
            return Ok(());
        }
        let subjects: u64 = rows.iter().map(|f| f.subjects_total).sum();
        self.title(Ink::Warn, "Undecided", &words::count(subjects, "answer", "answers"))?;
        let mut by_reason: IndexMap<(&str, Option<Reason>), (u64, &FindingRow)> = IndexMap::new();
        for row in rows {
            by_reason.entry((&row.check, row.reason)).or_insert((0, row)).0 += row.subjects_total;
        }
        for ((check, reason), (n, first)) in by_reason.iter().take(SHOWN * 2) {
            let why = reason.map_or("", Reason::sentence);
            let who = if *n == 1 { first.subject.to_string() } else { words::count(*n, "subject", "subjects") };
            let seen = if first.observed == why { String::new() } else { format!(" ({})", first.observed) };
            self.row(Some(Ink::Warn), check, &format!("{who}: {why}{seen}"))?;
        }
        self.more(by_reason.len(), SHOWN * 2, "undecided checks")
    }

    fn passes(&mut self, report: &Report) -> io::Result<()> {
        let mut by_check: BTreeMap<&str, u64> = BTreeMap::new();
        for row in of(report, FindingVerdict::Pass) {
            *by_check.entry(&row.check).or_default() += row.subjects_total;
        }
        if by_check.is_empty() {
            return Ok(());
        }
        let subjects: u64 = by_check.values().sum();
        self.title(Ink::Good, "Passed", &words::count(subjects, "answer", "answers"))?;
        let list: Vec<String> = by_check.iter().map(|(check, n)| format!("{check}\u{a0}×{n}")).collect();
        self.quiet("", &list.join(", "))
    }

    fn not_tested(&mut self, report: &Report) -> io::Result<()> {
        for (title, list) in [("Not tested", &report.not_tested), ("Not applicable", &report.not_applicable)] {
            if list.is_empty() {
                continue;
            }
            let mut by_reason: BTreeMap<Reason, Vec<&Unanswered>> = BTreeMap::new();
            for row in list {
                by_reason.entry(row.reason).or_default().push(row);
            }
            self.title(Ink::Head, title, "")?;
            for (reason, rows) in by_reason {
                let checks: Vec<&str> = rows.iter().map(|r| r.check.as_str()).collect();
                let named = if checks.len() <= 4 { format!(" ({})", checks.join(", ")) } else { String::new() };
                let n = words::count(checks.len() as u64, "check", "checks");
                self.quiet("", &format!("{n}: {}{named}", reason.sentence()))?;
            }
        }
        Ok(())
    }

    fn coverage(&mut self, report: &Report) -> io::Result<()> {
        let coverage = &report.coverage;
        let bytes = &coverage.bytes;
        let total = bytes.total();
        self.title(Ink::Head, "What was seen, and what was not", "")?;
        let share = |n: u64, what: &str| (n > 0).then(|| format!("{} {what}", words::percent(n, total)));
        let parts = [
            share(bytes.analysed, "read"),
            share(bytes.encrypted, "encrypted and not opened"),
            share(bytes.unparsed, "clear and not understood"),
            share(bytes.missed, "missing"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        self.quiet(
            "payload",
            &if parts.is_empty() { "none".to_owned() } else { format!("{}: {}", words::bytes(total), parts.join(", ")) },
        )?;
        if !coverage.undecrypted.is_empty() {
            self.quiet("closed", &format!("flows not opened: {}", words::listed(&coverage.undecrypted)))?;
        }
        if !coverage.odd.is_empty() {
            self.quiet("odd", &words::listed(&coverage.odd))?;
        }
        if coverage.unattributed > 0 {
            self.quiet("nobody's", &format!("{} of no known device", words::count(coverage.unattributed, "flow", "flows")))?;
        }
        if !coverage.disguised.is_empty() {
            self.quiet(
                "disguised",
                &format!("frames of others under the gateway's own link address: {}", words::disguised(&coverage.disguised)),
            )?;
        }
        if !coverage.folded.is_empty() {
            self.quiet("folded", &format!("past the limits: {}", words::listed(&coverage.folded)))?;
        }
        self.quiet("answers", &format!("{} of {} in scope decided", words::number(coverage.decided), words::number(coverage.in_scope)))?;
        if !coverage.not_exercised.is_empty() {
            let n = words::count(coverage.not_exercised.len() as u64, "check", "checks");
            self.quiet("never met", &format!("{n} that nothing in the traffic exercised: {}", coverage.not_exercised.join(", ")))?;
        }
        if report.always_ended() {
            self.quiet("ended", words::ENDED)?;
        }
        for (name, t) in &report.truncated {
            self.quiet("cut", &format!("{name}: {} rows in all, see {}", words::number(t.total), t.table))?;
        }
        Ok(())
    }

    fn requirements(&mut self, report: &Report) -> io::Result<()> {
        let mut by_standard: IndexMap<&str, BTreeMap<Standing, u64>> = IndexMap::new();
        for row in &report.requirements {
            let standing = match row.verdict {
                _ if row.observable == "none" => Standing::OutOfSight,
                _ if report.is_not_built(row) => Standing::NotBuilt,
                verdict => Standing::Judged(verdict),
            };
            *by_standard.entry(&row.standard).or_default().entry(standing).or_default() += 1;
        }
        if by_standard.is_empty() {
            return Ok(());
        }
        self.title(Ink::Head, "Requirements", "(indications; they move the exit code only with --require)")?;
        for (standard, counts) in &by_standard {
            const NAME: usize = 34;
            let name = standard.chars().count();
            write!(self.out, "  {standard}{:pad$}", "", pad = NAME.saturating_sub(name))?;
            let mut at = 2 + name.max(NAME);
            for (n, (standing, count)) in counts.iter().enumerate() {
                let words = format!("{count} {}", standing.words());
                let len = words.chars().count() + 2;
                if at + len > self.width && n > 0 {
                    write!(self.out, ",\n  {:NAME$} ", "")?;
                    at = 3 + NAME;
                } else {
                    write!(self.out, "{}", if n == 0 { " " } else { ", " })?;
                }
                at += len;
                let words = self.paint(standing.ink(), &words);
                write!(self.out, "{words}")?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn foot(&mut self, report: &Report) -> io::Result<()> {
        let exit = &report.aside.exit;
        writeln!(self.out)?;
        let ink = match exit.code {
            0 => Ink::Good,
            1 => Ink::Worst,
            _ => Ink::Warn,
        };
        let mut sentence = exit.sentence();
        if exit.uncounted > 0 {
            let n = words::count(exit.uncounted, "failure does", "failures do");
            let _ = write!(sentence, "; {n} not count towards it ({})", exit.uncounted_checks());
        }
        for (id, word) in &exit.required {
            let _ = write!(sentence, "; required {id}: {word}");
        }
        self.row(Some(ink), &format!("exit {}", exit.code), &sentence)?;
        if let Some(path) = self.view.report {
            self.row(None, "report", analyzers::text::Text::ours(path).as_str())?;
        }
        self.quiet("", DISCLAIMER)
    }
}

/// Printed wherever verdicts are (standards: *How evaluators report*).
pub const DISCLAIMER: &str = "These are indications for an evaluator's verdict. This tool does not certify.";

/// How a requirement stands, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Judged(RequirementVerdict),
    /// Its checks are not built yet.
    NotBuilt,
    OutOfSight,
}

impl Standing {
    fn rank(self) -> std::cmp::Reverse<i8> {
        std::cmp::Reverse(match self {
            Standing::Judged(verdict) => verdict as i8,
            Standing::NotBuilt => -1,
            Standing::OutOfSight => -2,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Standing::Judged(verdict) => verdict_words(verdict),
            Standing::NotBuilt => NOT_BUILT,
            Standing::OutOfSight => "not observable",
        }
    }

    fn ink(self) -> Ink {
        match self {
            Standing::Judged(RequirementVerdict::Fail) => Ink::Worst,
            Standing::Judged(RequirementVerdict::FailWaived | RequirementVerdict::Inconclusive) => Ink::Warn,
            Standing::Judged(RequirementVerdict::Pass) => Ink::Good,
            _ => Ink::Quiet,
        }
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Standing) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Standing {
    fn cmp(&self, other: &Standing) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// Of requirements and checks that wait for a later version.
pub(crate) const NOT_BUILT: &str = "not built yet";

/// A requirement's verdict for people.
pub(crate) fn verdict_words(verdict: RequirementVerdict) -> &'static str {
    match verdict {
        RequirementVerdict::Pass => "pass",
        RequirementVerdict::NoIndication => "no indication of failure",
        RequirementVerdict::NotApplicable => "not applicable",
        RequirementVerdict::NotTested => "not tested",
        RequirementVerdict::Inconclusive => "inconclusive",
        RequirementVerdict::FailWaived => "fail (waived)",
        RequirementVerdict::Fail => "fail",
    }
}

fn of(report: &Report, verdict: FindingVerdict) -> Vec<&FindingRow> {
    report.findings.iter().filter(|f| f.verdict == verdict).collect()
}

fn by_check<'r>(rows: &[&'r FindingRow]) -> IndexMap<&'r str, Vec<&'r FindingRow>> {
    let mut out: IndexMap<&str, Vec<&FindingRow>> = IndexMap::new();
    for row in rows {
        out.entry(&row.check).or_default().push(row);
    }
    out
}

/// `line 33, frame 28, flow f3 (and 4 more)`.
pub(crate) fn cited(evidence: &EvidenceRow, total: u64) -> String {
    let mut text = format!("line {}", evidence.line);
    if let Some(frame) = evidence.frame {
        let _ = write!(text, ", frame {frame}");
    }
    if let Some(flow) = evidence.flow {
        let _ = write!(text, ", flow {flow}");
    }
    if total > 1 {
        let _ = write!(text, " (and {} more)", words::number(total - 1));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture;

    fn text(report: &Report, paint: Paint) -> String {
        let mut out = Vec::new();
        write(report, &View { paint, width: 100, report: Some("runs/toy/report.html") }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_story_in_text() {
        fixture::golden("tests/golden/summary.txt", &text(&fixture::report(), Paint::Plain));
    }

    #[test]
    fn an_empty_run_in_text() {
        fixture::golden("tests/golden/summary-empty.txt", &text(&fixture::report_of(&[], &[]), Paint::Plain));
    }

    /// Without colour no escape at all; with colour only ours, and the words are the same.
    #[test]
    fn colour_adds_nothing_but_colour() {
        let plain = text(&fixture::report(), Paint::Plain);
        let colour = text(&fixture::report(), Paint::Colour);
        assert!(!plain.contains('\x1b') && colour.contains("\x1b[1;31m"));
        let mut bare = String::new();
        let mut rest = colour.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            bare.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        bare.push_str(rest);
        assert_eq!(bare, plain);
    }

    #[test]
    fn lines_fit() {
        let mut out = Vec::new();
        write(&fixture::hostile(), &View { paint: Paint::Plain, width: 20, report: None }, &mut out).unwrap();
        for line in String::from_utf8(out).unwrap().lines().filter(|l| !l.starts_with("overhear")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn hostile_names_are_inert() {
        let text = text(&fixture::hostile(), Paint::Plain);
        assert!(text.contains("\\x1b[31m") && text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
    }
}
