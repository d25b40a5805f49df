//! Integer, bipolar and ternary quantizers against Brevitas.

use fewbit_formats::{Format, IntegerFormat};
use fewbit_nn::ops::{self, Outside, Rule};
use fewbit_nn::quantizer::{
    ActQuantizer, ActQuantizerConfig, ActScale, Granularity, MinifloatGradient, Mode, Restriction,
    Statistic, WeightQuantizer, WeightQuantizerConfig, WeightScale,
};

use crate::golden::{Golden, assert_close, assert_equal, assert_ulps, gradient, within};

/// Reads the bits of `Int8WeightPerTensorFloat.b4.c`.
fn bits(case: &str) -> u32 {
    case.split(".b").nth(1).and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(4)
}

fn ternary() -> Format {
    Format::Integer(IntegerFormat::new(2).unwrap().with_narrow_range().unwrap())
}

fn weight_quantizer(case: &str) -> Option<WeightQuantizerConfig> {
    let class = case.split('.').next()?;
    let int = IntegerFormat::new(bits(case)).unwrap();
    let narrow = || Format::Integer(int.with_narrow_range().unwrap());
    let fixed_point = |granularity| WeightQuantizerConfig::Format {
        format: narrow(),
        scale: WeightScale::AbsMax { granularity, restriction: Restriction::Ceil },
        gradient: MinifloatGradient::Brevitas,
    };
    let constant = |format| WeightQuantizerConfig::Format {
        format,
        scale: WeightScale::Constant(0.1),
        gradient: MinifloatGradient::Brevitas,
    };
    Some(match class {
        "Int8WeightPerTensorFloat" => {
            WeightQuantizerConfig::absmax(narrow(), Granularity::PerTensor)
        }
        "Int8WeightPerChannelFloat" => {
            WeightQuantizerConfig::absmax(narrow(), Granularity::PerChannel)
        }
        "Int8WeightPerTensorFloat_wide" => {
            WeightQuantizerConfig::absmax(Format::Integer(int), Granularity::PerTensor)
        }
        "Int8WeightPerTensorFixedPoint" => fixed_point(Granularity::PerTensor),
        "Int8WeightPerChannelFixedPoint" => fixed_point(Granularity::PerChannel),
        "CommonWeightQuant" => WeightQuantizerConfig::common(bits(case)),
        // Two bits, not a threshold.
        "SignedTernaryWeightPerTensorConst" => constant(ternary()),
        // Zero points, scales that are searched for, and a class that changes the weight.
        _ => return None,
    })
}

#[test]
fn weights() {
    for golden in Golden::both("b_int_weight.npz") {
        let mut compared = 0;
        for case in golden.cases(".gw") {
            let Some(config) = weight_quantizer(&case) else { continue };
            let layer = case.rsplit('.').next().unwrap();
            let w = golden.tensor(&format!("w{layer}")).with_grad();
            let y = WeightQuantizer::new(&config).unwrap().forward(&w).unwrap();
            assert_equal(&y.value.to_vec(), &golden.values(&format!("{case}.y")), &case);
            let scale = WeightQuantizer::new(&config).unwrap().scale(&w).unwrap();
            let scale = match scale {
                ops::Scale::PerTensor(scale) => vec![scale],
                ops::Scale::PerChannel(scales) => scales.to_vec(),
            };
            assert_equal(&scale, &golden.values(&format!("{case}.scale")), &case);
            let dw = gradient(y.value, &golden.tensor(&format!("up{layer}")), &w);
            let expected = golden.values(&format!("{case}.gw"));
            // The elements that scales come from have sums in their gradients.
            assert_close(&dw, &expected, 1e-5, &case);
            let differ = dw.iter().zip(&expected).filter(|(a, b)| !within(**a, **b, 1)).count();
            assert!(differ <= w.shape()[0], "{case}: {differ} elements differ");
            compared += 1;
        }
        golden.expect(compared, 78, 4);
    }
}

