//! Two sequences of numbers, bit for bit.

/// How two tensors of one name differ over all images that were looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Values looked at.
    pub values: u64,
    /// Values whose bits differ; +0 and -0 are not counted here.
    pub differ: u64,
    /// Values that are +0 on one side and -0 on the other.
    pub zero_signs_differ: u64,
    /// Differing values of which one is an infinity or not a number.
    pub not_finite_differ: u64,
    /// The largest absolute difference of finite values.
    pub largest_difference: f64,
    /// The largest difference of finite values in units in the last place: how many `f32` lie
    /// between the two, plus one.
    pub largest_difference_ulps: u64,
    /// The first value that differs.
    pub first: Option<Mismatch>,
}

/// One value that differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// Number of the image in the dataset, from 0.
    pub image: u64,
    /// Position in the tensor of one image, row-major.
    pub index: u64,
    /// What the trainer's network computed.
    pub trainer: f32,
    /// What the file computes.
    pub file: f32,
}

impl Comparison {
    /// Compares the values of a batch whose first image has number `first_image`.
    ///
    /// Both slices have the same length, `images` times the values of one image.
    pub fn add(&mut self, first_image: u64, images: usize, trainer: &[f32], file: &[f32]) {
        assert_eq!(trainer.len(), file.len(), "the caller compares shapes before values");
        let per_image = (trainer.len() / images.max(1)).max(1);
        self.values += trainer.len() as u64;
        for (i, (&a, &b)) in trainer.iter().zip(file).enumerate() {
            if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
                continue;
            }
            if a == b {
                self.zero_signs_differ += 1;
                continue;
            }
            self.differ += 1;
            if a.is_finite() && b.is_finite() {
                self.largest_difference =
                    self.largest_difference.max((f64::from(a) - f64::from(b)).abs());
                self.largest_difference_ulps = self.largest_difference_ulps.max(ulps(a, b));
            } else {
                self.not_finite_differ += 1;
            }
            self.first.get_or_insert(Mismatch {
                image: first_image + (i / per_image) as u64,
                index: (i % per_image) as u64,
                trainer: a,
                file: b,
            });
        }
    }

    /// Adds the counts of another tensor. The first mismatch stays the one that was there first.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.differ += other.differ;
        self.zero_signs_differ += other.zero_signs_differ;
        self.not_finite_differ += other.not_finite_differ;
        self.largest_difference = self.largest_difference.max(other.largest_difference);
        self.largest_difference_ulps =
            self.largest_difference_ulps.max(other.largest_difference_ulps);
        self.first = self.first.or(other.first);
    }
}

/// Distance of two finite numbers in the order of all `f32`; +0 and -0 are the same place.
pub fn ulps(a: f32, b: f32) -> u64 {
    let place = |x: f32| {
        let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -magnitude } else { magnitude }
    };
    place(a).abs_diff(place(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulps_by_hand() {
        let next = f32::from_bits(1.0_f32.to_bits() + 1);
        let cases = [
            (1.0, 1.0, 0),
            (1.0, next, 1),
            (next, 1.0, 1),
            (0.0, -0.0, 0),
            (f32::from_bits(1), -f32::from_bits(1), 2),
            (1.0, 2.0, 1 << 23),
            (-1.0, 1.0, 2 * 0x3f80_0000),
        ];
        for (a, b, expected) in cases {
            assert_eq!(ulps(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn counts_every_kind_of_difference() {
        let nan = f32::NAN;
        let mut comparison = Comparison::default();
        comparison.add(0, 2, &[1.0, 0.0, nan, 2.0], &[1.0, -0.0, -nan, 2.0]);
        assert_eq!(comparison.differ, 0);
        assert_eq!(comparison.zero_signs_differ, 1);
        assert_eq!(comparison.first, None);
        comparison.add(2, 2, &[1.0, 0.5, 3.0, nan], &[1.0, 0.5, 3.5, 7.0]);
        assert_eq!(comparison.values, 8);
        assert_eq!(comparison.differ, 2);
        assert_eq!(comparison.not_finite_differ, 1);
        assert_eq!(comparison.largest_difference, 0.5);
        assert_eq!(comparison.largest_difference_ulps, 1 << 21);
        assert_eq!(
            comparison.first,
            Some(Mismatch { image: 3, index: 0, trainer: 3.0, file: 3.5 })
        );
    }

    #[test]
    fn merging_adds_and_keeps_the_first() {
        let mut all = Comparison::default();
        let mut one = Comparison::default();
        one.add(0, 1, &[1.0], &[2.0]);
        let mut two = Comparison::default();
        two.add(0, 1, &[5.0, 1.0], &[1.0, 1.0]);
        all.merge(&Comparison::default());
        all.merge(&one);
        all.merge(&two);
        assert_eq!((all.values, all.differ, all.largest_difference), (3, 2, 4.0));
        assert_eq!(all.first.map(|first| first.trainer), Some(1.0));
    }
}
