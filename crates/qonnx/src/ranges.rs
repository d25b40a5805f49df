//! Which values a tensor can have at all: bounds for every input, and how wide the sums of codes become.
//!
//! [`Ranges::of`] computes with intervals, element by element: each operator is run on the lower and on the upper bounds of
//! its inputs. That is exact for a single operator that never turns back (quantizers, rectifiers, batch normalization,
//! pooling, sums, ...) and for products with constants, whose positive and negative weights are applied separately. What
//! depends on each other is not known to do so: bounds are never too narrow, but may be too wide. Where products are
//! rounded, bounds are widened by what all roundings together can come to.
//!
//! Accumulators are counted on codes, in exact integers: the largest sum of positive and of negative products that
//! inputs within their bounds can give with the weights of the file, so that no order of additions can exceed them.

mod accumulators;
mod bounds;

pub use accumulators::AccumulatorRange;

use std::collections::BTreeMap;

use fewbit_onnx::proto::ModelProto;
use serde::Serialize;

use crate::error::Error;
use crate::facts::Facts;
use crate::prove::InputValues;
use crate::prove::graph::{Graph, Node, Operand};
use bounds::{Bounds, HUGE};

/// The bounds of all tensors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranges {
    /// The inputs that the bounds are about.
    pub inputs: String,
    /// The tensors that depend on the input, in the order of computation.
    pub tensors: Vec<TensorRange>,
    /// The sums of products.
    pub accumulators: Vec<AccumulatorRange>,
}

/// The bounds of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorRange {
    /// Its name.
    pub name: String,
    /// The operator that makes it.
    pub operator: String,
    /// The smallest value in any place; nothing if there is no bound.
    pub lowest: Option<f32>,
    /// The largest value in any place; nothing if there is no bound.
    pub highest: Option<f32>,
    /// The number of channels: the extent of the second axis, or of the last where channels are behind.
    pub channels: usize,
    /// Channels with one value for every input and in every place, and that value; of quantizers only.
    pub stuck_channels: Vec<StuckChannel>,
}

/// A channel that has one value for every input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StuckChannel {
    /// Which one.
    pub channel: usize,
    /// The value.
    pub value: f32,
}

impl Ranges {
    /// Finds the bounds of all tensors of a model for inputs of these values.
    ///
    /// Numbers above `1e30` are not considered: they overflow before they are quantized.
    ///
    /// # Errors
    /// Those of [`Model::from_proto`](crate::Model::from_proto) and of a run.
    pub fn of(model: &ModelProto, inputs: &InputValues) -> Result<Self, Error> {
        let facts = Facts::new(model)?;
        let graph = Graph::new(model)?;
        let mut known = BTreeMap::new();
        for input in graph.model.inputs() {
            let shape = graph.shape(input.name()).to_vec();
            known.insert(input.name().to_owned(), Bounds::of_input(input.dtype(), shape, inputs));
        }
        let formats = facts.formats(crate::facts::Rules::Complete);
        let (mut tensors, mut accumulators) = (Vec::new(), Vec::new());
        for node in &graph.nodes {
            if let Some(found) = accumulators::of(&graph, node, &known, &formats) {
                accumulators.push(found);
            }
            let results = bounds::results(&graph, node, &known);
            for (output, bounds) in node.proto.output.iter().zip(results) {
                if output.is_empty() {
                    continue;
                }
                tensors.push(summary(node, output, &bounds));
                known.insert(output.clone(), bounds);
            }
        }
        Ok(Self { inputs: inputs.to_string(), tensors, accumulators })
    }
}

/// What makes codes.
fn quantizes(operator: &str) -> bool {
    matches!(
        operator,
        "Quant"
            | "IntQuant"
            | "FloatQuant"
            | "BipolarQuant"
            | "MultiThreshold"
            | "Trunc"
            | "QuantizeLinear"
            | "DequantizeLinear"
    )
}

fn summary(node: &Node<'_>, output: &str, bounds: &Bounds) -> TensorRange {
    let mut range = TensorRange {
        name: output.to_owned(),
        operator: node.operator_name().to_owned(),
        lowest: None,
        highest: None,
        channels: 1,
        stuck_channels: Vec::new(),
    };
    let axis = channel_axis(node, bounds.shape().len());
    if let Some(axis) = axis {
        range.channels = bounds.shape()[axis];
    }
    let Some(channels) = bounds.channels(axis) else { return range };
    let finite = |v: f32| Some(v).filter(|v| v.abs() < HUGE);
    range.lowest = finite(channels.iter().map(|c| c.0).fold(f32::INFINITY, f32::min));
    range.highest = finite(channels.iter().map(|c| c.1).fold(f32::NEG_INFINITY, f32::max));
    if quantizes(node.operator_name()) {
        let stuck = channels.iter().enumerate().filter(|(_, (low, high))| low == high);
        range.stuck_channels = stuck
            .map(|(channel, (value, _))| StuckChannel { channel, value: *value + 0.0 })
            .collect();
    }
    range
}

/// Where the channels of a result are.
fn channel_axis(node: &Node<'_>, rank: usize) -> Option<usize> {
    let behind = node.proto.domain() == crate::facts::CHANNELS_LAST
        || node
            .proto
            .string("data_layout")
            .ok()
            .flatten()
            .is_some_and(|layout| layout.ends_with('C'));
    match rank {
        0 | 1 => None,
        _ if behind => Some(rank - 1),
        _ => Some(1),
    }
}

/// The bounds of an input of a node.
fn operand<'k>(operand: &'k Operand, known: &'k BTreeMap<String, Bounds>) -> Option<&'k Bounds> {
    match operand {
        Operand::Computed(name) => known.get(name),
        _ => None,
    }
}
