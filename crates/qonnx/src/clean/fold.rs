//! Nodes whose results are known become stored tensors.

use std::collections::{BTreeMap, BTreeSet};

use fewbit_onnx::graph::{Graph, NodeId};
use fewbit_onnx::proto::tensor_proto::DataType;
use fewbit_onnx::tensor::{TensorData, TensorValue};

use super::{Changes, Quantizers, runnable};
use crate::Model;
use crate::error::Error;
use crate::facts::Facts;
use crate::value::{DType, Data, Value};

/// Quantizers that stay nodes.
const QUANTIZERS: [&str; 7] = [
    "Quant",
    "IntQuant",
    "FloatQuant",
    "BipolarQuant",
    "Trunc",
    "QuantizeLinear",
    "DequantizeLinear",
];

/// Stores the results of nodes that depend on nothing, or on shapes alone.
pub(super) fn constants(
    graph: &mut Graph,
    quantizers: Quantizers,
    changes: &mut Changes,
) -> Result<(), Error> {
    let model = graph.clone().into_model().map_err(Error::onnx)?;
    let facts = Facts::new(&model)?;
    runnable(&facts)?;
    let executor = facts.model().expect("it can be run");
    let sizes = sizes(graph, &facts, executor)?;
    // Behind a quantizer that stays, nothing can be stored.
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for id in graph.sorted() {
        let node = graph.node(id);
        let outputs: Vec<String> =
            node.output.iter().filter(|name| !name.is_empty()).cloned().collect();
        let known = outputs.iter().all(|name| facts.is_constant(name) || sizes.contains_key(name));
        if !known || outputs.is_empty() {
            continue;
        }
        let stays = quantizers == Quantizers::Kept
            && (QUANTIZERS.contains(&node.op_type())
                || node.input.iter().any(|name| kept.contains(name)));
        if stays || outputs.iter().any(|name| graph.is_output(name)) {
            kept.extend(outputs);
            continue;
        }
        let value = |name: &String| {
            let value = sizes.get(name).cloned().or_else(|| facts.constant(name));
            Some((name.clone(), tensor(&value?)?))
        };
        let Some(values) = outputs.iter().map(value).collect::<Option<Vec<_>>>() else {
            kept.extend(outputs);
            continue;
        };
        graph.remove(id);
        for (name, value) in values {
            graph.store(&name, &value);
        }
        changes.folded_nodes += 1;
    }
    Ok(())
}

