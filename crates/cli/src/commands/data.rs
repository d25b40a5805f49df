//! `fewbit data`: datasets.

mod fetch;

pub use fetch::proxy;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fewbit_data::npy::{self, NpyArray};
use fewbit_data::{DatasetName, FileCheck, FileState, Split};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::command_line::Example;
use crate::commands::dataset::open_images;
use crate::console::{self, Console, grouped, table};
use crate::failure::Outcome;
use crate::files;
use crate::program::{Report, Verdict};

/// Examples of `--help`.
pub const EXAMPLES: &[Example] = &[
    Example { purpose: "what there is, and whether its files are here", lines: "fewbit data list" },
    Example { purpose: "read every image of a dataset", lines: "fewbit data check glyphs" },
    Example {
        purpose: "ten test images as an array",
        lines: "fewbit data save glyphs --limit 10 -o images.npy",
    },
];

/// Flags of `data`.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    #[command(subcommand)]
    pub action: DataAction,
}

/// What to do with datasets.
#[derive(Clone, Debug, Subcommand)]
pub enum DataAction {
    /// Download a dataset's files, checked against pinned checksums; goes on where it stopped
    Fetch(NamedArgs),
    /// Read all files of a dataset and say what is in them
    Check(NamedArgs),
    /// List the datasets
    List(ListArgs),
    /// Write test images as a NumPy array of f32 in [0, 1], shape [N, C, H, W]
    Save(SaveArgs),
}

/// A dataset and where its files are.
#[derive(Args, Clone, Debug)]
pub struct NamedArgs {
    /// Dataset: mnist, cifar10, glyphs or shapes
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Folder of the dataset's files, or its parent
    #[arg(long, value_name = "DIR", default_value = "./data")]
    pub datadir: PathBuf,
}

/// Where files of datasets are.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Folder of the datasets' files, or its parent
    #[arg(long, value_name = "DIR", default_value = "./data")]
    pub datadir: PathBuf,
}

/// Which images to write, and where.
#[derive(Args, Clone, Debug)]
pub struct SaveArgs {
    #[command(flatten)]
    pub dataset: NamedArgs,
    /// Use only the first N test images
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The file to write
    #[arg(long, short, value_name = "FILE.npy")]
    pub output: PathBuf,
}

/// Runs the command.
pub fn run(args: &DataArgs, console: &Console) -> Outcome<Report> {
    match &args.action {
        DataAction::Fetch(named) => fetch::run(named.name.parse()?, &named.datadir, console),
        DataAction::Check(named) => check(named.name.parse()?, &named.datadir, console),
        DataAction::List(list) => Ok(list_all(&list.datadir)),
        DataAction::Save(save) => save_images(save, console),
    }
}

/// Reads all images of a dataset and compares its files with the published ones.
fn check(name: DatasetName, datadir: &Path, console: &Console) -> Outcome<Report> {
    let mut parts = Vec::new();
    let mut rows = Vec::new();
    for split in [Split::Train, Split::Test] {
        console.say(format!("reading the {split} images of {name}"));
        let dataset = open_images(name, datadir, split, None, console)?;
        let warnings: Vec<String> = dataset.warnings().iter().map(ToString::to_string).collect();
        let mut per_class = vec![0_u64; dataset.classes()];
        for &label in dataset.labels() {
            per_class[usize::from(label)] += 1;
        }
        let mean = dataset.images().iter().map(|&pixel| u64::from(pixel)).sum::<u64>() as f64
            / dataset.images().len() as f64
            / 255.0;
        let digest = sha256_of(&[dataset.images(), dataset.labels()]);
        rows.push(vec![
            split.to_string(),
            grouped(dataset.len() as u64),
            shape_text(&dataset.image_shape()),
            format!("{}", per_class.iter().filter(|count| **count > 0).count()),
            format!("{mean:.4}"),
            digest.clone(),
        ]);
        parts.push(json!({
            "split": split.to_string(),
            "images": dataset.len(),
            "image_shape": dataset.image_shape(),
            "images_per_class": per_class,
            "mean_pixel": mean,
            "sha256": digest,
            "warnings": warnings,
        }));
    }
    let header =
        ["part", "images", "shape", "classes", "mean pixel", "SHA-256 of pixels and labels"];
    let mut text = table(&header, &rows);
    let files = published_files(name, datadir);
    let differ = files.iter().filter(|file| !file.intact).count();
    for file in &files {
        text.push_str(&format!(
            "{}: {}\n",
            console::escape(&file.path),
            console::escape(&file.words)
        ));
    }
    let verdict = if differ == 0 { Verdict::Good } else { Verdict::Different };
    text.push_str(&match (name.is_generated(), differ) {
        (true, _) => format!("{name} is generated: the same images on every machine\n"),
        (false, 0) => format!("{name} is complete and as published\n"),
        (false, _) => {
            format!("{name} can be read, but {differ} of its files are not the published ones\n")
        }
    });
    let files: Vec<Value> = files
        .iter()
        .map(
            |file| json!({ "path": file.path, "as_published": file.intact, "finding": file.words }),
        )
        .collect();
    let json = json!({
        "dataset": name.as_str(),
        "generated": name.is_generated(),
        "parts": parts,
        "files": files,
        "files_differ": differ,
    });
    Ok(Report { text, json, verdict })
}

