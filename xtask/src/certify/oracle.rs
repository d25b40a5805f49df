//! Rounding as a staircase: where in the order of all `f32` each value of a format begins.
//!
//! Built from the definition of the formats (their widths, bias and reserved codes) in exact `f64` arithmetic; no rounding code of the project takes part.

use anyhow::{Result, bail};
use fewbit_formats::{Format, ReservedCodes};

/// The staircase of a format, and what becomes of NaN and infinities.
pub struct Oracle {
    /// Ascending: the first input, by its place in the order, that becomes this value.
    steps: Vec<Step>,
    nan: u32,
    infinities_are_nan: bool,
}

struct Step {
    first: u32,
    /// Bits of the value.
    value: u32,
}

/// The step on which the last input was.
pub struct Position(usize);

/// Formats with longer lists of values are refused.
const LONGEST: u32 = 20;

const NAN: u32 = 0x7fc0_0000;

impl Oracle {
    pub fn new(format: &Format) -> Result<Self> {
        let bits = format.bit_width();
        if bits > LONGEST {
            bail!("{format} has {bits} bits, and lists of values are made up to {LONGEST} bits");
        }
        Ok(match format {
            Format::Float(_) => Self { steps: float(format), nan: NAN, infinities_are_nan: true },
            Format::Bipolar => {
                let steps = vec![step(place(f32::NEG_INFINITY), -1.0), step(place(-0.0), 1.0)];
                Self { steps, nan: (-1.0_f32).to_bits(), infinities_are_nan: false }
            }
            Format::Ternary => {
                let steps = uniform(&[-1.0, 0.0, 1.0], Tie::TowardZero, Zeros::One);
                Self { steps, nan: 0, infinities_are_nan: false }
            }
            Format::Integer(format) => {
                let values: Vec<f64> = (format.min()..=format.max()).map(|n| n as f64).collect();
                let steps = uniform(&values, Tie::EvenMultipleOf(1.0), Zeros::Two);
                Self { steps, nan: NAN, infinities_are_nan: false }
            }
            Format::FixedPoint(format) => {
                let step = 2_f64.powi(-format.fraction_bit_width());
                let (min, max) = (format.integer().min(), format.integer().max());
                let values: Vec<f64> = (min..=max).map(|n| n as f64 * step).collect();
                let steps = uniform(&values, Tie::EvenMultipleOf(step), Zeros::Two);
                Self { steps, nan: NAN, infinities_are_nan: false }
            }
        })
    }

    /// The number of values, both zeros counted.
    pub fn value_count(&self) -> usize {
        let mut values: Vec<u32> = self.steps.iter().map(|step| step.value).collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    }

    pub fn start(&self) -> Position {
        Position(0)
    }

    /// The bits of the rounded `x`; quick if `x` is near the one before.
    pub fn next(&self, position: &mut Position, x: f32) -> u32 {
        if x.is_nan() {
            return self.nan;
        }
        if x.is_infinite() && self.infinities_are_nan {
            return NAN;
        }
        let place = place(x);
        let on = &mut position.0;
        let begins_after = |step: Option<&Step>| step.is_none_or(|step| step.first > place);
        if self.steps[*on].first > place || !begins_after(self.steps.get(*on + 1)) {
            *on = self.steps.partition_point(|step| step.first <= place) - 1;
        }
        self.steps[*on].value
    }
}

/// The place of a number in the ascending order of all numbers; -0 comes before 0.
fn place(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn step(first: u32, value: f32) -> Step {
    Step { first, value: value.to_bits() }
}

/// The place of the first number that is at least `limit`, or above it.
fn first_from(limit: f64, above: bool) -> u32 {
    let reaches = |x: f32| if above { f64::from(x) > limit } else { f64::from(x) >= limit };
    // By bisection over places, not by rounding `limit`: -infinity does not reach it, infinity does.
    let (mut low, mut high) = (place(f32::NEG_INFINITY), place(f32::INFINITY));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if reaches(number(middle)) { high = middle } else { low = middle }
    }
    high
}

/// The number at a place.
fn number(place: u32) -> f32 {
    f32::from_bits(if place >> 31 == 1 { place ^ 1 << 31 } else { !place })
}

