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

/// Steps over sums of one term, all integers up to 32767 in magnitude, against the steps themselves.
///
/// True if not all results are the same.
fn assert_steps(steps: &[Step], other: f32, sink: Option<(Element, f32)>) -> bool {
    let channels = 40;
    let pixels = 65_535_usize.div_ceil(channels);
    let codes: Vec<f32> = (0..channels * pixels).map(|i| (i % 65_535) as f32 - 32_767.0).collect();
    let shape = Conv2dShape {
        n: 1,
        c: channels,
        h: 1,
        w: pixels,
        o: channels,
        kh: 1,
        kw: 1,
        stride: (1, 1),
        pad: Padding::default(),
        dilation: (1, 1),
        groups: 1,
    };
    let form = |element| Form::new(element, channels, (1, pixels), Padding::default());
    let mut forms = vec![form(Element::I16)];
    let mut w = vec![0.0; channels * channels];
    (0..channels).for_each(|i| w[i * channels + i] = 1.0);
    let product = Product::new(&w, &shape, 0, &forms[0]).unwrap();
    let size = (1, pixels);
    let stage = |source, steps, sinks| Stage { source, channels, size, steps, sinks };
    let mut stages = vec![stage(Source::Input, vec![], vec![Sink::Form(0)])];
    let output = Sink::Output { index: 0, scale: 1.0 };
    if let Some((element, scale)) = sink {
        forms.push(form(element));
        stages.push(stage(Source::Product(product), steps.to_vec(), vec![Sink::Form(1)]));
        stages.push(stage(Source::Tensor { form: 1, scale }, vec![], vec![output]));
    } else {
        stages.push(stage(Source::Product(product), steps.to_vec(), vec![output]));
    }
    let program = Program::new(codes.len(), forms, stages, vec![codes.len()]);
    let mut found = [vec![0.0; codes.len()]];
    assert!(program.run(&codes, 1, &mut found), "{steps:?}");
    let mut expected = Vec::new();
    for (channel, codes) in codes.chunks(pixels).enumerate() {
        for codes in codes.chunks(32) {
            let mut block = codes.to_vec();
            for step in steps {
                match step {
                    Step::AddTensor { scale, .. } => {
                        block.iter_mut().zip(codes).for_each(|(v, code)| *v += code * scale);
                    }
                    step => step.of_channel(channel).apply(Level::Scalar, &mut block, 0, None),
                }
            }
            expected.extend(block.iter().map(|v| v * other));
        }
    }
    // Where a zero comes from decides about its sign, and nothing about anything else.
    let plain = |values: &[f32]| values.iter().map(|v| v + 0.0).collect::<Vec<f32>>();
    let what = format!("{steps:?} {sink:?}");
    assert_same(&plain(&found[0]), &plain(&expected), &codes, &what);
    expected.iter().any(|v| *v != expected[0])
}

