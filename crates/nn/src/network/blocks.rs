//! Parts that several families of networks are built from.

use super::layer::{BatchNorm, Bias, Conv2d, Layer, Linear, NamedLayer, TensorNorm};
use super::parameter::{Clipping, Parameter};
use crate::config::{NetworkConfig, OutputNorm, Quantization};
use crate::device::Device;
use crate::error::Error;
use crate::init;
use crate::ops::Window;
use crate::quantizer::{
    ActQuantizer, ActQuantizerConfig, BiasQuantizer, WeightQuantizer, WeightQuantizerConfig,
};
use crate::tensor::Tensor;

/// Variance offset of the normalization of all logits together.
const TENSOR_NORM_EPSILON: f32 = 1e-4;

/// A list of layers in the making.
pub struct Blocks<'a> {
    pub config: &'a NetworkConfig,
    pub seed: u64,
    pub device: &'a Device,
    pub layers: Vec<NamedLayer>,
}

/// How weights start.
#[derive(Clone, Copy)]
pub enum Start {
    /// Uniform between this number and its negative.
    Uniform(f32),
    /// Normal with this standard deviation.
    Normal(f64),
}

impl<'a> Blocks<'a> {
    pub fn new(config: &'a NetworkConfig, seed: u64, device: &'a Device) -> Self {
        Self { config, seed, device, layers: vec![] }
    }

    /// An empty list for a branch.
    pub fn branch(&self) -> Self {
        Self::new(self.config, self.seed, self.device)
    }

    pub fn push(&mut self, name: &str, layer: Layer) {
        self.layers.push(NamedLayer { name: name.to_owned(), layer });
    }

    pub fn batch_norm(&mut self, name: &str, channels: usize, epsilon: f32) {
        self.push(name, Layer::BatchNorm(BatchNorm::new(channels, epsilon, self.device)));
    }

    /// What follows the logits; a normalization of each class has the `epsilon` of the hidden layers.
    pub fn output_norm(&mut self, name: &str, norm: OutputNorm, epsilon: f32) {
        match norm {
            OutputNorm::TensorNorm => {
                let norm = TensorNorm::new(TENSOR_NORM_EPSILON, self.device);
                self.push(name, Layer::TensorNorm(norm));
            }
            OutputNorm::BatchNorm => self.batch_norm(name, self.config.classes, epsilon),
        }
    }

    pub fn quantize(&mut self, name: &str, quantizer: ActQuantizerConfig) -> Result<(), Error> {
        let quantizer = match self.config.quantization {
            Quantization::On => quantizer,
            Quantization::Off => ActQuantizerConfig::None,
        };
        let quantizer = ActQuantizer::new(&quantizer)?;
        self.push(name, Layer::Quantize(Box::new(quantizer)));
        Ok(())
    }

    pub fn conv2d(
        &mut self,
        name: &str,
        shape: [usize; 4],
        window: Window,
        start: Start,
        quantizer: WeightQuantizerConfig,
    ) -> Result<(), Error> {
        let weight = self.parameter(&format!("{name}.weight"), &shape, start, &quantizer);
        let quantizer = self.weight_quantizer(quantizer)?;
        self.push(name, Layer::Conv2d(Conv2d { weight, quantizer, window }));
        Ok(())
    }

    pub fn linear(
        &mut self,
        name: &str,
        shape: [usize; 2],
        start: Start,
        quantizer: WeightQuantizerConfig,
        bias: Option<(Start, BiasQuantizer)>,
    ) -> Result<(), Error> {
        let weight = self.parameter(&format!("{name}.weight"), &shape, start, &quantizer);
        let bias = bias.map(|(start, quantizer)| {
            let none = WeightQuantizerConfig::None;
            let value = self.parameter(&format!("{name}.bias"), &shape[..1], start, &none);
            let quantizer = match self.config.quantization {
                Quantization::On => quantizer,
                Quantization::Off => BiasQuantizer::None,
            };
            Bias { value, quantizer }
        });
        let quantizer = self.weight_quantizer(quantizer)?;
        self.push(name, Layer::Linear(Linear { weight, quantizer, bias }));
        Ok(())
    }

    fn weight_quantizer(&self, quantizer: WeightQuantizerConfig) -> Result<WeightQuantizer, Error> {
        match self.config.quantization {
            Quantization::On => WeightQuantizer::new(&quantizer),
            Quantization::Off => WeightQuantizer::new(&WeightQuantizerConfig::None),
        }
    }

    /// A parameter that starts from a stream of its own. Weights of the quantizers with a constant scale
    /// are kept where the quantizer tells them apart.
    fn parameter(
        &self,
        path: &str,
        shape: &[usize],
        start: Start,
        quantizer: &WeightQuantizerConfig,
    ) -> Parameter {
        let count = shape.iter().product();
        let values = match start {
            Start::Uniform(limit) => init::uniform(self.seed, path, count, -limit, limit),
            Start::Normal(deviation) => init::normal(self.seed, path, count, deviation),
        };
        let clipping = match quantizer {
            WeightQuantizerConfig::Common { .. } => Clipping::To { low: -1.0, high: 1.0 },
            WeightQuantizerConfig::None | WeightQuantizerConfig::Format { .. } => Clipping::None,
        };
        Parameter::new(Tensor::from_vec(values, shape, self.device), clipping)
    }
}
