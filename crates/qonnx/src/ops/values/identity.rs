//! Identity, and Dropout, which does nothing outside of training.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Planned, Site, only_first_batched};
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Identity,
    Dropout { mask: bool },
}

pub(crate) fn new(_: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Identity::Identity))
}

/// Gives a tensor another name for those who look into a run.
pub(crate) fn debug_marker(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.ignore("export_debug_name");
    new(attributes)
}

pub(crate) fn dropout(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.ignore("ratio");
    attributes.ignore("seed");
    if attributes.version() < 7 {
        attributes.only_int("is_test", 1)?;
    }
    Ok(Box::new(Identity::Dropout { mask: attributes.output_count() > 1 }))
}

impl Operator for Identity {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        let Self::Dropout { mask } = *self else {
            inputs.at_most(1)?;
            return Ok(vec![inputs.take(0, "input")?]);
        };
        inputs.at_most(3)?;
        let data = inputs.take(0, "data")?;
        let trains = match inputs.optional(2) {
            Some(training) => training.slice::<bool>("input 2 (training_mode)")?.contains(&true),
            None => false,
        };
        let ratio = match inputs.optional(1) {
            Some(ratio) => ratio.to_f32("input 1 (ratio)")?.first().copied().unwrap_or(0.5),
            None => 0.5,
        };
        if trains && ratio != 0.0 {
            return Err(Fault::unsupported("training"));
        }
        // Everything is kept.
        let kept = mask.then(|| Tensor::of(data.shape().to_vec(), vec![true; data.len()]));
        Ok([data].into_iter().chain(kept).collect())
    }

    fn planned(&self, site: &Site<'_>) -> Option<Planned> {
        let whole = site.only_first() && !matches!(self, Self::Dropout { mask: true });
        whole.then(|| Planned::Steps(Vec::new()))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn computes_sizes(&self) -> bool {
        *self == Self::Identity
    }
}
