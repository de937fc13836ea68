//! report.json: the whole run in one file that any program can load (schema id `overhear/report/1`).
//!
//! [`Report`] is also what the other renderings read, so that all say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use analyzers::board::{Demands, Finding, RequirementVerdict, Rolled};
use analyzers::encode::Digest;
use analyzers::flow::FlowId;
use analyzers::observation::{Certificate, RunKind, RunMode, TrialResult};
use analyzers::outcome::{Outcome, Reason};
use analyzers::text::Text;
use indexmap::IndexMap;
use policies::requirement::{Observable, Strength};
use policies::{Severity, Time};
use schemars::JsonSchema;
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::findings;
use crate::gates::Exit;
use crate::rows::{
    ActorRow, DeviceRow, EventRow, FlowRow, InputRow, LeakRow, NameRow, PresenceRow, RequestRow, SubjectRow, TlsRow, TreatmentRow,
    TrialRow, shown_if,
};
use crate::tables::{Presented, Tabled};
use crate::timeline::Timeline;

/// The id that every report.json of this form carries.
pub const SCHEMA: &str = "overhear/report/1";

/// The whole report.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Overhear report", extend("$id" = "overhear/report/1"))]
pub struct Report {
    /// `overhear/report/1`.
    pub schema: String,
    pub tool: Tool,
    pub run: RunHead,
    pub item: Item,
    pub lab: Lab,
    pub inputs: Vec<InputRow>,
    pub events: Vec<EventRow>,
    /// Standing changes of the set-up, with the time each began.
    pub treatments: Vec<TreatmentRow>,
    pub presence: Vec<PresenceRow>,
    pub coverage: CoverageHead,
    pub devices: Vec<DeviceRow>,
    pub actors: Vec<ActorRow>,
    pub flows: Vec<FlowRow>,
    pub tls: Vec<TlsRow>,
    /// Distinct by name, source and device.
    pub names: Vec<NameRow>,
    pub requests: Vec<RequestRow>,
    pub leaks: Vec<LeakRow>,
    pub trials: Vec<TrialRow>,
    pub findings: Vec<FindingRow>,
    pub not_tested: Vec<Unanswered>,
    pub not_applicable: Vec<Unanswered>,
    pub requirements: Vec<RequirementRow>,
    pub summary: SummaryHead,
    /// Lists that are longer than they stand here, with the file that holds all of each.
    pub truncated: BTreeMap<String, Truncated>,
    #[serde(skip)]
    pub aside: Aside,
}

/// What pages show and report.json does not.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    pub timeline: Timeline,
    pub certificates: IndexMap<Digest, Certificate>,
    pub presented: BTreeMap<FlowId, Presented>,
    pub exit: Exit,
    /// Checks that requirements name and that are not built yet.
    pub not_built: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tool {
    pub name: String,
    pub version: String,
    pub catalogue_sha256: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunHead {
    /// `capture`, `live`, `lab`.
    #[schemars(with = "String")]
    pub kind: RunKind,
    /// Of a capture: the times of its first and last frame.
    pub started: Option<Time>,
    pub ended: Option<Time>,
    pub policy_sha256: Option<String>,
    #[schemars(with = "Option<String>")]
    pub label: Option<Text>,
    /// `transparent`, `explicit`, `memory`.
    #[schemars(with = "Option<String>")]
    pub mode: Option<RunMode>,
    pub profile: String,
    /// Attacks that were selected, by id.
    #[schemars(with = "Vec<String>")]
    pub attacks: Vec<Text>,
    /// Lines of the journal this report was made from, without those that a later command added.
    pub lines: u64,
    /// The journal breaks off before the end of the run: it was killed, or is going on.
    pub unfinished: bool,
}

/// The item under test, from the policy; all may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Item {
    pub maker: String,
    pub model: String,
    pub build: String,
    pub patch_level: String,
    pub baseband: String,
    pub serial_digest: String,
}

