//! CIFAR-10, small colour photographs, in the binary layout in which it is published.
//!
//! Five training files and one test file of 10,000 records each: a label, then 32x32 pixels of red, of green and of blue.
//! They are read from the folder `cifar-10-batches-bin`, or in place from `cifar-10-binary.tar.gz`.

mod archive;
mod check;
mod records;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::dataset::Contents;
use crate::{Error, Split};

#[cfg(feature = "fetch")]
pub(crate) use check::ARCHIVE_FILE;
pub use check::check;
use records::{Origin, Records};

pub(crate) const TRAIN_IMAGES: usize = 5 * RECORDS;
pub(crate) const TEST_IMAGES: usize = RECORDS;

/// Images in a file.
const RECORDS: usize = 10_000;

const FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// The files of a part, in the order of their images.
fn file_names(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        Split::Test => &["test_batch.bin"],
    }
}

/// Reads the first `limit` images and labels; the whole files are checked all the same.
///
/// Of the training files, those that are there are read: any of them may be missing, but not all.
pub(crate) fn read(datadir: &Path, split: Split, limit: usize) -> Result<Contents, Error> {
    let place = find(datadir, split).ok_or_else(|| missing(datadir, split))?;
    let names = file_names(split);
    let (records, present) = match &place {
        Place::Folder(folder) => read_folder(folder, names, limit)?,
        Place::Archive(path) => archive::read(path, names, RECORDS, limit)?,
    };
    let absent = names.iter().zip(&present).filter(|(_, present)| !**present);
    Ok(Contents {
        images: records.pixels,
        labels: records.labels,
        available: present.iter().filter(|present| **present).count() * RECORDS,
        missing_files: absent.map(|(name, _)| (*name).to_owned()).collect(),
    })
}

/// Tells whether there is anything of a part to read.
pub(crate) fn is_present(datadir: &Path, split: Split) -> bool {
    find(datadir, split).is_some()
}

fn read_folder(folder: &Path, names: &[&str], limit: usize) -> Result<(Records, Vec<bool>), Error> {
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let present: Vec<bool> = paths.iter().map(|path| path.is_file()).collect();
    let mut all = Records::default();
    for path in paths.iter().zip(&present).filter_map(|(path, there)| there.then_some(path)) {
        let mut file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let metadata = file.metadata().map_err(|source| Error::io("read", path, source))?;
        let origin = Origin { file: path, member: None };
        origin.check_size(metadata.len(), RECORDS)?;
        let keep = limit - all.labels.len();
        if all.labels.is_empty() {
            // At once for all files, so that nothing is copied when the next one comes.
            let files = present.iter().filter(|there| **there).count();
            all.reserve(keep.min(files * RECORDS));
        }
        records::read(&mut file, &origin, RECORDS, keep, &mut all)?;
        origin.check_end(&mut file, RECORDS)?;
    }
    Ok((all, present))
}

/// Where the images of a part are read from.
enum Place {
    Folder(PathBuf),
    Archive(PathBuf),
}

/// Prefers a folder with all files, then an archive, then a folder with some of the files.
fn find(datadir: &Path, split: Split) -> Option<Place> {
    let folders = folders(datadir);
    let names = file_names(split);
    let count = |folder: &PathBuf| names.iter().filter(|name| folder.join(name).is_file()).count();
    if let Some(folder) = folders.iter().find(|folder| count(folder) == names.len()) {
        return Some(Place::Folder(folder.clone()));
    }
    if let Some(archive) = find_archive(datadir) {
        return Some(Place::Archive(archive));
    }
    folders.into_iter().find(|folder| count(folder) > 0).map(Place::Folder)
}

fn find_archive(datadir: &Path) -> Option<PathBuf> {
    archives(datadir).into_iter().find(|path| path.is_file())
}

/// The folders in which the files may lie: as given, as the archive names it, with one around it.
fn folders(datadir: &Path) -> [PathBuf; 3] {
    [datadir.to_owned(), datadir.join(FOLDER), datadir.join("cifar10").join(FOLDER)]
}

fn archives(datadir: &Path) -> [PathBuf; 2] {
    [datadir.join(ARCHIVE), datadir.join("cifar10").join(ARCHIVE)]
}

fn missing(datadir: &Path, split: Split) -> Error {
    let names = match split {
        Split::Train => "data_batch_[1-5].bin",
        Split::Test => "test_batch.bin",
    };
    let looked = folders(datadir).into_iter().map(|folder| folder.join(names));
    let looked = looked.chain(archives(datadir)).collect();
    let python = [datadir.to_owned(), datadir.join("cifar-10-batches-py")]
        .into_iter()
        .find(|folder| folder.join("data_batch_1").is_file());
    let datadir = datadir.display();
    let hint = match python {
        Some(folder) => format!(
            "{} holds the Python version, which is not read; `fewbit data fetch cifar10 --datadir {datadir}` downloads the binary version",
            folder.display()
        ),
        None => format!(
            "`fewbit data fetch cifar10 --datadir {datadir}` downloads CIFAR-10; `--dataset shapes` needs no files"
        ),
    };
    Error::missing(format!("the {split} images of CIFAR-10"), looked, hint)
}
