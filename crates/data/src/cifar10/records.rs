//! Records of a label and the pixels of an image. There is no header: the size and the labels are all that tells a CIFAR file.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::Error;

/// Bytes of an image, `[3, 32, 32]`.
const PIXELS: usize = 3 * 32 * 32;
/// Bytes of a record.
const RECORD: usize = 1 + PIXELS;
const CLASSES: u8 = 10;

/// Images and their labels.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Records {
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
}

impl Records {
    pub(super) fn reserve(&mut self, count: usize) {
        self.pixels.reserve_exact(count * PIXELS);
        self.labels.reserve_exact(count);
    }

    pub(super) fn append(&mut self, other: &Self, keep: usize) {
        let count = other.labels.len().min(keep);
        self.pixels.extend_from_slice(&other.pixels[..count * PIXELS]);
        self.labels.extend_from_slice(&other.labels[..count]);
    }
}

/// Where records come from, for errors.
pub(super) struct Origin<'a> {
    pub(super) file: &'a Path,
    /// The name inside an archive.
    pub(super) member: Option<&'a str>,
}

impl Origin<'_> {
    /// Refuses a file whose size is not that of `count` records.
    pub(super) fn check_size(&self, bytes: u64, count: usize) -> Result<(), Error> {
        let expected = (count * RECORD) as u64;
        if bytes == expected {
            return Ok(());
        }
        let expected = format!("{expected} bytes ({count} records of {RECORD})");
        Err(self.malformed("size", format!("{bytes} bytes"), expected))
    }

    /// Refuses a file that has grown since its size was looked at.
    pub(super) fn check_end(&self, reader: &mut impl Read, count: usize) -> Result<(), Error> {
        match fill(reader, &mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let place = format!("byte {}", count * RECORD);
                Err(self.malformed(
                    &place,
                    "more bytes".to_owned(),
                    "the end of the file".to_owned(),
                ))
            }
            Err(source) => Err(Error::io("read", self.file, source)),
        }
    }

    fn malformed(&self, place: &str, found: String, expected: String) -> Error {
        match self.member {
            None => Error::malformed(self.file, place, found, expected),
            Some(member) => {
                Error::malformed(self.file, format!("{member}, {place}"), found, expected)
            }
        }
    }
}

/// Reads exactly `count` records and appends the first `keep` of them.
pub(super) fn read(
    reader: &mut impl Read,
    origin: &Origin<'_>,
    count: usize,
    keep: usize,
    to: &mut Records,
) -> Result<(), Error> {
    // Many records at a time, so that a file is read in a few large pieces.
    let mut buffer = vec![0u8; 64 * RECORD];
    let mut done = 0;
    while done < count {
        let wanted = (count - done).min(64) * RECORD;
        let start = done * RECORD;
        let read = fill(reader, &mut buffer[..wanted]).map_err(|error| match origin.member {
            None => Error::io("read", origin.file, error),
            Some(_) => origin.malformed(
                &format!("byte {start} or later"),
                format!("`{error}`"),
                "an intact .gz file".to_owned(),
            ),
        })?;
        if read < wanted {
            let found = format!("the end of the file at byte {}", start + read);
            let expected = format!("{} bytes ({count} records of {RECORD})", count * RECORD);
            return Err(origin.malformed("size", found, expected));
        }
        for (index, record) in (done..).zip(buffer[..wanted].chunks_exact(RECORD)) {
            let (label, pixels) = (record[0], &record[1..]);
            if label >= CLASSES {
                let place = format!("byte {} (label of record {index})", index * RECORD);
                let expected = format!("0 to {}", CLASSES - 1);
                return Err(origin.malformed(&place, format!("the label {label}"), expected));
            }
            if index < keep {
                to.labels.push(label);
                to.pixels.extend_from_slice(pixels);
            }
        }
        done += wanted / RECORD;
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends; returns how many bytes there were.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
