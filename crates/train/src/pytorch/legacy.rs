//! The layout before PyTorch 1.6: five pickles, then the storages.
//!
//! The pickles are a magic number, the version, the machine, the contents and the list of the storages'
//! keys. Each storage is its length in numbers and its numbers.

use std::path::Path;
use std::sync::Arc;

use super::input::{Input, quoted};
use super::machine::{self, Unpickled};
use super::tree::{self, Storages};
use super::value::Value;
use crate::error::Error;

/// The first pickle's number as its instruction writes it.
const NUMBER: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// How long the beginning is that tells the layout: protocol, perhaps a frame, number.
pub(super) const HEAD: usize = 2 + 9 + NUMBER.len();

/// The version of this layout, and there is only one.
const VERSION: i64 = 1001;

/// How many bytes the first pickle has, if it is the one of this layout.
pub(super) fn magic_length(head: &[u8]) -> Option<usize> {
    let [0x80, _, rest @ ..] = head else { return None };
    let number = match rest {
        [0x95, frame @ ..] => frame.get(8..)?,
        _ => rest,
    };
    number.starts_with(NUMBER).then_some(head.len() - number.len() + NUMBER.len())
}

/// Reads a file that begins as [`magic_length`] wants it.
pub(super) fn read(bytes: &Arc<Vec<u8>>, file: &Path) -> Result<Value, Error> {
    let mut input = Input::new(file, "magic number", bytes);
    let magic = magic_length(bytes).unwrap_or_default();
    input.take(magic)?;

    let (at, version) = pickle(&mut input, "version", bytes)?;
    if !matches!(version, Value::Int(VERSION)) {
        return Err(input.malformed(at, version, VERSION));
    }
    let (at, machine) = pickle(&mut input, "description of the machine", bytes)?;
    if !matches!(machine.get("little_endian"), Some(Value::Bool(true))) {
        return Err(input.malformed(at, "another byte order", "\"little_endian\": true"));
    }
    input = input.renamed("contents");
    let contents = machine::unpickle(&mut input)?;
    let (at, keys) = pickle(&mut input, "list of the storages", bytes)?;
    let storages = storages(&mut input, at, &keys, &contents)?;
    if input.left() > 0 {
        let found = format!("{} more bytes", input.left());
        return Err(input.malformed(input.at(), found, "the end of the file"));
    }
    tree::grow(&contents, &storages, bytes, file)
}

/// Reads a pickle that uses no storage; with the byte where it begins.
fn pickle<'a>(
    input: &mut Input<'a>,
    part: &'a str,
    bytes: &Arc<Vec<u8>>,
) -> Result<(usize, Value), Error> {
    *input = input.renamed(part);
    let at = input.at();
    let unpickled = machine::unpickle(input)?;
    Ok((at, tree::grow(&unpickled, &Storages::new(), bytes, input.file)?))
}

fn storages(
    input: &mut Input<'_>,
    at: usize,
    keys: &Value,
    contents: &Unpickled,
) -> Result<Storages, Error> {
    let Value::List(keys) = keys else {
        return Err(input.malformed(at, keys, "a list"));
    };
    *input = input.renamed("storages");
    let mut storages = Storages::new();
    for key in keys {
        let Value::Text(key) = key else {
            return Err(input.malformed(at, key, "a key of a storage"));
        };
        let Some(name) = contents.storages.get(key) else {
            let found = format!("the key {}", quoted(key));
            return Err(input.malformed(at, found, "a storage that the contents use"));
        };
        let start = input.at();
        let numbers = input.length()?;
        if numbers != name.numbers {
            let found = format!("{numbers} numbers in storage {}", quoted(key));
            return Err(input.malformed(start, found, name.numbers));
        }
        let length = numbers.saturating_mul(name.element_type.size());
        input.take(length)?;
        if storages.insert(key.clone(), input.at() - length..input.at()).is_some() {
            let found = format!("the key {} twice", quoted(key));
            return Err(input.malformed(at, found, "each storage once"));
        }
    }
    Ok(storages)
}
