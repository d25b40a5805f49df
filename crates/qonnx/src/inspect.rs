//! What is in a file: nodes, formats, scales, sizes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::{CHANNELS_LAST, Facts, Rules, Scaling, TensorFormat, bits_of};

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The program that wrote the file, as it calls itself.
    pub producer: String,
    /// The version of the file format.
    pub ir_version: i64,
    /// Versions of operator sets.
    pub operator_sets: BTreeMap<String, i64>,
    /// Notes of the file.
    pub metadata: BTreeMap<String, String>,
    /// The inputs.
    pub inputs: Vec<TensorSummary>,
    /// The outputs.
    pub outputs: Vec<TensorSummary>,
    /// The nodes in an order of computation.
    pub nodes: Vec<NodeSummary>,
    /// How many nodes there are of each operator.
    pub operators: BTreeMap<String, usize>,
    /// Stored tensors.
    pub stored: Stored,
    /// Why the model cannot be run, and shapes are only those that the file states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// Stored tensors in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stored {
    /// How many there are.
    pub tensors: usize,
    /// Their elements.
    pub elements: u64,
    /// The bytes that they take in the file.
    pub bytes: u64,
    /// The elements of those that are weights of layers.
    pub weights: u64,
    /// The bits that these weights need in their formats.
    pub weight_bits: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The domain of the operator; empty for ONNX itself.
    pub domain: String,
    /// True if its result is the same for every input.
    pub constant: bool,
    /// The tensors that it uses.
    pub inputs: Vec<String>,
    /// The tensors that it makes.
    pub outputs: Vec<TensorSummary>,
}

/// A tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorSummary {
    /// Its name.
    pub name: String,
    /// Its shape, if it is known.
    pub shape: Option<Vec<usize>>,
    /// Its axes: `NCHW`, `NHWC`, `NC`; nothing if that is not known.
    pub layout: Option<&'static str>,
    /// The type of its elements.
    pub element_type: Option<String>,
    /// The numbers that it holds.
    pub format: String,
    /// The data type under qonnx's name.
    pub qonnx_type: String,
    /// Bits of an element.
    pub bit_width: u32,
    /// What codes are multiplied by; nothing for any number.
    pub scale: Option<ScaleSummary>,
    /// What is subtracted from codes before.
    pub zero_point: f32,
}

/// The scales of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScaleSummary {
    /// How many there are; 0 if they depend on the input.
    pub count: usize,
    /// The smallest.
    pub lowest: Option<f32>,
    /// The largest.
    pub highest: Option<f32>,
    /// True if all are powers of two.
    pub power_of_two: Option<bool>,
}

impl Inspection {
    /// Looks into a file.
    pub fn of(facts: &Facts<'_>) -> Self {
        let (proto, graph) = (facts.proto(), facts.graph());
        let formats = facts.formats(Rules::Complete);
        let layouts = layouts(facts);
        let summary = |name: &str| tensor(facts, &formats, &layouts, name);
        let mut operators = BTreeMap::new();
        let nodes = facts
            .nodes()
            .map(|node| {
                *operators.entry(node.op_type().to_owned()).or_insert(0) += 1;
                let made = node.output.iter().filter(|name| !name.is_empty());
                NodeSummary {
                    name: node.name().to_owned(),
                    operator: node.op_type().to_owned(),
                    domain: node.domain().to_owned(),
                    constant: node
                        .output
                        .iter()
                        .all(|name| name.is_empty() || facts.is_constant(name)),
                    inputs: node.input.clone(),
                    outputs: made.map(|name| summary(name)).collect(),
                }
            })
            .collect();
        let inputs =
            graph.input.iter().map(|input| input.name()).filter(|name| !facts.is_stored(name));
        Self {
            producer: format!("{} {}", proto.producer_name(), proto.producer_version())
                .trim()
                .to_owned(),
            ir_version: proto.ir_version(),
            operator_sets: proto
                .opset_import
                .iter()
                .map(|set| (set.domain().to_owned(), set.version()))
                .collect(),
            metadata: proto
                .metadata_props
                .iter()
                .map(|entry| (entry.key().to_owned(), entry.value().to_owned()))
                .collect(),
            inputs: inputs.map(summary).collect(),
            outputs: graph.output.iter().map(|output| summary(output.name())).collect(),
            nodes,
            operators,
            stored: stored(facts, &formats),
            not_run: facts.not_run().map(ToString::to_string),
        }
    }
}

fn tensor(
    facts: &Facts<'_>,
    formats: &BTreeMap<String, TensorFormat>,
    layouts: &BTreeMap<String, &'static str>,
    name: &str,
) -> TensorSummary {
    let format = formats.get(name);
    let element_type = facts.dtype(name).map(|dtype| dtype.to_string());
    let scale = format.map(|format| match &format.scale {
        Scaling::One => one(1.0, true),
        Scaling::PerTensor(scale) => one(*scale, format.scale.is_power_of_two() == Some(true)),
        Scaling::PerChannel { count, lowest, highest, powers_of_two } => ScaleSummary {
            count: *count,
            lowest: Some(*lowest),
            highest: Some(*highest),
            power_of_two: Some(*powers_of_two),
        },
        Scaling::Unknown => {
            ScaleSummary { count: 0, lowest: None, highest: None, power_of_two: None }
        }
    });
    TensorSummary {
        name: name.to_owned(),
        shape: facts.shape(name),
        layout: layouts.get(name).copied(),
        format: match format {
            Some(format) => format.name(),
            None => element_type.clone().unwrap_or_else(|| "unknown".to_owned()),
        },
        qonnx_type: format
            .map_or_else(|| TensorFormat::FLOAT32.qonnx_name(), TensorFormat::qonnx_name),
        bit_width: format.map_or_else(|| facts.dtype(name).map_or(32, bits_of), TensorFormat::bits),
        scale,
        zero_point: format.map_or(0.0, |format| format.zero_point),
        element_type,
    }
}

