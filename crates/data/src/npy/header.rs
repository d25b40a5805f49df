//! The header of an array: a magic number, a version, and a Python dictionary in text.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::DType;
use crate::Error;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// A header that describes a plain array is far shorter; NumPy itself stops at 10,000.
const MAX_HEADER: usize = 1 << 16;
/// The largest rank that NumPy knows.
const MAX_RANK: usize = 64;

#[derive(Debug)]
pub(super) struct Header {
    pub(super) dtype: DType,
    pub(super) byte_order: ByteOrder,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// The product of the shape.
    pub(super) count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl Header {
    /// Reads a header and checks that it describes an array of exactly `length` bytes, header included.
    pub(super) fn read(
        reader: &mut dyn Read,
        length: u64,
        path: &Path,
        place: &dyn Fn(&str) -> String,
    ) -> Result<Self, Error> {
        let mut fixed = [0u8; 12];
        let mut fill = |buffer: &mut [u8], offset: usize| {
            reader.read_exact(buffer).map_err(|error| {
                let place = place(&format!("byte {offset}"));
                let found = match error.kind() {
                    ErrorKind::UnexpectedEof => "the end of the file".to_owned(),
                    _ => error.to_string(),
                };
                Error::malformed(path, place, found, "the header of a .npy array")
            })
        };
        fill(&mut fixed[..10], 0)?;
        if &fixed[..6] != MAGIC {
            let found = format!("the bytes {:02x?}", &fixed[..6]);
            let expected = format!("{MAGIC:02x?}, the start of a .npy array");
            return Err(Error::malformed(path, place("byte 0"), found, expected));
        }
        let (size, start) = match fixed[6] {
            1 => (usize::from(u16::from_le_bytes([fixed[8], fixed[9]])), 10),
            2 | 3 => {
                fill(&mut fixed[10..], 10)?;
                let size = u32::from_le_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
                (usize::try_from(size).unwrap_or(usize::MAX), 12)
            }
            version => {
                let found = format!("version {version}");
                return Err(Error::unsupported(path, place("byte 6"), found, "known: 1, 2, 3"));
            }
        };
        if size > MAX_HEADER || start as u64 + size as u64 > length {
            let found = format!("a header of {size} bytes");
            let expected = format!("at most {}", length.saturating_sub(start as u64).min(1 << 16));
            return Err(Error::malformed(path, place("byte 8"), found, expected));
        }
        let mut text = vec![0u8; size];
        fill(&mut text, start)?;
        let mut parser = Parser { text: &text, at: 0, start, path, place };
        let header = parser.header()?;
        let data = header.count as u128 * header.dtype.size() as u128;
        let expected = (start + size) as u128 + data;
        if expected != u128::from(length) {
            let found = format!("{length} bytes in all");
            let shape = format!("{expected} for the shape {:?} of {}", header.shape, header.dtype);
            return Err(Error::malformed(path, place("size"), found, shape));
        }
        Ok(header)
    }
}

/// Encodes a header whose length is a multiple of 64, as NumPy does.
pub(super) fn encode(dtype: DType, shape: &[usize]) -> Vec<u8> {
    let order = if dtype.size() == 1 { '|' } else { '<' };
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let text = format!(
        "{{'descr': '{order}{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        dtype.code(),
        dims.join(", "),
    );
    let long = text.len() + 74 > usize::from(u16::MAX);
    let start = if long { 12 } else { 10 };
    let total = (start + text.len() + 1).next_multiple_of(64);
    let size = total - start;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(if long { &[2, 0] } else { &[1, 0] });
    bytes.extend_from_slice(&size.to_le_bytes()[..start - 8]);
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// Reads the one dictionary that can stand there: three keys, a string, a bool and a tuple of integers.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the text starts in the array, for messages.
    start: usize,
    path: &'a Path,
    place: &'a dyn Fn(&str) -> String,
}

impl Parser<'_> {
    fn header(&mut self) -> Result<Header, Error> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.accept(b'}') {
            let at = self.at;
            let key = self.string()?;
            self.expect(b':')?;
            let repeated = match key {
                b"descr" => descr.replace(self.descr()?).is_some(),
                b"fortran_order" => fortran_order.replace(self.bool()?).is_some(),
                b"shape" => shape.replace(self.shape()?).is_some(),
                other => {
                    let found = format!("the key `{}`", String::from_utf8_lossy(other));
                    return Err(self.error(at, found, "descr, fortran_order, shape"));
                }
            };
            if repeated {
                let found = format!("the key `{}` twice", String::from_utf8_lossy(key));
                return Err(self.error(at, found, "each key once"));
            }
            if !self.accept(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        self.skip_space();
        if self.at != self.text.len() {
            let found = self.describe();
            return Err(self.error(self.at, found, "nothing after the dictionary"));
        }
        let (Some((dtype, byte_order)), Some(fortran_order), Some((shape, count))) =
            (descr, fortran_order, shape)
        else {
            return Err(self.error(0, "a missing key", "descr, fortran_order and shape"));
        };
        Ok(Header { dtype, byte_order, fortran_order, shape, count })
    }

    fn descr(&mut self) -> Result<(DType, ByteOrder), Error> {
        self.skip_space();
        let at = self.at;
        if self.text.get(at) == Some(&b'[') {
            return Err(self.unsupported(at, "an array of records".to_owned()));
        }
        let descr = self.string()?;
        let unknown = || {
            self.unsupported(at, format!("the element type `{}`", String::from_utf8_lossy(descr)))
        };
        let (&order, code) = descr.split_first().ok_or_else(unknown)?;
        let dtype = DType::ALL.iter().find(|dtype| dtype.code().as_bytes() == code);
        let &dtype = dtype.ok_or_else(unknown)?;
        match order {
            b'<' => Ok((dtype, ByteOrder::Little)),
            b'>' => Ok((dtype, ByteOrder::Big)),
            b'|' if dtype.size() == 1 => Ok((dtype, ByteOrder::Little)),
            _ => Err(unknown()),
        }
    }

    fn bool(&mut self) -> Result<bool, Error> {
        self.skip_space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        let found = self.describe();
        Err(self.error(self.at, found, "True or False"))
    }

    fn shape(&mut self) -> Result<(Vec<usize>, usize), Error> {
        let (mut shape, mut count) = (Vec::new(), 1usize);
        let mut empty = false;
        self.expect(b'(')?;
        while !self.accept(b')') {
            self.skip_space();
            let at = self.at;
            let digits = self.text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                let found = self.describe();
                return Err(self.error(at, found, "an extent of 0 or more"));
            }
            self.at += digits;
            let text = std::str::from_utf8(&self.text[at..self.at]).expect("ASCII digits");
            let dim: Option<usize> = text.parse().ok();
            let product =
                dim.and_then(|dim| if dim == 0 { Some(count) } else { count.checked_mul(dim) });
            let (Some(dim), Some(product)) = (dim, product) else {
                return Err(self.error(
                    at,
                    format!("the extent {text}"),
                    "an array of fewer than 2^64 elements",
                ));
            };
            if shape.len() == MAX_RANK {
                return Err(self.error(at, "one more extent", format!("at most {MAX_RANK}")));
            }
            shape.push(dim);
            count = product;
            empty |= dim == 0;
            // Python 2 wrote long integers as `3L`.
            if self.text.get(self.at) == Some(&b'L') {
                self.at += 1;
            }
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok((shape, if empty { 0 } else { count }))
    }
}

impl<'a> Parser<'a> {
    fn string(&mut self) -> Result<&'a [u8], Error> {
        self.skip_space();
        let at = self.at;
        if let Some(&quote @ (b'\'' | b'"')) = self.text.get(at) {
            let rest = &self.text[at + 1..];
            if let Some(end) = rest.iter().position(|&byte| byte == quote) {
                self.at = at + end + 2;
                return Ok(&rest[..end]);
            }
        }
        let found = self.describe();
        Err(self.error(at, found, "a quoted string"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.accept(byte) {
            return Ok(());
        }
        let found = self.describe();
        Err(self.error(self.at, found, format!("`{}`", char::from(byte))))
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|x| x.is_ascii_whitespace()).count();
    }

    fn describe(&self) -> String {
        match &self.text[self.at.min(self.text.len())..] {
            [] => "the end of the header".to_owned(),
            rest => format!("`{}`", String::from_utf8_lossy(&rest[..rest.len().min(16)])),
        }
    }

    fn error(
        &self,
        at: usize,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> Error {
        let place = (self.place)(&format!("byte {}", self.start + at));
        Error::malformed(self.path, place, found, expected)
    }

    fn unsupported(&self, at: usize, what: String) -> Error {
        let place = (self.place)(&format!("byte {}", self.start + at));
        let known: Vec<&str> = DType::ALL.iter().map(|dtype| dtype.code()).collect();
        Error::unsupported(self.path, place, what, format!("known: {}", known.join(" ")))
    }
}
