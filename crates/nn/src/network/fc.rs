//! The fully connected networks TFC, SFC and LFC.

use super::layer::{BatchNorm, Layer, Linear, NamedLayer, TensorNorm};
use super::parameter::{Clipping, Parameter};
use crate::config::{NetworkConfig, Quantization};
use crate::error::Error;
use crate::init;
use crate::quantizer::{ActQuantizer, ActQuantizerConfig, WeightQuantizer, WeightQuantizerConfig};
use crate::tensor::{Device, Tensor};

/// Variance offset of the normalization of hidden layers.
const EPSILON: f32 = 1e-5;
/// Variance offset of the normalization of the logits.
const TENSOR_NORM_EPSILON: f32 = 1e-4;

/// Builds the layers; their names are the published ones, so that indices count the dropouts too.
///
/// # Source
/// networks.md 3.3.
pub(super) fn layers(
    config: &NetworkConfig,
    hidden: &[usize],
    dropout: f64,
    seed: u64,
    device: &Device,
) -> Result<Vec<NamedLayer>, Error> {
    let mut layers = Features { layers: vec![], next: 0 };
    layers.push_named("flatten", Layer::Flatten);
    layers.push_named("input_scale", Layer::ScaleShift { scale: 2.0, shift: 1.0 });
    layers.push(act_quantizer(config, config.input_bit_width)?);
    layers.push(Layer::Dropout(dropout));
    let mut inputs = config.image_shape.iter().product();
    for &outputs in hidden {
        let linear = linear(config, &layers.next_name(), [outputs, inputs], seed, device)?;
        layers.push(linear);
        layers.push(Layer::BatchNorm(BatchNorm::new(outputs, EPSILON, device)));
        layers.push(act_quantizer(config, config.act_bit_width)?);
        layers.push(Layer::Dropout(dropout));
        inputs = outputs;
    }
    let linear = linear(config, &layers.next_name(), [config.classes, inputs], seed, device)?;
    layers.push(linear);
    layers.push(Layer::TensorNorm(TensorNorm::new(TENSOR_NORM_EPSILON, device)));
    Ok(layers.layers)
}

/// Layers numbered in one sequence.
struct Features {
    layers: Vec<NamedLayer>,
    next: usize,
}

impl Features {
    fn next_name(&self) -> String {
        format!("features.{}", self.next)
    }

    fn push(&mut self, layer: Layer) {
        let name = self.next_name();
        self.next += 1;
        self.layers.push(NamedLayer { name, layer });
    }

    fn push_named(&mut self, name: &str, layer: Layer) {
        self.layers.push(NamedLayer { name: name.to_owned(), layer });
    }
}

fn act_quantizer(config: &NetworkConfig, bit_width: u32) -> Result<Layer, Error> {
    let quantizer = match config.quantization {
        Quantization::On => ActQuantizerConfig::common(bit_width),
        Quantization::Off => ActQuantizerConfig::None,
    };
    Ok(Layer::Quantize(Box::new(ActQuantizer::new(&quantizer)?)))
}

fn linear(
    config: &NetworkConfig,
    name: &str,
    [outputs, inputs]: [usize; 2],
    seed: u64,
    device: &Device,
) -> Result<Layer, Error> {
    let quantizer = match config.quantization {
        Quantization::On => WeightQuantizerConfig::common(config.weight_bit_width),
        Quantization::Off => WeightQuantizerConfig::None,
    };
    let values = init::uniform(seed, &format!("{name}.weight"), outputs * inputs, -1.0, 1.0);
    let weight = Tensor::from_vec(values, &[outputs, inputs], device);
    Ok(Layer::Linear(Linear {
        weight: Parameter::new(weight, Clipping::To { low: -1.0, high: 1.0 }),
        quantizer: WeightQuantizer::new(&quantizer)?,
    }))
}
