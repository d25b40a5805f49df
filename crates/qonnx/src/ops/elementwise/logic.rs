//! Truth values: And, Or, Xor, Not; IsNaN, IsInf.

use super::legacy::Repetition;
use crate::attributes::Attributes;
use crate::broadcast::zip;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Data;

/// A function of two truth values.
#[derive(Debug)]
struct Connective {
    f: fn(bool, bool) -> bool,
    repetition: Repetition,
}

#[derive(Debug)]
struct Not;

/// Whether an element is one of those that are no finite numbers.
#[derive(Debug)]
struct Is(Extraordinary);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extraordinary {
    Nan,
    Infinite { positive: bool, negative: bool },
}

fn connective(
    attributes: &mut Attributes<'_>,
    f: fn(bool, bool) -> bool,
) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Connective { f, repetition: Repetition::new(attributes)? }))
}

pub(crate) fn and(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    connective(attributes, |a, b| a && b)
}

pub(crate) fn or(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    connective(attributes, |a, b| a || b)
}

pub(crate) fn xor(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    connective(attributes, |a, b| a != b)
}

pub(crate) fn not(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Not))
}

pub(crate) fn is_nan(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Is(Extraordinary::Nan)))
}

pub(crate) fn is_inf(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Is(Extraordinary::Infinite {
        positive: attributes.flag("detect_positive", true)?,
        negative: attributes.flag("detect_negative", true)?,
    })))
}

impl Operator for Connective {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let (a, b, shape) = self.repetition.operands(inputs, ["A", "B"], context)?;
        let x = (a.slice::<bool>("input 0 (A)")?, a.shape());
        let y = (b.slice::<bool>("input 1 (B)")?, b.shape());
        let data = zip(x, y, &shape, self.f);
        Ok(one(shape, data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        self.repetition.keeps_batch(inputs, output)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

impl Operator for Not {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "X")?;
        let values: Vec<bool> = x.slice::<bool>("input 0 (X)")?.iter().map(|&v| !v).collect();
        Ok(one(x.shape().to_vec(), values))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

impl Operator for Is {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "X")?;
        let is = |v: f64| match self.0 {
            Extraordinary::Nan => v.is_nan(),
            Extraordinary::Infinite { positive, negative } => {
                (positive && v == f64::INFINITY) || (negative && v == f64::NEG_INFINITY)
            }
        };
        let values: Vec<bool> = match x.value().data() {
            Data::F32(values) => values.iter().map(|&v| is(v.into())).collect(),
            Data::F64(values) => values.iter().map(|&v| is(v)).collect(),
            _ => return Err(Fault::dtype("input 0 (X)", x.dtype(), "a float")),
        };
        Ok(one(x.shape().to_vec(), values))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
