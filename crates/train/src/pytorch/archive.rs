//! The layout of PyTorch 1.6 and later: a zip archive of one pickle and a file per storage.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rawzip::{CompressionMethod, ZipArchive};

use super::input::{Input, quoted};
use super::machine;
use super::tree::{self, Storages};
use super::value::Value;
use crate::error::Error;

/// How such a file begins.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Reads an archive.
pub(super) fn read(bytes: &Arc<Vec<u8>>, file: &Path) -> Result<Value, Error> {
    let entries = entries(bytes, file)?;
    if entries.keys().any(|name| name.starts_with("code/")) || entries.contains_key("constants.pkl")
    {
        let found = "the program of a TorchScript module";
        return Err(Error::malformed(file, "zip directory", found, "a checkpoint of torch.save"));
    }
    let expected = "an archive of torch.save";
    let Some(pickle) = entries.get("data.pkl") else {
        return Err(Error::malformed(file, "zip directory", "no data.pkl", expected));
    };
    if let Some(order) = entries.get("byteorder") {
        let order = &bytes[order.clone()];
        if order != b"little" {
            let found = quoted(&String::from_utf8_lossy(&order[..order.len().min(16)]));
            return Err(Error::malformed(file, "byteorder", found, "\"little\""));
        }
    }
    let mut input = Input::new(file, "data.pkl", &bytes[pickle.clone()]);
    let unpickled = machine::unpickle(&mut input)?;
    if input.left() > 0 {
        let found = format!("{} more bytes", input.left());
        return Err(input.malformed(input.at(), found, "nothing after the pickle"));
    }
    let storages: Storages = entries
        .into_iter()
        .filter_map(|(name, range)| Some((name.strip_prefix("data/")?.into(), range)))
        .collect();
    tree::grow(&unpickled, &storages, bytes, file)
}

/// Where the bytes of each entry are, by the name without the folder around all of them.
fn entries(bytes: &Arc<Vec<u8>>, file: &Path) -> Result<BTreeMap<String, Range<usize>>, Error> {
    let malformed = |place: String, found: &dyn fmt::Display, expected: &str| {
        Error::malformed(file, place, found, expected)
    };
    let directory = || "zip directory".to_owned();
    let whole = "a whole zip archive";
    let archive = ZipArchive::from_slice(bytes.as_slice())
        .map_err(|error| malformed(directory(), &error, whole))?;
    let mut found = BTreeMap::new();
    let mut folder = None;
    let mut unread = bytes.len();
    let mut records = archive.entries();
    while let Some(record) =
        records.next_entry().map_err(|error| malformed(directory(), &error, whole))?
    {
        let path = record.file_path();
        let path = std::str::from_utf8(path.as_bytes())
            .map_err(|error| malformed(directory(), &error, "names in UTF-8"))?;
        let place = || format!("entry {}", quoted(path));
        let Some((own, name)) = path.split_once('/') else {
            return Err(malformed(place(), &"no folder", "one folder around all entries"));
        };
        if *folder.get_or_insert_with(|| own.to_owned()) != own {
            return Err(malformed(place(), &"another folder", "one folder around all entries"));
        }
        if record.compression_method() != CompressionMethod::STORE || record.flags().is_encrypted()
        {
            return Err(malformed(place(), &"packed or encrypted bytes", "bytes as they are"));
        }
        let intact = "an intact entry";
        let entry = archive
            .get_entry(record.wayfinder())
            .map_err(|error| malformed(place(), &error, intact))?;
        // Many entries with the same bytes would take forever.
        unread = unread.checked_sub(entry.data().len()).ok_or_else(|| {
            malformed(place(), &"more bytes than the file has", "entries that do not overlap")
        })?;
        io::copy(&mut entry.verifying_reader(entry.data()), &mut io::sink())
            .map_err(|error| malformed(place(), &error, intact))?;
        let (start, end) = entry.compressed_data_range();
        // As the bytes are in memory, so are their places in range.
        if found.insert(name.to_owned(), start as usize..end as usize).is_some() {
            return Err(malformed(place(), &"the name again", "each name once"));
        }
    }
    Ok(found)
}
