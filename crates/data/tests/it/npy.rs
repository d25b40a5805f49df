//! `.npy`: every element type there and back, both orders, and files made to do harm.

use std::fs;
use std::path::Path;

use fewbit_data::npy::{self, NpyArray, NpyData};
use fewbit_data::{Error, ErrorKind};
use half::f16;

use crate::Random;

fn of_each_type() -> Vec<NpyArray> {
    let shape = vec![2, 1, 3];
    let data: Vec<NpyData> = vec![
        vec![true, false, true, true, false, false].into(),
        vec![i8::MIN, -1, 0, 1, 2, i8::MAX].into(),
        vec![i16::MIN, -1, 0, 1, 2, i16::MAX].into(),
        vec![i32::MIN, -1, 0, 1, 2, i32::MAX].into(),
        vec![i64::MIN, -1, 0, 1, 2, i64::MAX].into(),
        vec![0u8, 1, 2, 3, 254, 255].into(),
        vec![0u16, 1, 2, 3, 4, u16::MAX].into(),
        vec![0u32, 1, 2, 3, 4, u32::MAX].into(),
        vec![0u64, 1, 2, 3, 4, u64::MAX].into(),
        vec![0.0f32, -0.0, 1e-45, -3.5, f32::INFINITY, f32::MAX].into(),
        [0.0f32, -0.0, 6e-8, -3.5, f32::INFINITY, 65504.0].map(f16::from_f32).to_vec().into(),
        vec![0.0f64, -0.0, 5e-324, -3.5, f64::NEG_INFINITY, f64::MAX].into(),
    ];
    data.into_iter().map(|data| NpyArray::new(shape.clone(), data).unwrap()).collect()
}

/// A file with this header text and these elements.
fn file(version: u8, header: &str, elements: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

fn read(bytes: &[u8]) -> Result<NpyArray, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    fs::write(&path, bytes).unwrap();
    npy::read(&path)
}

#[test]
fn every_type_and_rank_survives_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut arrays = of_each_type();
    assert_eq!(arrays.len(), 12);
    for shape in [vec![], vec![1], vec![0], vec![4, 0, 5], vec![1; 64]] {
        let count = shape.iter().product();
        arrays.push(NpyArray::new(shape, vec![0.25f32; count]).unwrap());
    }
    // Longer than the blocks that are moved at a time, and no multiple of them.
    let long: Vec<i64> = (0..100_003).map(|i| i * i).collect();
    arrays.push(NpyArray::new(vec![100_003], long).unwrap());
    for array in &arrays {
        npy::write(&path, array).unwrap();
        assert_eq!(&npy::read(&path).unwrap(), array, "{:?} {}", array.shape(), array.dtype());
        let bytes = fs::read(&path).unwrap();
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((header % 64, bytes[header - 1]), (0, b'\n'), "aligned as NumPy does it");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn nan_keeps_its_bits() {
    let bits = [0x7fc0_0001u32, 0xffa0_0123, 0x7f80_0001];
    let values: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.npy");
    npy::write(&path, &NpyArray::new(vec![3], values).unwrap()).unwrap();
    let values = npy::read(&path).unwrap().into_vec::<f32>().unwrap();
    assert_eq!(values.map_bits(), bits);
}

#[test]
fn halves_as_numpy_writes_them() {
    // numpy.save of numpy.array([1.5, -2.0], "<f2"), and of the same as ">f2".
    let expected = NpyArray::new(vec![2], [1.5, -2.0].map(f16::from_f32).to_vec()).unwrap();
    for (order, elements) in [("<", [0, 0x3e, 0, 0xc0]), (">", [0x3e, 0, 0xc0, 0])] {
        let header = format!("{{'descr': '{order}f2', 'fortran_order': False, 'shape': (2,), }}");
        assert_eq!(read(&file(1, &header, &elements)).unwrap(), expected, "{order}");
    }
}

trait MapBits {
    fn map_bits(&self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}

#[test]
fn dialects_of_the_header() {
    let values = NpyArray::new(vec![2, 3], vec![1i16, 2, 3, 4, 5, 6]).unwrap();
    let little: Vec<u8> = [1i16, 2, 3, 4, 5, 6].iter().flat_map(|x| x.to_le_bytes()).collect();
    let big: Vec<u8> = [1i16, 2, 3, 4, 5, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
    let columns: Vec<u8> = [1i16, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_le_bytes()).collect();
    let cases = [
        (1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }     \n", &little),
        (2, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n", &little),
        (3, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n", &little),
        (1, "{\"shape\":(2L,3L),\"descr\":\"<i2\",\"fortran_order\":False}", &little),
        (1, "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3)}", &big),
        (1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3)}", &columns),
    ];
    for (version, header, elements) in cases {
        assert_eq!(read(&file(version, header, elements)).unwrap(), values, "{version} {header}");
    }
}

#[test]
fn fortran_order_of_higher_rank() {
    let shape = [2usize, 3, 4];
    let mut columns = vec![0u8; 24];
    for (i, j, k) in (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..4).map(move |k| (i, j, k)))) {
        columns[i + 2 * j + 6 * k] = (i * 12 + j * 4 + k) as u8;
    }
    let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4)}";
    let array = read(&file(1, header, &columns)).unwrap();
    assert_eq!(array, NpyArray::new(shape.to_vec(), (0..24).collect::<Vec<u8>>()).unwrap());
}

