//! ArgMax and ArgMin.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, one, only_first_batched};
use crate::tensor::Tensor;
use crate::value::Data;

/// The index of the largest or smallest element along an axis: the first of equals, or the last. NaN counts as both.
#[derive(Debug)]
struct ArgMax {
    axis: i64,
    keep: bool,
    last: bool,
    smallest: bool,
}

pub(crate) fn arg_max(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    new(attributes, false)
}

pub(crate) fn arg_min(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    new(attributes, true)
}

fn new(attributes: &mut Attributes<'_>, smallest: bool) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(ArgMax {
        smallest,
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
        macro_rules! by_type {
            ($($float:ident)*; $($integer:ident)*) => {
                match data.value().data() {
                    $(Data::$float(x) => self.of(along, |a, b| {
                        let beyond = if self.smallest { x[a] < x[b] } else { x[a] > x[b] };
                        beyond || (x[a].is_nan() && !x[b].is_nan())
                    }),)*
                    $(Data::$integer(x) => self.of(along, |a, b| {
                        if self.smallest { x[a] < x[b] } else { x[a] > x[b] }
                    }),)*
                    _ => {
                        let what = format_args!("an input of type {}", data.dtype());
                        return Err(Fault::unsupported(what));
                    }
                }
            };
        }
        let indices = by_type!(F32 F64; I8 I16 I32 I64 U8 U16 U32 U64);
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
    fn of(&self, along: axes::Along, beyond: impl Fn(usize, usize) -> bool) -> Vec<i64> {
        (0..along.lanes())
            .map(|lane| {
                let mut best = (0, None);
                for (i, place) in along.lane(lane).enumerate() {
                    let takes = best
                        .1
                        .is_none_or(|old| beyond(place, old) || (self.last && !beyond(old, place)));
                    if takes {
                        best = (i as i64, Some(place));
                    }
                }
                best.0
            })
            .collect()
    }
}
