//! Softmax.

use super::{Context, Input, Inputs, Operator, axes, one, only_first_batched};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;

/// `exp(x - max) / sum(exp(x - max))`, exponentials and sum in f64, rounded once.
#[derive(Debug)]
struct Softmax {
    axis: i64,
    /// Before version 13 all axes from `axis` on were one.
    joined: bool,
}

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let joined = attributes.version() < 13;
    let axis = attributes.int("axis")?.unwrap_or(if joined { 1 } else { -1 });
    Ok(Box::new(Softmax { axis, joined }))
}

impl Operator for Softmax {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let input = inputs.take(0, "input")?;
        let x = input.slice::<f32>("input 0 (input)")?;
        let axis = axes::axis(self.axis, input.shape().len(), "attribute \"axis\"")?;
        let along = if self.joined {
            let rows: usize = input.shape()[..axis].iter().product();
            let columns: usize = input.shape()[axis..].iter().product();
            axes::Along::new(&[rows, columns], 1)
        } else {
            axes::Along::new(input.shape(), axis)
        };
        let mut y = vec![0.0; x.len()];
        let mut exponentials = Vec::with_capacity(along.len);
        for lane in 0..along.lanes() {
            let max = along.lane(lane).map(|i| x[i]).fold(f32::NEG_INFINITY, f32::max);
            exponentials.clear();
            exponentials.extend(along.lane(lane).map(|i| (f64::from(x[i]) - f64::from(max)).exp()));
            let sum: f64 = exponentials.iter().sum();
            for (i, e) in along.lane(lane).zip(&exponentials) {
                y[i] = (e / sum) as f32;
            }
        }
        Ok(one(input.shape().to_vec(), y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        only_first_batched(inputs)
            && axes::axis(self.axis, output.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}
