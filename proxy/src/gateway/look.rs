//! What one connection adds to its group's trial.

use analyzers::observation::{Evidence, TrialEnd, TrialResult};
use analyzers::text::{Text, Veil};
use analyzers::trial::{Ending, classify};

use super::subjects::{Group, Member};
use crate::preamble;
use crate::serve::Hindrance;
use crate::treatment::Treatment;

/// What it did, in the words of a trial.
pub(super) struct Look {
    pub(super) result: TrialResult,
    pub(super) grade: Evidence,
    pub(super) alert: Option<u8>,
    pub(super) alert_encrypted: bool,
    pub(super) end: TrialEnd,
    pub(super) version: Option<u16>,
    pub(super) alpn: Option<Text>,
    pub(super) first_bytes: Option<Text>,
    pub(super) waited_ms: u64,
}

impl Member {
    pub(super) fn look(&self, group: &Group, veil: &dyn Veil) -> Look {
        let Group { treatment, cleartext_followed, .. } = group;
        let (defect, cleartext_followed) = (treatment.defect(), *cleartext_followed);
        let relayed = *treatment != Treatment::Pass && self.shown != *treatment;
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| Text::veiled(b, veil));
        let Some(conduct) = &self.conduct else {
            // Still open: a relayed connection that has carried a request works; nothing else can be told yet.
            let (grade, version, alpn) = self.progress.so_far();
            let ending = Ending { grade, alert: None, end: TrialEnd::Us, continued: false, cleartext_followed };
            let result = if relayed { TrialResult::None } else { classify(defect, &ending) };
            let alpn = text(&alpn);
            return Look {
                result,
                grade,
                alert: None,
                alert_encrypted: false,
                end: TrialEnd::Us,
                version,
                alpn,
                first_bytes: None,
                waited_ms: 0,
            };
        };
        let mut grade = conduct.grade;
        if grade == Evidence::E5 && carries_secret(&conduct.data, veil) {
            grade = Evidence::E6;
        }
        let ending = Ending {
            grade,
            alert: conduct.alert.map(|a| a.code),
            end: conduct.end,
            continued: conduct.bytes[1] > 0 && defect.is_none(),
            cleartext_followed,
        };
        let result = match conduct.hindrance {
            Some(Hindrance::NoCommonGround) => TrialResult::Incompatible,
            Some(Hindrance::UpstreamDown | Hindrance::Ours) => TrialResult::None,
            _ if relayed => TrialResult::None,
            // What came in clear may be what always comes, or what could not be sent otherwise.
            _ if group.unclear() && !cleartext_followed => match classify(defect, &ending) {
                TrialResult::Accepted => TrialResult::Accepted,
                _ => TrialResult::None,
            },
            // A refusal is one if nothing could have come after it, or came again and again.
            _ if group.cut_short && defect.is_some() && !group.persists() => match classify(defect, &ending) {
                TrialResult::Rejected => TrialResult::None,
                other => other,
            },
            _ => classify(defect, &ending),
        };
        let shown = preamble::shown(&conduct.data);
        Look {
            result,
            grade,
            alert: conduct.alert.map(|a| a.code),
            alert_encrypted: conduct.alert.is_some_and(|a| a.encrypted),
            end: conduct.end,
            version: conduct.version,
            alpn: text(&conduct.alpn),
            first_bytes: (!conduct.data.is_empty()).then(|| Text::veiled(&shown, veil)),
            waited_ms: conduct.waited.as_millis() as u64,
        }
    }
}

/// Credentials in an HTTP/1 head, or anything the veil would hide.
fn carries_secret(data: &[u8], veil: &dyn Veil) -> bool {
    let head = data.split(|b| *b == b'\n').take_while(|line| line.len() > 1);
    let named = |line: &[u8]| {
        let name: Vec<u8> = line.iter().take_while(|b| **b != b':').map(u8::to_ascii_lowercase).collect();
        matches!(name.as_slice(), b"authorization" | b"proxy-authorization" | b"cookie")
    };
    let mut spans = Vec::new();
    veil.spans(data, &mut spans);
    !spans.is_empty() || head.skip(1).any(named)
}
