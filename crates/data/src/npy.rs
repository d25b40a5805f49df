//! NumPy's `.npy` files: one array each.

mod header;

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use half::f16;

use crate::Error;
use crate::atomic::AtomicFile;
use header::{ByteOrder, Header};

/// An array of any rank in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyArray {
    shape: Vec<usize>,
    data: NpyData,
}

/// The elements of an array, by their type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the types")]
pub enum NpyData {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the types")]
pub enum DType {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
}

/// A type that an array can hold.
pub trait Element: sealed::Sealed + Copy + 'static {
    /// The type's name at run time.
    const DTYPE: DType;
}

/// Reads a `.npy` file, of format version 1, 2 or 3, in C or Fortran order and either byte order.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read,
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if it is no such file or its size is not the one its header promises,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for element types that [`DType`] does not have.
pub fn read(path: &Path) -> Result<NpyArray, Error> {
    check_regular(path)?;
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let length = file.metadata().map_err(|source| Error::io("read", path, source))?.len();
    decode(BufReader::new(file), length, path, "")
}

/// Refuses what is no file with an end: folders, devices, and pipes, which cannot be opened without waiting.
pub(crate) fn check_regular(path: &Path) -> Result<(), Error> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
    if metadata.is_file() {
        return Ok(());
    }
    let reason = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
    Err(Error::io("read", path, reason))
}

/// Writes a `.npy` file; it appears whole or not at all.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written; a file of that name stays as it was.
pub fn write(path: &Path, array: &NpyArray) -> Result<(), Error> {
    let mut file = AtomicFile::create(path)?;
    encode(array, file.file()).map_err(|source| Error::io("write", path, source))?;
    file.commit()
}

impl NpyArray {
    /// Makes an array of a shape and its elements in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) if the shape has another number of elements.
    ///
    /// # Examples
    /// ```
    /// use fewbit_data::npy::{DType, NpyArray};
    /// let array = NpyArray::new(vec![2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!((array.shape(), array.dtype()), (&[2, 3][..], DType::F32));
    /// assert_eq!(array.as_slice::<f32>().map(|x| x[5]), Some(6.0));
    /// assert!(array.as_slice::<f64>().is_none());
    /// # Ok::<(), fewbit_data::Error>(())
    /// ```
    pub fn new(shape: Vec<usize>, data: impl Into<NpyData>) -> Result<Self, Error> {
        let data = data.into();
        let count = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        if count != Some(data.len()) {
            let found = format!("{} elements", data.len());
            return Err(Error::bad_value("array", found, format!("the shape {shape:?}")));
        }
        Ok(Self { shape, data })
    }

    /// Returns the extents, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements in row-major order.
    pub fn data(&self) -> &NpyData {
        &self.data
    }

    /// Returns the type of the elements.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Returns the elements, or nothing if they are of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// Takes the elements out, or gives the array back if they are of another type.
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>, Self> {
        T::vec(self.data).map_err(|data| Self { shape: self.shape, data })
    }

    /// Takes the array apart.
    pub fn into_parts(self) -> (Vec<usize>, NpyData) {
        (self.shape, self.data)
    }
}

mod sealed {
    use super::NpyData;
    use std::io;

    pub trait Sealed: Sized {
        const SIZE: usize;
        fn slice(data: &NpyData) -> Option<&[Self]>;
        fn vec(data: NpyData) -> Result<Vec<Self>, NpyData>;
        /// Appends the elements of whole little-endian groups; the index of one that is no value of the type is the error.
        fn extend(out: &mut Vec<Self>, bytes: &[u8]) -> Result<(), usize>;
        fn put(values: &[Self], out: &mut dyn io::Write) -> io::Result<()>;
    }
}

