//! Writes the layout of PyTorch 1.6 and later: a zip archive of one pickle and a file per storage.

use std::collections::BTreeSet;

use fewbit_nn::Network;
use fewbit_nn::network::{StateData, StateTensor};

use super::archive::MAGIC;
use crate::error::Error;

/// The folder around all entries.
const FOLDER: &str = "archive";

/// Where the bytes of an entry begin: at a multiple of this, so that they can be mapped into memory.
const ALIGNMENT: usize = 64;

/// Entries that say how far a scale has been measured: PyTorch has no tensors for them.
const OWN: [&str; 3] = [".scaling_impl.counter", ".scaling_impl.waiting", ".runtime_stats.counter"];

/// Tensors of a layer in PyTorch's order: parameters, then statistics.
const ORDER: [&str; 5] = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];

/// The state of a network as `torch.save(network.state_dict(), file)` writes it: the same network gives
/// the same bytes.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if it does not fit into 4 GiB.
/// # Source
/// Names and order of networks.md 3.3.
pub fn state_dict_bytes(network: &Network) -> Result<Vec<u8>, Error> {
    let state = network.state();
    let mut tensors: Vec<(&str, &StateTensor)> = Vec::new();
    // Several layers have one name, or one that another begins with.
    let mut written = BTreeSet::new();
    for layer in network.leaves() {
        let prefix = format!("{}.", layer.name);
        let rank = |own: &str| ORDER.iter().position(|name| *name == own).unwrap_or(ORDER.len());
        let mut own: Vec<(&str, &StateTensor)> = state
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .filter(|(name, _)| !OWN.iter().any(|own| name.ends_with(own)))
            .map(|(name, tensor)| (name.as_str(), tensor))
            .filter(|(name, _)| written.insert(*name))
            .collect();
        own.sort_by_key(|(name, _)| rank(&name[prefix.len()..]));
        tensors.extend(own);
    }
    archive(&tensors)
}

