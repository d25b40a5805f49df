//! Shape and Size.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::Tensor;

/// The extents of a tensor, or of some of its axes.
#[derive(Debug)]
struct Shape {
    start: i64,
    end: Option<i64>,
}

pub(crate) fn shape(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Shape {
        start: attributes.int("start")?.unwrap_or(0),
        end: attributes.int("end")?,
    }))
}

/// The number of elements of a tensor.
#[derive(Debug)]
struct Size;

pub(crate) fn size(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Size))
}

impl Operator for Size {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        Ok(one(vec![], vec![inputs.take(0, "data")?.len() as i64]))
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }

    fn asks_for_sizes(&self) -> bool {
        true
    }
}

impl Operator for Shape {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let data = inputs.take(0, "data")?;
        let rank = data.shape().len() as i64;
        let clamp = |axis: i64| {
            (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize
        };
        let (start, end) = (clamp(self.start), clamp(self.end.unwrap_or(rank)));
        let shape: Vec<i64> =
            data.shape()[start..end.max(start)].iter().map(|&extent| extent as i64).collect();
        Ok(one(vec![shape.len()], shape))
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }

    fn asks_for_sizes(&self) -> bool {
        true
    }
}
