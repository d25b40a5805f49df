//! Data of other files, put into the model.

use crate::Error;
use crate::proto::{GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};
use crate::tensor::{ModelFolder, TensorValue, is_external};

/// Reads all tensors of a model whose data is in other files of its folder, and puts the data into the model.
///
/// Returns how many there were. The folder is the permission: nothing outside of it is read.
///
/// # Errors
/// Those of [`TensorValue::from_proto_in`].
pub fn embed_external(model: &mut ModelProto, folder: &ModelFolder) -> Result<usize, Error> {
    let mut count = 0;
    if let Some(graph) = &mut model.graph {
        count += in_graph(graph, folder)?;
    }
    for function in &mut model.functions {
        for node in &mut function.node {
            count += in_node(node, folder)?;
        }
    }
    Ok(count)
}

fn in_graph(graph: &mut GraphProto, folder: &ModelFolder) -> Result<usize, Error> {
    let mut count = 0;
    for tensor in &mut graph.initializer {
        count += in_tensor(tensor, folder)?;
    }
    for tensor in &mut graph.sparse_initializer {
        count += in_sparse(tensor, folder)?;
    }
    for node in &mut graph.node {
        count += in_node(node, folder)?;
    }
    Ok(count)
}

fn in_node(node: &mut NodeProto, folder: &ModelFolder) -> Result<usize, Error> {
    let mut count = 0;
    for attribute in &mut node.attribute {
        for tensor in attribute.t.as_deref_mut().into_iter().chain(&mut attribute.tensors) {
            count += in_tensor(tensor, folder)?;
        }
        let sparse = attribute.sparse_tensor.as_deref_mut().into_iter();
        for tensor in sparse.chain(&mut attribute.sparse_tensors) {
            count += in_sparse(tensor, folder)?;
        }
        for graph in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
            count += in_graph(graph, folder)?;
        }
    }
    Ok(count)
}

fn in_sparse(tensor: &mut SparseTensorProto, folder: &ModelFolder) -> Result<usize, Error> {
    let mut count = 0;
    for part in tensor.values.iter_mut().chain(&mut tensor.indices) {
        count += in_tensor(part, folder)?;
    }
    Ok(count)
}

fn in_tensor(tensor: &mut TensorProto, folder: &ModelFolder) -> Result<usize, Error> {
    if !is_external(tensor) {
        return Ok(0);
    }
    let value = TensorValue::from_proto_in(tensor, folder)?;
    // Name, words and notes stay.
    tensor.raw_data = value.to_proto(tensor.name()).raw_data;
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(1)
}
