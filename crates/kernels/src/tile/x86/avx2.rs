//! Tiles in AVX2: 6 x 16 at a time, 12 accumulators, two registers of `b`, one broadcast word of `a`.

use std::arch::x86_64::*;

use crate::tile::{Finish, Raw, RawStart, Words};

/// Lanes of a register.
const LANES: usize = 8;
/// Rows and registers of a part of a tile.
const PART: (usize, usize) = (6, 2);

/// Computes a tile.
///
/// # Safety
/// The machine has AVX2 and FMA; the rest as [`crate::tile::multiply`] checks.
pub(in crate::tile) unsafe fn tile(words: Words, raw: &Raw) {
    for row in (0..raw.row_count).step_by(PART.0) {
        for column in (0..raw.columns).step_by(PART.1 * LANES) {
            // SAFETY: passed on, for a part.
            unsafe {
                match words {
                    Words::F32 => choose::<F32>(raw, row, column),
                    Words::I16 => choose::<I16>(raw, row, column),
                    // `Words::runs_on` keeps them from this level.
                    Words::Bf16 | Words::I8 => unreachable!("{words:?} in AVX2"),
                }
            }
        }
    }
}

/// Calls the kernel for this number of rows.
///
/// # Safety
/// As [`tile`].
unsafe fn choose<D: Dot>(raw: &Raw, row: usize, column: usize) {
    // SAFETY: passed on.
    unsafe {
        match raw.row_count - row {
            1 => kernel::<D, 1>(raw, row, column),
            2 => kernel::<D, 2>(raw, row, column),
            3..=4 => kernel::<D, 4>(raw, row, column),
            _ => kernel::<D, { PART.0 }>(raw, row, column),
        }
    }
}

/// Dot products of words, added to accumulators; all in the bits of an integer register.
trait Dot {
    /// # Safety
    /// The machine has AVX2 and FMA.
    unsafe fn dot(acc: __m256i, a: __m256i, b: __m256i) -> __m256i;

    /// The accumulators as `f32`.
    ///
    /// # Safety
    /// The machine has AVX2.
    unsafe fn float(acc: __m256i) -> __m256i;
}

struct F32;

impl Dot for F32 {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn dot(acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
        let sum = _mm256_fmadd_ps(
            _mm256_castsi256_ps(a),
            _mm256_castsi256_ps(b),
            _mm256_castsi256_ps(acc),
        );
        _mm256_castps_si256(sum)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn float(acc: __m256i) -> __m256i {
        acc
    }
}

struct I16;

impl Dot for I16 {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn dot(acc: __m256i, a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn float(acc: __m256i) -> __m256i {
        _mm256_castps_si256(_mm256_cvtepi32_ps(acc))
    }
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx2,fma")]
unsafe fn kernel<D: Dot, const R: usize>(raw: &Raw, row: usize, column: usize) {
    let count = (raw.row_count - row).min(R);
    let c = |i: usize, v: usize| raw.c[row + i].wrapping_add(column + v * LANES);
    let masks: [__m256i; PART.1] = std::array::from_fn(|v| {
        let left = raw.columns.saturating_sub(column + v * LANES).min(LANES) as i32;
        _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    });
    let mut acc = [[_mm256_setzero_si256(); PART.1]; R];
    match raw.start {
        RawStart::Zero => {}
        RawStart::Columns(start) => {
            for v in 0..PART.1 {
                // SAFETY: there are 32 integers.
                let start = unsafe { _mm256_loadu_si256(start.add(column + v * LANES).cast()) };
                acc.iter_mut().for_each(|acc| acc[v] = start);
            }
        }
        RawStart::Sums => {
            for (i, acc) in acc.iter_mut().enumerate() {
                for v in 0..PART.1 {
                    // SAFETY: the mask leaves the outputs of this row.
                    acc[v] =
                        unsafe { _mm256_maskload_epi32(c(i.min(count - 1), v).cast(), masks[v]) };
                }
            }
        }
    }
    let rows: [*const u32; R] = std::array::from_fn(|i| raw.rows[row + i]);
    for s in 0..raw.segments {
        // SAFETY: all places were checked for the furthest segment and its last word.
        unsafe {
            let segment = *raw.inner.add(s);
            let mut a = segment.a;
            let mut b = raw.b.add(segment.b + column);
            for _ in 0..raw.len {
                let columns: [__m256i; PART.1] =
                    [_mm256_loadu_si256(b.cast()), _mm256_loadu_si256(b.add(LANES).cast())];
                for i in 0..R {
                    let word = _mm256_set1_epi32(*rows[i].add(a) as i32);
                    for v in 0..PART.1 {
                        acc[i][v] = D::dot(acc[i][v], word, columns[v]);
                    }
                }
                a += raw.a_step;
                b = b.wrapping_add(raw.b_step);
            }
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        if i < count {
            for v in 0..PART.1 {
                // SAFETY: the mask leaves the outputs of this row.
                unsafe {
                    let sums = acc[v];
                    let value = if raw.finish == Finish::Float { D::float(sums) } else { sums };
                    _mm256_maskstore_epi32(c(i, v).cast(), masks[v], value);
                }
            }
        }
    }
}
