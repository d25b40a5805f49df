//! Squeeze and Unsqueeze.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Role, Site, axes};
use crate::tensor::Tensor;

/// Takes out axes of extent 1.
#[derive(Debug)]
struct Squeeze {
    axes: Option<Vec<i64>>,
}

/// Puts in axes of extent 1.
#[derive(Debug)]
struct Unsqueeze {
    axes: Option<Vec<i64>>,
}

pub(crate) fn squeeze(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Squeeze { axes: listed(attributes)? }))
}

pub(crate) fn unsqueeze(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Unsqueeze { axes: listed(attributes)? }))
}

/// Before version 13 the axes are an attribute.
fn listed(attributes: &mut Attributes<'_>) -> Result<Option<Vec<i64>>, Fault> {
    if attributes.version() >= 13 {
        return Ok(None);
    }
    Ok(attributes.ints("axes")?.map(<[i64]>::to_vec))
}

fn axes_of(own: &Option<Vec<i64>>, inputs: &mut Inputs) -> Result<Option<Vec<i64>>, Fault> {
    inputs.at_most(if own.is_some() { 1 } else { 2 })?;
    match own {
        Some(axes) => Ok(Some(axes.clone())),
        None => inputs.optional(1).map(|axes| axes.to_i64("input 1 (axes)")).transpose(),
    }
}

/// The axes as [`Operator::keeps_batch`] knows them.
fn constant_axes(own: &Option<Vec<i64>>, inputs: &[Input<'_>]) -> Option<Vec<i64>> {
    match (own, inputs.get(1)) {
        (Some(axes), _) => Some(axes.clone()),
        (None, Some(input)) if input.role == Role::Fixed => input.constant?.to_i64("axes").ok(),
        _ => None,
    }
}

fn unchanged(tensor: Tensor, shape: Vec<usize>) -> Vec<Tensor> {
    let (value, grid) = tensor.into_parts();
    let grid = grid.and_then(|grid| grid.if_per_tensor());
    vec![Tensor::new(value.with_shape(shape)).with_grid(grid)]
}

impl Operator for Squeeze {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        let axes = axes_of(&self.axes, inputs)?;
        let data = inputs.take(0, "data")?;
        let shape = data.shape();
        let taken: Vec<usize> = match axes {
            Some(axes) => axes::distinct(&axes, shape.len(), "axes")?,
            None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
        };
        if let Some(&axis) = taken.iter().find(|&&axis| shape[axis] != 1) {
            return Err(Fault::shape(
                "input 0 (data)",
                shape,
                format!("extent 1 along axis {axis}"),
            ));
        }
        let rest = (0..shape.len()).filter(|axis| !taken.contains(axis)).map(|axis| shape[axis]);
        let shape = rest.collect();
        Ok(unchanged(data, shape))
    }

    fn planned(&self, _: &Site<'_>) -> Option<Planned> {
        Some(Planned::Reshape)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        inputs[0].batched()
            && constant_axes(&self.axes, inputs).is_some_and(|axes| {
                axes::distinct(&axes, inputs[0].shape.len(), "axes")
                    .is_ok_and(|axes| !axes.contains(&0))
            })
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

impl Operator for Unsqueeze {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        let axes = axes_of(&self.axes, inputs)?.ok_or_else(|| Fault::missing("axes"))?;
        let data = inputs.take(0, "data")?;
        let rank = data.shape().len() + axes.len();
        let put = axes::distinct(&axes, rank, "axes")?;
        let mut old = data.shape().iter();
        let shape = (0..rank)
            .map(|axis| if put.contains(&axis) { 1 } else { old.next().copied().unwrap_or(1) })
            .collect();
        Ok(unchanged(data, shape))
    }

    fn planned(&self, _: &Site<'_>) -> Option<Planned> {
        Some(Planned::Reshape)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && constant_axes(&self.axes, inputs).is_some_and(|axes| {
                axes::distinct(&axes, output.len(), "axes").is_ok_and(|axes| !axes.contains(&0))
            })
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}
