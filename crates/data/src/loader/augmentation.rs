//! Training images that are never twice the same: moved, mirrored, partly hidden.

use std::fmt;
use std::str::FromStr;

use super::epoch::value;
use crate::Error;
use crate::random::Random;

/// Sets these random numbers apart from those that others draw with the same seed.
const STREAM: u64 = u64::from_be_bytes(*b"augment\0");

/// How training images are altered by chance, each time they are seen.
///
/// What happens to an image depends on the seed, the epoch and the image's number in the dataset, on nothing else:
/// not on the batch size, the workers, or where a training was resumed.
///
/// The steps are done in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Augmentation {
    /// Black pixels put on every side before a window of the image's own size is cut out: with 4, its place is one
    /// of 9 by 9, each equally probable. With 0, nothing is cut.
    pub crop_padding: usize,
    /// Whether an image is mirrored left to right, with a probability of one half.
    pub horizontal_flip: bool,
    /// The side of a square that is blackened around a pixel chosen by chance; what lies outside of the image is cut off.
    /// With 0, nothing is hidden.
    ///
    /// # Source
    /// T. DeVries, G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    pub cutout: usize,
}

impl Augmentation {
    /// Leaves images as they are.
    pub const NONE: Self = Self { crop_padding: 0, horizontal_flip: false, cutout: 0 };

    /// A random crop with padding 4 and a horizontal flip: customary for CIFAR-10.
    pub const CROP_AND_FLIP: Self = Self { crop_padding: 4, horizontal_flip: true, cutout: 0 };

    /// Refuses what no image of this shape can undergo.
    pub(super) fn check(self, [_, height, width]: [usize; 3]) -> Result<(), Error> {
        let most = height.min(width);
        for (what, found) in [("crop padding", self.crop_padding), ("cutout", self.cutout)] {
            if found > most {
                let expected = format!("at most {most}, the smaller side of an image");
                return Err(Error::bad_value(what, format!("{found} pixels"), expected));
            }
        }
        Ok(())
    }
}

/// `none`, or what is done, separated by commas: `crop=4,flip,cutout=16`.
impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crop_padding, horizontal_flip, cutout } = *self;
        let parts = [
            (crop_padding > 0).then(|| format!("crop={crop_padding}")),
            horizontal_flip.then(|| "flip".to_owned()),
            (cutout > 0).then(|| format!("cutout={cutout}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.pad(if parts.is_empty() { "none".to_owned() } else { parts.join(",") }.as_str())
    }
}

/// Reads what is printed, in any order; `crop` alone has a padding of 4.
///
/// # Examples
/// ```
/// use fewbit_data::Augmentation;
/// assert_eq!("crop,flip".parse::<Augmentation>()?, Augmentation::CROP_AND_FLIP);
/// let shift: Augmentation = "crop=2".parse()?;
/// assert_eq!((shift.crop_padding, shift.to_string().as_str()), (2, "crop=2"));
/// # Ok::<(), fewbit_data::Error>(())
/// ```
impl FromStr for Augmentation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |found: &str, expected: &str| {
            Error::bad_value("augmentation", format!("{found:?}"), expected.to_owned())
        };
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::NONE);
        }
        let mut chosen = Self::NONE;
        for part in text.split(',').map(str::trim) {
            let (name, size) = match part.split_once('=') {
                Some((name, size)) => {
                    let number = size.trim().parse().ok().filter(|&size: &usize| size > 0);
                    let number = number.ok_or_else(|| bad(part, "a number of pixels above 0"))?;
                    (name.trim(), Some(number))
                }
                None => (part, None),
            };
            let twice = match (name.to_ascii_lowercase().as_str(), size) {
                ("crop", size) => {
                    std::mem::replace(&mut chosen.crop_padding, size.unwrap_or(4)) > 0
                }
                ("flip", None) => std::mem::replace(&mut chosen.horizontal_flip, true),
                ("cutout", Some(size)) => std::mem::replace(&mut chosen.cutout, size) > 0,
                ("cutout", None) => {
                    return Err(bad(part, "the side of the square, as in cutout=16"));
                }
                _ => return Err(bad(part, "none, or some of crop=N, flip, cutout=N with commas")),
            };
            if twice {
                return Err(bad(text, "each alteration once"));
            }
        }
        Ok(chosen)
    }
}

/// The alterations of one epoch.
#[derive(Clone, Copy)]
pub(super) struct Augmenter {
    augmentation: Augmentation,
    seed: u64,
    epoch: u64,
}

impl Augmenter {
    /// Returns nothing if images stay as they are.
    pub(super) fn new(augmentation: Augmentation, seed: u64, epoch: u64) -> Option<Self> {
        (augmentation != Augmentation::NONE).then_some(Self { augmentation, seed, epoch })
    }

    /// Writes the values of an image, altered, to `out`, which holds zeros.
    pub(super) fn write(&self, number: usize, image: &[u8], size: [usize; 2], out: &mut [f32]) {
        let [height, width] = size;
        let drawn = self.draw(number, size);
        let columns = overlap(drawn.offset[1], width);
        let planes = image.chunks_exact(height * width).zip(out.chunks_exact_mut(height * width));
        for (plane, out) in planes {
            for row in overlap(drawn.offset[0], height) {
                let source = row.wrapping_add_signed(drawn.offset[0]) * width;
                let first = columns.start.wrapping_add_signed(drawn.offset[1]);
                let source = &plane[source + first..][..columns.len()];
                let out = &mut out[row * width..][..width];
                if drawn.mirrored {
                    let out = out[width - columns.end..width - columns.start].iter_mut().rev();
                    out.zip(source).for_each(|(out, pixel)| *out = value(pixel));
                } else {
                    let out = out[columns.clone()].iter_mut();
                    out.zip(source).for_each(|(out, pixel)| *out = value(pixel));
                }
            }
            let [rows, columns] = &drawn.hidden;
            for row in rows.clone() {
                out[row * width..][columns.clone()].fill(0.0);
            }
        }
    }

    /// Draws what happens to an image: always all five numbers, so that an option changes nothing but itself.
    fn draw(&self, number: usize, [height, width]: [usize; 2]) -> Drawn {
        // A stream for each image of each epoch; neither reaches 2^32.
        let stream = STREAM ^ self.epoch.rotate_left(32) ^ number as u64;
        let mut random = Random::new(self.seed, stream);
        let Augmentation { crop_padding, horizontal_flip, cutout } = self.augmentation;
        let mut offset =
            || random.below(2 * crop_padding as u32 + 1) as isize - crop_padding as isize;
        let offset = [offset(), offset()];
        let mirrored = random.below(2) == 1 && horizontal_flip;
        let mut hidden = |side: usize| {
            let center = random.below(side as u32) as usize;
            let start = center.saturating_sub(cutout / 2);
            let end = (center + cutout - cutout / 2).min(side);
            start..end
        };
        let hidden = [hidden(height), hidden(width)];
        Drawn { offset, mirrored, hidden }
    }
}

/// What happens to an image.
struct Drawn {
    /// Where the window starts, in rows and columns of the image without padding.
    offset: [isize; 2],
    mirrored: bool,
    /// The rows and columns that are blackened.
    hidden: [std::ops::Range<usize>; 2],
}

/// The places of a window of `side` pixels, moved by `offset`, that lie in the image.
fn overlap(offset: isize, side: usize) -> std::ops::Range<usize> {
    let start = offset.min(0).unsigned_abs();
    let end = side - offset.max(0).unsigned_abs();
    start..end
}
