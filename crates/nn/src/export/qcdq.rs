//! QONNX in operators of ONNX alone: QuantizeLinear, Clip and DequantizeLinear, and weights as the codes
//! that they have.

use std::collections::BTreeMap;

use fewbit_onnx::builder::{GraphBuilder, Node, QONNX_DOMAIN};
use fewbit_onnx::proto::tensor_proto::DataType;
use fewbit_onnx::proto::{
    GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use fewbit_onnx::tensor::{TensorData, TensorValue};

use super::{ExportConfig, to_qonnx_with};
use crate::error::{Error, ErrorKind};
use crate::network::Network;

/// The widest codes that QuantizeLinear of operator set 13 makes.
const QUANTIZED_BITS: f32 = 8.0;

/// The widest stored codes that come back from `f32` as they are.
const STORED_BITS: f32 = 24.0;

/// Writes a network in operators of ONNX alone: weights are stored as integer codes with a scale,
/// activations are quantized by QuantizeLinear, Clip and DequantizeLinear.
///
/// Tensors have the names that [`to_qonnx_with`] gives them, and the same values.
///
/// # Errors
/// As [`to_qonnx_with`]; [`ErrorKind::NotExportable`] also for minifloats, for operators that ONNX does not
/// have, and for activations of more than 8 bits.
/// # Examples
/// ```
/// use fewbit_nn::{Device, Network, NetworkConfig, export};
///
/// let network = Network::new(&NetworkConfig::named("TFC_2W2A")?, 1, &Device::cpu())?;
/// let model = export::to_qcdq_with(&network, &export::ExportConfig::default())?;
/// let nodes = model.graph.expect("the model has a graph").node;
/// let types: Vec<&str> = nodes[3..7].iter().map(|node| node.op_type()).collect();
/// assert_eq!(types, ["QuantizeLinear", "Clip", "DequantizeLinear", "DequantizeLinear"]);
/// # Ok::<(), fewbit_nn::Error>(())
/// ```
pub fn to_qcdq_with(network: &Network, config: &ExportConfig) -> Result<ModelProto, Error> {
    translate(&to_qonnx_with(network, config)?)
}

/// The same model without quantizers of QONNX.
pub(super) fn translate(model: &ModelProto) -> Result<ModelProto, Error> {
    let graph = model.graph.as_ref().expect("an exported model has a graph");
    let sets = model.opset_import.iter().filter(|set| set.domain().is_empty());
    let mut translator = Translator {
        version: sets.map(|set| set.version()).max().unwrap_or_default(),
        stored: stored(graph)?,
        dims: typed(graph).collect(),
        graph: GraphBuilder::new(graph.name()),
    };
    for input in &graph.input {
        translator.graph.input(input.name(), &translator.dims[input.name()])?;
    }
    for node in &graph.node {
        translator.node(node)?;
    }
    let mut graph_out = translator.graph;
    for output in &graph.output {
        graph_out.output(output.name())?;
    }
    for note in &model.metadata_props {
        graph_out.metadata(note.key(), note.value());
    }
    Ok(graph_out.finish(model.producer_name(), model.producer_version())?)
}

fn stored(graph: &GraphProto) -> Result<BTreeMap<String, TensorValue>, Error> {
    let read = |tensor: &fewbit_onnx::proto::TensorProto| {
        Ok((tensor.name().to_owned(), TensorValue::from_proto(tensor)?))
    };
    graph.initializer.iter().map(read).collect()
}

/// The shapes of all tensors that are not stored: exported files have them.
fn typed(graph: &GraphProto) -> impl Iterator<Item = (String, Vec<usize>)> {
    let values = graph.input.iter().chain(&graph.value_info).chain(&graph.output);
    values.map(|value| (value.name().to_owned(), dims(value)))
}

fn dims(value: &ValueInfoProto) -> Vec<usize> {
    let Some(type_proto::Value::TensorType(tensor)) =
        value.r#type.as_ref().and_then(|of| of.value.as_ref())
    else {
        unreachable!("exported values are tensors")
    };
    let sizes = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match dim.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(size)) => size as usize,
        _ => unreachable!("exported shapes are static"),
    });
    sizes.collect()
}

