//! `fewbit train`: trains a network, and with `--export_qonnx` proves that the exported file computes
//! the same.

mod args;
mod page;
mod plan;
mod pretrained;
mod proof;
mod scaling;
mod state_dict;
mod summary;
mod watch;

use std::path::{Path, PathBuf};

use fewbit_data::{Dataset, Split};
use fewbit_nn::network::{LoadReport, Strictness};
use fewbit_nn::{Device, Network};
use fewbit_train::pytorch::Contents;
use fewbit_train::{
    Checkpoint, Clock, Ended, Error, ErrorKind, FolderClaim, LogFile, RunFolder, TrainConfig,
    Trainer,
};
use serde_json::Value;

use crate::checkpoints;
use crate::clock::SystemClock;
use crate::command_line::Example;
use crate::commands::dataset::open_images;
use crate::commands::eval;
use crate::commands::export::{self, Dialect};
use crate::console::{Console, counted, escape};
use crate::devices::Chosen;
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
Without --network, --recipe and --resume this is a demonstration of about a minute: it trains on the generated \
dataset glyphs, exports, verifies, and says what it found; other flags change its settings. With a \
network, defaults are those of the published example: 1000 epochs on MNIST.
Minifloats have no scales by default, as in the published example. Formats of few bits learn better \
with them: --weight-scaling per_channel --act-scaling learned
A run that was stopped, by Ctrl-C or by anything else, goes on with --resume and ends in the same bits.
Exit code 1 if the exported file differs from what was trained.
GPUs are not in the default build. With a GPU and a network connection to fetch packages, build with \
`cargo build --release --features vulkan` (any driver of Vulkan), or metal, cuda or rocm; then --gpus 0 is the \
first GPU. Results are defined to the bit on the CPU only: a GPU comes near them, so verification and the \
accuracy beside it are computed on the CPU. Where no GPU can be used, --gpus is an error.
";

/// Runs the command.
pub fn run(args: &TrainArgs, console: &Console) -> Outcome<Report> {
    let Plan { mut config, task, start, chosen } = Plan::new(args, console)?;
    let start = match start {
        Start::Pretrained => {
            let name = &config.recipe.network.name;
            let contents = Box::new(pretrained::read(name, &config.run.datadir, console)?);
            Start::Import { contents, strictness: Strictness::Strict, run_folder: None }
        }
        start => start,
    };
    if task == Task::Train {
        return train(&config, start, &chosen, console);
    }
    let (checkpoint, run_folder) = match start {
        Start::From { checkpoint, run_folder } => (Some(*checkpoint), run_folder),
        Start::Import { contents, strictness, run_folder } => {
            let imported = contents.checkpoint(&config.recipe, strictness)?;
            checkpoints::say_report(&imported.report, contents.file(), console);
            config.recipe.network = imported.checkpoint.recipe.network.clone();
            (Some(imported.checkpoint), run_folder)
        }
        Start::Again(folder) => (None, Some(folder)),
        Start::New | Start::Pretrained => (None, None),
    };
    match (task, checkpoint) {
        (Task::Evaluate, Some(checkpoint)) => evaluate(&config, &checkpoint, &chosen, console),
        (Task::EvaluateAndExport, Some(checkpoint)) => {
            evaluate_and_export(&config, &checkpoint, run_folder.as_deref(), &chosen, console)
        }
        (_, checkpoint) => {
            let recipe = &config.recipe;
            let network = match checkpoint {
                Some(checkpoint) => checkpoint.network(&Device::cpu())?,
                None => Network::new(&recipe.network, recipe.random_seed, &Device::cpu())?,
            };
            state_dict::write(&config, &network, run_folder)
        }
    }
}

/// `--evaluate`: writes nothing.
fn evaluate(
    config: &TrainConfig,
    checkpoint: &Checkpoint,
    chosen: &Chosen,
    console: &Console,
) -> Outcome<Report> {
    let recipe = &config.recipe;
    recipe.check_same_network(&checkpoint.recipe.network, checkpoint.file())?;
    let test = test_images(config, console)?;
    eval::report(checkpoint, &test, recipe.batch_size, chosen, console)
}

