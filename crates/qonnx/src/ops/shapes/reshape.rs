//! Reshape.

use crate::Options;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{BatchChange, Context, Input, Inputs, Operator, Planned, Role, Site};
use crate::tensor::Tensor;
use crate::value::element_count;

/// 0 keeps an extent (unless `allowzero`), -1 is what is left.
#[derive(Debug)]
struct Reshape {
    allow_zero: bool,
    /// Before version 5 the shape is an attribute; it is also here if it is constant.
    shape: Option<Vec<i64>>,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let shape = if attributes.version() < 5 {
        attributes.ignore("consumed_inputs");
        Some(
            attributes
                .ints("shape")?
                .ok_or_else(|| Fault::missing("attribute \"shape\""))?
                .to_vec(),
        )
    } else {
        None
    };
    Ok(Box::new(Reshape { allow_zero: attributes.flag("allowzero", false)?, shape }))
}

impl Operator for Reshape {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let fixed = self.shape.is_some() || inputs.is_constant(1);
        let (value, grid) = inputs.take(0, "data")?.into_parts();
        let target = match &self.shape {
            Some(_) if inputs.optional(1).is_some() => {
                return Err(Fault::Malformed("there are 2 inputs, expected 1".to_owned()));
            }
            Some(shape) => shape.clone(),
            None => {
                let target = inputs.take(1, "shape")?;
                if target.shape().len() != 1 {
                    return Err(Fault::shape("input 1 (shape)", target.shape(), "one axis"));
                }
                target.to_i64("input 1 (shape)")?
            }
        };
        let shape = match context.batch {
            // The shape was written for another batch: find it for that one, then exchange the batch.
            Some(BatchChange { file, run }) if inputs.batched() && fixed => {
                let mut as_in_file = value.shape().to_vec();
                if let Some(batch) = as_in_file.first_mut() {
                    *batch = file;
                }
                let mut shape = self.resolve(&as_in_file, &target)?;
                if let Some(batch) = shape.first_mut() {
                    *batch = run;
                }
                shape
            }
            _ => self.resolve(value.shape(), &target)?,
        };
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(value.with_shape(shape)).with_grid(grid)])
    }

    fn planned(&self, _: &Site<'_>) -> Option<Planned> {
        Some(Planned::Reshape)
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs[0].batched()
            && inputs[1..].iter().all(|input| input.role != Role::Batched)
            && output.first().is_some_and(|&batch| batch == inputs[0].shape[0])
    }

    fn specialize(&self, constants: &[Option<&Tensor>], _: Options) -> Option<Box<dyn Operator>> {
        let &[_, Some(target)] = constants else { return None };
        if self.shape.is_some() {
            return None;
        }
        let shape = target.to_i64("").ok().filter(|_| target.shape().len() == 1);
        Some(Box::new(Reshape { allow_zero: self.allow_zero, shape: Some(shape?) }))
    }
}

impl Reshape {
    /// The shape that `target` asks for.
    fn resolve(&self, input: &[usize], target: &[i64]) -> Result<Vec<usize>, Fault> {
        let wrong =
            |expected: String| Fault::value("the new shape", format_args!("{target:?}"), expected);
        let count: usize = input.iter().product();
        let mut shape = Vec::with_capacity(target.len());
        let mut open = None;
        for (axis, &extent) in target.iter().enumerate() {
            shape.push(match extent {
                0 if !self.allow_zero => *input
                    .get(axis)
                    .ok_or_else(|| wrong(format!("a 0 only at an axis of the input {input:?}")))?,
                -1 if open.is_none() => {
                    open = Some(axis);
                    1
                }
                0.. => extent as usize,
                _ => return Err(wrong("extents of 0 or more, and at most one -1".to_owned())),
            });
        }
        let product = element_count(&shape);
        let misfit = || wrong(format!("as many elements as the input {input:?} has"));
        let product = product.ok_or_else(misfit)?;
        match open {
            Some(axis) if product != 0 && count.is_multiple_of(product) => {
                shape[axis] = count / product
            }
            None if product == count => {}
            _ => return Err(misfit()),
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a [usize], &'a [i64], Option<&'a [usize]>);

    #[test]
    fn shapes() {
        let cases: &[Case<'_>] = &[
            (&[1, 3, 4], &[1, -1], Some(&[1, 12])),
            (&[2, 3, 4], &[0, -1], Some(&[2, 12])),
            (&[2, 3], &[3, 2], Some(&[3, 2])),
            (&[2, 3], &[-1, 4], None),
            (&[2, 3], &[-1, -1], None),
            (&[2, 3], &[2, 3, 0], None),
            (&[2, 3], &[7], None),
            (&[2, 3], &[i64::MAX, i64::MAX], None),
            (&[0, 3], &[0, -1], None),
            (&[1], &[], Some(&[])),
        ];
        let reshape = Reshape { allow_zero: false, shape: None };
        for (input, target, expected) in cases {
            let found = reshape.resolve(input, target).ok();
            assert_eq!(found.as_deref(), *expected, "{input:?} to {target:?}");
        }
        let reshape = Reshape { allow_zero: true, shape: None };
        assert_eq!(reshape.resolve(&[0, 3], &[3, 0]).unwrap(), [3, 0]);
    }
}
