//! Flatten.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::tensor::Tensor;

/// To two axes: those before `axis`, and the rest.
#[derive(Debug)]
struct Flatten {
    axis: i64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Flatten { axis: attributes.int("axis")?.unwrap_or(1) }))
}

impl Flatten {
    fn axis(&self, rank: usize) -> Result<usize, Fault> {
        let signed = rank as i64;
        if (-signed..=signed).contains(&self.axis) {
            return Ok((if self.axis < 0 { self.axis + signed } else { self.axis }) as usize);
        }
        Err(Fault::value("attribute \"axis\"", self.axis, format_args!("at most the rank {rank}")))
    }
}

impl Operator for Flatten {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let (value, grid) = inputs.take(0, "input")?.into_parts();
        let axis = self.axis(value.shape().len())?;
        let (rows, columns) = value.shape().split_at(axis);
        let shape = vec![rows.iter().product(), columns.iter().product()];
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(value.with_shape(shape)).with_grid(grid)])
    }

    fn planned(&self, _: &Site<'_>) -> Option<Planned> {
        Some(Planned::Reshape)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        let shape = inputs[0].shape;
        only_first_batched(inputs)
            && self
                .axis(shape.len())
                .is_ok_and(|axis| axis > 0 && shape[1..axis].iter().product::<usize>() == 1)
    }
}
