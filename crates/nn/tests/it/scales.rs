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
