//! Quantizers.

mod bipolar_quant;
mod dynamic_quantization;
mod float_quant;
pub(super) mod linear_quantization;
mod multi_threshold;
mod quant;
pub(super) mod quantizer;
mod trunc;

use super::Table;

/// Those of ONNX itself.
pub(super) const STANDARD: Table = &[
    ("DequantizeLinear", linear_quantization::dequantize),
    ("DynamicQuantizeLinear", dynamic_quantization::new),
    ("QuantizeLinear", linear_quantization::quantize),
];

/// Those of QONNX.
pub(super) const OPERATORS: Table = &[
    ("BipolarQuant", bipolar_quant::new),
    ("FloatQuant", float_quant::new),
    ("IntQuant", quant::new),
    ("MultiThreshold", multi_threshold::new),
    ("Quant", quant::new),
    ("Trunc", trunc::new),
];