/// `--evaluate --export_qonnx`: writes the exported file and what its verification found.
fn evaluate_and_export(
    config: &TrainConfig,
    checkpoint: &Checkpoint,
    run_folder: Option<&Path>,
    chosen: &Chosen,
    console: &Console,
) -> Outcome<Report> {
    let file = checkpoint.file().display();
    let folder = run_folder.ok_or_else(|| {
        Failure::new(format!("{file} lies in no run folder that the export could go to"))
            .or_hint(format!("`fewbit export {file} -o FILE.onnx` writes it where you want"))
    })?;
    let mut report = evaluate(config, checkpoint, chosen, console)?;
    let recipe = &config.recipe;
    let test = test_images(config, console)?;
    let folder = RunFolder::open(folder)?;
    for dialect in exported(config) {
        let proof =
            proof::prove(checkpoint, &folder, dialect, &test, &SystemClock::start(), console)?;
        let (model, keys) = match dialect {
            Dialect::Qonnx => (folder.model(&recipe.network), ["model", "verification"]),
            Dialect::Qcdq => {
                (folder.qcdq_model(&recipe.network), ["qcdq_model", "qcdq_verification"])
            }
        };
        let model = model.display().to_string();
        let text = format!("\nExported to {}.\n{}", escape(&model), proof.findings.text());
        report.text.push_str(&text);
        if !proof.findings.identical() {
            report.verdict = Verdict::Different;
        }
        if let Value::Object(json) = &mut report.json {
            json.extend(keys.map(str::to_owned).into_iter().zip([model.into(), proof.json]));
        }
    }
    Ok(report)
}

fn train(
    config: &TrainConfig,
    start: Start,
    chosen: &Chosen,
    console: &Console,
) -> Outcome<Report> {
    let is_import = matches!(start, Start::Import { .. });
    let (train, test) = open(config, console)?;
    let device = &chosen.device;
    let clock = SystemClock::start();
    // Everything that can be wrong with the plan is found before anything is written.
    let (mut trainer, folder) = match start {
        Start::New => (Trainer::new(config, &train, &test, device)?, None),
        Start::Again(folder) => (Trainer::new(config, &train, &test, device)?, Some(folder)),
        Start::From { checkpoint, run_folder } => {
            let trainer = Trainer::resume(config, &checkpoint, &train, &test, device)?;
            (trainer, run_folder)
        }
        Start::Import { contents, strictness, .. } => {
            let imported = Trainer::import(config, &contents, strictness, &train, &test, device)?;
            say_import(config, &imported, &contents, console);
            // The folder of the other program stays as it is.
            (imported.0, None)
        }
        Start::Pretrained => unreachable!("its weights have been read"),
    };
    // An imported optimizer brings its settings along.
    let config = &trainer.config().clone();
    for dialect in exported(config) {
        export::check(trainer.network_mut(), dialect)?;
    }
    let environment = Environment::here(chosen.name);
    // The claim lasts until everything is written.
    let (folder, _claim) = run_folder(config, folder, &environment, &clock)?.unzip();
    if let Some(folder) = &folder {
        console.say(format!("writing to {}", escape(&folder.path().to_string_lossy())));
    }
    if let Some(folder) = folder.as_ref().filter(|_| is_import) {
        // The run has a best network from the start: the one that it starts with.
        let bytes = trainer.checkpoint();
        bytes.write(&folder.best_checkpoint())?;
        bytes.write(&folder.last_checkpoint())?;
    }
    if !chosen.is_cpu() {
        say_device(chosen, folder.as_ref(), &clock, console)?;
    }
    interrupt::listen();
    let mut watch = Watch::new(console);
    let ended = trainer
        .run(folder.as_ref(), &mut watch, &clock)
        .map_err(|error| advise(error, folder.as_ref()))?;
    let seconds = watch.seconds();
    let images = watch.images();
    let warnings = watch.warnings().to_vec();
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
        device: chosen.name,
        on_cpu: None,
        folder: folder.as_ref().map(|folder| folder.path().to_owned()),
        warnings,
        proof: None,
        qcdq_proof: None,
    };
    let Some(folder) = folder else { return Ok(summary.report()) };
    drop(trainer);
    proof::remove_rests(&folder, config)?;
    let best = Checkpoint::read(&folder.best_checkpoint())?;
    if !chosen.is_cpu() {
        console.say("evaluating the best network on the CPU");
        let recipe = &config.recipe;
        let mut network = best.network(&Device::cpu())?;
        summary.on_cpu =
            Some(fewbit_train::evaluate(&mut network, &test, recipe.batch_size, recipe.loss)?);
    }
    for dialect in exported(config) {
        let proof =
            proof::prove(&best, &folder, dialect, &test, &clock, console).map_err(|failure| {
                let again = format!("`fewbit train --resume {}`", folder.path().display());
                failure.or_hint(format!("the training itself is done; {again} does the rest"))
            })?;
        match dialect {
            Dialect::Qonnx => summary.proof = Some(proof),
            Dialect::Qcdq => summary.qcdq_proof = Some(proof),
        }
    }
    page::write(&summary, &best, &folder, &environment)?;
    Ok(summary.report())
}

