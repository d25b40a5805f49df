//! Tensors whose element type, shape and data agree.

mod convert;
mod data;
mod external;
mod layout;

pub use data::TensorData;
pub use external::ModelFolder;
pub(crate) use layout::is_external;
pub use layout::{Layout, bits_per_element};

use crate::proto::tensor_proto::DataType;
use crate::text::quoted;
use crate::{Error, ErrorKind};

/// A tensor in memory: shape and elements, rows first.
///
/// # Examples
/// ```
/// use fewbit_onnx::tensor::TensorValue;
///
/// let tensor = TensorValue::new([2, 3], vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let stored = tensor.to_proto("weight");
/// assert_eq!(stored.raw_data.as_ref().map(|bytes| bytes.len()), Some(24));
/// assert_eq!(TensorValue::from_proto(&stored)?, tensor);
/// assert_eq!(tensor.as_f32()?[4], 5.0);
/// assert!(TensorValue::new([2, 2], vec![1_i64, 2, 3]).is_err());
/// # Ok::<(), fewbit_onnx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TensorValue {
    dims: Vec<usize>,
    data: TensorData,
}

impl TensorValue {
    /// Puts a shape and elements together.
    ///
    /// # Errors
    /// [`ErrorKind::Tensor`] if the number of elements is not the product of `dims`.
    pub fn new(dims: impl Into<Vec<usize>>, data: impl Into<TensorData>) -> Result<Self, Error> {
        let (dims, data) = (dims.into(), data.into());
        let count = layout::element_count(&dims)?;
        data.check_count(count).map_err(|error| error.within(format_args!("shape {dims:?}")))?;
        Ok(Self { dims, data })
    }

    /// A tensor of rank 0.
    pub fn scalar<T>(value: T) -> Self
    where
        Vec<T>: Into<TensorData>,
    {
        Self { dims: Vec::new(), data: vec![value].into() }
    }

    /// A tensor of rank 1.
    pub fn vector<T>(values: Vec<T>) -> Self
    where
        Vec<T>: Into<TensorData>,
    {
        Self { dims: vec![values.len()], data: values.into() }
    }

    /// The shape; empty for a scalar.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Takes shape and elements apart.
    pub fn into_parts(self) -> (Vec<usize>, TensorData) {
        (self.dims, self.data)
    }

    /// The number of elements.
    pub fn element_count(&self) -> usize {
        self.dims.iter().product()
    }

    /// The element type.
    pub fn data_type(&self) -> DataType {
        self.data.data_type()
    }

    /// The elements as integers, whatever integer type or bool they are stored as.
    ///
    /// # Errors
    /// [`ErrorKind::Tensor`] if they are no integers, or one does not fit.
    pub fn to_integers(&self) -> Result<Vec<i64>, Error> {
        match &self.data {
            TensorData::I8(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::I16(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::I32(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::I64(values) => Ok(values.clone()),
            TensorData::U8(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::U16(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::U32(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::Bool(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::U64(values) => {
                let integer = |(index, &value): (usize, &u64)| {
                    i64::try_from(value).map_err(|_| {
                        Error::new(ErrorKind::Tensor, format_args!("element {index} is {value}"))
                            .expected(format_args!("at most {}", i64::MAX))
                    })
                };
                values.iter().enumerate().map(integer).collect()
            }
            TensorData::F32(_)
            | TensorData::F64(_)
            | TensorData::F16(_)
            | TensorData::Bf16(_)
            | TensorData::String(_)
            | TensorData::Packed { .. } => Err(self.holds("integers")),
        }
    }

    fn holds(&self, expected: &str) -> Error {
        Error::new(
            ErrorKind::Tensor,
            format_args!("the tensor holds {}", self.data_type().as_str_name()),
        )
        .expected(expected)
    }
}

/// How messages name a tensor.
pub(crate) fn place(name: &str) -> String {
    format!("tensor {}", quoted(name))
}

/// Accessors of one element type: a slice, and the only element.
macro_rules! element_types {
    ($($variant:ident $element:ty: $slice:ident, $scalar:ident, $name:literal;)*) => {
        impl TensorValue {
            $(
                #[doc = concat!("The elements as `", stringify!($element), "`.")]
                ///
                /// # Errors
                #[doc = concat!("[`ErrorKind::Tensor`] if they are not ", $name, ".")]
                pub fn $slice(&self) -> Result<&[$element], Error> {
                    match &self.data {
                        TensorData::$variant(values) => Ok(values),
                        _ => Err(self.holds($name)),
                    }
                }

                #[doc = concat!("The only element as `", stringify!($element), "`, whatever the rank.")]
                ///
                /// # Errors
                #[doc = concat!("[`ErrorKind::Tensor`] if there is not exactly one, or it is not ", $name, ".")]
                pub fn $scalar(&self) -> Result<$element, Error> {
                    match self.$slice()? {
                        &[value] => Ok(value),
                        values => Err(Error::new(
                            ErrorKind::Tensor,
                            format_args!("{} elements of shape {:?}", values.len(), self.dims),
                        )
                        .expected("one element")),
                    }
                }
            )*
        }
    };
}

element_types! {
    F32 f32: as_f32, f32_scalar, "FLOAT";
    F64 f64: as_f64, f64_scalar, "DOUBLE";
    I8 i8: as_i8, i8_scalar, "INT8";
    I16 i16: as_i16, i16_scalar, "INT16";
    I32 i32: as_i32, i32_scalar, "INT32";
    I64 i64: as_i64, i64_scalar, "INT64";
    U8 u8: as_u8, u8_scalar, "UINT8";
    U16 u16: as_u16, u16_scalar, "UINT16";
    U32 u32: as_u32, u32_scalar, "UINT32";
    U64 u64: as_u64, u64_scalar, "UINT64";
    Bool bool: as_bool, bool_scalar, "BOOL";
}
