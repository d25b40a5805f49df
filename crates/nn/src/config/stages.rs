//! Stages of residual blocks: how many, and how large.

use crate::error::{Error, ErrorKind};

/// Residual blocks of the deepest network that is built.
const MAX_BLOCKS: usize = 1000;

/// A first convolution, then residual blocks in stages; each stage but the first halves the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages<'a> {
    /// Channels of each stage.
    pub widths: &'a [usize],
    /// Residual blocks of each stage.
    pub blocks: &'a [usize],
    /// By how many pixels the first convolution moves on.
    pub stem_stride: usize,
}

/// A residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its stage, from 0.
    pub stage: usize,
    /// Its number in the stage, from 0.
    pub number: usize,
    pub inputs: usize,
    pub channels: usize,
    /// By how many pixels the first convolution and that of the shortcut move on.
    pub stride: usize,
}

impl Block {
    /// Whether what is added to the main branch goes through a convolution.
    pub fn has_shortcut_convolution(&self) -> bool {
        self.stride != 1 || self.channels != self.inputs
    }
}

impl Stages<'_> {
    /// The blocks in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut inputs = self.widths[0];
        let mut all = vec![];
        for (stage, (&channels, &blocks)) in self.widths.iter().zip(self.blocks).enumerate() {
            for number in 0..blocks {
                let stride = if stage > 0 && number == 0 { 2 } else { 1 };
                all.push(Block { stage, number, inputs, channels, stride });
                inputs = channels;
            }
        }
        all
    }

    /// Of so many pixels along an axis, those that the last stage leaves: every stride rounds up.
    pub fn pixels_left(&self, size: usize) -> usize {
        (1..self.widths.len()).fold(size.div_ceil(self.stem_stride), |size, _| size.div_ceil(2))
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let invalid = |field: &'static str, value: String, expected: &'static str| {
            Err(Error::new(ErrorKind::InvalidConfig { field, value, expected }))
        };
        if self.widths.is_empty() || self.widths.contains(&0) {
            return invalid("widths", format!("{:?}", self.widths), "one or more above 0");
        }
        if self.blocks.len() != self.widths.len() || self.blocks.contains(&0) {
            let expected = "a number above 0 for each of the widths";
            return invalid("blocks", format!("{:?}", self.blocks), expected);
        }
        let depth = self.blocks.iter().fold(0, |sum: usize, &blocks| sum.saturating_add(blocks));
        if depth > MAX_BLOCKS {
            return invalid("blocks", format!("{depth} in all"), "at most 1000");
        }
        if self.stem_stride == 0 {
            return invalid("stem_stride", "0".to_owned(), "at least 1");
        }
        Ok(())
    }
}

pub(super) fn two_each() -> Vec<usize> {
    vec![2; 4]
}

pub(super) fn is_two_each(blocks: &Vec<usize>) -> bool {
    *blocks == two_each()
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn is_one(stride: &usize) -> bool {
    *stride == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other() {
        let stages = Stages { widths: &[8, 8, 4], blocks: &[1, 2, 1], stem_stride: 2 };
        let found: Vec<_> = stages
            .blocks()
            .iter()
            .map(|b| (b.stage, b.number, b.inputs, b.channels, b.stride))
            .collect();
        assert_eq!(found, [(0, 0, 8, 8, 1), (1, 0, 8, 8, 2), (1, 1, 8, 8, 1), (2, 0, 8, 4, 2)]);
        let convolutions = stages.blocks().iter().filter(|b| b.has_shortcut_convolution()).count();
        assert_eq!(convolutions, 2);
        assert_eq!((stages.pixels_left(32), stages.pixels_left(33)), (4, 5));
    }

    #[test]
    fn impossible_stages_name_the_field() {
        for (widths, blocks, stem_stride, field) in [
            (&[][..], &[][..], 1, "widths"),
            (&[8, 0], &[1, 1], 1, "widths"),
            (&[8, 8], &[1], 1, "blocks"),
            (&[8, 8], &[1, 0], 1, "blocks"),
            (&[8, 8], &[1, 1000], 1, "blocks"),
            (&[8, 8], &[usize::MAX, usize::MAX], 1, "blocks"),
            (&[8], &[1], 0, "stem_stride"),
        ] {
            let error = Stages { widths, blocks, stem_stride }.validate().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
