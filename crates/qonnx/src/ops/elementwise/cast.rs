//! Cast between numbers and truth values.

use fewbit_onnx::proto::tensor_proto::DataType;

use crate::ops::{Context, Input, Inputs, Operator, only_first_batched};
use crate::attributes::Attributes;
use crate::error::Fault;
use crate::tensor::Tensor;
use crate::value::{DType, Data, Value};

/// Floats to integers toward zero; what does not fit becomes the nearest that does, NaN becomes 0.
#[derive(Debug)]
struct Cast {
    to: DType,
}

pub(crate) fn new(attributes: &mut Attributes<'_>) -> Result<Box<dyn Operator>, Fault> {
    let to = dtype(attributes.required_int("to")?, "attribute \"to\"")?;
    // Both concern types of 8 and fewer bits only.
    attributes.ignore("saturate");
    attributes.ignore("round_mode");
    Ok(Box::new(Cast { to }))
}

/// The element type of a number in a file.
pub(crate) fn dtype(number: i64, what: &str) -> Result<DType, Fault> {
    let known = i32::try_from(number).ok().and_then(|number| DataType::try_from(number).ok());
    Ok(match known {
        Some(DataType::Float) => DType::F32,
        Some(DataType::Double) => DType::F64,
        Some(DataType::Int8) => DType::I8,
        Some(DataType::Int16) => DType::I16,
        Some(DataType::Int32) => DType::I32,
        Some(DataType::Int64) => DType::I64,
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
        inputs.at_most(1)?;
        let input = inputs.take(0, "input")?;
        if input.dtype() == self.to {
            return Ok(vec![input]);
        }
        let (shape, data) = input.into_value().into_parts();
        Ok(vec![Tensor::new(Value::of(shape, convert(&data, self.to)))])
    }

    fn keeps_batch(&self, inputs: &[Input<'_>], _: &[usize]) -> bool {
        only_first_batched(inputs)
    }

    fn computes_sizes(&self) -> bool {
        true
    }
}

fn convert(data: &Data, to: DType) -> Data {
    macro_rules! from_number {
        ($values:expr, $($variant:ident $type:ty),*) => {
            match to {
                $(DType::$variant => {
                    $values.iter().map(|&v| v as $type).collect::<Vec<$type>>().into()
                })*
                DType::Bool => {
                    $values.iter().map(|&v| v != Default::default()).collect::<Vec<bool>>().into()
                }
            }
        };
    }
    macro_rules! from_all {
        ($($variant:ident),*) => {
            match data {
                $(Data::$variant(values) => from_number!(
                    values, F32 f32, F64 f64, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64
                ),)*
                Data::Bool(values) => {
                    let ones: Vec<u8> = values.iter().map(|&v| u8::from(v)).collect();
                    convert(&ones.into(), to)
                }
            }
        };
    }
    if matches!((data, to), (Data::Bool(_), DType::Bool)) {
        return data.clone();
    }
    from_all!(F32, F64, I8, I16, I32, I64, U8, U16, U32, U64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_types() {
        let floats = Data::from(vec![-1.7f32, 0.0, 300.0, f32::NAN]);
        assert_eq!(convert(&floats, DType::I64), Data::from(vec![-1i64, 0, 300, 0]));
        assert_eq!(convert(&floats, DType::U8), Data::from(vec![0u8, 0, 255, 0]));
        assert_eq!(convert(&floats, DType::Bool), Data::from(vec![true, false, true, true]));
        let truth = Data::from(vec![true, false]);
        assert_eq!(convert(&truth, DType::F32), Data::from(vec![1.0f32, 0.0]));
        assert_eq!(convert(&truth, DType::Bool), truth);
    }
}
