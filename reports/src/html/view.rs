//! What the page's template shows, in words: every choice of what and how much is made here, none in the template.

use analyzers::board::RequirementVerdict;
use analyzers::encode::Digest;
use analyzers::observation::{Exposure, Grade};
use analyzers::outcome::Reason;
use analyzers::text::Text;
use askama::Template;
use indexmap::IndexMap;

use super::chain::{ChainRow, chain, differing};
use super::svg;
use super::tables::{self, Table};
use crate::catalogue::{Catalogue, class_sentence};
use crate::json::{FindingRow, FindingVerdict, Report, Unanswered};
use crate::markdown;
use crate::summary::{DISCLAIMER, NOT_BUILT, cited, verdict_words};
use crate::words;

/// Subjects of one failed check shown as cards of their own; further ones are rows.
const CARDS: usize = 24;
/// Rows of each table on the page.
const ROWS: usize = 200;
/// Rows of undecided and passed answers.
const ANSWERS: usize = 1000;

#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'r> {
    css: &'static str,
    style_hash: String,
    title: String,
    kind: String,
    lead: String,
    tone: u8,
    sentence: String,
    sentence_more: String,
    notices: Vec<String>,
    tiles: Vec<Tile>,
    places: Vec<words::Place>,
    places_more: usize,
    fails: Vec<Failed<'r>>,
    errors: Vec<Answer<'r>>,
    answers: Vec<Answers<'r>>,
    silent: Vec<Silent<'r>>,
    leaks: Vec<Leak>,
    leaks_more: usize,
    revealed: bool,
    coverage_bar: String,
    coverage_parts: Vec<Part>,
    coverage_facts: Vec<Fact>,
    timeline: String,
    timeline_note: String,
    events: Vec<Event>,
    standards: Vec<Standard<'r>>,
    facts: Vec<Fact>,
    inputs: Vec<Input>,
    tables: Vec<Table>,
    rows_shown: usize,
    disclaimer: &'static str,
    made_by: String,
}

struct Tile {
    count: String,
    label: &'static str,
    class: &'static str,
}

struct Failed<'r> {
    id: &'r str,
    title: &'r str,
    severity: &'static str,
    expected: &'r str,
    who: String,
    requirements: String,
    subjects: Vec<Subject<'r>>,
    more: Vec<Subject<'r>>,
    page: String,
}

struct Subject<'r> {
    who: String,
    actor: &'r str,
    observed: &'r str,
    evidence: String,
    waived: &'r str,
    /// What is wrong with the chain that was shown, what stands beside it, and both.
    wrong: &'r str,
    beside: &'static str,
    chain: Vec<ChainRow>,
    /// Its rows that are not the same on both sides.
    differing: Vec<ChainRow>,
}

struct Answer<'r> {
    check: &'r str,
    title: &'r str,
    subject: String,
    why: &'static str,
    observed: &'r str,
    evidence: String,
}

struct Answers<'r> {
    title: &'static str,
    class: &'static str,
    why: &'static str,
    total: String,
    open: bool,
    rows: Vec<Answer<'r>>,
}

struct Silent<'r> {
    title: &'static str,
    rows: Vec<SilentRow<'r>>,
}

struct SilentRow<'r> {
    check: &'r str,
    why: &'static str,
    subjects: u64,
}

struct Leak {
    kind: &'static str,
    value: String,
    class: &'static str,
    exposure: &'static str,
    peer: String,
    place: String,
    grade: &'static str,
    times: String,
    frame: String,
}

struct Part {
    class: &'static str,
    label: &'static str,
    share: String,
    bytes: String,
}

struct Fact {
    label: &'static str,
    text: String,
    mono: bool,
}

struct Event {
    at: String,
    what: String,
    phase: String,
    confirmed: &'static str,
    by: String,
}

struct Standard<'r> {
    name: &'r str,
    open: bool,
    counts: Vec<Count>,
    rows: Vec<Requirement<'r>>,
}

struct Count {
    n: u64,
    class: &'static str,
    words: &'static str,
}

struct Requirement<'r> {
    id: &'r str,
    clause: &'r str,
    title: &'r str,
    class: &'static str,
    words: &'static str,
    observable: &'r str,
    checks: Vec<(&'r str, &'r str)>,
}

struct Input {
    path: String,
    facts: Vec<Fact>,
}

