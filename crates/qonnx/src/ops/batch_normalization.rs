//! BatchNormalization, outside of training.

use fewbit_kernels::batch_norm::{self, ChannelShape, Formula};

use super::{Context, Input, Inputs, Operator, one, only_first_batched};
use crate::BatchNorm;
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;

#[derive(Debug)]
struct BatchNormalization {
    epsilon: f32,
}

pub(super) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    attributes.ignore("momentum");
    attributes.only_int("training_mode", 0)?;
    if attributes.version() < 9 {
        attributes.only_int("spatial", 1)?;
    }
    if attributes.version() < 7 {
        attributes.ignore("consumed_inputs");
        attributes.only_int("is_test", 1)?;
    }
    if attributes.output_count() > 1 {
        return Err(Fault::unsupported("an output for statistics"));
    }
    Ok(Box::new(BatchNormalization { epsilon: attributes.float("epsilon")?.unwrap_or(1e-5) }))
}

impl Operator for BatchNormalization {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(5)?;
        let x = inputs.take(0, "X")?;
        let shape = x.shape().to_vec();
        if shape.len() < 2 {
            return Err(Fault::shape("input 0 (X)", &shape, "two axes or more"));
        }
        let channels =
            ChannelShape { n: shape[0], c: shape[1], inner: shape[2..].iter().product() };
        let mut parameters = Vec::with_capacity(4);
        for (i, name) in ["scale", "B", "mean", "var"].into_iter().enumerate() {
            let tensor = inputs.take(i + 1, name)?;
            if tensor.shape() != [channels.c] {
                let what = format!("input {} ({name})", i + 1);
                return Err(Fault::shape(&what, tensor.shape(), format!("[{}]", channels.c)));
            }
            parameters.push(tensor);
        }
        let slice = |i: usize| parameters[i].slice::<f32>("a parameter");
        let values = x.slice::<f32>("input 0 (X)")?;
        let mut y = vec![0.0; values.len()];
        let formula = match context.options.batch_norm {
            BatchNorm::TwoRoundings => Formula::TwoRoundings,
            BatchNorm::Fused => Formula::Fused,
        };
        batch_norm::inference(
            values,
            &mut y,
            channels,
            slice(0)?,
            slice(1)?,
            slice(2)?,
            slice(3)?,
            self.epsilon,
            formula,
        );
        Ok(one(shape, y))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }
}
