//! Networks: layers built from a description, run forward for training and evaluation.

mod average;
mod blocks;
mod cnv;
mod fc;
mod fusion;
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

use std::collections::BTreeMap;

use crate::config::{Architecture, NetworkConfig, Normalization, OutputNorm, Stages};
use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::ops::{Formula, Quantized};
use crate::quantizer::ActQuantizer;
use crate::tensor::Tensor;

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
    batch_norm: Formula,
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
        let mut layers = match &config.architecture {
            Architecture::Fc { hidden, dropout, output_norm } => {
                fc::layers(config, hidden, *dropout, *output_norm, seed, device)?
            }
            Architecture::Cnv { convolutions, hidden, output_norm } => {
                cnv::layers(config, convolutions, hidden, *output_norm, seed, device)?
            }
            Architecture::Resnet18 { widths, blocks, stem_stride, quantizers } => {
                let stages = Stages { widths, blocks, stem_stride: *stem_stride };
                resnet::layers(config, stages, quantizers, seed, device)?
            }
            Architecture::Resnet18Integer { widths, blocks, stem_stride, collection_steps } => {
                let stages = Stages { widths, blocks, stem_stride: *stem_stride };
                shared = resnet_integer::shared(config, stages, *collection_steps)?;
                resnet_integer::layers(config, stages, *collection_steps, seed, device)?
            }
        };
        if let Some(Normalization { mean, std }) = &config.normalization {
            let [mean, std] = [mean, std].map(|values| values.iter().map(|&v| v as f32).collect());
            let layer = Layer::Normalize { mean, std };
            layers.insert(0, NamedLayer { name: "normalization".to_owned(), layer });
        }
        let (config, batch_norm) = (config.clone(), Formula::TwoRoundings);
        let mut network = Self { config, layers, shared, device: device.clone(), seed, batch_norm };
        // Quantizers are built without knowing where.
        for (_, parameter) in network.parameters_mut() {
            parameter.move_to(device);
        }
        Ok(network)
    }

    /// The description that the network was built from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Chooses how batch normalization rounds in evaluation. It starts with onnxruntime's way; PyTorch's
    /// is [`Formula::Fused`].
    pub fn set_batch_norm(&mut self, formula: Formula) {
        self.batch_norm = formula;
    }

    /// Which normalization of the logits the tensors of `state` belong to, if both have one.
    pub fn output_norm_of(&self, state: &BTreeMap<String, StateTensor>) -> Option<OutputNorm> {
        let NamedLayer { name, layer: Layer::TensorNorm(_) | Layer::BatchNorm(_) } =
            self.layers.last()?
        else {
            return None;
        };
        match state.get(&format!("{name}.running_mean"))?.shape[..] {
            [1] => Some(OutputNorm::TensorNorm),
            [count] if count == self.config.classes => Some(OutputNorm::BatchNorm),
            _ => None,
        }
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
        let Self { seed, batch_norm, shared, .. } = self;
        let mut run = layer::Run { seed: *seed, pass, batch_norm: *batch_norm, taps, shared };
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
