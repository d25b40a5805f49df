//! The flags that choose images.

use std::path::{Path, PathBuf};

use clap::Args;
use fewbit_data::{Dataset, DatasetName, Split};
use fewbit_train::{Recipe, RunFolder};

use crate::console::{Console, escape};
use crate::failure::{Failure, Outcome};

/// Which dataset, where its files are, and how much of it.
#[derive(Args, Clone, Debug)]
pub struct DatasetArgs {
    /// Dataset: mnist, cifar10, glyphs or shapes [default: the one the network was trained on]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Folder of the dataset's files, or its parent [default: that of the run, else ./data]
    #[arg(long, value_name = "DIR")]
    pub datadir: Option<PathBuf>,
    /// Use only the first N test images
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl DatasetArgs {
    /// Opens the test images for a network that was trained with `recipe`, perhaps in `run_folder`.
    pub fn open(
        &self,
        recipe: &Recipe,
        run_folder: Option<&Path>,
        console: &Console,
    ) -> Outcome<Dataset> {
        let name: DatasetName = match &self.dataset {
            Some(name) => name.parse()?,
            None => recipe.dataset,
        };
        let (network, given) = (&recipe.network, name.image_shape());
        if given != network.image_shape {
            let message = format!(
                "--dataset {name}: its images are {given:?}, {} takes {:?}",
                network.name, network.image_shape
            );
            return Err(Failure::new(message).or_hint("`fewbit data list` shows the datasets"));
        }
        let datadir = self.datadir.clone().or_else(|| datadir_of(run_folder?));
        let datadir = datadir.unwrap_or_else(|| "./data".into());
        open_images(name, &datadir, Split::Test, self.limit, console)
    }
}

/// Opens one part of a dataset, and says what the user should know about it.
pub fn open_images(
    name: DatasetName,
    datadir: &Path,
    split: Split,
    limit: Option<usize>,
    console: &Console,
) -> Outcome<Dataset> {
    let dataset = Dataset::open(name, datadir, split, limit)?;
    for warning in dataset.warnings() {
        console.say(format!("warning: {}", escape(&warning.to_string())));
    }
    Ok(dataset)
}

/// Where the run found its data; nothing if its plan cannot be read.
fn datadir_of(run_folder: &Path) -> Option<PathBuf> {
    let folder = RunFolder::open(run_folder).ok()?;
    Some(folder.read_config().ok()?.run.datadir)
}