/// Where a midpoint goes.
#[derive(Clone, Copy)]
enum Tie {
    EvenMultipleOf(f64),
    TowardZero,
}

/// Which zeros come out of numbers that round to zero.
#[derive(Clone, Copy)]
enum Zeros {
    /// Always +0.
    One,
    /// That of the sign, but -0 itself becomes +0.
    Two,
}

/// The staircase of values with equal distances; what lies beyond becomes the last.
fn uniform(values: &[f64], tie: Tie, zeros: Zeros) -> Vec<Step> {
    let mut steps = vec![step(place(f32::NEG_INFINITY), values[0] as f32)];
    for pair in values.windows(2) {
        let (lower, upper) = (pair[0], pair[1]);
        let stays_below = match tie {
            Tie::EvenMultipleOf(step) => (lower / step) % 2.0 == 0.0,
            Tie::TowardZero => lower.abs() < upper.abs(),
        };
        steps.push(step(first_from((lower + upper) / 2.0, stays_below), upper as f32));
    }
    let Zeros::Two = zeros else { return steps };
    // Without negative values, everything below zero is clipped to +0, but for what rounds to -0 before.
    let negative_zero = match values[0] {
        0.0 => {
            let half = (values[1] - values[0]) / 2.0;
            vec![step(first_from(-half, false), -0.0), step(place(-0.0), 0.0)]
        }
        _ => {
            let zero = steps.iter_mut().find(|step| step.value == 0);
            if let Some(zero) = zero {
                zero.value = (-0.0_f32).to_bits();
            }
            vec![step(place(-0.0), 0.0)]
        }
    };
    steps.extend(negative_zero);
    steps.sort_by_key(|step| step.first);
    steps
}

/// The staircase of a minifloat, from its positive half.
fn float(format: &Format) -> Vec<Step> {
    let Format::Float(format) = format else { unreachable!("called for minifloats") };
    let (m, bias) = (format.mantissa_bit_width(), format.exponent_bias());
    let value = |code: u32| {
        let (field, mantissa) = ((code >> m) as i32, code & ((1 << m) - 1));
        let fraction = f64::from(mantissa) / 2_f64.powi(m as i32);
        if field == 0 {
            2_f64.powi(1 - bias) * fraction
        } else {
            2_f64.powi(field - bias) * (1.0 + fraction)
        }
    };
    let all = 1 << (format.exponent_bit_width() + m);
    let finite = match format.reserved() {
        ReservedCodes::None | ReservedCodes::Fnuz => all,
        ReservedCodes::Nan => all - 1,
        ReservedCodes::Ieee => all - (1 << m),
    };
    let max = value(finite - 1).min(f64::from(format.max_value())) as f32;
    // Each value but zero: the first magnitude that becomes it.
    let mut positive: Vec<(u32, f32)> = Vec::new();
    for code in 1..=finite {
        let (lower, upper) = (value(code - 1), value(code));
        // Half of a step: to the even multiple of the step.
        let stays_below = (lower / (upper - lower)) % 2.0 == 0.0;
        let first = first_from((lower + upper) / 2.0, stays_below);
        // The value after the last one is clipped, and so is everything from a chosen maximum on. (Infinite if there is no maximum.)
        positive.push((first, (upper as f32).min(max)));
        if upper >= f64::from(max) && max.is_finite() || first >= place(f32::INFINITY) {
            break;
        }
    }
    let mut steps = vec![step(place(0.0), 0.0)];
    steps.extend(positive.iter().map(|&(first, value)| step(first, value)));
    // Mirrored: the last number that becomes -v is the mirror of the first that becomes v.
    if format.signed() {
        let last_of =
            |i: usize| positive.get(i).map_or(place(f32::INFINITY), |&(first, _)| first - 1);
        let zeros = step(place(-number(last_of(0))), -0.0);
        let mirrored = positive.iter().enumerate();
        steps.extend(mirrored.map(|(i, &(_, v))| step(place(-number(last_of(i + 1))), -v)));
        steps.push(zeros);
    } else {
        // What rounds to something below zero is clipped to +0; what rounds to -0 stays.
        let last = positive[0].0 - 1;
        steps.push(step(place(f32::NEG_INFINITY), 0.0));
        steps.push(step(place(-number(last)), -0.0));
    }
    steps.sort_by_key(|step| step.first);
    steps
}
