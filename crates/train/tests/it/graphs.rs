//! Two files of the same network: which nodes correspond, and whether they say the same.

use std::collections::BTreeMap;

use fewbit_nn::network::{Network, StateTensor};
use fewbit_onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use fewbit_onnx::tensor::{TensorData, TensorValue};
use fewbit_qonnx::{Model, Options};

/// Our file and another one, node by node.
pub struct Pair<'a> {
    ours: Side<'a>,
    theirs: Side<'a>,
    /// Numbers of nodes that do the same.
    nodes: Vec<(usize, usize)>,
    /// Their names of our tensors that depend on the images.
    pub tensors: BTreeMap<String, String>,
}

struct Side<'a> {
    graph: &'a GraphProto,
    /// Knows every tensor that does not depend on the images, whether it is stored or computed.
    model: Model,
}

impl<'a> Side<'a> {
    fn new(model: &'a ModelProto) -> Self {
        let graph = model.graph.as_ref().unwrap();
        Self { graph, model: Model::from_proto(model, Options::default()).unwrap() }
    }

    fn is_constant(&self, tensor: &str) -> bool {
        self.model.constant(tensor).is_some()
    }

    /// The inputs of a node that depend on the images.
    fn data<'n>(&self, node: &'n NodeProto) -> Vec<&'n str> {
        node.input.iter().map(String::as_str).filter(|input| !self.is_constant(input)).collect()
    }

    /// The bits of the inputs of a node that do not.
    fn constants(&self, node: &NodeProto) -> Vec<(Vec<usize>, Vec<u64>)> {
        let constants = node.input.iter().filter_map(|input| self.model.constant(input));
        let bits = |value: &fewbit_qonnx::Value| match value.as_slice::<f32>() {
            Some(values) => values.iter().map(|value| u64::from(value.to_bits())).collect(),
            None => {
                value.as_slice::<i64>().unwrap().iter().map(|value| value.cast_unsigned()).collect()
            }
        };
        constants.map(|value| (value.shape().to_vec(), bits(value))).collect()
    }

    /// The stored tensor that a weight is made from by quantizers and transpositions, and how many of those.
    fn origin<'t>(&'t self, mut tensor: &'t str) -> (&'t str, usize) {
        let mut transposed = 0;
        while let Some(node) = self.graph.node.iter().find(|node| node.output[0] == tensor) {
            transposed += usize::from(node.op_type() == "Transpose");
            tensor = &node.input[0];
        }
        (tensor, transposed)
    }

    fn stored(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensor = self.graph.initializer.iter().find(|tensor| tensor.name() == name).unwrap();
        let (dims, data) = TensorValue::from_proto(tensor).unwrap().into_parts();
        let TensorData::F32(values) = data else { panic!("{name} is no f32") };
        (dims, values)
    }
}

/// What the operator set of our files does not have yet; the published ones say it with its default.
const NEWER: [&str; 2] = ["allowzero", "training_mode"];

/// The attributes of a node without what files may say in several ways: newer attributes at their defaults,
/// the axis of `Flatten`, and upper or lower case of the rounding mode.
pub fn attributes(node: &NodeProto) -> Vec<AttributeProto> {
    let mut attributes = node.attribute.clone();
    attributes.retain(|attribute| {
        let newer = NEWER.contains(&attribute.name());
        assert!(!newer || attribute.i() == 0, "{attribute:?}");
        let axis = node.op_type() == "Flatten" && attribute.name() == "axis";
        assert!(!axis || attribute.i() == 1, "{attribute:?}");
        !newer && !axis
    });
    for attribute in attributes.iter_mut().filter(|attribute| attribute.name() == "rounding_mode") {
        attribute.s = Some(attribute.s().to_ascii_uppercase().into());
    }
    attributes
}

/// The operator of a node: one image or one batch becomes rows of values in two ways.
pub fn operator(node: &NodeProto) -> &str {
    if node.op_type() == "Flatten" { "Reshape" } else { node.op_type() }
}

impl<'a> Pair<'a> {
    /// Finds for each of our nodes that depend on the images the only one of theirs that does the same with the
    /// same tensors. The numbers in it are not looked at.
    pub fn new(ours: &'a ModelProto, theirs: &'a ModelProto) -> Self {
        let (ours, theirs) = (Side::new(ours), Side::new(theirs));
        let inputs = |side: &Side<'_>| side.model.inputs()[0].name().to_owned();
        let mut tensors = BTreeMap::from([(inputs(&ours), inputs(&theirs))]);
        let mut nodes = vec![];
        for (number, node) in ours.graph.node.iter().enumerate() {
            let data = ours.data(node);
            if data.is_empty() {
                continue;
            }
            let data: Vec<&str> = data.into_iter().map(|name| tensors[name].as_str()).collect();
            let candidates = theirs.graph.node.iter().enumerate();
            let candidates: Vec<_> = candidates
                .filter(|(_, other)| {
                    operator(other) == operator(node)
                        && theirs.data(other) == data
                        && attributes(other) == attributes(node)
                })
                .collect();
            let [(other, found)] = candidates[..] else {
                panic!("{} nodes could be {}", candidates.len(), node.name())
            };
            nodes.push((number, other));
            tensors.insert(node.output[0].clone(), found.output[0].clone());
        }
        let all = theirs.graph.node.iter().filter(|node| !theirs.data(node).is_empty()).count();
        assert_eq!(nodes.len(), all, "nodes that depend on the images");
        Self { ours, theirs, nodes, tensors }
    }

