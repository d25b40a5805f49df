//! How a tensor lies between two stages.

use std::sync::Arc;

use crate::Accumulation;
use crate::conv2d::Padding;
use crate::convert::{Conversion, OFFSET};
use crate::isa::Level;
use crate::tile::Words;

/// What the codes of a tensor are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// Integers from 0 to 255, four in a word.
    U8,
    /// Integers from -128 to 127, 128 added to each, four in a word.
    U8Offset,
    /// Integers up to 32767 in magnitude, two in a word.
    I16,
    /// Numbers of at most 8 significant bits as bfloat16, two in a word.
    Bf16,
    /// Any `f32`.
    F32,
    /// Any `f32`, each even channel exchanged for the odd one behind it: the order of the paired sum.
    F32Pairs,
}

impl Element {
    /// What the codes of the left operand of a product of constant weights become, or `None` if there is nothing that gives the bits of
    /// the definition.
    ///
    /// `low` and `high` bound the codes, `weight_bounds` those of the weights; `terms` are added up.
    pub fn for_product(
        accumulation: Accumulation,
        (low, high): (f32, f32),
        weight_bounds: (f32, f32),
        terms: usize,
    ) -> Option<Self> {
        let has_dot_products = matches!(Level::current(), Level::Avx512VnniBf16(_));
        match accumulation {
            Accumulation::Sequential => Some(Self::F32),
            Accumulation::Paired if has_dot_products => Some(Self::Bf16),
            Accumulation::Paired => Some(Self::F32Pairs),
            Accumulation::Integer { .. } => {
                let largest = |(low, high): (f32, f32)| f64::from(high.max(-low));
                let sum = terms as f64 * largest((low, high)) * largest(weight_bounds);
                if sum > f64::from(i32::MAX)
                    || largest((low, high)).max(largest(weight_bounds)) > 32767.0
                {
                    return None;
                }
                let weights_fit =
                    has_dot_products && weight_bounds.0 >= -128.0 && weight_bounds.1 <= 127.0;
                Some(match Self::for_integers((low, high)) {
                    Some(Self::U8) if weights_fit => Self::U8,
                    Some(Self::U8Offset) if weights_fit => Self::U8Offset,
                    _ => Self::I16,
                })
            }
        }
    }

    /// The smallest that holds integers from `low` to `high`.
    pub fn for_integers((low, high): (f32, f32)) -> Option<Self> {
        [Self::U8, Self::U8Offset, Self::I16].into_iter().find(|element| {
            let (from, to) = element.range();
            low >= from && high <= to
        })
    }

    /// The integers that it holds.
    #[inline(always)]
    pub(super) fn range(self) -> (f32, f32) {
        match self {
            Self::U8 => (0.0, 255.0),
            Self::U8Offset => (-128.0, 127.0),
            Self::I16 => (-32767.0, 32767.0),
            Self::Bf16 | Self::F32 | Self::F32Pairs => (f32::NEG_INFINITY, f32::INFINITY),
        }
    }

    /// The conversions of a product's operands.
    #[inline(always)]
    pub(super) fn conversions(self) -> (Conversion, Conversion) {
        let (low, high) = self.range();
        match self {
            Self::U8 => (Conversion::I8(low, high), Conversion::I8(-128.0, 127.0)),
            Self::U8Offset => (Conversion::U8Offset(low, high), Conversion::I8(-128.0, 127.0)),
            Self::I16 => (Conversion::I16(low, high), Conversion::I16(low, high)),
            Self::Bf16 => (Conversion::Bf16, Conversion::Bf16),
            Self::F32 => (Conversion::Float, Conversion::Float),
            Self::F32Pairs => (Conversion::FloatPairs, Conversion::FloatPairs),
        }
    }

    #[inline(always)]
    pub(super) fn words(self) -> Words {
        self.conversions().0.words()
    }

    /// Bytes of a code.
    #[inline(always)]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::U8Offset => 1,
            Self::I16 | Self::Bf16 => 2,
            Self::F32 | Self::F32Pairs => 4,
        }
    }
}

/// How one image lies: `[height][width][channels]`, zeros around it, each pixel in whole words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    element: Element,
    channels: usize,
    size: (usize, usize),
    zeros: Padding,
    /// Words of a pixel.
    words: usize,
    /// Width with its zeros.
    width: usize,
    /// Words of an image.
    len: usize,
    /// Where each pixel begins.
    places: Arc<[usize]>,
}

impl Form {
    /// Images of `channels` channels and of `size` pixels (height, width), with zeros around.
    pub fn new(element: Element, channels: usize, size: (usize, usize), zeros: Padding) -> Self {
        let words = channels.div_ceil(element.words().count());
        let width = zeros.left + size.1 + zeros.right;
        let len = (zeros.top + size.0 + zeros.bottom) * width * words;
        let place = |pixel: usize| {
            let (y, x) = (pixel / size.1, pixel % size.1);
            ((zeros.top + y) * width + zeros.left + x) * words
        };
        let places = (0..size.0 * size.1).map(place).collect();
        Self { element, channels, size, zeros, words, width, len, places }
    }

    /// What the codes are stored as.
    #[inline(always)]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width without the zeros.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Zeros around.
    pub fn zeros(&self) -> Padding {
        self.zeros
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Words of an image.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if an image has no words.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What an unwritten word is.
    pub(super) fn zero(&self) -> u32 {
        if self.element == Element::U8Offset { u32::from_ne_bytes([OFFSET as u8; 4]) } else { 0 }
    }

    /// Where a pixel begins.
    #[inline(always)]
    pub(super) fn place(&self, pixel: usize) -> usize {
        self.places[pixel]
    }

    /// Where the channels of a panel begin in a pixel.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize) -> usize {
        // A word is four bytes; written so, there is nothing to divide by.
        panel * (crate::tile::COLUMNS / 4) * self.element.bytes()
    }
}