/// Who tested, from the policy; all may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lab {
    pub report_id: String,
    pub operator: String,
    pub reviewer: String,
    pub clock: String,
    pub deviations: String,
    /// Who allowed the test; absent: the run was passive.
    pub authorisation: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CoverageHead {
    pub bytes: CoverageBytes,
    pub flows: u64,
    pub flows_by_protocol: BTreeMap<String, u64>,
    /// Checks and selected attacks that nothing in the traffic exercised.
    pub not_exercised: Vec<String>,
    /// Answers (check × subject) that are pass or fail.
    pub decided: u64,
    /// Answers (check × subject) other than *not applicable*.
    pub in_scope: u64,
    /// Flows that no device could be found for.
    pub unattributed: u64,
    /// Frames that somebody else sent under a link address of the machine that watched, by the address they gave as their source.
    pub disguised: BTreeMap<String, u64>,
    /// Encrypted flows that were not opened, by protocol and reason.
    pub undecrypted: BTreeMap<String, u64>,
    /// Odd things by kind; damage, never verdicts.
    pub odd: BTreeMap<String, u64>,
    /// What limits folded away, by kind.
    pub folded: BTreeMap<String, u64>,
}

/// Payload bytes: each is in exactly one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CoverageBytes {
    pub analysed: u64,
    pub encrypted: u64,
    pub unparsed: u64,
    pub missed: u64,
}

impl CoverageBytes {
    pub fn total(&self) -> u64 {
        self.analysed.saturating_add(self.encrypted).saturating_add(self.unparsed).saturating_add(self.missed)
    }
}

/// A check's answer for one subject, or for several that equal each other in everything; a fail always stands alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingRow {
    pub check: String,
    pub title: String,
    pub active: bool,
    pub subject: SubjectRow,
    /// At most 16.
    pub subjects: Vec<SubjectRow>,
    pub subjects_total: u64,
    /// `tcp`, `quic`; `udp` and others for peers without TLS; absent for findings without a peer.
    pub transport: Option<String>,
    /// `pass`, `fail`, `inconclusive`, `error`.
    pub verdict: FindingVerdict,
    pub severity: Severity,
    /// Why it is undecided, as a code.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    pub expected: String,
    pub observed: String,
    /// At most 16.
    pub evidence: Vec<EvidenceRow>,
    pub evidence_total: u64,
    /// Ids of the requirements that its check speaks to.
    pub requirements: Vec<String>,
    /// Why the failure is waived.
    pub waived: Option<String>,
    /// Who on the device caused it, when that is known.
    pub actor: Option<String>,
    /// Check, peer, actor and client without addresses, times and keys: stable across runs.
    pub fingerprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingVerdict {
    Fail,
    Error,
    Inconclusive,
    Pass,
}

impl FindingVerdict {
    pub fn word(self) -> &'static str {
        match self {
            FindingVerdict::Fail => "fail",
            FindingVerdict::Error => "error",
            FindingVerdict::Inconclusive => "inconclusive",
            FindingVerdict::Pass => "pass",
        }
    }
}

/// A line of the journal that proves something, and where it stands in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EvidenceRow {
    pub line: u64,
    /// 1-based, as in Wireshark.
    pub frame: Option<u64>,
    #[serde(serialize_with = "shown_if")]
    #[schemars(with = "Option<String>")]
    pub flow: Option<FlowId>,
}

