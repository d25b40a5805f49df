//! Integers in operators of ONNX: `QuantizeLinear`, `Clip`, `DequantizeLinear`.

use fewbit_formats::{Format, IntegerFormat, RoundingMode};
use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::NodeProto;
use fewbit_onnx::tensor::{TensorData, TensorValue};

use super::quantizers::{Quantizer, int};

/// Versions of the operators: the first ones, those with scales along an axis, and a `Clip` of 8-bit integers. None is
/// asked for without need: what else is in the file has to be in it, too.
const FIRST: i64 = 10;
const WITH_AXIS: i64 = 13;
const WITH_CLIP: i64 = 12;

pub(super) fn convert(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let format = match quantizer.format {
        Format::Integer(format) => format,
        Format::Bipolar => IntegerFormat::new(2)
            .and_then(|format| format.with_narrow_range())
            .map_err(|error| error.to_string())?,
        format => return Err(format!("the format {format}")),
    };
    if format.bit_width() > 8 {
        return Err(format!("{} bits; at most 8 have such a form", format.bit_width()));
    }
    if quantizer.zero_point != 0.0 {
        return Err("a zero point that is not zero rounds otherwise there".to_owned());
    }
    let (scale, axis) = scale(quantizer)?;
    let scale = quantizer.store(graph, "scale", &scale);
    let along = |node: NodeProto| match axis {
        Some(axis) => NodeProto { attribute: vec![int("axis", axis)], ..node },
        None => node,
    };
    let byte = |values: Vec<i64>, dims: Vec<usize>| {
        let data = match format.signed() {
            true => TensorData::I8(values.into_iter().map(|v| v as i8).collect()),
            false => TensorData::U8(values.into_iter().map(|v| v as u8).collect()),
        };
        TensorValue::new(dims, data).map_err(|error| error.to_string())
    };
    let zero_shape = if axis.is_some() { quantizer.scale.len() } else { 1 };
    let zero = byte(vec![0; zero_shape], if axis.is_some() { vec![zero_shape] } else { vec![] })?;
    let zero = quantizer.store(graph, "zero_point", &zero);
    graph.require("", if axis.is_some() { WITH_AXIS } else { FIRST });
    if let Some(values) = &quantizer.constant {
        let codes = codes(quantizer, values)?;
        let codes = byte(codes, values.shape().to_vec())?;
        let codes = quantizer.store(graph, "codes", &codes);
        let node = quantizer.node(
            "dequantize",
            "DequantizeLinear",
            &[&codes, &scale, &zero],
            &quantizer.output,
        );
        return quantizer.replace(graph, vec![along(node)]);
    }
    if quantizer.format == Format::Bipolar {
        return Err("bipolar activations have no zero, and QuantizeLinear rounds to it; see the target standard".to_owned());
    }
    if quantizer.rounding_mode != RoundingMode::HalfEven {
        return Err("QuantizeLinear rounds half to even".to_owned());
    }
    let quantized = quantizer.own(graph, "quantized");
    let mut chain = vec![along(quantizer.node(
        "quantize",
        "QuantizeLinear",
        &[&quantizer.input, &scale, &zero],
        &quantized,
    ))];
    let mut last = quantized;
    let whole = IntegerFormat::new(8)
        .and_then(|whole| if format.signed() { Ok(whole) } else { whole.unsigned() });
    let whole = whole.map_err(|error| error.to_string())?;
    if (format.min(), format.max()) != (whole.min(), whole.max()) {
        graph.require("", WITH_CLIP);
        let low = quantizer.store(graph, "lowest", &byte(vec![format.min()], vec![])?);
        let high = quantizer.store(graph, "highest", &byte(vec![format.max()], vec![])?);
        let clipped = quantizer.own(graph, "clipped");
        chain.push(quantizer.node("clip", "Clip", &[&last, &low, &high], &clipped));
        last = clipped;
    }
    chain.push(along(quantizer.node(
        "dequantize",
        "DequantizeLinear",
        &[&last, &scale, &zero],
        &quantizer.output,
    )));
    quantizer.replace(graph, chain)
}

/// The scale as these operators take it: of rank 0, or along one axis.
pub(super) fn scale(quantizer: &Quantizer) -> Result<(TensorValue, Option<i64>), String> {
    if let Ok(scale) = quantizer.one_scale() {
        return Ok((TensorValue::scalar(scale), None));
    }
    let shape = quantizer.scale.shape();
    let mut wide = (0..shape.len()).filter(|&axis| shape[axis] > 1);
    let (Some(axis), None) = (wide.next(), wide.next()) else {
        return Err(format!("scales of shape {shape:?}"));
    };
    // Shapes are aligned at the end.
    let axis = axis + quantizer.rank.saturating_sub(shape.len());
    let scales = quantizer.scale.as_slice::<f32>().ok_or("its scale is not of f32")?.to_vec();
    Ok((TensorValue::vector(scales), Some(axis as i64)))
}

/// The codes of constant values, each checked to come back.
fn codes(quantizer: &Quantizer, values: &crate::Value) -> Result<Vec<i64>, String> {
    let numbers = values.as_slice::<f32>().ok_or("its result is not of f32")?;
    let scales = quantizer.scale.as_slice::<f32>().ok_or("its scale is not of f32")?;
    let places = crate::broadcast::strides(quantizer.scale.shape(), values.shape());
    let mut codes = Vec::with_capacity(numbers.len());
    let mut index = vec![0; values.shape().len()];
    for &value in numbers {
        let place: usize = if scales.len() == 1 {
            0
        } else {
            index.iter().zip(&places).map(|(i, stride)| i * stride).sum()
        };
        let code = (value / scales[place]).round_ties_even();
        if code * scales[place] != value {
            return Err(format!(
                "the weight {value} is no multiple of its scale {}",
                scales[place]
            ));
        }
        codes.push(code as i64);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < values.shape()[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(codes)
}
