//! The steps of a stage as the registers of AVX-512 take them: without what changes nothing of the values that can come.
//!
//! What a source gives is bounded, and a multiple of some power of two; so is what each step makes of it. Where that rules out NaN,
//! infinities and numbers too small for all their bits, quantizers need fewer instructions, factors that are powers of two go into
//! the next parameters, and codes are known to fit. The bits are those of the steps, but for the sign of a zero, which no result shows.

use super::form::{Element, Form};
use super::quantizers::exact_reciprocal;
use super::{Integer, Lanes, Minifloat, Pooling, Sink, Source, Stage, Step, Thresholds};

/// What is done to a block, in order.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Add(Lanes),
    Subtract(Lanes),
    Multiply(Lanes),
    Divide(Lanes),
    ScaleShift(Lanes, Lanes),
    FusedScaleShift(Lanes, Lanes),
    Relu,
    Minifloat(Minifloat),
    Integer(Integer),
    Bipolar(Lanes),
    Thresholds(Thresholds),
    /// Adds codes times a factor.
    AddTensor {
        form: usize,
        scale: f32,
    },
    /// Adds codes.
    AddCodes {
        form: usize,
    },
    /// Multiplies by one number.
    Scale(f32),
    /// `max(x, 0)` of numbers.
    Rectify,
    /// Divides numbers by one number; with its reciprocal, which finds the same quotient, unless that is below 2^-60.
    Quotient {
        divisor: f32,
        reciprocal: f32,
    },
    /// Clips numbers and rounds them to a minifloat.
    Round(Rounding),
    /// Clips numbers and rounds them to an integer.
    RoundInteger {
        min: f32,
        max: f32,
    },
    /// Writes codes to a form; whether they fit may have to be checked.
    Store {
        form: usize,
        checked: bool,
    },
    /// Leaves the values in the block, from where they go to an output.
    Keep,
}

/// How numbers are rounded to a minifloat: as in [`crate::quantize`], but clipped first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rounding {
    pub(super) min: f32,
    pub(super) max: f32,
    /// None is below 0.
    pub(super) positive: bool,
    /// Bits of the smallest exponent that counts.
    pub(super) smallest: i32,
    /// What makes the bits of an exponent the number that is added and taken away again.
    pub(super) offset: i32,
}

/// Steps and results of a stage.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) ops: Vec<Op>,
}

/// What is known about the values at some place.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// No magnitude is larger; infinity if there may be NaN.
    bound: f64,
    /// A power of two of which all are multiples; 0 if there is none.
    grain: f64,
    /// None is below 0.
    positive: bool,
    /// Significant bits.
    bits: u32,
}

/// Between these, products and quotients with factors of at most 2^40 and 2^-40 are exact or rounded as usual.
const LARGE: f64 = (1_u128 << 80) as f64;
const SMALL: f64 = 1.0 / LARGE;

impl Chain {
    /// `None` if there are steps that registers cannot take.
    pub(super) fn new(stage: &Stage, forms: &[Form]) -> Option<Self> {
        let mut compiler = Compiler::new(stage, forms, 1.0)?;
        // A factor that is left at the end may go into the last scale and shift instead.
        if compiler.factor != 1.0 {
            let again = Compiler::new(stage, forms, compiler.factor)?;
            if again.factor == 1.0 {
                compiler = again;
            }
        }
        compiler.flush();
        let Compiler { mut ops, facts, .. } = compiler;
        for sink in &stage.sinks {
            ops.push(match *sink {
                Sink::Form(form) if forms[form].element() == Element::F32Pairs => return None,
                Sink::Form(form) => Op::Store { form, checked: !facts.fit(forms[form].element()) },
                Sink::Output { .. } => Op::Keep,
            });
        }
        Some(Self { ops })
    }
}

impl Facts {
    const UNKNOWN: Self = Self { bound: f64::INFINITY, grain: 0.0, positive: false, bits: 24 };

    fn of_codes(element: Element) -> Self {
        let two = |power: i32| 2.0_f64.powi(power);
        let (bound, grain) = match element {
            Element::U8 => (255.0, 1.0),
            Element::U8Offset => (128.0, 1.0),
            Element::I16 => (32767.0, 1.0),
            // What may be written is checked to be so.
            Element::Bf16 => (two(50), two(-57)),
            Element::F32 | Element::F32Pairs => return Self::UNKNOWN,
        };
        Self { bound, grain, positive: element == Element::U8, bits: 24 }
    }

