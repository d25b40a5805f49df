//! Is the graph of a model one that can be run? In which order?
//!
//! What is checked is what every executor needs and no operator: that each name stands for one
//! tensor, that whatever is used is defined, that nothing depends on itself, and that stored
//! tensors and attributes are what they say they are. Which operators there are, and what they do
//! with their inputs, is the executor's business.

mod graph;
mod order;
mod stored;

use std::collections::BTreeSet;

use crate::proto::{FunctionProto, GraphProto, ModelProto, OperatorSetIdProto, TrainingInfoProto};
use crate::text::quoted;
use crate::{Error, ErrorKind};

/// Checks a model. Returns the places of `graph.node` in an order in which they can be run.
///
/// Nodes whose file is in order keep that order. Graphs inside of nodes and functions are checked,
/// too; graphs for training are not, as nothing here runs them.
///
/// # Errors
/// [`ErrorKind::Graph`], [`ErrorKind::Attribute`], [`ErrorKind::Tensor`] or
/// [`ErrorKind::Unsupported`], naming the node and the tensor.
/// # Examples
/// ```
/// use fewbit_onnx::check::validate;
/// use fewbit_onnx::proto::{GraphProto, ModelProto, NodeProto};
///
/// let node = NodeProto { op_type: Some("Relu".into()), input: vec!["x".into()], ..Default::default() };
/// let graph = GraphProto { node: vec![node], ..Default::default() };
/// let error = validate(&ModelProto { graph: Some(graph), ..Default::default() }).unwrap_err();
/// assert!(error.to_string().contains("input 0 is `x`, which nothing defines"), "{error}");
/// ```
pub fn validate(model: &ModelProto) -> Result<Vec<usize>, Error> {
    operator_sets(&model.opset_import)?;
    let mut names = BTreeSet::new();
    for function in &model.functions {
        if !names.insert((function.domain(), function.name(), function.overload())) {
            return Err(Error::new(ErrorKind::Graph, "two functions of one name")
                .within(function_place(function)));
        }
        check_function(function).map_err(|error| error.within(function_place(function)))?;
    }
    let graph = model.graph.as_ref().ok_or_else(|| {
        let only_trained = model.training_info.iter().any(TrainingInfoProto::has_graph);
        let found =
            if only_trained { "only graphs for training" } else { "the model has no graph" };
        Error::new(ErrorKind::Graph, found).expected("a graph")
    })?;
    let order = graph::check(graph, None, graph::Inside::Model)?.order;
    imported(model, graph)?;
    Ok(order)
}

/// That the standard operators have a version. Others need not: the first quantizer files lack theirs.
fn imported(model: &ModelProto, graph: &GraphProto) -> Result<(), Error> {
    let is_standard = |domain: &str| standard_is_empty(domain).is_empty();
    // The first two versions of the format had one operator set and did not name it.
    if model.ir_version() < 3 || model.opset_import.iter().any(|set| is_standard(set.domain())) {
        return Ok(());
    }
    match graph.node.iter().find(|node| is_standard(node.domain())) {
        None => Ok(()),
        Some(node) => {
            Err(Error::new(ErrorKind::Graph, "the standard operator set is not imported")
                .expected("its version")
                .within(node.label()))
        }
    }
}

impl TrainingInfoProto {
    fn has_graph(&self) -> bool {
        self.initialization.is_some() || self.algorithm.is_some()
    }
}

/// That no operator set is there twice, and that each has a version.
fn operator_sets(sets: &[OperatorSetIdProto]) -> Result<(), Error> {
    let mut domains = BTreeSet::new();
    for set in sets {
        let domain = standard_is_empty(set.domain());
        let place = || format!("operator set {}", quoted(set.domain()));
        if !domains.insert(domain) {
            return Err(Error::new(ErrorKind::Graph, "it is imported twice").within(place()));
        }
        if set.version() < 1 {
            let found = format_args!("version {}", set.version());
            return Err(Error::new(ErrorKind::Graph, found).expected("at least 1").within(place()));
        }
    }
    Ok(())
}

/// The standard domain has two names.
fn standard_is_empty(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// A function is a graph without stored tensors and without types.
fn check_function(function: &FunctionProto) -> Result<(), Error> {
    operator_sets(&function.opset_import)?;
    let named = |name: &String| crate::proto::ValueInfoProto {
        name: Some(name.clone()),
        ..Default::default()
    };
    let body = GraphProto {
        node: function.node.clone(),
        input: function.input.iter().map(named).collect(),
        output: function.output.iter().map(named).collect(),
        value_info: function.value_info.clone(),
        ..GraphProto::default()
    };
    graph::check(&body, None, graph::Inside::Function).map(|_| ())
}

fn function_place(function: &FunctionProto) -> String {
    format!("function {}", quoted(function.name()))
}

#[cfg(test)]
mod tests;
