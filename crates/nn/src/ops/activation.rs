//! What follows a convolution, as one operation: a quantizer, batch normalization, the rectifier and a quantizer.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_kernels::activation as kernel;
use fewbit_kernels::batch_norm;

use super::batch_norm::{
    self as norm, Affine, BatchNorm, BatchNormGradient, BatchStatistics, Formula,
};
use super::extension::{Keep, contiguous, extension, in_place, record, slice, tensor};
use super::fake_quantize::{FakeQuantize, FakeQuantizeGradient, Rounding, Rule};
use super::relu::{Relu, ReluGradient};
use super::storage::{buffer, recycle};
use crate::error::Error;
use crate::tensor::Tensor;

/// Which parts there are: `y = after(max(norm(before(x)), 0))`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activation {
    /// The rule of the quantizer of the input.
    pub before: Option<Rule>,
    /// Whether negative values become zero.
    pub rectify: bool,
    /// The rule of the quantizer of the result.
    pub after: Option<Rule>,
}

/// The scales of the quantizers of an [`Activation`], `[1]` each; what stands for a quantizer that is missing is not read.
#[derive(Clone, Debug)]
pub struct Scales {
    /// Of the input.
    pub before: Tensor,
    /// Of the result.
    pub after: Tensor,
}

extension! {
    /// Quantizer, batch normalization, rectifier and quantizer in one.
    pub trait Activate: FakeQuantize + BatchNorm + Relu {
        /// Normalizes with the statistics of the batch if there is an `eps`; returns the mean and the biased variance, too.
        fn activate_training(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            before: FloatTensor<Self>,
            after: FloatTensor<Self>,
            eps: Option<f32>,
            activation: Activation
        ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
            let x = quantize::<Self>(x, before, activation.before);
            let (x, mean, variance) = match eps {
                Some(eps) => Self::batch_norm_training(x, weight, bias, eps),
                None => (x, weight, bias),
            };
            (finish::<Self>(x, after, activation), mean, variance)
        }

        /// Normalizes with given statistics.
        #[allow(clippy::too_many_arguments, reason = "the macro wants tensors one by one")]
        fn activate_inference(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            mean: FloatTensor<Self>,
            variance: FloatTensor<Self>,
            before: FloatTensor<Self>,
            after: FloatTensor<Self>,
            eps: f32,
            formula: Formula,
            activation: Activation
        ) -> FloatTensor<Self> {
            let x = quantize::<Self>(x, before, activation.before);
            let x = Self::batch_norm_inference(x, weight, bias, mean, variance, eps, formula);
            finish::<Self>(x, after, activation)
        }
    }
}

fn quantize<B: FakeQuantize>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    rule: Option<Rule>,
) -> FloatTensor<B> {
    match rule {
        Some(rule) => B::fake_quantize_scaled(x, scale, rule),
        None => x,
    }
}

fn finish<B: FakeQuantize + Relu>(
    x: FloatTensor<B>,
    after: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let x = if activation.rectify { B::rectify(x) } else { x };
    quantize::<B>(x, after, activation.after)
}

/// The backward pass; concrete backends only.
pub trait ActivateGradient:
    Activate + FakeQuantizeGradient + BatchNormGradient + ReluGradient
{
    /// The gradients of `x`, weight, bias and both scales, as far as they are wanted.
    fn activate_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
        _wanted: [bool; 5],
    ) -> [Option<FloatTensor<Self>>; 5] {
        let Kept { x, weight, bias, mean, variance, before, after, eps, activation } = kept;
        let u = quantize::<Self>(x.clone(), before.clone(), activation.before);
        let formula = Formula::TwoRoundings;
        let v = match eps {
            Some(eps) => Self::batch_norm_inference(
                u.clone(),
                weight.clone(),
                bias,
                mean.clone(),
                variance.clone(),
                eps,
                formula,
            ),
            None => u.clone(),
        };
        let mut gradient = upstream;
        let (mut dbefore, mut dafter, mut dweight, mut dbias) = (None, None, None, None);
        let (w, rectified) = if activation.rectify {
            let (w, kept) = Self::relu_keeping(v);
            (w, Some(kept))
        } else {
            (v, None)
        };
        if let Some(rule) = activation.after {
            let (dx, dscale) = Self::fake_quantize_scaled_gradient(w, after, gradient, rule);
            (gradient, dafter) = (dx, Some(dscale));
        }
        if let Some(kept) = rectified {
            gradient = Self::relu_gradient(kept, gradient);
        }
        if let Some(eps) = eps {
            let kept = norm::Kept::new(u, weight, mean, variance, eps);
            let [dx, dw, db] = Self::batch_norm_training_gradient(kept, gradient);
            (gradient, dweight, dbias) = (dx, Some(dw), Some(db));
        }
        if let Some(rule) = activation.before {
            let (dx, dscale) = Self::fake_quantize_scaled_gradient(x, before, gradient, rule);
            (gradient, dbefore) = (dx, Some(dscale));
        }
        [Some(gradient), dweight, dbias, dbefore, dafter]
    }
}

