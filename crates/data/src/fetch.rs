//! Downloads of datasets and published weights: from a list of mirrors, resumed where they stopped, checked before they get their name.

mod download;
mod weights;

pub use weights::{Weights, fetch_weights};

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::published::{Packing, PublishedFile};
use crate::{DatasetName, Error, cifar10, mnist};

/// From where to fetch, and how.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Addresses of folders that hold the files, tried in this order.
    pub mirrors: Vec<String>,
    /// The proxy to go through, as `http://host:port`. The caller asks the environment, if anything.
    pub proxy: Option<String>,
    /// How long a connection may say nothing.
    pub timeout: Duration,
}

/// Where a download stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file that is being fetched.
    pub file: &'a str,
    /// The mirror it comes from.
    pub mirror: &'a str,
    /// Bytes that are there, those of an earlier attempt included.
    pub received_bytes: u64,
    /// Bytes that are expected in all; of published weights, at most.
    pub expected_bytes: u64,
}

/// A file that is there now, with the right checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it came there.
    pub origin: Origin,
}

/// How a file came there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there before.
    Kept,
    /// It was downloaded.
    Downloaded {
        /// From where.
        url: String,
    },
}

impl FetchConfig {
    /// Uses the mirrors of MNIST that its readers in PyTorch and TensorFlow use.
    pub fn mnist() -> Self {
        Self {
            mirrors: vec![
                "https://ossci-datasets.s3.amazonaws.com/mnist".to_owned(),
                "https://storage.googleapis.com/cvdf-datasets/mnist".to_owned(),
            ],
            ..Self::without_mirrors()
        }
    }

    /// Uses the site of CIFAR-10's authors, and a copy of their archive.
    pub fn cifar10() -> Self {
        Self {
            mirrors: vec![
                "https://www.cs.toronto.edu/~kriz".to_owned(),
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10".to_owned(),
            ],
            ..Self::without_mirrors()
        }
    }

    /// Uses the mirrors of a dataset; a generated one has none and needs none.
    pub fn of(name: DatasetName) -> Self {
        match name {
            DatasetName::Mnist => Self::mnist(),
            DatasetName::Cifar10 => Self::cifar10(),
            DatasetName::Glyphs | DatasetName::Shapes => Self::without_mirrors(),
        }
    }

    fn without_mirrors() -> Self {
        Self { mirrors: Vec::new(), proxy: None, timeout: Duration::from_secs(30) }
    }
}

