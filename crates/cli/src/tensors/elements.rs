//! Elements of arrays and of tensors, whatever their type.

use std::ops::Range;
use std::path::Path;

use fewbit_data::npy::{NpyArray, NpyData};
use fewbit_qonnx::{DType, Data, Value};
use half::{bf16, f16};

use crate::failure::{Failure, Hint, Outcome};

/// Does the same with every type of elements that NumPy has, too.
macro_rules! for_every_type {
    ($($variant:ident)*) => {
        /// Puts elements behind others of the same type.
        pub fn append(data: &mut Data, more: &Data) -> bool {
            match (data, more) {
                $((Data::$variant(data), Data::$variant(more)) => {
                    std::sync::Arc::make_mut(data).extend_from_slice(more);
                    true
                })*
                _ => false,
            }
        }

        /// Copies some of the elements.
        pub fn part_of(data: &Data, range: Range<usize>) -> Outcome<Data> {
            match data {
                $(Data::$variant(values) => Ok(values[range].to_vec().into()),)*
                other => Err(Failure::new(format!("{} arrays cannot be divided", other.dtype()))),
            }
        }

        /// Makes a tensor of an array.
        fn tensor_data(data: NpyData) -> Option<Data> {
            match data {
                $(NpyData::$variant(values) => Some(values.into()),)*
                _ => None,
            }
        }

        /// Makes an array of a tensor; what NumPy has no type for becomes the next wider one.
        pub fn array(value: &Value) -> Outcome<NpyArray> {
            let wide = as_written(value);
            let data: NpyData = match wide.data() {
                $(Data::$variant(values) => values.to_vec().into(),)*
                other => {
                    return Err(Failure::new(format!("{} cannot be written", other.dtype())));
                }
            };
            Ok(NpyArray::new(value.shape().to_vec(), data)?)
        }

        /// The smallest and the largest element, in words.
        pub fn range(value: &Value) -> (String, String) {
            match value.widened().data() {
                $(Data::$variant(values) => limits(values),)*
                _ => ("-".to_owned(), "-".to_owned()),
            }
        }
    };
}

for_every_type! { Bool I8 I16 I32 I64 U8 U16 U32 U64 F16 F32 F64 }

/// A tensor of a type that NumPy has: the same one, or the next wider.
fn as_written(value: &Value) -> Value {
    if value.dtype() == DType::F16 { value.clone() } else { value.widened() }
}

/// The type as which a tensor is written.
pub fn written_as(value: &Value) -> DType {
    as_written(value).dtype()
}

/// A tensor in the type that a model wants, where every value of it fits exactly: floats become floats,
/// integers integers. Others stay, for the model to refuse.
pub fn converted(value: &Value, wanted: DType) -> Outcome<Value> {
    if value.dtype() == wanted {
        return Ok(value.clone());
    }
    let shape = value.shape().to_vec();
    let misfit = |found: &dyn std::fmt::Display, index: usize| {
        let dtype = value.dtype();
        Failure::new(format!("{dtype} values, {found} at index {index} does not fit {wanted}"))
            .or_hint(format!("the model takes {wanted}; round the array first, if that is meant"))
    };
    let data: Data = match (value.data(), wanted) {
        (Data::F16(_) | Data::Bf16(_) | Data::F32(_) | Data::F64(_), _) => {
            // Each of these is exact as f64.
            let numbers = value.to_f64();
            macro_rules! floats {
                ($narrow:expr, $wide:expr) => {{
                    let narrow: Vec<_> = numbers.iter().map(|&x| ($narrow)(x)).collect();
                    let fits = |(x, y): (&f64, _)| *x == ($wide)(y) || x.is_nan();
                    let pairs = numbers.iter().zip(narrow.iter().copied());
                    if let Some(at) = pairs.map(fits).position(|fits| !fits) {
                        return Err(misfit(&numbers[at], at));
                    }
                    narrow.into()
                }};
            }
            match wanted {
                DType::F16 => floats!(f16::from_f64, f16::to_f64),
                DType::Bf16 => floats!(bf16::from_f64, bf16::to_f64),
                DType::F32 => floats!(|x: f64| x as f32, f64::from),
                DType::F64 => numbers.into(),
                _ => return Ok(value.clone()),
            }
        }
        _ => {
            let Some(numbers) = integers(value.data()) else { return Ok(value.clone()) };
            macro_rules! integers {
                ($($variant:ident $type:ty,)*) => {
                    match wanted {
                        $(DType::$variant => {
                            let fits = |(at, &x): (usize, &i128)| {
                                <$type>::try_from(x).map_err(|_| misfit(&x, at))
                            };
                            numbers.iter().enumerate().map(fits).collect::<Outcome<Vec<_>>>()?.into()
                        })*
                        _ => return Ok(value.clone()),
                    }
                };
            }
            integers!(I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,)
        }
    };
    Ok(Value::new(shape, data)?)
}

