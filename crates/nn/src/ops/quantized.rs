//! Tensors together with what is known about their values.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use fewbit_formats::Format;
use fewbit_kernels::quantize;

use super::extension::{contiguous, slice, tensor};
use super::storage::buffer;
use crate::tensor::Tensor;

/// A tensor and the grid that its values lie on.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The values, dequantized.
    pub value: Tensor,
    /// What is known about them.
    pub grid: Grid,
    /// The scale as a tensor, if it is no constant: gradients flow to it.
    pub scale: Option<Tensor>,
}

impl Quantized {
    /// A tensor of which nothing is known.
    pub fn plain(value: Tensor) -> Self {
        Self { value, grid: Grid::Plain, scale: None }
    }

    /// A tensor with a scale that is a constant.
    pub fn constant(value: Tensor, grid: Grid) -> Self {
        Self { value, grid, scale: None }
    }
}

/// What is known about the values of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Grid {
    /// They are any `f32`.
    Plain,
    /// Each is a value of a format times a scale.
    ///
    /// For [`Format::Bipolar`] zero is possible as well: dropout sets it.
    Scaled {
        /// The format.
        format: Format,
        /// What its values are multiplied with.
        scale: Scale,
    },
}

impl Grid {
    /// What a product that sums over the channels can use: several scales cannot be taken out.
    pub(super) fn single(self) -> Self {
        match self {
            Self::Scaled { scale: Scale::PerChannel(_), .. } => Self::Plain,
            Self::Plain | Self::Scaled { .. } => self,
        }
    }
}

/// The scale of a quantized tensor as numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// One for all values.
    PerTensor(f32),
    /// One for each index of the first dimension: the output channels of a weight.
    PerChannel(Arc<[f32]>),
}

impl Scale {
    /// `f` of every scale.
    pub(crate) fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        match self {
            Self::PerTensor(scale) => Self::PerTensor(f(*scale)),
            Self::PerChannel(scales) => Self::PerChannel(scales.iter().map(|&s| f(s)).collect()),
        }
    }

    /// Every scale times a number; one rounding.
    pub(crate) fn times(&self, other: f32) -> Self {
        if other == 1.0 { self.clone() } else { self.map(|scale| scale * other) }
    }

    /// As the kernels need it, for a tensor with `inner` values behind the channel.
    pub(crate) fn kernel(&self, inner: usize) -> quantize::Scale<'_> {
        match self {
            Self::PerTensor(scale) => quantize::Scale::PerTensor(*scale),
            Self::PerChannel(scales) => quantize::Scale::PerChannel { scales, inner },
        }
    }
}

/// The codes of an operand of a product: the scale is taken out, as the arithmetic contract demands.
#[derive(Debug)]
pub(super) struct Codes {
    /// The values divided by `scale`.
    pub tensor: FlexTensor,
    /// What is known about them.
    pub grid: fewbit_kernels::Grid,
    /// What has been taken out.
    pub scale: Scale,
}

impl Codes {
    /// Takes the scale out of the values of `x`.
    pub(super) fn of(x: FlexTensor, grid: &Grid) -> Self {
        let x = contiguous(x);
        let Grid::Scaled { format, scale } = grid else {
            return Self {
                tensor: x,
                grid: fewbit_kernels::Grid::Any,
                scale: Scale::PerTensor(1.0),
            };
        };
        let (grid, scale) = match format.integer_grid() {
            // The step of the grid is taken out as well.
            Some(grid) => (
                fewbit_kernels::Grid::Integer { max_abs: grid.max_multiple },
                scale.map(|s| s * grid.step),
            ),
            None => {
                let bits = format.significant_bits();
                (fewbit_kernels::Grid::Significant { bits }, scale.clone())
            }
        };
        if scale == Scale::PerTensor(1.0) {
            return Self { tensor: x, grid, scale };
        }
        let len = slice(&x).len();
        let mut codes = buffer(len);
        let inner = match &scale {
            Scale::PerTensor(_) => len,
            Scale::PerChannel(scales) => (len / scales.len().max(1)).max(1),
        };
        quantize::codes(slice(&x), &mut codes, grid, scale.kernel(inner));
        Self { tensor: tensor(codes, x.shape()), grid, scale }
    }
}
