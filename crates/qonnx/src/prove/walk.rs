//! The walk through the graph: what is known about each tensor, and what is proved about each layer.

mod layers;
mod pending;
mod products;
mod tensors;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::certificate::{Disagreement, Layer, Output, Verdict};
use super::function::Function;
use super::graph::{Graph, Node};
use super::images::{PendingSum, Watch};
use super::set::Set;
use pending::Pending;

/// What is known about a tensor: a tensor that is the same in all engines, and the nodes that are still to be applied to it.
#[derive(Clone)]
pub(super) struct Fact {
    /// A tensor with equal bits in all engines.
    pub(super) source: String,
    /// Where its channels are.
    pub(super) axis: usize,
    /// Its values: one set for all channels, or one for each.
    pub(super) sets: Vec<Arc<Set>>,
    /// Nodes that work element by element, the first one first.
    pub(super) pending: Pending,
    /// Why its values lie on no small grid.
    pub(super) uneven: Option<String>,
    /// Set if engines may differ in the last bits of the source after all.
    loose: Option<Loose>,
}

/// A bias that engines add to a sum at different times.
#[derive(Clone, Copy)]
struct Loose {
    /// Place among the layers.
    layer: usize,
    /// The largest difference of two results.
    difference: f64,
}

/// The state of the walk.
pub(super) struct Walk<'g> {
    graph: &'g Graph<'g>,
    facts: HashMap<String, Fact>,
    pub(super) layers: Vec<Layer>,
    pub(super) pending: Vec<PendingSum>,
    pub(super) watches: Vec<Watch>,
    pub(super) conditions: BTreeSet<String>,
    pub(super) outputs: Vec<Output>,
}

impl Fact {
    fn new(source: &str, axis: usize, sets: Vec<Set>) -> Self {
        let sets = sets.into_iter().map(Arc::new).collect();
        Self {
            source: source.to_owned(),
            axis,
            sets,
            pending: Pending::default(),
            uneven: None,
            loose: None,
        }
    }

    fn any(source: &str) -> Self {
        Self::new(source, 0, vec![Set::any()])
    }

    /// One set with the values of all channels.
    fn together(&self) -> Set {
        let first = Set::clone(&self.sets[0]);
        self.sets[1..]
            .iter()
            .fold(first, |all, set| if all == **set { all } else { all.union(set) })
    }

    /// The sets of the channels along `axis`; one set for all if the channels are elsewhere.
    fn along(&self, axis: usize) -> Vec<Set> {
        if self.axis == axis || self.sets.len() == 1 {
            self.sets.iter().map(|set| Set::clone(set)).collect()
        } else {
            vec![self.together()]
        }
    }
}

impl<'g> Walk<'g> {
    /// Walks through the whole graph; the inputs have the values of `inputs`.
    pub(super) fn run(graph: &'g Graph<'g>, inputs: &Set) -> Self {
        let mut walk = Self {
            graph,
            facts: HashMap::new(),
            layers: Vec::new(),
            pending: Vec::new(),
            watches: Vec::new(),
            conditions: BTreeSet::new(),
            outputs: Vec::new(),
        };
        for input in graph.model.inputs() {
            walk.facts
                .insert(input.name().to_owned(), Fact::new(input.name(), 0, vec![inputs.clone()]));
        }
        for index in 0..graph.nodes.len() {
            walk.node(index);
        }
        for output in graph.model.outputs() {
            if graph.model.constant(output.name()).is_none() {
                walk.output(output.name());
            }
        }
        for operator in ["Sqrt", "Pow"] {
            if graph.folds(operator) {
                walk.conditions.insert(format!(
                    "the file computes a constant with {operator}, which the engine has to round correctly \
                     (PyTorch's square root does not on every machine)"
                ));
            }
        }
        walk
    }

    fn fact(&self, tensor: &str) -> Fact {
        self.facts.get(tensor).cloned().unwrap_or_else(|| Fact::any(tensor))
    }

    fn know(&mut self, node: &Node<'_>, fact: Fact) {
        self.facts.insert(node.output().to_owned(), fact);
    }

    fn node(&mut self, index: usize) {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let computed: Vec<&str> = node.computed().collect();
        match node.operator_name() {
            "Conv" | "MatMul" | "Gemm" => self.product(index),
            "Add" | "Sub" if computed.len() == 2 => self.addition(node),
            "Mul" | "Div" if computed.len() == 2 => {
                // One rounding each, the same everywhere; the values are anybody's guess.
                computed.iter().for_each(|tensor| drop(self.settled(tensor)));
                self.know(node, Fact::any(node.output()));
            }
            "Add" | "Sub" | "Mul" | "Div" | "Relu" | "BatchNormalization" | "Clip" | "Neg"
            | "Abs" | "Identity" | "Dropout" | "QuantizeLinear" => self.pend(index),
            "FloatQuant" | "Quant" | "IntQuant" | "BipolarQuant" | "MultiThreshold" | "Trunc"
            | "DequantizeLinear" => {
                self.quantizer(index);
            }
            "AveragePool" | "GlobalAveragePool" | "ReduceMean" => self.average(node),
            "MaxPool" | "GlobalMaxPool" => self.maximum(node),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshaped(node),
            "Transpose" => self.transposed(node),
            "Concat" | "Slice" | "Gather" | "Pad" => self.moved(node),
            "Shape" | "ArgMax" | "TopK" | "Cast" => {
                computed.iter().for_each(|tensor| drop(self.settled(tensor)));
                for output in node.proto.output.iter().filter(|name| !name.is_empty()) {
                    self.facts.insert(output.clone(), Fact::any(output));
                }
            }
            operator => {
                computed.iter().for_each(|tensor| drop(self.settled(tensor)));
                let reason = format!("engines compute {operator} with different last bits");
                self.layers.push(unproved(&node.name, operator, reason));
                self.know(node, Fact::any(node.output()));
            }
        }
    }

