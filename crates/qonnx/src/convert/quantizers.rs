//! The quantizers of a file, with all that is known about them.

use fewbit_formats::{FloatFormat, Format, RoundingMode};
use fewbit_onnx::graph::{Graph, NodeId};
use fewbit_onnx::proto::attribute_proto::AttributeType;
use fewbit_onnx::proto::{AttributeProto, NodeProto};
use fewbit_onnx::tensor::TensorValue;

use crate::error::Error;
use crate::facts::{Facts, Rules, Scaling};
use crate::prove::InputValues;
use crate::ranges::Ranges;
use crate::value::Value;

/// A quantizer.
pub(super) struct Quantizer {
    pub(super) id: NodeId,
    /// How messages name it.
    pub(super) name: String,
    pub(super) operator: String,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) format: Format,
    pub(super) scale: Value,
    pub(super) zero_point: f32,
    /// The rounding mode of integers; minifloats round half to even.
    pub(super) rounding_mode: RoundingMode,
    /// Its result, if it is the same for every input.
    pub(super) constant: Option<Value>,
    /// True if its input is never below zero.
    pub(super) positive: bool,
    /// The number of axes of its result.
    pub(super) rank: usize,
}

/// A quantizer, or its name and why it cannot be described.
pub(super) type Found = Result<Quantizer, (String, String)>;

/// All quantizers, in the order of computation.
pub(super) fn of(facts: &Facts<'_>, graph: &Graph) -> Result<Vec<Found>, Error> {
    let formats = facts.formats(Rules::Complete);
    let ranges = Ranges::of(facts.proto(), &InputValues::Any)?;
    let positive = |name: &str| {
        let range = ranges.tensors.iter().find(|tensor| tensor.name == name);
        range.and_then(|range| range.lowest).is_some_and(|lowest| lowest >= 0.0)
    };
    let mut found = Vec::new();
    for id in graph.sorted() {
        let node = graph.node(id);
        if !matches!(node.op_type(), "Quant" | "IntQuant" | "FloatQuant" | "BipolarQuant")
            || !crate::ops::QUANTIZATION_DOMAINS.contains(&node.domain())
        {
            continue;
        }
        let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
            continue;
        };
        let named = Some(node.name()).filter(|name| !name.is_empty()).unwrap_or(output);
        let described = || -> Result<Quantizer, String> {
            let format = formats.get(output).ok_or("its parameters depend on the input")?;
            if format.scale == Scaling::Unknown || !format.zero_point.is_finite() {
                return Err("its scale or zero point is not one for all, or depends on the input"
                    .to_owned());
            }
            let scale = node.input.get(1).and_then(|name| facts.constant(name));
            let scale = scale.ok_or("its scale depends on the input")?;
            let scales = scale.as_slice::<f32>().ok_or("its scale is not of f32")?;
            if scales.iter().any(|scale| !(scale.is_normal() && *scale > 0.0)) {
                return Err("a scale that is not above zero".to_owned());
            }
            Ok(Quantizer {
                id,
                name: named.to_owned(),
                operator: node.op_type().to_owned(),
                input: input.clone(),
                output: output.clone(),
                format: format.format.ok_or("its format is not known")?,
                scale,
                zero_point: format.zero_point,
                rounding_mode: rounding_mode(node)?,
                constant: facts.constant(output),
                positive: positive(input),
                rank: facts.shape(output).map_or(0, |shape| shape.len()),
            })
        };
        found.push(described().map_err(|reason| (named.to_owned(), reason)));
    }
    Ok(found)
}

fn rounding_mode(node: &NodeProto) -> Result<RoundingMode, String> {
    if node.op_type() == "FloatQuant" && node.int("saturation").ok().flatten() != Some(1) {
        return Err("it does not saturate".to_owned());
    }
    match node
        .string("rounding_mode")
        .ok()
        .flatten()
        .unwrap_or("ROUND")
        .to_ascii_uppercase()
        .as_str()
    {
        "ROUND" | "HALF_EVEN" => Ok(RoundingMode::HalfEven),
        "FLOOR" if node.op_type() != "FloatQuant" => Ok(RoundingMode::Floor),
        "CEIL" if node.op_type() != "FloatQuant" => Ok(RoundingMode::Ceil),
        mode => Err(format!("the rounding mode {mode}")),
    }
}

impl Quantizer {
    pub(super) fn float(&self) -> Option<FloatFormat> {
        match self.format {
            Format::Float(format) => Some(format),
            _ => None,
        }
    }

    /// The scale, if there is one for all elements.
    pub(super) fn one_scale(&self) -> Result<f32, String> {
        match self.scale.as_slice::<f32>() {
            Some(&[scale]) => Ok(scale),
            Some([first, rest @ ..]) if rest.iter().all(|scale| scale == first) => Ok(*first),
            _ => Err("scales that are not one for all".to_owned()),
        }
    }

    /// Puts the nodes of a chain in its place; the last one gets its result's name.
    pub(super) fn replace(&self, graph: &mut Graph, chain: Vec<NodeProto>) -> Result<(), String> {
        graph.remove(self.id);
        for node in chain {
            graph.add(node).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// A name for something that belongs to the quantizer.
    pub(super) fn own(&self, graph: &Graph, what: &str) -> String {
        graph.fresh(&format!("{}_{what}", self.output))
    }

    /// Stores something under a name of its own.
    pub(super) fn store(&self, graph: &mut Graph, what: &str, value: &TensorValue) -> String {
        let name = self.own(graph, what);
        graph.store(&name, value);
        name
    }

    /// A node of the chain that takes its place.
    pub(super) fn node(
        &self,
        what: &str,
        operator: &str,
        inputs: &[&str],
        output: &str,
    ) -> NodeProto {
        NodeProto {
            name: Some(format!("{}_{what}", self.name)),
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

pub(super) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec().into()),
        ..attribute(name, AttributeType::String)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}