#[test]
fn chains_of_steps_give_the_bits_of_the_steps() {
    let channels = 40;
    let many = |low: f32, more: f32| -> Lanes {
        Lanes::many(&(0..channels).map(|i| low + more * (i * 37 % 40) as f32).collect::<Vec<_>>())
    };
    let minifloat = |e, m, scale: f32, factor: f32| {
        let format = FloatFormat::new(e, m).unwrap();
        Step::Minifloat(Minifloat::new(&format, scale).unwrap().with_factor(factor))
    };
    let integer = |min, max, scale: f32, factor: f32, clips_first| {
        Step::Integer(Integer { min, max, zero_point: 0.0, scale, factor, clips_first })
    };
    let shift = || Step::ScaleShift(many(-0.6, 0.043), many(-2.0, 0.1));
    let tiny = || Step::ScaleShift(many(1e-30, 1e-31), many(-1e-25, 1e-26));
    let huge = || Step::FusedScaleShift(many(1e30, 1e29), many(-1e25, 1e24));
    let one = |v| Step::Multiply(Lanes::one(v));
    let sum = |scale| Step::AddTensor { form: 0, scale };
    let (mut chains, mut various) = (0, 0);
    let quantizers = [
        minifloat(4, 3, 1.0, 1.0),
        minifloat(3, 1, 1.0, 1.0),
        minifloat(3, 1, 1.0, 16.0),
        minifloat(3, 1, 0.25, 1.0),
        minifloat(4, 3, 0.173, 0.173),
        minifloat(5, 2, 0.173, 1.0),
        minifloat(4, 3, -2.0, -2.0),
        integer(-8.0, 7.0, 0.25, 0.25, false),
        integer(0.0, 15.0, 0.173, 1.0, true),
        integer(0.0, 255.0, 0.0371, 0.0371, true),
        integer(-127.0, 127.0, 1.7, 1.0, false),
        Step::Integer(Integer {
            min: 0.0,
            max: 15.0,
            zero_point: 3.0,
            scale: 0.3,
            factor: 0.3,
            clips_first: true,
        }),
        Step::Bipolar(Lanes::one(1.0)),
        Step::Bipolar(many(0.5, 0.01)),
        Step::Thresholds(Thresholds {
            levels: vec![many(-3.0, 0.3), Lanes::one(0.5), many(1.0, 0.7)],
            scale: 0.3,
            bias: -0.6,
        }),
    ];
    for first in &quantizers {
        for scale in [1.0, 0.0625, 0.0123] {
            for middle in [vec![shift()], vec![shift(), Step::Relu], vec![tiny()], vec![huge()]] {
                for second in &quantizers {
                    let steps =
                        [vec![one(scale), first.clone()], middle.clone(), vec![second.clone()]];
                    various += usize::from(assert_steps(&steps.concat(), 1.0, None));
                    chains += 1;
                }
            }
        }
        for scale in [1.0, 0.5, 0.3] {
            let tail = [shift(), Step::Relu, first.clone(), sum(scale), Step::Relu, first.clone()];
            let before = [vec![one(0.03125)], vec![Step::Divide(many(1.0, 0.1)), one(0.5)]];
            for before in before {
                let steps = [before, tail.to_vec()].concat();
                various += usize::from(assert_steps(&steps, 1.0, None));
            }
            chains += 2;
        }
    }
    assert_eq!(chains, 15 * (3 * 4 * 15 + 3 * 2));
    assert!(various > chains / 2, "{various} of {chains} give more than one value");
    // Into every form, codes that fit, proved or checked.
    for (element, scale, quantizer) in [
        (Element::U8, 0.25, integer(0.0, 255.0, 0.0371, 1.0, true)),
        (Element::U8, 0.0625, minifloat(3, 1, 1.0, 8.0)),
        (Element::U8Offset, 0.3, integer(-128.0, 127.0, 0.3, 1.0, false)),
        (Element::U8Offset, 0.3, integer(-127.0, 127.0, 0.3, 1.0, false)),
        (Element::U8Offset, 1.0, Step::Bipolar(Lanes::one(1.0))),
        (Element::I16, 1.0, integer(-30_000.0, 30_000.0, 0.001, 1.0, false)),
        (Element::Bf16, 1.0, minifloat(4, 3, 0.173, 1.0)),
        (Element::Bf16, 0.5, minifloat(5, 2, 1.0, 1.0)),
        (Element::F32, 0.5, minifloat(4, 3, 0.173, 0.173)),
    ] {
        let positive = element == Element::U8;
        let relu = positive.then_some(Step::Relu);
        let steps: Vec<Step> =
            [one(0.01), shift()].into_iter().chain(relu).chain([quantizer]).collect();
        assert!(assert_steps(&steps, scale, Some((element, scale))), "{element:?}");
    }
}

#[test]
fn quotients_by_reciprocals_are_those_of_the_division() {
    // Every mantissa, over divisors that are hard: near a power of two, and with all bits set.
    let divisors = [0.173, 1.0 + f32::EPSILON, 2.0 - f32::EPSILON, 1.5, 3.0e-5, 777.7, 0.1];
    for divisor in divisors {
        let program = {
            let step = Step::Integer(Integer {
                min: -4_000_000.0,
                max: 4_000_000.0,
                zero_point: 0.0,
                scale: divisor,
                factor: 1.0,
                clips_first: false,
            });
            let channels = 32;
            let size = (1, 1024);
            let form = Form::new(Element::I16, channels, size, Padding::default());
            let stage = |source, steps, sinks| Stage { source, channels, size, steps, sinks };
            let output = Sink::Output { index: 0, scale: 1.0 };
            // A finite number, from which the steps make any other.
            let tensor = Source::Tensor { form: 0, scale: 1.0 };
            let steps = vec![Step::Multiply(Lanes::one(divisor * 0.4999)), step];
            Program::new(
                channels * 1024,
                vec![form],
                vec![
                    stage(Source::Input, vec![], vec![Sink::Form(0)]),
                    stage(tensor, steps, vec![output]),
                ],
                vec![channels * 1024],
            )
        };
        let x: Vec<f32> = (0..32 * 1024).map(|i| i as f32).collect();
        let mut found = [vec![0.0; x.len()]];
        assert!(program.run(&x, 1, &mut found));
        for (found, x) in found[0].iter().zip(&x) {
            let expected = (x * (divisor * 0.4999) / divisor).round_ties_even();
            assert_eq!(*found, expected, "{x} over {divisor}");
        }
    }
}
