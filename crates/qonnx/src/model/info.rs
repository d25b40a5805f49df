//! What a model says about its inputs and outputs.

use fewbit_onnx::proto::tensor_shape_proto::dimension::Value as Size;
use fewbit_onnx::proto::{ValueInfoProto, type_proto};

use crate::error::{Error, Fault};
use crate::ops::{BatchChange, data_type};
use crate::value::{DType, Value};

/// Name, type and shape of an input or output, as far as the file tells them.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    name: String,
    dtype: Option<DType>,
    shape: Option<Vec<Option<usize>>>,
}

impl TensorInfo {
    pub(super) fn new(value: &ValueInfoProto) -> Result<Self, Error> {
        let name = value.name().to_owned();
        let tensor = match value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
            None => return Ok(Self { name, dtype: None, shape: None }),
            Some(type_proto::Value::TensorType(tensor)) => tensor,
            Some(_) => {
                return Err(Error::tensor(
                    format_args!("{name:?}"),
                    Fault::unsupported("a value that is no dense tensor"),
                ));
            }
        };
        let dtype = match tensor.elem_type.unwrap_or(0) {
            0 => None,
            number => Some(
                data_type(number.into(), "the element type")
                    .map_err(|fault| Error::tensor(format_args!("{name:?}"), fault))?,
            ),
        };
        let shape = tensor.shape.as_ref().map(|shape| {
            let size = |size: &Option<Size>| match size {
                // Some programs write 0 for an extent that they do not know.
                Some(Size::DimValue(extent)) if *extent > 0 => usize::try_from(*extent).ok(),
                _ => None,
            };
            shape.dim.iter().map(|dim| size(&dim.value)).collect()
        });
        Ok(Self { name, dtype, shape })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the element type, if the file tells it.
    pub fn dtype(&self) -> Option<DType> {
        self.dtype
    }

    /// Returns the extents, as far as the file tells them; without a rank, nothing.
    pub fn shape(&self) -> Option<&[Option<usize>]> {
        self.shape.as_deref()
    }

    /// Checks a value for an input; the first axis may have any extent.
    pub(super) fn check(&self, value: &Value) -> Result<(), Error> {
        let fault = |fault| Err(Error::tensor(format_args!("input {:?}", self.name), fault));
        if let Some(dtype) = self.dtype.filter(|&dtype| dtype != value.dtype()) {
            return fault(Fault::dtype("the value", value.dtype(), dtype));
        }
        let Some(shape) = &self.shape else { return Ok(()) };
        let found = value.shape();
        let fits = found.len() == shape.len()
            && found
                .iter()
                .zip(shape)
                .skip(1)
                .all(|(found, extent)| extent.is_none_or(|extent| extent == *found));
        if fits {
            return Ok(());
        }
        let extents: Vec<String> = shape
            .iter()
            .enumerate()
            .map(|(axis, extent)| match extent {
                Some(extent) if axis > 0 => extent.to_string(),
                _ => "any".to_owned(),
            })
            .collect();
        fault(Fault::shape("the value", found, format_args!("[{}]", extents.join(", "))))
    }

    /// The batch that the file fixes; two items, if there are, where it leaves that open.
    pub(super) fn batch_of_file(&self, run: usize) -> usize {
        self.batch().unwrap_or(run.min(2))
    }

    /// The batch that the file fixes.
    fn batch(&self) -> Option<usize> {
        *self.shape.as_deref()?.first()?
    }
}

/// The batch of the file and the one of these inputs, if they differ.
pub(super) fn batch_change(
    inputs: &[TensorInfo],
    values: &[Value],
) -> Result<Option<BatchChange>, Error> {
    let mut change = None;
    for (input, value) in inputs.iter().zip(values) {
        let (Some(file), Some(&run)) = (input.batch(), value.shape().first()) else { continue };
        if file == run {
            continue;
        }
        let found = BatchChange { file, run };
        if change.is_some_and(|change| change != found) {
            return Err(Error::tensor(
                format_args!("input {:?}", input.name),
                Fault::shape("the value", value.shape(), "the same number of items in all inputs"),
            ));
        }
        if run == 0 {
            let expected = "one item or more along the first axis";
            return Err(Error::tensor(
                format_args!("input {:?}", input.name),
                Fault::shape("the value", value.shape(), expected),
            ));
        }
        change = Some(found);
    }
    Ok(change)
}

/// Whether the first axis of an input is the batch that changes: the file has it there, or leaves the extent open.
pub(super) fn is_batched(input: &TensorInfo, value: &Value, change: BatchChange) -> bool {
    let declared = input.shape.as_deref().and_then(|shape| shape.first());
    value.shape().first() == Some(&change.run)
        && declared.is_some_and(|extent| extent.is_none_or(|file| file == change.file))
}
