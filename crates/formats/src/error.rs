//! What can be wrong with a name or with the numbers of a format.

use std::fmt;

/// A format that does not exist, or a name that names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name is not that of a number format.
    UnknownFormat,
    /// The name is not that of a rounding mode.
    UnknownRoundingMode,
    /// A number of the format is outside of what is supported.
    OutOfRange,
    /// The reserved codes do not go with the other numbers of the format.
    ReservedCodes,
}

impl Error {
    /// Which kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to write instead, if that can be guessed; also part of the message.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn out_of_range(
        what: &str,
        got: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        let message = format!("{what} {got} is out of range, expected {expected}");
        Self { kind: ErrorKind::OutOfRange, message, hint: None }
    }

    pub(crate) fn reserved_codes(message: String, hint: Option<String>) -> Self {
        Self { kind: ErrorKind::ReservedCodes, message, hint }
    }

    pub(crate) fn unknown_format(name: &str, expected: &str, hint: Option<String>) -> Self {
        let message = format!("unknown number format {name:?}, expected {expected}");
        Self { kind: ErrorKind::UnknownFormat, message, hint }
    }

    /// Says in which name the number stands.
    pub(crate) fn about(self, name: &str) -> Self {
        Self { message: format!("number format {name:?}: {}", self.message), ..self }
    }

    pub(crate) fn unknown_rounding_mode(name: &str) -> Self {
        let message = format!(
            "unknown rounding mode {name:?}, expected ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP or HALF_DOWN"
        );
        Self { kind: ErrorKind::UnknownRoundingMode, message, hint: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
