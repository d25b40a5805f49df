use super::*;
use crate::gemm::testing::values;

const PLAIN: Conv2dShape = Conv2dShape {
    n: 2,
    c: 3,
    h: 5,
    w: 6,
    o: 4,
    kh: 3,
    kw: 3,
    stride: (1, 1),
    pad: Padding { top: 1, left: 1, bottom: 1, right: 1 },
    dilation: (1, 1),
    groups: 1,
};

/// Odd sizes, strides, paddings, dilations, groups, and the shapes of networks.
fn shapes() -> Vec<Conv2dShape> {
    let none = Padding::default();
    let lopsided = Padding { top: 2, left: 0, bottom: 1, right: 3 };
    vec![
        PLAIN,
        Conv2dShape { n: 0, ..PLAIN },
        Conv2dShape { o: 0, ..PLAIN },
        Conv2dShape { c: 0, ..PLAIN },
        Conv2dShape { n: 1, c: 1, h: 1, w: 1, o: 1, kh: 1, kw: 1, pad: none, ..PLAIN },
        Conv2dShape { c: 16, o: 32, h: 8, w: 8, ..PLAIN },
        Conv2dShape { c: 17, o: 33, h: 7, w: 9, stride: (2, 2), ..PLAIN },
        Conv2dShape { c: 15, o: 31, kh: 1, kw: 1, stride: (2, 2), pad: none, h: 8, w: 8, ..PLAIN },
        Conv2dShape {
            c: 5,
            o: 7,
            kh: 2,
            kw: 4,
            stride: (3, 2),
            pad: lopsided,
            h: 11,
            w: 10,
            ..PLAIN
        },
        Conv2dShape { c: 4, o: 6, dilation: (2, 3), h: 9, w: 12, ..PLAIN },
        Conv2dShape {
            c: 4,
            o: 6,
            dilation: (3, 2),
            stride: (2, 2),
            pad: Padding::same(3),
            h: 9,
            w: 12,
            ..PLAIN
        },
        Conv2dShape { c: 6, o: 9, groups: 3, ..PLAIN },
        Conv2dShape { c: 8, o: 8, groups: 8, ..PLAIN },
        Conv2dShape { n: 9, c: 40, o: 48, h: 4, w: 4, ..PLAIN },
        Conv2dShape { n: 1, c: 64, o: 100, h: 4, w: 4, ..PLAIN },
        Conv2dShape { c: 2, o: 3, kh: 2, kw: 2, pad: Padding::same(4), h: 3, w: 3, ..PLAIN },
        Conv2dShape { c: 2, o: 3, kh: 1, kw: 1, stride: (4, 5), pad: none, h: 6, w: 7, ..PLAIN },
    ]
}

struct Sizes {
    x: usize,
    w: usize,
    y: usize,
}

fn sizes(s: &Conv2dShape) -> Sizes {
    let (oh, ow) = s.output_size().unwrap();
    Sizes {
        x: s.n * s.c * s.h * s.w,
        w: s.o * s.c / s.groups * s.kh * s.kw,
        y: s.n * s.o * oh * ow,
    }
}

/// Calls `f` for every level, with one thread and with two.
fn everywhere(mut f: impl FnMut(Level, usize) + Send) {
    for level in Level::all() {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| f(level, threads));
        }
    }
}

fn check(x: &[f32], w: &[f32], shape: &Conv2dShape, accumulation: Accumulation) {
    let mut expected = vec![9.0; sizes(shape).y];
    reference::conv2d(x, w, &mut expected, shape, accumulation);
    everywhere(|level, threads| {
        let mut y = vec![7.0; expected.len()];
        forward::convolve(level, x, w, &mut y, shape, accumulation);
        let same = y.iter().zip(&expected).all(|(y, e)| y == e || (y.is_nan() && e.is_nan()));
        assert!(same, "{shape:?} {accumulation:?} {level:?} {threads} threads");
    });
}

fn integers(seed: u64, len: usize, max_abs: u32, min: f32) -> Vec<f32> {
    values(seed, len).iter().map(|v| (v * max_abs as f32).round_ties_even().max(min)).collect()
}

fn few_bits(seed: u64, len: usize) -> Vec<f32> {
    let powers = values(seed + 1, len);
    let scaled =
        values(seed, len).into_iter().zip(powers).map(|(v, p)| v * 2.0_f32.powi((p * 8.0) as i32));
    scaled.map(|v| f32::from_bits(v.to_bits() & 0xffff_0000)).collect()
}

