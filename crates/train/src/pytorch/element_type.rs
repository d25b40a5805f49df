//! What a number of a storage is.

use std::fmt;

/// The types of numbers that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// 16-bit float.
    F16,
    /// The upper half of an `f32`.
    BF16,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Signed byte.
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Unsigned byte.
    U8,
    /// Truth value, a byte.
    Bool,
}

impl ElementType {
    /// Each type with the names of its storage class and of its dtype in `torch`.
    const NAMES: [(Self, &'static str, &'static str); 10] = [
        (Self::F16, "HalfStorage", "float16"),
        (Self::BF16, "BFloat16Storage", "bfloat16"),
        (Self::F32, "FloatStorage", "float32"),
        (Self::F64, "DoubleStorage", "float64"),
        (Self::I8, "CharStorage", "int8"),
        (Self::I16, "ShortStorage", "int16"),
        (Self::I32, "IntStorage", "int32"),
        (Self::I64, "LongStorage", "int64"),
        (Self::U8, "ByteStorage", "uint8"),
        (Self::Bool, "BoolStorage", "bool"),
    ];

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, storage, _)| *storage == class).map(|(own, ..)| *own)
    }

    pub(super) fn of_dtype(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, _, dtype)| *dtype == name).map(|(own, ..)| *own)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (.., dtype) =
            Self::NAMES.iter().find(|(own, ..)| own == self).expect("the table lists every type");
        f.write_str(dtype)
    }
}
