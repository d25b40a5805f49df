//! Tensor data in other files, which a model may name only in its own folder.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::proto::StringStringEntryProto;
use crate::text::quoted;
use crate::{Error, ErrorKind};

/// The folder of a model, from which its external data may be read.
///
/// Having one is the permission: without it, external data is refused. Checksums are not verified.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// Without links.
    folder: PathBuf,
}

impl ModelFolder {
    /// The folder that a model file lies in.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is no such folder.
    pub fn of_model(model: &Path) -> Result<Self, Error> {
        let folder = match model.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder =
            fs::canonicalize(folder).map_err(|source| Error::io("open", folder, source))?;
        Ok(Self { folder })
    }

    /// Reads the `size` bytes that the entries of `external_data` describe.
    pub(super) fn read(
        &self,
        entries: &[StringStringEntryProto],
        size: usize,
    ) -> Result<Vec<u8>, Error> {
        let place = Place::parse(entries)?;
        let path = self.resolve(place.location)?;
        let outside = |error: Error| error.within(format_args!("file {}", quoted(place.location)));
        let failed = |source| outside(Error::io("read", &path, source));
        let mut file = File::open(&path).map_err(failed)?;
        let available = file.metadata().map_err(failed)?.len();
        let offset = place.offset.unwrap_or(0);
        let length = place.length.unwrap_or_else(|| available.saturating_sub(offset));
        let expected = size as u64;
        if length != expected {
            return Err(outside(
                Error::new(ErrorKind::ExternalData, format_args!("{length} bytes"))
                    .expected(format_args!("{expected} for the tensor's type and shape")),
            ));
        }
        if offset.checked_add(length).is_none_or(|end| end > available) {
            let found = format_args!("{length} bytes at {offset} of a file of {available} bytes");
            return Err(outside(Error::new(ErrorKind::ExternalData, found)));
        }
        let mut bytes = vec![0; size];
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// The file that `location` names, which has to be in the folder, links followed.
    fn resolve(&self, location: &str) -> Result<PathBuf, Error> {
        let refuse = |why: &str| {
            let found = format_args!("the location {} {why}", quoted(location));
            Error::new(ErrorKind::ExternalData, found).expected("a file in the model's folder")
        };
        let relative = Path::new(location);
        if location.is_empty() || location.contains('\0') {
            return Err(refuse("is no file name"));
        }
        let inside = |component| matches!(component, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(inside) {
            return Err(refuse("leads out of the model's folder"));
        }
        let path = self.folder.join(relative);
        let path = fs::canonicalize(&path).map_err(|source| {
            Error::io("open", &path, source).within(format_args!("file {}", quoted(location)))
        })?;
        if !path.starts_with(&self.folder) {
            return Err(refuse("is a link out of the model's folder"));
        }
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            return Err(refuse("is not a regular file"));
        }
        Ok(path)
    }
}

/// What the entries say.
struct Place<'a> {
    location: &'a str,
    offset: Option<u64>,
    length: Option<u64>,
}

impl<'a> Place<'a> {
    fn parse(entries: &'a [StringStringEntryProto]) -> Result<Self, Error> {
        let value = |key: &str| -> Result<Option<&'a str>, Error> {
            let mut values = entries.iter().filter(|entry| entry.key() == key);
            match (values.next(), values.next()) {
                (first, None) => Ok(first.map(StringStringEntryProto::value)),
                (_, Some(_)) => {
                    let found = format_args!("external data with two values of {key}");
                    Err(Error::new(ErrorKind::ExternalData, found).expected("one"))
                }
            }
        };
        let number = |key: &str| -> Result<Option<u64>, Error> {
            let parse = |text: &str| {
                text.parse().map_err(|_| {
                    let found = format_args!("external data with the {key} {}", quoted(text));
                    Error::new(ErrorKind::ExternalData, found).expected("a number of bytes")
                })
            };
            value(key)?.map(parse).transpose()
        };
        let location = value("location")?.ok_or_else(|| {
            Error::new(ErrorKind::ExternalData, "external data without a location")
        })?;
        Ok(Self { location, offset: number("offset")?, length: number("length")? })
    }
}
