//! ResNet18 with integer weights and activations.

use fewbit_formats::{Format, IntegerFormat};

use super::blocks::{Blocks, Start};
use super::layer::{Layer, NamedLayer, Residual};
use super::resnet::{EPSILON, KERNEL};
use crate::config::{Block, NetworkConfig, Quantization, Stages};
use crate::device::Device;
use crate::error::Error;
use crate::ops::Window;
use crate::quantizer::{
    ActQuantizer, ActQuantizerConfig, BiasQuantizer, Granularity, WeightQuantizerConfig,
};

/// Bits of the weights of the first and of the last layer, and of what the last layer gets.
const OUTER_BITS: u32 = 8;

/// Quantizers whose results are added to one another are one: the stem's, the last of each stage's
/// first block, and those of the three shortcuts with a convolution.
pub(super) fn shared(
    config: &NetworkConfig,
    stages: Stages<'_>,
    collection_steps: u32,
) -> Result<Vec<ActQuantizer>, Error> {
    // All stages but the first have a shortcut with a convolution.
    let count = 1 + stages.widths.len() + (stages.widths.len() - 1);
    let quantizer = rectified(config, collection_steps)?;
    (0..count).map(|_| ActQuantizer::new(&quantizer)).collect()
}

const STEM: usize = 0;

/// The quantizer behind the first block of a stage, from 0.
fn behind_first(stage: usize) -> usize {
    1 + stage
}

/// The quantizer of a stage's shortcut; the first stage has the stem's.
fn of_shortcut(stage: usize, stages: Stages<'_>) -> usize {
    if stage == 0 { STEM } else { stages.widths.len() + stage }
}

/// Behind rectifiers there is no sign.
fn rectified(config: &NetworkConfig, collection_steps: u32) -> Result<ActQuantizerConfig, Error> {
    Ok(match config.quantization {
        Quantization::Off => ActQuantizerConfig::None,
        Quantization::On => {
            let format = IntegerFormat::new(config.act_bit_width)?.unsigned()?;
            ActQuantizerConfig::learned(Format::Integer(format))
                .with_collection_steps(collection_steps)
        }
    })
}

fn weights(bit_width: u32, granularity: Granularity) -> Result<WeightQuantizerConfig, Error> {
    let format = IntegerFormat::new(bit_width)?.with_narrow_range()?;
    Ok(WeightQuantizerConfig::absmax(Format::Integer(format), granularity))
}

/// Builds the layers under their published names.
///
/// # Source
/// networks.md 3.5 and 3.5.1.
pub(super) fn layers(
    config: &NetworkConfig,
    stages: Stages<'_>,
    collection_steps: u32,
    seed: u64,
    device: &Device,
) -> Result<Vec<NamedLayer>, Error> {
    let mut stem = Blocks::new(config, seed, device);
    let [inputs, height, width] = config.image_shape;
    let first = weights(OUTER_BITS, Granularity::PerChannel)?;
    let channels = stages.widths[0];
    let shape = [channels, inputs, KERNEL, KERNEL];
    convolution(&mut stem, ["conv1", "bn1", "relu"], shape, stages.stem_stride, first)?;
    stem.push("relu", Layer::QuantizeShared(STEM));
    let mut inputs = channels;
    for block in stages.blocks() {
        residual(&mut stem, block, stages, rectified(config, collection_steps)?)?;
        inputs = block.channels;
    }
    let (height, width) = (stages.pixels_left(height), stages.pixels_left(width));
    let size = height.min(width);
    stem.push("avgpool", Layer::TruncatedAveragePool { size, bit_width: OUTER_BITS });
    stem.push("flatten", Layer::Flatten);
    let inputs = inputs * (height / size) * (width / size);
    let start = Start::Uniform(1.0 / (inputs as f32).sqrt());
    let last = weights(OUTER_BITS, Granularity::PerTensor)?;
    let bias = Some((start, BiasQuantizer::int32()?));
    stem.linear("linear", [config.classes, inputs], start, last, bias)?;
    Ok(stem.layers)
}

/// Two convolutions beside a shortcut, then a rectifier.
fn residual(
    blocks: &mut Blocks<'_>,
    block: Block,
    stages: Stages<'_>,
    rectified: ActQuantizerConfig,
) -> Result<(), Error> {
    let Block { stage, number: own, inputs, channels, stride } = block;
    let name = format!("layer{}.{own}", stage + 1);
    let inner = weights(blocks.config.weight_bit_width, Granularity::PerChannel)?;
    let names = |parts: [&str; 3]| parts.map(|part| format!("{name}.{part}"));
    let mut main = blocks.branch();
    let [conv, norm, relu] = &names(["conv1", "bn1", "relu1"]);
    let shape = [channels, inputs, KERNEL, KERNEL];
    convolution(&mut main, [conv, norm, relu], shape, stride, inner)?;
    main.quantize(relu, rectified)?;
    let [conv, norm, relu] = &names(["conv2", "bn2", "relu2"]);
    let shape = [channels, channels, KERNEL, KERNEL];
    convolution(&mut main, [conv, norm, relu], shape, 1, inner)?;
    // What comes from the shortcut has the same scale.
    let number = if own == 0 { of_shortcut(stage, stages) } else { behind_first(stage) };
    main.push(relu, Layer::QuantizeShared(number));
    let mut shortcut = blocks.branch();
    if block.has_shortcut_convolution() {
        let [conv, norm, relu] = &names(["downsample.0", "downsample.1", "downsample.2"]);
        convolution(&mut shortcut, [conv, norm, relu], [channels, inputs, 1, 1], stride, inner)?;
        shortcut.push(relu, Layer::QuantizeShared(number));
    }
    let residual = Residual { main: main.layers, shortcut: shortcut.layers };
    blocks.push(&name, Layer::Residual(Box::new(residual)));
    let name = format!("{name}.relu_out");
    blocks.push(&name, Layer::Relu);
    if own == 0 {
        blocks.push(&name, Layer::QuantizeShared(behind_first(stage)));
        Ok(())
    } else {
        blocks.quantize(&name, rectified)
    }
}

/// A convolution with batch normalization and rectifier.
fn convolution(
    blocks: &mut Blocks<'_>,
    [conv, norm, relu]: [&str; 3],
    shape: [usize; 4],
    stride: usize,
    weights: WeightQuantizerConfig,
) -> Result<(), Error> {
    let [channels, _, kernel, _] = shape;
    let window = Window { stride, padding: (kernel - 1) / 2 };
    let deviation = (2.0 / (channels * kernel * kernel) as f64).sqrt();
    blocks.conv2d(conv, shape, window, Start::Normal(deviation), weights)?;
    blocks.batch_norm(norm, channels, EPSILON);
    blocks.push(relu, Layer::Relu);
    Ok(())
}
