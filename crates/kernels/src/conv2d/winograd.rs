//! Gradients of 3 x 3 convolutions by Winograd's minimal filtering: a quarter of the multiplications.
//!
//! Nine taps over 4 x 4 places are a product of polynomials in each direction, which is found from its values at the points 0, 3/4,
//! -3/4, 3/2, -3/2 and infinity (the usual 1, 2 lose four times as many digits): 36 products of matrices instead of 144. The results differ from those of the plain sums by rounding alone, which is
//! a few times that of the sums; they are the same on every level and for any number of threads.
//!
//! # Source
//! A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2015: F(4 x 4, 3 x 3) and F(3 x 3, 4 x 4).

#![allow(clippy::needless_range_loop, reason = "rows and columns of squares are read by index")]

pub(super) mod grad_input;
pub(super) mod grad_weight;

use super::Conv2dShape;
use super::image::Layout;
use crate::isa::{Level, multiversion};
use crate::scratch;

/// Places of a tile along one direction.
const TILE: usize = 4;
/// Places that a tile is made from.
const PATCH: usize = 6;
/// Products of a tile.
const POINTS: usize = PATCH * PATCH;
/// Taps along one direction.
const TAPS: usize = 3;
/// Tiles of images that are computed together, about.
const TOGETHER: usize = 96;
/// Neighbouring channels, which are computed alike.
const LANES: usize = 16;

/// True if `shape` is a convolution that this is for, and faster for: `places` are those that the tiles cover.
fn pays(shape: &Conv2dShape, places: (usize, usize)) -> bool {
    let Conv2dShape { n, c, o, kh, kw, stride, pad, dilation, groups, .. } = *shape;
    let tiles = places.0.div_ceil(TILE) * places.1.div_ceil(TILE);
    let plain = (kh, kw, stride, dilation, groups) == (TAPS, TAPS, (1, 1), (1, 1), 1)
        && [pad.top, pad.left, pad.bottom, pad.right].iter().all(|&pad| pad < TAPS);
    // The transforms cost about as much as six tenths of the products.
    let fewer = 16 * POINTS * tiles <= 10 * TAPS * TAPS * places.0 * places.1;
    plain
        && fewer
        && n * tiles >= 8
        && [c, o].iter().all(|&c| c >= LANES && c.is_multiple_of(LANES))
}

/// Tiles that cover an image.
#[derive(Clone, Copy)]
struct Tiles {
    down: usize,
    across: usize,
}

impl Tiles {
    fn covering(height: usize, width: usize) -> Self {
        Self { down: height.div_ceil(TILE), across: width.div_ceil(TILE) }
    }

    fn count(self) -> usize {
        self.down * self.across
    }

    /// Images whose tiles are computed together.
    fn images_together(self, images: usize) -> usize {
        TOGETHER.div_ceil(self.count()).clamp(1, images.max(1))
    }

    /// The first row and column of each tile.
    fn corners(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count()).map(move |i| (i / self.across * TILE, i % self.across * TILE))
    }
}

/// The values of some neighbouring channels at one place.
type Lane = [f32; LANES];

/// A lane by its elements. No closure: those that the compiler does not inline lose the instruction set of their caller.
macro_rules! lane {
    ($i:ident => $value:expr) => {{
        let mut lane = [0.0; LANES];
        for $i in 0..LANES {
            lane[$i] = $value;
        }
        lane
    }};
}

#[inline(always)]
fn load(words: &[u32], at: usize) -> Lane {
    let words: &[u32; LANES] = words[at..].first_chunk().expect("a lane of words");
    lane!(i => f32::from_bits(words[i]))
}

#[inline(always)]
fn store(words: &mut [u32], at: usize, values: &Lane) {
    let words: &mut [u32; LANES] = words[at..].first_chunk_mut().expect("a lane of words");
    for i in 0..LANES {
        words[i] = values[i].to_bits();
    }
}

