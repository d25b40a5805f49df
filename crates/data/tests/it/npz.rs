//! `.npz`: round trips, NumPy's own files, and archives made to do harm.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fewbit_data::ErrorKind;
use fewbit_data::npy::{DType, NpyArray};
use fewbit_data::npz::{Compression, NpzArchive, NpzWriter};

use crate::{Random, shared};

fn sample() -> Vec<(String, NpyArray)> {
    let values: Vec<f32> = (0..60).map(|i| i as f32 / 7.0).collect();
    vec![
        ("a.b+c-d".to_owned(), NpyArray::new(vec![3, 4, 5], values).unwrap()),
        ("labels".to_owned(), NpyArray::new(vec![4], vec![1i64, -2, 3, 4]).unwrap()),
        ("mask".to_owned(), NpyArray::new(vec![2, 1], vec![true, false]).unwrap()),
        ("scalar".to_owned(), NpyArray::new(vec![], vec![2.5f64]).unwrap()),
        ("../évil/name".to_owned(), NpyArray::new(vec![0], Vec::<u8>::new()).unwrap()),
    ]
}

fn write(path: &Path, compression: Compression) {
    let mut writer = NpzWriter::create(path, compression).unwrap();
    for (name, array) in sample() {
        writer.add(&name, &array).unwrap();
    }
    assert!(!path.exists(), "the file appears only when it is complete");
    writer.finish().unwrap();
}

#[test]
fn round_trip_stored_and_deflated() {
    let folder = tempfile::tempdir().unwrap();
    for compression in [Compression::Store, Compression::Deflate] {
        let path = folder.path().join("a.npz");
        write(&path, compression);
        let archive = NpzArchive::open(&path).unwrap();
        let arrays = archive.read_all().unwrap();
        assert_eq!(arrays.len(), 5);
        for (name, array) in sample() {
            assert_eq!(arrays[&name], array, "{name}");
        }
        assert!(archive.contains("mask") && !archive.contains("task"));
        let error = archive.read("task").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownName);
        assert!(error.hint().unwrap().contains("did you mean `mask`"), "{:?}", error.hint());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_name_twice_or_an_unfinished_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let array = NpyArray::new(vec![1], vec![1u8]).unwrap();
    let mut writer = NpzWriter::create(&path, Compression::Store).unwrap();
    writer.add("x", &array).unwrap();
    assert_eq!(writer.add("x", &array).unwrap_err().kind(), ErrorKind::BadValue);
    assert_eq!(writer.add(&"x".repeat(70_000), &array).unwrap_err().kind(), ErrorKind::BadValue);
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn numpys_files_of_the_golden_set() {
    let Some(shared) = shared() else { return };
    let mut files = Vec::new();
    let mut folders = vec![shared.join("golden")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "npz") {
                files.push(path);
            }
        }
    }
    let (mut arrays, mut elements) = (0, 0usize);
    for path in &files {
        let archive = NpzArchive::open(path).unwrap();
        for name in archive.names() {
            let array = archive.read(name).unwrap();
            arrays += 1;
            elements += array.data().len();
        }
    }
    assert_eq!(files.len(), 38);
    assert!(arrays > 5000, "{arrays} arrays of {elements} elements");
    let archive = NpzArchive::open(&shared.join("golden/f_ckpt_tfc_2w2a_best_check.npz")).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["torch_out8", "x8", "y8"]);
    let x = archive.read("x8").unwrap();
    assert_eq!((x.shape(), x.dtype()), (&[8, 1, 28, 28][..], DType::F32));
    let y = archive.read("y8").unwrap();
    assert_eq!((y.shape(), y.dtype()), (&[8][..], DType::I64));
}

