//! What can go wrong while a network is trained.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate: what happened, where, and what would have been right.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<ErrorKind>);

/// Why something failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process works in the run folder.
    #[error("{} is in use by another process", folder.display())]
    FolderInUse {
        /// The run folder.
        folder: PathBuf,
    },
    /// A file is not what its format demands.
    #[error("{}: {place}: found {found}, expected {expected}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// A checkpoint of another network.
    #[error("{} is a checkpoint of {saved}, not of {wanted}", file.display())]
    OtherNetwork {
        /// The checkpoint.
        file: PathBuf,
        /// Its network.
        saved: String,
        /// The network that was asked for.
        wanted: String,
    },
    /// A run cannot go on with other settings than it was started with.
    #[error("{} was started with {field} {saved}, not with {wanted}", file.display())]
    OtherRecipe {
        /// The checkpoint.
        file: PathBuf,
        /// The setting.
        field: &'static str,
        /// Its value in the checkpoint.
        saved: String,
        /// The value that was asked for.
        wanted: String,
    },
    /// A key in a file that means nothing.
    #[error("{}: {place}: unknown key {key:?}, expected one of {}", file.display(), quoted(known))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: String,
        /// The key.
        key: String,
        /// The keys there are.
        known: Vec<String>,
    },
    /// A setting that cannot be.
    #[error("{field} is {value}, expected {expected}")]
    InvalidConfig {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A name that stands for nothing.
    #[error("unknown {what} {name:?}, expected one of {known}")]
    UnknownName {
        /// What kind of name.
        what: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The training has left the numbers.
    #[error(
        "{what} is {value} in epoch {epoch}, step {step} (learning rate {learning_rate}){}",
        Reason(place)
    )]
    NotFinite {
        /// What is not finite.
        what: String,
        /// Its value.
        value: f32,
        /// Number of the epoch, from 1.
        epoch: u64,
        /// Number of the step in the epoch, from 1.
        step: u64,
        /// The learning rate of the step.
        learning_rate: f64,
        /// What in the network is not finite first.
        place: Option<String>,
    },
    /// The network refused.
    #[error(transparent)]
    Network(#[from] fewbit_nn::Error),
    /// The data refused.
    #[error(transparent)]
    Data(#[from] fewbit_data::Error),
}

impl Error {
    /// The reason.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Advice for the person in front of the program, where there is any.
    pub fn hint(&self) -> Option<String> {
        match &*self.0 {
            ErrorKind::NotFinite { .. } => Some(
                "try a lower learning rate (--lr), another loss (--loss CrossEntropy) or, with minifloats, scales \
                 (--weight-scaling per_channel --act-scaling learned); --detect_nan finds it one step earlier"
                    .to_owned(),
            ),
            ErrorKind::FolderInUse { .. } => {
                Some("wait until the other run has ended, or stop it".to_owned())
            }
            ErrorKind::OtherNetwork { saved, .. } if saved.contains(' ') => {
                Some("leave --network and the flags of quantizers (--disable_quant, --act_scaling, ...) out: a checkpoint says what it is of".into())
            }
            ErrorKind::OtherNetwork { saved, .. } => {
                Some(format!("leave --network out, or ask for --network {saved}"))
            }
            ErrorKind::OtherRecipe { field, .. } => {
                Some(format!("leave {field} out to go on, or start a new run"))
            }
            ErrorKind::Data(error) => error.hint(),
            ErrorKind::Network(error) => error.hint(),
            ErrorKind::Io { .. }
            | ErrorKind::Malformed { .. }
            | ErrorKind::InvalidConfig { .. }
            | ErrorKind::UnknownKey { .. }
            | ErrorKind::UnknownName { .. } => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        ErrorKind::Io { action, path: path.to_owned(), source }.into()
    }

    pub(crate) fn malformed(
        file: &Path,
        place: impl fmt::Display,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        ErrorKind::Malformed {
            file: file.to_owned(),
            place: place.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
        .into()
    }

    pub(crate) fn invalid(
        field: &'static str,
        value: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        ErrorKind::InvalidConfig { field, value: value.to_string(), expected: expected.into() }
            .into()
    }
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<fewbit_nn::Error> for Error {
    fn from(error: fewbit_nn::Error) -> Self {
        ErrorKind::Network(error).into()
    }
}

impl From<fewbit_data::Error> for Error {
    fn from(error: fewbit_data::Error) -> Self {
        ErrorKind::Data(error).into()
    }
}

/// Prints a reason behind a colon, if there is one.
struct Reason<'a>(&'a Option<String>);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}
