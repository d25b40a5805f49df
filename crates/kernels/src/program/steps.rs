//! What is done to the values of a block.

use super::quantizers::{Integer, Minifloat};
use super::{Function, sink};
use crate::isa::{Level, multiversion};
use crate::tile::COLUMNS;

/// Values of a parameter that lie side by side: those of the 32 channels of a panel, for 8 rows. Loops over rows of just 32 values are
/// unrolled and then vectorized across the rows, with gathers.
const TILE: usize = 8 * COLUMNS;

/// One number for all channels, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Lanes {
    /// By panels of 32 channels; one panel if all are the same.
    panels: Vec<[f32; TILE]>,
    channels: Option<usize>,
}

impl Lanes {
    /// The same for all channels.
    pub fn one(value: f32) -> Self {
        Self { panels: vec![[value; TILE]], channels: None }
    }

    /// One for each channel.
    pub fn many(values: &[f32]) -> Self {
        let panel = |values: &[f32]| {
            let mut panel = [0.0; TILE];
            for row in panel.chunks_exact_mut(COLUMNS) {
                row[..values.len()].copy_from_slice(values);
            }
            panel
        };
        Self { panels: values.chunks(COLUMNS).map(panel).collect(), channels: Some(values.len()) }
    }

    /// The number, if it is the same for all channels.
    pub fn value(&self) -> Option<f32> {
        self.channels.is_none().then(|| self.panels[0][0])
    }

    fn at(&self, panel: usize) -> &[f32; TILE] {
        &self.panels[if self.channels.is_none() { 0 } else { panel }]
    }

    /// Those of the channels of a panel.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn row(&self, panel: usize) -> &[f32; COLUMNS] {
        self.at(panel).first_chunk().expect("a tile begins with a row")
    }

    /// All numbers, and some zeros.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn values(&self) -> impl Iterator<Item = f32> {
        self.panels.iter().flat_map(|panel| panel[..COLUMNS].iter().copied())
    }

    /// All numbers times a power of two; `None` if one does not stay exact.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn times(&self, factor: f32) -> Option<Self> {
        let exact = |v: f32| v == 0.0 || (v.is_normal() && (v * factor).is_normal());
        if !self.values().all(exact) {
            return None;
        }
        let panels = self.panels.iter().map(|panel| panel.map(|v| v * factor)).collect();
        Some(Self { panels, channels: self.channels })
    }

    /// That of one channel, for all.
    fn of(&self, channel: usize) -> Self {
        Self::one(self.at(channel / COLUMNS)[channel % COLUMNS])
    }
}

/// What is done to each value.
#[derive(Clone)]
pub enum Step {
    /// `y = x + p`.
    Add(Lanes),
    /// `y = x - p`.
    Subtract(Lanes),
    /// `y = x * p`.
    Multiply(Lanes),
    /// `y = x / p`.
    Divide(Lanes),
    /// `y = x * a + b`, two roundings.
    ScaleShift(Lanes, Lanes),
    /// `y = x * a + b`, one rounding.
    FusedScaleShift(Lanes, Lanes),
    /// `y = max(x, 0)`; NaN stays NaN.
    Relu,
    /// Rounds to a minifloat.
    Minifloat(Minifloat),
    /// Rounds to an integer.
    Integer(Integer),
    /// The number where `x >= 0`, else its negative.
    Bipolar(Lanes),
    /// Adds another tensor: its codes times `scale`.
    AddTensor {
        /// The number of its form.
        form: usize,
        /// The scale of its codes.
        scale: f32,
    },
    /// `y = scale * (how many thresholds of the channel are at most x) + bias`.
    Thresholds(Thresholds),
    /// Any function that is the same for all channels.
    Each(Function),
}

/// The thresholds of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// The first one of all channels, the second one, and so on.
    pub levels: Vec<Lanes>,
    /// What their number is multiplied by.
    pub scale: f32,
    /// What is added then.
    pub bias: f32,
}

impl Thresholds {
    fn apply(&self, level: Level, block: &mut [f32], panel: usize) {
        for block in block.chunks_mut(TILE) {
            let mut x = [0.0; TILE];
            let x = &mut x[..block.len()];
            x.copy_from_slice(block);
            block.fill(0.0);
            for threshold in &self.levels {
                count(level, block, x, threshold.at(panel));
            }
            for v in block {
                *v = self.scale * *v + self.bias;
            }
        }
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Add(_) => "Add",
            Self::Subtract(_) => "Subtract",
            Self::Multiply(_) => "Multiply",
            Self::Divide(_) => "Divide",
            Self::ScaleShift(..) => "ScaleShift",
            Self::FusedScaleShift(..) => "FusedScaleShift",
            Self::Relu => "Relu",
            Self::Minifloat(_) => "Minifloat",
            Self::Integer(_) => "Integer",
            Self::Bipolar(_) => "Bipolar",
            Self::AddTensor { .. } => "AddTensor",
            Self::Thresholds(_) => "Thresholds",
            Self::Each(_) => "Each",
        })
    }
}

