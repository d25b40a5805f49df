//! Batch normalization: per channel over the batch and all positions.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, DispatchTensor, Flex, TensorMetadata,
};
use fewbit_kernels::batch_norm::{self as kernel, ChannelShape};

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

pub use fewbit_kernels::batch_norm::Formula;

/// What a training pass gives.
#[derive(Clone, Debug)]
pub struct Normalized {
    /// The normalized values.
    pub value: Tensor,
    /// The mean and variance of the batch.
    pub statistics: BatchStatistics,
}

/// Mean and variance of a batch, outside of any graph.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// Mean of each channel.
    pub mean: Tensor,
    /// Biased variance of each channel: divided by the number of values.
    pub variance: Tensor,
    /// Values per channel.
    pub count: usize,
}

impl BatchStatistics {
    /// Those of a tensor of shape `[N, C, ..]`, as an operation gives them.
    pub(super) fn of(mean: DispatchTensor, variance: DispatchTensor, shape: &[usize]) -> Self {
        Self {
            mean: Tensor::from_primitive(mean).detach(),
            variance: Tensor::from_primitive(variance).detach(),
            count: shape.iter().product::<usize>() / shape[1],
        }
    }

    /// Moves running statistics towards this batch.
    ///
    /// `running = (1 - momentum) * running + momentum * batch`, with the unbiased variance (divided
    /// by one less than the number of values).
    pub fn update(&self, running_mean: &mut [f32], running_variance: &mut [f32], momentum: f32) {
        let unbias = match self.count {
            0 | 1 => 1.0,
            count => count as f64 / (count - 1) as f64,
        };
        let keep = 1.0 - momentum;
        let pairs = [(running_mean, &self.mean, 1.0), (running_variance, &self.variance, unbias)];
        for (running, batch, factor) in pairs {
            batch.read(|batch| {
                for (running, &batch) in running.iter_mut().zip(batch) {
                    let batch = (f64::from(batch) * factor) as f32;
                    *running = keep * *running + momentum * batch;
                }
            });
        }
    }
}

extension! {
    /// Batch normalization.
    pub trait BatchNorm: Backend {
        /// Normalizes with the statistics of the batch; returns the mean and the biased variance, too.
        fn batch_norm_training(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            eps: f32
        ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
            let x = Value::<Self>(x);
            let channels = Channels::of(&x.shape());
            let mean = x.clone().sum_over(channels.others()) / channels.count();
            let centered = x.clone() - mean.clone();
            let variance = (centered.clone() * centered).sum_over(channels.others()) / channels.count();
            let (weight, bias) = (channels.spread(weight), channels.spread(bias));
            let y = affine(x, weight, bias, mean.clone(), variance.clone(), eps);
            (y.0, channels.flat(mean), channels.flat(variance))
        }

        /// Normalizes with given statistics.
        fn batch_norm_inference(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            mean: FloatTensor<Self>,
            variance: FloatTensor<Self>,
            eps: f32,
            formula: Formula
        ) -> FloatTensor<Self> {
            // No backend promises a fused multiply-add: PyTorch's formula is the processor's alone.
            assert_eq!(formula, Formula::TwoRoundings, "the formula of batch normalization");
            let x = Value::<Self>(x);
            let channels = Channels::of(&x.shape());
            let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(|t| channels.spread(t));
            affine(x, weight, bias, mean, variance, eps).0
        }
    }
}

/// `a = weight * (1 / sqrt(variance + eps)); b = bias - mean * a; y = x * a + b`.
fn affine<B: Backend>(
    x: Value<B>,
    weight: Value<B>,
    bias: Value<B>,
    mean: Value<B>,
    variance: Value<B>,
    eps: f32,
) -> Value<B> {
    let deviation = (variance + eps).sqrt();
    let a = weight * (deviation.like(1.0) / deviation);
    let b = bias - mean * a.clone();
    x * a + b
}

