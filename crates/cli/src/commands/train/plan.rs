//! From what was typed to what is done: flags, defaults and an earlier run come together.

use std::path::{Path, PathBuf};

use fewbit_data::{Augmentation, DatasetName};
use fewbit_nn::config::{NetworkConfig, Quantization};
use fewbit_nn::network::Strictness;
use fewbit_train::pytorch::Contents;
use fewbit_train::{Augment, Checkpoint, Decayed, Loss, Optim, RunFolder, Scheduler, TrainConfig};

use super::args::TrainArgs;
use super::scaling;
use crate::checkpoints;
use crate::command_line::{Nullable, given};
use crate::commands::recipes;
use crate::console::Console;
use crate::devices::Chosen;
use crate::failure::{Failure, Hint, Outcome};
use crate::nearest::suggestion;
use crate::networks::{is_file, network};
use crate::runs::{self, Choice};

/// What is done, with nothing left open.
#[derive(Debug)]
pub struct Plan {
    /// The settings.
    pub config: TrainConfig,
    /// Whether to train at all.
    pub task: Task,
    /// Where the training begins.
    pub start: Start,
    /// Where it is computed.
    pub chosen: Chosen,
}

/// What the command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Train.
    Train,
    /// Measure a checkpoint (`--evaluate`).
    Evaluate,
    /// Measure it and export it (`--evaluate --export_qonnx`).
    EvaluateAndExport,
    /// Write its state for PyTorch (`--state_dict_to_pth`).
    WriteStateDict,
}

/// Where a training begins.
#[derive(Debug)]
pub enum Start {
    /// At the beginning, in a new run folder.
    New,
    /// At the beginning, in the folder of a run that was stopped before its first checkpoint.
    Again(PathBuf),
    /// At a checkpoint.
    From {
        /// The checkpoint.
        checkpoint: Box<Checkpoint>,
        /// The run folder around it.
        run_folder: Option<PathBuf>,
    },
    /// With the published weights of the network.
    Pretrained,
    /// At a file of PyTorch.
    Import {
        /// What is in it.
        contents: Box<Contents>,
        /// Whether all of it has to fit.
        strictness: Strictness,
        /// The folder around it, which has the form of a run folder.
        run_folder: Option<PathBuf>,
    },
}

/// The network of the demonstration, and its epochs: about a minute on two cores.
const DEMONSTRATION: (&str, u64) = ("SFC_2W2A", 80);

/// Seconds after which a checkpoint is written in the middle of an epoch.
const CHECKPOINT_SECONDS: u64 = 60;

impl Plan {
    /// Resolves the flags.
    pub fn new(args: &TrainArgs, console: &Console) -> Outcome<Self> {
        if args.recipe.is_some()
            && given(&args.resume).is_some_and(|p| !checkpoints::is_pytorch(&p))
        {
            return Err(Failure::new("--recipe and --resume do not go together").or_hint(
                "a run goes on with the recipe that it was started with; leave --recipe out",
            ));
        }
        let chosen = args.device.open_with_gpus(given(&args.gpus).as_deref())?;
        let wanted = args.network.as_deref().map(|name| network(name, console)).transpose()?;
        let (mut config, start) = match given(&args.resume) {
            Some(path) if checkpoints::is_pytorch(&path) => imported(args, wanted.clone(), &path)?,
            Some(path) if args.evaluate || args.state_dict_to_pth => {
                at_checkpoint(&path, Choice::Best, console)?
            }
            Some(path) => resumed(&path, console)?,
            None if args.pretrained => (pretrained(args, wanted.clone())?, Start::Pretrained),
            None => (fresh(args, wanted.clone())?, Start::New),
        };
        apply(args, wanted, &mut config)?;
        let task = match (args.evaluate, args.export_qonnx || args.export_qcdq_onnx) {
            _ if args.state_dict_to_pth => Task::WriteStateDict,
            (false, _) => Task::Train,
            (true, false) => Task::Evaluate,
            (true, true) => Task::EvaluateAndExport,
        };
        if task == Task::WriteStateDict && config.run.dry_run {
            return Err(Failure::new("--state_dict_to_pth and --dry_run do not go together")
                .or_hint("the one writes a file, the other none; leave one of them out"));
        }
        if args.evaluate && matches!(start, Start::New | Start::Again(_)) {
            return Err(Failure::new("--evaluate needs a checkpoint")
                .or_hint("add --resume RUN_FOLDER, --resume CHECKPOINT or --pretrained"));
        }
        config.validate()?;
        check_input_shape(args, &config.recipe.network)?;
        Ok(Self { config, task, start, chosen })
    }
}

