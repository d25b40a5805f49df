//! `fewbit cost`: what a network costs in operations, bits and gates.

use std::path::{Path, PathBuf};

use clap::Args;
use fewbit_qonnx::cost::{Accumulator, Cost, LayerCost, Sparsity, Total};
use fewbit_qonnx::facts::{Facts, Rules};
use fewbit_report::{BarRow, Bars, render_bars};
use serde_json::{Map, Value, json};

use crate::command_line::Example;
use crate::console::{escape, table};
use crate::executor::{ExternalData, model_file, read_with};
use crate::failure::{Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "layer by layer and in total",
        lines: "fewbit export experiments -o network.onnx\nfewbit cost network.onnx",
    },
    Example {
        purpose: "as tables for other programs, and as a picture",
        lines: "fewbit cost network.onnx --csv cost.csv --markdown cost.md --svg cost.svg",
    },
    Example {
        purpose: "the numbers of qonnx-inference-cost, where it knows less",
        lines: "fewbit cost network.onnx --rules qonnx --json",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
MACs are multiply-accumulates, without those of weights that are zero. BOPs (bit operations) are \
MACs times the bits of both operands, as qonnx-inference-cost counts them. gates/MAC is what a unit \
for one multiply-accumulate takes in the unit-gate model (Tyagi 1993: a gate of two inputs 1, XOR 2, \
a full adder 7): n m + 7 (n - 1) (m - 1) + 3 (m - 1) for a product of n and m bits; for minifloats \
the same of 1 + mantissa bits, 7 for each exponent bit, and a shifter to a fixed-point accumulator \
that holds every sum exactly; 7 for each of its bits. Above 64 bits, sums are binary32 instead. \
These numbers compare formats; registers, wires and control are not counted.
";

/// Flags of `cost`.
#[derive(Args, Clone, Debug)]
pub struct CostArgs {
    /// The file, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// How number formats are found: everything that can be known, or what qonnx 1.0.0 finds
    #[arg(long, value_enum, value_name = "RULES", default_value = "complete")]
    pub rules: RulesArg,
    /// Count weights that are zero, too
    #[arg(long)]
    pub dense: bool,
    /// Write the layers as comma-separated values
    #[arg(long, value_name = "FILE.csv")]
    pub csv: Option<PathBuf>,
    /// Write the layers as a table of Markdown
    #[arg(long, value_name = "FILE.md")]
    pub markdown: Option<PathBuf>,
    /// Draw the layers
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
}

/// How number formats are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RulesArg {
    /// Everything that can be known
    Complete,
    /// What InferDataTypes of qonnx 1.0.0 finds
    Qonnx,
}

/// Runs the command.
pub fn run(args: &CostArgs) -> Outcome<Report> {
    let args = &CostArgs { model: model_file(&args.model)?, ..args.clone() };
    let written: Vec<(&str, &Path)> =
        [("--csv", &args.csv), ("--markdown", &args.markdown), ("--svg", &args.svg)]
            .into_iter()
            .filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
            .collect();
    files::check_outputs(&written, &[("MODEL.onnx", &args.model)])?;
    let proto = read_with(&args.model, ExternalData::if_asked(args.external_data))?;
    let sparsity = if args.dense { Sparsity::Counted } else { Sparsity::LeftOut };
    let rules = match args.rules {
        RulesArg::Complete => Rules::Complete,
        RulesArg::Qonnx => Rules::Qonnx,
    };
    let place = args.model.display();
    let facts = Facts::new(&proto).context(place)?;
    let cost = Cost::of(&facts, rules, sparsity).context(args.model.display())?;
    let mut text = words(args, &cost);
    let outputs = [
        (&args.csv, printable(&cost).to_csv()),
        (&args.markdown, cost.to_markdown()),
        (&args.svg, render_bars(&picture(&args.model.to_string_lossy(), &cost))),
    ];
    for (path, content) in outputs {
        if let Some(path) = path {
            files::write(path, content.as_bytes())?;
            text.push_str(&format!("written: {}\n", escape(&path.to_string_lossy())));
        }
    }
    Ok(Report { text, json: document(args, &cost)?, verdict: Verdict::Good })
}

/// The same with nothing in its names that a terminal would obey.
fn printable(cost: &Cost) -> Cost {
    let mut cost = cost.clone();
    for layer in &mut cost.layers {
        layer.name = escape(&layer.name);
        layer.operator = escape(&layer.operator);
    }
    cost
}

