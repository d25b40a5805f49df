//! The fully connected networks TFC, SFC and LFC.

use super::blocks::{Blocks, Start};
use super::layer::{Layer, NamedLayer};
use crate::config::{NetworkConfig, OutputNorm};
use crate::device::Device;
use crate::error::Error;
use crate::quantizer::{ActQuantizerConfig, WeightQuantizerConfig};

/// Variance offset of the normalization of hidden layers.
const EPSILON: f32 = 1e-5;

/// Builds the layers; their names are the published ones, so that indices count the dropouts too.
///
/// # Source
/// networks.md 3.3.
pub(super) fn layers(
    config: &NetworkConfig,
    hidden: &[usize],
    dropout: f64,
    output_norm: OutputNorm,
    seed: u64,
    device: &Device,
) -> Result<Vec<NamedLayer>, Error> {
    let mut blocks = Blocks::new(config, seed, device);
    let mut names = (0..).map(|index| format!("features.{index}"));
    let mut next = || names.next().expect("numbers do not end");
    let weights = WeightQuantizerConfig::common(config.weight_bit_width);
    let activations = ActQuantizerConfig::common(config.act_bit_width);
    blocks.push("flatten", Layer::Flatten);
    blocks.push("input_scale", Layer::ScaleShift { scale: 2.0, shift: 1.0 });
    blocks.quantize(&next(), ActQuantizerConfig::common(config.input_bit_width))?;
    blocks.push(&next(), Layer::Dropout(dropout));
    let mut inputs = config.image_shape.iter().product();
    for &outputs in hidden {
        blocks.linear(&next(), [outputs, inputs], Start::Uniform(1.0), weights, None)?;
        blocks.batch_norm(&next(), outputs, EPSILON);
        blocks.quantize(&next(), activations)?;
        blocks.push(&next(), Layer::Dropout(dropout));
        inputs = outputs;
    }
    blocks.linear(&next(), [config.classes, inputs], Start::Uniform(1.0), weights, None)?;
    blocks.output_norm(&next(), output_norm, EPSILON);
    Ok(blocks.layers)
}
