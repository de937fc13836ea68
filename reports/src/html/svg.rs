//! The two drawings of the page: what happened when, and what was read of it. Plain shapes, no script; each says in words what it shows.

use std::fmt::Write as _;

use askama::filters::{Escaper, Html};
use policies::Time;

use crate::json::{CoverageBytes, Report};
use crate::timeline::Lane;
use crate::words;

const WIDTH: f64 = 1000.0;
/// Where lanes begin, right of their names.
const LEFT: f64 = 84.0;
const LANE: f64 = 46.0;
const GAP: f64 = 12.0;
const EVENTS: f64 = 26.0;
/// Event windows drawn; a page cannot show more.
const WINDOWS: usize = 60;

/// Bars over time, a lane for each kind; event windows behind them. Empty when nothing has a time.
pub(crate) fn timeline(report: &Report) -> String {
    let timeline = &report.aside.timeline;
    let Some((from, to)) = timeline.span() else { return String::new() };
    let steps = timeline.steps().max(1);
    let step = (WIDTH - LEFT) / steps as f64;
    let x = |at: Time| LEFT + (at.since(from).as_secs_f64() / to.since(from).as_secs_f64().max(1e-9)).clamp(0.0, 1.0) * (WIDTH - LEFT);
    let lanes: Vec<(Lane, u64, u64)> = Lane::ALL
        .into_iter()
        .map(|lane| (lane, timeline.lane(lane).map(|(_, n)| n).max().unwrap_or(0), timeline.lane(lane).map(|(_, n)| n).sum()))
        .filter(|(_, max, _)| *max > 0)
        .collect();
    let top = if report.events.is_empty() { 6.0 } else { EVENTS };
    let bottom = top + lanes.len() as f64 * (LANE + GAP);
    let height = bottom + 20.0;
    let said: Vec<String> = lanes.iter().map(|(lane, _, sum)| format!("{} {}", words::number(*sum), lane.word())).collect();
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="tl-title tl-desc"><title id="tl-title">Timeline</title><desc id="tl-desc">From {} to {}: {}.</desc>"#,
        words::moment(from),
        words::moment(to),
        said.join(", ")
    );
    events(report, &x, bottom, &mut svg);
    for (i, (lane, max, _)) in lanes.iter().enumerate() {
        let base = top + (i as f64 + 1.0) * LANE + i as f64 * GAP;
        let class = match lane {
            Lane::Flows => "b",
            Lane::Requests => "a",
            Lane::Leaks => "d",
            Lane::Trials => "c",
        };
        let _ = write!(svg, r#"<text x="0" y="{base:.1}">{}</text>"#, lane.word());
        let _ = write!(svg, r#"<line class="rule" x1="{LEFT}" x2="{WIDTH}" y1="{base:.1}" y2="{base:.1}"/>"#);
        for (index, n) in timeline.lane(*lane) {
            let tall = (n as f64 / *max as f64 * (LANE - 8.0)).max(2.0);
            let at = Time(from.0.saturating_add((index as i64).saturating_mul(timeline.width())));
            let left = LEFT + index as f64 * step;
            let wide = (step * 0.86).max(1.0);
            let y = base - tall;
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{left:.2}" y="{y:.2}" width="{wide:.2}" height="{tall:.2}" rx="1"><title>{} {}: {}</title></rect>"#,
                words::clock(at),
                lane.word(),
                words::number(n)
            );
        }
    }
    let _ = write!(
        svg,
        r#"<text x="{LEFT}" y="{y:.1}">{}</text><text x="{WIDTH}" y="{y:.1}" text-anchor="end">{}</text></svg>"#,
        words::moment(from),
        words::moment(to),
        y = height - 4.0
    );
    svg
}

/// Windows from start to end, single moments as lines; names stand above where there is room.
fn events(report: &Report, x: &dyn Fn(Time) -> f64, bottom: f64, svg: &mut String) {
    use analyzers::observation::Phase;
    let mut named_to = 0.0_f64;
    for (i, event) in report.events.iter().enumerate().take(WINDOWS) {
        let left = x(event.at);
        let kind = escaped(event.kind.as_str());
        match event.phase {
            Phase::Start => {
                let end = report.events.iter().skip(i).find(|e| e.phase == Phase::End && e.kind == event.kind);
                let right = end.map_or(WIDTH, |e| x(e.at));
                let wide = (right - left).max(2.0);
                let _ = write!(
                    svg,
                    r#"<rect class="window" x="{left:.2}" y="4" width="{wide:.2}" height="{h:.1}"><title>{kind}</title></rect>"#,
                    h = bottom - 4.0
                );
            }
            Phase::At => {
                let _ =
                    write!(svg, r#"<line class="mark" x1="{left:.2}" x2="{left:.2}" y1="4" y2="{bottom:.1}"><title>{kind}</title></line>"#);
            }
            Phase::End => continue,
        }
        let short: String = event.kind.as_str().chars().take(24).collect();
        if left >= named_to && left < WIDTH - 40.0 {
            named_to = left + 14.0 + short.chars().count() as f64 * 6.6;
            let _ = write!(svg, r#"<text x="{:.2}" y="17">{}</text>"#, left + 5.0, escaped(&short));
        }
    }
}

/// One bar of all payload bytes by what became of them.
pub(crate) fn coverage(bytes: &CoverageBytes) -> String {
    let total = bytes.total();
    if total == 0 {
        return String::new();
    }
    let parts = parts(bytes);
    let said: Vec<String> = parts.iter().map(|(_, label, n)| format!("{} {label}", words::percent(*n, total))).collect();
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} 22" role="img" aria-labelledby="cv-title cv-desc"><title id="cv-title">Coverage of {}</title><desc id="cv-desc">{}.</desc>"#,
        words::bytes(total),
        said.join(", ")
    );
    let mut at = 0.0;
    for (class, label, n) in parts {
        if n > 0 {
            // What is not nothing stays visible.
            let wide = (n as f64 / total as f64 * WIDTH).max(3.0).min(WIDTH - at);
            let _ = write!(svg, r#"<rect class="{class}" x="{at:.2}" y="0" width="{wide:.2}" height="22"><title>{label}</title></rect>"#);
            at += wide;
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Class, words and bytes of each part of the coverage.
pub(crate) fn parts(bytes: &CoverageBytes) -> [(&'static str, &'static str, u64); 4] {
    [
        ("a", "read", bytes.analysed),
        ("b", "encrypted, not opened", bytes.encrypted),
        ("c", "clear, not understood", bytes.unparsed),
        ("d", "missing", bytes.missed),
    ]
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a String does not fail.
    let _ = Html.write_escaped_str(&mut out, text);
    out
}
