//! A network in which one value of a batch normalization is moved to a place where the formulas part.

use fewbit_data::npz::NpzArchive;
use fewbit_onnx::proto::ModelProto;
use fewbit_onnx::tensor::TensorValue;
use fewbit_qonnx::prove::{InputValues, Proof, Verdict};
use fewbit_qonnx::{BatchNorm, Model, Options, Value};

use super::{input, read};
use crate::{array, floats, shared};

/// The four parameters of one channel, and epsilon.
struct Channel {
    weight: f32,
    mean: f32,
    variance: f32,
    epsilon: f32,
}

impl Channel {
    /// onnxruntime's and PyTorch's result.
    #[expect(clippy::disallowed_methods, reason = "PyTorch's formula is fused")]
    fn normalized(&self, x: f32, bias: f32) -> [f32; 2] {
        let a = self.weight * (1.0 / (self.variance + self.epsilon).sqrt());
        let b = bias - self.mean * a;
        let fused = (-self.mean).mul_add(a, bias);
        [x * a + b, x.mul_add(a, fused)]
    }

    /// A bias with which `x` comes to lie on different sides of `boundary`, which itself belongs to the lower one.
    fn parting_bias(&self, x: f32, boundary: f32) -> Option<f32> {
        let a = self.weight * (1.0 / (self.variance + self.epsilon).sqrt());
        let about = boundary - (x - self.mean) * a;
        let near = (-400..=400).map(|ulps| f32::from_bits((about.to_bits() as i32 + ulps) as u32));
        near.into_iter().find(|&bias| {
            let [two, fused] = self.normalized(x, bias);
            (two <= boundary) != (fused <= boundary)
        })
    }
}

fn stored(model: &ModelProto, name: &str) -> Vec<f32> {
    let graph = model.graph.as_ref().unwrap();
    let tensor = graph.initializer.iter().find(|tensor| tensor.name() == name).unwrap();
    TensorValue::from_proto(tensor).unwrap().as_f32().unwrap().to_vec()
}

fn replace(model: &mut ModelProto, name: &str, values: Vec<f32>) {
    let graph = model.graph.as_mut().unwrap();
    let tensor = graph.initializer.iter_mut().find(|tensor| tensor.name() == name).unwrap();
    *tensor = TensorValue::new([values.len()], values).unwrap().to_proto(name);
}

/// The proof fails and names layer, channel and value; the images that have the value there are those that differ.
#[test]
fn one_changed_bias_is_found() {
    let Some(shared) = shared() else { return };
    let golden = shared.join("golden");
    let mut model = read(&golden.join("e_traj_tiny_e3m1.end.onnx"));
    let graph = model.graph.as_ref().unwrap();
    let layer = "/b1bn1/BatchNormalization";
    let node = graph.node.iter().find(|node| node.name() == layer).unwrap().clone();
    let quantized = node.input[0].clone();
    let epsilon = node.float("epsilon").unwrap().unwrap();
    let after = |tensor: &str| {
        let node =
            graph.node.iter().find(|node| node.input.first().is_some_and(|input| input == tensor));
        node.unwrap().output[0].clone()
    };
    let result = after(&after(&node.output[0]));
    let [weights, biases, means, variances] = [1, 2, 3, 4].map(|i| stored(&model, &node.input[i]));
    let pixels = NpzArchive::open(&golden.join("e_traj_tiny_e3m1.npz")).unwrap();
    let pixels = array(&pixels, "batches_u8");
    let (_, data) = pixels.into_parts();
    let fewbit_qonnx::Data::U8(bytes) = data else { panic!("bytes") };
    let count = 64;
    let size = bytes.len() / (20 * 16);
    let images: Vec<f32> =
        bytes[..count * size].iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let shape = vec![count, 3, 32, 32];
    let images = Value::new(shape, images).unwrap();
    let original = Proof::new(&model, &InputValues::Any).unwrap().certificate();
    assert_eq!(original.verdict, Verdict::ProvedForAllInputs, "{original}");
    let (mut seen, mut unseen) = (0, 0);
    for (channel, value) in
        (0..8).flat_map(|channel| [(channel, 0.25), (channel, -24.0), (channel, 1.5)])
    {
        let place = Channel {
            weight: weights[channel],
            mean: means[channel],
            variance: variances[channel],
            epsilon,
        };
        // Between 1 and 1.5; the tie goes to 1, whose mantissa is even.
        let Some(bias) = place.parting_bias(value, 1.25) else { continue };
        let mut changed = biases.clone();
        changed[channel] = bias;
        replace(&mut model, &node.input[2], changed);
        let mut proof = Proof::new(&model, &InputValues::Any).unwrap();
        let certificate = proof.certificate();
        assert_eq!(certificate.verdict, Verdict::NotProvable, "channel {channel}, value {value}");
        let failed: Vec<_> = certificate
            .layers
            .iter()
            .filter(|layer| layer.verdict != Verdict::ProvedForAllInputs)
            .collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].name, layer);
        assert_eq!(failed[0].kind, "BatchNormalization+Relu+FloatQuant");
        let found = &failed[0].disagreements;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].layer.as_str(), found[0].channel, found[0].value),
            (layer, channel, value)
        );
        let [two, fused] = place.normalized(value, bias).map(|y| if y <= 1.25 { 1.0 } else { 1.5 });
        assert_eq!((found[0].onnxruntime, found[0].fewbit, found[0].pytorch), (two, two, fused));
        let text = certificate.to_string();
        let expected = format!(
            "{layer} (BatchNormalization+Relu+FloatQuant): channel {channel}, value {value}:"
        );
        assert!(text.starts_with("not provable: in 1 of ") && text.contains(&expected), "{text}");

        // The executor in both formulas: it parts for the images that meet the value, and for no other.
        let name = input(&model);
        proof.check(&[(&name, images.clone())]).unwrap();
        let certificate = proof.certificate();
        let tensors = [BatchNorm::TwoRoundings, BatchNorm::Fused].map(|batch_norm| {
            let model =
                Model::from_proto(&model, Options { batch_norm, ..Options::default() }).unwrap();
            model.run(&[(&name, images.clone())], &[&quantized, &result]).unwrap()
        });
        let [two, fused] = tensors.each_ref().map(|tensors| floats(tensors.get(&result).unwrap()));
        let met = floats(tensors[0].get(&quantized).unwrap());
        let plane = met.len() / count / 8;
        let mut differ = 0;
        for (i, &met) in met.iter().enumerate() {
            let there = i / plane % 8 == channel && met == value;
            assert_eq!(two[i] != fused[i], there, "place {i}");
            differ += u64::from(there);
        }
        let layer =
            certificate.layers.iter().find(|layer| !layer.disagreements.is_empty()).unwrap();
        assert_eq!(layer.disagreements[0].seen_in_images, Some(differ));
        let verdict = if differ > 0 { Verdict::NotProvable } else { Verdict::ProvedForTheseImages };
        assert_eq!(certificate.verdict, verdict, "{certificate}");
        if differ > 0 { seen += 1 } else { unseen += 1 }
    }
    eprintln!("{seen} places that images meet, {unseen} that none meets");
    assert!(seen > 0 && unseen > 0, "{seen} {unseen}");
}
