//! `checks`, `attacks`, `requirements`: list them, or explain one.

use policies::Policy;
use reports::catalogue::Catalogue;
use reports::listing::{self, Format};

use crate::cli::{List, ListFormat};
use crate::fault::Fault;
use crate::{knowledge, render};

fn catalogue() -> Catalogue {
    Catalogue::of(&knowledge::demands(Policy::default_analyze(), None))
}

fn format(args: &List) -> Format {
    match args.format {
        ListFormat::Text => Format::Text,
        ListFormat::Json => Format::Json,
        ListFormat::Markdown => Format::Markdown,
    }
}

type Lister = fn(&Catalogue, Option<&str>, Format) -> Option<String>;

fn list(args: &List, what: &str, lister: Lister) -> Result<u8, Fault> {
    match lister(&catalogue(), args.id.as_deref(), format(args)) {
        Some(text) => render::print(text.as_bytes()).map(|()| 0),
        None => Err(Fault::new(
            format!("there is no {what} '{}'", args.id.as_deref().unwrap_or_default().escape_debug()),
            format!("`overhear {what}s` lists them"),
        )),
    }
}

pub(crate) fn checks(args: &List) -> Result<u8, Fault> {
    list(args, "check", listing::checks)
}

pub(crate) fn attacks(args: &List) -> Result<u8, Fault> {
    list(args, "attack", listing::attacks)
}

pub(crate) fn requirements(args: &List) -> Result<u8, Fault> {
    list(args, "requirement", listing::requirements)
}
