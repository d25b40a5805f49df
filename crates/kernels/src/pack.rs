//! Panels out of matrices: for each word of the inner dimension 32 columns side by side, missing ones zero.

use crate::isa::Level;
use crate::tile::COLUMNS;

/// Packs rows of `words`, which become columns: `packed[k * 32 + j] = words[j * row_step + k]` for `j < columns`.
pub(crate) fn transposed(
    level: Level,
    words: &[u32],
    row_step: usize,
    columns: usize,
    packed: &mut [u32],
) {
    let depth = packed.len() / COLUMNS;
    assert!(columns <= COLUMNS, "panel of {columns} columns");
    assert!(
        columns == 0 || depth == 0 || (columns - 1) * row_step + depth <= words.len(),
        "{columns} rows of {depth} words, {row_step} apart, of {}",
        words.len()
    );
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) | Level::Avx512VnniBf16(_) => {
            // SAFETY: the machine has AVX-512 F; all rows lie inside `words`.
            unsafe { avx512::transposed(words, row_step, columns, packed, depth) }
        }
        _ => {
            for (k, packed) in packed.chunks_exact_mut(COLUMNS).enumerate() {
                for (j, word) in packed.iter_mut().enumerate() {
                    *word = if j < columns { words[j * row_step + k] } else { 0 };
                }
            }
        }
    }
}

/// Transposes, each column to a place of its own: `out[places[c] + r] = words[r * row_step + c]` for `r < rows`.
pub(crate) fn scattered(
    level: Level,
    words: &[u32],
    row_step: usize,
    rows: usize,
    places: &[usize],
    out: &mut [u32],
) {
    let columns = places.len();
    if rows == 0 || columns == 0 {
        return;
    }
    let end = (rows - 1) * row_step + columns;
    assert!(end <= words.len(), "{rows} rows of {columns}, {row_step} apart, of {}", words.len());
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) | Level::Avx512VnniBf16(_) => {
            // SAFETY: the machine has AVX-512 F; all rows lie inside `words`.
            unsafe { avx512::scattered(words, row_step, rows, places, out) }
        }
        _ => {
            for (c, &place) in places.iter().enumerate() {
                for (r, out) in out[place..][..rows].iter_mut().enumerate() {
                    *out = words[r * row_step + c];
                }
            }
        }
    }
}

/// Packs `columns` neighbouring columns of a matrix: `packed[k * 32 + j] = words[k * step + j]` for `j < columns`.
pub(crate) fn rows(words: &[u32], step: usize, columns: usize, packed: &mut [u32]) {
    for (k, packed) in packed.chunks_exact_mut(COLUMNS).enumerate() {
        if columns == COLUMNS {
            packed.copy_from_slice(&words[k * step..][..COLUMNS]);
        } else {
            packed[..columns].copy_from_slice(&words[k * step..][..columns]);
            packed[columns..].fill(0);
        }
    }
}