/// Writes an ordered dict of tensors.
pub(super) fn archive(tensors: &[(&str, &StateTensor)]) -> Result<Vec<u8>, Error> {
    let mut zip = Zip::default();
    zip.entry("data.pkl", &pickle(tensors))?;
    zip.entry("byteorder", b"little")?;
    for (number, (_, tensor)) in tensors.iter().enumerate() {
        let bytes: Vec<u8> = match &tensor.data {
            StateData::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            StateData::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        zip.entry(&format!("data/{number}"), &bytes)?;
    }
    zip.entry("version", b"3\n")?;
    zip.finish()
}

/// How many entries picklers put into a dict at a time.
const AT_A_TIME: usize = 1000;

/// The pickle, in protocol 2: nothing is remembered, as nothing is used twice.
fn pickle(tensors: &[(&str, &StateTensor)]) -> Vec<u8> {
    let mut out = Pickle(vec![0x80, 2]);
    out.class("collections", "OrderedDict").op(b")R");
    for (chunk, tensors) in tensors.chunks(AT_A_TIME).enumerate() {
        out.op(b"(");
        for (index, (name, tensor)) in tensors.iter().enumerate() {
            out.text(name).tensor(tensor, chunk * AT_A_TIME + index);
        }
        out.op(b"u");
    }
    out.op(b".");
    out.0
}

/// Instructions for the machine that reads pickles.
struct Pickle(Vec<u8>);

impl Pickle {
    fn op(&mut self, opcodes: &[u8]) -> &mut Self {
        self.0.extend(opcodes);
        self
    }

    fn class(&mut self, module: &str, name: &str) -> &mut Self {
        self.op(b"c").op(module.as_bytes()).op(b"\n").op(name.as_bytes()).op(b"\n")
    }

    fn text(&mut self, text: &str) -> &mut Self {
        let length = u32::try_from(text.len()).expect("names of tensors are short");
        self.op(b"X").op(&length.to_le_bytes()).op(text.as_bytes())
    }

    fn int(&mut self, value: usize) -> &mut Self {
        match i32::try_from(value) {
            Ok(value) => self.op(b"J").op(&value.to_le_bytes()),
            Err(_) => self.op(b"\x8a\x08").op(&(value as i64).to_le_bytes()),
        }
    }

    fn tuple(&mut self, values: &[usize]) -> &mut Self {
        if values.is_empty() {
            return self.op(b")");
        }
        self.op(b"(");
        values.iter().for_each(|&value| {
            self.int(value);
        });
        self.op(b"t")
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`.
    fn tensor(&mut self, tensor: &StateTensor, number: usize) -> &mut Self {
        let (class, numbers) = match &tensor.data {
            StateData::F32(values) => ("FloatStorage", values.len()),
            StateData::I64(values) => ("LongStorage", values.len()),
        };
        self.class("torch._utils", "_rebuild_tensor_v2").op(b"((");
        self.text("storage").class("torch", class).text(&number.to_string()).text("cpu");
        self.int(numbers).op(b"tQ").int(0).tuple(&tensor.shape).tuple(&strides(&tensor.shape));
        self.op(b"\x89").class("collections", "OrderedDict").op(b")RtR")
    }
}

/// Distances between neighbours; PyTorch counts an empty dimension as one.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// A zip archive of files that are stored as they are.
#[derive(Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: usize,
}

/// Version 2.0, no flags, stored, 1 January 1980: the fields that are the same for all entries.
const FIXED: [u8; 10] = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

impl Zip {
    fn entry(&mut self, name: &str, contents: &[u8]) -> Result<(), Error> {
        let path = format!("{FOLDER}/{name}");
        let offset = four_bytes(self.bytes.len())?;
        let size = four_bytes(contents.len())?;
        // Checksum, packed and unpacked size, length of the name.
        let mut about = rawzip::crc32(contents).to_le_bytes().to_vec();
        about.extend(size);
        about.extend(size);
        about.extend(two_bytes(path.len())?);

        // What is missing to the next multiple is an extra field, which has four bytes at least.
        const HEADER: usize = 30;
        const EXTRA: usize = 4;
        let end = self.bytes.len() + HEADER + path.len() + EXTRA;
        let padding = end.next_multiple_of(ALIGNMENT) - end;
        self.bytes.extend(MAGIC);
        self.bytes.extend(FIXED);
        self.bytes.extend(&about);
        self.bytes.extend(two_bytes(EXTRA + padding)?);
        self.bytes.extend(path.as_bytes());
        self.bytes.extend(b"FB");
        self.bytes.extend(two_bytes(padding)?);
        self.bytes.extend(std::iter::repeat_n(b'Z', padding));
        self.bytes.extend(contents);

        self.directory.extend(b"PK\x01\x02");
        // Made by the same version.
        self.directory.extend(&FIXED[..2]);
        self.directory.extend(FIXED);
        self.directory.extend(about);
        // No extra field, no comment, disk 0, no attributes.
        self.directory.extend([0; 12]);
        self.directory.extend(offset);
        self.directory.extend(path.as_bytes());
        self.entries += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, Error> {
        let start = four_bytes(self.bytes.len())?;
        let entries = two_bytes(self.entries)?;
        let length = four_bytes(self.directory.len())?;
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06");
        self.bytes.extend([0; 4]);
        self.bytes.extend(entries);
        self.bytes.extend(entries);
        self.bytes.extend(length);
        self.bytes.extend(start);
        self.bytes.extend([0; 2]);
        Ok(self.bytes)
    }
}

fn four_bytes(value: usize) -> Result<[u8; 4], Error> {
    let small = u32::try_from(value);
    let small = small.map_err(|_| Error::invalid("bytes of the file", value, "below 4 GiB"))?;
    Ok(small.to_le_bytes())
}

fn two_bytes(value: usize) -> Result<[u8; 2], Error> {
    let small = u16::try_from(value);
    let small = small.map_err(|_| Error::invalid("entries of the file", value, "below 65536"))?;
    Ok(small.to_le_bytes())
}
