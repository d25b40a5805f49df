//! Right or wrong: top-1 and top-5, and the numbers that are averaged over batches.

use serde::{Deserialize, Serialize};

/// How many images of a batch were classified correctly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hits {
    /// Images.
    pub images: u64,
    /// The class has the largest logit.
    pub top1: u64,
    /// The class has one of the five largest logits.
    pub top5: u64,
}

impl Hits {
    /// Counts over the rows of `logits`.
    ///
    /// Of equal logits the one with the lower index is larger. NaN is smaller than every number.
    ///
    /// # Shape
    /// `logits`: `[N, classes]` row-major, `labels`: `[N]`, each below `classes`.
    /// # Panics
    /// If the sizes do not fit together.
    /// # Examples
    /// ```
    /// use fewbit_train::Hits;
    /// let hits = Hits::count(&[0.5, 0.5, 0.1, 0.2, 0.3, 0.4], &[1, 2], 3);
    /// assert_eq!((hits.images, hits.top1, hits.top5), (2, 1, 2));
    /// ```
    /// # Source
    /// training.md 4.7.
    pub fn count(logits: &[f32], labels: &[u8], classes: usize) -> Self {
        assert_eq!(logits.len(), labels.len() * classes, "logits of {classes} classes");
        let mut hits = Self { images: labels.len() as u64, ..Self::default() };
        for (row, &label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let rank = rank(row, usize::from(label));
            hits.top1 += u64::from(rank < 1);
            hits.top5 += u64::from(rank < 5);
        }
        hits
    }

    /// Adds the counts of other images.
    pub fn add(&mut self, other: Self) {
        self.images += other.images;
        self.top1 += other.top1;
        self.top5 += other.top5;
    }

    /// `100 * top1 / images`.
    pub fn top1_percent(&self) -> f64 {
        percent(self.top1, self.images)
    }

    /// `100 * top5 / images`.
    pub fn top5_percent(&self) -> f64 {
        percent(self.top5, self.images)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// The number of logits that are larger than that of `label`.
fn rank(row: &[f32], label: usize) -> usize {
    let own = row[label];
    let above = |(index, &other): (usize, &f32)| {
        if own.is_nan() {
            !other.is_nan() || index < label
        } else {
            other > own || (other == own && index < label)
        }
    };
    row.iter().enumerate().filter(|&entry| above(entry)).count()
}

/// A value per batch: the last one, and the average weighted by the sizes of the batches.
///
/// # Source
/// training.md 4.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// The value of the last batch.
    pub last: f64,
    sum: f64,
    weight: f64,
}

impl Meter {
    /// A meter with a last value and an average that are known already.
    pub(crate) fn of(last: f64, average: f64) -> Self {
        Self { last, sum: average, weight: 1.0 }
    }

    /// Adds the value of a batch of `weight` images (1 for times).
    pub fn add(&mut self, value: f64, weight: f64) {
        self.last = value;
        self.sum += value * weight;
        self.weight += weight;
    }

    /// `sum(value * weight) / sum(weight)`; NaN before the first batch.
    pub fn average(&self) -> f64 {
        self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_lower_index_is_larger() {
        let row = [0.25; 10];
        for label in 0..10u8 {
            let hits = Hits::count(&row, &[label], 10);
            assert_eq!(
                (hits.top1, hits.top5),
                (u64::from(label == 0), u64::from(label < 5)),
                "{label}"
            );
        }
        assert_eq!(Hits::count(&[0.0, -0.0], &[1], 2).top1, 0, "-0 equals 0");
    }

    #[test]
    fn top_five_of_distinct_logits() {
        let row = [3.0, -1.0, 9.0, 4.0, 1.0, 5.0, -2.0, 6.0, 2.0, 0.0];
        let in_top5: Vec<u8> = (0..10).filter(|&l| Hits::count(&row, &[l], 10).top5 == 1).collect();
        assert_eq!(in_top5, [0, 2, 3, 5, 7]);
        let in_top1: Vec<u8> = (0..10).filter(|&l| Hits::count(&row, &[l], 10).top1 == 1).collect();
        assert_eq!(in_top1, [2]);
    }

    #[test]
    fn nan_is_never_better_than_a_number() {
        let row = [f32::NAN, 1.0, f32::NAN, f32::NEG_INFINITY];
        let top1: Vec<u64> = (0..4).map(|l| Hits::count(&row, &[l], 4).top1).collect();
        assert_eq!(top1, [0, 1, 0, 0]);
        let nothing = [f32::NAN; 10];
        assert_eq!(Hits::count(&nothing, &[9], 10).top5, 0);
    }

    #[test]
    fn fewer_than_five_classes_are_all_in_the_top_five() {
        let hits = Hits::count(&[1.0, 2.0, 3.0, 4.0], &[0, 0], 2);
        assert_eq!(hits, Hits { images: 2, top1: 0, top5: 2 });
        assert_eq!(hits.top5_percent(), 100.0);
    }

    #[test]
    fn averages_are_weighted() {
        let mut meter = Meter::default();
        assert!(meter.average().is_nan());
        meter.add(2.0, 100.0);
        meter.add(5.0, 50.0);
        assert_eq!((meter.last, meter.average()), (5.0, 3.0));
    }
}
