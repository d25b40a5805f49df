//! Minifloats in the types that ONNX has of its own.

use fewbit_formats::FloatFormat;
use fewbit_onnx::graph::Graph;
use fewbit_onnx::proto::NodeProto;
use fewbit_onnx::proto::tensor_proto::DataType;
use fewbit_onnx::tensor::{TensorData, TensorValue};

use super::qcdq::scale;
use super::quantizers::{Quantizer, int};

pub(super) fn convert(graph: &mut Graph, quantizer: &Quantizer) -> Result<(), String> {
    let format = quantizer.float().ok_or("no minifloat")?;
    let (data_type, version) = own_type(format).ok_or_else(|| {
        format!(
            "ONNX has no type with the values of {}; it has e4m3, e5m2 and e2m1",
            quantizer.format
        )
    })?;
    let (scale, axis) = scale(quantizer)?;
    let count = scale.element_count();
    let dims = scale.dims().to_vec();
    let scale = quantizer.store(graph, "scale", &scale);
    let bits = fewbit_onnx::tensor::bits_per_element(data_type).ok_or("a type without a size")?;
    let bytes = vec![0_u8; (count * bits).div_ceil(8)].into();
    let zero = TensorValue::new(dims, TensorData::Packed { data_type, count, bytes });
    let zero = quantizer.store(graph, "zero_point", &zero.map_err(|error| error.to_string())?);
    let along = |mut node: NodeProto| {
        node.attribute.extend(axis.map(|axis| int("axis", axis)));
        node
    };
    let codes = quantizer.own(graph, "codes");
    let quantize =
        quantizer.node("quantize", "QuantizeLinear", &[&quantizer.input, &scale, &zero], &codes);
    let mut quantize = along(quantize);
    if data_type != DataType::Float4e2m1 {
        quantize.attribute.push(int("saturate", 1));
    }
    let dequantize = quantizer.node(
        "dequantize",
        "DequantizeLinear",
        &[&codes, &scale, &zero],
        &quantizer.output,
    );
    graph.require("", version);
    quantizer.replace(graph, vec![quantize, along(dequantize)])
}

/// ONNX's type with the same values, and the operator set that has it.
fn own_type(format: FloatFormat) -> Option<(DataType, i64)> {
    let known = |e: u32, m: u32, bias: i32, largest: f32| {
        (format.exponent_bit_width(), format.mantissa_bit_width()) == (e, m)
            && format.exponent_bias() == bias
            && format.max_value() == largest
            && format.signed()
    };
    if known(4, 3, 7, 448.0) {
        Some((DataType::Float8e4m3fn, 19))
    } else if known(5, 2, 15, 57344.0) {
        Some((DataType::Float8e5m2, 19))
    } else if known(2, 1, 1, 6.0) {
        Some((DataType::Float4e2m1, 23))
    } else {
        None
    }
}
