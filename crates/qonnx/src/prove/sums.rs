//! Bounds of sums of products: `y_o = sum_k w_ok x_k`.

use rayon::prelude::*;

use super::set::{LIMIT, Lattice, Set, gcd, power, significand, spanned};

/// The weights of a layer and where its inputs come from.
pub(super) struct Rows<'a> {
    pub(super) weights: &'a [f32],
    pub(super) layout: Layout,
    pub(super) outputs: usize,
    pub(super) terms: usize,
}

/// Where the weights lie, and which channel of the input a term belongs to.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// `[O, C / groups, taps]`.
    Conv { groups: usize, taps: usize },
    /// `[K, O]`.
    KByO,
    /// `[O, K]`.
    OByK,
}

/// What a row of weights can sum up to.
pub(super) struct Row {
    /// The unit of which every product is a multiple is two to this power; `None` without a grid.
    pub(super) exponent: Option<i32>,
    /// The largest magnitude of any part of the sum, in units.
    pub(super) units: f64,
    /// The values of the whole sum, given that it is exact.
    pub(super) set: Set,
}

impl Row {
    pub(super) fn is_exact(&self) -> bool {
        self.exponent.is_some() && self.units <= LIMIT as f64
    }
}

impl Rows<'_> {
    fn weight(&self, o: usize, k: usize) -> f32 {
        match self.layout {
            Layout::KByO => self.weights[k * self.outputs + o],
            Layout::Conv { .. } | Layout::OByK => self.weights[o * self.terms + k],
        }
    }

    fn channel(&self, o: usize, k: usize) -> usize {
        match self.layout {
            Layout::KByO | Layout::OByK => k,
            Layout::Conv { groups, taps } => {
                let group = o / (self.outputs / groups);
                group * (self.terms / taps) + k / taps
            }
        }
    }

    /// The bounds of all rows. `inputs`: one set for all channels, or one for each.
    pub(super) fn bounds(&self, inputs: &[Set]) -> Vec<Row> {
        let lattices: Vec<Option<Lattice>> = inputs.iter().map(Set::lattice).collect();
        (0..self.outputs).into_par_iter().map(|o| self.bound(o, inputs, &lattices)).collect()
    }

    fn bound(&self, o: usize, inputs: &[Set], lattices: &[Option<Lattice>]) -> Row {
        let place = |k: usize| if inputs.len() == 1 { 0 } else { self.channel(o, k) };
        let mut terms = Vec::with_capacity(self.terms);
        for k in 0..self.terms {
            let weight = self.weight(o, k);
            if weight == 0.0 {
                continue;
            }
            match lattices[place(k)] {
                Some(x) if x.reach() == 0 => {}
                Some(x) if weight.is_finite() => terms.push(Term::new(weight, x)),
                _ => return self.without_grid(o, inputs),
            }
        }
        let exponent = terms.iter().map(|term| term.exponent).min().unwrap_or(0);
        // Sums of numbers above zero: exact up to 2^53, and never below a limit that they passed.
        let (mut positive, mut negative, mut lowest, mut highest) = (0.0, 0.0, 0.0, 0.0);
        for term in &terms {
            let unit = power(term.exponent - exponent);
            let (low, high) = (term.lowest * unit, term.highest * unit);
            positive += high.max(0.0);
            negative -= low.min(0.0);
            lowest += low;
            highest += high;
        }
        let units = positive.max(negative);
        let step = terms.iter().fold(0, |step, term| {
            let shift = (term.exponent - exponent) as u32;
            let wide = term.step.checked_shl(shift).filter(|wide| wide >> shift == term.step);
            gcd(step, wide.unwrap_or(1))
        });
        let limit = LIMIT as f64;
        let whole = if lowest >= -limit && highest <= limit {
            spanned(exponent, lowest as i64, highest as i64, step)
        } else {
            // Where a part of the sum is above the limit nothing is said; below it, every multiple is possible.
            let end = |units: f64| units.clamp(-limit, limit) as i64;
            spanned(exponent, end(lowest), end(highest), 1)
        };
        match whole {
            Some(lattice) => Row { exponent: Some(exponent), units, set: Set::Multiples(lattice) },
            None => self.without_grid(o, inputs),
        }
    }

    fn without_grid(&self, o: usize, inputs: &[Set]) -> Row {
        let reach = |set: &Set| f64::from(set.lowest()).abs().max(f64::from(set.highest()).abs());
        let reaches: Vec<f64> = inputs.iter().map(reach).collect();
        let product = |k: usize| {
            let place = if inputs.len() == 1 { 0 } else { self.channel(o, k) };
            f64::from(self.weight(o, k)).abs() * reaches[place]
        };
        let sum: f64 = (0..self.terms).map(product).sum();
        // More than all roundings together can add.
        let reach =
            (sum * (1.0 + 2.0 * self.terms as f64 * power(-24))).min(f32::MAX.into()) as f32;
        let reach = if reach.is_nan() { f32::MAX } else { reach };
        Row { exponent: None, units: f64::INFINITY, set: Set::Interval(-reach, reach) }
    }
}

