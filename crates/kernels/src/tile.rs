//! Micro-kernels: one tile of a product of two matrices whose elements are 32-bit words.
//!
//! A word holds one `f32`, two bfloat16, two 16-bit or four 8-bit integers; whatever it holds, a tile is the same loop:
//!
//! ```text
//! for each segment, for each j < len:
//!     for each row i, for each column v:  c[i][v] += dot(a[row i + segment.a + j a_step], b[segment.b + j b_step + v])
//! ```
//!
//! Each output has one accumulator that runs through the loop in order: its bits depend on no blocking.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::isa::Level;

/// Rows of a full tile.
pub(crate) const ROWS: usize = 12;

/// Columns of a full tile, and of every panel that `b` is packed into.
pub(crate) const COLUMNS: usize = 32;

/// What a word holds, and so what the dot product of two words is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Words {
    /// One `f32`: `acc = fma(a, b, acc)`.
    F32,
    /// Two bfloat16: `acc = fma(a1, b1, acc)`, then `acc = fma(a0, b0, acc)`; subnormal numbers count as zero.
    Bf16,
    /// Two signed 16-bit integers above -32768, added to an `i32` that wraps.
    I16,
    /// Four unsigned (`a`) and signed (`b`) 8-bit integers, added to an `i32` that wraps.
    I8,
}

impl Words {
    /// Numbers in a word.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 | Self::I16 => 2,
            Self::I8 => 4,
        }
    }

    /// True if `level` has this dot product.
    fn runs_on(self, level: Level) -> bool {
        match self {
            Self::F32 | Self::I16 => true,
            Self::Bf16 | Self::I8 => matches!(level, Level::Avx512VnniBf16(_)),
        }
    }
}

/// A stretch of the inner dimension: where it begins in `a` (from a row's first word) and in `b` (from a panel's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) a: usize,
    pub(crate) b: usize,
}

/// The inner dimension of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner<'a> {
    segments: &'a [Segment],
    len: usize,
    a_step: usize,
    b_step: usize,
    /// One more than the largest index into `a` from a row's first word.
    a_extent: usize,
    /// One more than the largest index into `b` from a panel's first word, without the columns.
    b_extent: usize,
}

impl<'a> Inner<'a> {
    /// `len` words in each segment, `a_step` and `b_step` apart.
    pub(crate) fn new(segments: &'a [Segment], len: usize, a_step: usize, b_step: usize) -> Self {
        let furthest =
            |begin: fn(&Segment) -> usize, step: usize| match segments.iter().map(begin).max() {
                Some(last) if len > 0 => last + (len - 1) * step + 1,
                _ => 0,
            };
        Self {
            segments,
            len,
            a_step,
            b_step,
            a_extent: furthest(|s| s.a, a_step),
            b_extent: furthest(|s| s.b, b_step),
        }
    }
}

/// What the accumulators of a tile begin with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    /// Zero.
    Zero,
    /// One integer for each column.
    Columns(&'a [i32; COLUMNS]),
    /// What an earlier tile left in `c` with [`Finish::Sums`].
    Sums,
}

/// What is written to `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The accumulators as they are.
    Sums,
    /// The accumulators as `f32`, rounded to nearest, ties to even.
    Float,
}

/// Where results are written to: a slice that several threads fill, each its own elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output<'a> {
    data: *mut u32,
    len: usize,
    lifetime: std::marker::PhantomData<&'a mut [u32]>,
}

