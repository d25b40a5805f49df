//! Names that people read and programs take.

use std::collections::{BTreeMap, BTreeSet};

use fewbit_onnx::graph::Graph;
use fewbit_onnx::tensor::TensorValue;

use crate::error::Error;

/// Gives each node parameters of its own: changing those of one leaves the others alone.
pub(super) fn unique_parameters(graph: &mut Graph) -> Result<usize, Error> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut copied = 0;
    for id in graph.sorted() {
        for place in 0..graph.node(id).input.len() {
            let name = graph.node(id).input[place].clone();
            let Some(stored) = graph.stored(&name).filter(|_| !name.is_empty()) else { continue };
            if seen.insert(name.clone()) {
                continue;
            }
            let value = TensorValue::from_proto(stored).map_err(Error::onnx)?;
            let copy = graph.fresh(&name);
            graph.store(&copy, &value);
            if let Some(note) = graph.annotation(&name, "finn_datatype").map(str::to_owned) {
                graph.annotate(&copy, "finn_datatype", &note);
            }
            seen.insert(copy.clone());
            graph.edit(id, |node| node.input[place] = copy);
            copied += 1;
        }
    }
    Ok(copied)
}

/// Names nodes `Conv_0`, and tensors after the nodes that make or use them; tells the old and new names of tensors.
pub(super) fn readable(graph: &mut Graph) -> Result<BTreeMap<String, String>, Error> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (index, input) in graph.inputs().enumerate() {
        let name = if index == 0 { "global_in".to_owned() } else { format!("global_in_{index}") };
        names.insert(input.to_owned(), name);
    }
    for (index, output) in graph.outputs().enumerate() {
        let name = if index == 0 { "global_out".to_owned() } else { format!("global_out_{index}") };
        names.entry(output.to_owned()).or_insert(name);
    }
    let order: Vec<_> = graph.nodes().map(|(id, _)| id).collect();
    for id in order {
        let node = graph.node(id);
        let operator: String = node
            .op_type()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let operator = if operator.starts_with(|c: char| c.is_ascii_digit()) {
            format!("n{operator}")
        } else {
            operator
        };
        let count = counts.entry(operator.clone()).or_insert(0);
        let name = format!("{operator}_{count}");
        *count += 1;
        for (index, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            names.entry(output.clone()).or_insert_with(|| format!("{name}_out{index}"));
        }
        let parameters = node.input.iter().filter(|input| graph.stored(input).is_some());
        for (index, input) in parameters.enumerate() {
            names.entry(input.clone()).or_insert_with(|| format!("{name}_param{index}"));
        }
        graph.edit(id, |node| node.name = Some(name));
    }
    // Stored tensors that no node uses keep theirs, unless it is taken now.
    let taken: BTreeSet<&String> = names.values().collect();
    let clashes: Vec<String> = graph
        .stored_tensors()
        .iter()
        .map(|tensor| tensor.name().to_owned())
        .filter(|name| !names.contains_key(name) && taken.contains(name))
        .collect();
    for name in clashes {
        names.insert(name.clone(), format!("{name}_unused"));
    }
    graph.rename_all(&names).map_err(Error::onnx)?;
    names.retain(|old, new| old != new);
    Ok(names)
}