/// The points besides 0 and infinity are `A`, `-A`, `B` and `-B`.
const A: f32 = 0.75;
const B: f32 = 1.5;
/// Squares and cubes, which are exact.
const A2: f32 = A * A;
const A3: f32 = A * A * A;
const B2: f32 = B * B;
const B3: f32 = B * B * B;
/// What the values of taps at 0, `A` and `B` are multiplied by.
const SCALES: [f32; 3] =
    [1.0 / (A2 * B2), 1.0 / (2.0 * A2 * (A2 - B2)), 1.0 / (2.0 * B2 * (B2 - A2))];

/// A function of one direction. A type, not a closure or a function: calls of those are not always inlined, and then lose the
/// instruction set of their caller.
trait Along<const FROM: usize, const TO: usize> {
    fn along(row: &[Lane; FROM]) -> [Lane; TO];
}

/// Values of six data of one direction at the points, so that products with those of [`Filter`] or [`Places`] can be read by
/// [`ReadTile`] or [`ReadTaps`].
struct Data;

impl Along<PATCH, PATCH> for Data {
    #[inline(always)]
    fn along([d0, d1, d2, d3, d4, d5]: &[Lane; PATCH]) -> [Lane; PATCH] {
        [
            lane!(i => (A2 * B2) * d0[i] - (A2 + B2) * d2[i] + d4[i]),
            lane!(i => (d4[i] - B2 * d2[i]) + A * (d3[i] - B2 * d1[i])),
            lane!(i => (d4[i] - B2 * d2[i]) - A * (d3[i] - B2 * d1[i])),
            lane!(i => (d4[i] - A2 * d2[i]) + B * (d3[i] - A2 * d1[i])),
            lane!(i => (d4[i] - A2 * d2[i]) - B * (d3[i] - A2 * d1[i])),
            lane!(i => (A2 * B2) * d1[i] - (A2 + B2) * d3[i] + d5[i]),
        ]
    }
}

/// The scaled values of three taps at the points.
struct Filter;

impl Along<TAPS, PATCH> for Filter {
    #[inline(always)]
    fn along([g0, g1, g2]: &[Lane; TAPS]) -> [Lane; PATCH] {
        let [at_0, at_a, at_b] = SCALES;
        [
            lane!(i => at_0 * g0[i]),
            lane!(i => at_a * ((g0[i] + A2 * g2[i]) + A * g1[i])),
            lane!(i => at_a * ((g0[i] + A2 * g2[i]) - A * g1[i])),
            lane!(i => at_b * ((g0[i] + B2 * g2[i]) + B * g1[i])),
            lane!(i => at_b * ((g0[i] + B2 * g2[i]) - B * g1[i])),
            *g2,
        ]
    }
}

/// The scaled values of four places at the points, as [`Filter`].
struct Places;

impl Along<TILE, PATCH> for Places {
    #[inline(always)]
    fn along([g0, g1, g2, g3]: &[Lane; TILE]) -> [Lane; PATCH] {
        let [at_0, at_a, at_b] = SCALES;
        [
            lane!(i => at_0 * g0[i]),
            lane!(i => at_a * ((g0[i] + A2 * g2[i]) + (A * g1[i] + A3 * g3[i]))),
            lane!(i => at_a * ((g0[i] + A2 * g2[i]) - (A * g1[i] + A3 * g3[i]))),
            lane!(i => at_b * ((g0[i] + B2 * g2[i]) + (B * g1[i] + B3 * g3[i]))),
            lane!(i => at_b * ((g0[i] + B2 * g2[i]) - (B * g1[i] + B3 * g3[i]))),
            *g3,
        ]
    }
}

/// Four places from the products at the points.
struct ReadTile;

impl Along<PATCH, TILE> for ReadTile {
    #[inline(always)]
    fn along([m0, m1, m2, m3, m4, m5]: &[Lane; PATCH]) -> [Lane; TILE] {
        [
            lane!(i => m0[i] + (m1[i] + m2[i]) + (m3[i] + m4[i])),
            lane!(i => A * (m1[i] - m2[i]) + B * (m3[i] - m4[i])),
            lane!(i => A2 * (m1[i] + m2[i]) + B2 * (m3[i] + m4[i])),
            lane!(i => A3 * (m1[i] - m2[i]) + B3 * (m3[i] - m4[i]) + m5[i]),
        ]
    }
}

