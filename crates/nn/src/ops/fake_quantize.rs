//! Fake quantization: each element to the nearest value of a format, and back to `f32`.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_formats::{FloatFormat, IntegerFormat};
use serde::{Deserialize, Serialize};

use super::bits::Bits;
use super::extension::{Keep, extension, record};
use super::value::Value;
use crate::tensor::Tensor;

mod fallback;
mod flex;
pub(super) use flex::Rounding;
#[cfg(test)]
mod tests;

/// How an element is rounded, in units of the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// To the nearest value of a minifloat format, ties to the even mantissa, saturating.
    Minifloat {
        /// The format.
        format: FloatFormat,
        /// What the gradient is.
        gradient: MinifloatGradient,
    },
    /// To the nearest integer, ties to even, then clipped to a range.
    Integer {
        /// The smallest integer.
        min: f32,
        /// The largest integer.
        max: f32,
        /// The gradient of an element that was clipped.
        outside: Outside,
    },
    /// To +1 from zero upwards, else to -1.
    Bipolar {
        /// The gradient of an element beyond -1 or 1.
        outside: Outside,
    },
    /// To the sign where the magnitude is above a threshold, else to 0.
    Ternary {
        /// The threshold.
        threshold: f32,
    },
}

impl Rule {
    /// Rounds to the integers of a format.
    pub fn integer(format: IntegerFormat, outside: Outside) -> Self {
        // Limits are carried as f32 numbers, as the originals do: 2^31 - 1 becomes 2^31.
        Self::Integer { min: format.min() as f32, max: format.max() as f32, outside }
    }
}

/// The gradient of a minifloat quantizer, inside its range; it is 0 where the rounded value exceeds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinifloatGradient {
    /// `y / x` where `x` is normal and 1 where it is subnormal: what Brevitas computes, because it
    /// differentiates the step of the grid as well.
    #[default]
    Brevitas,
    /// 1: the straight-through estimator.
    Ste,
}

/// The gradient of an element outside of the range of its quantizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It passes as inside.
    Pass,
    /// It is zero.
    Block,
}

extension! {
    /// The forward pass of fake quantization.
    pub trait FakeQuantize: Backend {
        /// `y = rule(x / scale) * scale` with a constant scale.
        fn fake_quantize(x: FloatTensor<Self>, scale: f32, rule: Rule) -> FloatTensor<Self> {
            fallback::forward::<Self>(Value(x), fallback::Scale::Constant(scale), rule).0
        }

        /// `y = rule(x / scale) * scale`; the scale has one element, or one per index of a dimension.
        fn fake_quantize_scaled(
            x: FloatTensor<Self>,
            scale: FloatTensor<Self>,
            rule: Rule
        ) -> FloatTensor<Self> {
            fallback::forward::<Self>(Value(x), fallback::Scale::Tensor(Value(scale)), rule).0
        }
    }
}

/// The passes of fake quantization that training needs; concrete backends only.
pub trait FakeQuantizeGradient: FakeQuantize {
    /// The forward pass, with what the backward pass needs.
    fn fake_quantize_keeping(
        x: FloatTensor<Self>,
        scale: f32,
        rule: Rule,
    ) -> (FloatTensor<Self>, Kept<Self>) {
        (Self::fake_quantize(x.clone(), scale, rule), Kept::Input(x))
    }

    /// The gradient of the input.
    fn fake_quantize_gradient(
        kept: Kept<Self>,
        upstream: FloatTensor<Self>,
        scale: f32,
        rule: Rule,
    ) -> FloatTensor<Self> {
        let Kept::Input(x) = kept else { unreachable!("the default keeps the input") };
        fallback::gradient::<Self>(
            Value(x),
            fallback::Scale::Constant(scale),
            Value(upstream),
            rule,
        )
        .0
    }

    /// The gradients of the input and of the scale.
    fn fake_quantize_scaled_gradient(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        rule: Rule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (x, scale, upstream) = (Value(x), Value(scale), Value(upstream));
        let dx = fallback::gradient::<Self>(
            x.clone(),
            fallback::Scale::Tensor(scale.clone()),
            upstream.clone(),
            rule,
        );
        (dx.0, fallback::scale_gradient(x, scale, upstream, rule).0)
    }
}

