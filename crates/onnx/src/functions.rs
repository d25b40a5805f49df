//! Functions of a model: calls replaced by the nodes that they stand for.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, FunctionProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::text::quoted;
use crate::{Error, ErrorKind};

/// Nodes that a model may have after its calls are replaced, and how many more for each node of its graph and functions: functions
/// that call each other twice double with every level.
const MOST_NODES: usize = 1 << 12;
const GROWTH: usize = 64;

/// Calls inside of calls.
const DEEPEST: usize = 100;

/// Replaces every call of one of the model's functions by the function's nodes; a model without such calls is given back as it is.
///
/// A function of the model stands before an operator of the same name. Inner tensors and nodes are named after the call:
/// `call/tensor`. The functions themselves are left out of the result.
///
/// # Errors
/// [`ErrorKind::Graph`] if functions call each other in a circle, a call has more inputs or outputs than its function, or too many
/// nodes come of it; [`ErrorKind::Unsupported`] if a function imports an operator set in another version than the model, or has nodes
/// with graphs of their own.
/// # Examples
/// ```
/// use fewbit_onnx::functions::inline;
/// use fewbit_onnx::proto::{FunctionProto, GraphProto, ModelProto, NodeProto};
///
/// let node = |op: &str, input: &str, output: &str| NodeProto {
///     op_type: Some(op.into()),
///     input: vec![input.into()],
///     output: vec![output.into()],
///     ..Default::default()
/// };
/// let twice = FunctionProto {
///     name: Some("Twice".into()),
///     input: vec!["a".into()],
///     output: vec!["c".into()],
///     node: vec![node("Neg", "a", "b"), node("Neg", "b", "c")],
///     ..Default::default()
/// };
/// let graph = GraphProto { node: vec![node("Twice", "x", "y")], ..Default::default() };
/// let model = ModelProto { graph: Some(graph), functions: vec![twice], ..Default::default() };
/// let inlined = inline(&model)?;
/// let names: Vec<_> = inlined.graph.iter().flat_map(|g| &g.node).map(|n| n.output[0].as_str()).collect();
/// assert_eq!(names, ["Twice/b", "y"]);
/// # Ok::<(), fewbit_onnx::Error>(())
/// ```
pub fn inline(model: &ModelProto) -> Result<Cow<'_, ModelProto>, Error> {
    let mut functions: BTreeMap<Name, &FunctionProto> = BTreeMap::new();
    for function in &model.functions {
        functions.insert(name(function.domain(), function.name(), function.overload()), function);
    }
    let Some(graph) = &model.graph else { return Ok(Cow::Borrowed(model)) };
    let calls = |node: &NodeProto| functions.contains_key(&name_of(node));
    if !graph.node.iter().any(calls) {
        return Ok(Cow::Borrowed(model));
    }
    let tensors = graph.input.iter().map(|input| input.name());
    let tensors = tensors.chain(graph.initializer.iter().map(|tensor| tensor.name()));
    let made = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let inside = model.functions.iter().map(|function| function.node.len()).sum::<usize>();
    let mut inliner = Inliner {
        most: MOST_NODES.saturating_add(GROWTH.saturating_mul(graph.node.len() + inside)),
        functions: &functions,
        imported: &model.opset_import,
        taken: tensors.chain(made).map(str::to_owned).collect(),
        nodes: Vec::with_capacity(graph.node.len()),
        path: Vec::new(),
    };
    for node in &graph.node {
        inliner.node(node.clone()).map_err(|error| error.within(node.label()))?;
    }
    let nodes = inliner.nodes;
    let mut inlined = model.clone();
    inlined.functions.clear();
    if let Some(graph) = &mut inlined.graph {
        graph.node = nodes;
    }
    Ok(Cow::Owned(inlined))
}

/// Domain, name and overload.
type Name = (String, String, String);

fn name(of: &str, operator: &str, overload: &str) -> Name {
    (domain(of).to_owned(), operator.to_owned(), overload.to_owned())
}

fn name_of(node: &NodeProto) -> Name {
    name(node.domain(), node.op_type(), node.overload())
}

/// The standard operators go by two names.
fn domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

struct Inliner<'a> {
    functions: &'a BTreeMap<Name, &'a FunctionProto>,
    imported: &'a [OperatorSetIdProto],
    /// Names of tensors that are there already.
    taken: BTreeSet<String>,
    nodes: Vec<NodeProto>,
    /// How many there may be.
    most: usize,
    /// The functions whose calls are being replaced, outermost first.
    path: Vec<&'a Name>,
}