    fn of_sums(element: Element) -> Self {
        let Self { bound, grain, .. } = Self::of_codes(element);
        // More terms than 2^20 have no room in memory.
        let bound =
            if bound <= 32767.0 { 2.0_f64.powi(31) } else { bound * bound * (1 << 20) as f64 };
        Self { bound, grain: grain * grain, positive: false, bits: 24 }
    }

    fn times(self, factor: f32) -> Self {
        if !factor.is_normal() {
            return Self::UNKNOWN;
        }
        Self {
            bound: rounded(self.bound * f64::from(factor.abs())),
            grain: self.grain * last_bit(factor),
            positive: self.positive && factor > 0.0,
            bits: 24,
        }
        .checked()
    }

    fn plus(self, other: Self) -> Self {
        Self {
            bound: rounded(self.bound + other.bound),
            grain: self.grain.min(other.grain),
            positive: self.positive && other.positive,
            bits: 24,
        }
        .checked()
    }

    /// Nothing is known any more about what leaves the range of f32.
    fn checked(self) -> Self {
        // Written so that NaN, infinity times zero, says nothing.
        let grain = if self.grain >= f64::from(f32::MIN_POSITIVE) { self.grain } else { 0.0 };
        if self.bound < f64::from(f32::MAX) { Self { grain, ..self } } else { Self::UNKNOWN }
    }

    /// Numbers that factors between 2^-40 and 2^40 do no harm.
    fn are_moderate(self) -> bool {
        self.bound <= LARGE && self.grain >= SMALL
    }

    fn are_finite(self) -> bool {
        self.bound < f64::INFINITY
    }

    fn fit(self, element: Element) -> bool {
        let whole = self.grain >= 1.0;
        match element {
            Element::U8 => whole && self.positive && self.bound <= 255.0,
            Element::U8Offset => whole && self.bound <= 127.0,
            Element::I16 => whole && self.bound <= 32767.0,
            Element::Bf16 => {
                let two = |power: i32| 2.0_f64.powi(power);
                self.bits <= 8 && self.grain >= two(-50) && self.bound <= two(50)
            }
            Element::F32 | Element::F32Pairs => false,
        }
    }
}

/// A bound after a rounding.
fn rounded(bound: f64) -> f64 {
    bound * (1.0 + f64::from(f32::EPSILON))
}

/// True for powers of two between 2^-40 and 2^40.
fn is_power(factor: f32) -> bool {
    let size = (1_u64 << 40) as f32;
    factor > 0.0 && factor.to_bits() & 0x007f_ffff == 0 && (1.0 / size..=size).contains(&factor)
}

/// The power of two that the last bit of a number stands for; of a power of two, its only one.
fn last_bit(v: f32) -> f64 {
    let exponent = f64::from(f32::from_bits(v.to_bits() & 0x7f80_0000));
    if v.to_bits() & 0x007f_ffff == 0 { exponent } else { exponent * f64::from(f32::EPSILON) }
}

/// Facts about a parameter.
fn parameter(lanes: &Lanes) -> Facts {
    let mut facts = Facts { bound: 0.0, grain: f64::INFINITY, positive: false, bits: 24 };
    for value in lanes.values() {
        if !value.is_finite() || value.is_subnormal() {
            return Facts::UNKNOWN;
        }
        facts.bound = facts.bound.max(f64::from(value.abs()));
        if value != 0.0 {
            facts.grain = facts.grain.min(last_bit(value));
        }
    }
    facts
}

struct Compiler<'a> {
    forms: &'a [Form],
    ops: Vec<Op>,
    /// About the values, which are those in the registers times `factor`, a power of two.
    facts: Facts,
    factor: f32,
}

impl<'a> Compiler<'a> {
    /// All steps; what the last scale and shift gives is multiplied by `more`, if it can be.
    fn new(stage: &Stage, forms: &'a [Form], more: f32) -> Option<Self> {
        let facts = match &stage.source {
            Source::Input => return None,
            Source::Product(product) => Facts::of_sums(forms[product.form()].element()),
            Source::Window(window) => {
                let codes = Facts::of_codes(forms[window.form()].element()).times(window.scale());
                match window.pooling() {
                    Pooling::Max => codes,
                    Pooling::Average => Facts::UNKNOWN,
                }
            }
            &Source::Tensor { form, scale } => {
                if forms[form].element() == Element::F32Pairs {
                    return None;
                }
                Facts::of_codes(forms[form].element()).times(scale)
            }
        };
        let mut compiler = Self { forms, ops: Vec::new(), facts, factor: 1.0 };
        let shift = |step: &Step| matches!(step, Step::ScaleShift(..) | Step::FusedScaleShift(..));
        let last = stage.steps.iter().rposition(shift);
        for (i, step) in stage.steps.iter().enumerate() {
            compiler.step(step, if Some(i) == last { more } else { 1.0 })?;
        }
        Some(compiler)
    }

