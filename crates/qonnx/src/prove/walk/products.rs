//! Convolutions and matrix products.

use super::super::certificate::{Bias, Layer, Sum, Verdict};
use super::super::graph::Node;
use super::super::images::PendingSum;
use super::super::set::{LIMIT, Set, power};
use super::super::sums::{Layout, Row, Rows, with_bias};
use super::{Fact, Loose, Walk, agreed, unproved};
use crate::tensor::Tensor;

/// A layer that multiplies its input by constants and adds up.
struct Product<'a> {
    rows: Rows<'a>,
    bias: Option<Vec<f32>>,
    /// Where the summed axis is in the input, and the channels are in the result.
    axes: (usize, usize),
    /// True if zeros may stand beside the input.
    padded: bool,
}

impl Walk<'_> {
    /// Bounds the sums of a layer.
    pub(super) fn product(&mut self, index: usize) {
        let graph = self.graph;
        let node = &graph.nodes[index];
        let inputs: Vec<String> = node.computed().map(str::to_owned).collect();
        let facts: Vec<Fact> = inputs.iter().map(|tensor| self.settled(tensor)).collect();
        let kind = node.operator_name();
        let rank = graph.shape(&inputs[0]).len();
        let product = match product(node, rank) {
            Ok(product) => product,
            Err(reason) => {
                self.layers.push(unproved(&node.name, kind, reason));
                return self.know(node, Fact::any(node.output()));
            }
        };
        let x = &facts[0];
        let sets = x.along(product.axes.0);
        let sets: Vec<Set> =
            if product.padded { sets.iter().map(Set::with_zero).collect() } else { sets };
        let rows = product.rows.bounds(&sets);
        let (mut layer, results) = self.bounded(node, &product, &rows);
        let uneven = x.uneven.clone().or_else(|| self.uneven_weights(node));
        let exact = layer.verdict != Verdict::NotProvable;
        if !exact {
            layer.reason = Some(reason(&layer, &rows, uneven.as_deref()));
            if uneven.is_none() && rows.iter().all(|row| row.exponent.is_some()) {
                self.pending.push(PendingSum {
                    layer: self.layers.len(),
                    node: index,
                    tensor: inputs[0].clone(),
                    axis: product.axes.1,
                    weighted: true,
                    exponents: rows.iter().map(|row| row.exponent.unwrap_or(0)).collect(),
                    largest: None,
                });
            }
        }
        let rounded = layer.sum.as_ref().is_some_and(|sum| sum.bias == Bias::Rounded);
        let loose = rounded
            .then(|| Loose { layer: self.layers.len(), difference: difference(&product, &rows) });
        self.layers.push(layer);
        let results = match &uneven {
            // What was said about its values is true for exact sums only.
            Some(_) if !exact => rows.iter().map(inexact).collect(),
            _ => results,
        };
        let fact = Fact::new(node.output(), product.axes.1, results);
        self.know(node, Fact { uneven, loose, ..fact });
    }

    /// The layer with its bound, and the values of its channels.
    fn bounded(&self, node: &Node<'_>, product: &Product<'_>, rows: &[Row]) -> (Layer, Vec<Set>) {
        let mut layer = agreed(&node.name, node.operator_name());
        let mut sum = Sum {
            terms: product.rows.terms,
            bound_units: None,
            limit_units: LIMIT,
            unit_exponent: None,
            channel: None,
            channels_above: 0,
            channels: rows.len(),
            bound_units_of_images: None,
            bias: Bias::Absent,
        };
        let mut results = Vec::with_capacity(rows.len());
        for (channel, row) in rows.iter().enumerate() {
            let (set, units, exponent) = match &product.bias {
                None => (row.set.clone(), row.units, row.exponent),
                Some(bias) => {
                    let (set, units, exponent, exact) = with_bias(row, bias[channel]);
                    if sum.bias != Bias::Rounded {
                        sum.bias = if exact { Bias::OnTheGrid } else { Bias::Rounded };
                    }
                    (set, units, row.exponent.and(Some(exponent)))
                }
            };
            results.push(set);
            let above = !(row.is_exact() && units <= LIMIT as f64);
            sum.channels_above += usize::from(above);
            if exponent.is_some() && sum.bound_units.is_none_or(|largest| units > largest) {
                sum.bound_units = Some(units);
                sum.unit_exponent = exponent;
                sum.channel = Some(channel);
            }
        }
        if sum.channels_above > 0 {
            layer.verdict = Verdict::NotProvable;
        }
        layer.sum = Some(sum);
        (layer, results)
    }

    /// Why the weights lie on no grid, if a quantizer in the file tells.
    fn uneven_weights(&self, node: &Node<'_>) -> Option<String> {
        let maker = self.graph.maker(node.proto.input.get(1)?)?;
        super::tensors::uneven_scale(maker, |name| self.graph.model.constant(name).cloned())
    }
}