impl Inliner<'_> {
    /// Adds a node, or the nodes that it stands for.
    fn node(&mut self, node: NodeProto) -> Result<(), Error> {
        let Some((name, &function)) = self.functions.get_key_value(&name_of(&node)) else {
            if self.nodes.len() >= self.most {
                return Err(Error::new(ErrorKind::Graph, "the functions make too many nodes")
                    .expected(format_args!("at most {}", self.most)));
            }
            self.nodes.push(node);
            return Ok(());
        };
        let place = || format!("function {}", quoted(function.name()));
        if self.path.contains(&name) {
            return Err(Error::new(ErrorKind::Graph, "the function calls itself").within(place()));
        }
        if self.path.len() >= DEEPEST {
            return Err(Error::new(ErrorKind::Graph, "calls are nested too deep")
                .expected(format_args!("at most {DEEPEST} levels"))
                .within(place()));
        }
        self.versions(function).map_err(|error| error.within(place()))?;
        self.path.push(name);
        let called = self.call(&node, function).map_err(|error| error.within(place()));
        self.path.pop();
        called
    }

    /// That the function means the operator sets of the model.
    fn versions(&self, function: &FunctionProto) -> Result<(), Error> {
        for set in &function.opset_import {
            let same = |other: &&OperatorSetIdProto| domain(other.domain()) == domain(set.domain());
            let used =
                function.node.iter().any(|node| domain(node.domain()) == domain(set.domain()));
            let Some(other) = self.imported.iter().find(same).filter(|_| used) else { continue };
            if other.version() != set.version() {
                let found = format_args!(
                    "operator set {} in version {}",
                    quoted(set.domain()),
                    set.version()
                );
                return Err(Error::new(ErrorKind::Unsupported, found)
                    .expected(format_args!("{}, the version of the model", other.version())));
            }
        }
        Ok(())
    }

    fn call(&mut self, node: &NodeProto, function: &FunctionProto) -> Result<(), Error> {
        let counts = [
            ("inputs", node.input.len(), function.input.len()),
            ("outputs", node.output.len(), function.output.len()),
        ];
        for (what, found, most) in counts {
            if found > most {
                return Err(Error::new(ErrorKind::Graph, format_args!("{found} {what}"))
                    .expected(format_args!("at most {most}")));
            }
        }
        let own = if node.name().is_empty() { node.op_type() } else { node.name() };
        let call = self.unused(own);
        let mut names: BTreeMap<&str, String> = BTreeMap::new();
        for (i, formal) in function.input.iter().enumerate() {
            names.insert(formal, node.input.get(i).cloned().unwrap_or_default());
        }
        let formals: BTreeSet<&str> = function.input.iter().map(String::as_str).collect();
        let mut passed = Vec::new();
        for (i, formal) in function.output.iter().enumerate() {
            let actual = node.output.get(i).filter(|name| !name.is_empty());
            match actual {
                // An input that is handed out keeps its name, and gets another one.
                Some(actual) if formals.contains(formal.as_str()) => {
                    passed.push((formal.as_str(), actual.clone()));
                }
                // The same tensor under two names.
                Some(actual) if names.contains_key(formal.as_str()) => {
                    passed.push((formal.as_str(), actual.clone()));
                }
                Some(actual) => {
                    names.insert(formal, actual.clone());
                }
                None => {}
            }
        }
        for inner in &function.node {
            for output in inner.output.iter().filter(|name| !name.is_empty()) {
                if !names.contains_key(output.as_str()) {
                    let name = self.unused(&format!("{call}/{output}"));
                    names.insert(output, name);
                }
            }
        }
        for inner in &function.node {
            let renamed = |name: &String| names.get(name.as_str()).cloned().unwrap_or_default();
            let inner_name = if inner.name().is_empty() { inner.op_type() } else { inner.name() };
            let replaced = NodeProto {
                name: Some(format!("{call}/{inner_name}")),
                input: inner.input.iter().map(renamed).collect(),
                output: inner.output.iter().map(renamed).collect(),
                attribute: attributes(inner, node, function)?,
                ..inner.clone()
            };
            self.node(replaced).map_err(|error| error.within(inner.label()))?;
        }
        for (from, to) in passed {
            let identity = NodeProto {
                name: Some(format!("{call}/{to}")),
                op_type: Some("Identity".to_owned()),
                input: vec![names.get(from).cloned().unwrap_or_default()],
                output: vec![to],
                ..NodeProto::default()
            };
            self.node(identity)?;
        }
        Ok(())
    }

    /// A name that nothing else has, from now on taken.
    fn unused(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut candidates = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = candidates.find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }
}

/// The attributes of a node of a function, with those of the call in place of references.
fn attributes(
    inner: &NodeProto,
    call: &NodeProto,
    function: &FunctionProto,
) -> Result<Vec<AttributeProto>, Error> {
    let mut attributes = Vec::with_capacity(inner.attribute.len());
    for attribute in &inner.attribute {
        let place = || format!("attribute {}", quoted(attribute.name()));
        let kind = attribute.r#type.and_then(|kind| AttributeType::try_from(kind).ok());
        let has_graph = attribute.g.is_some() || !attribute.graphs.is_empty();
        if has_graph || matches!(kind, Some(AttributeType::Graph | AttributeType::Graphs)) {
            let found = "a graph inside of a node of a function";
            return Err(Error::new(ErrorKind::Unsupported, found)
                .within(place())
                .within(inner.label()));
        }
        let reference = attribute.ref_attr_name();
        if reference.is_empty() {
            attributes.push(attribute.clone());
            continue;
        }
        let default = || function.attribute_proto.iter().find(|other| other.name() == reference);
        // Without a value, the node has no such attribute.
        let Some(value) = call.attribute(reference).or_else(default) else { continue };
        attributes.push(AttributeProto { name: attribute.name.clone(), ..value.clone() });
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests;
