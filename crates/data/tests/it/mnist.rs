//! MNIST: the real files, small ones made here, and every way in which they can be damaged.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use fewbit_data::mnist::{FileState, check};
use fewbit_data::{Dataset, DatasetName, Error, ErrorKind, Split};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use crate::shared;

const IMAGES: &str = "t10k-images-idx3-ubyte";
const LABELS: &str = "t10k-labels-idx1-ubyte";

fn image_file(count: u32, height: u32, width: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [0x0803, count, height, width].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    bytes.extend((0..count * height * width).map(|i| (i % 251) as u8));
    bytes
}

fn label_file(labels: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [0x0801, labels.len() as u32].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    bytes.extend(labels);
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn open(datadir: &Path) -> Result<Dataset, Error> {
    Dataset::open(DatasetName::Mnist, datadir, Split::Test, None)
}

#[test]
fn found_in_every_customary_place_packed_and_unpacked() {
    let mut cases = 0;
    for folder in [".", "mnist", "MNIST/raw"] {
        for pack in [false, true] {
            let datadir = tempfile::tempdir().unwrap();
            let place = datadir.path().join(folder);
            fs::create_dir_all(&place).unwrap();
            for (name, bytes) in [(IMAGES, image_file(3, 28, 28)), (LABELS, label_file(&[9, 0, 4]))]
            {
                if pack {
                    fs::write(place.join(format!("{name}.gz")), packed(&bytes)).unwrap();
                } else {
                    fs::write(place.join(name), bytes).unwrap();
                }
            }
            let dataset = open(datadir.path()).unwrap();
            assert_eq!((dataset.len(), dataset.labels()), (3, &[9, 0, 4][..]));
            assert_eq!(dataset.images(), &image_file(3, 28, 28)[16..]);
            let train = Dataset::open(DatasetName::Mnist, datadir.path(), Split::Train, None);
            assert_eq!(train.unwrap_err().kind(), ErrorKind::Missing);
            cases += 1;
        }
    }
    assert_eq!(cases, 6);
}

#[test]
fn missing_files_say_where_they_were_looked_for_and_how_to_get_them() {
    let datadir = tempfile::tempdir().unwrap();
    for datadir in [datadir.path().to_owned(), datadir.path().join("not there")] {
        let error = open(&datadir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        let message = error.to_string();
        for place in ["", "mnist", "MNIST/raw"] {
            let place = datadir.join(place).join("t10k-images-idx3-ubyte[.gz]");
            assert!(message.contains(&place.display().to_string()), "{message}");
        }
        assert!(error.hint().unwrap().contains("fewbit data fetch mnist"), "{:?}", error.hint());
    }
}

#[test]
fn limits() {
    let datadir = tempfile::tempdir().unwrap();
    fs::write(datadir.path().join(IMAGES), image_file(3, 28, 28)).unwrap();
    fs::write(datadir.path().join(LABELS), label_file(&[9, 0, 4])).unwrap();
    for (limit, count) in [(1, 1), (2, 2), (3, 3), (4, 3), (usize::MAX, 3)] {
        let dataset = Dataset::open(DatasetName::Mnist, datadir.path(), Split::Test, Some(limit));
        let dataset = dataset.unwrap();
        assert_eq!((dataset.len(), dataset.images().len()), (count, count * 784), "{limit}");
    }
    let none = Dataset::open(DatasetName::Mnist, datadir.path(), Split::Test, Some(0));
    assert_eq!(none.unwrap_err().kind(), ErrorKind::BadValue);
}

#[test]
fn damaged_files_are_refused_with_the_place_and_the_value() {
    let good_images = image_file(3, 28, 28);
    let good_labels = label_file(&[9, 0, 4]);
    let with = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    // A packed image file with 60,001 images would need more memory than MNIST ever does.
    let bomb = packed(&[&image_file(0, 28, 28)[..4], &[0, 255, 255, 255], &[0; 100_000]].concat());
    let mut flipped = packed(&good_images);
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (IMAGES, vec![], &["byte 0", "after 0 bytes"]),
        (LABELS, vec![], &["byte 0", "after 0 bytes"]),
        (IMAGES, good_images[..3].to_vec(), &["byte 0", "after 3 bytes"]),
        (IMAGES, good_images[..10].to_vec(), &["byte 8", "after 2 bytes"]),
        (IMAGES, good_images[..16].to_vec(), &["end of the file at byte 16", "2368 bytes in all"]),
        (IMAGES, good_images[..1000].to_vec(), &["end of the file at byte 1000"]),
        (IMAGES, good_images[..2367].to_vec(), &["end of the file at byte 2367"]),
        (IMAGES, longer(&good_images), &["byte 2368", "more bytes"]),
        (LABELS, longer(&good_labels), &["byte 11", "more bytes"]),
        (LABELS, good_labels[..10].to_vec(), &["end of the file at byte 10", "11 bytes in all"]),
        (IMAGES, good_labels.clone(), &["byte 0", "0x00000801", "0x00000803"]),
        (LABELS, good_images.clone(), &["byte 0", "0x00000803", "0x00000801"]),
        (IMAGES, with(&good_images, 2, 13), &["0x00000d03"]),
        (IMAGES, packed(&good_images), &["byte 0", "0x1f8b"]),
        (IMAGES, image_file(3, 28, 27), &["byte 12", "the extent 27", "expected 28"]),
        (IMAGES, image_file(3, 32, 28), &["byte 8", "the extent 32", "expected 28"]),
        (IMAGES, image_file(0, 28, 28), &["byte 4", "0 records"]),
        (IMAGES, with(&good_images, 4, 255), &["byte 4", "4278190083 records"]),
        (LABELS, label_file(&[1, 2]), &["2 labels", "expected 3", "t10k-images-idx3-ubyte"]),
        (LABELS, label_file(&[9, 10, 4]), &["byte 9 (label 1)", "the label 10", "0 to 9"]),
        ("t10k-images-idx3-ubyte.gz", vec![], &["unpacked byte 0"]),
        ("t10k-images-idx3-ubyte.gz", good_images.clone(), &["unpacked byte 0"]),
        ("t10k-images-idx3-ubyte.gz", packed(&good_images)[..40].to_vec(), &["unpacked byte"]),
        ("t10k-images-idx3-ubyte.gz", packed(&longer(&good_images)), &["byte 2368", "more bytes"]),
        ("t10k-images-idx3-ubyte.gz", longer(&packed(&good_images)), &["after the packed data"]),
        ("t10k-images-idx3-ubyte.gz", bomb, &["byte 4", "16777215 records", "1 to 10000"]),
        ("t10k-images-idx3-ubyte.gz", flipped, &["unpacked byte 2368", "intact"]),
    ];
    assert_eq!(cases.len(), 27);
    for (name, bytes, parts) in cases {
        let datadir = tempfile::tempdir().unwrap();
        fs::write(datadir.path().join(LABELS), &good_labels).unwrap();
        if !name.ends_with(".gz") {
            fs::write(datadir.path().join(IMAGES), &good_images).unwrap();
        }
        fs::write(datadir.path().join(name), &bytes).unwrap();
        let error = open(datadir.path()).expect_err(&format!("{name} {parts:?}"));
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        let message = error.to_string();
        let all = parts.iter().all(|part| message.contains(part)) && message.contains(name);
        assert!(all, "{message}\nlacks one of {parts:?} or {name}");
    }
}

#[test]
fn a_packed_file_cut_anywhere_is_refused() {
    let datadir = tempfile::tempdir().unwrap();
    fs::write(datadir.path().join(LABELS), label_file(&[9, 0, 4])).unwrap();
    let bytes = packed(&image_file(3, 28, 28));
    let path = datadir.path().join(format!("{IMAGES}.gz"));
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(open(datadir.path()).is_err(), "cut to {length} of {} bytes", bytes.len());
    }
    fs::write(&path, &bytes).unwrap();
    assert!(open(datadir.path()).is_ok());
}

