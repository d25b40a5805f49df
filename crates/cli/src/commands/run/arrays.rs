//! What a run gives back, and where it is written.

use std::path::Path;

use fewbit_data::npy;
use fewbit_data::npz::{Compression, NpzWriter};
use fewbit_qonnx::{Outputs, Value as Tensor};
use serde_json::{Value, json};

use crate::console::{escape, table};
use crate::executor::Executor;
use crate::failure::{Failure, Hint, Outcome};
use crate::{files, tensors};

/// The tensors that a run gives back, its batches behind each other.
#[derive(Debug, Default)]
pub struct Collected {
    tensors: Vec<(String, Tensor)>,
}

impl Collected {
    /// Adds what one batch gave.
    pub fn add(&mut self, executor: &Executor, outputs: Outputs) -> Outcome<()> {
        for (name, value) in outputs {
            match self.tensors.iter_mut().find(|(known, _)| *known == name) {
                None => self.tensors.push((name, value)),
                Some(_) if executor.is_constant(&name) => {}
                Some((_, whole)) => {
                    if !tensors::append_rows(whole, &value) {
                        let message = format!("{name} has another shape in each batch");
                        return Err(Failure::new(message).or_hint("leave --batch out"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The tensors for people; where they are written, the type in the file is told if it is another one.
    pub fn table(&self, written: bool) -> String {
        if self.tensors.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<String>> = self
            .tensors
            .iter()
            .map(|(name, value)| {
                let (smallest, largest) = tensors::range(value);
                let shape = format!("{:?}", value.shape());
                let (dtype, in_file) = (value.dtype(), tensors::written_as(value));
                let dtype = if written && dtype != in_file {
                    format!("{dtype}, written as {in_file}")
                } else {
                    dtype.to_string()
                };
                vec![escape(name), dtype, shape, smallest, largest]
            })
            .collect();
        table(&["tensor", "type", "shape", "smallest", "largest"], &rows)
    }

    /// The tensors for machines.
    pub fn json(&self) -> Value {
        let describe = |(name, value): &(String, Tensor)| json!({ "name": name, "dtype": value.dtype().to_string(), "shape": value.shape() });
        self.tensors.iter().map(describe).collect()
    }

    /// Writes the first output.
    pub fn write_npy(&self, path: &Path) -> Outcome<()> {
        let Some((name, first)) = self.tensors.first() else { return Ok(()) };
        npy::write(&files::target(path)?, &tensors::array(first).context(name)?)?;
        Ok(())
    }

    /// Writes all tensors.
    pub fn write_npz(&self, path: &Path) -> Outcome<()> {
        let mut file = NpzWriter::create(&files::target(path)?, Compression::Deflate)?;
        for (name, value) in &self.tensors {
            file.add(name, &tensors::array(value).context(name)?)?;
        }
        Ok(file.finish()?)
    }
}
