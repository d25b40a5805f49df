//! Layers that are computed as one against the same layers one after the other.

use fewbit_nn::config::Architecture;
use fewbit_nn::network::Taps;
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor, ops};

/// The logits of both passes, and the gradients of the parameters by name.
struct Step {
    trained: Vec<f32>,
    gradients: Vec<(String, Vec<f32>)>,
    evaluated: Vec<f32>,
}

/// A training step and an evaluation; with `taps` every layer is computed on its own.
fn step(name: &str, mut taps: impl FnMut() -> Taps) -> Step {
    let mut config = NetworkConfig::named(name).unwrap();
    if let Architecture::Resnet18Integer { collection_steps, .. } = &mut config.architecture {
        // Scales are learned from the first step on.
        *collection_steps = 0;
    }
    let mut network = Network::new(&config, 5, &Device::cpu()).unwrap();
    let [c, h, w] = config.image_shape;
    let pixels = (0..3 * c * h * w).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
    let images = Tensor::from_vec(pixels, &[3, c, h, w], &Device::cpu());
    let pass = Pass::Training { step: 0 };
    let logits = network.forward_tapped(&images, pass, &mut taps()).unwrap();
    let trained = logits.to_vec();
    let mut gradients = ops::square_hinge_loss(&logits, &[1, 7, 4]).unwrap().backward();
    let gradients = network.parameters_mut().into_iter().map(|(name, parameter)| {
        let gradient = parameter.take_gradient(&mut gradients);
        (name, gradient.map_or(Vec::new(), |gradient| gradient.to_vec()))
    });
    let gradients = gradients.collect();
    let evaluated = network.forward_tapped(&images, Pass::Evaluation, &mut taps()).unwrap();
    Step { trained, gradients, evaluated: evaluated.to_vec() }
}

#[test]
fn fused_layers_have_the_bits_of_single_ones() {
    let names =
        ["RESNET18_8W8A_FLOAT_E4M3", "RESNET18_4W4A", "RESNET18_32W32A_FLOAT_E8M23", "CNV_2W2A"];
    for name in names {
        let fused = step(name, Taps::none);
        let single = step(name, Taps::all);
        assert_eq!(fused.trained, single.trained, "{name}: logits in training");
        assert_eq!(fused.evaluated, single.evaluated, "{name}: logits in evaluation");
        assert!(
            fused.gradients.iter().any(|(_, gradient)| gradient.iter().any(|v| *v != 0.0)),
            "{name}"
        );
        for ((path, found), (_, expected)) in fused.gradients.iter().zip(&single.gradients) {
            assert_eq!(found.len(), expected.len(), "{name}: {path}");
            let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            // Only sums for learned scales are added in another order.
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() <= 1e-5 * largest,
                    "{name}: {path} {found} {expected}"
                );
            }
        }
    }
}
