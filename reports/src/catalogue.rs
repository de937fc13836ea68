//! Every check and attack with its words, and every requirement, looked up by id: what reports and listings quote.

use std::collections::BTreeMap;

use analyzers::board::Demands;
use analyzers::checks::{self, Check};
use analyzers::subject::Scope;
use policies::{Attack, Class, Need, Requirement, Severity};

/// A check or an attack, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `family.name`.
    pub id: String,
    pub title: String,
    /// Markdown under fixed headings.
    pub page: String,
    pub severity: Severity,
    /// `active`, `passive`, `both`, `declared`.
    pub mode: &'static str,
    pub scope: Scope,
    /// What must have been given or seen first, in words.
    pub needs: Vec<String>,
    /// Of attacks: who can do it, what a sound device does, and whether it may harm a broken one.
    pub attack: Option<AttackWords>,
    /// Ids of the requirements it speaks to.
    pub requirements: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttackWords {
    pub class: Class,
    pub expect: String,
    /// 0 none, 1 low, 2 can change flash if the device is broken.
    pub brick_risk: u8,
}

/// The shipped catalogues, or those a test makes.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    units: BTreeMap<String, Unit>,
    requirements: Vec<Requirement>,
}

impl Catalogue {
    /// The checks that are built in, with the attacks and requirements of `demands`.
    pub fn of(demands: &Demands) -> Catalogue {
        Catalogue::new(checks::all(), &demands.attacks, demands.requirements.clone())
    }

    pub fn new(checks: &[Check], attacks: &[Attack], requirements: Vec<Requirement>) -> Catalogue {
        let mut catalogue = Catalogue { units: BTreeMap::new(), requirements: Vec::new() };
        for unit in checks.iter().map(passive).chain(attacks.iter().map(active)) {
            catalogue.units.insert(unit.id.clone(), unit);
        }
        let by_check = policies::requirement::by_check(&requirements);
        for (id, speaks_to) in by_check {
            if let Some(unit) = catalogue.units.get_mut(id) {
                unit.requirements = speaks_to.into_iter().map(str::to_owned).collect();
            }
        }
        catalogue.requirements = requirements;
        catalogue
    }

    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.get(id)
    }

    /// Passive checks, by id.
    pub fn checks(&self) -> impl Iterator<Item = &Unit> {
        self.units.values().filter(|u| u.attack.is_none())
    }

    /// Attacks, by id.
    pub fn attacks(&self) -> impl Iterator<Item = &Unit> {
        self.units.values().filter(|u| u.attack.is_some())
    }

    /// In the order of the catalogue: by standard, then as its file has them.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    pub fn requirement(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|r| r.id == id)
    }

    /// A check's title, or its id when nobody knows it (a report of another version).
    pub fn title<'a>(&'a self, id: &'a str) -> &'a str {
        self.unit(id).map_or(id, |u| &u.title)
    }
}

fn passive(check: &Check) -> Unit {
    Unit {
        id: check.id.clone(),
        title: check.title.clone(),
        page: check.page.clone(),
        severity: check.rule.severity,
        mode: check.rule.mode.word(),
        scope: check.rule.scope,
        needs: check.rule.needs.iter().map(|n| (*n).to_owned()).collect(),
        attack: None,
        requirements: Vec::new(),
    }
}

fn active(attack: &Attack) -> Unit {
    Unit {
        id: attack.id.clone(),
        title: attack.title.clone(),
        page: attack.page.clone(),
        severity: attack.severity,
        mode: "active",
        scope: Scope::Client,
        needs: attack.needs.iter().map(|n| need_words(*n).to_owned()).collect(),
        attack: Some(AttackWords { class: attack.class, expect: attack.expect.clone(), brick_risk: attack.brick_risk }),
        requirements: Vec::new(),
    }
}

fn need_words(need: Need) -> &'static str {
    match need {
        Need::LabCaTrusted => "the flawless lab chain reached application data for the same device, peer and client",
        Need::UserCaInstalled => "the lab's authority stands in the device's user store",
        Need::DeclaredPins => "a declaration of pins",
        Need::OfferedTls13 => "the client offered TLS 1.3",
        Need::OfferedTls12 => "the client offered TLS 1.2",
    }
}

/// An attack's class in the word of its file.
pub fn class_word(class: Class) -> &'static str {
    match class {
        Class::Critical => "critical",
        Class::CaAbuse => "ca-abuse",
        Class::Policy => "policy",
        Class::Robust => "robust",
    }
}

/// Whom a failure is open to, by an attack's class.
pub fn class_sentence(class: Class) -> &'static str {
    match class {
        Class::Critical => "anybody on the path can do it, without any special certificate",
        Class::CaAbuse => "it takes an odd but authentic certificate from an authority the device trusts",
        Class::Policy => "a question of policy, not an open door",
        Class::Robust => "robustness only",
    }
}

pub fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Run => "run",
        Scope::Device => "device",
        Scope::Peer => "peer",
        Scope::Client => "client",
    }
}
