//! What is done to a block, in one pass through the registers of AVX-512: four pixels of 32 channels at a time go through
//! all steps and into the forms of the result. The bits are those of [`Step::apply`] and [`super::sink`].

use std::arch::x86_64::*;

use super::chain::{Chain, Op};
use super::form::{Element, Form};
use super::quantizers::exact_reciprocal;
use super::{Source, Stage};
use crate::convert::{BF16_LARGEST, BF16_SMALLEST, OFFSET};
use crate::tile::{COLUMNS, Output};

/// Lanes of a register.
const LANES: usize = 16;
/// Registers of a row.
const HALVES: usize = COLUMNS / LANES;
/// Rows that go through the registers together.
const ROWS: usize = 4;

// Macros: functions with instructions of their own cannot be told to be inlined, and what is not inlined, or not unrolled, puts the
// registers into memory.

macro_rules! row {
    ($row:expr) => {{
        let (halves, _) = $row.as_chunks::<LANES>();
        // SAFETY: each half has 16 values.
        unsafe { [_mm512_loadu_ps(halves[0].as_ptr()), _mm512_loadu_ps(halves[1].as_ptr())] }
    }};
}

/// Does something for each row and each half of it, whose numbers are constants.
macro_rules! unrolled {
    (|$row:ident, $half:ident| $body:expr) => {{
        unrolled!(0, 0, $row, $half, $body);
        unrolled!(0, 1, $row, $half, $body);
        unrolled!(1, 0, $row, $half, $body);
        unrolled!(1, 1, $row, $half, $body);
        unrolled!(2, 0, $row, $half, $body);
        unrolled!(2, 1, $row, $half, $body);
        unrolled!(3, 0, $row, $half, $body);
        unrolled!(3, 1, $row, $half, $body);
    }};
    ($i:literal, $j:literal, $row:ident, $half:ident, $body:expr) => {
        #[allow(dead_code, reason = "what is the same in all halves")]
        {
            const $row: usize = $i;
            const $half: usize = $j;
            $body
        }
    };
}

macro_rules! each {
    ($values:ident, |$v:ident, $half:ident| $y:expr) => {
        unrolled!(|ROW, $half| {
            let $v = $values[ROW][$half];
            $values[ROW][$half] = $y;
        })
    };
}

/// NaN stays NaN: where one is among them, the instructions give their second operand.
macro_rules! clamp {
    ($v:expr, $min:expr, $max:expr) => {
        _mm512_max_ps($min, _mm512_min_ps($max, $v))
    };
}

/// Divides by a scale; by a power of two, multiplies.
macro_rules! divide {
    ($values:ident, $scale:expr) => {
        match exact_reciprocal($scale) {
            Some(1.0) => {}
            Some(reciprocal) => {
                let reciprocal = _mm512_set1_ps(reciprocal);
                each!($values, |v, HALF| _mm512_mul_ps(v, reciprocal));
            }
            None => {
                let scale = _mm512_set1_ps($scale);
                each!($values, |v, HALF| _mm512_div_ps(v, scale));
            }
        }
    };
}

macro_rules! multiply {
    ($values:ident, $factor:expr) => {
        if $factor != 1.0 {
            let factor = _mm512_set1_ps($factor);
            each!($values, |v, HALF| _mm512_mul_ps(v, factor));
        }
    };
}