fn act_quantizer(case: &str) -> Option<(ActQuantizerConfig, bool)> {
    let mut parts = case.split('.');
    let class = parts.next()?;
    let int = IntegerFormat::new(bits(case)).unwrap();
    let uint = int.unsigned().unwrap();
    let learned = |format, start, restriction| {
        let scale = ActScale::Learned {
            start,
            steps: 0,
            statistic: Statistic::AbsMax,
            granularity: Granularity::PerTensor,
            restriction,
        };
        let format = Format::Integer(format);
        ActQuantizerConfig::Format { format, scale, gradient: MinifloatGradient::Brevitas }
    };
    let unscaled = ActQuantizerConfig::unscaled;
    let config = match class {
        "CommonActQuant" if case.ends_with("q1.7") => ActQuantizerConfig::pixels(8).unwrap(),
        "CommonActQuant" => ActQuantizerConfig::common(bits(case)),
        "SignedBinaryActPerTensorConst" => unscaled(Format::Bipolar),
        "SignedTernaryActPerTensorConst" => unscaled(ternary()),
        "Int8ActPerTensorFloatMinMaxInit" => learned(int, 1.7, Restriction::None),
        "Uint8ActPerTensorFloatMaxInit" | "Uint8ActMaxInit_relu" => {
            learned(uint, 1.7, Restriction::None)
        }
        "Uint8ActPerTensorFixedPointMaxInit" => learned(uint, 1.7, Restriction::Round),
        "Int4MinMaxInit" if case.ends_with("_ROUND") => learned(int, 1.75, Restriction::None),
        // Other roundings.
        _ => return None,
    };
    Some((config, class.ends_with("_relu")))
}

#[test]
fn activations() {
    for golden in Golden::both("b_int_act.npz") {
        let mut compared = 0;
        for case in golden.cases(".gx") {
            let Some((config, relu)) = act_quantizer(&case) else { continue };
            let mut quantizer = ActQuantizer::new(&config).unwrap();
            let x = golden.tensor("x").with_grad();
            let input = if relu { ops::relu(x.clone()) } else { x.clone() };
            let y = quantizer.forward(&input, Mode::Training).unwrap().value;
            assert_equal(&y.to_vec(), &golden.values(&format!("{case}.y")), &case);
            let dx = gradient(y, &golden.tensor("up"), &x);
            assert_ulps(&dx, &golden.values(&format!("{case}.gx")), 1, &case);
            let names = golden.cases(".fin.g.value");
            if names.contains(&case) {
                let mut quantizer = ActQuantizer::new(&config).unwrap();
                let (x, up) = finite(&golden);
                let input = if relu { ops::relu(x) } else { x };
                let y = quantizer.forward(&input, Mode::Training).unwrap().value;
                let mut gradients = y.mul(&up).sum().backward();
                let parameter = quantizer.learned_mut().unwrap().parameter_mut();
                let mut dv = parameter.take_gradient(&mut gradients).unwrap().item();
                if case.contains("FixedPoint") {
                    // Their parameter is the logarithm: dv / dlog2(v) = v ln 2.
                    dv *= 1.7 * std::f32::consts::LN_2;
                }
                let expected = golden.values(&format!("{case}.fin.g.value"));
                assert_close(&[dv], &expected, 1e-5, &case);
            }
            compared += 1;
        }
        golden.expect(compared, 37, 3);
    }
}

/// The inputs that are finite and below 1e30, and their upstream gradients.
fn finite(golden: &Golden) -> (fewbit_nn::Tensor, fewbit_nn::Tensor) {
    let (x, up) = (golden.values("x"), golden.values("up"));
    let keep: Vec<usize> = (0..x.len()).filter(|&i| x[i].abs() < 1e30).collect();
    let take = |values: &[f32]| {
        let values: Vec<f32> = keep.iter().map(|&i| values[i]).collect();
        fewbit_nn::Tensor::from_vec(values, &[keep.len()], &fewbit_nn::Device::cpu())
    };
    (take(&x), take(&up))
}

#[test]
fn bare_functions() {
    for golden in Golden::both("b_int_trunc_bias_misc.npz") {
        let cases = golden.cases(".gx");
        let cases: Vec<_> = cases.into_iter().filter(|case| case.starts_with("core.")).collect();
        for case in &cases {
            let (rule, scale) = match case.split('.').nth(1).unwrap() {
                "TernaryQuant" => (Rule::Ternary { threshold: 0.5 }, 1.3),
                "BinaryQuant" => (Rule::Bipolar { outside: Outside::Pass }, 0.7),
                _ => (Rule::Bipolar { outside: Outside::Block }, 0.7),
            };
            let x = golden.tensor(&format!("{case}.x")).with_grad();
            let y = ops::fake_quantize(x.clone(), scale, rule);
            assert_equal(&y.to_vec(), &golden.values(&format!("{case}.y")), case);
            let dx = gradient(y, &golden.tensor(&format!("{case}.up")), &x);
            assert_equal(&dx, &golden.values(&format!("{case}.gx")), case);
        }
        golden.expect(cases.len(), 3, 3);
    }
}
