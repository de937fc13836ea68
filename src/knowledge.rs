//! What the operator knows and demands, read from files: policy, persona, declaration, events, actors.

use std::path::Path;
use std::sync::Arc;

use analyzers::board::Demands;
use analyzers::encode::{Digest, hex};
use analyzers::leak::{Budget, Engine, Found, Seed};
use analyzers::observation::{Event, Observation, Planted};
use analyzers::pipeline::{Told, Window};
use analyzers::text::{Text, Veil};
use policies::{ActorRow, Declaration, EventRow, Persona, Policy, Problem, Time, When};

use crate::cli;
use crate::fault::Fault;
use crate::private;
use crate::run::Folder;

/// Everything that shapes a run beside its traffic.
pub(crate) struct Knowledge {
    pub(crate) policy_text: String,
    pub(crate) declaration_text: Option<String>,
    pub(crate) persona: Option<Persona>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) demands: Arc<Demands>,
}

impl Knowledge {
    /// Reads the files named; `default` is the policy without one.
    pub(crate) fn read(args: &cli::Knowledge, default: impl FnOnce() -> Policy, default_text: &str) -> Result<Knowledge, Fault> {
        Knowledge::with(args, default, default_text, None)
    }

    /// The same, with a persona's text for when none is named.
    pub(crate) fn with(
        args: &cli::Knowledge,
        default: impl FnOnce() -> Policy,
        default_text: &str,
        planted: Option<&str>,
    ) -> Result<Knowledge, Fault> {
        let (policy, policy_text) = match &args.policy {
            Some(path) => {
                let text = read(path)?;
                let policy = Policy::parse(&path.display().to_string(), &text)?;
                known_checks(&policy, path, &text)?;
                (policy, text)
            }
            None => (default(), default_text.to_owned()),
        };
        let persona = match &args.persona {
            Some(path) => Some(Persona::parse(&path.display().to_string(), &read(path)?)?),
            None => planted.map(|text| Persona::parse("built-in persona", text)).transpose()?,
        };
        let declaration_text = args.declaration.as_deref().map(read).transpose()?;
        let declaration = match (&args.declaration, &declaration_text) {
            (Some(path), Some(text)) => Some(Declaration::parse(&path.display().to_string(), text)?),
            _ => None,
        };
        let key = private::project_key(args.project_key.as_deref())?;
        let seeds =
            persona.iter().flat_map(|p| &p.values).map(|v| Seed { name: v.name.clone(), kind: v.kind, value: v.value.reveal().to_owned() });
        let engine = Arc::new(Engine::new(seeds, &key));
        let demands = Arc::new(demands(policy, declaration));
        let known = Knowledge { policy_text, declaration_text, persona, engine, demands };
        // Both are kept in the run as they are.
        known.free_of_planted("the policy", &known.policy_text)?;
        known.free_of_planted("the declaration", known.declaration_text.as_deref().unwrap_or_default())?;
        Ok(known)
    }

    /// Refuses a text that would be kept as it is and says a planted value.
    fn free_of_planted(&self, what: &str, text: &str) -> Result<(), Fault> {
        let mut planted = None;
        let peeled = self.engine.peel(text.as_bytes(), None, Budget::DEEP, &mut |found: Found| planted = planted.take().or(found.seed));
        match planted {
            Some(name) => Err(Fault::new(
                format!("{what} says the planted value '{name}'"),
                "it would stand unmasked in the run's folder: write it in other words",
            )),
            None if peeled.stopped.is_some() => {
                Err(Fault::new(format!("{what} cannot be searched for planted values: it codes too much"), "write it plainly"))
            }
            None => Ok(()),
        }
    }

    /// Words of the operator that may say something planted.
    pub(crate) fn veiled(&self, words: &str) -> Text {
        Text::veiled(words.as_bytes(), &*self.engine)
    }

    /// What tells this project's key from others, and nothing of it.
    pub(crate) fn project(&self) -> Text {
        project(&self.engine)
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.demands.policy
    }

    pub(crate) fn policy_sha256(&self) -> Digest {
        Digest::of(self.policy_text.as_bytes())
    }

    /// Puts what was demanded into the run's folder, so that it can be judged again.
    pub(crate) fn store(&self, folder: &Folder) -> Result<(), Fault> {
        folder.write("policy.toml", self.policy_text.as_bytes())?;
        match &self.declaration_text {
            Some(text) => folder.write("declaration.toml", text.as_bytes()),
            None => Ok(()),
        }
    }

    /// What was planted, for the journal: names, types and tokens.
    pub(crate) fn planted(&self) -> Vec<Observation> {
        // A value too short to be sought was not looked for: its absence must not count.
        let unsought: Vec<&str> = self.engine.unsought().map(Text::as_str).collect();
        let values = self.persona.iter().flat_map(|p| &p.values).filter(|v| !unsought.contains(&v.name.as_str()));
        let line = |v: &policies::PersonaValue| Planted {
            name: Text::ours(&v.name),
            kind: v.kind,
            token: Text::ours(hex(&self.engine.token(v.kind, v.value.reveal()))),
        };
        values.map(|v| line(v).into()).collect()
    }
}