fn integers(data: &Data) -> Option<Vec<i128>> {
    macro_rules! by_type {
        ($($variant:ident)*) => {
            match data {
                $(Data::$variant(values) => values.iter().map(|&x| i128::from(x)).collect(),)*
                _ => return None,
            }
        };
    }
    Some(by_type!(I8 I16 I32 I64 U8 U16 U32 U64))
}

fn limits<T: PartialOrd + Copy + std::fmt::Display>(values: &[T]) -> (String, String) {
    // What is no number is neither small nor large.
    let mut numbers = values.iter().copied().filter(|value| value.partial_cmp(value).is_some());
    let Some(first) = numbers.next() else { return ("-".to_owned(), "-".to_owned()) };
    let (smallest, largest) = numbers.fold((first, first), |(smallest, largest), value| {
        (
            if value < smallest { value } else { smallest },
            if value > largest { value } else { largest },
        )
    });
    (smallest.to_string(), largest.to_string())
}

/// Makes a tensor of an array that was read from `path`.
pub fn tensor(array: NpyArray, path: &Path) -> Outcome<Value> {
    let dtype = array.dtype();
    let (shape, data) = array.into_parts();
    let data = tensor_data(data).ok_or_else(|| {
        Failure::new(format!(
            "{}: elements of type {} are not supported",
            path.display(),
            dtype.code()
        ))
    })?;
    Value::new(shape, data).context(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_exactly_is_converted() {
        let floats = |values: &[f32]| Value::new(vec![values.len()], values.to_vec()).unwrap();
        let halves = converted(&floats(&[0.5, -0.0, f32::INFINITY, 65504.0]), DType::F16).unwrap();
        let expected = [0.5, -0.0, f32::INFINITY, 65504.0].map(f16::from_f32);
        assert_eq!(halves.as_slice::<f16>(), Some(&expected[..]));
        assert_eq!(converted(&halves, DType::F64).unwrap().to_f64()[3], 65504.0);
        for (value, wanted, words) in [
            (floats(&[0.5, 0.1]), DType::F16, "at index 1 does not fit float16"),
            (floats(&[65536.0]), DType::F16, "65536 at index 0"),
            (Value::new(vec![1], vec![0.1_f64]).unwrap(), DType::F32, "does not fit float32"),
            (Value::new(vec![2], vec![1_i64, 128]).unwrap(), DType::I8, "128 at index 1"),
            (Value::new(vec![1], vec![-1_i8]).unwrap(), DType::U64, "-1 at index 0"),
        ] {
            let error = converted(&value, wanted).unwrap_err();
            assert!(error.message().contains(words), "{error}");
        }
        let bytes = Value::new(vec![2], vec![0_u8, 255]).unwrap();
        let wide = converted(&bytes, DType::I64).unwrap();
        assert_eq!(wide.as_slice::<i64>(), Some(&[0, 255][..]));
        // Pixels are no numbers from 0 to 1: who means that has to say it.
        assert_eq!(converted(&bytes, DType::F32).unwrap(), bytes);
        assert_eq!(converted(&floats(&[1.0]), DType::I64).unwrap(), floats(&[1.0]));
    }

    #[test]
    fn types_in_files() {
        let halves = Value::new(vec![1], vec![f16::from_f32(1.5)]).unwrap();
        let array = array(&halves).unwrap();
        assert_eq!(array.as_slice::<f16>(), Some(&[f16::from_f32(1.5)][..]));
        assert_eq!(tensor(array, Path::new("x")).unwrap(), halves);
        assert_eq!(written_as(&Value::new(vec![1], vec![bf16::ONE]).unwrap()), DType::F32);
    }
}