fn words(args: &CostArgs, cost: &Cost) -> String {
    let header = [
        "layer",
        "operator",
        "MACs",
        "input",
        "weight",
        "nonzero",
        "weight bits",
        "input bits",
        "BOPs",
        "gates/MAC",
        "accumulator",
    ];
    let rows: Vec<Vec<String>> = cost.layers.iter().map(row).collect();
    let mut text = format!("{}\n", escape(&args.model.to_string_lossy()));
    if let Some(reason) = &cost.not_run {
        text.push_str(&format!(
            "shapes are those that the file states; it cannot be run: {}\n",
            escape(reason)
        ));
    }
    text.push_str(&table(&header, &rows));
    let Total { total_macs, total_bops, total_mem_w_bits, total_mem_w_elems, .. } = cost.total;
    let batch = match cost.batch {
        Some(1) | None => "for one item".to_owned(),
        Some(batch) => format!("for a batch of {batch}"),
    };
    text.push_str(&format!(
        "total {batch}: {} MACs, {} BOPs, {} gate operations\n\
         weights: {} in {} bits; the largest layer keeps {} bits of activations\n",
        amount(total_macs),
        amount(total_bops),
        amount(cost.total.total_gate_operations),
        amount(total_mem_w_elems),
        amount(total_mem_w_bits),
        amount(cost.total.largest_layer_activation_bits),
    ));
    if !cost.not_counted.is_empty() {
        text.push_str(&format!("not counted: {}\n", escape(&cost.not_counted.join(", "))));
    }
    text
}

fn row(layer: &LayerCost) -> Vec<String> {
    let gates = &layer.gates_per_mac;
    vec![
        escape(&layer.name),
        escape(&layer.operator),
        amount(layer.macs),
        layer.input.format.clone(),
        layer.weight.format.clone(),
        format!("{:.1} %", 100.0 * layer.weight_density),
        amount(layer.weight.bits),
        amount(layer.input.bits),
        amount(layer.bops),
        amount(gates.total),
        match gates.accumulator {
            Accumulator::Exact => format!("{} bits", gates.accumulator_bits),
            Accumulator::Float32 => "float32".to_owned(),
        },
    ]
}

/// A number with separators, without a fraction.
fn amount(number: f64) -> String {
    // Counts below 2^64; others are shown as they are.
    if (0.0..1.8e19).contains(&number) {
        crate::console::grouped(number.round_ties_even() as u64)
    } else {
        format!("{number:e}")
    }
}

fn picture(model: &str, cost: &Cost) -> Bars {
    let rows = cost.layers.iter().map(|layer| BarRow {
        name: format!("{} {}", layer.name, layer.weight.format),
        values: vec![layer.bops, layer.weight.bits, layer.input.bits, layer.gate_operations],
    });
    Bars {
        title: format!("Cost of {model}"),
        columns: ["bit operations", "bits of weights", "bits of inputs", "gate operations"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    }
}

/// The cost as JSON: totals in front, and the document of `qonnx-inference-cost` under `qonnx`.
fn document(args: &CostArgs, cost: &Cost) -> Outcome<Value> {
    let mut document = Map::new();
    document.insert("model".into(), args.model.display().to_string().into());
    document.insert("model_sha256".into(), files::sha256(&args.model)?.into());
    let rules = match args.rules {
        RulesArg::Complete => "complete",
        RulesArg::Qonnx => "qonnx",
    };
    document.insert("rules".into(), rules.into());
    let Value::Object(mut found) = serde_json::to_value(cost)? else {
        return Err(crate::failure::Failure::new("the cost is no JSON object"));
    };
    let mut qonnx = Map::new();
    qonnx.extend(cost.by_type().into_iter().map(|(key, value)| (key, json!(value))));
    if let Some(Value::Object(total)) = found.remove("total") {
        let of_qonnx = |key: &&String| {
            key.starts_with("total_mem") || ["total_bops", "total_macs"].contains(&key.as_str())
        };
        qonnx.extend(
            total
                .iter()
                .filter(|(key, _)| of_qonnx(key))
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        document.extend(total);
    }
    qonnx.insert("unsupported".into(), json!(cost.not_counted));
    qonnx.insert("discount_sparsity".into(), cost.discount_sparsity.into());
    document.extend(found);
    document.insert("qonnx".into(), Value::Object(qonnx));
    Ok(Value::Object(document))
}