/// The dialects that the flags ask for.
fn exported(config: &TrainConfig) -> Vec<Dialect> {
    let flags =
        [(config.run.export_qonnx, Dialect::Qonnx), (config.run.export_qcdq_onnx, Dialect::Qcdq)];
    flags.into_iter().filter_map(|(asked, dialect)| asked.then_some(dialect)).collect()
}

/// Says what a file of PyTorch brought along.
fn say_import(
    config: &TrainConfig,
    (trainer, report): &(Trainer, LoadReport),
    contents: &Contents,
    console: &Console,
) {
    let file = contents.file();
    console.say(format!("Loading model checkpoint at: {}", escape(&file.to_string_lossy())));
    checkpoints::say_report(report, file, console);
    let (flags, found) = (&config.recipe, &trainer.config().recipe);
    if flags.network != found.network {
        console.say("its logits are normalized by class, and so are those of the network here");
    }
    let settings = [
        ("optim", flags.optim.to_string(), found.optim.to_string()),
        ("lr", flags.lr.to_string(), found.lr.to_string()),
        ("momentum", flags.momentum.to_string(), found.momentum.to_string()),
        ("nesterov", flags.nesterov.to_string(), found.nesterov.to_string()),
        ("weight_decay", flags.weight_decay.to_string(), found.weight_decay.to_string()),
        ("weight_decay_on", flags.weight_decay_on.to_string(), found.weight_decay_on.to_string()),
    ];
    for (name, flag, found) in settings.iter().filter(|(_, flag, found)| flag != found) {
        console.say(format!("{name} {found} instead of {flag}, as the optimizer was saved"));
    }
    let Some(best) = trainer.progress().best else { return };
    let measured = best.test_top1_percent;
    let said = contents.best_val_acc().unwrap_or(measured);
    console.say(format!(
        "it classifies {measured:.2} % of the test images correctly, after {}",
        counted(trainer.progress().epochs_finished, "epoch")
    ));
    if (said - measured).abs() >= 0.005 {
        console.say(format!(
            "warning: the file names a best accuracy of {said:.2} %, of another network, dataset or \
             number of images: {measured:.2} % is the best so far here"
        ));
    }
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
) -> Outcome<Option<(RunFolder, FolderClaim)>> {
    if config.run.dry_run {
        return Ok(None);
    }
    let claimed = match earlier {
        Some(path) => {
            let folder = RunFolder::open(&path)?;
            // Before anything in it is changed: a training may be running there.
            let claim = folder.claim()?;
            if folder.read_config().ok().as_ref() != Some(config) {
                folder.write_config(config)?;
            }
            (folder, claim)
        }
        None => {
            let folder = RunFolder::create(config, clock.now())?;
            let claim = folder.claim()?;
            (folder, claim)
        }
    };
    claimed.0.write_env(environment)?;
    Ok(Some(claimed))
}

/// Says what a GPU changes.
fn say_device(
    chosen: &Chosen,
    folder: Option<&RunFolder>,
    clock: &SystemClock,
    console: &Console,
) -> Outcome<()> {
    let line = format!(
        "Computing on {}: near what the CPU computes, not the same bits, and not the same in each run",
        chosen.name
    );
    console.say(&line);
    if let Some(folder) = folder {
        let mut log = LogFile::open(&folder.log())?;
        log.line(clock.now(), &line)?;
        log.flush()?;
    }
    Ok(())
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