// SAFETY: it stands for a `&mut [u32]`; that no two threads use an element that one of them writes is promised to `rows`, `slice` and `read`.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// All elements of a slice.
    pub(crate) fn new(c: &'a mut [f32]) -> Self {
        Self { data: c.as_mut_ptr().cast(), len: c.len(), lifetime: std::marker::PhantomData }
    }

    /// All elements of a slice of words.
    pub(crate) fn of_words(c: &'a mut [u32]) -> Self {
        Self { data: c.as_mut_ptr(), len: c.len(), lifetime: std::marker::PhantomData }
    }

    /// Where the slice begins.
    pub(crate) fn address(&self) -> *const u32 {
        self.data
    }

    /// The rows of a tile, by where they begin.
    ///
    /// # Safety
    /// The rows do not overlap, and while they are in use nobody else reads or writes their elements.
    pub(crate) unsafe fn rows<'b>(&self, starts: &'b [usize]) -> OutputRows<'b>
    where
        'a: 'b,
    {
        OutputRows { data: self.data, len: self.len, starts }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// While it is in use, nobody else reads or writes its elements.
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [u32] {
        let end = start.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "{len} words at {start} of {}", self.len);
        // SAFETY: they lie inside, and are the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }

    /// A part of the slice, to be read.
    ///
    /// # Safety
    /// While it is in use, nobody writes its elements.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, start: usize, len: usize) -> &'a [u32] {
        let end = start.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "{len} words at {start} of {}", self.len);
        // SAFETY: they lie inside, and nobody writes them.
        unsafe { std::slice::from_raw_parts(self.data.add(start), len) }
    }

    /// All of the slice, to be read.
    ///
    /// # Safety
    /// As [`read`](Self::read).
    pub(crate) unsafe fn all(&self) -> &'a [u32] {
        // SAFETY: passed on.
        unsafe { self.read(0, self.len) }
    }

    /// A part of the slice, as numbers.
    ///
    /// # Safety
    /// As [`slice`](Self::slice).
    pub(crate) unsafe fn floats(&self, start: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: passed on.
        let words = unsafe { self.slice(start, len) };
        // SAFETY: an `f32` is 32 bits, aligned like a `u32`; every pattern is a value of either.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
    }
}

/// The rows of a tile of an output.
#[derive(Debug)]
pub(crate) struct OutputRows<'a> {
    data: *mut u32,
    len: usize,
    starts: &'a [usize],
}

/// The operands of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a> {
    pub(crate) words: Words,
    pub(crate) inner: Inner<'a>,
    pub(crate) a: &'a [u32],
    pub(crate) b: &'a [u32],
}

/// What the kernels get: everything has been checked.
struct Raw {
    inner: *const Segment,
    segments: usize,
    len: usize,
    a_step: usize,
    b_step: usize,
    rows: [*const u32; ROWS],
    b: *const u32,
    start: RawStart,
    finish: Finish,
    c: [*mut u32; ROWS],
    columns: usize,
    row_count: usize,
}

impl Raw {
    /// All but the rows and their outputs.
    ///
    /// # Panics
    /// If there are more than 32 columns, places of `b` lie outside of it, or `level` has no such dot product.
    #[inline(always)]
    fn new(
        level: Level,
        operands: &Operands<'_>,
        columns: usize,
        start: Start<'_>,
        finish: Finish,
    ) -> Self {
        let Operands { words, inner, a, b } = operands;
        assert!(columns <= COLUMNS, "tile of {columns} columns");
        assert!(words.runs_on(level), "{words:?} on {level:?}");
        if inner.b_extent > 0 {
            let end = inner.b_extent - 1 + COLUMNS;
            assert!(end <= b.len(), "{end} words of {}", b.len());
        }
        Self {
            inner: inner.segments.as_ptr(),
            segments: if inner.len == 0 { 0 } else { inner.segments.len() },
            len: inner.len,
            a_step: inner.a_step,
            b_step: inner.b_step,
            rows: [a.as_ptr(); ROWS],
            b: b.as_ptr(),
            start: match start {
                Start::Zero => RawStart::Zero,
                Start::Columns(columns) => RawStart::Columns(columns.as_ptr()),
                Start::Sums => RawStart::Sums,
            },
            finish,
            c: [std::ptr::null_mut(); ROWS],
            columns,
            row_count: 0,
        }
    }
}

#[derive(Clone, Copy)]
enum RawStart {
    Zero,
    Columns(*const i32),
    Sums,
}

