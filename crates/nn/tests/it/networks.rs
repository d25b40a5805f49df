//! Whole networks: their sizes, and the outputs of Brevitas.

use std::collections::BTreeMap;

use fewbit_data::npz::NpzArchive;
use fewbit_nn::config::{
    ActScaling, ActStatistic, Architecture, FormatName, OutputNorm, WeightScaling,
};
use fewbit_nn::network::{StateTensor, Strictness, Taps};
use fewbit_nn::quantizer::Restriction;
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor, ops};
use safetensors::{Dtype, SafeTensors};

use crate::golden::{assert_equal, shared};

fn config(name: &str) -> NetworkConfig {
    NetworkConfig::named(name).unwrap()
}

/// The same network with fewer channels.
fn narrow(name: &str, channels: [usize; 4]) -> NetworkConfig {
    let mut config = config(name);
    let Architecture::Resnet18 { widths, .. } = &mut config.architecture else {
        unreachable!("{name} is a ResNet")
    };
    *widths = channels.to_vec();
    config
}

#[test]
fn parameters_and_entries_are_counted_as_published() {
    let cases = [
        ("TFC_2W2A", 59_394, 23),
        ("SFC_1W1A", 335_874, 23),
        ("LFC_1W2A", 2_916_354, 23),
        ("CNV_1W1A", 1_546_690, 53),
        ("RESNET18_5W5A_FLOAT_E3M1", 11_173_962, 122),
        ("RESNET18_4W4A", 11_173_982, 122),
    ];
    for (name, parameters, entries) in cases {
        let network = Network::new(&config(name), 1, &Device::cpu()).unwrap();
        assert_eq!(network.parameter_count(), parameters, "{name}");
        assert_eq!(network.state().len(), entries, "{name}");
    }
    let network = narrow("RESNET18_8W8A_FLOAT", [16, 32, 64, 128]);
    let network = Network::new(&network, 1, &Device::cpu()).unwrap();
    assert_eq!(network.parameter_count(), 701_466);
}

#[test]
fn weights_start_as_specified_whatever_else_there_is() {
    let network = |name| Network::new(&config(name), 7, &Device::cpu()).unwrap().state();
    let (a, b) = (network("RESNET18_5W5A_FLOAT_E3M1"), network("RESNET18_8W8A_FLOAT"));
    assert_eq!(a, b, "formats do not change the start");
    // quantizers.md 2.8.3: the part of e3m1 weights that is not rounded to zero.
    for (layer, percent) in [
        ("conv1", 28.7),
        ("layer1.0.conv1", 28.9),
        ("layer2.0.conv2", 13.3),
        ("layer2.0.downsample.0", 61.1),
        ("layer4.1.conv2", 0.26),
        ("linear", 0.0),
    ] {
        let fewbit_nn::network::StateData::F32(values) = &a[&format!("{layer}.weight")].data else {
            unreachable!("weights are f32")
        };
        let alive = values.iter().filter(|v| v.abs() > 0.0625).count() as f64;
        let found = 100.0 * alive / values.len() as f64;
        let error = 300.0 * (percent / 100.0 / values.len() as f64).sqrt();
        assert!((found - percent).abs() <= error + 0.05, "{layer}: {found} % not {percent} %");
    }
}

fn read_safetensors(bytes: &[u8]) -> BTreeMap<String, StateTensor> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let data = view.data();
        let tensor = match view.dtype() {
            Dtype::F32 => {
                let (values, _) = data.as_chunks::<4>();
                let values = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
                StateTensor::f32(view.shape(), values)
            }
            _ => StateTensor::counter(i64::from_le_bytes(data.try_into().unwrap())),
        };
        (name, tensor)
    });
    tensors.collect()
}

