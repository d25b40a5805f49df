//! Tensors that a file calls by other names, found by their place in the graph.
//!
//! Other programs rename tensors (`qonnx-cleanup` renames them all). Then nothing but the logits would be
//! compared, and a file that goes wrong inside and comes out right would pass.

use std::collections::{BTreeMap, BTreeSet};

use fewbit_onnx::proto::{GraphProto, ModelProto, NodeProto};

/// The names of a file for what the exporter calls otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamed {
    /// The file's name by the exporter's.
    names: BTreeMap<String, String>,
}

impl Renamed {
    /// Goes through both graphs from their outputs to their inputs, as long as they have the same operators.
    ///
    /// A tensor whose name both have is no renamed one, wherever it is: its values are compared by that name.
    pub fn find(expected: &ModelProto, file: &ModelProto) -> Self {
        let (Some(left), Some(right)) = (&expected.graph, &file.graph) else {
            return Self::default();
        };
        let (of_left, of_right) = (Producers::of(left), Producers::of(right));
        let mut names = BTreeMap::new();
        let mut taken = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let outputs = left.output.iter().zip(&right.output);
        let mut pairs: Vec<(&str, &str)> = outputs.map(|(l, r)| (l.name(), r.name())).collect();
        while let Some((l, r)) = pairs.pop() {
            if !seen.insert((l, r)) {
                continue;
            }
            let is_renamed = l != r && !of_right.names.contains(l) && !of_left.names.contains(r);
            if is_renamed && !names.contains_key(l) && taken.insert(r) {
                names.insert(l.to_owned(), r.to_owned());
            }
            if let (Some(l), Some(r)) = (of_left.nodes.get(l), of_right.nodes.get(r))
                && (l.op_type(), l.domain()) == (r.op_type(), r.domain())
                && (l.input.len(), l.output.len()) == (r.input.len(), r.output.len())
            {
                let both = l.input.iter().zip(&r.input).chain(l.output.iter().zip(&r.output));
                let named = both.filter(|(l, r)| !l.is_empty() && !r.is_empty());
                pairs.extend(named.map(|(l, r)| (l.as_str(), r.as_str())));
            }
        }
        Self { names }
    }

    /// The file's name for a tensor of the exporter's.
    pub fn in_file(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(String::as_str)
    }

    /// The file with the exporter's names.
    pub fn restore(&self, file: &ModelProto) -> ModelProto {
        let own: BTreeMap<&str, &str> =
            self.names.iter().map(|(own, file)| (file.as_str(), own.as_str())).collect();
        let mut restored = file.clone();
        let Some(graph) = &mut restored.graph else { return restored };
        let restore = |name: &mut String| {
            if let Some(own) = own.get(name.as_str()) {
                (*own).clone_into(name);
            }
        };
        for node in &mut graph.node {
            node.input.iter_mut().chain(&mut node.output).for_each(restore);
        }
        graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut()).for_each(restore);
        restored
    }
}

/// The nodes of a graph by what they make, and all names of tensors.
struct Producers<'a> {
    nodes: BTreeMap<&'a str, &'a NodeProto>,
    names: BTreeSet<&'a str>,
}

impl<'a> Producers<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let made = |node: &'a NodeProto| node.output.iter().map(move |name| (name.as_str(), node));
        let nodes: BTreeMap<&str, &NodeProto> = graph.node.iter().flat_map(made).collect();
        let stored = graph.initializer.iter().map(|tensor| tensor.name());
        let inputs = graph.input.iter().map(|input| input.name());
        let used = graph.node.iter().flat_map(|node| &node.input).map(String::as_str);
        let names = nodes.keys().copied().chain(stored).chain(inputs).chain(used).collect();
        Self { nodes, names }
    }
}

#[cfg(test)]
mod tests {
    use fewbit_onnx::proto::ValueInfoProto;

    use super::*;

    /// `lines`: operator, inputs, output; the last output is the graph's.
    fn model(lines: &[(&str, &[&str], &str)]) -> ModelProto {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let node = |&(op, inputs, output): &(&str, &[&str], &str)| NodeProto {
            op_type: Some(op.to_owned()),
            input: strings(inputs),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let output = lines.last().map(|line| line.2.to_owned());
        let graph = GraphProto {
            node: lines.iter().map(node).collect(),
            output: vec![ValueInfoProto { name: output, ..ValueInfoProto::default() }],
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    #[test]
    fn places_are_found_up_to_the_first_other_operator() {
        let own = model(&[
            ("Relu", &["x"], "a"),
            ("Neg", &["a"], "b"),
            ("Abs", &["b"], "c"),
            ("Add", &["c", "a"], "d"),
        ]);
        let file = model(&[
            ("Relu", &["in"], "A"),
            ("Sin", &["A"], "B"),
            ("Abs", &["B"], "C"),
            ("Add", &["C", "A"], "d"),
        ]);
        let renamed = Renamed::find(&own, &file);
        let found: Vec<_> = ["x", "a", "b", "c", "d"].map(|name| renamed.in_file(name)).into();
        // `d` has its own name; of `b` the place is known, though not what makes it.
        assert_eq!(found, [Some("in"), Some("A"), Some("B"), Some("C"), None]);
        let restored = renamed.restore(&file).graph.unwrap();
        assert_eq!(restored.node[3].input, ["c", "a"]);
        assert_eq!(restored.node[0].output, ["a"]);
    }

    #[test]
    fn names_that_both_have_stay() {
        let own = model(&[("Relu", &["x"], "a"), ("Neg", &["a"], "b"), ("Abs", &["b"], "c")]);
        let swapped = model(&[("Relu", &["x"], "b"), ("Neg", &["b"], "a"), ("Abs", &["a"], "c")]);
        assert_eq!(Renamed::find(&own, &own), Renamed::default());
        assert_eq!(Renamed::find(&own, &swapped), Renamed::default());
        assert_eq!(Renamed::find(&own, &ModelProto::default()), Renamed::default());
    }
}
