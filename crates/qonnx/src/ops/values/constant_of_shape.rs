//! ConstantOfShape.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, one, shapes};
use crate::tensor::Tensor;
use crate::value::{DType, Data, Value};

/// One value, 0 of `f32` if there is none, repeated over a shape that is given.
#[derive(Debug)]
struct ConstantOfShape(Data);

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let value = attributes.tensor("value")?;
    let value = value.unwrap_or_else(|| Value::of(vec![1], Data::zeros(DType::F32, 1)));
    if value.len() != 1 {
        return Err(Fault::shape("attribute \"value\"", value.shape(), "one element"));
    }
    Ok(Box::new(ConstantOfShape(value.into_parts().1)))
}

impl Operator for ConstantOfShape {
    fn run(&self, inputs: &mut Inputs, context: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(1)?;
        let shape = inputs.take(0, "input")?.to_i64("input 0 (input)")?;
        let shape = shapes::extents(&shape, "input 0 (input)")?;
        context.check_size(&shape)?;
        let count: usize = shape.iter().product();
        let data = self.0.pick((0..count).map(|_| Some(0)), &self.0);
        Ok(one(shape, data.unwrap_or_else(|| self.0.clone())))
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }
}