#[test]
fn a_narrow_resnet_gives_the_logits_of_brevitas() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/nets");
    let config = narrow("RESNET18_8W8A_FLOAT", [16, 32, 64, 128]);
    let mut network = Network::new(&config, 1, &Device::cpu()).unwrap();
    let state = std::fs::read(folder.join("resnet18w16_e4m3.safetensors")).unwrap();
    network.load_state(&read_safetensors(&state), Strictness::Strict).unwrap();
    let golden = NpzArchive::open(&folder.join("resnet18w16_e4m3_golden.npz")).unwrap();
    let x = golden.read("x").unwrap().into_vec::<f32>().unwrap();
    let images = |from: usize, count: usize| {
        let values = x[from * 3072..][..count * 3072].to_vec();
        Tensor::from_vec(values, &[count, 3, 32, 32], &Device::cpu())
    };
    for (name, batch) in [("torch_logits_batch20", 20), ("torch_logits_batch1", 1)] {
        let expected = golden.read(name).unwrap().into_vec::<f32>().unwrap();
        for first in (0..20).step_by(batch) {
            let logits = network.forward(&images(first, batch), Pass::Evaluation).unwrap();
            let expected = &expected[first * 10..][..batch * 10];
            assert_equal(&logits.to_vec(), expected, &format!("{name}, image {first}"));
        }
    }
    // The quantizers of the first images, as the qonnx executor saw them.
    let mut taps = Taps::all();
    network.forward_tapped(&images(0, 1), Pass::Evaluation, &mut taps).unwrap();
    let activations: Vec<Vec<f32>> = taps
        .into_tensors()
        .into_iter()
        .filter(|(name, _)| name.ends_with("act_quant.out"))
        .map(|(_, tensor)| tensor.to_vec())
        .collect();
    let stored: Vec<&str> = golden
        .names()
        .filter(|name| name.starts_with("qonnx_img0.") && name.contains("FloatQuant"))
        .collect();
    assert_eq!((activations.len(), stored.len()), (50, 50));
    for name in stored {
        let values = golden.read(name).unwrap().into_vec::<f32>().unwrap();
        assert!(activations.contains(&values), "no quantizer gives {name}");
    }
}

/// Trains a few steps on the same images.
fn losses(config: &NetworkConfig, steps: u64) -> Vec<f32> {
    let mut network = Network::new(config, 1, &Device::cpu()).unwrap();
    let values =
        (0..8 * 3072_u64).map(|i| ((i * 2_654_435_761) >> 7 & 255) as f32 / 255.0).collect();
    let images = Tensor::from_vec(values, &[8, 3, 32, 32], &Device::cpu());
    let labels = [0, 1, 2, 3, 4, 5, 6, 7];
    let mut moments: BTreeMap<String, ops::AdamMoments> = BTreeMap::new();
    let step = |step| {
        let logits = network.forward(&images, Pass::Training { step }).unwrap();
        let loss = ops::cross_entropy_loss(&logits, &labels).unwrap();
        let value = loss.item();
        let mut gradients = loss.backward();
        for (name, parameter) in network.parameters_mut() {
            let Some(gradient) = parameter.take_gradient(&mut gradients) else { continue };
            let zero = || ops::AdamMoments::zero(parameter.value());
            let moments = moments.entry(name).or_insert_with(zero);
            parameter.update(|mut value| {
                let settings = ops::Adam { learning_rate: 0.01, ..ops::Adam::default() };
                ops::adam_step(&mut value, &gradient, moments, &settings, ops::Clip::None);
                value
            });
        }
        value
    };
    (0..steps).map(step).collect()
}

#[test]
fn convolutional_networks_learn_their_images() {
    let unscaled = narrow("RESNET18_8W8A_FLOAT", [8, 8, 8, 8]);
    let mut scaled = narrow("RESNET18_5W5A_FLOAT_E3M1", [8, 8, 8, 8]);
    let Architecture::Resnet18 { quantizers, .. } = &mut scaled.architecture else {
        unreachable!("a ResNet")
    };
    quantizers.weight_scaling = WeightScaling::PerChannel;
    quantizers.act_scaling = ActScaling::Learned;
    quantizers.rectified_format = Some(FormatName("ue3m1".parse().unwrap()));
    let mut measured = scaled.clone();
    let Architecture::Resnet18 { quantizers, .. } = &mut measured.architecture else {
        unreachable!("a ResNet")
    };
    quantizers.weight_scaling = WeightScaling::PerTensor;
    quantizers.act_scaling = ActScaling::Statistics;
    quantizers.scale_restriction = Restriction::Ceil;
    let mut cnv = config("CNV_2W2A");
    let Architecture::Cnv { hidden, convolutions, .. } = &mut cnv.architecture else {
        unreachable!("a CNV")
    };
    *hidden = vec![32];
    convolutions.iter_mut().for_each(|convolution| convolution.channels = 8);
    let baseline = narrow("RESNET18_32W32A_FLOAT_E8M23", [8, 8, 8, 8]);
    let mut integer = config("RESNET18_4W4A");
    integer.architecture = Architecture::resnet18_integer([8, 8, 8, 8]);
    for config in [unscaled, scaled, measured, cnv, baseline, integer] {
        config.validate().unwrap();
        let losses = losses(&config, 25);
        assert!(losses[24] < 0.7 * losses[0], "{}: {losses:?}", config.name);
    }
}

