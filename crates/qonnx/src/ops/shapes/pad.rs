//! Pad: with a constant, or with elements of the tensor.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// Before version 11 the amounts and the constant are attributes.
#[derive(Debug)]
struct Pad {
    pads: Option<Vec<i64>>,
    value: f32,
    mode: Mode,
}

/// What stands outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Constant,
    /// The element at the edge.
    Edge,
    /// The tensor mirrored at its outermost elements.
    Reflect,
    /// The tensor again.
    Wrap,
}

impl Mode {
    /// The place inside for one `i` elements behind the first, which may be negative; `None` for the constant.
    fn place(self, i: i64, len: i64) -> Option<i64> {
        match self {
            _ if (0..len).contains(&i) => Some(i),
            Self::Constant => None,
            Self::Edge => Some(i.clamp(0, len - 1)),
            Self::Reflect if len == 1 => Some(0),
            Self::Reflect => {
                let i = i.rem_euclid(2 * (len - 1));
                Some(if i < len { i } else { 2 * (len - 1) - i })
            }
            Self::Wrap => Some(i.rem_euclid(len)),
        }
    }
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let mode = match attributes.string("mode")? {
        None | Some("constant") => Mode::Constant,
        Some("edge") => Mode::Edge,
        Some("reflect") => Mode::Reflect,
        Some("wrap") => Mode::Wrap,
        Some(mode) => return Err(Fault::unsupported(format_args!("mode {mode:?}"))),
    };
    if attributes.version() >= 11 {
        return Ok(Box::new(Pad { pads: None, value: 0.0, mode }));
    }
    let name = if attributes.version() < 2 { "paddings" } else { "pads" };
    let pads =
        attributes.ints(name)?.ok_or_else(|| Fault::missing(format_args!("attribute {name:?}")))?;
    Ok(Box::new(Pad {
        pads: Some(pads.to_vec()),
        value: attributes.float("value")?.unwrap_or(0.0),
        mode,
    }))
}

/// Elements before and behind along each axis of a tensor of `rank`; negative ones are cut off.
fn amounts(pads: &[i64], axes: Option<&[i64]>, rank: usize) -> Result<Vec<(i64, i64)>, Fault> {
    let all: Vec<i64> = (0..rank as i64).collect();
    let axes = axes::distinct(axes.unwrap_or(&all), rank, "input 3 (axes)")?;
    if pads.len() != 2 * axes.len() {
        let expected = format!("{} numbers", 2 * axes.len());
        return Err(Fault::value("the padding", format_args!("{pads:?}"), expected));
    }
    let mut amounts = vec![(0, 0); rank];
    for (i, axis) in axes.iter().enumerate() {
        amounts[*axis] = (pads[i], pads[i + axes.len()]);
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
            Some(fill) if fill.len() == 0 => Data::zeros(data.dtype(), 1),
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
        let impossible = || {
            let expected = format!("one that {:?} can have", data.shape());
            Fault::value("the padding", format_args!("{pads:?}"), expected)
        };
        let mut shape = Vec::with_capacity(rank);
        for (&extent, &(before, behind)) in data.shape().iter().zip(&amounts) {
            let padded = before.checked_add(behind).and_then(|pad| pad.checked_add(extent as i64));
            let padded = padded.and_then(|padded| usize::try_from(padded).ok());
            // There has to be something to repeat.
            let made_up = self.mode != Mode::Constant && extent == 0;
            shape.push(padded.filter(|&padded| padded == 0 || !made_up).ok_or_else(impossible)?);
        }
        context.check_size(&shape)?;
        let mut picked = Vec::with_capacity(shape.iter().product());
        let strides = axes::row_major(data.shape());
        axes::indices(&shape, |index| {
            let mut place = Some(0);
            for (axis, &i) in index.iter().enumerate() {
                let (i, len) = (i as i64 - amounts[axis].0, data.shape()[axis] as i64);
                let inside = self.mode.place(i, len);
                place = place.zip(inside).map(|(place, i)| place + i as usize * strides[axis]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_outside() {
        let places = |mode: Mode| (-4..8).map(|i| mode.place(i, 3)).collect::<Option<Vec<i64>>>();
        assert_eq!(places(Mode::Constant), None);
        assert_eq!(places(Mode::Edge).unwrap(), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(places(Mode::Reflect).unwrap(), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(places(Mode::Wrap).unwrap(), [2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(Mode::Reflect.place(-7, 1), Some(0));
    }
}
