//! Makes model files that qonnx, FINN, hls4ml, chisel4ml and onnxruntime accept.
//!
//! What one or another of them demands, and [`GraphBuilder`] therefore does or refuses: stored
//! tensors are raw data and no inputs; each tensor has a static type; nodes are in topological
//! order, with unique names that are identifiers; attributes are in alphabetical order; equal
//! constants are stored once.

mod node;

pub use node::{Node, QONNX_DOMAIN, node_name};

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::tensor_proto::DataType;
use crate::proto::{
    GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorAnnotation,
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use crate::tensor::{TensorData, TensorValue, place};
use crate::text::quoted;
use crate::{Error, ErrorKind, check};

/// The version of the file format: the newest one that all readers know.
const IR_VERSION: i64 = 8;

/// The version of the standard operator set, unless a node needs a later one.
const OPERATOR_SET: i64 = 13;

/// Builds the graph of a model, node by node, and the model around it.
///
/// # Examples
/// ```
/// use fewbit_onnx::builder::{GraphBuilder, Node};
/// use fewbit_onnx::tensor::TensorValue;
///
/// let mut graph = GraphBuilder::new("doubled");
/// graph.input("x", &[1, 3])?;
/// let two = graph.constant(&TensorValue::scalar(2.0_f32))?;
/// graph.add(Node::standard("double", "Mul").inputs(["x", &two]).output("y", &[1, 3]))?;
/// graph.output("y")?;
/// let model = graph.finish("an example", "1.0")?;
/// assert_eq!(model.graph.unwrap().initializer[0].name(), "const_2");
/// # Ok::<(), fewbit_onnx::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    graph: GraphProto,
    /// Each tensor that there is so far.
    tensors: BTreeMap<String, Tensor>,
    /// Names of nodes.
    nodes: BTreeSet<String>,
    /// The lowest version of each operator set that has all operators in use.
    operator_sets: BTreeMap<String, i64>,
    metadata: Vec<StringStringEntryProto>,
}

#[derive(Clone, Debug)]
struct Tensor {
    data_type: DataType,
    dims: Vec<usize>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Input,
    Stored,
    Node,
}

impl GraphBuilder {
    /// Starts an empty graph.
    pub fn new(name: &str) -> Self {
        Self {
            graph: GraphProto { name: Some(name.to_owned()), ..GraphProto::default() },
            tensors: BTreeMap::new(),
            nodes: BTreeSet::new(),
            operator_sets: BTreeMap::from([(String::new(), OPERATOR_SET)]),
            metadata: Vec::new(),
        }
    }

    /// Adds an input of the graph with elements of `f32`.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if there is a tensor of this name.
    pub fn input(&mut self, name: &str, dims: &[usize]) -> Result<(), Error> {
        self.define(name, DataType::Float, dims, Origin::Input)?;
        self.graph.input.push(value_info(name, DataType::Float, dims));
        Ok(())
    }

    /// Stores a tensor under a name of its own, such as the weights of a layer.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if there is a tensor of this name.
    pub fn initializer(&mut self, name: &str, value: &TensorValue) -> Result<(), Error> {
        self.define(name, value.data_type(), value.dims(), Origin::Stored)?;
        self.graph.initializer.push(value.to_proto(name));
        Ok(())
    }

    /// Stores a small constant, once for all its users, under a name that tells its value.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if it is not a number or a short list of numbers.
    pub fn constant(&mut self, value: &TensorValue) -> Result<String, Error> {
        let name = constant_name(value)?;
        let stored = value.to_proto(&name);
        match self.graph.initializer.iter().find(|tensor| tensor.name() == name) {
            Some(tensor) if *tensor == stored => {}
            _ => self.initializer(&name, value)?,
        }
        Ok(name)
    }

