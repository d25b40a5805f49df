//! Bytes with a place, read from front to back.

use std::fmt;
use std::path::Path;

use crate::error::Error;

/// A part of a file that is read from front to back.
#[derive(Clone, Debug)]
pub(super) struct Input<'a> {
    /// The file, for messages.
    pub file: &'a Path,
    /// The part of it, for messages.
    pub part: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// The bytes of `part`, counted from 0.
    pub fn new(file: &'a Path, part: &'a str, bytes: &'a [u8]) -> Self {
        Self { file, part, bytes, at: 0 }
    }

    /// The same bytes from here on under another name.
    pub fn renamed(&self, part: &'a str) -> Self {
        Self { part, ..self.clone() }
    }

    /// How many bytes have been read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at..];
        let Some((taken, _)) = rest.split_at_checked(count) else {
            let found = format!("{} bytes to the end", rest.len());
            return Err(self.malformed(self.at, found, format!("{count} bytes")));
        };
        self.at += count;
        Ok(taken)
    }

    /// Takes `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    /// Takes a byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes a length of 8 bytes.
    pub fn length(&mut self) -> Result<usize, Error> {
        let at = self.at;
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| {
            self.malformed(at, format!("a length of {length}"), "a length in the file")
        })
    }

    /// Takes `count` bytes of text.
    pub fn text(&mut self, count: usize) -> Result<&'a str, Error> {
        let at = self.at;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes).map_err(|error| self.malformed(at, error, "text in UTF-8"))
    }

    /// Takes text up to the end of the line, and the end.
    pub fn line(&mut self) -> Result<&'a str, Error> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.malformed(self.at, "no end of the line", "a line"));
        };
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }

    /// An error at byte `at`.
    pub fn malformed(
        &self,
        at: usize,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Error {
        Error::malformed(self.file, format!("{}, byte {at}", self.part), found, expected)
    }
}

/// Text of a file as messages quote it: escaped, and not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