#[test]
fn descriptions_of_convolutional_networks_round_trip() {
    for name in ["CNV_1W2A", "RESNET18_6W6A_8W8A_FIRST_LAST_LAYER_FLOAT"] {
        let text = serde_json::to_string(&config(name)).unwrap();
        assert_eq!(serde_json::from_str::<NetworkConfig>(&text).unwrap(), config(name), "{text}");
        let broken = text.replace("\"channels\"", "\"chanels\"").replace("e4m3", "e4m33");
        assert!(serde_json::from_str::<NetworkConfig>(&broken).is_err(), "{broken}");
    }
}

/// What the published networks have is not written, and need not be.
#[test]
fn descriptions_of_other_topologies() {
    let text = |config: &NetworkConfig| serde_json::to_string(config).unwrap();
    for name in ["TFC_2W2A", "CNV_1W1A", "RESNET18_4W4A", "RESNET18_8W8A_FLOAT"] {
        for field in ["output_norm", "blocks", "stem_stride", "collection_steps"] {
            assert!(!text(&config(name)).contains(field), "{name}: {field}");
        }
    }
    let mut other = config("RESNET18_4W4A");
    other.architecture = Architecture::Resnet18Integer {
        widths: vec![8, 4, 6],
        blocks: vec![1, 3, 1],
        stem_stride: 2,
        collection_steps: 5,
    };
    let mut network = Network::new(&other, 1, &Device::cpu()).unwrap();
    let images = Tensor::full(0.5, &[2, 3, 32, 32], &Device::cpu());
    let logits = network.forward(&images, Pass::Training { step: 0 }).unwrap();
    assert_eq!(logits.shape(), [2, 10]);
    let state = network.state();
    assert_eq!(state["conv1.weight"].shape, [8, 3, 3, 3]);
    assert_eq!(state["layer2.0.downsample.0.weight"].shape, [4, 8, 1, 1]);
    assert!(
        state.contains_key("layer2.2.conv2.weight") && !state.contains_key("layer1.1.bn1.bias")
    );
    assert_eq!(state["linear.weight"].shape, [10, 6]);
    let mut ending = config("CNV_1W1A");
    *ending.architecture.output_norm_mut().unwrap() = OutputNorm::BatchNorm;
    let state = Network::new(&ending, 1, &Device::cpu()).unwrap().state();
    assert_eq!(state["linear_features.7.running_mean"].shape, [10]);
    for config in [other, ending] {
        assert_eq!(serde_json::from_str::<NetworkConfig>(&text(&config)).unwrap(), config);
    }
}

#[test]
fn states_have_the_names_and_shapes_of_published_checkpoints() {
    let Some(shared) = shared() else { return };
    let text = std::fs::read_to_string(shared.join("golden/f_ckpt_info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (key, name, entries) in [
        ("tfc_2w2a", "TFC_2W2A", 23),
        ("cnv_1w1a", "CNV_1W1A", 53),
        ("resnet18_e4m3", "RESNET18_8W8A_FLOAT_E4M3", 122),
        ("resnet18_4w4a", "RESNET18_4W4A", 150),
    ] {
        let state: BTreeMap<String, StateTensor> = info[key]["keys"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, described)| {
                let shape = described[0].as_array().unwrap().iter();
                let shape: Vec<usize> =
                    shape.map(|size| usize::try_from(size.as_u64().unwrap()).unwrap()).collect();
                let tensor = match described[1].as_str().unwrap() {
                    kind if kind.contains("int64") => StateTensor::counter(3),
                    _ => StateTensor::f32(&shape, vec![0.5; shape.iter().product()]),
                };
                (name.clone(), tensor)
            })
            .collect();
        assert_eq!(state.len(), entries, "{key}");
        let mut network = Network::new(&config(name), 1, &Device::cpu()).unwrap();
        network.load_state(&state, Strictness::Strict).unwrap();
        assert_eq!(network.state(), state, "{key}");
    }
}

