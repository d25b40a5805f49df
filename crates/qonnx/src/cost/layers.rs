//! The layers that multiply and add up.

use std::collections::{BTreeMap, BTreeSet};

use fewbit_onnx::proto::NodeProto;

use super::{Gates, LayerCost, Operand, Sparsity};
use crate::error::Error;
use crate::facts::{CHANNELS_LAST, Facts, Rules, TensorFormat};
use crate::value::{DType, Data};

/// Operators of qonnx's list that cost nothing.
const FREE: [&str; 22] = [
    "MaxPool",
    "AveragePool",
    "Quant",
    "QuantizeLinear",
    "DequantizeLinear",
    "Reshape",
    "Concat",
    "Transpose",
    "Div",
    "Mul",
    "Add",
    "Sub",
    "BatchNormalization",
    "Relu",
    "Elu",
    "Selu",
    "Sigmoid",
    "Identity",
    "Flatten",
    "Pad",
    "Clip",
    "Trunc",
];

/// Others that only quantize, move or compare values, or compute one operation for each of them.
const ALSO_FREE: [&str; 28] = [
    "FloatQuant",
    "IntQuant",
    "BipolarQuant",
    "MultiThreshold",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Gather",
    "Shape",
    "Split",
    "Dropout",
    "ArgMax",
    "TopK",
    "Cast",
    "DepthToSpace",
    "SpaceToDepth",
    "Softmax",
    "Constant",
    "Im2Col",
    "MaxPoolNHWC",
    "ReduceMean",
    "Tanh",
    "Sign",
    "LeakyRelu",
    "QuantAvgPool2d",
    "Resize",
];

/// The layers, and the operators that are not counted.
pub(super) fn all(
    facts: &Facts<'_>,
    rules: Rules,
    sparsity: Sparsity,
) -> Result<(Vec<LayerCost>, Vec<String>), Error> {
    let formats = facts.formats(rules);
    let counter = Counter { facts, formats: &formats, rules, sparsity };
    let mut layers = Vec::new();
    let mut others = BTreeSet::new();
    for node in facts.nodes() {
        // Layers that depend on nothing are computed once, before the network runs.
        if node.output.iter().all(|name| name.is_empty() || facts.is_constant(name)) {
            continue;
        }
        match counter.layer(node)? {
            Some(layer) => layers.push(layer),
            None if FREE.contains(&node.op_type()) => {}
            None if rules == Rules::Complete && ALSO_FREE.contains(&node.op_type()) => {}
            None => drop(others.insert(node.op_type().to_owned())),
        }
    }
    Ok((layers, others.into_iter().collect()))
}

struct Counter<'f, 'a> {
    facts: &'f Facts<'a>,
    formats: &'f BTreeMap<String, TensorFormat>,
    rules: Rules,
    sparsity: Sparsity,
}

/// How much there is to do.
struct Work {
    terms: usize,
    macs: f64,
    /// Which input is the constant one; nothing if both depend on the input.
    weight: Option<usize>,
}

impl Counter<'_, '_> {
    /// What a node costs, if it multiplies and adds up.
    fn layer(&self, node: &NodeProto) -> Result<Option<LayerCost>, Error> {
        let behind = node.domain() == CHANNELS_LAST;
        let complete = self.rules == Rules::Complete;
        let work = match node.op_type() {
            "Conv" => self.convolution(node, behind)?,
            "ConvTranspose" if complete => self.transposed(node)?,
            "MatMul" | "Gemm" => self.product(node)?,
            "XnorPopcountMatMul" if complete => self.product(node)?,
            "Upsample" => self.interpolation(node)?,
            "Resize" if complete && linear(node) => self.interpolation(node)?,
            _ => return Ok(None),
        };
        let interpolates = matches!(node.op_type(), "Upsample" | "Resize");
        let density = match work.weight.filter(|_| !interpolates) {
            Some(index) => self.density(&node.input[index]),
            None => 1.0,
        };
        let kept = if self.sparsity == Sparsity::LeftOut { density } else { 1.0 };
        let second = if interpolates { 0 } else { 1 };
        let (x, w) = (self.format(&node.input[0]), self.format(&node.input[second]));
        let stored = match work.weight.filter(|_| !interpolates) {
            Some(index) => elements(&self.shape(node, &node.input[index])?) as f64 * kept,
            None => 0.0,
        };
        let output = &node.output[0];
        let (input_elements, output_elements) =
            (elements(&self.shape(node, &node.input[0])?), elements(&self.shape(node, output)?));
        let macs = work.macs * kept;
        let gates = Gates::of(&x, &w, work.terms);
        Ok(Some(LayerCost {
            name: Some(node.name()).filter(|name| !name.is_empty()).unwrap_or(output).to_owned(),
            operator: node.op_type().to_owned(),
            terms: work.terms,
            macs,
            bops: macs * f64::from(x.bits()) * f64::from(w.bits()),
            weight_density: density,
            gate_operations: macs * gates.total,
            gates_per_mac: gates,
            input: operand(&x, input_elements as f64),
            weight: operand(&w, stored),
            output: operand(&self.format(output), output_elements as f64),
        }))
    }

    /// `N * C_out / groups * C_in * kernel * output pixels`.
    fn convolution(&self, node: &NodeProto, behind: bool) -> Result<Work, Error> {
        let [x, w, y] = self.shapes(node)?;
        if w.len() < 3 || x.len() != w.len() || y.len() != w.len() {
            return Err(misfit(node, &[&x, &w, &y]));
        }
        let last = x.len() - 1;
        let (in_channels, out_channels) = if behind { (x[last], y[last]) } else { (x[1], y[1]) };
        let pixels: usize =
            if behind { y[1..last].iter().product() } else { y[2..].iter().product() };
        let taps: usize =
            if behind { w[1..last].iter().product() } else { w[2..].iter().product() };
        let groups = groups(node);
        if out_channels % groups != 0 || in_channels % groups != 0 {
            return Err(misfit(node, &[&x, &w, &y]));
        }
        let macs = product(&[x[0], out_channels / groups, in_channels, taps, pixels]);
        Ok(Work { terms: in_channels / groups * taps, macs, weight: self.constant(node) })
    }

