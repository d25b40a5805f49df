//! What the optimizer remembers.

use std::collections::{BTreeMap, BTreeSet};

use fewbit_nn::network::StateTensor;

use super::contents::Contents;
use super::tensor::Tensor;
use super::value::{Key, Value};
use crate::checkpoint::Moments;
use crate::error::Error;

/// The key under which checkpoints keep the optimizer.
const OPTIM_DICT: &str = "optim_dict";

/// Tensors of a network that are no parameters.
const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

impl Contents {
    /// What the optimizer remembers, by parameter; `None` if the file has nothing of it.
    ///
    /// PyTorch numbers the parameters; their order is that of the state dict, in which running statistics
    /// are left out and a tensor with several names counts once, by the first. Parameters that have not
    /// been trained yet are not in the result.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if there are several groups, as many parameters
    /// as the state dict has not, other shapes, or an optimizer that is not Adam or SGD.
    pub fn optimizer(&self) -> Result<Option<BTreeMap<String, Moments>>, Error> {
        let Some(saved) = self.root().get(OPTIM_DICT) else { return Ok(None) };
        let names = self.parameters()?;
        let numbers = self.group()?.and_then(|group| group.get("params")?.as_sequence());
        let numbers = numbers.unwrap_or_default();
        if numbers.len() != names.len() {
            let found = format!("{} parameters", numbers.len());
            let expected = format!("{}, as in the state dict", names.len());
            return Err(self.no_optimizer("[\"param_groups\"]", found, expected));
        }
        let state = saved.get("state").and_then(Value::as_dict).unwrap_or_default();
        let mut state: BTreeMap<&Key, &Value> =
            state.iter().map(|(key, value)| (key, value)).collect();
        let mut moments = BTreeMap::new();
        for (number, (name, parameter)) in numbers.iter().zip(names) {
            let Value::Int(number) = number else {
                return Err(self.no_optimizer(
                    "[\"param_groups\"]",
                    number,
                    "numbers of parameters",
                ));
            };
            if let Some(entry) = state.remove(&Key::Int(*number)) {
                moments.extend(
                    self.moments(name, parameter, entry)?.map(|own| (name.to_owned(), own)),
                );
            }
        }
        match state.keys().next() {
            Some(key) => Err(self.no_optimizer("[\"state\"]", key, "one of the parameters")),
            None => Ok(Some(moments)),
        }
    }

    /// The learning rate that the optimizer was left with, which is that of the next epoch.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if there are several groups.
    pub fn learning_rate(&self) -> Result<Option<f64>, Error> {
        Ok(self.group()?.and_then(|group| group.get("lr")?.as_number()))
    }

    /// The settings of the parameters, if the file has an optimizer.
    pub(super) fn group(&self) -> Result<Option<&Value>, Error> {
        let Some(groups) = self.root().get(OPTIM_DICT).and_then(|o| o.get("param_groups")) else {
            return Ok(None);
        };
        match groups.as_sequence() {
            Some([group]) => Ok(Some(group)),
            // Their order says nothing about the order of the parameters.
            _ => Err(self.no_optimizer("[\"param_groups\"]", groups, "a list of 1")),
        }
    }

    fn parameters(&self) -> Result<Vec<(&str, &Tensor)>, Error> {
        let mut parameters: Vec<(&str, &Tensor)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, tensor) in self.state_dict()? {
            let own = name.rsplit('.').next().unwrap_or(name);
            if !BUFFERS.contains(&own) && seen.insert(tensor.identity()) {
                parameters.push((name, tensor));
            }
        }
        Ok(parameters)
    }

    fn moments(
        &self,
        name: &str,
        parameter: &Tensor,
        entry: &Value,
    ) -> Result<Option<Moments>, Error> {
        let fields = entry.as_dict().unwrap_or_default();
        let is_adam = entry.get("exp_avg").is_some();
        let known: &[&str] =
            if is_adam { &["step", "exp_avg", "exp_avg_sq"] } else { &["momentum_buffer"] };
        for (key, _) in fields {
            if !key.as_text().is_some_and(|key| known.contains(&key)) {
                let place = format!("[\"state\"] of {name:?}");
                return Err(self.no_optimizer(&place, key, "what Adam or SGD remember"));
            }
        }
        if is_adam {
            let steps = entry.get("step").and_then(Value::as_count);
            let place = format!("[\"state\"] of {name:?}, step");
            let steps = steps.ok_or_else(|| self.no_optimizer(&place, "no count", "a count"))?;
            let first = self.moment(name, parameter, entry, "exp_avg")?;
            let second = self.moment(name, parameter, entry, "exp_avg_sq")?;
            return Ok(Some(Moments::Adam { steps, first, second }));
        }
        match entry.get("momentum_buffer") {
            // Without momentum there is nothing to remember.
            None | Some(Value::None) => Ok(None),
            Some(_) => {
                let velocity = self.moment(name, parameter, entry, "momentum_buffer")?;
                // PyTorch does not count them. What matters is that the next one is not the first.
                Ok(Some(Moments::Sgd { steps: 1, velocity }))
            }
        }
    }

    fn moment(
        &self,
        name: &str,
        parameter: &Tensor,
        entry: &Value,
        field: &str,
    ) -> Result<StateTensor, Error> {
        let place = format!("[\"state\"] of {name:?}, {field}");
        let value = entry.get(field).unwrap_or(&Value::None);
        let tensor = value.as_tensor().filter(|tensor| tensor.shape() == parameter.shape());
        let expected = || format!("a tensor of shape {:?}", parameter.shape());
        let tensor = tensor.ok_or_else(|| self.no_optimizer(&place, value, expected()))?;
        self.state_tensor(&format!("{name}.{field}"), tensor)
    }

    fn no_optimizer(
        &self,
        place: &str,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> Error {
        Error::malformed(self.file(), format!("{OPTIM_DICT}{place}"), found, expected)
    }
}
