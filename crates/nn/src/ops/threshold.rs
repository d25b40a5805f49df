//! From a threshold to a scale.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex};

use super::extension::{Keep, extension, map, record};
use super::value::Value;
use crate::quantizer::Restriction;
use crate::tensor::Tensor;

/// How a threshold becomes a scale.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    smallest: f32,
    restriction: Restriction,
    divisor: f32,
}

impl Conversion {
    fn scale(self, threshold: f32) -> f32 {
        self.restriction.apply(self.floor(threshold)) / self.divisor
    }

    /// NaN stays NaN.
    fn floor(self, threshold: f32) -> f32 {
        let magnitude = threshold.abs();
        if magnitude < self.smallest { self.smallest } else { magnitude }
    }

    /// `ds / dthreshold`. The power of two is differentiated as its logarithm's rounding is passed through.
    fn slope(self, threshold: f32) -> f32 {
        let slope = match self.restriction {
            Restriction::None => 1.0 / self.divisor,
            Restriction::Round | Restriction::Ceil | Restriction::Floor => {
                self.scale(threshold) / self.floor(threshold)
            }
        };
        if threshold < 0.0 { -slope } else { slope }
    }
}

extension! {
    /// From a threshold to a scale.
    pub trait Threshold: Backend {
        /// `s = restrict(max(|v|, smallest)) / divisor`.
        fn threshold_to_scale(v: FloatTensor<Self>, conversion: Conversion) -> FloatTensor<Self> {
            apply::<Self>(v, |v| conversion.scale(v))
        }
    }
}

/// Scales are few: they are computed where their numbers can be read.
fn apply<B: Backend>(v: FloatTensor<B>, f: impl Fn(f32) -> f32) -> FloatTensor<B> {
    let v = Value::<B>(v);
    let values = v.numbers().into_iter().map(f).collect();
    v.beside(values, &v.shape()).0
}

#[cfg(not(feature = "portable"))]
impl Threshold for Flex {
    fn threshold_to_scale(v: FlexTensor, conversion: Conversion) -> FlexTensor {
        map(
            v,
            |values| values.iter_mut().for_each(|v| *v = conversion.scale(*v)),
            |v, s| v.iter().zip(s).for_each(|(v, s)| *s = conversion.scale(*v)),
        )
    }
}

impl<B: Threshold, C: CheckpointStrategy> Threshold for Autodiff<B, C> {
    fn threshold_to_scale(v: FloatTensor<Self>, conversion: Conversion) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [v],
            |[v], keep| {
                let kept = (keep == Keep::State).then(|| (v.clone(), conversion));
                (B::threshold_to_scale(v, conversion), kept)
            },
            |(v, conversion): (FloatTensor<B>, Conversion), upstream, _| {
                let slope = apply::<B>(v, |v| conversion.slope(v));
                [Some((Value::<B>(upstream) * Value(slope)).0)]
            },
        )
    }
}

/// Makes a scale of a threshold: `s = restrict(max(|v|, smallest)) / divisor`.
///
/// # Gradient
/// `dv = ds * sign(v) / divisor`; with a restriction `ds * sign(v) * s / |v|`. The lower bound passes
/// gradients through.
pub fn threshold_to_scale(
    threshold: Tensor,
    smallest: f32,
    restriction: Restriction,
    divisor: f32,
) -> Tensor {
    let conversion = Conversion { smallest, restriction, divisor };
    Tensor::from_primitive(<Dispatch as Threshold>::threshold_to_scale(
        threshold.into_primitive(),
        conversion,
    ))
}
