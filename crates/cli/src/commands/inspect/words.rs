//! What `inspect` prints for people.

use fewbit_qonnx::inspect::{Inspection, TensorSummary};
use fewbit_qonnx::lints::{Consumer, Lint, Severity};
use fewbit_qonnx::ranges::Ranges;

use crate::console::{counted, escape, grouped, table};

/// The file, its nodes and its sizes.
pub fn inspection(model: &str, found: &Inspection, constants: bool) -> String {
    let sets: Vec<String> = found
        .operator_sets
        .iter()
        .map(|(domain, version)| {
            format!("{} {version}", if domain.is_empty() { "ai.onnx" } else { domain })
        })
        .collect();
    let mut text = format!(
        "{}: by {}, file format {}, operator sets {}\n",
        escape(model),
        if found.producer.is_empty() { "nobody".to_owned() } else { escape(&found.producer) },
        found.ir_version,
        escape(&sets.join(", ")),
    );
    if let Some(reason) = &found.not_run {
        text.push_str(&format!(
            "cannot be run, shapes are those that the file states: {}\n",
            escape(reason)
        ));
    }
    for (what, tensors) in [("input", &found.inputs), ("output", &found.outputs)] {
        for tensor in tensors {
            text.push_str(&format!(
                "{what} {}: {} of {}\n",
                escape(&tensor.name),
                shape(tensor),
                escape(&tensor.format)
            ));
        }
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = found
        .nodes
        .iter()
        .filter(|node| constants || !node.constant)
        .map(|node| {
            let output = node.outputs.first();
            vec![
                escape(&node.name),
                escape(&node.operator),
                output.map_or_else(String::new, shape),
                output.and_then(|output| output.layout).unwrap_or("").to_owned(),
                output.map_or_else(String::new, |output| escape(&output.format)),
                output.map_or_else(String::new, scale),
            ]
        })
        .collect();
    text.push_str(&table(&["node", "operator", "shape", "layout", "format", "scale"], &rows));
    let hidden = found.nodes.iter().filter(|node| node.constant).count();
    if hidden > 0 && !constants {
        text.push_str(&format!(
            "and {} that no input changes (--constants)\n",
            counted(hidden as u64, "node")
        ));
    }
    let stored = &found.stored;
    text.push_str(&format!(
        "\n{} in {}; {} of layers, {} in their formats\n",
        counted(stored.elements, "stored number"),
        counted(stored.bytes, "byte"),
        counted(stored.weights, "weight"),
        counted(stored.weight_bits, "bit"),
    ));
    text
}

fn shape(tensor: &TensorSummary) -> String {
    tensor.shape.as_ref().map_or_else(
        || "?".to_owned(),
        |shape| {
            if shape.is_empty() {
                "scalar".to_owned()
            } else {
                shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
            }
        },
    )
}

fn scale(tensor: &TensorSummary) -> String {
    let Some(scale) = &tensor.scale else { return String::new() };
    match (scale.count, scale.lowest, scale.highest) {
        (1, Some(scale), _) => scale.to_string(),
        (count, Some(lowest), Some(highest)) => format!("{count}, {lowest} to {highest}"),
        _ => "computed".to_owned(),
    }
}

/// What a consumer would refuse.
pub fn lints(consumer: Consumer, lints: &[Lint]) -> String {
    let refused = lints.iter().filter(|lint| lint.severity == Severity::Refuses).count();
    let mut text = format!("\n{}: ", consumer.name());
    text.push_str(&match (refused, lints.len() - refused) {
        (0, 0) => "nothing that it would refuse\n".to_owned(),
        (0, warnings) => {
            format!("nothing that it would refuse; {}\n", counted(warnings as u64, "warning"))
        }
        (refused, warnings) => format!(
            "refuses the file; {}, {}\n",
            counted(refused as u64, "reason"),
            counted(warnings as u64, "warning")
        ),
    });
    // Many nodes with the same fault are told once.
    let mut told: Vec<(&Lint, usize)> = Vec::new();
    for lint in lints {
        match told
            .iter_mut()
            .find(|(first, _)| (first.rule, &first.message) == (lint.rule, &lint.message))
        {
            Some((_, count)) => *count += 1,
            None => told.push((lint, 1)),
        }
    }
    for (lint, count) in told {
        let word = match lint.severity {
            Severity::Refuses => "refuses",
            Severity::Warns => "warns",
        };
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        text.push_str(&format!(
            "  {word}: {}{more}: {}\n",
            escape(&lint.place),
            escape(&lint.message)
        ));
        if let Some(fix) = lint.fix {
            text.push_str(&format!("    {fix}\n"));
        }
    }
    text
}

/// Bounds, accumulators, stuck channels.
pub fn ranges(ranges: &Ranges) -> String {
    let end =
        |bound: Option<f32>| bound.map_or_else(|| "none".to_owned(), |bound| bound.to_string());
    let rows: Vec<Vec<String>> = ranges
        .tensors
        .iter()
        .map(|tensor| {
            vec![
                escape(&tensor.name),
                escape(&tensor.operator),
                end(tensor.lowest),
                end(tensor.highest),
                match tensor.stuck_channels.len() {
                    0 => String::new(),
                    stuck => format!("{stuck} of {}", tensor.channels),
                },
            ]
        })
        .collect();
    let mut text = format!("\nBounds for {}\n", ranges.inputs);
    text.push_str(&table(&["tensor", "operator", "lowest", "highest", "stuck channels"], &rows));
    if ranges.accumulators.is_empty() {
        text.push_str("no sums of codes with constant codes\n");
        return text;
    }
    let rows: Vec<Vec<String>> = ranges
        .accumulators
        .iter()
        .map(|sums| {
            vec![
                escape(&sums.name),
                escape(&sums.operator),
                grouped(sums.terms as u64),
                sums.bits.to_string(),
                sums.bits_for_any_weights.to_string(),
                sums.lowest.to_string(),
                sums.highest.to_string(),
                if sums.exact_in_f32 { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    text.push_str("\nAccumulators of codes\n");
    text.push_str(&table(
        &[
            "layer",
            "operator",
            "terms",
            "bits",
            "for any weights",
            "lowest",
            "highest",
            "exact in f32",
        ],
        &rows,
    ));
    text
}
