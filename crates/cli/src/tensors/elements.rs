//! Elements of arrays and of tensors, whatever their type.

use std::ops::Range;
use std::path::Path;

use fewbit_data::npy::{NpyArray, NpyData};
use fewbit_qonnx::{Data, Value};

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
            let wide = value.widened();
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

for_every_type! { Bool I8 I16 I32 I64 U8 U16 U32 U64 F32 F64 }

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