/// Computes a tile of up to 12 rows, which begin at `rows` in `a`, and `columns` up to 32.
///
/// `b` must have 32 columns behind each of its places even if fewer are asked for.
///
/// # Panics
/// If anything lies outside of its slice, or `level` has no such dot product.
pub(crate) fn multiply(
    level: Level,
    operands: &Operands<'_>,
    rows: &[usize],
    columns: usize,
    start: Start<'_>,
    finish: Finish,
    c: OutputRows<'_>,
) {
    let Operands { words, inner, a, .. } = operands;
    if rows.is_empty() || columns == 0 {
        return;
    }
    assert!(rows.len() <= ROWS, "tile of {} rows", rows.len());
    let mut raw = Raw::new(level, operands, columns, start, finish);
    assert_eq!(rows.len(), c.starts.len(), "rows of a tile and of its output");
    raw.row_count = rows.len();
    raw.c = [c.data; ROWS];
    for (&start, output) in c.starts.iter().zip(&mut raw.c) {
        let end = start.checked_add(columns);
        assert!(end.is_some_and(|end| end <= c.len), "{columns} words at {start} of {}", c.len);
        // SAFETY: the row begins inside.
        *output = unsafe { c.data.add(start) };
    }
    for (i, pointer) in raw.rows.iter_mut().enumerate().filter(|_| inner.a_extent > 0) {
        let row = rows[i.min(rows.len() - 1)];
        let end = row.checked_add(inner.a_extent);
        assert!(end.is_some_and(|end| end <= a.len()), "row at {row} of {} words", a.len());
        *pointer = a[row..].as_ptr();
    }
    // SAFETY: every row, every place of `b` with 32 columns and every output lies inside its slice, as asserted; the outputs
    // are ours by the promise of `Output::rows`; `level` has the instructions, and `words` runs on it.
    unsafe { tile(level, *words, &raw) }
}

/// Computes rows of 32 columns, which begin at `rows` in `a`, one after the other into `c`; of the columns only the first ones, up to 32.
///
/// # Panics
/// If anything lies outside of its slice, or `level` has no such dot product.
pub(crate) fn multiply_rows(
    level: Level,
    operands: &Operands<'_>,
    rows: &[usize],
    columns: usize,
    start: Start<'_>,
    finish: Finish,
    c: &mut [f32],
) {
    let Operands { words, inner, a, .. } = operands;
    if rows.is_empty() || columns == 0 {
        return;
    }
    assert_eq!(c.len(), rows.len() * COLUMNS, "output of {} rows", rows.len());
    let mut raw = Raw::new(level, operands, columns, start, finish);
    if inner.a_extent > 0 {
        let last = rows.iter().fold(0, |last, &row| last.max(row));
        let end = last.checked_add(inner.a_extent);
        assert!(end.is_some_and(|end| end <= a.len()), "row at {last} of {} words", a.len());
    }
    let mut output: *mut u32 = c.as_mut_ptr().cast();
    for rows in rows.chunks(ROWS) {
        raw.row_count = rows.len();
        for i in 0..ROWS {
            // Of a tile that is not full, the last row comes several times, and goes nowhere.
            let row = if inner.a_extent > 0 { rows[i.min(rows.len() - 1)] } else { 0 };
            raw.rows[i] = a.as_ptr().wrapping_add(row);
            raw.c[i] = output.wrapping_add(i.min(rows.len() - 1) * COLUMNS);
        }
        // SAFETY: as in `multiply`; the outputs are those of `c`, 32 for each row.
        unsafe { tile(level, *words, &raw) }
        output = output.wrapping_add(ROWS * COLUMNS);
    }
}

/// # Safety
/// `level` has these words; the rest as [`multiply`] checks.
#[inline(always)]
unsafe fn tile(level: Level, words: Words, raw: &Raw) {
    // SAFETY: passed on.
    unsafe {
        match level {
            Level::Scalar => portable::tile(words, raw),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => x86::avx2::tile(words, raw),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => x86::avx512::tile(words, raw),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512VnniBf16(_) => x86::avx512::tile_with_dot_products(words, raw),
            #[cfg(not(target_arch = "x86_64"))]
            _ => portable::tile(words, raw),
        }
    }
}
