//! CIFAR-10: the real files, made-up ones of the same size, and every way in which they can be incomplete or damaged.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use fewbit_data::{Dataset, DatasetName, Error, ErrorKind, FileState, Split, Warning, cifar10};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::shared;

const PIXELS: usize = 3072;
const BYTES: u64 = 30_730_000;

fn open(datadir: &Path, split: Split, limit: Option<usize>) -> Result<Dataset, Error> {
    Dataset::open(DatasetName::Cifar10, datadir, split, limit)
}

/// Size of a file, a byte to change in it, and what the error says.
type Damage = (u64, Option<(u64, u8)>, &'static [&'static str]);

/// Writes a file whose first record has a label and one pixel value; all else is zero.
fn write(folder: &Path, name: &str, label: u8, pixel: u8) {
    fs::create_dir_all(folder).unwrap();
    let mut file = File::create(folder.join(name)).unwrap();
    file.write_all(&[vec![label], vec![pixel; PIXELS]].concat()).unwrap();
    file.set_len(BYTES).unwrap();
}

/// Each training file has a number of its own as first label and as first pixel.
fn write_training(folder: &Path, numbers: &[u8]) {
    for &number in numbers {
        write(folder, &format!("data_batch_{number}.bin"), number, 10 * number);
    }
}

/// What a file starts with, at the places where files can start.
fn firsts(dataset: &Dataset) -> Vec<(u8, u8)> {
    let starts = (0..dataset.len()).step_by(10_000);
    starts.map(|at| (dataset.labels()[at], dataset.images()[at * PIXELS])).collect()
}

#[test]
fn any_subset_of_the_training_files_is_read_with_a_warning() {
    let cases: [(&str, &[u8]); 4] =
        [("", &[1, 2, 3, 4, 5]), ("cifar-10-batches-bin", &[2, 5]), ("", &[4]), ("", &[5, 3, 1])];
    for (below, numbers) in cases {
        let datadir = tempfile::tempdir().unwrap();
        write_training(&datadir.path().join(below), numbers);
        let dataset = open(datadir.path(), Split::Train, None).unwrap();
        assert_eq!((dataset.image_shape(), dataset.classes()), ([3, 32, 32], 10));
        assert_eq!(dataset.len(), numbers.len() * 10_000);
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        let expected: Vec<(u8, u8)> = sorted.iter().map(|&n| (n, 10 * n)).collect();
        assert_eq!(firsts(&dataset), expected);
        let missing_files: Vec<String> = (1..=5)
            .filter(|number| !numbers.contains(number))
            .map(|number| format!("data_batch_{number}.bin"))
            .collect();
        if missing_files.is_empty() {
            assert_eq!(dataset.warnings(), []);
            continue;
        }
        let incomplete = |limit| {
            let dataset = open(datadir.path(), Split::Train, limit).unwrap();
            assert_eq!(dataset.len(), limit.unwrap_or(usize::MAX).min(numbers.len() * 10_000));
            dataset.warnings().to_vec()
        };
        let expected = [Warning::Incomplete {
            dataset: DatasetName::Cifar10,
            split: Split::Train,
            images: numbers.len() * 10_000,
            published_images: 50_000,
            missing_files,
        }];
        assert_eq!(incomplete(None), expected);
        assert_eq!(incomplete(Some(10_001)), expected, "a limit hides nothing");
        if numbers == [2, 5] {
            assert_eq!(
                expected[0].to_string(),
                "cifar10 is incomplete: 20000 of 50000 train images are here (missing: data_batch_1.bin, data_batch_3.bin, data_batch_4.bin)"
            );
        }
    }
}

#[test]
fn missing_files_say_where_they_were_looked_for_and_how_to_get_them() {
    let datadir = tempfile::tempdir().unwrap();
    write(datadir.path(), "test_batch.bin", 1, 1);
    assert_eq!(open(datadir.path(), Split::Test, None).unwrap().len(), 10_000);
    let error = open(datadir.path(), Split::Train, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let message = error.to_string();
    for place in ["data_batch_[1-5].bin", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"] {
        let place = datadir.path().join(place).display().to_string();
        assert!(message.contains(&place), "{message}\nlacks {place}");
    }
    assert!(error.hint().unwrap().contains("fewbit data fetch cifar10"), "{:?}", error.hint());
    assert!(!DatasetName::Cifar10.is_present(datadir.path()));
    write_training(datadir.path(), &[3]);
    assert!(DatasetName::Cifar10.is_present(datadir.path()));
    // Who has the Python version is told so.
    let python = tempfile::tempdir().unwrap();
    fs::create_dir(python.path().join("cifar-10-batches-py")).unwrap();
    fs::write(python.path().join("cifar-10-batches-py/data_batch_1"), b"pickle").unwrap();
    let error = open(python.path(), Split::Train, None).unwrap_err();
    assert!(error.hint().unwrap().contains("Python version"), "{:?}", error.hint());
}

#[test]
fn damaged_files_are_refused_with_the_place_and_the_value() {
    // In the last record of the last file, behind what a limit keeps.
    let late_label = (BYTES - 3073, 200);
    let cases: [Damage; 6] = [
        (
            BYTES - 1,
            None,
            &["size", "found 30729999 bytes", "30730000 bytes (10000 records of 3073)"],
        ),
        (BYTES + 1, None, &["size", "found 30730001 bytes"]),
        (BYTES - 3073, None, &["size", "found 30726927 bytes"]),
        (0, None, &["size", "found 0 bytes"]),
        (BYTES, Some((3073, 10)), &["byte 3073 (label of record 1)", "the label 10", "0 to 9"]),
        (BYTES, Some(late_label), &["byte 30726927 (label of record 9999)", "the label 200"]),
    ];
    for (bytes, change, parts) in cases {
        let datadir = tempfile::tempdir().unwrap();
        write_training(datadir.path(), &[1, 2]);
        let path = datadir.path().join("data_batch_2.bin");
        let mut file = File::options().write(true).open(&path).unwrap();
        file.set_len(bytes).unwrap();
        if let Some((at, value)) = change {
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(at)).unwrap();
            file.write_all(&[value]).unwrap();
        }
        for limit in [None, Some(5)] {
            let error = open(datadir.path(), Split::Train, limit).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
            let message = error.to_string();
            let all = parts.iter().chain(&["data_batch_2.bin"]).all(|part| message.contains(part));
            assert!(all, "{message}\nlacks one of {parts:?}");
        }
    }
}

