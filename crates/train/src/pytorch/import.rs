//! From the contents of a file to what a training consists of.

use std::collections::BTreeMap;

use fewbit_nn::network::{StateData, StateTensor};

use super::contents::Contents;
use super::input::quoted;
use super::tensor::{Inexact, Tensor};
use crate::error::Error;

/// The key under which checkpoints keep the network.
const STATE_DICT: &str = "state_dict";

/// What data-parallel training writes before every name.
const DATA_PARALLEL: &str = "module.";

impl Contents {
    /// The network's tensors by name, ready for `Network::load_state`.
    ///
    /// They are the entry `state_dict` of a checkpoint, or the whole file if it has none (`.pth`). The
    /// prefix `module.` of data-parallel trainings is removed. Floats become `f32`, integers `i64`. Scales
    /// that were not yet learned are not in the file, and not here.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if there is no state dict, it holds something
    /// that is no tensor, or a number is no `f32`.
    /// # Source
    /// Names of networks.md 3.3 to 3.5, layout of training.md 4.11.
    pub fn model(&self) -> Result<BTreeMap<String, StateTensor>, Error> {
        let mut model = BTreeMap::new();
        for (name, tensor) in self.state_dict()? {
            let state = self.state_tensor(name, tensor)?;
            if model.insert(name.to_owned(), state).is_some() {
                let found = format!("{} twice, without \"module.\"", quoted(name));
                return Err(Error::malformed(self.file(), STATE_DICT, found, "each name once"));
            }
        }
        Ok(model)
    }

    /// The epoch of the checkpoint as it says: the finished one, or one more (training.md 4.11).
    pub fn epoch(&self) -> Option<u64> {
        self.root().get("epoch")?.as_count()
    }

    /// The best test accuracy so far, in percent.
    pub fn best_val_acc(&self) -> Option<f64> {
        self.root().get("best_val_acc")?.as_number()
    }

    /// Converts a tensor of the contents; `name` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if a number is no `f32`.
    pub fn state_tensor(&self, name: &str, tensor: &Tensor) -> Result<StateTensor, Error> {
        tensor.to_state().map_err(|Inexact { index, value }| {
            let place = format!("tensor {}, element {index}", quoted(name));
            Error::malformed(self.file(), place, format!("{value:?}"), "a number of 32 bits")
        })
    }

    /// Checks that a network can compute with the values: one NaN would spoil every result without a word.
    pub(super) fn check_values(&self, name: &str, state: &StateTensor) -> Result<(), Error> {
        let StateData::F32(values) = &state.data else { return Ok(()) };
        let variance = name.ends_with("running_var");
        let wrong = |value: &f32| !value.is_finite() || (variance && *value < 0.0);
        let Some(index) = values.iter().position(wrong) else { return Ok(()) };
        let place = format!("tensor {}, element {index}", quoted(name));
        let expected = if variance { "a variance of 0 or more" } else { "a finite number" };
        Err(Error::malformed(self.file(), place, values[index], expected))
    }

    /// The network's tensors in the order of the file, under their names without prefix.
    pub(super) fn state_dict(&self) -> Result<Vec<(&str, &Tensor)>, Error> {
        let dict = self.root().get(STATE_DICT).unwrap_or(self.root());
        let Some(entries) = dict.as_dict() else {
            let found = dict.to_string();
            return Err(Error::malformed(self.file(), STATE_DICT, found, "a dict of tensors"));
        };
        let mut tensors = Vec::new();
        for (key, value) in entries {
            let Some(name) = key.as_text() else {
                return Err(Error::malformed(self.file(), STATE_DICT, key, "names of tensors"));
            };
            let Some(tensor) = value.as_tensor() else {
                let place = format!("{STATE_DICT}[{key}]");
                return Err(Error::malformed(self.file(), place, value, "a tensor"));
            };
            tensors.push((name.strip_prefix(DATA_PARALLEL).unwrap_or(name), tensor));
        }
        Ok(tensors)
    }
}
