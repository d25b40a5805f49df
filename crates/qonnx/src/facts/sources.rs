//! The numbers that quantizers make.

use fewbit_formats::{FloatFormat, Format, IntegerFormat, ReservedCodes};
use fewbit_onnx::proto::NodeProto;

use super::format::{Scaling, TensorFormat};
use super::inference::Rules;
use crate::value::{DType, Data, Value};

/// The values of parameters that are the same for every input.
pub(super) type Constants<'a> = dyn Fn(&str) -> Option<Value> + 'a;

/// What a quantizer makes of `input`, elements of type `element`; nothing if the node is none, or its format is not known.
pub(super) fn made(
    node: &NodeProto,
    input: &TensorFormat,
    element: Option<DType>,
    constants: &Constants<'_>,
    rules: Rules,
) -> Option<TensorFormat> {
    let numbers = |index: usize| floats(&constants(node.input.get(index)?)?);
    let made = match node.op_type() {
        "Quant" | "IntQuant" => {
            let bits = numbers(3).and_then(|bits| whole(&bits));
            let zero_points = numbers(2);
            if rules == Rules::Qonnx {
                // Its parameters have to be stored, the bit width of rank 0, and the zero point zero.
                let rank = constants(node.input.get(3)?)?.shape().len();
                let zero = zero_points.as_ref()?.iter().all(|z| *z == 0.0);
                numbers(1).filter(|_| rank == 0 && zero)?;
            }
            let signed = node.int("signed").ok().flatten()? != 0;
            let narrow = node.int("narrow").ok().flatten().unwrap_or(0) != 0;
            let format = integer(bits?, signed, narrow && rules == Rules::Complete)?;
            TensorFormat {
                scale: scaling(numbers(1)),
                zero_point: zero_points
                    .map_or(f32::NAN, |z| if uniform(&z) { z[0] } else { f32::NAN }),
                ..TensorFormat::codes(format)
            }
        }
        "BipolarQuant" => {
            let scale = scaling(numbers(1));
            if rules == Rules::Qonnx && scale != Scaling::One {
                return None;
            }
            TensorFormat { scale, ..TensorFormat::codes(Format::Bipolar) }
        }
        "FloatQuant" => {
            let parameter = |index: usize| whole(&numbers(index)?);
            let format = FloatFormat::new(
                u32::try_from(parameter(2)?).ok()?,
                u32::try_from(parameter(3)?).ok()?,
            )
            .and_then(|format| format.with_reserved(ReservedCodes::None))
            .and_then(|format| format.with_exponent_bias(parameter(4).unwrap_or(i32::MAX)))
            .ok()?;
            let limit = numbers(5)?;
            let format = format.with_max_value(*limit.first().filter(|_| uniform(&limit))?).ok()?;
            let scale = scaling(numbers(1));
            if rules == Rules::Qonnx && scale != Scaling::One {
                return None;
            }
            TensorFormat { scale, ..TensorFormat::codes(Format::Float(format)) }
        }
        "Trunc" if rules == Rules::Complete => {
            // Version 2 has one more input.
            let (scale, bits) = if node.input.len() > 5 { (4, 5) } else { (1, 4) };
            let signed = match node.int("signed").ok().flatten() {
                Some(signed) => signed != 0,
                None => input.signed(),
            };
            let format = integer(whole(&numbers(bits)?)?, signed, false)?;
            TensorFormat { scale: scaling(numbers(scale)), ..TensorFormat::codes(format) }
        }
        "MultiThreshold" => {
            let of = |name: &str, default: f32| node.float(name).ok().flatten().unwrap_or(default);
            let (scale, bias) = (of("out_scale", 1.0), of("out_bias", 0.0));
            let format: Format = node.string("out_dtype").ok().flatten()?.parse().ok()?;
            let scaled = scale.fract() != 0.0 || bias.fract() != 0.0;
            match rules {
                Rules::Qonnx if scaled => return None,
                Rules::Complete if scaled => {
                    let unscaled = TensorFormat::codes(format);
                    TensorFormat { scale: Scaling::of(&[scale]), ..unscaled }
                }
                _ => TensorFormat::codes(format),
            }
        }
        "QuantAvgPool2d" => {
            let int = |name: &str| node.int(name).ok().flatten();
            TensorFormat::codes(integer(
                i32::try_from(int("obits")?).ok()?,
                int("signed")? != 0,
                false,
            )?)
        }
        "QuantizeLinear" => {
            let zero_point = node.input.get(2).and_then(|name| constants(name));
            let dtype = zero_point.map_or(DType::U8, |value| value.dtype());
            TensorFormat::codes(of_integers(dtype)?)
        }
        "DequantizeLinear" => {
            let format = input.format.or_else(|| of_integers(element?))?;
            let zero_point = match node.input.get(2).filter(|name| !name.is_empty()) {
                None => 0.0,
                Some(name) => {
                    let values = floats(&constants(name)?)?;
                    *values.first().filter(|_| uniform(&values))?
                }
            };
            if rules == Rules::Qonnx {
                // Whatever the scale is.
                let unknown = TensorFormat::codes(format);
                return Some(TensorFormat { scale: Scaling::Unknown, ..unknown });
            }
            TensorFormat { scale: scaling(numbers(1)), zero_point, ..TensorFormat::codes(format) }
        }
        _ => return None,
    };
    let name = Some(node.name()).filter(|name| !name.is_empty());
    let name = name.or(node.output.first().map(String::as_str));
    Some(TensorFormat { quantizer: name.map(str::to_owned), ..made })
}

