//! The graph of a model as the proof walks through it.

use std::collections::{BTreeMap, HashMap};

use fewbit_onnx::proto::{GraphProto, ModelProto, NodeProto};

use crate::attributes::Attributes;
use crate::error::Error;
use crate::model::{shapes, version};
use crate::ops::{self, Operator};
use crate::tensor::Tensor;
use crate::{DType, Model, Options};

/// The nodes that depend on the input, in order of computation, and what is known without one.
pub(crate) struct Graph<'a> {
    pub(crate) model: Model,
    pub(crate) nodes: Vec<Node<'a>>,
    /// The shapes of all tensors for a batch of the file, or of one.
    shapes: BTreeMap<String, (DType, Vec<usize>)>,
    /// Which node makes a constant.
    makers: HashMap<&'a str, &'a NodeProto>,
}

/// A node that depends on the input.
pub(crate) struct Node<'a> {
    pub(crate) proto: &'a NodeProto,
    /// Its name, or that of its first output.
    pub(crate) name: String,
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) inputs: Vec<Operand>,
}

/// An input of a node.
pub(crate) enum Operand {
    Absent,
    Constant(Tensor),
    Computed(String),
}

impl<'a> Graph<'a> {
    pub(crate) fn new(proto: &'a ModelProto) -> Result<Self, Error> {
        let order = fewbit_onnx::check::validate(proto).map_err(Error::onnx)?;
        crate::model::without_calls(proto)?;
        let graph = proto.graph.as_ref().ok_or_else(|| Error::malformed("there is no graph"))?;
        let model = Model::from_proto(proto, Options::default())?;
        let shapes = shapes(&model)?;
        let mut nodes = Vec::new();
        for index in order {
            let node = &graph.node[index];
            let constant = |name: &String| name.is_empty() || model.constant(name).is_some();
            if node.input.iter().all(constant) {
                continue;
            }
            let attributes = Attributes::new(node, version(proto, node.domain()));
            let operator = ops::build(node.op_type(), node.domain(), attributes)
                .map_err(|fault| Error::tensor(format_args!("node {:?}", node.name()), fault))?;
            let inputs = node.input.iter().map(|name| match model.constant(name) {
                _ if name.is_empty() => Operand::Absent,
                Some(value) => Operand::Constant(Tensor::new(value.clone())),
                None => Operand::Computed(name.clone()),
            });
            nodes.push(Node { proto: node, name: label(node), operator, inputs: inputs.collect() });
        }
        Ok(Self { model, nodes, shapes, makers: makers(graph) })
    }

    pub(crate) fn shape(&self, tensor: &str) -> &[usize] {
        self.shapes.get(tensor).map_or(&[], |(_, shape)| shape.as_slice())
    }

    /// The node that makes a constant, transposes and the like left out.
    pub(crate) fn maker(&self, constant: &str) -> Option<&'a NodeProto> {
        let mut node = *self.makers.get(constant)?;
        while matches!(
            node.op_type(),
            "Transpose" | "Reshape" | "Identity" | "Squeeze" | "Unsqueeze"
        ) {
            node = *self.makers.get(node.input.first()?.as_str())?;
        }
        Some(node)
    }

    /// True if an operator occurs among those that only constants go into.
    pub(crate) fn folds(&self, operator: &str) -> bool {
        self.makers.values().any(|node| {
            let constant = |name: &String| self.model.constant(name).is_some();
            node.op_type() == operator && node.output.iter().all(constant)
        })
    }
}

impl Node<'_> {
    pub(crate) fn operator_name(&self) -> &str {
        self.proto.op_type()
    }

    pub(crate) fn output(&self) -> &str {
        self.proto.output.first().map_or("", String::as_str)
    }

    pub(crate) fn constant(&self, index: usize) -> Option<&Tensor> {
        match self.inputs.get(index)? {
            Operand::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The tensors among the inputs that depend on the input of the model.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().filter_map(|input| match input {
            Operand::Computed(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// An integer attribute; that of a file which runs has its type.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.proto.int(name).ok().flatten().unwrap_or(default)
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.proto.ints(name).ok().flatten()
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.proto.float(name).ok().flatten().unwrap_or(default)
    }
}

fn label(node: &NodeProto) -> String {
    let named = Some(node.name()).filter(|name| !name.is_empty());
    named.or(node.output.first().map(String::as_str)).unwrap_or("").to_owned()
}

fn makers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    let outputs = |node: &'_ NodeProto| node.output.len();
    graph
        .node
        .iter()
        .flat_map(|node| (0..outputs(node)).map(move |i| (node.output[i].as_str(), node)))
        .collect()
}
