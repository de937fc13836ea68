//! How things look: a table of verdict marks and a table of tones, each with what stands for the colour where there is none.

use analyzers::board::Finding;
use analyzers::outcome::{Outcome, Verdict};
use ratatui::style::{Color, Modifier, Style};

/// A check's answer as the screen shows it, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    Fail,
    Error,
    Undecided,
    Waived,
    Pass,
    NotTested,
    NotApplicable,
}

struct Shape {
    mark: Mark,
    /// Glyph and letter: each alone tells the marks apart.
    sign: &'static str,
    word: &'static str,
    tone: Tone,
}

const MARKS: [Shape; 7] = [
    Shape { mark: Mark::Fail, sign: "✗F", word: "fail", tone: Tone::Bad },
    Shape { mark: Mark::Error, sign: "!E", word: "error", tone: Tone::Alarm },
    Shape { mark: Mark::Undecided, sign: "?U", word: "undecided", tone: Tone::Warn },
    Shape { mark: Mark::Waived, sign: "~W", word: "fail (waived)", tone: Tone::Warn },
    Shape { mark: Mark::Pass, sign: "✓P", word: "pass", tone: Tone::Good },
    Shape { mark: Mark::NotTested, sign: "·t", word: "not tested", tone: Tone::Faint },
    Shape { mark: Mark::NotApplicable, sign: "-a", word: "not applicable", tone: Tone::Faint },
];

impl Mark {
    pub const COUNT: usize = MARKS.len();

    pub fn all() -> impl Iterator<Item = Mark> {
        MARKS.iter().map(|s| s.mark)
    }

    pub fn of(finding: &Finding) -> Mark {
        match &finding.outcome {
            Outcome::Judged(j) => match j.verdict {
                Verdict::Fail if finding.waived.is_some() => Mark::Waived,
                Verdict::Fail => Mark::Fail,
                Verdict::Pass => Mark::Pass,
                Verdict::Inconclusive => Mark::Undecided,
            },
            Outcome::NotTested(_) => Mark::NotTested,
            Outcome::NotApplicable(_) => Mark::NotApplicable,
            Outcome::Error(_) => Mark::Error,
        }
    }

    fn shape(self) -> &'static Shape {
        &MARKS[self as usize]
    }

    pub fn sign(self) -> &'static str {
        self.shape().sign
    }

    pub fn word(self) -> &'static str {
        self.shape().word
    }

    pub(crate) fn tone(self) -> Tone {
        self.shape().tone
    }
}

/// What a piece of text is, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Title,
    Head,
    Good,
    Warn,
    Bad,
    Alarm,
    Faint,
    Chosen,
    Key,
}

/// Tone, colour, and the modifier that remains without colour.
const TONES: [(Tone, Color, Modifier); 10] = [
    (Tone::Plain, Color::Reset, Modifier::empty()),
    (Tone::Title, Color::Cyan, Modifier::BOLD),
    (Tone::Head, Color::Reset, Modifier::UNDERLINED),
    (Tone::Good, Color::Green, Modifier::empty()),
    (Tone::Warn, Color::Yellow, Modifier::empty()),
    (Tone::Bad, Color::Red, Modifier::BOLD),
    (Tone::Alarm, Color::Magenta, Modifier::BOLD),
    (Tone::Faint, Color::DarkGray, Modifier::DIM),
    (Tone::Chosen, Color::Reset, Modifier::REVERSED),
    (Tone::Key, Color::Cyan, Modifier::BOLD),
];

/// Whether colours are used; everything is told by words and signs as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
}

impl Look {
    pub const COLOUR: Look = Look { colour: true };
    pub const PLAIN: Look = Look { colour: false };

    /// No colour where `NO_COLOR` is set and not empty (<https://no-color.org>), or the terminal is `dumb`.
    pub fn from_env() -> Look {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Look { colour: !no_color && !dumb }
    }

    pub(crate) fn style(self, tone: Tone) -> Style {
        let (_, colour, modifier) = TONES[tone as usize];
        let style = Style::new().add_modifier(modifier);
        if !self.colour || colour == Color::Reset {
            return style;
        }
        // Dim on top of dark grey is unreadable on many terminals.
        style.fg(colour).remove_modifier(Modifier::DIM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_enums() {
        for (i, shape) in MARKS.iter().enumerate() {
            assert_eq!(shape.mark as usize, i);
        }
        for (i, (tone, ..)) in TONES.iter().enumerate() {
            assert_eq!(*tone as usize, i);
        }
    }

    #[test]
    fn glyphs_and_letters_each_tell_the_marks_apart() {
        for (i, a) in MARKS.iter().enumerate() {
            for b in &MARKS[i + 1..] {
                assert!(a.sign.chars().zip(b.sign.chars()).all(|(x, y)| x != y), "{} and {}", a.word, b.word);
            }
        }
    }
}
