//! `checks`, `attacks`, `requirements`: lists and explanations, as text, JSON and Markdown. The generated docs are these.

use std::io::{self, Write};

use policies::Requirement;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Unit, class_sentence, class_word, scope_word};
use crate::json::observable_word;
use crate::words::wrap;

/// The form of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Text,
    Json,
    Markdown,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Checks,
    Attacks,
    Requirements,
}

/// Columns of text listings: what any terminal has.
const WIDTH: usize = 80;

/// Writes the list of all.
pub fn list(catalogue: &Catalogue, subject: Subject, form: Form, out: &mut impl Write) -> io::Result<()> {
    match (subject, form) {
        (Subject::Requirements, Form::Json) => write_json(&catalogue.requirements().iter().map(requirement_json).collect(), out),
        (Subject::Requirements, Form::Text) => requirements_text(catalogue, out),
        (Subject::Requirements, Form::Markdown) => requirements_markdown(catalogue, out),
        (_, Form::Json) => write_json(&units(catalogue, subject).into_iter().map(unit_json).collect(), out),
        (_, Form::Text) => units_text(&units(catalogue, subject), out),
        (_, Form::Markdown) => units_markdown(&units(catalogue, subject), subject, out),
    }
}

/// Explains one by its id; `false` when there is none of that id.
pub fn explain(catalogue: &Catalogue, subject: Subject, id: &str, form: Form, out: &mut impl Write) -> io::Result<bool> {
    if subject == Subject::Requirements {
        let Some(requirement) = catalogue.requirement(id) else { return Ok(false) };
        match form {
            Form::Json => write_json(&requirement_json(requirement), out)?,
            Form::Markdown => requirement_markdown(requirement, out)?,
            Form::Text => requirement_text(requirement, catalogue, out)?,
        }
        return Ok(true);
    }
    let wanted = |unit: &&Unit| unit.attack.is_some() == (subject == Subject::Attacks);
    let Some(unit) = catalogue.unit(id).filter(wanted) else { return Ok(false) };
    match form {
        Form::Json => write_json(&unit_json(unit), out)?,
        Form::Markdown => unit_markdown(unit, out)?,
        Form::Text => unit_text(unit, out)?,
    }
    Ok(true)
}

/// Ids near a wrong one, for the message that says so: same family, or one contained in the other.
pub fn near<'c>(catalogue: &'c Catalogue, subject: Subject, id: &str) -> Vec<&'c str> {
    let all: Vec<&str> = match subject {
        Subject::Requirements => catalogue.requirements().iter().map(|r| r.id.as_str()).collect(),
        _ => units(catalogue, subject).into_iter().map(|u| u.id.as_str()).collect(),
    };
    let family = id.split(['.', '/']).next().unwrap_or(id);
    let fits =
        |other: &&str| !id.is_empty() && (other.contains(id) || id.contains(*other) || other.split(['.', '/']).next() == Some(family));
    all.into_iter().filter(fits).take(8).collect()
}

fn units(catalogue: &Catalogue, subject: Subject) -> Vec<&Unit> {
    match subject {
        Subject::Attacks => catalogue.attacks().collect(),
        Subject::Checks | Subject::Requirements => catalogue.checks().collect(),
    }
}

fn write_json(value: &Value, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::other)?;
    out.write_all(b"\n")
}

fn unit_json(unit: &Unit) -> Value {
    let mut value = json!({
        "id": unit.id,
        "title": unit.title,
        "severity": unit.severity,
        "mode": unit.mode,
        "scope": scope_word(unit.scope),
        "needs": unit.needs,
        "requirements": unit.requirements,
        "page": unit.page,
    });
    if let (Some(attack), Some(map)) = (&unit.attack, value.as_object_mut()) {
        map.insert("class".to_owned(), class_word(attack.class).into());
        map.insert("expect".to_owned(), attack.expect.clone().into());
        map.insert("brick_risk".to_owned(), attack.brick_risk.into());
    }
    value
}

fn requirement_json(requirement: &Requirement) -> Value {
    json!({
        "id": requirement.id,
        "standard": requirement.standard,
        "version": requirement.version,
        "clause": requirement.clause_shown(),
        "title": requirement.title,
        "observable": observable(requirement),
        "level": requirement.level,
        "verified": requirement.verified,
        "strength": requirement.strength,
        "needs": requirement.needs.to_string(),
        "supports": requirement.supports,
        "note": requirement.note,
    })
}

fn observable(requirement: &Requirement) -> &'static str {
    if requirement.is_out_of_sight() { "none" } else { observable_word(requirement.observable) }
}

fn units_text(units: &[&Unit], out: &mut impl Write) -> io::Result<()> {
    let column = units.iter().map(|u| u.id.len()).max().unwrap_or(0);
    for unit in units {
        let mut lines = wrap(&unit.title, WIDTH.saturating_sub(column + 12)).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{:column$}  {:8}  {first}", unit.id, unit.severity)?;
        lines.try_for_each(|line| writeln!(out, "{:column$}  {:8}  {line}", "", ""))?;
    }
    Ok(())
}

