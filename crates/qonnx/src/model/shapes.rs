//! The shapes of all tensors, found by running the model once.

use std::collections::BTreeMap;

use super::Model;
use crate::error::Error;
use crate::value::{DType, Data, Value, element_count};

/// Elements that an input may have to be tried.
const LARGEST: usize = 1 << 28;

/// The element type and the shape of each tensor that depends on the inputs, for the batch of the file, or for one item
/// where that is open.
pub(crate) fn shapes(model: &Model) -> Result<BTreeMap<String, (DType, Vec<usize>)>, Error> {
    let mut inputs = Vec::new();
    for input in model.inputs() {
        let shape: Vec<usize> =
            input.shape().unwrap_or(&[]).iter().map(|extent| extent.unwrap_or(1)).collect();
        let count = element_count(&shape).filter(|&count| count <= LARGEST).ok_or_else(|| {
            Error::malformed(format_args!(
                "input {:?} has the shape {shape:?}, too large to try",
                input.name()
            ))
        })?;
        let data = Data::zeros(input.dtype().unwrap_or(DType::F32), count);
        inputs.push((input.name(), Value::of(shape, data)));
    }
    let keep: Vec<&str> =
        model.tensor_names().filter(|name| model.constant(name).is_none()).collect();
    let outputs = model.run(&inputs, &keep)?;
    let known =
        |(name, value): (&str, &Value)| (name.to_owned(), (value.dtype(), value.shape().to_vec()));
    Ok(outputs.iter().map(known).collect())
}
