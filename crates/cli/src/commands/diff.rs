//! `fewbit diff`: two models on the same inputs, or a model and stored tensors.

mod inputs;
mod sides;
mod values;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::command_line::Example;
use crate::commands::run::ModeArg;
use crate::console::{Console, counted, escape, grouped, table};
use crate::executor::{Executor, ExternalData};
use crate::failure::{Failure, Outcome};
use crate::program::{Report, Verdict};
use crate::progress::Progress;
use inputs::Batches;
use sides::{Other, Pair};
use values::Difference;

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "the same file in both ways of computing, on ten random inputs",
        lines: "fewbit export experiments -o network.onnx\n\
                fewbit diff network.onnx network.onnx --other-mode reference",
    },
    Example {
        purpose: "a model against tensors that were stored, on test images",
        lines: "fewbit run network.onnx --dataset glyphs --limit 50 --tensor '*' -o stored.npz\n\
                fewbit diff network.onnx stored.npz --dataset glyphs --limit 50",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
Compared are the tensors that both sides have by name, inner ones and constants included, in the \
order in which A computes them; outputs also by their place. B is an .onnx file, or tensors in \
.npz (by name), .npy or .pb (the first output, or the one that --tensor names). Without --input \
and --dataset, inputs are taken from the .npz file if it has them, else made: floats are multiples \
of 1/256 from -1 to 1, integers 0 to 3. Both zeros are equal, and all NaN.
Exit code 0: nothing differs. 1: something does. 2: bad input.
";

/// Flags of `diff`.
#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// The model
    #[arg(value_name = "A.onnx")]
    pub a: PathBuf,
    /// Another model, or stored tensors (.npz, .npy, .pb)
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// An input of both: a .npy or .pb file, with the input's name where there are several, or a .npz
    /// file with one array per input
    #[arg(long, short, value_name = "[NAME=]FILE")]
    pub input: Vec<String>,
    /// Run over the test set of this dataset (mnist, cifar10, glyphs or shapes)
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    pub dataset: Option<String>,
    /// Folder of the dataset's files, or its parent
    #[arg(long, value_name = "DIR", default_value = "./data", conflicts_with = "input")]
    pub datadir: PathBuf,
    /// Use only the first N test images
    #[arg(long, value_name = "N", requires = "dataset", conflicts_with = "input")]
    pub limit: Option<usize>,
    /// Seed of the inputs that are made
    #[arg(long, value_name = "N", default_value = "1", conflicts_with_all = ["input", "dataset"])]
    pub seed: u64,
    /// How many items the inputs that are made have
    #[arg(long, value_name = "N", default_value = "10", conflicts_with_all = ["input", "dataset"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub items: u32,
    /// Compare only this tensor, or all whose names match a pattern with * and ?
    #[arg(long, value_name = "NAME|PATTERN")]
    pub tensor: Vec<String>,
    /// Items per batch [default: 20 if the inputs have as many in front]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: Option<u32>,
    /// Also read tensors whose data is in other files in the folder of a model
    #[arg(long)]
    pub external_data: bool,
    /// How to compute
    #[arg(long, value_enum, default_value = "canonical")]
    pub mode: ModeArg,
    /// How to compute B [default: as A]
    #[arg(long, value_enum)]
    pub other_mode: Option<ModeArg>,
}

/// Runs the command.
pub fn run(args: &DiffArgs, console: &Console) -> Outcome<Report> {
    let external = ExternalData::if_asked(args.external_data);
    let a = Executor::open_with(&args.a, args.mode, external)?;
    let b = Other::open(args)?;
    let pairs = b.pairs(&a, args)?;
    let batches = match b.own_inputs(&a, args) {
        Some(inputs) => Batches::of_arrays(args.b.display().to_string(), inputs, None)?,
        None => {
            let stored = !matches!(b, Other::Model(_));
            if stored && args.input.is_empty() && args.dataset.is_none() {
                let message = "it is not said what the stored tensors were computed from";
                return Err(Failure::new(message)
                    .or_hint("give --input or --dataset, or the inputs by name in the .npz file"));
            }
            Batches::open(args, &a, console)?
        }
    };
    let (source, items) = (batches.source.clone(), batches.items);
    let mut differences = vec![Difference::default(); pairs.len()];
    let mut bar = Progress::new(console);
    let mut done = 0;
    for inputs in batches {
        let inputs = inputs?;
        let count = inputs.first().and_then(|(_, value)| value.shape().first().copied());
        let last = done + count.unwrap_or(items).min(items - done);
        sides::compare(&a, &b, &pairs, &inputs, done..last, items, &mut differences)?;
        done = last;
        bar.show(done as u64, items as u64, || {
            format!("{} of {}", grouped(done as u64), counted(items as u64, "item"))
        });
    }
    drop(bar);
    let found =
        Found { args, pairs, differences, source, items, only: b.only(&a), other: b.source(args) };
    Ok(found.report())
}