/// Changes values by the codes of a tensor, 0 where there are no channels. Nobody may write the tensor meanwhile.
macro_rules! with_codes {
    ($tensor:ident, $starts:ident, $masks:ident, $values:ident, |$v:ident, $code:ident| $y:expr) => {
        let from: [*const u32; ROWS] = $tensor.read($starts);
        match $tensor.element {
            Element::U8 | Element::U8Offset => {
                let offset = if $tensor.element == Element::U8Offset { OFFSET } else { 0 };
                let offset = _mm512_set1_epi32(offset);
                unrolled!(|ROW, HALF| {
                    let from = from[ROW].wrapping_add(HALF * LANES / 4);
                    let bytes = _mm_maskz_loadu_epi8($masks[HALF], from.cast());
                    let codes = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), offset);
                    let ($v, $code) = ($values[ROW][HALF], _mm512_cvtepi32_ps(codes));
                    $values[ROW][HALF] = $y;
                });
            }
            Element::I16 => unrolled!(|ROW, HALF| {
                let from = from[ROW].wrapping_add(HALF * LANES / 2);
                let halves = _mm256_maskz_loadu_epi16($masks[HALF], from.cast());
                let $code = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(halves));
                let $v = $values[ROW][HALF];
                $values[ROW][HALF] = $y;
            }),
            Element::Bf16 => unrolled!(|ROW, HALF| {
                let from = from[ROW].wrapping_add(HALF * LANES / 2);
                let halves = _mm256_maskz_loadu_epi16($masks[HALF], from.cast());
                let bits = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves));
                let ($v, $code) = ($values[ROW][HALF], _mm512_castsi512_ps(bits));
                $values[ROW][HALF] = $y;
            }),
            Element::F32 | Element::F32Pairs => unrolled!(|ROW, HALF| {
                let from = from[ROW].wrapping_add(HALF * LANES);
                let $code = _mm512_maskz_loadu_ps($masks[HALF], from.cast());
                let $v = $values[ROW][HALF];
                $values[ROW][HALF] = $y;
            }),
        }
    };
}

/// Gathers which values, with an offset, are not integers from 0 to a largest one.
macro_rules! check_integers {
    ($masks:ident, $values:ident, $wrong:ident, $offset:expr, $largest:expr) => {{
        let (offset, largest) = (_mm512_set1_epi32($offset), _mm512_set1_epi32($largest));
        unrolled!(|ROW, HALF| {
            let v = $values[ROW][HALF];
            let codes = _mm512_cvtps_epi32(v);
            let same = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(_mm512_cvtepi32_ps(codes), v);
            let codes = _mm512_add_epi32(codes, offset);
            let fits = _mm512_mask_cmple_epu32_mask(same, codes, largest);
            $wrong |= !fits & $masks[HALF];
        });
    }};
}

/// Gathers which values are no bfloat16 that products may see.
macro_rules! check_bf16 {
    ($masks:ident, $values:ident, $wrong:ident) => {{
        let magnitudes = _mm512_set1_epi32(i32::MAX);
        let smallest = _mm512_set1_epi32(BF16_SMALLEST as i32);
        let span = _mm512_set1_epi32((BF16_LARGEST - BF16_SMALLEST) as i32);
        let low = _mm512_set1_epi32(0xffff);
        unrolled!(|ROW, HALF| {
            let bits = _mm512_castps_si512($values[ROW][HALF]);
            let magnitude = _mm512_and_si512(bits, magnitudes);
            let above = _mm512_sub_epi32(magnitude, smallest);
            let outside =
                _mm512_cmpgt_epu32_mask(above, span) & _mm512_test_epi32_mask(magnitude, magnitude);
            $wrong |= (outside | _mm512_test_epi32_mask(bits, low)) & $masks[HALF];
        });
    }};
}

/// Writes integers with an offset as bytes. Stores without a mask are faster.
macro_rules! store_bytes {
    ($to:ident, $masks:ident, $values:ident, $offset:expr) => {{
        let offset = _mm512_set1_epi32($offset);
        if $masks[1] == !0 {
            unrolled!(|ROW, HALF| {
                let codes = _mm512_add_epi32(_mm512_cvtps_epi32($values[ROW][HALF]), offset);
                let to = $to[ROW].wrapping_add(HALF * LANES / 4);
                _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(codes));
            });
        } else {
            unrolled!(|ROW, HALF| {
                let codes = _mm512_add_epi32(_mm512_cvtps_epi32($values[ROW][HALF]), offset);
                let to = $to[ROW].wrapping_add(HALF * LANES / 4);
                _mm_mask_storeu_epi8(to.cast(), $masks[HALF], _mm512_cvtepi32_epi8(codes));
            });
        }
    }};
}