fn one(scale: f32, power_of_two: bool) -> ScaleSummary {
    ScaleSummary {
        count: 1,
        lowest: Some(scale),
        highest: Some(scale),
        power_of_two: Some(power_of_two),
    }
}

fn stored(facts: &Facts<'_>, formats: &BTreeMap<String, TensorFormat>) -> Stored {
    let mut sums = Stored::default();
    for tensor in &facts.graph().initializer {
        sums.tensors += 1;
        let elements =
            tensor.dims.iter().map(|&extent| extent.max(0) as u64).fold(1, u64::saturating_mul);
        sums.elements = sums.elements.saturating_add(elements);
        sums.bytes += data_bytes(tensor);
    }
    for node in facts.nodes() {
        if !matches!(node.op_type(), "Conv" | "ConvTranspose" | "MatMul" | "Gemm") {
            continue;
        }
        for name in node.input.iter().take(2).filter(|name| facts.is_constant(name)) {
            let elements =
                facts.shape(name).map_or(0, |shape| shape.iter().product::<usize>() as u64);
            sums.weights += elements;
            sums.weight_bits +=
                elements * formats.get(name).map_or(32, |format| u64::from(format.bits()));
        }
    }
    sums
}

/// Bytes of data, wherever they are.
fn data_bytes(tensor: &fewbit_onnx::proto::TensorProto) -> u64 {
    let raw = tensor.raw_data.as_ref().map_or(0, |raw| raw.len());
    let typed = 4 * (tensor.float_data.len() + tensor.int32_data.len())
        + 8 * (tensor.int64_data.len() + tensor.double_data.len() + tensor.uint64_data.len());
    (raw + typed) as u64
}

/// The axes of tensors: operators with windows tell them, others hand them on.
fn layouts(facts: &Facts<'_>) -> BTreeMap<String, &'static str> {
    let mut known: BTreeMap<String, &'static str> = BTreeMap::new();
    let name_of = |rank: Option<usize>, behind: bool| match (rank?, behind) {
        (2, _) => Some("NC"),
        (3, false) => Some("NCW"),
        (3, true) => Some("NWC"),
        (4, false) => Some("NCHW"),
        (4, true) => Some("NHWC"),
        _ => None,
    };
    let rank = |name: &str| facts.shape(name).map(|shape| shape.len());
    // Forward from operators that have an opinion, and back through those that have none.
    for _ in 0..2 {
        for node in facts.nodes() {
            let behind = node.domain() == CHANNELS_LAST || matches!(node.op_type(), "MaxPoolNHWC");
            let computed =
                node.input.iter().filter(|name| !name.is_empty() && !facts.is_constant(name));
            let computed: Vec<&String> = computed.collect();
            let Some(output) = node.output.first() else { continue };
            match node.op_type() {
                "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" | "BatchNormalization"
                | "MaxPoolNHWC" | "GlobalAveragePool" | "GlobalMaxPool" => {
                    for name in computed.iter().copied().chain([output]) {
                        if let Some(layout) = name_of(rank(name), behind) {
                            known.insert(name.clone(), layout);
                        }
                    }
                }
                "MatMul" | "Gemm" | "Flatten" => {
                    if rank(output) == Some(2) {
                        known.insert(output.clone(), "NC");
                    }
                }
                "Transpose" => {
                    let from = computed.first().and_then(|name| known.get(*name)).copied();
                    let perm = node.ints("perm").ok().flatten().unwrap_or(&[]);
                    let to = match (from, perm) {
                        (Some("NCHW"), [0, 2, 3, 1]) => Some("NHWC"),
                        (Some("NHWC"), [0, 3, 1, 2]) => Some("NCHW"),
                        (Some("NCW"), [0, 2, 1]) => Some("NWC"),
                        (Some("NWC"), [0, 2, 1]) => Some("NCW"),
                        _ => None,
                    };
                    if let Some(to) = to {
                        known.insert(output.clone(), to);
                    }
                }
                _ => {
                    // Element by element: the same shape, the same axes.
                    let all = || computed.iter().copied().chain([output]);
                    let found = all().find_map(|name| known.get(name).copied());
                    let shape = facts.shape(output);
                    if let Some(layout) = found {
                        let alike: Vec<String> =
                            all().filter(|name| facts.shape(name) == shape).cloned().collect();
                        for name in alike {
                            known.entry(name).or_insert(layout);
                        }
                    }
                }
            }
        }
    }
    known
}
