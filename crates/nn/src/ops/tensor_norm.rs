//! Batch normalization with one mean and one variance for the whole tensor.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_kernels::tensor_norm as kernel;

use super::batch_norm::{Affine, BatchStatistics, Normalized};
use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

extension! {
    /// Normalization of a whole tensor.
    pub trait TensorNorm: Backend {
        /// Normalizes with the statistics of the tensor; returns the mean and the biased variance, too.
        fn tensor_norm_training(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            eps: f32
        ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
            let x = Value::<Self>(x);
            let (shape, count) = (x.shape(), x.len());
            let flat = x.reshape(&[count]);
            let mean = flat.clone().total() / count as f32;
            let centered = flat - mean.clone();
            let variance = (centered.clone() * centered.clone()).total() / count as f32;
            let deviation = (variance.clone() + eps).sqrt();
            let inverse = deviation.like(1.0) / deviation;
            let y = centered * inverse * Value(weight) + Value(bias);
            (y.reshape(&shape).0, mean.0, variance.0)
        }

        /// Normalizes with given statistics.
        fn tensor_norm_inference(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            mean: FloatTensor<Self>,
            variance: FloatTensor<Self>,
            eps: f32
        ) -> FloatTensor<Self> {
            let x = Value::<Self>(x);
            let (shape, count) = (x.shape(), x.len());
            let deviation = (Value(variance) + eps).sqrt();
            let y = (x.reshape(&[count]) - Value(mean)) / deviation * Value(weight) + Value(bias);
            y.reshape(&shape).0
        }
    }
}

/// The passes of the normalization that training needs; concrete backends only.
pub trait TensorNormGradient: TensorNorm {
    /// The gradients of `x`, weight and bias, through the statistics of the tensor.
    fn tensor_norm_training_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let x = Value::<Self>(kept.x);
        let (shape, count) = (x.shape(), x.len());
        let upstream = Value(upstream).reshape(&[count]);
        let deviation = (Value(kept.variance) + kept.eps).sqrt();
        let inverse = deviation.like(1.0) / deviation;
        let normalized = (x.reshape(&[count]) - Value(kept.mean)) * inverse.clone();
        let dbias = upstream.clone().total();
        let dweight = (upstream.clone() * normalized.clone()).total();
        let count = count as f32;
        let dx = (upstream - dbias.clone() / count - normalized * (dweight.clone() / count))
            * (Value(kept.weight) * inverse);
        [dx.reshape(&shape).0, dweight.0, dbias.0]
    }

    /// The gradients of `x`, weight and bias, with fixed statistics.
    fn tensor_norm_inference_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let x = Value::<Self>(kept.x);
        let (shape, count) = (x.shape(), x.len());
        let upstream = Value(upstream).reshape(&[count]);
        let deviation = (Value(kept.variance) + kept.eps).sqrt();
        let normalized = (x.reshape(&[count]) - Value(kept.mean)) / deviation.clone();
        let dbias = upstream.clone().total();
        let dweight = (upstream.clone() * normalized).total();
        let dx = upstream * Value(kept.weight) / deviation;
        [dx.reshape(&shape).0, dweight.0, dbias.0]
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

fn number(tensor: FlexTensor) -> f32 {
    slice(&contiguous(tensor))[0]
}

fn single(value: f32) -> FlexTensor {
    tensor(vec![value], [1].into())
}

#[cfg(not(feature = "portable"))]
impl TensorNorm for Flex {
    fn tensor_norm_training(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        eps: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let x = contiguous(x);
        let mut y = vec![0.0; slice(&x).len()];
        let found = kernel::training(slice(&x), &mut y, number(weight), number(bias), eps);
        (tensor(y, x.shape()), single(found.mean[0]), single(found.variance[0]))
    }

    fn tensor_norm_inference(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        eps: f32,
    ) -> FlexTensor {
        let x = contiguous(x);
        let mut y = vec![0.0; slice(&x).len()];
        let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(number);
        kernel::evaluation(slice(&x), &mut y, mean, variance, weight, bias, eps);
        tensor(y, x.shape())
    }
}

