//! ArgMax.

use super::{Context, Input, Inputs, Operator, axes, one, only_first_batched};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::Data;

/// The index of the largest element along an axis: the first of equals, or the last. NaN counts as largest.
#[derive(Debug)]
struct ArgMax {
    axis: i64,
    keep: bool,
    last: bool,
}

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(ArgMax {
        axis: attributes.int("axis")?.unwrap_or(0),
        keep: attributes.flag("keepdims", true)?,
        last: attributes.flag("select_last_index", false)?,
    }))
}

impl Operator for ArgMax {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let data = inputs.take(0, "data")?;
        let axis = axes::axis(self.axis, data.shape().len(), "attribute \"axis\"")?;
        let along = axes::Along::new(data.shape(), axis);
        if along.len == 0 {
            return Err(Fault::shape(
                "input 0 (data)",
                data.shape(),
                format!("elements along axis {axis}"),
            ));
        }
        let indices = match data.value().data() {
            Data::F32(x) => self.of(along, |a, b| x[a] > x[b] || (x[a].is_nan() && !x[b].is_nan())),
            Data::F64(x) => self.of(along, |a, b| x[a] > x[b] || (x[a].is_nan() && !x[b].is_nan())),
            Data::I64(x) => self.of(along, |a, b| x[a] > x[b]),
            Data::I32(x) => self.of(along, |a, b| x[a] > x[b]),
            Data::U8(x) => self.of(along, |a, b| x[a] > x[b]),
            Data::I8(x) => self.of(along, |a, b| x[a] > x[b]),
            _ => return Err(Fault::unsupported(format_args!("an input of type {}", data.dtype()))),
        };
        let mut shape = data.shape().to_vec();
        if self.keep {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        Ok(one(shape, indices))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
            && axes::axis(self.axis, inputs[0].shape.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}

impl ArgMax {
    fn of(&self, along: axes::Along, larger: impl Fn(usize, usize) -> bool) -> Vec<i64> {
        (0..along.lanes())
            .map(|lane| {
                let mut best = (0, None);
                for (i, place) in along.lane(lane).enumerate() {
                    let takes = best
                        .1
                        .is_none_or(|old| larger(place, old) || (self.last && !larger(old, place)));
                    if takes {
                        best = (i as i64, Some(place));
                    }
                }
                best.0
            })
            .collect()
    }
}
