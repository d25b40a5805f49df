//! `fewbit export`: checkpoint to QONNX file.

use std::path::PathBuf;

use clap::Args;
use fewbit_nn::export::{ExportConfig, to_qcdq_with, to_qonnx_with};
use fewbit_nn::{Device, Network};
use fewbit_onnx::builder::QONNX_DOMAIN;
use fewbit_onnx::proto::ModelProto;
use fewbit_train::Checkpoint;
use serde_json::json;

use crate::checkpoints::{self, NetworkArg};
use crate::command_line::Example;
use crate::console::{Console, counted, escape};
use crate::failure::Outcome;
use crate::files;
use crate::program::{Report, Verdict};
use crate::runs::{self, Choice};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "the best checkpoint of the newest run below ./experiments",
        lines: "fewbit export experiments -o network.onnx",
    },
    Example {
        purpose: "the same in operators of ONNX alone, for runtimes that do not know QONNX",
        lines: "fewbit export experiments --qcdq -o standard.onnx",
    },
];

/// Flags of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// A checkpoint (also best.tar or .pth of PyTorch), a run folder (its best checkpoint), or the parent of
    /// run folders (the newest)
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
    #[command(flatten)]
    pub network: NetworkArg,
    /// The file to write
    #[arg(long, short, value_name = "FILE.onnx")]
    pub output: PathBuf,
    /// Write standard ONNX (QuantizeLinear, Clip, DequantizeLinear) instead of QONNX
    #[arg(long)]
    pub qcdq: bool,
}

/// The operators that a file has for quantizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Those of QONNX.
    Qonnx,
    /// Those of ONNX itself.
    Qcdq,
}

impl Dialect {
    /// The one that a file is written in.
    pub fn of(model: &ModelProto) -> Self {
        let nodes = model.graph.as_ref().map(|graph| graph.node.as_slice()).unwrap_or_default();
        let standard = nodes.iter().any(|node| node.op_type() == "DequantizeLinear");
        let own = nodes.iter().any(|node| node.domain() == QONNX_DOMAIN);
        if standard && !own { Self::Qcdq } else { Self::Qonnx }
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qonnx => "QONNX",
            Self::Qcdq => "QCDQ ONNX",
        }
    }
}

/// Runs the command.
pub fn run(args: &ExportArgs, console: &Console) -> Outcome<Report> {
    let located = runs::locate(&args.checkpoint, Choice::Best, console)?;
    let read = [("CHECKPOINT", located.checkpoint.as_path())];
    files::check_outputs(&[("--output", &args.output)], &read)?;
    let checkpoint = checkpoints::read(&located.checkpoint, &args.network, console)?;
    let network = checkpoint.network(&Device::cpu())?;
    let dialect = if args.qcdq { Dialect::Qcdq } else { Dialect::Qonnx };
    let model = model_of(&checkpoint, &network, dialect)?;
    let bytes = fewbit_onnx::encode(&model);
    files::write(&args.output, &bytes)?;
    let nodes = model.graph.as_ref().map_or(0, |graph| graph.node.len());
    let (file, output) =
        (checkpoint.file().display().to_string(), args.output.display().to_string());
    let text = format!(
        "{}: {} as {}, {} and {}, from {}\n",
        escape(&output),
        network.config().name,
        dialect.name(),
        counted(nodes as u64, "node"),
        counted(bytes.len() as u64, "byte"),
        escape(&file),
    );
    let json = json!({
        "network": network.config().name,
        "checkpoint": file,
        "model": output,
        "model_sha256": files::sha256_of(&bytes),
        "nodes": nodes,
        "bytes": bytes.len(),
    });
    Ok(Report { text, json, verdict: Verdict::Good })
}

/// The model of a checkpoint, the same one each time.
pub fn model_of(
    checkpoint: &Checkpoint,
    network: &Network,
    dialect: Dialect,
) -> Outcome<ModelProto> {
    let config = ExportConfig { metadata: notes(checkpoint)?, ..ExportConfig::default() };
    encoded(network, &config, dialect)
}

/// Finds out before a training whether its network can be exported.
pub fn check(network: &Network, dialect: Dialect) -> Outcome<()> {
    encoded(network, &ExportConfig::default(), dialect)?;
    Ok(())
}

fn encoded(network: &Network, config: &ExportConfig, dialect: Dialect) -> Outcome<ModelProto> {
    Ok(match dialect {
        Dialect::Qonnx => to_qonnx_with(network, config)?,
        Dialect::Qcdq => to_qcdq_with(network, config)?,
    })
}

/// What the file says about its origin.
fn notes(checkpoint: &Checkpoint) -> Outcome<Vec<(String, String)>> {
    let (recipe, progress) = (&checkpoint.recipe, &checkpoint.progress);
    if checkpoint.is_foreign() {
        // How another program trained it is not known.
        return Ok(vec![]);
    }
    let mut notes = vec![
        ("dataset", recipe.dataset.to_string()),
        ("epochs", progress.epochs_finished.to_string()),
        ("recipe", serde_json::to_string(recipe)?),
    ];
    // The accuracy of exactly this state, if it was measured.
    let measured = progress
        .best
        .filter(|best| best.epoch == progress.epochs_finished && progress.steps_in_epoch == 0);
    if let Some(best) = measured {
        notes.push(("test_images", progress.test_images.to_string()));
        notes.push(("test_top1_percent", best.test_top1_percent.to_string()));
        notes.push(("test_top5_percent", best.test_top5_percent.to_string()));
    }
    Ok(notes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
