//! How two tensors differ, value by value.

use fewbit_qonnx::{DType, Data, Value};
use serde_json::{Value as Json, json};

/// How two tensors of one name differ over all items that were looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Values looked at.
    pub values: u64,
    /// Values that are not equal; two NaN are, and both zeros.
    pub differ: u64,
    /// Values that are +0 on one side and -0 on the other.
    pub zero_signs_differ: u64,
    /// Differing values of which one is an infinity or not a number.
    pub not_finite_differ: u64,
    /// The largest absolute difference of finite values.
    pub largest: f64,
    /// The largest distance of finite values in units in the last place.
    pub largest_ulps: u64,
    /// How many differing finite values lie in each of [`BINS`].
    pub histogram: [u64; BINS.len()],
    /// The first value that differs.
    pub first: Option<Mismatch>,
    /// Shapes that are not the same: nothing more can be compared.
    pub shapes: Option<(Vec<usize>, Vec<usize>)>,
}

/// Distances in units in the last place: the smallest of each bin.
pub const BINS: [u64; 8] = [1, 2, 3, 5, 17, 257, 65_537, 16_777_217];

/// One value that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Position in the tensor, row-major, over all items.
    pub index: u64,
    pub a: f64,
    pub b: f64,
}

impl Difference {
    /// Compares the next values of both sides.
    pub fn add(&mut self, a: &Value, b: &Value) {
        if a.shape() != b.shape() {
            self.shapes.get_or_insert((a.shape().to_vec(), b.shape().to_vec()));
            return;
        }
        let before = self.values;
        self.values += a.len() as u64;
        if let (Data::F32(x), Data::F32(y)) = (a.data(), b.data()) {
            // Mostly all are the same.
            let same = x.iter().zip(y.iter()).all(|(x, y)| x.to_bits() == y.to_bits());
            if same {
                return;
            }
        }
        let unit = Unit::of(a.dtype(), b.dtype());
        for (i, (x, y)) in a.to_f64().into_iter().zip(b.to_f64()).enumerate() {
            self.pair(before + i as u64, x, y, unit);
        }
    }

    fn pair(&mut self, index: u64, a: f64, b: f64, unit: Unit) {
        if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
            return;
        }
        if a == b {
            self.zero_signs_differ += 1;
            return;
        }
        self.differ += 1;
        self.first.get_or_insert(Mismatch { index, a, b });
        if !a.is_finite() || !b.is_finite() {
            self.not_finite_differ += 1;
            return;
        }
        let ulps = unit.distance(a, b);
        self.largest = self.largest.max((a - b).abs());
        self.largest_ulps = self.largest_ulps.max(ulps);
        let bin = BINS.iter().rposition(|&first| ulps >= first).unwrap_or(0);
        self.histogram[bin] += 1;
    }

    /// True if anything is not the same.
    pub fn differs(&self) -> bool {
        self.differ > 0 || self.shapes.is_some()
    }

    /// The histogram in words: only bins with values in them.
    pub fn histogram_text(&self) -> String {
        let words: Vec<String> = self
            .histogram
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(bin, count)| format!("{}: {count}", range(bin)))
            .collect();
        if words.is_empty() { "-".to_owned() } else { words.join(", ") }
    }

    /// For machines.
    pub fn json(&self) -> Json {
        let bins = self.histogram.iter().enumerate().map(|(bin, count)| {
            let to = BINS.get(bin + 1).map(|next| next - 1);
            json!({ "from_ulps": BINS[bin], "to_ulps": to, "values": count })
        });
        json!({
            "values": self.values,
            "values_differ": self.differ,
            "zero_signs_differ": self.zero_signs_differ,
            "not_finite_differ": self.not_finite_differ,
            "largest_difference": self.largest,
            "largest_difference_ulps": self.largest_ulps,
            "ulp_histogram": bins.collect::<Vec<_>>(),
            "shapes_differ": self.shapes.is_some(),
        })
    }
}

/// A bin in words.
fn range(bin: usize) -> String {
    match BINS.get(bin + 1) {
        Some(next) if *next == BINS[bin] + 1 => BINS[bin].to_string(),
        Some(next) => format!("{}-{}", BINS[bin], next - 1),
        None => format!("{}+", BINS[bin]),
    }
}

/// What a unit in the last place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// The distance of neighbouring `f32`.
    F32,
    /// The distance of neighbouring `f64`.
    F64,
    /// One.
    Integer,
}

impl Unit {
    fn of(a: DType, b: DType) -> Self {
        let integer = |dtype: DType| {
            let name = dtype.to_string();
            name.contains("int") || name == "bool"
        };
        match (a, b) {
            (a, b) if integer(a) && integer(b) => Self::Integer,
            (DType::F64, DType::F64) => Self::F64,
            _ => Self::F32,
        }
    }

    fn distance(self, a: f64, b: f64) -> u64 {
        match self {
            Self::F32 => {
                let place = |x: f64| {
                    let bits = (x as f32).to_bits();
                    let magnitude = i64::from(bits & 0x7fff_ffff);
                    if x.is_sign_negative() { -magnitude } else { magnitude }
                };
                // Two that are no f32 may become the same one.
                place(a).abs_diff(place(b)).max(1)
            }
            Self::F64 => {
                let place = |x: f64| {
                    let magnitude = (x.to_bits() & (u64::MAX >> 1)) as i64;
                    if x.is_sign_negative() { -magnitude } else { magnitude }
                };
                place(a).abs_diff(place(b))
            }
            Self::Integer => (a - b).abs() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Value {
        Value::new(vec![values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn every_kind_of_difference() {
        let next = f32::from_bits(1.0f32.to_bits() + 1);
        let mut difference = Difference::default();
        difference.add(&f32s(&[1.0, 0.0, f32::NAN, 2.0]), &f32s(&[1.0, -0.0, -f32::NAN, 2.0]));
        assert!(!difference.differs());
        assert_eq!((difference.values, difference.zero_signs_differ), (4, 1));
        difference.add(&f32s(&[1.0, 4.0, f32::INFINITY]), &f32s(&[next, 8.0, 1.0]));
        assert_eq!((difference.differ, difference.not_finite_differ), (3, 1));
        assert_eq!((difference.largest, difference.largest_ulps), (4.0, 1 << 23));
        assert_eq!(difference.histogram, [1, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(difference.histogram_text(), "1: 1, 65537-16777216: 1");
        assert_eq!(difference.first.unwrap().index, 4);
    }

    #[test]
    fn types_and_shapes() {
        let mut difference = Difference::default();
        let integers = |values: Vec<i64>| Value::new(vec![values.len()], values).unwrap();
        difference.add(&integers(vec![1, -7]), &integers(vec![1, 13]));
        assert_eq!((difference.largest_ulps, difference.histogram[4]), (20, 1));
        // A stored f64 of the same number is the same.
        let mut difference = Difference::default();
        difference.add(&f32s(&[0.5]), &Value::new(vec![1], vec![0.5f64]).unwrap());
        assert!(!difference.differs());
        difference.add(&f32s(&[0.1]), &Value::new(vec![1], vec![0.1f64]).unwrap());
        assert_eq!((difference.differ, difference.largest_ulps), (1, 1));
        let mut difference = Difference::default();
        difference.add(&f32s(&[0.5]), &f32s(&[0.5, 1.0]));
        assert!(difference.differs());
        assert_eq!(difference.shapes, Some((vec![1], vec![2])));
    }
}
