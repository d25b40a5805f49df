//! Poolings without padding, over images whose channels lie last.

use super::Stage;
use super::form::Form;
use super::sink::{add_scaled, decoded, scaled};
use crate::isa::{Level, multiversion};
use crate::pool::Pool2dShape;
use crate::tile::{COLUMNS, Output};

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Its largest value; NaN counts as larger than everything.
    Max,
    /// The sum in scan order, divided by the size.
    Average,
}

/// The windows of a tensor.
#[derive(Clone, Debug)]
pub struct Window {
    form: usize,
    scale: f32,
    pooling: Pooling,
    shape: Pool2dShape,
    /// Where the windows begin, and where their values are, from there.
    begins: Vec<usize>,
    places: Vec<usize>,
}

impl Window {
    /// Windows over a tensor: codes of `form`, which has number `index`, times `scale`.
    ///
    /// # Panics
    /// If the shape is not that of the form's images.
    pub fn new(
        index: usize,
        form: &Form,
        scale: f32,
        pooling: Pooling,
        shape: Pool2dShape,
    ) -> Self {
        assert_eq!((shape.h, shape.w), form.size(), "images of a pooling");
        let (oh, ow) = shape.output_size().unwrap_or((0, 0));
        let pixel = |y: usize, x: usize| form.place(y * shape.w + x);
        let begins = (0..oh * ow).map(|i| pixel(i / ow * shape.stride.0, i % ow * shape.stride.1));
        let (kh, kw) = shape.kernel;
        let places = (0..kh * kw).map(|i| pixel(i / kw, i % kw) - pixel(0, 0));
        Self {
            form: index,
            scale,
            pooling,
            shape,
            begins: begins.collect(),
            places: places.collect(),
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
        assert_eq!((self.shape.h, self.shape.w), form.size(), "images of a pooling");
        assert_eq!(Some(stage.size), self.shape.output_size(), "result of a pooling");
        assert_eq!(stage.channels, form.channels(), "channels of a pooling");
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
        let begin = image * form.len() + self.begins[pixel] + form.panel(panel);
        *row = [0.0; COLUMNS];
        for (i, &place) in self.places.iter().enumerate() {
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
            divide(level, row, self.places.len() as f32);
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
