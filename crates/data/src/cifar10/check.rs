//! Whether the files on disk are the published ones, by checksum.

use std::path::Path;

use super::{ARCHIVE, Place, archives, file_names, find, folders};
use crate::Split;
use crate::published::{FileCheck, Packing, PublishedFile};

/// All files in one.
pub(crate) const ARCHIVE_FILE: PublishedFile = PublishedFile {
    name: ARCHIVE,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    bytes: 170_052_171,
    packing: Packing::None,
};

/// The six files, by the checksums of what the archive contains.
const FILES: [PublishedFile; 6] = [
    batch("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    batch("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    batch("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    batch("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    batch("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    batch("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
];

const fn batch(name: &'static str, sha256: &'static str) -> PublishedFile {
    PublishedFile { name, sha256, bytes: 30_730_000, packing: Packing::None }
}

/// Compares what would be read with the checksums of the published files: the archive, or the six files in a folder.
///
/// # Examples
/// ```
/// use fewbit_data::{FileState, cifar10};
/// let files = cifar10::check("/no/such/folder".as_ref());
/// assert_eq!((files.len(), files[5].name), (6, "test_batch.bin"));
/// assert!(matches!(files[5].state, FileState::Missing { .. }));
/// ```
pub fn check(datadir: &Path) -> Vec<FileCheck> {
    let mut checks = Vec::new();
    let mut archive = None;
    for split in [Split::Train, Split::Test] {
        let place = find(datadir, split);
        for name in file_names(split) {
            let published = FILES.iter().find(|file| file.name == *name);
            let published = published.expect("every file has a checksum");
            match &place {
                Some(Place::Folder(folder)) => {
                    let path = folder.join(name);
                    let there = path.is_file().then_some(path);
                    checks.push(published.check(there, std::slice::from_ref(folder)));
                }
                Some(Place::Archive(path)) => archive = Some(path.clone()),
                None => {
                    let mut looked = folders(datadir).to_vec();
                    looked.extend(archives(datadir));
                    checks.push(published.check(None, &looked));
                }
            }
        }
    }
    if archive.is_some() {
        checks.push(ARCHIVE_FILE.check(archive, &[]));
    }
    checks
}
