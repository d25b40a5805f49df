//! Tensors of ONNX files as this crate keeps them.

use fewbit_onnx::proto::tensor_proto::DataType;
use fewbit_onnx::tensor::{TensorData, TensorValue};
use half::{bf16, f16};

use super::{DType, Data, Value, low_bits, unpack};
use crate::error::{Error, Fault};
use crate::small;

impl Value {
    /// Takes a tensor of an ONNX file; `name` is for the message.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for strings and complex numbers.
    pub fn from_stored(tensor: TensorValue, name: &str) -> Result<Self, Error> {
        value_of(tensor, "a tensor").map_err(|fault| Error::tensor(format_args!("{name:?}"), fault))
    }
}

/// A tensor of a file as this crate keeps it.
pub(crate) fn value_of(tensor: TensorValue, what: &str) -> Result<Value, Fault> {
    let data_type = tensor.data_type();
    let (dims, data) = tensor.into_parts();
    Ok(match data {
        TensorData::F32(values) => Value::of(dims, values),
        TensorData::F64(values) => Value::of(dims, values),
        TensorData::F16(bits) => {
            Value::of(dims, bits.into_iter().map(f16::from_bits).collect::<Vec<_>>())
        }
        TensorData::Bf16(bits) => {
            Value::of(dims, bits.into_iter().map(bf16::from_bits).collect::<Vec<_>>())
        }
        TensorData::I8(values) => Value::of(dims, values),
        TensorData::I16(values) => Value::of(dims, values),
        TensorData::I32(values) => Value::of(dims, values),
        TensorData::I64(values) => Value::of(dims, values),
        TensorData::U8(values) => Value::of(dims, values),
        TensorData::U16(values) => Value::of(dims, values),
        TensorData::U32(values) => Value::of(dims, values),
        TensorData::U64(values) => Value::of(dims, values),
        TensorData::Bool(values) => Value::of(dims, values),
        TensorData::Packed { data_type, count, bytes } => {
            let data = packed(data_type, count, &bytes).ok_or_else(|| {
                Fault::unsupported(format_args!("{what} of type {}", data_type.as_str_name()))
            })?;
            Value::of(dims, data)
        }
        _ => {
            let name = data_type.as_str_name();
            return Err(Fault::unsupported(format_args!("{what} of type {name}")));
        }
    })
}

/// Elements of 8 and fewer bits, as ONNX packs them.
fn packed(data_type: DataType, count: usize, bytes: &[u8]) -> Option<Data> {
    macro_rules! codes {
        ($type:ident, $bits:literal) => {
            unpack(bytes, $bits, count).into_iter().map(small::$type).collect::<Vec<_>>().into()
        };
    }
    let integers = |bits: usize, dtype: DType| {
        low_bits(unpack(bytes, bits, count).into_iter().map(i64::from), dtype)
    };
    Some(match data_type {
        DataType::Float8e4m3fn => codes!(F8E4M3, 8),
        DataType::Float8e4m3fnuz => codes!(F8E4M3Fnuz, 8),
        DataType::Float8e5m2 => codes!(F8E5M2, 8),
        DataType::Float8e5m2fnuz => codes!(F8E5M2Fnuz, 8),
        DataType::Float8e8m0 => codes!(F8E8M0, 8),
        DataType::Float6e2m3 => codes!(F6E2M3, 6),
        DataType::Float6e3m2 => codes!(F6E3M2, 6),
        DataType::Float4e2m1 => codes!(F4E2M1, 4),
        DataType::Int4 => integers(4, DType::I4)?,
        DataType::Uint4 => integers(4, DType::U4)?,
        DataType::Int2 => integers(2, DType::I2)?,
        DataType::Uint2 => integers(2, DType::U2)?,
        _ => return None,
    })
}
