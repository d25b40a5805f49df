//! Tiles of 12 x 32 in AVX-512: 24 accumulators, two registers of `b`, one broadcast word of `a`.

use std::arch::x86_64::*;

use crate::tile::{Finish, ROWS, Raw, RawStart, Words};

/// Lanes of a register.
const LANES: usize = 16;

/// Computes a tile of the words that need no more than AVX-512 BW.
///
/// # Safety
/// The machine has AVX-512 F, BW, DQ and VL; the rest as [`crate::tile::multiply`] checks.
pub(in crate::tile) unsafe fn tile(words: Words, raw: &Raw) {
    // SAFETY: passed on.
    unsafe {
        match words {
            Words::F32 => plain::choose::<F32>(raw),
            Words::I16 => plain::choose::<I16>(raw),
            // `Words::runs_on` keeps them from this level.
            Words::Bf16 | Words::I8 => unreachable!("{words:?} without dot products"),
        }
    }
}

/// Computes a tile of any words.
///
/// # Safety
/// The machine has AVX-512 VNNI and BF16, too; the rest as [`crate::tile::multiply`] checks.
pub(in crate::tile) unsafe fn tile_with_dot_products(words: Words, raw: &Raw) {
    // SAFETY: passed on.
    unsafe {
        match words {
            Words::F32 => plain::choose::<F32>(raw),
            Words::Bf16 => dot_products::choose::<Bf16>(raw),
            Words::I16 => dot_products::choose::<I16Vnni>(raw),
            Words::I8 => dot_products::choose::<I8Vnni>(raw),
        }
    }
}

/// Dot products of words, added to accumulators; all in the bits of an integer register.
trait Dot {
    /// # Safety
    /// The machine has the instructions.
    unsafe fn dot(acc: __m512i, a: __m512i, b: __m512i) -> __m512i;

    /// The accumulators as `f32`.
    ///
    /// # Safety
    /// The machine has AVX-512 F.
    unsafe fn float(acc: __m512i) -> __m512i;
}

macro_rules! dot {
    ($(#[$meta:meta])* $name:ident, $features:literal, |$acc:ident, $a:ident, $b:ident| $dot:expr, |$sums:ident| $float:expr) => {
        $(#[$meta])*
        struct $name;

        impl Dot for $name {
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn dot($acc: __m512i, $a: __m512i, $b: __m512i) -> __m512i {
                $dot
            }

            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn float($sums: __m512i) -> __m512i {
                $float
            }
        }
    };
}

dot!(
    F32,
    "avx512f",
    |acc, a, b| _mm512_castps_si512(_mm512_fmadd_ps(
        _mm512_castsi512_ps(a),
        _mm512_castsi512_ps(b),
        _mm512_castsi512_ps(acc)
    )),
    |sums| sums
);
dot!(I16, "avx512f,avx512bw", |acc, a, b| _mm512_add_epi32(acc, _mm512_madd_epi16(a, b)), |sums| {
    _mm512_castps_si512(_mm512_cvtepi32_ps(sums))
});
dot!(I16Vnni, "avx512f,avx512vnni", |acc, a, b| _mm512_dpwssd_epi32(acc, a, b), |sums| {
    _mm512_castps_si512(_mm512_cvtepi32_ps(sums))
});
dot!(I8Vnni, "avx512f,avx512vnni", |acc, a, b| _mm512_dpbusd_epi32(acc, a, b), |sums| {
    _mm512_castps_si512(_mm512_cvtepi32_ps(sums))
});
dot!(
    /// The instruction adds the odd product, rounds, adds the even one, rounds.
    Bf16,
    "avx512f,avx512bf16",
    |acc, a, b| {
        // SAFETY: 512 bits either way; every pattern is a value.
        let (a, b) = unsafe {
            (std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b))
        };
        _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(acc), a, b))
    },
    |sums| sums
);