/// A user's file, at most as large as any sane one.
pub(crate) fn read(path: &Path) -> Result<String, Fault> {
    use std::io::Read as _;
    const LARGEST: u64 = 64 << 20;
    let file = std::fs::File::open(path).map_err(|e| Fault::io("read", path, &e))?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|e| Fault::io("read", path, &e))?;
    Ok(text)
}

/// The shipped catalogues under a policy.
pub(crate) fn demands(policy: Policy, declaration: Option<Declaration>) -> Demands {
    Demands { policy, declaration, requirements: policies::requirement::catalogue(), attacks: policies::attack::catalogue() }
}

/// The shipped catalogues as one digest: same digest, same rules.
pub(crate) fn catalogue_sha256(demands: &Demands) -> Digest {
    let mut text = String::new();
    for check in analyzers::checks::all() {
        text.push_str(&check.id);
        text.push_str(&check.page);
    }
    for attack in &demands.attacks {
        text.push_str(&format!("{attack:?}"));
    }
    for requirement in &demands.requirements {
        text.push_str(&format!("{requirement:?}"));
    }
    Digest::of(text.as_bytes())
}

/// A waiver or an exception for a check that nobody knows would never hold, and nobody would hear of it.
pub(crate) fn known_checks(policy: &Policy, path: &Path, text: &str) -> Result<(), Fault> {
    let (attacks, requirements) = (policies::attack::catalogue(), policies::requirement::catalogue());
    let known = |pattern: &policies::IdPattern| {
        analyzers::checks::all().iter().any(|check| pattern.matches(&check.id))
            || attacks.iter().any(|attack| pattern.matches(&attack.id))
            || requirements.iter().flat_map(policies::Requirement::checks).any(|id| pattern.matches(id))
    };
    let waived = policy.waivers.iter().map(|waiver| (&waiver.check, "to waive"));
    let excused = policy.exceptions.iter().flat_map(|exception| &exception.checks).map(|check| (check, "to make an exception from"));
    match waived.chain(excused).find(|(check, _)| !known(check)) {
        None => Ok(()),
        Some((check, what)) => {
            let (file, help) = (path.display().to_string(), "see `overhear checks` and `overhear attacks`");
            let what = format!("there is no check '{check}' {what}");
            // Ids need no escapes in TOML.
            let quoted = ["\"", "'"].iter().find_map(|quote| text.find(&format!("{quote}{check}{quote}")));
            Err(vec![quoted.map_or_else(|| Problem::whole(&file, &what, help), |at| Problem::at(&file, text, at, &what, help))].into())
        }
    }
}

/// What tells the key of an engine from others, and nothing of it.
pub(crate) fn project(engine: &Engine) -> Text {
    let token = engine.token(policies::IdentifierType::Text, "the project of a run");
    Text::ours(hex(token.get(..8).unwrap_or_default()))
}

/// Devices as the operator names them; `auto` leaves it to the traffic.
pub(crate) fn told(words: &[String]) -> Result<Vec<Told>, Fault> {
    let named = words.iter().filter(|w| *w != "auto");
    named
        .map(|w| {
            Told::parse(w).ok_or_else(|| {
                Fault::new(format!("--device '{w}' is neither a MAC nor an IP address"), "e.g. 3c:07:54:aa:bb:cc or 10.0.0.7")
            })
        })
        .collect()
}

/// Hides what an event says of the planted identity.
pub(crate) fn veil(event: Event, veil: &dyn Veil) -> Event {
    let words = |text: Text| Text::veiled(text.as_str().as_bytes(), veil);
    Event { kind: words(event.kind), by: event.by.map(words), note: event.note.map(words), ..event }
}

/// Events as journal lines, and the windows they open. Rows by frame are placed when the frame's time is known: `time_of`.
pub(crate) fn events(path: &Path, engine: &Engine, time_of: &dyn Fn(u64) -> Option<Time>) -> Result<(Vec<Event>, Vec<Window>), Fault> {
    let rows = policies::events::parse(&path.display().to_string(), &read(path)?)?;
    let placed = rows.iter().map(|row| match row.when {
        When::Time(at) => Ok(veil(event(row, at), engine)),
        When::Frame(n) => time_of(n).map(|at| veil(event(row, at), engine)).ok_or_else(|| {
            let what = format!("{}:{}: the capture has no frame {n} to place the event at", path.display(), row.line);
            Fault::new(what, "frames are counted from 1, in the capture that is read")
        }),
    });
    let events: Vec<Event> = placed.collect::<Result<_, _>>()?;
    let windows = Window::pair(&events);
    Ok((events, windows))
}

fn event(row: &EventRow, at: Time) -> Event {
    let words = |s: &str| (!s.is_empty()).then(|| Text::ours(s));
    Event {
        at,
        kind: Text::ours(row.kind.as_str()),
        phase: row.phase,
        confirmed: row.confirmed,
        by: words(&row.operator),
        note: words(&row.note),
    }
}

/// Who caused what; a planted value in a package's name is hidden.
pub(crate) fn actors(path: &Path, engine: &Engine) -> Result<Vec<ActorRow>, Fault> {
    let mut rows = policies::actors::parse(&path.display().to_string(), &read(path)?)?;
    for row in &mut rows {
        let veiled = Text::veiled(row.package.as_bytes(), engine);
        veiled.as_str().clone_into(&mut row.package);
    }
    Ok(rows)
}
