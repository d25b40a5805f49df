//! Minifloat quantizers against Brevitas.

use fewbit_formats::{FloatFormat, Format, ReservedCodes};
use fewbit_nn::ops::{self, Rule};
use fewbit_nn::quantizer::{
    ActQuantizer, ActQuantizerConfig, ActScale, Granularity, MinifloatGradient, Mode, Restriction,
    Statistic, WeightQuantizer, WeightQuantizerConfig,
};
use fewbit_nn::{Device, Tensor};

use crate::golden::{
    Golden, assert_bits, assert_close, assert_equal, assert_ulps, gradient, within,
};

/// How far gradients of one element may be apart.
const ULPS: u32 = 4;

/// Reads `e4m3_u_plain`.
fn format(name: &str) -> FloatFormat {
    let mut parts = name.split('_');
    let (e, m) = parts.next().unwrap()[1..].split_once('m').unwrap();
    let mut format = FloatFormat::new(e.parse().unwrap(), m.parse().unwrap()).unwrap();
    let (signed, codes) = (parts.next(), parts.next());
    if signed == Some("u") {
        format = format.unsigned().unwrap();
    }
    if codes == Some("plain") {
        format = format.with_reserved(ReservedCodes::None).unwrap();
    }
    format
}

fn ones(like: &Tensor) -> Tensor {
    Tensor::full(1.0, &like.shape(), &like.device())
}

#[test]
fn unscaled_activations_to_the_bit() {
    for golden in Golden::both("a_float_act_unscaled.npz") {
        let cases = golden.cases(".x");
        for case in &cases {
            let config = ActQuantizerConfig::unscaled(Format::Float(format(case)));
            let mut quantizer = ActQuantizer::new(&config).unwrap();
            let (mut x, mut expected) =
                (golden.values(&format!("{case}.x")), golden.values(&format!("{case}.y")));
            let mut slopes = golden.values(&format!("{case}.gx"));
            // The largest f32 rounds to 2^128, infinity, in formats without mantissa bits: NaN there.
            for i in (0..x.len()).rev() {
                if x[i].abs() == f32::MAX && expected[i].is_nan() {
                    let values = [&mut x, &mut expected, &mut slopes];
                    for values in values {
                        values.remove(i);
                    }
                }
            }
            let shape = [x.len()];
            let x = Tensor::from_vec(x, &shape, &Device::cpu()).with_grad();
            let y = quantizer.forward(&x, Mode::Training).unwrap().value;
            assert_bits(&y.to_vec(), &expected, case);
            let dx = gradient(y, &ones(&x), &x);
            assert_ulps(&dx, &slopes, ULPS, case);
        }
        golden.expect(cases.len(), 144, 10);
    }
}

#[test]
fn learned_scales_to_the_bit() {
    for golden in Golden::both("a_float_act_scaled.npz") {
        let cases = golden.cases(".fin.x");
        for case in &cases {
            let scale = ActScale::Learned {
                start: 2.7,
                steps: 0,
                statistic: Statistic::AbsMax,
                granularity: Granularity::PerTensor,
                restriction: Restriction::None,
            };
            let config = ActQuantizerConfig::Format {
                format: Format::Float(format(case)),
                scale,
                gradient: MinifloatGradient::Brevitas,
            };
            let mut quantizer = ActQuantizer::new(&config).unwrap();
            let x = golden.tensor(&format!("{case}.fin.x")).with_grad();
            let y = quantizer.forward(&x, Mode::Training).unwrap();
            let up = golden.tensor(&format!("{case}.fin.up"));
            assert_equal(&y.value.to_vec(), &golden.values(&format!("{case}.fin.y")), case);
            let mut gradients = y.value.mul(&up).sum().backward();
            let dx = gradients.of(&x).unwrap().to_vec();
            assert_ulps(&dx, &golden.values(&format!("{case}.fin.gx")), ULPS, case);
            let learned = quantizer.learned_mut().unwrap().parameter_mut();
            let dv = learned.take_gradient(&mut gradients).unwrap().to_vec();
            let expected = golden.values(&format!("{case}.fin.g_value"));
            // Inputs that overflow in the division give NaN there.
            if expected[0].is_finite() {
                assert_close(&dv, &expected, 1e-5, case);
            }
            // Inputs that are not finite, and a gradient of ones.
            let x = golden.tensor(&format!("{case}.x")).with_grad();
            let y = quantizer.forward(&x, Mode::Training).unwrap().value;
            assert_equal(&y.to_vec(), &golden.values(&format!("{case}.y")), case);
            let dx = gradient(y, &ones(&x), &x);
            assert_ulps(&dx, &golden.values(&format!("{case}.gx")), ULPS, case);
        }
        golden.expect(cases.len(), 72, 2);
    }
}

#[test]
fn weights_to_the_bit() {
    for golden in Golden::both("a_float_weight.npz") {
        let cases = golden.cases(".gw");
        let up = golden.tensor("up");
        for case in &cases {
            let format = Format::Float(format(case.split('_').next().unwrap()));
            let config = match case.split_once('_').unwrap().1 {
                "none" => WeightQuantizerConfig::unscaled(format),
                "tensor" => WeightQuantizerConfig::absmax(format, Granularity::PerTensor),
                _ => WeightQuantizerConfig::absmax(format, Granularity::PerChannel),
            };
            let w = golden.tensor("w").with_grad();
            let y = WeightQuantizer::new(&config).unwrap().forward(&w).unwrap();
            assert_bits(&y.value.to_vec(), &golden.values(&format!("{case}.y")), case);
            let (dw, expected) = (gradient(y.value, &up, &w), golden.values(&format!("{case}.gw")));
            assert_but_for_largest(&w, &dw, &expected, case);
        }
        golden.expect(cases.len(), 108, 4);
    }
}

