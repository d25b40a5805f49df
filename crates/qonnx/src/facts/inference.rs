//! From node to node: which numbers a tensor holds.

use std::collections::BTreeMap;

use fewbit_formats::Format;
use fewbit_onnx::proto::NodeProto;

use super::Facts;
use super::format::{Scaling, TensorFormat};
use super::sources::{self, Constants, floats};
use super::values;
use crate::value::DType;

/// By which rules formats are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Everything that can be known.
    Complete,
    /// What qonnx 1.0.0 finds out (`InferDataTypes`): minifloats and bipolar numbers only without a scale, nothing about
    /// parameters that a node computes, 8 bits for whatever passes `QuantizeLinear`.
    Qonnx,
}

pub(super) fn infer(facts: &Facts<'_>, rules: Rules) -> BTreeMap<String, TensorFormat> {
    let mut known = annotated(facts);
    if rules == Rules::Complete {
        for tensor in &facts.graph().initializer {
            let format = facts.dtype(tensor.name()).and_then(sources::of_integers);
            if let Some(format) = format {
                known
                    .entry(tensor.name().to_owned())
                    .or_insert_with(|| TensorFormat::codes(format));
            }
        }
    }
    // qonnx looks twice: before it folds constants and after.
    let stored = |name: &str| facts.stored(name);
    let constant = |name: &str| facts.constant(name);
    let first: &Constants<'_> = if rules == Rules::Qonnx { &stored } else { &constant };
    for node in facts.nodes() {
        visit(facts, node, &mut known, first, rules);
    }
    if rules == Rules::Complete {
        folded(facts, &mut known);
    }
    if rules == Rules::Qonnx {
        for node in facts.nodes() {
            if !node.output.iter().all(|name| facts.is_constant(name)) {
                visit(facts, node, &mut known, &constant, rules);
            }
        }
    }
    known
}

/// Weights whose quantizer was folded away: their values tell.
fn folded(facts: &Facts<'_>, known: &mut BTreeMap<String, TensorFormat>) {
    for node in facts.nodes() {
        if !matches!(node.op_type(), "Conv" | "ConvTranspose" | "MatMul" | "Gemm") {
            continue;
        }
        for name in node.input.iter().take(2) {
            if known.contains_key(name) {
                continue;
            }
            let value = facts.constant(name);
            let found =
                value.as_ref().and_then(|value| value.as_slice::<f32>()).and_then(values::format);
            if let Some(found) = found {
                known.insert(name.clone(), found);
            }
        }
    }
}

/// What the file itself says, for FINN.
fn annotated(facts: &Facts<'_>) -> BTreeMap<String, TensorFormat> {
    let mut known = BTreeMap::new();
    for note in &facts.graph().quantization_annotation {
        let entries = &note.quant_parameter_tensor_names;
        let name = entries.iter().find(|entry| entry.key() == "finn_datatype");
        let format = name.and_then(|entry| entry.value().parse::<Format>().ok());
        if let Some(format) = format {
            known.insert(note.tensor_name().to_owned(), TensorFormat::codes(format));
        }
    }
    known
}

fn visit(
    facts: &Facts<'_>,
    node: &NodeProto,
    known: &mut BTreeMap<String, TensorFormat>,
    constants: &Constants<'_>,
    rules: Rules,
) {
    let of = |name: &String| known.get(name).cloned().unwrap_or_else(|| any(facts, name));
    let inputs: Vec<TensorFormat> =
        node.input.iter().filter(|name| !name.is_empty()).map(of).collect();
    for (index, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let found = match result(facts, node, &inputs, constants, rules) {
            Found::Format(format) if index == 0 || keeps(node.op_type(), rules) => Some(format),
            // An annotation that nothing contradicts stays.
            Found::Unknown if known.contains_key(output) => continue,
            _ => None,
        };
        match found {
            Some(format) if format.format.is_some() => known.insert(output.clone(), format),
            _ => known.remove(output),
        };
    }
}

fn any(facts: &Facts<'_>, name: &str) -> TensorFormat {
    let element_bits = match facts.dtype(name) {
        Some(DType::F64 | DType::I64 | DType::U64) => 64,
        _ => 32,
    };
    TensorFormat { element_bits, ..TensorFormat::FLOAT32 }
}

/// The domain of operators that have the channels behind.
pub(crate) const CHANNELS_LAST: &str = "qonnx.custom_op.channels_last";

enum Found {
    Format(TensorFormat),
    /// Numbers of the element type.
    Any,
    /// The operator says nothing.
    Unknown,
}