/// Makes the files of a dataset be in `folder`, which may then be given as the `datadir` of [`Dataset::open`](crate::Dataset::open).
///
/// A generated dataset has no files: nothing is fetched.
///
/// # Errors
/// As [`fetch_mnist`] and [`fetch_cifar10`].
pub fn fetch_dataset(
    name: DatasetName,
    folder: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<FetchedFile>, Error> {
    match name {
        DatasetName::Mnist => fetch_mnist(folder, config, progress),
        DatasetName::Cifar10 => fetch_cifar10(folder, config, progress),
        DatasetName::Glyphs | DatasetName::Shapes => Ok(Vec::new()),
    }
}

/// Makes the four files of MNIST be in `folder`, packed as they are published.
///
/// A file that is there already is kept if it is intact. A download that breaks off leaves `NAME.gz.part`, and the next one goes on from there.
/// A file gets its name only when its contents have the pinned checksum; until then an old file of that name stays as it is.
///
/// # Errors
/// [`ErrorKind::Network`](crate::ErrorKind::Network) if no mirror delivers a file, with the reason of each;
/// [`ErrorKind::Checksum`](crate::ErrorKind::Checksum) if another file stands, unpacked, where it would be read instead;
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if the folder cannot be written to.
pub fn fetch_mnist(
    folder: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<FetchedFile>, Error> {
    fetch(&mnist::FILES, folder, config, progress)
}

/// Makes the archive of CIFAR-10, `cifar-10-binary.tar.gz`, be in `folder`. It is read in place.
///
/// An archive that is there already is kept if it is intact. A download that breaks off leaves `NAME.part`, and the next one goes on from there.
/// The archive gets its name only when it has the pinned checksum; until then an old file of that name stays as it is.
///
/// # Errors
/// [`ErrorKind::Network`](crate::ErrorKind::Network) if no mirror delivers it, with the reason of each;
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if the folder cannot be written to.
pub fn fetch_cifar10(
    folder: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<FetchedFile>, Error> {
    fetch(&[cifar10::ARCHIVE_FILE], folder, config, progress)
}

fn fetch(
    files: &[PublishedFile],
    folder: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<FetchedFile>, Error> {
    let agent = download::agent(config)?;
    fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let one = |file| Fetch { file, folder, config, agent: &agent }.run(progress);
    files.iter().map(one).collect()
}

struct Fetch<'a> {
    file: &'a PublishedFile,
    folder: &'a Path,
    config: &'a FetchConfig,
    agent: &'a ureq::Agent,
}

impl Fetch<'_> {
    fn run(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<FetchedFile, Error> {
        let name = match self.file.packing {
            Packing::None => self.file.name.to_owned(),
            Packing::Gzip { .. } => {
                let plain = self.folder.join(self.file.name);
                if plain.exists() {
                    self.file.verify(&plain)?;
                    return Ok(FetchedFile { path: plain, origin: Origin::Kept });
                }
                format!("{}.gz", self.file.name)
            }
        };
        let path = self.folder.join(&name);
        if path.is_file() && self.file.verify(&path).is_ok() {
            return Ok(FetchedFile { path, origin: Origin::Kept });
        }
        let part = self.folder.join(format!("{name}.part"));
        let mut attempts = Vec::new();
        for mirror in &self.config.mirrors {
            let url = format!("{}/{name}", mirror.trim_end_matches('/'));
            match self.ask(&url, mirror, &part, progress, &mut attempts)? {
                Delivered::Yes => {
                    self.give_name(&part, &path)?;
                    return Ok(FetchedFile { path, origin: Origin::Downloaded { url } });
                }
                Delivered::No => {}
            }
        }
        if size(&part) == 0 {
            // Nothing has arrived that the next run could go on from.
            let _absent = fs::remove_file(&part);
        }
        Err(Error::no_mirror(path.display().to_string(), attempts))
    }

    /// Asks one mirror, again and again while each time more arrives.
    fn ask(
        &self,
        url: &str,
        mirror: &str,
        part: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
        attempts: &mut Vec<Error>,
    ) -> Result<Delivered, Error> {
        // A packed file may be packed less well than the usual one, but not twice as large.
        let (usual, most) = match self.file.packing {
            Packing::None => (self.file.bytes, self.file.bytes),
            Packing::Gzip { bytes } => (bytes, bytes * 2 + (1 << 16)),
        };
        loop {
            let before = size(part);
            let mut report = |received_bytes| {
                let expected_bytes = usual.max(received_bytes);
                let file = self.file.name;
                progress(Progress { file, mirror, received_bytes, expected_bytes });
            };
            match download::download(self.agent, url, part, most, &mut report) {
                Ok(()) => {}
                Err(error) if error.kind() == crate::ErrorKind::Io => return Err(error),
                Err(error) => {
                    attempts.push(error);
                    if size(part) > before {
                        continue;
                    }
                    return Ok(Delivered::No);
                }
            }
            match self.file.verify_download(part) {
                Ok(()) => return Ok(Delivered::Yes),
                Err(error) => {
                    attempts.push(Error::network(url, error));
                    fs::remove_file(part).map_err(|source| Error::io("remove", part, source))?;
                    // The first half may have been that of another file: once more from the start.
                    if before == 0 {
                        return Ok(Delivered::No);
                    }
                }
            }
        }
    }

    fn give_name(&self, part: &Path, path: &Path) -> Result<(), Error> {
        let written = File::options().write(true).open(part).and_then(|file| file.sync_all());
        written.map_err(|source| Error::io("write", part, source))?;
        fs::rename(part, path).map_err(|source| Error::io("write", path, source))
    }
}

enum Delivered {
    Yes,
    No,
}

/// The size of a file, 0 if there is none.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests;
