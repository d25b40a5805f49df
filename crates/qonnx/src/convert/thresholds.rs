//! Integers and thresholds in place of minifloats.

use fewbit_formats::Format;
use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::NodeProto;
use fewbit_onnx::tensor::TensorValue;

use super::levels;
use super::quantizers::{Quantizer, float, int, string};
use crate::facts::is_power_of_two;

/// The domain of today.
const DOMAIN: &str = crate::ops::QUANTIZATION_DOMAINS[0];

/// Weights of a minifloat on an integer grid: a `Quant` of their values, whose scale is the grid's step.
pub(super) fn integer_weights(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let format = quantizer.float().ok_or("no minifloat")?;
    let grid = format
        .integer_grid()
        .ok_or_else(|| format!("{} lies on no integer grid", quantizer.format))?;
    let values = quantizer.constant.as_ref().ok_or("its result depends on the input")?;
    let stored = crate::clean::tensor(values).ok_or("its result is of another type")?;
    let scales: Vec<f32> = quantizer
        .scale
        .as_slice::<f32>()
        .ok_or("its scale is not of f32")?
        .iter()
        .map(|scale| scale * grid.step)
        .collect();
    if scales.iter().any(|scale| !scale.is_normal()) {
        return Err("a scale too small to be multiplied by the grid's step".to_owned());
    }
    // One bit for the sign.
    let bits = (grid.max_multiple + 1).next_power_of_two().ilog2() + 1;
    let shape = quantizer.scale.shape().to_vec();
    let scale = TensorValue::new(shape, scales).map_err(|error| error.to_string())?;
    let inputs = [
        quantizer.store(graph, "values", &stored),
        quantizer.store(graph, "scale", &scale),
        quantizer.store(graph, "zero_point", &TensorValue::scalar(0.0_f32)),
        quantizer.store(graph, "bit_width", &TensorValue::scalar(bits as f32)),
    ];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let node = NodeProto {
        domain: Some(DOMAIN.to_owned()),
        attribute: vec![int("narrow", 0), string("rounding_mode", "ROUND"), int("signed", 1)],
        ..quantizer.node("integer", "Quant", &inputs, &quantizer.output)
    };
    graph.require(DOMAIN, 1);
    quantizer.replace(graph, vec![node])
}

/// Activations: thresholds between codes; a code without a value of its own has the threshold of the next one.
pub(super) fn activations(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let bipolar = quantizer.format == Format::Bipolar;
    let levels = levels::of(quantizer)?;
    let count = levels.thresholds.len();
    let highest = levels.lowest + count as i64;
    let data_type = match (bipolar, levels.lowest) {
        (true, _) => "BIPOLAR".to_owned(),
        (false, 0) => format!("UINT{}", bits(highest)),
        (false, lowest) => format!("INT{}", bits(highest.max(-lowest - 1)) + 1),
    };
    // Of -1 and 1 there is one threshold, and the step is two.
    let (thresholds, step) = match bipolar {
        true => (vec![levels.thresholds[0]], 2.0),
        false => (levels.thresholds, 1.0),
    };
    let table =
        TensorValue::new([1, thresholds.len()], thresholds).map_err(|error| error.to_string())?;
    let table = quantizer.store(graph, "thresholds", &table);
    // Scaled by a power of two nothing is rounded; other scales need a product of the finished code.
    let exact = is_power_of_two(levels.unit);
    let factor = if exact { levels.unit } else { 1.0 };
    let result = if exact { quantizer.output.clone() } else { quantizer.own(graph, "codes") };
    let mut attribute = vec![
        float("out_bias", levels.lowest as f32 * factor),
        string("out_dtype", &data_type),
        float("out_scale", step * factor),
    ];
    let layout = match quantizer.rank {
        2 => Some("NC"),
        3 => Some("NCW"),
        4 => Some("NCHW"),
        _ => None,
    };
    attribute.extend(layout.map(|layout| string("data_layout", layout)));
    attribute.sort_by(|a, b| a.name().cmp(b.name()));
    let mut chain = vec![NodeProto {
        domain: Some(DOMAIN.to_owned()),
        attribute,
        ..quantizer.node("thresholds", "MultiThreshold", &[&quantizer.input, &table], &result)
    }];
    if !exact {
        let unit = quantizer.store(graph, "unit", &TensorValue::scalar(levels.unit));
        chain.push(quantizer.node("scaled", "Mul", &[&result, &unit], &quantizer.output));
    }
    graph.require(DOMAIN, 1);
    quantizer.replace(graph, chain)
}

/// Bits of a number from 0 on.
fn bits(highest: i64) -> u32 {
    (64 - highest.max(1).leading_zeros()).max(1)
}
