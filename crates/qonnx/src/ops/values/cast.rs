//! Cast and CastLike: between numbers and truth values.

use fewbit_formats::RoundingMode;
use fewbit_onnx::proto::tensor_proto::DataType;

use crate::attributes::Attributes;
use crate::error::Fault;
use crate::ops::{Context, Input, Inputs, Operator, only_first_batched};
use crate::tensor::Tensor;
use crate::value::{DType, Data, Narrowing, Value, low_bits, narrowed, sticky, widened};

/// Floats to integers toward zero; what does not fit becomes the nearest that does, NaN becomes 0. Integers of fewer than 8 bits are the lowest bits.
#[derive(Debug)]
struct Cast {
    /// Without it, the type of the second input.
    to: Option<DType>,
    narrowing: Narrowing,
}

pub(crate) fn cast(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let to = if attributes.version() < 6 {
        let name = attributes.string("to")?.unwrap_or_default();
        let types = (1..=28).filter_map(|number| DataType::try_from(number).ok());
        let known = types.into_iter().find(|known| known.as_str_name() == name);
        let expected = "the name of a type";
        let known = known
            .ok_or_else(|| Fault::value("attribute \"to\"", format_args!("{name:?}"), expected))?;
        dtype(i64::from(known as i32), "attribute \"to\"")?
    } else {
        dtype(attributes.required_int("to")?, "attribute \"to\"")?
    };
    Ok(Box::new(Cast { to: Some(to), narrowing: narrowing(attributes)? }))
}

pub(crate) fn cast_like(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    Ok(Box::new(Cast { to: None, narrowing: narrowing(attributes)? }))
}

fn narrowing(attributes: &mut Attributes<'_>) -> Result<Narrowing, Fault> {
    let powers = match attributes.string("round_mode")? {
        None | Some("up") => RoundingMode::Ceil,
        Some("down") => RoundingMode::Floor,
        // Halves away from zero, and there is nothing below zero.
        Some("nearest") => RoundingMode::HalfUp,
        Some(other) => {
            let found = format_args!("{other:?}");
            return Err(Fault::value("attribute \"round_mode\"", found, "up, down or nearest"));
        }
    };
    Ok(Narrowing { saturate: attributes.flag("saturate", true)?, powers })
}

/// The element type of a number in a file.
pub(crate) fn dtype(number: i64, what: &str) -> Result<DType, Fault> {
    let known = i32::try_from(number).ok().and_then(|number| DataType::try_from(number).ok());
    Ok(match known {
        Some(DataType::Float) => DType::F32,
        Some(DataType::Double) => DType::F64,
        Some(DataType::Float16) => DType::F16,
        Some(DataType::Bfloat16) => DType::Bf16,
        Some(DataType::Float8e4m3fn) => DType::F8E4M3,
        Some(DataType::Float8e4m3fnuz) => DType::F8E4M3Fnuz,
        Some(DataType::Float8e5m2) => DType::F8E5M2,
        Some(DataType::Float8e5m2fnuz) => DType::F8E5M2Fnuz,
        Some(DataType::Float8e8m0) => DType::F8E8M0,
        Some(DataType::Float6e2m3) => DType::F6E2M3,
        Some(DataType::Float6e3m2) => DType::F6E3M2,
        Some(DataType::Float4e2m1) => DType::F4E2M1,
        Some(DataType::Int2) => DType::I2,
        Some(DataType::Int4) => DType::I4,
        Some(DataType::Int8) => DType::I8,
        Some(DataType::Int16) => DType::I16,
        Some(DataType::Int32) => DType::I32,
        Some(DataType::Int64) => DType::I64,
        Some(DataType::Uint2) => DType::U2,
        Some(DataType::Uint4) => DType::U4,
        Some(DataType::Uint8) => DType::U8,
        Some(DataType::Uint16) => DType::U16,
        Some(DataType::Uint32) => DType::U32,
        Some(DataType::Uint64) => DType::U64,
        Some(DataType::Bool) => DType::Bool,
        Some(other) => {
            return Err(Fault::unsupported(format_args!("{what} with {}", other.as_str_name())));
        }
        None => return Err(Fault::value(what, number, "the number of a type")),
    })
}

impl Operator for Cast {
    fn run(&self, inputs: &mut Inputs, _: &Context) -> Result<Vec<Tensor>, Fault> {
        inputs.at_most(if self.to.is_some() { 1 } else { 2 })?;
        let input = inputs.take(0, "input")?;
        let to = match self.to {
            Some(to) => to,
            None => inputs.take(1, "target_type")?.dtype(),
        };
        if input.dtype() == to {
            return Ok(vec![input]);
        }
        let (shape, data) = input.into_value().into_parts();
        Ok(vec![Tensor::new(Value::of(shape, convert(&data, to, self.narrowing)))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

/// The same numbers in another type.
pub(crate) fn convert(data: &Data, to: DType, narrowing: Narrowing) -> Data {
    if data.dtype() == to {
        return data.clone();
    }
    let data = &widened(data);
    macro_rules! from_number {
        ($values:expr, $($variant:ident $type:ty),*) => {
            match to {
                $(DType::$variant => {
                    $values.iter().map(|&v| v as $type).collect::<Vec<$type>>().into()
                })*
                DType::Bool => {
                    $values.iter().map(|&v| v != Default::default()).collect::<Vec<bool>>().into()
                }
                DType::I4 | DType::U4 | DType::I2 | DType::U2 => {
                    low_bits($values.iter().map(|&v| v as i64), to)
                        .unwrap_or_else(|| data.clone())
                }
                small => {
                    let near: Vec<f32> = $values.iter().map(|&v| sticky(v as f64)).collect();
                    narrowed(&near, small, narrowing).unwrap_or_else(|| data.clone())
                }
            }
        };
    }
    macro_rules! from_all {
        ($($variant:ident),*) => {
            match data {
                $(Data::$variant(values) => from_number!(
                    values,
                    F32 f32, F64 f64, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64
                ),)*
                Data::Bool(values) => {
                    let ones: Vec<u8> = values.iter().map(|&v| u8::from(v)).collect();
                    convert(&ones.into(), to, narrowing)
                }
                // Wider types are all there are after widening.
                other => other.clone(),
            }
        };
    }
    from_all!(F32, F64, I8, I16, I32, I64, U8, U16, U32, U64)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::small::{I4, U4};

    #[test]
    fn between_types() {
        let to = |data: &Data, to| convert(data, to, Narrowing::default());
        let floats = Data::from(vec![-1.7f32, 0.0, 300.0, f32::NAN]);
        assert_eq!(to(&floats, DType::I64), Data::from(vec![-1i64, 0, 300, 0]));
        assert_eq!(to(&floats, DType::U8), Data::from(vec![0u8, 0, 255, 0]));
        assert_eq!(to(&floats, DType::Bool), Data::from(vec![true, false, true, true]));
        assert_eq!(to(&floats, DType::I4), Data::from([-1, 0, -4, 0].map(I4).to_vec()));
        let truth = Data::from(vec![true, false]);
        assert_eq!(to(&truth, DType::F32), Data::from(vec![1.0f32, 0.0]));
        assert_eq!(to(&truth, DType::Bool), truth);
        assert_eq!(to(&truth, DType::U4), Data::from([1, 0].map(U4).to_vec()));
        let half = to(&Data::from(vec![1.0 / 3.0f64]), DType::F16);
        assert_eq!(half, Data::from(vec![f16::from_f64(1.0 / 3.0)]));
        assert_eq!(to(&half, DType::F64), Data::from(vec![f16::from_f64(1.0 / 3.0).to_f64()]));
    }
}
