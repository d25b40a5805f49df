//! Operators that work element by element, tried on every value that can come.

use rayon::prelude::*;

use super::certificate::{Disagreement, Tried};
use super::graph::{Graph, Operand};
use super::set::Set;
use super::walk::Fact;
use crate::ops::{Context, Inputs};
use crate::tensor::Tensor;
use crate::{BatchNorm, Mode, Options};

/// Elements that are computed at once.
const BLOCK: usize = 1 << 16;

/// Pairs of channel and value that are tried one by one; with more, monotone functions are tried where they change.
const PAIRS: u64 = 1 << 31;

/// From how many values per channel on a monotone function is tried where it changes, if there is one formula only.
const FEW: u64 = 1 << 10;

/// Points at which a function is tried to find where it changes.
const POINTS: usize = 1 << 24;

/// Different results that are kept as a list.
const LONGEST: usize = 1 << 16;

/// A place where the formulas part is kept in full up to this number.
pub(super) const PLACES: usize = 1 << 12;

/// What came out of a function for every value that can come.
pub(super) struct Outcome {
    /// One for each channel, or one for all.
    pub(super) sets: Vec<Set>,
    pub(super) tried: Tried,
    /// The first ones.
    pub(super) disagreements: Vec<Disagreement>,
}

/// Nodes one after the other that work element by element, on each channel in its own way.
pub(super) struct Function<'g> {
    graph: &'g Graph<'g>,
    nodes: Vec<usize>,
    sets: Vec<&'g Set>,
    /// Extents of 1 but for the channels; the first axis is free for the values.
    shape: Vec<usize>,
    normalizes: bool,
}

/// Results in both formulas, and whether batch normalization already gave different ones.
struct Both {
    two_roundings: Vec<f32>,
    fused: Vec<f32>,
    normalized_differently: Vec<bool>,
}

impl<'g> Function<'g> {
    /// The function of a tensor's pending nodes.
    pub(super) fn new(graph: &'g Graph<'g>, fact: &'g Fact) -> Result<Self, String> {
        let nodes = fact.pending.to_vec();
        let shape = graph.shape(&fact.source);
        let one = |operand: &Operand| match operand {
            Operand::Constant(tensor) => tensor.len() == 1,
            _ => true,
        };
        let alike = nodes.iter().all(|&node| graph.nodes[node].inputs.iter().all(one));
        let mut ones = vec![1; shape.len().max(1)];
        let mut sets: Vec<&Set> = fact.sets.iter().map(AsRef::as_ref).collect();
        if !alike || sets.len() > 1 {
            let channels = shape.get(fact.axis).copied().unwrap_or(1);
            if fact.axis == 0 && channels > 1 {
                return Err("its channels are along the first axis".to_owned());
            }
            ones[fact.axis] = channels;
            if sets.len() == 1 {
                sets = vec![sets[0]; channels];
            }
        }
        let normalizes =
            nodes.iter().any(|&node| graph.nodes[node].operator_name() == "BatchNormalization");
        Ok(Self { graph, nodes, sets, shape: ones, normalizes })
    }

    fn channels(&self) -> usize {
        self.sets.len()
    }