#[test]
fn scales_that_are_being_measured_go_on_after_a_restart() {
    let mut integer = config("RESNET18_4W4A");
    integer.architecture = Architecture::resnet18_integer([4, 4, 4, 4]);
    let values = (0..4 * 3072_u64).map(|i| ((i * 2_654_435_761) >> 7 & 255) as f32 / 255.0);
    let images = Tensor::from_vec(values.collect(), &[4, 3, 32, 32], &Device::cpu());
    let step = |network: &mut Network, step| {
        network.forward(&images, Pass::Training { step }).unwrap().to_vec()
    };
    let mut whole = Network::new(&integer, 1, &Device::cpu()).unwrap();
    // Shared quantizers measure twice in each step: 300 passes end between steps 150 and 151.
    let mut saved = BTreeMap::new();
    for i in 0..153 {
        step(&mut whole, i);
        if i == 148 {
            saved = whole.state();
        }
    }
    let mut resumed = Network::new(&integer, 2, &Device::cpu()).unwrap();
    resumed.load_state(&saved, Strictness::Strict).unwrap();
    for i in 149..153 {
        step(&mut resumed, i);
    }
    assert_eq!(whole.state(), resumed.state());
    let counters = |state: &BTreeMap<String, StateTensor>| {
        state.keys().filter(|name| name.ends_with("scaling_impl.counter")).count()
    };
    // 28 rectifiers; 16 of them share 8 quantizers, which have their parameters by now.
    assert_eq!((counters(&saved), counters(&whole.state())), (28, 12));
}

#[test]
fn scales_that_are_always_measured_go_on_after_a_restart() {
    let mut config = narrow("RESNET18_5W5A_FLOAT_E3M1", [4, 4, 4, 4]);
    let Architecture::Resnet18 { quantizers, .. } = &mut config.architecture else {
        unreachable!("a ResNet")
    };
    quantizers.act_scaling = ActScaling::Statistics;
    quantizers.act_statistic = ActStatistic::Percentile(99.5);
    let image = |i: u64| {
        let values =
            (0..3072_u64).map(|j| (((i * 3072 + j) * 2_654_435_761) >> 7 & 255) as f32 / 255.0);
        Tensor::from_vec(values.collect::<Vec<_>>().repeat(2), &[2, 3, 32, 32], &Device::cpu())
    };
    let mut whole = Network::new(&config, 1, &Device::cpu()).unwrap();
    whole.forward(&image(0), Pass::Training { step: 0 }).unwrap();
    let saved = whole.state();
    let running = |state: &BTreeMap<String, StateTensor>| {
        state.keys().filter(|name| name.ends_with("runtime_stats.running_stats")).count()
    };
    // Behind the image, 20 convolutions, 28 rectifiers, before the last layer.
    assert_eq!(running(&saved), 50);
    let mut resumed = Network::new(&config, 2, &Device::cpu()).unwrap();
    resumed.load_state(&saved, Strictness::Strict).unwrap();
    for step in 1..3 {
        whole.forward(&image(step), Pass::Training { step }).unwrap();
        resumed.forward(&image(step), Pass::Training { step }).unwrap();
    }
    assert_eq!(whole.state(), resumed.state());
    // Brevitas saves no counters: the mean goes on.
    let means = saved.iter().filter(|(name, _)| !name.ends_with("runtime_stats.counter"));
    let means = means.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    resumed.load_state(&means, Strictness::Strict).unwrap();
    assert_eq!(resumed.state(), saved);
}