impl<'r> Page<'r> {
    pub(super) fn of(report: &'r Report, catalogue: &'r Catalogue, css: &'static str, style_hash: String) -> Page<'r> {
        let leaks = words::leaks(report);
        let places = words::places(report);
        let exit = &report.aside.exit;
        Page {
            css,
            style_hash,
            title: title(report),
            kind: words::run_kind(report),
            lead: lead(report),
            // Green only where something was shown to be well.
            tone: if exit.code == 0 && exit.needed.pass == 0 { 9 } else { exit.code },
            sentence: capital(&exit.sentence()),
            sentence_more: sentence_more(report),
            notices: notices(report),
            tiles: tiles(report),
            places_more: places.len().saturating_sub(ROWS),
            places: places.into_iter().take(ROWS).collect(),
            fails: fails(report, catalogue),
            errors: of(report, FindingVerdict::Error).take(ANSWERS).map(answer).collect(),
            answers: answers(report),
            silent: silent(report),
            leaks_more: leaks.len().saturating_sub(ROWS),
            revealed: report.leaks.iter().any(|l| l.value.is_some()),
            leaks: leaks.iter().take(ROWS).map(leak).collect(),
            coverage_bar: svg::coverage(&report.coverage.bytes),
            coverage_parts: coverage_parts(report),
            coverage_facts: coverage_facts(report),
            timeline: svg::timeline(report),
            timeline_note: timeline_note(report),
            events: events(report),
            standards: standards(report),
            facts: facts(report),
            inputs: report.inputs.iter().take(ROWS).map(input).collect(),
            tables: tables::of(report, ROWS),
            rows_shown: ROWS,
            disclaimer: DISCLAIMER,
            made_by: made_by(report),
        }
    }
}

fn title(report: &Report) -> String {
    let item: Vec<&str> = [&report.item.maker, &report.item.model].into_iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
    match (item.is_empty(), &report.run.label, report.inputs.first()) {
        (false, ..) => item.join(" "),
        (true, Some(label), _) => label.to_string(),
        (true, None, Some(input)) => {
            let path = input.path.as_str();
            path.rsplit('/').next().unwrap_or(path).to_owned()
        }
        (true, None, None) => "One run".to_owned(),
    }
}

fn lead(report: &Report) -> String {
    let mut parts = Vec::new();
    if let (Some(from), Some(to)) = (report.run.started, report.run.ended) {
        parts.push(format!("{} UTC, {}", words::moment(from), words::span(from, to)));
    }
    parts.push(words::count(report.coverage.flows, "flow", "flows"));
    let packets: u64 = report.inputs.iter().map(|i| i.packets).sum();
    if packets > 0 {
        parts.push(words::count(packets, "packet", "packets"));
    }
    if !report.devices.is_empty() {
        parts.push(words::count(report.devices.len() as u64, "device", "devices"));
    }
    parts.join(" · ")
}

fn sentence_more(report: &Report) -> String {
    let exit = &report.aside.exit;
    let mut parts = vec![format!("Exit code {}", exit.code)];
    if exit.uncounted > 0 {
        let n = words::count(
            exit.uncounted,
            "failure stands below that does not count towards it",
            "failures stand below that do not count towards it",
        );
        parts.push(format!("{n} ({})", exit.uncounted_checks()));
    }
    parts.extend(exit.required.iter().map(|(id, word)| format!("required {id}: {word}")));
    format!("{}.", parts.join("; "))
}

/// What a reader must know before any verdict.
fn notices(report: &Report) -> Vec<String> {
    let unfinished = report.run.unfinished.then(|| capital(words::UNFINISHED)).into_iter();
    unfinished.chain(words::interventions(report).map(|t| format!("{}: {}", capital(t.what.as_str()), t.state))).collect()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}

fn tiles(report: &Report) -> Vec<Tile> {
    let s = &report.summary;
    let mut tiles = vec![
        Tile { count: words::number(s.fail), label: "failed", class: "fail" },
        Tile { count: words::number(s.inconclusive), label: "undecided", class: "warn" },
        Tile { count: words::number(s.pass), label: "passed", class: "good" },
        Tile { count: words::number(s.not_tested), label: "not tested", class: "" },
    ];
    if s.waived > 0 {
        tiles.push(Tile { count: words::number(s.waived), label: "failed, waived", class: "warn" });
    }
    if s.error > 0 {
        tiles.push(Tile { count: words::number(s.error), label: "faults of the tool", class: "warn" });
    }
    tiles
}

fn of(report: &Report, verdict: FindingVerdict) -> impl Iterator<Item = &FindingRow> {
    report.findings.iter().filter(move |f| f.verdict == verdict)
}

fn fails<'r>(report: &'r Report, catalogue: &'r Catalogue) -> Vec<Failed<'r>> {
    let mut by_check: IndexMap<&str, Vec<&FindingRow>> = IndexMap::new();
    for finding in of(report, FindingVerdict::Fail) {
        by_check.entry(&finding.check).or_default().push(finding);
    }
    let failed = |(id, rows): (&'r str, Vec<&'r FindingRow>)| {
        let first = rows.first()?;
        let unit = catalogue.unit(id);
        Some(Failed {
            id,
            title: &first.title,
            severity: rows.iter().map(|f| f.severity).max().unwrap_or(first.severity).word(),
            expected: &first.expected,
            who: unit.and_then(|u| u.attack.as_ref()).map_or(String::new(), |a| class_sentence(a.class).to_owned()),
            requirements: first.requirements.join(", "),
            subjects: rows.iter().take(CARDS).map(|f| subject(report, f, true)).collect(),
            more: rows.iter().skip(CARDS).map(|f| subject(report, f, false)).collect(),
            page: unit.map_or(String::new(), |u| markdown::html(&u.page)),
        })
    };
    by_check.into_iter().filter_map(failed).collect()
}

fn subject<'r>(report: &'r Report, finding: &'r FindingRow, with_chain: bool) -> Subject<'r> {
    let presented = if finding.active && with_chain { report.presented(finding) } else { None };
    let beside = |good: &[Digest], called| presented.map(|p| (chain(report, &p.chain, good), called));
    let control = presented.and_then(|p| report.control_of(p)).and_then(|c| beside(&c.chain, "the flawless one of the controls"));
    let honest =
        presented.and_then(|p| beside(&p.honest, "what the real server shows").filter(|_| !p.honest.is_empty() || control.is_none()));
    // A chain is made from one of the two with a single change: beside that one it shows.
    let differences = |(rows, _): &(Vec<ChainRow>, _)| rows.iter().filter(|row| row.differs).count();
    let (chain, beside) = control.into_iter().chain(honest).min_by_key(differences).unwrap_or_default();
    Subject {
        who: finding.subject.to_string(),
        actor: finding.actor.as_deref().unwrap_or_default(),
        observed: &finding.observed,
        evidence: evidence(finding, 4),
        waived: finding.waived.as_deref().unwrap_or_default(),
        wrong: &finding.title,
        beside,
        differing: differing(&chain),
        chain,
    }
}

fn evidence(finding: &FindingRow, shown: usize) -> String {
    let mut parts: Vec<String> = finding.evidence.iter().take(shown).map(|e| cited(e, 1)).collect();
    let more = finding.evidence_total.saturating_sub(parts.len() as u64);
    if more > 0 && !parts.is_empty() {
        parts.push(format!("{} more", words::number(more)));
    }
    parts.join("; ")
}

/// The two chains certificate by certificate, and what is not the same in them.
fn answer(finding: &FindingRow) -> Answer<'_> {
    let subject = match finding.subjects_total {
        1 => finding.subject.to_string(),
        n => format!("{} and {} more", finding.subject, words::number(n - 1)),
    };
    let why = finding.reason.map_or("", Reason::sentence);
    Answer { check: &finding.check, title: &finding.title, subject, why, observed: &finding.observed, evidence: evidence(finding, 1) }
}

