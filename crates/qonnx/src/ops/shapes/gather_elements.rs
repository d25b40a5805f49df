//! GatherElements.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::shapes::place;
use crate::ops::{Context, Input, Inputs, Operator, axes};
use crate::tensor::Tensor;
use crate::value::Value;

/// Each element from where the others of its index and its own index along an axis say.
#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(GatherElements { axis: attributes.int("axis")?.unwrap_or(0) }))
}

/// The place in a tensor of shape `data` for each of `indices`, which replace the index along `axis`.
pub(super) fn places(data: &[usize], indices: &Tensor, axis: usize) -> Result<Vec<usize>, Fault> {
    let shape = indices.shape();
    let fits = shape.len() == data.len()
        && (0..data.len()).all(|other| other == axis || shape[other] <= data[other]);
    if !fits {
        let expected = format!("at most {data:?} but along axis {axis}");
        return Err(Fault::shape("input 1 (indices)", shape, expected));
    }
    let strides = axes::row_major(data);
    let wanted = indices.to_i64("input 1 (indices)")?;
    let mut next = wanted.iter();
    let mut places = Vec::with_capacity(wanted.len());
    let mut fault = None;
    axes::indices(shape, |index| {
        let along = next.next().map_or(Ok(0), |&wanted| place(wanted, data[axis]));
        let along = along.unwrap_or_else(|found| {
            fault = Some(found);
            0
        });
        let of = |i: usize| if i == axis { along } else { index[i] };
        places.push((0..data.len()).map(|i| of(i) * strides[i]).sum());
    });
    fault.map_or(Ok(places), Err)
}

impl Operator for GatherElements {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (value, grid) = inputs.take(0, "data")?.into_parts();
        let indices = inputs.take(1, "indices")?;
        let axis = axes::axis(self.axis, value.shape().len(), "attribute \"axis\"")?;
        let picked = places(value.shape(), &indices, axis)?;
        let data = value
            .data()
            .pick(picked.into_iter().map(Some), value.data())
            .ok_or_else(|| Fault::Malformed("a place leaves the tensor".to_owned()))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(indices.shape().to_vec(), data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        inputs.iter().all(Input::batched)
            && inputs.len() == 2
            && inputs[0].shape.first() == inputs[1].shape.first()
            && axes::axis(self.axis, inputs[0].shape.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}
