//! Arrays of files and tensors of models.

use std::ops::Range;
use std::path::Path;

use fewbit_data::npy::{self, NpyArray, NpyData};
use fewbit_data::npz::{Compression, NpzWriter};
use fewbit_qonnx::{Data, Outputs, Value as Tensor};
use serde_json::{Value, json};

use crate::console::{escape, table};
use crate::executor::Executor;
use crate::failure::{Failure, Hint, Outcome};
use crate::files;

/// The tensors that a run gives back, its batches behind each other.
#[derive(Debug, Default)]
pub struct Collected {
    tensors: Vec<Part>,
}

/// One tensor, batch by batch.
#[derive(Debug)]
struct Part {
    name: String,
    shape: Vec<usize>,
    data: Data,
}

impl Collected {
    /// Adds what one batch gave.
    pub fn add(&mut self, executor: &Executor, outputs: Outputs) -> Outcome<()> {
        for (name, value) in outputs {
            let (shape, data) = value.into_parts();
            match self.tensors.iter_mut().find(|part| part.name == name) {
                None => self.tensors.push(Part { name, shape, data }),
                Some(_) if executor.is_constant(&name) => {}
                Some(part) => {
                    let same = shape.get(1..) == part.shape.get(1..) && !shape.is_empty();
                    if !same || !append(&mut part.data, &data) {
                        let message = format!("{name} has another shape in each batch");
                        return Err(Failure::new(message).or_hint("leave --batch out"));
                    }
                    part.shape[0] += shape[0];
                }
            }
        }
        Ok(())
    }

    /// The tensors for people.
    pub fn table(&self) -> String {
        if self.tensors.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<String>> = self
            .tensors
            .iter()
            .map(|part| {
                let (smallest, largest) = part.range();
                let shape = format!("{:?}", part.shape);
                vec![escape(&part.name), part.data.dtype().to_string(), shape, smallest, largest]
            })
            .collect();
        table(&["tensor", "type", "shape", "smallest", "largest"], &rows)
    }

    /// The tensors for machines.
    pub fn json(&self) -> Value {
        let describe = |part: &Part| json!({ "name": part.name, "dtype": part.data.dtype().to_string(), "shape": part.shape });
        self.tensors.iter().map(describe).collect()
    }

    /// Writes the first output.
    pub fn write_npy(&self, path: &Path) -> Outcome<()> {
        let Some(first) = self.tensors.first() else { return Ok(()) };
        npy::write(&files::target(path)?, &first.array()?)?;
        Ok(())
    }

    /// Writes all tensors.
    pub fn write_npz(&self, path: &Path) -> Outcome<()> {
        let mut file = NpzWriter::create(&files::target(path)?, Compression::Deflate)?;
        for part in &self.tensors {
            file.add(&part.name, &part.array()?)?;
        }
        Ok(file.finish()?)
    }
}

/// Does the same with every type of elements.
macro_rules! for_every_type {
    ($($variant:ident)*) => {
        /// Puts elements behind others of the same type.
        fn append(data: &mut Data, more: &Data) -> bool {
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

        impl Part {
            fn array(&self) -> Outcome<NpyArray> {
                let data: NpyData = match &self.data {
                    $(Data::$variant(values) => values.to_vec().into(),)*
                    other => {
                        let found = format!("{}: {} cannot be written", self.name, other.dtype());
                        return Err(Failure::new(found));
                    }
                };
                Ok(NpyArray::new(self.shape.clone(), data)?)
            }

            /// The smallest and the largest element.
            fn range(&self) -> (String, String) {
                match &self.data {
                    $(Data::$variant(values) => range(values),)*
                    _ => ("-".to_owned(), "-".to_owned()),
                }
            }
        }
    };
}

for_every_type! { Bool I8 I16 I32 I64 U8 U16 U32 U64 F32 F64 }

fn range<T: PartialOrd + Copy + std::fmt::Display>(values: &[T]) -> (String, String) {
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
pub fn tensor(array: NpyArray, path: &Path) -> Outcome<Tensor> {
    let dtype = array.dtype();
    let (shape, data) = array.into_parts();
    let data = tensor_data(data).ok_or_else(|| {
        Failure::new(format!(
            "{}: elements of type {} are not supported",
            path.display(),
            dtype.code()
        ))
    })?;
    Tensor::new(shape, data).context(path.display())
}
