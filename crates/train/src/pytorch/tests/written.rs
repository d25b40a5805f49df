//! Writes files of `torch.save` by hand.

use std::io::Write;

use rawzip::CompressionMethod;

/// Instructions of a pickle.
#[derive(Clone, Default)]
pub(super) struct Pickle(pub Vec<u8>);

impl Pickle {
    /// The start of protocol 2, which `torch.save` writes.
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Instructions without arguments.
    pub fn op(mut self, opcodes: &[u8]) -> Self {
        self.0.extend(opcodes);
        self
    }

    /// `BINUNICODE`.
    pub fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.op(b"X").op(&length).op(text.as_bytes())
    }

    /// `LONG1` of 8 bytes.
    pub fn int(self, value: i64) -> Self {
        self.op(b"\x8a\x08").op(&value.to_le_bytes())
    }

    /// `BINFLOAT`.
    pub fn float(self, value: f64) -> Self {
        self.op(b"G").op(&value.to_be_bytes())
    }

    /// `GLOBAL`.
    pub fn class(self, module: &str, name: &str) -> Self {
        self.op(b"c").op(module.as_bytes()).op(b"\n").op(name.as_bytes()).op(b"\n")
    }

    /// A tuple of integers.
    pub fn sizes(self, sizes: &[i64]) -> Self {
        sizes.iter().fold(self.op(b"("), |pickle, &size| pickle.int(size)).op(b"t")
    }

    /// A reference to a storage.
    pub fn storage(self, class: &str, key: &str, numbers: i64) -> Self {
        let pickle = self.op(b"(").text("storage").class("torch", class).text(key);
        pickle.text("cpu").int(numbers).op(b"tQ")
    }

    /// An empty `OrderedDict`.
    pub fn ordered_dict(self) -> Self {
        self.class("collections", "OrderedDict").op(b")R")
    }

    /// A tensor of a storage that `storage` pushes.
    pub fn tensor(
        self,
        storage: impl FnOnce(Self) -> Self,
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> Self {
        let pickle = self.class("torch._utils", "_rebuild_tensor_v2").op(b"(");
        let pickle = storage(pickle).int(offset).sizes(shape).sizes(strides);
        pickle.op(b"\x89").ordered_dict().op(b"tR")
    }

    /// A float tensor that is a whole storage.
    pub fn floats(self, key: &str, length: i64) -> Self {
        self.tensor(|p| p.storage("FloatStorage", key, length), 0, &[length], &[1])
    }
}

/// The layouts of files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    /// An archive.
    Zip,
    /// Pickles in a row.
    Legacy,
}

impl Layout {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Zip, Self::Legacy];

    /// A file whose contents are what `pickle` leaves on the stack.
    pub fn file(self, pickle: &Pickle, storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let pickle = pickle.clone().op(b".").0;
        match self {
            Self::Zip => {
                let mut entries = vec![
                    ("best/data.pkl".to_owned(), pickle),
                    ("best/byteorder".to_owned(), b"little".to_vec()),
                ];
                for (key, bytes) in storages {
                    entries.push((format!("best/data/{key}"), bytes.clone()));
                }
                zip(&entries, CompressionMethod::STORE)
            }
            Self::Legacy => {
                let machine = Pickle::new().op(b"}").text("little_endian").op(b"\x88s.");
                legacy(machine, &pickle, storages)
            }
        }
    }
}

/// Pickles in a row; each storage's length is counted in numbers of 4 bytes.
pub(super) fn legacy(machine: Pickle, contents: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(machine.0);
    file.extend(contents);
    let keys = storages.iter().fold(Pickle::new().op(b"]("), |keys, (key, _)| keys.text(key));
    file.extend(keys.op(b"e.").0);
    for (_, bytes) in storages {
        file.extend((bytes.len() as u64 / 4).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// A zip archive.
pub(super) fn zip(entries: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut file = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut file);
    for (name, bytes) in entries {
        let path = rawzip::path::EntryPath::verbatim(name.clone().into_bytes());
        let (mut entry, config) =
            archive.new_file(path).compression_method(method).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(bytes).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    file
}

/// The bytes of floats.
pub(super) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