fn build(entries: &[(&str, rawzip::CompressionMethod, &[u8], u64)]) -> Vec<u8> {
    let mut zip = rawzip::ZipArchiveWriter::new(Vec::new());
    for (name, method, packed, length) in entries {
        let path = rawzip::path::EntryPath::verbatim(name.as_bytes());
        let builder = zip.new_file(path).compression_method(*method);
        let (mut entry, _) = builder.start().unwrap();
        entry.write_all(packed).unwrap();
        entry.finish(rawzip::DataDescriptorOutput::new(0, *length)).unwrap();
    }
    zip.finish().unwrap()
}

#[test]
fn hostile_archives_are_refused() {
    use rawzip::CompressionMethod as Method;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "zip directory"),
        (b"no zip at all".to_vec(), "zip directory"),
        (build(&[("notes.txt", Method::STORE, b"hello", 5)]), "notes.txt"),
        (build(&[("x.npy", Method::STORE, b"a", 1), ("x.npy", Method::STORE, b"a", 1)]), "again"),
        // Says that two bytes hold a tebibyte.
        (build(&[("x.npy", Method::DEFLATE, &[3, 0], 1 << 40)]), "packed into 2"),
        (build(&[("x.npy", Method::STORE, b"short", 5)]), "entry `x`"),
        (build(&[("x.npy", Method::DEFLATE, &[0xff; 20], 200)]), "entry `x`"),
        (build(&[("x.npy", Method::ZSTD, &[0; 20], 200)]), "not supported"),
    ];
    assert_eq!(cases.len(), 8);
    for (bytes, part) in cases {
        let path = PathBuf::from("hostile.npz");
        let error = NpzArchive::from_bytes(bytes, &path).and_then(|archive| archive.read_all());
        let message = error.expect_err(part).to_string();
        assert!(message.contains(part) && message.contains("hostile.npz"), "{message} / {part}");
    }
}

#[test]
fn a_wrong_checksum_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    write(&path, Compression::Store);
    let mut bytes = fs::read(&path).unwrap();
    // The last value of the first array: no header says anything about it.
    let needle = (59.0f32 / 7.0).to_le_bytes();
    let at = bytes.windows(4).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    let archive = NpzArchive::from_bytes(bytes, &path).unwrap();
    assert_eq!(archive.read("a.b+c-d").unwrap_err().kind(), ErrorKind::Malformed);
    assert!(archive.read("labels").is_ok());
}

#[test]
fn cut_or_mutated_archives_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let mut random = Random(11);
    let (mut opened, mut read, mut refused) = (0, 0, 0);
    for compression in [Compression::Store, Compression::Deflate] {
        write(&path, compression);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for length in 0..good.len() {
            let archive = NpzArchive::from_bytes(good[..length].to_vec(), &path);
            assert!(archive.is_err(), "cut to {length} of {} bytes", good.len());
        }
        for _ in 0..6000 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.u64() as u8;
            }
            let Ok(archive) = NpzArchive::from_bytes(bytes, &path) else {
                refused += 1;
                continue;
            };
            opened += 1;
            for name in archive.names() {
                match archive.read(name) {
                    Ok(_) => read += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(opened > 1000 && read > 1000 && refused > 1000, "{opened} {read} {refused}");
}

/// A small file that becomes a large array: only with permission.
#[test]
fn arrays_are_no_larger_than_their_file_allows() {
    const SIZE: usize = 80 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros.npz");
    let mut writer = NpzWriter::create(&path, Compression::Deflate).unwrap();
    writer.add("zeros", &NpyArray::new(vec![SIZE], vec![0u8; SIZE]).unwrap()).unwrap();
    writer.add("one", &NpyArray::new(vec![1], vec![1u8]).unwrap()).unwrap();
    writer.finish().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    let archive = NpzArchive::open(&path).unwrap();
    let error = archive.read("zeros").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    for words in ["zeros.npz", "entry `zeros`", "at most 67108864 bytes"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(archive.read("one").unwrap().as_slice::<u8>(), Some(&[1][..]));
    let allowed = archive.with_limit(SIZE as u64 + 1024).read("zeros").unwrap();
    assert_eq!(allowed.shape(), [SIZE]);
}
