//! Names that a node uses, in the graphs inside of it, too.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::{GraphProto, NodeProto};

/// The tensors that a node uses; those of graphs inside that may be the graph's own ones are among them.
pub(super) fn uses(node: &NodeProto) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in graphs(node) {
        captured(graph, &mut names);
    }
    names
}

fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute
        .iter()
        .flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
}

/// What a graph inside takes from around; names that it defines itself hide those.
fn captured<'a>(graph: &'a GraphProto, names: &mut BTreeSet<&'a str>) {
    let mut used = BTreeSet::new();
    for node in &graph.node {
        used.extend(uses(node));
    }
    used.extend(graph.output.iter().map(|output| output.name()));
    let own = own(graph);
    names.extend(used.into_iter().filter(|name| !own.contains(name)));
}

fn own(graph: &GraphProto) -> BTreeSet<&str> {
    let made = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let given = graph.input.iter().map(|input| input.name());
    made.chain(given).chain(graph.initializer.iter().map(|tensor| tensor.name())).collect()
}

/// Lets a node use another tensor.
pub(super) fn rename_uses(node: &mut NodeProto, from: &str, to: &str) {
    rename_all(node, &BTreeMap::from([(from.to_owned(), to.to_owned())]));
}

/// Lets a node use tensors under other names.
pub(super) fn rename_all(node: &mut NodeProto, names: &BTreeMap<String, String>) {
    for input in &mut node.input {
        if let Some(to) = names.get(input.as_str()) {
            input.clone_from(to);
        }
    }
    for attribute in &mut node.attribute {
        for graph in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
            rename_captured(graph, names);
        }
    }
}

fn rename_captured(graph: &mut GraphProto, names: &BTreeMap<String, String>) {
    let own: BTreeSet<String> = own(graph).into_iter().map(str::to_owned).collect();
    let outer: BTreeMap<String, String> = names
        .iter()
        .filter(|(from, _)| !own.contains(*from))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    if outer.is_empty() {
        return;
    }
    graph.node.iter_mut().for_each(|node| rename_all(node, &outer));
    for output in &mut graph.output {
        if let Some(to) = outer.get(output.name()) {
            output.name = Some(to.clone());
        }
    }
}
