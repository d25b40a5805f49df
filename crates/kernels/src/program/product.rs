//! Convolutions and linear layers with constant weights.

use std::collections::BTreeMap;

use super::Stage;
use super::form::{Element, Form};
use crate::conv2d::{Conv2dShape, Filters};
use crate::isa::Level;
use crate::tile::{self, COLUMNS, Finish, Inner, Operands, Output, ROWS, Segment, Start, Words};

/// A convolution of one group with constant weights; a linear layer is one over images of one pixel, or with a kernel as large as the image.
#[derive(Clone, Debug)]
pub struct Product {
    form: usize,
    words: Words,
    filters: Filters,
    shape: Conv2dShape,
    /// Ways to split the output pixels into classes that share their taps.
    splits: Vec<Vec<Class>>,
    work: usize,
    /// Words of an image.
    image: usize,
}

/// Output pixels that see the same taps.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Number of each pixel, and where its first tap lies in an image.
    pub(super) pixels: Vec<(usize, usize)>,
    segments: Vec<Segment>,
    /// Words in a segment.
    len: usize,
}

/// Which taps on padding are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    None,
    Rows,
    All,
}

impl Product {
    /// Convolves the codes of `form`, which has number `index`, with `w`, `[O, C, KH, KW]`; `shape` is that of one image. `None` if a
    /// weight does not fit.
    ///
    /// # Panics
    /// If sizes do not fit, there are groups, or the form has fewer zeros around its images than the convolution has.
    pub fn new(w: &[f32], shape: &Conv2dShape, index: usize, form: &Form) -> Option<Self> {
        let level = Level::current();
        assert_eq!((shape.n, shape.groups), (1, 1), "images and groups of {shape:?}");
        assert_eq!(
            (form.channels(), form.size()),
            (shape.c, (shape.h, shape.w)),
            "form of {shape:?}"
        );
        let (zeros, pad) = (form.zeros(), shape.pad);
        assert!(
            zeros.top >= pad.top
                && zeros.left >= pad.left
                && zeros.bottom >= pad.bottom
                && zeros.right >= pad.right,
            "{zeros:?} around images of {shape:?}"
        );
        let (oh, ow) = shape.output_size()?;
        let taps = shape.kh * shape.kw;
        shape.check(shape.c * shape.h * shape.w, w.len(), shape.o * oh * ow);
        let element = form.element();
        let filters = Filters::new(level, w, shape.o, shape.c, taps, element.conversions());
        let ways: &[Skip] = match element {
            // The offset was taken from all taps.
            Element::U8Offset => &[Skip::None],
            _ if pad == Default::default() => &[Skip::None],
            _ => &[Skip::None, Skip::Rows, Skip::All],
        };
        let splits = ways.iter().map(|&skip| classes(shape, form, skip)).collect();
        let work = oh * ow * taps * form.words() * shape.o;
        filters.fit.then_some(Self {
            form: index,
            words: element.words(),
            filters,
            shape: *shape,
            splits,
            work,
            image: form.len(),
        })
    }

    pub(super) fn form(&self) -> usize {
        self.form
    }

    pub(super) fn work(&self) -> usize {
        self.work
    }

    /// True if the weights are more than so many images.
    pub(super) fn is_heavy(&self, images: usize) -> bool {
        self.filters.words() > images * self.image
    }

    pub(super) fn check(&self, form: &Form, stage: &Stage) {
        let found = (form.channels(), form.size());
        assert_eq!(found, (self.shape.c, (self.shape.h, self.shape.w)), "form of {:?}", self.shape);
        assert_eq!(form.element().words(), self.words, "words of {:?}", self.shape);
        let found = (stage.channels, Some(stage.size));
        assert_eq!(found, (self.shape.o, self.shape.output_size()), "result of {:?}", self.shape);
    }

    /// The classes that are the least work for so many images.
    pub(super) fn classes(&self, images: usize) -> &[Class] {
        let cost =
            |split: &&Vec<Class>| -> usize { split.iter().map(|class| class.cost(images)).sum() };
        self.splits.iter().min_by_key(cost).map_or(&[], Vec::as_slice)
    }

