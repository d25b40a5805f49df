//! Files that are either the old ones or the whole new ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::danger::moment;
use crate::error::Error;

/// Writes a file under a temporary name beside `path`, brings it to the disk, then renames it.
///
/// The temporary name is always the same, so that a run that was killed here and resumed leaves
/// nothing behind.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary_name(path);
    write_and_rename(&temporary, path, bytes).map_err(|source| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path, source)
    })
}

/// Removes what a killed run may have left beside `path`.
pub(crate) fn remove_rest(path: &Path) -> Result<(), Error> {
    let temporary = temporary_name(path);
    match fs::remove_file(&temporary) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", &temporary, source))
        }
        _ => Ok(()),
    }
}

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => moment(),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    moment();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    moment();
    file.write_all(second)?;
    moment();
    file.sync_all()?;
    moment();
    fs::rename(temporary, path)?;
    moment();
    sync_folder(path)
}

/// Brings the new name to the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Only Unix opens folders.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// `folder/.name.tmp` for `folder/name`.
fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::danger::{Death, count_moments, die_at};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn killed_at_any_moment_the_file_is_old_or_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let moments = count_moments(|| replace(&path, b"old contents").unwrap());
        assert_eq!(moments, 6);
        let mut seen = [0, 0];
        for index in 0..=moments {
            replace(&path, b"old contents").unwrap();
            let ended = die_at(index, || replace(&path, b"new contents, and longer").unwrap());
            assert_eq!(ended == Death::Died, index < moments);
            match fs::read(&path).unwrap().as_slice() {
                b"old contents" => seen[0] += 1,
                b"new contents, and longer" => seen[1] += 1,
                other => panic!("{other:?} after moment {index}"),
            }
            replace(&path, b"next").unwrap();
            assert_eq!(names(folder.path()), ["file"]);
        }
        assert_eq!(seen, [5, 2]);
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        // The temporary name is taken by a folder.
        let taken = temporary_name(&path);
        fs::create_dir(&taken).unwrap();
        let error = replace(&path, b"new").unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        fs::remove_dir(&taken).unwrap();
        // The target is a folder: everything succeeds but the rename.
        let blocked = folder.path().join("blocked");
        fs::create_dir(&blocked).unwrap();
        replace(&blocked, b"new").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["blocked", "file"]);
        assert!(replace(&folder.path().join("nowhere/file"), b"").is_err());
    }
}