/// What the backward pass of a quantizer with a constant scale needs.
#[derive(Clone, Debug)]
pub enum Kept<B: Backend> {
    /// Nothing: the gradient does not depend on the input.
    Nothing,
    /// One bit per element: whether its gradient passes.
    Bits(Arc<Bits>),
    /// The input.
    Input(FloatTensor<B>),
}

#[cfg(not(feature = "portable"))]
impl FakeQuantize for Flex {
    fn fake_quantize(x: FlexTensor, scale: f32, rule: Rule) -> FlexTensor {
        flex::forward(x, scale, rule)
    }

    fn fake_quantize_scaled(x: FlexTensor, scale: FlexTensor, rule: Rule) -> FlexTensor {
        flex::forward_scaled(x, scale, rule)
    }
}

#[cfg(not(feature = "portable"))]
impl FakeQuantizeGradient for Flex {
    fn fake_quantize_keeping(x: FlexTensor, scale: f32, rule: Rule) -> (FlexTensor, Kept<Self>) {
        flex::forward_keeping(x, scale, rule)
    }

    fn fake_quantize_gradient(
        kept: Kept<Self>,
        upstream: FlexTensor,
        scale: f32,
        rule: Rule,
    ) -> FlexTensor {
        flex::gradient(kept, upstream, scale, rule)
    }

    fn fake_quantize_scaled_gradient(
        x: FlexTensor,
        scale: FlexTensor,
        upstream: FlexTensor,
        rule: Rule,
    ) -> (FlexTensor, FlexTensor) {
        flex::gradient_scaled(x, scale, upstream, rule)
    }
}

impl<B: FakeQuantizeGradient, C: CheckpointStrategy> FakeQuantize for Autodiff<B, C> {
    fn fake_quantize(x: FloatTensor<Self>, scale: f32, rule: Rule) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| match keep {
                Keep::Nothing => (B::fake_quantize(x, scale, rule), None),
                Keep::State => {
                    let (y, kept) = B::fake_quantize_keeping(x, scale, rule);
                    (y, Some((kept, scale, rule)))
                }
            },
            |(kept, scale, rule), upstream, _| {
                [Some(B::fake_quantize_gradient(kept, upstream, scale, rule))]
            },
        )
    }

    fn fake_quantize_scaled(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        rule: Rule,
    ) -> FloatTensor<Self> {
        record::<B, C, _, 2>(
            [x, scale],
            |[x, scale], keep| {
                let state = (keep == Keep::State).then(|| (x.clone(), scale.clone(), rule));
                (B::fake_quantize_scaled(x, scale, rule), state)
            },
            |(x, scale, rule), upstream, _| {
                let (dx, dscale) = B::fake_quantize_scaled_gradient(x, scale, upstream, rule);
                [Some(dx), Some(dscale)]
            },
        )
    }
}

/// Rounds each element with a constant scale: `y = rule(x / scale) * scale`.
///
/// # Gradient
/// Straight-through, as the rule says for elements outside of the range.
pub fn fake_quantize(x: Tensor, scale: f32, rule: Rule) -> Tensor {
    Tensor::from_primitive(<Dispatch as FakeQuantize>::fake_quantize(
        x.into_primitive(),
        scale,
        rule,
    ))
}

/// Rounds each element with a scale that is a tensor: `y = rule(x / scale) * scale`.
///
/// # Shape
/// `scale`: `[1]`, or the rank of `x` with all sizes 1 but for one dimension.
/// # Gradient
/// To `x` as for [`fake_quantize`]; to the scale the sum of `upstream * (q - x / scale * q')`, with
/// `q` the rounded and clipped element and `q'` the gradient that passes to `x`.
pub fn fake_quantize_scaled(x: Tensor, scale: &Tensor, rule: Rule) -> Tensor {
    let (x, scale) = (x.into_primitive(), scale.clone().into_primitive());
    assert_scale_fits(&x.kind.shape().to_vec(), &scale.kind.shape().to_vec());
    Tensor::from_primitive(<Dispatch as FakeQuantize>::fake_quantize_scaled(x, scale, rule))
}

fn assert_scale_fits(x: &[usize], scale: &[usize]) {
    let one = scale.iter().product::<usize>() == 1;
    let fits = scale.len() == x.len()
        && scale.iter().filter(|&&size| size != 1).count() <= 1
        && x.iter().zip(scale).all(|(x, scale)| *scale == 1 || x == scale);
    assert!(one || fits, "a scale of shape {scale:?} for a tensor of shape {x:?}");
}
