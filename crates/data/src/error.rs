//! What can go wrong while data is read, written, generated or fetched.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate: what happened, where, and what would have been right.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

/// The families of [`Error`], for callers that react to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to read or write.
    Io,
    /// The files of a dataset are in none of the places looked at.
    Missing,
    /// A file is not what its format demands.
    Malformed,
    /// A file is well formed, but uses something that is not supported.
    Unsupported,
    /// A name that is not known.
    UnknownName,
    /// A value given by the caller is out of its range.
    BadValue,
    /// A file differs from its pinned checksum.
    Checksum,
    /// A download failed.
    Network,
}

#[derive(Debug, thiserror::Error)]
enum Inner {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{what} not found; looked for {}", display_paths(looked))]
    Missing { what: String, looked: Vec<PathBuf>, hint: String },
    #[error("{}: {place}: found {found}, expected {expected}", file.display())]
    Malformed { file: PathBuf, place: String, found: String, expected: String },
    #[error("{}: {place}: {what} is not supported ({supported})", file.display())]
    Unsupported { file: PathBuf, place: String, what: String, supported: String },
    #[error("unknown {what} `{name}`")]
    UnknownName { what: &'static str, name: String, suggestion: Option<String>, known: String },
    #[error("{what}: found {found}, expected {expected}")]
    BadValue { what: String, found: String, expected: String },
    #[error("{}: SHA-256 is {found}, expected {expected}", file.display())]
    Checksum { file: PathBuf, found: String, expected: String },
    #[cfg(feature = "fetch")]
    #[error("{url}: {reason}")]
    Network { url: String, reason: String },
    #[cfg(feature = "fetch")]
    #[error("no mirror delivered {file}: {}", display_attempts(attempts))]
    NoMirror { file: String, attempts: Vec<Error> },
}

impl Error {
    /// Tells which family of error this is.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Inner::Io { .. } => ErrorKind::Io,
            Inner::Missing { .. } => ErrorKind::Missing,
            Inner::Malformed { .. } => ErrorKind::Malformed,
            Inner::Unsupported { .. } => ErrorKind::Unsupported,
            Inner::UnknownName { .. } => ErrorKind::UnknownName,
            Inner::BadValue { .. } => ErrorKind::BadValue,
            Inner::Checksum { .. } => ErrorKind::Checksum,
            #[cfg(feature = "fetch")]
            Inner::Network { .. } | Inner::NoMirror { .. } => ErrorKind::Network,
        }
    }

    /// Gives advice for the person in front of the program, where there is any.
    pub fn hint(&self) -> Option<String> {
        match &*self.0 {
            Inner::Missing { hint, .. } => Some(hint.clone()),
            Inner::UnknownName { suggestion: Some(suggestion), known, .. } => {
                Some(format!("did you mean `{suggestion}`? known: {known}"))
            }
            Inner::UnknownName { known, .. } => Some(format!("known: {known}")),
            Inner::Checksum { .. } => {
                Some("the file is damaged or another one; remove it and fetch it again".to_owned())
            }
            Inner::Io { .. }
            | Inner::Malformed { .. }
            | Inner::Unsupported { .. }
            | Inner::BadValue { .. } => None,
            #[cfg(feature = "fetch")]
            Inner::Network { .. } => None,
            #[cfg(feature = "fetch")]
            Inner::NoMirror { .. } => {
                Some("what has arrived is kept; the same command goes on from there".to_owned())
            }
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::new(Inner::Io { action, path: path.to_owned(), source })
    }

    pub(crate) fn malformed(
        file: &Path,
        place: impl fmt::Display,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::new(Inner::Malformed {
            file: file.to_owned(),
            place: place.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        })
    }

    pub(crate) fn unsupported(
        file: &Path,
        place: impl fmt::Display,
        what: impl fmt::Display,
        supported: impl fmt::Display,
    ) -> Self {
        Self::new(Inner::Unsupported {
            file: file.to_owned(),
            place: place.to_string(),
            what: what.to_string(),
            supported: supported.to_string(),
        })
    }

    pub(crate) fn missing(what: String, looked: Vec<PathBuf>, hint: String) -> Self {
        Self::new(Inner::Missing { what, looked, hint })
    }

    pub(crate) fn checksum(file: &Path, found: String, expected: &str) -> Self {
        let expected = expected.to_owned();
        Self::new(Inner::Checksum { file: file.to_owned(), found, expected })
    }

    /// `known` is searched for the name that was probably meant.
    pub(crate) fn unknown_name(what: &'static str, name: &str, known: &[&str]) -> Self {
        Self::new(Inner::UnknownName {
            what,
            name: name.to_owned(),
            suggestion: closest(name, known).map(str::to_owned),
            known: known.join(", "),
        })
    }

    pub(crate) fn bad_value(
        what: impl fmt::Display,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::new(Inner::BadValue {
            what: what.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        })
    }

    #[cfg(feature = "fetch")]
    pub(crate) fn network(url: &str, reason: impl fmt::Display) -> Self {
        Self::new(Inner::Network { url: url.to_owned(), reason: reason.to_string() })
    }

    #[cfg(feature = "fetch")]
    pub(crate) fn no_mirror(file: String, attempts: Vec<Self>) -> Self {
        Self::new(Inner::NoMirror { file, attempts })
    }

    fn new(inner: Inner) -> Self {
        Self(Box::new(inner))
    }
}

fn display_paths(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

#[cfg(feature = "fetch")]
fn display_attempts(attempts: &[Error]) -> String {
    let reasons: Vec<String> = attempts.iter().map(Error::to_string).collect();
    reasons.join("; ")
}

/// The known name with the smallest edit distance, if it is near enough to have been meant.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let (distance, best) = known
        .iter()
        .map(|candidate| (edit_distance(&name, &candidate.to_lowercase()), *candidate))
        .min_by_key(|&(distance, _)| distance)?;
    (distance <= 1 + best.len() / 3).then_some(best)
}

fn edit_distance(a: &str, b: &str) -> usize {
    // A name that is far longer than any known one is no typing error: do not compare all of it.
    strsim::levenshtein(&a.chars().take(64).collect::<String>(), b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_names_only() {
        let known = ["mnist", "glyphs"];
        let cases = [
            ("mnsit", Some("mnist")),
            ("MNIST", Some("mnist")),
            ("glyph", Some("glyphs")),
            ("imagenet", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(closest(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn edit_distances_by_hand() {
        let cases = [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3)];
        for (a, b, expected) in cases {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
        }
    }
}
