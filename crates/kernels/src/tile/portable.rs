//! The tile in plain Rust.

use super::{COLUMNS, Finish, Raw, RawStart, Words};

/// Computes a tile, row by row.
///
/// # Safety
/// As [`super::multiply`] checks.
pub(super) unsafe fn tile(words: Words, raw: &Raw) {
    // SAFETY: passed on.
    unsafe {
        match words {
            Words::F32 => rows(raw, fused, |acc| acc),
            Words::I16 => rows(raw, pairs, |acc| (acc as i32 as f32).to_bits()),
            // `Words::runs_on` keeps them from this level.
            Words::Bf16 | Words::I8 => unreachable!("{words:?} in plain Rust"),
        }
    }
}

/// # Safety
/// As [`super::multiply`] checks.
unsafe fn rows(raw: &Raw, dot: impl Fn(u32, u32, u32) -> u32, float: impl Fn(u32) -> u32) {
    for i in 0..raw.row_count {
        let mut acc = [0_u32; COLUMNS];
        // SAFETY: row `i` has `columns` outputs, and the start of columns has 32 integers.
        let c = unsafe { std::slice::from_raw_parts_mut(raw.c[i], raw.columns) };
        match raw.start {
            RawStart::Zero => {}
            RawStart::Columns(start) => {
                // SAFETY: there are 32 of them.
                let start = unsafe { std::slice::from_raw_parts(start, COLUMNS) };
                acc.iter_mut().zip(start).for_each(|(acc, &start)| *acc = start as u32);
            }
            RawStart::Sums => acc[..raw.columns].copy_from_slice(c),
        }
        for s in 0..raw.segments {
            // SAFETY: there are that many segments.
            let segment = unsafe { *raw.inner.add(s) };
            for j in 0..raw.len {
                // SAFETY: checked for the furthest segment and its last word.
                let (a, b) = unsafe {
                    let b = raw.b.add(segment.b + j * raw.b_step).cast::<[u32; COLUMNS]>();
                    (*raw.rows[i].add(segment.a + j * raw.a_step), b.read_unaligned())
                };
                for v in 0..COLUMNS {
                    acc[v] = dot(acc[v], a, b[v]);
                }
            }
        }
        if raw.finish == Finish::Float {
            acc.iter_mut().for_each(|acc| *acc = float(*acc));
        }
        c.copy_from_slice(&acc[..raw.columns]);
    }
}

#[inline(always)]
#[allow(clippy::disallowed_methods, reason = "the contract defines a fused multiply-add")]
fn fused(acc: u32, a: u32, b: u32) -> u32 {
    f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(acc)).to_bits()
}

#[inline(always)]
fn pairs(acc: u32, a: u32, b: u32) -> u32 {
    let product = |shift: u32| i32::from((a >> shift) as i16) * i32::from((b >> shift) as i16);
    acc.wrapping_add(product(0) as u32).wrapping_add(product(16) as u32)
}
