//! Concat.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, one};
use crate::tensor::Tensor;
use crate::value::Data;

#[derive(Debug)]
struct Concat {
    axis: i64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let axis = match attributes.int("axis")? {
        Some(axis) => axis,
        None if attributes.version() < 4 => 1,
        None => return Err(Fault::missing("attribute \"axis\"")),
    };
    Ok(Box::new(Concat { axis }))
}

impl Operator for Concat {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        let first = inputs.take(0, "inputs")?;
        let axis = axes::axis(self.axis, first.shape().len(), "attribute \"axis\"")?;
        let mut shape = first.shape().to_vec();
        let mut parts = vec![first];
        for index in 1..inputs.count() {
            let part = inputs.take(index, "inputs")?;
            let fits = part.shape().len() == shape.len()
                && (0..shape.len())
                    .all(|other| other == axis || part.shape()[other] == shape[other]);
            if !fits {
                let expected = format!("{:?} except along axis {axis}", parts[0].shape());
                return Err(Fault::shape(&format!("input {index}"), part.shape(), expected));
            }
            shape[axis] = shape[axis].saturating_add(part.shape()[axis]);
            parts.push(part);
        }
        context.check_size(&shape)?;
        let outer: usize = shape[..axis].iter().product();
        let data = if outer == 1 {
            Data::concat(&parts.iter().map(|part| part.value().data()).collect::<Vec<_>>())
        } else {
            // Row by row: the rows of each part, then sorted together.
            let rows: Vec<Data> = (0..outer)
                .flat_map(|row| {
                    parts.iter().map(move |part| {
                        let len = part.len() / outer;
                        part.value().data().runs(std::iter::once((row * len, len)))
                    })
                })
                .collect();
            if rows.is_empty() {
                Some(parts[0].value().data().clone())
            } else {
                Data::concat(&rows.iter().collect::<Vec<_>>())
            }
        };
        let data = data.ok_or_else(|| {
            let other = parts.iter().map(Tensor::dtype).find(|&dtype| dtype != parts[0].dtype());
            let found = other.unwrap_or(parts[0].dtype());
            Fault::dtype("an input", found, parts[0].dtype())
        })?;
        Ok(one(shape, data))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        inputs.iter().all(Input::batched)
            && axes::axis(self.axis, output.len(), "axis").is_ok_and(|axis| axis != 0)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}
