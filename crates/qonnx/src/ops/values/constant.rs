//! Constant.

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator};
use crate::tensor::Tensor;
use crate::value::Value;

#[derive(Debug)]
struct Constant(Value);

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let found = [
        attributes.tensor("value")?,
        attributes.float("value_float")?.map(|value| Value::of(vec![], vec![value])),
        attributes.int("value_int")?.map(|value| Value::of(vec![], vec![value])),
        attributes.floats("value_floats")?.map(|v| Value::of(vec![v.len()], v.to_vec())),
        attributes.ints("value_ints")?.map(|v| Value::of(vec![v.len()], v.to_vec())),
    ];
    let mut values = found.into_iter().flatten();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(Box::new(Constant(value))),
        (Some(_), Some(_)) => Err(Fault::Malformed("there is more than one value".to_owned())),
        // A value of another kind stays unasked for, and is refused by its name.
        (None, _) => {
            attributes_left(attributes)?;
            Err(Fault::missing("attribute \"value\""))
        }
    }
}

fn attributes_left(attributes: &mut Attributes<'_>) -> Result<(), Fault> {
    for name in ["sparse_value", "value_string", "value_strings"] {
        if attributes.has(name) {
            return Err(Fault::unsupported(format_args!("attribute {name:?}")));
        }
    }
    Ok(())
}

impl Operator for Constant {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(0)?;
        Ok(vec![Tensor::new(self.0.clone())])
    }

    fn keeps_batch(&self, _: &[Input<'_>], _: &[usize]) -> bool {
        false
    }
}