fn unit_text(unit: &Unit, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}: {}\n", unit.id, unit.title)?;
    writeln!(out, "  severity {} · {} · judged per {}", unit.severity, unit.mode, scope_word(unit.scope))?;
    if let Some(attack) = &unit.attack {
        writeln!(out, "  class {}: {}", class_word(attack.class), class_sentence(attack.class))?;
        writeln!(out, "  expected: {}", attack.expect)?;
        writeln!(out, "  risk: {}", brick_risk(attack.brick_risk))?;
    }
    for need in &unit.needs {
        writeln!(out, "  needs: {need}")?;
    }
    if !unit.requirements.is_empty() {
        for (i, line) in wrap(&unit.requirements.join(", "), WIDTH - 15).into_iter().enumerate() {
            writeln!(out, "  {:12} {line}", if i == 0 { "speaks to:" } else { "" })?;
        }
    }
    writeln!(out)?;
    page_text(&unit.page, out)
}

/// A page without its marks; paragraphs wrap.
fn page_text(page: &str, out: &mut impl Write) -> io::Result<()> {
    let mut paragraph = String::new();
    for line in page.lines().map(str::trim).chain([""]) {
        let starts = line.is_empty() || line.starts_with('#') || line.starts_with("- ");
        if starts && !paragraph.is_empty() {
            for part in wrap(&std::mem::take(&mut paragraph), WIDTH - 2) {
                writeln!(out, "  {part}")?;
            }
            if line.is_empty() {
                writeln!(out)?;
            }
        }
        if let Some(heading) = line.strip_prefix('#') {
            writeln!(out, "{}", heading.trim_start_matches('#').trim())?;
        } else if !line.is_empty() {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(&line.replace(['`', '*'], ""));
        }
    }
    Ok(())
}

fn brick_risk(risk: u8) -> &'static str {
    match risk {
        0 => "none to the device",
        1 => "low",
        _ => "can change the flash of a broken device",
    }
}

fn units_markdown(units: &[&Unit], subject: Subject, out: &mut impl Write) -> io::Result<()> {
    let (title, about) = match subject {
        Subject::Attacks => ("Attacks", "Each is a server handshake with exactly one defect, and the active check of that id."),
        _ => ("Checks", "Passive checks: each judges what was seen, and cites the lines that prove it."),
    };
    writeln!(out, "# {title}\n\n{GENERATED}\n\n{about}\n")?;
    writeln!(out, "| id | severity | per | title |\n|---|---|---|---|")?;
    for unit in units {
        writeln!(
            out,
            "| [{0}](#{1}) | {2} | {3} | {4} |",
            unit.id,
            anchor(&unit.id),
            unit.severity,
            scope_word(unit.scope),
            cell(&unit.title)
        )?;
    }
    for unit in units {
        writeln!(out)?;
        unit_markdown(unit, out)?;
    }
    Ok(())
}

const GENERATED: &str = "<!-- Generated from the catalogue's own words by `UPDATE=1 cargo test`; edits here are lost. -->";

