//! The convolution as a product by tiles: rows are output pixels, columns output channels, the inner dimension taps and channels.
//!
//! ```text
//! for each group of images, on some thread:
//!     lay the images out with channels last, zeros around them
//!     for each panel of 32 output channels:
//!         for each 12 output pixels: one tile, which walks along the taps
//!         transpose the panel's outputs into their planes
//! ```

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::image::Layout;
use super::taps::Filters;
use super::{Conv2dShape, reference};
use crate::isa::Level;
use crate::matmul::Conversions;
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};
use crate::{Accumulation, pack, scratch};

/// Output pixels of images that are computed together, about: so many use a panel while it is in the cache.
const PIXELS: usize = 256;

/// Words of images that are laid out together, at most: they stay in the L2 cache.
const WORDS: usize = 1 << 17;

/// `y = x * w` by the fastest way that has the bits of the definition.
pub(super) fn convolve(
    level: Level,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: &Conv2dShape,
    accumulation: Accumulation,
) {
    shape.check(x.len(), w.len(), y.len());
    if y.is_empty() {
        return;
    }
    if w.is_empty() {
        y.fill(0.0);
        return;
    }
    let terms = shape.c / shape.groups * shape.kh * shape.kw;
    for conversions in Conversions::all(level, terms, accumulation) {
        if Convolution::new(level, w, shape, conversions).is_some_and(|c| c.run(x, y)) {
            return;
        }
    }
    by_definition(x, w, y, shape, accumulation);
}

/// One output after the other, the images on several threads.
fn by_definition(
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: &Conv2dShape,
    accumulation: Accumulation,
) {
    let one = Conv2dShape { n: 1, ..*shape };
    let (x_len, y_len) = (x.len() / shape.n, y.len() / shape.n);
    y.par_chunks_exact_mut(y_len).enumerate().for_each(|(n, y)| {
        reference::conv2d(&x[n * x_len..][..x_len], w, y, &one, accumulation);
    });
}

struct Convolution<'a> {
    level: Level,
    shape: &'a Conv2dShape,
    layout: Layout,
    /// One for each group of channels.
    filters: Vec<Filters>,
    words: Words,
    segments: Vec<Segment>,
    segment_len: usize,
    /// Where each output pixel of an image finds its first tap.
    pixels: Vec<usize>,
}

impl<'a> Convolution<'a> {
    /// `None` if the weights do not fit the conversion.
    fn new(
        level: Level,
        w: &[f32],
        shape: &'a Conv2dShape,
        conversions: Conversions,
    ) -> Option<Self> {
        let (oh, ow) = shape.output_size()?;
        let (channels, outputs) = (shape.c / shape.groups, shape.o / shape.groups);
        let taps = shape.kh * shape.kw;
        let pad = shape.pad;
        let zeros = [pad.top, pad.left, pad.bottom, pad.right];
        let layout = Layout::new(conversions.x, channels, (shape.h, shape.w), zeros);
        let filters: Vec<Filters> = w
            .chunks_exact(outputs * channels * taps)
            .map(|w| {
                Filters::new(level, w, outputs, channels, taps, (conversions.x, conversions.w))
            })
            .collect();
        if !filters.iter().all(|filters| filters.fit) {
            return None;
        }
        // Neighbouring taps of a row lie side by side if nothing is between them.
        let per_row = if shape.dilation.1 == 1 { 1 } else { shape.kw };
        let segment_len = taps / (shape.kh * per_row) * layout.words;
        let segments = (0..shape.kh * per_row)
            .map(|i| {
                let (ky, kx) = (i / per_row, i % per_row);
                let a =
                    (ky * shape.dilation.0 * layout.width + kx * shape.dilation.1) * layout.words;
                Segment { a, b: i * segment_len * COLUMNS }
            })
            .collect();
        let place = |i: usize| {
            (i / ow * shape.stride.0 * layout.width + i % ow * shape.stride.1) * layout.words
        };
        let pixels = (0..oh * ow).map(place).collect();
        let words = conversions.x.words();
        Some(Self { level, shape, layout, filters, words, segments, segment_len, pixels })
    }

