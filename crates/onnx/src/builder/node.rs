//! Nodes, before they are part of a graph.

use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataType;
use crate::proto::{AttributeProto, NodeProto};

/// The domain of quantizers.
pub const QONNX_DOMAIN: &str = "qonnx.custom_op.general";

/// A node with the types of its outputs.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) proto: NodeProto,
    /// The lowest version of the operator set that has the operator as it is used here.
    pub(super) version: i64,
    pub(super) outputs: Vec<(DataType, Vec<usize>)>,
}

impl Node {
    /// A node named `name` of the standard operator `op_type`.
    pub fn standard(name: &str, op_type: &str) -> Self {
        Self::of("", name, op_type)
    }

    /// A node named `name` of the QONNX operator `op_type`.
    pub fn qonnx(name: &str, op_type: &str) -> Self {
        Self::of(QONNX_DOMAIN, name, op_type)
    }

    /// A node of another graph; `version` of its operator set is known to have it, and `outputs` are the
    /// names and shapes of its outputs, which have elements of `f32`.
    pub fn copy(node: &NodeProto, version: i64, outputs: &[(&str, &[usize])]) -> Self {
        let proto = NodeProto { output: Vec::new(), ..node.clone() };
        let copy = Self { proto, version, outputs: Vec::new() };
        outputs.iter().fold(copy, |copy, (name, dims)| copy.output(name, dims))
    }

    fn of(domain: &str, name: &str, op_type: &str) -> Self {
        let proto = NodeProto {
            name: Some(name.to_owned()),
            op_type: Some(op_type.to_owned()),
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            ..NodeProto::default()
        };
        Self { proto, version: 1, outputs: Vec::new() }
    }

    /// The operator as it is used here is there since this version of its operator set.
    #[must_use]
    pub fn since(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// Appends inputs; an empty name leaves an optional one out.
    #[must_use]
    pub fn inputs<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.proto.input.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Appends an output with elements of `f32`.
    #[must_use]
    pub fn output(self, name: &str, dims: &[usize]) -> Self {
        self.output_of(DataType::Float, name, dims)
    }

    /// Appends an output of any type.
    #[must_use]
    pub fn output_of(mut self, data_type: DataType, name: &str, dims: &[usize]) -> Self {
        self.proto.output.push(name.to_owned());
        self.outputs.push((data_type, dims.to_vec()));
        self
    }

    /// Adds an attribute that is an integer.
    #[must_use]
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, AttributeType::Int, |attribute| attribute.i = Some(value))
    }

    /// Adds an attribute that is a number.
    #[must_use]
    pub fn float(self, name: &str, value: f32) -> Self {
        self.attribute(name, AttributeType::Float, |attribute| attribute.f = Some(value))
    }

    /// Adds an attribute that is a list of integers.
    #[must_use]
    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, AttributeType::Ints, |attribute| attribute.ints = values.to_vec())
    }

    /// Adds an attribute that is a string.
    #[must_use]
    pub fn string(self, name: &str, value: &str) -> Self {
        self.attribute(name, AttributeType::String, |attribute| {
            attribute.s = Some(value.as_bytes().to_vec().into());
        })
    }

    /// Attributes stay in alphabetical order: chisel4ml finds them by their place.
    fn attribute(
        mut self,
        name: &str,
        kind: AttributeType,
        set: impl FnOnce(&mut AttributeProto),
    ) -> Self {
        let mut attribute = AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(kind as i32),
            ..AttributeProto::default()
        };
        set(&mut attribute);
        let attributes = &mut self.proto.attribute;
        let behind = attributes.partition_point(|other| other.name() <= name);
        attributes.insert(behind, attribute);
        self
    }
}

/// Makes a readable name for a node out of the name of a layer and what the node does there.
///
/// hls4ml makes C++ names of them, so they are identifiers.
///
/// # Examples
/// ```
/// use fewbit_onnx::builder::node_name;
///
/// assert_eq!(node_name("features.2", "weight_quant"), "features_2_weight_quant");
/// assert_eq!(node_name("0", "relu"), "n0_relu");
/// ```
pub fn node_name(layer: &str, part: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = format!("{layer}_{part}").chars().map(plain).collect();
    if is_identifier(&name) { name } else { format!("n{name}") }
}

pub(super) fn is_identifier(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