#[cfg(not(feature = "portable"))]
impl TensorNormGradient for Flex {
    fn tensor_norm_training_gradient(kept: Kept<Self>, upstream: FlexTensor) -> [FlexTensor; 3] {
        let (x, upstream) = (contiguous(kept.x), contiguous(upstream));
        let [weight, mean, variance] = [kept.weight, kept.mean, kept.variance].map(number);
        let statistics = fewbit_kernels::batch_norm::BatchStatistics {
            mean: vec![mean],
            variance: vec![variance],
            inverse_deviation: vec![1.0 / (variance + kept.eps).sqrt()],
            count: slice(&x).len(),
        };
        let mut dx = vec![0.0; slice(&x).len()];
        let (dweight, dbias) =
            kernel::training_grad(slice(&x), slice(&upstream), &mut dx, weight, &statistics);
        [tensor(dx, x.shape()), single(dweight), single(dbias)]
    }

    fn tensor_norm_inference_gradient(kept: Kept<Self>, upstream: FlexTensor) -> [FlexTensor; 3] {
        let (x, upstream) = (contiguous(kept.x), contiguous(upstream));
        let [weight, mean, variance] = [kept.weight, kept.mean, kept.variance].map(number);
        let mut dx = vec![0.0; slice(&x).len()];
        let (dweight, dbias) = kernel::evaluation_grad(
            slice(&x),
            slice(&upstream),
            &mut dx,
            mean,
            variance,
            weight,
            kept.eps,
        );
        [tensor(dx, x.shape()), single(dweight), single(dbias)]
    }
}

impl<B: TensorNormGradient, C: CheckpointStrategy> TensorNorm for Autodiff<B, C> {
    fn tensor_norm_training(
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
                let (y, mean, variance) = B::tensor_norm_training(x, weight, bias, eps);
                statistics = Some((mean.clone(), variance.clone()));
                (y, kept.map(|(x, weight)| Kept { x, weight, mean, variance, eps }))
            },
            |kept: Kept<B>, upstream, _| B::tensor_norm_training_gradient(kept, upstream).map(Some),
        );
        let (mean, variance) = statistics.expect("the forward pass has run");
        (y, Self::from_inner(mean), Self::from_inner(variance))
    }

    fn tensor_norm_inference(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        eps: f32,
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
                (B::tensor_norm_inference(x, weight, bias, mean, variance, eps), kept)
            },
            |kept: Kept<B>, upstream, _| {
                B::tensor_norm_inference_gradient(kept, upstream).map(Some)
            },
        )
    }
}

/// Normalizes with the mean and variance of the whole tensor.
///
/// `y = (x - mean) * (1 / sqrt(variance + eps)) * weight + bias` with the biased variance.
///
/// # Shape
/// `weight`, `bias`: `[1]`, as are the statistics.
/// # Gradient
/// To `x` (also through mean and variance), weight and bias.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if a parameter is no single number.
pub fn tensor_norm_training(
    x: Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Result<Normalized, Error> {
    check(&x, &[("weight", weight), ("bias", bias)])?;
    let count = x.len();
    let (y, mean, variance) = <Dispatch as TensorNorm>::tensor_norm_training(
        x.into_primitive(),
        weight.clone().into_primitive(),
        bias.clone().into_primitive(),
        eps,
    );
    let statistics = BatchStatistics {
        mean: Tensor::from_primitive(mean).detach(),
        variance: Tensor::from_primitive(variance).detach(),
        count,
    };
    Ok(Normalized { value: Tensor::from_primitive(y), statistics })
}

/// Normalizes with running statistics.
///
/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`, each of the operations rounded.
///
/// # Shape
/// All of `affine`: `[1]`.
/// # Errors
/// [`ErrorKind::ShapeMismatch`] if one of them is no single number.
pub fn tensor_norm_inference(x: Tensor, affine: Affine<'_>) -> Result<Tensor, Error> {
    let Affine { weight, bias, mean, variance, eps } = affine;
    check(&x, &[("weight", weight), ("bias", bias), ("mean", mean), ("variance", variance)])?;
    Ok(Tensor::from_primitive(<Dispatch as TensorNorm>::tensor_norm_inference(
        x.into_primitive(),
        weight.clone().into_primitive(),
        bias.clone().into_primitive(),
        mean.clone().into_primitive(),
        variance.clone().into_primitive(),
        eps,
    )))
}

fn check(x: &Tensor, parameters: &[(&'static str, &Tensor)]) -> Result<(), Error> {
    let mismatch = |operand, got, expected: &str| {
        let (operation, expected) = ("tensor normalization", expected.to_owned());
        Err(Error::new(ErrorKind::ShapeMismatch { operation, operand, got, expected }))
    };
    if x.is_empty() {
        return mismatch("x", x.shape(), "at least one element");
    }
    for (operand, parameter) in parameters {
        if parameter.shape() != [1] {
            return mismatch(operand, parameter.shape(), "[1]");
        }
    }
    Ok(())
}