#[test]
fn hostile_headers_are_refused() {
    let shape = |shape: &str| {
        file(1, &format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"), &[0; 8])
    };
    let text = |header: &str| file(1, header, &[0; 8]);
    let cases: Vec<(Vec<u8>, ErrorKind, &str)> = vec![
        (vec![], ErrorKind::Malformed, "byte 0"),
        (b"\x93NUMPY\x01\x00\xff".to_vec(), ErrorKind::Malformed, "byte 0"),
        (b"PK\x03\x04 no array here".to_vec(), ErrorKind::Malformed, "byte 0"),
        (file(4, "{}", &[]), ErrorKind::Unsupported, "version 4"),
        (file(2, "{}", &[])[..11].to_vec(), ErrorKind::Malformed, "byte 10"),
        (
            [&b"\x93NUMPY\x02\x00"[..], &[0xff; 4], &[b' '; 40]].concat(),
            ErrorKind::Malformed,
            "byte 8",
        ),
        (shape("(3,)"), ErrorKind::Malformed, "for the shape [3] of f4"),
        (shape("(1,)"), ErrorKind::Malformed, "for the shape [1] of f4"),
        (shape("(-2,)"), ErrorKind::Malformed, "`-2,)"),
        (shape("(4000000000000000000,)"), ErrorKind::Malformed, "for the shape"),
        (shape("(18446744073709551616,)"), ErrorKind::Malformed, "18446744073709551616"),
        (shape("(4294967296, 4294967296)"), ErrorKind::Malformed, "fewer than 2^64"),
        (shape(&format!("({})", "1,".repeat(65))), ErrorKind::Malformed, "at most 64"),
        (shape("(2.0,)"), ErrorKind::Malformed, ".0,)"),
        (shape("2"), ErrorKind::Malformed, "expected `(`"),
        (shape("(2,"), ErrorKind::Malformed, "expected"),
        (text(""), ErrorKind::Malformed, "expected `{`"),
        (text("{"), ErrorKind::Malformed, "quoted string"),
        (text("{}"), ErrorKind::Malformed, "missing key"),
        (text("{'descr"), ErrorKind::Malformed, "quoted string"),
        (text("{'descr': '<f4', 'descr': '<f4'}"), ErrorKind::Malformed, "twice"),
        (text("{'colour': 3}"), ErrorKind::Malformed, "`colour`"),
        (text("{'descr': ''}"), ErrorKind::Unsupported, "element type"),
        (text("{'descr': '<f16'}"), ErrorKind::Unsupported, "`<f16`"),
        (text("{'descr': '<c8'}"), ErrorKind::Unsupported, "`<c8`"),
        (text("{'descr': '|O'}"), ErrorKind::Unsupported, "`|O`"),
        (text("{'descr': '|f4'}"), ErrorKind::Unsupported, "`|f4`"),
        (text("{'descr': [('x', '<f4')]}"), ErrorKind::Unsupported, "records"),
        (text("{'fortran_order': 1}"), ErrorKind::Malformed, "True or False"),
        (
            text("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x"),
            ErrorKind::Malformed,
            "nothing after the dictionary",
        ),
        (
            file(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", &[0, 1, 2]),
            ErrorKind::Malformed,
            "element 2",
        ),
    ];
    assert_eq!(cases.len(), 31);
    for (bytes, kind, part) in cases {
        let error = read(&bytes).expect_err(&format!("{}", String::from_utf8_lossy(&bytes)));
        assert_eq!(error.kind(), kind, "{error}");
        let message = error.to_string();
        assert!(message.contains(part) && message.contains("a.npy"), "{message} / {part}");
    }
    assert_eq!(npy::read(Path::new("/nowhere/a.npy")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn cut_or_lengthened_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let array = NpyArray::new(vec![5], vec![1.0f64; 5]).unwrap();
    npy::write(&path, &array).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 128 + 40);
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).expect_err(&format!("cut to {length} bytes"));
        assert_eq!(error.kind(), ErrorKind::Malformed, "{length}: {error}");
    }
    assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    assert!(read(&bytes).is_ok());
}

#[test]
fn mutated_bytes_never_panic() {
    let mut random = Random(7);
    let header = "{'descr': '<i4', 'fortran_order': True, 'shape': (3, 4), }\n";
    let good = file(1, header, &[1; 48]);
    assert!(read(&good).is_ok());
    let (mut accepted, mut refused) = (0, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.npy");
    for _ in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(header.len() + 10);
            bytes[at] = random.u64() as u8;
        }
        fs::write(&path, &bytes).unwrap();
        match npy::read(&path) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 10 && refused > 2000, "accepted {accepted}, refused {refused}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases = vec![folder.path().to_owned()];
    if Path::new("/dev/zero").exists() {
        cases.push("/dev/zero".into());
    }
    for path in cases {
        let archive = fewbit_data::npz::NpzArchive::open(&path).map(drop);
        for error in [npy::read(&path).unwrap_err(), archive.unwrap_err()] {
            let message = error.to_string();
            assert!(message.contains("not a regular file"), "{message}");
            assert!(message.contains(path.to_str().unwrap()), "{message}");
        }
    }
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let array = NpyArray::new(vec![1], vec![1u8]).unwrap();
    let path = folder.path().join("no such folder").join("a.npy");
    assert_eq!(npy::write(&path, &array).unwrap_err().kind(), ErrorKind::Io);
    // A folder stands where the file should be: the rename fails, and nothing is left behind.
    let taken = folder.path().join("taken.npy");
    fs::create_dir(&taken).unwrap();
    assert_eq!(npy::write(&taken, &array).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_shape_must_fit_its_elements() {
    assert_eq!(NpyArray::new(vec![2, 2], vec![0u8; 3]).unwrap_err().kind(), ErrorKind::BadValue);
    let huge = vec![usize::MAX, 2];
    assert_eq!(NpyArray::new(huge, vec![0u8; 3]).unwrap_err().kind(), ErrorKind::BadValue);
}
