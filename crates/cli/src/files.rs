//! Files as the commands see them: hashes, and writing without ever leaving half a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::failure::{Failure, Hint, Outcome};

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256(path: &Path) -> Outcome<String> {
    let mut file = File::open(path).context(format_args!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let count =
            file.read(&mut block).context(format_args!("cannot read {}", path.display()))?;
        if count == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&block[..count]);
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes as people compare them.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses, before anything is computed, outputs that would replace an input or each other, and outputs
/// that may not be written. Each file comes with the flag that names it.
pub fn check_outputs(outputs: &[(&str, &Path)], inputs: &[(&str, &Path)]) -> Outcome<()> {
    for (i, &(flag, path)) in outputs.iter().enumerate() {
        refuse_read_only(path)
            .context(format_args!("{flag}: cannot write {}", path.display()))
            .hint(READ_ONLY)?;
        // Devices and pipes, such as /dev/null, keep nothing that could be lost.
        if path.exists() && !path.is_file() {
            continue;
        }
        let place = place(path);
        let others = inputs.iter().chain(&outputs[..i]);
        if let Some((other, _)) = others.into_iter().find(|(_, other)| self::place(other) == place)
        {
            let message = format!("{other} and {flag} are the same file, {}", path.display());
            return Err(Failure::new(message).or_hint("nothing was written; give it another name"));
        }
    }
    Ok(())
}

/// Where a file is or will be, links followed.
fn place(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// The advice where [`refuse_read_only`] refuses.
const READ_ONLY: &str = "make it writable (chmod u+w), remove it, or give another name";

/// Renaming replaces a file whatever its mode; who has taken its write bits away does not want that.
fn refuse_read_only(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().readonly() => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"))
        }
        _ => Ok(()),
    }
}

/// Where a library is to write that replaces files: behind a link; never a folder, a device, or a file that is read-only.
pub fn target(path: &Path) -> Outcome<PathBuf> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if real.exists() && !real.is_file() {
        return Err(Failure::new(format!("cannot write {}: not a regular file", path.display())));
    }
    refuse_read_only(&real)
        .context(format_args!("cannot write {}", path.display()))
        .hint(READ_ONLY)?;
    Ok(real)
}

/// Writes `bytes` under a temporary name beside `path`, then renames: `path` is either the old file
/// or the whole new one. A link stays a link; a device such as `/dev/stdout` is written to directly.
pub fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    replace(path, bytes)
        .context(format_args!("cannot write {}", path.display()))
        .hint("is the folder there and writable, and is there room on the disk?")
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() && !path.is_file() {
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        return OpenOptions::new().write(true).open(&path)?.write_all(bytes);
    }
    refuse_read_only(&path)?;
    let temporary = temporary_name(&path);
    let attempt = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    attempt().inspect_err(|_| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    })
}

/// `folder/.name.<process>.tmp` for `folder/name`.
fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Whether `path` is what a killed program has left of writing `target`.
pub fn is_rest_of(path: &Path, target: &Path) -> bool {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(rest) = name(path).strip_prefix(&format!(".{}.", name(target))).map(str::to_owned)
    else {
        return false;
    };
    rest.strip_suffix(".tmp")
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(sha256(folder.path()).unwrap_err().message().contains("cannot read"));
    }

    #[test]
    fn files_that_must_not_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other] = ["file", "other"].map(|name| folder.path().join(name));
        fs::write(&file, "kept").unwrap();
        let dotted = folder.path().join(".").join("file");
        check_outputs(&[("--csv", &other)], &[("MODEL.onnx", &file)]).unwrap();
        let error = check_outputs(&[("--csv", &dotted)], &[("MODEL.onnx", &file)]).unwrap_err();
        assert!(error.message().contains("MODEL.onnx and --csv are the same file"), "{error}");
        assert_eq!(error.exit_code(), 2);
        // The second output would replace the first, which is not there yet.
        let twice = [("--csv", other.as_path()), ("--svg", &folder.path().join("./other"))];
        let error = check_outputs(&twice, &[]).unwrap_err();
        assert!(error.message().contains("--csv and --svg are the same file"), "{error}");
        #[cfg(unix)]
        {
            let null = Path::new("/dev/null");
            check_outputs(&[("--csv", null), ("--svg", null)], &[]).unwrap();
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            assert!(check_outputs(&[("--csv", &link)], &[("MODEL.onnx", &file)]).is_err());
        }
        let mut mode = fs::metadata(&file).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(&file, mode).unwrap();
        for refused in [
            check_outputs(&[("--csv", &file)], &[]),
            write(&file, b"new"),
            target(&file).map(|_| ()),
        ] {
            let error = refused.unwrap_err();
            assert!(error.message().contains("the file is read-only"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"kept");
    }

    #[test]
    fn rests_are_recognised() {
        let target = Path::new("run/a.json");
        assert!(is_rest_of(&temporary_name(target), target));
        for other in ["run/a.json", "run/.a.json.tmp", "run/.b.json.1.tmp", "run/.a.json.1x.tmp"] {
            assert!(!is_rest_of(Path::new(other), target), "{other}");
        }
    }

    #[test]
    fn writes_whole_files_and_keeps_links() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"old").unwrap();
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            write(&link, b"new").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&file).unwrap(), b"new");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
        let below_a_file = write(&file.join("x"), b"").unwrap_err();
        assert!(below_a_file.message().contains("cannot write"), "{below_a_file}");
        assert!(write(folder.path(), b"").is_err());
    }
}
