//! Gather.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::shapes::place;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::tensor::Tensor;

/// Picks slices along an axis; negative indices count from the end.
#[derive(Debug)]
struct Gather {
    axis: i64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Gather { axis: attributes.int("axis")?.unwrap_or(0) }))
}

impl Operator for Gather {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (data, indices) = (inputs.take(0, "data")?, inputs.take(1, "indices")?);
        let axis = axes::axis(self.axis, data.shape().len(), "attribute \"axis\"")?;
        let along = axes::Along::new(data.shape(), axis);
        let mut shape = data.shape()[..axis].to_vec();
        shape.extend_from_slice(indices.shape());
        shape.extend_from_slice(&data.shape()[axis + 1..]);
        context.check_size(&shape)?;
        let picked = indices
            .to_i64("input 1 (indices)")?
            .into_iter()
            .map(|index| place(index, along.len))
            .collect::<Result<Vec<usize>, Fault>>()?;
        let runs = (0..along.outer).flat_map(|outer| {
            picked.iter().map(move |&i| ((outer * along.len + i) * along.inner, along.inner))
        });
        Ok(one(shape, data.value().data().runs(runs)))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        let [data, indices] = inputs else { return false };
        let axis = axes::axis(self.axis, data.shape.len(), "axis");
        let rows = data.batched() && indices.role == Role::Fixed;
        // A table that each item looks something up in.
        let table = data.role == Role::Fixed && indices.batched();
        axis.is_ok_and(|axis| rows && axis != 0 || table && axis == 0)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}
