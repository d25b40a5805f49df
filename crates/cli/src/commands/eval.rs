//! `fewbit eval`: the accuracy of a checkpoint.

use std::path::PathBuf;

use clap::Args;
use fewbit_data::Dataset;
use fewbit_nn::Network;
use fewbit_train::{Checkpoint, Clock, Evaluation, Loss, evaluate_timed};
use serde_json::json;

use crate::checkpoints::{self, NetworkArg};
use crate::clock::SystemClock;
use crate::command_line::Example;
use crate::commands::dataset::DatasetArgs;
use crate::console::{Console, counted, escape, grouped};
use crate::devices::{Chosen, DeviceArg};
use crate::failure::Outcome;
use crate::program::{Report, Verdict};
use crate::progress::Progress;
use crate::runs::{self, Choice};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "the best checkpoint of the newest run below ./experiments",
        lines: "fewbit eval experiments",
    },
    Example {
        purpose: "the first 1,000 test images, for a program to read",
        lines: "fewbit eval experiments --limit 1000 --json",
    },
];

/// Flags of `eval`.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// A checkpoint (also best.tar or .pth of PyTorch), a run folder (its best checkpoint), or the parent of
    /// run folders (the newest)
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
    #[command(flatten)]
    pub network: NetworkArg,
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Images per batch; the result does not depend on it
    #[arg(long, value_name = "N", default_value = "100")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_size: u32,
    #[command(flatten)]
    pub device: DeviceArg,
}

/// Runs the command.
pub fn run(args: &EvalArgs, console: &Console) -> Outcome<Report> {
    let chosen = args.device.open()?;
    let located = runs::locate(&args.checkpoint, Choice::Best, console)?;
    let checkpoint = checkpoints::read(&located.checkpoint, &args.network, console)?;
    let dataset = args.dataset.open(&checkpoint.recipe, located.run_folder.as_deref(), console)?;
    report(&checkpoint, &dataset, args.batch_size as usize, &chosen, console)
}

/// Measures a checkpoint on a dataset.
pub fn report(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    batch_size: usize,
    chosen: &Chosen,
    console: &Console,
) -> Outcome<Report> {
    let recipe = &checkpoint.recipe;
    let mut network = checkpoint.network(&chosen.device)?;
    let (evaluation, seconds) = measure(&mut network, dataset, batch_size, recipe.loss, console)?;
    let Evaluation { images, loss, top1_percent, top5_percent, hits } = evaluation;
    let images_per_second = images as f64 / seconds;
    let file = checkpoint.file().display().to_string();
    let trained = match checkpoint.progress.epochs_finished {
        // Of weights alone nothing is known.
        0 if checkpoint.is_foreign() => String::new(),
        epochs => format!(" after {}", counted(epochs, "epoch")),
    };
    let text = format!(
        "{}{trained}, on {} of {}:\n  top-1  {top1_percent:.2} % ({} right)\n  \
         top-5  {top5_percent:.2} % ({} right)\n  loss   {loss:.4} ({})\n  \
         speed  {} images/s\n{}  file   {}\n",
        recipe.network.name,
        counted(images, "test image"),
        dataset.name(),
        grouped(hits.top1),
        grouped(hits.top5),
        recipe.loss,
        grouped(images_per_second.round_ties_even() as u64),
        // Only the processor's result is defined to the bit.
        if chosen.is_cpu() { String::new() } else { format!("  device {}\n", chosen.name) },
        escape(&file),
    );
    let json = json!({
        "network": recipe.network.name,
        "checkpoint": file,
        "epochs_finished": checkpoint.progress.epochs_finished,
        "dataset": dataset.name().as_str(),
        "device": chosen.name.to_string(),
        "images": images,
        "top1_percent": top1_percent,
        "top5_percent": top5_percent,
        "top1_right": hits.top1,
        "top5_right": hits.top5,
        "loss": loss,
        "loss_name": recipe.loss.as_str(),
        "seconds": seconds,
        "images_per_second": images_per_second,
    });
    Ok(Report { text, json, verdict: Verdict::Good })
}

/// Evaluates with a bar; the result and the seconds it took.
fn measure(
    network: &mut Network,
    dataset: &Dataset,
    batch_size: usize,
    loss: Loss,
    console: &Console,
) -> Outcome<(Evaluation, f64)> {
    let clock = SystemClock::start();
    let mut bar = Progress::new(console);
    let evaluation = evaluate_timed(network, dataset, batch_size, loss, &clock, &mut |line| {
        bar.show(line.batch + 1, line.batches, || {
            format!(
                "batch {} of {}, top-1 {:.2} %",
                line.batch + 1,
                line.batches,
                line.top1.average()
            )
        });
        Ok(())
    })?;
    Ok((evaluation, clock.elapsed().as_secs_f64()))
}
