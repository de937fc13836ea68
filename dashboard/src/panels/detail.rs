//! Detail: one finding with what was expected and observed, its lines, both chains, and the check's page; or one line of the journal.
//!
//! ```text
//! ┌ cert.self-signed ─────────────────────────────┐┌ What the check does ───────────────────┐
//! │ ✗F fail · critical · api.shop.test:443 d1 c-… ││ What it does                           │
//! │ expected  …                                   ││ …                                      │
//! │ observed  …                                   ││                                        │
//! │ Evidence: 3 lines                             ││                                        │
//! │   31 10:00:04 trial  #2 …                     ││                                        │
//! │ Chains    presented           ≠ good          ││                                        │
//! └───────────────────────────────────────────────┘└────────────────────────────────────────┘
//! ```
//!
//! Below 140 columns the page stands under the finding and both scroll as one.

use analyzers::encode::Digest;
use analyzers::observation::Certificate;
use analyzers::text::Text;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Shown};
use crate::describe::short;
use crate::findings::FindingRow;
use crate::look::{Look, Tone};
use crate::screen::Chains;
use crate::snapshot::Snapshot;
use crate::table;
use crate::words;

const WIDE_FROM: u16 = 140;

type Lines = Vec<Line<'static>>;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, snapshot: &Snapshot) {
    if let Some(Shown::Line(n)) = app.shown {
        let width = usize::from(area.width.saturating_sub(4));
        return draw_text(frame, area, app, &format!("Line {n}"), of_line(app.look, snapshot, n, width));
    }
    let Some(finding) = app.finding(snapshot).and_then(|key| snapshot.findings.find(key)) else {
        let words = if app.shown.is_some() { " this finding is no longer among those kept" } else { " nothing judged yet" };
        return draw_text(frame, area, app, "Detail", vec![Line::from(words)]);
    };
    let look = app.look;
    if area.width < WIDE_FROM {
        let width = usize::from(area.width.saturating_sub(4));
        let mut lines = of_finding(look, snapshot, finding, width);
        lines.push(Line::default());
        lines.extend(page(look, snapshot, &finding.check, width));
        return draw_text(frame, area, app, &finding.check, lines);
    }
    let [left, right] = Layout::horizontal([Constraint::Percentage(58), Constraint::Percentage(42)]).areas(area);
    let facts = of_finding(look, snapshot, finding, usize::from(left.width.saturating_sub(4)));
    let page = page(look, snapshot, &finding.check, usize::from(right.width.saturating_sub(4)));
    // Both scroll together; each stops at its own end.
    draw_text(frame, left, app, &finding.check, facts);
    let furthest = app.furthest;
    draw_text(frame, right, app, "The check", page);
    app.furthest = app.furthest.max(furthest);
}

fn draw_text(frame: &mut Frame<'_>, area: Rect, app: &mut App, title: &str, lines: Lines) {
    let mut block = table::block(app.look, title);
    let room = usize::from(block.inner(area).height);
    app.page = room.saturating_sub(1);
    app.furthest = lines.len().saturating_sub(room);
    let scroll = app.scroll.min(app.furthest);
    if app.furthest > 0 {
        let more = format!(" {}-{} of {} lines ", scroll + 1, (scroll + room).min(lines.len()), lines.len());
        block = block.title_bottom(Line::from(more).right_aligned());
    }
    frame.render_widget(Paragraph::new(lines).scroll((scroll as u16, 0)).block(block), area);
}

fn of_finding(look: Look, snapshot: &Snapshot, finding: &FindingRow, width: usize) -> Lines {
    let mut out = vec![Line::from(vec![
        Span::styled(format!(" {} {}", finding.mark.sign(), finding.mark.word()), look.style(finding.mark.tone())),
        Span::raw(format!(" · {} · {}", finding.severity, if finding.active { "active" } else { "passive" })),
    ])];
    let mut put = |label: &str, text: &str| out.extend(labelled(look, label, text, width));
    put("title", snapshot.title(&finding.check));
    put("subject", &finding.subject.to_string());
    put("caused by", &finding.actor);
    if !finding.expected.is_empty() {
        put("expected", &finding.expected);
    }
    if !finding.observed.is_empty() {
        put("observed", &finding.observed);
    }
    if let Some(reason) = finding.reason {
        put("reason", &format!("{}: {}", reason.word(), reason.sentence()));
    }
    if let Some(waived) = &finding.waived {
        put("waived", waived);
    }
    out.extend(evidence(look, snapshot, finding, width));
    if finding.active
        && let Some((trial, chains)) = snapshot.chains(finding)
    {
        out.push(Line::default());
        let flows = trial.trial.flows.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        out.push(head(look, &format!("Chain of trial #{} ({flows})", trial.trial.n)));
        out.extend(side_by_side(look, snapshot, chains, width));
    }
    out
}

