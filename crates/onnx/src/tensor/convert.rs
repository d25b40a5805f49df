//! Between the stored and the checked form.

use bytes::Bytes;

use super::layout::{self, Layout};
use super::{ModelFolder, TensorData, TensorValue};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;
use crate::text::quoted;
use crate::{Error, ErrorKind};

impl TensorValue {
    /// Reads a stored tensor, raw or in a typed field.
    ///
    /// # Errors
    /// [`ErrorKind::Tensor`] if type, shape and data do not agree; [`ErrorKind::ExternalData`] if the
    /// data is in another file: [`Self::from_proto_in`] reads those.
    pub fn from_proto(tensor: &TensorProto) -> Result<Self, Error> {
        if layout::is_external(tensor) {
            return Err(Error::new(ErrorKind::ExternalData, "the data is in another file")
                .within(super::place(tensor.name()))
                .hinting("other files are only read if that is asked for: --external-data"));
        }
        Self::read(tensor, tensor.raw_data.as_ref())
    }

    /// The same, but data in other files of the model's folder is read, too.
    ///
    /// # Errors
    /// Those of [`Self::from_proto`], and [`ErrorKind::ExternalData`] if the other file is outside of
    /// the folder or too short.
    pub fn from_proto_in(tensor: &TensorProto, folder: &ModelFolder) -> Result<Self, Error> {
        if !layout::is_external(tensor) {
            return Self::from_proto(tensor);
        }
        let named = |error: Error| error.within(super::place(tensor.name()));
        let layout = Layout::of(tensor)?;
        if layout.data_type == DataType::String {
            return Err(named(
                Error::new(ErrorKind::ExternalData, "strings in another file")
                    .expected("strings in the model"),
            ));
        }
        let size = layout::byte_size(layout.data_type, layout.element_count).map_err(named)?;
        let raw = Bytes::from(folder.read(&tensor.external_data, size).map_err(named)?);
        Self::from_raw(layout, &raw).map_err(named)
    }

