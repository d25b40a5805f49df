//! The idx format: a magic number, the extents, the bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::Error;

/// Where the bytes of a file with one extent start.
pub(super) const LABELS_START: usize = 8;

/// Reads a file of unsigned bytes, packed if its name ends in `.gz`.
///
/// `extents` says what the header must hold; `None` is the number of records, at most `most`.
/// The size must be exactly the one the header promises, so that a damaged file is never taken for a shorter one.
pub(super) fn read(path: &Path, extents: &[Option<u32>], most: usize) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut packed = BufReader::new(file);
        let bytes = decode(GzDecoder::new(&mut packed), path, extents, most)?;
        let mut rest = [0u8];
        match packed.read(&mut rest) {
            Ok(0) => Ok(bytes),
            Ok(_) => Err(Error::malformed(
                path,
                "after the packed data",
                "more bytes",
                "the end of the file",
            )),
            Err(source) => Err(Error::io("read", path, source)),
        }
    } else {
        decode(BufReader::new(file), path, extents, most)
    }
}

/// Decodes unpacked bytes. Memory is bounded by `most` records, whatever a header or a packed stream says.
fn decode(
    mut reader: impl Read,
    path: &Path,
    extents: &[Option<u32>],
    most: usize,
) -> Result<Vec<u8>, Error> {
    let mut word = |offset: usize| {
        let mut bytes = [0u8; 4];
        match fill(&mut reader, &mut bytes) {
            Ok(4) => Ok(u32::from_be_bytes(bytes)),
            Ok(read) => {
                let found = format!("the end of the file after {read} bytes");
                Err(Error::malformed(
                    path,
                    format!("byte {offset}"),
                    found,
                    "4 bytes of the header",
                ))
            }
            Err(error) => Err(damaged(path, offset, error)),
        }
    };
    let magic = word(0)?;
    let expected = 0x0800 + extents.len() as u32;
    if magic != expected {
        let found = format!("the magic number 0x{magic:08x}");
        let expected = format!("0x{expected:08x} (idx, unsigned bytes, {} extents)", extents.len());
        return Err(Error::malformed(path, "byte 0", found, expected));
    }
    let mut count = 1usize;
    for (index, extent) in extents.iter().enumerate() {
        let offset = 4 + 4 * index;
        let found = word(offset)?;
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        match extent {
            Some(extent) if found != *extent => {
                let found = format!("the extent {found}");
                return Err(Error::malformed(path, format!("byte {offset}"), found, extent));
            }
            None if found == 0 || found > limit => {
                let found = format!("{found} records");
                let expected = format!("1 to {limit}");
                return Err(Error::malformed(path, format!("byte {offset}"), found, expected));
            }
            Some(_) | None => count *= found as usize,
        }
    }
    let start = 4 + 4 * extents.len();
    // As the bytes come, so that a short file with a large promise costs little.
    let mut bytes = Vec::with_capacity(count.min(1 << 20));
    let read = reader.by_ref().take(count as u64).read_to_end(&mut bytes);
    let read = read.map_err(|error| damaged(path, start, error))?;
    if read < count {
        let found = format!("the end of the file at byte {}", start + read);
        let expected = format!("{} bytes in all", start + count);
        return Err(Error::malformed(path, "size", found, expected));
    }
    // Reading on also makes a packed stream compare its checksum.
    let more =
        fill(&mut reader, &mut [0u8]).map_err(|error| damaged(path, start + count, error))?;
    if more > 0 {
        let place = format!("byte {}", start + count);
        return Err(Error::malformed(path, place, "more bytes", "the end of the file"));
    }
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends; returns how many bytes there were.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn damaged(path: &Path, offset: usize, error: std::io::Error) -> Error {
    let place = format!("unpacked byte {offset} or later");
    Error::malformed(path, place, format!("`{error}`"), "an intact file")
}
