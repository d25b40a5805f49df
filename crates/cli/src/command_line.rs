//! What was typed: flags as [`Cli`], before any of it is resolved.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands::{
    clean, codes, convert, cost, data, diff, eval, export, formats, inspect, networks, prove,
    recipes, run, train, verify,
};

/// Trains networks made of few-bit numbers, exports them to QONNX, runs any QONNX file, and proves
/// that both compute the same.
#[derive(Debug, Parser)]
#[command(name = "fewbit", version, propagate_version = false, disable_help_subcommand = true)]
#[command(after_help = "Start with `fewbit train`: it needs no data and no network connection.\n\
                        `fewbit COMMAND --help` shows examples that run.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
    /// Say only what went wrong
    #[arg(long, short, global = true, help_heading = "Common options")]
    pub quiet: bool,
    /// Number of threads [default: all cores]; results do not depend on it
    #[arg(long, value_name = "N", global = true, help_heading = "Common options")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network and write a run folder; without flags, a demonstration of about a minute
    #[command(after_help = help(train::EXAMPLES, train::NOTES))]
    Train(Box<train::TrainArgs>),
    /// List the recipes of `train`, or print one
    #[command(after_help = help(recipes::EXAMPLES, recipes::NOTES))]
    Recipes(recipes::RecipesArgs),
    /// Measure the accuracy of a checkpoint
    #[command(after_help = help(eval::EXAMPLES, ""))]
    Eval(eval::EvalArgs),
    /// Turn a checkpoint into a QONNX file
    #[command(after_help = help(export::EXAMPLES, ""))]
    Export(export::ExportArgs),
    /// Compare a checkpoint with its QONNX file, bit for bit, over a whole test set
    #[command(after_help = help(verify::EXAMPLES, verify::NOTES))]
    Verify(verify::VerifyArgs),
    /// Prove that all engines compute the same bits from a QONNX file, whatever the input
    #[command(after_help = help(prove::EXAMPLES, prove::NOTES))]
    Prove(prove::ProveArgs),
    /// Run an ONNX or QONNX file on arrays or on a dataset
    #[command(after_help = help(run::EXAMPLES, ""))]
    Run(run::RunArgs),
    /// Show what is in a file, what other programs would refuse, and which values there can be
    #[command(after_help = help(inspect::EXAMPLES, inspect::NOTES))]
    Inspect(inspect::InspectArgs),
    /// Count what a network costs: multiply-accumulates, bits, bit operations and gates
    #[command(after_help = help(cost::EXAMPLES, cost::NOTES))]
    Cost(cost::CostArgs),
    /// Compare two models on the same inputs, or a model with stored tensors: where do they part?
    #[command(after_help = help(diff::EXAMPLES, diff::NOTES))]
    Diff(diff::DiffArgs),
    /// Put a file in order: shapes, constants, readable names; it computes the same
    #[command(after_help = help(clean::EXAMPLES, clean::NOTES))]
    Clean(clean::CleanArgs),
    /// Write the same network in other operators: integers, thresholds, standard ONNX
    #[command(after_help = help(convert::EXAMPLES, convert::NOTES))]
    Convert(convert::ConvertArgs),
    /// Write the codes of quantized weights: JSON, .npz, a header of C, or a memory image
    #[command(after_help = help(codes::EXAMPLES, codes::NOTES))]
    Codes(codes::CodesArgs),
    /// Explain a number format: range, values, encoding and decoding
    #[command(after_help = help(formats::EXAMPLES, ""))]
    Formats(formats::FormatsArgs),
    /// List the named networks, or print one as a file of your own to change
    #[command(after_help = help(networks::EXAMPLES, networks::NOTES))]
    Networks(networks::NetworksArgs),
    /// Fetch, check and list datasets
    #[command(after_help = help(data::EXAMPLES, ""))]
    Data(data::DataArgs),
}

/// A command line for `--help`, which the tests run as well.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What it does.
    pub purpose: &'static str,
    /// What to type into a shell; one or more lines.
    pub lines: &'static str,
}

/// The end of a help page.
fn help(examples: &[Example], notes: &str) -> String {
    let mut text = String::from("Examples:\n");
    for Example { purpose, lines } in examples {
        text.push_str(&format!("  # {purpose}\n"));
        text.extend(lines.lines().map(|line| format!("  $ {line}\n")));
    }
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(notes);
    }
    text.trim_end().to_owned()
}

/// The flags of all commands, as they are read.
pub fn definition() -> clap::Command {
    // What follows `--lr` is its value even where that is `-1`: no unknown flag, but a bad number.
    fn with_negative_numbers(command: clap::Command) -> clap::Command {
        let takes_numbers =
            |arg: &clap::Arg| !arg.is_positional() && arg.get_action().takes_values();
        command
            .mut_args(
                |arg| if takes_numbers(&arg) { arg.allow_negative_numbers(true) } else { arg },
            )
            .mut_subcommands(with_negative_numbers)
    }
    with_negative_numbers(Cli::command())
}