    /// Adds a node behind all others.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if its name is no identifier or in use, an input is not defined yet, or
    /// an output is defined already; [`ErrorKind::Attribute`] if it has an attribute twice.
    pub fn add(&mut self, node: Node) -> Result<(), Error> {
        let Node { proto, version, outputs } = node;
        let within = |error: Error| error.within(proto.label());
        let name = proto.name();
        if !node::is_identifier(name) {
            let found = format_args!("the name {}", quoted(name));
            return Err(Error::new(ErrorKind::Graph, found)
                .expected("letters, digits and underscores, no digit at the start"));
        }
        if !self.nodes.insert(name.to_owned()) {
            return Err(within(
                Error::new(ErrorKind::Graph, "the name is in use").expected("a new one"),
            ));
        }
        for (index, input) in proto.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if !self.tensors.contains_key(input) {
                let found =
                    format_args!("input {index} is {}, which nothing defines", quoted(input));
                return Err(within(
                    Error::new(ErrorKind::Graph, found)
                        .expected("an input, a stored tensor, or the output of an earlier node"),
                ));
            }
        }
        if let Some(pair) = proto.attribute.windows(2).find(|pair| pair[0].name() == pair[1].name())
        {
            let found = format_args!("attribute {} is there twice", quoted(pair[0].name()));
            return Err(within(Error::new(ErrorKind::Attribute, found)));
        }
        for (output, (data_type, dims)) in proto.output.iter().zip(&outputs) {
            self.define(output, *data_type, dims, Origin::Node).map_err(within)?;
        }
        let needed = self.operator_sets.entry(proto.domain().to_owned()).or_insert(version);
        *needed = version.max(*needed);
        self.graph.node.push(proto);
        Ok(())
    }

    /// Gives the output of a node another name, before it becomes an output of the graph.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if there is no such tensor or it is no output of a node, or if the new
    /// name is in use.
    pub fn rename(&mut self, tensor: &str, name: &str) -> Result<(), Error> {
        let Some(Tensor { data_type, dims, origin: Origin::Node }) =
            self.tensors.get(tensor).cloned()
        else {
            return Err(Error::new(ErrorKind::Graph, "no node makes it").within(place(tensor)));
        };
        self.define(name, data_type, &dims, Origin::Node)?;
        self.tensors.remove(tensor);
        for node in &mut self.graph.node {
            let names = node.input.iter_mut().chain(&mut node.output);
            names.filter(|old| *old == tensor).for_each(|old| name.clone_into(old));
        }
        for note in &mut self.graph.quantization_annotation {
            if note.tensor_name() == tensor {
                note.tensor_name = Some(name.to_owned());
            }
        }
        Ok(())
    }

    /// Makes a tensor an output of the graph.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if there is no such tensor, or it is no output of a node.
    pub fn output(&mut self, name: &str) -> Result<(), Error> {
        let wrong = |found| {
            Err(Error::new(ErrorKind::Graph, found)
                .expected("the output of a node")
                .within(place(name)))
        };
        match self.tensors.get(name) {
            None => wrong("nothing defines this output of the graph"),
            Some(Tensor { origin: Origin::Input, .. }) => wrong("it is an input of the graph"),
            Some(Tensor { origin: Origin::Stored, .. }) => wrong("it is a stored tensor"),
            Some(Tensor { data_type, dims, origin: Origin::Node }) => {
                self.graph.output.push(value_info(name, *data_type, dims));
                Ok(())
            }
        }
    }

    /// Notes which numbers a tensor holds, such as `INT2` or `BIPOLAR`, as qonnx and FINN do.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if there is no such tensor.
    pub fn annotate(&mut self, tensor: &str, finn_datatype: &str) -> Result<(), Error> {
        if !self.tensors.contains_key(tensor) {
            return Err(Error::new(ErrorKind::Graph, "there is no tensor to annotate")
                .within(place(tensor)));
        }
        self.graph.quantization_annotation.push(TensorAnnotation {
            tensor_name: Some(tensor.to_owned()),
            quant_parameter_tensor_names: vec![entry("finn_datatype", finn_datatype)],
        });
        Ok(())
    }

    /// Adds a named note to the model; a key that is there gets the new value.
    pub fn metadata(&mut self, key: &str, value: &str) {
        self.metadata.retain(|entry| entry.key() != key);
        self.metadata.push(entry(key, value));
    }

    /// The shape of a tensor that is there.
    pub fn dims(&self, tensor: &str) -> Option<&[usize]> {
        self.tensors.get(tensor).map(|tensor| tensor.dims.as_slice())
    }

    /// Makes the model, written by `producer` of `producer_version`.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if the graph has no output, or an input or stored tensor is not used.
    pub fn finish(mut self, producer: &str, producer_version: &str) -> Result<ModelProto, Error> {
        if self.graph.output.is_empty() {
            return Err(Error::new(ErrorKind::Graph, "the graph has no output"));
        }
        let used: BTreeSet<_> = self.graph.node.iter().flat_map(|node| &node.input).collect();
        let mut given = self.tensors.iter().filter(|(_, tensor)| tensor.origin != Origin::Node);
        if let Some((name, _)) = given.find(|(name, _)| !used.contains(name)) {
            return Err(Error::new(ErrorKind::Graph, "no node uses it").within(place(name)));
        }
        let is_output = |name: &str| self.graph.output.iter().any(|output| output.name() == name);
        let inner = self.graph.node.iter().flat_map(|node| &node.output);
        let inner = inner.filter(|name| !name.is_empty() && !is_output(name));
        let typed = |name: &String| {
            let Tensor { data_type, dims, .. } = &self.tensors[name];
            value_info(name, *data_type, dims)
        };
        self.graph.value_info = inner.map(typed).collect();
        let sets = self.operator_sets.into_iter();
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some(producer.to_owned()),
            producer_version: Some(producer_version.to_owned()),
            opset_import: sets
                .map(|(domain, version)| OperatorSetIdProto {
                    domain: Some(domain),
                    version: Some(version),
                })
                .collect(),
            graph: Some(self.graph),
            metadata_props: self.metadata,
            ..ModelProto::default()
        };
        check::validate(&model)?;
        Ok(model)
    }

    fn define(
        &mut self,
        name: &str,
        data_type: DataType,
        dims: &[usize],
        origin: Origin,
    ) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Graph, "a tensor without a name"));
        }
        let tensor = Tensor { data_type, dims: dims.to_vec(), origin };
        match self.tensors.insert(name.to_owned(), tensor) {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Graph, "there is a tensor of this name already")
                .within(place(name))),
        }
    }
}

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