    /// What is known about a tensor once its pending nodes are applied; that is where engines can part.
    fn settled(&mut self, tensor: &str) -> Fact {
        let fact = self.fact(tensor);
        if let Some(loose) = fact.loose {
            let layer = &mut self.layers[loose.layer];
            layer.verdict = Verdict::NotProvable;
            layer.reason.get_or_insert_with(|| LOOSE.to_owned());
        }
        let fact = Fact { loose: None, ..fact };
        let nodes = fact.pending.to_vec();
        let Some(&last) = nodes.last() else { return fact };
        let graph = self.graph;
        let node = |&index: &usize| &graph.nodes[index];
        let normalization =
            nodes.iter().map(node).find(|node| node.operator_name() == "BatchNormalization");
        let name = normalization.unwrap_or(&graph.nodes[last]).name.clone();
        let operators: Vec<&str> = nodes.iter().map(|index| node(index).operator_name()).collect();
        let kind = operators.join("+");
        let outcome = Function::new(graph, &fact).and_then(|function| function.outcome(&name));
        let quantizer = is_quantizer(operators[operators.len() - 1]);
        let settled = match outcome {
            Ok(outcome) => {
                if normalization.is_some() || quantizer {
                    let mut layer = agreed(&name, &kind);
                    layer.values = Some(outcome.tried);
                    if outcome.tried.disagreements > 0 {
                        layer.verdict = Verdict::NotProvable;
                        layer.reason =
                            Some(parted(&outcome.disagreements[0], outcome.tried.disagreements));
                        let places = outcome.disagreements.clone();
                        let total = outcome.tried.disagreements;
                        self.watches.push(Watch::new(
                            self.layers.len(),
                            &fact.source,
                            fact.axis,
                            places,
                            total,
                        ));
                        layer.disagreements = outcome.disagreements;
                        layer.disagreements.truncate(SHOWN);
                    }
                    self.layers.push(layer);
                }
                Fact { uneven: fact.uneven, ..Fact::new(tensor, fact.axis, outcome.sets) }
            }
            // Values that cannot be tried, by steps that round the same everywhere.
            Err(_) if normalization.is_none() && !quantizer => {
                Fact { uneven: fact.uneven, ..Fact::any(tensor) }
            }
            Err(_) if normalization.is_none() && nodes.len() > 1 => {
                let before = self.graph.nodes[last].computed().next().unwrap_or("").to_owned();
                let alone =
                    Fact { axis: fact.axis, pending: Pending::of(last), ..Fact::any(&before) };
                self.facts.insert(tensor.to_owned(), alone);
                return self.settled(tensor);
            }
            Err(reason) => {
                let reason = match (&fact.uneven, normalization) {
                    (Some(uneven), Some(_)) => format!("{reason}: {uneven}"),
                    _ => reason,
                };
                self.layers.push(unproved(&name, &kind, reason));
                Fact { uneven: fact.uneven, ..Fact::any(tensor) }
            }
        };
        self.facts.insert(tensor.to_owned(), settled.clone());
        settled
    }

    /// An output: steps that round the same everywhere need not be tried.
    fn output(&mut self, tensor: &str) {
        let normalizes =
            |&index: &usize| self.graph.nodes[index].operator_name() == "BatchNormalization";
        let fact = self.fact(tensor);
        if fact.pending.to_vec().iter().any(normalizes) {
            self.settled(tensor);
        }
        let difference =
            |loose: Loose| if fact.pending.is_empty() { loose.difference } else { f64::INFINITY };
        self.outputs.push(Output {
            name: tensor.to_owned(),
            equal_bits_in_every_order: fact.loose.is_none(),
            largest_difference: fact
                .loose
                .map(difference)
                .filter(|difference| difference.is_finite()),
        });
    }
}

/// What is wrong with a bias inside of a network.
const LOOSE: &str = "its bias lies on no grid: some engines begin with it or add it in between, and round at other places";

/// Places that a layer shows.
pub(super) const SHOWN: usize = 16;

fn agreed(name: &str, kind: &str) -> Layer {
    Layer {
        name: name.to_owned(),
        kind: kind.to_owned(),
        verdict: Verdict::ProvedForAllInputs,
        reason: None,
        sum: None,
        values: None,
        disagreements: Vec::new(),
    }
}

fn unproved(name: &str, kind: &str, reason: String) -> Layer {
    Layer { verdict: Verdict::NotProvable, reason: Some(reason), ..agreed(name, kind) }
}

fn parted(first: &Disagreement, total: u64) -> String {
    let Disagreement { channel, value, onnxruntime, pytorch, .. } = first;
    let more = if total > 1 { format!(", and {} other places", total - 1) } else { String::new() };
    format!(
        "channel {channel}, value {value}: onnxruntime and fewbit give {onnxruntime}, PyTorch gives {pytorch}{more}"
    )
}

fn is_quantizer(operator: &str) -> bool {
    matches!(
        operator,
        "FloatQuant"
            | "Quant"
            | "IntQuant"
            | "BipolarQuant"
            | "MultiThreshold"
            | "Trunc"
            | "DequantizeLinear"
    )
}
