//! The layers: a closed set, so that a new one stops the build in the exporter.

use super::parameter::{Clipping, Parameter};
use super::taps::{Taps, tensor_name};
use super::truncated_pool::TruncatedPool;
use super::{Pass, fusion};
use crate::device::Device;
use crate::error::Error;
use crate::init;
use crate::ops::{self, Activation, Affine, BatchStatistics, Formula, Quantized, Scales, Window};
use crate::quantizer::{ActQuantizer, BiasQuantizer, WeightQuantizer};
use crate::tensor::Tensor;

/// A layer and the name under which checkpoints and exported files know it.
#[derive(Debug)]
pub struct NamedLayer {
    /// `features.2`. A rectifier and the quantizer behind it have the same one, as in the original.
    pub name: String,
    /// The layer.
    pub layer: Layer,
}

/// One step of a network.
#[derive(Debug)]
pub enum Layer {
    /// `[N, C, H, W]` to `[N, C * H * W]`.
    Flatten,
    /// `y = x * scale - shift`, each rounded: pixels from `[0, 1]` to `[-1, 1]`.
    ScaleShift {
        /// The factor.
        scale: f32,
        /// What is subtracted.
        shift: f32,
    },
    /// `y = (x - mean) / std` of each channel of images, each step rounded. Images have no gradient.
    Normalize {
        /// What is subtracted.
        mean: Vec<f32>,
        /// What it is divided by.
        std: Vec<f32>,
    },
    /// Quantizes activations.
    Quantize(Box<ActQuantizer>),
    /// Quantizes activations with the quantizer of the [`Network`](super::Network) that has this number: several
    /// layers have the same scale.
    QuantizeShared(usize),
    /// In training, sets values to zero with this probability and scales the others up.
    Dropout(f64),
    /// A fully connected layer.
    Linear(Linear),
    /// A convolution without bias.
    Conv2d(Conv2d),
    /// Batch normalization over all dimensions but the second.
    BatchNorm(BatchNorm),
    /// Batch normalization over the whole tensor.
    TensorNorm(TensorNorm),
    /// `y = max(x, 0)`.
    Relu,
    /// The largest value of every window of so many rows and columns.
    MaxPool(usize),
    /// The mean of every window of so many rows and columns.
    AveragePool(usize),
    /// The mean of every window, whose lowest bits are left out.
    TruncatedAveragePool {
        /// Rows and columns of a window.
        size: usize,
        /// Bits of the integers that are left.
        bit_width: u32,
    },
    /// Two branches that start from the same tensor, added.
    Residual(Box<Residual>),
}

/// `y = x * Q(w)^T`, then `+ bias`.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Parameter,
    /// What is applied to the weight before the product.
    pub quantizer: WeightQuantizer,
    /// What is added, if there is something.
    pub bias: Option<Bias>,
}

/// A bias.
#[derive(Debug)]
pub struct Bias {
    /// `[outputs]`.
    pub value: Parameter,
    /// What is applied to it before it is added.
    pub quantizer: BiasQuantizer,
}

/// `y = x * Q(w)`, a cross-correlation.
#[derive(Debug)]
pub struct Conv2d {
    /// `[outputs, inputs, height, width]`.
    pub weight: Parameter,
    /// What is applied to the weight before the product.
    pub quantizer: WeightQuantizer,
    /// How the kernel moves.
    pub window: Window,
}

/// `y = main(x) + shortcut(x)`.
#[derive(Debug)]
pub struct Residual {
    /// The layers of the first branch.
    pub main: Vec<NamedLayer>,
    /// The layers of the second; none if it is `x` itself.
    pub shortcut: Vec<NamedLayer>,
}