fn result(
    facts: &Facts<'_>,
    node: &NodeProto,
    inputs: &[TensorFormat],
    constants: &Constants<'_>,
    rules: Rules,
) -> Found {
    let Some(input) = inputs.first() else { return Found::Unknown };
    let operator = node.op_type();
    if rules == Rules::Qonnx && node.domain() == CHANNELS_LAST {
        return Found::Format(input.clone());
    }
    match operator {
        "Quant" | "IntQuant" | "BipolarQuant" | "FloatQuant" | "Trunc" | "MultiThreshold"
        | "QuantAvgPool2d" | "QuantizeLinear" | "DequantizeLinear" => {
            let element = facts.dtype(&node.input[0]);
            sources::made(node, input, element, constants, rules).map_or(Found::Any, Found::Format)
        }
        "Sign" => Found::Format(TensorFormat::codes(Format::Bipolar)),
        "XnorPopcountMatMul" => Found::Format(TensorFormat::sums(false, Scaling::One)),
        "Mul" | "Div"
            if rules == Rules::Complete && rescaled(node, inputs, constants).is_some() =>
        {
            rescaled(node, inputs, constants).map_or(Found::Any, Found::Format)
        }
        "MatMul" | "Gemm" | "Conv" | "Add" | "Sub" | "Mul" => sum(operator, inputs),
        "ConvTranspose" if rules == Rules::Complete => sum(operator, inputs),
        "Resize" | "Upsample" => match node.string("mode").ok().flatten() {
            None | Some("nearest") => Found::Format(input.clone()),
            Some(_) => Found::Unknown,
        },
        "Clip" if rules == Rules::Complete => clipped(facts, node, input, constants),
        "Pad" | "Relu" if rules == Rules::Complete && input.format == Some(Format::Bipolar) => {
            // Zeros come in.
            Found::Format(TensorFormat { format: Some(Format::Ternary), ..input.clone() })
        }
        "Concat" if rules == Rules::Complete => {
            let alike = |other: &TensorFormat| {
                (other.format, &other.scale, other.zero_point)
                    == (input.format, &input.scale, input.zero_point)
            };
            if inputs.iter().all(alike) { Found::Format(input.clone()) } else { Found::Any }
        }
        _ if keeps(operator, rules) => Found::Format(input.clone()),
        _ => Found::Unknown,
    }
}

/// Operators whose results are values of their first input.
fn keeps(operator: &str, rules: Rules) -> bool {
    let both = matches!(
        operator,
        "Reshape"
            | "Transpose"
            | "Flatten"
            | "Slice"
            | "Gather"
            | "GatherElements"
            | "GatherND"
            | "Identity"
            | "Expand"
            | "MaxPool"
            | "GlobalMaxPool"
            | "Scatter"
            | "ScatterElements"
            | "ScatterND"
            | "Squeeze"
            | "Unsqueeze"
            | "Tile"
            | "Pad"
            | "Concat"
            | "Clip"
            | "MaxPoolNHWC"
            | "Im2Col"
    );
    let more = matches!(
        operator,
        "Relu" | "Dropout" | "Split" | "DepthToSpace" | "SpaceToDepth" | "DebugMarker"
    );
    both || (more && rules == Rules::Complete)
}

/// The numbers of sums of products, and of sums.
fn sum(operator: &str, inputs: &[TensorFormat]) -> Found {
    let signed = operator == "Sub" || inputs.iter().any(TensorFormat::signed);
    if inputs.iter().all(TensorFormat::is_integer) {
        Found::Format(TensorFormat::sums(signed, Scaling::One))
    } else if inputs.iter().all(TensorFormat::is_scaled_integer) {
        Found::Format(TensorFormat::sums(true, Scaling::Unknown))
    } else {
        Found::Any
    }
}

/// Codes that are multiplied or divided by constants are the same codes with another scale.
fn rescaled(
    node: &NodeProto,
    inputs: &[TensorFormat],
    constants: &Constants<'_>,
) -> Option<TensorFormat> {
    let [left, right] = node.input.as_slice() else { return None };
    let factor = |name: &str, format: &TensorFormat| match format.format {
        None => floats(&constants(name)?),
        Some(_) => None,
    };
    let (codes, mut factors) = if inputs.first()?.format.is_some() {
        (&inputs[0], factor(right, inputs.get(1)?)?)
    } else if node.op_type() == "Mul" && inputs.get(1)?.format.is_some() {
        (&inputs[1], factor(left, &inputs[0])?)
    } else {
        return None;
    };
    if factors.iter().any(|factor| *factor == 0.0 || !factor.is_finite()) {
        return None;
    }
    if node.op_type() == "Div" {
        factors.iter_mut().for_each(|factor| *factor = 1.0 / *factor);
    }
    let scale = match codes.scale {
        Scaling::One => Scaling::of(&factors),
        Scaling::PerTensor(scale) => {
            Scaling::of(&factors.iter().map(|factor| factor * scale).collect::<Vec<f32>>())
        }
        _ => Scaling::Unknown,
    };
    Some(TensorFormat { scale, ..codes.clone() })
}

/// Limits that are values of the format, or that leave fewer integers.
fn clipped(
    facts: &Facts<'_>,
    node: &NodeProto,
    input: &TensorFormat,
    constants: &Constants<'_>,
) -> Found {
    let limit =
        |index: usize, name: &str| match node.input.get(index).filter(|name| !name.is_empty()) {
            Some(tensor) => floats(&constants(tensor)?)?.first().copied().map(Some),
            None => Some(node.float(name).ok().flatten()),
        };
    let (Some(low), Some(high)) = (limit(1, "min"), limit(2, "max")) else { return Found::Any };
    let integers =
        facts.dtype(&node.input[0]).is_some_and(|dtype| !matches!(dtype, DType::F32 | DType::F64));
    match input.format {
        Some(Format::Integer(format)) if integers => {
            let low = low.map_or(i64::MIN, |low| low.ceil() as i64);
            let high = high.map_or(i64::MAX, |high| high.floor() as i64);
            let format = sources::clipped(format, low, high);
            Found::Format(TensorFormat { format: Some(format.into()), ..input.clone() })
        }
        Some(format) => {
            let scale = match input.scale {
                Scaling::One => 1.0,
                Scaling::PerTensor(scale) => scale,
                _ => return Found::Any,
            };
            let inside = |limit: Option<f32>| limit.is_none_or(|v| format.contains(v / scale));
            let kept = input.zero_point == 0.0 && inside(low) && inside(high);
            if kept { Found::Format(input.clone()) } else { Found::Any }
        }
        None => Found::Any,
    }
}
