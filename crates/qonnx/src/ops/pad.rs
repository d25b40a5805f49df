//! Pad with a constant.

use super::{Context, Input, Inputs, Operator, Role, axes};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// Before version 11 the amounts and the constant are attributes.
#[derive(Debug)]
struct Pad {
    pads: Option<Vec<i64>>,
    value: f32,
}

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    match attributes.string("mode")? {
        None | Some("constant") => {}
        Some(mode) => return Err(Fault::unsupported(format_args!("mode {mode:?}"))),
    }
    if attributes.version() >= 11 {
        return Ok(Box::new(Pad { pads: None, value: 0.0 }));
    }
    let name = if attributes.version() < 2 { "paddings" } else { "pads" };
    let pads =
        attributes.ints(name)?.ok_or_else(|| Fault::missing(format_args!("attribute {name:?}")))?;
    Ok(Box::new(Pad {
        pads: Some(pads.to_vec()),
        value: attributes.float("value")?.unwrap_or(0.0),
    }))
}

/// Elements before and behind along each axis of a tensor of `rank`.
fn amounts(pads: &[i64], axes: Option<&[i64]>, rank: usize) -> Result<Vec<(usize, usize)>, Fault> {
    let all: Vec<i64> = (0..rank as i64).collect();
    let axes = axes::distinct(axes.unwrap_or(&all), rank, "input 3 (axes)")?;
    let wrong = |expected: &str| Fault::value("the padding", format_args!("{pads:?}"), expected);
    if pads.len() != 2 * axes.len() {
        return Err(wrong(&format!("{} numbers", 2 * axes.len())));
    }
    let mut amounts = vec![(0, 0); rank];
    for (i, axis) in axes.iter().enumerate() {
        let size = |pad: i64| usize::try_from(pad).map_err(|_| wrong("numbers of 0 or more"));
        amounts[*axis] = (size(pads[i])?, size(pads[i + axes.len()])?);
    }
    Ok(amounts)
}

impl Operator for Pad {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.pads.is_some() { 1 } else { 4 })?;
        let data = inputs.take(0, "data")?;
        let (pads, fill, listed) = match &self.pads {
            Some(pads) => (pads.clone(), None, None),
            None => (
                inputs.take(1, "pads")?.to_i64("input 1 (pads)")?,
                inputs.optional(2),
                inputs.optional(3).map(|axes| axes.to_i64("input 3 (axes)")).transpose()?,
            ),
        };
        let rank = data.shape().len();
        let amounts = amounts(&pads, listed.as_deref(), rank)?;
        let fill = match fill {
            Some(fill) if fill.dtype() == data.dtype() && fill.len() == 1 => {
                fill.value().data().clone()
            }
            Some(fill) if fill.len() == 1 => {
                return Err(Fault::dtype("input 2 (constant_value)", fill.dtype(), data.dtype()));
            }
            Some(fill) => {
                return Err(Fault::shape("input 2 (constant_value)", fill.shape(), "one element"));
            }
            None if self.value != 0.0 => Data::from(vec![self.value]),
            None => Data::zeros(data.dtype(), 1),
        };
        // Zero is a code of every grid.
        let keeps_grid = matches!(&fill, Data::F32(values) if values[..] == [0.0]);
        let too_large = || Fault::value("the padding", format_args!("{pads:?}"), "a smaller one");
        let mut shape = Vec::with_capacity(rank);
        for (&extent, &(before, behind)) in data.shape().iter().zip(&amounts) {
            let padded = before.checked_add(behind).and_then(|pad| pad.checked_add(extent));
            shape.push(padded.ok_or_else(too_large)?);
        }
        context.check_size(&shape)?;
        let mut picked = Vec::with_capacity(shape.iter().product());
        let strides = axes::row_major(data.shape());
        axes::indices(&shape, |index| {
            let mut place = Some(0);
            for (axis, &i) in index.iter().enumerate() {
                let inside = i.checked_sub(amounts[axis].0).filter(|&i| i < data.shape()[axis]);
                place = place.zip(inside).map(|(place, i)| place + i * strides[axis]);
            }
            picked.push(place);
        });
        let old = data.value().data();
        let new = old
            .pick(picked.into_iter(), &fill)
            .ok_or_else(|| Fault::dtype("attribute \"value\"", fill.dtype(), old.dtype()))?;
        let grid =
            data.grid().cloned().and_then(|grid| grid.if_per_tensor()).filter(|_| keeps_grid);
        Ok(vec![Tensor::new(Value::of(shape, new)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let constant =
            |index: usize| inputs.get(index).and_then(|input| input.constant?.to_i64("").ok());
        let pads = self.pads.clone().or_else(|| constant(1));
        let listed = constant(3);
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && pads.is_some_and(|pads| {
                amounts(&pads, listed.as_deref(), output.len())
                    .is_ok_and(|amounts| amounts.first() == Some(&(0, 0)))
            })
    }
}
