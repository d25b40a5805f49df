//! Small models, made in the tests.

use fewbit_onnx::proto::attribute_proto::AttributeType;
use fewbit_onnx::proto::tensor_shape_proto::{Dimension, dimension};
use fewbit_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use fewbit_onnx::tensor::{TensorData, TensorValue};

/// A node without a name.
pub fn node(domain: &str, operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(operator.to_owned()),
        domain: Some(domain.to_owned()),
        input: names(inputs),
        output: names(outputs),
        ..NodeProto::default()
    }
}

/// An attribute that is an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// An attribute that is a string.
pub fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.to_owned().into()), ..attribute(name, AttributeType::String) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}

/// An input or output of `f32` with this shape.
pub fn info(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |extent: &i64| Dimension {
        value: Some(dimension::Value::DimValue(*extent)),
        ..Dimension::default()
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// A name without a type.
pub fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

/// A model under construction.
pub struct Graph {
    model: ModelProto,
    graph: GraphProto,
}

impl Graph {
    /// An empty graph with the operator sets 18 of ONNX and 2 of QONNX.
    pub fn new() -> Self {
        Self { model: ModelProto::default(), graph: GraphProto::default() }
            .version("", 18)
            .version("qonnx.custom_op.general", 2)
    }

    /// Sets the version of an operator set.
    pub fn version(mut self, domain: &str, version: i64) -> Self {
        self.model.opset_import.retain(|set| set.domain() != domain);
        let set = OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
        self.model.opset_import.push(set);
        self
    }

    /// Adds an input.
    pub fn input(mut self, info: ValueInfoProto) -> Self {
        self.graph.input.push(info);
        self
    }

    /// Adds an output.
    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(untyped(name));
        self
    }

    /// Adds a stored tensor.
    pub fn stored(mut self, name: &str, shape: &[usize], data: impl Into<TensorData>) -> Self {
        let tensor = TensorValue::new(shape, data).unwrap();
        self.graph.initializer.push(tensor.to_proto(name));
        self
    }

    /// Adds a node.
    pub fn node(mut self, node: NodeProto, attributes: Vec<AttributeProto>) -> Self {
        self.graph.node.push(NodeProto { attribute: attributes, ..node });
        self
    }

    /// The model.
    pub fn done(self) -> ModelProto {
        ModelProto { ir_version: Some(8), graph: Some(self.graph), ..self.model }
    }
}