/// What the backward pass needs: nothing but the input is as large as the input.
#[derive(Clone, Debug)]
pub struct Kept<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    before: FloatTensor<B>,
    after: FloatTensor<B>,
    eps: Option<f32>,
    activation: Activation,
}

#[cfg(not(feature = "portable"))]
impl Activate for Flex {
    fn activate_training(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        before: FlexTensor,
        after: FlexTensor,
        eps: Option<f32>,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let normalization = match eps {
            Some(eps) => {
                kernel::Normalization::Batch { weight: slice(&weight), bias: slice(&bias), eps }
            }
            None => kernel::Normalization::None,
        };
        let (y, found) = activate(&x, normalization, before, after, activation);
        recycle(x);
        if eps.is_none() {
            return (y, weight, bias);
        }
        let channels = found.mean.len();
        (y, tensor(found.mean, [channels].into()), tensor(found.variance, [channels].into()))
    }

    fn activate_inference(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        before: FlexTensor,
        after: FlexTensor,
        eps: f32,
        formula: Formula,
        activation: Activation,
    ) -> FlexTensor {
        let [x, weight, bias, mean, variance] = [x, weight, bias, mean, variance].map(contiguous);
        let normalization = kernel::Normalization::Given {
            weight: slice(&weight),
            bias: slice(&bias),
            mean: slice(&mean),
            variance: slice(&variance),
            eps,
            formula,
        };
        let y = activate(&x, normalization, before, after, activation).0;
        recycle(x);
        y
    }
}

fn activate(
    x: &FlexTensor,
    normalization: kernel::Normalization<'_>,
    before: FlexTensor,
    after: FlexTensor,
    activation: Activation,
) -> (FlexTensor, batch_norm::BatchStatistics) {
    let mut y = buffer(slice(x).len());
    let found = with_quantizers([before, after], [false; 2], activation, |activation| {
        kernel::forward(slice(x), &mut y, norm::channel_shape(x), normalization, activation)
    });
    (tensor(y, x.shape()), found)
}

