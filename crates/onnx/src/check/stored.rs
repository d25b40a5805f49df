//! What is stored: that it is what it says it is.

use crate::attribute::{Kind, kind, used_fields};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension::Value as Size;
use crate::proto::{AttributeProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use crate::tensor::Layout;
use crate::{Error, ErrorKind};

/// That an attribute has one value, of the type it states, and complete if that is a tensor.
pub(super) fn attribute(attribute: &AttributeProto) -> Result<(), Error> {
    let wrong = |found: std::fmt::Arguments<'_>| Error::new(ErrorKind::Attribute, found);
    let stated = match kind(attribute) {
        Kind::Is(kind) => kind,
        Kind::Reference => {
            return Err(wrong(format_args!("it refers to an attribute of a function"))
                .expected("a value, as no function is around"));
        }
        Kind::Number(number) => {
            let found = format_args!("the attribute type number {number}");
            return Err(Error::new(ErrorKind::Unsupported, found).expected("1 to 14"));
        }
        Kind::Nothing => return Err(wrong(format_args!("it has neither a type nor a value"))),
    };
    if let Some(other) = used_fields(attribute).find(|&used| used != stated) {
        let found = format_args!("it holds {}", other.as_str_name());
        return Err(wrong(found).expected(stated.as_str_name()));
    }
    for tensor in attribute.t.as_deref().into_iter().chain(&attribute.tensors) {
        Layout::of(tensor)?;
    }
    let sparse = attribute.sparse_tensor.as_deref().into_iter();
    for tensor in sparse.chain(&attribute.sparse_tensors) {
        Layout::of_sparse(tensor)?;
    }
    Ok(())
}

/// That the type of a value, if it is stated, is one.
pub(super) fn value_type(value: &ValueInfoProto) -> Result<(), Error> {
    match tensor_type(value) {
        Some(tensor) => {
            element_type(tensor)?;
            tensor.shape.as_ref().map_or(Ok(()), shape)
        }
        None => Ok(()),
    }
}

/// That a stated type is the one of the stored tensor of the same name.
pub(super) fn agrees(value: &ValueInfoProto, stored: &Layout) -> Result<(), Error> {
    let Some(tensor) = tensor_type(value) else { return Ok(()) };
    let stated = element_type(tensor)?;
    if stated != stored.data_type {
        return Err(Error::new(
            ErrorKind::Tensor,
            format_args!("elements of {} are stored", stored.data_type.as_str_name()),
        )
        .expected(format_args!("{}, the stated type", stated.as_str_name())));
    }
    let Some(shape) = &tensor.shape else { return Ok(()) };
    let fits = |(size, dimension): (&usize, &_)| match known_size(dimension) {
        Some(known) => usize::try_from(known).is_ok_and(|known| known == *size),
        None => true,
    };
    if shape.dim.len() != stored.dims.len() || !stored.dims.iter().zip(&shape.dim).all(fits) {
        let stated: Vec<_> = shape.dim.iter().map(known_size).collect();
        let stated: Vec<_> = stated
            .iter()
            .map(|size| size.map_or("?".to_owned(), |size| size.to_string()))
            .collect();
        return Err(Error::new(
            ErrorKind::Tensor,
            format_args!("shape {:?} is stored", stored.dims),
        )
        .expected(format_args!("[{}], the stated shape", stated.join(", "))));
    }
    Ok(())
}

fn tensor_type(value: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match value.r#type.as_ref() {
        Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) => Some(tensor),
        _ => None,
    }
}

fn element_type(tensor: &type_proto::Tensor) -> Result<DataType, Error> {
    let number = tensor.elem_type();
    match DataType::try_from(number) {
        Ok(DataType::Undefined) => {
            Err(Error::new(ErrorKind::Tensor, "a tensor type without an element type"))
        }
        Ok(data_type) => Ok(data_type),
        Err(_) => {
            let found = format_args!("the element type number {number}");
            Err(Error::new(ErrorKind::Unsupported, found).expected("1 to 28"))
        }
    }
}

fn shape(shape: &TensorShapeProto) -> Result<(), Error> {
    match shape.dim.iter().filter_map(known_size).find(|size| *size < 0) {
        None => Ok(()),
        Some(size) => {
            let found = format_args!("a dimension of {size}");
            Err(Error::new(ErrorKind::Tensor, found).expected("at least 0, or a name"))
        }
    }
}

fn known_size(dimension: &crate::proto::tensor_shape_proto::Dimension) -> Option<i64> {
    match dimension.value {
        Some(Size::DimValue(size)) => Some(size),
        Some(Size::DimParam(_)) | None => None,
    }
}
