//! Blocks written to forms and read from them.

use super::form::{Element, Form};
use crate::convert::{BF16_LARGEST, BF16_SMALLEST, OFFSET, ROUND};
use crate::isa::{Level, multiversion};
use crate::scratch;
use crate::tile::{COLUMNS, Output};

/// The channels of one panel in several pixels of a form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) view: Output<'a>,
    pub(super) element: Element,
    /// Where each row begins.
    pub(super) starts: &'a [usize],
    /// Channels in the panel.
    pub(super) columns: usize,
}

impl Rows<'_> {
    fn words(&self) -> usize {
        self.columns.div_ceil(self.element.words().count())
    }

    /// Writes a block of rows of 32 codes. False if one does not fit.
    ///
    /// # Safety
    /// Nobody else uses these rows of the form.
    pub(super) unsafe fn store(&self, level: Level, block: &[f32]) -> bool {
        let mut right = true;
        let (rows, _) = block.as_chunks::<COLUMNS>();
        for (row, &start) in rows.iter().zip(self.starts) {
            // SAFETY: passed on.
            let words = unsafe { self.view.slice(start, self.words()) };
            right &= stored(level, self.element, &row[..self.columns], words);
        }
        right
    }

    /// Reads into a block of rows of 32 values: codes times `scale`.
    ///
    /// # Safety
    /// Nobody writes these rows of the form.
    pub(super) unsafe fn load(&self, level: Level, block: &mut [f32], scale: f32) {
        // SAFETY: passed on.
        unsafe { self.each(level, block, scale, scaled) }
    }

    /// Adds codes times `scale` to a block.
    pub(super) fn add(&self, level: Level, block: &mut [f32], scale: f32) {
        // SAFETY: stages read what stages before them have written, which nobody writes meanwhile.
        unsafe { self.each(level, block, scale, add_scaled) }
    }

    unsafe fn each(
        &self,
        level: Level,
        block: &mut [f32],
        scale: f32,
        f: fn(Level, &mut [f32; COLUMNS], &[f32; COLUMNS], f32),
    ) {
        let (rows, _) = block.as_chunks_mut::<COLUMNS>();
        for (row, &start) in rows.iter_mut().zip(self.starts) {
            // SAFETY: passed on.
            let words = unsafe { self.view.read(start, self.words()) };
            f(level, row, &decoded(level, self.element, words, self.columns), scale);
        }
    }
}

/// Writes neighbouring channels of a pixel, from one that begins a word. False if one does not fit.
#[inline(always)]
pub(super) fn stored(level: Level, element: Element, codes: &[f32], words: &mut [u32]) -> bool {
    element.conversions().0.row(level, codes, words)
}

/// The codes of up to 32 channels.
#[inline(always)]
pub(super) fn decoded(
    level: Level,
    element: Element,
    words: &[u32],
    columns: usize,
) -> [f32; COLUMNS] {
    let mut codes = [0.0; COLUMNS];
    let out = &mut codes[..columns];
    match element {
        Element::U8 => load_u8(level, &scratch::bytes(words)[..columns], out, 0.0),
        Element::U8Offset => load_u8(level, &scratch::bytes(words)[..columns], out, OFFSET as f32),
        Element::I16 => load_i16(level, &scratch::halves(words)[..columns], out),
        Element::Bf16 => load_bf16(level, &scratch::halves(words)[..columns], out),
        Element::F32 => out.iter_mut().zip(words).for_each(|(v, &bits)| *v = f32::from_bits(bits)),
        Element::F32Pairs => {
            for i in 0..columns {
                out[i] = f32::from_bits(words[if i ^ 1 < columns { i ^ 1 } else { i }]);
            }
        }
    }
    codes
}

multiversion! {
    fn load_u8(level, bytes: &[u8], codes: &mut [f32], offset: f32) {
        let bytes = &bytes[..codes.len()];
        for i in 0..codes.len() {
            codes[i] = f32::from(bytes[i]) - offset;
        }
    }
}

multiversion! {
    fn load_i16(level, halves: &[u16], codes: &mut [f32]) {
        let halves = &halves[..codes.len()];
        for i in 0..codes.len() {
            codes[i] = f32::from(halves[i] as i16);
        }
    }
}

multiversion! {
    fn load_bf16(level, halves: &[u16], codes: &mut [f32]) {
        let halves = &halves[..codes.len()];
        for i in 0..codes.len() {
            codes[i] = f32::from_bits(u32::from(halves[i]) << 16);
        }
    }
}

multiversion! {
    /// `row = codes * scale`.
    pub(super) fn scaled(level, row: &mut [f32; COLUMNS], codes: &[f32; COLUMNS], scale: f32) {
        for i in 0..COLUMNS {
            row[i] = codes[i] * scale;
        }
    }
}

multiversion! {
    /// `row += codes * scale`.
    pub(super) fn add_scaled(level, row: &mut [f32; COLUMNS], codes: &[f32; COLUMNS], scale: f32) {
        for i in 0..COLUMNS {
            row[i] += codes[i] * scale;
        }
    }
}

/// Writes values that belong to one channel of neighbouring pixels. False if one does not fit.
///
/// # Safety
/// Nobody else uses these pixels of the form.
pub(super) unsafe fn store_plane(
    view: Output<'_>,
    form: &Form,
    first: usize,
    channel: usize,
    values: &[f32],
) -> bool {
    let element = form.element();
    let (low, high) = element.range();
    let per_word = element.words().count();
    let place = match element {
        Element::F32Pairs if channel ^ 1 < form.channels() => channel ^ 1,
        _ => channel,
    };
    let mut right = true;
    for (i, &v) in values.iter().enumerate() {
        // SAFETY: passed on.
        let word = unsafe { view.slice(first + i * form.words() + place / per_word, 1) };
        let sum = v + ROUND;
        let fits = sum - ROUND == v && v >= low && v <= high;
        match element {
            Element::U8 | Element::U8Offset => {
                let flip = if element == Element::U8Offset { OFFSET as u8 } else { 0 };
                scratch::bytes_mut(word)[place % per_word] = sum.to_bits() as u8 ^ flip;
                right &= fits;
            }
            Element::I16 => {
                scratch::halves_mut(word)[place % per_word] = sum.to_bits() as u16;
                right &= fits;
            }
            Element::Bf16 => {
                let bits = v.to_bits();
                let magnitude = bits & 0x7fff_ffff;
                right &= bits & 0xffff == 0
                    && (magnitude == 0 || (BF16_SMALLEST..=BF16_LARGEST).contains(&magnitude));
                scratch::halves_mut(word)[place % per_word] = (bits >> 16) as u16;
            }
            Element::F32 | Element::F32Pairs => word[0] = v.to_bits(),
        }
    }
    right
}
