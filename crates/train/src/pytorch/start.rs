//! From a file of PyTorch to a training of this program.

use std::collections::BTreeMap;

use fewbit_nn::network::{LoadReport, Strictness};
use fewbit_nn::{Device, Network};

use super::contents::Contents;
use super::input::quoted;
use super::value::Value;
use crate::checkpoint::{Checkpoint, Moments};
use crate::config::{Decayed, Optim, Recipe};
use crate::error::Error;
use crate::progress::Progress;
use crate::schedule::{Schedule, Scheduler};
use crate::trainer::named;

/// A network of another program as a checkpoint of this one.
#[derive(Clone, Debug)]
pub struct Imported {
    /// All tensors of the network, with the recipe that they were imported for; nothing of an optimizer.
    pub checkpoint: Checkpoint,
    /// What the file lacked, and what it has that the network does not know.
    pub report: LoadReport,
}

impl Contents {
    /// Gives the tensors to the network of `recipe`, which such files do not tell. Whether the logits are
    /// normalized together or by class ([`OutputNorm`](fewbit_nn::config::OutputNorm)) is seen from the
    /// tensors: it is in the recipe of the result.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if a tensor has another shape or type than the network's, if none is one
    /// of its tensors, or if `strictness` asks for all and no others.
    pub fn checkpoint(&self, recipe: &Recipe, strictness: Strictness) -> Result<Imported, Error> {
        let state = self.model()?;
        state.iter().try_for_each(|(name, tensor)| self.check_values(name, tensor))?;
        let mut recipe = recipe.clone();
        let build =
            |recipe: &Recipe| Network::new(&recipe.network, recipe.random_seed, &Device::cpu());
        let mut network = build(&recipe)?;
        if let Some(found) = network.output_norm_of(&state)
            && let Some(described) = recipe.network.architecture.output_norm_mut()
            && *described != found
        {
            *described = found;
            network = build(&recipe)?;
        }
        let report = network
            .load_state(&state, strictness)
            .map_err(|error| named(error, self.file(), ""))?;
        if report.unknown.len() == state.len() {
            let found = match state.keys().next() {
                Some(name) => format!("{} and none of the network's", quoted(name)),
                None => "nothing".to_owned(),
            };
            let expected = format!("the tensors of {}", recipe.network.name);
            return Err(Error::malformed(self.file(), "state_dict", found, expected));
        }
        let progress =
            Progress { epochs_finished: self.epoch().unwrap_or_default(), ..Progress::default() };
        let model = network.state();
        let checkpoint = Checkpoint::new(recipe, progress, model, BTreeMap::new());
        Ok(Imported { checkpoint: checkpoint.made_from(self.file()), report })
    }

    /// How many epochs are complete. Some versions of the published program store the number of the next
    /// epoch instead: then the optimizer has taken the steps of one epoch less.
    ///
    /// # Source
    /// training.md 4.11.
    pub(crate) fn epochs_finished(
        &self,
        moments: &BTreeMap<String, Moments>,
        steps_per_epoch: u64,
    ) -> u64 {
        let epoch = self.epoch().unwrap_or_default();
        let taken = moments.values().find_map(|moments| match moments {
            Moments::Adam { steps, .. } => Some(*steps),
            // PyTorch does not count them.
            Moments::Sgd { .. } => None,
        });
        let one_less = epoch.saturating_sub(1);
        let is_next = taken.is_some() && taken == one_less.checked_mul(steps_per_epoch);
        if is_next { one_less } else { epoch }
    }

