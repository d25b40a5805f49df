//! The gradient to the input as a product by tiles: rows are input pixels, columns input channels, the inner dimension taps and
//! output channels.
//!
//! Input pixel `i` is reached by the taps `k` with `(i + pad - k dilation)` a multiple of the stride. Which taps those are depends on
//! the phase `(i + pad) mod stride` alone: the pixels of one phase are a product of their own, with the output at `q - t`,
//! `q = (i + pad) / stride`, `t = (k dilation - phase) / stride`.

use rayon::prelude::*;

use super::Conv2dShape;
use super::forward::{images_together, to_planes};
use super::image::Layout;
use super::taps::Filters;
use super::winograd;
use crate::convert::Conversion;
use crate::isa::Level;
use crate::scratch;
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};

/// `dx` from `dy`, the faster way.
pub(super) fn either_way(level: Level, dy: &[f32], w: &[f32], dx: &mut [f32], shape: &Conv2dShape) {
    if !winograd::grad_input::convolve(level, dy, w, dx, shape) {
        convolve(level, dy, w, dx, shape);
    }
}

/// `dx` from `dy`.
fn convolve(level: Level, dy: &[f32], w: &[f32], dx: &mut [f32], shape: &Conv2dShape) {
    let (oh, ow) = shape.check(dx.len(), w.len(), dy.len());
    if dx.is_empty() {
        return;
    }
    let (channels, outputs) = (shape.c / shape.groups, shape.o / shape.groups);
    let taps = shape.kh * shape.kw;
    if dy.is_empty() || w.is_empty() {
        dx.fill(0.0);
        return;
    }
    let along_y =
        Direction::new(shape.h, oh, shape.kh, shape.pad.top, shape.stride.0, shape.dilation.0);
    let along_x =
        Direction::new(shape.w, ow, shape.kw, shape.pad.left, shape.stride.1, shape.dilation.1);
    let zeros = [along_y.before, along_x.before, along_y.after, along_x.after];
    let layout = Layout::new(Conversion::Float, outputs, (oh, ow), zeros);
    let phases = phases(shape, &along_y, &along_x, &layout, outputs);
    let filters: Vec<Filters> = w
        .chunks_exact(outputs * channels * taps)
        .map(|w| Filters::transposed(level, w, outputs, channels, taps))
        .collect();

    let pixels = shape.h * shape.w;
    let panels = channels.div_ceil(COLUMNS);
    let together = images_together(pixels, layout.len, shape.n);
    let image_groups = shape.n.div_ceil(together);
    let threads = rayon::current_num_threads();
    let wanted = (2 * threads).div_ceil(image_groups * shape.groups).clamp(1, panels);
    let panels_each = if threads == 1 { panels } else { panels.div_ceil(wanted) };
    let parts = panels.div_ceil(panels_each);
    let image = shape.o * oh * ow;
    let output = Output::new(dx);
    let job = |index: usize| {
        let (part, index) = (index % parts, index / parts);
        let (group, first) = (index % shape.groups, index / shape.groups * together);
        let count = together.min(shape.n - first);
        scratch::with(count * layout.len, |images| {
            let len = image / shape.groups;
            for (i, out) in images.chunks_exact_mut(layout.len).enumerate() {
                layout.fill(level, &dy[(first + i) * image + group * len..][..len], out);
            }
            scratch::with(count * pixels * COLUMNS, |sums| {
                for panel in part * panels_each..((part + 1) * panels_each).min(panels) {
                    let columns = (channels - panel * COLUMNS).min(COLUMNS);
                    for phase in &phases {
                        let inner = Inner::new(&phase.segments, outputs, 1, COLUMNS);
                        let b = filters[group].panel(panel);
                        let operands = Operands { words: Words::F32, inner, a: images, b };
                        phase.tiles(level, &operands, count, layout.len, pixels, columns, sums);
                    }
                    for (i, sums) in sums.chunks_exact(pixels * COLUMNS).enumerate() {
                        let plane = (first + i) * shape.c + group * channels + panel * COLUMNS;
                        // SAFETY: these planes belong to this panel of this group of images alone.
                        let planes = unsafe { output.slice(plane * pixels, columns * pixels) };
                        to_planes(level, sums, pixels, planes);
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
}

/// One direction: which taps reach which places.
struct Direction {
    len: usize,
    kernel: usize,
    pad: usize,
    stride: usize,
    dilation: usize,
    /// Largest `t`.
    reach: usize,
    /// Zeros before and after the outputs.
    before: usize,
    after: usize,
}

impl Direction {
    fn new(
        len: usize,
        out: usize,
        kernel: usize,
        pad: usize,
        stride: usize,
        dilation: usize,
    ) -> Self {
        let reach = (kernel - 1) * dilation / stride;
        let first = pad / stride;
        let last = (len - 1 + pad) / stride;
        let before = reach.saturating_sub(first);
        Self {
            len,
            kernel,
            pad,
            stride,
            dilation,
            reach,
            before,
            after: (last + 1).saturating_sub(out),
        }
    }

    /// The places of a phase, each with its first output, zeros included.
    fn places(&self, phase: usize) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        let of_phase = move |i: &usize| (i + self.pad) % self.stride == phase;
        (0..self.len)
            .filter(of_phase)
            .map(|i| (i, (i + self.pad) / self.stride + self.before - self.reach))
    }

    /// The taps that reach a phase, each with how far its output is from the first one.
    fn taps(&self, phase: usize) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        (0..self.kernel).filter_map(move |k| {
            let from = (k * self.dilation).checked_sub(phase)?;
            from.is_multiple_of(self.stride).then(|| (k, self.reach - from / self.stride))
        })
    }
}

/// The pixels that the same taps reach.
struct Phase {
    segments: Vec<Segment>,
    /// Each pixel, and where its first tap lies.
    pixels: Vec<(usize, usize)>,
}

fn phases(
    shape: &Conv2dShape,
    along_y: &Direction,
    along_x: &Direction,
    layout: &Layout,
    outputs: usize,
) -> Vec<Phase> {
    let mut phases = Vec::new();
    for py in 0..shape.stride.0 {
        for px in 0..shape.stride.1 {
            let place = |y: usize, x: usize| (y * layout.width + x) * layout.words;
            let pixels: Vec<(usize, usize)> = along_y
                .places(py)
                .flat_map(|(iy, y)| {
                    along_x.places(px).map(move |(ix, x)| (iy * shape.w + ix, place(y, x)))
                })
                .collect();
            let segments = along_y
                .taps(py)
                .flat_map(|(ky, y)| {
                    let b = move |kx: usize| (ky * shape.kw + kx) * outputs * COLUMNS;
                    along_x.taps(px).map(move |(kx, x)| Segment { a: place(y, x), b: b(kx) })
                })
                .collect();
            if !pixels.is_empty() {
                phases.push(Phase { segments, pixels });
            }
        }
    }
    phases
}

impl Phase {
    /// Computes the tiles of this phase in `count` images.
    #[allow(clippy::too_many_arguments)]
    fn tiles(
        &self,
        level: Level,
        operands: &Operands<'_>,
        count: usize,
        image: usize,
        pixels: usize,
        columns: usize,
        sums: &mut [u32],
    ) {
        let output = Output::of_words(sums);
        let rows = count * self.pixels.len();
        for first in (0..rows).step_by(ROWS) {
            let (mut from, mut to) = ([0; ROWS], [0; ROWS]);
            let height = ROWS.min(rows - first);
            for i in 0..height {
                let (n, p) = ((first + i) / self.pixels.len(), (first + i) % self.pixels.len());
                let (pixel, place) = self.pixels[p];
                from[i] = n * image + place;
                to[i] = (n * pixels + pixel) * COLUMNS;
            }
            // SAFETY: each pixel is in one phase, and written once by this thread.
            let outputs = unsafe { output.rows(&to[..height]) };
            tile::multiply(
                level,
                operands,
                &from[..height],
                columns,
                Start::Zero,
                Finish::Float,
                outputs,
            );
        }
    }
}