impl Step {
    /// True if it does the same to all channels, and needs no other tensor.
    pub fn is_uniform(&self) -> bool {
        let one = |lanes: &Lanes| lanes.channels.is_none();
        match self {
            Self::Add(p) | Self::Subtract(p) | Self::Multiply(p) | Self::Divide(p) => one(p),
            Self::Bipolar(p) => one(p),
            Self::ScaleShift(a, b) | Self::FusedScaleShift(a, b) => one(a) && one(b),
            Self::Relu | Self::Minifloat(_) | Self::Integer(_) | Self::Each(_) => true,
            Self::Thresholds(thresholds) => thresholds.levels.iter().all(one),
            Self::AddTensor { .. } => false,
        }
    }

    pub(super) fn check(&self, channels: usize) {
        let fits = |lanes: &Lanes| {
            let found = lanes.channels.unwrap_or(channels);
            assert_eq!(found, channels, "channels of a step's parameter");
        };
        match self {
            Self::Add(p) | Self::Subtract(p) | Self::Multiply(p) | Self::Divide(p) => fits(p),
            Self::Bipolar(p) => fits(p),
            Self::ScaleShift(a, b) | Self::FusedScaleShift(a, b) => {
                fits(a);
                fits(b);
            }
            Self::Thresholds(thresholds) => thresholds.levels.iter().for_each(fits),
            _ => {}
        }
    }

    /// The same step for the values of one channel, whatever their place.
    pub(super) fn of_channel(&self, channel: usize) -> Self {
        match self {
            Self::Add(p) => Self::Add(p.of(channel)),
            Self::Subtract(p) => Self::Subtract(p.of(channel)),
            Self::Multiply(p) => Self::Multiply(p.of(channel)),
            Self::Divide(p) => Self::Divide(p.of(channel)),
            Self::Bipolar(p) => Self::Bipolar(p.of(channel)),
            Self::ScaleShift(a, b) => Self::ScaleShift(a.of(channel), b.of(channel)),
            Self::FusedScaleShift(a, b) => Self::FusedScaleShift(a.of(channel), b.of(channel)),
            Self::Thresholds(thresholds) => Self::Thresholds(Thresholds {
                levels: thresholds.levels.iter().map(|level| level.of(channel)).collect(),
                ..*thresholds
            }),
            step => step.clone(),
        }
    }

    /// Changes a block of rows of 32 values, the channels of a panel.
    pub(super) fn apply(
        &self,
        level: Level,
        block: &mut [f32],
        panel: usize,
        other: Option<sink::Rows<'_>>,
    ) {
        match self {
            Self::Add(p) => add(level, block, p.at(panel)),
            Self::Subtract(p) => subtract(level, block, p.at(panel)),
            Self::Multiply(p) => multiply(level, block, p.at(panel)),
            Self::Divide(p) => divide(level, block, p.at(panel)),
            Self::ScaleShift(a, b) => scale_shift(level, block, a.at(panel), b.at(panel)),
            Self::FusedScaleShift(a, b) => {
                fused_scale_shift(level, block, a.at(panel), b.at(panel));
            }
            Self::Relu => relu(level, block),
            Self::Minifloat(quantizer) => quantizer.apply(level, block),
            Self::Integer(quantizer) => quantizer.apply(level, block),
            Self::Bipolar(p) => bipolar(level, block, p.at(panel)),
            Self::AddTensor { scale, .. } => {
                let Some(rows) = other else { unreachable!("a sum without its other tensor") };
                rows.add(level, block, *scale);
            }
            Self::Thresholds(thresholds) => thresholds.apply(level, block, panel),
            Self::Each(function) => function(block),
        }
    }
}

macro_rules! by_lane {
    ($($name:ident($($p:ident),*) |$x:ident| $y:expr;)*) => {
        $(
            multiversion! {
                #[allow(clippy::disallowed_methods, reason = "PyTorch's formula is a fused multiply-add")]
                fn $name(level, block: &mut [f32] $(, $p: &[f32; TILE])*) {
                    for block in block.chunks_mut(TILE) {
                        $(let $p = &$p[..block.len()];)*
                        for i in 0..block.len() {
                            let ($x $(, $p)*) = (block[i] $(, $p[i])*);
                            block[i] = $y;
                        }
                    }
                }
            }
        )*
    };
}

by_lane! {
    add(p) |x| x + p;
    subtract(p) |x| x - p;
    multiply(p) |x| x * p;
    divide(p) |x| x / p;
    scale_shift(a, b) |x| x * a + b;
    fused_scale_shift(a, b) |x| x.mul_add(a, b);
    bipolar(p) |x| if x >= 0.0 { p } else { -p };
}

multiversion! {
    fn relu(level, block: &mut [f32]) {
        for v in block {
            *v = if *v <= 0.0 { 0.0 } else { *v };
        }
    }
}

multiversion! {
    /// Adds one where a threshold is at most `x`.
    fn count(level, counts: &mut [f32], x: &[f32], thresholds: &[f32; TILE]) {
        let (x, thresholds) = (&x[..counts.len()], &thresholds[..counts.len()]);
        for i in 0..counts.len() {
            counts[i] += if x[i] >= thresholds[i] { 1.0 } else { 0.0 };
        }
    }
}
