//! Quantizers of biases.

use fewbit_formats::IntegerFormat;

use crate::error::{Error, ErrorKind};
use crate::ops::{self, Grid, Outside, Quantized, Rule, Scale};
use crate::tensor::Tensor;

/// How a bias is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiasQuantizer {
    /// It is not.
    None,
    /// To integers whose scale is that of the sums that the bias is added to: the product of the
    /// scales of the input and of the weight.
    Integer(IntegerFormat),
}

impl BiasQuantizer {
    /// 32 bits.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if there are no such integers.
    /// # Source
    /// quantizers.md 2.6.
    pub fn int32() -> Result<Self, Error> {
        Ok(Self::Integer(IntegerFormat::new(32)?))
    }

    /// Quantizes the bias of a product of `x` and `weight`.
    ///
    /// # Gradient
    /// To the bias where the rounded value is inside the range; to the scales of `x` and of the weight.
    /// # Errors
    /// [`ErrorKind::NotQuantized`] if `x` or the weight has not exactly one scale.
    pub fn forward(
        self,
        bias: &Tensor,
        x: &Quantized,
        weight: &Quantized,
    ) -> Result<Tensor, Error> {
        let Self::Integer(format) = self else { return Ok(bias.clone()) };
        let scale = single(x, "the input")?.mul(&single(weight, "the weight")?);
        let rule = Rule::integer(format, Outside::Block);
        Ok(ops::fake_quantize_scaled(bias.clone(), &scale, rule))
    }
}

/// The only scale of a tensor.
fn single(tensor: &Quantized, operand: &'static str) -> Result<Tensor, Error> {
    match (&tensor.scale, &tensor.grid) {
        (Some(scale), _) if scale.len() == 1 => Ok(scale.clone().reshape(&[1])),
        (None, Grid::Scaled { scale: Scale::PerTensor(scale), .. }) => {
            Ok(Tensor::full(*scale, &[1], &tensor.value.device()))
        }
        _ => Err(Error::new(ErrorKind::NotQuantized { operation: "bias quantizer", operand })),
    }
}
