//! The convolutional network CNV.

use super::blocks::{Blocks, Start};
use super::layer::{Layer, NamedLayer};
use crate::config::{Convolution, NetworkConfig, OutputNorm, Pooling};
use crate::device::Device;
use crate::error::Error;
use crate::ops::Window;
use crate::quantizer::{ActQuantizerConfig, WeightQuantizerConfig};

/// Variance offset of all normalizations.
const EPSILON: f32 = 1e-4;
/// Rows and columns of every kernel.
const KERNEL: usize = 3;
/// Rows and columns of a window of the pooling.
pub(crate) const POOL: usize = 2;

/// Builds the layers under their published names.
///
/// # Source
/// networks.md 3.4.
pub(super) fn layers(
    config: &NetworkConfig,
    convolutions: &[Convolution],
    hidden: &[usize],
    output_norm: OutputNorm,
    seed: u64,
    device: &Device,
) -> Result<Vec<NamedLayer>, Error> {
    let mut blocks = Blocks::new(config, seed, device);
    let weights = WeightQuantizerConfig::common(config.weight_bit_width);
    let activations = ActQuantizerConfig::common(config.act_bit_width);
    let start = Start::Uniform(1.0);
    let mut names = (0..).map(|index| format!("conv_features.{index}"));
    let mut next = || names.next().expect("numbers do not end");
    blocks.push("input_scale", Layer::ScaleShift { scale: 2.0, shift: 1.0 });
    blocks.quantize(&next(), ActQuantizerConfig::pixels(config.input_bit_width)?)?;
    let [mut inputs, mut height, mut width] = config.image_shape;
    for &Convolution { channels, pooling } in convolutions {
        let shape = [channels, inputs, KERNEL, KERNEL];
        let window = Window { stride: 1, padding: 0 };
        blocks.conv2d(&next(), shape, window, start, weights)?;
        blocks.batch_norm(&next(), channels, EPSILON);
        blocks.quantize(&next(), activations)?;
        // The description has been checked: every size stays above zero.
        (inputs, height, width) = (channels, height - (KERNEL - 1), width - (KERNEL - 1));
        if pooling == Pooling::Max {
            blocks.push(&next(), Layer::MaxPool(POOL));
            (height, width) = (height / POOL, width / POOL);
        }
    }
    blocks.push("flatten", Layer::Flatten);
    let mut inputs = inputs * height * width;
    let mut names = (0..).map(|index| format!("linear_features.{index}"));
    let mut next = || names.next().expect("numbers do not end");
    for &outputs in hidden {
        blocks.linear(&next(), [outputs, inputs], start, weights, None)?;
        blocks.batch_norm(&next(), outputs, EPSILON);
        blocks.quantize(&next(), activations)?;
        inputs = outputs;
    }
    blocks.linear(&next(), [config.classes, inputs], start, weights, None)?;
    blocks.output_norm(&next(), output_norm, EPSILON);
    Ok(blocks.layers)
}
