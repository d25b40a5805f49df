//! What a dataset is, and how one is opened by its name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use crate::loader::Augmentation;
use crate::published::FileCheck;
use crate::{Error, Warning, cifar10, glyphs, mnist, shapes};

/// Images with a class each, in memory.
///
/// Cloning is cheap: the pixels are shared.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: DatasetName,
    image_shape: [usize; 3],
    classes: usize,
    // Vectors rather than slices: 150 MB need not be copied when they are shared.
    images: Arc<Vec<u8>>,
    labels: Arc<Vec<u8>>,
    warnings: Arc<[Warning]>,
}

/// What is read from files, or generated.
pub(crate) struct Contents {
    pub(crate) images: Vec<u8>,
    pub(crate) labels: Vec<u8>,
    /// The images that are there, a limit left aside.
    pub(crate) available: usize,
    pub(crate) missing_files: Vec<String>,
}

/// The datasets there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DatasetName {
    /// Handwritten digits, 1x28x28, read from files.
    Mnist,
    /// Small colour photographs, 3x32x32, read from files.
    Cifar10,
    /// Drawn symbols, 1x28x28, generated: needs no files.
    Glyphs,
    /// Coloured plane figures, 3x32x32, generated: needs no files.
    Shapes,
}

/// The two parts of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The images to learn from.
    Train,
    /// The images to be judged by.
    Test,
}

impl Dataset {
    /// Opens a dataset: reads its files, or generates it.
    ///
    /// `datadir` is the folder of the files or its parent; generated datasets ignore it.
    /// `limit` keeps only the first so many images.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`](crate::ErrorKind::Missing) if the files are not there, [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if they are damaged,
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) if `limit` is 0.
    ///
    /// # Examples
    /// ```
    /// use fewbit_data::{Dataset, DatasetName, Split};
    /// let name: DatasetName = "glyphs".parse()?;
    /// let dataset = Dataset::open(name, "data".as_ref(), Split::Test, Some(100))?;
    /// assert_eq!((dataset.len(), dataset.image_shape(), dataset.classes()), (100, [1, 28, 28], 10));
    /// assert_eq!(dataset.images().len(), 100 * 28 * 28);
    /// # Ok::<(), fewbit_data::Error>(())
    /// ```
    pub fn open(
        name: DatasetName,
        datadir: &Path,
        split: Split,
        limit: Option<usize>,
    ) -> Result<Self, Error> {
        if limit == Some(0) {
            return Err(Error::bad_value("limit", "0 images", "1 or more"));
        }
        let limit = limit.unwrap_or(usize::MAX);
        let contents = match name {
            DatasetName::Mnist => mnist::read(datadir, split, limit)?,
            DatasetName::Cifar10 => cifar10::read(datadir, split, limit)?,
            DatasetName::Glyphs => glyphs::generate(split, limit),
            DatasetName::Shapes => shapes::generate(split, limit),
        };
        let Contents { images, labels, available, missing_files } = contents;
        let dataset = Self::new(name, name.image_shape(), name.classes(), images, labels)?;
        let published_images = name.images(split);
        let warnings = if available < published_images {
            let (dataset, images) = (name, available);
            vec![Warning::Incomplete { dataset, split, images, published_images, missing_files }]
        } else {
            Vec::new()
        };
        Ok(Self { warnings: warnings.into(), ..dataset })
    }

    /// Puts a dataset together from its pixels, `[N, C, H, W]`, and its labels, `[N]`.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`](crate::ErrorKind::BadValue) if the sizes do not fit together, a label is no class, or there is no image.
    pub fn new(
        name: DatasetName,
        image_shape: [usize; 3],
        classes: usize,
        images: Vec<u8>,
        labels: Vec<u8>,
    ) -> Result<Self, Error> {
        let pixels = image_shape.iter().try_fold(labels.len(), |n, &dim| n.checked_mul(dim));
        if labels.is_empty() || pixels != Some(images.len()) || images.is_empty() {
            let found = format!("{} pixels and {} labels", images.len(), labels.len());
            let expected =
                format!("one label for each image of {image_shape:?} pixels, at least one");
            return Err(Error::bad_value("dataset", found, expected));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes) {
            let found = format!("the label {} of image {index}", labels[index]);
            return Err(Error::bad_value("dataset", found, format!("labels below {classes}")));
        }
        let (images, labels, warnings) = (Arc::new(images), Arc::new(labels), Arc::new([]));
        Ok(Self { name, image_shape, classes, images, labels, warnings })
    }

    /// Returns which dataset this is.
    pub fn name(&self) -> DatasetName {
        self.name
    }

    /// Returns channels, height and width.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Returns the pixels, `[N, C, H, W]`.
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// Returns the class of each image, `[N]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Returns what the user should be told about it: that images are missing, for example.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns the number of images; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is always an image")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns the number of pixels of one image, over all channels.
    pub fn pixels_per_image(&self) -> usize {
        self.image_shape.iter().product()
    }
}

