//! Rules that more than one consumer has.

use fewbit_onnx::proto::NodeProto;

use super::Findings;
use crate::facts::Facts;
use crate::value::{Data, Value};

/// Operators of QONNX, under any of the domains.
pub(super) fn is_quantization(node: &NodeProto) -> bool {
    crate::ops::QUANTIZATION_DOMAINS.contains(&node.domain())
}

pub(super) fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain(), "" | "ai.onnx")
}

/// How messages name a node.
pub(super) fn place(node: &NodeProto) -> String {
    let named = Some(node.name()).filter(|name| !name.is_empty());
    let name = named.or(node.output.first().map(String::as_str)).unwrap_or("");
    format!("{name} ({})", node.op_type())
}

/// Operators that a consumer does not know.
pub(super) fn operators(
    facts: &Facts<'_>,
    known: impl Fn(&NodeProto) -> bool,
    consumer: &str,
    findings: &mut Findings,
) {
    for node in facts.nodes().filter(|node| !known(node)) {
        let fix = match node.op_type() {
            "IntQuant" => Some("`Quant` is the same operator under its old name"),
            "FloatQuant" => {
                Some("formats on an integer grid can be lowered: `fewbit convert --to integer`")
            }
            "Gemm" => Some("a Gemm is a MatMul and an Add"),
            _ => None,
        };
        let domain = if is_standard(node) { "ONNX" } else { node.domain() };
        let message = format!("{consumer} does not read {} of {domain}", node.op_type());
        findings.refuse("operator", place(node), message, fix);
    }
}

/// A file that contradicts itself; what fewbit only does not know may be right.
pub(super) fn runs(facts: &Facts<'_>, findings: &mut Findings) {
    let Some(error) = facts.not_run() else { return };
    let text = error.to_string();
    let node = facts.nodes().find(|node| {
        let names = std::iter::once(node.name()).chain(node.output.iter().map(String::as_str));
        names.filter(|name| !name.is_empty()).any(|name| text.contains(&format!("{name:?}")))
    });
    let place = node.map_or_else(|| "the file".to_owned(), place);
    if error.kind() == crate::ErrorKind::Unsupported {
        let message =
            format!("fewbit does not run it, so that shapes and values were not checked: {text}");
        findings.warn("not-run", place, message, None);
    } else {
        findings.refuse("valid-model", place, format!("fewbit cannot run the file: {text}"), None);
    }
}

/// Parameters of quantizers that are no constants.
pub(super) fn constant_parameters(facts: &Facts<'_>, findings: &mut Findings) {
    for node in facts.nodes().filter(|node| is_quantization(node)) {
        for name in node.input.iter().skip(1).filter(|name| !name.is_empty()) {
            if !facts.is_constant(name) {
                let message = format!("the parameter {name:?} depends on the input");
                findings.refuse("constant-parameters", place(node), message, None);
            } else if !facts.is_stored(name) {
                let message = format!("the parameter {name:?} is computed by a node, not stored");
                let fix = Some("`fewbit clean` folds constants");
                findings.refuse("stored-parameters", place(node), message, fix);
            }
        }
    }
}

/// Shapes of inputs and outputs that are not all numbers, and tensors without a shape.
pub(super) fn static_shapes(facts: &Facts<'_>, every_tensor: bool, findings: &mut Findings) {
    let graph = facts.graph();
    let declared = |name: &str| {
        let mut all = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
        all.find(|info| info.name() == name).is_some_and(crate::facts::is_static)
    };
    for info in graph.input.iter().chain(&graph.output) {
        if !facts.is_stored(info.name()) && !declared(info.name()) {
            let message = "its shape has an extent that is no number".to_owned();
            let fix = Some("`fewbit clean --batch 1` fixes it");
            findings.refuse("static-shapes", info.name().to_owned(), message, fix);
        }
    }
    if every_tensor {
        let inner = facts.nodes().flat_map(|node| &node.output);
        let missing: Vec<&String> =
            inner.filter(|name| !name.is_empty() && !declared(name)).collect();
        if let Some(first) = missing.first() {
            let message = format!("{} tensors have no shape in the file", missing.len());
            findings.refuse(
                "shape-of-every-tensor",
                (*first).clone(),
                message,
                Some("`fewbit clean` adds them"),
            );
        }
    }
}

/// Names of nodes that are missing, repeated, or no identifiers.
pub(super) fn names(facts: &Facts<'_>, findings: &mut Findings) {
    let mut seen = std::collections::BTreeSet::new();
    for node in facts.nodes() {
        let name = node.name();
        let fix = Some("`fewbit clean` names nodes");
        if name.is_empty() {
            findings.refuse("unique-names", place(node), "the node has no name".to_owned(), fix);
        } else if !seen.insert(name) {
            findings.refuse(
                "unique-names",
                place(node),
                "two nodes have this name".to_owned(),
                fix,
            );
        } else if name.contains('.') || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message =
                "the name is no identifier: dots and leading digits are replaced".to_owned();
            findings.warn("identifiers", place(node), message, fix);
        }
    }
}

/// Attributes that a node has to state.
pub(super) fn explicit_windows(facts: &Facts<'_>, findings: &mut Findings) {
    for node in facts.nodes() {
        let wanted: &[&str] = match node.op_type() {
            "Conv" => &["kernel_shape", "strides", "pads", "dilations", "group"],
            "MaxPool" | "AveragePool" => &["kernel_shape", "strides", "pads"],
            _ => continue,
        };
        if node.string("auto_pad").ok().flatten().is_some_and(|pad| pad != "NOTSET") {
            let message = "the padding is automatic (auto_pad)".to_owned();
            findings.refuse("explicit-padding", place(node), message, None);
        }
        let missing: Vec<&str> =
            wanted.iter().copied().filter(|name| node.attribute(name).is_none()).collect();
        if !missing.is_empty() {
            let message = format!("attributes are left to their defaults: {}", missing.join(", "));
            findings.refuse("explicit-windows", place(node), message, None);
        }
    }
}

/// A parameter as numbers.
pub(super) fn numbers(facts: &Facts<'_>, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
    let value: Value = facts.constant(name)?;
    match value.data() {
        Data::Bool(_) => None,
        _ => {
            let tensor = crate::tensor::Tensor::new(value);
            let numbers = tensor.to_f32("").ok()?.to_vec();
            Some((tensor.shape().to_vec(), numbers))
        }
    }
}

/// True for 2, 1, 0.5 and so on, all of them.
pub(super) fn powers_of_two(scales: &[f32]) -> bool {
    scales.iter().all(|&scale| crate::facts::is_power_of_two(scale))
}

/// Nodes that use a tensor.
pub(super) fn users<'a>(facts: &Facts<'a>, tensor: &str) -> Vec<&'a NodeProto> {
    facts.nodes().filter(|node| node.input.iter().any(|name| name == tensor)).collect()
}
