//! Optimizer steps, outside of any graph and in place where nothing else holds the parameter.

pub use fewbit_kernels::optimizer::{Adam, Clip, Sgd, average};

use crate::tensor::Tensor;

/// What Adam remembers of a parameter.
#[derive(Clone, Debug)]
pub struct AdamMoments {
    /// Decaying mean of the gradient.
    pub first: Tensor,
    /// Decaying mean of the squared gradient.
    pub second: Tensor,
    /// Number of steps taken.
    pub steps: u64,
}

impl AdamMoments {
    /// The state before the first step.
    pub fn zero(parameter: &Tensor) -> Self {
        let zeros = || Tensor::zeros(&parameter.shape(), &parameter.device());
        Self { first: zeros(), second: zeros(), steps: 0 }
    }
}

/// What stochastic gradient descent remembers of a parameter.
#[derive(Clone, Debug)]
pub struct SgdMomentum {
    /// Decaying sum of the gradients.
    pub velocity: Tensor,
    /// Number of steps taken.
    pub steps: u64,
}

impl SgdMomentum {
    /// The state before the first step.
    pub fn zero(parameter: &Tensor) -> Self {
        Self { velocity: Tensor::zeros(&parameter.shape(), &parameter.device()), steps: 0 }
    }
}

/// Takes one Adam step.
///
/// `g += wd p; p *= 1 - lr dwd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g;
/// p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`, then clips.
///
/// # Panics
/// If the parameter, its gradient and its state differ in size.
/// # Source
/// PyTorch `Adam` without `amsgrad`; with the decoupled weight decay alone, `AdamW`.
pub fn adam_step(
    parameter: &mut Tensor,
    gradient: &Tensor,
    moments: &mut AdamMoments,
    settings: &Adam,
    clip: Clip,
) {
    moments.steps += 1;
    let steps = moments.steps;
    let AdamMoments { first, second, .. } = moments;
    gradient.read(|g| {
        parameter.update(|p| {
            first.update(|m| {
                second.update(|v| {
                    fewbit_kernels::optimizer::adam(p, g, m, v, steps, settings, clip);
                });
            });
        });
    });
}

/// Takes one step of stochastic gradient descent with momentum.
///
/// `g += wd p; buf = momentum buf + g` (the first step: `buf = g`); `p -= lr buf`, with Nesterov
/// `p -= lr (g + momentum buf)`; then clips.
///
/// # Panics
/// If the parameter, its gradient and its state differ in size.
/// # Source
/// PyTorch `SGD`, no dampening.
pub fn sgd_step(
    parameter: &mut Tensor,
    gradient: &Tensor,
    momentum: &mut SgdMomentum,
    settings: &Sgd,
    clip: Clip,
) {
    momentum.steps += 1;
    let steps = momentum.steps;
    gradient.read(|g| {
        parameter.update(|p| {
            momentum.velocity.update(|buffer| {
                fewbit_kernels::optimizer::sgd(p, g, buffer, steps, settings, clip);
            });
        });
    });
}
