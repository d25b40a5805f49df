//! Mod.

use super::arithmetic::{no_integer_zero, repeats_over_batch};
use super::legacy::Repetition;
use crate::attributes::Attributes;
use crate::broadcast::zip;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::Tensor;
use crate::value::Data;

/// The remainder: with the divisor's sign, or with `fmod` with the dividend's, which floats must have.
#[derive(Debug)]
struct Mod {
    truncated: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Mod { truncated: attributes.flag("fmod", false)? }))
}

impl Operator for Mod {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let (a, b, shape) = Repetition::NumPy.operands(inputs, ["A", "B"], context)?;
        let (a, b) = (a.value(), b.value());
        no_integer_zero(b)?;
        macro_rules! by_type {
            ($($float:ident)*; $($signed:ident $type:ident)*; $($unsigned:ident)*) => {
                match (a.data(), b.data()) {
                    $((Data::$float(x), Data::$float(y)) if self.truncated => {
                        zip((&x[..], a.shape()), (&y[..], b.shape()), &shape, |x, y| x % y).into()
                    })*
                    $((Data::$signed(x), Data::$signed(y)) => {
                        zip((&x[..], a.shape()), (&y[..], b.shape()), &shape, |x, y| {
                            let rest = $type::wrapping_rem(x, y);
                            let other_sign = rest != 0 && (rest < 0) != (y < 0);
                            if !self.truncated && other_sign { rest + y } else { rest }
                        })
                        .into()
                    })*
                    $((Data::$unsigned(x), Data::$unsigned(y)) => {
                        zip((&x[..], a.shape()), (&y[..], b.shape()), &shape, |x, y| x % y).into()
                    })*
                    (Data::F32(_) | Data::F64(_), _) if a.dtype() == b.dtype() => {
                        return Err(Fault::value("attribute \"fmod\"", 0, "1, as the inputs are floats"));
                    }
                    _ if a.dtype() == b.dtype() => {
                        return Err(Fault::unsupported(format_args!("an input of type {}", a.dtype())));
                    }
                    _ => return Err(Fault::dtype("input 1 (B)", b.dtype(), a.dtype())),
                }
            };
        }
        let data: Data = by_type!(F32 F64; I8 i8 I16 i16 I32 i32 I64 i64; U8 U16 U32 U64);
        Ok(one(shape, data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}
