//! Identity, and Dropout, which does nothing outside of training.

use super::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Identity,
    Dropout,
}

pub(super) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Identity::Identity))
}

pub(super) fn dropout(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.ignore("ratio");
    attributes.ignore("seed");
    if attributes.version() < 7 {
        attributes.only_int("is_test", 1)?;
    }
    if attributes.output_count() > 1 {
        return Err(Fault::unsupported("the output for the mask"));
    }
    Ok(Box::new(Identity::Dropout))
}

impl Operator for Identity {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        match self {
            Self::Identity => inputs.at_most(1)?,
            Self::Dropout => {
                inputs.at_most(3)?;
                if let Some(training) = inputs.optional(2)
                    && training.slice::<bool>("input 2 (training_mode)")?.contains(&true)
                {
                    return Err(Fault::unsupported("training"));
                }
            }
        }
        Ok(vec![inputs.take(0, "input")?])
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        site.only_first().then(|| Planned::Steps(Vec::new()))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn computes_sizes(&self) -> bool {
        *self == Self::Identity
    }
}
