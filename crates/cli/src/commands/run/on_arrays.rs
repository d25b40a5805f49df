//! A file on arrays from files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fewbit_data::npy;
use fewbit_data::npz::NpzArchive;
use fewbit_qonnx::{TensorInfo, Value};
use serde_json::json;

use super::arrays::{Collected, part_of, tensor};
use super::{Finished, RunArgs};
use crate::console::{Console, counted, escape, grouped, seconds};
use crate::executor::Executor;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// Runs the model on the arrays of `--input`.
pub fn run(executor: &Executor, args: &RunArgs, console: &Console) -> Outcome<Finished> {
    let inputs = read(executor, &args.input)?;
    let keep: Vec<&str> = args.tensor.iter().map(String::as_str).collect();
    let items = inputs.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(1);
    let batch = args.batch.map_or(items.max(1), |batch| batch as usize);
    let started = Instant::now();
    let mut bar = Progress::new(console);
    let mut collected = Collected::default();
    if batch >= items {
        let given: Vec<(&str, Value)> =
            inputs.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        collected.add(executor, executor.run(&given, &keep)?)?;
    } else {
        for first in (0..items).step_by(batch) {
            let last = (first + batch).min(items);
            let mut given = Vec::new();
            for (name, value) in &inputs {
                given.push((name.as_str(), rows(value, items, first, last)?));
            }
            collected.add(executor, executor.run(&given, &keep)?)?;
            bar.show(last as u64, items as u64, || {
                format!("item {} of {}", grouped(last as u64), grouped(items as u64))
            });
        }
    }
    drop(bar);
    let spent = started.elapsed().as_secs_f64();
    let text = format!(
        "{} in {} mode on {}, in {}:\n",
        escape(&args.model.to_string_lossy()),
        args.mode.name(),
        counted(items as u64, "item"),
        seconds(spent)
    );
    let json = json!({
        "inputs": inputs.iter().map(|(name, value)| json!({
            "name": name, "dtype": value.dtype().to_string(), "shape": value.shape(),
        })).collect::<Vec<_>>(),
        "items": items,
        "batch": batch,
        "seconds": spent,
    });
    Ok(Finished { text, json, collected })
}

/// Some rows of an array.
fn rows(value: &Value, items: usize, first: usize, last: usize) -> Outcome<Value> {
    let shape = value.shape();
    if shape.first() != Some(&items) {
        return Err(Failure::new(format!(
            "--batch: an input has shape {shape:?}, expected {items} items"
        ))
        .or_hint("leave --batch out"));
    }
    let size: usize = shape[1..].iter().product();
    let cut = std::iter::once(last - first).chain(shape[1..].iter().copied()).collect();
    Ok(Value::new(cut, part_of(value.data(), first * size..last * size)?)?)
}

/// Reads all `--input`s.
fn read(executor: &Executor, inputs: &[String]) -> Outcome<Vec<(String, Value)>> {
    let names: Vec<&str> = executor.model().inputs().iter().map(TensorInfo::name).collect();
    let mut values = Vec::new();
    for argument in inputs {
        let (name, path) = split(argument, &names);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) {
            read_npz(&path, &names, &mut values)?;
            continue;
        }
        let value = tensor(npy::read(&path)?, &path)?;
        let name = match (name, names.as_slice()) {
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
    Ok(values)
}

/// One array for each input; a single array needs no name.
fn read_npz(path: &Path, names: &[&str], values: &mut Vec<(String, Value)>) -> Outcome<()> {
    let arrays = NpzArchive::open(path)?.read_all()?;
    let single = arrays.len() == 1 && names.len() == 1;
    for (name, array) in arrays {
        let name = if single { names[0].to_owned() } else { name };
        values.push((name, tensor(array, path)?));
    }
    Ok(())
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