    /// Multiplies by the factor that is left.
    fn flush(&mut self) {
        if self.factor != 1.0 {
            self.ops.push(Op::Scale(self.factor));
            self.factor = 1.0;
        }
    }

    fn plain(&mut self, op: Op, facts: Facts) {
        self.flush();
        self.ops.push(op);
        self.facts = facts;
    }

    fn step(&mut self, step: &Step, more: f32) -> Option<()> {
        let facts = self.facts;
        match step {
            Step::Add(p) => self.plain(Op::Add(p.clone()), facts.plus(parameter(p))),
            Step::Subtract(p) => self.plain(Op::Subtract(p.clone()), facts.plus(parameter(p))),
            Step::Multiply(p) => self.multiply(p),
            Step::Divide(p) => self.plain(Op::Divide(p.clone()), Facts::UNKNOWN),
            Step::ScaleShift(a, b) => self.scale_shift(a, b, more, Op::ScaleShift),
            Step::FusedScaleShift(a, b) => self.scale_shift(a, b, more, Op::FusedScaleShift),
            Step::Relu if facts.positive => {}
            Step::Relu => {
                self.ops.push(if facts.are_finite() { Op::Rectify } else { Op::Relu });
                self.facts.positive = facts.are_finite();
            }
            Step::Minifloat(quantizer) => self.minifloat(quantizer),
            Step::Integer(quantizer) => self.integer(quantizer),
            Step::Bipolar(p) => {
                self.factor = 1.0;
                let positive = parameter(p);
                self.plain(Op::Bipolar(p.clone()), positive);
            }
            Step::Thresholds(thresholds) => {
                let bound = thresholds.levels.len() as f64;
                let mut facts = Facts { bound, grain: 1.0, positive: true, bits: 24 };
                if (thresholds.scale, thresholds.bias) != (1.0, 0.0) {
                    let bias = parameter(&Lanes::one(thresholds.bias));
                    facts = facts.times(thresholds.scale).plus(bias);
                }
                self.plain(Op::Thresholds(thresholds.clone()), facts);
            }
            &Step::AddTensor { form, scale } => self.add_tensor(form, scale)?,
            Step::Each(_) => return None,
        }
        Some(())
    }

    fn multiply(&mut self, p: &Lanes) {
        let facts = self.facts;
        match p.value() {
            Some(scale)
                if is_power(scale) && is_power(self.factor * scale) && facts.are_moderate() =>
            {
                self.factor *= scale;
                self.facts = facts.times(scale);
            }
            _ => {
                let of_p = parameter(p);
                let facts = Facts {
                    bound: rounded(facts.bound * of_p.bound),
                    grain: facts.grain * of_p.grain,
                    positive: false,
                    bits: 24,
                };
                let folded = p.times(self.factor).filter(|_| of_p.are_finite());
                if folded.is_some() {
                    self.factor = 1.0;
                }
                self.plain(Op::Multiply(folded.unwrap_or_else(|| p.clone())), facts.checked());
            }
        }
    }

    fn scale_shift(&mut self, a: &Lanes, b: &Lanes, more: f32, op: fn(Lanes, Lanes) -> Op) {
        let (of_a, of_b) = (parameter(a), parameter(b));
        let product = Facts {
            bound: rounded(self.facts.bound * of_a.bound),
            grain: self.facts.grain * of_a.grain,
            positive: false,
            bits: 24,
        };
        let facts = product.checked().plus(of_b);
        // Factors change no rounding, if nothing is too large or too small.
        let moderate = of_a.are_moderate() && of_b.are_moderate() && facts.are_moderate();
        let more = if moderate && is_power(more) { more } else { 1.0 };
        let folded = a.times(self.factor * more).zip(b.times(more)).filter(|_| of_a.are_finite());
        match folded.filter(|_| moderate || more == 1.0) {
            Some((a, b)) => {
                self.factor = 1.0;
                self.plain(op(a, b), facts);
                self.factor = 1.0 / more;
            }
            None => self.plain(op(a.clone(), b.clone()), facts),
        }
    }

