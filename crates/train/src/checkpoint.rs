//! Checkpoints: everything that a killed run needs to end in the same bits, in a safetensors file.
//!
//! A file holds the tensors `model.<name>` of the network that is evaluated, with weight averaging also
//! `training.<name>` of the network that the optimizer goes on from, `optimizer.first_moment.<parameter>`,
//! `optimizer.second_moment.<parameter>`, `optimizer.velocity.<parameter>` and
//! `optimizer.steps.<parameter>`, and one entry of metadata, `fewbit`: a JSON document with the
//! version of the program, the recipe, the progress and a checksum over everything.

mod decode;
mod encode;
mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit_nn::network::StateTensor;

pub(crate) use decode::in_file;

use crate::atomic;
use crate::config::Recipe;
use crate::error::Error;
use crate::progress::Progress;

/// The state of a training between two optimizer steps.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The settings that decide the result.
    pub recipe: Recipe,
    /// How far the training has come.
    pub progress: Progress,
    /// The tensors by name of the network that is evaluated: with weight averaging, the average.
    pub model: BTreeMap<String, StateTensor>,
    /// With weight averaging, those of the network that the optimizer goes on from.
    pub training: Option<BTreeMap<String, StateTensor>>,
    /// What the optimizer remembers, by parameter.
    pub optimizer: BTreeMap<String, Moments>,
    /// The version of the program that wrote it.
    pub version: String,
    /// Where it was read from, for messages.
    file: PathBuf,
    /// Whether another program trained it.
    foreign: bool,
}

/// What an optimizer remembers of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Moments {
    /// Adam.
    Adam {
        /// Number of steps taken.
        steps: u64,
        /// Decaying mean of the gradient.
        first: StateTensor,
        /// Decaying mean of the squared gradient.
        second: StateTensor,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Number of steps taken.
        steps: u64,
        /// Decaying sum of the gradients.
        velocity: StateTensor,
    },
}

/// Names of tensors begin with these.
const MODEL: &str = "model.";
const TRAINING: &str = "training.";
const FIRST_MOMENT: &str = "optimizer.first_moment.";
const SECOND_MOMENT: &str = "optimizer.second_moment.";
const VELOCITY: &str = "optimizer.velocity.";
const STEPS: &str = "optimizer.steps.";
/// The one entry of metadata: several would come in another order in every run.
const METADATA: &str = "fewbit";
/// Raised when older programs cannot read newer files.
const FORMAT: u32 = 1;

impl Checkpoint {
    /// Puts together what a training consists of.
    pub fn new(
        recipe: Recipe,
        progress: Progress,
        model: BTreeMap<String, StateTensor>,
        optimizer: BTreeMap<String, Moments>,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let file = PathBuf::from("checkpoint");
        let training = None;
        Self { recipe, progress, model, training, optimizer, version, file, foreign: false }
    }

    /// Says that the model is an average, and what the optimizer goes on from.
    pub fn with_training(self, training: BTreeMap<String, StateTensor>) -> Self {
        Self { training: Some(training), ..self }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read,
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) with the place if it is none of ours or
    /// damaged; every damaged byte is noticed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::from_bytes(&file::read(path)?, path)
    }

    /// Reads the contents of a file; `file` is named in errors, here and later.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) with the place.
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Self, Error> {
        decode::decode(bytes, file)
    }

    /// The contents of a file; the same checkpoint gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode::encode(self)
    }

    /// Writes a file: whoever reads it finds the old one or the new one, whole.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        atomic::replace(path, &self.to_bytes())
    }

    /// Says which file of another program it was made from.
    pub(crate) fn made_from(self, file: &Path) -> Self {
        Self { file: file.to_owned(), foreign: true, ..self }
    }

    /// Whether another program trained it: then only the network of the recipe is known.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Where it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

#[cfg(test)]
mod tests;
