//! `fewbit run`: any ONNX or QONNX file, on arrays or on a dataset.

mod arrays;
mod on_arrays;
mod on_dataset;
mod pace;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::command_line::Example;
use crate::console::{Console, escape};
use crate::executor::{Executor, ExternalData, model_file};
use crate::failure::{Failure, Outcome};
use crate::program::{Report, Verdict};
use crate::{files, tensors};
use arrays::Collected;

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "top-1 and top-5 accuracy of a file over a test set, and its logits",
        lines: "fewbit export experiments -o network.onnx\n\
                fewbit run network.onnx --dataset glyphs --output logits.npy",
    },
    Example {
        purpose: "one array through the network",
        lines: "fewbit data save glyphs --limit 10 -o images.npy\n\
                fewbit run network.onnx --input images.npy --output out.npy",
    },
    Example {
        purpose: "what every activation quantizer gives",
        lines: "fewbit run network.onnx --input images.npy --tensor '*.act_quant.out' -o inner.npz",
    },
];

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The file to run, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// An input: a .npy or .pb file (NumPy array, ONNX tensor), with the input's name where there are
    /// several, or a .npz file with one array per input
    #[arg(long, short, value_name = "[NAME=]FILE")]
    pub input: Vec<String>,
    /// Where to write: .npy for one tensor, .npz for any number
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also keep this inner tensor, or all whose names match a pattern with * and ?; --output is then a
    /// .npz file
    #[arg(long, value_name = "NAME|PATTERN")]
    pub tensor: Vec<String>,
    /// Images per batch; the result does not depend on it [default: 100 for a dataset, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: Option<u32>,
    /// Compute everything N times, and tell how many items a second the executor alone took
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub repeat: Option<u32>,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// How to compute
    #[arg(long, value_enum, default_value = "canonical")]
    pub mode: ModeArg,
    /// Run over the test set of this dataset (mnist, cifar10, glyphs or shapes) and count right answers
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    pub dataset: Option<String>,
    /// Folder of the dataset's files, or its parent
    #[arg(long, value_name = "DIR", default_value = "./data", conflicts_with = "input")]
    pub datadir: PathBuf,
    /// Use only the first N test images
    #[arg(long, value_name = "N", requires = "dataset", conflicts_with = "input")]
    pub limit: Option<usize>,
}

/// How the executor computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// fewbit's definition: codes first, scales after, the same bits on every machine
    Canonical,
    /// Node by node as the qonnx package does, sums in f64 rounded once
    Reference,
}

impl ModeArg {
    /// The word for JSON and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Reference => "reference",
        }
    }
}

/// Runs the command.
pub fn run(args: &RunArgs, console: &Console) -> Outcome<Report> {
    let args = &RunArgs { model: model_file(&args.model)?, ..args.clone() };
    let target = args.output.as_deref().map(|path| Target::new(path, args)).transpose()?;
    if args.dataset.is_none() && args.input.is_empty() {
        return Err(Failure::new("nothing to run on: neither --input nor --dataset was given")
            .or_hint("write --input FILE.npy, or --dataset glyphs for a test set"));
    }
    let external = ExternalData::if_asked(args.external_data);
    let executor = Executor::open_with(&args.model, args.mode, external)?;
    if let Some(target) = &target {
        let read = tensors::input_files(&executor, &args.input);
        let mut inputs = vec![("MODEL.onnx", args.model.as_path())];
        inputs.extend(read.iter().map(|path| ("--input", path.as_path())));
        files::check_outputs(&[("--output", target.path)], &inputs)?;
    }
    let finished = match &args.dataset {
        Some(name) => on_dataset::run(&executor, name.parse()?, args, console)?,
        None => on_arrays::run(&executor, args, console)?,
    };
    let mut text = finished.text;
    text.push_str(&finished.collected.table(target.is_some()));
    if let Some(target) = target {
        target.write(&finished.collected)?;
        text.push_str(&format!("written to {}\n", escape(&target.path.to_string_lossy())));
    }
    let mut json = json!({
        "model": args.model.display().to_string(),
        "mode": args.mode.name(),
    });
    merge(&mut json, finished.json);
    merge(
        &mut json,
        json!({
            "tensors": finished.collected.json(),
            "output": args.output.as_ref().map(|path| path.display().to_string()),
        }),
    );
    Ok(Report { text, json, verdict: Verdict::Good })
}

/// What a run came to.
struct Finished {
    text: String,
    json: Value,
    collected: Collected,
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// The file that tensors are written to, checked before anything is computed.
struct Target<'a> {
    path: &'a Path,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Npy,
    Npz,
}

impl<'a> Target<'a> {
    fn new(path: &'a Path, args: &RunArgs) -> Outcome<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let refuse = |expected: &str| {
            Err(Failure::new(format!("--output {}: expected {expected}", path.display())))
        };
        match (extension.as_str(), args.tensor.is_empty()) {
            ("npy", true) => Ok(Self { path, kind: Kind::Npy }),
            ("npz", _) => Ok(Self { path, kind: Kind::Npz }),
            ("npy", false) => {
                refuse("a name ending in .npz, because --tensor keeps several tensors")
            }
            _ => refuse("a name ending in .npy (one tensor) or .npz (any number)"),
        }
    }

    fn write(&self, collected: &Collected) -> Outcome<()> {
        match self.kind {
            Kind::Npy => collected.write_npy(self.path),
            Kind::Npz => collected.write_npz(self.path),
        }
    }
}
