//! NumPy's `.npz` files: zip archives of `.npy` arrays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use crate::Error;
use crate::atomic::AtomicFile;
use crate::npy::{self, NpyArray};

/// A `.npz` file, its arrays decoded one by one when asked for.
pub struct NpzArchive {
    path: PathBuf,
    archive: ZipSliceArchive<Vec<u8>>,
    entries: BTreeMap<String, Entry>,
    /// Bytes that an array may take.
    limit: u64,
}

struct Entry {
    method: CompressionMethod,
    encrypted: bool,
    wayfinder: ZipArchiveEntryWayfinder,
}

/// Deflate cannot expand a byte into more than this many.
const MAX_EXPANSION: u64 = 1032;

/// An array may be so many times as large as the file that it is packed in. Arrays of numbers that mean
/// something pack ten times, of few-bit numbers twenty times.
const USUAL_EXPANSION: u64 = 64;
/// Arrays up to this size are worth no thought.
const SMALL_ARRAY: u64 = 64 << 20;

impl NpzArchive {
    /// Opens a file and lists its arrays.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read, [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if it is no zip archive,
    /// or holds something that is no array, or two arrays of one name.
    pub fn open(path: &Path) -> Result<Self, Error> {
        npy::check_regular(path)?;
        let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
        Self::from_bytes(bytes, path)
    }

    /// Opens an archive that is in memory already; `path` names it in messages.
    ///
    /// # Errors
    /// As [`NpzArchive::open`].
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, Error> {
        let directory = |error: rawzip::Error| {
            Error::malformed(path, "zip directory", error, "a .npz file (a zip archive)")
        };
        let size = bytes.len() as u64;
        let archive = ZipArchive::from_slice(bytes).map_err(directory)?;
        let mut entries = BTreeMap::new();
        let mut records = archive.entries();
        let mut count = 0u64;
        while let Some(record) = records.next_entry().map_err(directory)? {
            count += 1;
            let full = record.file_path();
            let full = std::str::from_utf8(full.as_bytes()).map_err(|error| {
                Error::malformed(path, format!("entry {count}"), error, "a name in UTF-8")
            })?;
            let name = full.strip_suffix(".npy").ok_or_else(|| {
                Error::malformed(
                    path,
                    format!("entry {count}"),
                    format!("the name {full:?}"),
                    "a name ending in .npy",
                )
            })?;
            let entry = Entry {
                method: record.compression_method(),
                encrypted: record.flags().is_encrypted(),
                wayfinder: record.wayfinder(),
            };
            if entries.insert(name.to_owned(), entry).is_some() {
                let found = format!("the name {full:?} again");
                return Err(Error::malformed(
                    path,
                    format!("entry {count}"),
                    found,
                    "each name once",
                ));
            }
        }
        if count != archive.entries_hint() {
            let expected = format!("{}, as the directory says", archive.entries_hint());
            return Err(Error::malformed(
                path,
                "zip directory",
                format!("{count} entries"),
                expected,
            ));
        }
        let limit = size.saturating_mul(USUAL_EXPANSION).max(SMALL_ARRAY);
        Ok(Self { path: path.to_owned(), archive, entries, limit })
    }

