//! The weights that were published for Brevitas' examples.

use std::path::Path;

use super::{FetchConfig, FetchedFile, Progress, fetch};
use crate::Error;
use crate::published::{Packing, PublishedFile};

/// Where Brevitas publishes files.
const RELEASES: &str = "https://github.com/Xilinx/brevitas/releases/download";

/// A file of weights. Its name ends in the beginning of its checksum, and no more of that is published.
#[derive(Debug)]
pub struct Weights {
    network: &'static str,
    release: &'static str,
    pub(super) file: PublishedFile,
}

/// All of them: network, release, name, beginning of the SHA-256, bytes at most.
///
/// # Source
/// networks.md 3.9 of the specification.
const ALL: [Weights; 12] = [
    weights("CNV_1W1A", "bnn_pynq-r0", "cnv_1w1a-758c8fef.pth", "758c8fef", 16),
    weights("CNV_1W2A", "bnn_pynq-r0", "cnv_1w2a-23b6e2e4.pth", "23b6e2e4", 16),
    weights("CNV_2W2A", "bnn_pynq-r0", "cnv_2w2a-0702987f.pth", "0702987f", 16),
    weights("LFC_1W1A", "bnn_pynq-r1", "lfc_1w1a-318d8bd9.pth", "318d8bd9", 32),
    weights("LFC_1W2A", "bnn_pynq-r1", "lfc_1w2a-a906d672.pth", "a906d672", 32),
    weights("SFC_1W1A", "bnn_pynq-r1", "sfc_1w1a-fa4b2f7f.pth", "fa4b2f7f", 4),
    weights("SFC_1W2A", "bnn_pynq-r1", "sfc_1w2a-52aacbed.pth", "52aacbed", 4),
    weights("SFC_2W2A", "bnn_pynq-r1", "sfc_2w2a-bacff75c.pth", "bacff75c", 4),
    weights("TFC_1W1A", "bnn_pynq-r1", "tfc_1w1a-45185b4d.pth", "45185b4d", 1),
    weights("TFC_1W2A", "bnn_pynq-r1", "tfc_1w2a-70748896.pth", "70748896", 1),
    weights("TFC_2W2A", "bnn_pynq-r1", "tfc_2w2a-6e5623ac.pth", "6e5623ac", 1),
    weights("RESNET18_4W4A", "bnn_pynq-r2", "resnet18_4w4a-a172f334.pth", "a172f334", 128),
];

const fn weights(
    network: &'static str,
    release: &'static str,
    name: &'static str,
    sha256: &'static str,
    mebibytes: u64,
) -> Weights {
    let file = PublishedFile { name, sha256, bytes: mebibytes << 20, packing: Packing::None };
    Weights { network, release, file }
}

impl Weights {
    /// The weights of a network, whose name is in upper case; `None` if there are none.
    pub fn of(network: &str) -> Option<&'static Self> {
        ALL.iter().find(|weights| weights.network == network)
    }

    /// The networks that have some.
    pub fn networks() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|weights| weights.network)
    }

    /// The name of the file.
    pub fn file_name(&self) -> &'static str {
        self.file.name
    }

    /// The address of the file.
    pub fn url(&self) -> String {
        format!("{}/{}", self.folder(), self.file.name)
    }

    fn folder(&self) -> String {
        format!("{RELEASES}/{}", self.release)
    }
}

impl FetchConfig {
    /// Uses the place where Brevitas publishes weights.
    pub fn weights(weights: &Weights) -> Self {
        Self { mirrors: vec![weights.folder()], ..Self::without_mirrors() }
    }
}

/// Makes a file of weights be in `folder`.
///
/// A file that is there already is kept if it is intact. A download that breaks off leaves `NAME.part`, and the next one goes on from there.
/// The file gets its name only when its checksum begins as published; until then an old file of that name stays as it is.
///
/// # Errors
/// [`ErrorKind::Network`](crate::ErrorKind::Network) if no mirror delivers it, with the reason of each;
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if the folder cannot be written to.
pub fn fetch_weights(
    weights: &'static Weights,
    folder: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<FetchedFile, Error> {
    let mut fetched = fetch(std::slice::from_ref(&weights.file), folder, config, progress)?;
    Ok(fetched.pop().expect("one file was asked for"))
}
