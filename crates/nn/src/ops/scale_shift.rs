//! A constant factor, then a constant summand.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex};

use super::extension::{Keep, extension, map, record};
use super::value::Value;
use crate::tensor::Tensor;

extension! {
    /// A constant factor, then a constant summand.
    pub trait ScaleShift: Backend {
        /// `y = a * x + b`, two roundings.
        fn scale_shift(x: FloatTensor<Self>, a: f32, b: f32) -> FloatTensor<Self> {
            (Value::<Self>(x) * a + b).0
        }
    }
}

#[cfg(not(feature = "portable"))]
impl ScaleShift for Flex {
    fn scale_shift(x: FlexTensor, a: f32, b: f32) -> FlexTensor {
        map(
            x,
            |values| values.iter_mut().for_each(|v| *v = *v * a + b),
            |x, y| fewbit_kernels::elementwise::scale_shift(x, y, a, b),
        )
    }
}

impl<B: ScaleShift, C: CheckpointStrategy> ScaleShift for Autodiff<B, C> {
    fn scale_shift(x: FloatTensor<Self>, a: f32, b: f32) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| (B::scale_shift(x, a, b), (keep == Keep::State).then_some(a)),
            |a, upstream, _| [Some((Value::<B>(upstream) * a).0)],
        )
    }
}

/// Multiplies by a constant and adds a constant: `y = a * x + b`, two roundings.
///
/// `scale_shift(x, 2.0, -1.0)` takes images from `[0, 1]` to `[-1, 1]`.
pub fn scale_shift(x: Tensor, a: f32, b: f32) -> Tensor {
    Tensor::from_primitive(<Dispatch as ScaleShift>::scale_shift(x.into_primitive(), a, b))
}