macro_rules! elements {
    ($($variant:ident $type:ty, $size:literal, $code:literal, $put:expr, $get:expr;)*) => {
        $(
            impl Element for $type {
                const DTYPE: DType = DType::$variant;
            }

            impl From<Vec<$type>> for NpyData {
                fn from(values: Vec<$type>) -> Self {
                    Self::$variant(values)
                }
            }

            impl sealed::Sealed for $type {
                const SIZE: usize = $size;

                fn slice(data: &NpyData) -> Option<&[Self]> {
                    if let NpyData::$variant(values) = data { Some(values) } else { None }
                }

                fn vec(data: NpyData) -> Result<Vec<Self>, NpyData> {
                    if let NpyData::$variant(values) = data { Ok(values) } else { Err(data) }
                }

                fn extend(out: &mut Vec<Self>, bytes: &[u8]) -> Result<(), usize> {
                    let get: fn([u8; $size]) -> Option<$type> = $get;
                    let (groups, _) = bytes.as_chunks::<$size>();
                    for group in groups {
                        out.push(get(*group).ok_or(out.len())?);
                    }
                    Ok(())
                }

                fn put(values: &[Self], out: &mut dyn Write) -> std::io::Result<()> {
                    let put: fn($type) -> [u8; $size] = $put;
                    let mut buffer = Vec::with_capacity(BLOCK);
                    for block in values.chunks(BLOCK / $size) {
                        buffer.clear();
                        block.iter().for_each(|&value| buffer.extend_from_slice(&put(value)));
                        out.write_all(&buffer)?;
                    }
                    Ok(())
                }
            }
        )*

        impl NpyData {
            /// Returns the type of the elements.
            pub fn dtype(&self) -> DType {
                match self { $(Self::$variant(_) => DType::$variant,)* }
            }

            /// Returns how many elements there are.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(values) => values.len(),)* }
            }

            fn put(&self, out: &mut dyn Write) -> std::io::Result<()> {
                match self { $(Self::$variant(values) => sealed::Sealed::put(values, out),)* }
            }
        }

        impl DType {
            const ALL: &[DType] = &[$(DType::$variant),*];

            /// Returns NumPy's code, as `f4`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Returns the size of one element in bytes.
            pub fn size(self) -> usize {
                match self { $(Self::$variant => $size,)* }
            }

            fn read(self, from: &mut Elements<'_>) -> Result<NpyData, Error> {
                match self { $(Self::$variant => from.read::<$type>().map(NpyData::$variant),)* }
            }
        }
    };
}

elements! {
    Bool bool, 1, "b1", |x| [u8::from(x)], |[x]| match x { 0 => Some(false), 1 => Some(true), _ => None };
    I8 i8, 1, "i1", i8::to_le_bytes, |x| Some(i8::from_le_bytes(x));
    I16 i16, 2, "i2", i16::to_le_bytes, |x| Some(i16::from_le_bytes(x));
    I32 i32, 4, "i4", i32::to_le_bytes, |x| Some(i32::from_le_bytes(x));
    I64 i64, 8, "i8", i64::to_le_bytes, |x| Some(i64::from_le_bytes(x));
    U8 u8, 1, "u1", u8::to_le_bytes, |x| Some(u8::from_le_bytes(x));
    U16 u16, 2, "u2", u16::to_le_bytes, |x| Some(u16::from_le_bytes(x));
    U32 u32, 4, "u4", u32::to_le_bytes, |x| Some(u32::from_le_bytes(x));
    U64 u64, 8, "u8", u64::to_le_bytes, |x| Some(u64::from_le_bytes(x));
    F16 f16, 2, "f2", f16::to_le_bytes, |x| Some(f16::from_le_bytes(x));
    F32 f32, 4, "f4", f32::to_le_bytes, |x| Some(f32::from_le_bytes(x));
    F64 f64, 8, "f8", f64::to_le_bytes, |x| Some(f64::from_le_bytes(x));
}

