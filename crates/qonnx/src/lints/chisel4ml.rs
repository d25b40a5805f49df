//! chisel4ml, January 2025: its transformation reads attributes by their place.

use super::{Findings, shared};
use crate::facts::Facts;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let known = |node: &fewbit_onnx::proto::NodeProto| match shared::is_quantization(node) {
        true => matches!(node.op_type(), "Quant" | "BipolarQuant"),
        false => !matches!(node.op_type(), "QuantizeLinear" | "DequantizeLinear"),
    };
    shared::operators(facts, known, "chisel4ml", findings);
    shared::constant_parameters(facts, findings);
    shared::static_shapes(facts, false, findings);
    for node in facts.nodes().filter(|node| shared::is_quantization(node)) {
        if let Some((_, scales)) = node.input.get(1).and_then(|name| shared::numbers(facts, name))
            && !shared::powers_of_two(&scales)
        {
            let message = "a scale that is no power of two; it shifts".to_owned();
            let fix = Some("train with `--scale-restriction power_of_two`");
            findings.refuse("power-of-two-scale", shared::place(node), message, fix);
        }
        if node.op_type() == "Quant" {
            let names: Vec<&str> =
                node.attribute.iter().map(|attribute| attribute.name()).collect();
            if names.get(2) != Some(&"signed") {
                let message = format!(
                    "attributes are in the order {}; the third one is read as `signed`",
                    names.join(", ")
                );
                let fix = Some(
                    "alphabetical order: narrow, rounding_mode, signed (`fewbit clean` writes it)",
                );
                findings.refuse("attribute-order", shared::place(node), message, fix);
            }
        }
    }
}
