//! What a network costs: multiply-accumulates, bits, bit operations, and gates.
//!
//! Counted as `qonnx-inference-cost` of qonnx 1.0.0 does ([`Rules::Qonnx`] gives its numbers), with the formats of all
//! tensors known ([`Rules::Complete`]): minifloats and bipolar numbers with scales, parameters that nodes compute,
//! `QuantizeLinear` with `Clip`, transposed convolutions, channels behind.
//!
//! - A convolution takes `N * C_out / groups * C_in * kernel * output pixels` multiply-accumulates, a matrix product
//!   `K` for each output; the share of weights that are zero is left out ([`Sparsity::LeftOut`]).
//! - Bit operations (BOPs) are multiply-accumulates times the bits of both operands.
//! - Weights are the constant operand, outputs the results of these layers; biases, scales and activations in between
//!   are not counted.
//!
//! [`Gates`] says what a multiply-accumulate unit of the two formats takes.

mod gates;
mod layers;
mod text;

pub use gates::{Accumulator, Gates};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::{Facts, Rules};

/// Whether weights that are zero cost anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sparsity {
    /// No: a network that is built for its weights leaves them out.
    LeftOut,
    /// Yes: the hardware multiplies whatever it is given.
    Counted,
}

/// What a network costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The sums over all layers.
    pub total: Total,
    /// The layers that multiply and add up, in the order of computation.
    pub layers: Vec<LayerCost>,
    /// Operators that are not counted although they compute something.
    pub not_counted: Vec<String>,
    /// The number of items that are computed at once, and counted together.
    pub batch: Option<usize>,
    /// True if zero weights are left out.
    pub discount_sparsity: bool,
    /// Why the shapes are only those that the file states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// Sums over layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Total {
    /// Multiply-accumulates.
    pub total_macs: f64,
    /// Bit operations: multiply-accumulates times the bits of both operands.
    pub total_bops: f64,
    /// Elements of weights.
    pub total_mem_w_elems: f64,
    /// Bits of weights.
    pub total_mem_w_bits: f64,
    /// Elements of outputs.
    pub total_mem_o_elems: f64,
    /// Bits of outputs.
    pub total_mem_o_bits: f64,
    /// Bits of inputs, which are what activations are stored in.
    pub total_input_bits: f64,
    /// The most bits that inputs and outputs of one layer take together.
    pub largest_layer_activation_bits: f64,
    /// Multiply-accumulates times the gates of a unit that does them.
    pub total_gate_operations: f64,
}

/// What a layer costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// The name of the node.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Products in each sum.
    pub terms: usize,
    /// Multiply-accumulates.
    pub macs: f64,
    /// Bit operations.
    pub bops: f64,
    /// The share of weights that are not zero.
    pub weight_density: f64,
    /// The first operand.
    pub input: Operand,
    /// The second one.
    pub weight: Operand,
    /// The result.
    pub output: Operand,
    /// A unit for one multiply-accumulate.
    pub gates_per_mac: Gates,
    /// Multiply-accumulates times the gates of a unit.
    pub gate_operations: f64,
}

/// A tensor that a layer reads or writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operand {
    /// The name of its data type in qonnx.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The format as `fewbit formats` knows it.
    pub format: String,
    /// Bits of an element.
    pub bit_width: u32,
    /// Its elements, those left out as zeros not counted.
    pub elements: f64,
    /// All bits.
    pub bits: f64,
}

impl Cost {
    /// Counts what a file costs.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if the shapes of a layer are not known or do not fit.
    pub fn of(facts: &Facts<'_>, rules: Rules, sparsity: Sparsity) -> Result<Self, crate::Error> {
        let (layers, not_counted) = layers::all(facts, rules, sparsity)?;
        Ok(Self {
            total: Total::of(&layers),
            layers,
            not_counted,
            batch: facts.batch(),
            discount_sparsity: sparsity == Sparsity::LeftOut,
            not_run: facts.not_run().map(ToString::to_string),
        })
    }

    /// The sums by operands, under the keys of qonnx: `op_mac_INT4_INT4`, `mem_w_INT4`, `mem_o_INT32`.
    pub fn by_type(&self) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for layer in &self.layers {
            let (input, weight, output) = (&layer.input, &layer.weight, &layer.output);
            let keys = [
                (format!("op_mac_{}_{}", input.data_type, weight.data_type), layer.macs),
                (format!("mem_w_{}", weight.data_type), weight.elements),
                (format!("mem_o_{}", output.data_type), output.elements),
            ];
            for (key, value) in keys {
                *sums.entry(key).or_insert(0.0) += value;
            }
        }
        sums
    }
}

impl Total {
    fn of(layers: &[LayerCost]) -> Self {
        let mut total = Self::default();
        for layer in layers {
            total.total_macs += layer.macs;
            total.total_bops += layer.bops;
            total.total_mem_w_elems += layer.weight.elements;
            total.total_mem_w_bits += layer.weight.bits;
            total.total_mem_o_elems += layer.output.elements;
            total.total_mem_o_bits += layer.output.bits;
            total.total_input_bits += layer.input.bits;
            let both = layer.input.bits + layer.output.bits;
            total.largest_layer_activation_bits = total.largest_layer_activation_bits.max(both);
            total.total_gate_operations += layer.gate_operations;
        }
        total
    }
}
