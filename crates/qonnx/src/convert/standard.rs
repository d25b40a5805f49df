//! Quantizers in operators that any runtime has.
//!
//! A minifloat of `v = x / scale`, clipped to its largest value: `p = 2^floor(log2 |v|)` by a logarithm, a table of
//! powers, and two comparisons that put right what the logarithm may have missed; `step = p / 2^m`;
//! `y = round(v / step) * step * scale`. Each step is exact but for the rounding that is meant.

use fewbit_formats::{FloatFormat, Format, RoundingMode};
use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::NodeProto;
use fewbit_onnx::proto::tensor_proto::DataType;
use fewbit_onnx::tensor::TensorValue;

use super::quantizers::{Quantizer, int};

/// The version with comparisons that include equality, and clipping by inputs.
const VERSION: i64 = 12;

/// Weights: their quantized values.
pub(super) fn stored(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let values = quantizer.constant.as_ref().ok_or("its result depends on the input")?;
    let values = crate::clean::tensor(values).ok_or("its result is of another type")?;
    quantizer.replace(graph, Vec::new())?;
    if graph.is_output(&quantizer.output) {
        return Err("an output that is the same for every input".to_owned());
    }
    graph.store(&quantizer.output, &values);
    Ok(())
}

/// A chain of nodes that is built from front to end.
struct Chain<'g> {
    graph: &'g mut Graph,
    quantizer: &'g Quantizer,
    nodes: Vec<NodeProto>,
    last: String,
}

impl<'g> Chain<'g> {
    fn new(graph: &'g mut Graph, quantizer: &'g Quantizer) -> Self {
        let last = quantizer.input.clone();
        Self { graph, quantizer, nodes: Vec::new(), last }
    }

    fn constant(&mut self, what: &str, value: f32) -> String {
        self.quantizer.store(self.graph, what, &TensorValue::scalar(value))
    }

    /// Adds a node; its result has a name of its own.
    fn node(&mut self, what: &str, operator: &str, inputs: &[&str]) -> String {
        let output = self.quantizer.own(self.graph, what);
        self.nodes.push(self.quantizer.node(what, operator, inputs, &output));
        output
    }

    /// Adds a node with an attribute.
    fn with(&mut self, attribute: fewbit_onnx::proto::AttributeProto) {
        if let Some(node) = self.nodes.last_mut() {
            node.attribute.push(attribute);
        }
    }

    fn finish(mut self) -> Result<(), String> {
        let last = self.nodes.last_mut().ok_or("nothing to do")?;
        last.output[0].clone_from(&self.quantizer.output);
        let (graph, nodes, quantizer) = (self.graph, self.nodes, self.quantizer);
        graph.require("", VERSION);
        quantizer.replace(graph, nodes)
    }

    /// `x / scale`; nothing to do for a scale of one.
    fn unscaled(&mut self) -> Option<String> {
        if self.quantizer.one_scale() == Ok(1.0) {
            return None;
        }
        let value = crate::clean::tensor(&self.quantizer.scale)?;
        let scale = self.quantizer.store(self.graph, "scale", &value);
        let last = self.last.clone();
        self.last = self.node("unscaled", "Div", &[&last, &scale]);
        Some(scale)
    }
}

