//! The same network in other operators, where that is exact.
//!
//! | target | quantizers become |
//! |---|---|
//! | [`Target::Integer`] | minifloats on an integer grid (e3m1, e2m1, ...): `Quant` of weights, `MultiThreshold` of activations |
//! | [`Target::Thresholds`] | all of activations: `MultiThreshold` |
//! | [`Target::Qcdq`] | integers: `QuantizeLinear`, `Clip`, `DequantizeLinear`; weights are stored as 8-bit codes |
//! | [`Target::Float8`] | e4m3, e5m2 and others that ONNX has: `QuantizeLinear` and `DequantizeLinear` to its own types |
//! | [`Target::Standard`] | all: operators that any runtime has; quantized weights are stored |
//!
//! What cannot be the same stays as it is, and [`Converted::left`] says why. "The same" is meant for inputs `x` with a
//! finite quotient `x / scale` in `f32`. FloatQuant makes NaN of the others (NaN, infinities, and finite `x` whose quotient
//! overflows: beyond 1.7e38 for a scale of 0.5); what it became saturates there, as a threshold and ONNX's types do.

mod float8;
mod levels;
mod qcdq;
mod quantizers;
mod standard;
mod thresholds;

use std::collections::BTreeMap;

use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::ModelProto;
use serde::Serialize;

use crate::error::{Error, Fault};
use crate::facts::Facts;
use quantizers::Quantizer;

/// What a file is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Minifloats on an integer grid as integers.
    Integer,
    /// Quantizers of activations as thresholds.
    Thresholds,
    /// Integers in operators of ONNX.
    Qcdq,
    /// Minifloats in ONNX's own types.
    Float8,
    /// Everything in operators that any runtime has.
    Standard,
}

/// A file in other operators.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The file.
    pub model: ModelProto,
    /// How many quantizers were converted, by their operator.
    pub converted: BTreeMap<String, usize>,
    /// Quantizers that stay as they are, and why.
    pub left: BTreeMap<String, String>,
}

/// Converts the quantizers of a file.
///
/// # Errors
/// Those of [`Model::from_proto`](crate::Model::from_proto) and of a run, and
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if there is nothing that can be converted.
pub fn convert(model: &ModelProto, target: Target) -> Result<Converted, Error> {
    let facts = Facts::new(model)?;
    if facts.not_run().is_some() {
        crate::Model::from_proto(model, crate::Options::default())
            .and_then(|model| crate::model::shapes(&model).map(drop))?;
    }
    let mut graph = Graph::new(model.clone()).map_err(Error::onnx)?;
    let quantizers = quantizers::of(&facts, &graph)?;
    let (mut converted, mut left) = (BTreeMap::new(), BTreeMap::new());
    for quantizer in &quantizers {
        let done = match quantizer {
            Err((_, reason)) => Err(reason.clone()),
            Ok(quantizer) => one(&mut graph, quantizer, target),
        };
        let name = match quantizer {
            Ok(quantizer) => &quantizer.name,
            Err((name, _)) => name,
        };
        match done {
            Ok(Some(operator)) => *converted.entry(operator).or_insert(0) += 1,
            Ok(None) => {}
            Err(reason) => drop(left.insert(name.clone(), reason)),
        }
    }
    if converted.is_empty() {
        let reason = match left.iter().next() {
            Some((name, reason)) => {
                format!("a file in which nothing can be converted ({name}: {reason})")
            }
            None => "a file without quantizers of this kind".to_owned(),
        };
        return Err(Error::tensor("convert", Fault::unsupported(reason)));
    }
    graph.remove_unused();
    if matches!(target, Target::Standard | Target::Qcdq) {
        for (_, node) in graph.nodes() {
            if crate::ops::QUANTIZATION_DOMAINS.contains(&node.domain()) {
                let named = Some(node.name()).filter(|name| !name.is_empty());
                let name = named.or(node.output.first().map(String::as_str)).unwrap_or_default();
                let reason = format!("{} has no form in these operators here", node.op_type());
                left.entry(name.to_owned()).or_insert(reason);
            }
        }
    }
    let before = facts.operator_set();
    let after = graph.operator_set("");
    let model = graph.into_model().map_err(Error::onnx)?;
    if before != after
        && let Err(error) = crate::Model::from_proto(&model, crate::Options::default())
    {
        // The same node may be written in another way there.
        let reason = format!(
            "a file of operator set {} (the new operators need {}, in which another node is wrong: {error}); \
             run `fewbit clean` first, which often takes that node out,",
            before.unwrap_or(1),
            after.unwrap_or(1),
        );
        return Err(Error::tensor("convert", Fault::unsupported(reason)));
    }
    Ok(Converted { model, converted, left })
}

/// Converts one quantizer. Gives its operator; nothing if the target is not about it.
fn one(graph: &mut Graph, quantizer: &Quantizer, target: Target) -> Result<Option<String>, String> {
    let float = quantizer.float().is_some();
    let converted = match target {
        Target::Integer if !float => return Ok(None),
        Target::Integer if quantizer.constant.is_some() => {
            thresholds::integer_weights(graph, quantizer)
        }
        Target::Integer => thresholds::activations(graph, quantizer),
        Target::Thresholds if quantizer.constant.is_some() => return Ok(None),
        Target::Thresholds => thresholds::activations(graph, quantizer),
        Target::Qcdq if float => {
            Err("minifloats have no such form; see the targets integer, onnx-float8 and standard"
                .to_owned())
        }
        Target::Qcdq => qcdq::convert(graph, quantizer),
        Target::Float8 if !float => return Ok(None),
        Target::Float8 => float8::convert(graph, quantizer),
        Target::Standard if quantizer.constant.is_some() => standard::stored(graph, quantizer),
        Target::Standard if float => standard::minifloat(graph, quantizer),
        Target::Standard => standard::integer(graph, quantizer),
    };
    converted.map(|()| Some(quantizer.operator.clone()))
}
