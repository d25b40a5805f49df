//! `fewbit prove`: a statement for every possible input of a file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use fewbit_data::{Dataset, DatasetName, Loader, LoaderConfig, Split};
use fewbit_qonnx::prove::{self, Certificate, InputValues, Proof};
use serde_json::json;

use crate::command_line::Example;
use crate::commands::dataset::open_images;
use crate::commands::run::ModeArg;
use crate::console::{Console, counted, escape, escape_lines};
use crate::executor::{Executor, ExternalData, model_file};
use crate::failure::{Failure, Hint, Outcome};
use crate::files;
use crate::program::{Report, Verdict};
use crate::progress::Progress;

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example {
        purpose: "for every input there can be",
        lines: "fewbit export experiments -o network.onnx\nfewbit prove network.onnx",
    },
    Example {
        purpose: "for every image there can be, of which more can be proved",
        lines: "fewbit prove network.onnx --inputs pixels",
    },
    Example {
        purpose: "where that is not possible, for 1,000 images; and a certificate",
        lines: "fewbit prove network.onnx --inputs pixels --dataset glyphs --limit 1000 \
                --report proof.json",
    },
];

/// The end of `--help`.
pub const NOTES: &str = "\
Shows, layer by layer, that PyTorch with Brevitas, qonnx with onnxruntime, and fewbit compute the \
same bits: that no sum is rounded, in whatever order it is added up, and that batch normalization \
gives the same results after the next quantizer in the formula of each, for every value that can \
reach it. Where a sum could become too large for some input, --dataset tries real images.
Exit code 0: proved, for all inputs or for these images. 1: not provable, with the layer, channel \
and value.
";

/// Flags of `prove`.
#[derive(Args, Clone, Debug)]
pub struct ProveArgs {
    /// The file, or a run folder with one in it
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// Also read tensors whose data is in other files in the model's folder
    #[arg(long)]
    pub external_data: bool,
    /// The inputs that the statement is about [default: any; pixels if more can be proved about them]
    #[arg(long, value_enum)]
    pub inputs: Option<InputsArg>,
    /// Try on the test set of this dataset (mnist, cifar10, glyphs or shapes) what cannot be proved for all inputs
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Folder of the dataset's files, or its parent
    #[arg(long, value_name = "DIR", default_value = "./data")]
    pub datadir: PathBuf,
    /// Use only the first N test images
    #[arg(long, value_name = "N", requires = "dataset")]
    pub limit: Option<usize>,
    /// Images per batch; the result does not depend on it
    #[arg(long, value_name = "N", default_value = "50")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=50))]
    pub batch: u32,
    /// Where to write the certificate as JSON
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
}

/// Which inputs a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputsArg {
    /// Every finite number in every place
    Any,
    /// k / 255 for bytes k, in every place
    Pixels,
}

impl InputsArg {
    /// The inputs.
    pub fn values(self) -> InputValues {
        match self {
            Self::Any => InputValues::Any,
            Self::Pixels => InputValues::Pixels,
        }
    }
}

/// Runs the command.
pub fn run(args: &ProveArgs, console: &Console) -> Outcome<Report> {
    let args = &ProveArgs { model: model_file(&args.model)?, ..args.clone() };
    let report = args.report.as_deref().map(|path| ("--report", path));
    files::check_outputs(report.as_slice(), &[("MODEL.onnx", &args.model)])?;
    let external = ExternalData::if_asked(args.external_data);
    let executor = &Executor::open_with(&args.model, ModeArg::Canonical, external)?;
    let dataset = match &args.dataset {
        None => None,
        Some(name) => {
            let name: DatasetName = name.parse()?;
            Some(open_images(name, &args.datadir, Split::Test, args.limit, console)?)
        }
    };
    let certificate =
        certify(executor, args.inputs, dataset.as_ref(), args.batch as usize, console)?;
    let document = document(&certificate, &args.model)?;
    let mut text = format!("{}\n{}", escape(&args.model.to_string_lossy()), words(&certificate));
    let not_provable = certificate.verdict == prove::Verdict::NotProvable;
    if not_provable && dataset.is_none() {
        text.push_str(
            "`--dataset NAME` tries on real images what cannot be proved for all inputs\n",
        );
    }
    if let Some(path) = &args.report {
        files::write(path, format!("{document:#}\n").as_bytes())?;
        text.push_str(&format!("certificate: {}\n", escape(&path.to_string_lossy())));
    }
    Ok(Report { text, json: document, verdict: verdict(&certificate) })
}

/// Images of a batch.
const LARGEST_BATCH: usize = 50;

/// Proves what can be proved about a file; the images are used only where they can help.
///
/// Without `inputs` it is about any number in every place, or about pixels if more can be proved
/// about them: a quantizer with a scale below one
/// makes infinity of the largest numbers, and NaN of that, which images cannot meet.
pub fn certify(
    executor: &Executor,
    inputs: Option<InputsArg>,
    images: Option<&Dataset>,
    batch: usize,
    console: &Console,
) -> Outcome<Certificate> {
    let started = Instant::now();
    let model = executor.path().display();
    let prove = |inputs: InputsArg| Proof::new(executor.proto(), &inputs.values()).context(&model);
    let mut proof = prove(inputs.unwrap_or(InputsArg::Any))?;
    let left = unproved(&proof);
    if inputs.is_none() && left > 0 {
        let about_pixels = prove(InputsArg::Pixels)?;
        if unproved(&about_pixels) < left {
            proof = about_pixels;
        }
    }
    if let Some(dataset) = images.filter(|_| proof.needs_images()) {
        let total = dataset.len() as u64;
        let mut bar = Progress::new(console);
        let mut done = 0;
        // Inputs of all layers are kept at the same time.
        let batch = batch.min(LARGEST_BATCH);
        for batch in Loader::new(dataset, LoaderConfig::in_order(batch))?.epoch(0) {
            let [channels, height, width] = dataset.image_shape();
            let (input, value) =
                executor.images(batch.images, &[batch.count, channels, height, width])?;
            proof.check(&[(input, value)]).context(&model)?;
            done += batch.count as u64;
            bar.show(done, total, || format!("{} tried", counted(done, "image")));
        }
    }
    Ok(proof.certificate().with_seconds(started.elapsed().as_secs_f64()))
}

/// Layers for which images would have to help, or nothing can.
fn unproved(proof: &Proof<'_>) -> usize {
    let layers = proof.certificate().layers;
    layers.iter().filter(|layer| layer.verdict < prove::Verdict::ProvedForAllInputs).count()
}

/// The certificate as JSON, with what it is about.
pub fn document(certificate: &Certificate, model: &Path) -> Outcome<serde_json::Value> {
    let mut document = json!({
        "model": model.display().to_string(),
        "model_sha256": files::sha256(model)?,
    });
    let serde_json::Value::Object(certificate) = serde_json::to_value(certificate)? else {
        return Err(Failure::new("the certificate is no JSON object"));
    };
    document.as_object_mut().expect("made as an object").extend(certificate);
    Ok(document)
}

/// The certificate in words, with nothing in it that a terminal would obey.
pub fn words(certificate: &Certificate) -> String {
    escape_lines(&certificate.to_string())
}

/// Whether anything was proved.
pub fn verdict(certificate: &Certificate) -> Verdict {
    match certificate.verdict {
        prove::Verdict::ProvedForAllInputs | prove::Verdict::ProvedForTheseImages => Verdict::Good,
        prove::Verdict::NotProvable => Verdict::Different,
    }
}
