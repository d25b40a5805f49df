//! Formats whose values are integers on one grid.

/// States that every value of a format is an integer multiple of one step, and how large the multiples get.
///
/// Sums of products of such values are exact in integers, whatever their order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerGrid {
    /// The distance between neighbours on the grid.
    pub step: f32,
    /// The largest magnitude of a value, in steps. At most [`IntegerGrid::LARGEST_MULTIPLE`].
    pub max_multiple: u32,
}

impl IntegerGrid {
    /// The largest multiple that has a place in 16 bits, sign included.
    pub const LARGEST_MULTIPLE: u32 = i16::MAX as u32;

    /// `None` if a multiple does not fit 16 bits.
    pub(crate) fn new(step: f32, largest: f64) -> Option<Self> {
        let multiple = largest / f64::from(step);
        (multiple <= f64::from(Self::LARGEST_MULTIPLE) && multiple.fract() == 0.0)
            .then_some(Self { step, max_multiple: multiple as u32 })
    }
}
