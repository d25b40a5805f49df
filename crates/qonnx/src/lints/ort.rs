//! onnxruntime without custom operators.

use super::{Findings, shared};
use crate::facts::Facts;

/// What onnxruntime 1.32 reads.
const NEWEST_IR: i64 = 14;
const NEWEST_OPERATORS: i64 = 25;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for node in facts.nodes() {
        let own = facts.proto().functions.iter().any(|function| {
            function.domain() == node.domain() && function.name() == node.op_type()
        });
        let known = shared::is_standard(node)
            || own
            || matches!(node.domain(), "ai.onnx.ml" | "com.microsoft" | "ai.onnx.training");
        if !known {
            let message =
                format!("{} of {} is no operator of onnxruntime", node.op_type(), node.domain());
            let fix = Some("`fewbit export --qcdq` writes integers in standard operators");
            findings.refuse("operator", shared::place(node), message, fix);
        }
    }
    let proto = facts.proto();
    if proto.ir_version() > NEWEST_IR {
        let message = format!("file format {}; up to {NEWEST_IR} is read", proto.ir_version());
        findings.refuse("file-format", "the model".to_owned(), message, None);
    }
    let version = crate::model::version(proto, "");
    if version > NEWEST_OPERATORS {
        let message = format!("operator set {version}; up to {NEWEST_OPERATORS} is known");
        findings.refuse("operator-set", "the model".to_owned(), message, None);
    }
}