/// A training from the start. Without a network it is the demonstration.
fn fresh(args: &TrainArgs, wanted: Option<NetworkConfig>) -> Outcome<TrainConfig> {
    let mut config = match (&args.recipe, wanted) {
        (Some(recipe), _) => recipes::read(recipe)?,
        (None, Some(network)) => TrainConfig::new(network),
        (None, None) => demonstration()?,
    };
    config.run.checkpoint_seconds.get_or_insert(CHECKPOINT_SECONDS);
    Ok(config)
}

fn demonstration() -> Outcome<TrainConfig> {
    let (name, epochs) = DEMONSTRATION;
    let mut config = TrainConfig::new(NetworkConfig::named(name)?);
    config.recipe.dataset = DatasetName::Glyphs;
    config.recipe.epochs = epochs;
    config.recipe.scheduler = Scheduler::Cosine;
    config.run.export_qonnx = true;
    Ok(config)
}

/// A training that starts from published weights.
fn pretrained(args: &TrainArgs, wanted: Option<NetworkConfig>) -> Outcome<TrainConfig> {
    if wanted.is_none() && args.recipe.is_none() {
        return Err(Failure::new("--pretrained: of which network?")
            .or_hint("add --network NAME, such as --network TFC_2W2A"));
    }
    fresh(args, wanted)
}

/// A training that goes on from a file of PyTorch. It has no recipe: that is the one of the flags.
fn imported(
    args: &TrainArgs,
    wanted: Option<NetworkConfig>,
    path: &Path,
) -> Outcome<(TrainConfig, Start)> {
    if wanted.is_none() && args.recipe.is_none() {
        return Err(checkpoints::nameless(path));
    }
    let contents = Box::new(Contents::read(path)?);
    let strictness = if args.strict { Strictness::Strict } else { Strictness::Lenient };
    let run_folder = RunFolder::of_checkpoint(path);
    Ok((fresh(args, wanted)?, Start::Import { contents, strictness, run_folder }))
}

/// The settings of an earlier run, and where it goes on.
fn resumed(path: &Path, console: &Console) -> Outcome<(TrainConfig, Start)> {
    if let Some(folder) = runs::run_folder_at(path)
        && let Some(config) = never_checkpointed(&folder)
    {
        return Ok((config?, Start::Again(folder)));
    }
    at_checkpoint(path, Choice::Last, console)
}

fn at_checkpoint(path: &Path, choice: Choice, console: &Console) -> Outcome<(TrainConfig, Start)> {
    let located = runs::locate(path, choice, console)?;
    let checkpoint = Checkpoint::read(&located.checkpoint)?;
    let config = match &located.run_folder {
        // The run's own plan: the checkpoint may be older than its last change.
        Some(folder) => RunFolder::open(folder)?.read_config()?,
        None => {
            let mut config = TrainConfig::new(checkpoint.recipe.network.clone());
            config.recipe = checkpoint.recipe.clone();
            config.run.checkpoint_seconds = Some(CHECKPOINT_SECONDS);
            config
        }
    };
    let start = Start::From { checkpoint: Box::new(checkpoint), run_folder: located.run_folder };
    Ok((config, start))
}

/// The plan of a run that was stopped before it wrote a checkpoint; `None` if `path` is no such run.
fn never_checkpointed(path: &Path) -> Option<Outcome<TrainConfig>> {
    let folder = RunFolder::open(path).ok()?;
    let written = [folder.last_checkpoint(), folder.best_checkpoint()];
    if written.iter().any(|file| file.exists()) || !folder.config().is_file() {
        return None;
    }
    Some(folder.read_config().map_err(Failure::from))
}

