//! The values that a tensor can have.

use std::cmp::Ordering;

/// How many units an `f32` counts without a gap: sums of integers up to here are exact in any order.
pub(super) const LIMIT: u64 = 1 << 24;

/// The values that can occur in one channel of a tensor; others may be among them, none is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Set {
    /// These, ascending, zero without a sign.
    List(Vec<f32>),
    /// Those of a lattice, all of which are `f32`.
    Multiples(Lattice),
    /// Every `f32` from the first to the second.
    Interval(f32, f32),
}

/// `(lowest + step * i) * 2^exponent` for `i < count`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lattice {
    pub(super) exponent: i32,
    pub(super) lowest: i64,
    /// 0 if there is one value.
    pub(super) step: u64,
    pub(super) count: u64,
}

impl Set {
    /// All finite values.
    pub(super) fn any() -> Self {
        Self::Interval(f32::MIN, f32::MAX)
    }

    /// The values of a list in any order, which may repeat; all are finite.
    pub(super) fn list(mut values: Vec<f32>) -> Self {
        // Adding +0 takes the sign off a zero.
        values.iter_mut().for_each(|v| *v += 0.0);
        values.sort_by(f32::total_cmp);
        values.dedup();
        Self::List(values)
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::List(values) => values.len() as u64,
            Self::Multiples(lattice) => lattice.count,
            Self::Interval(lowest, highest) => (key(*highest) - key(*lowest)) as u64 + 1,
        }
    }

    /// The value number `i`, ascending.
    pub(super) fn at(&self, i: u64) -> f32 {
        match self {
            Self::List(values) => values[i as usize],
            Self::Multiples(lattice) => lattice.at(i),
            Self::Interval(lowest, _) => of_key(key(*lowest) + i as i64),
        }
    }

    pub(super) fn lowest(&self) -> f32 {
        self.at(0)
    }

    pub(super) fn highest(&self) -> f32 {
        self.at(self.count() - 1)
    }

    /// The coarsest lattice that has all values; `None` if the values are too many or too far apart.
    pub(super) fn lattice(&self) -> Option<Lattice> {
        match self {
            Self::Multiples(lattice) => Some(*lattice),
            Self::Interval(..) => None,
            Self::List(values) => {
                let parts: Vec<(i64, i32)> = values.iter().map(|&v| significand(v)).collect();
                let exponent =
                    parts.iter().filter(|(m, _)| *m != 0).map(|(_, e)| *e).min().unwrap_or(0);
                let mut units = Vec::with_capacity(parts.len());
                for (m, e) in parts {
                    let shift = if m == 0 { 0 } else { e - exponent };
                    units.push(if shift <= 38 { m << shift } else { return None });
                }
                let lowest = *units.first()?;
                let step = units.iter().fold(0, |step, unit| gcd(step, (unit - lowest) as u64));
                let span = (*units.last()? - lowest) as u64;
                Some(Lattice {
                    exponent,
                    lowest,
                    step,
                    count: span.checked_div(step).unwrap_or(0) + 1,
                })
            }
        }
    }

    /// The values and zero.
    pub(super) fn with_zero(&self) -> Self {
        self.union(&Self::List(vec![0.0]))
    }

    /// The values of both.
    pub(super) fn union(&self, other: &Self) -> Self {
        if self == other {
            return self.clone();
        }
        if let (Self::List(a), Self::List(b)) = (self, other) {
            return Self::list(a.iter().chain(b).copied().collect());
        }
        let joined = self.lattice().zip(other.lattice()).and_then(|(a, b)| a.union(b));
        joined.map_or_else(
            || {
                Self::Interval(
                    self.lowest().min(other.lowest()),
                    self.highest().max(other.highest()),
                )
            },
            Self::Multiples,
        )
    }
}

impl Lattice {
    fn at(&self, i: u64) -> f32 {
        let units = self.lowest + (self.step * i) as i64;
        (units as f64 * power(self.exponent)) as f32
    }

    pub(super) fn highest(&self) -> i64 {
        self.lowest + (self.step * (self.count - 1)) as i64
    }

    /// The largest magnitude, in units.
    pub(super) fn reach(&self) -> u64 {
        self.lowest.unsigned_abs().max(self.highest().unsigned_abs())
    }

    /// The same values in units of a smaller power of two; `None` if they become too many.
    fn finer(&self, exponent: i32) -> Option<Self> {
        let shift = u32::try_from(self.exponent - exponent).ok().filter(|&shift| shift < 62)?;
        let fits = self.reach() >> (62 - shift) == 0;
        fits.then_some(Self {
            exponent,
            lowest: self.lowest << shift,
            step: self.step << shift,
            count: self.count,
        })
    }

    /// Both in the same unit; `None` if they become too many.
    fn alike(&self, other: Self) -> Option<(Self, Self)> {
        let exponent = match (self.reach(), other.reach()) {
            (0, _) => other.exponent,
            (_, 0) => self.exponent,
            _ => self.exponent.min(other.exponent),
        };
        let finer = |lattice: Self| match lattice.reach() {
            0 => Some(Self { exponent, ..lattice }),
            _ => lattice.finer(exponent),
        };
        finer(*self).zip(finer(other))
    }

    /// A lattice with the values of both that are `f32` all.
    fn union(&self, other: Self) -> Option<Self> {
        let (a, b) = self.alike(other)?;
        let lowest = a.lowest.min(b.lowest);
        let step = gcd(gcd(a.step, b.step), a.lowest.abs_diff(b.lowest));
        spanned(a.exponent, lowest, a.highest().max(b.highest()), step)
    }