/// A check that gave no answer, why, and for how many subjects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unanswered {
    pub check: String,
    #[schemars(with = "String")]
    pub reason: Reason,
    pub subjects: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequirementRow {
    pub id: String,
    /// In our own words, never those of the standard.
    pub title: String,
    pub standard: String,
    pub clause: String,
    #[schemars(with = "String")]
    pub verdict: RequirementVerdict,
    pub strength: Strength,
    #[schemars(with = "BTreeMap<String, String>")]
    pub checks: IndexMap<String, String>,
    /// `active`, `passive`, `both`, `declared`, `none`.
    pub observable: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SummaryHead {
    /// Fails that nobody waived.
    pub fail: u64,
    pub pass: u64,
    pub inconclusive: u64,
    pub not_tested: u64,
    pub exit_code: u8,
    pub waived: u64,
    pub not_applicable: u64,
    pub error: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Truncated {
    pub total: u64,
    /// Relative to the run's folder.
    pub table: String,
}

impl Report {
    /// Whether the program was ended in every run in which it worked: the rest of what it does was not seen.
    pub fn always_ended(&self) -> bool {
        let honest =
            || self.trials.iter().filter(|t| matches!(t.attack.as_str(), "control" | "pass") && t.reaction == TrialResult::Accepted);
        honest().next().is_some() && honest().all(|t| t.cut_short)
    }

    /// Joins what was judged with what was seen.
    pub fn new(demands: &Demands, catalogue: &Catalogue, findings: &[Finding], rolled: &[Rolled], exit: &Exit, tabled: Tabled) -> Report {
        let rows = findings::rows(findings, catalogue, &tabled);
        let run = tabled.run.as_ref();
        let policy = &demands.policy;
        Report {
            schema: SCHEMA.to_owned(),
            tool: run.map_or_else(Tool::default, |r| Tool {
                name: r.tool.to_string(),
                version: r.version.to_string(),
                catalogue_sha256: Some(r.catalogue_sha256.to_string()),
            }),
            run: RunHead {
                kind: run.map_or(RunKind::Capture, |r| r.kind),
                started: tabled.started,
                ended: tabled.ended,
                policy_sha256: run.map(|r| r.policy_sha256.to_string()),
                label: run.and_then(|r| r.label.clone()),
                mode: run.and_then(|r| r.mode),
                profile: policy.profile.name.clone(),
                attacks: run.map(|r| r.attacks.clone()).unwrap_or_default(),
                lines: tabled.lines,
                unfinished: tabled.unfinished,
            },
            item: item(&policy.item),
            lab: lab(policy),
            coverage: coverage(findings, catalogue, &tabled),
            requirements: requirements(demands, rolled),
            summary: summary(findings, exit),
            truncated: tabled
                .truncated
                .iter()
                .map(|(t, total)| (t.name().to_owned(), Truncated { total: *total, table: t.path() }))
                .collect(),
            findings: rows.findings,
            not_tested: rows.not_tested,
            not_applicable: rows.not_applicable,
            inputs: tabled.inputs,
            events: tabled.events,
            treatments: tabled.treatments,
            presence: tabled.presence,
            devices: tabled.devices,
            actors: tabled.actors,
            flows: tabled.flows,
            tls: tabled.tls,
            names: tabled.names,
            requests: tabled.requests,
            leaks: tabled.leaks,
            trials: tabled.trials,
            aside: Aside {
                timeline: tabled.timeline,
                certificates: tabled.certificates,
                presented: tabled.presented,
                exit: exit.clone(),
                not_built: rolled
                    .iter()
                    .flat_map(|r| r.checks.iter().map(|(id, _)| id))
                    .filter(|id| catalogue.unit(id).is_none())
                    .cloned()
                    .collect(),
            },
        }
    }

    /// Writes report.json: one row per line, so that two reports can be compared by line.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let mut out = io::BufWriter::new(out);
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, RowPerLine { depth: 0, empty: true });
        self.serialize(&mut serializer).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// The flawless chain that the controls of an attack showed: of the same server, and as long.
    pub fn control_of(&self, presented: &Presented) -> Option<&Presented> {
        let of_same = |p: &&Presented| p.attack.is_none() && !p.chain.is_empty() && p.honest == presented.honest;
        let alike = |p: &&Presented| {
            let same = p.chain.iter().filter(|c| presented.chain.contains(c)).count();
            (p.chain.len() == presented.chain.len(), same)
        };
        self.aside.presented.values().filter(of_same).max_by_key(alike)
    }

    /// Whether a requirement is not tested for no check of it is built yet.
    pub fn is_not_built(&self, row: &RequirementRow) -> bool {
        row.verdict == RequirementVerdict::NotTested
            && !row.checks.is_empty()
            && row.checks.keys().all(|id| self.aside.not_built.contains(id))
    }

    /// What was presented in the attempts that a finding cites, if that is known.
    pub fn presented(&self, finding: &FindingRow) -> Option<&Presented> {
        let cited = self.trials.iter().filter(|t| finding.evidence.iter().any(|e| e.line == t.line));
        cited.flat_map(|t| &t.flows).find_map(|f| self.aside.presented.get(f))
    }
}

/// The JSON Schema of report.json, as it is committed.
pub fn schema() -> String {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<Report>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// The operator's words are made as inert as those of the wire: they end in the same places.
fn ours(words: &str) -> String {
    Text::ours(words).to_string()
}

fn item(item: &policies::policy::Item) -> Item {
    Item {
        maker: ours(&item.maker),
        model: ours(&item.model),
        build: ours(&item.build),
        patch_level: ours(&item.patch_level),
        baseband: ours(&item.baseband),
        serial_digest: ours(&item.serial_digest),
    }
}

fn lab(policy: &policies::Policy) -> Lab {
    let lab = &policy.lab;
    Lab {
        report_id: ours(&lab.report_id),
        operator: ours(&lab.operator),
        reviewer: ours(&lab.reviewer),
        clock: ours(&lab.clock),
        deviations: ours(&lab.deviations),
        authorisation: policy.authorisation.as_ref().map(|a| ours(&format!("{} for {}, {}", a.by, a.owner, a.reference))),
    }
}

fn coverage(findings: &[Finding], catalogue: &Catalogue, tabled: &Tabled) -> CoverageHead {
    let ledger = &tabled.ledger;
    let mut answered: BTreeMap<&str, bool> = BTreeMap::new();
    let exercised = |finding: &Finding| !matches!(finding.outcome, Outcome::NotTested(Reason::NotExercised | Reason::OutOfTime));
    for of_one in findings.chunk_by(|a, b| a.check == b.check) {
        let Some(first) = of_one.first() else { continue };
        *answered.entry(&first.check).or_default() |= of_one.iter().any(exercised);
    }
    let selected = tabled.run.iter().flat_map(|r| &r.attacks).map(Text::as_str);
    let expected = catalogue.checks().map(|u| u.id.as_str()).chain(selected);
    let mut not_exercised: Vec<String> = expected.filter(|id| !answered.get(id).copied().unwrap_or(false)).map(str::to_owned).collect();
    not_exercised.sort();
    not_exercised.dedup();
    CoverageHead {
        bytes: CoverageBytes { analysed: ledger.analysed, encrypted: ledger.encrypted, unparsed: ledger.unparsed, missed: ledger.missed },
        flows: ledger.flows,
        flows_by_protocol: ledger.by_app.iter().map(|t| (t.name.to_string(), t.count)).collect(),
        not_exercised,
        decided: findings.iter().filter(|f| matches!(f.outcome.word(), "pass" | "fail")).count() as u64,
        in_scope: findings.iter().filter(|f| !matches!(f.outcome, Outcome::NotApplicable(_))).count() as u64,
        unattributed: ledger.unattributed,
        disguised: ledger.disguised.iter().map(|t| (t.name.to_string(), t.count)).collect(),
        undecrypted: tabled.undecrypted.clone(),
        odd: tabled.odd.clone(),
        folded: ledger.folded.iter().map(|t| (t.name.to_string(), t.count)).collect(),
    }
}

fn requirements(demands: &Demands, rolled: &[Rolled]) -> Vec<RequirementRow> {
    let row = |r: &Rolled| {
        let requirement = demands.requirements.get(r.index)?;
        let observable = if requirement.is_out_of_sight() { "none" } else { observable_word(requirement.observable) };
        Some(RequirementRow {
            id: r.id.clone(),
            title: requirement.title.clone(),
            standard: requirement.standard.clone(),
            clause: requirement.clause_shown(),
            verdict: r.verdict,
            strength: requirement.strength,
            checks: r.checks.iter().map(|(id, word)| (id.clone(), (*word).to_owned())).collect(),
            observable: observable.to_owned(),
        })
    };
    rolled.iter().filter_map(row).collect()
}

pub(crate) fn observable_word(observable: Observable) -> &'static str {
    match observable {
        Observable::Active => "active",
        Observable::Passive => "passive",
        Observable::Both => "both",
        Observable::Declared => "declared",
    }
}

fn summary(findings: &[Finding], exit: &Exit) -> SummaryHead {
    let mut out = SummaryHead { exit_code: exit.code, ..SummaryHead::default() };
    for finding in findings {
        let slot = match finding.outcome.word() {
            "fail" if finding.waived.is_some() => &mut out.waived,
            "fail" => &mut out.fail,
            "pass" => &mut out.pass,
            "inconclusive" => &mut out.inconclusive,
            "not-tested" => &mut out.not_tested,
            "not-applicable" => &mut out.not_applicable,
            _ => &mut out.error,
        };
        *slot += 1;
    }
    out
}

/// Breaks lines down to the rows of lists, and writes each row on one line.
struct RowPerLine {
    depth: usize,
    empty: bool,
}

impl RowPerLine {
    fn open<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty && self.depth < 2 {
            self.line(out)?;
        }
        self.empty = false;
        out.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        match (first, self.depth <= 2) {
            (true, true) => self.line(out),
            (true, false) => Ok(()),
            (false, true) => out.write_all(b",").and_then(|()| self.line(out)),
            (false, false) => out.write_all(b", "),
        }
    }

    fn line<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(b"  "))
    }
}

impl serde_json::ser::Formatter for RowPerLine {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests;
