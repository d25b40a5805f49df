//! Which words a product is computed in, and what becomes of operands that do not fit them.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::MatmulShape;
use super::reference::{self, dot};
use crate::blocked::{self, Left, Panels};
use crate::convert::{self, Conversion, OFFSET};
use crate::isa::Level;
use crate::tile::COLUMNS;
use crate::{Accumulation, pack, parallel, scratch};

/// `y = x wᵀ` by the fastest way that has the bits of the definition.
pub(super) fn multiply(
    level: Level,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: MatmulShape,
    accumulation: Accumulation,
) {
    for conversions in Conversions::all(level, shape.k, accumulation) {
        let right = Rows::new(level, w, shape, conversions);
        if multiply_converted(level, x, w, y, shape, accumulation, conversions, &right) {
            return;
        }
    }
    by_definition(x, w, y, shape, accumulation);
}

/// One output after the other, on several threads.
pub(super) fn by_definition(
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: MatmulShape,
    accumulation: Accumulation,
) {
    let MatmulShape { n, m, k } = shape;
    if y.is_empty() {
        return;
    }
    let rows = parallel::jobs(n, n.saturating_mul(m).saturating_mul(k), |i| {
        let mut row = vec![0.0; m];
        let shape = MatmulShape { n: 1, ..shape };
        reference::matmul_nt(&x[i * k..][..k], w, &mut row, shape, accumulation);
        row
    });
    y.chunks_exact_mut(m).zip(rows).for_each(|(y, row)| y.copy_from_slice(&row));
}

/// What the operands are converted to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Conversions {
    pub(crate) x: Conversion,
    pub(crate) w: Conversion,
}

impl Conversions {
    /// The ways to compute a product, the fastest first; the next one is for operands that do not fit. Behind the last is the definition.
    pub(crate) fn all(level: Level, k: usize, accumulation: Accumulation) -> Vec<Self> {
        let has_dot_products = matches!(level, Level::Avx512VnniBf16(_));
        let both = |conversion| Self { x: conversion, w: conversion };
        match accumulation {
            Accumulation::Sequential => vec![both(Conversion::Float)],
            Accumulation::Paired if has_dot_products => {
                vec![both(Conversion::Bf16), both(Conversion::FloatPairs)]
            }
            Accumulation::Paired => vec![both(Conversion::FloatPairs)],
            Accumulation::Integer { x_max_abs, w_max_abs } => {
                let largest = (k as u128) * u128::from(x_max_abs) * u128::from(w_max_abs);
                if largest > i32::MAX as u128
                    || x_max_abs > i16::MAX as u32
                    || w_max_abs > i16::MAX as u32
                {
                    return Vec::new();
                }
                let (x_max, w_max) = (x_max_abs as f32, w_max_abs as f32);
                let mut ways = Vec::new();
                if has_dot_products && w_max_abs <= 128 {
                    let w = Conversion::I8(-w_max, w_max.min(127.0));
                    if x_max_abs <= 127 {
                        ways.push(Self { x: Conversion::U8Offset(-x_max, x_max), w });
                    } else if x_max_abs <= 255 {
                        ways.push(Self { x: Conversion::I8(0.0, x_max), w });
                        ways.push(Self { x: Conversion::U8Offset(-128.0, 127.0), w });
                    }
                }
                ways.push(Self {
                    x: Conversion::I16(-x_max, x_max),
                    w: Conversion::I16(-w_max, w_max),
                });
                ways
            }
        }
    }

    /// Words in a row.
    pub(super) fn depth(&self, k: usize) -> usize {
        k.div_ceil(self.w.words().count())
    }
}

/// Rows that are no longer computed one by one if they broke their promise: another way is faster then.
const FEW: usize = 4;

