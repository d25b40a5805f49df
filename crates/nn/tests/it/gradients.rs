//! Gradients of whole networks against PyTorch's.

use std::collections::BTreeMap;

use fewbit_data::npz::NpzArchive;
use fewbit_nn::config::Architecture;
use fewbit_nn::network::{StateTensor, Strictness};
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor, ops};

use crate::golden::{assert_close, shared};

#[test]
fn the_first_step_of_fully_connected_networks() {
    let Some(shared) = shared() else { return };
    let mut compared = 0;
    for (file, name) in [("tfc_1w1a", "TFC_1W1A"), ("tfc_2w2a", "TFC_2W2A")] {
        let golden = NpzArchive::open(&shared.join(format!("golden/e_traj_{file}.npz"))).unwrap();
        let read = |name: &str| golden.read(name).unwrap().into_vec::<f32>().unwrap();
        let mut config = NetworkConfig::named(name).unwrap();
        let Architecture::Fc { dropout, .. } = &mut config.architecture else {
            unreachable!("{name} is fully connected")
        };
        *dropout = 0.0;
        let mut network = Network::new(&config, 1, &Device::cpu()).unwrap();
        let state: BTreeMap<String, StateTensor> = network
            .state()
            .into_iter()
            .map(|(name, own)| {
                let array = golden.read(&format!("s0.{name}")).unwrap();
                let tensor = match array.into_vec::<f32>() {
                    Ok(values) => StateTensor::f32(&own.shape, values),
                    Err(array) => StateTensor::counter(array.into_vec::<i64>().unwrap()[0]),
                };
                (name, tensor)
            })
            .collect();
        network.load_state(&state, Strictness::Strict).unwrap();
        let pixels = golden.read("batches_u8").unwrap().into_vec::<u8>().unwrap();
        let images = pixels[..100 * 784].iter().map(|&p| f32::from(p) / 255.0).collect();
        let images = Tensor::from_vec(images, &[100, 1, 28, 28], &Device::cpu());
        let labels = golden.read("labels").unwrap().into_vec::<i64>().unwrap();
        let labels: Vec<u8> = labels[..100].iter().map(|&l| u8::try_from(l).unwrap()).collect();
        let logits = network.forward(&images, Pass::Training { step: 0 }).unwrap();
        let mut gradients = ops::square_hinge_loss(&logits, &labels).unwrap().backward();
        for (name, parameter) in network.parameters_mut() {
            let gradient = parameter.take_gradient(&mut gradients).unwrap().to_vec();
            assert_close(&gradient, &read(&format!("s0.grad.{name}")), 1e-5, &name);
            compared += 1;
        }
    }
    assert_eq!(compared, 24);
}