fn evidence(look: Look, snapshot: &Snapshot, finding: &FindingRow, width: usize) -> Lines {
    if finding.evidence.is_empty() {
        return Vec::new();
    }
    let more = finding.evidence_total.saturating_sub(finding.evidence.len() as u64);
    let more = if more > 0 { format!(", the first {} of them", finding.evidence.len()) } else { String::new() };
    let mut out = vec![Line::default(), head(look, &format!("Evidence: {}{more}", words::plural(finding.evidence_total, "line")))];
    for n in &finding.evidence {
        let text = match snapshot.line(*n) {
            None => "(no longer on the screen; it is in journal.jsonl)".to_owned(),
            Some(row) => {
                let flow = row.flow.map(|f| format!("{f} ")).unwrap_or_default();
                let frame = row.frame.map(|f| format!("frame {f} ")).unwrap_or_default();
                format!("{} {flow}{frame}{} {}", words::clock(row.at), row.word, row.text)
            }
        };
        for (i, part) in words::wrap(&text, width.saturating_sub(9)).into_iter().enumerate() {
            let number = if i == 0 { format!(" {n:>7} ") } else { " ".repeat(9) };
            out.push(Line::from(vec![Span::styled(number, look.style(Tone::Faint)), Span::raw(part)]));
        }
    }
    out
}

/// Both chains, certificate by certificate; what differs is marked.
fn side_by_side(look: Look, snapshot: &Snapshot, chains: &Chains, width: usize) -> Lines {
    const LABEL: usize = 10;
    let each = width.saturating_sub(LABEL + 4) / 2;
    let row = |label: &str, left: &str, sign: &str, right: &str, tone: Tone| {
        Line::from(vec![
            Span::styled(format!(" {}", words::cell(label, LABEL)), look.style(Tone::Key)),
            Span::styled(words::cell(left, each), look.style(tone)),
            Span::styled(format!(" {sign} "), look.style(tone)),
            Span::raw(words::cell(right, each)),
        ])
    };
    let control = snapshot.control_of(chains);
    let (beside, good) = control.map_or(("the real server's", &chains.honest[..]), |control| ("the controls'", control));
    let mut out = vec![row("", "presented", " ", beside, Tone::Head)];
    for i in 0..chains.presented.len().max(good.len()) {
        let (left, right) = (chains.presented.get(i), good.get(i));
        let (shown, good) = (fields(snapshot, left), fields(snapshot, right));
        for ((label, a), (_, b)) in shown.iter().zip(&good) {
            // Few certificates have them.
            if matches!(*label, "purposes" | "critical") && a.is_empty() && b.is_empty() {
                continue;
            }
            // Digests of twins differ whatever the defect is.
            let differs = a != b && *label != "sha256" && [a, b].iter().all(|v| !v.is_empty() && !v.starts_with('('));
            let (sign, tone) = if differs { ("≠", Tone::Warn) } else { (" ", Tone::Plain) };
            out.push(row(label, a, sign, b, tone));
        }
    }
    out
}

