//! A checkpoint as a whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input::quoted;
use super::value::Value;
use super::{archive, legacy};
use crate::error::Error;

/// What a file of `torch.save` holds.
///
/// # Examples
/// ```no_run
/// use std::path::Path;
///
/// let contents = fewbit_train::pytorch::Contents::read(Path::new("best.tar"))?;
/// println!("epoch {:?}, {} tensors", contents.epoch(), contents.model()?.len());
/// # Ok::<(), fewbit_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contents {
    file: PathBuf,
    root: Value,
}

/// Whether a file that begins like this may be one of `torch.save`: 32 bytes are enough.
pub fn recognizes(head: &[u8]) -> bool {
    head.starts_with(archive::MAGIC) || legacy::magic_length(head).is_some()
}

impl Contents {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read,
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) with the place if it is of another format,
    /// damaged, or holds more than data.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let io = |action| move |source| Error::io(action, path, source);
        let file = File::open(path).map_err(io("open"))?;
        let about = file.metadata().map_err(io("read"))?;
        if !about.is_file() {
            return Err(Error::malformed(path, "file", "a folder or device", EXPECTED));
        }
        let mut bytes = Vec::new();
        // Another large file is told by its beginning.
        (&file).take(BEGINNING).read_to_end(&mut bytes).map_err(io("read"))?;
        if recognizes(&bytes) {
            let rest = about.len().saturating_sub(BEGINNING);
            (&file).take(rest).read_to_end(&mut bytes).map_err(io("read"))?;
        }
        Self::from_bytes(bytes, path)
    }

    /// Reads the contents of a file; `file` is named in errors, here and later.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) as [`Contents::read`].
    pub fn from_bytes(bytes: Vec<u8>, file: &Path) -> Result<Self, Error> {
        let bytes = Arc::new(bytes);
        let root = if bytes.starts_with(archive::MAGIC) {
            archive::read(&bytes, file)?
        } else if legacy::magic_length(&bytes).is_some() {
            legacy::read(&bytes, file)?
        } else {
            let found = if bytes.get(257..262) == Some(b"ustar".as_slice()) {
                "a tar archive, as PyTorch wrote before 0.1.10".to_owned()
            } else {
                let head = &bytes[..bytes.len().min(8)];
                quoted(&head.escape_ascii().to_string())
            };
            return Err(Error::malformed(file, "header", found, EXPECTED));
        };
        Ok(Self { file: file.to_owned(), root })
    }

    /// The value that was saved: a dict, for most files.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

const EXPECTED: &str = "a checkpoint of torch.save";

/// How much of a file is read to see whether it is one of these: a tar archive is told by byte 257.
const BEGINNING: u64 = 512;

const _: () = assert!(legacy::HEAD <= 32, "what `recognizes` promises");
