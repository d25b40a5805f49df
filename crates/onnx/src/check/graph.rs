//! The names of a graph: each stands for one tensor, and whatever is used is there.

use std::collections::HashMap;

use super::{order, stored};
use crate::attribute::{Kind, kind};
use crate::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::tensor::{Layout, place};
use crate::text::quoted;
use crate::{Error, ErrorKind};

/// What a graph belongs to: a function's attributes may refer to those of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Model,
    Function,
}

/// A graph that can be run.
pub(super) struct Checked<'a> {
    /// The nodes, in an order in which they can be run.
    pub order: Vec<usize>,
    /// What it takes from the graphs around.
    captured: Vec<&'a str>,
}

/// The tensors that a graph may use.
pub(super) struct Scope<'a> {
    definitions: HashMap<&'a str, Definition>,
    outer: Option<&'a Scope<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Definition {
    Input,
    Initializer,
    /// An input with a default.
    Default,
    Node(usize),
}

/// Checks a graph, with those inside of its nodes.
pub(super) fn check<'a>(
    graph: &'a GraphProto,
    outer: Option<&Scope<'_>>,
    inside: Inside,
) -> Result<Checked<'a>, Error> {
    let scope = Scope { definitions: define(graph)?, outer };
    types(graph)?;
    let mut captured = Vec::new();
    let mut needs = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        let used = check_node(node, &scope, inside).map_err(|error| error.within(node.label()))?;
        let mut needed = Vec::new();
        for name in used {
            match scope.definitions.get(name) {
                Some(&Definition::Node(maker)) => needed.push(maker),
                Some(_) => {}
                None => captured.push(name),
            }
        }
        needs.push(needed);
    }
    outputs(graph, &scope, &mut captured)?;
    let order = order::topological(&graph.node, &needs)?;
    Ok(Checked { order, captured })
}

impl Scope<'_> {
    fn has(&self, name: &str) -> bool {
        self.definitions.contains_key(name) || self.outer.is_some_and(|outer| outer.has(name))
    }
}

/// Who defines which tensor.
fn define(graph: &GraphProto) -> Result<HashMap<&str, Definition>, Error> {
    let mut definitions = HashMap::new();
    for (index, input) in graph.input.iter().enumerate() {
        let name = input.name();
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Graph, format_args!("input {index} has no name")));
        }
        if definitions.insert(name, Definition::Input).is_some() {
            return Err(twice(name, "two inputs of the graph have this name"));
        }
    }
    let sparse = graph.sparse_initializer.iter();
    let sparse = sparse.map(|tensor| tensor.values.as_ref().map_or("", TensorProto::name));
    let stored = graph.initializer.iter().map(TensorProto::name).chain(sparse);
    for (index, name) in stored.enumerate() {
        if name.is_empty() {
            return Err(Error::new(
                ErrorKind::Graph,
                format_args!("initializer {index} has no name"),
            ));
        }
        // Files of the first versions list their initializers as inputs, too.
        let definition = match definitions.get(name) {
            None => Definition::Initializer,
            Some(Definition::Input) => Definition::Default,
            Some(_) => return Err(twice(name, "two initializers have this name")),
        };
        definitions.insert(name, definition);
    }
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            let other = match definitions.insert(name, Definition::Node(index)) {
                None => continue,
                Some(Definition::Node(other)) => graph.node[other].label(),
                Some(Definition::Input | Definition::Default) => "an input of the graph".to_owned(),
                Some(Definition::Initializer) => "an initializer".to_owned(),
            };
            let found = format_args!("it makes {}, which {other} defines already", quoted(name));
            return Err(Error::new(ErrorKind::Graph, found)
                .expected("one definition of each tensor")
                .within(node.label()));
        }
    }
    Ok(definitions)
}

fn twice(name: &str, found: &str) -> Error {
    Error::new(ErrorKind::Graph, found)
        .expected("one definition of each tensor")
        .within(place(name))
}

/// That stored tensors are complete, and stated types are types and those of what is stored.
fn types(graph: &GraphProto) -> Result<(), Error> {
    let mut layouts = HashMap::new();
    for tensor in &graph.initializer {
        layouts.insert(tensor.name(), Layout::of(tensor)?);
    }
    for tensor in &graph.sparse_initializer {
        let name = tensor.values.as_ref().map_or("", TensorProto::name);
        layouts.insert(name, Layout::of_sparse(tensor)?);
    }
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        let checked = stored::value_type(value).and_then(|()| match layouts.get(value.name()) {
            Some(layout) => stored::agrees(value, layout),
            None => Ok(()),
        });
        checked.map_err(|error| error.within(place(value.name())))?;
    }
    Ok(())
}

/// Checks a node. Returns what it uses, in graphs inside of it, too.
fn check_node<'a>(
    node: &'a NodeProto,
    scope: &Scope<'_>,
    inside: Inside,
) -> Result<Vec<&'a str>, Error> {
    if node.op_type().is_empty() {
        return Err(Error::new(ErrorKind::Graph, "it has no operator"));
    }
    if node.input.is_empty() && node.output.is_empty() {
        return Err(Error::new(ErrorKind::Graph, "it has neither inputs nor outputs"));
    }
    let mut used = Vec::new();
    for (index, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if !scope.has(name) {
            return Err(undefined(format_args!("input {index}"), name));
        }
        used.push(name.as_str());
    }
    for (index, attribute) in node.attribute.iter().enumerate() {
        let name = attribute.name();
        if name.is_empty() {
            let found = format_args!("attribute {index} has no name");
            return Err(Error::new(ErrorKind::Attribute, found));
        }
        let place = || format!("attribute {}", quoted(name));
        if node.attribute[..index].iter().any(|other| other.name() == name) {
            return Err(Error::new(ErrorKind::Attribute, "it is there twice").within(place()));
        }
        if matches!(kind(attribute), Kind::Reference) && inside == Inside::Function {
            continue;
        }
        stored::attribute(attribute).map_err(|error| error.within(place()))?;
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            let checked = check(graph, Some(scope), inside);
            used.extend(checked.map_err(|error| error.within(place()))?.captured);
        }
    }
    Ok(used)
}

fn outputs<'a>(
    graph: &'a GraphProto,
    scope: &Scope<'_>,
    captured: &mut Vec<&'a str>,
) -> Result<(), Error> {
    for (index, output) in graph.output.iter().enumerate() {
        let name = output.name();
        let place = format_args!("output {index} of the graph");
        if name.is_empty() {
            return Err(Error::new(ErrorKind::Graph, format_args!("{place} has no name")));
        }
        if !scope.has(name) {
            return Err(undefined(place, name));
        }
        if !scope.definitions.contains_key(name) {
            captured.push(name);
        }
    }
    duplicate(&graph.output)
}

fn duplicate(outputs: &[ValueInfoProto]) -> Result<(), Error> {
    let mut names = std::collections::HashSet::new();
    match outputs.iter().find(|output| !names.insert(output.name())) {
        None => Ok(()),
        Some(output) => Err(twice(output.name(), "two outputs of the graph have this name")),
    }
}

fn undefined(what: impl std::fmt::Display, name: &str) -> Error {
    let found = format_args!("{what} is {}, which nothing defines", quoted(name));
    Error::new(ErrorKind::Graph, found).expected("an input, an initializer or the output of a node")
}
