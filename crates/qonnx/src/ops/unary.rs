//! Functions of one number: Abs, Neg, Relu, Sigmoid, Sqrt, Tanh.

use std::sync::Arc;

use fewbit_kernels::program::Step;
use rayon::prelude::*;

use super::planned::{each, step};
use super::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::attributes::Attributes;
use crate::broadcast::{BLOCK, PARALLEL};
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::{Data, Element, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Abs,
    Neg,
    Relu,
    Sigmoid,
    Sqrt,
    Tanh,
}

pub(super) fn abs(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unary::Abs))
}

pub(super) fn neg(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unary::Neg))
}

pub(super) fn relu(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unary::Relu))
}

pub(super) fn sigmoid(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unary::Sigmoid))
}

pub(super) fn sqrt(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unary::Sqrt))
}

pub(super) fn tanh(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unary::Tanh))
}

impl Operator for Unary {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "X")?;
        // These only change signs or leave out values.
        let grid = match self {
            Self::Abs | Self::Neg | Self::Relu => x.grid().cloned(),
            Self::Sigmoid | Self::Sqrt | Self::Tanh => None,
        };
        let dtype = x.dtype();
        let (shape, data) = x.into_value().into_parts();
        let data = match (self, data) {
            (Self::Abs, Data::F32(x)) => map(x, f32::abs),
            (Self::Abs, Data::F64(x)) => map(x, f64::abs),
            (Self::Abs, Data::I32(x)) => map(x, i32::wrapping_abs),
            (Self::Abs, Data::I64(x)) => map(x, i64::wrapping_abs),
            (Self::Neg, Data::F32(x)) => map(x, |x: f32| -x),
            (Self::Neg, Data::F64(x)) => map(x, |x: f64| -x),
            (Self::Neg, Data::I32(x)) => map(x, i32::wrapping_neg),
            (Self::Neg, Data::I64(x)) => map(x, i64::wrapping_neg),
            // NaN stays.
            (Self::Relu, Data::F32(x)) => map(x, |x: f32| if x <= 0.0 { 0.0 } else { x }),
            (Self::Relu, Data::F64(x)) => map(x, |x: f64| if x <= 0.0 { 0.0 } else { x }),
            (Self::Relu, Data::I32(x)) => map(x, |x: i32| x.max(0)),
            (Self::Relu, Data::I64(x)) => map(x, |x: i64| x.max(0)),
            (Self::Sqrt, Data::F32(x)) => map(x, f32::sqrt),
            (Self::Sqrt, Data::F64(x)) => map(x, f64::sqrt),
            (Self::Sigmoid, Data::F32(x)) => map(x, logistic),
            (Self::Sigmoid, Data::F64(x)) => map(x, |x: f64| 1.0 / (1.0 + (-x).exp())),
            (Self::Tanh, Data::F32(x)) => map(x, hyperbolic_tangent),
            (Self::Tanh, Data::F64(x)) => map(x, f64::tanh),
            _ => return Err(Fault::unsupported(format_args!("an input of type {dtype}"))),
        };
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let function: fn(f32) -> f32 = match self {
            _ if !site.only_first() => return None,
            Self::Relu => return step(Step::Relu),
            Self::Abs => f32::abs,
            Self::Neg => |x| -x,
            Self::Sqrt => f32::sqrt,
            Self::Sigmoid => logistic,
            Self::Tanh => hyperbolic_tangent,
        };
        each(move |block| block.iter_mut().for_each(|x| *x = function(*x)))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

/// In f64 and rounded once.
fn logistic(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

/// In f64 and rounded once.
fn hyperbolic_tangent(x: f32) -> f32 {
    f64::from(x).tanh() as f32
}

/// `f` of each element, in place if nothing else holds the elements.
pub(super) fn map<T: Element>(mut x: Arc<Vec<T>>, f: impl Fn(T) -> T + Sync) -> Data
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
