//! Small archives, good, damaged and random.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

const RECORD: usize = 3073;
const NAMES: [&str; 3] = ["a.bin", "b.bin", "c.bin"];
/// Records of a file.
const COUNT: usize = 2;

/// Records whose pixels all have the same value.
fn file(records: &[(u8, u8)]) -> Vec<u8> {
    let record = |&(label, pixel): &(u8, u8)| [vec![label], vec![pixel; RECORD - 1]].concat();
    records.iter().flat_map(record).collect()
}

fn header(name: &str, size: usize, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    signed(block)
}

/// With the right checksum.
fn signed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn member(name: &str, contents: &[u8], kind: u8) -> Vec<u8> {
    let mut bytes = header(name, contents.len(), kind).to_vec();
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_packed(bytes: &[u8], limit: usize) -> Result<(Records, Vec<bool>), Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.tar.gz");
    fs::write(&path, bytes).unwrap();
    read(&path, &NAMES, COUNT, limit)
}

fn read_members(members: &[Vec<u8>]) -> Result<(Records, Vec<bool>), Error> {
    read_packed(&packed(&[&members.concat()[..], &[0; 2 * BLOCK]].concat()), usize::MAX)
}

/// A folder, two of the three files in the wrong order, a text, and a link of the third's name.
fn archive() -> Vec<u8> {
    let members = [
        member("d/", &[], b'5'),
        member("d/c.bin", &file(&[(1, 2), (3, 4)]), b'0'),
        member("d/readme", b"hello", b'0'),
        member("d/b.bin", &[], b'2'),
        member("d/a.bin", &file(&[(9, 8), (7, 6)]), 0),
    ];
    [members.concat(), vec![0; 2 * BLOCK]].concat()
}

#[test]
fn files_come_in_the_order_of_their_names_whatever_the_archive_says() {
    let cases: [(usize, &[u8]); 5] =
        [(usize::MAX, &[9, 7, 1, 3]), (4, &[9, 7, 1, 3]), (3, &[9, 7, 1]), (2, &[9, 7]), (1, &[9])];
    for (limit, labels) in cases {
        let (records, present) = read_packed(&packed(&archive()), limit).unwrap();
        assert_eq!(records.labels, labels);
        let pixels = labels.iter().flat_map(|label| match label {
            9 => [8; RECORD - 1],
            7 => [6; RECORD - 1],
            other => [other + 1; RECORD - 1],
        });
        assert!(records.pixels.iter().copied().eq(pixels), "{limit}");
        assert_eq!(present, [true, false, true]);
    }
    // An archive may end without its blocks of zeros, and may have more of them.
    let end = archive().len() - 2 * BLOCK;
    let (records, _) = read_packed(&packed(&archive()[..end]), usize::MAX).unwrap();
    assert_eq!(records.labels, [9, 7, 1, 3]);
    let longer = [archive(), vec![0; 20 * BLOCK]].concat();
    assert_eq!(read_packed(&packed(&longer), usize::MAX).unwrap().0.labels, [9, 7, 1, 3]);
}

#[test]
fn damaged_archives_are_refused_with_the_place_and_the_value() {
    let good = file(&[(1, 2), (3, 4)]);
    let a = member("a.bin", &good, b'0');
    let changed = |at: usize, value: u8| {
        let mut block: [u8; BLOCK] = a[..BLOCK].try_into().unwrap();
        block[at] = value;
        [signed(block).to_vec(), a[BLOCK..].to_vec()].concat()
    };
    let mut unsigned = a.clone();
    unsigned[0] = b'x';
    let mut label = good.clone();
    label[RECORD] = 10;
    let mut large = header("other", 0, b'0');
    large[124..135].copy_from_slice(b"77777777777");
    let cases: Vec<(Vec<Vec<u8>>, &[&str])> = vec![
        (vec![], &["names in the archive", "none of a.bin, b.bin, c.bin"]),
        (vec![member("x/d.bin", &good, b'0')], &["none of a.bin"]),
        (vec![a.clone(), a.clone()], &["unpacked byte 7168", "a second a.bin"]),
        (vec![unsigned], &["unpacked byte 148", "checksum"]),
        (vec![changed(124, b'9')], &["unpacked byte 124", "the size `9"]),
        (vec![changed(124, 0x80)], &["unpacked byte 124", "\\x80"]),
        (vec![member("a.bin", &good[1..], b'0')], &["a.bin, size", "6145 bytes", "6146 bytes"]),
        (vec![member("a.bin", &[], b'0')], &["a.bin, size", "0 bytes", "2 records of 3073"]),
        (
            vec![member("a.bin", &label, b'0')],
            &["a.bin, byte 3073 (label of record 1)", "the label 10", "0 to 9"],
        ),
        (vec![a.clone(), vec![7; BLOCK]], &["unpacked byte 7316", "checksum"]),
        (vec![a.clone(), signed(large).to_vec()], &["the end of the archive", "bytes of other"]),
    ];
    assert_eq!(cases.len(), 11);
    for (members, parts) in cases {
        let error = read_members(&members).expect_err(&format!("{parts:?}"));
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        let message = error.to_string();
        let all = parts.iter().chain(&["c.tar.gz"]).all(|part| message.contains(part));
        assert!(all, "{message}\nlacks one of {parts:?}");
    }
    let whole = packed(&archive());
    let mut wrong_sum = whole.clone();
    let crc = whole.len() - 6;
    wrong_sum[crc] ^= 1;
    let half_header = archive()[..archive().len() - 2 * BLOCK + 100].to_vec();
    let cases: [(Vec<u8>, &str); 5] = [
        (vec![], "unpacked byte 0"),
        (archive(), "intact .tar.gz"),
        ([&whole[..], &[0]].concat(), "after the packed data"),
        (wrong_sum, "unpacked byte"),
        (packed(&half_header), "a tar header of 512 bytes"),
    ];
    for (bytes, part) in cases {
        let error = read_packed(&bytes, usize::MAX).expect_err(part).to_string();
        assert!(error.contains(part), "{error}\nlacks {part}");
    }
}

