//! What is done to the values of a block.

use super::quantizers::{Integer, Minifloat};
use super::{Function, sink};
use crate::isa::{Level, multiversion};
use crate::tile::COLUMNS;

/// One number for all channels, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Lanes {
    /// By panels of 32 channels; one panel if all are the same.
    panels: Vec<[f32; COLUMNS]>,
    channels: Option<usize>,
}

impl Lanes {
    /// The same for all channels.
    pub fn one(value: f32) -> Self {
        Self { panels: vec![[value; COLUMNS]], channels: None }
    }

    /// One for each channel.
    pub fn many(values: &[f32]) -> Self {
        let panel = |values: &[f32]| {
            let mut panel = [0.0; COLUMNS];
            panel[..values.len()].copy_from_slice(values);
            panel
        };
        Self { panels: values.chunks(COLUMNS).map(panel).collect(), channels: Some(values.len()) }
    }

    /// The number, if it is the same for all channels.
    pub fn value(&self) -> Option<f32> {
        self.channels.is_none().then(|| self.panels[0][0])
    }

    fn at(&self, place: Place) -> [f32; COLUMNS] {
        match place {
            _ if self.channels.is_none() => self.panels[0],
            Place::Panel(panel) => self.panels[panel],
            Place::Channel(channel) => [self.panels[channel / COLUMNS][channel % COLUMNS]; COLUMNS],
        }
    }
}

/// Which channels the values of a block belong to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Each row holds the 32 channels of a panel.
    Panel(usize),
    /// All values belong to one channel.
    Channel(usize),
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
    /// Any function that is the same for all channels.
    Each(Function),
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
            _ => {}
        }
    }

    /// Changes a block of rows of 32 values.
    pub(super) fn apply(
        &self,
        level: Level,
        block: &mut [f32],
        place: Place,
        other: Option<sink::Rows<'_>>,
    ) {
        match self {
            Self::Add(p) => add(level, block, &p.at(place)),
            Self::Subtract(p) => subtract(level, block, &p.at(place)),
            Self::Multiply(p) => multiply(level, block, &p.at(place)),
            Self::Divide(p) => divide(level, block, &p.at(place)),
            Self::ScaleShift(a, b) => scale_shift(level, block, &a.at(place), &b.at(place)),
            Self::FusedScaleShift(a, b) => {
                fused_scale_shift(level, block, &a.at(place), &b.at(place))
            }
            Self::Relu => relu(level, block),
            Self::Minifloat(quantizer) => quantizer.apply(level, block),
            Self::Integer(quantizer) => quantizer.apply(level, block),
            Self::Bipolar(p) => bipolar(level, block, &p.at(place)),
            Self::AddTensor { scale, .. } => {
                let Some(rows) = other else { unreachable!("a sum without its other tensor") };
                rows.add(level, block, *scale);
            }
            Self::Each(function) => function(block),
        }
    }
}

macro_rules! by_lane {
    ($($name:ident($($p:ident),*) |$x:ident| $y:expr;)*) => {
        $(
            multiversion! {
                #[allow(clippy::disallowed_methods, reason = "PyTorch's formula is a fused multiply-add")]
                fn $name(level, block: &mut [f32] $(, $p: &[f32; COLUMNS])*) {
                    let (rows, _) = block.as_chunks_mut::<COLUMNS>();
                    for row in rows {
                        for i in 0..COLUMNS {
                            let ($x $(, $p)*) = (row[i] $(, $p[i])*);
                            row[i] = $y;
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
