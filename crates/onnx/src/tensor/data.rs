//! Elements of all types.

use bytes::Bytes;

use super::layout;
use crate::proto::tensor_proto::DataType;
use crate::{Error, ErrorKind};

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TensorData {
    /// IEEE binary32.
    F32(Vec<f32>),
    /// IEEE binary64.
    F64(Vec<f64>),
    /// Bits of IEEE binary16.
    F16(Vec<u16>),
    /// Bits of bfloat16.
    Bf16(Vec<u16>),
    /// Signed, 8 bits.
    I8(Vec<i8>),
    /// Signed, 16 bits.
    I16(Vec<i16>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// Signed, 64 bits.
    I64(Vec<i64>),
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Unsigned, 16 bits.
    U16(Vec<u16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
    /// Unsigned, 64 bits.
    U64(Vec<u64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Strings.
    String(Vec<String>),
    /// Every other type, as ONNX packs it: complex numbers, floats and integers below 8 or 16 bits.
    Packed {
        /// The element type.
        data_type: DataType,
        /// The number of elements.
        count: usize,
        /// The elements, the first one in the lowest bits of the first byte.
        bytes: Bytes,
    },
}

macro_rules! from_vec {
    ($($variant:ident $element:ty,)*) => {
        $(
            impl From<Vec<$element>> for TensorData {
                fn from(values: Vec<$element>) -> Self {
                    Self::$variant(values)
                }
            }
        )*
    };
}

from_vec! {
    F32 f32, F64 f64, I8 i8, I16 i16, I32 i32, I64 i64,
    U8 u8, U16 u16, U32 u32, U64 u64, Bool bool, String String,
}

impl TensorData {
    /// The element type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::F32(_) => DataType::Float,
            Self::F64(_) => DataType::Double,
            Self::F16(_) => DataType::Float16,
            Self::Bf16(_) => DataType::Bfloat16,
            Self::I8(_) => DataType::Int8,
            Self::I16(_) => DataType::Int16,
            Self::I32(_) => DataType::Int32,
            Self::I64(_) => DataType::Int64,
            Self::U8(_) => DataType::Uint8,
            Self::U16(_) => DataType::Uint16,
            Self::U32(_) => DataType::Uint32,
            Self::U64(_) => DataType::Uint64,
            Self::Bool(_) => DataType::Bool,
            Self::String(_) => DataType::String,
            Self::Packed { data_type, .. } => *data_type,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::F16(values) | Self::Bf16(values) | Self::U16(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::String(values) => values.len(),
            Self::Packed { count, .. } => *count,
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that there are `expected` elements.
    pub(super) fn check_count(&self, expected: usize) -> Result<(), Error> {
        if let Self::Packed { data_type, count, bytes } = self {
            let size = layout::byte_size(*data_type, *count)?;
            if bytes.len() != size {
                let found = format_args!("{} bytes", bytes.len());
                let name = data_type.as_str_name();
                return Err(Error::new(ErrorKind::Tensor, found)
                    .expected(format_args!("{size} for {count} elements of {name}")));
            }
        }
        if self.len() != expected {
            return Err(Error::new(ErrorKind::Tensor, format_args!("{} elements", self.len()))
                .expected(expected));
        }
        Ok(())
    }
}