    /// False if a value of `x` does not fit the conversion.
    fn run(&self, x: &[f32], y: &mut [f32]) -> bool {
        let Self { shape, layout, filters, pixels, .. } = self;
        let group_outputs = shape.o / shape.groups;
        let panels = group_outputs.div_ceil(COLUMNS);
        let together = images_together(pixels.len(), layout.len, shape.n);
        let image_groups = shape.n.div_ceil(together);
        // With few images the panels are handed out, too; each job lays out its images for itself.
        let threads = rayon::current_num_threads();
        let wanted = (2 * threads).div_ceil(image_groups * shape.groups).clamp(1, panels);
        let panels_each = if threads == 1 { panels } else { panels.div_ceil(wanted) };
        let parts = panels.div_ceil(panels_each);
        let rows = rows_of_images(pixels, layout.len, together);
        let image = shape.c * shape.h * shape.w;
        let output = Output::new(y);
        let misfit = AtomicBool::new(false);
        let job = |index: usize| {
            let (part, index) = (index % parts, index / parts);
            let (group, first) = (index % shape.groups, index / shape.groups * together);
            let count = together.min(shape.n - first);
            scratch::with(count * layout.len, |images| {
                let channels = image / shape.groups;
                for (i, out) in images.chunks_exact_mut(layout.len).enumerate() {
                    let x = &x[(first + i) * image + group * channels..][..channels];
                    if !layout.fill(self.level, x, out) {
                        misfit.store(true, Ordering::Relaxed);
                        return;
                    }
                }
                let panels = part * panels_each..((part + 1) * panels_each).min(panels);
                scratch::with(count * pixels.len() * COLUMNS, |sums| {
                    for panel in panels {
                        let filters = &filters[group];
                        let columns = (group_outputs - panel * COLUMNS).min(COLUMNS);
                        let inner = Inner::new(&self.segments, self.segment_len, 1, COLUMNS);
                        let operands = Operands {
                            words: self.words,
                            inner,
                            a: images,
                            b: filters.panel(panel),
                        };
                        let start = filters.start(panel).map_or(Start::Zero, Start::Columns);
                        tiles(
                            self.level,
                            &operands,
                            &rows[..count * pixels.len()],
                            columns,
                            start,
                            sums,
                        );
                        for (i, sums) in sums.chunks_exact(pixels.len() * COLUMNS).enumerate() {
                            let plane =
                                (first + i) * shape.o + group * group_outputs + panel * COLUMNS;
                            // SAFETY: these planes belong to this panel of this group of images alone.
                            let planes = unsafe {
                                output.slice(plane * pixels.len(), columns * pixels.len())
                            };
                            to_planes(self.level, sums, pixels.len(), planes);
                        }
                    }
                });
            });
        };
        let jobs = image_groups * shape.groups * parts;
        if jobs == 1 {
            job(0);
        } else {
            (0..jobs).into_par_iter().for_each(job);
        }
        !misfit.into_inner()
    }
}

/// How many images are computed together.
pub(super) fn images_together(pixels: usize, words: usize, images: usize) -> usize {
    PIXELS.div_ceil(pixels.max(1)).min(WORDS.div_ceil(words.max(1))).clamp(1, images.max(1))
}

/// Where the rows of several images begin, given those of one.
pub(super) fn rows_of_images(pixels: &[usize], image: usize, count: usize) -> Vec<usize> {
    (0..count).flat_map(|i| pixels.iter().map(move |pixel| i * image + pixel)).collect()
}

/// Computes the tiles of one panel: for each row its 32 columns side by side.
pub(super) fn tiles(
    level: Level,
    operands: &Operands<'_>,
    rows: &[usize],
    columns: usize,
    start: Start<'_>,
    sums: &mut [u32],
) {
    let output = Output::of_words(sums);
    for (i, rows) in rows.chunks(ROWS).enumerate() {
        let places: [usize; ROWS] = std::array::from_fn(|j| (i * ROWS + j) * COLUMNS);
        // SAFETY: each tile is written once, by this thread.
        let places = unsafe { output.rows(&places[..rows.len()]) };
        tile::multiply(level, operands, rows, columns, start, Finish::Float, places);
    }
}

/// Transposes the sums of one image, 32 columns for each pixel, into planes.
pub(super) fn to_planes(level: Level, sums: &[u32], pixels: usize, planes: &mut [u32]) {
    let mut places = [0; COLUMNS];
    let columns = planes.len() / pixels;
    places.iter_mut().enumerate().for_each(|(i, place)| *place = i * pixels);
    pack::scattered(level, sums, COLUMNS, pixels, &places[..columns], planes);
}