/// What is computed from the shapes of tensors alone, if all inputs have fixed shapes.
fn sizes(
    graph: &Graph,
    facts: &Facts<'_>,
    model: &Model,
) -> Result<BTreeMap<String, Value>, Error> {
    let fixed =
        |name: &str| graph.shape(name).is_some_and(|shape| shape.iter().all(Option::is_some));
    if !graph.inputs().all(fixed) {
        return Ok(BTreeMap::new());
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    for id in graph.sorted() {
        let node = graph.node(id);
        let known =
            |name: &String| name.is_empty() || facts.is_constant(name) || names.contains(name);
        let constant = node.output.iter().all(|name| name.is_empty() || facts.is_constant(name));
        if !constant && (node.op_type() == "Shape" || node.input.iter().all(known)) {
            names.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut inputs = Vec::new();
    for input in model.inputs() {
        let shape: Vec<usize> =
            input.shape().unwrap_or(&[]).iter().map(|extent| extent.unwrap_or(1)).collect();
        let zeros = Data::zeros(input.dtype().unwrap_or(DType::F32), shape.iter().product());
        inputs.push((input.name(), Value::of(shape, zeros)));
    }
    let keep: Vec<&str> = names.iter().map(String::as_str).collect();
    let outputs = model.run(&inputs, &keep)?;
    let value = |name: &String| Some((name.clone(), outputs.get(name)?.clone()));
    Ok(names.iter().filter_map(value).collect())
}

/// Transposes behind a quantizer of stored weights go into what is stored.
pub(super) fn transposes(graph: &mut Graph, changes: &mut Changes) -> Result<(), Error> {
    for id in graph.sorted() {
        if graph.node(id).op_type() != "Transpose" {
            continue;
        }
        let Some(quantizer) = movable(graph, id) else { continue };
        let transpose = graph.node(id).clone();
        let perm = transpose.ints("perm").map_err(Error::onnx)?.map(<[i64]>::to_vec);
        let mut moved = Vec::new();
        let mut possible = true;
        for name in graph.node(quantizer).input.clone() {
            let Some(stored) = graph.stored(&name) else {
                possible = false;
                break;
            };
            let value = TensorValue::from_proto(stored).map_err(Error::onnx)?;
            // One number fits every shape.
            if value.element_count() == 1 {
                continue;
            }
            match transposed(&value, perm.as_deref()) {
                Some(value) => moved.push((name, value)),
                None => possible = false,
            }
        }
        if !possible {
            continue;
        }
        let mut replaced = BTreeMap::new();
        for (name, value) in moved {
            // Others may use the tensor as it is.
            let alone = graph.users(&name).len() == 1;
            let new = if alone { name.clone() } else { graph.fresh(&format!("{name}_transposed")) };
            graph.store(&new, &value);
            replaced.insert(name, new);
        }
        let output = transpose.output[0].clone();
        graph.remove(id);
        graph.edit(quantizer, |node| {
            node.output[0] = output;
            for name in &mut node.input {
                if let Some(new) = replaced.get(name.as_str()) {
                    name.clone_from(new);
                }
            }
        });
        changes.folded_transposes += 1;
    }
    Ok(())
}

/// The quantizer of stored weights in front of a node, if nothing else uses its result.
fn movable(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let input = graph.node(id).input.first()?;
    let quantizer = graph.maker(input)?;
    let node = graph.node(quantizer);
    let alone = graph.users(input).len() == 1 && !graph.is_output(input);
    let stored = node.input.iter().all(|name| graph.stored(name).is_some());
    let known = matches!(node.op_type(), "Quant" | "IntQuant" | "FloatQuant" | "BipolarQuant");
    (known && alone && stored).then_some(quantizer)
}

/// The tensor with its axes in another order; nothing if it has other axes.
fn transposed(value: &TensorValue, perm: Option<&[i64]>) -> Option<TensorValue> {
    let TensorData::F32(values) = value.data() else { return None };
    let dims = value.dims();
    let reversed: Vec<usize> = (0..dims.len()).rev().collect();
    let perm = match perm {
        None => reversed,
        Some(perm) => {
            perm.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<Vec<_>>>()?
        }
    };
    if perm.len() != dims.len() || perm.iter().any(|&axis| axis >= dims.len()) {
        return None;
    }
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    let shape: Vec<usize> = perm.iter().map(|&axis| dims[axis]).collect();
    let mut out = Vec::with_capacity(values.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..values.len() {
        let place: usize = index.iter().zip(&perm).map(|(i, &axis)| i * strides[axis]).sum();
        out.push(values[place]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    TensorValue::new(shape, out).ok()
}

/// A value as a file stores it; nothing for types that are packed there.
pub(crate) fn tensor(value: &Value) -> Option<TensorValue> {
    let shape = value.shape().to_vec();
    let stored = match value.data() {
        Data::F32(values) => TensorValue::new(shape, values.to_vec()),
        Data::F64(values) => TensorValue::new(shape, values.to_vec()),
        Data::F16(values) => {
            let bits = values.iter().map(|value| value.to_bits()).collect();
            TensorValue::new(shape, TensorData::F16(bits))
        }
        Data::Bf16(values) => {
            let bits = values.iter().map(|value| value.to_bits()).collect();
            TensorValue::new(shape, TensorData::Bf16(bits))
        }
        Data::I8(values) => TensorValue::new(shape, values.to_vec()),
        Data::I16(values) => TensorValue::new(shape, values.to_vec()),
        Data::I32(values) => TensorValue::new(shape, values.to_vec()),
        Data::I64(values) => TensorValue::new(shape, values.to_vec()),
        Data::U8(values) => TensorValue::new(shape, values.to_vec()),
        Data::U16(values) => TensorValue::new(shape, values.to_vec()),
        Data::U32(values) => TensorValue::new(shape, values.to_vec()),
        Data::U64(values) => TensorValue::new(shape, values.to_vec()),
        Data::Bool(values) => TensorValue::new(shape, values.to_vec()),
        _ => return None,
    };
    stored.ok()
}

/// The number of an element type in files.
pub(crate) fn data_type(dtype: DType) -> Option<DataType> {
    let all = (1..=28).filter_map(|number| DataType::try_from(number).ok());
    let same = |number: DataType| {
        crate::ops::data_type(number as i64, "").is_ok_and(|known| known == dtype)
    };
    all.into_iter().find(|&number| same(number))
}
