//! Coloured plane figures: a dataset of the size of CIFAR-10's images that needs no files.
//!
//! Ten figures of about the same area, each turned, mirrored, stretched, moved, small or large, before a ground of any other colour
//! with stripes and spots; a line crosses it, a patch hides a part of it, and there is noise. So neither colour nor place tells the
//! class, only the outline does. Image `i` depends on nothing but `i` and the split.
//!
//! How hard it is (test images, 20,000 to learn from, f32, 3 to 6 epochs): the nearest class mean gets 11 %, a linear model 13 %,
//! an MLP 3072-64-64-64-10 39 %, three strided 3x3 convolutions of 8, 16 and 32 channels 66 %, of 24, 48 and 96 channels 89 %.
//!
//! The pixels are the same on every machine: only additions, multiplications, divisions, square roots and comparisons of `f32` are used,
//! which IEEE 754 defines to the last bit, and random integers.

mod figures;
mod painting;

use rayon::prelude::*;

use crate::Split;
use crate::dataset::Contents;
use crate::random::Random;
use figures::FIGURES;
use painting::{Colour, Painting};

pub(crate) const TRAIN_IMAGES: usize = 20_000;
pub(crate) const TEST_IMAGES: usize = 4_000;

/// Height and width.
const SIZE: usize = 32;
const PIXELS: usize = 3 * SIZE * SIZE;

/// The dataset's own seed: part of its definition.
const SEED: u64 = u64::from_be_bytes(*b"shapes 1");

/// Paints the first `limit` images and their labels.
pub(crate) fn generate(split: Split, limit: usize) -> Contents {
    let (available, first_stream) = match split {
        Split::Train => (TRAIN_IMAGES, 0),
        Split::Test => (TEST_IMAGES, 1 << 32),
    };
    let count = available.min(limit);
    let labels: Vec<u8> = (0..count).map(|index| (index % FIGURES.len()) as u8).collect();
    let mut images = vec![0u8; count * PIXELS];
    let numbered = images.par_chunks_exact_mut(PIXELS).zip(&labels).enumerate();
    numbered.for_each(|(index, (image, &label))| {
        let mut random = Random::new(SEED, first_stream + index as u64);
        paint(usize::from(label), &mut random, image);
    });
    Contents { images, labels, available, missing_files: Vec::new() }
}

fn paint(class: usize, random: &mut Random, image: &mut [u8]) {
    let ground = Colour::draw(random);
    let ink = loop {
        let ink = Colour::draw(random);
        if ink.differs_from(ground) {
            break ink;
        }
    };
    let mut painting = Painting::new(ground, random);
    for _ in 0..random.below(3) {
        painting.spot(random);
    }
    let place = Placement::draw(random);
    painting.figure(ink, random, |x, y| {
        let [u, v] = place.local([x, y]);
        FIGURES[class](u, v)
    });
    for _ in 0..random.below(2) {
        painting.line(random);
    }
    painting.patch(random);
    painting.finish(random.between(6.0, 36.0), random, image);
}

/// Where and how a figure lies in the image.
struct Placement {
    /// From pixels to the figure's own coordinates.
    matrix: [[f32; 2]; 2],
    center: [f32; 2],
}

impl Placement {
    fn draw(random: &mut Random) -> Self {
        // A rotation without sine and cosine, whose last bits differ from machine to machine: `t` is the tangent of half the angle
        // (up to 28 degrees).
        let t = random.between(-0.25, 0.25);
        let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let size = random.between(7.5, 12.0);
        let stretch = random.between(0.85, 1.18);
        let mirrored = if random.below(2) == 1 { -1.0 } else { 1.0 };
        let (x, y) = (mirrored / (size * stretch), stretch / size);
        Self {
            matrix: [[cosine * x, sine * x], [-sine * y, cosine * y]],
            center: [random.between(12.5, 19.5), random.between(12.5, 19.5)],
        }
    }

    fn local(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (x, y) = (x - self.center[0], y - self.center[1]);
        let [a, b] = self.matrix;
        [a[0] * x + a[1] * y, b[0] * x + b[1] * y]
    }
}