    /// Allows arrays of so many bytes, instead of 64 times the file's size or 64 MiB.
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Lists the names of the arrays (without `.npy`), sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Tells whether there is an array of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Decodes one array.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownName`](crate::ErrorKind::UnknownName) if there is none of this name,
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if it is damaged,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for element types and compression methods that are not known.
    pub fn read(&self, name: &str) -> Result<NpyArray, Error> {
        let Some(entry) = self.entries.get(name) else {
            let known: Vec<&str> = self.names().take(32).collect();
            return Err(Error::unknown_name("array", name, &known));
        };
        let damaged = |error: rawzip::Error| {
            Error::malformed(&self.path, format!("entry `{name}`"), error, "an intact zip entry")
        };
        if entry.encrypted {
            let place = format!("entry `{name}`");
            return Err(Error::unsupported(&self.path, place, "encryption", "known: none"));
        }
        let found = self.archive.get_entry(entry.wayfinder).map_err(damaged)?;
        // The sizes of the directory: NumPy leaves those of the local header blank.
        let length = entry.wayfinder.uncompressed_size_hint();
        let data = found.data();
        if length > (data.len() as u64).saturating_mul(MAX_EXPANSION) {
            let place = format!("entry `{name}`");
            let found = format!("{length} bytes packed into {}", data.len());
            let expected = format!("at most {MAX_EXPANSION} times as many");
            return Err(Error::malformed(&self.path, place, found, expected));
        }
        if length > self.limit {
            let found = format!("an array of {length} bytes packed into {}", data.len());
            let expected = format!(
                "at most {} bytes; stored as they are, arrays may have any size",
                self.limit
            );
            return Err(Error::malformed(&self.path, format!("entry `{name}`"), found, expected));
        }
        match entry.method {
            CompressionMethod::STORE => {
                npy::decode(found.verifying_reader(data), length, &self.path, name)
            }
            CompressionMethod::DEFLATE => {
                let reader = found.verifying_reader(DeflateDecoder::new(data));
                npy::decode(std::io::BufReader::new(reader), length, &self.path, name)
            }
            method => Err(Error::unsupported(
                &self.path,
                format!("entry `{name}`"),
                format!("compression {method}"),
                "known: store, deflate",
            )),
        }
    }

    /// Decodes all arrays.
    ///
    /// # Errors
    /// As [`NpzArchive::read`].
    pub fn read_all(&self) -> Result<BTreeMap<String, NpyArray>, Error> {
        self.names().map(|name| Ok((name.to_owned(), self.read(name)?))).collect()
    }
}

/// How the arrays of a new archive are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are (NumPy's `savez`).
    Store,
    /// Compressed (NumPy's `savez_compressed`).
    Deflate,
}

/// A `.npz` file being written; it appears whole with [`NpzWriter::finish`], or not at all.
pub struct NpzWriter {
    path: PathBuf,
    compression: Compression,
    file: AtomicFile,
    zip: rawzip::ZipArchiveWriter<BufWriter<fs::File>>,
    names: std::collections::BTreeSet<String>,
}

impl NpzWriter {
    /// Starts an archive.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the folder cannot be written to.
    pub fn create(path: &Path, compression: Compression) -> Result<Self, Error> {
        let mut file = AtomicFile::create(path)?;
        let handle = file.file().try_clone().map_err(|source| Error::io("write", path, source))?;
        let zip = rawzip::ZipArchiveWriter::new(BufWriter::new(handle));
        let names = std::collections::BTreeSet::new();
        Ok(Self { path: path.to_owned(), compression, file, zip, names })
    }

    /// Writes one array.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) if the name is there already or is too long for a zip archive, [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written.
    pub fn add(&mut self, name: &str, array: &NpyArray) -> Result<(), Error> {
        if name.len() > 60_000 {
            let found = format!("{} bytes", name.len());
            return Err(Error::bad_value("name of an array", found, "at most 60000"));
        }
        if !self.names.insert(name.to_owned()) {
            return Err(Error::bad_value(
                "name of an array",
                format!("`{name}` again"),
                "a new name",
            ));
        }
        self.entry(name, array).map_err(|error| Error::io("write", &self.path, error))
    }

    fn entry(&mut self, name: &str, array: &NpyArray) -> std::io::Result<()> {
        let other = std::io::Error::other;
        let method = match self.compression {
            Compression::Store => CompressionMethod::STORE,
            Compression::Deflate => CompressionMethod::DEFLATE,
        };
        // Names are kept as they are: they are keys, not paths.
        let path = rawzip::path::EntryPath::verbatim(format!("{name}.npy").into_bytes());
        let builder = self.zip.new_file(path).compression_method(method);
        let (mut entry, config) = builder.start().map_err(other)?;
        let descriptor = match self.compression {
            Compression::Store => {
                let mut writer = config.wrap(&mut entry);
                npy::encode(array, &mut writer)?;
                writer.finish().map_err(other)?.1
            }
            Compression::Deflate => {
                let encoder = DeflateEncoder::new(&mut entry, flate2::Compression::fast());
                let mut writer = config.wrap(encoder);
                npy::encode(array, &mut writer)?;
                let (encoder, descriptor) = writer.finish().map_err(other)?;
                encoder.finish()?;
                descriptor
            }
        };
        entry.finish(descriptor).map_err(other)?;
        Ok(())
    }

    /// Completes the archive and gives it its name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written; a file of that name stays as it was.
    pub fn finish(self) -> Result<(), Error> {
        let failed = |error| Error::io("write", &self.path, error);
        let mut writer = self.zip.finish().map_err(|error| failed(std::io::Error::other(error)))?;
        writer.flush().map_err(failed)?;
        drop(writer);
        self.file.commit()
    }
}