impl DatasetName {
    /// All datasets.
    pub const ALL: &[Self] = &[Self::Mnist, Self::Cifar10, Self::Glyphs, Self::Shapes];

    /// Returns the name as it is written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Glyphs => "glyphs",
            Self::Shapes => "shapes",
        }
    }

    /// Returns channels, height and width of its images.
    pub fn image_shape(self) -> [usize; 3] {
        match self {
            Self::Mnist | Self::Glyphs => [1, 28, 28],
            Self::Cifar10 | Self::Shapes => [3, 32, 32],
        }
    }

    /// Returns the number of its classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Mnist | Self::Cifar10 | Self::Glyphs | Self::Shapes => 10,
        }
    }

    /// Returns the number of images of one part when it is complete.
    pub fn images(self, split: Split) -> usize {
        match (self, split) {
            (Self::Mnist, Split::Train) => mnist::TRAIN_IMAGES,
            (Self::Mnist, Split::Test) => mnist::TEST_IMAGES,
            (Self::Cifar10, Split::Train) => cifar10::TRAIN_IMAGES,
            (Self::Cifar10, Split::Test) => cifar10::TEST_IMAGES,
            (Self::Glyphs, Split::Train) => glyphs::TRAIN_IMAGES,
            (Self::Glyphs, Split::Test) => glyphs::TEST_IMAGES,
            (Self::Shapes, Split::Train) => shapes::TRAIN_IMAGES,
            (Self::Shapes, Split::Test) => shapes::TEST_IMAGES,
        }
    }

    /// Tells whether it is generated, so that it needs no files.
    pub fn is_generated(self) -> bool {
        match self {
            Self::Mnist | Self::Cifar10 => false,
            Self::Glyphs | Self::Shapes => true,
        }
    }

    /// Tells whether it can be opened: it is generated, or there are files of both parts.
    ///
    /// What is in the files is not looked at; [`DatasetName::check_files`] does.
    pub fn is_present(self, datadir: &Path) -> bool {
        match self {
            Self::Mnist => mnist::is_present(datadir),
            Self::Cifar10 => {
                [Split::Train, Split::Test].iter().all(|&split| cifar10::is_present(datadir, split))
            }
            Self::Glyphs | Self::Shapes => true,
        }
    }

    /// Compares its files with the checksums of the published ones; a generated dataset has none.
    pub fn check_files(self, datadir: &Path) -> Vec<FileCheck> {
        match self {
            Self::Mnist => mnist::check(datadir).into(),
            Self::Cifar10 => cifar10::check(datadir),
            Self::Glyphs | Self::Shapes => Vec::new(),
        }
    }

    /// Returns how its training images are altered by default: as those who published results with it did.
    pub fn augmentation(self) -> Augmentation {
        match self {
            Self::Cifar10 => Augmentation::CROP_AND_FLIP,
            Self::Mnist | Self::Glyphs | Self::Shapes => Augmentation::NONE,
        }
    }

    /// Says in one line what it shows.
    pub fn description(self) -> &'static str {
        match self {
            Self::Mnist => "handwritten digits (files; `fewbit data fetch mnist` gets them)",
            Self::Cifar10 => {
                "photographs of animals and vehicles (files; `fewbit data fetch cifar10` gets them)"
            }
            Self::Glyphs => "ten drawn symbols, jittered and noisy (generated, needs no files)",
            Self::Shapes => {
                "ten coloured figures, turned and half hidden (generated, needs no files)"
            }
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    /// Reads a name in any case; names in the published example are upper-case (`MNIST`).
    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().find(|name| name.as_str().eq_ignore_ascii_case(text));
        known.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|name| name.as_str()).collect();
            Error::unknown_name("dataset", text, &names)
        })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}