    /// Stores the tensor under a name: raw, little endian.
    pub fn to_proto(&self, name: &str) -> TensorProto {
        let mut tensor = TensorProto {
            dims: self.dims.iter().map(|&size| size as i64).collect(),
            data_type: Some(self.data_type() as i32),
            name: Some(name.to_owned()),
            ..TensorProto::default()
        };
        match &self.data {
            TensorData::String(values) => {
                let bytes = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes()));
                tensor.string_data = bytes.collect();
            }
            data => tensor.raw_data = Some(raw(data)),
        }
        tensor
    }

    fn read(tensor: &TensorProto, raw: Option<&Bytes>) -> Result<Self, Error> {
        let layout = Layout::of(tensor)?;
        let result = match raw {
            Some(raw) if !raw.is_empty() => Self::from_raw(layout, raw),
            _ => Self::from_typed(layout, tensor),
        };
        result.map_err(|error| error.within(super::place(tensor.name())))
    }

    /// `raw` has the length that `layout` demands.
    fn from_raw(layout: Layout, raw: &Bytes) -> Result<Self, Error> {
        let Layout { dims, data_type, element_count: count } = layout;
        let data = match data_type {
            DataType::Float => TensorData::F32(little_endian(raw, f32::from_le_bytes)),
            DataType::Double => TensorData::F64(little_endian(raw, f64::from_le_bytes)),
            DataType::Float16 => TensorData::F16(little_endian(raw, u16::from_le_bytes)),
            DataType::Bfloat16 => TensorData::Bf16(little_endian(raw, u16::from_le_bytes)),
            DataType::Int8 => TensorData::I8(little_endian(raw, i8::from_le_bytes)),
            DataType::Int16 => TensorData::I16(little_endian(raw, i16::from_le_bytes)),
            DataType::Int32 => TensorData::I32(little_endian(raw, i32::from_le_bytes)),
            DataType::Int64 => TensorData::I64(little_endian(raw, i64::from_le_bytes)),
            DataType::Uint8 => TensorData::U8(raw.to_vec()),
            DataType::Uint16 => TensorData::U16(little_endian(raw, u16::from_le_bytes)),
            DataType::Uint32 => TensorData::U32(little_endian(raw, u32::from_le_bytes)),
            DataType::Uint64 => TensorData::U64(little_endian(raw, u64::from_le_bytes)),
            DataType::Bool => TensorData::Bool(booleans(raw.iter().map(|&byte| byte.into()))?),
            // Strings have no raw data: of their kind only an empty tensor comes here.
            DataType::Undefined | DataType::String => TensorData::String(Vec::new()),
            DataType::Complex64
            | DataType::Complex128
            | DataType::Float8e4m3fn
            | DataType::Float8e4m3fnuz
            | DataType::Float8e5m2
            | DataType::Float8e5m2fnuz
            | DataType::Float8e8m0
            | DataType::Uint4
            | DataType::Int4
            | DataType::Float4e2m1
            | DataType::Uint2
            | DataType::Int2
            | DataType::Float6e2m3
            | DataType::Float6e3m2 => TensorData::Packed { data_type, count, bytes: raw.clone() },
        };
        Self::new(dims, data)
    }

    /// The typed field of `tensor` has the length that `layout` demands.
    fn from_typed(layout: Layout, tensor: &TensorProto) -> Result<Self, Error> {
        let Layout { dims, data_type, element_count: count } = layout;
        let small = &tensor.int32_data;
        let packed = |bytes: Vec<u8>| TensorData::Packed { data_type, count, bytes: bytes.into() };
        let data = match data_type {
            DataType::Float => TensorData::F32(tensor.float_data.clone()),
            DataType::Double => TensorData::F64(tensor.double_data.clone()),
            DataType::Int64 => TensorData::I64(tensor.int64_data.clone()),
            DataType::Uint64 => TensorData::U64(tensor.uint64_data.clone()),
            DataType::Uint32 => TensorData::U32(narrow(&tensor.uint64_data)?),
            DataType::Int32 => TensorData::I32(small.clone()),
            DataType::Int16 => TensorData::I16(narrow(small)?),
            DataType::Int8 => TensorData::I8(narrow(small)?),
            DataType::Uint16 => TensorData::U16(narrow(small)?),
            DataType::Uint8 => TensorData::U8(narrow(small)?),
            DataType::Float16 => TensorData::F16(narrow(small)?),
            DataType::Bfloat16 => TensorData::Bf16(narrow(small)?),
            DataType::Bool => TensorData::Bool(booleans(small.iter().map(|&value| value.into()))?),
            DataType::Undefined | DataType::String => TensorData::String(strings(tensor)?),
            DataType::Float8e4m3fn
            | DataType::Float8e4m3fnuz
            | DataType::Float8e5m2
            | DataType::Float8e5m2fnuz
            | DataType::Float8e8m0
            | DataType::Uint4
            | DataType::Int4
            | DataType::Float4e2m1
            | DataType::Uint2
            | DataType::Int2 => packed(narrow(small)?),
            DataType::Float6e2m3 | DataType::Float6e3m2 => packed(pack_6_bits(&narrow(small)?)),
            DataType::Complex64 => {
                packed(tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            DataType::Complex128 => {
                packed(tensor.double_data.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        Self::new(dims, data)
    }
}

/// Reads whole elements; the length was checked.
fn little_endian<const N: usize, T>(raw: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&bytes| element(bytes)).collect()
}

fn raw(data: &TensorData) -> Bytes {
    macro_rules! bytes_of {
        ($values:expr) => {
            $values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
        };
    }
    match data {
        TensorData::F32(values) => bytes_of!(values),
        TensorData::F64(values) => bytes_of!(values),
        TensorData::F16(values) | TensorData::Bf16(values) | TensorData::U16(values) => {
            bytes_of!(values)
        }
        TensorData::I8(values) => bytes_of!(values),
        TensorData::I16(values) => bytes_of!(values),
        TensorData::I32(values) => bytes_of!(values),
        TensorData::I64(values) => bytes_of!(values),
        TensorData::U8(values) => Bytes::copy_from_slice(values),
        TensorData::U32(values) => bytes_of!(values),
        TensorData::U64(values) => bytes_of!(values),
        TensorData::Bool(values) => {
            values.iter().map(|&value| value.into()).collect::<Vec<u8>>().into()
        }
        TensorData::String(_) => Bytes::new(),
        TensorData::Packed { bytes, .. } => bytes.clone(),
    }
}

/// Values of a wider type that all fit the narrower one.
fn narrow<Wide, Narrow>(values: &[Wide]) -> Result<Vec<Narrow>, Error>
where
    Wide: Copy + std::fmt::Display,
    Narrow: TryFrom<Wide>,
{
    let element = |(index, &value): (usize, &Wide)| {
        Narrow::try_from(value).map_err(|_| {
            Error::new(ErrorKind::Tensor, format_args!("element {index} is {value}"))
                .expected(format_args!("a value of {} bits", 8 * size_of::<Narrow>()))
        })
    };
    values.iter().enumerate().map(element).collect()
}

fn booleans(values: impl Iterator<Item = i64>) -> Result<Vec<bool>, Error> {
    let element = |(index, value)| match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::new(ErrorKind::Tensor, format_args!("element {index} is {value}"))
            .expected("0 or 1, as it is a bool")),
    };
    values.enumerate().map(element).collect()
}

fn strings(tensor: &TensorProto) -> Result<Vec<String>, Error> {
    let element = |(index, bytes): (usize, &Bytes)| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Error::new(
            ErrorKind::Tensor,
            format_args!("element {index} is {}", quoted(&String::from_utf8_lossy(bytes))),
        )
        .expected("UTF-8")),
    };
    tensor.string_data.iter().enumerate().map(element).collect()
}

/// A dense stream of the low 6 bits of each byte, the first one lowest.
fn pack_6_bits(codes: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; (codes.len() * 6).div_ceil(8)];
    for (index, &code) in codes.iter().enumerate() {
        let (byte, shift) = (index * 6 / 8, index * 6 % 8);
        let bits = u16::from(code & 0x3f) << shift;
        bytes[byte] |= bits as u8;
        if shift > 2 {
            bytes[byte + 1] |= (bits >> 8) as u8;
        }
    }
    bytes
}
