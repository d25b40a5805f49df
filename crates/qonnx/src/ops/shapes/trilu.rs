//! Trilu.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, only_first_batched};
use crate::tensor::Tensor;
use crate::value::{Data, Value};

/// The upper or lower triangle of the last two axes, zero elsewhere; `k` moves the diagonal up.
#[derive(Debug)]
struct Trilu {
    upper: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Trilu { upper: attributes.flag("upper", true)? }))
}

impl Operator for Trilu {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(2)?;
        let (value, grid) = inputs.take(0, "input")?.into_parts();
        let k = match inputs.optional(1) {
            Some(k) => match k.to_i64("input 1 (k)")?[..] {
                [k] => i128::from(k),
                _ => return Err(Fault::shape("input 1 (k)", k.shape(), "one element")),
            },
            None => 0,
        };
        let &[.., rows, columns] = value.shape() else {
            return Err(Fault::shape("input 0 (input)", value.shape(), "two axes or more"));
        };
        let keep = |i: usize| {
            let (row, column) = ((i / columns % rows) as i128, (i % columns) as i128);
            if self.upper { column - row >= k } else { column - row <= k }
        };
        let zero = Data::zeros(value.dtype(), 1);
        let data = value
            .data()
            .pick((0..value.len()).map(|i| keep(i).then_some(i)), &zero)
            .ok_or_else(|| Fault::Malformed("a place leaves the tensor".to_owned()))?;
        let grid = grid.and_then(|grid| grid.if_per_tensor());
        Ok(vec![Tensor::new(Value::of(value.shape().to_vec(), data)).with_grid(grid)])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        only_first_batched(inputs) && output.len() > 2
    }
}
