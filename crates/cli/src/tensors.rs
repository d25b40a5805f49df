//! Tensors of files and of models: arrays of NumPy, tensors of ONNX, some of their rows, names by pattern.

mod elements;

pub use elements::{array, range, written_as};

use std::ops::Range;
use std::path::{Path, PathBuf};

use fewbit_data::npy;
use fewbit_data::npz::NpzArchive;
use fewbit_qonnx::{TensorInfo, Value};

use crate::executor::Executor;
use crate::failure::{Failure, Hint, Outcome};
use elements::{append, part_of, tensor};

/// What a file of tensors holds.
#[derive(Clone, Debug)]
pub enum Stored {
    /// One tensor, with its name if the file tells it.
    One(Option<String>, Value),
    /// Any number of tensors by their names.
    Many(Vec<(String, Value)>),
}

/// The kinds of files that hold tensors, by the ends of their names.
pub const EXTENSIONS: [&str; 3] = ["npy", "npz", "pb"];

/// Reads a file of one or more tensors: .npy, .npz or .pb.
pub fn read(path: &Path) -> Outcome<Stored> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "npz" => {
            let arrays = NpzArchive::open(path)?.read_all()?.into_iter();
            let arrays = arrays.map(|(name, array)| Ok((name, tensor(array, path)?)));
            Ok(Stored::Many(arrays.collect::<Outcome<_>>()?))
        }
        "pb" => {
            let (name, value) = fewbit_onnx::read_tensor(path)?;
            let value = Value::from_stored(value, &path.to_string_lossy())?;
            Ok(Stored::One(Some(name).filter(|name| !name.is_empty()), value))
        }
        _ => Ok(Stored::One(None, tensor(npy::read(path)?, path)?)),
    }
}

/// Reads all `--input`s of a model.
pub fn inputs(executor: &Executor, arguments: &[String]) -> Outcome<Vec<(String, Value)>> {
    let names: Vec<&str> = executor.model().inputs().iter().map(TensorInfo::name).collect();
    let mut values = Vec::new();
    for argument in arguments {
        let (name, path) = split(argument, &names);
        match read(&path)? {
            // A single array needs no name.
            Stored::Many(mut arrays) if arrays.len() == 1 && names.len() == 1 => {
                values.extend(arrays.pop().map(|(_, value)| (names[0].to_owned(), value)));
            }
            Stored::Many(arrays) => values.extend(arrays),
            Stored::One(own, value) => {
                let own = own.filter(|own| names.contains(&own.as_str()));
                let name = match (name.or(own), names.as_slice()) {
                    (Some(name), _) => name,
                    (None, [only]) => (*only).to_owned(),
                    (None, _) => {
                        let known = names.join(", ");
                        return Err(Failure::new(format!(
                            "{argument}: the model has several inputs ({known})"
                        ))
                        .or_hint(format!("say which one: --input NAME={argument}")));
                    }
                };
                values.push((name, value));
            }
        }
    }
    for (name, value) in &mut values {
        let known = executor.model().inputs().iter().find(|input| input.name() == name);
        if let Some(wanted) = known.and_then(TensorInfo::dtype) {
            *value = elements::converted(value, wanted).context(format_args!("input {name:?}"))?;
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some((twice, _)) = values.iter().find(|(name, _)| !seen.insert(name)) {
        return Err(Failure::new(format!("--input: {twice:?} was given twice"))
            .or_hint("each input of the model takes one array: --input NAME=FILE"));
    }
    Ok(values)
}

/// The files that the `--input`s of a model name.
pub fn input_files(executor: &Executor, arguments: &[String]) -> Vec<PathBuf> {
    let names: Vec<&str> = executor.model().inputs().iter().map(TensorInfo::name).collect();
    arguments.iter().map(|argument| split(argument, &names).1).collect()
}

/// `NAME=FILE` or `FILE`; a name of the model, or a file that is there, decides what `=` means.
fn split(argument: &str, names: &[&str]) -> (Option<String>, PathBuf) {
    match argument.split_once('=') {
        Some((name, path)) if names.contains(&name) || !Path::new(argument).exists() => {
            (Some(name.to_owned()), path.into())
        }
        _ => (None, argument.into()),
    }
}

/// The names of a model's tensors that are asked for, each by itself or by a pattern with `*`, `?` and `[...]`.
///
/// A name that the model has is meant literally. Patterns leave out what is the same in every run. Other names are given back as they
/// are: whoever runs the model says that there is no such tensor.
pub fn matching(executor: &Executor, patterns: &[String]) -> Outcome<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for pattern in patterns {
        if executor.knows(pattern) || !pattern.contains(['*', '?', '[']) {
            found.push(pattern.clone());
            continue;
        }
        let compiled = glob::Pattern::new(pattern)
            .map_err(|error| Failure::new(format!("--tensor {pattern}: {error}")))?;
        let names = executor.model().tensor_names();
        let names = names.filter(|name| compiled.matches(name) && !executor.is_constant(name));
        let before = found.len();
        found.extend(names.map(str::to_owned));
        if found.len() == before {
            let count = executor.model().tensor_names().count();
            return Err(Failure::new(format!("--tensor {pattern}: no tensor has such a name"))
                .or_hint(format!(
                    "the model has {count} names; `fewbit run --tensor '*'` lists what it computes"
                )));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|name| seen.insert(name.clone()));
    Ok(found)
}

/// Some rows of an array that has `items` of them.
pub fn rows(value: &Value, items: usize, range: Range<usize>) -> Outcome<Value> {
    let shape = value.shape();
    if shape.first() != Some(&items) {
        return Err(Failure::new(format!(
            "--batch: an input has shape {shape:?}, expected {items} items"
        )));
    }
    let size: usize = shape[1..].iter().product();
    let cut = std::iter::once(range.len()).chain(shape[1..].iter().copied()).collect();
    Ok(Value::new(cut, part_of(value.data(), range.start * size..range.end * size)?)?)
}

/// Puts a tensor behind another along the first axis; false if it does not fit.
pub fn append_rows(whole: &mut Value, more: &Value) -> bool {
    let fits = !whole.shape().is_empty() && whole.shape().get(1..) == more.shape().get(1..);
    if !fits {
        return false;
    }
    // Taken apart, so that nothing else holds the elements and they stay where they are.
    let (mut shape, mut data) = std::mem::replace(whole, nothing()).into_parts();
    let appended = append(&mut data, more.data());
    if appended {
        shape[0] += more.shape()[0];
    }
    *whole = Value::new(shape, data).unwrap_or_else(|_| nothing());
    appended
}

fn nothing() -> Value {
    Value::new(vec![0], Vec::<f32>::new()).expect("a shape of no elements")
}
