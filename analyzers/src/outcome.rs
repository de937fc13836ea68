//! What a check answers. A pass cannot be made without a [`Complete`] token, nor any verdict without lines.

use std::fmt;

use policies::Severity;
use serde::{Deserialize, Serialize};

use crate::case::Complete;
use crate::journal::LineNo;

/// The three answers of a judged case, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Inconclusive,
    Fail,
}

macro_rules! reasons {
    ($( $variant:ident = $word:literal, $sentence:literal; )*) => {
        /// Why something is undecided, not tested or not applicable: a code for machines, a sentence for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $( #[serde(rename = $word)] $variant, )* }

        impl Reason {
            pub const ALL: &'static [Reason] = &[ $( Reason::$variant, )* ];
            pub fn word(self) -> &'static str { match self { $( Reason::$variant => $word, )* } }
            pub fn sentence(self) -> &'static str { match self { $( Reason::$variant => $sentence, )* } }
        }
    };
}

reasons! {
    // undecided
    Overflowed = "overflowed", "more distinct facts were seen than are kept; some were folded away";
    MissedBytes = "missed-bytes", "bytes that could matter are missing from the capture";
    Ambiguous = "ambiguous", "bytes came twice and differ, or could not be compared; the other end may have read something else";
    Undecrypted = "undecrypted", "encrypted bytes that could matter were not opened";
    Unparsed = "unparsed", "clear bytes that could matter were not understood";
    StructuralOnly = "structural-only", "only the format speaks for it; no planted value was found";
    PeersWord = "peers-word", "only the other side said it, and where it has it from was not seen";
    NotAttributed = "not-attributed", "flows that could matter belong to no known device";
    ProxyOnly = "proxy-only", "only what asks the explicit proxy is seen; what goes around it would not be";
    NotSettled = "not-settled", "the client was seen neither to go on with it nor to break it off";
    NamedLate = "named-late", "the connection was counted under its address before it said the server's name";
    UnknownActor = "unknown-actor", "it is not known who on the device caused it";
    NoControl = "no-control", "no control before or after the attempt reached application data";
    TooFewAttempts = "too-few-attempts", "the device made fewer attempts than the plan asks";
    NotDelivered = "not-delivered", "the device left before the defect reached it";
    Incompatible = "incompatible", "the handshake failed for a reason that is not the defect";
    NoCommonGround = "no-common-ground", "the gateway speaks no TLS suite, group or signature of those that the device offers";
    ClearUnclear = "clear-unclear", "it cannot be told whether traffic in clear stands in for the attacked TLS";
    CutShort = "cut-short", "the device was ended before the time was over in which it may yet react";
    Racy = "racy", "the client is seen to send data before its check is done: whether a refusal came in time is chance";
    Intermittent = "intermittent", "the client accepts one attack at times and refuses it at times: whether it refuses another is chance";
    OpeningOnly = "opening-only", "the device sent its protocol's fixed opening and nothing of its own";
    Silent = "silent", "the connection stayed open and nothing came";
    NoDiscriminatingTrial = "no-discriminating-trial", "refused, but nothing excludes another cause than the one that was asked about";
    LossOverLimit = "loss-over-limit", "capture loss is over the limit of the plan";
    WindowsNotConfirmed = "windows-not-confirmed", "event windows were not confirmed, or too few";
    VolumeDiffers = "volume-differs", "traffic in the windows differs from the comparison windows";
    CoverageUnderLevel = "coverage-under-level", "less was read than the plan asks";
    SignedOutOfSight = "signed-out-of-sight", "integrity may rest on a signature that the capture does not show being checked";
    PolicyException = "policy-exception", "an exception of the policy covers it";
    NoIndication = "no-indication", "nothing speaks against it; that nothing ever left cannot be proven";
    Unfinished = "unfinished", "the run breaks off before its end: what came later, and what is read at its end, is not in the answer";
    SecondReadingDiffers = "second-reading-differs", "analysing the run's capture again gave other lines";
    // not tested
    NotExercised = "not-exercised", "nothing in the traffic exercised it";
    OutOfTime = "out-of-time", "the run was ended before it was asked";
    NoPersona = "no-persona", "no value of this kind was planted, so absence proves nothing";
    NoDeclaration = "no-declaration", "the declaration it compares against was not given";
    NoEvents = "no-events", "no stimulus was recorded";
    NoAttacks = "no-attacks", "the attack was not selected, or the run is passive";
    NotAuthorised = "not-authorised", "the policy allows no attack here";
    LabCaNotTrusted = "lab-ca-not-trusted", "the flawless lab chain did not reach application data here";
    NothingWorked = "nothing-worked", "not even an untouched connection reached application data";
    UserCaNotInstalled = "user-ca-not-installed", "the lab's authority is not in the user store";
    OneRunOnly = "one-run-only", "a second run or replay is needed";
    PassiveOnly = "passive-only", "a capture alone cannot show it";
    // not applicable
    NotOffered = "not-offered", "the client never offered the version, suite or feature";
    DeclaredAbsent = "declared-absent", "declared as not present";
    NothingDeclared = "nothing-declared", "the declaration claims nothing of the kind";
    SiblingAccepts = "sibling-accepts", "no pin is declared for it, and it accepts other keys than its sibling's pin would";
    SiblingRefuses = "sibling-refuses", "no pin is declared for it, and it refuses other keys as its pinned sibling does";
    UsersApp = "users-app", "only the user's own apps and browsers caused it, which the question leaves out";
    NotInThisRun = "not-in-this-run", "the kind of run cannot have it";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The lines that prove a verdict: never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The first lines, at most [`Proof::KEPT`], in order.
    lines: Vec<LineNo>,
    total: u64,
}

