//! Tile.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, shapes};
use crate::tensor::Tensor;
use crate::value::Value;

/// Puts copies of a tensor behind each other, a number of times along each axis. In version 1 along one axis.
#[derive(Debug)]
struct Tile {
    one_axis: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Tile { one_axis: attributes.version() < 6 }))
}

impl Operator for Tile {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.one_axis { 3 } else { 2 })?;
        let (value, grid) = inputs.take(0, "input")?.into_parts();
        let rank = value.shape().len();
        let repeats = if self.one_axis {
            let tiles = inputs.scalar::<i64>(1, "tiles")?;
            let axis = inputs.scalar::<i64>(2, "axis")?;
            let mut repeats = vec![1; rank];
            repeats[axes::axis(axis, rank, "input 2 (axis)")?] = tiles;
            repeats
        } else {
            inputs.take(1, "repeats")?.to_i64("input 1 (repeats)")?
        };
        let times = shapes::extents(&repeats, "input 1 (repeats)")?;
        if times.len() != rank {
            let expected = format!("{rank} numbers");
            return Err(Fault::value("input 1 (repeats)", format_args!("{times:?}"), expected));
        }
        let shape = value.shape().iter().zip(&times).map(|(len, times)| len.saturating_mul(*times));
        let shape: Vec<usize> = shape.collect();
        context.check_size(&shape)?;
        let strides = axes::row_major(value.shape());
        let mut picked = Vec::with_capacity(shape.iter().product());
        axes::indices(&shape, |index| {
            let place = index.iter().zip(value.shape()).zip(&strides);
            picked.push(Some(place.map(|((i, len), stride)| i % len * stride).sum()));
        });
        let data = value
            .data()
            .pick(picked.into_iter(), value.data())
            .ok_or_else(|| Fault::Malformed("a place leaves the tensor".to_owned()))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(shape, data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && inputs[0].shape.first() == output.first()
    }
}