    /// Tries every value.
    pub(super) fn outcome(&self, layer: &str) -> Result<Outcome, String> {
        let longest = self.sets.iter().map(|set| set.count()).max().unwrap_or(0);
        let pairs = longest.saturating_mul(self.channels() as u64);
        let monotone = self.nodes.iter().all(|&node| is_monotone(&self.graph.nodes[node]));
        let listed = !self.sets.iter().any(|set| matches!(set, Set::Interval(..)));
        let few = if self.normalizes {
            pairs <= PAIRS
        } else {
            longest <= FEW || (!monotone && pairs <= PAIRS)
        };
        let mut found = Found::new(self.channels());
        let complete = if listed && few {
            self.one_by_one(longest, &mut found)?;
            true
        } else {
            monotone && (listed || !self.normalizes) && self.where_it_changes(&mut found)?
        };
        if !complete && self.normalizes {
            return Err(match listed {
                true => format!("{pairs} pairs of channel and value are too many to try"),
                false => "batch normalization of values that lie on no grid rounds differently in each formula"
                    .to_owned(),
            });
        }
        let sets = if complete {
            found.distinct.into_iter().map(Distinct::into_set).collect()
        } else {
            self.hull(monotone)?
        };
        let tried = Tried {
            channels: self.channels(),
            pairs: self.sets.iter().map(|set| set.count()).fold(0, u64::saturating_add),
            computed: found.computed,
            normalized_differently: found.normalized_differently,
            disagreements: found.disagreements,
        };
        let place =
            |&(channel, value, [two_roundings, fused]): &(usize, f32, [f32; 2])| Disagreement {
                layer: layer.to_owned(),
                channel,
                value,
                onnxruntime: two_roundings,
                pytorch: fused,
                fewbit: two_roundings,
                seen_in_images: None,
            };
        Ok(Outcome { sets, tried, disagreements: found.places.iter().map(place).collect() })
    }

    /// Applies the nodes to rows of one value per channel.
    fn apply(&self, xs: &[f32], formula: BatchNorm) -> Result<(Vec<f32>, Vec<f32>), String> {
        let mut shape = self.shape.clone();
        shape[0] = xs.len() / self.channels();
        let context = Context {
            options: Options { mode: Mode::Canonical, batch_norm: formula },
            largest: usize::MAX,
            batch: None,
        };
        let mut tensor = Tensor::of(shape.clone(), xs.to_vec());
        let mut normalized = Vec::new();
        for &index in &self.nodes {
            let node = &self.graph.nodes[index];
            let given: Vec<Option<Tensor>> = node
                .inputs
                .iter()
                .map(|input| match input {
                    Operand::Absent => None,
                    Operand::Constant(constant) => Some(constant.clone()),
                    Operand::Computed(_) => Some(tensor.clone()),
                })
                .collect();
            let constant =
                node.inputs.iter().map(|input| !matches!(input, Operand::Computed(_))).collect();
            let mut results = node
                .operator
                .run(&mut Inputs::new(given, constant, false), &context)
                .map_err(|fault| format!("{}: {fault}", node.name))?;
            tensor = results.swap_remove(0);
            if tensor.shape() != shape {
                return Err(format!("{} does not treat all places of a channel alike", node.name));
            }
            if node.operator_name() == "BatchNormalization" {
                normalized =
                    tensor.slice::<f32>("a result").map_err(|fault| fault.to_string())?.to_vec();
            }
        }
        let (value, _) = tensor.into_parts();
        let result: Vec<f32> =
            value.into_vec().map_err(|value| format!("a result of type {}", value.dtype()))?;
        if let Some(place) = result.iter().position(|v| !v.is_finite()) {
            let (channel, value) = (place % self.channels(), xs[place]);
            return Err(format!(
                "the value {value:?} of channel {channel} gives {}",
                result[place]
            ));
        }
        Ok((result, normalized))
    }

    fn both(&self, xs: &[f32]) -> Result<Both, String> {
        let (two_roundings, normalized) = self.apply(xs, BatchNorm::TwoRoundings)?;
        if !self.normalizes {
            let normalized_differently = vec![false; xs.len()];
            return Ok(Both {
                fused: two_roundings.clone(),
                two_roundings,
                normalized_differently,
            });
        }
        let (fused, other) = self.apply(xs, BatchNorm::Fused)?;
        let normalized_differently = normalized.iter().zip(other).map(|(a, b)| *a != b).collect();
        Ok(Both { two_roundings, fused, normalized_differently })
    }