/// The format of the elements of an integer type.
pub(super) fn of_integers(dtype: DType) -> Option<Format> {
    let (bits, signed) = match dtype {
        DType::I8 => (8, true),
        DType::I16 => (16, true),
        DType::I32 => (32, true),
        DType::U8 => (8, false),
        DType::U16 => (16, false),
        DType::U32 => (32, false),
        DType::I4 => (4, true),
        DType::I2 => (2, true),
        DType::U4 => (4, false),
        DType::U2 => (2, false),
        DType::Bool => (1, false),
        _ => return None,
    };
    integer(bits, signed, false)
}

/// One signed bit is bipolar, as in `Quant`.
fn integer(bits: i32, signed: bool, narrow: bool) -> Option<Format> {
    let format = IntegerFormat::new(u32::try_from(bits).ok()?).ok()?;
    if signed && bits == 1 {
        return Some(Format::Bipolar);
    }
    let format = if signed { format } else { format.unsigned().ok()? };
    if narrow && bits > 1 {
        format.with_narrow_range().ok().map(Format::Integer)
    } else {
        Some(format.into())
    }
}

fn scaling(scales: Option<Vec<f32>>) -> Scaling {
    scales.map_or(Scaling::Unknown, |scales| Scaling::of(&scales))
}

fn uniform(values: &[f32]) -> bool {
    values.first().is_some_and(|first| values.iter().all(|value| value == first))
}

/// The one whole number that all are.
fn whole(values: &[f32]) -> Option<i32> {
    let first = *values.first().filter(|_| uniform(values))?;
    (first.fract() == 0.0 && first.abs() < 1e6).then_some(first as i32)
}

/// Numbers of any type.
pub(super) fn floats(value: &Value) -> Option<Vec<f32>> {
    match value.data() {
        Data::Bool(_) => None,
        _ => {
            crate::tensor::Tensor::new(value.clone()).to_f32("").ok().map(|values| values.to_vec())
        }
    }
}

/// The smallest format of integers that holds all from `lowest` to `highest`, no wider than `whole`.
pub(super) fn clipped(whole: IntegerFormat, lowest: i64, highest: i64) -> IntegerFormat {
    let (lowest, highest) = (lowest.max(whole.min()), highest.min(whole.max()));
    for bits in 1..whole.bit_width() {
        let Ok(format) = IntegerFormat::new(bits) else { continue };
        let format = if lowest < 0 { Ok(format) } else { format.unsigned() };
        if let Ok(format) = format
            && format.min() <= lowest
            && format.max() >= highest
        {
            let narrow = format
                .with_narrow_range()
                .ok()
                .filter(|narrow| narrow.min() <= lowest && narrow.max() >= highest);
            return narrow.unwrap_or(format);
        }
    }
    whole
}
