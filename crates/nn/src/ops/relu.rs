//! The rectifier.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex};

use super::bits::Bits;
use super::extension::{Keep, contiguous, extension, map, record, slice};
use super::value::Value;
use crate::tensor::Tensor;

extension! {
    /// The rectifier.
    pub trait Relu: Backend {
        /// `y = max(x, 0)`.
        fn rectify(x: FloatTensor<Self>) -> FloatTensor<Self> {
            let x = Value::<Self>(x);
            let positive = x.clone().below(0.0);
            x.fill(positive, 0.0).0
        }
    }
}

/// The passes of the rectifier that training needs; concrete backends only.
pub trait ReluGradient: Relu {
    /// The forward pass, with what the backward pass needs.
    fn relu_keeping(x: FloatTensor<Self>) -> (FloatTensor<Self>, Kept<Self>) {
        (Self::rectify(x.clone()), Kept::Input(x))
    }

    /// The gradient of the input.
    fn relu_gradient(kept: Kept<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self> {
        let Kept::Input(x) = kept else { unreachable!("the default keeps the input") };
        let x = Value::<Self>(x);
        let blocked = x.clone().at_most(0.0);
        Value(upstream).fill(blocked, 0.0).0
    }
}

/// What the backward pass of the rectifier needs.
#[derive(Clone, Debug)]
pub enum Kept<B: Backend> {
    /// Whether each element is positive.
    Bits(Arc<Bits>),
    /// The input.
    Input(FloatTensor<B>),
}

#[cfg(not(feature = "portable"))]
impl Relu for Flex {
    fn rectify(x: FlexTensor) -> FlexTensor {
        map(
            x,
            |values| values.iter_mut().for_each(|v| *v = if *v <= 0.0 { 0.0 } else { *v }),
            fewbit_kernels::elementwise::relu,
        )
    }
}

#[cfg(not(feature = "portable"))]
impl ReluGradient for Flex {
    fn relu_keeping(x: FlexTensor) -> (FlexTensor, Kept<Self>) {
        let x = contiguous(x);
        let positive = Bits::new(slice(&x), |v| v > 0.0 || v.is_nan());
        (Self::rectify(x), Kept::Bits(Arc::new(positive)))
    }

    fn relu_gradient(kept: Kept<Self>, upstream: FlexTensor) -> FlexTensor {
        let Kept::Bits(positive) = kept else { unreachable!("the processor keeps bits") };
        map(upstream, |dy| positive.mask(dy), |dy, dx| positive.mask_into(dy, dx))
    }
}

impl<B: ReluGradient, C: CheckpointStrategy> Relu for Autodiff<B, C> {
    fn rectify(x: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| match keep {
                Keep::Nothing => (B::rectify(x), None),
                Keep::State => {
                    let (y, kept) = B::relu_keeping(x);
                    (y, Some(kept))
                }
            },
            |kept, upstream, _| [Some(B::relu_gradient(kept, upstream))],
        )
    }
}

/// Replaces negative elements by zero: `y = max(x, 0)`.
///
/// # Gradient
/// `dx = dy` where `x > 0` (and for NaN), else 0; so 0 at 0.
pub fn relu(x: Tensor) -> Tensor {
    Tensor::from_primitive(<Dispatch as Relu>::rectify(x.into_primitive()))
}