fn fields(snapshot: &Snapshot, digest: Option<&Digest>) -> [(&'static str, String); 11] {
    const LABELS: [&str; 11] =
        ["sha256", "subject", "names", "issuer", "from", "until", "key", "signature", "authority", "purposes", "critical"];
    let mut values: [String; 11] = Default::default();
    match digest {
        None => "(none)".clone_into(&mut values[0]),
        Some(digest) => {
            values[0] = short(digest);
            match snapshot.certificate(digest) {
                None => "(content not seen)".clone_into(&mut values[1]),
                Some(it) => of_certificate(it, &mut values),
            }
        }
    }
    let mut values = values.into_iter();
    LABELS.map(|label| (label, values.next().unwrap_or_default()))
}

fn of_certificate(it: &Certificate, values: &mut [String; 11]) {
    values[1] = it.subject.to_string();
    values[2] = it.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    values[3] = it.issuer.to_string();
    values[4] = it.not_before.map(words::date).unwrap_or_default();
    values[5] = it.not_after.map(words::date).unwrap_or_default();
    values[6] = it.key.to_string();
    values[7] = it.signature.to_string();
    if it.ca { "yes" } else { "no" }.clone_into(&mut values[8]);
    let listed = |texts: &[Text]| texts.iter().map(Text::as_str).collect::<Vec<_>>().join(" ");
    values[9] = listed(&it.purposes);
    values[10] = listed(&it.critical);
}

fn of_line(look: Look, snapshot: &Snapshot, n: u64, width: usize) -> Lines {
    let Some(row) = snapshot.line(n) else { return vec![Line::from(" no longer on the screen; it is in journal.jsonl")] };
    let mut out = Vec::new();
    let mut put = |label: &str, text: &str| out.extend(labelled(look, label, text, width));
    put("time", &row.at.to_string());
    put("kind", row.word);
    if let Some(flow) = row.flow {
        put("flow", &flow.to_string());
    }
    if let Some(frame) = row.frame {
        put("frame", &frame.to_string());
    }
    put("what", &row.text);
    out.push(Line::default());
    out.push(head(look, "Cited by"));
    let citing: Vec<_> = snapshot.citing(n).collect();
    if citing.is_empty() {
        out.push(Line::from(" no finding among its first lines"));
    }
    for finding in citing {
        let text = format!("{} · {}", finding.check, finding.subject);
        let sign = format!(" {} {:<13} ", finding.mark.sign(), finding.mark.word());
        let rest = width.saturating_sub(sign.chars().count());
        out.push(Line::from(vec![Span::styled(sign, look.style(finding.mark.tone())), Span::raw(words::fit(&text, rest))]));
    }
    out
}

/// The check's page: its headings, its paragraphs filled to the width.
fn page(look: Look, snapshot: &Snapshot, check: &str, width: usize) -> Lines {
    let Some(page) = snapshot.page(check) else { return vec![Line::from(" no page")] };
    let mut out = Vec::new();
    let mut paragraph = String::new();
    let flush = |paragraph: &mut String, out: &mut Lines| {
        if !paragraph.is_empty() {
            out.extend(words::wrap(&std::mem::take(paragraph), width).into_iter().map(|l| Line::from(format!(" {l}"))));
        }
    };
    for line in page.page.lines() {
        let line = line.trim_end();
        let begins = line.starts_with("- ") || line.starts_with("* ") || line.starts_with('|');
        if line.is_empty() || line.starts_with('#') || begins {
            flush(&mut paragraph, &mut out);
        }
        if let Some(heading) = line.strip_prefix('#') {
            out.push(head(look, heading.trim_start_matches('#').trim()));
        } else if line.is_empty() {
            if out.last().is_some_and(|l| l.width() > 0) {
                out.push(Line::default());
            }
        } else {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line.trim_start());
        }
    }
    flush(&mut paragraph, &mut out);
    if let Some(expect) = &page.expect {
        out.push(Line::default());
        out.push(head(look, "What a sound device does"));
        out.extend(words::wrap(expect, width).into_iter().map(|l| Line::from(format!(" {l}"))));
    }
    out
}

fn head(look: Look, words: &str) -> Line<'static> {
    Line::from(Span::styled(format!(" {words}"), look.style(Tone::Title)))
}

fn labelled(look: Look, label: &str, text: &str, width: usize) -> Lines {
    const LABEL: usize = 10;
    let parts = words::wrap(text, width.saturating_sub(LABEL + 1));
    let line = |(i, part): (usize, String)| {
        let label = if i == 0 { label } else { "" };
        Line::from(vec![Span::styled(format!(" {}", words::cell(label, LABEL)), look.style(Tone::Key)), Span::raw(part)])
    };
    parts.into_iter().enumerate().map(line).collect()
}
