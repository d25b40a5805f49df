//! Files that appear whole or not at all.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::Error;

/// A file under a temporary name beside its target; dropped without [`AtomicFile::commit`], it is removed.
pub(crate) struct AtomicFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    pub(crate) fn create(target: &Path) -> Result<Self, Error> {
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".fewbit-").suffix(".tmp");
        // Temporary files are private by default; results are as readable as any other file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file =
            builder.tempfile_in(folder).map_err(|source| Error::io("create", target, source))?;
        Ok(Self { file, target: target.to_owned() })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Writes everything to the disk, then gives the file its name.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        let target = self.target;
        self.file
            .flush()
            .and_then(|()| self.file.as_file().sync_all())
            .map_err(|source| Error::io("write", &target, source))?;
        self.file.persist(&target).map_err(|error| Error::io("write", &target, error.error))?;
        Ok(())
    }
}
