//! Networks: layers built from a description, run forward for training and evaluation.

mod blocks;
mod cnv;
mod fc;
mod layer;
mod layer_state;
mod parameter;
mod resnet;
mod scale_state;
mod state;
mod taps;
mod walk;

pub(crate) use layer::part;
pub use layer::{BatchNorm, Conv2d, Layer, Linear, NamedLayer, Residual, TensorNorm};
pub use parameter::{Clipping, Parameter};
pub use state::{LoadReport, StateData, StateTensor, Strictness};
pub use taps::{Taps, tensor_name};

use crate::config::{Architecture, NetworkConfig};
use crate::error::{Error, ErrorKind};
use crate::ops::Quantized;
use crate::tensor::{Device, Tensor};

/// A network: its description, its layers in order of execution, and the device it runs on.
///
/// # Examples
/// ```
/// use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor};
///
/// let device = Device::cpu();
/// let mut network = Network::new(&NetworkConfig::named("TFC_2W2A")?, 1, &device)?;
/// assert_eq!(network.parameter_count(), 59_394);
/// let images = Tensor::full(0.5, &[3, 1, 28, 28], &device);
/// let logits = network.forward(&images, Pass::Evaluation)?;
/// assert_eq!(logits.shape(), [3, 10]);
/// # Ok::<(), fewbit_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    layers: Vec<NamedLayer>,
    device: Device,
    seed: u64,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch statistics, dropout, a graph for the gradients.
    Training {
        /// Number of optimizer steps before this one; dropout draws by it.
        step: u64,
    },
    /// Running statistics, no dropout, no graph.
    Evaluation,
}

impl Network {
    /// Builds a network; `seed` decides the initial weights and what dropout drops.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the description cannot be built.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Result<Self, Error> {
        config.validate()?;
        let layers = match &config.architecture {
            Architecture::Fc { hidden, dropout } => {
                fc::layers(config, hidden, *dropout, seed, device)?
            }
            Architecture::Cnv { convolutions, hidden } => {
                cnv::layers(config, convolutions, hidden, seed, device)?
            }
            Architecture::Resnet18 { widths, quantizers } => {
                resnet::layers(config, widths, quantizers, seed, device)?
            }
        };
        Ok(Self { config: config.clone(), layers, device: device.clone(), seed })
    }

    /// The description that the network was built from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The layers in order of execution.
    pub fn layers(&self) -> &[NamedLayer] {
        &self.layers
    }

    /// All layers but the residual ones, whose branches are gone through instead, in order of execution.
    pub fn leaves(&self) -> Vec<&NamedLayer> {
        let mut leaves = vec![];
        walk::leaves(&self.layers, &mut leaves);
        leaves
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Computes the logits of a batch of images.
    ///
    /// # Shape
    /// `images`: `[N, C, H, W]`, pixels from 0 to 1. Result: `[N, classes]`.
    /// # Errors
    /// [`ErrorKind::ShapeMismatch`] if the images have another shape than the network's.
    pub fn forward(&mut self, images: &Tensor, pass: Pass) -> Result<Tensor, Error> {
        self.forward_tapped(images, pass, &mut Taps::none())
    }

    /// Computes the logits as [`Network::forward`] and hands every named tensor to `taps`.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_tapped(
        &mut self,
        images: &Tensor,
        pass: Pass,
        taps: &mut Taps,
    ) -> Result<Tensor, Error> {
        let shape = images.shape();
        if shape.len() != 4 || shape[1..] != self.config.image_shape {
            return Err(Error::new(ErrorKind::ShapeMismatch {
                operation: "network",
                operand: "images",
                got: shape,
                expected: format!("[N, {:?}]", self.config.image_shape),
            }));
        }
        let x = Quantized::plain(images.clone());
        Ok(layer::forward(&mut self.layers, x, self.seed, pass, taps)?.value)
    }

    /// The trainable tensors with their names, in an order that depends on the description alone.
    pub fn parameters_mut(&mut self) -> Vec<(String, &mut Parameter)> {
        let mut leaves = vec![];
        walk::leaves_mut(&mut self.layers, &mut leaves);
        leaves
            .into_iter()
            .flat_map(|NamedLayer { name, layer }| {
                let prefix = &*name;
                let own = layer.parameters_mut().into_iter();
                own.map(move |(own, parameter)| (format!("{prefix}.{own}"), parameter))
            })
            .collect()
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> usize {
        let parameters = self.leaves().into_iter().flat_map(|leaf| leaf.layer.parameters());
        parameters.map(|(_, parameter)| parameter.value().len()).sum()
    }
}