/// Packs columns `column_step` apart, their words `step` apart.
pub(crate) fn strided(
    words: &[u32],
    column_step: usize,
    step: usize,
    columns: usize,
    packed: &mut [u32],
) {
    for (k, packed) in packed.chunks_exact_mut(COLUMNS).enumerate() {
        for (j, word) in packed.iter_mut().enumerate() {
            *word = if j < columns { words[j * column_step + k * step] } else { 0 };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::COLUMNS;

    /// Lanes of a register.
    const LANES: usize = 16;

    /// How many words ahead a row is fetched.
    const AHEAD: usize = 4 * LANES;

    /// # Safety
    /// The machine has AVX-512 F; `columns` rows of `depth` words, `row_step` apart, lie in `words`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transposed(
        words: &[u32],
        row_step: usize,
        columns: usize,
        packed: &mut [u32],
        depth: usize,
    ) {
        for k in (0..depth).step_by(LANES) {
            let count = (depth - k).min(LANES);
            let mask = first(count);
            for half in 0..COLUMNS / LANES {
                let mut square = [_mm512_setzero_si512(); LANES];
                for (j, row) in square.iter_mut().enumerate() {
                    let column = half * LANES + j;
                    if column < columns {
                        let place = words[column * row_step + k..].as_ptr();
                        // SAFETY: the row has `count` words from here.
                        *row = unsafe { _mm512_maskz_loadu_epi32(mask, place.cast()) };
                    }
                }
                let square = transpose(square);
                for (i, column) in square.iter().enumerate().take(count) {
                    let place = packed[(k + i) * COLUMNS + half * LANES..][..LANES].as_mut_ptr();
                    // SAFETY: 16 words are there.
                    unsafe { _mm512_storeu_si512(place.cast(), *column) };
                }
            }
        }
    }

    /// # Safety
    /// The machine has AVX-512 F; `rows` rows of `places.len()` words, `row_step` apart, lie in `words`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn scattered(
        words: &[u32],
        row_step: usize,
        rows: usize,
        places: &[usize],
        out: &mut [u32],
    ) {
        for r in (0..rows).step_by(LANES) {
            let height = (rows - r).min(LANES);
            for (c, places) in places.chunks(LANES).enumerate() {
                let mut square = [_mm512_setzero_si512(); LANES];
                for (i, row) in square.iter_mut().enumerate().take(height) {
                    let place = words[(r + i) * row_step + c * LANES..].as_ptr();
                    // Rows far apart are too many streams for the machine to foresee.
                    _mm_prefetch::<_MM_HINT_T0>(place.wrapping_add(AHEAD).cast());
                    // SAFETY: the row has that many words from here.
                    *row = unsafe { _mm512_maskz_loadu_epi32(first(places.len()), place.cast()) };
                }
                let square = transpose(square);
                for (column, &place) in square.iter().zip(places) {
                    let place = out[place + r..][..height].as_mut_ptr();
                    // SAFETY: `height` words are there.
                    unsafe { _mm512_mask_storeu_epi32(place.cast(), first(height), *column) };
                }
            }
        }
    }

    /// The first `count` lanes.
    fn first(count: usize) -> __mmask16 {
        if count >= LANES { !0 } else { !(!0 << count) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
        let zero = _mm512_setzero_si512();
        // Words of rows 4q .. 4q + 3 in each 128-bit lane: column 4 lane + j in quads[4q + j].
        let mut quads = [zero; LANES];
        for q in (0..LANES).step_by(4) {
            let low = (
                _mm512_unpacklo_epi32(rows[q], rows[q + 1]),
                _mm512_unpacklo_epi32(rows[q + 2], rows[q + 3]),
            );
            let high = (
                _mm512_unpackhi_epi32(rows[q], rows[q + 1]),
                _mm512_unpackhi_epi32(rows[q + 2], rows[q + 3]),
            );
            quads[q] = _mm512_unpacklo_epi64(low.0, low.1);
            quads[q + 1] = _mm512_unpackhi_epi64(low.0, low.1);
            quads[q + 2] = _mm512_unpacklo_epi64(high.0, high.1);
            quads[q + 3] = _mm512_unpackhi_epi64(high.0, high.1);
        }
        // Then the lanes change places: 0x88 takes lanes 0 and 2 of both, 0xdd lanes 1 and 3.
        let mut columns = [zero; LANES];
        for j in 0..4 {
            let (a, b, c, d) = (quads[j], quads[4 + j], quads[8 + j], quads[12 + j]);
            let even = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d));
            let odd = (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d));
            columns[j] = _mm512_shuffle_i32x4::<0x88>(even.0, even.1);
            columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even.0, even.1);
            columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd.0, odd.1);
            columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd.0, odd.1);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_agree_on_every_level() {
        for columns in [0, 1, 15, 16, 17, 31, 32] {
            for depth in [0, 1, 15, 16, 17, 40] {
                let step = depth + 3;
                let words: Vec<u32> = (0..(columns * step) as u32).collect();
                let expected: Vec<u32> = (0..depth * COLUMNS)
                    .map(|i| {
                        if i % COLUMNS < columns {
                            words[i % COLUMNS * step + i / COLUMNS]
                        } else {
                            0
                        }
                    })
                    .collect();
                for level in Level::all() {
                    let mut packed = vec![9; depth * COLUMNS];
                    transposed(level, &words, step, columns, &mut packed);
                    assert_eq!(packed, expected, "{columns} {depth} {level:?}");
                }
                let places: Vec<usize> = (0..depth).map(|k| (depth - 1 - k) * columns).collect();
                for level in Level::all() {
                    let mut out = vec![9; depth * columns];
                    scattered(level, &words, step, columns, &places, &mut out);
                    for (i, &out) in out.iter().enumerate() {
                        let (k, j) = (depth - 1 - i / columns, i % columns);
                        assert_eq!(out, (j * step + k) as u32, "{columns} {depth} {level:?}");
                    }
                }
                let mut packed = vec![9; depth * COLUMNS];
                strided(&words, step, 1, columns, &mut packed);
                assert_eq!(packed, expected, "{columns} {depth}");
                let by_rows: Vec<u32> = (0..depth)
                    .flat_map(|k| (0..columns).map(move |j| (j * step + k) as u32))
                    .collect();
                packed.fill(9);
                rows(&by_rows, columns, columns, &mut packed);
                assert_eq!(packed, expected, "{columns} {depth}");
            }
        }
    }
}
