//! Tensors while a graph runs: their values, and the grid on which the values are known to lie.

mod grid;

pub(crate) use grid::{Binary, Grid, Kind, Scale, examine};

use std::sync::Arc;

use crate::error::Fault;
use crate::value::{DType, Data, Element, Value, widened};

/// A value and what its producer says about it.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    value: Value,
    grid: Option<Grid>,
}

impl Tensor {
    pub(crate) fn new(value: Value) -> Self {
        Self { value, grid: None }
    }

    /// A tensor whose shape is known to fit its elements.
    pub(crate) fn of(shape: Vec<usize>, data: impl Into<Data>) -> Self {
        Self::new(Value::of(shape, data))
    }

    pub(crate) fn with_grid(self, grid: Option<Grid>) -> Self {
        Self { grid, ..self }
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    pub(crate) fn into_value(self) -> Value {
        self.value
    }

    pub(crate) fn into_parts(self) -> (Value, Option<Grid>) {
        (self.value, self.grid)
    }

    pub(crate) fn grid(&self) -> Option<&Grid> {
        self.grid.as_ref()
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    pub(crate) fn dtype(&self) -> DType {
        self.value.dtype()
    }

    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    /// The elements; `what` names the tensor if they are of another type.
    pub(crate) fn slice<T: Element>(&self, what: &str) -> Result<&[T], Fault> {
        self.value.as_slice().ok_or_else(|| Fault::dtype(what, self.dtype(), T::DTYPE))
    }

    /// The elements as `f32`: what parameters of quantizers are read as.
    pub(crate) fn to_f32(&self, what: &str) -> Result<Arc<Vec<f32>>, Fault> {
        Ok(match self.value.data() {
            Data::F32(values) => Arc::clone(values),
            Data::F64(values) => Arc::new(values.iter().map(|&v| v as f32).collect()),
            Data::I8(values) => Arc::new(values.iter().map(|&v| f32::from(v)).collect()),
            Data::I16(values) => Arc::new(values.iter().map(|&v| f32::from(v)).collect()),
            Data::I32(values) => Arc::new(values.iter().map(|&v| v as f32).collect()),
            Data::I64(values) => Arc::new(values.iter().map(|&v| v as f32).collect()),
            Data::U8(values) => Arc::new(values.iter().map(|&v| f32::from(v)).collect()),
            Data::U16(values) => Arc::new(values.iter().map(|&v| f32::from(v)).collect()),
            Data::U32(values) => Arc::new(values.iter().map(|&v| v as f32).collect()),
            Data::U64(values) => Arc::new(values.iter().map(|&v| v as f32).collect()),
            Data::Bool(_) => return Err(Fault::dtype(what, DType::Bool, "a number")),
            small => return Tensor::of(self.shape().to_vec(), widened(small)).to_f32(what),
        })
    }

    /// The elements as `i64`: shapes, axes, indices.
    pub(crate) fn to_i64(&self, what: &str) -> Result<Vec<i64>, Fault> {
        match self.value.data() {
            Data::I64(values) => Ok(values.to_vec()),
            Data::I32(values) => Ok(values.iter().map(|&v| i64::from(v)).collect()),
            _ => Err(Fault::dtype(what, self.dtype(), "int64 or int32")),
        }
    }
}
