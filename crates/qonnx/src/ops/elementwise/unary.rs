//! What only changes signs or leaves out values: Abs, Neg, Relu, Sign.

use std::sync::Arc;

use fewbit_kernels::program::Step;
use rayon::prelude::*;

use crate::attributes::Attributes;
use crate::broadcast::{BLOCK, PARALLEL};
use crate::error::Fault;
use crate::ops::planned::{each, step};
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::tensor::Tensor;
use crate::value::{Data, Element, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Abs,
    Neg,
    Relu,
    Sign,
}

pub(crate) fn abs(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Unary::Abs.new(attributes)
}

pub(crate) fn neg(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Unary::Neg.new(attributes)
}

pub(crate) fn relu(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Unary::Relu.new(attributes)
}

pub(crate) fn sign(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Unary::Sign.new(attributes)
}

impl Unary {
    #[expect(clippy::wrong_self_convention, clippy::new_ret_no_self, reason = "makes the operator")]
    fn new(self, attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
        if attributes.version() < 6 {
            attributes.ignore("consumed_inputs");
        }
        Ok(Box::new(self))
    }
}

impl Operator for Unary {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "X")?;
        let grid = if *self == Self::Sign { None } else { x.grid().cloned() };
        let dtype = x.dtype();
        let (shape, data) = x.into_value().into_parts();
        macro_rules! by_type {
            ($($float:ident $f:ident)*; $($signed:ident $i:ident)*; $($unsigned:ident)*) => {
                match data {
                    $(Data::$float(x) => match self {
                        Self::Abs => map(x, $f::abs),
                        Self::Neg => map(x, |x: $f| -x),
                        // NaN stays.
                        Self::Relu => map(x, |x: $f| if x <= 0.0 { 0.0 } else { x }),
                        Self::Sign => map(x, |x: $f| {
                            if x == 0.0 || x.is_nan() { x + 0.0 } else { x.signum() }
                        }),
                    },)*
                    $(Data::$signed(x) => match self {
                        Self::Abs => map(x, $i::wrapping_abs),
                        Self::Neg => map(x, $i::wrapping_neg),
                        Self::Relu => map(x, |x: $i| x.max(0)),
                        Self::Sign => map(x, $i::signum),
                    },)*
                    $(Data::$unsigned(x) if matches!(self, Self::Abs) => Data::from(x),
                    Data::$unsigned(x) if matches!(self, Self::Sign) => map(x, |x| x.min(1)),)*
                    _ => return Err(Fault::unsupported(format_args!("an input of type {dtype}"))),
                }
            };
        }
        let data = by_type!(F32 f32 F64 f64; I8 i8 I16 i16 I32 i32 I64 i64; U8 U16 U32 U64);
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let function: fn(f32) -> f32 = match self {
            _ if !site.only_first() => return None,
            Self::Relu => return step(Step::Relu),
            Self::Abs => f32::abs,
            Self::Neg => |x| -x,
            Self::Sign => |x| if x == 0.0 || x.is_nan() { x + 0.0 } else { x.signum() },
        };
        each(move |block| block.iter_mut().for_each(|x| *x = function(*x)))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

/// `f` of each element, in place if nothing else holds the elements.
pub(crate) fn map<T: Element>(mut x: Arc<Vec<T>>, f: impl Fn(T) -> T + Sync) -> Data
where
    Data: From<Arc<Vec<T>>> + From<Vec<T>>,
{
    let Some(values) = Arc::get_mut(&mut x) else {
        return if x.len() >= PARALLEL {
            x.par_iter().with_min_len(BLOCK).map(|&x| f(x)).collect::<Vec<T>>().into()
        } else {
            x.iter().map(|&x| f(x)).collect::<Vec<T>>().into()
        };
    };
    let apply = |values: &mut [T]| values.iter_mut().for_each(|x| *x = f(*x));
    if values.len() >= PARALLEL {
        values.par_chunks_mut(BLOCK).for_each(apply);
    } else {
        apply(values);
    }
    x.into()
}
