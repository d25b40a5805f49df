//! Puts a file in order: shapes of all tensors, constants folded, unused parts removed, readable unique names.
//!
//! What `qonnx-cleanup` of qonnx 1.0.0 does, in its way of naming (`Conv_0`, `Conv_0_out0`, `Conv_0_param0`, `global_in`,
//! `global_out`), and what consumers ask for beside it: quantizers of weights stay nodes (those of minifloats, too), sizes
//! that a graph computes for a fixed batch become constants, windows are stated in full, attributes are in alphabetical
//! order, operators of QONNX are in the domain of today.
//!
//! [`compare`](crate::equivalence::compare) executes both files on the same inputs.

mod fold;
mod names;
mod tidy;

pub(crate) use fold::tensor;

use std::collections::BTreeMap;

use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::ModelProto;
use serde::Serialize;

use crate::error::{Error, Fault};
use crate::facts::Facts;

/// What is done beside putting a file in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanConfig {
    /// The number of items that the file computes at once; as it is, if there is none.
    pub batch: Option<usize>,
    /// What becomes of the quantizers of weights.
    pub quantizers: Quantizers,
    /// What becomes of the biases of convolutions.
    pub conv_bias: ConvBias,
}

/// What becomes of quantizers whose results are the same for every input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantizers {
    /// They stay nodes, so that formats and scales stay in the file.
    #[default]
    Kept,
    /// Their results are stored.
    Folded,
}

/// What becomes of the biases of convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvBias {
    /// They stay inputs of the convolution.
    #[default]
    Kept,
    /// They are added by a node of their own.
    Extracted,
}

/// A file in order.
#[derive(Clone, Debug)]
pub struct Cleaned {
    /// The file.
    pub model: ModelProto,
    /// What was done.
    pub changes: Changes,
}

/// What was done, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Nodes before and after.
    pub nodes_before: usize,
    /// Nodes before and after.
    pub nodes_after: usize,
    /// Nodes whose results are stored now.
    pub folded_nodes: usize,
    /// Transposes that went into the stored weights of a quantizer.
    pub folded_transposes: usize,
    /// Nodes that did nothing, or whose results nothing used.
    pub removed_nodes: usize,
    /// Stored tensors that nothing used.
    pub removed_tensors: usize,
    /// Stored tensors that were listed as inputs.
    pub removed_inputs: usize,
    /// Parameters that several nodes had shared.
    pub copied_parameters: usize,
    /// Biases that have a node of their own now.
    pub extracted_biases: usize,
    /// Nodes that are in the domain of today now.
    pub moved_domains: usize,
    /// Tensors whose shapes were not in the file.
    pub added_shapes: usize,
    /// Tensors by their old names.
    pub renamed_tensors: BTreeMap<String, String>,
}

/// Puts a file in order.
///
/// # Errors
/// Those of [`Model::from_proto`](crate::Model::from_proto) and of a run, as shapes are found by running the file.
pub fn clean(model: &ModelProto, config: CleanConfig) -> Result<Cleaned, Error> {
    let mut graph = Graph::new(model.clone()).map_err(Error::onnx)?;
    let mut changes = Changes { nodes_before: graph.nodes().count(), ..Changes::default() };
    changes.moved_domains = tidy::domains(&mut graph);
    changes.removed_inputs = graph.remove_stored_inputs();
    if let Some(batch) = config.batch {
        if batch == 0 {
            let fault = Fault::value("the batch", 0, "one item or more");
            return Err(Error::tensor("clean", fault));
        }
        tidy::batch(&mut graph, batch);
    }
    fold::constants(&mut graph, config.quantizers, &mut changes)?;
    fold::transposes(&mut graph, &mut changes)?;
    changes.removed_nodes += tidy::identities(&mut graph);
    let removed = graph.remove_unused();
    changes.removed_nodes += removed.nodes;
    changes.removed_tensors += removed.stored;
    if config.conv_bias == ConvBias::Extracted {
        changes.extracted_biases = tidy::biases(&mut graph)?;
    }
    tidy::attributes(&mut graph);
    changes.copied_parameters = names::unique_parameters(&mut graph)?;
    let cleaned = graph.into_model().map_err(Error::onnx)?;
    let mut graph = Graph::new(cleaned).map_err(Error::onnx)?;
    changes.renamed_tensors = names::readable(&mut graph)?;
    let cleaned = graph.clone().into_model().map_err(Error::onnx)?;
    changes.added_shapes = shapes(&mut graph, &cleaned)?;
    changes.nodes_after = graph.nodes().count();
    let model = graph.into_model().map_err(Error::onnx)?;
    Ok(Cleaned { model, changes })
}

/// States the type and shape of each tensor that a node makes.
fn shapes(graph: &mut Graph, model: &ModelProto) -> Result<usize, Error> {
    let facts = Facts::new(model)?;
    runnable(&facts)?;
    let batched = graph
        .inputs()
        .all(|name| graph.shape(name).is_some_and(|shape| shape.iter().all(Option::is_some)));
    if !batched {
        // With an open batch, shapes of a run are not those of the file.
        return Ok(0);
    }
    let outputs: Vec<String> = graph
        .nodes()
        .flat_map(|(_, node)| node.output.iter().filter(|name| !name.is_empty()).cloned())
        .collect();
    let mut added = 0;
    for name in outputs {
        let (Some(shape), Some(dtype)) = (facts.shape(&name), facts.dtype(&name)) else { continue };
        let stated =
            graph.shape(&name).and_then(|shape| shape.into_iter().collect::<Option<Vec<_>>>());
        added += usize::from(stated.as_ref() != Some(&shape));
        if let Some(number) = fold::data_type(dtype) {
            graph.set_type(&name, number, &shape);
        }
    }
    Ok(added)
}

/// The error of a file that cannot be run.
fn runnable(facts: &Facts<'_>) -> Result<(), Error> {
    match facts.not_run() {
        None => Ok(()),
        // Made anew, as errors cannot be copied.
        Some(_) => crate::Model::from_proto(facts.proto(), crate::Options::default())
            .and_then(|model| crate::model::shapes(&model).map(drop)),
    }
}