/// A graph on its way from one dialect to the other.
struct Translator {
    /// The version of the standard operators.
    version: i64,
    /// The stored tensors of the old graph.
    stored: BTreeMap<String, TensorValue>,
    /// The shapes of its others.
    dims: BTreeMap<String, Vec<usize>>,
    /// The new graph.
    graph: GraphBuilder,
}

/// A quantizer of the old graph.
struct Quantizer<'a> {
    node: &'a NodeProto,
    codes: Codes,
    scale: Scale,
    /// Of the tensor that is quantized.
    dims: Vec<usize>,
}

/// The codes of a quantizer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Codes {
    /// Integers between limits.
    Integers { min: f32, max: f32, data_type: DataType },
    /// 1 for what is not below zero, else -1.
    Signs,
}

/// The scale of a quantizer, in the new graph.
struct Scale {
    values: Vec<f32>,
    /// The dimension of the tensor that has one for each index.
    axis: Option<usize>,
    /// The name of the scale, then that of the zero point, which wide codes do not have.
    inputs: Vec<String>,
}

impl Translator {
    fn node(&mut self, node: &NodeProto) -> Result<(), Error> {
        if node.domain() == QONNX_DOMAIN {
            let quantizer = match node.op_type() {
                "Quant" => self.quant(node)?,
                "BipolarQuant" => self.bipolar_quant(node)?,
                other => {
                    return Err(refused(node, format!("a node {other}"), "integer quantizers"));
                }
            };
            return match self.stored.get(&node.input[0]).cloned() {
                Some(weight) => self.store(&quantizer, &weight),
                None => self.quantize(&quantizer),
            };
        }
        for input in &node.input {
            if let (Some(value), None) = (self.stored.get(input), self.graph.dims(input)) {
                self.graph.initializer(input, value)?;
            }
        }
        let outputs: Vec<(&str, &[usize])> =
            node.output.iter().map(|name| (name.as_str(), &*self.dims[name])).collect();
        self.graph.add(Node::copy(node, self.version, &outputs))?;
        Ok(())
    }