/// What Rust, Python and C call the number.
const NEGATIVE_INFINITY: [&str; 2] = ["-inf", "-infinity"];

/// Makes `--num_workers` and `--num-workers` the same flag. Values, also those after `=`, stay.
pub fn normalise(argv: Vec<OsString>) -> Vec<OsString> {
    let mut flags_end = false;
    argv.into_iter()
        .map(|argument| {
            let text = argument.to_str().unwrap_or_default();
            flags_end |= text == "--";
            if !flags_end && NEGATIVE_INFINITY.iter().any(|name| text.eq_ignore_ascii_case(name)) {
                // As a number it is a value, as a word it would be three short flags.
                return OsString::from("-1e999");
            }
            if flags_end || !text.starts_with("--") {
                return argument;
            }
            let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
            OsString::from(format!("{}{value}", name.replace('_', "-")))
        })
        .collect()
}

/// Reads an argument where the published program takes `None` for "not given".
pub fn given<T: Clone>(value: &Option<Nullable<T>>) -> Option<T> {
    match value {
        Some(Nullable::Value(value)) => Some(value.clone()),
        Some(Nullable::None) | None => None,
    }
}

/// A value or the word `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nullable<T> {
    /// The word `None`.
    None,
    /// A value.
    Value(T),
}

impl<T: Clone> Nullable<T> {
    /// The value, where `None` is one of those that can be.
    pub fn as_option(&self) -> Option<T> {
        match self {
            Self::None => None,
            Self::Value(value) => Some(value.clone()),
        }
    }
}

impl<T: std::str::FromStr> std::str::FromStr for Nullable<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "None" { Ok(Self::None) } else { text.parse().map(Self::Value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(argv: &[&str]) -> Vec<String> {
        normalise(argv.iter().map(OsString::from).collect())
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn negative_numbers_are_values() {
        for (line, words) in [
            ("train --lr -1 --dry-run", None),
            ("train --epochs -3", Some("invalid value '-3' for '--epochs")),
            ("run m.onnx --limit -2 --dataset glyphs", Some("invalid value '-2' for '--limit")),
            ("formats e4m3 --encode 1 -1e999 -2 --decode 0x7e", None),
            ("formats --threads -1", Some("invalid value '-1' for '--threads")),
            ("eval -1", Some("unexpected argument '-1'")),
        ] {
            let argv = ["fewbit"].into_iter().chain(line.split_whitespace());
            let error =
                definition().try_get_matches_from(argv).err().map(|error| error.to_string());
            match (error, words) {
                (None, None) => {}
                (Some(error), Some(words)) => assert!(error.contains(words), "{line}: {error}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        }
    }

    #[test]
    fn underscores_in_flags_only() {
        assert_eq!(
            normalised(&[
                "fewbit",
                "train",
                "--num_workers",
                "a_b",
                "--x_y=c_d",
                "-o_x",
                "--",
                "--e_f"
            ]),
            ["fewbit", "train", "--num-workers", "a_b", "--x-y=c_d", "-o_x", "--", "--e_f"]
        );
        assert_eq!(
            normalised(&["-inf", "-Infinity", "-nan", "--", "-inf"]),
            ["-1e999", "-1e999", "-nan", "--", "-inf"]
        );
        assert_eq!("-1e999".parse(), Ok(f32::NEG_INFINITY));
    }

    #[test]
    fn none_means_not_given() {
        assert_eq!("None".parse(), Ok(Nullable::<u32>::None));
        assert_eq!("3".parse(), Ok(Nullable::Value(3_u32)));
        assert_eq!(given(&Some(Nullable::Value(3))), Some(3));
        assert_eq!(given::<u32>(&Some(Nullable::None)), None);
        assert_eq!(given::<u32>(&None), None);
    }

    #[test]
    fn the_flags_of_the_published_example_are_known() {
        let train = "fewbit train --gpus 0 --num_workers 8 --network RESNET18_5W5A_FLOAT_E3M1 \
            --experiments outputs_x --epochs 10000 --log_freq 20 --early_stopping --patience 100 \
            --lr 0.001 --loss CrossEntropy --scheduler STEP --export_qonnx";
        let eval = "fewbit train --gpus 0 --num_workers 8 --evaluate --network \
            RESNET18_5W5A_FLOAT_E3M1 --resume outputs/checkpoints/best.tar";
        let rest = "fewbit train --datadir d --dry_run --resume None --detect_nan \
            --no_detect_nan --batch_size 10 --optim SGD --milestones 1,2 --momentum 0.5 \
            --weight_decay 0.1 --random_seed 3 --pretrained --strict --state_dict_to_pth \
            --export_qcdq_onnx --input_shape 1,3,32,32 --disable_quant --gpus None";
        for line in [train, eval, rest] {
            let argv = normalise(line.split_whitespace().map(OsString::from).collect());
            Cli::try_parse_from(argv).unwrap();
        }
    }
}
