//! Names of fields: which member of a JSON document, or which parameter of a form, a byte stands in.

use std::ops::Range;

/// A named value in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The value without its quotes, as it stands there.
    pub(super) value: Range<usize>,
    name: Name,
    /// Holds escapes (JSON) or percent signs and `+` (form).
    pub(super) coded: bool,
    pub(super) form: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    parent: Option<u32>,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key(Range<usize>),
    Index(u32),
}

/// All fields of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) fields: Vec<Field>,
    names: Vec<Name>,
}

/// More fields than this in one message are not named; what stands in them is still searched.
const MOST_FIELDS: usize = 8192;
/// Deeper documents are not read (RFC 8259 §9 leaves the limit to the reader).
const DEEPEST: usize = 64;

impl Fields {
    /// Reads JSON where the text is JSON, parameters where it has some, and nothing else.
    pub(super) fn read(text: &[u8]) -> Fields {
        let mut out = Fields::default();
        if Fields::is_json(text) {
            out.json(text, start(text));
        } else {
            out.form(text);
        }
        out
    }

    /// Whether a text is read as JSON, by its first character.
    pub(super) fn is_json(text: &[u8]) -> bool {
        matches!(text.get(start(text)), Some(b'{' | b'['))
    }

    /// The innermost field that holds `span`.
    pub(super) fn around(&self, span: &Range<usize>) -> Option<&Field> {
        let next = self.fields.partition_point(|field| field.value.start <= span.start);
        self.fields.get(next.checked_sub(1)?).filter(|field| span.end <= field.value.end)
    }

    /// The field's own name, or that of the array it stands in.
    pub(super) fn key<'a>(&self, text: &'a [u8], field: &Field) -> &'a [u8] {
        let mut name = Some(&field.name);
        while let Some(n) = name {
            if let Part::Key(key) = &n.part {
                return text.get(key.clone()).unwrap_or_default();
            }
            name = n.parent.and_then(|p| self.names.get(p as usize));
        }
        b""
    }

    /// `$.device.ids[0].imei`, or the name of the parameter.
    pub(super) fn path(&self, text: &[u8], field: &Field) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut name = Some(&field.name);
        while let Some(n) = name {
            parts.push(&n.part);
            name = n.parent.and_then(|p| self.names.get(p as usize));
        }
        let mut out = if field.form { Vec::new() } else { b"$".to_vec() };
        for part in parts.iter().rev() {
            match part {
                Part::Key(key) => {
                    if !field.form {
                        out.push(b'.');
                    }
                    out.extend_from_slice(text.get(key.clone()).unwrap_or_default());
                }
                Part::Index(n) => out.extend_from_slice(format!("[{n}]").as_bytes()),
            }
        }
        out
    }

    fn push(&mut self, value: Range<usize>, name: Name, coded: bool, form: bool) {
        self.fields.push(Field { value, name, coded, form });
    }

    /// Walks a document as far as it is well formed enough to follow; several documents may stand one after the other.
    fn json(&mut self, text: &[u8], start: usize) {
        // What encloses the reader: `Some(i)` an array at its item i, `None` an object; and the name it has.
        let mut open: Vec<(Option<u32>, Option<u32>)> = Vec::new();
        let mut key: Option<Range<usize>> = None;
        let mut at = start;
        while let Some(&b) = text.get(at) {
            if self.fields.len() >= MOST_FIELDS || self.names.len() >= MOST_FIELDS {
                return;
            }
            match b {
                b'{' | b'[' => {
                    if open.len() >= DEEPEST {
                        return;
                    }
                    let name = self.name(&open, key.take()).map(|name| {
                        self.names.push(name);
                        self.names.len() as u32 - 1
                    });
                    open.push(((b == b'[').then_some(0), name));
                    at += 1;
                }
                b'}' | b']' => {
                    open.pop();
                    key = None;
                    at += 1;
                }
                b',' => {
                    if let Some((Some(item), _)) = open.last_mut() {
                        *item += 1;
                    }
                    key = None;
                    at += 1;
                }
                b'"' => {
                    let (end, coded) = string(text, at + 1);
                    let inside = at + 1..end;
                    at = end + 1;
                    let in_object = matches!(open.last(), Some((None, _)));
                    if in_object && key.is_none() {
                        key = Some(inside);
                    } else if let Some(name) = self.name(&open, key.take()) {
                        self.push(inside, name, coded, false);
                    }
                }
                b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.') => {
                    let len = text[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'_')).count();
                    if let Some(name) = self.name(&open, key.take()) {
                        self.push(at..at + len, name, false, false);
                    }
                    at += len;
                }
                _ => at += 1,
            }
        }
    }

    /// What a value that comes now is called: by its key, or by its place in an array.
    #[expect(clippy::unused_self, reason = "reads like the rest")]
    fn name(&self, open: &[(Option<u32>, Option<u32>)], key: Option<Range<usize>>) -> Option<Name> {
        let (item, parent) = open.last()?;
        let part = match (item, key) {
            (Some(item), _) => Part::Index(*item),
            (None, key) => Part::Key(key?),
        };
        Some(Name { parent: *parent, part })
    }

    /// Parameters `name=value` between `&` or `;`, after a `?` or `#` or from the start.
    fn form(&mut self, text: &[u8]) {
        let mut at = 0;
        while at < text.len() && self.fields.len() < MOST_FIELDS {
            let rest = &text[at..];
            let len = rest.iter().position(|b| ends_parameter(*b)).unwrap_or(rest.len());
            if let Some(value) = parameter(text, at..at + len) {
                let coded = text[value.clone()].iter().any(|b| matches!(b, b'%' | b'+'));
                let key = at..value.start - 1;
                self.push(value, Name { parent: None, part: Part::Key(key) }, coded, true);
            }
            at += len + 1;
        }
    }
}