    fn one_by_one(&self, longest: u64, found: &mut Found) -> Result<(), String> {
        let channels = self.channels();
        let rows = (BLOCK / channels).max(1) as u64;
        let blocks = longest.div_ceil(rows);
        // So many blocks at a time that their results are small beside the model.
        for first in (0..blocks).step_by(256) {
            let parts: Vec<Result<Found, String>> = (first..blocks.min(first + 256))
                .into_par_iter()
                .map(|block| {
                    let values = block * rows..longest.min((block + 1) * rows);
                    // Channels with fewer values repeat their last one, which does no harm.
                    let place = |i: u64, set: &Set| set.at(i.min(set.count() - 1));
                    let xs: Vec<f32> = values
                        .clone()
                        .flat_map(|i| self.sets.iter().map(move |set| place(i, set)))
                        .collect();
                    let both = self.both(&xs)?;
                    let mut found = Found::new(channels);
                    for (row, i) in values.enumerate() {
                        for (channel, set) in self.sets.iter().enumerate() {
                            if i < set.count() {
                                found.note(
                                    channel,
                                    xs[row * channels + channel],
                                    &both,
                                    row * channels + channel,
                                );
                            }
                        }
                    }
                    Ok(found)
                })
                .collect();
            for part in parts {
                found.join(part?);
            }
        }
        Ok(())
    }

    /// Tries a monotone function where its results change: between two values with equal results it has no others.
    ///
    /// False if it changes too often.
    fn where_it_changes(&self, found: &mut Found) -> Result<bool, String> {
        let channels = self.channels();
        let ends = (0..channels).map(|channel| (channel, 0));
        let ends: Vec<(usize, u64)> =
            ends.chain(self.sets.iter().map(|set| set.count() - 1).enumerate()).collect();
        let results = self.points(&ends, found)?;
        let mut spans: Vec<Span> = (0..channels)
            .map(|channel| {
                let end = |i: usize| (ends[i].1, results[i]);
                Span { channel, from: end(channel), to: end(channels + channel) }
            })
            .filter(Span::is_open)
            .collect();
        while !spans.is_empty() {
            if found.computed as usize + spans.len() > POINTS {
                return Ok(false);
            }
            let middles: Vec<(usize, u64)> =
                spans.iter().map(|span| (span.channel, span.middle())).collect();
            let results = self.points(&middles, found)?;
            spans = spans
                .iter()
                .zip(results)
                .flat_map(|(span, result)| span.halves(result))
                .filter(Span::is_open)
                .collect();
        }
        Ok(true)
    }

    /// The results at single points, given as channel and number of the value.
    fn points(&self, points: &[(usize, u64)], found: &mut Found) -> Result<Vec<[f32; 2]>, String> {
        let channels = self.channels();
        let mut heights = vec![0; channels];
        let mut places = Vec::with_capacity(points.len());
        for &(channel, _) in points {
            places.push(heights[channel] * channels + channel);
            heights[channel] += 1;
        }
        let rows = heights.into_iter().max().unwrap_or(0);
        let mut xs: Vec<f32> =
            (0..rows).flat_map(|_| self.sets.iter().map(|set| set.lowest())).collect();
        for (&(channel, i), &place) in points.iter().zip(&places) {
            xs[place] = self.sets[channel].at(i);
        }
        let both = self.both(&xs)?;
        let mut results = Vec::with_capacity(points.len());
        for (&(channel, _), &place) in points.iter().zip(&places) {
            found.note(channel, xs[place], &both, place);
            results.push([both.two_roundings[place], both.fused[place]]);
        }
        Ok(results)
    }

    /// Intervals that hold all results.
    fn hull(&self, monotone: bool) -> Result<Vec<Set>, String> {
        if !monotone {
            return Ok(vec![Set::any()]);
        }
        let ends = |end: fn(&Set) -> f32| self.sets.iter().map(|set| end(set)).collect::<Vec<_>>();
        let (from, _) = self.apply(&ends(Set::lowest), BatchNorm::TwoRoundings)?;
        let (to, _) = self.apply(&ends(Set::highest), BatchNorm::TwoRoundings)?;
        Ok(from.into_iter().zip(to).map(|(a, b)| Set::Interval(a.min(b), a.max(b))).collect())
    }
}

