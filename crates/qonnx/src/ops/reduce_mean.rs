//! ReduceMean.

use super::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;

/// The mean over some axes: the f64 sum divided by the count, rounded once. Before version 18 the axes are an attribute.
#[derive(Debug)]
struct ReduceMean {
    axes: Option<Vec<i64>>,
    keep: bool,
    /// Without axes: leave the input as it is, instead of the mean of everything.
    nothing_without_axes: bool,
}

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let axes = if attributes.version() < 18 { attributes.ints("axes")? } else { None };
    Ok(Box::new(ReduceMean {
        axes: axes.map(<[i64]>::to_vec),
        keep: attributes.flag("keepdims", true)?,
        nothing_without_axes: attributes.flag("noop_with_empty_axes", false)?,
    }))
}

impl Operator for ReduceMean {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.axes.is_some() { 1 } else { 2 })?;
        let data = inputs.take(0, "data")?;
        let listed = match &self.axes {
            Some(axes) => Some(axes.clone()),
            None => inputs.optional(1).map(|axes| axes.to_i64("input 1 (axes)")).transpose()?,
        };
        let rank = data.shape().len();
        let over = match listed {
            Some(axes) if !axes.is_empty() => axes::distinct(&axes, rank, "axes")?,
            _ if self.nothing_without_axes => return Ok(vec![data]),
            _ => (0..rank).collect(),
        };
        let x = data.slice::<f32>("input 0 (data)")?;
        let kept: Vec<usize> = (0..rank)
            .map(|axis| if over.contains(&axis) { 1 } else { data.shape()[axis] })
            .collect();
        let strides = axes::row_major(&kept);
        let mut sums = vec![0.0f64; kept.iter().product()];
        let mut place = 0;
        axes::indices(data.shape(), |index| {
            let target: usize = (0..rank)
                .filter(|axis| !over.contains(axis))
                .map(|axis| index[axis] * strides[axis])
                .sum();
            sums[target] += f64::from(x[place]);
            place += 1;
        });
        let count: usize = over.iter().map(|&axis| data.shape()[axis]).product();
        let means: Vec<f32> = sums.into_iter().map(|sum| (sum / count as f64) as f32).collect();
        let shape = if self.keep {
            kept
        } else {
            (0..rank).filter(|axis| !over.contains(axis)).map(|axis| data.shape()[axis]).collect()
        };
        Ok(one(shape, means))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        let axes = self
            .axes
            .clone()
            .or_else(|| inputs.get(1).and_then(|axes| axes.constant?.to_i64("axes").ok()));
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && axes.is_some_and(|axes| {
                !axes.is_empty()
                    && axes::distinct(&axes, inputs[0].shape.len(), "axes")
                        .is_ok_and(|axes| !axes.contains(&0))
            })
    }
}