    fn quant<'a>(&mut self, node: &'a NodeProto) -> Result<Quantizer<'a>, Error> {
        let number = |index: usize| {
            let value = self.stored.get(&node.input[index]);
            value.and_then(|value| value.f32_scalar().ok())
        };
        let (Some(0.0), Some(bits)) = (number(2), number(3)) else {
            let what = "a zero point or a bit width that varies".to_owned();
            return Err(refused(node, what, "constant ones, the zero point 0"));
        };
        let flag = |name: &str| Ok::<_, Error>(node.int(name)?.unwrap_or_default() != 0);
        let (signed, narrow) = (flag("signed")?, flag("narrow")?);
        let is_stored = self.stored.contains_key(&node.input[0]);
        let most = if is_stored { STORED_BITS } else { QUANTIZED_BITS };
        if node.string("rounding_mode")? != Some("ROUND") || bits.fract() != 0.0 || bits > most {
            let what = format!("integers of {bits} bits");
            let expected = if is_stored { "at most 24 bits" } else { "at most 8 bits" };
            return Err(refused(node, what, expected));
        }
        let values = bits.exp2();
        let (min, max) = match (signed, narrow) {
            (true, narrow) => (-values / 2.0 + f32::from(u8::from(narrow)), values / 2.0 - 1.0),
            (false, narrow) => (0.0, values - 1.0 - f32::from(u8::from(narrow))),
        };
        let data_type = match (bits > QUANTIZED_BITS, signed) {
            (true, _) => DataType::Int32,
            (false, true) => DataType::Int8,
            (false, false) => DataType::Uint8,
        };
        let codes = Codes::Integers { min, max, data_type };
        self.quantizer(node, codes)
    }

    fn bipolar_quant<'a>(&mut self, node: &'a NodeProto) -> Result<Quantizer<'a>, Error> {
        self.quantizer(node, Codes::Signs)
    }

    fn quantizer<'a>(&mut self, node: &'a NodeProto, codes: Codes) -> Result<Quantizer<'a>, Error> {
        let [x, scale] = [&node.input[0], &node.input[1]];
        let dims = match self.stored.get(x) {
            Some(value) => value.dims().to_vec(),
            None => self.dims[x].clone(),
        };
        let Some(value) = self.stored.get(scale).cloned() else {
            return Err(refused(node, "a scale that is computed".to_owned(), "a stored scale"));
        };
        let scale = self.scale(scale, &value, dims.len(), codes)?;
        Ok(Quantizer { node, codes, scale, dims })
    }

    /// Stores a scale as QuantizeLinear wants it: one number, or a list along an axis.
    fn scale(
        &mut self,
        name: &str,
        value: &TensorValue,
        rank: usize,
        codes: Codes,
    ) -> Result<Scale, Error> {
        let values = value.as_f32()?.to_vec();
        if let [single] = values[..] {
            let scale = if !value.dims().is_empty() {
                self.graph.constant(&TensorValue::scalar(single))?
            } else {
                if self.graph.dims(name).is_none() {
                    self.graph.initializer(name, value)?;
                }
                name.to_owned()
            };
            let mut inputs = vec![scale];
            if codes.data_type() != DataType::Int32 {
                inputs.push(self.graph.constant(&codes.tensor(&[], &[0.0])?)?);
            }
            return Ok(Scale { values, axis: None, inputs });
        }
        let place = value.dims().iter().position(|&size| size == values.len());
        let axis = place.map(|place| place + rank - value.dims().len());
        let [list, zeros] = ["list", "zero_point"].map(|own| format!("{name}.{own}"));
        self.graph.initializer(&list, &TensorValue::vector(values.clone()))?;
        let mut inputs = vec![list];
        if codes.data_type() != DataType::Int32 {
            let none = vec![0.0; values.len()];
            self.graph.initializer(&zeros, &codes.tensor(&[values.len()], &none)?)?;
            inputs.push(zeros);
        }
        Ok(Scale { values, axis, inputs })
    }

    /// Stores the codes of a weight and dequantizes them.
    fn store(&mut self, quantizer: &Quantizer<'_>, weight: &TensorValue) -> Result<(), Error> {
        let Quantizer { node, codes, scale, dims } = quantizer;
        let values = weight.as_f32()?;
        if values.iter().any(|value| value.is_nan()) {
            let expected = "numbers, as integers have no NaN";
            return Err(refused(node, "a weight that is no number".to_owned(), expected));
        }
        let inner: usize = dims[scale.axis.map_or(0, |axis| axis + 1)..].iter().product();
        let scale_of = |index: usize| scale.values[index / inner.max(1) % scale.values.len()];
        let numbers: Vec<f32> =
            values.iter().enumerate().map(|(i, &value)| codes.code(value, scale_of(i))).collect();
        let name = format!("{}.codes", node.input[0]);
        self.graph.initializer(&name, &codes.tensor(dims, &numbers)?)?;
        self.dequantize(quantizer, &name)
    }

    /// Quantizes an activation, and dequantizes it.
    fn quantize(&mut self, quantizer: &Quantizer<'_>) -> Result<(), Error> {
        let x = quantizer.node.input[0].clone();
        let stored = match quantizer.codes {
            Codes::Integers { min, max, data_type } => {
                let node = quantizer.part("round", "QuantizeLinear").inputs([&*x]);
                let node = node.inputs(quantizer.scale.inputs.iter().map(String::as_str));
                let rounded = self.add(quantizer, "round", data_type, quantizer.along(node))?;
                self.clip(quantizer, rounded, min, max)?
            }
            Codes::Signs => self.sign(quantizer, &x)?,
        };
        self.dequantize(quantizer, &stored)
    }

    /// The limits of the format, where the type has others.
    fn clip(
        &mut self,
        quantizer: &Quantizer<'_>,
        rounded: String,
        min: f32,
        max: f32,
    ) -> Result<String, Error> {
        let codes = quantizer.codes;
        let of_type = match codes.data_type() {
            DataType::Uint8 => (f32::from(u8::MIN), f32::from(u8::MAX)),
            _ => (f32::from(i8::MIN), f32::from(i8::MAX)),
        };
        if (min, max) == of_type {
            return Ok(rounded);
        }
        let [min, max] = [min, max].map(|limit| codes.tensor(&[], &[limit]));
        let (min, max) = (self.graph.constant(&min?)?, self.graph.constant(&max?)?);
        let node = quantizer.part("clip", "Clip").inputs([&*rounded, &min, &max]);
        self.add(quantizer, "clip", codes.data_type(), node)
    }

    /// 1 where `x` is not below zero, else -1; a NaN is below.
    fn sign(&mut self, quantizer: &Quantizer<'_>, x: &str) -> Result<String, Error> {
        let mut number = |value: f32| self.graph.constant(&TensorValue::scalar(value));
        let (zero, one, minus_one) = (number(0.0)?, number(1.0)?, number(-1.0)?);
        let zero_point = self.graph.constant(&Codes::Signs.tensor(&[], &[0.0])?)?;
        let node = quantizer.part("positive", "GreaterOrEqual").inputs([x, &zero]);
        let positive = self.add(quantizer, "positive", DataType::Bool, node)?;
        let node = quantizer.part("sign", "Where").inputs([&*positive, &one, &minus_one]);
        let sign = self.add(quantizer, "sign", DataType::Float, node)?;
        let node = quantizer.part("round", "QuantizeLinear").inputs([&*sign, &one, &zero_point]);
        self.add(quantizer, "round", DataType::Int8, node)
    }

    /// `codes * scale`, under the name of the quantizer's result.
    fn dequantize(&mut self, quantizer: &Quantizer<'_>, stored: &str) -> Result<(), Error> {
        let Quantizer { node, scale, dims, .. } = quantizer;
        let new = Node::standard(node.name(), "DequantizeLinear").inputs([stored]);
        let new = new.inputs(scale.inputs.iter().map(String::as_str));
        self.graph.add(quantizer.along(new).output(&node.output[0], dims))?;
        Ok(())
    }

    /// Adds a node that computes a part of a quantizer in the shape of `x`.
    fn add(
        &mut self,
        quantizer: &Quantizer<'_>,
        part: &str,
        data_type: DataType,
        node: Node,
    ) -> Result<String, Error> {
        let result = &quantizer.node.output[0];
        let stem = result.strip_suffix(".out").unwrap_or(result);
        let tensor = format!("{stem}.{part}.out");
        self.graph.add(node.output_of(data_type, &tensor, &quantizer.dims))?;
        Ok(tensor)
    }
}

