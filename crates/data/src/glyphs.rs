//! Drawn symbols: a dataset that needs no files.
//!
//! Ten shapes are drawn with a pen, each turned, stretched, slanted, moved and bent a little, with stray strokes,
//! a patch that hides a part of it, and noise. Image `i` depends on nothing but `i` and the split.
//!
//! How hard it is (test images, 20,000 to learn from): the nearest class mean gets 73 %, an MLP 784-64-64-64-10 97 % in f32
//! and 94 % with 2-bit weights and activations.
//!
//! The pixels are the same on every machine: only additions, multiplications, divisions, square roots and comparisons of `f32` are used,
//! which IEEE 754 defines to the last bit, and random integers.

mod render;
mod shapes;

use rayon::prelude::*;

use crate::Split;
use crate::dataset::Contents;
use crate::random::Random;
use render::Canvas;
use shapes::SHAPES;

pub(crate) const TRAIN_IMAGES: usize = 20_000;
pub(crate) const TEST_IMAGES: usize = 4_000;

/// Height and width.
const SIZE: usize = 28;
const PIXELS: usize = SIZE * SIZE;

/// The dataset's own seed: part of its definition.
const SEED: u64 = u64::from_be_bytes(*b"glyphs 1");

/// Draws the first `limit` images and their labels.
pub(crate) fn generate(split: Split, limit: usize) -> Contents {
    let (available, first_stream) = match split {
        Split::Train => (TRAIN_IMAGES, 0),
        Split::Test => (TEST_IMAGES, 1 << 32),
    };
    let count = available.min(limit);
    let labels: Vec<u8> = (0..count).map(|index| (index % SHAPES.len()) as u8).collect();
    let mut images = vec![0u8; count * PIXELS];
    let numbered = images.par_chunks_exact_mut(PIXELS).zip(&labels).enumerate();
    numbered.for_each(|(index, (image, &label))| {
        let mut random = Random::new(SEED, first_stream + index as u64);
        draw(usize::from(label), &mut random, image);
    });
    Contents { images, labels, available, missing_files: Vec::new() }
}

fn draw(class: usize, random: &mut Random, image: &mut [u8]) {
    let mut canvas = Canvas::new();
    let place = Placement::draw(random);
    let ink = random.between(110.0, 255.0);
    let radius = random.between(0.8, 1.7);
    for polyline in SHAPES[class] {
        let points: Vec<[f32; 2]> =
            polyline.iter().map(|&point| place.point(point, random)).collect();
        for ends in points.windows(2) {
            canvas.stroke(ends[0], ends[1], radius, ink);
        }
    }
    for _ in 0..random.below(4) {
        let start = [random.between(0.0, 28.0), random.between(0.0, 28.0)];
        let end = [start[0] + random.between(-7.0, 7.0), start[1] + random.between(-7.0, 7.0)];
        let (radius, ink) = (random.between(0.4, 1.2), random.between(60.0, 200.0));
        canvas.stroke(start, end, radius, ink);
    }
    let (width, height) = (2 + random.below(7) as usize, 2 + random.below(7) as usize);
    let (left, top) = (random.below(24) as usize, random.below(24) as usize);
    canvas.hide(left..left + width, top..top + height);
    canvas.finish(random.between(8.0, 40.0), random, image);
}

/// Where and how a symbol lies in the image.
struct Placement {
    matrix: [[f32; 2]; 2],
    center: [f32; 2],
}

impl Placement {
    fn draw(random: &mut Random) -> Self {
        // A rotation without sine and cosine, whose last bits differ from machine to machine: `t` is the tangent of half the angle (up to 19 degrees).
        let t = random.between(-0.17, 0.17);
        let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let size = random.between(7.4, 11.0);
        let stretch = random.between(0.82, 1.22);
        let slant = random.between(-0.18, 0.18);
        let (x, y) = (size * stretch, size / stretch);
        Self {
            matrix: [
                [cosine * x, (cosine * slant - sine) * y],
                [sine * x, (sine * slant + cosine) * y],
            ],
            center: [random.between(11.5, 16.5), random.between(11.5, 16.5)],
        }
    }

    /// Moves a point of a shape into the image, with an unsteady hand.
    fn point(&self, [x, y]: [f32; 2], random: &mut Random) -> [f32; 2] {
        let x = x + random.between(-0.09, 0.09);
        let y = y + random.between(-0.09, 0.09);
        let [a, b] = self.matrix;
        [self.center[0] + a[0] * x + a[1] * y, self.center[1] + b[0] * x + b[1] * y]
    }
}
