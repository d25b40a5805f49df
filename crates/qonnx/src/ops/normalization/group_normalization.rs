//! GroupNormalization.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one, only_first_batched};
use crate::tensor::Tensor;

/// Normalizes groups of channels of each item, then scales and shifts: before version 21 each group, then each channel.
#[derive(Debug)]
struct GroupNormalization {
    epsilon: f64,
    groups: usize,
    by_group: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.ignore("stash_type");
    let groups = attributes.required_int("num_groups")?;
    let groups = usize::try_from(groups)
        .ok()
        .filter(|&groups| groups > 0)
        .ok_or_else(|| Fault::value("attribute \"num_groups\"", groups, "1 or more"))?;
    let epsilon = f64::from(attributes.float("epsilon")?.unwrap_or(1e-5));
    Ok(Box::new(GroupNormalization { epsilon, groups, by_group: attributes.version() < 21 }))
}

impl Operator for GroupNormalization {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let x = inputs.take(0, "X")?;
        let (scale, bias) = (inputs.take(1, "scale")?, inputs.take(2, "bias")?);
        let expected = if self.by_group { self.groups } else { *x.shape().get(1).unwrap_or(&0) };
        for (tensor, name) in [(&scale, "input 1 (scale)"), (&bias, "input 2 (bias)")] {
            if tensor.shape() != [expected] {
                return Err(Fault::shape(name, tensor.shape(), format!("[{expected}]")));
            }
        }
        let y = normalized(&x, self.groups, self.epsilon, &scale, &bias)?;
        Ok(one(x.shape().to_vec(), y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` with the statistics of groups of channels, in f64, rounded once.
///
/// Scale and bias are one for each channel or one for each group.
pub(super) fn normalized(
    x: &Tensor,
    groups: usize,
    epsilon: f64,
    scale: &Tensor,
    bias: &Tensor,
) -> Result<Vec<f32>, Fault> {
    let &[_, channels, ..] = x.shape() else {
        return Err(Fault::shape("input 0 (X)", x.shape(), "two axes or more"));
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        let expected = format!("a number of channels that {groups} groups divide");
        return Err(Fault::shape("input 0 (X)", x.shape(), expected));
    }
    for (tensor, name) in [(scale, "input 1 (scale)"), (bias, "input 2 (bias)")] {
        if tensor.shape() != [channels] && tensor.shape() != [groups] {
            return Err(Fault::shape(name, tensor.shape(), format!("[{channels}]")));
        }
    }
    let values = x.slice::<f32>("input 0 (X)")?;
    let (scale, bias) = (scale.to_f32("input 1 (scale)")?, bias.to_f32("input 2 (bias)")?);
    let inner: usize = x.shape()[2..].iter().product();
    let per_group = channels / groups * inner;
    let mut y = Vec::with_capacity(values.len());
    for (i, group) in values.chunks(per_group.max(1)).enumerate() {
        let sum: f64 = group.iter().map(|&v| f64::from(v)).sum();
        let mean = sum / per_group as f64;
        let squares = group.iter().map(|&v| (f64::from(v) - mean) * (f64::from(v) - mean));
        let variance = squares.sum::<f64>() / per_group as f64;
        let inverse = 1.0 / (variance + epsilon).sqrt();
        y.extend(group.iter().enumerate().map(|(j, &v)| {
            let channel = i % groups * (channels / groups) + j / inner.max(1);
            let of = |list: &[f32]| f64::from(list[channel * list.len() / channels]);
            ((f64::from(v) - mean) * inverse * of(&scale) + of(&bias)) as f32
        }));
    }
    Ok(y)
}
