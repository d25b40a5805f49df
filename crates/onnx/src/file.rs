//! Model files: bytes, decoded and encoded.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;

use crate::proto::{ModelProto, TensorProto};
use crate::tensor::TensorValue;
use crate::wire::{self, UnknownField};
use crate::{Error, ErrorKind};

/// A model, and what its file held besides.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The model.
    pub model: ModelProto,
    /// Fields of the file that `model` does not have: a newer version of ONNX, or a private extension.
    pub unknown_fields: Vec<UnknownField>,
}

impl Decoded {
    /// Number of bytes of the file that `model` does not have.
    pub fn unknown_bytes(&self) -> usize {
        self.unknown_fields.iter().map(|field| field.bytes).sum()
    }

    /// Gives the model to a program that writes it again.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownFields`] if the new file would lack something of the old one.
    pub fn rewritable(self) -> Result<ModelProto, Error> {
        let Some(first) = self.unknown_fields.first() else {
            return Ok(self.model);
        };
        let found = format_args!(
            "{} bytes that would be lost: {} fields of kinds that this program does not know, \
             such as number {} of {} at byte {}",
            self.unknown_bytes(),
            self.unknown_fields.iter().map(|field| field.count).sum::<usize>(),
            first.number,
            first.message,
            first.offset,
        );
        Err(Error::new(ErrorKind::UnknownFields, found)
            .hinting("the file is of a newer ONNX version or has private extensions"))
    }
}

/// Reads a model. Fields that are not known are left out; [`read`] tells them.
///
/// # Errors
/// [`ErrorKind::Io`], and those of [`decode`], with the file's name.
pub fn read_model(path: &Path) -> Result<ModelProto, Error> {
    read(path).map(|decoded| decoded.model)
}

/// Reads a model and lists what it cannot represent.
///
/// # Errors
/// [`ErrorKind::Io`], and those of [`decode`], with the file's name.
pub fn read(path: &Path) -> Result<Decoded, Error> {
    decode(bytes_of(path)?).map_err(|error| error.in_file(path))
}

/// Reads a tensor that is stored by itself, as the conformance tests of ONNX and `onnx.save_tensor` store them; gives its name, too.
///
/// # Errors
/// [`ErrorKind::Io`], [`ErrorKind::Malformed`] for a file that is something else, and those of [`TensorValue::from_proto`].
pub fn read_tensor(path: &Path) -> Result<(String, TensorValue), Error> {
    let decoded = || {
        let bytes = Bytes::from(bytes_of(path)?);
        let unknown = wire::scan_tensor(&bytes)?;
        let tensor = TensorProto::decode(bytes).map_err(Error::protobuf)?;
        // Messages of other kinds have fields that no tensor has, or no element type.
        if !unknown.is_empty() || tensor.data_type.is_none() {
            return Err(Error::malformed("the file is no tensor").expected("an ONNX TensorProto"));
        }
        let value = TensorValue::from_proto(&tensor)?;
        Ok((tensor.name().to_owned(), value))
    };
    decoded().map_err(|error: Error| error.in_file(path))
}

/// Reads a whole file of a bearable size.
fn bytes_of(path: &Path) -> Result<Vec<u8>, Error> {
    // Asked first: opening a pipe would wait for somebody to write into it.
    let metadata = fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
    if !metadata.is_file() {
        return Err(no_file("read", path));
    }
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    check_size(metadata.len()).map_err(|error| error.in_file(path))?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // A file that grows meanwhile is read up to the limit.
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read", path, source))?;
    Ok(bytes)
}

/// Decodes the bytes of a file. The model's tensors are slices of them.
///
/// # Errors
/// [`ErrorKind::Malformed`] if they are not an ONNX model, are nested deeper than 100 messages, or
/// would take more memory than a small multiple of their size.
pub fn decode(bytes: impl Into<Bytes>) -> Result<Decoded, Error> {
    let bytes = bytes.into();
    check_size(bytes.len() as u64)?;
    if bytes.is_empty() {
        return Err(Error::malformed("the file is empty").expected("an ONNX model"));
    }
    let unknown_fields = wire::scan(&bytes)?;
    let model = ModelProto::decode(bytes).map_err(Error::protobuf)?;
    Ok(Decoded { model, unknown_fields })
}

/// Encodes a model as the bytes of a file, the same ones each time.
pub fn encode(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Writes a model under a temporary name and renames it: the file appears whole or not at all.
///
/// An old file of that name stays until the new one is complete.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be written, [`ErrorKind::Malformed`] if it could not be read
/// again: above 2 GiB, or nested too deep. Nothing is left behind then.
pub fn write_model(path: &Path, model: &ModelProto) -> Result<(), Error> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(no_file("write", path));
    }
    check_size(model.encoded_len() as u64).map_err(|error| error.in_file(path))?;
    let bytes = encode(model);
    wire::scan(&bytes).map_err(|error| error.in_file(path))?;
    write_atomically(path, &bytes).map_err(|source| Error::io("write", path, source))
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fewbit-").suffix(".tmp");
    // Temporary files are private by default; a model is as readable as any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename survives a power failure only once the folder is on the disk, too. The file is
    // complete by now, so a file system that cannot do this is no failure.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn no_file(action: &str, path: &Path) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
    Error::io(action, path, source)
}

/// The limit of protobuf.
const LARGEST: u64 = (1 << 31) - 1;

fn check_size(bytes: u64) -> Result<(), Error> {
    if bytes > LARGEST {
        let found = format_args!("{bytes} bytes");
        return Err(Error::new(ErrorKind::Malformed, found)
            .expected(format_args!("at most {LARGEST}, the limit of protobuf"))
            .hinting("larger models keep their tensors in other files (external data)"));
    }
    Ok(())
}
