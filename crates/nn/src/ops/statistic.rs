//! The magnitude that a scale is made from.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_kernels::statistics as kernel;

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::selection::place_of;
use super::value::Value;
use crate::tensor::Tensor;

/// A measure of the magnitudes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The largest.
    AbsMax,
    /// The `k`-th smallest of `n`, `k = floor(0.01 * percentile * n + 0.5)`.
    AbsPercentile(f64),
}

extension! {
    /// Statistics of magnitudes.
    pub trait Statistics: Backend {
        /// The magnitude of `statistic` over the whole tensor, `[1]`.
        fn statistic(x: FloatTensor<Self>, statistic: Statistic) -> FloatTensor<Self> {
            let x = Value::<Self>(x);
            let count = x.len();
            let magnitudes = x.abs().reshape(&[count]);
            match statistic {
                Statistic::AbsMax => magnitudes.max_along(0).0,
                Statistic::AbsPercentile(percentile) => {
                    magnitudes.sort().at(rank(percentile, count)).0
                }
            }
        }

        /// The largest magnitude of each index of a dimension, with the rank of `x`.
        fn channel_absmax(x: FloatTensor<Self>, channel: usize) -> FloatTensor<Self> {
            let x = Value::<Self>(x);
            let dims = (0..x.shape().len()).filter(|&dim| dim != channel);
            dims.fold(x.abs(), |x, dim| x.max_along(dim)).0
        }
    }
}

/// The place of a percentile among `count` sorted values, from 0.
fn rank(percentile: f64, count: usize) -> usize {
    let k = (0.01 * percentile * count as f64 + 0.5).floor() as usize;
    k.clamp(1, count) - 1
}

/// The passes of statistics that training needs; concrete backends only.
pub trait StatisticsGradient: Statistics {
    /// The gradient of a whole tensor's magnitude.
    fn statistic_gradient(
        x: FloatTensor<Self>,
        value: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        statistic: Statistic,
    ) -> FloatTensor<Self> {
        let x = Value::<Self>(x);
        let (shape, count) = (x.shape(), x.len());
        let x = x.reshape(&[count]);
        let chosen = match statistic {
            Statistic::AbsMax => {
                let equal = having(&x, Value(value));
                let count = equal.clone().total();
                equal / count
            }
            Statistic::AbsPercentile(percentile) => {
                let value = Value::<Self>(value).numbers()[0];
                let mut chosen = vec![0.0; count];
                if let Some(place) = place_of(&x.numbers(), value, rank(percentile, count)) {
                    chosen[place] = 1.0;
                }
                x.beside(chosen, &[count])
            }
        };
        (x.sign() * chosen * Value(upstream)).reshape(&shape).0
    }

    /// The gradient of the magnitudes of a dimension's indices.
    fn channel_absmax_gradient(
        x: FloatTensor<Self>,
        value: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        channel: usize,
    ) -> FloatTensor<Self> {
        let x = Value::<Self>(x);
        let dims: Vec<usize> = (0..x.shape().len()).filter(|&dim| dim != channel).collect();
        let chosen = first(having(&x, Value(value)), &dims);
        (x.sign() * chosen * Value(upstream)).0
    }
}

/// 1 where the magnitude is `value`, else 0.
fn having<B: Backend>(x: &Value<B>, value: Value<B>) -> Value<B> {
    let spread = x.like(0.0) + value;
    x.like(0.0).fill(x.clone().abs().same_as(spread), 1.0)
}

/// Keeps the first 1 among the elements that differ in their places in `dims` only.
fn first<B: Backend>(equal: Value<B>, dims: &[usize]) -> Value<B> {
    // Larger for earlier elements, and 0 where there is no 1.
    let rank = (-equal.indices() + equal.len() as f32) * equal.clone();
    let largest = dims.iter().fold(rank.clone(), |rank, &dim| rank.max_along(dim));
    let chosen = rank.clone().same_as(rank.like(0.0) + largest);
    equal.like(0.0).fill(chosen, 1.0) * equal
}

#[cfg(not(feature = "portable"))]
impl Statistics for Flex {
    fn statistic(x: FlexTensor, statistic: Statistic) -> FlexTensor {
        let x = contiguous(x);
        let value = match statistic {
            Statistic::AbsMax => kernel::channel_largest(slice(&x), whole(&x))[0],
            Statistic::AbsPercentile(percentile) => {
                let mut magnitudes: Vec<f32> = slice(&x).iter().map(|v| v.abs()).collect();
                let k = rank(percentile, magnitudes.len());
                *magnitudes.select_nth_unstable_by(k, f32::total_cmp).1
            }
        };
        tensor(vec![value], [1].into())
    }

