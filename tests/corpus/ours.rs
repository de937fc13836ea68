//! Reads a capture as `overhear analyze` does, in process, and keeps what is compared.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use analyzers::board::{Board, Demands};
use analyzers::flow::FlowId;
use analyzers::journal::Line;
use analyzers::keys::{Keys, Secret};
use analyzers::leak::Engine;
use analyzers::observation::{Flow, Observation};
use analyzers::pipeline::{Pipeline, Tools};
use analyzers::reading::Reading;
use analyzers::scribe::{Briefing, Desk, Scribe};
use analyzers::sealed::Value;
use analyzers::text::{Text, Veil};
use policies::Policy;
use reports::rows::{Row, Table};
use reports::tables::{Tabled, Tables};

/// A row of MANIFEST.toml.
#[derive(serde::Deserialize)]
pub(crate) struct Capture {
    /// `pcap/NAME`, then the name alone.
    #[serde(rename = "file")]
    pub(crate) name: String,
    pub(crate) truth: String,
    #[serde(default)]
    pub(crate) expected: Vec<String>,
    #[serde(default)]
    pub(crate) keys: String,
}

/// All captures, in name order.
pub(crate) fn manifest(dir: &Path) -> Vec<Capture> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        capture: Vec<Capture>,
    }
    let text = std::fs::read_to_string(dir.join("MANIFEST.toml")).unwrap();
    let mut all = toml::from_str::<Manifest>(&text).unwrap().capture;
    for one in &mut all {
        one.name = one.name.trim_start_matches("pcap/").to_owned();
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What a run said of a capture.
pub(crate) struct Seen {
    pub(crate) packets: u64,
    /// Facts, with the flow they are of and its end points (`a>b`) once it has closed.
    pub(crate) facts: Vec<(u64, Option<FlowId>, Observation)>,
    pub(crate) ends: BTreeMap<FlowId, String>,
    /// Tokens in hexadecimal, and values: they leave this process in no form.
    pub(crate) values: Vec<(String, Vec<u8>)>,
    pub(crate) tabled: Tabled,
}

impl Seen {
    /// End points of a flow.
    pub(crate) fn of(&self, flow: Option<FlowId>) -> Option<&str> {
        self.ends.get(&flow?).map(String::as_str)
    }
}

/// Rows past the limits of the tables go nowhere.
type Hook = fn(Table, Row<'_>);

struct Notes {
    readings: (Board, Tables<Hook>),
    n: u64,
    facts: Vec<(u64, Option<FlowId>, Observation)>,
    ends: BTreeMap<FlowId, String>,
    values: Vec<(String, Vec<u8>)>,
}

impl Notes {
    fn take(&mut self, mut line: Line) {
        self.n += 1;
        line.n = self.n;
        self.readings.line(&line);
        match line.seen {
            Observation::Flow(Flow { a, b, .. }) => {
                if let Some(flow) = line.flow {
                    self.ends.insert(flow, format!("{}>{}", end(a), end(b)));
                }
            }
            seen @ (Observation::Hello(_)
            | Observation::Served(_)
            | Observation::Certificate(_)
            | Observation::Reaction(_)
            | Observation::Request(_)
            | Observation::Question(_)
            | Observation::Announcement(_)
            | Observation::Hit(_)) => self.facts.push((line.frame.unwrap_or(0), line.flow, seen)),
            _ => {}
        }
    }
}

/// Without the brackets of IPv6, as the truth has it.
fn end(it: std::net::SocketAddr) -> String {
    format!("{}:{}", it.ip(), it.port())
}

impl Desk for Notes {
    fn line(&mut self, line: Line) {
        self.take(line);
    }

    fn sealed(&mut self, _: Option<FlowId>, value: Value) {
        self.values.push((analyzers::encode::hex(&value.token), value.bytes));
    }
}

/// An engine that knows shapes and no planted value.
pub(crate) fn bare() -> Arc<Engine> {
    static BARE: LazyLock<Arc<Engine>> = LazyLock::new(|| Arc::new(Engine::bare(&[7; 32])));
    Arc::clone(&BARE)
}

/// Secrets of the key file that the manifest names.
pub(crate) fn keys(dir: &Path, capture: &Capture) -> Vec<Secret> {
    if capture.keys.is_empty() {
        return Vec::new();
    }
    captures::keylog::parse(&std::fs::read(dir.join(&capture.keys)).unwrap()).secrets
}

pub(crate) fn read(dir: &Path, capture: &Capture, engine: &Arc<Engine>) -> Result<Seen, String> {
    let bytes = std::fs::read(dir.join("pcap").join(&capture.name)).unwrap();
    read_bytes(&bytes, keys(dir, capture), engine)
}

/// Reads a capture in memory; why it is not one, else.
pub(crate) fn read_bytes(bytes: &[u8], mut secrets: Vec<Secret>, engine: &Arc<Engine>) -> Result<Seen, String> {
    static DEMANDS: LazyLock<Arc<Demands>> = LazyLock::new(|| {
        let (requirements, attacks) = (policies::requirement::catalogue(), policies::attack::catalogue());
        Arc::new(Demands { policy: Policy::default_analyze(), declaration: None, requirements, attacks })
    });
    // A section header, the same in both byte orders: only a bare pcapng is walked for its secrets beforehand.
    let secrets_known = bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]);
    if secrets_known {
        secrets.extend(captures::scan::secrets(&mut Cursor::new(bytes)).map_err(|e| e.to_string())?);
    }
    let given = secrets.len() as u64;
    let mut keys = Keys::default();
    for secret in secrets {
        keys.insert(secret);
    }
    let veil = Arc::clone(engine) as Arc<dyn Veil>;
    let tools = Arc::new(Tools { veil, keys: Arc::new(keys), engine: Some(Arc::clone(engine)), ..Tools::default() });
    let mut scribe = Scribe::new(Briefing::default());
    let hook: Hook = |_, _| {};
    let readings = (Board::new(Arc::clone(&DEMANDS)), Tables::streaming(reports::tables::Limits::default(), hook));
    let mut notes = Notes { readings, n: 0, facts: Vec::new(), ends: BTreeMap::new(), values: Vec::new() };
    let options = captures::Options {
        secrets: if secrets_known { captures::Known::All } else { captures::Known::None },
        ..captures::Options::default()
    };
    let pipeline = |_| Pipeline::new(Arc::clone(&tools));
    let report = captures::analyse(bytes, &options, pipeline, &mut |out| scribe.take(out, &mut notes), &mut |_| {});
    let report = report.map_err(|e| e.to_string())?;
    let at = report.input.last.unwrap_or_default();
    let input = report.line(Text::ours("capture"), None, given);
    for seen in [input.into(), scribe.ledger().into()] {
        notes.take(Line { n: 0, at, frame: None, flow: None, subject: None, seen });
    }
    let (_, tabled) = notes.readings.end();
    Ok(Seen { packets: report.input.packets, facts: notes.facts, ends: notes.ends, values: notes.values, tabled })
}