fn answers(report: &Report) -> Vec<Answers<'_>> {
    let group = |verdict, title, class, why, open| {
        let total: u64 = of(report, verdict).map(|f| f.subjects_total).sum();
        let rows: Vec<Answer<'_>> = of(report, verdict).take(ANSWERS).map(answer).collect();
        (total > 0).then(|| Answers { title, class, why, total: words::number(total), open, rows })
    };
    let undecided = group(FindingVerdict::Inconclusive, "Undecided", "inconclusive", "Why", true);
    let passed = group(FindingVerdict::Pass, "Passed", "pass", "", false);
    undecided.into_iter().chain(passed).collect()
}

fn silent(report: &Report) -> Vec<Silent<'_>> {
    let lists: [(&str, &Vec<Unanswered>); 2] = [("Not tested", &report.not_tested), ("Not applicable", &report.not_applicable)];
    lists
        .into_iter()
        .filter(|(_, l)| !l.is_empty())
        .map(|(title, list)| Silent { title, rows: list.iter().map(silent_row).collect() })
        .collect()
}

fn silent_row(row: &Unanswered) -> SilentRow<'_> {
    SilentRow { check: &row.check, why: row.reason.sentence(), subjects: row.subjects }
}

fn leak(leak: &words::Leaked<'_>) -> Leak {
    let row = leak.first;
    let class = match (row.exposure, row.grade) {
        (Exposure::Peer, _) => "",
        (_, Grade::Proof) => "fail",
        _ => "warn",
    };
    Leak {
        kind: row.kind.word(),
        value: row.value.as_ref().map_or(row.masked.to_string(), |v| format!("{} = {v}", row.masked)),
        class,
        exposure: words::exposure(row.exposure),
        peer: leak.whither(),
        place: leak.place(),
        grade: words::grade(row.grade),
        times: words::number(leak.times),
        frame: row.frame.map_or(String::new(), |f| f.to_string()),
    }
}

