//! Leaving out the lowest bits of integers.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_formats::RoundingMode;

use super::bits::Bits;
use super::extension::{Keep, contiguous, extension, map, record, slice, tensor};
use super::value::Value;
use crate::tensor::Tensor;

/// Which bits are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncation {
    /// The scale of the integers.
    pub scale: f32,
    /// What they are divided by: two to the number of bits that are left out.
    pub divisor: f32,
    /// How the quotient is rounded.
    pub rounding_mode: RoundingMode,
    /// The smallest integer that is left.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

impl Truncation {
    /// The integer before it is clipped.
    fn quotient(&self, x: f32) -> f32 {
        self.rounding_mode.apply((x / self.scale).round_ties_even() / self.divisor)
    }

    /// The integer.
    fn code(&self, x: f32) -> f32 {
        let quotient = self.quotient(x);
        // NaN stays NaN.
        let low = if quotient < self.min { self.min } else { quotient };
        if low > self.max { self.max } else { low }
    }

    fn apply(&self, x: f32) -> f32 {
        self.code(x) * self.out_scale()
    }

    /// The derivative of the result with respect to the scale, through both roundings.
    fn slope_of_scale(&self, x: f32) -> f32 {
        let unrounded = if self.passes(x) { x / self.scale / self.divisor } else { 0.0 };
        (self.code(x) - unrounded) * self.divisor
    }

    fn passes(&self, x: f32) -> bool {
        let quotient = self.quotient(x);
        !(quotient < self.min || quotient > self.max)
    }

    /// The scale of what is left.
    pub fn out_scale(&self) -> f32 {
        self.scale * self.divisor
    }
}

extension! {
    /// Leaving out the lowest bits of integers.
    pub trait Truncate: Backend {
        /// `y = clip(round(round(x / scale) / divisor)) * scale * divisor`.
        fn truncate(x: FloatTensor<Self>, truncation: Truncation) -> FloatTensor<Self> {
            let x = Value::<Self>(x);
            let y = x.numbers().into_iter().map(|v| truncation.apply(v)).collect();
            x.beside(y, &x.shape()).0
        }

        /// The same with a scale that gradients flow to; its number is that of `truncation`.
        fn truncate_scaled(
            x: FloatTensor<Self>,
            scale: FloatTensor<Self>,
            truncation: Truncation
        ) -> FloatTensor<Self> {
            let _ = scale;
            Self::truncate(x, truncation)
        }
    }
}

/// The passes that training needs; concrete backends only.
pub trait TruncateGradient: Truncate {
    /// Which elements pass their gradients.
    fn truncate_passing(x: FloatTensor<Self>, truncation: Truncation) -> Arc<Bits> {
        let values = Value::<Self>(x).numbers();
        Arc::new(Bits::new(&values, |v| truncation.passes(v)))
    }

    /// The gradient of the input.
    fn truncate_gradient(passing: Arc<Bits>, upstream: FloatTensor<Self>) -> FloatTensor<Self> {
        let upstream = Value::<Self>(upstream);
        let mut values = upstream.numbers();
        passing.mask(&mut values);
        upstream.beside(values, &upstream.shape()).0
    }

    /// The gradient of the scale, `[1]`.
    fn truncate_scale_gradient(
        x: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        truncation: Truncation,
    ) -> FloatTensor<Self> {
        let (x, upstream) = (Value::<Self>(x), Value::<Self>(upstream));
        let terms = x.numbers().into_iter().zip(upstream.numbers());
        let sum: f64 =
            terms.map(|(x, dy)| f64::from(dy) * f64::from(truncation.slope_of_scale(x))).sum();
        upstream.beside(vec![sum as f32], &[1]).0
    }
}

#[cfg(not(feature = "portable"))]
impl Truncate for Flex {
    fn truncate(x: FlexTensor, truncation: Truncation) -> FlexTensor {
        let x = contiguous(x);
        let y = slice(&x).iter().map(|&v| truncation.apply(v)).collect();
        tensor(y, x.shape())
    }
}

#[cfg(not(feature = "portable"))]
impl TruncateGradient for Flex {
    fn truncate_gradient(passing: Arc<Bits>, upstream: FlexTensor) -> FlexTensor {
        map(upstream, |dy| passing.mask(dy), |dy, dx| passing.mask_into(dy, dx))
    }
}

impl<B: TruncateGradient, C: CheckpointStrategy> Truncate for Autodiff<B, C> {
    fn truncate(x: FloatTensor<Self>, truncation: Truncation) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| {
                let kept =
                    (keep == Keep::State).then(|| B::truncate_passing(x.clone(), truncation));
                (B::truncate(x, truncation), kept)
            },
            |passing: Arc<Bits>, upstream, _| [Some(B::truncate_gradient(passing, upstream))],
        )
    }

    fn truncate_scaled(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        truncation: Truncation,
    ) -> FloatTensor<Self> {
        record::<B, C, _, 2>(
            [x, scale],
            |[x, scale], keep| {
                let kept = (keep == Keep::State).then(|| (x.clone(), truncation));
                (B::truncate_scaled(x, scale, truncation), kept)
            },
            |(x, truncation), upstream, _| {
                let passing = B::truncate_passing(x.clone(), truncation);
                let dscale = B::truncate_scale_gradient(x, upstream.clone(), truncation);
                [Some(B::truncate_gradient(passing, upstream)), Some(dscale)]
            },
        )
    }
}

/// Leaves out the lowest bits of integers times a scale.
///
/// `u = round(x / scale); q = clip(round(u / divisor), min, max); y = q * (scale * divisor)`, the first
/// rounding to nearest, the second as asked for.
///
/// # Gradient
/// Straight through where `q` has not been clipped, else zero.
/// # Source
/// quantizers.md 2.7, QONNX `Trunc`.
pub fn truncate(x: Tensor, truncation: Truncation) -> Tensor {
    Tensor::from_primitive(<Dispatch as Truncate>::truncate(x.into_primitive(), truncation))
}

/// Leaves out bits as [`truncate`], where the scale of `truncation` is that of a tensor.
///
/// # Shape
/// `scale`: `[1]`.
/// # Gradient
/// To `x` as for [`truncate`]; to the scale the sum of
/// `upstream * divisor * (q - x / scale / divisor * q')`, with `q'` 1 where `q` has not been clipped, else 0.
/// # Source
/// quantizers.md 2.7.
pub fn truncate_scaled(x: Tensor, scale: &Tensor, truncation: Truncation) -> Tensor {
    assert_eq!(scale.shape(), [1], "shape of the scale of a truncation");
    let (x, scale) = (x.into_primitive(), scale.clone().into_primitive());
    Tensor::from_primitive(<Dispatch as Truncate>::truncate_scaled(x, scale, truncation))
}
