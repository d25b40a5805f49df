use super::*;
use crate::gemm::testing::values;

/// Seeded integers of at most `max_abs` in magnitude; not below `min`.
fn integers(seed: u64, len: usize, max_abs: u32, min: f32) -> Vec<f32> {
    values(seed, len).iter().map(|v| (v * max_abs as f32).round_ties_even().max(min)).collect()
}

/// Seeded numbers of 8 significant bits, of many magnitudes.
fn few_bits(seed: u64, len: usize) -> Vec<f32> {
    let powers = values(seed + 1, len);
    let scaled =
        values(seed, len).into_iter().zip(powers).map(|(v, p)| v * 2.0_f32.powi((p * 8.0) as i32));
    scaled.map(|v| f32::from_bits(v.to_bits() & 0xffff_0000)).collect()
}

/// Compares every way to multiply with the definition: every level, one thread and two, packed before or not.
fn check(x: &[f32], w: &[f32], shape: MatmulShape, accumulation: Accumulation) {
    let mut expected = vec![9.0; shape.n * shape.m];
    reference::matmul_nt(x, w, &mut expected, shape, accumulation);
    let same = |y: &[f32]| {
        y.iter()
            .zip(&expected)
            .all(|(y, e)| y.to_bits() == e.to_bits() || (y.is_nan() && e.is_nan()))
    };
    for level in Level::all() {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut y = vec![7.0; expected.len()];
                product::multiply(level, x, w, &mut y, shape, accumulation);
                assert!(same(&y), "{shape:?} {accumulation:?} {level:?} {threads} threads");
                let packed = PackedWeights::new_at(level, w, shape.m, shape.k, accumulation);
                if shape.k > 0 {
                    y.fill(7.0);
                    packed.multiply(x, &mut y);
                    assert!(
                        same(&y),
                        "packed {shape:?} {accumulation:?} {level:?} {threads} threads"
                    );
                }
            });
        }
    }
}

const SIZES: [(usize, usize, usize); 14] = [
    (0, 3, 5),
    (3, 0, 5),
    (3, 5, 0),
    (1, 1, 1),
    (1, 15, 2),
    (2, 16, 3),
    (5, 17, 4),
    (8, 31, 5),
    (11, 32, 63),
    (12, 33, 64),
    (13, 10, 65),
    (25, 64, 130),
    (100, 64, 784),
    (3, 40, 8300),
];

fn shapes() -> impl Iterator<Item = MatmulShape> {
    SIZES.into_iter().map(|(n, m, k)| MatmulShape { n, m, k })
}

#[test]
fn integers_of_every_width() {
    let widths: [(u32, f32, u32); 12] = [
        (1, -1.0, 1),
        (3, -3.0, 1),
        (127, -127.0, 128),
        (128, -128.0, 127),
        (128, 0.0, 128),
        (255, 0.0, 127),
        (255, -255.0, 7),
        (192, -192.0, 192),
        (1000, -1000.0, 100),
        (32767, -32767.0, 1),
        (32767, -32767.0, 32767),
        (0, 0.0, 0),
    ];
    for shape in shapes() {
        for (x_max_abs, min, w_max_abs) in widths {
            let x = integers(shape.k as u64, shape.n * shape.k, x_max_abs, min);
            let w = integers(77, shape.m * shape.k, w_max_abs, -(w_max_abs as f32));
            check(&x, &w, shape, Accumulation::Integer { x_max_abs, w_max_abs });
        }
    }
}

#[test]
fn the_largest_sums_are_exact() {
    // Every product has the largest magnitude and the same sign; the sums need more than 24 bits.
    for (max, k) in [(127, 1000), (255, 130), (32767, 2), (32767, 3), (1000, 2147), (1000, 2148)] {
        let shape = MatmulShape { n: 3, m: 2, k };
        let x = vec![max as f32; 3 * k];
        let mut w = vec![max as f32; 2 * k];
        w[..k].iter_mut().for_each(|w| *w = -*w);
        w[k - 1] -= -1.0;
        check(&x, &w, shape, Accumulation::Integer { x_max_abs: max, w_max_abs: max });
    }
}

#[test]
fn paired_and_sequential() {
    for shape in shapes() {
        let (x, w) = (few_bits(3, shape.n * shape.k), few_bits(5, shape.m * shape.k));
        check(&x, &w, shape, Accumulation::Paired);
        let (x, w) = (values(3, shape.n * shape.k), values(5, shape.m * shape.k));
        check(&x, &w, shape, Accumulation::Sequential);
    }
}

#[test]
fn paired_subnormal_and_huge() {
    let shape = MatmulShape { n: 5, m: 20, k: 9 };
    let (x, w) = (few_bits(3, 45), few_bits(5, 180));
    for (x_scale, w_scale) in [(-70, -70), (-60, -64), (-140, 0), (100, 20), (-49, -49), (40, 40)] {
        let scaled =
            |v: &[f32], by: i32| v.iter().map(|v| v * 2.0_f32.powi(by)).collect::<Vec<_>>();
        check(&scaled(&x, x_scale), &scaled(&w, w_scale), shape, Accumulation::Paired);
    }
    let mut spoilt = x.clone();
    (spoilt[3], spoilt[20]) = (f32::NAN, f32::INFINITY);
    check(&spoilt, &w, shape, Accumulation::Paired);
    check(&spoilt, &w, shape, Accumulation::Sequential);
    // More significant bits than promised.
    let x = values(9, 45);
    check(&x, &w, shape, Accumulation::Paired);
}

#[test]
fn broken_promises_give_the_sum_in_f64() {
    let shape = MatmulShape { n: 30, m: 40, k: 33 };
    for (x_max_abs, w_max_abs) in [(3, 1), (200, 100), (1000, 1000), (32767, 32767)] {
        let accumulation = Accumulation::Integer { x_max_abs, w_max_abs };
        let x = integers(1, 30 * 33, x_max_abs, -(x_max_abs as f32));
        let w = integers(2, 40 * 33, w_max_abs, -(w_max_abs as f32));
        for bad in [0.5, f32::NAN, f32::NEG_INFINITY, x_max_abs as f32 + 1.0, -1e30] {
            let (mut x, mut w) = (x.clone(), w.clone());
            x[7 * 33 + 5] = bad;
            check(&x, &w, shape, accumulation);
            w[39 * 33 + 32] = bad;
            check(&x, &w, shape, accumulation);
            (0..20).for_each(|i| x[i * 33] = bad);
            check(&x, &w, shape, accumulation);
        }
    }
}
