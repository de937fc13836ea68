//! Colour for a terminal, or none.

use policies::Severity;

/// Paints words, if the place they go to can show it (`NO_COLOR` and non-terminals cannot; the caller knows).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    #[default]
    Plain,
    Colour,
}

/// What a word means; colours are chosen here only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Head,
    Fail,
    Worst,
    Warn,
    Good,
    Quiet,
}

impl Ink {
    pub fn of(severity: Severity) -> Ink {
        match severity {
            Severity::Critical => Ink::Worst,
            Severity::High => Ink::Fail,
            Severity::Medium => Ink::Warn,
            Severity::Low | Severity::Info => Ink::Quiet,
        }
    }

    /// Select Graphic Rendition of the 16-colour palette, so that the reader's own theme decides.
    fn code(self) -> &'static str {
        match self {
            Ink::Head => "1",
            Ink::Fail => "31",
            Ink::Worst => "1;31",
            Ink::Warn => "33",
            Ink::Good => "32",
            Ink::Quiet => "2",
        }
    }
}

impl Paint {
    pub fn word(self, ink: Ink, word: &str) -> String {
        match self {
            Paint::Plain => word.to_owned(),
            Paint::Colour => format!("\x1b[{}m{word}\x1b[0m", ink.code()),
        }
    }
}