/// Calls `f` with the quantizers as the kernels want them.
fn with_quantizers<R>(
    [before, after]: [FlexTensor; 2],
    learned: [bool; 2],
    activation: Activation,
    f: impl FnOnce(&kernel::Activation<'_>) -> R,
) -> R {
    let rounding = |rule: Option<Rule>, scale: FlexTensor, learned: bool| {
        rule.map(|rule| Rounding::new(rule, slice(&contiguous(scale))[0], learned))
    };
    let before = rounding(activation.before, before, learned[0]);
    let after = rounding(activation.after, after, learned[1]);
    f(&kernel::Activation {
        before: before.as_ref().map(|rounding| rounding as &dyn kernel::Quantizer),
        rectify: activation.rectify,
        after: after.as_ref().map(|rounding| rounding as &dyn kernel::Quantizer),
    })
}

#[cfg(not(feature = "portable"))]
impl ActivateGradient for Flex {
    fn activate_gradient(
        kept: Kept<Self>,
        upstream: FlexTensor,
        wanted: [bool; 5],
    ) -> [Option<FlexTensor>; 5] {
        let Kept { x, weight, bias, mean, variance, before, after, eps, activation } = kept;
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let channels = norm::channel_shape(&x);
        let statistics = eps.map(|eps| norm::kept_statistics(mean, variance, eps, channels));
        let normalization =
            statistics.as_ref().map(|statistics| (slice(&weight), slice(&bias), statistics));
        let mut found = kernel::Gradients::default();
        let learned = [wanted[3], wanted[4]];
        let dx = with_quantizers([before, after], learned, activation, |activation| {
            in_place(upstream, |gradient| {
                found = kernel::backward(slice(&x), gradient, channels, normalization, activation);
            })
        });
        recycle(x);
        let vector = |values: Vec<f32>| {
            let len = values.len();
            Some(tensor(values, [len].into()))
        };
        [
            Some(dx),
            vector(found.weight),
            vector(found.bias),
            vector(vec![found.before]),
            vector(vec![found.after]),
        ]
    }
}

impl<B: ActivateGradient, C: CheckpointStrategy> Activate for Autodiff<B, C> {
    fn activate_training(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        before: FloatTensor<Self>,
        after: FloatTensor<Self>,
        eps: Option<f32>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let mut statistics = None;
        let y = record::<B, C, _, 5>(
            [x, weight, bias, before, after],
            |[x, weight, bias, before, after], keep| {
                let (y, mean, variance) = B::activate_training(
                    x.clone(),
                    weight.clone(),
                    bias.clone(),
                    before.clone(),
                    after.clone(),
                    eps,
                    activation,
                );
                statistics = Some((mean.clone(), variance.clone()));
                let kept = (keep == Keep::State).then_some(Kept {
                    x,
                    weight,
                    bias,
                    mean,
                    variance,
                    before,
                    after,
                    eps,
                    activation,
                });
                (y, kept)
            },
            |kept: Kept<B>, upstream, wanted| B::activate_gradient(kept, upstream, wanted),
        );
        let (mean, variance) = statistics.expect("the forward pass has run");
        (y, Self::from_inner(mean), Self::from_inner(variance))
    }
}

/// Quantizes, normalizes with the statistics of the batch, rectifies and quantizes, as far as each is wanted.
///
/// The bits of [`fake_quantize_scaled`](super::fake_quantize_scaled), [`batch_norm_training`](super::batch_norm_training) and
/// [`relu`](super::relu) one after the other, but far less memory is passed over, and only `x` is kept.
///
/// # Shape
/// `x`: `[N, C, ..]`; weight and bias of the normalization: `[C]`.
/// # Gradient
/// To `x`, weight, bias and scales, as those of the parts.
/// # Errors
/// [`ErrorKind::ShapeMismatch`](crate::ErrorKind::ShapeMismatch) if the channels do not fit.
pub fn activate_training(
    x: Tensor,
    normalization: Option<(&Tensor, &Tensor, f32)>,
    scales: Scales,
    activation: Activation,
) -> Result<(Tensor, Option<BatchStatistics>), Error> {
    let shape = x.shape();
    let nothing = || Tensor::full(0.0, &[1], &x.device());
    let (weight, bias, eps) = match normalization {
        Some((weight, bias, eps)) => {
            norm::check_channels(&shape, &[("weight", weight), ("bias", bias)])?;
            (weight.clone(), bias.clone(), Some(eps))
        }
        None => (nothing(), nothing(), None),
    };
    let (y, mean, variance) = <Dispatch as Activate>::activate_training(
        x.into_primitive(),
        weight.into_primitive(),
        bias.into_primitive(),
        scales.before.into_primitive(),
        scales.after.into_primitive(),
        eps,
        activation,
    );
    let statistics = eps.map(|_| BatchStatistics::of(mean, variance, &shape));
    Ok((Tensor::from_primitive(y), statistics))
}

/// As [`activate_training`], with given statistics.
///
/// # Errors
/// [`ErrorKind::ShapeMismatch`](crate::ErrorKind::ShapeMismatch) if the channels do not fit.
pub fn activate_inference(
    x: Tensor,
    affine: Affine<'_>,
    formula: Formula,
    scales: Scales,
    activation: Activation,
) -> Result<Tensor, Error> {
    let Affine { weight, bias, mean, variance, eps } = affine;
    let parameters = [("weight", weight), ("bias", bias), ("mean", mean), ("variance", variance)];
    norm::check_channels(&x.shape(), &parameters)?;
    let [weight, bias, mean, variance] =
        [weight, bias, mean, variance].map(|tensor| tensor.clone().into_primitive());
    Ok(Tensor::from_primitive(<Dispatch as Activate>::activate_inference(
        x.into_primitive(),
        weight,
        bias,
        mean,
        variance,
        scales.before.into_primitive(),
        scales.after.into_primitive(),
        eps,
        formula,
        activation,
    )))
}
