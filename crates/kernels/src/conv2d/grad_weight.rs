//! The gradient to the weight as a product by tiles: rows are output channels, columns the taps of one kernel row with their input
//! channels, the inner dimension the pixels of all images.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dShape;
use super::image::Layout;
use super::winograd;
use crate::convert::Conversion;
use crate::isa::Level;
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};
use crate::{pack, scratch};

/// Parts of the batch that are summed for themselves, then added in order: fixed, so that no bit depends on the number of threads.
const PARTS: usize = 4;

/// Output channels that one job computes.
const OUTPUTS: usize = 8 * ROWS;

/// Words of images that are laid out together, about: they stay in the L2 cache.
const WORDS: usize = 1 << 17;

/// `dw` from `x` and `dy`, the faster way.
pub(super) fn either_way(level: Level, x: &[f32], dy: &[f32], dw: &mut [f32], shape: &Conv2dShape) {
    if !winograd::grad_weight::convolve(level, x, dy, dw, shape) {
        convolve(level, x, dy, dw, shape);
    }
}

/// `dw` from `x` and `dy`.
fn convolve(level: Level, x: &[f32], dy: &[f32], dw: &mut [f32], shape: &Conv2dShape) {
    let (oh, ow) = shape.check(x.len(), dw.len(), dy.len());
    if dw.is_empty() {
        return;
    }
    if shape.n == 0 {
        dw.fill(0.0);
        return;
    }
    let outputs = shape.o / shape.groups;
    let bands = outputs.div_ceil(OUTPUTS);
    let parts = PARTS.min(shape.n);
    let part_len = shape.n.div_ceil(parts);
    let parts = shape.n.div_ceil(part_len);
    let gradient = Gradient::new(level, x, dy, shape, (oh, ow));
    let jobs = shape.groups * bands * parts;
    let job = |index: usize| {
        let (part, index) = (index % parts, index / parts);
        let (band, group) = (index % bands, index / bands);
        let band = band * OUTPUTS..((band + 1) * OUTPUTS).min(outputs);
        gradient.part(group, band, part * part_len..((part + 1) * part_len).min(shape.n))
    };
    let sums: Vec<Vec<f32>> =
        if jobs == 1 { vec![job(0)] } else { (0..jobs).into_par_iter().map(job).collect() };

    // Rows of `dw` by group and band, each the ordered sum of its parts.
    let row = gradient.channels * shape.kh * shape.kw;
    let rows = dw.chunks_mut(outputs * row).flat_map(|group| group.chunks_mut(OUTPUTS * row));
    let pairs: Vec<(&mut [f32], &[Vec<f32>])> = rows.zip(sums.chunks(parts)).collect();
    let (taps, channels) = (shape.kh * shape.kw, gradient.channels);
    pairs.into_par_iter().for_each(|(dw, parts)| add_parts(level, parts, taps, channels, dw));
}

struct Gradient<'a> {
    level: Level,
    x: &'a [f32],
    dy: &'a [f32],
    shape: &'a Conv2dShape,
    /// Height and width of the output.
    size: (usize, usize),
    channels: usize,
    layout: Layout,
    /// Taps of a kernel row that lie side by side in the layout, and how often.
    taps_together: usize,
}

impl<'a> Gradient<'a> {
    fn new(
        level: Level,
        x: &'a [f32],
        dy: &'a [f32],
        shape: &'a Conv2dShape,
        size: (usize, usize),
    ) -> Self {
        let channels = shape.c / shape.groups;
        let pad = shape.pad;
        let zeros = [pad.top, pad.left, pad.bottom, pad.right];
        let layout = Layout::new(Conversion::Float, channels, (shape.h, shape.w), zeros);
        let taps_together = if shape.dilation.1 == 1 { shape.kw } else { 1 };
        Self { level, x, dy, shape, size, channels, layout, taps_together }
    }

