//! Quantized biases and truncated average pooling against Brevitas.

use fewbit_formats::{Format, IntegerFormat, RoundingMode};
use fewbit_nn::ops::{self, Grid, Quantized, Scale, Truncation};
use fewbit_nn::quantizer::{
    ActQuantizer, ActQuantizerConfig, ActScale, BiasQuantizer, Granularity, MinifloatGradient,
    Mode, Restriction, Statistic, WeightQuantizer, WeightQuantizerConfig,
};
use fewbit_nn::{Device, Tensor};

use crate::golden::{Golden, assert_close, assert_equal, assert_ulps, gradient};

/// Unsigned integers with a learned scale that starts here.
fn unsigned(bits: u32, start: f32) -> ActQuantizer {
    let scale = ActScale::Learned {
        start,
        steps: 0,
        statistic: Statistic::AbsMax,
        granularity: Granularity::PerTensor,
        restriction: Restriction::None,
    };
    let format = Format::Integer(IntegerFormat::new(bits).unwrap().unsigned().unwrap());
    let gradient = MinifloatGradient::Brevitas;
    ActQuantizer::new(&ActQuantizerConfig::Format { format, scale, gradient }).unwrap()
}

fn number(quantized: &Quantized) -> f32 {
    match quantized.grid {
        Grid::Scaled { scale: Scale::PerTensor(scale), .. } => scale,
        _ => unreachable!("one scale"),
    }
}

#[test]
fn a_bias_has_the_scale_of_the_sums() {
    let Some(golden) = Golden::whole("b_int_trunc_bias_misc.npz") else { return };
    let leaf = |name: &str| golden.tensor(&format!("int32bias.{name}")).with_grad();
    let (w, b, x) = (leaf("w"), leaf("b"), leaf("x"));
    let input = unsigned(8, 1.7).forward(&x, Mode::Training).unwrap();
    let format = Format::Integer(IntegerFormat::new(8).unwrap().with_narrow_range().unwrap());
    let config = WeightQuantizerConfig::absmax(format, Granularity::PerTensor);
    let weight = WeightQuantizer::new(&config).unwrap().forward(&w).unwrap();
    let bias = BiasQuantizer::int32().unwrap().forward(&b, &input, &weight).unwrap();
    let expected = golden.values("int32bias.y_scale");
    assert_equal(&[number(&input) * number(&weight)], &expected, "scale");
    let y = ops::linear(&input, &weight, Some(&bias)).unwrap();
    // Brevitas adds products of dequantized values, we add integers.
    assert_close(&y.to_vec(), &golden.values("int32bias.y"), 1e-6, "y");
    let gradients = y.mul(&golden.tensor("int32bias.up")).sum().backward();
    for (name, leaf) in [("gx", &x), ("gw", &w), ("gb", &b)] {
        let found = gradients.of(leaf).unwrap().to_vec();
        assert_close(&found, &golden.values(&format!("int32bias.{name}")), 1e-5, name);
    }
    let plain = Quantized::plain(x);
    let error = BiasQuantizer::int32().unwrap().forward(&b, &plain, &weight).unwrap_err();
    assert!(error.to_string().contains("the input must be quantized"), "{error}");
}

#[test]
fn truncated_means() {
    let Some(golden) = Golden::whole("b_int_trunc_bias_misc.npz") else { return };
    let cases = golden.cases(".in_scale");
    for case in &cases {
        let parts: Vec<&str> = case.split('.').collect();
        let [to, bits, size, mode] = parts[..] else { unreachable!("{case}") };
        let left: u32 = to["TruncTo".len()..to.len() - 3].parse().unwrap();
        let (bits, size): (u32, usize) = (bits[2..].parse().unwrap(), size[1..].parse().unwrap());
        let rounding_mode = match mode {
            "ROUND" => RoundingMode::HalfEven,
            "FLOOR" => RoundingMode::Floor,
            "CEIL" => RoundingMode::Ceil,
            _ => RoundingMode::Down,
        };
        let x = golden.tensor("trunc.x").with_grad();
        let input = unsigned(bits, 3.3).forward(&ops::relu(x.clone()), Mode::Training).unwrap();
        assert_equal(&[number(&input)], &golden.values(&format!("{case}.in_scale")), case);
        let mean = ops::average_pool(&input.value, size).unwrap();
        let area = (size * size) as f32;
        let sum_bits = (((1 << bits) - 1) as f32 * area).log2().ceil() as u32;
        let truncation = Truncation {
            scale: number(&input) / area,
            divisor: (sum_bits.saturating_sub(left) as f32).exp2(),
            rounding_mode,
            min: 0.0,
            max: ((1 << left) - 1) as f32,
        };
        let y = ops::truncate(mean, truncation);
        // With fewer bits than are left, Brevitas makes a finer scale: the values are the same, rounded
        // in another place.
        let expected = golden.values(&format!("{case}.y"));
        assert_ulps(&y.to_vec(), &expected, if sum_bits < left { 1 } else { 0 }, case);
        if size == 4 && golden.cases(".gx").contains(case) {
            let ones = Tensor::full(1.0, &y.shape(), &Device::cpu());
            let dx = gradient(y, &ones, &x);
            assert_ulps(&dx, &golden.values(&format!("{case}.gx")), 2, case);
        }
    }
    assert_eq!(cases.len(), 72);
}

/// The slope of a result that is `code * scale` where it is clipped, and moves by the rounding error alone
/// where it is not.
#[test]
fn the_scale_of_a_truncation_has_a_gradient() {
    let scale = Tensor::full(0.25, &[1], &Device::cpu()).with_grad();
    let truncation = Truncation {
        scale: 0.25,
        divisor: 4.0,
        rounding_mode: RoundingMode::Floor,
        min: 0.0,
        max: 15.0,
    };
    // 7 units of 4 are 1.75 quarters: rounded down to 1. 100 units are clipped to 15.
    for (x, y, slope) in [(1.75, 1.0, 4.0 * (1.0 - 1.75)), (2.0, 2.0, 0.0), (25.0, 15.0, 60.0)] {
        let x = Tensor::full(x, &[1], &Device::cpu()).with_grad();
        let found = ops::truncate_scaled(x.clone(), &scale, truncation);
        assert_eq!(found.to_vec(), [y]);
        assert_eq!(found.sum().backward().of(&scale).unwrap().to_vec(), [slope]);
    }
}
