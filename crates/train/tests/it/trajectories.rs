//! The same batches from the same start: the losses of PyTorch and Brevitas, step by step.

use std::collections::BTreeMap;
use std::path::Path;

use fewbit_data::npz::NpzArchive;
use fewbit_nn::config::Architecture;
use fewbit_nn::network::{StateTensor, Strictness};
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor};
use fewbit_train::{
    Examples, GradientCheck, LayerCheck, Loss, Optimizer, Recipe, StepSettings, train_step,
};

use crate::shared;

/// Steps of a trajectory, and images of a batch.
const STEPS: usize = 20;
const BATCH: usize = 100;

/// How far a loss may be from PyTorch's. Two things differ by an ulp here and there: the order of sums
/// in gradients, and PyTorch's `sqrt`, which is not correctly rounded (in Adam and in the
/// normalization of the logits). A weight that ends on the other side of a rounding boundary then
/// quantizes differently. The first step has none of that in its forward pass but the `sqrt`.
const LOSS_TOLERANCE: f64 = 1e-4;
const FIRST_TOLERANCE: f64 = 1e-6;

struct Golden {
    file: NpzArchive,
    network: Network,
    recipe: Recipe,
}

impl Golden {
    fn open(shared: &Path, name: &str, network: &str) -> Self {
        let file = NpzArchive::open(&shared.join(format!("golden/e_traj_{name}.npz"))).unwrap();
        let mut config = NetworkConfig::named(network).unwrap();
        // Recorded without dropout.
        let Architecture::Fc { dropout, .. } = &mut config.architecture else {
            unreachable!("{network} is fully connected")
        };
        *dropout = 0.0;
        let mut network = Network::new(&config, 1, &Device::cpu()).unwrap();
        let start = state(&file, "s0.");
        assert_eq!(start.len(), 23);
        network.load_state(&start, Strictness::Strict).unwrap();
        Self { file, network, recipe: Recipe::new(config) }
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        self.file.read(name).unwrap().into_vec::<f32>().unwrap()
    }

    fn images(&self, step: usize) -> Tensor {
        let pixels = self.file.read("batches_u8").unwrap().into_vec::<u8>().unwrap();
        let batch = &pixels[step * BATCH * 784..(step + 1) * BATCH * 784];
        let values = batch.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        Tensor::from_vec(values, &[BATCH, 1, 28, 28], &Device::cpu())
    }

    fn labels(&self, step: usize) -> Vec<u8> {
        let labels = self.file.read("labels").unwrap().into_vec::<i64>().unwrap();
        labels[step * BATCH..(step + 1) * BATCH].iter().map(|&l| u8::try_from(l).unwrap()).collect()
    }
}

/// The entries `<prefix><name>` that are no gradients and no outputs.
fn state(file: &NpzArchive, prefix: &str) -> BTreeMap<String, StateTensor> {
    let own = |name: &str| {
        Some(name.strip_prefix(prefix)?.to_owned()).filter(|n| n.starts_with("features."))
    };
    let names: Vec<(String, String)> =
        file.names().filter_map(|name| Some((name.to_owned(), own(name)?))).collect();
    let entries = names.into_iter().map(|(name, own)| {
        let array = file.read(&name).unwrap();
        let shape = array.shape().to_vec();
        let tensor = match array.into_vec::<f32>() {
            Ok(values) => StateTensor::f32(&shape, values),
            Err(array) => StateTensor::counter(array.into_vec::<i64>().unwrap()[0]),
        };
        (own, tensor)
    });
    entries.collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn losses_follow_the_published_trainer_step_by_step() {
    let Some(shared) = shared() else { return };
    let mut compared = 0;
    for (name, network) in [("tfc_1w1a", "TFC_1W1A"), ("tfc_2w2a", "TFC_2W2A")] {
        let mut golden = Golden::open(&shared, name, network);
        let losses = golden.file.read("losses").unwrap().into_vec::<f64>().unwrap();
        assert_eq!(losses.len(), STEPS);
        let mut optimizer = Optimizer::new(&golden.recipe);
        for (step, &expected) in losses.iter().enumerate() {
            let (images, labels) = (golden.images(step), golden.labels(step));
            let settings = StepSettings {
                layers: LayerCheck::Off,
                loss: Loss::SquareHinge,
                learning_rate: golden.recipe.lr,
                step: step as u64,
                check: GradientCheck::On,
            };
            let examples = Examples { images, labels: &labels };
            let result =
                train_step(&mut golden.network, &mut optimizer, examples, &settings).unwrap();
            let difference = (f64::from(result.loss) - expected).abs();
            eprintln!("{name} step {step}: loss {} differs by {difference:.1e}", result.loss);
            let tolerance = if step == 0 { FIRST_TOLERANCE } else { LOSS_TOLERANCE };
            assert!(difference <= tolerance, "{name} step {step}: {} not {expected}", result.loss);
            if golden.file.contains(&format!("s{step}.out")) {
                let expected = golden.f32(&format!("s{step}.out"));
                let difference = largest_difference(&result.logits.to_vec(), &expected);
                eprintln!("{name} step {step}: logits differ by {difference:.1e}");
                assert!(
                    difference < if step == 0 { 1e-6 } else { 1e-3 },
                    "{name} step {step}: {difference}"
                );
            }
            compared += 1;
        }
        let images = golden.images(0);
        let logits = golden.network.forward(&images, Pass::Evaluation).unwrap().to_vec();
        let difference = largest_difference(&logits, &golden.f32("end.eval_out0"));
        eprintln!("{name} at the end: evaluated logits differ by {difference:.1e}");
        let end = state(&golden.file, "end.");
        let own = golden.network.state();
        assert_eq!(own.keys().collect::<Vec<_>>(), end.keys().collect::<Vec<_>>());
        assert_eq!(own["features.3.num_batches_tracked"], end["features.3.num_batches_tracked"]);
    }
    assert_eq!(compared, 2 * STEPS);
}
