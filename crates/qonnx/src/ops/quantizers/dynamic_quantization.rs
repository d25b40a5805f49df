//! DynamicQuantizeLinear.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator};
use crate::tensor::Tensor;

/// Unsigned bytes with the scale and zero point that the range of the values needs, zero included.
#[derive(Debug)]
struct DynamicQuantizeLinear;

pub(crate) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(DynamicQuantizeLinear))
}

impl Operator for DynamicQuantizeLinear {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let x = inputs.take(0, "x")?;
        let values = x.slice::<f32>("input 0 (x)")?;
        let min = values.iter().copied().fold(0.0f32, f32::min);
        let max = values.iter().copied().fold(0.0f32, f32::max);
        let scale = (max - min) / 255.0;
        let ratio = |v: f32| if scale == 0.0 { 0.0 } else { v / scale };
        let zero_point = ratio(-min).clamp(0.0, 255.0).round_ties_even();
        let code = |&v: &f32| (ratio(v).round_ties_even() + zero_point).clamp(0.0, 255.0) as u8;
        let codes: Vec<u8> = values.iter().map(code).collect();
        Ok(vec![
            Tensor::of(x.shape().to_vec(), codes),
            Tensor::of(vec![], vec![scale]),
            Tensor::of(vec![], vec![zero_point as u8]),
        ])
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        // The range is that of all items.
        false
    }
}