/// Normalizes each channel by its mean and variance, then scales and shifts it.
#[derive(Debug)]
pub struct BatchNorm {
    /// Factor, `[C]`.
    pub weight: Parameter,
    /// Offset, `[C]`.
    pub bias: Parameter,
    /// Mean that evaluation uses, `[C]`.
    pub running_mean: Vec<f32>,
    /// Variance that evaluation uses, `[C]`.
    pub running_var: Vec<f32>,
    /// Number of batches that went into the running statistics.
    pub batches_tracked: i64,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Normalizes the whole tensor by one mean and one variance, then scales and shifts it.
///
/// One affine function for all classes: it leaves the prediction and gives the loss a good scale.
#[derive(Debug)]
pub struct TensorNorm {
    /// Factor, `[1]`.
    pub weight: Parameter,
    /// Offset, `[1]`.
    pub bias: Parameter,
    /// Mean that evaluation uses.
    pub running_mean: f32,
    /// Variance that evaluation uses.
    pub running_var: f32,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Share of a new batch in the running statistics.
const MOMENTUM: f32 = 0.1;

/// Where and when a layer runs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub name: &'a str,
    pub pass: Pass,
    pub batch_norm: Formula,
}

impl Place<'_> {
    fn offer(&self, taps: &mut Taps, part: &str, tensor: &Tensor) {
        taps.offer(|| tensor_name(self.name, part), tensor);
    }

    /// A parameter's value: a leaf of the graph in training.
    fn value(&self, parameter: &mut Parameter) -> Tensor {
        match self.pass {
            Pass::Training { .. } => parameter.enter_graph(),
            Pass::Evaluation => parameter.value().clone(),
        }
    }
}

impl Layer {
    pub(super) fn forward(
        &mut self,
        x: Quantized,
        place: Place<'_>,
        run: &mut Run<'_>,
    ) -> Result<Quantized, Error> {
        let taps = &mut *run.taps;
        match self {
            Self::Flatten => {
                let shape = x.value.shape();
                let flat = x.value.clone().reshape(&[shape[0], shape[1..].iter().product()]);
                place.offer(taps, part::RESHAPE, &flat);
                Ok(Quantized { value: flat, ..x })
            }
            Self::ScaleShift { scale, shift } => {
                let y = ops::scale_shift(x.value, *scale, -*shift);
                place.offer(taps, part::SUB, &y);
                Ok(Quantized::plain(y))
            }
            Self::Normalize { mean, std } => {
                let y = normalized(&x.value, mean, std);
                place.offer(taps, part::DIV, &y);
                Ok(Quantized::plain(y))
            }
            Self::Quantize(quantizer) => {
                let y = quantizer.forward(&x.value, place.pass.into())?;
                if quantizer.format().is_some() {
                    place.offer(taps, part::ACT_QUANT, &y.value);
                }
                Ok(y)
            }
            Self::QuantizeShared(number) => {
                let quantizer = &mut run.shared[*number];
                let y = quantizer.forward(&x.value, place.pass.into())?;
                if quantizer.format().is_some() {
                    place.offer(taps, part::ACT_QUANT, &y.value);
                }
                Ok(y)
            }
            Self::Dropout(probability) => Ok(match place.pass {
                Pass::Training { step } => {
                    let stream = init::stream_of(&format!("{}/dropout/{step}", place.name));
                    ops::dropout(&x, *probability, run.seed, stream)
                }
                Pass::Evaluation => x,
            }),
            Self::Linear(linear) => {
                let weight = linear.quantizer.forward(&place.value(&mut linear.weight))?;
                if linear.quantizer.format().is_some() {
                    place.offer(taps, part::WEIGHT_QUANT, &weight.value);
                }
                let bias = match &mut linear.bias {
                    Some(Bias { value, quantizer }) => {
                        let bias = quantizer.forward(&place.value(value), &x, &weight)?;
                        if *quantizer != BiasQuantizer::None {
                            place.offer(taps, part::BIAS_QUANT, &bias);
                        }
                        Some(bias)
                    }
                    None => None,
                };
                let y = ops::linear(&x, &weight, bias.as_ref())?;
                let part = if bias.is_some() { part::GEMM } else { part::MATMUL };
                place.offer(taps, part, &y);
                Ok(Quantized::plain(y))
            }
            Self::Conv2d(conv) => {
                let weight = conv.quantizer.forward(&place.value(&mut conv.weight))?;
                if conv.quantizer.format().is_some() {
                    place.offer(taps, part::WEIGHT_QUANT, &weight.value);
                }
                let y = ops::conv2d(&x, &weight, conv.window)?;
                place.offer(taps, part::CONV, &y);
                Ok(Quantized::plain(y))
            }
            Self::BatchNorm(norm) => {
                let y = norm.forward(x.value, place)?;
                place.offer(taps, part::BATCH_NORM, &y);
                Ok(Quantized::plain(y))
            }
            Self::TensorNorm(norm) => {
                let y = norm.forward(x.value, place)?;
                place.offer(taps, part::ADD, &y);
                Ok(Quantized::plain(y))
            }
            Self::Relu => {
                let y = ops::relu(x.value);
                place.offer(taps, part::RELU, &y);
                Ok(Quantized::plain(y))
            }
            Self::MaxPool(size) => {
                let y = ops::max_pool(&x, *size)?;
                place.offer(taps, part::MAX_POOL, &y.value);
                Ok(y)
            }
            Self::AveragePool(size) => {
                let y = ops::average_pool(&x.value, *size)?;
                place.offer(taps, part::AVERAGE_POOL, &y);
                Ok(Quantized::plain(y))
            }
            Self::TruncatedAveragePool { size, bit_width } => {
                let mean = ops::average_pool(&x.value, *size)?;
                place.offer(taps, part::AVERAGE_POOL, &mean);
                let Some(pool) = TruncatedPool::of(&x.grid, *size, *bit_width)? else {
                    return Ok(Quantized::plain(mean));
                };
                let value = match &x.scale {
                    // The mean has the scale of the sum, divided by the number of its terms.
                    Some(scale) => {
                        let scale = scale.clone().reshape(&[1]);
                        let scale = scale.mul_scalar(1.0 / (*size * *size) as f32);
                        ops::truncate_scaled(mean, &scale, pool.truncation)
                    }
                    None => ops::truncate(mean, pool.truncation),
                };
                place.offer(taps, part::TRUNC, &value);
                let scale = x.scale.map(|scale| scale.mul_scalar(pool.factor));
                Ok(Quantized { value, grid: pool.grid, scale })
            }
            Self::Residual(residual) => {
                let main = forward(&mut residual.main, x.clone(), run)?;
                let other = forward(&mut residual.shortcut, x, run)?;
                let y = main.value.add(&other.value);
                place.offer(&mut *run.taps, part::ADD, &y);
                Ok(Quantized::plain(y))
            }
        }
    }
}

