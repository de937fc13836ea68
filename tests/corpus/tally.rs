//! What agreed, what is out of scope, what is explained, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};

/// Why truth and we differ in a file: `tests/corpus/explained.toml`. It holds reasons, no value of any capture.
#[derive(serde::Deserialize)]
pub(crate) struct Explained {
    #[serde(default)]
    out_of_scope: Vec<Reason>,
    #[serde(default)]
    explained: Vec<Reason>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// A file, or the begin of its name and `*`.
    file: String,
    /// What differs (`sni`, `requests`, …), or `*`.
    what: String,
    why: String,
}

impl Reason {
    fn fits(&self, file: &str, what: &str) -> bool {
        let named = self.file.strip_suffix('*').map_or(self.file == file, |begin| file.starts_with(begin));
        named && (self.what == "*" || self.what == what)
    }
}

impl Explained {
    pub(crate) fn read() -> Explained {
        let read: Explained = toml::from_str(include_str!("explained.toml")).expect("explained.toml");
        for reason in read.out_of_scope.iter().chain(&read.explained) {
            assert!(!reason.why.trim().is_empty(), "explained.toml: {} {} has no reason", reason.file, reason.what);
        }
        read
    }

    /// Reasons that explained nothing.
    pub(crate) fn unused(&self, sum: &Sum) -> Vec<String> {
        let all = self.out_of_scope.iter().chain(&self.explained);
        all.filter(|r| !sum.used.contains(&(r.file.clone(), r.what.clone()))).map(|r| format!("{} {}", r.file, r.what)).collect()
    }
}

/// Counts of one kind of fact.
#[derive(Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) agreed: u64,
    pub(crate) out_of_scope: u64,
    pub(crate) explained: u64,
    pub(crate) wrong: u64,
}

/// All files together.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) counts: BTreeMap<String, Counts>,
    reasons: BTreeMap<(bool, String), u64>,
    /// `file` and `what` of the rows of explained.toml that were of use.
    used: BTreeSet<(String, String)>,
    pub(crate) wrong: Vec<String>,
    /// Found, by shape alone, of how many: leaks by type.
    pub(crate) recall: BTreeMap<String, [u64; 3]>,
}

/// One file.
pub(crate) struct Tally<'a> {
    explained: &'a Explained,
    file: &'a str,
    sum: Sum,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(explained: &'a Explained, file: &'a str) -> Tally<'a> {
        Tally { explained, file, sum: Sum::default() }
    }

    pub(crate) fn agree(&mut self, what: &str, n: u64) {
        self.sum.counts.entry(what.to_owned()).or_default().agreed += n;
    }

    /// A difference that is one of a kind: the rule is in the code that calls.
    pub(crate) fn known(&mut self, what: &str, why: &str) {
        self.sum.counts.entry(what.to_owned()).or_default().explained += 1;
        *self.sum.reasons.entry((true, why.to_owned())).or_default() += 1;
    }

    pub(crate) fn beyond(&mut self, what: &str, why: &str, n: u64) {
        self.sum.counts.entry(what.to_owned()).or_default().out_of_scope += n;
        *self.sum.reasons.entry((false, why.to_owned())).or_default() += n;
    }

    /// A difference: out of scope or explained if the table says why, else wrong.
    pub(crate) fn differ(&mut self, what: &str, detail: &str) {
        let one = |list: &'a [Reason]| list.iter().find(|r| r.fits(self.file, what));
        let (of_table, r) = match (one(&self.explained.out_of_scope), one(&self.explained.explained)) {
            (Some(r), _) => (false, r),
            (None, Some(r)) => (true, r),
            (None, None) => return self.wrong(what, detail),
        };
        self.sum.used.insert((r.file.clone(), r.what.clone()));
        if of_table { self.known(what, &r.why) } else { self.beyond(what, &r.why, 1) }
    }

    pub(crate) fn wrong(&mut self, what: &str, detail: &str) {
        self.sum.counts.entry(what.to_owned()).or_default().wrong += 1;
        self.sum.wrong.push(format!("{} {what}: {detail}", self.file));
    }

    /// Two sets that must be one.
    pub(crate) fn sets(&mut self, what: &str, place: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
        if ours == theirs {
            self.agree(what, ours.len().max(1) as u64);
        } else if ours.len() == theirs.len() && ours.iter().all(|o| theirs.iter().any(|t| masked(o, t))) {
            self.known(what, "what looks like a person's value is masked; all around it agrees");
        } else {
            self.differ(what, &format!("{place} {}", difference(ours, theirs)));
        }
    }

    pub(crate) fn leak(&mut self, kind: &str, found: bool, shaped: bool) {
        let row = self.sum.recall.entry(kind.to_owned()).or_default();
        for (n, yes) in row.iter_mut().zip([found, shaped, true]) {
            *n += u64::from(yes);
        }
    }

    pub(crate) fn done(self) -> Sum {
        self.sum
    }
}

