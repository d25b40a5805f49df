//! Stochastic rounding: only neighbours, and the right mean.

use fewbit_formats::{CounterRng, FloatFormat, Format, RoundingMode};

const FORMATS: [&str; 10] =
    ["e4m3", "e3m1", "e2m0", "ue2m2", "e8m7", "e5m2-fnuz", "int4", "uint3", "fixed6.2", "ternary"];

#[test]
fn results_are_neighbours_and_values_stay() {
    let rng = CounterRng::new(1, 0);
    let mut count = 0;
    for name in FORMATS {
        let format: Format = name.parse().unwrap();
        for i in 0..4000 {
            let x = (rng.uniform_at(i) - 0.5) * 40.0 * if i % 2 == 0 { 1.0 } else { 0.01 };
            let neighbours = [RoundingMode::Floor, RoundingMode::Ceil].map(|mode| match format {
                Format::Ternary => x.clamp(-1.0, 1.0) + 0.0,
                _ => format.quantize_with(x, mode),
            });
            let neighbours = match format {
                Format::Ternary => [neighbours[0].floor(), neighbours[1].ceil()],
                _ => neighbours,
            };
            for random in [0, 1, 1 << 31, u32::MAX, rng.u32_at(i + 10_000)] {
                count += 1;
                let y = format.quantize_stochastic(x, random);
                assert!(
                    neighbours.contains(&y),
                    "{name} {x} {random:#x}: {y}, not in {neighbours:?}"
                );
                assert_eq!(format.quantize_stochastic(y, random), y, "{name} {y}");
            }
        }
    }
    assert_eq!(count, 10 * 4000 * 5);
}

/// The mean of `n` draws lies within five standard errors of `x`.
#[test]
fn the_mean_is_the_number() {
    let draws = 20_000;
    let table = [
        ("e4m3", 1.06),
        ("e4m3", -0.0003),
        ("e4m3", 447.0),
        ("e3m1", 0.07),
        ("e3m1", -13.3),
        ("e2m0", 0.2),
        ("ue3m2", 5.3),
        ("e8m7", 1e-39),
        ("int4", -3.2),
        ("uint8", 0.01),
        ("fixed8.4", 1.03),
        ("bipolar", 0.25),
        ("bipolar", -0.9),
        ("ternary", -0.3),
    ];
    for (stream, (name, x)) in table.into_iter().enumerate() {
        let format: Format = name.parse().unwrap();
        let rng = CounterRng::new(11, stream as u64);
        let y: Vec<f64> =
            (0..draws).map(|i| f64::from(format.quantize_stochastic(x, rng.u32_at(i)))).collect();
        let (low, high) =
            y.iter().fold((f64::MAX, f64::MIN), |(low, high), &y| (low.min(y), high.max(y)));
        assert!(low < f64::from(x) && f64::from(x) < high, "{name} {x} between {low} and {high}");
        let mean = y.iter().sum::<f64>() / draws as f64;
        let up = (f64::from(x) - low) / (high - low);
        let error = (high - low) * (up * (1.0 - up) / draws as f64).sqrt();
        assert!(
            (mean - f64::from(x)).abs() < 5.0 * error,
            "{name} {x}: mean {mean}, standard error {error}"
        );
    }
}

#[test]
fn a_slice_draws_by_place() {
    let format: FloatFormat = "e3m1".parse().unwrap();
    let rng = CounterRng::new(5, 2);
    let x: Vec<f32> = (0..300).map(|i| (i as f32 - 150.0) * 0.033).collect();
    let mut whole = vec![0.0; 300];
    format.quantize_slice_stochastic(&x, &mut whole, &rng, 1000);
    for split in [0, 1, 63, 64, 65, 299, 300] {
        let mut parts = vec![0.0; 300];
        let (head, tail) = parts.split_at_mut(split);
        format.quantize_slice_stochastic(&x[..split], head, &rng, 1000);
        format.quantize_slice_stochastic(&x[split..], tail, &rng, 1000 + split as u64);
        assert_eq!(parts, whole, "{split}");
    }
    for (i, (&x, &y)) in x.iter().zip(&whole).enumerate() {
        assert_eq!(y, format.quantize_stochastic(x, rng.u32_at(1000 + i as u64)));
    }
}

#[test]
fn specials() {
    let format: FloatFormat = "e4m3".parse().unwrap();
    assert_eq!(format.quantize_stochastic(1e9, 0), 448.0);
    assert_eq!(format.quantize_stochastic(-449.0, 0), -448.0);
    assert!(format.quantize_stochastic(f32::NAN, 0).is_nan());
    assert!(format.quantize_stochastic(f32::INFINITY, 0).is_nan());
    assert_eq!(format.quantize_stochastic(-0.0, 0).to_bits(), (-0.0_f32).to_bits());
    let int4: Format = "int4".parse().unwrap();
    assert_eq!(int4.quantize_stochastic(f32::INFINITY, 0), 7.0);
    assert!(int4.quantize_stochastic(f32::NAN, 0).is_nan());
}