/// Writes the lower halves of words.
macro_rules! store_halves {
    ($to:ident, $masks:ident, $values:ident, |$v:ident| $words:expr) => {{
        if $masks[1] == !0 {
            unrolled!(|ROW, HALF| {
                let $v = $values[ROW][HALF];
                let to = $to[ROW].wrapping_add(HALF * LANES / 2);
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16($words));
            });
        } else {
            unrolled!(|ROW, HALF| {
                let $v = $values[ROW][HALF];
                let to = $to[ROW].wrapping_add(HALF * LANES / 2);
                _mm256_mask_storeu_epi16(to.cast(), $masks[HALF], _mm512_cvtepi32_epi16($words));
            });
        }
    }};
}

/// A block on its way.
pub(super) struct Pass<'a> {
    pub(super) stage: &'a Stage,
    pub(super) chain: &'a Chain,
    pub(super) forms: &'a [Form],
    pub(super) buffers: &'a [Output<'a>],
    pub(super) panel: usize,
    /// Image and pixel of each row.
    pub(super) places: &'a [(usize, usize)],
}

impl Pass<'_> {
    /// Fetches what the block reads and writes into the cache, while its sums are computed.
    pub(super) fn fetch(&self) {
        for op in &self.chain.ops {
            let (Op::AddTensor { form, .. } | Op::AddCodes { form } | Op::Store { form, .. }) = *op
            else {
                continue;
            };
            let tensor = self.tensor(form, 1);
            let first = self.buffers[form].address();
            for &place in self.places {
                // SAFETY: it is a hint; nothing is read or written.
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(tensor.start(place)).cast())
                };
            }
        }
    }

    /// Takes a block of sums, or loads it, through all steps and stores it; what goes to an output of the program is left in the
    /// block. False if a value did not fit.
    ///
    /// # Safety
    /// There is AVX-512 F, BW, DQ and VL; nobody else uses these rows of the forms that the stage writes.
    pub(super) unsafe fn run(&self, block: &mut [f32]) -> bool {
        let (rows, rest) = block.as_chunks_mut::<COLUMNS>();
        assert!(rest.is_empty() && rows.len() == self.places.len(), "rows of a block");
        let mut right = true;
        for first in (0..rows.len()).step_by(ROWS) {
            // Behind the last row it comes again.
            let numbers = std::array::from_fn(|i| (first + i).min(rows.len() - 1));
            // SAFETY: passed on.
            right &= unsafe { self.rows(rows, numbers) };
        }
        right
    }

    /// Some rows, by their numbers.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn rows(&self, rows: &mut [[f32; COLUMNS]], numbers: [usize; ROWS]) -> bool {
        let columns = (self.stage.channels - self.panel * COLUMNS).min(COLUMNS);
        let masks = [mask(columns, 0), mask(columns, 1)];
        let [a, b, c, d] = numbers;
        let places = [self.places[a], self.places[b], self.places[c], self.places[d]];
        let mut values = [[_mm512_setzero_ps(); HALVES]; ROWS];
        match self.stage.source {
            Source::Tensor { form, scale } => {
                let tensor = self.tensor(form, columns);
                let scale = _mm512_set1_ps(scale);
                // SAFETY: stages read what stages before them have written, which nobody writes meanwhile; the masks leave the channels
                // that there are.
                unsafe {
                    with_codes!(tensor, places, masks, values, |_v, code| _mm512_mul_ps(
                        code, scale
                    ));
                }
            }
            _ => {
                values = [row!(rows[a]), row!(rows[b]), row!(rows[c]), row!(rows[d])];
            }
        }
        let mut wrong: __mmask16 = 0;
        for op in &self.chain.ops {
            match op {
                Op::Add(p) => {
                    let p = row!(p.row(self.panel));
                    each!(values, |v, HALF| _mm512_add_ps(v, p[HALF]));
                }
                Op::Subtract(p) => {
                    let p = row!(p.row(self.panel));
                    each!(values, |v, HALF| _mm512_sub_ps(v, p[HALF]));
                }
                Op::Multiply(p) => {
                    let p = row!(p.row(self.panel));
                    each!(values, |v, HALF| _mm512_mul_ps(v, p[HALF]));
                }
                Op::Divide(p) => {
                    let p = row!(p.row(self.panel));
                    each!(values, |v, HALF| _mm512_div_ps(v, p[HALF]));
                }
                Op::ScaleShift(a, b) => {
                    let (a, b) = (row!(a.row(self.panel)), row!(b.row(self.panel)));
                    each!(values, |v, HALF| _mm512_add_ps(_mm512_mul_ps(v, a[HALF]), b[HALF]));
                }
                Op::FusedScaleShift(a, b) => {
                    let (a, b) = (row!(a.row(self.panel)), row!(b.row(self.panel)));
                    each!(values, |v, HALF| _mm512_fmadd_ps(v, a[HALF], b[HALF]));
                }
                Op::Relu => {
                    let zero = _mm512_setzero_ps();
                    each!(values, |v, HALF| {
                        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(v, zero), v)
                    });
                }
                Op::Minifloat(q) => {
                    divide!(values, q.scale());
                    let (smallest, largest, offset) = q.exponents();
                    let smallest = _mm512_set1_epi32(smallest);
                    let largest = _mm512_set1_epi32(largest);
                    let offset = _mm512_set1_epi32(offset);
                    let (min, max) = q.limits();
                    let (min, max) = (_mm512_set1_ps(min), _mm512_set1_ps(max));
                    let sign = _mm512_set1_ps(-0.0);
                    let exponents = _mm512_set1_epi32(0x7f80_0000);
                    each!(values, |u, HALF| {
                        let magnitude = _mm512_andnot_ps(sign, u);
                        let exponent = _mm512_and_si512(_mm512_castps_si512(u), exponents);
                        let exponent =
                            _mm512_min_epi32(_mm512_max_epi32(exponent, smallest), largest);
                        let shift = _mm512_castsi512_ps(_mm512_add_epi32(exponent, offset));
                        let rounded = _mm512_sub_ps(_mm512_add_ps(magnitude, shift), shift);
                        // The product is 0, and NaN for NaN and infinities.
                        let rounded = _mm512_fmadd_ps(magnitude, _mm512_setzero_ps(), rounded);
                        clamp!(_mm512_or_ps(rounded, _mm512_and_ps(u, sign)), min, max)
                    });
                    multiply!(values, q.factor());
                }
                Op::Integer(q) => {
                    divide!(values, q.scale);
                    let (min, max) = (_mm512_set1_ps(q.min), _mm512_set1_ps(q.max));
                    let zero = _mm512_set1_ps(q.zero_point);
                    if q.clips_first {
                        each!(values, |u, HALF| {
                            let clipped = clamp!(_mm512_add_ps(u, zero), min, max);
                            _mm512_sub_ps(_mm512_roundscale_ps::<EVEN>(clipped), zero)
                        });
                    } else {
                        each!(values, |u, HALF| {
                            let rounded = _mm512_roundscale_ps::<EVEN>(_mm512_add_ps(u, zero));
                            _mm512_sub_ps(clamp!(rounded, min, max), zero)
                        });
                    }
                    multiply!(values, q.factor);
                }
                Op::Bipolar(p) => {
                    let (p, zero) = (row!(p.row(self.panel)), _mm512_setzero_ps());
                    let sign = _mm512_set1_ps(-0.0);
                    let minus = [_mm512_xor_ps(p[0], sign), _mm512_xor_ps(p[1], sign)];
                    each!(values, |v, HALF| {
                        let above = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(v, zero);
                        _mm512_mask_blend_ps(above, minus[HALF], p[HALF])
                    });
                }
                Op::Thresholds(thresholds) => {
                    let one = _mm512_set1_ps(1.0);
                    let mut counts = [[_mm512_setzero_ps(); HALVES]; ROWS];
                    for level in &thresholds.levels {
                        let t = row!(level.row(self.panel));
                        unrolled!(|ROW, HALF| {
                            let (v, count) = (values[ROW][HALF], counts[ROW][HALF]);
                            let above = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(v, t[HALF]);
                            counts[ROW][HALF] = _mm512_mask_add_ps(count, above, count, one);
                        });
                    }
                    let scale = _mm512_set1_ps(thresholds.scale);
                    let bias = _mm512_set1_ps(thresholds.bias);
                    each!(counts, |v, HALF| _mm512_add_ps(_mm512_mul_ps(v, scale), bias));
                    values = counts;
                }
                &Op::AddTensor { form, scale } => {
                    let tensor = self.tensor(form, columns);
                    let scale = _mm512_set1_ps(scale);
                    // SAFETY: as at the source.
                    unsafe {
                        with_codes!(tensor, places, masks, values, |v, code| _mm512_add_ps(
                            v,
                            _mm512_mul_ps(code, scale)
                        ));
                    }
                }
                &Op::AddCodes { form } => {
                    let tensor = self.tensor(form, columns);
                    // SAFETY: as at the source.
                    unsafe {
                        with_codes!(tensor, places, masks, values, |v, code| _mm512_add_ps(
                            v, code
                        ));
                    }
                }
                &Op::Scale(factor) => multiply!(values, factor),
                Op::Rectify => {
                    let zero = _mm512_setzero_ps();
                    each!(values, |v, HALF| _mm512_max_ps(v, zero));
                }
                &Op::Quotient { divisor, reciprocal } => {
                    let (divisor, reciprocal) =
                        (_mm512_set1_ps(divisor), _mm512_set1_ps(reciprocal));
                    each!(values, |x, HALF| {
                        // The first quotient is off by less than two in the last bit, the second by less than one; what is left of
                        // that makes the last one the nearest.
                        let first = _mm512_mul_ps(x, reciprocal);
                        let rest = _mm512_fnmadd_ps(first, divisor, x);
                        let second = _mm512_fmadd_ps(rest, reciprocal, first);
                        let rest = _mm512_fnmadd_ps(second, divisor, x);
                        _mm512_fmadd_ps(rest, reciprocal, second)
                    });
                }
                Op::Round(rounding) => {
                    let max = _mm512_set1_ps(rounding.max);
                    let smallest = _mm512_set1_epi32(rounding.smallest);
                    let offset = _mm512_set1_epi32(rounding.offset);
                    let exponents = _mm512_set1_epi32(0x7f80_0000);
                    if !rounding.positive {
                        let min = _mm512_set1_ps(rounding.min);
                        each!(values, |v, HALF| _mm512_max_ps(v, min));
                    }
                    each!(values, |v, HALF| {
                        let v = _mm512_min_ps(v, max);
                        let exponent = _mm512_and_si512(_mm512_castps_si512(v), exponents);
                        let exponent = _mm512_max_epi32(exponent, smallest);
                        let shift = _mm512_castsi512_ps(_mm512_add_epi32(exponent, offset));
                        _mm512_sub_ps(_mm512_add_ps(v, shift), shift)
                    });
                }
                &Op::RoundInteger { min, max } => {
                    let (min, max) = (_mm512_set1_ps(min), _mm512_set1_ps(max));
                    each!(values, |v, HALF| _mm512_roundscale_ps::<EVEN>(clamp!(v, min, max)));
                }
                // Written as one more step: of a loop of their own, the compiler would do all variants beforehand.
                &Op::Store { form, checked } => {
                    let tensor = self.tensor(form, columns);
                    // SAFETY: passed on; the masks leave the channels that there are.
                    unsafe {
                        let to: [*mut u32; ROWS] = tensor.write(places);
                        match (tensor.element, checked) {
                            (Element::U8, true) => {
                                check_integers!(masks, values, wrong, 0, 255);
                                store_bytes!(to, masks, values, 0);
                            }
                            (Element::U8, false) => store_bytes!(to, masks, values, 0),
                            (Element::U8Offset, true) => {
                                check_integers!(masks, values, wrong, OFFSET, 255);
                                store_bytes!(to, masks, values, OFFSET);
                            }
                            (Element::U8Offset, false) => store_bytes!(to, masks, values, OFFSET),
                            (Element::I16, _) => {
                                if checked {
                                    check_integers!(masks, values, wrong, 32767, 65534);
                                }
                                store_halves!(to, masks, values, |v| _mm512_cvtps_epi32(v));
                            }
                            (Element::Bf16, _) => {
                                if checked {
                                    check_bf16!(masks, values, wrong);
                                }
                                store_halves!(to, masks, values, |v| _mm512_srli_epi32::<16>(
                                    _mm512_castps_si512(v)
                                ));
                            }
                            (Element::F32 | Element::F32Pairs, _) => unrolled!(|ROW, HALF| {
                                let to = to[ROW].wrapping_add(HALF * LANES);
                                _mm512_mask_storeu_ps(to.cast(), masks[HALF], values[ROW][HALF]);
                            }),
                        }
                    }
                }
                Op::Keep => unrolled!(|ROW, HALF| {
                    let place = rows[numbers[ROW]][HALF * LANES..][..LANES].as_mut_ptr();
                    // SAFETY: 16 values are there.
                    unsafe { _mm512_storeu_ps(place, values[ROW][HALF]) };
                }),
            }
        }
        wrong == 0
    }

    #[inline(always)]
    fn tensor(&self, index: usize, columns: usize) -> Tensor<'_> {
        let form = &self.forms[index];
        let element = form.element();
        let words = (columns * element.bytes()).div_ceil(4);
        Tensor { form, element, panel: form.panel(self.panel), words, view: self.buffers[index] }
    }
}

