//! `fewbit verify`: checkpoint against QONNX file.

use std::path::{Path, PathBuf};

use clap::Args;
use fewbit_data::Dataset;
use fewbit_nn::Device;
use fewbit_train::{Checkpoint, RunFolder};
use serde_json::Value;

use crate::checkpoints::{self, NetworkArg};
use crate::command_line::Example;
use crate::commands::dataset::DatasetArgs;
use crate::commands::export::{Dialect, model_of};
use crate::commands::prove;
use crate::commands::run::ModeArg;
use crate::console::{Console, escape};
use crate::executor::Executor;
use crate::failure::{Failure, Outcome};
use crate::files;
use crate::program::{Report, Verdict};
use crate::runs::{self, Choice, Located};
use crate::verification::{Findings, Manner, Subjects, verify};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "the newest run below ./experiments: its best checkpoint and its QONNX file",
        lines: "fewbit verify experiments",
    },
    Example {
        purpose: "a checkpoint and a file, on 1,000 images, node by node as the qonnx package computes",
        lines: "fewbit export experiments -o copy.onnx\n\
                fewbit verify experiments copy.onnx --limit 1000 --mode reference",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
Compares the trainer's network with the executor over all test images: every logit and every tensor \
that both sides name, bit for bit (+0 and -0 count as equal), the predictions, and everything that the \
file stores with what the exporter writes for the checkpoint. Tensors that another program has \
renamed are found by their place in the graph; those that only one side has are listed and not compared.
Writes verification.json into the run folder, whichever file was compared, or where --report says.
Exit code 0: no value differs. 1: something differs, or --prove found a place where engines can part; \
a file that cannot be executed differs, if something in it is stored differently. 2: it could not be \
found out, or not be written.
";

/// Flags of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// A run folder, the parent of run folders (the newest), or a checkpoint (also of PyTorch)
    #[arg(value_name = "RUN_FOLDER|CHECKPOINT")]
    pub checkpoint: PathBuf,
    /// The QONNX file [default: the one in the run folder]
    #[arg(value_name = "MODEL.onnx")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArg,
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// How the executor computes
    #[arg(long, value_enum, default_value = "canonical")]
    pub mode: ModeArg,
    /// Images per batch, at most; the result does not depend on it
    #[arg(long, value_name = "N", default_value = "250")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// Also prove it for every possible input, or else for these images; see `fewbit prove`
    #[arg(long)]
    pub prove: bool,
    /// Where to write the findings as JSON [default: verification.json in the run folder]
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &VerifyArgs, console: &Console) -> Outcome<Report> {
    let located = runs::locate(&args.checkpoint, Choice::Best, console)?;
    let checkpoint = checkpoints::read(&located.checkpoint, &args.network, console)?;
    let model = model(args, &located, &checkpoint)?;
    let report = report_file(args, &located)?;
    if let Some(report) = &report {
        let inputs = [("CHECKPOINT", located.checkpoint.as_path()), ("MODEL.onnx", &model)];
        files::check_outputs(&[("--report", report)], &inputs)?;
    }
    let dataset = args.dataset.open(&checkpoint.recipe, located.run_folder.as_deref(), console)?;
    let manner = Manner { mode: args.mode, batch: args.batch as usize };
    let Verified { findings, mut json } = compare(&checkpoint, &model, &dataset, manner, console)?;
    let mut text = format!(
        "checkpoint: {}\nfile:       {}\n\n{}",
        escape(&located.checkpoint.to_string_lossy()),
        escape(&model.to_string_lossy()),
        findings.text()
    );
    let mut verdict = if findings.identical() { Verdict::Good } else { Verdict::Different };
    if args.prove {
        let executor = Executor::open(&model, ModeArg::Canonical)?;
        let certificate = prove::certify(&executor, None, Some(&dataset), manner.batch, console)?;
        text.push_str(&format!("\n{}\n", prove::words(&certificate)));
        json["proof"] = prove::document(&certificate, &model)?;
        if prove::verdict(&certificate) == Verdict::Different {
            verdict = Verdict::Different;
        }
    }
    let Some(path) = &report else { return Ok(Report { text, json, verdict }) };
    match write(path, &json) {
        Ok(()) => {
            text.push_str(&format!("report: {}\n", escape(&path.to_string_lossy())));
            Ok(Report { text, json, verdict })
        }
        // What was found is told all the same.
        Err(failure) => Err(failure.after(Report { text, json, verdict })),
    }
}

/// The file that is meant.
fn model(args: &VerifyArgs, located: &Located, checkpoint: &Checkpoint) -> Outcome<PathBuf> {
    if let Some(model) = &args.model {
        return Ok(model.clone());
    }
    let folder = located.run_folder.as_deref().ok_or_else(|| {
        Failure::new(format!("{} lies in no run folder", located.checkpoint.display()))
            .or_hint("say which file to compare it with: fewbit verify CHECKPOINT MODEL.onnx")
    })?;
    let model = RunFolder::open(folder)?.model(&checkpoint.recipe.network);
    if model.is_file() {
        return Ok(model);
    }
    let (shown, file) = (folder.display(), model.display());
    Err(Failure::new(format!("{shown} has no QONNX file")).or_hint(format!(
        "`fewbit export {shown} -o {file}` makes it; `train --export_qonnx` does so by itself"
    )))
}

/// Where the findings go: nowhere, if neither a file nor a run folder was named.
fn report_file(args: &VerifyArgs, located: &Located) -> Outcome<Option<PathBuf>> {
    match (&args.report, &located.run_folder) {
        (Some(path), _) => Ok(Some(path.clone())),
        (None, Some(folder)) => Ok(Some(RunFolder::open(folder)?.verification())),
        (None, None) => Ok(None),
    }
}

/// What a comparison found, and its document.
pub struct Verified {
    /// The findings.
    pub findings: Findings,
    /// The document.
    pub json: Value,
}

/// Compares a checkpoint with a file.
pub fn compare(
    checkpoint: &Checkpoint,
    model: &Path,
    dataset: &Dataset,
    manner: Manner,
    console: &Console,
) -> Outcome<Verified> {
    let mut network = checkpoint.network(&Device::cpu())?;
    let dialect = Dialect::of(&crate::executor::read_model(model)?);
    let expected = model_of(checkpoint, &network, dialect)?;
    let subjects = Subjects { network: &mut network, expected: &expected, model, dataset };
    let findings = verify(subjects, manner, console)?;
    let hashes = [files::sha256(checkpoint.file())?, files::sha256(model)?];
    let json = findings.json(checkpoint.file(), model, hashes);
    Ok(Verified { findings, json })
}

/// Writes the document.
pub fn write(path: &Path, json: &Value) -> Outcome<()> {
    files::write(path, format!("{json:#}\n").as_bytes())
}
