//! qonnx 1.0.0: its executor and its tools.

use fewbit_onnx::proto::type_proto;

use super::{Findings, shared};
use crate::facts::{CHANNELS_LAST, Facts, Rules};

const QONNX: [&str; 12] = [
    "BipolarQuant",
    "DebugMarker",
    "FloatQuant",
    "GenericPartition",
    "Im2Col",
    "IntQuant",
    "MaxPoolNHWC",
    "MultiThreshold",
    "Quant",
    "QuantAvgPool2d",
    "Trunc",
    "XnorPopcountMatMul",
];

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let known = |node: &fewbit_onnx::proto::NodeProto| {
        shared::is_standard(node)
            || (node.domain() == CHANNELS_LAST
                && matches!(node.op_type(), "Conv" | "MaxPool" | "BatchNormalization"))
            || (shared::is_quantization(node) && QONNX.contains(&node.op_type()))
    };
    shared::operators(facts, known, "qonnx", findings);
    shapes(facts, findings);
    let (complete, theirs) = (facts.formats(Rules::Complete), facts.formats(Rules::Qonnx));
    for node in facts.nodes() {
        let required: &[&str] = match node.op_type() {
            "FloatQuant" => &["has_inf", "has_nan", "has_subnormal", "saturation"],
            "Quant" | "IntQuant" => &["signed", "narrow"],
            "MultiThreshold" => &["out_dtype"],
            _ => &[],
        };
        for name in required
            .iter()
            .filter(|name| shared::is_quantization(node) && node.attribute(name).is_none())
        {
            let message = format!("the attribute {name} is missing");
            findings.refuse("required-attribute", shared::place(node), message, None);
        }
        if node.op_type() == "FloatQuant"
            && let Some((shape, _)) =
                node.input.get(3).and_then(|name| shared::numbers(facts, name))
            && !shape.is_empty()
        {
            let message = format!(
                "the mantissa's width has the shape {shape:?}; the executor takes rank 0 only"
            );
            findings.refuse("scalar-mantissa", shared::place(node), message, None);
        }
        if !shared::is_quantization(node) {
            continue;
        }
        if let Some(output) = node.output.first()
            && complete.contains_key(output)
            && !theirs.contains_key(output)
        {
            let message = format!(
                "its numbers are {}, which InferDataTypes takes for FLOAT32: costs and ranges are those of 32 bits",
                complete[output].name()
            );
            findings.warn("data-type", shared::place(node), message, None);
        }
    }
}

/// The executor stops at a tensor without a shape; one with an open extent has a shape.
fn shapes(facts: &Facts<'_>, findings: &mut Findings) {
    let graph = facts.graph();
    let stated: std::collections::BTreeSet<&str> = graph
        .value_info
        .iter()
        .chain(&graph.output)
        .filter(|info| match info.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
            Some(type_proto::Value::TensorType(tensor)) => tensor.shape.is_some(),
            _ => false,
        })
        .map(fewbit_onnx::proto::ValueInfoProto::name)
        .collect();
    let made = facts.nodes().flat_map(|node| &node.output).filter(|name| !name.is_empty());
    let missing: Vec<&String> = made.filter(|name| !stated.contains(name.as_str())).collect();
    if let Some(first) = missing.first() {
        let message = match missing.len() {
            1 => "the tensor has no shape in the file".to_owned(),
            count => format!("{count} tensors have no shape in the file, this one first"),
        };
        let fix = "run `fewbit clean` first, with `--batch 1` if the batch is open: it adds them";
        findings.refuse("shape-of-every-tensor", (*first).clone(), message, Some(fix));
    }
}