/// Packs files as the published archive does, in its order.
fn write_archive(path: &Path, folder: &Path, names: &[&str]) {
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    for name in names {
        let bytes = fs::read(folder.join(name)).unwrap();
        let mut header = [0u8; 512];
        let path = format!("cifar-10-batches-bin/{name}");
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        encoder.write_all(&header).unwrap();
        encoder.write_all(&bytes).unwrap();
        encoder.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn the_archive_is_read_in_place() {
    let (files, datadir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_training(files.path(), &[1, 2, 3, 4, 5]);
    write(files.path(), "test_batch.bin", 6, 66);
    let path = datadir.path().join("cifar-10-binary.tar.gz");
    let [one, two, three, four, five, test] = [
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
        "test_batch.bin",
    ];
    write_archive(&path, files.path(), &[one, three, four, test, five, two]);
    for (split, limit) in [
        (Split::Train, None),
        (Split::Train, Some(25_000)),
        (Split::Test, None),
        (Split::Test, Some(1)),
    ] {
        let unpacked = open(files.path(), split, limit).unwrap();
        let packed = open(datadir.path(), split, limit).unwrap();
        assert!(packed.images() == unpacked.images() && packed.labels() == unpacked.labels());
        assert_eq!(packed.warnings(), []);
    }
    let [archive] = &cifar10::check(datadir.path())[..] else { panic!("one archive") };
    assert_eq!(archive.name, "cifar-10-binary.tar.gz");
    assert!(matches!(archive.state, FileState::Differs { .. }), "{archive:?}");

    // The archive goes before a folder with some of the files, a folder with all of them before the archive.
    write(datadir.path(), "data_batch_4.bin", 9, 99);
    let dataset = open(datadir.path(), Split::Train, None).unwrap();
    assert_eq!(firsts(&dataset), [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)]);
    write_training(datadir.path(), &[1, 2, 3, 5]);
    let dataset = open(datadir.path(), Split::Train, None).unwrap();
    assert_eq!(firsts(&dataset), [(1, 10), (2, 20), (3, 30), (9, 99), (5, 50)]);

    // An archive of which some files are missing.
    let partial = tempfile::tempdir().unwrap();
    write_archive(&partial.path().join("cifar-10-binary.tar.gz"), files.path(), &[five, two]);
    let dataset = open(partial.path(), Split::Train, None).unwrap();
    assert_eq!(firsts(&dataset), [(2, 20), (5, 50)]);
    let [Warning::Incomplete { missing_files, .. }] = dataset.warnings() else {
        panic!("{:?}", dataset.warnings())
    };
    assert_eq!(missing_files, &[one, three, four]);
    let error = open(partial.path(), Split::Test, None).unwrap_err().to_string();
    assert!(error.contains("none of test_batch.bin"), "{error}");
}

#[test]
fn checking_tells_other_and_missing_files() {
    let datadir = tempfile::tempdir().unwrap();
    write_training(datadir.path(), &[1]);
    let files = cifar10::check(datadir.path());
    assert_eq!(files.len(), 6);
    let FileState::Differs { path, error } = &files[0].state else { panic!("{:?}", files[0]) };
    assert_eq!((path, error.kind()), (&datadir.path().join(files[0].name), ErrorKind::Checksum));
    for file in &files[1..] {
        assert!(matches!(&file.state, FileState::Missing { looked } if !looked.is_empty()));
    }
}

/// The labels and all but a few images of the shared files are those that were published.
#[test]
fn the_real_files() {
    let Some(shared) = shared() else { return };
    for (split, count) in [(Split::Train, 50_000), (Split::Test, 10_000)] {
        let dataset = open(&shared.join("data"), split, None).unwrap();
        assert_eq!((dataset.len(), count), (count, DatasetName::Cifar10.images(split)));
        assert_eq!(dataset.warnings(), []);
        for class in 0..10 {
            let images = dataset.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(images, count / 10, "class {class}");
        }
        if split == Split::Train {
            // Known from the published version: frog, truck, truck, deer, automobile; means of the channels.
            assert_eq!(dataset.labels()[..5], [6, 9, 9, 4, 1]);
            let mut sums = [0u64; 3];
            for image in dataset.images().chunks(PIXELS) {
                for (sum, plane) in sums.iter_mut().zip(image.chunks(1024)) {
                    *sum += plane.iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
                }
            }
            let means = sums.map(|sum| sum as f64 / (50_000.0 * 1024.0 * 255.0));
            for (mean, known) in means.iter().zip([0.4914, 0.4822, 0.4465]) {
                assert!((mean - known).abs() < 1e-4, "{means:?}");
            }
        } else {
            assert_eq!(dataset.labels()[..5], [3, 8, 8, 0, 6], "cat, ship, ship, airplane, frog");
        }
    }
}
