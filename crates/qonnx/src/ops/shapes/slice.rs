//! Slice.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes};
use crate::tensor::Tensor;
use crate::value::Value;

/// A range with a step along some axes. Before version 10 the ranges are attributes.
#[derive(Debug)]
struct Slice {
    ranges: Option<Ranges>,
}

/// Starts, ends, axes (all if left out), steps (1 if left out).
#[derive(Clone, Debug)]
struct Ranges {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() >= 10 {
        return Ok(Box::new(Slice { ranges: None }));
    }
    let list = |values: Option<&[i64]>| values.map(<[i64]>::to_vec);
    let missing = |name: &str| Fault::missing(format_args!("attribute {name:?}"));
    let ranges = Ranges {
        starts: list(attributes.ints("starts")?).ok_or_else(|| missing("starts"))?,
        ends: list(attributes.ints("ends")?).ok_or_else(|| missing("ends"))?,
        axes: list(attributes.ints("axes")?),
        steps: None,
    };
    Ok(Box::new(Slice { ranges: Some(ranges) }))
}

impl Ranges {
    /// First index, count and step along each axis of `shape`.
    fn resolve(&self, shape: &[usize]) -> Result<Vec<(usize, usize, i64)>, Fault> {
        let count = self.starts.len();
        let axes = self.axes.clone().unwrap_or_else(|| (0..count as i64).collect());
        let steps = self.steps.clone().unwrap_or_else(|| vec![1; count]);
        for (what, list) in [("ends", &self.ends), ("axes", &axes), ("steps", &steps)] {
            if list.len() != count {
                return Err(Fault::value(
                    what,
                    format_args!("{list:?}"),
                    format_args!("{count} numbers"),
                ));
            }
        }
        let mut ranges: Vec<(usize, usize, i64)> = shape.iter().map(|&len| (0, len, 1)).collect();
        for (i, axis) in axes::distinct(&axes, shape.len(), "axes")?.into_iter().enumerate() {
            let (len, step) = (shape[axis] as i64, steps[i]);
            if step == 0 {
                return Err(Fault::value("a step", 0, "another number than 0"));
            }
            let from_end = |place: i64| if place < 0 { place.saturating_add(len) } else { place };
            let (start, end) = (from_end(self.starts[i]), from_end(self.ends[i]));
            let count;
            (ranges[axis].0, count) = if step > 0 {
                let (start, end) = (start.clamp(0, len), end.clamp(0, len));
                (start as usize, (end - start).max(0).saturating_add(step - 1) / step)
            } else {
                let (start, end) = (start.clamp(-1, len - 1), end.clamp(-1, len - 1));
                let span = (start - end).max(0);
                let size = step.unsigned_abs().min(i64::MAX as u64) as i64;
                (start.max(0) as usize, span / size + i64::from(span % size != 0))
            };
            ranges[axis].1 = count as usize;
            ranges[axis].2 = step;
        }
        Ok(ranges)
    }
}

impl Operator for Slice {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.ranges.is_some() { 1 } else { 5 })?;
        let data = inputs.take(0, "data")?;
        let ranges = match &self.ranges {
            Some(ranges) => ranges.clone(),
            None => Ranges {
                starts: inputs.take(1, "starts")?.to_i64("input 1 (starts)")?,
                ends: inputs.take(2, "ends")?.to_i64("input 2 (ends)")?,
                axes: inputs.optional(3).map(|axes| axes.to_i64("input 3 (axes)")).transpose()?,
                steps: inputs
                    .optional(4)
                    .map(|steps| steps.to_i64("input 4 (steps)"))
                    .transpose()?,
            },
        };
        let ranges = ranges.resolve(data.shape())?;
        let shape: Vec<usize> = ranges.iter().map(|&(_, count, _)| count).collect();
        let strides = axes::row_major(data.shape());
        let mut picked = Vec::new();
        axes::indices(&shape, |index| {
            let place = index.iter().zip(&ranges).zip(&strides).map(
                |((&i, &(first, _, step)), &stride)| {
                    (first as i64 + i as i64 * step) as usize * stride
                },
            );
            picked.push(Some(place.sum()));
        });
        let old = data.value().data();
        let new = old
            .pick(picked.into_iter(), old)
            .ok_or_else(|| Fault::Malformed("a range leaves the tensor".to_owned()))?;
        let grid = data.grid().cloned().and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(shape, new)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        let rank = inputs[0].shape.len();
        let axes = match &self.ranges {
            Some(ranges) => ranges.axes.clone(),
            None => inputs.get(3).and_then(|axes| axes.constant?.to_i64("axes").ok()),
        };
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && axes.is_some_and(|axes| {
                axes::distinct(&axes, rank, "axes").is_ok_and(|axes| !axes.contains(&0))
            })
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_like_numpy() {
        let cases = [
            // (len, start, end, step, first, count)
            (10, 2, 8, 3, 2, 2),
            (10, -3, i64::MAX, 1, 7, 3),
            (10, 0, -1, 1, 0, 9),
            (10, 9, i64::MIN, -1, 9, 10),
            (10, 100, 2, -3, 9, 3),
            (10, 5, 5, 1, 5, 0),
            (10, 5, 2, 1, 5, 0),
            (0, 0, 5, 1, 0, 0),
            (0, 5, 0, -1, 0, 0),
        ];
        for (len, start, end, step, first, count) in cases {
            let ranges = Ranges {
                starts: vec![start],
                ends: vec![end],
                axes: None,
                steps: Some(vec![step]),
            };
            let found = ranges.resolve(&[len]).unwrap();
            assert_eq!(found, [(first, count, step)], "{len} {start} {end} {step}");
        }
        let none = Ranges { starts: vec![0], ends: vec![1], axes: None, steps: Some(vec![0]) };
        assert!(none.resolve(&[3]).is_err());
    }
}