#[test]
fn bits_of_the_definition() {
    for shape in shapes() {
        let len = sizes(&shape);
        check(&values(1, len.x), &values(2, len.w), &shape, Accumulation::Sequential);
        check(&few_bits(3, len.x), &few_bits(5, len.w), &shape, Accumulation::Paired);
        for (x_max_abs, min, w_max_abs) in [
            (1, -1.0, 1),
            (127, -127.0, 128),
            (255, 0.0, 127),
            (255, -255.0, 7),
            (192, -192.0, 192),
            (32767, -32767.0, 32767),
        ] {
            let x = integers(7, len.x, x_max_abs, min);
            let w = integers(9, len.w, w_max_abs, -(w_max_abs as f32));
            check(&x, &w, &shape, Accumulation::Integer { x_max_abs, w_max_abs });
        }
    }
}

#[test]
fn values_that_break_promises() {
    let len = sizes(&PLAIN);
    for bad in [f32::NAN, f32::INFINITY, 0.3, 1e30] {
        for accumulation in [
            Accumulation::Sequential,
            Accumulation::Paired,
            Accumulation::Integer { x_max_abs: 3, w_max_abs: 3 },
        ] {
            let (mut x, mut w) = (integers(1, len.x, 3, -3.0), integers(2, len.w, 3, -3.0));
            x[17] = bad;
            check(&x, &w, &PLAIN, accumulation);
            w[5] = bad;
            check(&x, &w, &PLAIN, accumulation);
            x[17] = 0.0;
            // Only the taps inside the image see it.
            check(&x, &w, &PLAIN, accumulation);
        }
    }
}

/// The gradients against sums in `f64`, and the same bits on every level for every number of threads.
fn check_gradients(
    shape: &Conv2dShape,
    compute: impl Fn(Level, [&[f32]; 3], [&mut [f32]; 2]) + Sync + Send,
    close: impl Fn(&[f32], &[f32]) -> bool + Sync + Send,
) {
    let len = sizes(shape);
    let (x, w, dy) = (values(1, len.x), values(2, len.w), values(3, len.y));
    let (mut dx, mut dw) = (vec![9.0; len.x], vec![9.0; len.w]);
    reference::conv2d_grad_input(&dy, &w, &mut dx, shape);
    reference::conv2d_grad_weight(&x, &dy, &mut dw, shape);
    let mut kept: Option<(Vec<u32>, Vec<u32>)> = None;
    everywhere(|level, threads| {
        let (mut fast_dx, mut fast_dw) = (vec![7.0; len.x], vec![7.0; len.w]);
        compute(level, [&x, &w, &dy], [&mut fast_dx, &mut fast_dw]);
        assert!(close(&fast_dx, &dx), "dx of {shape:?} {level:?} {threads} threads");
        assert!(close(&fast_dw, &dw), "dw of {shape:?} {level:?} {threads} threads");
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
        let found = (bits(&fast_dx), bits(&fast_dw));
        let same = kept.get_or_insert_with(|| found.clone()) == &found;
        assert!(same, "bits of {shape:?} {level:?} {threads} threads");
    });
}

#[test]
fn gradients() {
    for shape in shapes() {
        check_gradients(
            &shape,
            |level, [x, w, dy], [dx, dw]| {
                grad_input::either_way(level, dy, w, dx, &shape);
                grad_weight::either_way(level, x, dy, dw, &shape);
            },
            // All operands lie in (-1, 1): a sum of n terms in f32 is off by at most about n 2^-24 times its largest partial sum.
            |fast, exact| fast.iter().zip(exact).all(|(f, e)| (f - e).abs() < 3e-5),
        );
    }
}

/// Shapes that Winograd's filtering is for: tiles that fit and that do not, all paddings, panels that are not full.
#[test]
fn gradients_by_filtering() {
    let (none, lopsided) = (Padding::default(), Padding { top: 2, left: 0, bottom: 1, right: 2 });
    for shape in [
        Conv2dShape { n: 9, c: 48, o: 32, h: 4, w: 4, ..PLAIN },
        Conv2dShape { n: 2, c: 16, o: 112, h: 16, w: 12, ..PLAIN },
        Conv2dShape { n: 3, c: 32, o: 16, h: 14, w: 15, pad: none, ..PLAIN },
        Conv2dShape { n: 4, c: 32, o: 48, h: 11, w: 8, pad: lopsided, ..PLAIN },
        Conv2dShape { n: 200, c: 16, o: 16, h: 8, w: 8, ..PLAIN },
    ] {
        check_gradients(
            &shape,
            |level, [x, w, dy], [dx, dw]| {
                assert!(winograd::grad_input::convolve(level, dy, w, dx, &shape));
                assert!(winograd::grad_weight::convolve(level, x, dy, dw, &shape));
            },
            |fast, exact| {
                let largest = exact.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                let off = fast.iter().zip(exact).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
                // Measured: below 1.5e-6 of the largest; plain sums are below 3e-7.
                off < 3e-6 * largest
            },
        );
    }
}
