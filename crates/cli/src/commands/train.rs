//! `fewbit train`: trains a network, and with `--export_qonnx` proves that the exported file computes
//! the same.

mod args;
mod page;
mod plan;
mod proof;
mod summary;
mod watch;

use std::path::{Path, PathBuf};

use fewbit_data::{Dataset, Split};
use fewbit_nn::Device;
use fewbit_train::{Checkpoint, Clock, Ended, Error, ErrorKind, RunFolder, TrainConfig, Trainer};
use serde_json::Value;

use crate::clock::SystemClock;
use crate::command_line::Example;
use crate::commands::dataset::open_images;
use crate::commands::eval;
use crate::console::{Console, escape};
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::program::{Report, Verdict};
pub use args::TrainArgs;
use plan::{Plan, Start, Task};
use summary::Summary;
use watch::Watch;

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "a network of 2-bit numbers on 2,000 generated images, exported and verified",
        lines: "fewbit train --network TFC_2W2A --dataset glyphs --limit 2000 --epochs 3 --export_qonnx",
    },
    Example {
        purpose: "go on with the newest run, for five epochs in all",
        lines: "fewbit train --resume experiments --epochs 5",
    },
    Example {
        purpose: "the accuracy of its best checkpoint",
        lines: "fewbit train --evaluate --resume experiments",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
Without --network and --resume this is a demonstration of about a minute: it trains on the generated
dataset glyphs, exports, verifies, and says what it found; other flags change its settings. With a
network, defaults are those of the published example: 1000 epochs on MNIST.
A run that was stopped, by Ctrl-C or by anything else, goes on with --resume and ends in the same bits.
Exit code 1 if the exported file differs from what was trained.
";

/// Runs the command.
pub fn run(args: &TrainArgs, console: &Console) -> Outcome<Report> {
    let Plan { config, task, start } = Plan::new(args, console)?;
    match (task, start) {
        (Task::Evaluate, Start::From { checkpoint, .. }) => evaluate(&config, &checkpoint, console),
        (Task::EvaluateAndExport, Start::From { checkpoint, run_folder }) => {
            evaluate_and_export(&config, &checkpoint, run_folder.as_deref(), console)
        }
        (_, start) => train(&config, start, console),
    }
}

/// `--evaluate`: writes nothing.
fn evaluate(config: &TrainConfig, checkpoint: &Checkpoint, console: &Console) -> Outcome<Report> {
    let recipe = &config.recipe;
    recipe.check_same_network(&checkpoint.recipe.network, checkpoint.file())?;
    let test = test_images(config, console)?;
    eval::report(checkpoint, &test, recipe.batch_size, console)
}

/// `--evaluate --export_qonnx`: writes the exported file and what its verification found.
fn evaluate_and_export(
    config: &TrainConfig,
    checkpoint: &Checkpoint,
    run_folder: Option<&Path>,
    console: &Console,
) -> Outcome<Report> {
    let file = checkpoint.file().display();
    let folder = run_folder.ok_or_else(|| {
        Failure::new(format!("{file} lies in no run folder that the export could go to"))
            .or_hint(format!("`fewbit export {file} -o FILE.onnx` writes it where you want"))
    })?;
    let mut report = evaluate(config, checkpoint, console)?;
    let recipe = &config.recipe;
    let test = test_images(config, console)?;
    let folder = RunFolder::open(folder)?;
    let proof = proof::prove(checkpoint, &folder, &test, &SystemClock::start(), console)?;
    let model = folder.model(&recipe.network).display().to_string();
    report.text.push_str(&format!("\nExported to {}.\n{}", escape(&model), proof.findings.text()));
    if let Value::Object(json) = &mut report.json {
        json.insert("model".into(), model.into());
        json.insert("verification".into(), proof.json);
    }
    if !proof.findings.identical() {
        report.verdict = Verdict::Different;
    }
    Ok(report)
}

fn train(config: &TrainConfig, start: Start, console: &Console) -> Outcome<Report> {
    let (train, test) = open(config, console)?;
    let device = Device::cpu();
    let clock = SystemClock::start();
    // Everything that can be wrong with the plan is found before anything is written.
    let (mut trainer, folder) = match start {
        Start::New => (Trainer::new(config, &train, &test, &device)?, None),
        Start::Again(folder) => (Trainer::new(config, &train, &test, &device)?, Some(folder)),
        Start::From { checkpoint, run_folder } => {
            let trainer = Trainer::resume(config, &checkpoint, &train, &test, &device)?;
            (trainer, run_folder)
        }
    };
    let environment = Environment::here();
    let folder = run_folder(config, folder, &environment, &clock)?;
    if let Some(folder) = &folder {
        console.say(format!("writing to {}", escape(&folder.path().to_string_lossy())));
    }
    interrupt::listen();
    let mut watch = Watch::new(console);
    let ended = trainer
        .run(folder.as_ref(), &mut watch, &clock)
        .map_err(|error| advise(error, folder.as_ref()))?;
    let seconds = watch.seconds();
    let images = watch.images();
    drop(watch);
    if ended == Ended::Interrupted {
        return Err(interrupted(trainer.progress().epochs_finished, folder.as_ref()));
    }
    let mut summary = Summary {
        config,
        progress: *trainer.progress(),
        parameters: trainer.network_mut().parameter_count() as u64,
        ended,
        seconds,
        images,
        folder: folder.as_ref().map(|folder| folder.path().to_owned()),
        proof: None,
    };
    let Some(folder) = folder else { return Ok(summary.report()) };
    drop(trainer);
    proof::remove_rests(&folder, config)?;
    let best = Checkpoint::read(&folder.best_checkpoint())?;
    if config.run.export_qonnx {
        summary.proof = Some(proof::prove(&best, &folder, &test, &clock, console)?);
    }
    page::write(&summary, &best, &folder, &environment)?;
    Ok(summary.report())
}

fn open(config: &TrainConfig, console: &Console) -> Outcome<(Dataset, Dataset)> {
    let recipe = &config.recipe;
    let verb = if recipe.dataset.is_generated() { "generating" } else { "reading" };
    console.say(format!("{verb} {}", recipe.dataset));
    let datadir = &config.run.datadir;
    let train = open_images(recipe.dataset, datadir, Split::Train, recipe.limit, console)?;
    Ok((train, test_images(config, console)?))
}

fn test_images(config: &TrainConfig, console: &Console) -> Outcome<Dataset> {
    let recipe = &config.recipe;
    open_images(recipe.dataset, &config.run.datadir, Split::Test, recipe.limit, console)
}

/// The folder to write to; none in a dry run.
fn run_folder(
    config: &TrainConfig,
    earlier: Option<PathBuf>,
    environment: &Environment,
    clock: &SystemClock,
) -> Outcome<Option<RunFolder>> {
    if config.run.dry_run {
        return Ok(None);
    }
    let folder = match earlier {
        Some(path) => {
            let folder = RunFolder::open(&path)?;
            if folder.read_config().ok().as_ref() != Some(config) {
                folder.write_config(config)?;
            }
            folder
        }
        None => RunFolder::create(config, clock.now())?,
    };
    folder.write_env(environment)?;
    Ok(Some(folder))
}

/// What to do about an error in the middle of a training.
fn advise(error: Error, folder: Option<&RunFolder>) -> Failure {
    let is_io = matches!(error.kind(), ErrorKind::Io { .. });
    let failure = Failure::from(error);
    match folder {
        Some(folder) if is_io => failure.or_hint(format!(
            "is there room on the disk? `fewbit train --resume {}` goes on from the last checkpoint",
            folder.path().display()
        )),
        _ => failure,
    }
}

fn interrupted(epochs: u64, folder: Option<&RunFolder>) -> Failure {
    let failure = Failure::interrupted(format!("interrupted in epoch {}", epochs + 1));
    match folder {
        Some(folder) => {
            failure.or_hint(format!("`fewbit train --resume {}` goes on", folder.path().display()))
        }
        None => failure,
    }
}
