//! Which scale each value has: a tensor seen as runs of values with one scale.

use rayon::prelude::*;

use crate::parallel::{BLOCK, pays};

/// How a tensor is scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale<'a> {
    /// One scale for all values.
    PerTensor(f32),
    /// Value `i` has scale `(i / inner) % scales.len()`.
    PerChannel {
        /// One scale for each channel.
        scales: &'a [f32],
        /// Neighbouring values of one channel: the product of the dimensions behind the channel.
        inner: usize,
    },
}

impl Scale<'_> {
    /// Number of scales.
    pub fn count(&self) -> usize {
        match self {
            Self::PerTensor(_) => 1,
            Self::PerChannel { scales, .. } => scales.len(),
        }
    }

    /// Length of a run of values with one scale, and the scale of run `i`.
    fn run(&self) -> usize {
        match *self {
            Self::PerTensor(_) => BLOCK,
            Self::PerChannel { inner, .. } => inner,
        }
    }

    fn of_run(&self, i: usize) -> f32 {
        match *self {
            Self::PerTensor(s) => s,
            Self::PerChannel { scales, .. } => scales[i % scales.len()],
        }
    }

    fn check(&self, len: usize) {
        if let Self::PerChannel { scales, inner } = *self {
            assert!(
                len == 0
                    || (inner > 0
                        && !scales.is_empty()
                        && len.is_multiple_of(inner * scales.len())),
                "{len} values are no whole number of {} channels of {inner}",
                scales.len()
            );
        }
    }
}

/// Calls `pass(start, scale, y run)` for each run of `y`.
pub(super) fn for_each(
    y: &mut [f32],
    scale: Scale<'_>,
    pass: impl Fn(usize, f32, &mut [f32]) + Sync,
) {
    scale.check(y.len());
    if y.is_empty() {
        return;
    }
    let run = scale.run();
    if !pays(y.len()) {
        y.chunks_mut(run).enumerate().for_each(|(i, y)| pass(i * run, scale.of_run(i), y));
        return;
    }
    // Several short runs make one block of work.
    let runs = BLOCK.div_ceil(run);
    y.par_chunks_mut(runs * run).enumerate().for_each(|(block, y)| {
        for (j, y) in y.chunks_mut(run).enumerate() {
            let i = block * runs + j;
            pass(i * run, scale.of_run(i), y);
        }
    });
}

/// Like [`for_each`]; the results of `pass` are added up for each scale, in the order of the runs.
pub(super) fn sum(
    y: &mut [f32],
    scale: Scale<'_>,
    pass: impl Fn(usize, f32, &mut [f32]) -> f64 + Sync,
) -> Vec<f32> {
    scale.check(y.len());
    let mut totals = vec![0.0_f64; scale.count()];
    if y.is_empty() {
        return vec![0.0; totals.len()];
    }
    let run = scale.run();
    let count = totals.len();
    if pays(y.len()) {
        let parts: Vec<f64> = y
            .par_chunks_mut(run)
            .enumerate()
            .map(|(i, y)| pass(i * run, scale.of_run(i), y))
            .collect();
        parts.into_iter().enumerate().for_each(|(i, part)| totals[i % count] += part);
    } else {
        for (i, y) in y.chunks_mut(run).enumerate() {
            totals[i % count] += pass(i * run, scale.of_run(i), y);
        }
    }
    totals.into_iter().map(|total| total as f32).collect()
}
