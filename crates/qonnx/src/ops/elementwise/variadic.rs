//! Of any number of tensors: Max, Min, Sum, Mean.

use super::arithmetic::{misfit, repeats_over_batch};
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// From left to right, one rounding each; a NaN stays. The mean is the sum, divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variadic {
    Max,
    Min,
    Sum,
    Mean,
}

pub(crate) fn max(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Variadic::Max.new(attributes)
}

pub(crate) fn min(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Variadic::Min.new(attributes)
}

pub(crate) fn sum(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Variadic::Sum.new(attributes)
}

pub(crate) fn mean(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Variadic::Mean.new(attributes)
}

impl Variadic {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        if attributes.version() < 6 {
            attributes.ignore("consumed_inputs");
        }
        Ok(Box::new(self))
    }

    fn both(self, a: &Tensor, b: &Tensor, context: &Context) -> Result<Tensor, Fault> {
        let shape = broadcast_shape(a.shape(), b.shape()).ok_or_else(|| misfit(a, b))?;
        context.check_size(&shape)?;
        let (a, b) = (a.value(), b.value());
        macro_rules! by_type {
            ($($float:ident)*; $($integer:ident $type:ident)*) => {
                match (a.data(), b.data()) {
                    $((Data::$float(x), Data::$float(y)) => {
                        let (x, y) = ((&x[..], a.shape()), (&y[..], b.shape()));
                        match self {
                            Self::Max => zip(x, y, &shape, |x, y| if y > x || y.is_nan() { y } else { x }),
                            Self::Min => zip(x, y, &shape, |x, y| if y < x || y.is_nan() { y } else { x }),
                            Self::Sum | Self::Mean => zip(x, y, &shape, |x, y| x + y),
                        }
                        .into()
                    })*
                    $((Data::$integer(x), Data::$integer(y)) => {
                        let (x, y) = ((&x[..], a.shape()), (&y[..], b.shape()));
                        match self {
                            Self::Max => zip(x, y, &shape, Ord::max),
                            Self::Min => zip(x, y, &shape, Ord::min),
                            Self::Sum | Self::Mean => zip(x, y, &shape, $type::wrapping_add),
                        }
                        .into()
                    })*
                    _ if a.dtype() == b.dtype() => {
                        return Err(Fault::unsupported(format_args!("an input of type {}", a.dtype())));
                    }
                    _ => return Err(Fault::dtype("an input", b.dtype(), a.dtype())),
                }
            };
        }
        let data: Data =
            by_type!(F32 F64; I8 i8 I16 i16 I32 i32 I64 i64 U8 u8 U16 u16 U32 u32 U64 u64);
        Ok(Tensor::new(Value::of(shape, data)))
    }
}

impl Operator for Variadic {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let mut result = inputs.take(0, "data_0")?;
        for index in 1..inputs.count() {
            let next = inputs.take(index, "data")?;
            result = self.both(&result, &next, context)?;
        }
        let count = inputs.count();
        let result = match (self, result.value().data()) {
            (Self::Mean, Data::F32(sums)) => {
                let mean = sums.iter().map(|sum| sum / count as f32).collect::<Vec<_>>();
                Tensor::of(result.shape().to_vec(), mean)
            }
            (Self::Mean, Data::F64(sums)) => {
                let mean = sums.iter().map(|sum| sum / count as f64).collect::<Vec<_>>();
                Tensor::of(result.shape().to_vec(), mean)
            }
            (Self::Mean, _) => {
                return Err(Fault::unsupported(format_args!(
                    "an input of type {}",
                    result.dtype()
                )));
            }
            // One tensor alone keeps what is known about its values.
            _ => result,
        };
        Ok(vec![result])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}
