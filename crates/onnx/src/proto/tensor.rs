//! Tensors with their data.

use bytes::Bytes;

use super::StringStringEntryProto;

/// A tensor, as it is stored. [`crate::tensor::TensorValue`] is the checked form.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// The shape.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// The element type, a [`tensor_proto::DataType`].
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// The part of a tensor that this is, if it is stored in parts.
    #[prost(message, optional, tag = "3")]
    pub segment: Option<tensor_proto::Segment>,
    /// Data of `Float` and `Complex64`.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Data of integers up to 32 bits, of bool, and the bits of floats up to 16 bits.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Data of `String`.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    /// Data of `Int64`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// The name.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// Words for people.
    #[prost(string, optional, tag = "12")]
    pub doc_string: Option<String>,
    /// Data of any type but `String`, little endian, dense, rows first.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    /// Where the data is, if it is in another file: `location`, `offset`, `length`, `checksum`.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// Whether the data is here or in another file.
    #[prost(enumeration = "tensor_proto::DataLocation", optional, tag = "14")]
    pub data_location: Option<i32>,
    /// Data of `Double` and `Complex128`.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Data of `Uint32` and `Uint64`.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Named notes.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A tensor that stores only what is not zero.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorProto {
    /// The values, and the name of the whole.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
    /// Where they are, as linear indices or as coordinates.
    #[prost(message, optional, tag = "2")]
    pub indices: Option<TensorProto>,
    /// The shape of the whole.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// Types inside [`TensorProto`].
pub mod tensor_proto {
    /// A part of a tensor.
    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub struct Segment {
        /// The first element.
        #[prost(int64, optional, tag = "1")]
        pub begin: Option<i64>,
        /// One past the last element.
        #[prost(int64, optional, tag = "2")]
        pub end: Option<i64>,
    }

    /// The element types.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum DataType {
        /// Not said.
        Undefined = 0,
        /// IEEE binary32.
        Float = 1,
        /// Unsigned, 8 bits.
        Uint8 = 2,
        /// Signed, 8 bits.
        Int8 = 3,
        /// Unsigned, 16 bits.
        Uint16 = 4,
        /// Signed, 16 bits.
        Int16 = 5,
        /// Signed, 32 bits.
        Int32 = 6,
        /// Signed, 64 bits.
        Int64 = 7,
        /// Bytes, UTF-8 by convention.
        String = 8,
        /// One byte, 0 or 1.
        Bool = 9,
        /// IEEE binary16.
        Float16 = 10,
        /// IEEE binary64.
        Double = 11,
        /// Unsigned, 32 bits.
        Uint32 = 12,
        /// Unsigned, 64 bits.
        Uint64 = 13,
        /// Two binary32.
        Complex64 = 14,
        /// Two binary64.
        Complex128 = 15,
        /// The upper half of a binary32.
        Bfloat16 = 16,
        /// e4m3 as OCP defines it.
        Float8e4m3fn = 17,
        /// e4m3 without negative zero.
        Float8e4m3fnuz = 18,
        /// e5m2 as OCP defines it.
        Float8e5m2 = 19,
        /// e5m2 without negative zero and infinity.
        Float8e5m2fnuz = 20,
        /// Unsigned, two in a byte, the first in the low bits.
        Uint4 = 21,
        /// Signed, two in a byte, the first in the low bits.
        Int4 = 22,
        /// e2m1, two in a byte, the first in the low bits.
        Float4e2m1 = 23,
        /// A power of two, the scale of OCP's microscaling formats.
        Float8e8m0 = 24,
        /// Unsigned, four in a byte, the first in the low bits.
        Uint2 = 25,
        /// Signed, four in a byte, the first in the low bits.
        Int2 = 26,
        /// e2m3, a dense stream of 6 bits each.
        Float6e2m3 = 27,
        /// e3m2, a dense stream of 6 bits each.
        Float6e3m2 = 28,
    }

    impl DataType {
        /// The name in the schema of ONNX.
        pub fn as_str_name(self) -> &'static str {
            match self {
                Self::Undefined => "UNDEFINED",
                Self::Float => "FLOAT",
                Self::Uint8 => "UINT8",
                Self::Int8 => "INT8",
                Self::Uint16 => "UINT16",
                Self::Int16 => "INT16",
                Self::Int32 => "INT32",
                Self::Int64 => "INT64",
                Self::String => "STRING",
                Self::Bool => "BOOL",
                Self::Float16 => "FLOAT16",
                Self::Double => "DOUBLE",
                Self::Uint32 => "UINT32",
                Self::Uint64 => "UINT64",
                Self::Complex64 => "COMPLEX64",
                Self::Complex128 => "COMPLEX128",
                Self::Bfloat16 => "BFLOAT16",
                Self::Float8e4m3fn => "FLOAT8E4M3FN",
                Self::Float8e4m3fnuz => "FLOAT8E4M3FNUZ",
                Self::Float8e5m2 => "FLOAT8E5M2",
                Self::Float8e5m2fnuz => "FLOAT8E5M2FNUZ",
                Self::Uint4 => "UINT4",
                Self::Int4 => "INT4",
                Self::Float4e2m1 => "FLOAT4E2M1",
                Self::Float8e8m0 => "FLOAT8E8M0",
                Self::Uint2 => "UINT2",
                Self::Int2 => "INT2",
                Self::Float6e2m3 => "FLOAT6E2M3",
                Self::Float6e3m2 => "FLOAT6E3M2",
            }
        }
    }

    /// Where the data of a tensor is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum DataLocation {
        /// In the message.
        Default = 0,
        /// In another file.
        External = 1,
    }
}
