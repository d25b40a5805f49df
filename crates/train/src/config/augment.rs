//! How training images are altered: as published, or as chosen.

use std::fmt;
use std::str::FromStr;

use fewbit_data::{Augmentation, DatasetName};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How training images are altered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Augment {
    /// As the published example does with the dataset: CIFAR-10 is cropped and flipped, the others stay.
    #[default]
    Published,
    /// In this way.
    Chosen(Augmentation),
}

impl Augment {
    /// What is done to the images of a dataset.
    pub fn of(self, dataset: DatasetName) -> Augmentation {
        match self {
            Self::Published => dataset.augmentation(),
            Self::Chosen(augmentation) => augmentation,
        }
    }

    /// Whether it is left to the dataset.
    pub(super) fn is_published(&self) -> bool {
        *self == Self::Published
    }
}

/// The word for [`Augment::Published`].
const PUBLISHED: &str = "published";

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published => f.pad(PUBLISHED),
            Self::Chosen(augmentation) => augmentation.fmt(f),
        }
    }
}

impl FromStr for Augment {
    type Err = fewbit_data::Error;

    fn from_str(text: &str) -> Result<Self, fewbit_data::Error> {
        if text.eq_ignore_ascii_case(PUBLISHED) {
            return Ok(Self::Published);
        }
        text.parse().map(Self::Chosen)
    }
}

impl Serialize for Augment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Augment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