fn coverage_parts(report: &Report) -> Vec<Part> {
    let bytes = &report.coverage.bytes;
    let part = |(class, label, n)| Part { class, label, share: words::percent(n, bytes.total()), bytes: words::bytes(n) };
    svg::parts(bytes).into_iter().map(part).collect()
}

fn fact(label: &'static str, text: impl Into<String>) -> Option<Fact> {
    let text = text.into();
    (!text.is_empty()).then_some(Fact { label, text, mono: false })
}

fn code(label: &'static str, text: impl Into<String>) -> Option<Fact> {
    fact(label, text).map(|f| Fact { mono: true, ..f })
}

fn coverage_facts(report: &Report) -> Vec<Fact> {
    let c = &report.coverage;
    let facts = [
        fact("Flows", format!("{}: {}", words::number(c.flows), words::listed(&c.flows_by_protocol))),
        fact("Not opened", words::listed(&c.undecrypted)),
        fact("Odd", words::listed(&c.odd)),
        (c.unattributed > 0)
            .then(|| fact("Nobody's", format!("{} of no known device", words::count(c.unattributed, "flow", "flows"))))
            .flatten(),
        fact("Under the gateway's link address", words::disguised(&c.disguised)),
        fact("Folded away", words::listed(&c.folded)),
        fact("Answers", format!("{} decided of {} in scope", words::number(c.decided), words::number(c.in_scope))),
        code("Never exercised", c.not_exercised.join(", ")),
        report.always_ended().then(|| fact("Ended", words::ENDED)).flatten(),
    ];
    facts.into_iter().flatten().collect()
}

fn timeline_note(report: &Report) -> String {
    let width = report.aside.timeline.width();
    let step = words::span(policies::Time(0), policies::Time(width));
    format!("Each bar is {step}; each lane has its own scale. Shaded: event windows.")
}

fn events(report: &Report) -> Vec<Event> {
    let mut rows: Vec<(policies::Time, Event)> = Vec::new();
    let word = |it: &dyn std::fmt::Debug| format!("{it:?}").to_lowercase();
    for e in report.events.iter().take(ROWS) {
        let by = e.by.as_ref().map_or(String::new(), ToString::to_string);
        let confirmed = if e.confirmed { "yes" } else { "no" };
        rows.push((e.at, Event { at: words::clock(e.at), what: e.kind.to_string(), phase: word(&e.phase), confirmed, by }));
    }
    for t in report.treatments.iter().take(ROWS) {
        let what = format!("{}: {}", t.what, t.state);
        rows.push((t.at, Event { at: words::clock(t.at), what, phase: "set-up".to_owned(), confirmed: "", by: String::new() }));
    }
    for p in report.presence.iter().take(ROWS) {
        let who = p.device.map_or("a device".to_owned(), |d| d.to_string());
        let what = format!("{who} {}", if p.present { "came" } else { "left" });
        rows.push((p.at, Event { at: words::clock(p.at), what, phase: "presence".to_owned(), confirmed: "", by: String::new() }));
    }
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn standards(report: &Report) -> Vec<Standard<'_>> {
    let mut by_standard: IndexMap<&str, Vec<Requirement<'_>>> = IndexMap::new();
    for row in &report.requirements {
        let out_of_sight = row.observable == "none";
        let (class, words) = match row.verdict {
            _ if out_of_sight => ("", "not observable"),
            _ if report.is_not_built(row) => ("", NOT_BUILT),
            verdict => (verdict_class(verdict), verdict_words(verdict)),
        };
        let built = |id: &str| !report.aside.not_built.contains(id);
        by_standard.entry(&row.standard).or_default().push(Requirement {
            id: &row.id,
            clause: &row.clause,
            title: &row.title,
            class,
            words,
            observable: if out_of_sight { "no network test" } else { &row.observable },
            checks: row.checks.iter().map(|(id, word)| (id.as_str(), if built(id) { word.as_str() } else { NOT_BUILT })).collect(),
        });
    }
    by_standard
        .into_iter()
        .map(|(name, rows)| {
            let mut counts: Vec<Count> = Vec::new();
            for row in &rows {
                match counts.iter_mut().find(|c| c.words == row.words) {
                    Some(count) => count.n += 1,
                    None => counts.push(Count { n: 1, class: row.class, words: row.words }),
                }
            }
            counts.sort_by_key(|c| ORDER.iter().position(|w| *w == c.words));
            let open = rows.iter().any(|r| r.class == "fail");
            Standard { name, open, counts, rows }
        })
        .collect()
}

