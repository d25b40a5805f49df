//! MNIST, the handwritten digits, from the four files in which it is published.

mod check;
mod idx;

use std::path::{Path, PathBuf};

use crate::dataset::Contents;
use crate::{Error, Split};

pub use crate::published::{FileCheck, FileState};
pub(crate) use check::FILES;
pub use check::check;

pub(crate) const TRAIN_IMAGES: usize = 60_000;
pub(crate) const TEST_IMAGES: usize = 10_000;
const CLASSES: u8 = 10;

/// Reads the first `limit` images and labels; the whole files are checked all the same.
pub(crate) fn read(datadir: &Path, split: Split, limit: usize) -> Result<Contents, Error> {
    let (image_name, label_name, most) = match split {
        Split::Train => ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", TRAIN_IMAGES),
        Split::Test => ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", TEST_IMAGES),
    };
    let image_file = find(datadir, image_name)?;
    let label_file = find(datadir, label_name)?;
    let mut images = idx::read(&image_file, &[None, Some(28), Some(28)], most)?;
    let mut labels = idx::read(&label_file, &[None], most)?;
    let count = images.len() / (28 * 28);
    if count != labels.len() {
        let found = format!("{} labels", labels.len());
        let expected = format!("{count}, one for each image of {}", image_file.display());
        return Err(Error::malformed(&label_file, "byte 4", found, expected));
    }
    if let Some(index) = labels.iter().position(|&label| label >= CLASSES) {
        let place = format!("byte {} (label {index})", idx::LABELS_START + index);
        let found = format!("the label {}", labels[index]);
        return Err(Error::malformed(&label_file, place, found, "0 to 9"));
    }
    let kept = count.min(limit);
    images.truncate(kept * 28 * 28);
    labels.truncate(kept);
    Ok(Contents { images, labels, available: count, missing_files: Vec::new() })
}

/// Tells whether all four files are there.
pub(crate) fn is_present(datadir: &Path) -> bool {
    FILES.iter().all(|file| find(datadir, file.name).is_ok())
}

/// The folders in which the files may lie: as given, the customary name, torchvision's layout.
pub(crate) fn folders(datadir: &Path) -> [PathBuf; 3] {
    [datadir.to_owned(), datadir.join("mnist"), datadir.join("MNIST").join("raw")]
}

/// Finds a file by its published name, unpacked or packed.
fn find(datadir: &Path, name: &str) -> Result<PathBuf, Error> {
    let folders = folders(datadir);
    let found = folders.iter().find_map(|folder| find_in(folder, name));
    found.ok_or_else(|| {
        let looked = folders.iter().map(|folder| folder.join(format!("{name}[.gz]"))).collect();
        let hint = format!(
            "`fewbit data fetch mnist --datadir {}` downloads MNIST; `--dataset glyphs` needs no files",
            datadir.display()
        );
        Error::missing(format!("the MNIST file {name}"), looked, hint)
    })
}

fn find_in(folder: &Path, name: &str) -> Option<PathBuf> {
    let packed = format!("{name}.gz");
    [folder.join(name), folder.join(packed)].into_iter().find(|path| path.is_file())
}
