use fewbit_nn::NetworkConfig;
use fewbit_nn::network::Layer;
use serde_json::Value;

use super::*;

/// Made by the script of the same name.
const GOLDEN: &str = include_str!("../../tests/golden/optimizer_steps.json");

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn parameter(shape: &[usize], values: Vec<f32>) -> Parameter {
    Parameter::new(Tensor::from_vec(values, shape, &Device::cpu()), Clipping::None)
}

fn recipe() -> Recipe {
    Recipe::new(NetworkConfig::named("TFC_2W2A").unwrap())
}

/// PyTorch fuses some multiplications and additions: so much, relative to the largest value, is rounding.
const ROUNDING: f32 = 1e-6;

#[test]
fn steps_are_pytorchs() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut compared = 0;
    for case in golden["steps"].as_array().unwrap() {
        let setting = |name: &str| case[name].as_f64().unwrap_or_default();
        let recipe = Recipe {
            optim: case["optim"].as_str().unwrap().parse().unwrap(),
            lr: setting("lr"),
            momentum: setting("momentum"),
            nesterov: case["nesterov"] == true,
            weight_decay: setting("weight_decay"),
            ..recipe()
        };
        recipe.validate().unwrap();
        let mut optimizer = Optimizer::new(&recipe);
        let mut weight = parameter(&[8], numbers(&golden["start"]));
        let gradients = golden["gradients"].as_array().unwrap();
        let values = case["values"].as_array().unwrap();
        assert_eq!(gradients.len(), values.len());
        for (gradient, expected) in gradients.iter().zip(values) {
            let gradient = Tensor::from_vec(numbers(gradient), &[8], &Device::cpu());
            optimizer.change("w", &mut weight, &gradient, recipe.lr);
            for (own, expected) in weight.value().to_vec().iter().zip(numbers(expected)) {
                let difference = (own - expected).abs();
                assert!(difference <= ROUNDING * expected.abs().max(1.0), "{case}: {own}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 8 * 6 * 8);
}

#[test]
fn averages_are_pytorchs() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut compared = 0;
    for case in golden["averages"].as_array().unwrap() {
        let decay = case["decay"].as_f64().unwrap();
        for (of, average_of) in
            [("weights", "average_of_weights"), ("running_means", "average_of_running_means")]
        {
            let mut average: Option<Vec<f32>> = None;
            let steps = case[of].as_array().unwrap().iter();
            for (now, expected) in steps.zip(case[average_of].as_array().unwrap()) {
                match &mut average {
                    None => average = Some(numbers(now)),
                    Some(average) => ops::average(average, &numbers(now), decay),
                }
                for (own, expected) in average.as_ref().unwrap().iter().zip(numbers(expected)) {
                    assert!((own - expected).abs() <= ROUNDING, "{decay} {of}: {own}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 2 * 2 * 6 * 8);
}

/// One step without gradients: what decays gets smaller, nothing else moves.
#[test]
fn weights_alone_decay_if_asked_to() {
    let cases: [(&str, &[usize], bool); 5] = [
        ("conv1.weight", &[2, 1, 1, 1], true),
        ("features.2.weight", &[1, 2], true),
        ("features.3.weight", &[2], false),
        ("linear.bias", &[2], false),
        ("relu.act_quant.scaling_impl.value", &[2], false),
    ];
    for optim in Optim::ALL {
        for weight_decay_on in Decayed::ALL {
            let recipe = Recipe { optim, weight_decay: 0.5, weight_decay_on, ..recipe() };
            let mut optimizer = Optimizer::new(&recipe);
            for (name, shape, is_weight) in cases {
                let mut own = parameter(shape, vec![1.0, -2.0]);
                let none = Tensor::zeros(shape, &Device::cpu());
                optimizer.change(name, &mut own, &none, 0.1);
                let decays = is_weight || weight_decay_on == Decayed::All;
                let values = own.value().to_vec();
                assert_eq!(values != [1.0, -2.0], decays, "{optim} {name}: {values:?}");
                assert!(values[0].abs() <= 1.0 && values[1].abs() <= 2.0);
            }
        }
    }
}

/// In every family of networks: exactly the weights of convolutions and linear layers.
#[test]
fn weights_are_told_from_the_rest() {
    for name in ["TFC_2W2A", "CNV_1W1A", "RESNET18_4W4A", "RESNET18_4W4A_FLOAT_E2M1"] {
        let mut network =
            Network::new(&NetworkConfig::named(name).unwrap(), 1, &Device::cpu()).unwrap();
        let expected: Vec<String> = network
            .leaves()
            .into_iter()
            .filter(|leaf| matches!(leaf.layer, Layer::Linear(_) | Layer::Conv2d(_)))
            .map(|leaf| format!("{}.weight", leaf.name))
            .collect();
        let parameters = network.parameters_mut();
        let others = parameters.iter().filter(|(name, own)| !is_weight(name, own)).count();
        assert!(others > 0, "{name}");
        let decayed = parameters.into_iter().filter(|(name, own)| is_weight(name, own));
        assert_eq!(decayed.map(|(name, _)| name).collect::<Vec<_>>(), expected, "{name}");
    }
}
