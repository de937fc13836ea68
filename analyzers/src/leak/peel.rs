//! The search through a whole message: undo what codes it, layer by layer, and look into each.
//!
//! Decoders are applied where their signs stand (a percent sign before two hex digits, a run of base64, the first bytes of a
//! compressed stream), so a layer is usually a small piece of the one above. Layers are worked off breadth first under a
//! [`Budget`]; each knows its way back to the message, so every find has a place in the original bytes and a chain that says
//! how it was coded.

mod resolve;

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use encoding_rs::Encoding;
use policies::IdentifierType as Kind;

use super::Engine;
use super::budget::{Budget, FLOOR, Stop};
use super::charset::{self, Charsets};
use super::clean::Purpose;
use super::coding::{Coding, Unsigned};
use super::fields::Fields;
use super::found::{Found, Secret};
use super::geo;
use super::regions;
use super::shapes;
use super::signs::Signs;
use super::table::Hit;
use super::undo::{Map, Packed};
use crate::observation::Grade;
use crate::text::Text;

/// What is known of a find before it is told how it was coded and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Where in the message.
    pub span: Range<u64>,
    pub grade: Grade,
    pub token: [u8; 16],
    /// A number that stands for how it was coded.
    pub coding: u64,
    mask: Text,
    planted: Option<u32>,
}

/// One number for the steps of a chain, the sum of one for each: those of two chains behind each other add up. The same value in plain and coded,
/// or coded in two ways, are two facts. In which field it stood tells none apart, and a part of a name is the lesser word for that name.
pub(crate) fn coding<'a>(steps: impl Iterator<Item = &'a str>) -> u64 {
    use std::hash::BuildHasher;
    let one = foldhash::fast::FixedState::default();
    let tells = |step: &&str| !step.starts_with("json:") && !step.starts_with("part-of-") && !matches!(*step, "given-name" | "family-name");
    steps.filter(tells).fold(0, |sum, step| sum.wrapping_add(one.hash_one(step)))
}

/// Takes finds, in the order of their place.
pub trait Finds {
    /// Whether this was found before and needs no telling again: most finds in a long capture are.
    fn again(&mut self, _glance: &Glance) -> bool {
        false
    }

    fn found(&mut self, found: Found);
}

impl<F: FnMut(Found)> Finds for F {
    fn found(&mut self, found: Found) {
        self(found);
    }
}

/// How far a search through a message went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peeled {
    pub layers: usize,
    /// Decoded bytes searched, beside the message itself.
    pub output: usize,
    pub finds: usize,
    /// Something was left undone: that nothing was found in it is not known.
    pub stopped: Option<Stop>,
}

/// One piece of decoded bytes.
struct Layer<'m> {
    bytes: Cow<'m, [u8]>,
    /// The layer it was coded in, and where; none for the message itself.
    from: Option<(usize, Range<usize>)>,
    map: Map,
    coding: Coding,
    depth: u8,
    fields: Option<Fields>,
    charsets: Charsets,
}

/// A find in a layer.
struct Spotted {
    layer: usize,
    span: Range<usize>,
    kind: Kind,
    what: What,
    key: Option<Range<usize>>,
    detail: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum What {
    /// The meaning of a needle.
    Planted(u32),
    /// A planted position.
    Place(u32),
    /// Words of a planted name beside each other, surely together or not.
    Name(u32, bool),
    Shape,
}

impl Engine {
    /// Seeks planted values and shapes in a whole message, through everything that codes them.
    ///
    /// `packed` is the compression the message declares, if it is still on. Finds come in the order of their place.
    pub fn peel(&self, message: &[u8], packed: Option<Packed>, budget: Budget, sink: &mut dyn Finds) -> Peeled {
        self.peel_for(Aim::All, message, packed, budget, sink)
    }

    /// The same for a message of a capture, unless its bytes were searched before and nothing was found.
    pub fn peel_once(&self, message: &[u8], sink: &mut dyn Finds) -> Peeled {
        self.once(Aim::All, message, sink)
    }

    /// The same for planted values alone.
    pub fn peel_planted(&self, message: &[u8], sink: &mut dyn Finds) -> Peeled {
        self.once(Aim::Planted { scanned: false }, message, sink)
    }

    /// The same for what is coded in a message that [`Engine::scan`] searched, and for planted values that what stands beside them tells.
    pub fn peel_coded(&self, message: &[u8], sink: &mut dyn Finds) -> Peeled {
        self.once(Aim::Coded, message, sink)
    }

