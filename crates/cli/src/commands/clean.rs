//! `fewbit clean`: a file in order, that computes the same.

use std::path::PathBuf;

use clap::Args;
use fewbit_qonnx::clean::{Changes, CleanConfig, ConvBias, Quantizers, clean};
use serde_json::{Value, json};

use crate::command_line::Example;
use crate::commands::proof::{Proof, prove};
use crate::console::{counted, escape};
use crate::executor::{ExternalData, model_file, read_rewritable};
use crate::failure::{Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "shapes, readable names, no computed constants; quantizers of weights stay",
        lines: "fewbit export experiments -o network.onnx\nfewbit clean network.onnx -o clean.onnx",
    },
    Example {
        purpose: "for ten items at a time, with quantized weights stored",
        lines: "fewbit clean network.onnx -o folded.onnx --batch 10 --fold-quantizers",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
Does what qonnx-cleanup does, and names things as it does (Conv_0, Conv_0_out0, Conv_0_param0, \
global_in, global_out). Both files are executed on the same inputs; the new one is written only if \
all outputs are the same, bit for bit. With --fold-quantizers the codes of weights are not in the file \
any more, and sums of their products may be rounded otherwise: then node by node, as qonnx computes, \
has to give the same.
Exit code 1: they are not the same, and nothing was written.
";

/// Flags of `clean`.
#[derive(Args, Clone, Debug)]
pub struct CleanArgs {
    /// The file, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// The file to write; may be the one that is read
    #[arg(long, short, value_name = "FILE.onnx")]
    pub output: PathBuf,
    /// Fix the number of items that the file computes at once
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: Option<u32>,
    /// Store quantized weights instead of keeping their quantizers
    #[arg(long)]
    pub fold_quantizers: bool,
    /// Add the biases of convolutions by nodes of their own
    #[arg(long)]
    pub extract_conv_bias: bool,
}

/// Runs the command.
pub fn run(args: &CleanArgs) -> Outcome<Report> {
    let args = &CleanArgs { model: model_file(&args.model)?, ..args.clone() };
    // In place is allowed: what is written is proved to compute the same.
    files::check_outputs(&[("--output", &args.output)], &[])?;
    let before = read_rewritable(&args.model, ExternalData::if_asked(args.external_data))?;
    let config = CleanConfig {
        batch: args.batch.map(|batch| batch as usize),
        quantizers: if args.fold_quantizers { Quantizers::Folded } else { Quantizers::Kept },
        conv_bias: if args.extract_conv_bias { ConvBias::Extracted } else { ConvBias::Kept },
    };
    let cleaned = clean(&before, config).context(args.model.display())?;
    let proof = prove(&before, &cleaned.model).context(args.model.display())?;
    let mut text = words(args, &cleaned.changes);
    text.push_str(&proof.words());
    let bytes = fewbit_onnx::encode(&cleaned.model);
    if proof.holds() {
        fewbit_onnx::write_model(&files::target(&args.output)?, &cleaned.model)?;
    } else {
        text.push_str(&format!("{} was not written\n", escape(&args.output.to_string_lossy())));
    }
    let json = document(args, &cleaned.changes, &proof, &bytes)?;
    let verdict = if proof.holds() { Verdict::Good } else { Verdict::Different };
    Ok(Report { text, json, verdict })
}

fn words(args: &CleanArgs, changes: &Changes) -> String {
    let mut text = format!(
        "{}: {} of {}\n",
        escape(&args.output.to_string_lossy()),
        counted(changes.nodes_after as u64, "node"),
        changes.nodes_before
    );
    for (count, what) in [
        (changes.folded_nodes, "folded constant"),
        (changes.folded_transposes, "transpose folded into weights"),
        (changes.removed_nodes, "node removed that did nothing"),
        (changes.removed_tensors, "unused tensor removed"),
        (changes.removed_inputs, "stored tensor taken off the inputs"),
        (changes.copied_parameters, "shared parameter copied"),
        (changes.extracted_biases, "bias extracted"),
        (changes.moved_domains, "operator moved to the domain of today"),
        (changes.added_shapes, "shape added"),
        (changes.renamed_tensors.len(), "tensor renamed"),
    ] {
        if count > 0 {
            text.push_str(&format!("  {count} x {what}\n"));
        }
    }
    text
}

fn document(args: &CleanArgs, changes: &Changes, proof: &Proof, bytes: &[u8]) -> Outcome<Value> {
    Ok(json!({
        "model": args.model.display().to_string(),
        "output": args.output.display().to_string(),
        "output_sha256": files::sha256_of(bytes),
        "written": proof.holds(),
        "changes": changes,
        "proof": proof.document(),
    }))
}
