//! A file on a test set: how many of its answers are right.

use std::time::Instant;

use fewbit_data::{DatasetName, Loader, LoaderConfig, Split};
use fewbit_qonnx::Value;
use fewbit_train::Hits;
use serde_json::json;

use super::arrays::Collected;
use super::pace::Pace;
use super::{Finished, RunArgs};
use crate::commands::dataset::open_images;
use crate::console::{Console, counted, escape, grouped, seconds};
use crate::executor::Executor;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;
use crate::tensors;

/// Images per batch, if the user does not say.
const BATCH: usize = 100;

/// Runs the model on the test images of a dataset.
pub fn run(
    executor: &Executor,
    name: DatasetName,
    args: &RunArgs,
    console: &Console,
) -> Outcome<Finished> {
    let dataset = open_images(name, &args.datadir, Split::Test, args.limit, console)?;
    let batch = args.batch.map_or(BATCH, |batch| batch as usize);
    let kept = tensors::matching(executor, &args.tensor)?;
    let keep: Vec<&str> = kept.iter().map(String::as_str).collect();
    let loader = Loader::new(&dataset, LoaderConfig::in_order(batch))?;
    let total = dataset.len() as u64;
    let started = Instant::now();
    let mut bar = Progress::new(console);
    let mut collected = Collected::default();
    let mut hits = Hits::default();
    let mut pace = Pace::default();
    let mut spent = 0.0;
    for round in 0..args.repeat.unwrap_or(1) {
        for batch in loader.epoch(0) {
            let [channels, height, width] = dataset.image_shape();
            let shape = [batch.count, channels, height, width];
            let (input, images) = executor.images(batch.images, &shape)?;
            let outputs = pace.time(|| executor.run(&[(input, images)], &keep))?;
            if round > 0 {
                continue;
            }
            hits.add(answers(executor, outputs.first(), &batch.labels, dataset.classes())?);
            if args.output.is_some() {
                collected.add(executor, outputs)?;
            }
            bar.show(hits.images, total, || {
                let speed = hits.images as f64 / started.elapsed().as_secs_f64();
                format!("{} images/s, top-1 {:.2} %", grouped(speed as u64), hits.top1_percent())
            });
        }
        pace.end();
        if round == 0 {
            spent = started.elapsed().as_secs_f64();
        }
    }
    drop(bar);
    let images_per_second = hits.images as f64 / spent;
    let mut text = format!(
        "{} in {} mode, on {} of {name}:\n  top-1  {:.2} % ({} right)\n  top-5  {:.2} % ({} right)\n  \
         speed  {} images/s, {}\n",
        escape(&args.model.to_string_lossy()),
        args.mode.name(),
        counted(hits.images, "test image"),
        hits.top1_percent(),
        grouped(hits.top1),
        hits.top5_percent(),
        grouped(hits.top5),
        grouped(images_per_second.round_ties_even() as u64),
        seconds(spent),
    );
    let repeated = args.repeat.map(|_| pace.json(total, "images"));
    if repeated.is_some() {
        text.push_str(&pace.text(total, "images"));
    }
    let json = json!({
        "dataset": name.as_str(),
        "images": hits.images,
        "top1_percent": hits.top1_percent(),
        "top5_percent": hits.top5_percent(),
        "top1_right": hits.top1,
        "top5_right": hits.top5,
        "batch": batch,
        "seconds": spent,
        "images_per_second": images_per_second,
        "repeated": repeated,
    });
    Ok(Finished { text, json, collected })
}

/// Counts right answers: the model's first output is a row of logits for each image.
fn answers(executor: &Executor, output: &Value, labels: &[u8], classes: usize) -> Outcome<Hits> {
    let found = output.len() / labels.len().max(1);
    let refuse = |what: String| {
        Err(Failure::new(format!(
            "output {:?} {what}, expected {classes} logits of each image",
            executor.logits()
        ))
        .or_hint("the model is no classifier of this dataset; run it with --input instead"))
    };
    let Some(logits) = output.as_slice::<f32>() else {
        return refuse(format!("is of type {}", output.dtype()));
    };
    if found < classes || found * labels.len() != output.len() {
        return refuse(format!("has shape {:?} for {} images", output.shape(), labels.len()));
    }
    Ok(Hits::count(logits, labels, found))
}
