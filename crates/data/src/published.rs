//! Files as they were published, and how those on disk compare with them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use crate::Error;

/// A file as it was published.
#[derive(Debug)]
pub(crate) struct PublishedFile {
    pub(crate) name: &'static str,
    /// Of the contents: of the unpacked file where it may be packed. The beginning, where no more is published.
    pub(crate) sha256: &'static str,
    /// Size of what is hashed; where that is not published, more than it.
    pub(crate) bytes: u64,
    pub(crate) packing: Packing,
}

/// How a file travels.
#[derive(Debug)]
pub(crate) enum Packing {
    /// As it is.
    None,
    /// As `NAME.gz`. The contents decide, so that it does not matter who packed it and how.
    Gzip {
        /// Of the usual packed file: a guess at how much will come.
        #[cfg_attr(not(feature = "fetch"), expect(dead_code, reason = "only for downloads"))]
        bytes: u64,
    },
}

/// What was found of one file of a dataset.
#[derive(Debug)]
pub struct FileCheck {
    /// Its published name, without `.gz` where it may be packed.
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

impl PublishedFile {
    /// Compares the file at `found`, if there is one, with the published one.
    pub(crate) fn check(&self, found: Option<PathBuf>, looked: &[PathBuf]) -> FileCheck {
        let state = match found {
            None => FileState::Missing { looked: looked.to_vec() },
            Some(path) => match self.verify(&path) {
                Ok(()) => FileState::Intact { path },
                Err(error) => FileState::Differs { path, error },
            },
        };
        FileCheck { name: self.name, state }
    }

    /// Checks a file; where it may be packed, it is if its name ends in `.gz`.
    pub(crate) fn verify(&self, path: &Path) -> Result<(), Error> {
        let packed = match self.packing {
            Packing::None => false,
            Packing::Gzip { .. } => path.extension().is_some_and(|extension| extension == "gz"),
        };
        self.verify_contents(path, packed)
    }

    /// Checks a file as it travels, whatever its name.
    #[cfg(feature = "fetch")]
    pub(crate) fn verify_download(&self, path: &Path) -> Result<(), Error> {
        self.verify_contents(path, matches!(self.packing, Packing::Gzip { .. }))
    }

    fn verify_contents(&self, path: &Path, packed: bool) -> Result<(), Error> {
        let found = sha256_of(path, packed, self.bytes)?;
        if !found.starts_with(self.sha256) {
            return Err(Error::checksum(path, found, self.sha256));
        }
        Ok(())
    }
}

/// Hashes a file, unpacked where it is packed. Stops one byte after `most`: then it is another file anyway.
fn sha256_of(path: &Path, packed: bool, most: u64) -> Result<String, Error> {
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