/// The element that a scale comes from has a sum in its gradient.
fn assert_but_for_largest(w: &Tensor, dw: &[f32], expected: &[f32], case: &str) {
    let channel = w.len() / w.shape()[0];
    for (i, w) in w.to_vec().chunks(channel).enumerate() {
        let largest = w.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (j, w) in w.iter().enumerate() {
            let (g, e) = (dw[i * channel + j], expected[i * channel + j]);
            let near = w.abs() == largest && (g - e).abs() <= 1e-5 * e.abs().max(1.0);
            assert!(within(g, e, ULPS) || near, "{case}, channel {i}, element {j}: {g} not {e}");
        }
    }
}

#[test]
fn named_classes() {
    for golden in Golden::both("a_float_named.npz") {
        let mut compared = 0;
        for case in golden.cases(".scale") {
            let Some((format, class)) = class(&case) else { continue };
            let config = match class {
                "Weight" => WeightQuantizerConfig::unscaled(format),
                "WeightPerTensorFloat" => {
                    WeightQuantizerConfig::absmax(format, Granularity::PerTensor)
                }
                _ => WeightQuantizerConfig::absmax(format, Granularity::PerChannel),
            };
            let w = golden.tensor("w").with_grad();
            let y = WeightQuantizer::new(&config).unwrap().forward(&w).unwrap();
            assert_bits(&y.value.to_vec(), &golden.values(&format!("{case}.y")), &case);
            let dw = gradient(y.value, &golden.tensor("up_w"), &w);
            assert_but_for_largest(&w, &dw, &golden.values(&format!("{case}.gw")), &case);
            compared += 1;
        }
        for case in golden.cases(".scale_train") {
            let Some((format, class)) = class(&case) else { continue };
            activations(&golden, &case, format, class);
            compared += 1;
        }
        golden.expect(compared, 32, 2);
    }
}

/// Reads `fnuz.Fp8e4m3FNUZActPerTensorFloat`; scales that are searched for are not ours.
fn class(case: &str) -> Option<(Format, &str)> {
    let (family, class) = case.split_once('.').unwrap();
    let class = class.strip_prefix("Fp8").unwrap();
    let reserved = match family {
        "plain" => Some(ReservedCodes::None),
        "fnuz" => Some(ReservedCodes::Fnuz),
        _ => None,
    };
    let mut float = format(&class[..4]);
    if let Some(reserved) = reserved {
        float = float.with_reserved(reserved).unwrap();
    }
    let rest = class[4..].trim_start_matches("OCP").trim_start_matches("FNUZ");
    (!rest.ends_with("MSE")).then_some((Format::Float(float), rest))
}

/// Three training passes, two of which measure, then evaluation.
fn activations(golden: &Golden, case: &str, format: Format, class: &str) {
    let config = if class == "Act" {
        ActQuantizerConfig::unscaled(format)
    } else {
        let granularity = match class {
            "ActPerTensorFloat" => Granularity::PerTensor,
            _ => Granularity::PerChannel,
        };
        let scale = ActScale::Learned {
            start: 1.0,
            steps: 2,
            statistic: Statistic::AbsMax,
            granularity,
            restriction: Restriction::None,
        };
        ActQuantizerConfig::Format { format, scale, gradient: MinifloatGradient::Brevitas }
    };
    let mut quantizer = ActQuantizer::new(&config).unwrap();
    let (batches, expected) =
        (golden.values("act_batches"), golden.values(&format!("{case}.y_train")));
    let len = batches.len() / 3;
    let batch = |i: usize| {
        let values = batches[i * len..(i + 1) * len].to_vec();
        Tensor::from_vec(values, &[4, 5, 8, 8], &Device::cpu())
    };
    for i in 0..3 {
        let x = batch(i).with_grad();
        let y = quantizer.forward(&x, Mode::Training).unwrap().value;
        let what = format!("{case}, pass {i}");
        assert_bits(&y.to_vec(), &expected[i * len..(i + 1) * len], &what);
        let mut gradients = y.sum().backward();
        let own = quantizer
            .learned_mut()
            .map(|learned| learned.parameter_mut().take_gradient(&mut gradients).unwrap().to_vec());
        if i < 2 {
            assert!(own.is_none_or(|g| g.iter().all(|&v| v == 0.0)), "{what}");
            continue;
        }
        let dx = gradients.of(&x).unwrap().to_vec();
        assert_ulps(&dx, &golden.values(&format!("{case}.gx2")), ULPS, &what);
        if let Some(own) = own {
            assert_close(&own, &golden.values(&format!("{case}.g.value")), 1e-5, &what);
        }
    }
    let y = quantizer.forward(&batch(0), Mode::Evaluation).unwrap().value;
    assert_bits(&y.to_vec(), &golden.values(&format!("{case}.y_eval0")), case);
}

#[test]
fn the_straight_through_gradient_is_one_inside() {
    let x = Tensor::from_vec(vec![0.3, -1.3, 25.0, 27.9, 28.0, -40.0, 0.0], &[7], &Device::cpu())
        .with_grad();
    let rule = |gradient| Rule::Minifloat { format: format("e3m1"), gradient };
    let run = |gradient| {
        ops::fake_quantize(x.clone(), 1.0, rule(gradient)).sum().backward().of(&x).unwrap().to_vec()
    };
    assert_eq!(run(MinifloatGradient::Ste), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    let brevitas = run(MinifloatGradient::Brevitas);
    assert_eq!(brevitas, [0.25 / 0.3, 1.5 / 1.3, 0.96, 24.0 / 27.9, 0.0, 0.0, 1.0]);
}
