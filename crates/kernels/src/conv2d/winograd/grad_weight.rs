//! The gradient to the weight: at each point the product of `dy` and `x` over all tiles of all images.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    AtPoints, Channels, LANES, PATCH, POINTS, Places, ReadTaps, Square, TAPS, TILE, Tiles,
    both_ways, image_at_points, patch_at_points, pays,
};
use crate::conv2d::Conv2dShape;
use crate::conv2d::grad_weight::add_parts;
use crate::conv2d::image::Layout;
use crate::convert::Conversion;
use crate::isa::{Level, multiversion};
use crate::scratch;
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};

/// Output channels that one job computes.
const OUTPUTS: usize = 8 * ROWS;

/// Jobs that there are at least: fixed, so that no bit depends on the number of threads.
const JOBS: usize = 8;

/// `dw` from `x` and `dy`; false, and nothing done, if the plain way is faster.
pub(in crate::conv2d) fn convolve(
    level: Level,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    shape: &Conv2dShape,
) -> bool {
    let (oh, ow) = shape.check(x.len(), dw.len(), dy.len());
    if !pays(shape, (oh, ow)) {
        return false;
    }
    let tiles = Tiles::covering(oh, ow);
    let (height, width) = (tiles.down * TILE, tiles.across * TILE);
    let beside = PATCH - TILE;
    let (top, left) = (shape.pad.top, shape.pad.left);
    let zeros = [top, left, height + beside - shape.h - top, width + beside - shape.w - left];
    let gradient = Gradient {
        level,
        x,
        dy,
        shape,
        tiles,
        x_layout: Layout::new(Conversion::Float, shape.c, (shape.h, shape.w), zeros),
        zeros_of_dy: [0, 0, height - oh, width - ow],
        size: (oh, ow),
    };
    let bands = shape.o.div_ceil(OUTPUTS);
    let part_len = shape.n.div_ceil((JOBS / bands).clamp(1, shape.n));
    let parts = shape.n.div_ceil(part_len);
    let job = |index: usize| {
        let (part, band) = (index % parts, index / parts);
        let band = band * OUTPUTS..((band + 1) * OUTPUTS).min(shape.o);
        gradient.part(band, part * part_len..((part + 1) * part_len).min(shape.n))
    };
    let sums: Vec<Vec<f32>> = (0..bands * parts).into_par_iter().map(job).collect();
    let rows = dw.chunks_mut(OUTPUTS * shape.c * TAPS * TAPS);
    let pairs: Vec<(&mut [f32], &[Vec<f32>])> = rows.zip(sums.chunks(parts)).collect();
    pairs.into_par_iter().for_each(|(dw, parts)| add_parts(level, parts, TAPS * TAPS, shape.c, dw));
    true
}

struct Gradient<'a> {
    level: Level,
    x: &'a [f32],
    dy: &'a [f32],
    shape: &'a Conv2dShape,
    tiles: Tiles,
    x_layout: Layout,
    zeros_of_dy: [usize; 4],
    /// Height and width of the output.
    size: (usize, usize),
}

impl Gradient<'_> {
    /// The sums over some images for some output channels: `[outputs][taps][channels]`.
    fn part(&self, outputs: Range<usize>, images: Range<usize>) -> Vec<f32> {
        let Self { level, shape, tiles, x_layout, size, .. } = self;
        let channels = shape.c;
        let pixels = size.0 * size.1;
        let dy_layout = Layout::new(Conversion::Float, outputs.len(), *size, self.zeros_of_dy);
        let together = tiles.images_together(images.len());
        let most = together * tiles.count();
        let mut taps = vec![0.0; outputs.len() * TAPS * TAPS * channels];
        scratch::with(POINTS * most * channels + COLUMNS, |x_points| {
            scratch::with(POINTS * most * outputs.len(), |dy_points| {
                scratch::with(POINTS * outputs.len() * channels, |sums| {
                    for first in images.clone().step_by(together) {
                        let count = together.min(images.end - first);
                        let rows = count * tiles.count();
                        for i in 0..count {
                            let image = channels * shape.h * shape.w;
                            let x = &self.x[(first + i) * image..][..image];
                            let plane = (first + i) * shape.o + outputs.start;
                            let dy = &self.dy[plane * pixels..][..outputs.len() * pixels];
                            let places = (i * tiles.count(), rows);
                            let patches = (*tiles, patch_at_points as AtPoints);
                            let x = (x, x_layout);
                            image_at_points(*level, x, patches, channels, places, x_points);
                            let dy = (dy, &dy_layout);
                            let own = (*tiles, tile_at_points as AtPoints);
                            image_at_points(*level, dy, own, outputs.len(), places, dy_points);
                        }
                        let start = if first == images.start { Start::Zero } else { Start::Sums };
                        self.multiply(x_points, dy_points, outputs.len(), rows, start, sums);
                    }
                    for o in 0..outputs.len() {
                        let from = Square::of_points(o, outputs.len(), channels);
                        let taps = &mut taps[o * TAPS * TAPS * channels..];
                        let taps = scratch::bits_mut(taps);
                        taps_of_sums(*level, sums, from, channels, taps);
                    }
                });
            });
        });
        taps
    }

    /// Adds at each point the product of `[rows][outputs]`, transposed, with `[rows][channels]`.
    fn multiply(
        &self,
        x: &[u32],
        dy: &[u32],
        outputs: usize,
        rows: usize,
        start: Start<'_>,
        sums: &mut [u32],
    ) {
        let channels = self.shape.c;
        let output = Output::of_words(sums);
        let segments = [Segment { a: 0, b: 0 }];
        let inner = Inner::new(&segments, rows, outputs, channels);
        for point in 0..POINTS {
            let a = &dy[point * rows * outputs..][..rows * outputs];
            for column in (0..channels).step_by(COLUMNS) {
                let columns = (channels - column).min(COLUMNS);
                let b = &x[point * rows * channels + column..];
                let operands = Operands { words: Words::F32, inner, a, b };
                for first in (0..outputs).step_by(ROWS) {
                    let height = ROWS.min(outputs - first);
                    let from: [usize; ROWS] = std::array::from_fn(|i| first + i);
                    let to: [usize; ROWS] =
                        std::array::from_fn(|i| (point * outputs + first + i) * channels + column);
                    // SAFETY: each tile is written once for each group of images, by this thread.
                    let c = unsafe { output.rows(&to[..height]) };
                    let from = &from[..height];
                    tile::multiply(self.level, &operands, from, columns, start, Finish::Sums, c);
                }
            }
        }
    }
}

multiversion! {
    /// The values of 4 x 4 pixels at the points, for all channels.
    fn tile_at_points(level, image: &[u32], from: Square, channels: usize, out: &mut [u32], to: Square) {
        let mut rows = [[[0.0; LANES]; TILE]; PATCH];
        for channel in (0..channels).step_by(LANES) {
            let from = Channels { words: image, at: from, first: channel };
            both_ways::<Places, _, _>(&from, out, to, (PATCH, PATCH), &mut rows);
        }
    }
}

multiversion! {
    /// The taps `[taps][channels]` of one output channel from its products.
    fn taps_of_sums(level, sums: &[u32], from: Square, channels: usize, taps: &mut [u32]) {
        let to = Square::of_pixels((0, 0), TAPS, channels);
        let mut rows = [[[0.0; LANES]; PATCH]; TAPS];
        for channel in (0..channels).step_by(LANES) {
            let from = Channels { words: sums, at: from, first: channel };
            both_ways::<ReadTaps, _, _>(&from, taps, to, (TAPS, TAPS), &mut rows);
        }
    }
}
