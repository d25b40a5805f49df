//! hls4ml 1.3.0: what its ONNX front end reads after the steps that it asks for (clean, channels last, Gemm to MatMul).

use fewbit_onnx::proto::NodeProto;

use super::{Findings, shared};
use crate::facts::{CHANNELS_LAST, Facts};

const STANDARD: [&str; 35] = [
    "MatMul",
    "BatchNormalization",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Concat",
    "Average",
    "Max",
    "Min",
    "Relu",
    "Tanh",
    "Sigmoid",
    "LeakyRelu",
    "ThresholdedRelu",
    "HardSigmoid",
    "Elu",
    "Selu",
    "PRelu",
    "Softmax",
    "Softsign",
    "Softplus",
    "Clip",
    "Transpose",
    "Flatten",
    "Reshape",
    "Resize",
    "Pad",
    "Constant",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Sum",
    "Identity",
    "Squeeze",
    "Unsqueeze",
];

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    shared::operators(facts, known, "hls4ml", findings);
    shared::constant_parameters(facts, findings);
    shared::static_shapes(facts, true, findings);
    shared::names(facts, findings);
    shared::explicit_windows(facts, findings);
    for node in facts.nodes() {
        if shared::is_standard(node) && matches!(node.op_type(), "Conv" | "MaxPool" | "AveragePool")
        {
            let message = "channels have to be behind (qonnx.custom_op.channels_last)".to_owned();
            let fix = Some("qonnx-to-channels-last, or `fewbit convert --to channels-last`");
            findings.refuse("channels-last", shared::place(node), message, fix);
        }
        if matches!(node.op_type(), "Quant" | "IntQuant") {
            quantizer(facts, node, findings);
        }
        if node.op_type() == "BipolarQuant" {
            scale(facts, node, findings);
        }
    }
}

fn known(node: &NodeProto) -> bool {
    let operator = node.op_type();
    if shared::is_quantization(node) {
        return matches!(operator, "Quant" | "IntQuant" | "BipolarQuant");
    }
    if node.domain() == CHANNELS_LAST {
        return matches!(operator, "Conv" | "MaxPool" | "AveragePool" | "BatchNormalization");
    }
    // Windows in ONNX's own layout have a rule of their own.
    shared::is_standard(node)
        && (STANDARD.contains(&operator) || matches!(operator, "Conv" | "MaxPool" | "AveragePool"))
}

fn quantizer(facts: &Facts<'_>, node: &NodeProto, findings: &mut Findings) {
    match node.string("rounding_mode") {
        Ok(Some("ROUND" | "FLOOR")) => {}
        Ok(Some(mode)) => {
            let message =
                format!("the rounding mode is {mode:?}, and has to be \"ROUND\" or \"FLOOR\"");
            findings.refuse("rounding-mode", shared::place(node), message, None);
        }
        _ => {
            let message = "the attribute rounding_mode is missing".to_owned();
            findings.refuse("rounding-mode", shared::place(node), message, None);
        }
    }
    let flag = |name: &str| node.int(name).ok().flatten();
    if flag("narrow").unwrap_or(0) != 0 && flag("signed") == Some(0) {
        let message = "a narrow range without a sign".to_owned();
        findings.refuse("narrow-signed", shared::place(node), message, None);
    }
    if let Some((shape, bits)) = node.input.get(3).and_then(|name| shared::numbers(facts, name)) {
        if bits.len() != 1 {
            let message = format!("bit widths of shape {shape:?}, not one for all");
            findings.refuse("one-bit-width", shared::place(node), message, None);
        } else if bits[0].fract() != 0.0 {
            let message = format!("{} bits, no whole number", bits[0]);
            findings.refuse("whole-bit-width", shared::place(node), message, None);
        }
    }
    if let Some((_, zero_points)) = node.input.get(2).and_then(|name| shared::numbers(facts, name))
        && zero_points.iter().any(|&zero| zero != 0.0)
    {
        let message =
            "a zero point that is not zero becomes arithmetic around the layer".to_owned();
        findings.warn("zero-point", shared::place(node), message, None);
    }
    scale(facts, node, findings);
}

fn scale(facts: &Facts<'_>, node: &NodeProto, findings: &mut Findings) {
    let Some((_, scales)) = node.input.get(1).and_then(|name| shared::numbers(facts, name)) else {
        return;
    };
    if !shared::powers_of_two(&scales) {
        let message = "a scale that is no power of two becomes a multiplication in fixed point: other results (hls4ml#1208)".to_owned();
        let fix = Some("train with `--scale-restriction power_of_two`");
        findings.warn("power-of-two-scale", shared::place(node), message, fix);
    }
}
