//! How operands were repeated before version 7: only if asked for, and aligned at an axis.

use super::arithmetic::{misfit, repeats_over_batch};
use crate::attributes::Attributes;
use crate::broadcast::broadcast_shape;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Role, axes};
use crate::tensor::Tensor;

/// How the second operand is repeated over the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// As in NumPy, and the first over the second.
    NumPy,
    /// Not at all.
    None,
    /// Its axes are those of the first from this one on; without one, the last ones.
    From(Option<i64>),
}

impl Repetition {
    /// Reads `broadcast` and `axis` of old versions.
    pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Self, Fault> {
        if attributes.version() >= 7 {
            return Ok(Self::NumPy);
        }
        attributes.ignore("consumed_inputs");
        let axis = attributes.int("axis")?;
        let repeats = attributes.flag("broadcast", false)?;
        Ok(if repeats { Self::From(axis) } else { Self::None })
    }

    /// [`Operator::keeps_batch`](crate::ops::Operator::keeps_batch) for two operands.
    pub(crate) fn keeps_batch(self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let [a, b] = inputs else { return false };
        match self {
            Self::NumPy => repeats_over_batch(inputs, output),
            Self::None => a.batched() && b.batched(),
            Self::From(axis) => {
                let behind = match axis {
                    None => b.shape.len() < output.len(),
                    Some(axis) => axes::axis(axis, output.len(), "axis").is_ok_and(|axis| axis > 0),
                };
                a.batched() && b.role == Role::Fixed && behind
            }
        }
    }

    /// The two operands of a node, aligned, and the shape of the result.
    pub(crate) fn operands(
        self,
        inputs: &mut Inputs,
        names: [&str; 2],
        context: &Context,
    ) -> Result<(Tensor, Tensor, Vec<usize>), Fault> {
        inputs.at_most(2)?;
        let (a, b) = (inputs.take(0, names[0])?, inputs.take(1, names[1])?);
        let b = self.align(a.shape(), b)?;
        let shape = broadcast_shape(a.shape(), b.shape()).ok_or_else(|| misfit(&a, &b))?;
        context.check_size(&shape)?;
        Ok((a, b, shape))
    }

    /// The second operand in a shape that repeats over the first as in NumPy.
    fn align(self, a: &[usize], b: Tensor) -> Result<Tensor, Fault> {
        let misfit = |expected: String| Err(Fault::shape("input 1 (B)", b.shape(), expected));
        match self {
            Self::NumPy => Ok(b),
            Self::None if b.shape() == a => Ok(b),
            Self::None => misfit(format!("{a:?}, as broadcast is not set")),
            Self::From(axis) => {
                let last = a.len() as i64 - b.shape().len() as i64;
                let axis = match axis {
                    None => last,
                    Some(axis) if axis < 0 => axis.saturating_add(a.len() as i64),
                    Some(axis) => axis,
                };
                if !(0..=last).contains(&axis) {
                    return misfit(format!("as many axes as {a:?} has from axis {axis} on"));
                }
                let first = axis as usize;
                let fits = b.shape().iter().zip(&a[first..]).all(|(&b, &a)| b == a || b == 1);
                if !fits {
                    return misfit(format!("a shape that repeats over {a:?} from axis {axis} on"));
                }
                let mut shape = b.shape().to_vec();
                shape.resize(a.len() - first, 1);
                let (value, grid) = b.into_parts();
                let grid = grid.and_then(|grid| grid.if_per_tensor());
                Ok(Tensor::new(value.with_shape(shape)).with_grid(grid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment() {
        let b = || Tensor::of(vec![3], vec![0.0f32; 3]);
        let shape = |rule: Repetition| rule.align(&[2, 3, 4], b()).ok().map(|b| b.shape().to_vec());
        assert_eq!(shape(Repetition::From(Some(1))), Some(vec![3, 1]));
        assert_eq!(shape(Repetition::From(Some(-2))), Some(vec![3, 1]));
        assert_eq!(shape(Repetition::From(None)), None);
        assert_eq!(shape(Repetition::None), None);
        assert_eq!(shape(Repetition::NumPy), Some(vec![3]));
        assert_eq!(shape(Repetition::From(Some(i64::MIN))), None);
    }
}
