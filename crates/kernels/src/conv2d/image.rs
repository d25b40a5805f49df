//! Images with their channels last, as words, zeros around them: what the rows of a product by tiles point into.

use crate::convert::Conversion;
use crate::isa::Level;
use crate::{pack, scratch};

/// Planes whose words are transposed together.
const PLANES: usize = 16;

/// How an image lies in memory: `[height][width][words]`.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) conversion: Conversion,
    /// Channels, and the words they take.
    channels: usize,
    pub(super) words: usize,
    /// Width with its zeros.
    pub(super) width: usize,
    /// Words of an image.
    pub(super) len: usize,
    /// Where each pixel begins.
    places: Vec<usize>,
}

impl Layout {
    /// Images of `size` pixels (height, width), with zeros above, to the left, below and to the right.
    pub(super) fn new(
        conversion: Conversion,
        channels: usize,
        size: (usize, usize),
        zeros: [usize; 4],
    ) -> Self {
        let [top, left, bottom, right] = zeros;
        let words = channels.div_ceil(conversion.words().count());
        let width = left + size.1 + right;
        let place = |i: usize| ((top + i / size.1) * width + left + i % size.1) * words;
        let places = (0..size.0 * size.1).map(place).collect();
        Self {
            conversion,
            channels,
            words,
            width,
            len: (top + size.0 + bottom) * width * words,
            places,
        }
    }

    /// True if there is something besides the image.
    fn has_zeros(&self) -> bool {
        self.len != self.places.len() * self.words
    }

    /// Lays out one image, `[channels, height, width]`. False if a value is not what the conversion promised.
    pub(super) fn fill(&self, level: Level, x: &[f32], out: &mut [u32]) -> bool {
        let pixels = self.places.len();
        assert_eq!(x.len(), self.channels * pixels, "values of an image");
        assert_eq!(out.len(), self.len, "words of an image");
        if self.has_zeros() {
            out.fill(self.conversion.zero());
        }
        if self.conversion == Conversion::Float {
            pack::scattered(level, scratch::bits(x), pixels, self.channels, &self.places, out);
            return true;
        }
        let per_word = self.conversion.words().count();
        let mut right = true;
        scratch::with(PLANES * pixels, |planes| {
            for first in (0..self.words).step_by(PLANES) {
                let count = (self.words - first).min(PLANES);
                for (i, plane) in planes.chunks_exact_mut(pixels.max(1)).enumerate().take(count) {
                    for place in 0..per_word {
                        let channel = (first + i) * per_word + place;
                        if channel < self.channels {
                            let from = self.source(channel) * pixels;
                            right &=
                                self.conversion.plane(level, &x[from..][..pixels], place, plane);
                        }
                    }
                }
                pack::scattered(level, planes, pixels, count, &self.places, &mut out[first..]);
            }
        });
        right
    }

    /// The channel that lies at `place`: the paired order in single words exchanges neighbours.
    fn source(&self, place: usize) -> usize {
        match self.conversion {
            Conversion::FloatPairs if place ^ 1 < self.channels => place ^ 1,
            _ => place,
        }
    }
}
