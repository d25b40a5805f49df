//! `fewbit inspect`: what is in a file, what others make of it, and which values its tensors can have.

mod words;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fewbit_qonnx::facts::Facts;
use fewbit_qonnx::inspect::Inspection;
use fewbit_qonnx::lints::{self, Consumer, Severity};
use fewbit_qonnx::prove::InputValues;
use fewbit_qonnx::ranges::Ranges;
use serde_json::{Map, Value, json};

use crate::command_line::Example;
use crate::commands::prove::InputsArg;
use crate::executor::{ExternalData, model_file, read_with};
use crate::failure::{Failure, Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "nodes, formats, scales and sizes",
        lines: "fewbit export experiments -o network.onnx\nfewbit inspect network.onnx",
    },
    Example {
        purpose: "what qonnx would refuse, and why",
        lines: "fewbit inspect network.onnx --for qonnx",
    },
    Example {
        purpose: "bounds for all images: widths of accumulators, channels that are stuck",
        lines: "fewbit inspect network.onnx --ranges --inputs pixels",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
Bounds are computed with intervals, element by element, with the weights of the file. They are never \
too narrow; they may be too wide, as it is not known which values occur together. An accumulator has \
the bits that hold every sum of codes, and every part of one in any order. A stuck channel has the \
same quantized value for every input and in every place.
Exit code 1: --for found something that the program refuses.
";

/// Flags of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// The file, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// Tell what this program would refuse; may be given more than once
    #[arg(long = "for", value_enum, value_name = "PROGRAM")]
    pub consumers: Vec<ConsumerArg>,
    /// Find bounds of all values and sums
    #[arg(long)]
    pub ranges: bool,
    /// The inputs that bounds are about [default: any]
    #[arg(long, value_enum, requires = "ranges", conflicts_with = "input_range")]
    pub inputs: Option<InputsArg>,
    /// The smallest and the largest input that bounds are about
    #[arg(long, value_names = ["LOWEST", "HIGHEST"], num_args = 2, requires = "ranges")]
    pub input_range: Option<Vec<f32>>,
    /// Also list nodes whose results are the same for every input
    #[arg(long)]
    pub constants: bool,
}

/// A program that reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConsumerArg {
    /// FINN
    Finn,
    /// hls4ml
    Hls4ml,
    /// chisel4ml
    Chisel4ml,
    /// qonnx
    Qonnx,
    /// onnxruntime
    Ort,
}

impl ConsumerArg {
    /// The program.
    pub fn consumer(self) -> Consumer {
        match self {
            Self::Finn => Consumer::Finn,
            Self::Hls4ml => Consumer::Hls4ml,
            Self::Chisel4ml => Consumer::Chisel4ml,
            Self::Qonnx => Consumer::Qonnx,
            Self::Ort => Consumer::Ort,
        }
    }
}

/// Runs the command.
pub fn run(args: &InspectArgs) -> Outcome<Report> {
    let args = &InspectArgs { model: model_file(&args.model)?, ..args.clone() };
    let proto = read_with(&args.model, ExternalData::if_asked(args.external_data))?;
    let facts = Facts::new(&proto).context(args.model.display())?;
    let inspection = Inspection::of(&facts);
    let mut text = words::inspection(&args.model.to_string_lossy(), &inspection, args.constants);
    let mut document = Map::new();
    document.insert("model".into(), args.model.display().to_string().into());
    document.insert("model_sha256".into(), files::sha256(&args.model)?.into());
    let Value::Object(found) = serde_json::to_value(&inspection)? else {
        return Err(Failure::new("what was found is no JSON object"));
    };
    document.extend(found);
    let mut verdict = Verdict::Good;
    let mut checked = Vec::new();
    for consumer in args.consumers.iter().map(|consumer| consumer.consumer()) {
        let lints = lints::check(&facts, consumer);
        let refused = lints.iter().filter(|lint| lint.severity == Severity::Refuses).count();
        if refused > 0 {
            verdict = Verdict::Different;
        }
        text.push_str(&words::lints(consumer, &lints));
        checked.push(json!({
            "for": consumer,
            "accepted": refused == 0,
            "refusals": refused,
            "warnings": lints.len() - refused,
            "findings": lints,
        }));
    }
    if !checked.is_empty() {
        document.insert("lints".into(), Value::Array(checked));
    }
    if args.ranges {
        let ranges = Ranges::of(&proto, &inputs(args)?).context(args.model.display())?;
        text.push_str(&words::ranges(&ranges));
        document.insert("ranges".into(), serde_json::to_value(&ranges)?);
    }
    Ok(Report { text, json: Value::Object(document), verdict })
}

fn inputs(args: &InspectArgs) -> Outcome<InputValues> {
    Ok(match (args.input_range.as_deref(), args.inputs) {
        (Some(&[lowest, highest]), _) => {
            if !(lowest.is_finite() && highest.is_finite() && lowest <= highest) {
                return Err(Failure::new(format!("--input-range {lowest} {highest}"))
                    .or_hint("two finite numbers, the smaller one first"));
            }
            InputValues::Range(lowest, highest)
        }
        (_, Some(inputs)) => inputs.values(),
        _ => InputValues::Any,
    })
}
