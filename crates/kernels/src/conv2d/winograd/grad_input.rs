//! The gradient to the input: the plain convolution of `dy` with the filters turned around.

use rayon::prelude::*;

use super::{
    Channels, Filter, LANES, PATCH, POINTS, ReadTile, Square, TAPS, TILE, Tiles, both_ways,
    image_at_points, patch_at_points, pays,
};
use crate::conv2d::Conv2dShape;
use crate::conv2d::forward::to_planes;
use crate::conv2d::image::Layout;
use crate::convert::Conversion;
use crate::isa::{Level, multiversion};
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};
use crate::{pack, scratch};

/// `dx` from `dy`; false, and nothing done, if the plain way is faster.
pub(in crate::conv2d) fn convolve(
    level: Level,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    shape: &Conv2dShape,
) -> bool {
    if !pays(shape, (shape.h, shape.w)) {
        return false;
    }
    let (oh, ow) = shape.check(dx.len(), w.len(), dy.len());
    let (pixels, tiles) = (shape.h * shape.w, Tiles::covering(shape.h, shape.w));
    let (top, left) = (TAPS - 1 - shape.pad.top, TAPS - 1 - shape.pad.left);
    let bottom = tiles.down * TILE + PATCH - TILE - oh - top;
    let right = tiles.across * TILE + PATCH - TILE - ow - left;
    let layout = Layout::new(Conversion::Float, shape.o, (oh, ow), [top, left, bottom, right]);
    let panels = shape.c.div_ceil(COLUMNS);
    let panel_len = POINTS * shape.o * COLUMNS;
    let together = tiles.images_together(shape.n);
    let image_groups = shape.n.div_ceil(together);
    // With few images the panels are handed out, too; each job transforms its images for itself.
    let threads = rayon::current_num_threads();
    let wanted = (2 * threads).div_ceil(image_groups).clamp(1, panels);
    let panels_each = if threads == 1 { panels } else { panels.div_ceil(wanted) };
    let parts = panels.div_ceil(panels_each);
    let output = Output::new(dx);
    let image = shape.o * oh * ow;
    let job = |filters: &[u32], index: usize| {
        let (part, first) = (index % parts, index / parts * together);
        let count = together.min(shape.n - first);
        let rows = count * tiles.count();
        scratch::with(POINTS * rows * shape.o, |at_points| {
            for i in 0..count {
                let dy = (&dy[(first + i) * image..][..image], &layout);
                let places = (i * tiles.count(), rows);
                image_at_points(level, dy, (tiles, patch_at_points), shape.o, places, at_points);
            }
            scratch::with(POINTS * rows * COLUMNS, |sums| {
                scratch::with(pixels * COLUMNS, |by_pixel| {
                    for panel in part * panels_each..((part + 1) * panels_each).min(panels) {
                        let columns = (shape.c - panel * COLUMNS).min(COLUMNS);
                        let filters = &filters[panel * panel_len..][..panel_len];
                        multiply(level, at_points, filters, shape.o, rows, sums);
                        for i in 0..count {
                            for (t, (y, x)) in tiles.corners().enumerate() {
                                let from = Square::of_points(i * tiles.count() + t, rows, COLUMNS);
                                let size = (TILE.min(shape.h - y), TILE.min(shape.w - x));
                                let to = Square::of_pixels((y, x), shape.w, COLUMNS);
                                tile_of_sums(level, sums, from, by_pixel, to, size);
                            }
                            let plane = (first + i) * shape.c + panel * COLUMNS;
                            // SAFETY: these planes belong to this panel of this image alone.
                            let planes = unsafe { output.slice(plane * pixels, columns * pixels) };
                            to_planes(level, by_pixel, pixels, planes);
                        }
                    }
                });
            });
        });
    };
    scratch::with(panels * panel_len, |filters| {
        filters.par_chunks_exact_mut(panel_len).enumerate().for_each(|(panel, filters)| {
            panel_at_points(level, w, shape, panel * COLUMNS, filters);
        });
        let filters = &*filters;
        (0..image_groups * parts).into_par_iter().for_each(|index| job(filters, index));
    });
    true
}

/// At each point the product of the tiles `[rows][outputs]` with a panel `[outputs][32]`.
fn multiply(
    level: Level,
    at_points: &[u32],
    panel: &[u32],
    outputs: usize,
    rows: usize,
    sums: &mut [u32],
) {
    let output = Output::of_words(sums);
    for point in 0..POINTS {
        let inner = Inner::new(&[Segment { a: 0, b: 0 }], outputs, 1, COLUMNS);
        let a = &at_points[point * rows * outputs..][..rows * outputs];
        let b = &panel[point * outputs * COLUMNS..][..outputs * COLUMNS];
        let operands = Operands { words: Words::F32, inner, a, b };
        for first in (0..rows).step_by(ROWS) {
            let height = ROWS.min(rows - first);
            let from: [usize; ROWS] = std::array::from_fn(|i| (first + i) * outputs);
            let to: [usize; ROWS] = std::array::from_fn(|i| (point * rows + first + i) * COLUMNS);
            // SAFETY: each tile is written once, by this thread.
            let c = unsafe { output.rows(&to[..height]) };
            let from = &from[..height];
            tile::multiply(level, &operands, from, COLUMNS, Start::Zero, Finish::Sums, c);
        }
    }
}

/// The filters at the points for 32 input channels from `first` on: at each point `[outputs][32]`.
fn panel_at_points(level: Level, w: &[f32], shape: &Conv2dShape, first: usize, panel: &mut [u32]) {
    let count = (shape.c - first).min(COLUMNS);
    // The last tap comes first: the filters are turned around.
    let places: Vec<usize> = (0..TAPS * TAPS).rev().map(|tap| tap * COLUMNS).collect();
    scratch::with(TAPS * TAPS * COLUMNS, |by_tap| {
        by_tap.fill(0);
        for o in 0..shape.o {
            let taps = &scratch::bits(w)[(o * shape.c + first) * TAPS * TAPS..];
            let taps = &taps[..count * TAPS * TAPS];
            pack::scattered(level, taps, TAPS * TAPS, count, &places, by_tap);
            taps_at_points(level, by_tap, panel, Square::of_points(o, shape.o, COLUMNS));
        }
    });
}

multiversion! {
    /// 3 x 3 taps of 32 channels at the points.
    fn taps_at_points(level, by_tap: &[u32], out: &mut [u32], to: Square) {
        let from = Square::of_pixels((0, 0), TAPS, COLUMNS);
        let mut rows = [[[0.0; LANES]; TAPS]; PATCH];
        for channel in (0..COLUMNS).step_by(LANES) {
            let from = Channels { words: by_tap, at: from, first: channel };
            both_ways::<Filter, _, _>(&from, out, to, (PATCH, PATCH), &mut rows);
        }
    }
}

multiversion! {
    /// The pixels of a tile, as many as lie inside of the image, from the products of 32 channels.
    fn tile_of_sums(level, sums: &[u32], from: Square, out: &mut [u32], to: Square, size: (usize, usize)) {
        let mut rows = [[[0.0; LANES]; PATCH]; TILE];
        for channel in (0..COLUMNS).step_by(LANES) {
            let from = Channels { words: sums, at: from, first: channel };
            both_ways::<ReadTile, _, _>(&from, out, to, size, &mut rows);
        }
    }
}
