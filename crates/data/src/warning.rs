//! What a user should know about a dataset that can be used all the same.

use std::fmt;

use crate::{DatasetName, Split};

/// Something that is not as expected of a dataset, but does not keep it from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// There are fewer images than were published.
    Incomplete {
        /// Which dataset it is.
        dataset: DatasetName,
        /// Which part of it.
        split: Split,
        /// The images that are there, a limit left aside.
        images: usize,
        /// The images of the complete part.
        published_images: usize,
        /// Names of the files that are not there.
        missing_files: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { dataset, split, images, published_images, missing_files } => {
                write!(
                    f,
                    "{dataset} is incomplete: {images} of {published_images} {split} images are here"
                )?;
                if !missing_files.is_empty() {
                    write!(f, " (missing: {})", missing_files.join(", "))?;
                }
                Ok(())
            }
        }
    }
}
