//! `fewbit convert`: the same network in other operators.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fewbit_qonnx::convert::{Target, convert};
use serde_json::json;

use crate::command_line::Example;
use crate::commands::proof::prove_conversion;
use crate::console::escape;
use crate::executor::{ExternalData, model_file, read_rewritable};
use crate::failure::{Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "in operators that any runtime of ONNX has",
        lines: "fewbit export experiments -o network.onnx\n\
                fewbit convert network.onnx --to standard -o standard.onnx",
    },
    Example {
        purpose: "weights as 8-bit codes, activations by QuantizeLinear, Clip and DequantizeLinear",
        lines: "fewbit convert network.onnx --to qcdq -o qcdq.onnx",
    },
    Example {
        purpose: "activations by thresholds, as FINN has them",
        lines: "fewbit convert network.onnx --to thresholds -o thresholds.onnx",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
--to integer turns minifloats whose values are multiples of one step (e3m1, e2m1, ...) into integers, \
exactly: Quant of weights, MultiThreshold of activations, which FINN and others read. A quantizer that \
has no exact counterpart stays as it is, and is named.
Both files are executed on the same inputs; the new one is written only if all outputs are the same, \
bit for bit: as fewbit computes, or node by node as qonnx does where the sums are others because codes \
are not in the file any more. Each quantizer is executed alone, too, at the edges of its format.
This holds for every input x of a quantizer whose quotient x / scale is finite in float32. For NaN, \
infinities, and finite x whose quotient overflows (with a scale of 0.5, all beyond 1.7e38), FloatQuant \
gives NaN as QONNX defines it, while the new operators may saturate or pass NaN on.
onnxruntime 1.32 gives wrong results for files of \
--to onnx-float8 unless its optimizations are off; those of --to standard it computes alike in any case.
Exit code 1: they are not the same, and nothing was written.
";

/// Flags of `convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// The file, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// What quantizers become
    #[arg(long, value_enum, value_name = "OPERATORS")]
    pub to: TargetArg,
    /// The file to write; may be the one that is read
    #[arg(long, short, value_name = "FILE.onnx")]
    pub output: PathBuf,
}

/// What quantizers become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetArg {
    /// Minifloats on an integer grid: Quant of weights, MultiThreshold of activations
    Integer,
    /// Those of activations: MultiThreshold
    Thresholds,
    /// Integers: QuantizeLinear, Clip, DequantizeLinear
    Qcdq,
    /// e4m3, e5m2 and e2m1: QuantizeLinear and DequantizeLinear to ONNX's own types
    OnnxFloat8,
    /// All: operators that any runtime has
    Standard,
}

impl TargetArg {
    fn target(self) -> Target {
        match self {
            Self::Integer => Target::Integer,
            Self::Thresholds => Target::Thresholds,
            Self::Qcdq => Target::Qcdq,
            Self::OnnxFloat8 => Target::Float8,
            Self::Standard => Target::Standard,
        }
    }
}

/// Runs the command.
pub fn run(args: &ConvertArgs) -> Outcome<Report> {
    let args = &ConvertArgs { model: model_file(&args.model)?, ..args.clone() };
    // In place is allowed: what is written is proved to compute the same.
    files::check_outputs(&[("--output", &args.output)], &[])?;
    let before = read_rewritable(&args.model, ExternalData::if_asked(args.external_data))?;
    let converted = convert(&before, args.to.target()).context(args.model.display())?;
    let proof = prove_conversion(&before, &converted.model).context(args.model.display())?;
    let output = escape(&args.output.to_string_lossy());
    let nodes = converted.model.graph.as_ref().map_or(0, |graph| graph.node.len());
    let mut text = format!("{output}: {nodes} nodes\n");
    for (operator, count) in &converted.converted {
        text.push_str(&format!("  {count} x {} converted\n", escape(operator)));
    }
    for (name, reason) in &converted.left {
        text.push_str(&format!("  left as it is: {}: {}\n", escape(name), escape(reason)));
    }
    text.push_str(&proof.words());
    if proof.holds() {
        fewbit_onnx::write_model(&files::target(&args.output)?, &converted.model)?;
    } else {
        text.push_str(&format!("{output} was not written\n"));
    }
    let json = json!({
        "model": args.model.display().to_string(),
        "output": args.output.display().to_string(),
        "output_sha256": files::sha256_of(&fewbit_onnx::encode(&converted.model)),
        "written": proof.holds(),
        "to": args.to.target(),
        "nodes": nodes,
        "converted": converted.converted,
        "left": converted.left,
        "proof": proof.document(),
    });
    let verdict = if proof.holds() { Verdict::Good } else { Verdict::Different };
    Ok(Report { text, json, verdict })
}
