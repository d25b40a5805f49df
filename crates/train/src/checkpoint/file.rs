//! Reading a file that may be anything.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

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
    if header > MAX_HEADER.min(length - head.len() as u64) {
        let found = format!("a header of {header} bytes in a file of {length}");
        return Err(Error::malformed(path, "header", found, expected));
    }
    let mut bytes = head.to_vec();
    (&file).take(header).read_to_end(&mut bytes).map_err(io("read"))?;
    let parsed: Metadata = serde_json::from_slice(&bytes[head.len()..])
        .map_err(|error| Error::malformed(path, "header", format!("\"{error}\""), expected))?;
    let whole = (parsed.data_len() as u64).saturating_add(bytes.len() as u64);
    if whole != length {
        let found = format!("{length} bytes");
        return Err(Error::malformed(path, "end of the file", found, format!("{whole} bytes")));
    }
    (&file).take(length - bytes.len() as u64).read_to_end(&mut bytes).map_err(io("read"))?;
    Ok(bytes)
}

/// What the format allows.
const MAX_HEADER: u64 = 100_000_000;