/// Converts `x` and multiplies; false if too many rows do not fit.
#[allow(clippy::too_many_arguments)]
pub(super) fn multiply_converted<P: Weights>(
    level: Level,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    shape: MatmulShape,
    accumulation: Accumulation,
    conversions: Conversions,
    right: &P,
) -> bool {
    let MatmulShape { n, m, k } = shape;
    let depth = conversions.depth(k);
    let words = conversions.x.words();
    let bad_rows = if conversions.x == Conversion::Float {
        blocked::multiply(level, words, depth, left(scratch::bits(x), n, depth), right, y);
        Vec::new()
    } else {
        scratch::with(n * depth, |converted| {
            let bad_rows = convert_rows(level, conversions.x, x, k, converted, depth);
            if bad_rows.len() <= FEW {
                blocked::multiply(level, words, depth, left(converted, n, depth), right, y);
            }
            bad_rows
        })
    };
    let bad_columns = right.misfits();
    if bad_rows.len() > FEW || bad_columns.len() > FEW {
        return false;
    }
    let one = |i: usize, j: usize| dot(&x[i * k..][..k], &w[j * k..][..k], accumulation);
    for i in bad_rows {
        (0..m).for_each(|j| y[i * m + j] = one(i, j));
    }
    for j in bad_columns {
        (0..n).for_each(|i| y[i * m + j] = one(i, j));
    }
    true
}

/// Rows of words that lie one behind the other.
fn left(words: &[u32], rows: usize, depth: usize) -> Left<'_> {
    Left { words, rows, row_step: depth, step: 1 }
}

/// Converts all rows; returns those that do not fit.
pub(super) fn convert_rows(
    level: Level,
    conversion: Conversion,
    x: &[f32],
    k: usize,
    converted: &mut [u32],
    depth: usize,
) -> Vec<usize> {
    if k == 0 {
        return Vec::new();
    }
    let convert = |(i, (x, words)): (usize, (&[f32], &mut [u32]))| {
        (!conversion.row(level, x, words)).then_some(i)
    };
    if parallel::pays(x.len() / 2) {
        use rayon::prelude::*;
        let rows = x.par_chunks_exact(k).zip(converted.par_chunks_exact_mut(depth));
        rows.enumerate().with_min_len(16).filter_map(convert).collect()
    } else {
        x.chunks_exact(k)
            .zip(converted.chunks_exact_mut(depth))
            .enumerate()
            .filter_map(convert)
            .collect()
    }
}

/// Panels that know which of their columns did not fit.
pub(super) trait Weights: Panels {
    /// Columns that did not fit; asked for after the product.
    fn misfits(&self) -> Vec<usize>;
}

/// Weights as they lie in memory, converted panel by panel when they are needed.
pub(super) struct Rows<'a> {
    level: Level,
    w: &'a [f32],
    m: usize,
    k: usize,
    conversions: Conversions,
    misfits: Mutex<Vec<usize>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        level: Level,
        w: &'a [f32],
        shape: MatmulShape,
        conversions: Conversions,
    ) -> Self {
        Self { level, w, m: shape.m, k: shape.k, conversions, misfits: Mutex::default() }
    }
}

impl Panels for Rows<'_> {
    fn columns(&self) -> usize {
        self.m
    }

    fn in_place(&self, _: usize, _: Range<usize>) -> Option<(&[u32], usize)> {
        None
    }

    fn pack(&self, panel: usize, depth: Range<usize>, packed: &mut [u32]) {
        let first = panel * COLUMNS;
        let count = (self.m - first).min(COLUMNS);
        if self.conversions.w == Conversion::Float {
            let words = &scratch::bits(self.w)[first * self.k + depth.start..];
            pack::transposed(self.level, words, self.k, count, packed);
            return;
        }
        let per_word = self.conversions.w.words().count();
        let (begin, end) = (depth.start * per_word, (depth.end * per_word).min(self.k));
        scratch::with(count * depth.len(), |words| {
            for j in 0..count {
                let row = &self.w[(first + j) * self.k..][begin..end];
                let words = &mut words[j * depth.len()..][..depth.len()];
                if !self.conversions.w.row(self.level, row, words) {
                    self.misfits.lock().unwrap_or_else(PoisonError::into_inner).push(first + j);
                }
            }
            pack::transposed(self.level, words, depth.len(), count, packed);
        });
    }

    fn start(&self, panel: usize) -> Option<[i32; COLUMNS]> {
        let Conversion::U8Offset(..) = self.conversions.x else { return None };
        let first = panel * COLUMNS;
        let mut start = [0; COLUMNS];
        for (j, start) in (first..self.m.min(first + COLUMNS)).zip(&mut start) {
            *start =
                convert::sum(self.level, &self.w[j * self.k..][..self.k]).wrapping_mul(-OFFSET);
        }
        Some(start)
    }
}

impl Weights for Rows<'_> {
    fn misfits(&self) -> Vec<usize> {
        let mut misfits = self.misfits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        misfits.sort_unstable();
        misfits.dedup();
        misfits
    }
}