/// The products of one weight, in units of two to a power.
struct Term {
    exponent: i32,
    lowest: f64,
    highest: f64,
    step: u64,
}

impl Term {
    fn new(weight: f32, x: Lattice) -> Self {
        let (m, e) = significand(weight);
        let (a, b) = (m as f64 * x.lowest as f64, m as f64 * x.highest() as f64);
        let step = x.step.checked_mul(m.unsigned_abs()).unwrap_or(1);
        Self { exponent: e + x.exponent, lowest: a.min(b), highest: a.max(b), step }
    }
}

/// Adds a bias to the sums of a channel: the set of results, and whether the bias is one more exact term.
pub(super) fn with_bias(row: &Row, bias: f32) -> (Set, f64, i32, bool) {
    let exponent = row.exponent.unwrap_or(0);
    if bias == 0.0 {
        return (row.set.clone(), row.units, exponent, true);
    }
    if let (Some(_), Set::Multiples(sums)) = (row.exponent, &row.set) {
        let (m, e) = significand(bias);
        let common = exponent.min(e);
        let units =
            row.units * power(exponent - common) + m.unsigned_abs() as f64 * power(e - common);
        let single = Set::List(vec![bias]).lattice();
        if units <= LIMIT as f64
            && let Some(set) = single.and_then(|bias| sums.plus(bias))
        {
            return (Set::Multiples(set), units, common, true);
        }
        if sums.count <= 1 << 16 {
            let set = Set::Multiples(*sums);
            let values = (0..sums.count).map(|i| set.at(i) + bias).collect();
            return (Set::list(values), row.units, exponent, false);
        }
    }
    let clip = |v: f32| v.clamp(f32::MIN, f32::MAX);
    let (lowest, highest) = (clip(row.set.lowest() + bias), clip(row.set.highest() + bias));
    (Set::Interval(lowest, highest), row.units, exponent, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e3m1() -> Set {
        let format = fewbit_formats::FloatFormat::new(3, 1).unwrap();
        Set::list((-2000..=2000).map(|i| format.quantize(i as f32 * 0.0625)).collect())
    }

    /// The bound of the specification: `K * 24 * 24` in units of `2^-6`.
    #[test]
    fn the_largest_sum_of_a_format() {
        let mut weights = vec![24.0; 4608];
        let rows = Rows { weights: &weights, layout: Layout::OByK, outputs: 1, terms: 4608 };
        let row = &rows.bounds(&[e3m1()])[0];
        // All weights are multiples of 8 and all inputs of 1/8.
        assert_eq!((row.exponent, row.units), (Some(0), 4608.0 * 24.0 * 24.0));
        weights[7] = 0.125;
        let rows = Rows { weights: &weights, layout: Layout::OByK, outputs: 1, terms: 4608 };
        let row = &rows.bounds(&[e3m1()])[0];
        let units = (4607.0 * 24.0 + 0.125) * 24.0 * 64.0;
        assert_eq!((row.exponent, row.units, row.is_exact()), (Some(-6), units, false));
    }

    #[test]
    fn signs_ranges_and_parity() {
        let bipolar = Set::List(vec![-1.0, 1.0]);
        let weights = [1.0, -1.0, 1.0, 1.0, 1.0, 1.0];
        let rows = Rows { weights: &weights, layout: Layout::KByO, outputs: 2, terms: 3 };
        for row in rows.bounds(std::slice::from_ref(&bipolar)) {
            let Set::Multiples(sums) = row.set else { panic!("on a grid") };
            assert_eq!(sums, Lattice { exponent: 0, lowest: -3, step: 2, count: 4 });
        }
        let relu = Set::List(vec![0.0, 0.5, 1.5]);
        let rows = Rows { weights: &[1.0, -2.0, 4.0], layout: Layout::OByK, outputs: 1, terms: 3 };
        let row = &rows.bounds(std::slice::from_ref(&relu))[0];
        assert_eq!((row.exponent, row.units), (Some(-1), 15.0));
        assert_eq!((row.set.lowest(), row.set.highest()), (-3.0, 7.5));
        // Two groups: each output sees one channel.
        let conv = Rows {
            weights: &[1.0, 1.0, 1.0, 1.0],
            layout: Layout::Conv { groups: 2, taps: 2 },
            outputs: 2,
            terms: 2,
        };
        let found = conv.bounds(&[bipolar, relu]);
        assert_eq!((found[0].set.lowest(), found[1].set.lowest()), (-2.0, 0.0));
        assert_eq!(found[1].set.highest(), 3.0);
    }

    #[test]
    fn biases() {
        let rows = Rows { weights: &[1.0, 1.0], layout: Layout::OByK, outputs: 1, terms: 2 };
        let row = &rows.bounds(&[Set::List(vec![0.0, 1.0])])[0];
        let (set, units, exponent, exact) = with_bias(row, -0.5);
        assert_eq!((set.lowest(), units, exponent, exact), (-0.5, 5.0, -1, true));
        let (set, _, _, exact) = with_bias(row, 0.1);
        assert_eq!((set, exact), (Set::List(vec![0.1, 1.1, 2.1]), false));
    }
}