/// A minifloat.
pub(super) fn minifloat(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let format = quantizer.float().ok_or("no minifloat")?;
    let (largest, m) = (format.max_value(), format.mantissa_bit_width());
    let smallest = format.smallest_normal();
    let top = grid_above(format);
    if !largest.is_finite() || !top.is_finite() {
        return Err("its largest value is not finite".to_owned());
    }
    // Exponents from that of the smallest normal number on.
    let offset = -smallest.log2() as i64;
    let highest = i64::from(top.max(smallest).log2().floor() as i32);
    if !(0..=255).contains(&(offset + highest)) || !smallest.is_normal() || offset.abs() > 100 {
        return Err(format!("{} has exponents too far apart", quantizer.format));
    }
    let mut chain = Chain::new(graph, quantizer);
    let scale = chain.unscaled();
    let (low, high) = (chain.constant("lowest", -top), chain.constant("highest", top));
    let v = chain.last.clone();
    let v = chain.node("clipped", "Clip", &[&v, &low, &high]);
    let magnitude = chain.node("magnitude", "Abs", &[&v]);
    let normal = chain.constant("smallest_normal", smallest);
    let a = chain.node("normal", "Max", &[&magnitude, &normal]);
    let log = chain.node("logarithm", "Log", &[&a]);
    let per_octave = chain.constant("octaves", std::f32::consts::LOG2_E);
    let log = chain.node("octave", "Mul", &[&log, &per_octave]);
    let floor = chain.node("floor", "Floor", &[&log]);
    let shift = chain.constant("offset", offset as f32);
    let shifted = chain.node("place", "Add", &[&floor, &shift]);
    let (first, last) =
        (chain.constant("first", 0.0), chain.constant("last", (offset + highest) as f32));
    let place = chain.node("inside", "Clip", &[&shifted, &first, &last]);
    let place = chain.node("integer", "Cast", &[&place]);
    chain.with(int("to", DataType::Int64 as i64));
    // Powers of two out of a table: no function of an engine has to be exact.
    let table: Vec<f32> =
        (0..=offset + highest).map(|i| ((i - offset) as f64).exp2() as f32).collect();
    let table = chain.quantizer.store(chain.graph, "powers", &TensorValue::vector(table));
    let p = chain.node("power", "Gather", &[&table, &place]);
    // The logarithm may be off by its last bit.
    let (half, two) = (chain.constant("half", 0.5), chain.constant("two", 2.0));
    let lower = chain.node("lower", "Mul", &[&p, &half]);
    let above = chain.node("above", "Greater", &[&p, &a]);
    let p = chain.node("not_above", "Where", &[&above, &lower, &p]);
    let higher = chain.node("higher", "Mul", &[&p, &two]);
    let below = chain.node("below", "GreaterOrEqual", &[&a, &higher]);
    let p = chain.node("not_below", "Where", &[&below, &higher, &p]);
    let unit = chain.constant("mantissa", (-f64::from(m)).exp2() as f32);
    let step = chain.node("step", "Mul", &[&p, &unit]);
    let quotient = chain.node("steps", "Div", &[&v, &step]);
    let rounded = chain.node("rounded", "Round", &[&quotient]);
    let mut y = chain.node("quantized", "Mul", &[&rounded, &step]);
    if top > largest {
        let low = chain.constant("lowest_value", -largest);
        let high = chain.constant("highest_value", largest);
        y = chain.node("saturated", "Clip", &[&y, &low, &high]);
    }
    if let Some(scale) = scale {
        y = chain.node("scaled", "Mul", &[&y, &scale]);
    }
    chain.last = y;
    chain.finish()
}

/// The first number from the largest value on that the format's steps reach, were there no limit: a largest value
/// between two steps is what the step above it is clipped to, after rounding.
fn grid_above(format: FloatFormat) -> f32 {
    let largest = f64::from(format.max_value());
    let binade = largest.max(f64::from(format.smallest_normal())).log2().floor();
    let step = (binade - f64::from(format.mantissa_bit_width())).exp2();
    ((largest / step).ceil() * step) as f32
}

/// An integer, or a bipolar number.
pub(super) fn integer(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let limits = match quantizer.format {
        Format::Integer(format) => Some((format.min_value(), format.max_value())),
        Format::Bipolar => None,
        format => return Err(format!("the format {format}")),
    };
    let mut chain = Chain::new(graph, quantizer);
    let scale = chain.unscaled();
    let zero_point = quantizer.zero_point;
    if zero_point != 0.0 {
        let zero = chain.constant("zero_point", zero_point);
        let last = chain.last.clone();
        chain.last = chain.node("shifted", "Add", &[&last, &zero]);
    }
    let last = chain.last.clone();
    chain.last = match limits {
        Some((low, high)) => {
            let (low, high) = (chain.constant("lowest", low), chain.constant("highest", high));
            let clipped = chain.node("clipped", "Clip", &[&last, &low, &high]);
            let operator = match quantizer.rounding_mode {
                RoundingMode::Floor => "Floor",
                RoundingMode::Ceil => "Ceil",
                _ => "Round",
            };
            chain.node("rounded", operator, &[&clipped])
        }
        None => {
            let zero = chain.constant("zero", 0.0);
            let (one, minus) = (chain.constant("one", 1.0), chain.constant("minus_one", -1.0));
            let above = chain.node("above", "GreaterOrEqual", &[&last, &zero]);
            chain.node("sign", "Where", &[&above, &one, &minus])
        }
    };
    if zero_point != 0.0 {
        let zero = chain.constant("zero_point", zero_point);
        let last = chain.last.clone();
        chain.last = chain.node("unshifted", "Sub", &[&last, &zero]);
    }
    if let Some(scale) = scale {
        let last = chain.last.clone();
        chain.last = chain.node("scaled", "Mul", &[&last, &scale]);
    }
    chain.finish()
}
