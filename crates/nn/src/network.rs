//! Networks: layers built from a description, run forward for training and evaluation.

mod blocks;
mod cnv;
mod fc;
mod layer;
mod layer_state;
mod parameter;
mod resnet;
mod resnet_integer;
mod scale_state;
mod state;
mod taps;
mod truncated_pool;
mod walk;

pub(crate) use layer::part;
pub use layer::{BatchNorm, Bias, Conv2d, Layer, Linear, NamedLayer, Residual, TensorNorm};
pub use parameter::{Clipping, Parameter};
pub use state::{LoadReport, StateData, StateTensor, Strictness};
pub use taps::{Taps, tensor_name};
pub(crate) use truncated_pool::TruncatedPool;

use crate::config::{Architecture, NetworkConfig};
use crate::error::{Error, ErrorKind};
use crate::ops::Quantized;
use crate::quantizer::ActQuantizer;
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
    shared: Vec<ActQuantizer>,
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
        let mut shared = vec![];
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
            Architecture::Resnet18Integer { widths } => {
                shared = resnet_integer::shared(config)?;
                resnet_integer::layers(config, widths, seed, device)?
            }
        };
        Ok(Self { config: config.clone(), layers, shared, device: device.clone(), seed })
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

    /// The quantizers that several layers use ([`Layer::QuantizeShared`]).
    pub fn shared(&self) -> &[ActQuantizer] {
        &self.shared
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
        let mut run = layer::Run { seed: self.seed, pass, taps, shared: &mut self.shared };
        Ok(layer::forward(&mut self.layers, x, &mut run)?.value)
    }

    /// The trainable tensors with their names, in an order that depends on the description alone.
    pub fn parameters_mut(&mut self) -> Vec<(String, &mut Parameter)> {
        let mut leaves = vec![];
        walk::leaves_mut(&mut self.layers, &mut leaves);
        // A shared quantizer has the name of the first layer that uses it.
        let mut shared: Vec<_> = self.shared.iter_mut().map(Some).collect();
        let mut parameters = vec![];
        for NamedLayer { name, layer } in leaves {
            if let Layer::QuantizeShared(number) = layer {
                let quantizer = shared[*number].take();
                if let Some(learned) = quantizer.and_then(ActQuantizer::learned_mut) {
                    let name = format!("{name}.{}", scale_state::VALUE);
                    parameters.push((name, learned.parameter_mut()));
                }
            }
            for (own, parameter) in layer.parameters_mut() {
                parameters.push((format!("{name}.{own}"), parameter));
            }
        }
        parameters
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> usize {
        let own = self.leaves().into_iter().flat_map(|leaf| leaf.layer.parameters());
        let own = own.map(|(_, parameter)| parameter);
        let parameters = own.chain(self.shared.iter().filter_map(ActQuantizer::parameter));
        parameters.map(|parameter| parameter.value().len()).sum()
    }
}