/// What the comparison came to.
struct Found<'a> {
    args: &'a DiffArgs,
    pairs: Vec<Pair>,
    differences: Vec<Difference>,
    source: String,
    items: usize,
    /// How many names only one side has.
    only: [usize; 2],
    /// How B came to its values, in words.
    other: &'static str,
}

/// Rows of the table for people.
const ROWS: usize = 40;

impl Found<'_> {
    fn all(&self) -> impl Iterator<Item = (&Pair, &Difference)> {
        self.pairs.iter().zip(&self.differences)
    }

    fn differing(&self) -> impl Iterator<Item = (&Pair, &Difference)> {
        self.all().filter(|(_, difference)| difference.differs())
    }

    fn report(&self) -> Report {
        let verdict =
            if self.differing().next().is_some() { Verdict::Different } else { Verdict::Good };
        Report { text: self.text(), json: self.json(), verdict }
    }

    fn text(&self) -> String {
        let count = |f: fn(&Difference) -> u64| self.differences.iter().map(f).sum::<u64>();
        let (values, differ) = (count(|d| d.values), count(|d| d.differ));
        let path = |path: &PathBuf| escape(&path.to_string_lossy());
        let mut text = format!(
            "{} ({}) and {} ({}) on {}: {}\n{} compared, {}, {} differ\n",
            path(&self.args.a),
            self.args.mode.name(),
            path(&self.args.b),
            self.other,
            counted(self.items as u64, "item"),
            escape(&self.source),
            counted(self.pairs.len() as u64, "tensor"),
            counted(values, "value"),
            grouped(differ),
        );
        if self.only != [0, 0] {
            let [a, b] = self.only;
            text.push_str(&format!("names that only one side has: {a} in A, {b} in B\n"));
        }
        let Some((pair, first)) = self.differing().next() else { return text };
        text.push_str(&format!("the first tensor that differs is {:?}: ", escape(&pair.a)));
        match (&first.shapes, &first.first) {
            (Some((a, b)), _) => text.push_str(&format!("shape {a:?} and {b:?}\n\n")),
            (None, Some(value)) => text.push_str(&format!(
                "{} of {}, such as {} and {} at {}\n\n",
                grouped(first.differ),
                counted(first.values, "value"),
                value.a,
                value.b,
                value.index
            )),
            (None, None) => text.push('\n'),
        }
        let rows: Vec<Vec<String>> = self.differing().take(ROWS).map(row).collect();
        let header = ["tensor", "values", "differ", "largest", "ulps", "values by ulps"];
        text.push_str(&table(&header, &rows));
        let hidden = self.differing().count() - rows.len();
        if hidden > 0 {
            text.push_str(&format!("  and {} more (--json lists all)\n", grouped(hidden as u64)));
        }
        text
    }

    fn json(&self) -> Json {
        let sum = |f: fn(&Difference) -> u64| self.differences.iter().map(f).sum::<u64>();
        let largest = self.differences.iter().map(|d| d.largest).fold(0.0, f64::max);
        let first = self.differing().next().map(|(pair, difference)| {
            let value = difference.first.as_ref();
            // Infinities and NaN are words, as JSON has no numbers for them.
            let number = |v: f64| if v.is_finite() { json!(v) } else { json!(v.to_string()) };
            json!({
                "tensor": pair.a,
                "shapes": difference.shapes,
                "index": value.map(|value| value.index),
                "a": value.map(|value| number(value.a)),
                "b": value.map(|value| number(value.b)),
            })
        });
        let tensors: Vec<Json> = self
            .all()
            .map(|(pair, difference)| {
                let mut json = difference.json();
                if let Some(object) = json.as_object_mut() {
                    object.insert("name".to_owned(), json!(pair.a));
                    object.insert("name_in_b".to_owned(), json!(pair.b));
                }
                json
            })
            .collect();
        json!({
            "a": self.args.a.display().to_string(),
            "b": self.args.b.display().to_string(),
            "mode": self.args.mode.name(),
            "other_mode": self.other,
            "inputs": self.source,
            "items": self.items,
            "tensors_compared": self.pairs.len(),
            "tensors_differ": self.differing().count(),
            "values": sum(|d| d.values),
            "values_differ": sum(|d| d.differ),
            "largest_difference": largest,
            "first_difference": first,
            "only_in_a": self.only[0],
            "only_in_b": self.only[1],
            "tensors": tensors,
        })
    }
}

fn row((pair, difference): (&Pair, &Difference)) -> Vec<String> {
    let name = if pair.a == pair.b {
        escape(&pair.a)
    } else {
        format!("{} / {}", escape(&pair.a), escape(&pair.b))
    };
    if let Some((a, b)) = &difference.shapes {
        let none = || "-".to_owned();
        return vec![name, none(), none(), none(), none(), format!("shape {a:?} and {b:?}")];
    }
    vec![
        name,
        grouped(difference.values),
        grouped(difference.differ),
        format!("{:.3e}", difference.largest),
        grouped(difference.largest_ulps),
        difference.histogram_text(),
    ]
}