/// A file beside its published checksum.
struct PublishedFile {
    path: String,
    intact: bool,
    words: String,
}

fn published_files(name: DatasetName, datadir: &Path) -> Vec<PublishedFile> {
    let describe = |file: FileCheck| match file.state {
        FileState::Intact { path } => PublishedFile {
            path: path.display().to_string(),
            intact: true,
            words: "as published".into(),
        },
        FileState::Differs { path, error } => PublishedFile {
            path: path.display().to_string(),
            intact: false,
            words: error.to_string(),
        },
        FileState::Missing { .. } => {
            PublishedFile { path: file.name.to_owned(), intact: false, words: "not found".into() }
        }
    };
    name.check_files(datadir).into_iter().map(describe).collect()
}

fn list_all(datadir: &Path) -> Report {
    let mut rows = Vec::new();
    let mut entries = Vec::new();
    for &name in DatasetName::ALL {
        let present = name.is_present(datadir);
        let (train, test) = (name.images(Split::Train), name.images(Split::Test));
        rows.push(vec![
            name.to_string(),
            grouped(train as u64),
            grouped(test as u64),
            shape_text(&name.image_shape()),
            name.classes().to_string(),
            if present { "yes" } else { "no" }.to_owned(),
            name.description().to_owned(),
        ]);
        entries.push(json!({
            "name": name.as_str(),
            "train_images": train,
            "test_images": test,
            "image_shape": name.image_shape(),
            "classes": name.classes(),
            "generated": name.is_generated(),
            "present": present,
            "description": name.description(),
        }));
    }
    let header = ["name", "train images", "test images", "shape", "classes", "here", "what it is"];
    let json = json!({ "datadir": datadir.display().to_string(), "datasets": entries });
    Report { text: table(&header, &rows), json, verdict: Verdict::Good }
}

fn save_images(args: &SaveArgs, console: &Console) -> Outcome<Report> {
    let name: DatasetName = args.dataset.name.parse()?;
    let dataset = open_images(name, &args.dataset.datadir, Split::Test, args.limit, console)?;
    let pixels = dataset.images().iter().map(|&pixel| f32::from(pixel) / 255.0).collect::<Vec<_>>();
    let shape: Vec<usize> = std::iter::once(dataset.len()).chain(dataset.image_shape()).collect();
    let array = NpyArray::new(shape.clone(), pixels)?;
    npy::write(&files::target(&args.output)?, &array)?;
    let path = args.output.display().to_string();
    let text = format!("{}: f32 {}\n", console::escape(&path), shape_text(&shape));
    let json = json!({ "dataset": name.as_str(), "images": dataset.len(), "shape": shape, "output": path });
    Ok(Report { text, json, verdict: Verdict::Good })
}

/// `1x28x28`
fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

fn sha256_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    files::hexadecimal(&hash.finalize())
}