/// What a forward pass carries through the layers.
pub(super) struct Run<'a> {
    pub seed: u64,
    pub pass: Pass,
    pub batch_norm: Formula,
    pub taps: &'a mut Taps,
    pub shared: &'a mut [ActQuantizer],
}

/// Runs layers one after the other.
pub(super) fn forward(
    layers: &mut [NamedLayer],
    x: Quantized,
    run: &mut Run<'_>,
) -> Result<Quantized, Error> {
    let (mut rest, mut x) = (layers, x);
    while !rest.is_empty() {
        let fused = fusion::length(rest, &x.value, run);
        let (now, later) = rest.split_at_mut(fused.max(1));
        x = match now {
            [NamedLayer { name, layer }] => {
                let place = Place { name, pass: run.pass, batch_norm: run.batch_norm };
                layer.forward(x, place, run)?
            }
            several => fusion::forward(several, x, run)?,
        };
        rest = later;
    }
    Ok(x)
}

/// `(x - mean) / std` of each channel of images, each step rounded.
fn normalized(images: &Tensor, mean: &[f32], std: &[f32]) -> Tensor {
    let shape = images.shape();
    let pixels: usize = shape[2..].iter().product();
    let values = images.read(|values| {
        let planes = values.chunks(pixels.max(1)).enumerate();
        planes
            .flat_map(|(i, plane)| {
                let (mean, std) = (mean[i % mean.len()], std[i % std.len()]);
                plane.iter().map(move |v| (v - mean) / std)
            })
            .collect()
    });
    Tensor::from_vec(values, &shape, &images.device())
}

/// The parts of layers that have names in exported files.
pub(crate) mod part {
    pub const RESHAPE: &str = "reshape";
    pub const MUL: &str = "mul";
    pub const SUB: &str = "sub";
    pub const ACT_QUANT: &str = "act_quant";
    pub const WEIGHT_QUANT: &str = "weight_quant";
    pub const TRANSPOSE: &str = "transpose";
    pub const MATMUL: &str = "matmul";
    pub const BATCH_NORM: &str = "batch_norm";
    pub const DEVIATION: &str = "deviation";
    pub const SPREAD: &str = "spread";
    pub const DIV: &str = "div";
    pub const ADD: &str = "add";
    pub const GEMM: &str = "gemm";
    pub const CONV: &str = "conv";
    pub const RELU: &str = "relu";
    pub const MAX_POOL: &str = "max_pool";
    pub const AVERAGE_POOL: &str = "average_pool";
    pub const TRUNC: &str = "trunc";
    pub const BIAS_QUANT: &str = "bias_quant";
}

