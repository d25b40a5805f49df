//! GatherND.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::shapes::place;
use crate::ops::{Context, Input, Inputs, Operator, one};
use crate::tensor::Tensor;

/// Picks what whole index vectors, along the last axis of the indices, point at; the first axes of both may be a batch.
#[derive(Debug)]
struct GatherNd {
    batch: usize,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let batch = attributes.int("batch_dims")?.unwrap_or(0);
    let batch = usize::try_from(batch)
        .map_err(|_| Fault::value("attribute \"batch_dims\"", batch, "0 or more"))?;
    Ok(Box::new(GatherNd { batch }))
}

/// First element and length of the run that each index vector points at, in a tensor of shape `data`.
pub(super) fn runs(
    data: &[usize],
    indices: &Tensor,
    batch: usize,
) -> Result<(Vec<usize>, usize), Fault> {
    let shape = indices.shape();
    let misfit = || {
        let expected = format!("index vectors into {data:?} along the last axis");
        Fault::shape("input 1 (indices)", shape, expected)
    };
    let (&depth, outer) = shape.split_last().ok_or_else(misfit)?;
    let fits = batch <= outer.len()
        && batch.checked_add(depth).is_some_and(|used| used <= data.len())
        && outer[..batch] == data[..batch];
    if !fits {
        return Err(misfit());
    }
    let items: usize = data[..batch].iter().product();
    let item: usize = data[batch..].iter().product();
    let run: usize = data[batch + depth..].iter().product();
    let wanted = indices.to_i64("input 1 (indices)")?;
    let vectors: usize = outer.iter().product();
    let per_item = vectors / items.max(1);
    let mut first = Vec::with_capacity(vectors);
    for vector in 0..vectors {
        let mut at = 0;
        for (axis, &index) in wanted[vector * depth..][..depth].iter().enumerate() {
            let len = data[batch + axis];
            at = at * len + place(index, len)?;
        }
        first.push(vector / per_item.max(1) * item + at * run);
    }
    Ok((first, run))
}

impl Operator for GatherNd {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (data, indices) = (inputs.take(0, "data")?, inputs.take(1, "indices")?);
        let (first, run) = runs(data.shape(), &indices, self.batch)?;
        let (depth, outer) = match indices.shape().split_last() {
            Some((&depth, outer)) => (depth, outer),
            None => (0, &[][..]),
        };
        let shape = [outer, &data.shape()[self.batch + depth..]].concat();
        context.check_size(&shape)?;
        let runs = first.into_iter().map(|first| (first, run));
        Ok(one(shape, data.value().data().runs(runs)))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        self.batch > 0 && inputs.iter().all(Input::batched)
    }
}