/// Where the first character that is no space stands.
fn start(text: &[u8]) -> usize {
    text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0)
}

/// The value of the parameter that a piece between delimiters is.
fn parameter(text: &[u8], piece: Range<usize>) -> Option<Range<usize>> {
    let sign = memchr::memchr(b'=', &text[piece.clone()]).filter(|sign| (1..=LONGEST_KEY).contains(sign))?;
    Some(piece.start + sign + 1..piece.end)
}

/// Calls `take` for the value of every parameter that holds percent signs or `+`.
pub(super) fn coded_values(text: &[u8], mut take: impl FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(sign) = text.get(from..).and_then(|rest| memchr::memchr2(b'%', b'+', rest)).map(|sign| from + sign) {
        let start = text[from..sign].iter().rposition(|b| ends_parameter(*b)).map_or(from, |before| from + before + 1);
        let end = text[sign..].iter().position(|b| ends_parameter(*b)).map_or(text.len(), |after| sign + after);
        if let Some(value) = parameter(text, start..end).filter(|value| memchr::memchr2(b'%', b'+', &text[value.clone()]).is_some()) {
            take(value);
        }
        from = end + 1;
    }
}

const LONGEST_KEY: usize = 128;

fn ends_parameter(b: u8) -> bool {
    b <= b' ' || matches!(b, b'&' | b';' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\'' | 0x7f..)
}

/// Where a string ends that begins at `at`, and whether it holds escapes.
fn string(text: &[u8], mut at: usize) -> (usize, bool) {
    let mut coded = false;
    while let Some(step) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += step;
        if text[at] == b'"' {
            return (at, coded);
        }
        coded = true;
        at = (at + 2).min(text.len());
    }
    (text.len(), coded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(&str, &str)]) {
        let fields = Fields::read(text.as_bytes());
        let found: Vec<(String, &str)> = fields
            .fields
            .iter()
            .map(|f| (String::from_utf8_lossy(&fields.path(text.as_bytes(), f)).into_owned(), &text[f.value.clone()]))
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(p, v)| (p.as_str(), *v)).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn rows() {
        check(
            r#"{"device":{"id":"x","n":[1,{"a":"b"}]},"e":-1.5e3,"z":null}"#,
            &[("$.device.id", "x"), ("$.device.n[0]", "1"), ("$.device.n[1].a", "b"), ("$.e", "-1.5e3"), ("$.z", "null")],
        );
        check(r#"["a\"b","c"]"#, &[("$[0]", r#"a\"b"#), ("$[1]", "c")]);
        check(r#"{"a":"unfinished"#, &[("$.a", "unfinished")]);
        check("{\"a\":1}\n{\"a\":2}", &[("$.a", "1"), ("$.a", "2")]);
        check("imei=1&name=a+b;c=%40", &[("imei", "1"), ("name", "a+b"), ("c", "%40")]);
        check("GET /p?q=1&r= HTTP/1.1", &[("q", "1"), ("r", "")]);
        check("plain text", &[]);
        check("", &[]);
    }

    proptest::proptest! {
        #[test]
        fn coded_values_are_those_of_coded_fields(text in "([a-c=&;%+ ?]|a=%40&)*") {
            let fields = Fields::read(text.as_bytes()).fields;
            let expect: Vec<Range<usize>> = fields.into_iter().filter(|f| f.coded).map(|f| f.value).collect();
            let mut found = Vec::new();
            coded_values(text.as_bytes(), |value| found.push(value));
            proptest::prop_assert_eq!(found, expect);
        }
    }

    #[test]
    fn hostile_shapes_end() {
        Fields::read("[".repeat(100_000).as_bytes());
        Fields::read(r#"{"a":"#.repeat(50_000).as_bytes());
        Fields::read("a=b&".repeat(50_000).as_bytes());
        Fields::read(br#"{"a\"#);
        Fields::read(b"}}}}]]]],,,,::::");
    }
}
