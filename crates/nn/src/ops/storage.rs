//! The memory of tensors that nobody needs any more, for the next ones: fresh memory has to be mapped and cleared.

use std::collections::{HashSet, VecDeque};
use std::sync::{LazyLock, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

/// Below this many values an allocation is cheap.
const SMALL: usize = 1 << 14;

/// A buffer that so many others were taken after is freed: several steps of a network have gone by.
const OLD: u64 = 1 << 10;

/// Addresses that are remembered at most.
const ADDRESSES: usize = 1 << 14;

static STORAGE: LazyLock<Mutex<Storage>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Storage {
    /// Buffers without a tensor, the oldest first, and when they were given back.
    kept: VecDeque<(u64, Vec<f32>)>,
    /// Where the buffers begin that were handed out: memory that comes from elsewhere is not kept, or ever more would come in.
    handed_out: HashSet<usize>,
    /// How many buffers were asked for.
    requests: u64,
}

impl Storage {
    fn take(&mut self, len: usize) -> Vec<f32> {
        self.requests += 1;
        // The latest is the likeliest to be in the cache.
        if let Some(found) = self.kept.iter().rposition(|(_, buffer)| buffer.len() == len)
            && let Some((_, buffer)) = self.kept.remove(found)
        {
            return buffer;
        }
        while self.kept.front().is_some_and(|(time, _)| self.requests - time > OLD) {
            self.kept.pop_front();
        }
        if self.handed_out.len() >= ADDRESSES {
            self.handed_out.clear();
        }
        let buffer = vec![0.0; len];
        self.handed_out.insert(buffer.as_ptr().addr());
        buffer
    }
}

/// A buffer for `len` values, all of which have to be written: it may hold old ones.
pub fn buffer(len: usize) -> Vec<f32> {
    if len < SMALL {
        return vec![0.0; len];
    }
    STORAGE.lock().unwrap_or_else(PoisonError::into_inner).take(len)
}

/// Keeps the memory of a tensor that began as a [`buffer`], if nothing else holds it.
pub fn recycle(tensor: FlexTensor) {
    // A view of a part would be copied.
    let whole = tensor.is_contiguous()
        && tensor.layout().num_elements() * size_of::<f32>() == tensor.bytes().len();
    if !whole || tensor.layout().num_elements() < SMALL || !tensor.is_unique() {
        return;
    }
    let mut storage = STORAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if storage.handed_out.contains(&tensor.bytes().as_ptr().addr())
        && let Ok(values) = tensor.into_data().into_bytes().try_into_vec::<f32>()
    {
        let now = storage.requests;
        storage.kept.push_back((now, values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::extension::{slice, tensor};

    #[test]
    fn memory_is_used_again_if_nothing_holds_it() {
        // A length that no other test has.
        let len = SMALL + 77;
        let first = tensor(buffer(len), [len].into());
        let (place, other) = (slice(&first).as_ptr(), first.clone());
        recycle(first);
        // Alive to the end: an address that is free might be given to memory from elsewhere.
        let held = buffer(len);
        assert_ne!(held.as_ptr(), place, "a clone holds it");
        recycle(other);
        let again = buffer(len);
        assert_eq!((again.as_ptr(), again.len()), (place, len));
        recycle(tensor(vec![0.0; len], [len].into()));
        let kept = STORAGE.lock().unwrap().kept.iter().filter(|(_, b)| b.len() == len).count();
        assert_eq!(kept, 0, "memory from elsewhere");
    }

    #[test]
    fn old_buffers_are_freed() {
        let mut storage = Storage::default();
        let buffer = storage.take(SMALL);
        storage.kept.push_back((storage.requests, buffer));
        for len in 0..OLD as usize + 2 {
            drop(storage.take(SMALL + 1 + len));
        }
        assert!(storage.kept.is_empty());
    }
}