fn unit_markdown(unit: &Unit, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## {}\n\n**{}.**", unit.id, unit.title.trim_end_matches('.'))?;
    writeln!(out, "Severity {}, {}, judged per {}.", unit.severity, unit.mode, scope_word(unit.scope))?;
    if let Some(attack) = &unit.attack {
        writeln!(
            out,
            "Class {}: {}. Expected: {}. Risk: {}.",
            class_word(attack.class),
            class_sentence(attack.class),
            attack.expect.trim_end_matches('.'),
            brick_risk(attack.brick_risk)
        )?;
    }
    if !unit.needs.is_empty() {
        writeln!(out, "Needs: {}.", unit.needs.join("; "))?;
    }
    if !unit.requirements.is_empty() {
        let ids: Vec<String> = unit.requirements.iter().map(|id| format!("`{id}`")).collect();
        writeln!(out, "Speaks to {}.", ids.join(", "))?;
    }
    writeln!(out)?;
    // The page's headings go under the check's own.
    for line in unit.page.lines() {
        match line.strip_prefix('#') {
            Some(heading) => writeln!(out, "### {}", heading.trim_start_matches('#').trim())?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

fn requirements_text(catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    let mut standard = "";
    for r in catalogue.requirements() {
        if r.standard != standard {
            writeln!(out, "{}{} {}", if standard.is_empty() { "" } else { "\n" }, r.standard, r.version)?;
            standard = &r.standard;
        }
        let mut lines = wrap(&r.title, WIDTH - 35).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "  {:20}  {:8}  {first}", r.id, observable(r))?;
        lines.try_for_each(|line| writeln!(out, "  {:20}  {:8}  {line}", "", ""))?;
    }
    Ok(())
}

fn requirement_text(r: &Requirement, catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}: {}\n", r.id, r.title)?;
    writeln!(out, "  {} {}, {}", r.standard, r.version, r.clause_shown())?;
    writeln!(out, "  {}", strength_sentence(r))?;
    if !r.note.is_empty() {
        wrap(&r.note, WIDTH - 2).into_iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    for (word, ids) in [("needs", r.needs.checks()), ("supported by", r.supports.iter().map(String::as_str).collect())] {
        for id in ids {
            match catalogue.unit(id) {
                Some(unit) => writeln!(out, "  {word}: {id} ({})", unit.title)?,
                None => writeln!(out, "  {word}: {id} (not built yet)")?,
            }
        }
    }
    Ok(())
}

fn strength_sentence(r: &Requirement) -> String {
    if r.is_out_of_sight() {
        return "not observable on the network: no check speaks to it".to_owned();
    }
    let strength = match r.strength {
        policies::Strength::Decides => "its checks decide it",
        policies::Strength::RefutesOnly => "a failure refutes it; without one there is no indication of failure, never a pass",
    };
    format!("{}: {strength}", observable(r))
}

fn requirements_markdown(catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "# Requirements\n\n{GENERATED}\n")?;
    writeln!(out, "Titles are in our own words, never those of a standard. *none* = not observable on the network.")?;
    let mut standard = String::new();
    for r in catalogue.requirements() {
        let head = format!("{} {}", r.standard, r.version);
        if head != standard {
            writeln!(
                out,
                "\n## {head}\n\n| id | clause | observable | strength | title | needs | supported by |\n|---|---|---|---|---|---|---|"
            )?;
            standard = head;
        }
        let strength = if r.strength == policies::Strength::Decides { "decides" } else { "refutes only" };
        writeln!(
            out,
            "| {} | {} | {} | {strength} | {} | {} | {} |",
            r.id,
            cell(&r.clause_shown()),
            observable(r),
            cell(&r.title),
            if r.needs.is_empty() { String::new() } else { r.needs.to_string() },
            r.supports.join(", ")
        )?;
    }
    Ok(())
}

fn requirement_markdown(r: &Requirement, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## {}\n\n**{}.**\n{} {}, {}. {}.\n", r.id, r.title, r.standard, r.version, r.clause_shown(), strength_sentence(r))?;
    if !r.note.is_empty() {
        writeln!(out, "{}\n", r.note)?;
    }
    if !r.needs.is_empty() {
        writeln!(out, "Needs {}.", r.needs)?;
    }
    if !r.supports.is_empty() {
        writeln!(out, "Supported by {}.", r.supports.join(", "))?;
    }
    Ok(())
}

/// What a heading's link is called by common renderers.
fn anchor(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>().to_ascii_lowercase()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lists_and_explains() {
        let demands = fixture::demands();
        let catalogue = fixture::catalogue(&demands);
        let mut all = String::new();
        for form in [Form::Text, Form::Markdown, Form::Json] {
            for subject in [Subject::Attacks, Subject::Requirements] {
                all.push_str(&text(|out| {
                    writeln!(out, "==== {subject:?} {form:?}").unwrap();
                    list(&catalogue, subject, form, out).unwrap();
                }));
            }
        }
        all.push_str("==== explained\n");
        all.push_str(&text(|out| assert!(explain(&catalogue, Subject::Attacks, "cert.expired", Form::Text, out).unwrap())));
        all.push_str(&text(|out| assert!(explain(&catalogue, Subject::Requirements, "ts2/FTP", Form::Text, out).unwrap())));
        fixture::golden("tests/golden/listings.txt", &all);
    }

    #[test]
    fn knows_what_it_does_not_know() {
        let demands = fixture::demands();
        let catalogue = fixture::catalogue(&demands);
        let none = |subject, id| text(|out| assert!(!explain(&catalogue, subject, id, Form::Text, out).unwrap()));
        assert_eq!(none(Subject::Checks, "cert.expired") + &none(Subject::Attacks, "cert.none") + &none(Subject::Requirements, "x"), "");
        assert_eq!(near(&catalogue, Subject::Attacks, "cert.expird"), ["cert.expired", "cert.self-signed"]);
    }

    /// The shipped words in every form: nothing panics, and every id is there.
    #[test]
    fn the_shipped_checks_are_listed() {
        let catalogue = Catalogue::new(analyzers::checks::all(), &[], Vec::new());
        for form in [Form::Text, Form::Json, Form::Markdown] {
            let listed = text(|out| list(&catalogue, Subject::Checks, form, out).unwrap());
            assert!(analyzers::checks::all().iter().all(|c| listed.contains(&c.id)));
        }
    }
}