/// Puts the flags over the settings.
fn apply(args: &TrainArgs, wanted: Option<NetworkConfig>, config: &mut TrainConfig) -> Outcome<()> {
    let (recipe, run) = (&mut config.recipe, &mut config.run);
    // A resumed network keeps its description, such as quantizers that are off, unless a file says all of it.
    let described = args.network.as_deref().is_some_and(is_file);
    if let Some(wanted) = wanted.filter(|wanted| described || wanted.name != recipe.network.name) {
        recipe.network = wanted;
    }
    if args.disable_quant {
        recipe.network.quantization = Quantization::Off;
    }
    scaling::apply(args, &mut recipe.network)?;
    if let Some(name) = &args.dataset {
        recipe.dataset = name.parse()?;
    }
    if let Some(name) = given(&args.optim) {
        recipe.optim = named(&name, Optim::ALL.map(Optim::as_str))?;
    }
    if let Some(name) = given(&args.loss) {
        recipe.loss = named(&name, Loss::ALL.map(Loss::as_str))?;
    }
    if let Some(name) = given(&args.scheduler) {
        recipe.scheduler = named(&name, Scheduler::ALL.map(Scheduler::as_str))?;
    }
    if let Some(list) = given(&args.milestones) {
        recipe.milestones = numbers("--milestones", &list)?;
    }
    if let Some(name) = given(&args.weight_decay_on) {
        recipe.weight_decay_on = named(&name, Decayed::ALL.map(Decayed::as_str))?;
    }
    if let Some(choice) = &args.augment {
        recipe.augment = match choice {
            Nullable::None => Augment::Chosen(Augmentation::NONE),
            Nullable::Value(list) => list.parse().context("--augment")?,
        };
    }
    if let Some(epochs) = &args.warmup_epochs {
        recipe.warmup_epochs = epochs.as_option().map(u64::from);
    }
    if let Some(decay) = &args.ema_decay {
        recipe.ema_decay = decay.as_option();
    }
    recipe.nesterov = (recipe.nesterov || args.nesterov) && !args.no_nesterov;
    replace(&mut recipe.label_smoothing, args.label_smoothing);
    recipe.limit = args.limit.or(recipe.limit);
    recipe.early_stopping |= args.early_stopping;
    replace(&mut recipe.batch_size, args.batch_size.map(|n| n as usize));
    replace(&mut recipe.epochs, args.epochs.map(u64::from));
    replace(&mut recipe.lr, args.lr);
    replace(&mut recipe.momentum, args.momentum);
    replace(&mut recipe.weight_decay, args.weight_decay);
    replace(&mut recipe.random_seed, args.random_seed);
    replace(&mut recipe.patience, args.patience.map(u64::from));
    replace(&mut run.datadir, args.datadir.clone());
    replace(&mut run.experiments, args.experiments.clone());
    replace(&mut run.log_freq, args.log_freq.map(u64::from));
    replace(&mut run.num_workers, args.num_workers.map(|n| n as usize));
    run.dry_run |= args.dry_run;
    run.export_qonnx |= args.export_qonnx;
    run.export_qcdq_onnx |= args.export_qcdq_onnx;
    run.detect_nan = (run.detect_nan || args.detect_nan) && !args.no_detect_nan;
    Ok(())
}

fn replace<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

/// Reads one of a few names.
fn named<T: std::str::FromStr<Err = fewbit_train::Error>>(
    name: &str,
    known: impl IntoIterator<Item = &'static str>,
) -> Outcome<T> {
    name.parse().hint_with(|_| suggestion(name, known))
}

/// Reads `100,150,200`.
fn numbers(flag: &str, list: &str) -> Outcome<Vec<u64>> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::parse).collect::<Result<_, _>>().map_err(|_| {
        Failure::new(format!("{flag} {list:?} is not a list of whole numbers"))
            .or_hint("write them with commas between, such as 100,150,200")
    })
}