/// The loop, compiled with the instructions that `$features` names.
macro_rules! kernels {
    ($module:ident, $features:literal) => {
        mod $module {
            use super::*;

            /// Calls the kernel for this number of rows and columns.
            ///
            /// # Safety
            /// As the callers'.
            pub(super) unsafe fn choose<D: Dot>(raw: &Raw) {
                // SAFETY: passed on.
                unsafe {
                    match (raw.row_count, raw.columns > LANES) {
                        (1, true) => kernel::<D, 1, 2>(raw),
                        (1, false) => kernel::<D, 1, 1>(raw),
                        (2, true) => kernel::<D, 2, 2>(raw),
                        (2, false) => kernel::<D, 2, 1>(raw),
                        (3..=4, true) => kernel::<D, 4, 2>(raw),
                        (3..=4, false) => kernel::<D, 4, 1>(raw),
                        (5..=8, true) => kernel::<D, 8, 2>(raw),
                        (5..=8, false) => kernel::<D, 8, 1>(raw),
                        (_, true) => kernel::<D, ROWS, 2>(raw),
                        (_, false) => kernel::<D, ROWS, 1>(raw),
                    }
                }
            }

            #[target_feature(enable = $features)]
            unsafe fn kernel<D: Dot, const R: usize, const V: usize>(raw: &Raw) {
                let mask = |v: usize| -> __mmask16 {
                    let left = raw.columns.saturating_sub(v * LANES);
                    if left >= LANES { !0 } else { !(!0 << left) }
                };
                let mut acc = [[_mm512_setzero_si512(); V]; R];
                match raw.start {
                    RawStart::Zero => {}
                    RawStart::Columns(start) => {
                        for v in 0..V {
                            // SAFETY: there are 32 integers.
                            let start = unsafe { _mm512_loadu_si512(start.add(v * LANES).cast()) };
                            acc.iter_mut().for_each(|acc| acc[v] = start);
                        }
                    }
                    RawStart::Sums => {
                        for (i, acc) in acc.iter_mut().enumerate() {
                            let row = raw.c[i.min(raw.row_count - 1)];
                            for v in 0..V {
                                // SAFETY: the mask leaves the outputs of this row.
                                acc[v] = unsafe {
                                    _mm512_maskz_loadu_epi32(
                                        mask(v),
                                        row.wrapping_add(v * LANES).cast(),
                                    )
                                };
                            }
                        }
                    }
                }
                // `std::array::from_fn` would be called, with all registers saved.
                let mut rows = [raw.rows[0]; R];
                for i in 0..R {
                    rows[i] = raw.rows[i];
                }
                for s in 0..raw.segments {
                    // SAFETY: all places were checked for the furthest segment and its last word.
                    unsafe {
                        let segment = *raw.inner.add(s);
                        let mut a = segment.a;
                        let mut b = raw.b.add(segment.b);
                        for _ in 0..raw.len {
                            let mut columns = [_mm512_setzero_si512(); V];
                            for v in 0..V {
                                columns[v] = _mm512_loadu_si512(b.add(v * LANES).cast());
                            }
                            for i in 0..R {
                                let word = _mm512_set1_epi32(*rows[i].add(a) as i32);
                                for v in 0..V {
                                    acc[i][v] = D::dot(acc[i][v], word, columns[v]);
                                }
                            }
                            a += raw.a_step;
                            b = b.wrapping_add(raw.b_step);
                        }
                    }
                }
                for i in 0..R {
                    if i < raw.row_count {
                        for v in 0..V {
                            // SAFETY: the mask leaves the outputs of this row.
                            unsafe {
                                let sums = acc[i][v];
                                let value =
                                    if raw.finish == Finish::Float { D::float(sums) } else { sums };
                                let place = raw.c[i].wrapping_add(v * LANES);
                                _mm512_mask_storeu_epi32(place.cast(), mask(v), value);
                            }
                        }
                    }
                }
            }
        }
    };
}

kernels!(plain, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
kernels!(dot_products, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16");