/// Three taps from the products at the points.
struct ReadTaps;

impl Along<PATCH, TAPS> for ReadTaps {
    #[inline(always)]
    fn along([m0, m1, m2, m3, m4, m5]: &[Lane; PATCH]) -> [Lane; TAPS] {
        [
            lane!(i => m0[i] + (m1[i] + m2[i]) + (m3[i] + m4[i])),
            lane!(i => A * (m1[i] - m2[i]) + B * (m3[i] - m4[i])),
            lane!(i => A2 * (m1[i] + m2[i]) + B2 * (m3[i] + m4[i]) + m5[i]),
        ]
    }
}

/// Where the values of a square lie, each with its channels: pixels of an image with the channels last, or the points of a tile.
#[derive(Clone, Copy)]
struct Square {
    /// The first word of its first value.
    first: usize,
    /// Words from a value to the one below.
    down: usize,
    /// Words from a value to the next.
    right: usize,
}

impl Square {
    /// Pixels from row `y` and column `x` on in an image of `width` pixels of `words`.
    fn of_pixels((y, x): (usize, usize), width: usize, words: usize) -> Self {
        Self { first: (y * width + x) * words, down: width * words, right: words }
    }

    /// The points of tile `row` out of `rows`: the values of all tiles at one point lie together.
    fn of_points(row: usize, rows: usize, channels: usize) -> Self {
        let point = rows * channels;
        Self { first: row * channels, down: PATCH * point, right: point }
    }

    #[inline(always)]
    fn at(&self, i: usize, j: usize, channel: usize) -> usize {
        self.first + i * self.down + j * self.right + channel
    }
}

/// Some channels of squares of values.
struct Channels<'a> {
    words: &'a [u32],
    at: Square,
    first: usize,
}

/// Applies a function of one direction to the rows, then to the columns; writes as many rows and columns as `size` says. `rows` is
/// room for what is between.
#[inline(always)]
fn both_ways<A: Along<FROM, TO>, const FROM: usize, const TO: usize>(
    from: &Channels<'_>,
    out: &mut [u32],
    to: Square,
    size: (usize, usize),
    rows: &mut [[Lane; FROM]; TO],
) {
    for i in 0..FROM {
        let mut row = [[0.0; LANES]; FROM];
        for j in 0..FROM {
            row[j] = load(from.words, from.at.at(i, j, from.first));
        }
        let row = A::along(&row);
        for j in 0..TO {
            rows[j][i] = row[j];
        }
    }
    for j in 0..TO.min(size.1) {
        let column = A::along(&rows[j]);
        for i in 0..TO.min(size.0) {
            store(out, to.at(i, j, from.first), &column[i]);
        }
    }
}

/// What brings the pixels at a place of an image, for all channels, to the points.
type AtPoints = fn(Level, &[u32], Square, usize, &mut [u32], Square);

/// Brings all tiles of an image `[channels, height, width]` to the points; `first` is the first of them among `rows`.
fn image_at_points(
    level: Level,
    (image, layout): (&[f32], &Layout),
    (tiles, at_points): (Tiles, AtPoints),
    channels: usize,
    (first, rows): (usize, usize),
    out: &mut [u32],
) {
    scratch::with(layout.len, |laid_out| {
        layout.fill(level, image, laid_out);
        for (t, corner) in tiles.corners().enumerate() {
            let from = Square::of_pixels(corner, layout.width, layout.words);
            let to = Square::of_points(first + t, rows, channels);
            at_points(level, laid_out, from, channels, out, to);
        }
    });
}

multiversion! {
    /// The values of 6 x 6 pixels at the points, for all channels.
    fn patch_at_points(level, image: &[u32], from: Square, channels: usize, out: &mut [u32], to: Square) {
        let mut rows = [[[0.0; LANES]; PATCH]; PATCH];
        for channel in (0..channels).step_by(LANES) {
            let from = Channels { words: image, at: from, first: channel };
            both_ways::<Data, _, _>(&from, out, to, (PATCH, PATCH), &mut rows);
        }
    }
}
