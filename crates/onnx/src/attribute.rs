//! Attributes of nodes, by name and type.
//!
//! The methods of [`NodeProto`] are here: `node.int("axis")?` is `None` if there is no such attribute,
//! and an error that names the node if it has another type.

use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::text::quoted;
use crate::{Error, ErrorKind};

impl NodeProto {
    /// The attribute of a name, whatever its type.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name() == name)
    }

    /// An integer.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no integer.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Error> {
        self.typed(name, AttributeType::Int, |attribute| Some(attribute.i()))
    }

    /// A number.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no number.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Error> {
        self.typed(name, AttributeType::Float, |attribute| Some(attribute.f()))
    }

    /// A string.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no string, or not UTF-8.
    pub fn string(&self, name: &str) -> Result<Option<&str>, Error> {
        let bytes = self.typed(name, AttributeType::String, |attribute| Some(attribute.s()))?;
        bytes.map(|bytes| self.utf8(name, bytes)).transpose()
    }

    /// Integers.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no list of integers.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, Error> {
        self.typed(name, AttributeType::Ints, |attribute| Some(attribute.ints.as_slice()))
    }

    /// Numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no list of numbers.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>, Error> {
        self.typed(name, AttributeType::Floats, |attribute| Some(attribute.floats.as_slice()))
    }

    /// Strings.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no list of strings, or one is not UTF-8.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<&str>>, Error> {
        let list = self
            .typed(name, AttributeType::Strings, |attribute| Some(attribute.strings.as_slice()))?;
        match list {
            None => Ok(None),
            Some(list) => {
                list.iter().map(|bytes| self.utf8(name, bytes)).collect::<Result<_, _>>().map(Some)
            }
        }
    }

    /// A tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, Error> {
        self.typed(name, AttributeType::Tensor, |attribute| attribute.t.as_deref())
    }

    /// A graph.
    ///
    /// # Errors
    /// [`ErrorKind::Attribute`] if the attribute is no graph.
    pub fn graph(&self, name: &str) -> Result<Option<&GraphProto>, Error> {
        self.typed(name, AttributeType::Graph, |attribute| attribute.g.as_deref())
    }

    /// The error of a node that lacks an attribute it has to have.
    ///
    /// `node.int("signed")?.ok_or_else(|| node.missing("signed"))?`
    pub fn missing(&self, attribute: &str) -> Error {
        let found = format_args!("there is no attribute {}", quoted(attribute));
        Error::new(ErrorKind::Attribute, found).within(self.label())
    }

    /// How messages name this node: its name, or its first output if it has none, and its operator.
    pub fn label(&self) -> String {
        let named = match (self.name(), self.output.first()) {
            ("", Some(output)) => format!("node without a name that makes {}", quoted(output)),
            (name, _) => format!("node {}", quoted(name)),
        };
        let operator = quoted(self.op_type());
        match self.domain() {
            "" | "ai.onnx" => format!("{named} ({operator})"),
            domain => format!("{named} ({operator} of {})", quoted(domain)),
        }
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: AttributeType,
        value: impl Fn(&'a AttributeProto) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(attribute) = self.attribute(name) else {
            return Ok(None);
        };
        let wrong = |found: &str| {
            let found = format_args!("attribute {} is {found}", quoted(name));
            Error::new(ErrorKind::Attribute, found)
                .expected(expected.as_str_name())
                .within(self.label())
        };
        match kind(attribute) {
            Kind::Is(kind) if kind == expected => {
                value(attribute).map(Some).ok_or_else(|| wrong("without a value"))
            }
            Kind::Is(kind) => Err(wrong(kind.as_str_name())),
            Kind::Reference => Err(wrong("a reference to an attribute of a function")),
            Kind::Number(number) => Err(wrong(&format!("of type number {number}"))),
            Kind::Nothing => Err(wrong("without a type and a value")),
        }
    }

    fn utf8<'a>(&self, name: &str, bytes: &'a [u8]) -> Result<&'a str, Error> {
        std::str::from_utf8(bytes).map_err(|_| {
            let text = String::from_utf8_lossy(bytes);
            let found = format_args!("attribute {} is {}", quoted(name), quoted(&text));
            Error::new(ErrorKind::Attribute, found).expected("UTF-8").within(self.label())
        })
    }
}

/// What an attribute says that it is.
pub(crate) enum Kind {
    Is(AttributeType),
    /// It takes the value of an attribute of the function around.
    Reference,
    /// A type that is not known.
    Number(i32),
    /// Neither a type nor a value.
    Nothing,
}

/// The type of an attribute: as stated, or in files of the first versions as its value tells.
pub(crate) fn kind(attribute: &AttributeProto) -> Kind {
    if !attribute.ref_attr_name().is_empty() {
        return Kind::Reference;
    }
    match attribute.r#type {
        None | Some(0) => used_fields(attribute).next().map_or(Kind::Nothing, Kind::Is),
        Some(number) => AttributeType::try_from(number).map_or(Kind::Number(number), Kind::Is),
    }
}

/// The fields that hold something.
pub(crate) fn used_fields(attribute: &AttributeProto) -> impl Iterator<Item = AttributeType> {
    let fields = [
        (AttributeType::Float, attribute.f.is_some()),
        (AttributeType::Int, attribute.i.is_some()),
        (AttributeType::String, attribute.s.is_some()),
        (AttributeType::Tensor, attribute.t.is_some()),
        (AttributeType::Graph, attribute.g.is_some()),
        (AttributeType::SparseTensor, attribute.sparse_tensor.is_some()),
        (AttributeType::TypeProto, attribute.tp.is_some()),
        (AttributeType::Floats, !attribute.floats.is_empty()),
        (AttributeType::Ints, !attribute.ints.is_empty()),
        (AttributeType::Strings, !attribute.strings.is_empty()),
        (AttributeType::Tensors, !attribute.tensors.is_empty()),
        (AttributeType::Graphs, !attribute.graphs.is_empty()),
        (AttributeType::SparseTensors, !attribute.sparse_tensors.is_empty()),
        (AttributeType::TypeProtos, !attribute.type_protos.is_empty()),
    ];
    fields.into_iter().filter_map(|(kind, used)| used.then_some(kind))
}

#[cfg(test)]
mod tests;
