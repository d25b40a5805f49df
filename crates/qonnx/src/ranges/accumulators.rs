//! How wide the sums of codes become.

use std::collections::BTreeMap;

use fewbit_formats::Format;
use rayon::prelude::*;
use serde::Serialize;

use super::bounds::Bounds;
use crate::facts::{CHANNELS_LAST, Scaling, TensorFormat};
use crate::prove::graph::{Graph, Node, Operand};
use crate::tensor::{Kind, Tensor};

/// The sums of a layer, in units: the product of the smallest steps of both operands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccumulatorRange {
    /// The name of the node.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Products in each sum.
    pub terms: usize,
    /// The format of the input.
    pub input_format: String,
    /// The bits of a two's complement number that holds every sum and every part of one, with these weights.
    pub bits: u32,
    /// The same for any weights of the format, and any inputs.
    pub bits_for_any_weights: u32,
    /// The smallest sum.
    pub lowest: i64,
    /// The largest sum.
    pub highest: i64,
    /// The largest magnitude that a part of a sum can have.
    pub largest_part: u64,
    /// The output channel that has it.
    pub channel: usize,
    /// True if `f32` adds up exactly in any order: no part exceeds `2^24`.
    pub exact_in_f32: bool,
}

/// The sums of a node, if it is a product of codes and constant codes.
pub(super) fn of(
    graph: &Graph<'_>,
    node: &Node<'_>,
    known: &BTreeMap<String, Bounds>,
    formats: &BTreeMap<String, TensorFormat>,
) -> Option<AccumulatorRange> {
    let (Operand::Computed(x), Operand::Constant(_)) = (node.inputs.first()?, node.inputs.get(1)?)
    else {
        return None;
    };
    let input = formats.get(x)?;
    let weight_name = node.proto.input.get(1)?;
    let weights = graph.model.constant_tensor(weight_name)?;
    let weight_format = formats.get(weight_name)?;
    let codes = codes(weights, weight_format)?;
    let rows = Rows::new(node, weights.shape(), graph.shape(x).len())?;
    let inputs = input_codes(input, known.get(x)?, rows.axis)?;
    let pads = node.ints("pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0))
        || node.proto.attribute("auto_pad").is_some();
    let inputs: Vec<(i64, i64)> = match pads {
        // Zeros beside the image.
        true => inputs.into_iter().map(|(low, high)| (low.min(0), high.max(0))).collect(),
        false => inputs,
    };
    let sums: Vec<Sums> =
        (0..rows.outputs).into_par_iter().map(|o| rows.sums(o, &codes, &inputs)).collect();
    let (channel, largest) = sums.iter().enumerate().max_by_key(|(channel, sums)| {
        (sums.positive.max(sums.negative), std::cmp::Reverse(*channel))
    })?;
    let any = reach(input)? as f64 * reach(weight_format)? as f64 * rows.terms as f64;
    let part = largest.positive.max(largest.negative);
    Some(AccumulatorRange {
        name: node.name.clone(),
        operator: node.operator_name().to_owned(),
        terms: rows.terms,
        input_format: input.name(),
        bits: sums.iter().map(Sums::bits).max()?,
        bits_for_any_weights: (any + 1.0).log2().ceil() as u32 + 1,
        lowest: clamp(sums.iter().map(|sums| sums.lowest).min()?),
        highest: clamp(sums.iter().map(|sums| sums.highest).max()?),
        largest_part: u64::try_from(part).unwrap_or(u64::MAX),
        channel,
        exact_in_f32: part <= 1 << 24,
    })
}

fn clamp(sum: i128) -> i64 {
    sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The sums of one output channel.
struct Sums {
    lowest: i128,
    highest: i128,
    /// The largest sum of products above zero.
    positive: i128,
    /// That of products below zero, without the sign.
    negative: i128,
}

impl Sums {
    /// Bits of two's complement from `-negative` to `positive`.
    fn bits(&self) -> u32 {
        let magnitude = (self.negative - 1).max(self.positive).max(0);
        129 - magnitude.leading_zeros()
    }
}

/// Where the weights of each sum are, and which channel of the input each is multiplied with.
struct Rows {
    outputs: usize,
    terms: usize,
    /// Where the summed channels are in the input.
    axis: usize,
    layout: Layout,
}

enum Layout {
    /// `[O, C / groups, taps]`.
    Conv {
        groups: usize,
        taps: usize,
    },
    /// `[O, taps, C / groups]`.
    ChannelsLast {
        groups: usize,
        taps: usize,
    },
    KByO,
    OByK,
}

impl Rows {
    fn new(node: &Node<'_>, shape: &[usize], rank: usize) -> Option<Self> {
        let (first, last) = (*shape.first()?, *shape.last()?);
        let size: usize = shape.iter().product();
        let groups = usize::try_from(node.int("group", 1)).ok().filter(|&groups| groups > 0)?;
        let behind = node.proto.domain() == CHANNELS_LAST;
        Some(match node.operator_name() {
            "Conv" if behind && shape.len() > 2 => Self {
                outputs: first,
                terms: size / first.max(1),
                axis: rank - 1,
                layout: Layout::ChannelsLast {
                    groups,
                    taps: shape[1..shape.len() - 1].iter().product(),
                },
            },
            "Conv" if shape.len() > 2 => Self {
                outputs: first,
                terms: size / first.max(1),
                axis: 1,
                layout: Layout::Conv { groups, taps: shape[2..].iter().product() },
            },
            "Gemm" if shape.len() == 2 && node.int("transA", 0) == 0 => match node.int("transB", 0)
            {
                0 => Self { outputs: last, terms: first, axis: 1, layout: Layout::KByO },
                _ => Self { outputs: first, terms: last, axis: 1, layout: Layout::OByK },
            },
            "MatMul" if shape.len() == 2 && rank >= 2 => {
                Self { outputs: last, terms: first, axis: rank - 1, layout: Layout::KByO }
            }
            _ => return None,
        })
    }

    fn place(&self, o: usize, k: usize) -> (usize, usize) {
        match self.layout {
            Layout::KByO => (k * self.outputs + o, k),
            Layout::OByK => (o * self.terms + k, k),
            Layout::Conv { groups, taps } => {
                let group = o / (self.outputs / groups).max(1);
                (o * self.terms + k, group * (self.terms / taps.max(1)) + k / taps.max(1))
            }
            Layout::ChannelsLast { groups, taps } => {
                let channels = self.terms / taps.max(1);
                let group = o / (self.outputs / groups).max(1);
                (o * self.terms + k, group * channels + k % channels.max(1))
            }
        }
    }

    fn sums(&self, o: usize, codes: &[i64], inputs: &[(i64, i64)]) -> Sums {
        let mut sums = Sums { lowest: 0, highest: 0, positive: 0, negative: 0 };
        for k in 0..self.terms {
            let (weight, channel) = self.place(o, k);
            let (low, high) = inputs[if inputs.len() == 1 { 0 } else { channel }];
            let w = i128::from(codes[weight]);
            let (a, b) = (w * i128::from(low), w * i128::from(high));
            let (low, high) = (a.min(b), a.max(b));
            sums.lowest += low;
            sums.highest += high;
            sums.positive += high.max(0);
            sums.negative -= low.min(0);
        }
        sums
    }
}

/// The codes of weights as integers.
fn codes(weights: &Tensor, format: &TensorFormat) -> Option<Vec<i64>> {
    let values = weights.slice::<f32>("").ok()?;
    let grid = weights.grid();
    let (unscaled, step) = match grid {
        Some(grid) => {
            let step = match grid.kind {
                Kind::Integer { .. } => 1.0,
                Kind::Float(format) => f64::from(format.smallest_subnormal()),
            };
            (grid.codes(values, weights.shape()).values.into_owned(), step)
        }
        None => (values.to_vec(), f64::from(unit(format)?)),
    };
    let integer = |v: f32| {
        let code = f64::from(v) / step;
        (code.abs() < 9e15 && (code - code.round_ties_even()).abs() < 1e-3)
            .then_some(code.round_ties_even() as i64)
    };
    unscaled.into_iter().map(integer).collect()
}

/// The value of the code 1: scale times step.
fn unit(format: &TensorFormat) -> Option<f32> {
    let scale = match format.scale {
        Scaling::One => 1.0,
        Scaling::PerTensor(scale) => scale,
        _ => return None,
    };
    Some(scale * step(format.format?))
}

fn step(format: Format) -> f32 {
    match format {
        Format::Float(f) => f.smallest_subnormal(),
        Format::FixedPoint(f) => f.step(),
        Format::Integer(_) | Format::Bipolar | Format::Ternary => 1.0,
    }
}

/// The largest code without its scale.
fn reach(format: &TensorFormat) -> Option<u64> {
    let codes = format.format?;
    let largest = codes.max_value().abs().max(codes.min_value().abs());
    Some((f64::from(largest) / f64::from(step(codes))) as u64)
}

/// The bounds of the codes of each input channel, one for all if there is one; limited by the format.
fn input_codes(format: &TensorFormat, bounds: &Bounds, axis: usize) -> Option<Vec<(i64, i64)>> {
    let (unit, reach) = (f64::from(unit(format)?), reach(format)? as f64);
    if format.zero_point != 0.0 || unit <= 0.0 {
        return None;
    }
    let code = |v: f32| (f64::from(v) / unit).round_ties_even().clamp(-reach, reach) as i64;
    let channels = bounds.channels(Some(axis).filter(|&axis| axis < bounds.shape().len()))?;
    Some(channels.into_iter().map(|(low, high)| (code(low), code(high))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_sums() {
        let bits = |negative, positive| Sums { lowest: 0, highest: 0, positive, negative }.bits();
        for (negative, positive, expected) in [
            (0, 0, 1),
            (1, 0, 1),
            (1, 1, 2),
            (128, 127, 8),
            (128, 128, 9),
            (129, 0, 9),
            (0, 255, 9),
        ] {
            assert_eq!(bits(negative, positive), expected, "{negative} {positive}");
        }
    }
}
