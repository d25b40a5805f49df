//! The order of a shuffled epoch.

use crate::random::Random;

/// Sets the loader's random numbers apart from those that others draw with the same seed.
const STREAM: u64 = u64::from_be_bytes(*b"shuffle\0");

/// Returns the numbers below `count` in an order that `seed` and `epoch` decide (Fisher-Yates).
pub(super) fn permutation(count: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let count = u32::try_from(count).expect("a dataset in memory has fewer than 2^32 images");
    let mut random = Random::new(seed, STREAM ^ epoch);
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        let other = random.below(last + 1);
        order.swap(last as usize, other as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_once_and_every_epoch_its_own_order() {
        for count in [1usize, 2, 3, 100, 1000] {
            let order = permutation(count, 7, 1);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count as u32).collect::<Vec<_>>());
            assert_eq!(order, permutation(count, 7, 1));
        }
        assert_ne!(permutation(100, 7, 1), permutation(100, 7, 2));
        assert_ne!(permutation(100, 7, 1), permutation(100, 8, 1));
    }

    #[test]
    fn all_orders_are_equally_probable() {
        // Of 24 orders, each is expected 1000 times; the variance of a count is just below 1000.
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..24_000 {
            *counts.entry(permutation(4, 3, epoch)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let squares = counts.values().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0);
        let chi_squared: f64 = squares.sum();
        // 23 degrees of freedom: 49.7 is exceeded once in a thousand.
        assert!(chi_squared < 49.7, "{chi_squared}");
    }
}
