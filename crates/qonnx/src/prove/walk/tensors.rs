//! Operators that only move values, and scales.

use std::sync::Arc;

use fewbit_onnx::proto::NodeProto;

use super::super::function::is_monotone;
use super::super::graph::Node;
use super::super::set::Set;
use super::{Fact, Walk};
use crate::Value;
use crate::value::Data;

impl Walk<'_> {
    /// The largest value of each window: taking it and applying functions that never turn back can be exchanged.
    pub(super) fn maximum(&mut self, node: &Node<'_>) {
        let Some(tensor) = node.computed().next().map(str::to_owned) else { return };
        let fact = self.fact(&tensor);
        if fact.pending.to_vec().iter().all(|&index| is_monotone(&self.graph.nodes[index])) {
            let source = if fact.pending.is_empty() {
                node.output().to_owned()
            } else {
                fact.source.clone()
            };
            return self.know(node, Fact { source, ..fact });
        }
        let fact = self.settled(&tensor);
        self.know(node, Fact { source: node.output().to_owned(), ..fact });
    }

    /// The same values in another shape.
    pub(super) fn reshaped(&mut self, node: &Node<'_>) {
        let Some(tensor) = node.computed().next().map(str::to_owned) else { return };
        let fact = self.settled(&tensor);
        let (from, to) =
            (self.graph.shape(&tensor).to_vec(), self.graph.shape(node.output()).to_vec());
        let source = node.output().to_owned();
        let (before, after) = (from.get(..fact.axis), to.get(..fact.axis));
        let fact = if fact.sets.len() == 1 {
            Fact { source, axis: usize::from(to.len() > 1), ..fact }
        } else if before.is_some() && before == after && from.get(fact.axis) == to.get(fact.axis) {
            Fact { source, ..fact }
        } else if before.is_some() && before == after && to.len() == fact.axis + 1 {
            // All axes from the channels on become one.
            let inner = to[fact.axis] / fact.sets.len();
            let sets = fact.sets.iter().flat_map(|set| vec![Arc::clone(set); inner]).collect();
            Fact { source, sets, ..fact }
        } else {
            Fact { source, axis: 0, sets: vec![Arc::new(fact.together())], ..fact }
        };
        self.know(node, fact);
    }

    pub(super) fn transposed(&mut self, node: &Node<'_>) {
        let Some(tensor) = node.computed().next().map(str::to_owned) else { return };
        let fact = self.settled(&tensor);
        let rank = self.graph.shape(&tensor).len();
        let axis = match node.ints("perm") {
            Some(perm) => perm.iter().position(|&from| usize::try_from(from) == Ok(fact.axis)),
            None => rank.checked_sub(fact.axis + 1),
        };
        let source = node.output().to_owned();
        self.know(node, Fact { source, axis: axis.unwrap_or(0), ..fact });
    }

    /// Values of several tensors, or some of one.
    pub(super) fn moved(&mut self, node: &Node<'_>) {
        let inputs: Vec<String> = node.computed().map(str::to_owned).collect();
        let facts: Vec<Fact> = inputs.iter().map(|tensor| self.settled(tensor)).collect();
        let mut all = facts[0].together();
        for fact in &facts[1..] {
            all = all.union(&fact.together());
        }
        if matches!(node.operator_name(), "Concat" | "Pad") {
            if node.operator_name() == "Pad" {
                all = all.with_zero();
            }
            for constant in (0..node.inputs.len()).filter_map(|index| node.constant(index)) {
                if let Data::F32(values) = constant.value().data()
                    && values.iter().all(|v| v.is_finite())
                {
                    all = all.union(&Set::list(values.to_vec()));
                }
            }
        }
        let uneven = facts.into_iter().find_map(|fact| fact.uneven);
        let axis = usize::from(self.graph.shape(node.output()).len() > 1);
        self.know(node, Fact { uneven, ..Fact::new(node.output(), axis, vec![all]) });
    }
}

/// Tells of a scale that is no power of two.
pub(super) fn uneven_scale(
    node: &NodeProto,
    constant: impl Fn(&str) -> Option<Value>,
) -> Option<String> {
    let input = match node.op_type() {
        "Quant" | "IntQuant" | "FloatQuant" | "BipolarQuant" | "DequantizeLinear" => 1,
        "Trunc" => node.input.len().checked_sub(2).filter(|_| node.input.len() == 6)?,
        "MultiThreshold" => {
            let scale = node.float("out_scale").ok().flatten().unwrap_or(1.0);
            return (!is_power_of_two(scale)).then(|| told(node, scale, 1));
        }
        _ => return None,
    };
    let value = constant(node.input.get(input)?)?;
    let scales = value.as_slice::<f32>()?;
    let first = scales.iter().find(|scale| !is_power_of_two(**scale))?;
    Some(told(node, *first, scales.len()))
}

fn told(node: &NodeProto, scale: f32, count: usize) -> String {
    let name = if node.name().is_empty() {
        node.output.first().map_or("", String::as_str)
    } else {
        node.name()
    };
    let many = if count > 1 { format!(", one of {count},") } else { String::new() };
    format!("the scale {scale}{many} of {name} is no power of two")
}

fn is_power_of_two(scale: f32) -> bool {
    scale.is_normal() && scale.to_bits() & 0x007f_ffff == 0
}
