//! `checks`, `attacks`, `requirements`: list them, or explain one.

use policies::Policy;
use reports::catalogue::Catalogue;
use reports::listing::{self, Form, Subject};

use crate::cli::{List, ListFormat};
use crate::fault::Fault;
use crate::{knowledge, render};

pub(crate) fn list(args: &List, subject: Subject) -> Result<u8, Fault> {
    let catalogue = Catalogue::of(&knowledge::demands(Policy::default_analyze(), None));
    let form = match args.format {
        ListFormat::Text => Form::Text,
        ListFormat::Json => Form::Json,
        ListFormat::Markdown => Form::Markdown,
    };
    let mut out = Vec::new();
    let cannot = |e: std::io::Error| Fault::new(format!("cannot render: {e}"), "");
    let Some(id) = &args.id else {
        listing::list(&catalogue, subject, form, &mut out).map_err(cannot)?;
        return render::print(&out).map(|()| 0);
    };
    if listing::explain(&catalogue, subject, id, form, &mut out).map_err(cannot)? {
        return render::print(&out).map(|()| 0);
    }
    for (other, command) in [(Subject::Checks, "checks"), (Subject::Attacks, "attacks"), (Subject::Requirements, "requirements")] {
        if other != subject && listing::explain(&catalogue, other, id, form, &mut Vec::new()).map_err(cannot)? {
            return Err(Fault::new(format!("'{id}' is listed elsewhere"), format!("overhear {command} {id}")));
        }
    }
    let near = listing::near(&catalogue, subject, id);
    let help = if near.is_empty() { "without an ID the command lists them all".to_owned() } else { format!("near: {}", near.join(", ")) };
    Err(Fault::new(format!("there is no '{}'", id.escape_debug()), help))
}