/// The shape of the tracing input of the published example; here the network decides.
fn check_input_shape(args: &TrainArgs, network: &NetworkConfig) -> Outcome<()> {
    let Some(list) = &args.input_shape else { return Ok(()) };
    let shape = numbers("--input_shape", list)?;
    let image = network.image_shape.map(|size| size as u64);
    if shape.len() == 4 && shape[1..] == image {
        return Ok(());
    }
    let [c, h, w] = image;
    Err(Failure::new(format!("--input_shape {list}: {} takes images of {c}x{h}x{w}", network.name))
        .or_hint(format!("write 1,{c},{h},{w}, or leave it out")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::console::Verbosity;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TrainArgs,
    }

    fn plan(line: &str) -> Outcome<Plan> {
        let words = std::iter::once("train").chain(line.split_whitespace());
        let args = Line::try_parse_from(words).unwrap().args;
        Plan::new(&args, &Console::new(Verbosity::Quiet))
    }

    #[test]
    fn without_a_network_it_is_the_demonstration() {
        let config = plan("").unwrap().config;
        assert_eq!((config.recipe.network.name.as_str(), config.recipe.epochs), DEMONSTRATION);
        assert_eq!(config.recipe.dataset, DatasetName::Glyphs);
        assert!(config.run.export_qonnx);
        let config = plan("--epochs 2 --limit 500").unwrap().config;
        assert_eq!((config.recipe.epochs, config.recipe.limit), (2, Some(500)));
    }

    #[test]
    fn with_a_network_defaults_are_those_of_the_published_example() {
        let config = plan("--network lfc_1w1a").unwrap().config;
        let mut expected = TrainConfig::new(NetworkConfig::named("LFC_1W1A").unwrap());
        expected.run.checkpoint_seconds = Some(CHECKPOINT_SECONDS);
        assert_eq!(config, expected);
    }

    #[test]
    fn flags_are_taken() {
        let config = plan(
            "--network TFC_2W2A --dataset glyphs --datadir d --experiments e --epochs 3 --lr 0.1 \
             --optim SGD --loss CrossEntropy --scheduler STEP --milestones 1,2 --momentum 0.5 \
             --weight-decay 0.25 --random-seed 9 --early-stopping --patience 4 --batch-size 7 \
             --nesterov --weight-decay-on weights --label-smoothing 0.125 --ema-decay 0.99 \
             --warmup-epochs 1 --augment crop=2 --log-freq 5 --num-workers 0 --detect-nan --disable-quant --dry-run \
             --input-shape 1,1,28,28",
        )
        .unwrap()
        .config;
        let recipe = &config.recipe;
        assert_eq!((recipe.optim, recipe.loss), (Optim::Sgd, Loss::CrossEntropy));
        assert!(recipe.nesterov && recipe.weight_decay_on == Decayed::Weights);
        assert_eq!((recipe.label_smoothing, recipe.ema_decay), (0.125, Some(0.99)));
        assert_eq!((recipe.warmup_epochs, recipe.augment.to_string()), (Some(1), "crop=2".into()));
        assert_eq!(
            (recipe.scheduler, recipe.milestones.as_slice()),
            (Scheduler::Step, &[1, 2][..])
        );
        assert_eq!((recipe.lr, recipe.momentum, recipe.weight_decay), (0.1, 0.5, 0.25));
        assert_eq!((recipe.random_seed, recipe.patience, recipe.batch_size), (9, 4, 7));
        assert!(recipe.early_stopping && recipe.network.quantization == Quantization::Off);
        let run = &config.run;
        assert_eq!((run.log_freq, run.num_workers), (5, 0));
        assert!(run.detect_nan && run.dry_run && !run.export_qonnx);
        assert!(plan("--network TFC_2W2A --export-qonnx").unwrap().config.run.export_qonnx);
        assert_eq!(
            (run.datadir.as_path(), run.experiments.as_path()),
            ("d".as_ref(), "e".as_ref())
        );
    }

    #[test]
    fn recipes_are_taken_and_flags_go_over_them() {
        let published = plan("--recipe e3m1").unwrap().config;
        let typed = plan(
            "--gpus None --num-workers 4 --network RESNET18_5W5A_FLOAT_E3M1 --epochs 10000 \
             --log-freq 20 --early-stopping --patience 100 --lr 0.001 --loss CrossEntropy \
             --scheduler STEP --export-qonnx",
        );
        assert_eq!(published, typed.unwrap().config, "the published command");
        let config = plan("--recipe FP32_modern --epochs 3 --no-nesterov --momentum 0").unwrap();
        let recipe = config.config.recipe;
        assert_eq!((recipe.epochs, recipe.nesterov, recipe.momentum), (3, false, 0.0));
        assert_eq!(recipe.label_smoothing, 0.1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "[recipe]\nnetwork = \"TFC_1W1A\"\nlr = 0.5\n").unwrap();
        let config = plan(&format!("--recipe {}", path.display()));
        assert_eq!(config.unwrap().config.recipe.lr, 0.5);
        for (text, words, hint) in [
            ("[recipe]\nnetwork = \"TFC_1W1A\"\nmomentun = 1", "momentun", "momentum"),
            ("[recipe]\nnetwork = \"TFC_1W1\"", "mine.toml", "TFC_1W1A"),
            ("[recipe]\nnetwork = \"TFC_1W1A\"\nlr = -1", "mine.toml: lr", ""),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = plan(&format!("--recipe {}", path.display())).unwrap_err();
            assert!(error.message().contains(words), "{error}");
            assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
        }
    }

    #[test]
    fn none_is_the_default() {
        let config = plan(
            "--network TFC_1W1A --optim None --loss None --scheduler None --gpus None \
                 --ema-decay None --warmup-epochs None --weight-decay-on None --no-nesterov",
        );
        assert_eq!(
            config.unwrap().config.recipe,
            plan("--network TFC_1W1A").unwrap().config.recipe
        );
    }

    #[test]
    fn the_commands_of_the_published_example_are_read() {
        let folder = "outputs_RESNET18_5W5A_FLOAT_E3M1_5w5a_e3m1";
        let common = "train --gpus 0 --num_workers 8";
        let network = "--network RESNET18_5W5A_FLOAT_E3M1";
        let training = format!(
            "{common} {network} --experiments {folder} --epochs 10000 --log_freq 20 --early_stopping \
             --patience 100 --lr 0.001 --loss CrossEntropy --scheduler STEP --export_qonnx"
        );
        let evaluation =
            format!("{common} --evaluate {network} --resume {folder}/checkpoints/best.safetensors");
        let typed = |line: &str| {
            let words = line.split_whitespace().map(Into::into).collect();
            Line::try_parse_from(crate::command_line::normalise(words)).unwrap().args
        };
        let plan = |args: &TrainArgs| Plan::new(args, &Console::new(Verbosity::Quiet));
        for line in [&training, &evaluation] {
            let mut args = typed(line);
            assert_eq!(given(&args.gpus).as_deref(), Some("0"));
            // Nothing is computed elsewhere than where it was asked for.
            if let Err(failure) = args.device.open_with_gpus(Some("0")) {
                assert_eq!(plan(&args).unwrap_err().message(), failure.message());
                assert!(failure.message().starts_with("--gpus 0: "), "{failure}");
                assert!(failure.hint().unwrap().contains("--gpus None"), "{failure:?}");
            }
            args.gpus = None;
            if line == &evaluation {
                // There is no such file here; everything else is read.
                assert!(plan(&args).unwrap_err().message().contains(folder));
                continue;
            }
            let Plan { config: TrainConfig { recipe, run }, task, chosen, .. } =
                plan(&args).unwrap();
            assert!(task == Task::Train && chosen.is_cpu());
            assert_eq!(recipe.network.name, "RESNET18_5W5A_FLOAT_E3M1");
            assert_eq!((recipe.epochs, recipe.patience, recipe.lr), (10000, 100, 0.001));
            assert_eq!((recipe.loss, recipe.scheduler), (Loss::CrossEntropy, Scheduler::Step));
            assert!(recipe.early_stopping && run.export_qonnx);
            assert_eq!((run.num_workers, run.log_freq), (8, 20));
            assert_eq!(run.experiments, Path::new(folder));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_advice() {
        for (line, words, hint) in [
            ("--gpus 0,1", "--gpus 0,1", "--gpus None"),
            ("--device cuda:999", "cuda:999", "--device cpu"),
            ("--network TFC_2W3", "TFC_2W3", "did you mean"),
            ("--network TFC_2W2A --input-shape 1,3,32,32", "1x28x28", "1,1,28,28"),
            ("--evaluate", "--evaluate", "--resume"),
            ("--pretrained", "--pretrained", "--network"),
            ("--state-dict-to-pth --dry-run", "--dry_run", "leave"),
            ("--network TFC_2W2A --act-scaling learned", "--act-scaling", "RESNET18"),
            ("--recipe e3m1-moderm", "e3m1-moderm", "did you mean e3m1-modern?"),
            ("--recipe zebra", "zebra", "fewbit recipes"),
            ("--recipe missing.toml", "missing.toml", ""),
            ("--recipe e3m1 --resume x", "--resume", "leave --recipe out"),
            ("--milestones 1,x", "1,x", "commas"),
            ("--weight-decay-on weight", "weight", "weights"),
        ] {
            let error = plan(line).unwrap_err();
            assert!(error.message().contains(words), "{line}: {error}");
            assert!(
                hint.is_empty() || error.hint().is_some_and(|text| text.contains(hint)),
                "{line}: {:?}",
                error.hint()
            );
        }
    }
}
