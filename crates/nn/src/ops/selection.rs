//! Which of several equal elements is the `k`-th smallest: PyTorch's choice.

/// The place of the `k`-th smallest magnitude, `k` from 0, which is `value`.
///
/// Where several elements have this magnitude, it is the one that PyTorch's `kthvalue` names on the CPU, which
/// depends on how it searches: only then, what it does to the array is done here as well.
///
/// # Source
/// PyTorch's quickselect: pivot by the median of three, partition of Hoare.
pub fn place_of(values: &[f32], value: f32, k: usize) -> Option<usize> {
    let mut equal = values.iter().enumerate().filter(|(_, v)| v.abs() == value).map(|(i, _)| i);
    let first = equal.next()?;
    match equal.next() {
        None => Some(first),
        Some(_) => Some(search(values, k)),
    }
}

/// Values in the making of an order, and where they were.
struct Array {
    values: Vec<f32>,
    places: Vec<usize>,
}

impl Array {
    fn swap(&mut self, i: usize, j: usize) {
        self.values.swap(i, j);
        self.places.swap(i, j);
    }

    fn swap_if_greater(&mut self, i: usize, j: usize) {
        if greater(self.values[i], self.values[j]) {
            self.swap(i, j);
        }
    }
}

/// NaN is greater than any number.
fn greater(a: f32, b: f32) -> bool {
    a > b || (a.is_nan() && !b.is_nan())
}

fn search(values: &[f32], k: usize) -> usize {
    let magnitudes = values.iter().map(|v| v.abs()).collect();
    let mut array = Array { values: magnitudes, places: (0..values.len()).collect() };
    let (mut left, mut right) = (0, values.len() - 1);
    while right > left + 1 {
        array.swap(left + (right - left) / 2, left + 1);
        array.swap_if_greater(left + 1, right);
        array.swap_if_greater(left, right);
        array.swap_if_greater(left + 1, left);
        let (mut i, mut j) = (left + 1, right);
        let pivot = array.values[left];
        loop {
            i += 1;
            while greater(pivot, array.values[i]) {
                i += 1;
            }
            j -= 1;
            while greater(array.values[j], pivot) {
                j -= 1;
            }
            if j < i {
                break;
            }
            array.swap(i, j);
        }
        array.swap(left, j);
        if j <= k {
            left = i;
        }
        if j >= k {
            right = j - 1;
        }
    }
    if right == left + 1 {
        array.swap_if_greater(left, right);
    }
    array.places[k]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places that `torch.kthvalue` of PyTorch 2.8 returned for arrays with many equal elements.
    #[test]
    fn equal_elements_are_told_apart_as_in_pytorch() {
        for (count, levels, k, place) in [
            (1, 3, 1, 0),
            (2, 1, 2, 1),
            (7, 2, 7, 4),
            (7, 2, 4, 2),
            (100, 5, 100, 49),
            (100, 5, 37, 94),
            (1000, 16, 1000, 189),
            (1000, 16, 500, 570),
            (4096, 16, 4096, 3131),
            (4096, 3, 2048, 3279),
            (32_768, 16, 32_768, 28_913),
            (50_001, 64, 50_000, 4616),
        ] {
            let values: Vec<f32> =
                (0..count).map(|i: u64| (((i * 2_654_435_761) >> 7) % levels) as f32).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let found = place_of(&values, sorted[k - 1], k - 1);
            assert_eq!(found, Some(place), "{k}-th of {count} of {levels} levels");
        }
        assert_eq!(place_of(&[1.0, -3.0, 2.0], 3.0, 2), Some(1));
        assert_eq!(place_of(&[1.0, f32::NAN], f32::NAN, 1), None);
    }
}
