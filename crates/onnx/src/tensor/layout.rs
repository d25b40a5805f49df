//! How many elements and bytes a tensor has, checked before anything is allocated.

use crate::proto::tensor_proto::{DataLocation, DataType};
use crate::proto::{SparseTensorProto, TensorProto};
use crate::{Error, ErrorKind};

/// Shape and element type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The shape.
    pub dims: Vec<usize>,
    /// The element type.
    pub data_type: DataType,
    /// The number of elements.
    pub element_count: usize,
}

impl Layout {
    /// Checks that element type, shape and data of a stored tensor agree, without copying the data.
    ///
    /// Of a tensor in another file, only type and shape are checked.
    ///
    /// # Errors
    /// [`ErrorKind::Tensor`] if they do not, [`ErrorKind::Unsupported`] for a tensor in segments.
    pub fn of(tensor: &TensorProto) -> Result<Self, Error> {
        Self::of_unnamed(tensor).map_err(|error| error.within(super::place(tensor.name())))
    }

    /// The same for a sparse tensor: that its parts are what they have to be.
    ///
    /// # Errors
    /// [`ErrorKind::Tensor`] if they are not.
    pub fn of_sparse(tensor: &SparseTensorProto) -> Result<Self, Error> {
        let name = tensor.values.as_ref().map(TensorProto::name).unwrap_or_default();
        let sparse = |error: Error| error.within(format_args!("sparse {}", super::place(name)));
        let dims = dims(&tensor.dims).map_err(sparse)?;
        let element_count = element_count(&dims).map_err(sparse)?;
        let missing =
            |what| sparse(Error::new(ErrorKind::Tensor, format_args!("it has no {what}")));
        let values = Self::of(tensor.values.as_ref().ok_or_else(|| missing("values"))?)?;
        // Without values there need not be indices.
        if let Some(indices) = &tensor.indices {
            let indices =
                Self::of_unnamed(indices).map_err(|error| sparse(error.within("indices")))?;
            let count = values.element_count;
            let right = indices.dims == [count] || indices.dims == [count, dims.len()];
            if indices.data_type != DataType::Int64 || !right {
                let found = format_args!(
                    "indices of type {} and shape {:?}",
                    indices.data_type.as_str_name(),
                    indices.dims
                );
                let rank = dims.len();
                return Err(sparse(
                    Error::new(ErrorKind::Tensor, found)
                        .expected(format_args!("INT64 and [{count}] or [{count}, {rank}]")),
                ));
            }
        } else if values.element_count > 0 {
            return Err(missing("indices"));
        }
        Ok(Self { dims, data_type: values.data_type, element_count })
    }

    fn of_unnamed(tensor: &TensorProto) -> Result<Self, Error> {
        if tensor.segment.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "the tensor is stored in segments")
                .expected("all of it in one place"));
        }
        let data_type = data_type(tensor)?;
        let dims = dims(&tensor.dims)?;
        let element_count = element_count(&dims)?;
        let layout = Self { dims, data_type, element_count };
        // The size in memory has to be a number even if the data is elsewhere.
        byte_size(data_type, element_count)?;
        if !is_external(tensor) {
            layout.check_data(tensor)?;
        }
        Ok(layout)
    }

    /// Checks that the data is in one field, in the right one, and complete.
    fn check_data(&self, tensor: &TensorProto) -> Result<(), Error> {
        let raw = tensor.raw_data.as_ref().map_or(0, |raw| raw.len());
        let fields = [
            ("raw_data", raw),
            ("float_data", tensor.float_data.len()),
            ("int32_data", tensor.int32_data.len()),
            ("string_data", tensor.string_data.len()),
            ("int64_data", tensor.int64_data.len()),
            ("double_data", tensor.double_data.len()),
            ("uint64_data", tensor.uint64_data.len()),
        ];
        let mut used = fields.into_iter().filter(|(_, length)| *length > 0);
        let (field, found) = match (used.next(), used.next()) {
            (None, _) => (self.typed_field(), 0),
            (Some(field), None) => field,
            (Some((first, _)), Some((second, _))) => {
                return Err(Error::new(
                    ErrorKind::Tensor,
                    format_args!("data in {first} and in {second}"),
                )
                .expected("data in one of them"));
            }
        };
        let name = self.data_type.as_str_name();
        let raw_allowed = self.data_type != DataType::String;
        if field != self.typed_field() && !(field == "raw_data" && raw_allowed) {
            let or_raw = if raw_allowed { " or raw_data" } else { "" };
            return Err(Error::new(
                ErrorKind::Tensor,
                format_args!("elements of {name} in {field}"),
            )
            .expected(format_args!("them in {}{or_raw}", self.typed_field())));
        }
        let (expected, unit) = if field == "raw_data" {
            (byte_size(self.data_type, self.element_count)?, "bytes")
        } else {
            (self.typed_length()?, "values")
        };
        if found != expected {
            let shape = &self.dims;
            return Err(Error::new(ErrorKind::Tensor, format_args!("{found} {unit} in {field}"))
                .expected(format_args!("{expected} for shape {shape:?} of {name}")));
        }
        Ok(())
    }

    /// The field that holds elements of this type if they are not raw.
    fn typed_field(&self) -> &'static str {
        match self.data_type {
            DataType::Float | DataType::Complex64 => "float_data",
            DataType::Double | DataType::Complex128 => "double_data",
            DataType::Int64 => "int64_data",
            DataType::Uint32 | DataType::Uint64 => "uint64_data",
            DataType::String => "string_data",
            DataType::Undefined
            | DataType::Uint8
            | DataType::Int8
            | DataType::Uint16
            | DataType::Int16
            | DataType::Int32
            | DataType::Bool
            | DataType::Float16
            | DataType::Bfloat16
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
            | DataType::Float6e3m2 => "int32_data",
        }
    }

    /// How many values that field has: complex numbers take two, packed elements share one.
    fn typed_length(&self) -> Result<usize, Error> {
        match self.data_type {
            DataType::Complex64 | DataType::Complex128 => {
                self.element_count.checked_mul(2).ok_or_else(|| too_large(&self.dims))
            }
            DataType::Uint4
            | DataType::Int4
            | DataType::Float4e2m1
            | DataType::Uint2
            | DataType::Int2 => byte_size(self.data_type, self.element_count),
            _ => Ok(self.element_count),
        }
    }
}