    /// All sums of a value of each; `None` if one might be rounded.
    pub(super) fn plus(&self, other: Self) -> Option<Self> {
        let (a, b) = self.alike(other)?;
        let highest = a.highest().checked_add(b.highest())?;
        spanned(a.exponent, a.lowest.checked_add(b.lowest)?, highest, gcd(a.step, b.step))
    }

    /// All sums of `n` values; `None` if one might be rounded.
    pub(super) fn times(&self, n: u64) -> Option<Self> {
        let factor = i64::try_from(n).ok()?;
        let (lowest, highest) =
            (self.lowest.checked_mul(factor)?, self.highest().checked_mul(factor)?);
        spanned(self.exponent, lowest, highest, self.step)
    }
}

/// The lattice from `lowest` to `highest`, if all of it is exact in f32.
pub(super) fn spanned(exponent: i32, lowest: i64, highest: i64, step: u64) -> Option<Lattice> {
    let reach = lowest.unsigned_abs().max(highest.unsigned_abs());
    let fits = reach <= LIMIT && (-149..=103).contains(&exponent);
    let count = lowest.abs_diff(highest).checked_div(step).unwrap_or(0) + 1;
    fits.then_some(Lattice { exponent, lowest, step, count })
}

/// `v = m * 2^e` with an odd `m`, or `m = 0`.
pub(super) fn significand(v: f32) -> (i64, i32) {
    let bits = v.to_bits();
    let biased = ((bits >> 23) & 0xff) as i32;
    let fraction = i64::from(bits & 0x007f_ffff);
    let (m, e) =
        if biased == 0 { (fraction, -149) } else { (fraction | 0x0080_0000, biased - 150) };
    if m == 0 {
        return (0, 0);
    }
    let zeros = m.trailing_zeros();
    let m = m >> zeros;
    (if v < 0.0 { -m } else { m }, e + zeros as i32)
}

/// `2^exponent`, for exponents that an f64 has.
pub(super) fn power(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Numbers the f32 in order; both zeros are 0.
fn key(v: f32) -> i64 {
    let magnitude = i64::from(v.to_bits() & 0x7fff_ffff);
    match v.partial_cmp(&0.0) {
        Some(Ordering::Less) => -magnitude,
        _ => magnitude,
    }
}

fn of_key(key: i64) -> f32 {
    let magnitude = f32::from_bits(key.unsigned_abs() as u32);
    if key < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lattices_of_lists() {
        let cases: &[(&[f32], Option<Lattice>)] = &[
            (&[0.0], Some(Lattice { exponent: 0, lowest: 0, step: 0, count: 1 })),
            (&[-1.0, 1.0], Some(Lattice { exponent: 0, lowest: -1, step: 2, count: 2 })),
            (&[0.25, 24.0, -0.5], Some(Lattice { exponent: -2, lowest: -2, step: 1, count: 99 })),
            (&[6.0, 0.0, 12.0], Some(Lattice { exponent: 1, lowest: 0, step: 3, count: 3 })),
            (&[1e30, 1e-30], None),
        ];
        for (values, expected) in cases {
            let set = Set::list(values.to_vec());
            assert_eq!(set.lattice(), *expected, "{values:?}");
            if let Some(lattice) = expected {
                let all: Vec<f32> = (0..lattice.count).map(|i| lattice.at(i)).collect();
                assert!(values.iter().all(|v| all.contains(v)), "{all:?}");
                assert_eq!((all[0], *all.last().unwrap()), (set.lowest(), set.highest()));
            }
        }
    }

    #[test]
    fn every_float_has_a_number() {
        let all = Set::any();
        assert_eq!(all.count(), 2 * 0x7f7f_ffff + 1);
        for i in (0..all.count()).step_by(7_654_321) {
            assert!(all.at(i) < all.at(i + 1), "{i}");
        }
        assert_eq!((all.lowest(), all.highest()), (f32::MIN, f32::MAX));
        assert_eq!(Set::Interval(-0.0, 1e-45).count(), 2);
    }

    #[test]
    fn significands_give_the_number_back() {
        for v in [1.0f32, -0.1, 448.0, 1e-45, f32::MAX, f32::MIN_POSITIVE, 0.0, 24.0] {
            let (m, e) = significand(v);
            assert_eq!((m as f64 * power(e)) as f32, v);
            assert!(m == 0 || m % 2 != 0);
        }
    }

    #[test]
    fn sums_that_are_exact_and_not() {
        let a = Set::list(vec![-0.5, 0.5]).lattice().unwrap();
        let b = Set::list(vec![0.0, 3.0, 6.0]).lattice().unwrap();
        assert_eq!(a.plus(b), Some(Lattice { exponent: -1, lowest: -1, step: 2, count: 8 }));
        assert_eq!(a.times(3), Some(Lattice { exponent: -1, lowest: -3, step: 2, count: 4 }));
        assert!(a.times(LIMIT).is_some() && a.times(LIMIT + 1).is_none());
        let tiny = Set::list(vec![0.0, 1e-9]).lattice().unwrap();
        assert_eq!(b.plus(tiny), None);
        assert_eq!(Set::List(vec![1.0]).with_zero(), Set::List(vec![0.0, 1.0]));
        assert_eq!(Set::Multiples(b).union(&Set::list(vec![1e-9])), Set::Interval(0.0, 6.0));
    }
}