/// Every value that a sum can have, however it is rounded.
fn inexact(row: &Row) -> Set {
    let reach = row.exponent.map_or(f64::INFINITY, |exponent| 2.0 * row.units * power(exponent));
    let reach = reach.min(f32::MAX.into()) as f32;
    Set::Interval(-reach, reach)
}

/// How much results may differ if engines add the bias at different times: each addition may round once.
fn difference(product: &Product<'_>, rows: &[Row]) -> f64 {
    let biases = product.bias.iter().flatten();
    let of_channel = |(row, bias): (&Row, &f32)| {
        let reach = row.exponent.map_or(f64::INFINITY, |exponent| row.units * power(exponent));
        2.0 * (product.rows.terms + 1) as f64 * power(-24) * (reach + f64::from(bias.abs()))
    };
    rows.iter().zip(biases).map(of_channel).fold(0.0, f64::max)
}

fn reason(layer: &Layer, rows: &[Row], uneven: Option<&str>) -> String {
    if let Some(uneven) = uneven {
        return format!("{uneven}: its products are rounded, and their sum depends on the order");
    }
    if rows.iter().any(|row| row.exponent.is_none()) {
        return "its input or its weights lie on no grid, so sums are rounded and depend on the order".to_owned();
    }
    let sum = layer.sum.as_ref().expect("a layer that adds up");
    let (units, channel) = (sum.bound_units.unwrap_or_default(), sum.channel.unwrap_or_default());
    format!(
        "a sum of channel {channel} may reach {units:.0} units of 2^{}, more than {LIMIT}; {} of {} channels may",
        sum.unit_exponent.unwrap_or_default(),
        sum.channels_above,
        sum.channels
    )
}

fn product<'a>(node: &'a Node<'_>, rank: usize) -> Result<Product<'a>, String> {
    let both = || "both factors depend on the input".to_owned();
    let w = node.constant(1).ok_or_else(both)?;
    let weights = w.slice::<f32>("the weights").map_err(|fault| fault.to_string())?;
    let shape = w.shape();
    match (node.operator_name(), shape) {
        ("Conv", [outputs, ..]) => {
            let terms = weights.len() / (*outputs).max(1);
            let taps = shape[2..].iter().product();
            let groups = usize::try_from(node.int("group", 1)).unwrap_or(1);
            let plain = node.ints("pads").is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
            let automatic = node.proto.attribute("auto_pad").is_some();
            let bias = bias(node, *outputs)?;
            let rows =
                Rows { weights, layout: Layout::Conv { groups, taps }, outputs: *outputs, terms };
            Ok(Product { rows, bias, axes: (1, 1), padded: !plain || automatic })
        }
        ("Gemm", [first, second]) => {
            if node.int("transA", 0) != 0
                || node.float("alpha", 1.0) != 1.0
                || node.float("beta", 1.0) != 1.0
            {
                return Err("transA, alpha and beta are not covered".to_owned());
            }
            let (layout, outputs, terms) = match node.int("transB", 0) {
                0 => (Layout::KByO, *second, *first),
                _ => (Layout::OByK, *first, *second),
            };
            let rows = Rows { weights, layout, outputs, terms };
            Ok(Product { rows, bias: bias(node, outputs)?, axes: (1, 1), padded: false })
        }
        ("MatMul", [terms, outputs]) if rank >= 2 => {
            let rows = Rows { weights, layout: Layout::KByO, outputs: *outputs, terms: *terms };
            Ok(Product { rows, bias: None, axes: (rank - 1, rank - 1), padded: false })
        }
        _ => Err(format!("a right factor of shape {shape:?} is not covered")),
    }
}

/// The bias of each output.
fn bias(node: &Node<'_>, outputs: usize) -> Result<Option<Vec<f32>>, String> {
    let Some(operand) = node.inputs.get(2) else { return Ok(None) };
    let bias: &Tensor = match operand {
        super::super::graph::Operand::Absent => return Ok(None),
        super::super::graph::Operand::Constant(tensor) => tensor,
        super::super::graph::Operand::Computed(_) => {
            return Err("its bias depends on the input".to_owned());
        }
    };
    let values = bias.slice::<f32>("the bias").map_err(|fault| fault.to_string())?;
    match values.len() {
        1 => Ok(Some(vec![values[0]; outputs])),
        len if len == outputs && bias.shape().last() == Some(&outputs) => Ok(Some(values.to_vec())),
        _ => Err(format!("a bias of shape {:?} is not covered", bias.shape())),
    }
}
