//! Filters packed for products by tiles.

use crate::convert::{self, Conversion, OFFSET};
use crate::isa::Level;
use crate::scratch::{self, Line};
use crate::tile::COLUMNS;
use crate::{pack, parallel};

/// Filters as the right operand: panels of 32 output channels, for each tap its words.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    panels: Vec<Line>,
    /// Words of a panel.
    len: usize,
    starts: Vec<Option<[i32; COLUMNS]>>,
    /// Every weight was what the conversion promised, and finite.
    pub(crate) fit: bool,
}

impl Filters {
    /// Packs filters `[outputs, channels, taps]`, converted as `w`, for an operand converted as `x`.
    pub(crate) fn new(
        level: Level,
        filters: &[f32],
        outputs: usize,
        channels: usize,
        taps: usize,
        (x, w): (Conversion, Conversion),
    ) -> Self {
        let words = channels.div_ceil(w.words().count());
        let len = taps * words * COLUMNS;
        let panels = outputs.div_ceil(COLUMNS);
        let packed = parallel::jobs(panels, filters.len(), |panel| {
            let first = panel * COLUMNS;
            let count = (outputs - first).min(COLUMNS);
            let mut packed = vec![Line::ZERO; len / Line::WORDS];
            let mut fit = true;
            let mut start = [0_i32; COLUMNS];
            let row_len = taps * words;
            let mut by_tap = vec![0.0; channels * taps];
            scratch::with(count * row_len, |rows| {
                for j in 0..count {
                    let filter = &filters[(first + j) * channels * taps..][..channels * taps];
                    fit &= filter.iter().all(|v| v.is_finite());
                    for (c, values) in filter.chunks_exact(taps).enumerate() {
                        for (t, &value) in values.iter().enumerate() {
                            by_tap[t * channels + c] = value;
                        }
                    }
                    let row = rows[j * row_len..][..row_len].chunks_exact_mut(words);
                    for (values, words) in by_tap.chunks_exact(channels).zip(row) {
                        fit &= w.row(level, values, words);
                    }
                    start[j] = convert::sum(level, filter).wrapping_mul(-OFFSET);
                }
                pack::transposed(level, rows, row_len, count, scratch::words_mut(&mut packed));
            });
            (packed, fit, start)
        });
        let has_offset = matches!(x, Conversion::U8Offset(..));
        let fit = packed.iter().all(|(_, fit, _)| *fit);
        let starts = packed.iter().map(|(_, _, start)| has_offset.then_some(*start)).collect();
        let panels = packed.into_iter().flat_map(|(words, ..)| words).collect();
        Self { panels, len, starts, fit }
    }

    /// Packs filters `[outputs, channels, taps]` for the gradient to the input: panels of 32 input channels, for each tap the outputs.
    pub(crate) fn transposed(
        level: Level,
        filters: &[f32],
        outputs: usize,
        channels: usize,
        taps: usize,
    ) -> Self {
        let len = taps * outputs * COLUMNS;
        let panels = channels.div_ceil(COLUMNS);
        let packed = parallel::jobs(panels, filters.len(), |panel| {
            let first = panel * COLUMNS;
            let count = (channels - first).min(COLUMNS);
            let mut packed = vec![Line::ZERO; len / Line::WORDS];
            let words = scratch::words_mut(&mut packed);
            for o in 0..outputs {
                let values =
                    &scratch::bits(filters)[(o * channels + first) * taps..][..count * taps];
                let places: Vec<usize> = (0..taps).map(|t| (t * outputs + o) * COLUMNS).collect();
                pack::scattered(level, values, taps, count, &places, words);
            }
            packed
        });
        let panels = packed.into_iter().flatten().collect();
        Self { panels, len, starts: vec![None; channels.div_ceil(COLUMNS)], fit: true }
    }

    /// Words of all panels.
    pub(crate) fn words(&self) -> usize {
        self.panels.len() * Line::WORDS
    }

    /// The words of a panel.
    pub(crate) fn panel(&self, panel: usize) -> &[u32] {
        &scratch::words(&self.panels)[panel * self.len..][..self.len]
    }

    /// What the sums of a panel begin with.
    pub(crate) fn start(&self, panel: usize) -> Option<&[i32; COLUMNS]> {
        self.starts[panel].as_ref()
    }
}
