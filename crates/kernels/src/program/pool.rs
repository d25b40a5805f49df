//! Poolings over images whose channels lie last.

use super::Stage;
use super::form::{Element, Form};
use super::sink::{add_scaled, decoded, scaled};
use crate::isa::{Level, multiversion};
use crate::scratch;
use crate::tile::{COLUMNS, Output};

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Its largest value; NaN counts as larger than everything.
    Max,
    /// The sum in scan order, divided by the size.
    Average,
}

/// Which pixels are in which window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Height and width of the result.
    pub size: (usize, usize),
    /// For each window the numbers of its pixels, in scan order. Padding has none.
    pub pixels: Vec<Vec<usize>>,
    /// What the sum of each window is divided by: its size, with the padding or without.
    pub sizes: Vec<usize>,
}

/// The windows of a tensor.
#[derive(Clone, Debug)]
pub struct Window {
    form: usize,
    scale: f32,
    pooling: Pooling,
    size: (usize, usize),
    channels: usize,
    /// Where the values of all windows are, and where those of each end.
    places: Vec<usize>,
    ends: Vec<usize>,
    sizes: Vec<f32>,
}

impl Window {
    /// Windows over a tensor: codes of `form`, which has number `index`, times `scale`.
    ///
    /// # Panics
    /// If a pixel lies outside of the form's images, or there are more or fewer windows than pixels of the result.
    pub fn new(index: usize, form: &Form, scale: f32, pooling: Pooling, windows: &Windows) -> Self {
        let count = windows.size.0 * windows.size.1;
        assert_eq!((windows.pixels.len(), windows.sizes.len()), (count, count), "windows");
        let (mut places, mut ends) = (Vec::new(), Vec::with_capacity(count));
        for pixels in &windows.pixels {
            assert!(!pixels.is_empty(), "a window of nothing");
            places.extend(pixels.iter().map(|&pixel| form.place(pixel)));
            ends.push(places.len());
        }
        Self {
            form: index,
            scale,
            pooling,
            size: windows.size,
            channels: form.channels(),
            places,
            ends,
            sizes: windows.sizes.iter().map(|&size| size as f32).collect(),
        }
    }

    /// Where the values of a window are in an image.
    fn places(&self, window: usize) -> &[usize] {
        let first = if window == 0 { 0 } else { self.ends[window - 1] };
        &self.places[first..self.ends[window]]
    }

    /// True if the largest bytes of these codes are the codes of the largest values.
    pub(super) fn is_of_bytes(&self, form: &Form) -> bool {
        self.pooling == Pooling::Max
            && self.scale == 1.0
            && matches!(form.element(), Element::U8 | Element::U8Offset)
    }

    /// Finds the largest bytes of some words of a pixel.
    pub(super) fn largest(
        &self,
        level: Level,
        view: Output<'_>,
        (image, window, first): (usize, usize, usize),
        words: &mut [u32],
    ) {
        for (i, &place) in self.places(window).iter().enumerate() {
            // SAFETY: stages read what stages before them have written, which nobody writes meanwhile.
            let from = unsafe { view.read(image + place + first, words.len()) };
            if i == 0 {
                words.copy_from_slice(from);
            } else {
                larger_bytes(level, scratch::bytes_mut(words), scratch::bytes(from));
            }
        }
    }

    pub(super) fn form(&self) -> usize {
        self.form
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn scale(&self) -> f32 {
        self.scale
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn pooling(&self) -> Pooling {
        self.pooling
    }

    pub(super) fn check(&self, form: &Form, stage: &Stage) {
        assert_eq!(stage.size, self.size, "result of a pooling");
        assert_eq!((stage.channels, form.channels()), (self.channels, self.channels), "channels");
    }

    /// Fills a row with the channels of a panel.
    pub(super) fn row(
        &self,
        level: Level,
        view: Output<'_>,
        form: &Form,
        (image, pixel, panel): (usize, usize, usize),
        row: &mut [f32; COLUMNS],
    ) {
        let columns = (form.channels() - panel * COLUMNS).min(COLUMNS);
        let element = form.element();
        let words = columns.div_ceil(element.words().count());
        let begin = image * form.len() + form.panel(panel);
        *row = [0.0; COLUMNS];
        for (i, &place) in self.places(pixel).iter().enumerate() {
            // SAFETY: stages read what stages before them have written, which nobody writes meanwhile.
            let words = unsafe { view.read(begin + place, words) };
            let codes = decoded(level, element, words, columns);
            match self.pooling {
                Pooling::Average => add_scaled(level, row, &codes, self.scale),
                Pooling::Max if i == 0 => scaled(level, row, &codes, self.scale),
                Pooling::Max => larger(level, row, &codes, self.scale),
            }
        }
        if self.pooling == Pooling::Average {
            divide(level, row, self.sizes[pixel]);
        }
    }
}

multiversion! {
    fn larger_bytes(level, bytes: &mut [u8], others: &[u8]) {
        for (byte, other) in bytes.iter_mut().zip(others) {
            *byte = (*byte).max(*other);
        }
    }
}

multiversion! {
    fn larger(level, row: &mut [f32; COLUMNS], codes: &[f32; COLUMNS], scale: f32) {
        for i in 0..COLUMNS {
            let v = codes[i] * scale;
            row[i] = if (v > row[i]) | (v.is_nan() & !row[i].is_nan()) { v } else { row[i] };
        }
    }
}

multiversion! {
    fn divide(level, row: &mut [f32; COLUMNS], count: f32) {
        for v in row {
            *v /= count;
        }
    }
}
