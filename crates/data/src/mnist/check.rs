//! Whether the files on disk are the published ones, by checksum.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{find_in, folders};
use crate::Error;

/// One of the four files as it was published.
pub(crate) struct PublishedFile {
    pub(crate) name: &'static str,
    /// Of the unpacked file, so that it does not matter who packed it and how.
    pub(crate) sha256: &'static str,
    pub(crate) bytes: u64,
    /// Of the usual packed file: a guess at how much will come.
    #[cfg_attr(not(feature = "fetch"), expect(dead_code, reason = "only for downloads"))]
    pub(crate) packed_bytes: u64,
}

pub(crate) const FILES: [PublishedFile; 4] = [
    PublishedFile {
        name: "train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        bytes: 47_040_016,
        packed_bytes: 9_912_422,
    },
    PublishedFile {
        name: "train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        bytes: 60_008,
        packed_bytes: 28_881,
    },
    PublishedFile {
        name: "t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        bytes: 7_840_016,
        packed_bytes: 1_648_877,
    },
    PublishedFile {
        name: "t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        bytes: 10_008,
        packed_bytes: 4_542,
    },
];

/// What was found of one file.
#[derive(Debug)]
pub struct FileCheck {
    /// Its published name, without `.gz`.
    pub name: &'static str,
    /// How it fares.
    pub state: FileState,
}

/// How a file of a dataset fares.
#[derive(Debug)]
pub enum FileState {
    /// It is the published file.
    Intact {
        /// Where it is.
        path: PathBuf,
    },
    /// It is another file: damaged, cut, or of another dataset.
    Differs {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        error: Error,
    },
    /// It is nowhere.
    Missing {
        /// The folders looked at.
        looked: Vec<PathBuf>,
    },
}

/// Compares the four files, unpacked or packed, with the checksums of the published ones.
///
/// # Examples
/// ```
/// use fewbit_data::mnist::{FileState, check};
/// let files = check("/no/such/folder".as_ref());
/// assert_eq!(files[0].name, "train-images-idx3-ubyte");
/// assert!(matches!(files[0].state, FileState::Missing { .. }));
/// ```
pub fn check(datadir: &Path) -> [FileCheck; 4] {
    let folders = folders(datadir);
    FILES.map(|published| {
        let found = folders.iter().find_map(|folder| find_in(folder, published.name));
        let state = match found {
            None => FileState::Missing { looked: folders.to_vec() },
            Some(path) => match published.verify(&path) {
                Ok(()) => FileState::Intact { path },
                Err(error) => FileState::Differs { path, error },
            },
        };
        FileCheck { name: published.name, state }
    })
}

impl PublishedFile {
    /// Checks a file, packed if its name ends in `.gz`.
    pub(crate) fn verify(&self, path: &Path) -> Result<(), Error> {
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let found = sha256_of(path, packed, self.bytes)?;
        if found != self.sha256 {
            return Err(Error::checksum(path, found, self.sha256));
        }
        Ok(())
    }
}

/// Hashes a file, unpacked where it is packed. Stops one byte after `most`: then it is another file anyway.
pub(crate) fn sha256_of(path: &Path, packed: bool, most: u64) -> Result<String, Error> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut file = BufReader::new(file);
    let read = |reader: &mut dyn Read| -> std::io::Result<String> {
        let mut reader = reader.take(most + 1);
        let (mut hash, mut buffer) = (Sha256::new(), vec![0u8; 1 << 16]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hash.update(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string");
            text
        }))
    };
    if packed {
        let damaged = |error| Error::malformed(path, "packed data", error, "an intact .gz file");
        let hash = read(&mut GzDecoder::new(&mut file)).map_err(damaged)?;
        if !file.fill_buf().map_err(|source| Error::io("read", path, source))?.is_empty() {
            let place = "after the packed data";
            return Err(Error::malformed(path, place, "more bytes", "the end of the file"));
        }
        Ok(hash)
    } else {
        read(&mut file).map_err(|source| Error::io("read", path, source))
    }
}
