//! The memory of tensors that nobody needs any more, for the next ones: fresh memory has to be mapped and cleared.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

/// Below this many values an allocation is cheap.
const SMALL: usize = 1 << 14;

/// Buffers without a tensor, the oldest first.
static KEPT: Mutex<VecDeque<Vec<f32>>> = Mutex::new(VecDeque::new());

/// A buffer for `len` values, all of which have to be written: it may hold old ones.
///
/// One of the same length is used again. Where there is none, kept buffers are freed for as much memory as is newly taken.
pub fn buffer(len: usize) -> Vec<f32> {
    if len >= SMALL {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        // The latest is the likeliest to be in the cache.
        if let Some(found) = kept.iter().rposition(|buffer| buffer.len() == len)
            && let Some(buffer) = kept.remove(found)
        {
            return buffer;
        }
        let mut freed = 0;
        while freed < len {
            let Some(oldest) = kept.pop_front() else { break };
            freed += oldest.len();
        }
    }
    vec![0.0; len]
}

/// Keeps the memory of a tensor, if nothing else holds it.
pub fn recycle(tensor: FlexTensor) {
    // A view of a part would be copied.
    let whole = tensor.is_contiguous()
        && tensor.layout().num_elements() * size_of::<f32>() == tensor.bytes().len();
    if !whole || tensor.layout().num_elements() < SMALL || !tensor.is_unique() {
        return;
    }
    if let Ok(values) = tensor.into_data().into_bytes().try_into_vec::<f32>() {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push_back(values);
    }
}
