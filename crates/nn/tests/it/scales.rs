//! Scales that start from what the first training passes meet, against Brevitas.

use fewbit_formats::{Format, IntegerFormat};
use fewbit_nn::ops::{self, Grid, Quantized, Scale};
use fewbit_nn::quantizer::{
    ActQuantizer, ActQuantizerConfig, ActScale, Granularity, MinifloatGradient, Mode, Restriction,
    Statistic,
};
use fewbit_nn::{Device, Tensor};

use crate::golden::{Golden, assert_close, assert_equal, within};

fn number(quantizer: &ActQuantizer) -> f32 {
    match quantizer.scale().unwrap() {
        Scale::PerTensor(scale) => scale,
        Scale::PerChannel(_) => unreachable!("one scale"),
    }
}

#[test]
fn three_measurements_then_a_parameter() {
    if let Some(golden) = Golden::whole("b_int_act_runtime_stats.npz") {
        let mut compared = 0;
        for case in golden.cases(".scale_per_step") {
            // Zero points and the parameter that is a logarithm are not ours.
            if case.starts_with("Shifted") || case.contains("FixedPoint") {
                continue;
            }
            compare(&golden, &case);
            compared += 1;
        }
        assert_eq!(compared, 12);
    }
}

fn compare(golden: &Golden, case: &str) {
    let bits = case.split(".b").nth(1).unwrap()[..1].parse().unwrap();
    let mut format = IntegerFormat::new(bits).unwrap();
    if case.starts_with("Uint") {
        format = format.unsigned().unwrap();
    }
    let scale = ActScale::Learned {
        start: 1.0,
        steps: 3,
        statistic: Statistic::AbsPercentile(99.999),
        granularity: Granularity::PerTensor,
        restriction: Restriction::None,
    };
    let config = ActQuantizerConfig::Format {
        format: Format::Integer(format),
        scale,
        gradient: MinifloatGradient::Brevitas,
    };
    let mut quantizer = ActQuantizer::new(&config).unwrap();
    assert_equal(
        &[number(&quantizer)],
        &golden.values(&format!("{case}.eval_untrained.scale")),
        case,
    );
    let (batches, up) = (golden.values("batches"), golden.tensor("up"));
    let len = up.len();
    let activation = |x: &Tensor| {
        if case.ends_with("relu") { ops::relu(x.clone()) } else { x.clone() }
    };
    let batch = |i: usize| {
        Tensor::from_vec(batches[i * len..][..len].to_vec(), &up.shape(), &Device::cpu())
    };
    for i in 0..6 {
        let x = batch(i).with_grad();
        let y = quantizer.forward(&activation(&x), Mode::Training).unwrap();
        let what = format!("{case}, pass {i}");
        let Grid::Scaled { scale: Scale::PerTensor(scale), .. } = y.grid else {
            unreachable!("one scale")
        };
        assert_equal(&[scale], &golden.values(&format!("{case}.scale_per_step"))[i..=i], &what);
        if i == 0 || i == 5 {
            assert_equal(&y.value.to_vec(), &golden.values(&format!("{case}.y{i}")), &what);
        }
        let mut gradients = y.value.mul(&up).sum().backward();
        if i == 0 || i == 5 {
            let dx = gradients.of(&x).unwrap().to_vec();
            let expected = golden.values(&format!("{case}.gx{i}"));
            // A measured scale passes the sum of all gradients to one element.
            let differ = dx.iter().zip(&expected).filter(|(a, b)| !within(**a, **b, 1)).count();
            assert!(differ <= usize::from(i == 0), "{what}: {differ} gradients differ");
            assert_close(&dx, &expected, 1e-5, &what);
        }
        let parameter = quantizer.learned_mut().unwrap().parameter_mut();
        let dv = parameter.take_gradient(&mut gradients).unwrap().to_vec();
        let expected = golden.values(&format!("{case}.g{i}.scaling_impl.value"))[0];
        // Terms of up to 4 that nearly cancel.
        assert!((dv[0] - expected).abs() <= 1e-5 * expected.abs().max(4.0), "{what}: {dv:?}");
    }
    assert_equal(
        &quantizer.parameter().unwrap().value().to_vec(),
        &golden.values(&format!("{case}.p_end.scaling_impl.value")),
        case,
    );
    let y = quantizer.forward(&activation(&batch(0)), Mode::Evaluation).unwrap().value;
    assert_equal(&[number(&quantizer)], &golden.values(&format!("{case}.eval.scale")), case);
    assert_equal(&y.to_vec(), &golden.values(&format!("{case}.eval.y")), case);
}