    /// The sums over some images for some output channels of a group: `[outputs][KH][KW][channels]`.
    fn part(&self, group: usize, outputs: Range<usize>, images: Range<usize>) -> Vec<f32> {
        let Self { level, shape, layout, channels, .. } = self;
        let (oh, ow) = self.size;
        let pixels = oh * ow;
        let row_len = shape.kh * shape.kw * channels;
        let mut sums = vec![0.0; outputs.len() * row_len];
        let together =
            (WORDS / (layout.len + pixels * outputs.len()).max(1)).clamp(1, images.len());
        let width = outputs.len().next_multiple_of(16);
        let dy_layout = Places::new(pixels, width);
        let x_len = layout.len * together + COLUMNS;
        scratch::with(x_len, |x_words| {
            scratch::with(pixels * width * together, |dy_words| {
                for first in images.clone().step_by(together) {
                    let count = together.min(images.end - first);
                    for i in 0..count {
                        let image =
                            ((first + i) * shape.groups + group) * channels * shape.h * shape.w;
                        let x = &self.x[image..][..channels * shape.h * shape.w];
                        layout.fill(*level, x, &mut x_words[i * layout.len..][..layout.len]);
                        let group_outputs = shape.o / shape.groups;
                        let plane = (first + i) * shape.o + group * group_outputs + outputs.start;
                        let dy = &self.dy[plane * pixels..][..outputs.len() * pixels];
                        dy_layout.fill(
                            *level,
                            dy,
                            outputs.len(),
                            &mut dy_words[i * pixels * width..],
                        );
                    }
                    let start = if first == images.start { Start::Zero } else { Start::Sums };
                    self.tiles(x_words, dy_words, count, width, outputs.len(), start, &mut sums);
                }
            });
        });
        sums
    }

    /// Adds the products of `count` images.
    #[allow(clippy::too_many_arguments)]
    fn tiles(
        &self,
        x: &[u32],
        dy: &[u32],
        count: usize,
        width: usize,
        outputs: usize,
        start: Start<'_>,
        sums: &mut [f32],
    ) {
        let Self { level, shape, layout, channels, .. } = self;
        let (oh, ow) = self.size;
        let row_len = shape.kh * shape.kw * channels;
        let output = Output::new(sums);
        let run = self.taps_together * channels;
        for tap in (0..shape.kh * shape.kw).step_by(self.taps_together) {
            let (ky, kx) = (tap / shape.kw, tap % shape.kw);
            let corner =
                (ky * shape.dilation.0 * layout.width + kx * shape.dilation.1) * layout.words;
            let segments: Vec<Segment> = (0..count * oh)
                .map(|i| {
                    let (n, oy) = (i / oh, i % oh);
                    let b =
                        n * layout.len + corner + oy * shape.stride.0 * layout.width * layout.words;
                    Segment { a: i * ow * width, b }
                })
                .collect();
            let inner = Inner::new(&segments, ow, width, shape.stride.1 * layout.words);
            for column in (0..run).step_by(COLUMNS) {
                let columns = (run - column).min(COLUMNS);
                let operands = Operands { words: Words::F32, inner, a: dy, b: &x[column..] };
                for first in (0..outputs).step_by(ROWS) {
                    let height = ROWS.min(outputs - first);
                    let from: [usize; ROWS] = std::array::from_fn(|i| first + i);
                    let to: [usize; ROWS] =
                        std::array::from_fn(|i| (first + i) * row_len + tap * channels + column);
                    // SAFETY: each tile is written once for each group of images, by this thread.
                    let rows = unsafe { output.rows(&to[..height]) };
                    tile::multiply(
                        *level,
                        &operands,
                        &from[..height],
                        columns,
                        start,
                        Finish::Sums,
                        rows,
                    );
                }
            }
        }
    }
}

/// `dw = part 0 + part 1 + ...`, from `[outputs][taps][channels]` to `[outputs][channels][taps]`.
pub(super) fn add_parts(
    level: Level,
    parts: &[Vec<f32>],
    taps: usize,
    channels: usize,
    dw: &mut [f32],
) {
    let row = taps * channels;
    let places: Vec<usize> = (0..channels).map(|c| c * taps).collect();
    let mut sum = vec![0.0; row];
    for (o, dw) in dw.chunks_exact_mut(row).enumerate() {
        sum.copy_from_slice(&parts[0][o * row..][..row]);
        for part in &parts[1..] {
            for (sum, value) in sum.iter_mut().zip(&part[o * row..][..row]) {
                *sum += value;
            }
        }
        let words = scratch::bits(&sum);
        pack::scattered(level, words, channels, taps, &places, scratch::bits_mut(dw));
    }
}

/// Where the pixels of `dy` lie: channels last, `width` words each.
struct Places(Vec<usize>);

impl Places {
    fn new(pixels: usize, width: usize) -> Self {
        Self((0..pixels).map(|pixel| pixel * width).collect())
    }

    fn fill(&self, level: Level, planes: &[f32], count: usize, out: &mut [u32]) {
        pack::scattered(level, scratch::bits(planes), self.0.len(), count, &self.0, out);
    }
}
