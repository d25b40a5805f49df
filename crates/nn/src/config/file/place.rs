//! Where something is in a file, and errors that say so.

use std::path::Path;

use crate::error::{Error, ErrorKind};

/// A text and the file that it is from.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub text: &'a str,
    pub file: &'a Path,
}

impl Place<'_> {
    pub fn error(
        self,
        line: Option<usize>,
        problem: impl Into<String>,
        suggestion: Option<String>,
    ) -> Error {
        Error::new(ErrorKind::Description {
            file: self.file.to_owned(),
            line,
            problem: problem.into(),
            suggestion,
        })
    }

    /// The line, from 1, that gives a key its value, begins its table, or else mentions it.
    pub fn line_of(self, key: &str) -> Option<usize> {
        let lines = || self.text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let gives = |line: &str| {
            let before = line.split(['=', ':']).next().unwrap_or_default();
            words(before).next_back() == Some(key)
        };
        let place = lines().position(|line| line.contains(['=', ':']) && gives(line));
        let place = place.or_else(|| lines().position(|line| words(line).any(|word| word == key)));
        place.map(|line| line + 1)
    }

    /// The line, from 1, of a byte.
    pub fn line_at(self, byte: usize) -> usize {
        let before = self.text.get(..byte).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    /// Says where the field is that a network cannot have.
    pub fn of_field(self, error: &Error) -> Error {
        match error.kind() {
            ErrorKind::InvalidConfig { field, .. } => {
                self.error(self.line_of(field), error.to_string(), None)
            }
            _ => self.error(None, error.to_string(), None),
        }
    }
}

/// The words that keys are made of.
fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let part_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    text.split(move |c: char| !part_of_word(c)).filter(|word| !word.is_empty())
}

/// `did you mean widths?`, if a known word is near.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&lower, &known.to_lowercase());
    let near = known.into_iter().map(|known| (likeness(known), known));
    let near = near.filter(|(likeness, _)| *likeness > 0.7);
    let best = near.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    Some(format!("did you mean {}?", best.1))
}