    /// Computes a block: rows `first..` of a class, 32 sums each.
    pub(super) fn block(
        &self,
        level: Level,
        view: Output<'_>,
        class: &Class,
        starts: &[usize],
        panel: usize,
        block: &mut [f32],
    ) {
        // SAFETY: stages read what stages before them have written, which nobody writes meanwhile.
        let a = unsafe { view.all() };
        let inner = Inner::new(&class.segments, class.len, 1, COLUMNS);
        let operands = Operands { words: self.words, inner, a, b: self.filters.panel(panel) };
        let columns = (self.shape.o - panel * COLUMNS).min(COLUMNS);
        let start = self.filters.start(panel).map_or(Start::Zero, Start::Columns);
        tile::multiply_rows(level, &operands, starts, columns, start, Finish::Float, block);
    }
}

impl Class {
    /// About how long the rows of so many images take, in dot products of a row.
    fn cost(&self, images: usize) -> usize {
        let rows = images * self.pixels.len();
        // The kernels compute 1, 2, 4, 8 or 12 rows; those of less than 4 wait for each other.
        let rest = match rows % ROWS {
            0 => 0,
            1..=4 => 4,
            5..=8 => 8,
            _ => ROWS,
        };
        (rows - rows % ROWS + rest) * (self.segments.len() * self.len + OVERHEAD)
    }
}

/// What a tile costs besides its dot products, in those of a row.
const OVERHEAD: usize = 8;

/// The output pixels by the taps that they see.
fn classes(shape: &Conv2dShape, form: &Form, skip: Skip) -> Vec<Class> {
    let Some((oh, ow)) = shape.output_size() else { return Vec::new() };
    // Taps first..last that lie inside.
    let inside =
        |at: usize, stride: usize, dilation: usize, pad: usize, len: usize, taps: usize| {
            let lies = |tap: &usize| {
                (at * stride + tap * dilation).checked_sub(pad).is_some_and(|place| place < len)
            };
            let first = (0..taps).find(lies).unwrap_or(0);
            let last = (0..taps).rfind(lies).map_or(first, |tap| tap + 1);
            (first, last)
        };
    let mut classes: BTreeMap<[usize; 4], Vec<(usize, usize)>> = BTreeMap::new();
    let words = form.words();
    for pixel in 0..oh * ow {
        let (y, x) = (pixel / ow, pixel % ow);
        let mut rows =
            inside(y, shape.stride.0, shape.dilation.0, shape.pad.top, shape.h, shape.kh);
        let mut columns =
            inside(x, shape.stride.1, shape.dilation.1, shape.pad.left, shape.w, shape.kw);
        if skip == Skip::None {
            rows = (0, shape.kh);
        }
        if skip != Skip::All {
            columns = (0, shape.kw);
        }
        let row = y * shape.stride.0 + form.zeros().top - shape.pad.top;
        let column = x * shape.stride.1 + form.zeros().left - shape.pad.left;
        let start = (row * form.width() + column) * words;
        classes.entry([rows.0, rows.1, columns.0, columns.1]).or_default().push((pixel, start));
    }
    let class = |([top, bottom, left, right], pixels): ([usize; 4], Vec<(usize, usize)>)| {
        // Neighbouring taps of a row lie side by side if nothing is between them.
        let whole = shape.dilation.1 == 1;
        let (per_row, len) =
            if whole { (1, (right - left) * words) } else { (right - left, words) };
        let segments = (top..bottom).flat_map(|ky| {
            (0..per_row).map(move |i| {
                let kx = left + i;
                let a = (ky * shape.dilation.0 * form.width() + kx * shape.dilation.1) * words;
                Segment { a, b: (ky * shape.kw + kx) * words * COLUMNS }
            })
        });
        Class { pixels, segments: segments.collect(), len }
    };
    classes.into_iter().map(class).collect()
}