impl Proof {
    /// As many lines as a finding shows (interface: `evidence: [≤16 …]`).
    pub const KEPT: usize = 16;

    pub fn line(line: LineNo) -> Proof {
        Proof { lines: vec![line], total: 1 }
    }

    /// `None` when there are none: no lines, no verdict.
    pub fn of(lines: impl IntoIterator<Item = LineNo>) -> Option<Proof> {
        let mut all: Vec<LineNo> = lines.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let total = all.len() as u64;
        all.truncate(Proof::KEPT);
        (total > 0).then_some(Proof { lines: all, total })
    }

    pub fn lines(&self) -> &[LineNo] {
        &self.lines
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Both proofs' lines.
    pub fn and(self, other: &Proof) -> Proof {
        let total = self.total + other.total;
        let mut lines = self.lines;
        lines.extend(&other.lines);
        lines.sort_unstable();
        lines.dedup();
        lines.truncate(Proof::KEPT);
        Proof { lines, total }
    }
}

/// A verdict with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    pub evidence: Proof,
    pub expected: String,
    pub observed: String,
    /// Graded up or down from the check's own severity.
    pub severity: Option<Severity>,
}

/// A fault of ours, told apart from anything the device did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub what: String,
}

/// What a check says of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Judged(Box<Judged>),
    NotTested(Reason),
    NotApplicable(Reason),
    Error(Fault),
}

impl Outcome {
    pub fn fail(evidence: Proof, expected: impl Into<String>, observed: impl Into<String>) -> Outcome {
        Outcome::judged(Verdict::Fail, None, evidence, expected.into(), observed.into())
    }

    /// A pass consumes the token that nothing which could matter was missed.
    pub fn pass(complete: Complete, evidence: Proof, expected: impl Into<String>, observed: impl Into<String>) -> Outcome {
        let evidence = match complete.proof() {
            Some(coverage) => evidence.and(&coverage),
            None => evidence,
        };
        Outcome::judged(Verdict::Pass, None, evidence, expected.into(), observed.into())
    }

    pub fn inconclusive(reason: Reason, evidence: Proof, expected: impl Into<String>, observed: impl Into<String>) -> Outcome {
        Outcome::judged(Verdict::Inconclusive, Some(reason), evidence, expected.into(), observed.into())
    }

    fn judged(verdict: Verdict, reason: Option<Reason>, evidence: Proof, expected: String, observed: String) -> Outcome {
        Outcome::Judged(Box::new(Judged { verdict, reason, evidence, expected, observed, severity: None }))
    }

    /// The same outcome at another severity.
    pub fn graded(mut self, severity: Severity) -> Outcome {
        if let Outcome::Judged(judged) = &mut self {
            judged.severity = Some(severity);
        }
        self
    }

    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Outcome::Judged(judged) => Some(judged.verdict),
            _ => None,
        }
    }

    pub fn is_fail(&self) -> bool {
        self.verdict() == Some(Verdict::Fail)
    }

    /// One word for tables: `pass`, `fail`, `inconclusive`, `not-tested`, `not-applicable`, `error`.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Judged(j) => match j.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "fail",
                Verdict::Inconclusive => "inconclusive",
            },
            Outcome::NotTested(_) => "not-tested",
            Outcome::NotApplicable(_) => "not-applicable",
            Outcome::Error(_) => "error",
        }
    }

    pub fn reason(&self) -> Option<Reason> {
        match self {
            Outcome::Judged(j) => j.reason,
            Outcome::NotTested(r) | Outcome::NotApplicable(r) => Some(*r),
            Outcome::Error(_) => None,
        }
    }
}
