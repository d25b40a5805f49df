//! InstanceNormalization.

use super::group_normalization::normalized;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one, only_first_batched};
use crate::tensor::Tensor;

/// Normalizes each channel of each item, then scales and shifts it.
#[derive(Debug)]
struct InstanceNormalization {
    epsilon: f64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    if attributes.version() < 6 {
        attributes.ignore("consumed_inputs");
    }
    let epsilon = f64::from(attributes.float("epsilon")?.unwrap_or(1e-5));
    Ok(Box::new(InstanceNormalization { epsilon }))
}

impl Operator for InstanceNormalization {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "input")?;
        let (scale, bias) = (inputs.take(1, "scale")?, inputs.take(2, "B")?);
        let channels = x.shape().get(1).copied().unwrap_or(1);
        let y = normalized(&x, channels, self.epsilon, &scale, &bias)?;
        Ok(one(x.shape().to_vec(), y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
