//! Whether the files on disk are the published ones, by checksum.

use std::path::Path;

use super::{find_in, folders};
use crate::published::{FileCheck, Packing, PublishedFile};

pub(crate) const FILES: [PublishedFile; 4] = [
    PublishedFile {
        name: "train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        bytes: 47_040_016,
        packing: Packing::Gzip { bytes: 9_912_422 },
    },
    PublishedFile {
        name: "train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        bytes: 60_008,
        packing: Packing::Gzip { bytes: 28_881 },
    },
    PublishedFile {
        name: "t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        bytes: 7_840_016,
        packing: Packing::Gzip { bytes: 1_648_877 },
    },
    PublishedFile {
        name: "t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        bytes: 10_008,
        packing: Packing::Gzip { bytes: 4_542 },
    },
];

/// Compares the four files, unpacked or packed, with the checksums of the published ones.
///
/// # Examples
/// ```
/// use fewbit_data::mnist::{FileState, check};
/// let files = check("/no/such/folder".as_ref());
/// assert_eq!(files[0].name, "train-images-idx3-ubyte");
/// assert!(matches!(files[0].state, FileState::Missing { .. }));
/// ```
pub fn check(datadir: &Path) -> [FileCheck; 4] {
    let folders = folders(datadir);
    FILES.map(|published| {
        let found = folders.iter().find_map(|folder| find_in(folder, published.name));
        published.check(found, &folders)
    })
}