/// The passes of batch normalization that training needs; concrete backends only.
pub trait BatchNormGradient: BatchNorm {
    /// The gradients of `x`, weight and bias, through the statistics of the batch.
    fn batch_norm_training_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let (x, upstream) = (Value::<Self>(kept.x), Value::<Self>(upstream));
        let channels = Channels::of(&x.shape());
        let [weight, mean, variance] =
            [kept.weight, kept.mean, kept.variance].map(|t| channels.spread(t));
        let deviation = (variance + kept.eps).sqrt();
        let inverse = deviation.like(1.0) / deviation;
        let normalized = (x - mean) * inverse.clone();
        let total = |value: Value<Self>| value.sum_over(channels.others());
        let dbias = total(upstream.clone());
        let dweight = total(upstream.clone() * normalized.clone());
        let count = channels.count();
        let dx = (upstream - dbias.clone() / count - normalized * (dweight.clone() / count))
            * (weight * inverse);
        [dx.0, channels.flat(dweight), channels.flat(dbias)]
    }

    /// The gradients of `x`, weight and bias, with fixed statistics.
    fn batch_norm_inference_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let (x, upstream) = (Value::<Self>(kept.x), Value::<Self>(upstream));
        let channels = Channels::of(&x.shape());
        let [weight, mean, variance] =
            [kept.weight, kept.mean, kept.variance].map(|t| channels.spread(t));
        let deviation = (variance + kept.eps).sqrt();
        let inverse = deviation.like(1.0) / deviation;
        let normalized = (x - mean) * inverse.clone();
        let dbias = upstream.clone().sum_over(channels.others());
        let dweight = (upstream.clone() * normalized).sum_over(channels.others());
        let dx = upstream * (weight * inverse);
        [dx.0, channels.flat(dweight), channels.flat(dbias)]
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub struct Kept<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    eps: f32,
}

impl<B: Backend> Kept<B> {
    /// The input, the weight, and the statistics of the batch.
    pub fn new(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        mean: FloatTensor<B>,
        variance: FloatTensor<B>,
        eps: f32,
    ) -> Self {
        Self { x, weight, mean, variance, eps }
    }
}

/// The channel dimension of a tensor `[N, C, ..]`.
struct Channels {
    shape: Vec<usize>,
}

impl Channels {
    fn of(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec() }
    }

    /// All other dimensions.
    fn others(&self) -> Vec<usize> {
        (0..self.shape.len()).filter(|&dim| dim != 1).collect()
    }

    /// Values per channel.
    fn count(&self) -> f32 {
        self.others().iter().map(|&dim| self.shape[dim]).product::<usize>() as f32
    }

    /// `[C]` as `[1, C, 1, ..]`.
    fn spread<B: Backend>(&self, parameter: FloatTensor<B>) -> Value<B> {
        let shape: Vec<usize> = self
            .shape
            .iter()
            .enumerate()
            .map(|(dim, &size)| if dim == 1 { size } else { 1 })
            .collect();
        Value(parameter).reshape(&shape)
    }

    /// `[1, C, 1, ..]` as `[C]`.
    fn flat<B: Backend>(&self, value: Value<B>) -> FloatTensor<B> {
        value.reshape(&[self.shape[1]]).0
    }
}

pub(super) fn channel_shape(x: &FlexTensor) -> ChannelShape {
    let shape = x.shape().to_vec();
    ChannelShape { n: shape[0], c: shape[1], inner: shape[2..].iter().product() }
}

/// What the forward pass has found, as the kernels want it.
#[cfg(not(feature = "portable"))]
pub(super) fn kept_statistics(
    mean: FlexTensor,
    variance: FlexTensor,
    eps: f32,
    shape: ChannelShape,
) -> kernel::BatchStatistics {
    let variance = slice(&contiguous(variance)).to_vec();
    kernel::BatchStatistics {
        mean: slice(&contiguous(mean)).to_vec(),
        inverse_deviation: variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect(),
        variance,
        count: shape.n * shape.inner,
    }
}

#[cfg(not(feature = "portable"))]
impl BatchNorm for Flex {
    fn batch_norm_training(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        eps: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
        let shape = channel_shape(&x);
        let mut y = vec![0.0; slice(&x).len()];
        let found = kernel::training(slice(&x), &mut y, shape, slice(&weight), slice(&bias), eps);
        (
            tensor(y, x.shape()),
            tensor(found.mean, [shape.c].into()),
            tensor(found.variance, [shape.c].into()),
        )
    }

    fn batch_norm_inference(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        eps: f32,
        formula: Formula,
    ) -> FlexTensor {
        let x = contiguous(x);
        let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(contiguous);
        let mut y = vec![0.0; slice(&x).len()];
        kernel::inference(
            slice(&x),
            &mut y,
            channel_shape(&x),
            slice(&weight),
            slice(&bias),
            slice(&mean),
            slice(&variance),
            eps,
            formula,
        );
        tensor(y, x.shape())
    }
}

#[cfg(not(feature = "portable"))]
impl BatchNormGradient for Flex {
    fn batch_norm_training_gradient(kept: Kept<Self>, upstream: FlexTensor) -> [FlexTensor; 3] {
        let Kept { x, weight, mean, variance, eps } = kept;
        let (x, upstream, weight) = (contiguous(x), contiguous(upstream), contiguous(weight));
        let shape = channel_shape(&x);
        let statistics = kept_statistics(mean, variance, eps, shape);
        let mut dx = vec![0.0; slice(&x).len()];
        let found = kernel::training_grad(
            slice(&x),
            slice(&upstream),
            &mut dx,
            shape,
            slice(&weight),
            &statistics,
        );
        [
            tensor(dx, x.shape()),
            tensor(found.weight, [shape.c].into()),
            tensor(found.bias, [shape.c].into()),
        ]
    }
}

