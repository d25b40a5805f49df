//! What a command says when it cannot go on.

use std::fmt;

use crate::program::{Report, Verdict};

/// An error and the advice that goes with it. Its exit code is 2, or 130 after Ctrl-C; 1 if a difference was
/// found before.
#[derive(Debug)]
pub struct Failure {
    error: anyhow::Error,
    hint: Option<String>,
    cause: Cause,
    /// What was found before.
    report: Option<Box<Report>>,
}

/// Why the program stops early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Bad input or usage.
    Input,
    /// The user pressed Ctrl-C, or the system asked the program to end.
    Interrupted,
}

/// The result of every command.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// An error with a message of its own.
    pub fn new(message: impl Into<String>) -> Self {
        let error = anyhow::Error::msg(message.into());
        Self { error, hint: None, cause: Cause::Input, report: None }
    }

    /// What a command returns that was stopped by Ctrl-C.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { cause: Cause::Interrupted, ..Self::new(message) }
    }

    /// Adds advice, unless there is some already.
    pub fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// Adds what was found before this went wrong: it is told first, and a difference stays one.
    pub fn after(mut self, report: Report) -> Self {
        self.report.get_or_insert(Box::new(report));
        self
    }

    /// What was found before.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_deref()
    }

    /// The message with all its causes, one after the other.
    pub fn message(&self) -> String {
        let mut text = String::new();
        for part in self.error.chain().map(ToString::to_string) {
            // Many errors already repeat their source in their own text.
            if text.contains(&part) {
                continue;
            }
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        text
    }

    /// The advice.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        let found = self.report.as_ref().map(|report| report.verdict);
        match (self.cause, found) {
            (Cause::Interrupted, _) => 130,
            (Cause::Input, Some(Verdict::Different)) => 1,
            (Cause::Input, Some(Verdict::Good) | None) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let hint = known_hint(&error);
        Self { error, hint, cause: Cause::Input, report: None }
    }
}

/// The advice that an error of our libraries brings along.
fn known_hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<fewbit_data::Error>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<fewbit_nn::Error>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<fewbit_train::Error>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<fewbit_qonnx::Error>() {
            return error.hint();
        }
        cause.downcast_ref::<fewbit_onnx::Error>()?.hint().map(str::to_owned)
    })
}

/// Adds advice to the error of a result.
pub trait Hint<T> {
    /// Adds `hint` to the error.
    fn hint(self, hint: impl Into<String>) -> Outcome<T>;

    /// Adds the advice that `hint` makes of the error.
    fn hint_with(self, hint: impl FnOnce(&Failure) -> Option<String>) -> Outcome<T>;

    /// Puts `context` before the message.
    fn context(self, context: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: Into<Failure>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> Outcome<T> {
        self.map_err(|error| error.into().or_hint(hint))
    }

    fn hint_with(self, hint: impl FnOnce(&Failure) -> Option<String>) -> Outcome<T> {
        self.map_err(|error| {
            let failure = error.into();
            match hint(&failure) {
                Some(text) => failure.or_hint(text),
                None => failure,
            }
        })
    }

    fn context(self, context: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| {
            let failure = error.into();
            Failure { error: failure.error.context(context.to_string()), ..failure }
        })
    }
}
