//! Pow.

use super::legacy::Repetition;
use crate::attributes::Attributes;
use crate::broadcast::zip;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// `x^y`, in f64 and rounded once; an exponent of one half is the square root, correctly rounded. Integers to the power of integers wrap around.
#[derive(Debug)]
struct Pow(Repetition);

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Pow(Repetition::new(attributes)?)))
}

impl Operator for Pow {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let (x, y, shape) = self.0.operands(inputs, ["X", "Y"], context)?;
        let exponent = floats(y.value(), "an exponent")?;
        let raise = |base: &[f64]| {
            zip((base, x.shape()), (&exponent, y.shape()), &shape, |x: f64, y| match y {
                0.5 if x > 0.0 => x.sqrt(),
                _ => x.powf(y),
            })
        };
        if let (Some(base), Some(exponent)) = (integers(x.value()), integers(y.value())) {
            let negative = exponent.iter().any(|&y| u32::try_from(y).is_err());
            if !negative {
                let power = |x: i64, y: i64| x.wrapping_pow(y as u32);
                let result = zip((&base, x.shape()), (&exponent, y.shape()), &shape, power);
                return Ok(match x.value().data() {
                    Data::I32(_) => {
                        one(shape, result.into_iter().map(|v| v as i32).collect::<Vec<_>>())
                    }
                    _ => one(shape, result),
                });
            }
        }
        let base = floats(x.value(), "a base")?;
        Ok(match x.value().data() {
            // The square root of an f32 in f64, rounded to f32, is the correctly rounded one.
            Data::F32(_) => {
                one(shape.clone(), raise(&base).into_iter().map(|v| v as f32).collect::<Vec<_>>())
            }
            Data::F64(_) => one(shape.clone(), raise(&base)),
            Data::I32(_) => {
                one(shape.clone(), raise(&base).into_iter().map(|v| v as i32).collect::<Vec<_>>())
            }
            Data::I64(_) => {
                one(shape.clone(), raise(&base).into_iter().map(|v| v as i64).collect::<Vec<_>>())
            }
            _ => return Err(Fault::unsupported(format_args!("a base of type {}", x.dtype()))),
        })
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.0.keeps_batch(inputs, output)
    }
}

fn floats(value: &Value, what: &str) -> Result<Vec<f64>, Fault> {
    macro_rules! by_type {
        ($($variant:ident)*) => {
            match value.data() {
                $(Data::$variant(values) => Ok(values.iter().map(|&v| v as f64).collect()),)*
                _ => Err(Fault::unsupported(format_args!("{what} of type {}", value.dtype()))),
            }
        };
    }
    by_type!(F32 F64 I8 I16 I32 I64 U8 U16 U32 U64)
}

/// The integers that fit `i64`.
fn integers(value: &Value) -> Option<Vec<i64>> {
    macro_rules! by_type {
        ($($variant:ident)*) => {
            match value.data() {
                $(Data::$variant(values) => {
                    values.iter().map(|&v| i64::try_from(v).ok()).collect()
                })*
                _ => None,
            }
        };
    }
    by_type!(I8 I16 I32 I64 U8 U16 U32 U64)
}