    /// Each input is multiplied by every tap: `N * C_in * C_out / groups * kernel * input pixels`.
    fn transposed(&self, node: &NodeProto) -> Result<Work, Error> {
        let [x, w, y] = self.shapes(node)?;
        if w.len() < 3 || x.len() != w.len() {
            return Err(misfit(node, &[&x, &w, &y]));
        }
        let (taps, pixels) = (w[2..].iter().product::<usize>(), x[2..].iter().product());
        let macs = product(&[x[0], x[1], w[1], taps, pixels]);
        // Sums of the strides' places have different numbers of terms; this is the largest.
        Ok(Work { terms: x[1] / groups(node) * taps, macs, weight: self.constant(node) })
    }

    /// `K` for each element of the result.
    fn product(&self, node: &NodeProto) -> Result<Work, Error> {
        let [x, w, y] = self.shapes(node)?;
        let transposed =
            node.op_type() == "Gemm" && node.int("transA").ok().flatten().unwrap_or(0) != 0;
        let terms = if transposed { x.first() } else { x.last() };
        let &terms = terms.ok_or_else(|| misfit(node, &[&x, &w, &y]))?;
        Ok(Work { terms, macs: terms as f64 * elements(&y) as f64, weight: self.constant(node) })
    }

    /// Two for each axis that is enlarged linearly.
    fn interpolation(&self, node: &NodeProto) -> Result<Work, Error> {
        let (x, y) = (self.shape(node, &node.input[0])?, self.shape(node, &node.output[0])?);
        let enlarged = x.iter().zip(&y).filter(|(from, to)| to > from).count();
        let macs = if linear(node) { 2.0 * enlarged as f64 * elements(&y) as f64 } else { 0.0 };
        Ok(Work { terms: 2 * enlarged.max(1), macs, weight: None })
    }

    /// The operand that is the same for every input: qonnx takes the second of a convolution in any case.
    fn constant(&self, node: &NodeProto) -> Option<usize> {
        let constant = |index: usize| self.facts.is_constant(&node.input[index]);
        match node.op_type() {
            "Conv" | "ConvTranspose" => Some(1),
            _ if constant(1) => Some(1),
            _ if constant(0) => Some(0),
            _ => None,
        }
    }

    fn shapes(&self, node: &NodeProto) -> Result<[Vec<usize>; 3], Error> {
        let [x, w, ..] = node.input.as_slice() else {
            return Err(Error::malformed(format_args!(
                "{} has fewer than two inputs",
                node.label()
            )));
        };
        Ok([self.shape(node, x)?, self.shape(node, w)?, self.shape(node, &node.output[0])?])
    }

    fn shape(&self, node: &NodeProto, tensor: &str) -> Result<Vec<usize>, Error> {
        self.facts.shape(tensor).ok_or_else(|| {
            let reason = self.facts.not_run().map(|error| format!(": {error}")).unwrap_or_default();
            Error::malformed(format_args!(
                "{}: the shape of {tensor:?} is not known{reason}",
                node.label()
            ))
        })
    }

    fn format(&self, tensor: &str) -> TensorFormat {
        self.formats.get(tensor).cloned().unwrap_or_else(|| {
            let wide =
                matches!(self.facts.dtype(tensor), Some(DType::F64 | DType::I64 | DType::U64));
            let element_bits = if wide && self.rules == Rules::Complete { 64 } else { 32 };
            TensorFormat { element_bits, ..TensorFormat::FLOAT32 }
        })
    }

    /// The share of elements that are not zero; one if the tensor is no constant.
    fn density(&self, tensor: &str) -> f64 {
        let Some(value) = self.facts.constant(tensor) else { return 1.0 };
        let nonzero = match value.data() {
            Data::F32(values) => values.iter().filter(|v| **v != 0.0).count(),
            Data::F64(values) => values.iter().filter(|v| **v != 0.0).count(),
            Data::I8(values) => values.iter().filter(|v| **v != 0).count(),
            Data::U8(values) => values.iter().filter(|v| **v != 0).count(),
            Data::I32(values) => values.iter().filter(|v| **v != 0).count(),
            _ => value.len(),
        };
        nonzero as f64 / value.len().max(1) as f64
    }
}

fn linear(node: &NodeProto) -> bool {
    node.string("mode").ok().flatten() == Some("linear")
}

fn operand(format: &TensorFormat, elements: f64) -> Operand {
    Operand {
        data_type: format.qonnx_name(),
        format: format.name(),
        bit_width: format.bits(),
        elements,
        bits: elements * f64::from(format.bits()),
    }
}

fn elements(shape: &[usize]) -> u128 {
    shape.iter().fold(1, |product, &extent| product.saturating_mul(extent as u128))
}

fn product(factors: &[usize]) -> f64 {
    elements(factors) as f64
}

fn groups(node: &NodeProto) -> usize {
    let groups = node.int("group").ok().flatten().unwrap_or(1);
    usize::try_from(groups).unwrap_or(1).max(1)
}

fn misfit(node: &NodeProto, shapes: &[&[usize]]) -> Error {
    Error::malformed(format_args!("{}: the shapes {shapes:?} do not fit together", node.label()))
}