    fn minifloat(&mut self, q: &Minifloat) {
        let finite = self.facts.are_finite();
        let (_, max) = q.limits();
        let exact = Facts {
            bound: f64::from(max),
            grain: q.grain(),
            positive: self.facts.positive && q.scale() > 0.0,
            bits: q.significant_bits(),
        };
        let results = |facts: Facts| {
            let times = facts.times(q.factor());
            // By a power of two nothing is rounded.
            if is_power(q.factor()) {
                Facts { bound: facts.bound * f64::from(q.factor()), bits: facts.bits, ..times }
            } else {
                times
            }
        };
        let rounding = |factor: f32| q.rounding(factor, self.facts.positive).filter(|_| finite);
        if is_power(q.scale()) && is_power(self.factor / q.scale()) {
            let factor = self.factor / q.scale();
            if let Some(rounding) = rounding(factor) {
                self.ops.push(Op::Round(rounding));
                self.facts = results(exact);
                self.leave(factor, q.factor());
                return;
            }
        }
        if let (true, Some(rounding), true) =
            (self.facts.bound <= LARGE, rounding(1.0), q.grain() >= 2.0_f64.powi(-40))
            && let Some(quotient) = quotient(q.scale())
        {
            self.flush();
            self.ops.push(quotient);
            self.ops.push(Op::Round(rounding));
            self.facts = results(exact);
            self.leave(1.0, q.factor());
            return;
        }
        let facts = if finite { results(exact) } else { Facts::UNKNOWN };
        // A quotient may be too large for f32.
        let facts =
            if self.facts.bound <= LARGE && is_power(q.scale()) { facts } else { Facts::UNKNOWN };
        self.plain(Op::Minifloat(*q), facts);
    }

    fn integer(&mut self, q: &Integer) {
        let limit = (1 << 22) as f32;
        let usual = |v: f32| v.fract() == 0.0 && v.abs() <= limit;
        let simple = q.zero_point == 0.0 && usual(q.min) && usual(q.max) && q.min <= q.max;
        if !(simple && self.facts.bound <= LARGE) {
            return self.plain(Op::Integer(*q), Facts::UNKNOWN);
        }
        let divide = if is_power(q.scale) && is_power(self.factor / q.scale) {
            let factor = self.factor / q.scale;
            self.factor = 1.0;
            (factor != 1.0).then_some(Op::Scale(factor))
        } else if let Some(quotient) = quotient(q.scale) {
            self.flush();
            Some(quotient)
        } else {
            return self.plain(Op::Integer(*q), Facts::UNKNOWN);
        };
        self.ops.extend(divide);
        self.ops.push(Op::RoundInteger { min: q.min, max: q.max });
        let positive = (self.facts.positive && q.max >= 0.0) || q.min >= 0.0;
        let bound = f64::from(q.max.abs().max(q.min.abs()));
        let codes = Facts { bound, grain: 1.0, positive, bits: 24 };
        self.facts = if q.factor == 1.0 { codes } else { codes.times(q.factor) };
        self.leave(1.0, q.factor);
    }

    /// The values are those in the registers times two factors, the first one a power of two.
    fn leave(&mut self, factor: f32, more: f32) {
        if is_power(more) && is_power(factor * more) {
            self.factor = factor * more;
        } else {
            self.factor = factor;
            self.flush();
            if more != 1.0 {
                self.ops.push(Op::Scale(more));
            }
        }
    }

    fn add_tensor(&mut self, form: usize, scale: f32) -> Option<()> {
        let element = self.forms[form].element();
        if element == Element::F32Pairs {
            return None;
        }
        let terms = Facts::of_codes(element).times(scale);
        let folds = self.factor != 1.0
            && is_power(scale)
            && is_power(scale / self.factor)
            && terms.are_moderate()
            && self.facts.are_moderate();
        let scale = if folds { scale / self.factor } else { scale };
        if !folds {
            self.flush();
        }
        let one = scale == 1.0;
        self.ops.push(if one { Op::AddCodes { form } } else { Op::AddTensor { form, scale } });
        self.facts = self.facts.plus(terms);
        Some(())
    }
}

/// A division by a number that is neither large nor small.
fn quotient(divisor: f32) -> Option<Op> {
    let size = (1_u64 << 40) as f32;
    let fits = (1.0 / size..=size).contains(&divisor) && exact_reciprocal(divisor).is_none();
    fits.then(|| Op::Quotient { divisor, reciprocal: 1.0 / divisor })
}