/// The bits that an element takes in raw data; `None` for strings and no type at all.
pub fn bits_per_element(data_type: DataType) -> Option<usize> {
    match data_type {
        DataType::Undefined | DataType::String => None,
        DataType::Uint2 | DataType::Int2 => Some(2),
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => Some(4),
        DataType::Float6e2m3 | DataType::Float6e3m2 => Some(6),
        DataType::Uint8
        | DataType::Int8
        | DataType::Bool
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz
        | DataType::Float8e8m0 => Some(8),
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => Some(16),
        DataType::Float | DataType::Int32 | DataType::Uint32 => Some(32),
        DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64 => Some(64),
        DataType::Complex128 => Some(128),
    }
}

/// Whether the data of a tensor is in another file.
pub(crate) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External as i32)
}

fn data_type(tensor: &TensorProto) -> Result<DataType, Error> {
    let number = tensor.data_type();
    match DataType::try_from(number) {
        Ok(DataType::Undefined) => {
            Err(Error::new(ErrorKind::Tensor, "the tensor has no element type"))
        }
        Ok(data_type) => Ok(data_type),
        Err(_) => Err(Error::new(
            ErrorKind::Unsupported,
            format_args!("the element type number {number}"),
        )
        .expected("1 to 28")),
    }
}

fn dims(dims: &[i64]) -> Result<Vec<usize>, Error> {
    dims.iter()
        .enumerate()
        .map(|(axis, &size)| {
            usize::try_from(size).map_err(|_| {
                Error::new(
                    ErrorKind::Tensor,
                    format_args!("dimension {axis} of {dims:?} is {size}"),
                )
                .expected("at least 0")
            })
        })
        .collect()
}

/// The product of a shape.
///
/// Sizes beside a zero count as well: no program can index an axis of them.
pub(super) fn element_count(dims: &[usize]) -> Result<usize, Error> {
    let bounded = dims
        .iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size.max(1)))
        .filter(|&count| isize::try_from(count).is_ok());
    match bounded {
        Some(_) => Ok(dims.iter().product()),
        None => Err(too_large(dims)),
    }
}

fn too_large(dims: &[usize]) -> Error {
    Error::new(ErrorKind::Tensor, format_args!("shape {dims:?}"))
        .expected(format_args!("at most {} bytes", isize::MAX))
}

/// The size of raw data; strings count as 0, as they have none.
pub(super) fn byte_size(data_type: DataType, count: usize) -> Result<usize, Error> {
    let bits = bits_per_element(data_type).unwrap_or(0);
    // Whole groups of 8 elements take `bits` bytes; the rest rounds up.
    (count / 8)
        .checked_mul(bits)
        .and_then(|bytes| bytes.checked_add((count % 8 * bits).div_ceil(8)))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or_else(|| {
            let name = data_type.as_str_name();
            Error::new(ErrorKind::Tensor, format_args!("{count} elements of {name}"))
                .expected(format_args!("at most {} bytes", isize::MAX))
        })
}