impl Quantizer<'_> {
    /// A node that computes a part of it.
    fn part(&self, part: &str, op_type: &str) -> Node {
        Node::standard(&format!("{}_{part}", self.node.name()), op_type)
    }

    /// Says along which axis the scales are, if there are several.
    fn along(&self, node: Node) -> Node {
        match self.scale.axis {
            Some(axis) => node.int("axis", axis as i64),
            None => node,
        }
    }
}

impl Codes {
    fn data_type(self) -> DataType {
        match self {
            Self::Integers { data_type, .. } => data_type,
            Self::Signs => DataType::Int8,
        }
    }

    /// The code of a number, as the quantizer finds it.
    fn code(self, value: f32, scale: f32) -> f32 {
        match self {
            Self::Integers { min, max, .. } => (value / scale).round_ties_even().clamp(min, max),
            Self::Signs if value >= 0.0 => 1.0,
            Self::Signs => -1.0,
        }
    }

    /// Whole numbers as a tensor of these codes.
    fn tensor(self, dims: &[usize], codes: &[f32]) -> Result<TensorValue, Error> {
        let data: TensorData = match self.data_type() {
            DataType::Uint8 => codes.iter().map(|&code| code as u8).collect::<Vec<_>>().into(),
            DataType::Int32 => codes.iter().map(|&code| code as i32).collect::<Vec<_>>().into(),
            _ => codes.iter().map(|&code| code as i8).collect::<Vec<_>>().into(),
        };
        Ok(TensorValue::new(dims, data)?)
    }
}

/// The error for a node that ONNX alone cannot express; the layer is in the name of its result.
fn refused(node: &NodeProto, what: String, expected: &'static str) -> Error {
    let result = node.output.first().map(String::as_str).unwrap_or_default();
    let layer = result.strip_suffix(".out").unwrap_or(result).to_owned();
    Error::new(ErrorKind::NotExportable { layer, what, expected })
}