#[test]
fn the_published_files() {
    let Some(shared) = shared() else { return };
    let datadir = shared.join("data");
    let cases = [
        // Number of images, sum of all pixels, sum of all labels, the first labels.
        (Split::Train, 60_000, 1_567_298_545_u64, 267_236_u64, [5u8, 0, 4, 1, 9]),
        (Split::Test, 10_000, 264_923_200, 44_434, [7, 2, 1, 0, 4]),
    ];
    for (split, count, pixels, labels, first) in cases {
        let dataset = Dataset::open(DatasetName::Mnist, &datadir, split, None).unwrap();
        assert_eq!((dataset.len(), count), (count, DatasetName::Mnist.images(split)));
        assert_eq!(dataset.images().iter().map(|&pixel| u64::from(pixel)).sum::<u64>(), pixels);
        assert_eq!(dataset.labels().iter().map(|&label| u64::from(label)).sum::<u64>(), labels);
        assert_eq!(dataset.labels()[..5], first);
    }
    let files = check(&datadir);
    assert_eq!(files.len(), 4);
    for file in files {
        assert!(matches!(file.state, FileState::Intact { .. }), "{file:?}");
    }
}

#[test]
fn checking_tells_intact_from_other_and_missing_files() {
    let datadir = tempfile::tempdir().unwrap();
    fs::write(datadir.path().join(IMAGES), image_file(3, 28, 28)).unwrap();
    let labels = packed(&label_file(&[1; 20_000]));
    fs::write(datadir.path().join(format!("{LABELS}.gz")), &labels[..30]).unwrap();
    let [train_images, train_labels, images, labels] = check(datadir.path());
    assert!(matches!(train_images.state, FileState::Missing { looked } if looked.len() == 3));
    assert!(matches!(train_labels.state, FileState::Missing { .. }));
    let FileState::Differs { path, error } = images.state else { panic!("{:?}", images.state) };
    assert_eq!((path, error.kind()), (datadir.path().join(IMAGES), ErrorKind::Checksum));
    let FileState::Differs { error, .. } = labels.state else { panic!("{:?}", labels.state) };
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        start in 0..20usize,
        pack: bool,
    ) {
        // A good header up to some place, then anything.
        let good = image_file(2, 28, 28);
        let bytes = [&good[..start.min(16)], &bytes].concat();
        let datadir = tempfile::tempdir().unwrap();
        fs::write(datadir.path().join(LABELS), label_file(&[9, 0])).unwrap();
        if pack {
            fs::write(datadir.path().join(format!("{IMAGES}.gz")), packed(&bytes)).unwrap();
        } else {
            fs::write(datadir.path().join(IMAGES), &bytes).unwrap();
        }
        let dataset = open(datadir.path());
        // Only two images of any contents fit the labels.
        prop_assert_eq!(dataset.is_ok(), bytes.starts_with(&good[..16]) && bytes.len() == good.len());
        // The same bytes as labels, and packed data that are none.
        fs::write(datadir.path().join(LABELS), &bytes).unwrap();
        prop_assert!(open(datadir.path()).is_err());
        fs::remove_file(datadir.path().join(LABELS)).unwrap();
        fs::write(datadir.path().join(format!("{LABELS}.gz")), &bytes).unwrap();
        prop_assert!(open(datadir.path()).is_err());
    }
}
