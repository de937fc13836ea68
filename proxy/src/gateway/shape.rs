//! What makes requests in clear alike.

use crate::preamble;

/// So much of a kind is kept.
const LONGEST_SHAPE: usize = 96;
/// Longer segments of a path with a digit in them are identifiers, and longer first words are none.
const LONGEST_NAME: usize = 12;
const LONGEST_WORD: usize = 16;

/// What makes requests in clear alike: method and path, without its parameters, and with a sign for what changes; of other text its first word.
pub(super) fn shape(bytes: &[u8]) -> String {
    let Some((method, target)) = preamble::request_line(bytes) else {
        let word = bytes.iter().take(LONGEST_WORD).take_while(|b| b.is_ascii_alphabetic()).count();
        let ends = bytes.get(word).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b':' | b'=' | b',' | b';'));
        let word = bytes.get(..word).filter(|word| word.len() > 1 && ends).unwrap_or_default();
        return format!("bytes {}", String::from_utf8_lossy(word)).trim_end().to_owned();
    };
    let path = target.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
    let parts: Vec<String> = path.split(|b| *b == b'/').map(constant).collect();
    let mut out = format!("{} {}", String::from_utf8_lossy(method), parts.join("/"));
    if let Some((at, _)) = out.char_indices().nth(LONGEST_SHAPE) {
        out.truncate(at);
    }
    out
}

/// What stays of a segment of a path: all but a number in a short one, nothing of one that mixes letters and digits or is long.
fn constant(part: &[u8]) -> String {
    let mut out = String::new();
    let mut numbers = 0;
    for run in part.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        if run.first().is_some_and(u8::is_ascii_digit) {
            numbers += 1;
            out.push('#');
        } else {
            out.push_str(&String::from_utf8_lossy(run));
        }
    }
    if numbers > 1 || numbers == 1 && part.len() > LONGEST_NAME { "#".to_owned() } else { out }
}