/// The channels of a panel in a form.
struct Tensor<'a> {
    form: &'a Form,
    element: Element,
    /// Where the panel begins in a pixel.
    panel: usize,
    /// Words of the panel in a pixel.
    words: usize,
    view: Output<'a>,
}

impl Tensor<'_> {
    /// Where the panel of a pixel begins.
    #[inline(always)]
    fn start(&self, (image, pixel): (usize, usize)) -> usize {
        image * self.form.len() + self.form.place(pixel) + self.panel
    }

    /// # Safety
    /// As [`Output::read`], for the panel of each pixel.
    #[inline(always)]
    unsafe fn read(&self, places: [(usize, usize); ROWS]) -> [*const u32; ROWS] {
        // SAFETY: passed on.
        let read = |i: usize| unsafe { self.view.read(self.start(places[i]), self.words) }.as_ptr();
        [read(0), read(1), read(2), read(3)]
    }

    /// # Safety
    /// As [`Output::slice`], for the panel of each pixel; the same pixel may come several times.
    #[inline(always)]
    unsafe fn write(&self, places: [(usize, usize); ROWS]) -> [*mut u32; ROWS] {
        let write = |i: usize| {
            // SAFETY: passed on.
            unsafe { self.view.slice(self.start(places[i]), self.words) }.as_mut_ptr()
        };
        [write(0), write(1), write(2), write(3)]
    }
}

/// Rounding of `_mm512_roundscale_ps`.
const EVEN: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// Which lanes of a register hold channels.
#[inline(always)]
fn mask(columns: usize, half: usize) -> __mmask16 {
    let left = columns.saturating_sub(half * LANES);
    if left >= LANES { !0 } else { !(!0 << left) }
}