impl<B: BatchNormGradient, C: CheckpointStrategy> BatchNorm for Autodiff<B, C> {
    fn batch_norm_training(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let mut statistics = None;
        let y = record::<B, C, _, 3>(
            [x, weight, bias],
            |[x, weight, bias], keep| {
                let kept = (keep == Keep::State).then(|| (x.clone(), weight.clone()));
                let (y, mean, variance) = B::batch_norm_training(x, weight, bias, eps);
                statistics = Some((mean.clone(), variance.clone()));
                (y, kept.map(|(x, weight)| Kept { x, weight, mean, variance, eps }))
            },
            |kept: Kept<B>, upstream, _| B::batch_norm_training_gradient(kept, upstream).map(Some),
        );
        let (mean, variance) = statistics.expect("the forward pass has run");
        (y, Self::from_inner(mean), Self::from_inner(variance))
    }

    fn batch_norm_inference(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        eps: f32,
        formula: Formula,
    ) -> FloatTensor<Self> {
        let (mean, variance) = (mean.into_primitive(), variance.into_primitive());
        record::<B, C, _, 3>(
            [x, weight, bias],
            |[x, weight, bias], keep| {
                let kept = (keep == Keep::State).then(|| Kept {
                    x: x.clone(),
                    weight: weight.clone(),
                    mean: mean.clone(),
                    variance: variance.clone(),
                    eps,
                });
                (B::batch_norm_inference(x, weight, bias, mean, variance, eps, formula), kept)
            },
            |kept: Kept<B>, upstream, _| B::batch_norm_inference_gradient(kept, upstream).map(Some),
        )
    }
}

/// Normalizes each channel with the statistics of the batch.
///
/// `a = weight * (1 / sqrt(variance + eps)); b = bias - mean * a; y = x * a + b`, each step rounded;
/// mean and biased variance are sums in `f64`, rounded once.
///
/// # Shape
/// `x`: `[N, C, ..]`; `weight`, `bias`: `[C]`.
/// # Gradient
/// To `x` (also through mean and variance), weight and bias.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if the channels do not fit.
pub fn batch_norm_training(
    x: Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Result<Normalized, Error> {
    let shape = x.shape();
    check_channels(&shape, &[("weight", weight), ("bias", bias)])?;
    let (y, mean, variance) = <Dispatch as BatchNorm>::batch_norm_training(
        x.into_primitive(),
        weight.clone().into_primitive(),
        bias.clone().into_primitive(),
        eps,
    );
    let statistics = BatchStatistics::of(mean, variance, &shape);
    Ok(Normalized { value: Tensor::from_primitive(y), statistics })
}

/// The parameters and running statistics of a batch normalization, each of shape `[C]`.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Factor.
    pub weight: &'a Tensor,
    /// Summand.
    pub bias: &'a Tensor,
    /// Running mean.
    pub mean: &'a Tensor,
    /// Running variance.
    pub variance: &'a Tensor,
    /// Added to the variance.
    pub eps: f32,
}

/// Normalizes each channel with running statistics.
///
/// # Shape
/// `x`: `[N, C, ..]`.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if the channels do not fit.
/// # Source
/// [`Formula::TwoRoundings`] is onnxruntime's and the default, [`Formula::Fused`] is PyTorch's.
pub fn batch_norm_inference(
    x: Tensor,
    affine: Affine<'_>,
    formula: Formula,
) -> Result<Tensor, Error> {
    let Affine { weight, bias, mean, variance, eps } = affine;
    let operands = [("weight", weight), ("bias", bias), ("mean", mean), ("variance", variance)];
    check_channels(&x.shape(), &operands)?;
    Ok(Tensor::from_primitive(<Dispatch as BatchNorm>::batch_norm_inference(
        x.into_primitive(),
        weight.clone().into_primitive(),
        bias.clone().into_primitive(),
        mean.clone().into_primitive(),
        variance.clone().into_primitive(),
        eps,
        formula,
    )))
}

pub(super) fn check_channels(
    x: &[usize],
    parameters: &[(&'static str, &Tensor)],
) -> Result<(), Error> {
    let mismatch = |operand, got: &[usize], expected| {
        Err(Error::new(ErrorKind::ShapeMismatch {
            operation: "batch normalization",
            operand,
            got: got.to_vec(),
            expected,
        }))
    };
    if x.len() < 2 || x.contains(&0) {
        return mismatch("x", x, "[N, C, ..] without zeros".to_owned());
    }
    for (operand, parameter) in parameters {
        let shape = parameter.shape();
        if shape != [x[1]] {
            return mismatch(operand, &shape, format!("[{}]", x[1]));
        }
    }
    Ok(())
}