/// Worst first.
const ORDER: [&str; 9] = [
    "fail",
    "fail (waived)",
    "inconclusive",
    "pass",
    "no indication of failure",
    "not tested",
    "not applicable",
    NOT_BUILT,
    "not observable",
];

fn verdict_class(verdict: RequirementVerdict) -> &'static str {
    match verdict {
        RequirementVerdict::Fail => "fail",
        RequirementVerdict::FailWaived => "fail-waived",
        RequirementVerdict::Inconclusive => "inconclusive",
        RequirementVerdict::Pass => "pass",
        RequirementVerdict::NoIndication | RequirementVerdict::NotTested | RequirementVerdict::NotApplicable => "",
    }
}

fn facts(report: &Report) -> Vec<Fact> {
    let (item, lab, run) = (&report.item, &report.lab, &report.run);
    let join = |parts: &[&str]| parts.iter().copied().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" · ");
    let attacks: Vec<&str> = run.attacks.iter().map(Text::as_str).collect();
    let mut facts: Vec<Fact> = [
        fact("Item", join(&[&item.maker, &item.model, &item.build, &item.patch_level, &item.baseband])),
        code("Serial, digest", item.serial_digest.clone()),
        fact("Report", lab.report_id.clone()),
        fact("Operator", lab.operator.clone()),
        fact("Reviewer", lab.reviewer.clone()),
        fact("Clock", lab.clock.clone()),
        fact("Deviations", lab.deviations.clone()),
        fact("Authorised", lab.authorisation.clone().unwrap_or_default()),
        fact("Run", join(&[&words::run_kind(report), run.label.as_ref().map_or("", Text::as_str)])),
        fact("Profile", run.profile.clone()),
        code("Policy, SHA-256", run.policy_sha256.clone().unwrap_or_default()),
        code("Attacks", attacks.join(", ")),
    ]
    .into_iter()
    .flatten()
    .collect();
    for device in report.devices.iter().take(32) {
        let mut parts: Vec<String> = device.label.iter().map(ToString::to_string).collect();
        parts.extend(device.macs.iter().cloned());
        parts.extend(device.ips.iter().take(16).map(ToString::to_string));
        facts.extend(fact("Device", format!("{} · {}", device.id, parts.join(" · "))));
    }
    facts
}

fn input(row: &crate::rows::InputRow) -> Input {
    let links: Vec<&str> = row.link_types.iter().map(Text::as_str).collect();
    let damage: Vec<String> = row.damage.iter().take(16).map(|d| format!("at byte {}: {}", words::number(d.offset), d.what)).collect();
    let unread: Vec<String> = row.unread.iter().map(|t| format!("{} of {}", words::number(t.count), t.name)).collect();
    let times = match (row.first, row.last) {
        (Some(from), Some(to)) => format!("{} to {} UTC", words::moment(from), words::moment(to)),
        _ => String::new(),
    };
    let facts = [
        fact("Size", format!("{}, {}", words::bytes(row.bytes), words::count(row.packets, "packet", "packets"))),
        fact("Frames", times),
        fact("Link types", links.join(", ")),
        code("SHA-256", row.sha256.map_or("not taken".to_owned(), |d| d.to_string())),
        fact("Cut", if row.truncated { "the file ends inside a packet or block" } else { "" }),
        fact("Damage", damage.join("; ")),
        fact("Not read", unread.join(", ")),
        fact("Dropped", row.dropped.filter(|n| *n > 0).map_or(String::new(), |n| format!("{} packets, while capturing", words::number(n)))),
        fact("Secrets", words::late_secrets(row.late_secrets).unwrap_or_default()),
    ];
    Input { path: row.path.to_string(), facts: facts.into_iter().flatten().collect() }
}

fn made_by(report: &Report) -> String {
    let tool = if report.tool.name.is_empty() { "overhear".to_owned() } else { format!("{} {}", report.tool.name, report.tool.version) };
    let catalogue = report.tool.catalogue_sha256.as_ref().map_or(String::new(), |c| format!(", catalogue {}…", c.get(..12).unwrap_or(c)));
    format!(
        "{tool}{catalogue}, from {} of the run's journal. Rendering it again gives the same bytes.",
        words::count(report.run.lines, "line", "lines")
    )
}