impl NpyData {
    /// Tells whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes moved at a time; a multiple of every element size.
const BLOCK: usize = 1 << 16;

/// Decodes an array of exactly `length` bytes. `entry` names it inside the archive `path`, or is empty.
pub(crate) fn decode(
    mut reader: impl Read,
    length: u64,
    path: &Path,
    entry: &str,
) -> Result<NpyArray, Error> {
    let place = |what: &str| {
        if entry.is_empty() { what.to_owned() } else { format!("entry `{entry}`, {what}") }
    };
    let header = Header::read(&mut reader, length, path, &place)?;
    let mut elements = Elements { reader: &mut reader, header: &header, path, place: &place };
    let mut data = header.dtype.read(&mut elements)?;
    // One more read also makes an archive compare the checksum of the entry.
    let mut rest = [0u8];
    match reader.read(&mut rest) {
        Ok(0) => {}
        Ok(_) => {
            let end = place(&format!("byte {length}"));
            return Err(Error::malformed(path, end, "more bytes", "the end of the array"));
        }
        Err(error) => {
            return Err(Error::malformed(path, place("contents"), error, "an intact array"));
        }
    }
    if header.fortran_order {
        data = data.into_c_order(&header.shape);
    }
    Ok(NpyArray { shape: header.shape, data })
}

/// Writes the header (version 1, or 2 where that is too small) and the elements.
pub(crate) fn encode(array: &NpyArray, out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(&header::encode(array.dtype(), &array.shape))?;
    array.data.put(out)?;
    out.flush()
}

struct Elements<'a> {
    reader: &'a mut dyn Read,
    header: &'a Header,
    path: &'a Path,
    place: &'a dyn Fn(&str) -> String,
}

impl Elements<'_> {
    fn read<T: Element>(&mut self) -> Result<Vec<T>, Error> {
        let count = self.header.count;
        // The header may lie about a compressed array, so memory follows the bytes that really come.
        let mut values = Vec::with_capacity(count.min(BLOCK));
        let mut buffer = vec![0u8; BLOCK.min(count * T::SIZE)];
        while values.len() < count {
            let block = &mut buffer[..BLOCK.min((count - values.len()) * T::SIZE)];
            if let Err(error) = self.reader.read_exact(block) {
                let place = (self.place)(&format!("after element {} of {count}", values.len()));
                return Err(Error::malformed(self.path, place, error, "the rest of the array"));
            }
            if self.header.byte_order == ByteOrder::Big && T::SIZE > 1 {
                block.chunks_exact_mut(T::SIZE).for_each(<[u8]>::reverse);
            }
            T::extend(&mut values, block).map_err(|index| {
                let place = (self.place)(&format!("element {index}"));
                let byte = block[(index * T::SIZE) % BLOCK];
                Error::malformed(self.path, place, format!("the byte {byte}"), "0 or 1")
            })?;
        }
        Ok(values)
    }
}

impl NpyData {
    fn into_c_order(self, shape: &[usize]) -> Self {
        match self {
            Self::Bool(values) => Self::Bool(c_order(&values, shape)),
            Self::I8(values) => Self::I8(c_order(&values, shape)),
            Self::I16(values) => Self::I16(c_order(&values, shape)),
            Self::I32(values) => Self::I32(c_order(&values, shape)),
            Self::I64(values) => Self::I64(c_order(&values, shape)),
            Self::U8(values) => Self::U8(c_order(&values, shape)),
            Self::U16(values) => Self::U16(c_order(&values, shape)),
            Self::U32(values) => Self::U32(c_order(&values, shape)),
            Self::U64(values) => Self::U64(c_order(&values, shape)),
            Self::F16(values) => Self::F16(c_order(&values, shape)),
            Self::F32(values) => Self::F32(c_order(&values, shape)),
            Self::F64(values) => Self::F64(c_order(&values, shape)),
        }
    }
}

/// Brings column-major elements into row-major order.
fn c_order<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1usize;
    for &dim in shape {
        strides.push(stride);
        stride = stride.saturating_mul(dim);
    }
    let mut index = vec![0usize; shape.len()];
    let mut from = 0;
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        out.push(values[from]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            from += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            from -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}
