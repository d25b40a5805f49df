//! Reading a file that may be anything.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Error;

/// Reads a whole file, but nothing that cannot be a safetensors file: no device that never ends, and
/// no other large file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let io = |action| move |source| Error::io(action, path, source);
    let mut file = File::open(path).map_err(io("open"))?;
    let about = file.metadata().map_err(io("read"))?;
    let expected = "a safetensors file";
    if !about.is_file() {
        return Err(Error::malformed(path, "file", "a folder or device", expected));
    }
    let length = about.len();
    let mut head = [0; 8];
    if length < head.len() as u64 {
        return Err(Error::malformed(path, "header", format!("{length} bytes"), expected));
    }
    file.read_exact(&mut head).map_err(io("read"))?;
    let header = u64::from_le_bytes(head);
    if header > length - head.len() as u64 {
        let found = format!("a header of {header} bytes in a file of {length}");
        return Err(Error::malformed(path, "header", found, expected));
    }
    let mut bytes = head.to_vec();
    file.read_to_end(&mut bytes).map_err(io("read"))?;
    Ok(bytes)
}