    /// Puts the settings that the optimizer was saved with over those of `recipe`, as PyTorch does.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if the optimizer was set to something that ours are not.
    pub(crate) fn settings(&self, recipe: &Recipe, epochs_finished: u64) -> Result<Recipe, Error> {
        let mut recipe = recipe.clone();
        let Some(group) = self.group()? else { return Ok(recipe) };
        for (field, usual) in UNUSUAL {
            match group.get(field) {
                None | Some(Value::None) => {}
                Some(value) if usual.is(value) => {}
                Some(value) => {
                    let place = format!("optim_dict[\"param_groups\"][0][\"{field}\"]");
                    let found = usual.show(value);
                    return Err(Error::malformed(self.file(), place, found, usual.expected()));
                }
            }
        }
        let number = |field: &str| group.get(field).and_then(Value::as_number);
        let on = |field: &str| match group.get(field) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(other) => {
                let place = format!("optim_dict[\"param_groups\"][0][\"{field}\"]");
                Err(Error::malformed(self.file(), place, other, "true or false"))
            }
        };
        let decoupled = on("decoupled_weight_decay")?;
        let is_adam = group.get("betas").is_some();
        recipe.optim = match (is_adam, decoupled) {
            (false, _) => Optim::Sgd,
            (true, Some(true)) => Optim::AdamW,
            // Before version 2.6 of PyTorch, the files of Adam and AdamW are alike: the flags tell.
            (true, None) if recipe.optim == Optim::AdamW => Optim::AdamW,
            (true, Some(false) | None) => Optim::Adam,
        };
        recipe.nesterov = on("nesterov")?.unwrap_or(false) && !is_adam;
        // There is one group of parameters: all of them decay alike.
        recipe.weight_decay_on = Decayed::All;
        recipe.momentum = number("momentum").unwrap_or(recipe.momentum);
        recipe.weight_decay = number("weight_decay").unwrap_or(recipe.weight_decay);
        if let Some(next) = number("lr") {
            recipe.lr = base(&recipe, next, number("initial_lr"), epochs_finished);
        }
        Ok(recipe)
    }
}

/// The learning rate that the schedule starts from, if it is `next` in the epoch to come.
fn base(recipe: &Recipe, next: f64, initial: Option<f64>, epochs_finished: u64) -> f64 {
    let unit = Schedule { base: 1.0, ..recipe.schedule(1) };
    match (recipe.scheduler, initial) {
        (Scheduler::Fixed, _) | (Scheduler::Step, None) => {
            next / unit.learning_rate(epochs_finished)
        }
        (Scheduler::Step, Some(initial)) => initial,
        // The published program has no such schedule: it starts anew, from the rate of the flags.
        (Scheduler::Cosine | Scheduler::OneCycle, _) => recipe.lr,
    }
}

/// A setting of PyTorch's optimizers that ours do not have, and the value that they compute with.
#[derive(Clone, Copy)]
enum Usual {
    Numbers(&'static [f64]),
    Off,
}

const UNUSUAL: [(&str, Usual); 5] = [
    ("betas", Usual::Numbers(&[0.9, 0.999])),
    ("eps", Usual::Numbers(&[1e-8])),
    ("dampening", Usual::Numbers(&[0.0])),
    ("amsgrad", Usual::Off),
    ("maximize", Usual::Off),
];

impl Usual {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Off => matches!(value, Value::Bool(false)),
            Self::Numbers(expected) => numbers(value).as_deref() == Some(expected),
        }
    }

    fn show(self, value: &Value) -> String {
        numbers(value).map_or_else(|| value.to_string(), |numbers| format!("{numbers:?}"))
    }

    fn expected(self) -> String {
        match self {
            Self::Off => "false".to_owned(),
            Self::Numbers(expected) => format!("{expected:?}"),
        }
    }
}

/// One number, or several in a sequence.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value.as_sequence() {
        Some(values) => values.iter().map(Value::as_number).collect(),
        None => Some(vec![value.as_number()?]),
    }
}

impl Imported {
    /// Leaves out what belongs to parameters that the network does not have.
    pub(crate) fn keep_known<T>(&self, of_parameters: &mut BTreeMap<String, T>) {
        of_parameters.retain(|name, _| !self.report.unknown.contains(name));
    }
}
