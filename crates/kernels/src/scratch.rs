//! Buffers that a thread keeps for the next kernel: fresh memory costs more than a small product.

use std::cell::RefCell;

/// A cache line: what the buffers are made of, so that no register is loaded across two lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; Line::WORDS]);

impl Line {
    /// Words in a line.
    pub(crate) const WORDS: usize = 16;

    /// A line of zeros.
    pub(crate) const ZERO: Self = Self([0; Self::WORDS]);
}

/// The words of whole lines.
pub(crate) fn words(lines: &[Line]) -> &[u32] {
    // SAFETY: a line is 16 words without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * Line::WORDS) }
}

/// The words of whole lines.
pub(crate) fn words_mut(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: a line is 16 words without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * Line::WORDS) }
}

/// The bits of numbers.
pub(crate) fn bits(values: &[f32]) -> &[u32] {
    // SAFETY: an `f32` is 32 bits, aligned like a `u32`; every pattern is a `u32`.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// The bits of numbers, to be written.
pub(crate) fn bits_mut(values: &mut [f32]) -> &mut [u32] {
    // SAFETY: an `f32` is 32 bits, aligned like a `u32`; every pattern is a value of either.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// Words seen as bytes, as [`bytes_mut`] sees them.
pub(crate) fn bytes(words: &[u32]) -> &[u8] {
    // SAFETY: four bytes a word; every pattern is valid either way.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 4) }
}

/// Words seen as halves, as [`halves_mut`] sees them.
pub(crate) fn halves(words: &[u32]) -> &[u16] {
    // SAFETY: two halves a word; every pattern is valid either way.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 2) }
}

/// Words seen as bytes, the first one in the lowest byte on the machines that read them so.
pub(crate) fn bytes_mut(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: four bytes a word; every pattern is valid either way.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 4) }
}

/// Words seen as halves, the first one in the lower half on little-endian machines.
pub(crate) fn halves_mut(words: &mut [u32]) -> &mut [u16] {
    // SAFETY: two halves a word; every pattern is valid either way.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 2) }
}

thread_local! {
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with a buffer of `len` words that begins at a cache line. What is in it is left over from earlier use.
pub(crate) fn with<R>(len: usize, f: impl FnOnce(&mut [u32]) -> R) -> R {
    // Taken out while in use: `f` may run other kernels on this thread.
    let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    let lines = len.div_ceil(Line::WORDS);
    if buffer.len() < lines {
        buffer.resize(lines, Line::ZERO);
    }
    let result = f(&mut words_mut(&mut buffer)[..len]);
    KEPT.with_borrow_mut(|kept| kept.push(buffer));
    result
}

/// Like [`with`], for numbers.
pub(crate) fn floats<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    with(len, |words| {
        // SAFETY: an `f32` is 32 bits, aligned like a `u32`; every pattern is a value of either.
        f(unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) })
    })
}

/// Asks for values to be brought into the cache.
#[inline]
pub(crate) fn fetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(Line::WORDS) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    #[test]
    fn buffers_are_aligned_and_nest() {
        super::with(5, |outer| {
            outer.fill(7);
            super::with(100, |inner| inner.fill(9));
            assert_eq!(outer, [7; 5]);
            assert!(outer.as_ptr().addr().is_multiple_of(64));
        });
    }
}
