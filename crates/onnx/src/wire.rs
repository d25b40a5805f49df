//! A look at the bytes before they are decoded.
//!
//! Decoding drops fields that the messages of [`crate::proto`] do not have, and makes a message of a
//! few hundred bytes out of two bytes of file. So the headers of all fields are walked first, which
//! touches no weights: fields that would be lost are listed, and nesting and memory are limited.

mod schema;

use std::collections::BTreeMap;

use crate::Error;
use schema::{Field, Message};

/// Messages nested deeper are refused, as every implementation of protobuf does.
const DEEPEST: usize = 100;

/// Decoded messages may take this many bytes per byte of file; real models stay below a tenth.
const MEMORY_PER_BYTE: usize = 64;

/// Files of a few bytes may take this much whatever they are.
const MEMORY_AT_LEAST: usize = 1 << 20;

/// Fields of one kind that a file has and this program does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The message that has the field, such as `NodeProto`.
    pub message: &'static str,
    /// The number of the field.
    pub number: u32,
    /// How often it occurs.
    pub count: usize,
    /// How many bytes of the file that is.
    pub bytes: usize,
    /// The place in the file where it occurs first.
    pub offset: usize,
}

/// Walks the fields of a model. Returns those that decoding would lose.
pub(crate) fn scan(bytes: &[u8]) -> Result<Vec<UnknownField>, Error> {
    scan_as(Message::Model, bytes)
}

/// The same for a tensor that is stored by itself.
pub(crate) fn scan_tensor(bytes: &[u8]) -> Result<Vec<UnknownField>, Error> {
    scan_as(Message::Tensor, bytes)
}

fn scan_as(message: Message, bytes: &[u8]) -> Result<Vec<UnknownField>, Error> {
    let mut scan =
        Scan { bytes, offset: 0, memory: 0, unknown: BTreeMap::new(), path: vec![message] };
    scan.message(bytes.len())?;
    let unknown = scan.unknown.into_iter();
    Ok(unknown
        .map(|((message, number), found)| UnknownField {
            message,
            number,
            count: found.count,
            bytes: found.bytes,
            offset: found.offset,
        })
        .collect())
}

struct Scan<'a> {
    bytes: &'a [u8],
    offset: usize,
    memory: usize,
    unknown: BTreeMap<(&'static str, u32), Found>,
    path: Vec<Message>,
}

struct Found {
    count: usize,
    bytes: usize,
    offset: usize,
}

impl Scan<'_> {
    /// Walks the innermost message of the path, which ends at `end`.
    fn message(&mut self, end: usize) -> Result<(), Error> {
        let message = self.path[self.path.len() - 1];
        while self.offset < end {
            let start = self.offset;
            let (number, wire_type) = self.key(end)?;
            match (message.field(number), wire_type) {
                (Field::Message(inner), LENGTH_DELIMITED) => {
                    let inner_end = self.length(end)?;
                    if self.path.len() > DEEPEST {
                        return Err(self
                            .error(start, "messages are nested too deep")
                            .expected(format_args!("at most {DEEPEST} levels")));
                    }
                    self.spend(start, inner.memory())?;
                    self.path.push(inner);
                    self.message(inner_end)?;
                    self.path.pop();
                }
                (Field::Unknown, _) => {
                    self.skip(start, number, wire_type, end, 0)?;
                    let found = self.unknown.entry((message.name(), number)).or_insert(Found {
                        count: 0,
                        bytes: 0,
                        offset: start,
                    });
                    found.count += 1;
                    found.bytes += self.offset - start;
                }
                (Field::Message(_) | Field::Value, _) => {
                    self.skip(start, number, wire_type, end, 0)?;
                    self.spend(start, size_of::<String>())?;
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, start: usize, memory: usize) -> Result<(), Error> {
        self.memory = self.memory.saturating_add(memory);
        let limit = self.bytes.len().saturating_mul(MEMORY_PER_BYTE).max(MEMORY_AT_LEAST);
        if self.memory > limit {
            let what = format_args!(
                "the first {start} of {} bytes would take more than {limit} bytes of memory",
                self.bytes.len()
            );
            return Err(self.error(start, what));
        }
        Ok(())
    }

    /// Reads the key of a field: its number and its wire type.
    fn key(&mut self, end: usize) -> Result<(u32, u8), Error> {
        let start = self.offset;
        let key = self.varint(end)?;
        let number = u32::try_from(key >> 3).unwrap_or(u32::MAX);
        if number == 0 || number > LARGEST_NUMBER {
            return Err(self.error(start, format_args!("a field has the number {}", key >> 3)));
        }
        Ok((number, (key & 7) as u8))
    }

    /// Skips the value of a field.
    fn skip(
        &mut self,
        start: usize,
        number: u32,
        wire_type: u8,
        end: usize,
        groups: usize,
    ) -> Result<(), Error> {
        match wire_type {
            VARINT => {
                self.varint(end)?;
            }
            FIXED_64 => self.advance(8, end)?,
            LENGTH_DELIMITED => self.offset = self.length(end)?,
            FIXED_32 => self.advance(4, end)?,
            GROUP_START => loop {
                if groups + self.path.len() > DEEPEST {
                    return Err(self.error(start, "groups are nested too deep"));
                }
                let inner_start = self.offset;
                let (inner, inner_type) = self.key(end)?;
                if inner_type == GROUP_END {
                    if inner != number {
                        let what = format_args!("group {number} ends as group {inner}");
                        return Err(self.error(inner_start, what));
                    }
                    break;
                }
                self.skip(inner_start, inner, inner_type, end, groups + 1)?;
            },
            _ => {
                let what = format_args!("field {number} has the wire type {wire_type}");
                return Err(self.error(start, what));
            }
        }
        Ok(())
    }

    /// Reads a length; returns where that many bytes end.
    fn length(&mut self, end: usize) -> Result<usize, Error> {
        let start = self.offset;
        let length = self.varint(end)?;
        let left = end - self.offset;
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(self.offset + length),
            _ => {
                let what = format_args!("a field of {length} bytes, where {left} are left");
                Err(self.error(start, what))
            }
        }
    }

    fn advance(&mut self, count: usize, end: usize) -> Result<(), Error> {
        let left = end - self.offset;
        if count > left {
            let what = format_args!("a number of {count} bytes, where {left} are left");
            return Err(self.error(self.offset, what));
        }
        self.offset += count;
        Ok(())
    }

    fn varint(&mut self, end: usize) -> Result<u64, Error> {
        let start = self.offset;
        let mut value = 0_u64;
        for index in 0..10 {
            let Some(&byte) = self.bytes[..end].get(self.offset) else {
                return Err(self.error(start, "a number that is cut short"));
            };
            self.offset += 1;
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(start, "a number of more than 64 bits"))
    }

    fn error(&self, offset: usize, what: impl std::fmt::Display) -> Error {
        let innermost = self.path[self.path.len() - 1].name();
        Error::malformed(what).within(format_args!("byte {offset} ({innermost})"))
    }
}

const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED_32: u8 = 5;
const LARGEST_NUMBER: u32 = (1 << 29) - 1;

#[cfg(test)]
mod tests;