    /// Demands that what the nodes get besides the images is the same in all bits: weights after their
    /// quantizers, wherever those are (cleaned files have the result), scales, bit widths, statistics.
    ///
    /// Returns how many nodes there are.
    pub fn assert_same_constants(&self) -> usize {
        for &(ours, theirs) in &self.nodes {
            let (ours, theirs) = (&self.ours.graph.node[ours], &self.theirs.graph.node[theirs]);
            if operator(ours) == "Reshape" && theirs.op_type() == "Flatten" {
                continue;
            }
            let (own, other) = (self.ours.constants(ours), self.theirs.constants(theirs));
            assert!(own == other, "{} and {}: other numbers", ours.name(), theirs.name());
        }
        self.nodes.len()
    }

    /// The weights and statistics of their file under our names. What lies on the grid of a quantizer is the
    /// weight itself there.
    pub fn state(&self, network: &Network) -> BTreeMap<String, StateTensor> {
        let mut state = network.state();
        for &(ours, theirs) in &self.nodes {
            let (ours, theirs) = (&self.ours.graph.node[ours], &self.theirs.graph.node[theirs]);
            for (own, other) in ours.input.iter().zip(&theirs.input) {
                if !self.ours.is_constant(own) {
                    continue;
                }
                let ((own, a), (other, b)) = (self.ours.origin(own), self.theirs.origin(other));
                if let Some(entry) = state.get_mut(own) {
                    let (dims, values) = self.theirs.stored(other);
                    *entry = if a == b {
                        StateTensor::f32(&dims, values)
                    } else {
                        transposed(&dims, &values)
                    };
                }
            }
            // The divisor of the logits is computed in their file.
            let name = ours
                .input
                .get(1)
                .and_then(|name| self.ours.graph.node.iter().find(|node| node.output[0] == *name));
            if let Some(power) = name.filter(|node| node.op_type() == "Pow") {
                let name = power.input[0].strip_suffix("_eps").unwrap();
                let divisor = self.theirs.stored(&theirs.input[1]).1[0];
                let entry = state.get_mut(name).unwrap();
                *entry = StateTensor::f32(&[1], vec![variance_of(divisor)]);
            }
        }
        state
    }
}

fn transposed(dims: &[usize], values: &[f32]) -> StateTensor {
    let [rows, columns] = dims[..] else { panic!("{dims:?} is transposed") };
    let values = (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c]));
    StateTensor::f32(&[columns, rows], values.collect())
}

/// A variance whose square root with the offset of the logits' normalization is `divisor`.
fn variance_of(divisor: f32) -> f32 {
    let mut near = divisor * divisor - 1e-4;
    for _ in 0..16 {
        near = near.next_down();
    }
    let mut candidates = std::iter::successors(Some(near), |v| Some(v.next_up())).take(33);
    candidates.find(|v| (v + 1e-4).sqrt() == divisor).expect("a divisor is a square root")
}

/// Demands that two files have the same nodes in the same order: operators, domains, attributes, where each input
/// comes from, and every stored number in all bits.
///
/// Not compared, because readers do not depend on it: names, texts, types of inner tensors, the version of the
/// operator set, which of the stored numbers are kept once for several nodes, and what [`attributes`] and
/// [`operator`] equate.
pub fn assert_same_nodes(ours: &ModelProto, theirs: &ModelProto) -> usize {
    let (ours, theirs) = (ours.graph.as_ref().unwrap(), theirs.graph.as_ref().unwrap());
    assert_eq!(ours.node.len(), theirs.node.len());
    for (own, other) in ours.node.iter().zip(&theirs.node) {
        let place = format!("{} and {}", own.name(), other.name());
        assert_eq!(operator(own), operator(other), "{place}");
        assert_eq!(own.domain(), other.domain(), "{place}");
        assert_eq!(attributes(own), attributes(other), "{place}");
        let (mut a, b) = (sources(ours, own), sources(theirs, other));
        if other.op_type() == "Flatten" {
            // The shape.
            a.truncate(1);
        }
        assert!(a == b, "{place}: other inputs");
    }
    ours.node.len()
}

/// Where a tensor comes from, whatever it is called.
#[derive(Debug, PartialEq)]
enum Source {
    Input,
    /// Output of a node.
    Node(usize),
    Stored(Vec<usize>, Vec<u8>),
}

fn sources(graph: &GraphProto, node: &NodeProto) -> Vec<Source> {
    let source = |name: &String| {
        let maker = graph.node.iter().position(|node| node.output.contains(name));
        let stored = graph.initializer.iter().find(|tensor| tensor.name() == name);
        match (maker, stored) {
            (Some(node), _) => Source::Node(node),
            (None, Some(tensor)) => {
                let (dims, data) = TensorValue::from_proto(tensor).unwrap().into_parts();
                let bytes = match data {
                    TensorData::F32(values) => {
                        values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect()
                    }
                    TensorData::I64(values) => {
                        values.iter().flat_map(|v| v.to_le_bytes()).collect()
                    }
                    other => panic!("{name} is {other:?}"),
                };
                Source::Stored(dims, bytes)
            }
            (None, None) => Source::Input,
        }
    };
    node.input.iter().map(source).collect()
}