    fn once(&self, aim: Aim, message: &[u8], sink: &mut dyn Finds) -> Peeled {
        let mark = self.clean.mark(aim.purpose(), message);
        if mark.is_some_and(|mark| self.clean.has(mark)) {
            return Peeled::default();
        }
        let peeled = self.peel_for(aim, message, None, Budget::MESSAGE, sink);
        if let Some(mark) = mark
            && peeled.finds == 0
            && peeled.stopped.is_none()
        {
            self.clean.keep(mark);
        }
        peeled
    }

    /// Planted values in the text of a message that was searched as it is, and declares this character set.
    pub fn peel_in(&self, message: &[u8], charset: &'static Encoding, sink: &mut dyn Finds) -> Peeled {
        let mut work = Work::new(self, Budget::MESSAGE, message, Aim::Planted { scanned: true });
        work.layers.iter_mut().for_each(|root| root.charsets.push(charset));
        work.done(None, sink)
    }

    fn peel_for(&self, aim: Aim, message: &[u8], packed: Option<Packed>, budget: Budget, sink: &mut dyn Finds) -> Peeled {
        Work::new(self, budget, message, aim).done(packed, sink)
    }

    /// Where a text holds what must not be shown, with its mask; `None`: it could not be searched to the end.
    pub(super) fn hide(&self, text: &[u8]) -> Option<Vec<(Range<usize>, Text)>> {
        self.hide_for(Aim::Hide { shapes: true }, text)
    }

    /// The same for planted values alone.
    pub(super) fn hide_planted(&self, text: &[u8]) -> Option<Vec<(Range<usize>, Text)>> {
        self.hide_for(Aim::Hide { shapes: false }, text)
    }

    fn hide_for(&self, aim: Aim, text: &[u8]) -> Option<Vec<(Range<usize>, Text)>> {
        let mut work = Work::new(self, Budget::TEXT, text, aim);
        let peeled = work.run(None);
        if peeled.stopped.is_some() {
            return None;
        }
        let hidden = work.spotted.iter().map(|spotted| (work.root(spotted.layer, &spotted.span), work.mask(spotted).0));
        Some(hidden.collect())
    }
}

/// What a search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// Report what is personal.
    All,
    /// The same, but of shapes those of the decoded layers only.
    Coded,
    /// Hide whatever may be; or of that what may be planted.
    Hide { shapes: bool },
    /// Report planted values; with `scanned`, of the decoded layers only.
    Planted { scanned: bool },
}

impl Aim {
    fn purpose(self) -> Purpose {
        match self {
            Aim::All => Purpose::All,
            Aim::Coded => Purpose::Coded,
            Aim::Hide { shapes: true } => Purpose::Hide,
            Aim::Hide { shapes: false } => Purpose::HidePlanted,
            Aim::Planted { scanned: false } => Purpose::Planted,
            Aim::Planted { scanned: true } => Purpose::Decoded,
        }
    }
}

/// A search under way.
struct Work<'a> {
    engine: &'a Engine,
    budget: Budget,
    /// In the order they are worked off.
    layers: Vec<Layer<'a>>,
    /// Decoded content by place, so that nothing is searched twice.
    known: HashSet<u64, foldhash::fast::FixedState>,
    spotted: Vec<Spotted>,
    /// How many of them are shapes.
    shapes: usize,
    output: usize,
    stopped: Option<Stop>,
    aim: Aim,
}

/// More finds than this in one message, and more shapes, are not kept apart: telling apart is quadratic, and a thousand say enough.
const MOST_FINDS: usize = 1024;
/// So many words of names are looked around: a message of nothing else is hostile.
const MOST_LEADS: usize = 8 * MOST_FINDS;