#[test]
fn the_measurements_of_the_specification() {
    let config = ActQuantizerConfig::Format {
        format: Format::Integer(IntegerFormat::new(4).unwrap().unsigned().unwrap()),
        scale: ActScale::Learned {
            start: 1.0,
            steps: 2,
            statistic: Statistic::AbsPercentile(99.999),
            granularity: Granularity::PerTensor,
            restriction: Restriction::None,
        },
        gradient: MinifloatGradient::Brevitas,
    };
    let mut quantizer = ActQuantizer::new(&config).unwrap();
    let x = |values: &[f32]| Tensor::from_vec(values.to_vec(), &[values.len()], &Device::cpu());
    let scale = |quantized: Quantized| match quantized.grid {
        Grid::Scaled { scale: Scale::PerTensor(scale), .. } => scale,
        _ => unreachable!("one scale"),
    };
    assert_eq!(number(&quantizer), 1.0 / 15.0);
    // quantizers.md 2.9: maxima of 3 and 5.
    let mut train = |values: &[f32]| quantizer.forward(&x(values), Mode::Training).unwrap();
    assert_eq!(scale(train(&[1.0, 3.0])), 3.0 / 15.0);
    assert_eq!(scale(train(&[5.0, 2.0])), 5.0 / 15.0);
    let mean = 0.9_f32 * 3.0 + 0.1 * 5.0;
    assert_eq!(number(&quantizer), mean / 15.0);
    // The parameter takes over, whatever the tensor.
    let quantized = quantizer.forward(&x(&[9.0, 0.1]), Mode::Training).unwrap();
    assert_eq!(quantized.value.to_vec()[0], mean / 15.0 * 15.0);
    assert_eq!(quantizer.parameter().unwrap().value().to_vec(), [mean]);
    assert!(quantizer.learned().unwrap().is_collected());
}

/// One training pass: scale, values, gradients of their sum.
type Pass = (f32, [f32; 4], [f32; 4]);

#[test]
fn measured_scales_of_minifloats() {
    // Brevitas 0.12.1, PyTorch 2.8.0: QuantIdentity with Fp8e4m3OCPActPerTensorFloat.let(bit_width=5,
    // exponent_bit_width=3, mantissa_bit_width=1, scaling_impl_type=STATS, scaling_stats_op=MAX), without
    // restriction and with restrict_scaling_type=POWER_OF_TWO.
    let batches = [[1.0, -3.0, 0.3, 0.07], [5.0, 0.7, -1.3, 2.2], [0.9, -0.2, 0.55, -0.01]];
    let any: [Pass; 3] = [
        (0.125, [1.0, -3.0, 0.25, 0.0625], [1.0, 1.0, 0.833_333_3, 0.892_857_13]),
        (0.208_333_33, [5.0, 0.625, -1.25, 2.5], [1.0, 0.892_857_2, 0.961_538_5, 1.136_363_6]),
        (
            0.037_499_998,
            [0.9, -0.225, 0.599_999_96, -0.009_374_999],
            [1.0, 1.124_999_9, 1.090_909, 0.937_499_94],
        ),
    ];
    let power_of_two: [Pass; 3] = [
        (0.125, [1.0, -3.0, 0.25, 0.0625], [1.0, 1.0, 0.833_333_3, 0.892_857_13]),
        (0.125, [3.0, 0.75, -1.5, 2.0], [0.600_000_1, 1.071_428_5, 1.153_846_3, 0.909_090_9]),
        (
            0.03125,
            [0.75, -0.1875, 0.5, -0.011_718_75],
            [0.833_333_3, 0.9375, 0.909_090_9, 1.171_875],
        ),
    ];
    for (restriction, start, passes, end) in [
        (Restriction::None, 1.0 / 24.0, any, 0.123_749_98),
        (Restriction::Round, 1.0 / 32.0, power_of_two, 0.125),
    ] {
        let config = ActQuantizerConfig::Format {
            format: "e3m1".parse().unwrap(),
            scale: ActScale::Measured { statistic: Statistic::AbsMax, restriction },
            gradient: MinifloatGradient::Brevitas,
        };
        let mut quantizer = ActQuantizer::new(&config).unwrap();
        assert_eq!(number(&quantizer), start);
        for (batch, (scale, values, slopes)) in batches.into_iter().zip(passes) {
            let x = Tensor::from_vec(batch.to_vec(), &[4], &Device::cpu()).with_grad();
            let y = quantizer.forward(&x, Mode::Training).unwrap();
            let Grid::Scaled { scale: Scale::PerTensor(found), .. } = y.grid else {
                unreachable!("one scale")
            };
            let what = format!("{restriction:?}, {batch:?}");
            assert_equal(&[found], &[scale], &what);
            assert_equal(&y.value.to_vec(), &values, &what);
            let dx = y.value.sum().backward().of(&x).unwrap().to_vec();
            assert_close(&dx, &slopes, 1e-6, &what);
        }
        assert_equal(&[number(&quantizer)], &[end], "evaluation");
        let measured = quantizer.measured().unwrap();
        assert_equal(&[measured.mean()], &[2.969_999_6], "mean");
        assert_eq!((measured.passes(), quantizer.parameter().is_some()), (3, false));
    }
}

#[test]
fn what_a_power_of_two_clips() {
    // The scale and the largest value of e3m1 (24) for a threshold of 5.
    for (restriction, scale) in [
        (Restriction::None, 5.0 / 24.0),
        (Restriction::Round, 4.0 / 32.0),
        (Restriction::Ceil, 8.0 / 16.0),
        (Restriction::Floor, 4.0 / 16.0),
    ] {
        let config = ActQuantizerConfig::Format {
            format: "e3m1".parse().unwrap(),
            scale: ActScale::Measured { statistic: Statistic::AbsMax, restriction },
            gradient: MinifloatGradient::Brevitas,
        };
        let mut quantizer = ActQuantizer::new(&config).unwrap();
        let x = Tensor::from_vec(vec![5.0, -0.5], &[2], &Device::cpu());
        let y = quantizer.forward(&x, Mode::Training).unwrap().value.to_vec();
        assert_eq!(number(&quantizer), scale, "{restriction:?}");
        assert_eq!(y[0], if restriction == Restriction::Round { 3.0 } else { y[0].max(4.0) });
    }
}
