//! ResNet18 for images of 32 rows and columns, with quantizers of any format.

use super::blocks::{Blocks, Start};
use super::layer::{Layer, NamedLayer, Residual};
use crate::config::{Block, NetworkConfig, ResnetQuantizers, Stages};
use crate::device::Device;
use crate::error::Error;
use crate::ops::Window;
use crate::quantizer::{BiasQuantizer, WeightQuantizerConfig};

/// Variance offset of all normalizations.
pub(super) const EPSILON: f32 = 1e-5;
/// Rows and columns of a kernel.
pub(super) const KERNEL: usize = 3;

/// Builds the layers under their published names.
///
/// # Source
/// networks.md 3.5 and 3.5.2: an activation quantizer behind the image, behind every convolution,
/// behind every rectifier and before the last layer.
pub(super) fn layers(
    config: &NetworkConfig,
    stages: Stages<'_>,
    quantizers: &ResnetQuantizers,
    seed: u64,
    device: &Device,
) -> Result<Vec<NamedLayer>, Error> {
    let mut stem = Blocks::new(config, seed, device);
    let activations = quantizers.activations();
    let (first, last) = (quantizers.first_layer_weights(), quantizers.last_layer_weights());
    let [inputs, height, width] = config.image_shape;
    stem.quantize("conv1.input_quant", activations)?;
    let channels = stages.widths[0];
    let shape = [channels, inputs, KERNEL, KERNEL];
    let convolution = Convolution { shape, stride: stages.stem_stride };
    let names = ["conv1", "bn1", "relu"];
    convolution.with_rectifier(&mut stem, names, first, quantizers)?;
    let mut inputs = channels;
    for block in stages.blocks() {
        residual(&mut stem, block, quantizers)?;
        inputs = block.channels;
    }
    // What the stages leave of the image is averaged.
    let (height, width) = (stages.pixels_left(height), stages.pixels_left(width));
    let size = height.min(width);
    stem.push("avgpool", Layer::AveragePool(size));
    stem.push("flatten", Layer::Flatten);
    stem.quantize("linear.input_quant", activations)?;
    let inputs = inputs * (height / size) * (width / size);
    let start = Start::Uniform(1.0 / (inputs as f32).sqrt());
    let bias = Some((start, BiasQuantizer::None));
    stem.linear("linear", [config.classes, inputs], start, last, bias)?;
    Ok(stem.layers)
}

/// Two convolutions beside a shortcut, then a rectifier.
fn residual(
    blocks: &mut Blocks<'_>,
    block: Block,
    quantizers: &ResnetQuantizers,
) -> Result<(), Error> {
    let Block { stage, number, inputs, channels, stride } = block;
    let name = &format!("layer{}.{number}", stage + 1);
    let weights = quantizers.weights();
    let named = |parts: [&str; 3]| parts.map(|part| format!("{name}.{part}"));
    let add = |blocks: &mut Blocks<'_>, convolution: Convolution, parts| {
        let names = named(parts);
        let names = names.each_ref().map(String::as_str);
        convolution.with_rectifier(blocks, names, weights, quantizers)
    };
    let mut main = blocks.branch();
    let convolution = Convolution { shape: [channels, inputs, KERNEL, KERNEL], stride };
    add(&mut main, convolution, ["conv1", "bn1", "relu1"])?;
    let convolution = Convolution { shape: [channels, channels, KERNEL, KERNEL], stride: 1 };
    add(&mut main, convolution, ["conv2", "bn2", "relu2"])?;
    let mut shortcut = blocks.branch();
    if block.has_shortcut_convolution() {
        let convolution = Convolution { shape: [channels, inputs, 1, 1], stride };
        add(&mut shortcut, convolution, ["downsample.0", "downsample.1", "downsample.2"])?;
    }
    let residual = Residual { main: main.layers, shortcut: shortcut.layers };
    blocks.push(name, Layer::Residual(Box::new(residual)));
    let name = format!("{name}.relu_out");
    blocks.push(&name, Layer::Relu);
    blocks.quantize(&name, quantizers.rectified())
}

/// A convolution whose kernel keeps the size of the image but for the stride.
struct Convolution {
    shape: [usize; 4],
    stride: usize,
}

impl Convolution {
    /// Adds it, with the quantizer of its result, batch normalization, rectifier and quantizer.
    fn with_rectifier(
        self,
        blocks: &mut Blocks<'_>,
        [conv, norm, relu]: [&str; 3],
        weights: WeightQuantizerConfig,
        quantizers: &ResnetQuantizers,
    ) -> Result<(), Error> {
        let Self { shape, stride } = self;
        let [channels, _, kernel, _] = shape;
        let window = Window { stride, padding: (kernel - 1) / 2 };
        let deviation = (2.0 / (channels * kernel * kernel) as f64).sqrt();
        blocks.conv2d(conv, shape, window, Start::Normal(deviation), weights)?;
        blocks.quantize(&format!("{conv}.output_quant"), quantizers.activations())?;
        blocks.batch_norm(norm, channels, EPSILON);
        blocks.push(relu, Layer::Relu);
        blocks.quantize(relu, quantizers.rectified())
    }
}
