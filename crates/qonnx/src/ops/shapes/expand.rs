//! Expand.

use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, shapes};
use crate::tensor::Tensor;
use crate::value::Value;

/// Repeats a tensor until it has a shape, and where that says 1 leaves it as it is.
#[derive(Debug)]
struct Expand;

pub(crate) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Expand))
}

impl Operator for Expand {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let fixed = inputs.is_constant(1);
        let (value, grid) = inputs.take(0, "input")?.into_parts();
        let wanted = inputs.take(1, "shape")?.to_i64("input 1 (shape)")?;
        let mut wanted = shapes::extents(&wanted, "input 1 (shape)")?;
        if inputs.batched() && fixed && wanted.len() == value.shape().len() {
            // Written for the batch of the file.
            wanted[0] = 1;
        }
        let shape = broadcast_shape(value.shape(), &wanted).ok_or_else(|| {
            let expected = format!("a shape that broadcasts with {:?}", value.shape());
            Fault::value("input 1 (shape)", format_args!("{wanted:?}"), expected)
        })?;
        context.check_size(&shape)?;
        let places: Vec<usize> = (0..value.len()).collect();
        let picked = zip((&places, value.shape()), (&[0], &[]), &shape, |place, _| place);
        let data = value
            .data()
            .pick(picked.into_iter().map(Some), value.data())
            .ok_or_else(|| Fault::Malformed("a place leaves the tensor".to_owned()))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role != Role::Batched)
            && inputs[0].shape.len() == output.len()
            && inputs[0].shape.first() == output.first()
    }
}
