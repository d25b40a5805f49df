//! One optimizer step, from images to changed parameters.

use fewbit_nn::network::Network;
use fewbit_nn::{Pass, Tensor, ops};

use crate::accuracy::Hits;
use crate::config::Loss;
use crate::divergence::{self, DeadLayers, LayerCheck};
use crate::error::Error;
use crate::optimizer::{BadGradient, GradientCheck, Optimizer};

/// The images of a step and what they show.
#[derive(Debug)]
pub struct Examples<'a> {
    /// Pixels from 0 to 1, `[N, C, H, W]`.
    pub images: Tensor,
    /// The class of each image.
    pub labels: &'a [u8],
}

/// How a step is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSettings {
    /// What is made small.
    pub loss: Loss,
    /// Part of the target of [`Loss::CrossEntropy`] that is spread over all classes.
    pub label_smoothing: f64,
    /// How far to go.
    pub learning_rate: f64,
    /// Number of steps before this one; dropout draws by it.
    pub step: u64,
    /// Whether gradients are looked at before they are used.
    pub check: GradientCheck,
    /// Whether to look for layers that do not learn.
    pub layers: LayerCheck,
}

/// What a step found, before it changed anything.
#[derive(Debug)]
pub struct StepResult {
    /// The loss.
    pub loss: f32,
    /// How many images were classified correctly.
    pub hits: Hits,
    /// The logits, `[N, classes]`.
    pub logits: Tensor,
    /// Layers that learned nothing, if there were some and they were looked for.
    pub dead: Option<DeadLayers>,
}

/// Why a step was not taken. The parameters are as they were; running statistics are not.
#[derive(Debug)]
pub enum StepError {
    /// The loss is not finite.
    Loss(f32),
    /// A gradient is not finite.
    Gradient(BadGradient),
    /// The network refused the images or labels.
    Refused(Error),
}

/// Trains a network with one batch: forward pass, loss, gradients, optimizer, clipping.
///
/// # Errors
/// [`StepError`] tells what kept it from changing the parameters.
/// # Source
/// training.md 4.6.
pub fn train_step(
    network: &mut Network,
    optimizer: &mut Optimizer,
    examples: Examples<'_>,
    settings: &StepSettings,
) -> Result<StepResult, StepError> {
    let refused = |error: fewbit_nn::Error| StepError::Refused(error.into());
    let Examples { images, labels } = examples;
    let mut taps = settings.layers.taps();
    let pass = Pass::Training { step: settings.step };
    let logits = network.forward_tapped(&images, pass, &mut taps).map_err(refused)?;
    drop(images);
    let loss = match settings.loss {
        Loss::SquareHinge => ops::square_hinge_loss(&logits, labels),
        Loss::CrossEntropy => {
            ops::smoothed_cross_entropy_loss(&logits, labels, settings.label_smoothing)
        }
    };
    let loss = loss.map_err(refused)?;
    let value = loss.item();
    if !value.is_finite() {
        return Err(StepError::Loss(value));
    }
    let logits = logits.detach();
    let classes = logits.shape()[1];
    let hits = logits.read(|logits| Hits::count(logits, labels, classes));
    let mut gradients = loss.backward();
    // Where the loss is zero there is nothing to learn.
    let dead = match settings.layers {
        LayerCheck::On if value != 0.0 => divergence::dead_layers(network, &gradients, taps),
        LayerCheck::On | LayerCheck::Off => None,
    };
    optimizer
        .step(network, &mut gradients, settings.learning_rate, settings.check)
        .map_err(StepError::Gradient)?;
    Ok(StepResult { loss: value, hits, logits, dead })
}