/// Numbers of values between which results may change.
struct Span {
    channel: usize,
    from: (u64, [f32; 2]),
    to: (u64, [f32; 2]),
}

impl Span {
    /// True if there are values in between that may have other results, or at which the formulas part.
    fn is_open(&self) -> bool {
        let [a, b] = self.from.1;
        self.to.0 - self.from.0 > 1 && !(a == b && self.to.1 == self.from.1)
    }

    fn middle(&self) -> u64 {
        self.from.0 + (self.to.0 - self.from.0) / 2
    }

    fn halves(&self, result: [f32; 2]) -> [Self; 2] {
        let middle = (self.middle(), result);
        [
            Self { channel: self.channel, from: self.from, to: middle },
            Self { channel: self.channel, from: middle, to: self.to },
        ]
    }
}

/// What was seen so far.
struct Found {
    distinct: Vec<Distinct>,
    computed: u64,
    normalized_differently: u64,
    disagreements: u64,
    places: Vec<(usize, f32, [f32; 2])>,
}

impl Found {
    fn new(channels: usize) -> Self {
        let distinct = vec![Distinct::default(); channels];
        Self {
            distinct,
            computed: 0,
            normalized_differently: 0,
            disagreements: 0,
            places: Vec::new(),
        }
    }

    fn note(&mut self, channel: usize, value: f32, both: &Both, place: usize) {
        let (two_roundings, fused) = (both.two_roundings[place], both.fused[place]);
        self.computed += 1;
        self.normalized_differently += u64::from(both.normalized_differently[place]);
        self.distinct[channel].push(two_roundings);
        if two_roundings != fused {
            self.distinct[channel].push(fused);
            self.disagreements += 1;
            if self.places.len() < PLACES {
                self.places.push((channel, value, [two_roundings, fused]));
            }
        }
    }

    fn join(&mut self, other: Self) {
        for (distinct, other) in self.distinct.iter_mut().zip(other.distinct) {
            distinct.join(other);
        }
        self.computed += other.computed;
        self.normalized_differently += other.normalized_differently;
        self.disagreements += other.disagreements;
        self.places.extend(other.places);
        self.places.truncate(PLACES);
    }
}

/// Different results of one channel: a list as long as it is short, then only its ends.
#[derive(Clone, Default)]
struct Distinct {
    values: Vec<f32>,
    many: bool,
}

impl Distinct {
    fn push(&mut self, value: f32) {
        if self.values.last() != Some(&value) {
            self.values.push(value);
            if self.values.len() > 4 * LONGEST {
                self.shorten();
            }
        }
    }

    fn join(&mut self, other: Self) {
        self.many |= other.many;
        self.values.extend(other.values);
        self.shorten();
    }

    fn shorten(&mut self) {
        let Set::List(values) = Set::list(std::mem::take(&mut self.values)) else {
            unreachable!("a list")
        };
        self.many |= values.len() > LONGEST;
        self.values = match (self.many, values.first(), values.last()) {
            (true, Some(&first), Some(&last)) => vec![first, last],
            _ => values,
        };
    }

    fn into_set(mut self) -> Set {
        self.shorten();
        match self.many {
            true => Set::Interval(self.values[0], self.values[self.values.len() - 1]),
            false => Set::List(self.values),
        }
    }
}

/// True if the results never go up and down while the values go up.
pub(super) fn is_monotone(node: &super::graph::Node<'_>) -> bool {
    match node.operator_name() {
        "Div" => matches!(node.inputs.first(), Some(Operand::Computed(_))),
        "Relu" | "BatchNormalization" | "Quant" | "IntQuant" | "FloatQuant" | "BipolarQuant"
        | "MultiThreshold" | "Trunc" | "Clip" | "Identity" | "Dropout" | "Neg" | "Add" | "Sub"
        | "Mul" | "QuantizeLinear" | "DequantizeLinear" => true,
        _ => false,
    }
}
