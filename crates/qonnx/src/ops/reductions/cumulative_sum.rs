//! CumSum.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes, one};
use crate::tensor::Tensor;
use crate::value::Data;

/// The sum of all elements up to each one along an axis: in f64 for `f32`, each rounded.
#[derive(Debug)]
struct CumSum {
    /// Without the element itself.
    exclusive: bool,
    /// From the end.
    reverse: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let exclusive = attributes.flag("exclusive", false)?;
    Ok(Box::new(CumSum { exclusive, reverse: attributes.flag("reverse", false)? }))
}

impl CumSum {
    fn of<T: Copy + Default, S: Copy + Default>(
        &self,
        x: &[T],
        along: axes::Along,
        add: impl Fn(S, T) -> S,
        round: impl Fn(S) -> T,
    ) -> Vec<T> {
        let mut y = vec![T::default(); x.len()];
        for lane in 0..along.lanes() {
            let mut places: Vec<usize> = along.lane(lane).collect();
            if self.reverse {
                places.reverse();
            }
            let mut sum = S::default();
            for place in places {
                let with = add(sum, x[place]);
                y[place] = round(if self.exclusive { sum } else { with });
                sum = with;
            }
        }
        y
    }
}

impl Operator for CumSum {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let x = inputs.take(0, "x")?;
        let axis = inputs.take(1, "axis")?;
        let &[axis] = &axis.to_i64("input 1 (axis)")?[..] else {
            return Err(Fault::shape("input 1 (axis)", axis.shape(), "one element"));
        };
        let axis = axes::axis(axis, x.shape().len(), "input 1 (axis)")?;
        let along = axes::Along::new(x.shape(), axis);
        let data: Data = match x.value().data() {
            Data::F32(x) => {
                self.of(x, along, |sum: f64, x| sum + f64::from(x), |sum| sum as f32).into()
            }
            Data::F64(x) => self.of(x, along, |sum: f64, x| sum + x, |sum| sum).into(),
            Data::I32(x) => self.of(x, along, i32::wrapping_add, |sum| sum).into(),
            Data::I64(x) => self.of(x, along, i64::wrapping_add, |sum| sum).into(),
            Data::U32(x) => self.of(x, along, u32::wrapping_add, |sum| sum).into(),
            Data::U64(x) => self.of(x, along, u64::wrapping_add, |sum| sum).into(),
            _ => return Err(Fault::unsupported(format_args!("an input of type {}", x.dtype()))),
        };
        Ok(one(x.shape().to_vec(), data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let axis = inputs.get(1).and_then(|axis| axis.constant?.to_i64("axis").ok());
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role == Role::Fixed)
            && axis.is_some_and(|axis| {
                axes::distinct(&axis, output.len(), "axis").is_ok_and(|axis| !axis.contains(&0))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_directions() {
        let along = axes::Along::new(&[3, 2], 0);
        let sums = |exclusive, reverse| {
            CumSum { exclusive, reverse }.of(
                &[1i64, 10, 2, 20, 3, 30],
                along,
                i64::wrapping_add,
                |sum| sum,
            )
        };
        assert_eq!(sums(false, false), [1, 10, 3, 30, 6, 60]);
        assert_eq!(sums(true, false), [0, 0, 1, 10, 3, 30]);
        assert_eq!(sums(false, true), [6, 60, 5, 50, 3, 30]);
        assert_eq!(sums(true, true), [5, 50, 3, 30, 0, 0]);
    }
}