impl<'a> Work<'a> {
    fn new(engine: &'a Engine, budget: Budget, message: &'a [u8], aim: Aim) -> Work<'a> {
        let root = Layer {
            bytes: Cow::Borrowed(message),
            from: None,
            map: Map::default(),
            coding: Coding::None,
            depth: 0,
            fields: None,
            charsets: Charsets::new(),
        };
        // However large the budget, a small message cannot ask for all of it: no amplification by small hostile packets.
        let output = budget.output.min(FLOOR + message.len().saturating_mul(budget.ratio));
        Work {
            engine,
            budget: Budget { output, ..budget },
            layers: vec![root],
            known: HashSet::default(),
            spotted: Vec::new(),
            shapes: 0,
            output: 0,
            stopped: None,
            aim,
        }
    }

    /// Searches, and hands out what was found.
    fn done(mut self, packed: Option<Packed>, sink: &mut dyn Finds) -> Peeled {
        let peeled = self.run(packed);
        let mut finds: Vec<(Glance, Spotted)> = self.resolve().into_iter().map(|spotted| (self.glance(&spotted), spotted)).collect();
        finds.sort_by_key(|(glance, spotted)| (glance.span.start, glance.span.end, spotted.kind, glance.planted, spotted.layer));
        let peeled = Peeled { finds: finds.len(), ..peeled };
        for (glance, spotted) in finds {
            if !sink.again(&glance)
                && let Some(found) = self.found(&spotted, &glance)
            {
                sink.found(found);
            }
        }
        peeled
    }

    fn run(&mut self, packed: Option<Packed>) -> Peeled {
        let mut declared = packed;
        let mut at = 0;
        while let Some(layer) = self.layers.get_mut(at) {
            let bytes = std::mem::take(&mut layer.bytes);
            let signs = Signs::of(&bytes);
            self.look(at, &bytes, signs);
            self.undo(at, &bytes, signs, declared.take());
            if let Some(layer) = self.layers.get_mut(at) {
                layer.bytes = bytes;
            }
            at += 1;
        }
        Peeled { layers: self.layers.len() - 1, output: self.output, finds: 0, stopped: self.stopped }
    }

    /// Searches one layer as it is.
    fn look(&mut self, at: usize, bytes: &[u8], signs: Signs) {
        let engine = self.engine;
        let first = self.spotted.len();
        let (mut hits, mut names, mut leads) = (Vec::new(), Vec::new(), 0);
        let scanned = at == 0 && (self.aim == Aim::Planted { scanned: true } || self.aim == Aim::Coded && regions::binary(bytes));
        let hide = matches!(self.aim, Aim::Hide { .. });
        let mut keep = |Hit { id, span }: Hit| {
            let Some(meaning) = engine.meanings.get(id as usize) else { return };
            if let Some(name) = meaning.name.and_then(|name| engine.names.get(name as usize)) {
                leads += 1;
                if leads <= MOST_LEADS
                    && names.len() < MOST_FINDS
                    && let Some((span, sure)) = name.around(bytes, &span)
                {
                    names.push((span, What::Name(name.seed, sure)));
                }
            }
            // What may be part of a value is hidden.
            if !meaning.mute && hits.len() < MOST_FINDS && (hide || meaning.agrees(bytes, &span)) {
                hits.push((meaning.reach(bytes, span), What::Planted(id)));
            }
        };
        // What a stream is made of is not looked around: its search would cost as much again.
        if !scanned {
            if hide { engine.table.find_in_any_case(bytes, &mut keep) } else { engine.table.find(bytes, &mut keep) }
        }
        if leads > MOST_LEADS {
            self.stopped = self.stopped.or(Some(Stop::Finds));
        }
        names.retain(|(span, _)| !hits.iter().any(|(hit, _)| hit == span));
        for (span, what) in hits.into_iter().chain(names) {
            let seed = match what {
                What::Planted(id) => self.seed(id),
                What::Name(seed, _) => Some(seed),
                What::Place(_) | What::Shape => None,
            };
            let Some(planted) = seed.and_then(|seed| engine.planted(seed)) else { continue };
            self.spotted.push(Spotted { layer: at, span, kind: planted.kind, what, key: None, detail: None });
        }
        let places = if signs.has(Signs::DIGIT) { &engine.places[..] } else { &[] };
        shapes::positions(bytes, places, &mut |place, span, detail| {
            self.spotted.push(Spotted { layer: at, span, kind: Kind::Position, what: What::Place(place), key: None, detail: Some(detail) });
        });
        geo::positions(bytes, signs, &engine.places, &mut |place, span, detail| {
            self.spotted.push(Spotted { layer: at, span, kind: Kind::Position, what: What::Place(place), key: None, detail: Some(detail) });
        });
        if self.spotted.len() - self.shapes >= MOST_FINDS {
            self.spotted.truncate(MOST_FINDS + self.shapes);
            self.stopped = self.stopped.or(Some(Stop::Finds));
        }
        let planted = self.spotted.len();
        let eager = self.aim == Aim::Hide { shapes: true };
        if eager || self.aim == Aim::All || self.aim == Aim::Coded && at > 0 {
            shapes::find(bytes, signs, eager, &mut |shape| {
                let hidden = self.spotted[first..planted].iter().any(|p| p.span.start < shape.span.end && shape.span.start < p.span.end);
                if self.shapes < MOST_FINDS && (!hidden || eager) {
                    self.shapes += 1;
                    self.spotted.push(Spotted {
                        layer: at,
                        span: shape.span,
                        kind: shape.kind,
                        what: What::Shape,
                        key: shape.key,
                        detail: shape.detail,
                    });
                }
            });
        }
        if self.shapes >= MOST_FINDS {
            self.stopped = self.stopped.or(Some(Stop::Finds));
        }
    }

    /// Undoes what codes one layer, or parts of it.
    fn undo(&mut self, at: usize, bytes: &[u8], signs: Signs, declared: Option<Packed>) {
        let Some(layer) = self.layers.get(at) else { return };
        let (depth, unsigned) = (layer.depth, Unsigned::of(layer.coding));
        let (budget, mut output, mut layers) = (self.budget, self.output, self.layers.len());
        let charsets = charset::of_layer(layer.coding, &layer.charsets, bytes, signs);
        let mut found = Vec::new();
        let mut stopped = None;
        let mut known = std::mem::take(&mut self.known);
        let mut accept = |region: Range<usize>, coding: Coding, undone: super::undo::Undone| {
            if undone.cut {
                stopped = Some(Stop::Ratio);
            }
            let origin = self.root(at, &region);
            let content = self.engine.hasher.hash_one((&undone.bytes, origin.start, origin.end));
            if undone.bytes.len() < super::table::SHORTEST || !known.insert(content) {
                return true;
            }
            if depth >= budget.depth {
                stopped = Some(Stop::Depth);
            } else if layers >= budget.layers {
                stopped = Some(Stop::Layers);
            } else if output + undone.bytes.len() > budget.output {
                stopped = Some(Stop::Output);
            } else {
                output += undone.bytes.len();
                layers += 1;
                found.push(Layer {
                    bytes: Cow::Owned(undone.bytes),
                    from: Some((at, region)),
                    map: undone.map,
                    coding,
                    depth: depth + 1,
                    fields: None,
                    charsets: charsets.clone(),
                });
                return true;
            }
            false
        };
        let room = budget.output.saturating_sub(self.output);
        let all = regions::find(bytes, signs, declared, unsigned, budget.ratio, room, &mut accept);
        for charset in &charsets {
            if let Some(undone) = charset::undo(charset, bytes, signs) {
                accept(0..bytes.len(), Coding::Charset(charset), undone);
            }
        }
        self.known = known;
        self.stopped = self.stopped.or(stopped).or(if all { None } else { Some(Stop::Layers) });
        self.output = output;
        self.layers.append(&mut found);
    }

    /// The span of the message that a span of a layer was coded in.
    fn root(&self, layer: usize, span: &Range<usize>) -> Range<usize> {
        let (mut layer, mut span) = (layer, span.clone());
        while let Some((from, region)) = self.layers.get(layer).and_then(|l| l.from.as_ref()) {
            let within = self.layers[layer].map.back(&span);
            span = region.start + within.start..(region.start + within.end).min(region.end);
            layer = *from;
        }
        span
    }

    /// The layers from the message to this one.
    fn lineage(&self, layer: usize) -> Vec<usize> {
        let mut out = vec![layer];
        while let Some((from, _)) = out.last().and_then(|l| self.layers.get(*l)).and_then(|l| l.from.as_ref()) {
            out.push(*from);
        }
        out.reverse();
        out
    }

    fn seed(&self, needle: u32) -> Option<u32> {
        self.engine.meanings.get(needle as usize).map(|m| m.seed)
    }

    fn needle_steps(&self, spotted: &Spotted) -> usize {
        match spotted.what {
            What::Planted(id) => self.engine.meanings.get(id as usize).map_or(0, |m| m.chain.len() + usize::from(m.partial)),
            What::Name(_, sure) => usize::from(!sure),
            What::Place(_) | What::Shape => 0,
        }
    }

    fn value(&self, spotted: &Spotted) -> &[u8] {
        self.layers.get(spotted.layer).and_then(|l| l.bytes.get(spotted.span.clone())).unwrap_or_default()
    }

    /// The planted value a find is.
    fn planted(&self, spotted: &Spotted) -> Option<u32> {
        match spotted.what {
            What::Planted(id) => self.seed(id),
            What::Place(place) => self.engine.places.get(place as usize).map(|p| p.seed),
            What::Name(seed, _) => Some(seed),
            What::Shape => None,
        }
    }

    fn mask(&self, spotted: &Spotted) -> (Text, [u8; 16]) {
        if let Some(planted) = self.planted(spotted).and_then(|seed| self.engine.planted(seed)) {
            return (planted.mask.clone(), planted.token);
        }
        let token = self.engine.token(spotted.kind, &String::from_utf8_lossy(self.value(spotted)));
        (super::mask(spotted.kind, &token), token)
    }

    fn glance(&self, spotted: &Spotted) -> Glance {
        let root = self.root(spotted.layer, &spotted.span);
        let (mask, token) = self.mask(spotted);
        let whole = match spotted.what {
            What::Planted(id) => self.engine.meanings.get(id as usize).is_some_and(|meaning| !meaning.partial),
            What::Place(_) => true,
            What::Name(_, sure) => sure,
            What::Shape => false,
        };
        let grade = if whole { Grade::Proof } else { Grade::Structural };
        let lineage = self.lineage(spotted.layer);
        let undone = lineage.iter().filter_map(|at| self.layers.get(*at).filter(|layer| layer.from.is_some())?.coding.word());
        let form: &[Text] = match spotted.what {
            What::Planted(id) => self.engine.meanings.get(id as usize).map_or(&[], |meaning| &meaning.chain),
            _ => &[],
        };
        let coding = coding(undone.chain(form.iter().map(Text::as_str)));
        Glance { span: root.start as u64..root.end as u64, grade, token, coding, mask, planted: self.planted(spotted) }
    }

    fn found(&mut self, spotted: &Spotted, glance: &Glance) -> Option<Found> {
        let (chain, key) = self.chain(spotted);
        let (seed, value) = match glance.planted {
            Some(planted) => {
                let planted = self.engine.planted(planted)?;
                (Some(planted.name.clone()), planted.value.clone())
            }
            None => (None, Secret::new(self.value(spotted))),
        };
        let Glance { span, grade, token, mask, .. } = glance.clone();
        Some(Found { kind: spotted.kind, seed, grade, chain, span, key, mask, token, detail: spotted.detail, value })
    }

    /// Fields are read where something was found, and once.
    fn name_fields(&mut self, layer: usize) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.fields.get_or_insert_with(|| Fields::read(&layer.bytes));
        }
    }

    /// How a find was coded, from the message inward, and the name of the field that holds it.
    fn chain(&mut self, spotted: &Spotted) -> (Arc<[Text]>, Option<Text>) {
        let mut steps: Vec<Text> = Vec::new();
        let mut key = None;
        let lineage = self.lineage(spotted.layer);
        for (n, at) in lineage.iter().enumerate() {
            self.name_fields(*at);
            let Some(layer) = self.layers.get(*at) else { continue };
            if let Some(word) = layer.coding.word()
                && layer.from.is_some()
            {
                steps.push(Text::ours(word));
            }
            // Where in this layer the next one, or the find itself, stands.
            let next = lineage.get(n + 1).and_then(|next| self.layers.get(*next));
            let span = next.and_then(|next| next.from.as_ref()).map_or(&spotted.span, |(_, region)| region);
            if let Some(fields) = &layer.fields
                && let Some(field) = fields.around(span)
            {
                key = Some(Text::veiled(fields.key(&layer.bytes, field), &super::veil::Planted(self.engine)));
                if !field.form {
                    let path = [b"json:", &fields.path(&layer.bytes, field)[..]].concat();
                    steps.push(Text::veiled(&path, &super::veil::Planted(self.engine)));
                }
            }
        }
        // A JSON path already says that its string was unescaped.
        let words: Vec<Text> = steps
            .iter()
            .enumerate()
            .filter(|(n, step)| {
                !(**step == "json" && n.checked_sub(1).and_then(|p| steps.get(p)).is_some_and(|p| p.as_str().starts_with("json:")))
            })
            .map(|(_, step)| step.clone())
            .collect();
        let mut steps = words;
        if let What::Planted(id) = spotted.what
            && let Some(meaning) = self.engine.meanings.get(id as usize)
        {
            steps.extend(meaning.chain.iter().cloned());
        }
        if let (None, Some(span), Some(layer)) = (&key, &spotted.key, self.layers.get(spotted.layer)) {
            key = layer.bytes.get(span.clone()).map(|bytes| Text::veiled(bytes, &super::veil::Planted(self.engine)));
        }
        (if steps.is_empty() { self.engine.plain.clone() } else { steps.into() }, key)
    }
}
