//! Pow.

use super::arithmetic::{misfit, repeats_over_batch};
use super::{Context, Input, Inputs, Operator, one};
use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::Data;

/// `x^y`, in f64 and rounded once; an exponent of one half is the square root, correctly rounded.
#[derive(Debug)]
struct Pow;

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() < 7 {
        attributes.only_int("broadcast", 0)?;
    }
    Ok(Box::new(Pow))
}

impl Operator for Pow {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (x, y) = (inputs.take(0, "X")?, inputs.take(1, "Y")?);
        let shape = broadcast_shape(x.shape(), y.shape()).ok_or_else(|| misfit(&x, &y))?;
        context.check_size(&shape)?;
        let exponent: Vec<f64> = match y.value().data() {
            Data::F32(y) => y.iter().map(|&y| f64::from(y)).collect(),
            Data::F64(y) => y.to_vec(),
            Data::I32(y) => y.iter().map(|&y| f64::from(y)).collect(),
            Data::I64(y) => y.iter().map(|&y| y as f64).collect(),
            _ => return Err(Fault::unsupported(format_args!("an exponent of type {}", y.dtype()))),
        };
        let raise = |base: Vec<f64>| {
            zip((&base, x.shape()), (&exponent, y.shape()), &shape, |x: f64, y| match y {
                0.5 if x > 0.0 => x.sqrt(),
                _ => x.powf(y),
            })
        };
        match x.value().data() {
            // The square root of an f32 in f64, rounded to f32, is the correctly rounded one.
            Data::F32(base) => {
                let result = raise(base.iter().map(|&x| f64::from(x)).collect());
                Ok(one(shape, result.into_iter().map(|v| v as f32).collect::<Vec<_>>()))
            }
            Data::F64(base) => {
                let result = raise(base.to_vec());
                Ok(one(shape, result))
            }
            _ => Err(Fault::unsupported(format_args!("a base of type {}", x.dtype()))),
        }
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        repeats_over_batch(inputs, output)
    }
}
