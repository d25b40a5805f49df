//! Weights that are packed once and used for many products.

use std::ops::Range;

use super::MatmulShape;
use super::product::{self, Conversions, Rows, Weights};
use crate::Accumulation;
use crate::blocked::Panels;
use crate::isa::Level;
use crate::scratch::{self, Line};
use crate::tile::COLUMNS;

/// The constant right operand of [`matmul_packed`](super::matmul_packed).
#[derive(Clone, Debug)]
pub struct PackedWeights {
    w: Vec<f32>,
    m: usize,
    k: usize,
    accumulation: Accumulation,
    level: Level,
    /// `None` if there is no way but the definition.
    packed: Option<Packed>,
}

#[derive(Clone, Debug)]
struct Packed {
    conversions: Conversions,
    m: usize,
    depth: usize,
    /// For each panel, for each word of the inner dimension, 32 columns.
    panels: Vec<Line>,
    starts: Vec<Option<[i32; COLUMNS]>>,
    misfits: Vec<usize>,
}

impl PackedWeights {
    /// Packs `w`, of `m` rows of `k` values, for products that are summed as `accumulation` says.
    ///
    /// # Panics
    /// If `w` has not `m * k` values.
    pub fn new(w: &[f32], m: usize, k: usize, accumulation: Accumulation) -> Self {
        Self::new_at(Level::current(), w, m, k, accumulation)
    }

    pub(super) fn new_at(
        level: Level,
        w: &[f32],
        m: usize,
        k: usize,
        accumulation: Accumulation,
    ) -> Self {
        let shape = MatmulShape { n: 0, m, k };
        shape.check(0, w.len(), 0);
        let ways = Conversions::all(level, k, accumulation);
        let packed = ways.first().map(|&conversions| Packed::new(level, w, shape, conversions));
        Self { w: w.to_vec(), m, k, accumulation, level, packed }
    }

    /// Output features.
    pub fn outputs(&self) -> usize {
        self.m
    }

    /// Input features.
    pub fn inputs(&self) -> usize {
        self.k
    }

    /// How products with these weights are summed.
    pub fn accumulation(&self) -> Accumulation {
        self.accumulation
    }

    pub(super) fn multiply(&self, x: &[f32], y: &mut [f32]) {
        let Self { w, m, k, accumulation, level, packed } = self;
        let n = if *k > 0 { x.len() / k } else { y.len().checked_div(*m).unwrap_or(0) };
        let shape = MatmulShape { n, m: *m, k: *k };
        shape.check(x.len(), w.len(), y.len());
        if let Some(packed) = packed {
            let conversions = packed.conversions;
            if product::multiply_converted(
                *level,
                x,
                w,
                y,
                shape,
                *accumulation,
                conversions,
                packed,
            ) {
                return;
            }
        }
        product::multiply(*level, x, w, y, shape, *accumulation);
    }
}

impl Packed {
    fn new(level: Level, w: &[f32], shape: MatmulShape, conversions: Conversions) -> Self {
        let rows = Rows::new(level, w, shape, conversions);
        let depth = conversions.depth(shape.k);
        let count = shape.m.div_ceil(COLUMNS);
        let len = depth * COLUMNS;
        let mut panels = vec![Line::ZERO; count * len / Line::WORDS];
        for (panel, packed) in
            scratch::words_mut(&mut panels).chunks_exact_mut(len.max(1)).enumerate()
        {
            rows.pack(panel, 0..depth, packed);
        }
        let starts = (0..count).map(|panel| rows.start(panel)).collect();
        Self { conversions, m: shape.m, depth, panels, starts, misfits: rows.misfits() }
    }
}

impl Panels for Packed {
    fn columns(&self) -> usize {
        self.m
    }

    fn in_place(&self, panel: usize, depth: Range<usize>) -> Option<(&[u32], usize)> {
        let start = (panel * self.depth + depth.start) * COLUMNS;
        Some((&scratch::words(&self.panels)[start..][..depth.len() * COLUMNS], COLUMNS))
    }

    fn pack(&self, panel: usize, depth: Range<usize>, packed: &mut [u32]) {
        if let Some((words, _)) = self.in_place(panel, depth) {
            packed.copy_from_slice(words);
        }
    }

    fn start(&self, panel: usize) -> Option<[i32; COLUMNS]> {
        self.starts[panel]
    }
}

impl Weights for Packed {
    fn misfits(&self) -> Vec<usize> {
        self.misfits.clone()
    }
}
