//! How far two computations of the same thing may be apart.

/// What a computation gave: its output, then the gradients of its inputs.
#[derive(Clone, Debug)]
pub struct Computed {
    /// Which computation.
    pub name: String,
    /// The tensors, in order.
    pub tensors: Vec<Vec<f32>>,
    /// How the same computation elsewhere has to agree.
    pub agreement: Agreement,
}

/// How two results have to agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Agreement {
    /// Value by value, where -0 is +0: nothing is summed, every operation is rounded once.
    Exact,
    /// The output exactly, gradients as far as sums in another order allow.
    ExactOutput,
    /// As far as sums in another order allow.
    Sums,
}

/// Sums of a few hundred values in `f32`, relative to the largest value of the tensor.
pub const SUMS: f32 = 2e-6;

/// Everything in which `left` and `right` do not agree, as one line each.
pub fn differences(left: &[Computed], right: &[Computed], factor: f32) -> Vec<String> {
    assert_eq!(left.len(), right.len(), "computations");
    let mut found = vec![];
    for (left, right) in left.iter().zip(right) {
        assert_eq!((&left.name, left.tensors.len()), (&right.name, right.tensors.len()));
        for (number, (a, b)) in left.tensors.iter().zip(&right.tensors).enumerate() {
            let exact = match left.agreement {
                Agreement::Exact => true,
                Agreement::ExactOutput => number == 0,
                Agreement::Sums => false,
            };
            let largest = a.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
            let limit = if exact { 0.0 } else { SUMS * factor * largest };
            let apart =
                |(a, b): (&f32, &f32)| a != b && (a - b).abs() > limit || a.is_nan() != b.is_nan();
            let wrong: Vec<usize> = (0..a.len().max(b.len()))
                .filter(|&i| match (a.get(i), b.get(i)) {
                    (Some(a), Some(b)) => apart((a, b)),
                    _ => true,
                })
                .collect();
            if let Some(&i) = wrong.first() {
                found.push(format!(
                    "{}, tensor {number}: {} of {} values, first [{i}]: {:?} and {:?}, limit {limit:e}",
                    left.name,
                    wrong.len(),
                    a.len(),
                    a.get(i),
                    b.get(i),
                ));
            }
        }
    }
    found
}
