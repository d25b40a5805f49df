//! Functions of one float: in f64, rounded once.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::planned::each;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

use super::unary::map;

/// A function of each element.
pub(crate) struct Function<F>(F);

/// An operator that is a function of each element, given in f64.
pub(crate) fn of<F>(f: F) -> Result<Box<dyn Operator>, Fault>
where
    F: Fn(f64) -> f64 + Copy + Send + Sync + 'static,
{
    Ok(Box::new(Function(f)))
}

impl<F> Operator for Function<F>
where
    F: Fn(f64) -> f64 + Copy + Send + Sync + 'static,
{
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "X")?;
        let dtype = x.dtype();
        let (shape, data) = x.into_value().into_parts();
        let f = self.0;
        let data = match data {
            Data::F32(x) => map(x, |x: f32| f(f64::from(x)) as f32),
            Data::F64(x) => map(x, f),
            _ => return Err(Fault::unsupported(format_args!("an input of type {dtype}"))),
        };
        Ok(vec![Tensor::new(Value::of(shape, data))])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let f = self.0;
        let block = move |block: &mut [f32]| {
            block.iter_mut().for_each(|x| *x = f(f64::from(*x)) as f32);
        };
        if site.only_first() { each(block) } else { None }
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

macro_rules! functions {
    ($($name:ident: $f:expr;)*) => {
        $(
            pub(crate) fn $name(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
                if attributes.version() < 6 {
                    attributes.ignore("consumed_inputs");
                }
                of($f)
            }
        )*
    };
}

functions! {
    acos: f64::acos;
    acosh: f64::acosh;
    asin: f64::asin;
    asinh: f64::asinh;
    atan: f64::atan;
    atanh: f64::atanh;
    ceil: f64::ceil;
    cos: f64::cos;
    cosh: f64::cosh;
    erf: libm::erf;
    exp: f64::exp;
    floor: f64::floor;
    log: f64::ln;
    reciprocal: |x| 1.0 / x;
    round: f64::round_ties_even;
    sigmoid: |x| 1.0 / (1.0 + (-x).exp());
    sin: f64::sin;
    sinh: f64::sinh;
    sqrt: f64::sqrt;
    tan: f64::tan;
    tanh: f64::tanh;
}