    fn channel_absmax(x: FlexTensor, channel: usize) -> FlexTensor {
        let x = contiguous(x);
        let largest = kernel::channel_largest(slice(&x), along(&x, channel));
        let mut shape = vec![1; x.shape().to_vec().len()];
        shape[channel] = largest.len();
        tensor(largest, shape.into())
    }
}

#[cfg(not(feature = "portable"))]
impl StatisticsGradient for Flex {
    fn statistic_gradient(
        x: FlexTensor,
        value: FlexTensor,
        upstream: FlexTensor,
        statistic: Statistic,
    ) -> FlexTensor {
        let (x, upstream) = (contiguous(x), number(upstream));
        let (values, value) = (slice(&x), number(value));
        let mut dx = vec![0.0; values.len()];
        match statistic {
            Statistic::AbsMax => {
                let count = values.iter().filter(|v| v.abs() == value).count();
                for (dx, v) in dx.iter_mut().zip(values).filter(|(_, v)| v.abs() == value) {
                    *dx = sign(*v) * (upstream / count as f32);
                }
            }
            Statistic::AbsPercentile(percentile) => {
                let k = rank(percentile, values.len());
                if let Some(i) = place_of(values, value, k) {
                    dx[i] = sign(values[i]) * upstream;
                }
            }
        }
        tensor(dx, x.shape())
    }

    fn channel_absmax_gradient(
        x: FlexTensor,
        _: FlexTensor,
        upstream: FlexTensor,
        channel: usize,
    ) -> FlexTensor {
        let (x, upstream) = (contiguous(x), contiguous(upstream));
        let (_, places) = kernel::channel_absmax(slice(&x), along(&x, channel));
        let mut dx = vec![0.0; slice(&x).len()];
        for (place, upstream) in places.into_iter().zip(slice(&upstream)) {
            dx[place] = sign(slice(&x)[place]) * upstream;
        }
        tensor(dx, x.shape())
    }
}

fn number(t: FlexTensor) -> f32 {
    slice(&contiguous(t))[0]
}

/// The derivative of the magnitude; 0 at 0.
fn sign(v: f32) -> f32 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

fn whole(x: &FlexTensor) -> kernel::ChannelShape {
    kernel::ChannelShape { n: 1, c: 1, inner: slice(x).len() }
}

fn along(x: &FlexTensor, channel: usize) -> kernel::ChannelShape {
    let shape = x.shape().to_vec();
    kernel::ChannelShape {
        n: shape[..channel].iter().product(),
        c: shape[channel],
        inner: shape[channel + 1..].iter().product(),
    }
}

impl<B: StatisticsGradient, C: CheckpointStrategy> Statistics for Autodiff<B, C> {
    fn statistic(x: FloatTensor<Self>, statistic: Statistic) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| {
                let value = B::statistic(x.clone(), statistic);
                let kept = (keep == Keep::State).then(|| (x, value.clone(), statistic));
                (value, kept)
            },
            |(x, value, statistic), upstream, _| {
                [Some(B::statistic_gradient(x, value, upstream, statistic))]
            },
        )
    }

    fn channel_absmax(x: FloatTensor<Self>, channel: usize) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| {
                let value = B::channel_absmax(x.clone(), channel);
                let kept = (keep == Keep::State).then(|| (x, value.clone(), channel));
                (value, kept)
            },
            |(x, value, channel), upstream, _| {
                [Some(B::channel_absmax_gradient(x, value, upstream, channel))]
            },
        )
    }
}

/// The magnitude of a whole tensor, of shape `[1]`.
///
/// # Gradient
/// Of [`Statistic::AbsMax`]: shared equally by the elements of largest magnitude. Of
/// [`Statistic::AbsPercentile`]: to one element that has the magnitude, the same one as in PyTorch.
/// # Panics
/// If `x` is empty.
pub fn statistic(x: &Tensor, statistic: Statistic) -> Tensor {
    assert!(!x.is_empty(), "the magnitude of a tensor without elements");
    let x = x.clone().into_primitive();
    Tensor::from_primitive(<Dispatch as Statistics>::statistic(x, statistic))
}

/// The largest magnitude at each index of a dimension; all other dimensions become 1.
///
/// # Gradient
/// To the first element of largest magnitude.
/// # Panics
/// If `x` is empty or has no such dimension.
pub fn channel_absmax(x: &Tensor, channel: usize) -> Tensor {
    let shape = x.shape();
    assert!(channel < shape.len() && !x.is_empty(), "dimension {channel} of {shape:?}");
    let x = x.clone().into_primitive();
    Tensor::from_primitive(<Dispatch as Statistics>::channel_absmax(x, channel))
}
