//! Trainings that leave the numbers, and networks that cannot learn: where it begins.

use std::fmt;

use fewbit_nn::network::{Network, Taps};
use fewbit_nn::{Gradients, Pass, Tensor};

/// Whether a step looks for layers that do not learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerCheck {
    /// It does not.
    Off,
    /// It does; this changes nothing else.
    On,
}

/// Layers that a step cannot change, because the gradient of their weights is zero everywhere.
///
/// # Source
/// quantizers.md 2.8.3: minifloats of few exponents round most weights of a new network to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLayers {
    /// The weights without a gradient, in order of execution.
    pub weights: Vec<String>,
    /// How many weights of layers there are.
    pub of: usize,
    /// The first tensor in order of execution that is zero everywhere.
    pub zero: Option<String>,
}

impl fmt::Display for DeadLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.weights.first().map_or("none", String::as_str);
        let count = self.weights.len();
        write!(f, "no gradient reaches {count} of {} weights, the first is {first}", self.of)?;
        match &self.zero {
            Some(tensor) => write!(f, "; {tensor} is zero everywhere"),
            None => Ok(()),
        }
    }
}

impl LayerCheck {
    /// What the forward pass of the step looks for.
    pub(crate) fn taps(self) -> Taps {
        match self {
            Self::On => Taps::first(is_zero),
            Self::Off => Taps::none(),
        }
    }
}

/// The layers that learn nothing from the gradients of a step, before they are used; `taps` are those of its
/// forward pass.
pub(crate) fn dead_layers(
    network: &mut Network,
    gradients: &Gradients,
    taps: Taps,
) -> Option<DeadLayers> {
    let (mut weights, mut of) = (vec![], 0);
    for (name, parameter) in network.parameters_mut() {
        // A matrix or a kernel: factors and offsets of normalizations say nothing, and scales rest while they
        // are measured.
        if parameter.value().shape().len() < 2 {
            continue;
        }
        of += 1;
        let gradient = parameter.gradient(gradients);
        if gradient.is_none_or(|gradient| gradient.read(is_zero)) {
            weights.push(name);
        }
    }
    (!weights.is_empty()).then(|| DeadLayers { weights, of, zero: first(taps) })
}

/// What is not finite first, in words, if it is something in the network.
///
/// Running statistics change; the training is over anyway.
pub(crate) fn first_not_finite(
    network: &mut Network,
    images: &Tensor,
    step: u64,
) -> Option<String> {
    for (name, parameter) in network.parameters_mut() {
        let bad = parameter.value().read(|v| v.iter().copied().find(|v| !v.is_finite()));
        if let Some(value) = bad {
            return Some(format!("the step before has made {name} {value}"));
        }
    }
    let mut taps = Taps::first(|values| values.iter().any(|value| !value.is_finite()));
    network.forward_tapped(images, Pass::Training { step }, &mut taps).ok()?;
    let tensor = first(taps)?;
    Some(format!("the first tensor that is not finite is {tensor}"))
}

fn is_zero(values: &[f32]) -> bool {
    values.iter().all(|value| *value == 0.0)
}

/// The layer and part of the tensor that was found.
fn first(taps: Taps) -> Option<String> {
    let (name, _) = taps.into_tensors().into_iter().next()?;
    Some(name.strip_suffix(".out").unwrap_or(&name).to_owned())
}
