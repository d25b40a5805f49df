//! Domains, batch, attributes, and nodes that do nothing.

use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::attribute_proto::AttributeType;
use fewbit_onnx::proto::{AttributeProto, NodeProto};
use fewbit_onnx::tensor::{TensorData, TensorValue};

use crate::error::Error;
use crate::ops::QUANTIZATION_DOMAINS;

/// The domain of today.
const DOMAIN: &str = QUANTIZATION_DOMAINS[0];

/// Moves the operators of QONNX to the domain of today.
pub(super) fn domains(graph: &mut Graph) -> usize {
    let old: Vec<_> = graph
        .nodes()
        .filter(|(_, node)| QUANTIZATION_DOMAINS[1..].contains(&node.domain()))
        .map(|(id, node)| (id, graph.operator_set(node.domain()).unwrap_or(1)))
        .collect();
    for &(id, version) in &old {
        graph.edit(id, |node| node.domain = Some(DOMAIN.to_owned()));
        graph.require(DOMAIN, version);
    }
    if graph.nodes().any(|(_, node)| node.domain() == DOMAIN) {
        graph.require(DOMAIN, 1);
    }
    old.len()
}

/// Fixes the batch; constant shapes of `Reshape` that begin with the old one follow.
pub(super) fn batch(graph: &mut Graph, batch: usize) {
    let inputs: Vec<String> = graph.inputs().map(str::to_owned).collect();
    let mut old = None;
    for name in inputs {
        let (Some(shape), Some(kind)) = (graph.shape(&name), graph.element_type(&name)) else {
            continue;
        };
        let Some((first, rest)) = shape.split_first() else { continue };
        old = old.or(*first);
        // Other extents that are open stay open.
        if let Some(rest) = rest.iter().copied().collect::<Option<Vec<usize>>>() {
            let shape: Vec<usize> = std::iter::once(batch).chain(rest).collect();
            graph.set_type(&name, kind, &shape);
        }
    }
    graph.forget_shapes();
    let reshapes: Vec<String> = graph
        .nodes()
        .filter(|(_, node)| node.op_type() == "Reshape")
        .filter_map(|(_, node)| node.input.get(1).cloned())
        .collect();
    for name in reshapes {
        let Some(stored) = graph.stored(&name) else { continue };
        let Ok(value) = TensorValue::from_proto(stored) else { continue };
        let (dims, data) = value.into_parts();
        let TensorData::I64(mut shape) = data else { continue };
        let Some(first) = shape.first_mut() else { continue };
        if usize::try_from(*first).is_ok_and(|first| Some(first) == old) {
            *first = batch as i64;
            if let Ok(value) = TensorValue::new(dims, shape) {
                graph.store(&name, &value);
            }
        }
    }
}

/// Takes out nodes whose result is their input.
pub(super) fn identities(graph: &mut Graph) -> usize {
    let mut removed = 0;
    for id in graph.sorted() {
        let node = graph.node(id);
        let idle = matches!(node.op_type(), "Identity" | "Dropout")
            && matches!(node.domain(), "" | "ai.onnx");
        let (Some(from), Some(to)) = (node.output.first().cloned(), node.input.first().cloned())
        else {
            continue;
        };
        let mask = node
            .output
            .get(1)
            .is_some_and(|mask| !graph.users(mask).is_empty() || graph.is_output(mask));
        if !idle || mask || graph.is_output(&from) {
            continue;
        }
        graph.redirect(&from, &to);
        graph.remove(id);
        removed += 1;
    }
    removed
}

/// Gives the biases of convolutions nodes of their own.
pub(super) fn biases(graph: &mut Graph) -> Result<usize, Error> {
    let mut extracted = 0;
    for id in graph.sorted() {
        let node = graph.node(id);
        if node.op_type() != "Conv" || node.input.get(2).is_none_or(String::is_empty) {
            continue;
        }
        let (bias, output) = (node.input[2].clone(), node.output[0].clone());
        let Some(stored) = graph.stored(&bias) else { continue };
        let value = TensorValue::from_proto(stored).map_err(Error::onnx)?;
        let rank = graph
            .stored(&node.input[1])
            .map(|weights| weights.dims.len())
            .or_else(|| graph.shape(&node.input[1]).map(|shape| shape.len()));
        let Some(rank) = rank.filter(|&rank| rank > 2) else { continue };
        let channels = value.element_count();
        let shape: Vec<usize> =
            [1, channels].into_iter().chain(std::iter::repeat_n(1, rank - 2)).collect();
        let value = TensorValue::new(shape, value.into_parts().1).map_err(Error::onnx)?;
        let name = graph.fresh(&format!("{bias}_bias"));
        let sum = graph.fresh(&format!("{output}_without_bias"));
        graph.store(&name, &value);
        graph.edit(id, |node| {
            node.input.truncate(2);
            node.output[0].clone_from(&sum);
        });
        graph
            .add(NodeProto {
                op_type: Some("Add".to_owned()),
                input: vec![sum, name],
                output: vec![output],
                ..NodeProto::default()
            })
            .map_err(Error::onnx)?;
        extracted += 1;
    }
    Ok(extracted)
}

/// States windows in full, and puts attributes in alphabetical order.
pub(super) fn attributes(graph: &mut Graph) {
    let ids: Vec<_> = graph.nodes().map(|(id, _)| id).collect();
    for id in ids {
        let node = graph.node(id);
        let kernel =
            node.input.get(1).and_then(|name| graph.stored(name)).map(|tensor| tensor.dims.clone());
        let added = windows(node, kernel.as_deref());
        graph.edit(id, |node| {
            node.attribute.extend(added);
            node.attribute.sort_by(|a, b| a.name().cmp(b.name()));
        });
    }
}

/// The attributes of a window that are left to their defaults.
fn windows(node: &NodeProto, weights: Option<&[i64]>) -> Vec<AttributeProto> {
    let convolves = node.op_type() == "Conv";
    if !(convolves || matches!(node.op_type(), "MaxPool" | "AveragePool")) {
        return Vec::new();
    }
    let kernel = match node.ints("kernel_shape") {
        Ok(Some(kernel)) => Some(kernel.to_vec()),
        _ if matches!(node.domain(), "" | "ai.onnx") => {
            weights.filter(|dims| dims.len() > 2).map(|dims| dims[2..].to_vec())
        }
        _ => None,
    };
    let Some(kernel) = kernel else { return Vec::new() };
    let automatic = node.string("auto_pad").ok().flatten().is_some_and(|pad| pad != "NOTSET");
    let mut added = Vec::new();
    let mut default = |name: &str, values: Vec<i64>| {
        if node.attribute(name).is_none() {
            added.push(AttributeProto {
                name: Some(name.to_owned()),
                r#type: Some(AttributeType::Ints as i32),
                ints: values,
                ..AttributeProto::default()
            });
        }
    };
    let axes = kernel.len();
    default("kernel_shape", kernel);
    default("strides", vec![1; axes]);
    if !automatic {
        default("pads", vec![0; 2 * axes]);
    }
    if convolves {
        default("dilations", vec![1; axes]);
        if node.attribute("group").is_none() {
            added.push(AttributeProto {
                name: Some("group".to_owned()),
                r#type: Some(AttributeType::Int as i32),
                i: Some(1),
                ..AttributeProto::default()
            });
        }
    }
    added
}
