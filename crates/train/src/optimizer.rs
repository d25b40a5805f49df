//! The optimizer of a network: what it remembers is kept by the names of the parameters, so that it
//! can be saved and found again.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit_nn::network::{Clipping, Network, Parameter, StateData, StateTensor};
use fewbit_nn::ops::{self, Adam, AdamMoments, Clip, Sgd, SgdMomentum};
use fewbit_nn::{Device, Gradients, Tensor};

use crate::checkpoint::Moments;
use crate::config::{Decayed, Optim, Recipe};
use crate::error::Error;

/// Steps of the longest training: more do not fit the numbers of other programs.
const MAX_STEPS: u64 = 1 << 53;

/// Changes the parameters of a network by their gradients.
#[derive(Debug)]
pub struct Optimizer {
    optim: Optim,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    weight_decay_on: Decayed,
    states: BTreeMap<String, State>,
}

#[derive(Debug)]
enum State {
    Adam(AdamMoments),
    Sgd(SgdMomentum),
}

/// A gradient that is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct BadGradient {
    /// The parameter.
    pub parameter: String,
    /// The first element that is not finite.
    pub value: f32,
}

/// Whether gradients are looked at before they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientCheck {
    /// They are used as they are.
    Off,
    /// One that is not finite is an error, and no parameter is changed.
    On,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub fn new(recipe: &Recipe) -> Self {
        let Recipe { optim, momentum, nesterov, weight_decay, weight_decay_on, .. } = *recipe;
        let states = BTreeMap::new();
        Self { optim, momentum, nesterov, weight_decay, weight_decay_on, states }
    }

    /// Takes a step: every parameter that has a gradient is changed, then clipped to its interval.
    ///
    /// # Errors
    /// [`BadGradient`] if `check` asks for it and one is not finite; nothing is changed then.
    pub fn step(
        &mut self,
        network: &mut Network,
        gradients: &mut Gradients,
        learning_rate: f64,
        check: GradientCheck,
    ) -> Result<(), BadGradient> {
        let parameters: Vec<(String, &mut Parameter, Tensor)> = network
            .parameters_mut()
            .into_iter()
            .filter_map(|(name, parameter)| {
                let gradient = parameter.take_gradient(gradients)?;
                Some((name, parameter, gradient))
            })
            .collect();
        if check == GradientCheck::On {
            for (name, _, gradient) in &parameters {
                if let Some(value) = gradient.read(first_not_finite) {
                    return Err(BadGradient { parameter: name.clone(), value });
                }
            }
        }
        for (name, parameter, gradient) in parameters {
            self.change(&name, parameter, &gradient, learning_rate);
            gradient.recycle();
        }
        Ok(())
    }

    fn change(
        &mut self,
        name: &str,
        parameter: &mut Parameter,
        gradient: &Tensor,
        learning_rate: f64,
    ) {
        if !self.states.contains_key(name) {
            let state = match self.optim {
                Optim::Adam | Optim::AdamW => State::Adam(AdamMoments::zero(parameter.value())),
                Optim::Sgd => State::Sgd(SgdMomentum::zero(parameter.value())),
            };
            self.states.insert(name.to_owned(), state);
        }
        let state = self.states.get_mut(name).expect("it has just been inserted");
        let decays = match self.weight_decay_on {
            Decayed::All => true,
            Decayed::Weights => is_weight(name, parameter),
        };
        let weight_decay = if decays { self.weight_decay } else { 0.0 };
        let clipping = parameter.clipping();
        parameter.update(|mut value| {
            let clip = symmetric(clipping);
            match state {
                State::Adam(moments) => {
                    let (weight_decay, decoupled_weight_decay) = match self.optim {
                        Optim::AdamW => (0.0, weight_decay),
                        Optim::Adam | Optim::Sgd => (weight_decay, 0.0),
                    };
                    let settings = Adam {
                        learning_rate,
                        weight_decay,
                        decoupled_weight_decay,
                        ..Adam::default()
                    };
                    ops::adam_step(&mut value, gradient, moments, &settings, clip);
                }
                State::Sgd(velocity) => {
                    let (momentum, nesterov) = (self.momentum, self.nesterov);
                    let settings = Sgd { learning_rate, momentum, nesterov, weight_decay };
                    ops::sgd_step(&mut value, gradient, velocity, &settings, clip);
                }
            }
            if let (Clipping::To { low, high }, Clip::None) = (clipping, clip) {
                value.update(|values| values.iter_mut().for_each(|v| *v = v.clamp(low, high)));
            }
            value
        });
    }

    /// What it remembers, by parameter.
    pub fn state(&self) -> BTreeMap<String, Moments> {
        let moments = |state: &State| match state {
            State::Adam(AdamMoments { first, second, steps }) => {
                Moments::Adam { steps: *steps, first: saved(first), second: saved(second) }
            }
            State::Sgd(SgdMomentum { velocity, steps }) => {
                Moments::Sgd { steps: *steps, velocity: saved(velocity) }
            }
        };
        self.states.iter().map(|(name, state)| (name.clone(), moments(state))).collect()
    }

    /// Restores what [`Optimizer::state`] returned; `file` is named in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if an entry is not one of the network's.
    pub fn restore(
        recipe: &Recipe,
        network: &mut Network,
        saved: &BTreeMap<String, Moments>,
        file: &Path,
    ) -> Result<Self, Error> {
        let mut optimizer = Self::new(recipe);
        let device = network.device().clone();
        let shapes: BTreeMap<String, Vec<usize>> = network
            .parameters_mut()
            .into_iter()
            .map(|(name, parameter)| (name, parameter.value().shape()))
            .collect();
        for (name, moments) in saved {
            let place = |part: &str| format!("tensor \"optimizer.{part}.{name}\"");
            let Some(shape) = shapes.get(name) else {
                let expected = format!("the parameters of {}", recipe.network.name);
                return Err(Error::malformed(file, place("steps"), "a tensor", expected));
            };
            let (Moments::Adam { steps, .. } | Moments::Sgd { steps, .. }) = moments;
            if *steps >= MAX_STEPS {
                return Err(Error::malformed(file, place("steps"), steps, "fewer than 2^53"));
            }
            let restored = |part, tensor: &StateTensor| -> Result<Tensor, Error> {
                match &tensor.data {
                    StateData::F32(values) if tensor.shape == *shape => {
                        Ok(restored(values, shape, &device))
                    }
                    StateData::F32(_) | StateData::I64(_) => {
                        let found = format!("{} of shape {:?}", tensor.type_name(), tensor.shape);
                        let expected = format!("f32 of shape {shape:?}");
                        Err(Error::malformed(file, place(part), found, expected))
                    }
                }
            };
            let state = match moments {
                Moments::Adam { steps, first, second } => State::Adam(AdamMoments {
                    first: restored("first_moment", first)?,
                    second: restored("second_moment", second)?,
                    steps: *steps,
                }),
                Moments::Sgd { steps, velocity } => State::Sgd(SgdMomentum {
                    velocity: restored("velocity", velocity)?,
                    steps: *steps,
                }),
            };
            optimizer.states.insert(name.clone(), state);
        }
        Ok(optimizer)
    }
}

/// Whether a parameter is a convolution's or a linear layer's weight. Those of normalizations have the same
/// name, but one dimension.
fn is_weight(name: &str, parameter: &Parameter) -> bool {
    name.ends_with(".weight") && parameter.value().shape().len() > 1
}

/// The interval as the optimizer's pass can clip to it.
fn symmetric(clipping: Clipping) -> Clip {
    match clipping {
        Clipping::To { low, high } if low == -high => Clip::Symmetric(high),
        Clipping::To { .. } | Clipping::None => Clip::None,
    }
}

fn saved(tensor: &Tensor) -> StateTensor {
    StateTensor::f32(&tensor.shape(), tensor.to_vec())
}

fn restored(values: &[f32], shape: &[usize], device: &Device) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, device)
}

/// Blocks are looked through as a whole, in vectors, before the value in one is looked for.
fn first_not_finite(values: &[f32]) -> Option<f32> {
    let is_bad = |value: &f32| !value.is_finite();
    let any = |block: &&[f32]| block.iter().fold(false, |bad, value| bad | is_bad(value));
    values.chunks(4096).find(any)?.iter().copied().find(is_bad)
}

#[cfg(test)]
mod tests;