fn value_info(name: &str, data_type: DataType, dims: &[usize]) -> ValueInfoProto {
    let dimension = |&size: &usize| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size as i64)),
        denotation: None,
    };
    let tensor = type_proto::Tensor {
        elem_type: Some(data_type as i32),
        shape: Some(TensorShapeProto { dim: dims.iter().map(dimension).collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}

/// Lists longer than this are no constants but data.
const LONGEST_CONSTANT: usize = 8;

/// `const_0p5`, `const_m1_shape_1`, `const_i64_1_m1`: each value, shape and type another name.
fn constant_name(value: &TensorValue) -> Result<String, Error> {
    let (kind, numbers): (_, Vec<String>) = match value.data() {
        TensorData::F32(values) => ("", values.iter().map(f32::to_string).collect()),
        TensorData::I64(values) => ("i64_", values.iter().map(i64::to_string).collect()),
        TensorData::I8(values) => ("i8_", values.iter().map(i8::to_string).collect()),
        TensorData::U8(values) => ("u8_", values.iter().map(u8::to_string).collect()),
        _ => {
            let found = format_args!("a constant of {}", value.data_type().as_str_name());
            return Err(
                Error::new(ErrorKind::Unsupported, found).expected("FLOAT, INT64, INT8 or UINT8")
            );
        }
    };
    if numbers.len() > LONGEST_CONSTANT || numbers.is_empty() {
        let found = format_args!("a constant of {} elements", numbers.len());
        return Err(Error::new(ErrorKind::Unsupported, found)
            .expected(format_args!("1 to {LONGEST_CONSTANT}")));
    }
    let spelled: Vec<_> =
        numbers.iter().map(|number| number.replace('-', "m").replace('.', "p")).collect();
    let shape = match value.dims() {
        [] => String::new(),
        // A list shows its length; one element may also be no list.
        [length] if *length > 1 => String::new(),
        dims => {
            let dims: Vec<_> = dims.iter().map(usize::to_string).collect();
            format!("_shape_{}", dims.join("_"))
        }
    };
    Ok(format!("const_{kind}{}{shape}", spelled.join("_")))
}

#[cfg(test)]
mod tests;
