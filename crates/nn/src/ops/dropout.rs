//! Dropout.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata};
use fewbit_formats::CounterRng;
use fewbit_kernels::dropout as kernel;

use super::extension::{Keep, contiguous, extension, record, slice, tensor};
use super::quantized::{Grid, Quantized};
use super::value::Value;
use crate::tensor::Tensor;

/// Who is dropped: value `i` if the `i`-th uniform number of a stream is below the probability.
#[derive(Clone, Copy, Debug)]
pub struct Drops {
    probability: f32,
    seed: u64,
    stream: u64,
}

extension! {
    /// Dropout.
    pub trait Dropout: Backend {
        /// `y = 0` where dropped, else `x / (1 - p)`.
        fn dropout(x: FloatTensor<Self>, drops: Drops) -> FloatTensor<Self> {
            let x = Value::<Self>(x);
            let rng = CounterRng::new(drops.seed, drops.stream);
            let mut factors = vec![0.0; x.len()];
            rng.fill_uniform(0, &mut factors);
            let survivor = 1.0 / (1.0 - drops.probability);
            for factor in &mut factors {
                *factor = if *factor < drops.probability { 0.0 } else { survivor };
            }
            let factors = x.beside(factors, &x.shape());
            (x * factors).0
        }
    }
}

#[cfg(not(feature = "portable"))]
impl Dropout for Flex {
    fn dropout(x: FlexTensor, drops: Drops) -> FlexTensor {
        let x = contiguous(x);
        let mut y = vec![0.0; slice(&x).len()];
        let rng = CounterRng::new(drops.seed, drops.stream);
        kernel::dropout(slice(&x), &mut y, drops.probability, &rng);
        tensor(y, x.shape())
    }
}

impl<B: Dropout, C: CheckpointStrategy> Dropout for Autodiff<B, C> {
    fn dropout(x: FloatTensor<Self>, drops: Drops) -> FloatTensor<Self> {
        record::<B, C, _, 1>(
            [x],
            |[x], keep| (B::dropout(x, drops), (keep == Keep::State).then_some(drops)),
            // The same numbers are drawn again: no mask is kept.
            |drops, upstream, _| [Some(B::dropout(upstream, drops))],
        )
    }
}

/// Sets each value to zero with a probability and scales the others up: `y = x / (1 - p)`.
///
/// What is dropped depends on `seed`, `stream` and the place of a value alone.
///
/// # Gradient
/// `dx = dy / (1 - p)` where nothing was dropped, else 0.
pub fn dropout(x: &Quantized, probability: f64, seed: u64, stream: u64) -> Quantized {
    let probability = probability as f32;
    if probability == 0.0 {
        return x.clone();
    }
    let drops = Drops { probability, seed, stream };
    let value = <Dispatch as Dropout>::dropout(x.value.clone().into_primitive(), drops);
    let grid = match &x.grid {
        Grid::Plain => Grid::Plain,
        Grid::Scaled { format, scale } => {
            let scale = scale.times(1.0 / (1.0 - probability));
            Grid::Scaled { format: *format, scale }
        }
    };
    Quantized::constant(Tensor::from_primitive(value), grid)
}