#[test]
fn a_packed_archive_cut_anywhere_is_refused() {
    let bytes = packed(&archive());
    for length in 0..bytes.len() {
        assert!(read_packed(&bytes[..length], 1).is_err(), "cut to {length} of {}", bytes.len());
    }
    assert!(read_packed(&bytes, 1).is_ok());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000), pack: bool) {
        let bytes = if pack { packed(&bytes) } else { bytes };
        // Seventeen bits of checksum keep random bytes from being an archive, an empty one aside.
        prop_assert!(read_packed(&bytes, 1).is_err());
    }

    #[test]
    fn changed_bytes_never_panic_nor_change_what_must_not_be(
        changes in prop::collection::vec((0..15_000usize, any::<u8>()), 1..6),
        sign: bool,
        length in 0..15_000usize,
    ) {
        let mut bytes = archive();
        let places: Vec<usize> = changes.iter().map(|&(at, _)| at % bytes.len()).collect();
        for (&at, &(_, value)) in places.iter().zip(&changes) {
            bytes[at] = value;
            let start = at / BLOCK * BLOCK;
            if sign && bytes[start + 257..].starts_with(b"ustar") {
                // A header that is changed and still has the right checksum.
                let block: [u8; BLOCK] = bytes[start..start + BLOCK].try_into().unwrap();
                bytes[start..start + BLOCK].copy_from_slice(&signed(block));
            }
        }
        bytes.truncate(length.max(BLOCK));
        if let Ok((records, present)) = read_packed(&packed(&bytes), usize::MAX) {
            let files = present.iter().filter(|present| **present).count();
            prop_assert_eq!(records.labels.len(), files * COUNT);
            prop_assert_eq!(records.pixels.len(), files * COUNT * (RECORD - 1));
            prop_assert!(records.labels.iter().all(|&label| label < 10));
        }
    }

    #[test]
    fn random_records_are_read_exactly_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..4 * RECORD),
        labels in prop::collection::vec(0..11u8, 4),
        keep in 0..5usize,
    ) {
        let mut bytes = bytes;
        for (at, label) in labels.iter().enumerate() {
            if let Some(byte) = bytes.get_mut(at * RECORD) {
                *byte = *label;
            }
        }
        let origin = Origin { file: &PathBuf::from("a.bin"), member: None };
        let (mut records, count) = (Records::default(), bytes.len() / RECORD);
        let whole = origin.check_size(bytes.len() as u64, count).is_ok();
        prop_assert_eq!(whole, bytes.len() == count * RECORD);
        let read = records::read(&mut &bytes[..], &origin, count, keep, &mut records);
        let valid = labels[..count].iter().all(|&label| label < 10);
        prop_assert_eq!(read.is_ok(), valid);
        if valid {
            prop_assert_eq!(&records.labels[..], &labels[..count.min(keep)]);
            let pixels = bytes.chunks_exact(RECORD).take(keep).flat_map(|record| &record[1..]);
            prop_assert!(records.pixels.iter().eq(pixels));
        }
        // One record more than there are bytes for.
        let more = records::read(&mut &bytes[..], &origin, count + 1, 0, &mut Records::default());
        prop_assert!(more.is_err());
    }
}