/// One text is the other, but for what stands masked in it as `‹…›`.
pub(crate) fn masked(ours: &str, theirs: &str) -> bool {
    let (mut rest, mut first) = (theirs, true);
    for piece in ours.split('‹') {
        let literal = if first { piece } else { piece.split_once('›').map_or(piece, |(_, after)| after) };
        let at = if first { rest.starts_with(literal).then_some(0) } else { rest.find(literal) };
        let Some(at) = at else { return false };
        rest = &rest[at + literal.len()..];
        first = false;
    }
    ours == theirs || ours.contains('‹') && (rest.is_empty() || ours.ends_with('›'))
}

/// How two sets differ: in numbers, for the values are real people's; with `VALUES=1` in values.
pub(crate) fn difference(ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> String {
    let (mine, other): (Vec<_>, Vec<_>) = (ours.difference(theirs).collect(), theirs.difference(ours).collect());
    if std::env::var_os("VALUES").is_some() {
        return format!("only ours {mine:?}, only in the truth {other:?}");
    }
    format!("only ours {}, only in the truth {}, in both {}", mine.len(), other.len(), ours.intersection(theirs).count())
}

/// Adds files up.
pub(crate) fn sum(all: Vec<Sum>) -> Sum {
    let mut out = Sum::default();
    for one in all {
        for (what, c) in one.counts {
            let to = out.counts.entry(what).or_default();
            to.agreed += c.agreed;
            to.out_of_scope += c.out_of_scope;
            to.explained += c.explained;
            to.wrong += c.wrong;
        }
        for (reason, n) in one.reasons {
            *out.reasons.entry(reason).or_default() += n;
        }
        for (kind, n) in one.recall {
            let to = out.recall.entry(kind).or_default();
            for (a, b) in to.iter_mut().zip(n) {
                *a += b;
            }
        }
        out.used.extend(one.used);
        out.wrong.extend(one.wrong);
    }
    out
}

impl Sum {
    pub(crate) fn agreed(&self) -> u64 {
        self.counts.values().map(|c| c.agreed).sum()
    }

    pub(crate) fn print(&self) {
        let mut all = Counts::default();
        eprintln!("{:16} {:>7} {:>13} {:>10} {:>6}", "", "agreed", "out of scope", "explained", "wrong");
        let row = |what: &str, c: &Counts| {
            eprintln!("{what:16} {:>7} {:>13} {:>10} {:>6}", c.agreed, c.out_of_scope, c.explained, c.wrong);
        };
        for (what, c) in &self.counts {
            row(what, c);
            all.agreed += c.agreed;
            all.out_of_scope += c.out_of_scope;
            all.explained += c.explained;
            all.wrong += c.wrong;
        }
        row("all", &all);
        for (of_table, title) in [(false, "out of scope"), (true, "explained")] {
            eprintln!("{title}:");
            for ((_, why), n) in self.reasons.iter().filter(|((t, _), _)| *t == of_table) {
                eprintln!("  {n:>5}  {why}");
            }
        }
        eprintln!("recall of leaks (planted, by shape alone, of):");
        let mut total = [0; 3];
        for (kind, [found, shaped, n]) in &self.recall {
            eprintln!("  {kind:20} {found:>3} {shaped:>3} {n:>3}");
            for (a, b) in total.iter_mut().zip([found, shaped, n]) {
                *a += b;
            }
        }
        eprintln!("  {:20} {:>3} {:>3} {:>3}", "all", total[0], total[1], total[2]);
        let shown = if std::env::var_os("VALUES").is_some() { usize::MAX } else { 50 };
        for wrong in self.wrong.iter().take(shown) {
            eprintln!("WRONG {wrong}");
        }
        if self.wrong.len() > shown {
            eprintln!("WRONG and {} more", self.wrong.len() - shown);
        }
    }
}
