//! OneHot.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, axes, one};
use crate::tensor::Tensor;
use crate::value::{DType, Data, Narrowing};

/// A new axis of `depth` elements: the second of `values` at the index, the first elsewhere. Indices count from the end if negative.
#[derive(Debug)]
struct OneHot {
    axis: i64,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(OneHot { axis: attributes.int("axis")?.unwrap_or(-1) }))
}

impl Operator for OneHot {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(3)?;
        let integers = |tensor: &Tensor| {
            let data =
                super::cast::convert(tensor.value().data(), DType::I64, Narrowing::default());
            match data {
                Data::I64(values) => values.to_vec(),
                _ => Vec::new(),
            }
        };
        let indices = inputs.take(0, "indices")?;
        let depth = inputs.take(1, "depth")?;
        let values = inputs.take(2, "values")?;
        if values.shape() != [2] {
            return Err(Fault::shape("input 2 (values)", values.shape(), "[2]"));
        }
        let depth = match integers(&depth)[..] {
            [depth] if depth >= 0 => depth,
            _ => {
                return Err(Fault::shape(
                    "input 1 (depth)",
                    depth.shape(),
                    "one number, 0 or more",
                ));
            }
        };
        let axis = axes::axis(self.axis, indices.shape().len() + 1, "attribute \"axis\"")?;
        let mut shape = indices.shape().to_vec();
        shape.insert(axis, depth as usize);
        context.check_size(&shape)?;
        let along = axes::Along::new(&shape, axis);
        let wanted = integers(&indices);
        let mut picked = vec![Some(0); shape.iter().product()];
        for (lane, &index) in wanted.iter().enumerate() {
            let index = if index < 0 { index.saturating_add(depth) } else { index };
            if (0..depth).contains(&index)
                && let Some(place) = along.lane(lane).nth(index as usize)
            {
                picked[place] = Some(1);
            }
        }
        let data = values.value().data();
        let picked = data
            .pick(picked.into_iter(), data)
            .ok_or_else(|| Fault::Malformed("a place leaves the values".to_owned()))?;
        Ok(one(shape, picked))
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], output: &[usize]) -> bool {
        crate::ops::only_first_batched(inputs)
            && axes::axis(self.axis, output.len(), "axis").is_ok_and(|axis| axis != 0)
    }
}
