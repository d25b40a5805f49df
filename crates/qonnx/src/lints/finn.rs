//! FINN: what its conversion from QONNX (ConvertQONNXtoFINN) takes.

use fewbit_onnx::proto::NodeProto;

use super::{Findings, shared};
use crate::facts::Facts;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let known = |node: &NodeProto| match shared::is_quantization(node) {
        true => matches!(
            node.op_type(),
            "Quant"
                | "BipolarQuant"
                | "Trunc"
                | "MultiThreshold"
                | "XnorPopcountMatMul"
                | "Im2Col"
                | "QuantAvgPool2d"
                | "MaxPoolNHWC"
        ),
        false => !matches!(node.op_type(), "QuantizeLinear" | "DequantizeLinear"),
    };
    shared::operators(facts, known, "FINN", findings);
    shared::constant_parameters(facts, findings);
    shared::static_shapes(facts, false, findings);
    for node in facts.nodes() {
        match node.op_type() {
            "Quant" | "BipolarQuant" if shared::is_quantization(node) => {
                quantizer(facts, node, findings)
            }
            "Trunc" => {
                let mode = node.string("rounding_mode").ok().flatten().unwrap_or("FLOOR");
                if !mode.eq_ignore_ascii_case("FLOOR") {
                    let message =
                        format!("the rounding mode is {mode:?}; only FLOOR is taken (finn#1083)");
                    findings.refuse("trunc-floor", shared::place(node), message, None);
                }
            }
            _ => {}
        }
    }
    let version = crate::model::version(facts.proto(), "");
    if version > 13 {
        let message = format!("operator set {version}; FINN is tested with 11 to 13 (finn#993)");
        findings.warn("operator-set", "the model".to_owned(), message, None);
    }
}

fn quantizer(facts: &Facts<'_>, node: &NodeProto, findings: &mut Findings) {
    let place = || shared::place(node);
    let parameter =
        |index: usize| node.input.get(index).and_then(|name| shared::numbers(facts, name));
    let weights = node.input.first().is_some_and(|name| facts.is_constant(name));
    if node.op_type() == "Quant" {
        if let Some((shape, zero_points)) = parameter(2) {
            if zero_points.iter().any(|&zero| zero != 0.0) {
                let message = "a zero point that is not zero (finn#1675)".to_owned();
                findings.refuse("zero-point", place(), message, None);
            }
            if !shape.is_empty() {
                let message = format!("the zero point has the shape {shape:?}, not rank 0");
                findings.refuse("scalar-zero-point", place(), message, None);
            }
        }
        if let Some((shape, bits)) = parameter(3) {
            if bits.len() != 1 {
                let message = format!("bit widths of shape {shape:?}, not one for all");
                findings.refuse("one-bit-width", place(), message, None);
            } else if bits[0] > 8.0 && !weights {
                let message = format!(
                    "{} bits become 2^{} thresholds; at most 8 are taken",
                    bits[0], bits[0]
                );
                findings.refuse("eight-bits", place(), message, None);
            }
        }
    }
    if weights {
        let users = node.output.first().map_or(0, |output| shared::users(facts, output).len());
        if users > 1 {
            let message = format!("{users} nodes use these quantized weights; each needs its own");
            findings.refuse("weights-do-not-fork", place(), message, None);
        }
        let convolves = node.output.first().is_some_and(|output| {
            shared::users(facts, output).iter().any(|user| user.op_type() == "Conv")
        });
        if let Some((shape, scales)) =
            parameter(1).filter(|(_, scales)| convolves && scales.len() > 1)
        {
            let channels = shape.first() == Some(&scales.len());
            if !channels {
                let message = format!(
                    "scales of shape {shape:?}; one for all or one per output channel is taken"
                );
                findings.refuse("scale-per-channel", place(), message, None);
            }
        }
        return;
    }
    let after_relu = node
        .input
        .first()
        .and_then(|name| facts.maker(name))
        .is_some_and(|maker| maker.op_type() == "Relu");
    let flag = |name: &str| node.int(name).ok().flatten().map(|flag| flag != 0);
    if node.op_type() == "Quant" {
        match (after_relu, flag("signed"), flag("narrow").unwrap_or(false)) {
            (true, Some(true), _) => {
                let message = "behind a Relu it has to be without a sign".to_owned();
                findings.refuse("unsigned-behind-relu", place(), message, None);
            }
            (true, _, true) => {
                let message = "behind a Relu the range must not be narrow".to_owned();
                findings.refuse("unsigned-behind-relu", place(), message, None);
            }
            (false, Some(false), _) if !is_input(facts, node) => {
                let message = "without a Relu before it, it has to be signed".to_owned();
                findings.refuse("signed-without-relu", place(), message, None);
            }
            _ => {}
        }
    }
}

/// True if the node quantizes an input of the model.
fn is_input(facts: &Facts<'_>, node: &NodeProto) -> bool {
    node.input.first().is_some_and(|name| facts.maker(name).is_none())
}
