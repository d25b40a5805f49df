//! LayerNormalization and RMSNormalization.

use crate::attributes::Attributes;
use crate::broadcast::{broadcast_shape, zip};
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, Role, axes};
use crate::tensor::Tensor;

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the axes from one on, with a mean of 0 for the root mean square: in f64, rounded once.
#[derive(Debug)]
struct LayerNormalization {
    axis: i64,
    epsilon: f64,
    centered: bool,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    made(attributes, true)
}

pub(crate) fn root_mean_square(
    attributes: &mut Attributes<'_>,
) -> Result<Box<dyn Operator>, Fault> {
    made(attributes, false)
}

fn made(attributes: &mut Attributes<'_>, centered: bool) -> Result<Box<dyn Operator>, Fault> {
    // The type of the sums; here they are wider in any case.
    attributes.ignore("stash_type");
    let epsilon = f64::from(attributes.float("epsilon")?.unwrap_or(1e-5));
    Ok(Box::new(LayerNormalization {
        axis: attributes.int("axis")?.unwrap_or(-1),
        epsilon,
        centered,
    }))
}

impl Operator for LayerNormalization {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.centered { 3 } else { 2 })?;
        let x = inputs.take(0, "X")?;
        let shape = x.shape().to_vec();
        let axis = axes::axis(self.axis, shape.len(), "attribute \"axis\"")?;
        let repeated = |tensor: &Tensor, what: &str| {
            if broadcast_shape(&shape, tensor.shape()).as_ref() != Some(&shape) {
                let expected = format!("a shape that repeats over {shape:?}");
                return Err(Fault::shape(what, tensor.shape(), expected));
            }
            let values: Vec<f64> = tensor.to_f32(what)?.iter().map(|&v| f64::from(v)).collect();
            Ok(zip((&values, tensor.shape()), (&[0.0], &[]), &shape, |v, _| v))
        };
        let scale = repeated(&inputs.take(1, "Scale")?, "input 1 (Scale)")?;
        let bias = match inputs.optional(2) {
            Some(bias) => Some(repeated(&bias, "input 2 (B)")?),
            None => None,
        };
        let values = x.slice::<f32>("input 0 (X)")?;
        let size: usize = shape[axis..].iter().product();
        let mut y = Vec::with_capacity(values.len());
        let (mut means, mut inverses) = (Vec::new(), Vec::new());
        for (i, item) in values.chunks(size.max(1)).enumerate() {
            let sum: f64 = item.iter().map(|&v| f64::from(v)).sum();
            let mean = if self.centered { sum / size as f64 } else { 0.0 };
            let squares = item.iter().map(|&v| (f64::from(v) - mean) * (f64::from(v) - mean));
            let variance = squares.sum::<f64>() / size as f64;
            let inverse = 1.0 / (variance + self.epsilon).sqrt();
            y.extend(item.iter().enumerate().map(|(j, &v)| {
                let place = i * size + j;
                let scaled = (f64::from(v) - mean) * inverse * scale[place];
                (scaled + bias.as_ref().map_or(0.0, |bias| bias[place])) as f32
            }));
            means.push(mean as f32);
            inverses.push(inverse as f32);
        }
        let mut outer = shape.clone();
        outer[axis..].fill(1);
        let count = outer.iter().product();
        means.resize(count, 0.0);
        inverses.resize(count, 0.0);
        let y = Tensor::of(shape, y);
        Ok(if self.centered {
            vec![y, Tensor::of(outer.clone(), means), Tensor::of(outer, inverses)]
        } else {
            vec![y]
        })
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        let over_batch = |input: &Input<'_>| {
            input.role == Role::Fixed
                && (input.shape.len() < output.len() || input.shape.first() == Some(&1))
        };
        inputs[0].batched()
            && inputs[1..].iter().all(over_batch)
            && axes::axis(self.axis, output.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}
