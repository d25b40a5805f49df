//! Split.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, shapes};
use crate::tensor::Tensor;
use crate::value::Value;

/// Cuts a tensor along an axis: at lengths that are given, or into as many equal parts as there are outputs, the last one shorter from version 18 on.
#[derive(Debug)]
struct Split {
    axis: i64,
    /// Before version 13 the lengths are an attribute.
    lengths: Option<Vec<i64>>,
    parts: usize,
    last_may_be_shorter: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let parts = attributes.output_count();
    let version = attributes.version();
    if version >= 18
        && let Some(count) = attributes.int("num_outputs")?
        && count != parts as i64
    {
        let expected = format!("{parts}, the number of outputs");
        return Err(Fault::value("attribute \"num_outputs\"", count, expected));
    }
    let lengths = if version < 13 { attributes.ints("split")? } else { None };
    Ok(Box::new(Split {
        axis: attributes.int("axis")?.unwrap_or(0),
        lengths: lengths.map(<[i64]>::to_vec),
        parts,
        last_may_be_shorter: version >= 18,
    }))
}

impl Split {
    fn lengths(&self, given: Option<Vec<i64>>, len: usize) -> Result<Vec<usize>, Fault> {
        let parts = self.parts.max(1);
        if let Some(given) = given {
            let lengths = shapes::extents(&given, "the lengths")?;
            let sum = lengths.iter().fold(0usize, |sum, &len| sum.saturating_add(len));
            if sum != len || lengths.len() < self.parts {
                let expected = format!("{parts} numbers with the sum {len}");
                return Err(Fault::value("the lengths", format_args!("{given:?}"), expected));
            }
            return Ok(lengths);
        }
        let part = len.div_ceil(parts);
        if !len.is_multiple_of(parts) && !self.last_may_be_shorter {
            let expected = format!("a multiple of the number of outputs, {parts}");
            return Err(Fault::value("the extent", len, expected));
        }
        Ok((0..parts).map(|i| part.min(len.saturating_sub(i * part))).collect())
    }
}

impl Operator for Split {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (value, grid) = inputs.take(0, "input")?.into_parts();
        let given = match (&self.lengths, inputs.optional(1)) {
            (Some(_), Some(_)) => {
                return Err(Fault::Malformed("the lengths are there twice".to_owned()));
            }
            (Some(lengths), None) => Some(lengths.clone()),
            (None, lengths) => lengths.map(|l| l.to_i64("input 1 (split)")).transpose()?,
        };
        let axis = axes::axis(self.axis, value.shape().len(), "attribute \"axis\"")?;
        let along = axes::Along::new(value.shape(), axis);
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        let mut first = 0;
        let part = |len: usize| {
            let runs = (0..along.outer)
                .map(|outer| ((outer * along.len + first) * along.inner, len * along.inner));
            let data = value.data().runs(runs);
            first += len;
            let mut shape = value.shape().to_vec();
            shape[axis] = len;
            Tensor::new(Value::of(shape, data)).with_grid(grid.clone())
        };
        Ok(self.lengths(given, along.len)?.into_iter().map(part).collect())
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && axes::axis(self.axis, inputs[0].shape.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts() {
        let split = |parts, last_may_be_shorter| Split {
            axis: 0,
            lengths: None,
            parts,
            last_may_be_shorter,
        };
        assert_eq!(split(2, false).lengths(None, 6).unwrap(), [3, 3]);
        assert!(split(2, false).lengths(None, 7).is_err());
        assert_eq!(split(2, true).lengths(None, 7).unwrap(), [4, 3]);
        assert_eq!(split(4, true).lengths(None, 5).unwrap(), [2, 2, 1, 0]);
        assert!(split(2, true).lengths(Some(vec![3, 5]), 7).is_err());
        assert!(split(2, true).lengths(Some(vec![i64::MAX, i64::MAX]), 7).is_err());
    }
}
