//! Stages against the kernels for whole tensors; whole networks are compared by the executor's tests.

use fewbit_formats::{FloatFormat, RoundingMode};

use super::*;
use crate::conv2d::{Conv2dShape, Padding, reference};
use crate::quantize::{self, IntegerQuantizer, Scale};
use crate::{Accumulation, Grid, accumulation};

/// Numbers of every magnitude, NaN and infinities among them.
fn patterns() -> Vec<f32> {
    let all = (0..1_u32 << 16).map(|i| f32::from_bits(i.wrapping_mul(65_537) ^ (i << 9)));
    all.chain([0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).collect()
}

fn assert_same(found: &[f32], expected: &[f32], x: &[f32], what: &str) {
    for ((found, expected), x) in found.iter().zip(expected).zip(x) {
        let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        assert!(same, "{what} of {x}: {found}, expected {expected}");
    }
}

#[test]
fn quantizers_are_those_for_whole_tensors() {
    let x = patterns();
    let mut expected = vec![0.0; x.len()];
    let mut cases = 0;
    for level in Level::all() {
        for scale in [1.0, 0.25, 0.173, -2.0, 3e-39] {
            for (e, m) in [(4, 3), (3, 1), (5, 2), (2, 5), (8, 7)] {
                let format = FloatFormat::new(e, m).unwrap();
                let Some(quantizer) = Minifloat::new(&format, scale) else {
                    assert_eq!(e, 8);
                    continue;
                };
                quantize::minifloat(&x, &mut expected, &format, Scale::PerTensor(scale));
                let mut found = x.clone();
                quantizer.apply(level, &mut found);
                assert_same(&found, &expected, &x, &format!("e{e}m{m} {scale} {level:?}"));
                cases += 1;
            }
            for (min, max, zero_point) in [(-128.0, 127.0, 0.0), (-1.0, 1.0, 0.0), (-8.0, 7.0, 3.0)]
            {
                let rounding_mode = RoundingMode::HalfEven;
                let usual = IntegerQuantizer { min, max, zero_point, rounding_mode };
                quantize::integer(&x, &mut expected, &usual, Scale::PerTensor(scale));
                for clips_first in [false, true] {
                    let factor = scale;
                    let quantizer = Integer { min, max, zero_point, scale, factor, clips_first };
                    let mut found = x.clone();
                    quantizer.apply(level, &mut found);
                    // Limits that are integers may be applied before or after; only the sign of a zero may differ.
                    let found: Vec<f32> = found.iter().map(|v| v + 0.0).collect();
                    let expected: Vec<f32> = expected.iter().map(|v| v + 0.0).collect();
                    assert_same(&found, &expected, &x, &format!("{min} {max} {scale} {level:?}"));
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, Level::all().len() * 5 * (4 + 6));
}

/// A program of the input and one convolution of its codes.
fn convolution(
    w: &[f32],
    shape: &Conv2dShape,
    element: Element,
    zeros: Padding,
) -> Option<Program> {
    let form = Form::new(element, shape.c, (shape.h, shape.w), zeros);
    let product = Product::new(w, shape, 0, &form)?;
    let size = shape.output_size()?;
    let input = Stage {
        source: Source::Input,
        channels: shape.c,
        size: (shape.h, shape.w),
        steps: vec![],
        sinks: vec![Sink::Form(0)],
    };
    let product = Stage {
        source: Source::Product(product),
        channels: shape.o,
        size,
        steps: vec![],
        sinks: vec![Sink::Output { index: 0, scale: 1.0 }],
    };
    let (values, results) = (shape.c * shape.h * shape.w, shape.o * size.0 * size.1);
    Some(Program::new(values, vec![form], vec![input, product], vec![results]))
}

#[test]
fn convolutions_are_those_of_the_definition() {
    let codes = |count: usize, salt: usize, range: i32, low: i32| -> Vec<f32> {
        (0..count)
            .map(|i| (((i * 7919 + salt * 104_729) / 7) as i32 % range + low) as f32)
            .collect()
    };
    let integers =
        |x: u32, w: u32| accumulation(Grid::Integer { max_abs: x }, Grid::Integer { max_abs: w });
    let mut cases = 0;
    for (c, o, size, kernel, stride, pad) in [
        (1, 1, 1, 1, 1, 0),
        (3, 33, 7, 3, 1, 1),
        (5, 31, 6, 3, 2, 1),
        (40, 64, 4, 3, 1, 1),
        (7, 32, 5, 5, 1, 3),
        (32, 10, 4, 4, 1, 0),
        (6, 40, 8, 1, 2, 0),
    ] {
        let shape = Conv2dShape {
            n: 1,
            c,
            h: size,
            w: size + 1,
            o,
            kh: kernel,
            kw: kernel,
            stride: (stride, stride),
            pad: Padding::same(pad),
            dilation: (1, 1),
            groups: 1,
        };
        let w = codes(o * c * kernel * kernel, 3, 15, -7);
        let ways = [
            ((0.0, 200.0), integers(200, 7)),
            ((-100.0, 100.0), integers(100, 7)),
            ((-300.0, 300.0), integers(300, 7)),
            ((-7.0, 7.0), Accumulation::Paired),
            ((-7.0, 7.0), Accumulation::Sequential),
        ];
        for ((low, high), accumulation) in ways {
            let terms = c * kernel * kernel;
            let element =
                Element::for_product(accumulation, (low, high), (-7.0, 7.0), terms).unwrap();
            for images in [1, 2, 5, 30] {
                for more in [0, 2] {
                    let program =
                        convolution(&w, &shape, element, Padding::same(pad + more)).unwrap();
                    let count = images * c * shape.h * shape.w;
                    let x = codes(count, images, (high - low) as i32 + 1, low as i32);
                    let all = Conv2dShape { n: images, ..shape };
                    let (oh, ow) = shape.output_size().unwrap();
                    let mut expected = vec![0.0; images * o * oh * ow];
                    reference::conv2d(&x, &w, &mut expected, &all, accumulation);
                    let mut found = [vec![9.0; expected.len()]];
                    for _ in 0..2 {
                        assert!(program.run(&x, images, &mut found), "{shape:?} {element:?}");
                        assert_same(
                            &found[0],
                            &expected,
                            &expected,
                            &format!("{shape:?} {element:?} {images}"),
                        );
                    }
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 7 * 5 * 4 * 2);
}

#[test]
fn values_that_do_not_fit_are_told() {
    let shape = Conv2dShape {
        n: 1,
        c: 3,
        h: 2,
        w: 2,
        o: 2,
        kh: 1,
        kw: 1,
        stride: (1, 1),
        pad: Padding::default(),
        dilation: (1, 1),
        groups: 1,
    };
    let mut outputs = [vec![0.0; 8]];
    let mut x = [1.0; 12];
    let program = convolution(&[1.0; 6], &shape, Element::I16, Padding::default()).unwrap();
    assert!(program.run(&x, 1, &mut outputs));
    for odd in [0.5, 40_000.0, f32::NAN, f32::INFINITY] {
        x[7] = odd;
        assert!(!program.run(&x, 1, &mut outputs), "{odd}");
    }
    x[7] = 2.0;
    assert!(program.run(&x, 1, &mut outputs));
    assert_eq!(outputs[0], [3.0, 3.0, 3.0, 4.0, 3.0, 3.0, 3.0, 4.0]);
    assert!(convolution(&[f32::NAN; 6], &shape, Element::F32, Padding::default()).is_none());
}