impl BatchNorm {
    /// Starts with factor 1, offset 0, mean 0 and variance 1.
    pub fn new(channels: usize, epsilon: f32, device: &Device) -> Self {
        Self {
            weight: Parameter::new(Tensor::full(1.0, &[channels], device), Clipping::None),
            bias: Parameter::new(Tensor::zeros(&[channels], device), Clipping::None),
            running_mean: vec![0.0; channels],
            running_var: vec![1.0; channels],
            batches_tracked: 0,
            epsilon,
        }
    }

    fn forward(&mut self, x: Tensor, place: Place<'_>) -> Result<Tensor, Error> {
        let (weight, bias) = (place.value(&mut self.weight), place.value(&mut self.bias));
        match place.pass {
            Pass::Evaluation => {
                let [mean, variance] = self.running(&x.device());
                let affine = self.affine(&weight, &bias, &mean, &variance);
                ops::batch_norm_inference(x, affine, place.batch_norm)
            }
            Pass::Training { .. } => {
                let found = ops::batch_norm_training(x, &weight, &bias, self.epsilon)?;
                self.update(&found.statistics);
                Ok(found.value)
            }
        }
    }

    /// As [`forward`](Self::forward), with what stands around it.
    pub(super) fn activate(
        &mut self,
        x: Tensor,
        place: Place<'_>,
        scales: Scales,
        activation: Activation,
    ) -> Result<Tensor, Error> {
        let (weight, bias) = (place.value(&mut self.weight), place.value(&mut self.bias));
        match place.pass {
            Pass::Evaluation => {
                let [mean, variance] = self.running(&x.device());
                let affine = self.affine(&weight, &bias, &mean, &variance);
                ops::activate_inference(x, affine, place.batch_norm, scales, activation)
            }
            Pass::Training { .. } => {
                let norm = Some((&weight, &bias, self.epsilon));
                let (y, statistics) = ops::activate_training(x, norm, scales, activation)?;
                self.update(&statistics.expect("a normalization has statistics"));
                Ok(y)
            }
        }
    }

    fn running(&self, device: &Device) -> [Tensor; 2] {
        [&self.running_mean, &self.running_var]
            .map(|values| Tensor::from_vec(values.clone(), &[values.len()], device))
    }

    fn affine<'a>(
        &self,
        weight: &'a Tensor,
        bias: &'a Tensor,
        mean: &'a Tensor,
        variance: &'a Tensor,
    ) -> Affine<'a> {
        Affine { weight, bias, mean, variance, eps: self.epsilon }
    }

    fn update(&mut self, statistics: &BatchStatistics) {
        statistics.update(&mut self.running_mean, &mut self.running_var, MOMENTUM);
        self.batches_tracked += 1;
    }
}

impl TensorNorm {
    /// Starts with factor 1, offset 0, mean 0 and variance 1.
    pub fn new(epsilon: f32, device: &Device) -> Self {
        Self {
            weight: Parameter::new(Tensor::full(1.0, &[1], device), Clipping::None),
            bias: Parameter::new(Tensor::zeros(&[1], device), Clipping::None),
            running_mean: 0.0,
            running_var: 1.0,
            epsilon,
        }
    }

    fn forward(&mut self, x: Tensor, place: Place<'_>) -> Result<Tensor, Error> {
        let (weight, bias) = (place.value(&mut self.weight), place.value(&mut self.bias));
        match place.pass {
            Pass::Evaluation => {
                let device = x.device();
                let [mean, variance] = [self.running_mean, self.running_var]
                    .map(|value| Tensor::from_vec(vec![value], &[1], &device));
                let affine = Affine {
                    weight: &weight,
                    bias: &bias,
                    mean: &mean,
                    variance: &variance,
                    eps: self.epsilon,
                };
                ops::tensor_norm_inference(x, affine)
            }
            Pass::Training { .. } => {
                let found = ops::tensor_norm_training(x, &weight, &bias, self.epsilon)?;
                let (mean, var) = (&mut self.running_mean, &mut self.running_var);
                found.statistics.update(
                    std::slice::from_mut(mean),
                    std::slice::from_mut(var),
                    MOMENTUM,
                );
                Ok(found.value)
            }
        }
    }
}
