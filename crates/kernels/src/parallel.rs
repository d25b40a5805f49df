//! Work split into blocks of fixed size: the split, and so every result, is the same for any number of threads.

use rayon::prelude::*;

/// Elements per block of an elementwise pass.
pub(crate) const BLOCK: usize = 1 << 15;

/// Below this many elements a pass stays on the caller's thread: handing it out would take longer.
const ALONE: usize = 1 << 17;

/// True if an elementwise pass over `len` elements is worth handing out to other threads.
pub(crate) fn pays(len: usize) -> bool {
    len >= ALONE && rayon::current_num_threads() > 1
}

/// Calls `pass(start, y_block)` for each block of `y`; `start` is the index of its first element.
pub(crate) fn blocks(y: &mut [f32], pass: impl Fn(usize, &mut [f32]) + Sync) {
    if pays(y.len()) {
        y.par_chunks_mut(BLOCK).enumerate().for_each(|(i, block)| pass(i * BLOCK, block));
    } else if !y.is_empty() {
        pass(0, y);
    }
}

/// Calls `job(i)` for `i` in `0..count`, on several threads if `elements` of work in all is worth it.
pub(crate) fn jobs<T: Send>(
    count: usize,
    elements: usize,
    job: impl Fn(usize) -> T + Send + Sync,
) -> Vec<T> {
    if count > 1 && pays(elements) {
        (0..count).into_par_iter().map(job).collect()
    } else {
        (0..count).map(job).collect()
    }
}
