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

    fn apply(&self, x: f32) -> f32 {
        let quotient = self.quotient(x);
        // NaN stays NaN.
        let low = if quotient < self.min { self.min } else { quotient };
        let clipped = if low > self.max { self.max } else { low };
        clipped * self.out_scale()
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
}

/// Leaves out the lowest bits of integers times a scale.
///
/// `u = round(x / scale); q = clip(round(u / divisor), min, max); y = q * (scale * divisor)`, the first
/// rounding to nearest, the second as asked for.
///
/// # Gradient
/// Straight through where `q` has not been clipped, else zero. The scale counts as a constant.
/// # Source
/// quantizers.md 2.7, QONNX `Trunc`.
pub fn truncate(x: Tensor, truncation: Truncation) -> Tensor {
    Tensor::from_primitive(<Dispatch as Truncate>::truncate(x.into_primitive(), truncation))
}
