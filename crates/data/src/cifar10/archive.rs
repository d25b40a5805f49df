//! The archive as it is published, a packed tar file, read from its beginning to its end without unpacking it to the disk.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::records::{self, Origin, Records, fill};
use crate::Error;

/// Bytes of a header; contents are padded to a multiple of it.
const BLOCK: usize = 512;

/// Reads the files of these names, each of `records` records, wherever they stand in the archive, in the order of the names.
///
/// Keeps the first `limit` records; returns also which of the files were there.
pub(super) fn read(
    path: &Path,
    names: &[&str],
    records: usize,
    limit: usize,
) -> Result<(Records, Vec<bool>), Error> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut packed = BufReader::with_capacity(1 << 16, file);
    let members = members(GzDecoder::new(&mut packed), path, names, records, limit)?;
    match fill(&mut packed, &mut [0]) {
        Ok(0) => {}
        Ok(_) => {
            let place = "after the packed data";
            return Err(Error::malformed(path, place, "more bytes", "the end of the file"));
        }
        Err(source) => return Err(Error::io("read", path, source)),
    }
    let present: Vec<bool> = members.iter().map(Option::is_some).collect();
    if !present.contains(&true) {
        let found = format!("none of {}", names.join(", "));
        return Err(Error::malformed(path, "names in the archive", found, "at least one of them"));
    }
    let mut all = Records::default();
    let count = members.iter().flatten().map(|member| member.labels.len()).sum::<usize>();
    all.reserve(count.min(limit));
    for member in members.into_iter().flatten() {
        // Each file's memory is given back before the next is copied.
        all.append(&member, limit - all.labels.len());
    }
    Ok((all, present))
}

/// Goes through an unpacked archive, to its very end: only there a packed stream compares its checksum.
fn members(
    mut reader: impl Read,
    path: &Path,
    names: &[&str],
    records: usize,
    limit: usize,
) -> Result<Vec<Option<Records>>, Error> {
    let mut found: Vec<Option<Records>> = names.iter().map(|_| None).collect();
    let mut offset = 0u64;
    loop {
        let mut block = [0u8; BLOCK];
        let read = fill(&mut reader, &mut block).map_err(|error| damaged(path, offset, error))?;
        if read == 0 || (read == BLOCK && block == [0; BLOCK]) {
            break;
        }
        if read < BLOCK {
            let place = format!("unpacked byte {offset}");
            let found = format!("the end of the archive after {read} bytes");
            return Err(Error::malformed(path, place, found, "a tar header of 512 bytes"));
        }
        let header = Header::parse(&block, path, offset)?;
        offset += BLOCK as u64;
        let wanted = names.iter().position(|name| header.is_file && header.name() == *name);
        let mut rest = header.padded_size();
        if let Some(index) = wanted {
            let origin = Origin { file: path, member: Some(names[index]) };
            if found[index].is_some() {
                let place = format!("unpacked byte {}", offset - BLOCK as u64);
                let found = format!("a second {}", names[index]);
                return Err(Error::malformed(path, place, found, "each file once"));
            }
            origin.check_size(header.size, records)?;
            let mut member = Records::default();
            records::read(&mut reader, &origin, records, limit, &mut member)?;
            found[index] = Some(member);
            rest -= header.size;
        }
        let skipped = io::copy(&mut reader.by_ref().take(rest), &mut io::sink())
            .map_err(|error| damaged(path, offset, error))?;
        offset += header.padded_size();
        if skipped < rest {
            let place = format!("unpacked byte {}", offset - rest + skipped);
            let expected = format!("{rest} more bytes of {}", header.name().escape_debug());
            return Err(Error::malformed(path, place, "the end of the archive", expected));
        }
    }
    io::copy(&mut reader, &mut io::sink()).map_err(|error| damaged(path, offset, error))?;
    Ok(found)
}

/// What a tar header says.
struct Header {
    path: String,
    size: u64,
    is_file: bool,
}

impl Header {
    fn parse(block: &[u8; BLOCK], file: &Path, offset: u64) -> Result<Self, Error> {
        let malformed = |at: u64, found: String, expected: &str| {
            Error::malformed(file, format!("unpacked byte {}", offset + at), found, expected)
        };
        // The sum of all bytes, those of the sum itself taken as spaces.
        let sum = block.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let own = block[148..156].iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let expected = sum - own + 8 * u64::from(b' ');
        if octal(&block[148..156]) != Some(expected) {
            let found = format!("the checksum `{}`", block[148..156].escape_ascii());
            return Err(malformed(148, found, &format!("{expected:o}, octal (a tar header)")));
        }
        let size = octal(&block[124..136]).ok_or_else(|| {
            let found = format!("the size `{}`", block[124..136].escape_ascii());
            malformed(124, found, "up to 11 octal digits")
        })?;
        let name = block[..100].split(|&byte| byte == 0).next().unwrap_or_default();
        let path = String::from_utf8_lossy(name).into_owned();
        Ok(Self { path, size, is_file: matches!(block[156], 0 | b'0') })
    }

    /// The last part of the path.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn padded_size(&self) -> u64 {
        self.size.next_multiple_of(BLOCK as u64)
    }
}

/// Reads octal digits between spaces and zero bytes; at most 12 fit, so nothing overflows.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| u64::from_str_radix(text, 8).ok()).flatten()
}

fn damaged(path: &Path, offset: u64, error: io::Error) -> Error {
    let place = format!("unpacked byte {offset} or later");
    Error::malformed(path, place, format!("`{error}`"), "an intact .tar.gz file")
}

#[cfg(test)]
mod tests;
