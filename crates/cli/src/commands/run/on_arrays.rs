//! A file on arrays from files.

use std::time::Instant;

use serde_json::json;

use super::arrays::Collected;
use super::pace::Pace;
use super::{Finished, RunArgs};
use crate::console::{Console, counted, escape, grouped, seconds};
use crate::executor::Executor;
use crate::failure::{Hint, Outcome};
use crate::progress::Progress;
use crate::tensors;

/// Runs the model on the arrays of `--input`.
pub fn run(executor: &Executor, args: &RunArgs, console: &Console) -> Outcome<Finished> {
    let inputs = tensors::inputs(executor, &args.input)?;
    let kept = tensors::matching(executor, &args.tensor)?;
    let keep: Vec<&str> = kept.iter().map(String::as_str).collect();
    let items = inputs.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(1);
    let batch = args.batch.map_or(items.max(1), |batch| batch as usize);
    let started = Instant::now();
    let mut bar = Progress::new(console);
    let mut collected = Collected::default();
    let mut pace = Pace::default();
    let mut spent = 0.0;
    for round in 0..args.repeat.unwrap_or(1) {
        for first in (0..items.max(1)).step_by(batch) {
            let last = (first + batch).min(items);
            let mut given = Vec::new();
            for (name, value) in &inputs {
                let part = if batch >= items {
                    value.clone()
                } else {
                    tensors::rows(value, items, first..last).hint("leave --batch out")?
                };
                given.push((name.as_str(), part));
            }
            let outputs = pace.time(|| executor.run(&given, &keep))?;
            if round > 0 {
                continue;
            }
            collected.add(executor, outputs)?;
            if batch < items {
                bar.show(last as u64, items as u64, || {
                    format!("item {} of {}", grouped(last as u64), grouped(items as u64))
                });
            }
        }
        pace.end();
        if round == 0 {
            spent = started.elapsed().as_secs_f64();
        }
    }
    drop(bar);
    let mut text = format!(
        "{} in {} mode on {}, in {}:\n",
        escape(&args.model.to_string_lossy()),
        args.mode.name(),
        counted(items as u64, "item"),
        seconds(spent)
    );
    let repeated = args.repeat.map(|_| pace.json(items as u64, "items"));
    if repeated.is_some() {
        text.push_str(&pace.text(items as u64, "items"));
    }
    let json = json!({
        "inputs": inputs.iter().map(|(name, value)| json!({
            "name": name, "dtype": value.dtype().to_string(), "shape": value.shape(),
        })).collect::<Vec<_>>(),
        "items": items,
        "batch": batch,
        "seconds": spent,
        "repeated": repeated,
    });
    Ok(Finished { text, json, collected })
}
