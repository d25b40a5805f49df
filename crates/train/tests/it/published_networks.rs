//! Networks that PyTorch and Brevitas trained: read, evaluated, exported and executed, against what they stored
//! and what their exporter wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit_data::npz::NpzArchive;
use fewbit_nn::config::Architecture;
use fewbit_nn::network::{StateTensor, Strictness, Taps};
use fewbit_nn::ops::Formula;
use fewbit_nn::{Device, Network, NetworkConfig, Pass, Tensor, export};
use fewbit_onnx::proto::ModelProto;
use fewbit_qonnx::{BatchNorm, Model, Options, Value};
use fewbit_train::pytorch::Contents;

use crate::graphs::{Pair, assert_same_nodes};
use crate::shared;
use crate::tiny::Tiny;

/// Batch normalization as PyTorch rounds it, and as onnxruntime does and we do unless asked.
const FORMULAS: [(Formula, BatchNorm); 2] =
    [(Formula::Fused, BatchNorm::Fused), (Formula::TwoRoundings, BatchNorm::TwoRoundings)];

/// PyTorch's square root in the normalization of the logits is off by its last bit for some variances: all logits
/// of such a network differ by that.
const LAST_BIT_OF_ROOT: f32 = 4e-7;

/// Sums with a scale that is no power of two depend on their order in PyTorch.
const ORDER_OF_SUMS: f32 = 5e-7;

fn golden() -> Option<PathBuf> {
    Some(shared()?.join("golden"))
}

fn floats(archive: &NpzArchive, name: &str) -> (Vec<usize>, Vec<f32>) {
    let array = archive.read(name).unwrap();
    (array.shape().to_vec(), array.into_vec::<f32>().unwrap())
}

fn images(archive: &NpzArchive, name: &str) -> Tensor {
    let (shape, values) = floats(archive, name);
    Tensor::from_vec(values, &shape, &Device::cpu())
}

fn loaded(config: &NetworkConfig, state: &BTreeMap<String, StateTensor>) -> Network {
    let mut network = Network::new(config, 1, &Device::cpu()).unwrap();
    network.load_state(state, Strictness::Strict).unwrap();
    network
}

fn checkpoint(path: &Path) -> BTreeMap<String, StateTensor> {
    Contents::read(path).unwrap().model().unwrap()
}

/// How many values are not equal, and by how much at most.
fn difference(found: &[f32], expected: &[f32]) -> (usize, f32) {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.filter(|d| *d != 0.0).fold((0, 0.0), |(count, max), d| (count + 1, d.max(max)))
}

/// The logits of the trainer, and those of the executor from the exported file, which have to be the same.
fn logits(network: &mut Network, images: &Tensor, formula: (Formula, BatchNorm)) -> Vec<f32> {
    network.set_batch_norm(formula.0);
    let logits = network.forward(images, Pass::Evaluation).unwrap().to_vec();
    let options = Options { batch_norm: formula.1, ..Options::default() };
    let file = executed(&export::to_qonnx(network).unwrap(), images, options);
    assert_eq!(difference(&file, &logits), (0, 0.0), "{}: file and trainer", network.config());
    logits
}

/// What the executor makes of images.
fn executed(model: &ModelProto, images: &Tensor, options: Options) -> Vec<f32> {
    let model = Model::from_proto(model, options).unwrap();
    let x = Value::new(images.shape(), images.to_vec()).unwrap();
    let outputs = model.run(&[(model.inputs()[0].name(), x)], &[]).unwrap();
    outputs.first().as_slice::<f32>().unwrap().to_vec()
}

/// Compares logits in both formulas and says how many differ; PyTorch's has to be within `tolerance`.
fn compare_logits(network: &mut Network, images: &Tensor, expected: &[f32], tolerance: f32) {
    for formula in FORMULAS {
        let found = difference(&logits(network, images, formula), expected);
        eprintln!(
            "{} {:?}: {found:?} of {} logits differ",
            network.config(),
            formula.0,
            expected.len()
        );
        assert!(found.1 <= tolerance, "{} {:?}: {found:?}", network.config(), formula.0);
    }
}

/// The fully connected ones, module by module.
#[test]
fn fully_connected_networks() {
    let Some(folder) = golden().map(|golden| golden.join("d_nets")) else { return };
    let mut nodes = 0;
    for name in ["SFC_1W1A", "SFC_1W2A", "SFC_2W2A", "TFC_1W1A", "TFC_1W2A", "TFC_2W2A"] {
        let own = name.to_lowercase();
        let config = NetworkConfig::named(name).unwrap();
        let mut network =
            loaded(&config, &checkpoint(&folder.join(format!("{own}.state_dict.pth"))));
        let archive = NpzArchive::open(&folder.join(format!("{own}_golden.npz"))).unwrap();
        let x = images(&archive, "x8");
        let wrong_root = ["TFC_1W1A", "TFC_2W2A"].contains(&name);
        let tolerance = if wrong_root { LAST_BIT_OF_ROOT } else { 0.0 };
        compare_logits(&mut network, &x, &floats(&archive, "torch_out8").1, tolerance);

        // The modules of PyTorch for the first two images, batch normalization included: all bits, but for the
        // root in the last one.
        network.set_batch_norm(Formula::Fused);
        let mut taps = Taps::all();
        network.forward_tapped(&x, Pass::Evaluation, &mut taps).unwrap();
        let tensors: BTreeMap<String, Tensor> = taps.into_tensors().into_iter().collect();
        let mut modules = 0;
        for index in 0..16 {
            let (shape, expected) = floats(&archive, &format!("torch.features.{index}"));
            let parts = ["act_quant", "matmul", "batch_norm", "add"];
            let tensor =
                parts.iter().find_map(|p| tensors.get(&format!("features.{index}.{p}.out")));
            // Dropout is none.
            let Some(tensor) = tensor else { continue };
            assert_eq!(shape, [2, tensor.shape()[1]]);
            let found = tensor.to_vec();
            let found = difference(&found[..expected.len()], &expected);
            let tolerance = if index == 15 { tolerance } else { 0.0 };
            assert!(found.1 <= tolerance, "{name} module {index}: {found:?}");
            modules += 1;
        }
        assert_eq!(modules, 12, "{name}");

        let exported = export::to_qonnx(&network).unwrap();
        let theirs = fewbit_onnx::read_model(&folder.join(format!("{own}.onnx"))).unwrap();
        nodes += assert_same_nodes(&exported, &theirs);
        compare_inner(
            &mut network,
            &exported,
            &folder.join(format!("{own}_clean.onnx")),
            &archive,
            "x8",
            18,
        );
    }
    assert_eq!(nodes, 6 * 27);
}

/// Compares the inner tensors of our trainer with those of the qonnx executor, which ran `theirs`, a cleaned file.
/// The numbers in that file have to be those of ours.
fn compare_inner(
    network: &mut Network,
    exported: &ModelProto,
    theirs: &Path,
    archive: &NpzArchive,
    x: &str,
    nodes: usize,
) {
    let theirs = fewbit_onnx::read_model(theirs).unwrap();
    let pair = Pair::new(exported, &theirs);
    assert_eq!(pair.assert_same_constants(), nodes, "{}", network.config());
    network.set_batch_norm(Formula::TwoRoundings);
    let mut taps = Taps::all();
    network.forward_tapped(&images(archive, x), Pass::Evaluation, &mut taps).unwrap();
    let tensors: BTreeMap<String, Tensor> = taps
        .into_tensors()
        .into_iter()
        .filter_map(|(name, tensor)| Some((pair.tensors.get(&name)?.clone(), tensor)))
        .collect();
    let (mut compared, mut values) = (0, 0);
    for key in archive.names() {
        let Some((image, rest)) = key.strip_prefix("qonnx_img").and_then(|k| k.split_once('.'))
        else {
            continue;
        };
        let name = rest.splitn(3, '.').nth(2).unwrap();
        // The file calls its output another name than the trainer does, and the trainer has no name for the steps
        // inside of a layer.
        let Some(tensor) = tensors.get(name) else { continue };
        let expected = floats(archive, key).1;
        let image: usize = image.parse().unwrap();
        let found = tensor.to_vec();
        let found = difference(&found[image * expected.len()..][..expected.len()], &expected);
        assert_eq!(found, (0, 0.0), "{} {key}", network.config());
        (compared, values) = (compared + 1, values + expected.len());
    }
    eprintln!("{}: {compared} inner tensors, {values} values: 0 differ", network.config());
    assert!(compared >= 13, "{}: {compared}", network.config());
}

/// A whole checkpoint of CNV.
#[test]
fn a_checkpoint_of_cnv() {
    let Some(folder) = golden().map(|golden| golden.join("nets")) else { return };
    let config = NetworkConfig::named("CNV_2W2A").unwrap();
    let mut network = loaded(&config, &checkpoint(&folder.join("cnv_2w2a_best.tar")));
    whole(&mut network, &folder, "cnv_2w2a", 35);
}

/// All logits, all inner tensors, and the cleaned file.
fn whole(network: &mut Network, folder: &Path, name: &str, nodes: usize) {
    let archive = NpzArchive::open(&folder.join(format!("{name}_golden.npz"))).unwrap();
    let x = images(&archive, "x");
    for expected in ["torch_logits_batch20", "torch_logits_batch1", "qonnx_logits"] {
        compare_logits(network, &x, &floats(&archive, expected).1, 0.0);
    }
    let exported = export::to_qonnx(network).unwrap();
    let clean = folder.join(format!("{name}_clean.onnx"));
    compare_inner(network, &exported, &clean, &archive, "x", nodes);
}

/// A network whose weights are in the cleaned file alone, which does not tell their names.
fn from_clean_file(name: &str, network: &str, nodes: usize) {
    let Some(folder) = golden().map(|golden| golden.join("nets")) else { return };
    let config = NetworkConfig::named(network).unwrap();
    let empty = Network::new(&config, 1, &Device::cpu()).unwrap();
    let exported = export::to_qonnx(&empty).unwrap();
    let theirs = fewbit_onnx::read_model(&folder.join(format!("{name}_clean.onnx"))).unwrap();
    let state = Pair::new(&exported, &theirs).state(&empty);
    let mut network = loaded(&config, &state);
    whole(&mut network, &folder, name, nodes);
}

#[test]
fn a_wide_resnet_of_five_bits() {
    from_clean_file("resnet18_e3m1", "RESNET18_5W5A_FLOAT_E3M1", 129);
}

#[test]
fn a_bipolar_cnv() {
    from_clean_file("cnv_1w1a", "CNV_1W1A", 35);
}

/// A narrow network with the file that Brevitas exported.
#[test]
fn a_narrow_resnet_of_eight_bits() {
    let Some(folder) = golden().map(|golden| golden.join("nets")) else { return };
    let mut config = NetworkConfig::named("RESNET18_8W8A_FLOAT").unwrap();
    let Architecture::Resnet18 { widths, .. } = &mut config.architecture else {
        unreachable!("a ResNet")
    };
    *widths = vec![16, 32, 64, 128];
    let bytes = std::fs::read(folder.join("resnet18w16_e4m3.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let data = view.data();
        let tensor = match view.dtype() {
            safetensors::Dtype::F32 => {
                let values = data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
                StateTensor::f32(view.shape(), values.collect())
            }
            _ => StateTensor::counter(i64::from_le_bytes(data.try_into().unwrap())),
        };
        (name, tensor)
    };
    let state: BTreeMap<String, StateTensor> = file.tensors().into_iter().map(tensor).collect();
    let mut network = loaded(&config, &state);
    whole(&mut network, &folder, "resnet18w16_e4m3", 129);
    let theirs = fewbit_onnx::read_model(&folder.join("resnet18w16_e4m3.onnx")).unwrap();
    assert_eq!(assert_same_nodes(&export::to_qonnx(&network).unwrap(), &theirs), 150);
}

/// The ends of the recorded trainings: the imported checkpoint evaluates to the stored logits, and its export is
/// the stored file.
#[test]
fn recorded_trainings_end_in_their_files() {
    let Some(shared) = shared() else { return };
    let golden = shared.join("golden");
    let networks = Tiny::all().into_iter().filter(|tiny| tiny.name.starts_with("tiny"));
    let mut nodes = 0;
    for tiny in networks {
        let name = tiny.name;
        let state = tiny.renamed(&checkpoint(&golden.join(format!("e_traj_{name}.end.tar"))));
        let mut network = loaded(&tiny.config, &state);
        let archive = tiny.archive(&shared);
        let x = tiny.images(&archive, 0);
        let expected = floats(&archive, "end.eval_out0").1;
        let tolerance = if name == "tiny_4w4a" { ORDER_OF_SUMS } else { 0.0 };
        compare_logits(&mut network, &x, &expected, tolerance);
        let theirs =
            fewbit_onnx::read_model(&golden.join(format!("e_traj_{name}.end.onnx"))).unwrap();
        let exported = export::to_qonnx(&network).unwrap();
        nodes += assert_same_nodes(&exported, &theirs);
        Pair::new(&exported, &theirs).assert_same_constants();
        let [ours, theirs] = [&exported, &theirs].map(|m| executed(m, &x, Options::default()));
        assert_eq!(difference(&ours, &theirs), (0, 0.0), "{name}: the files");
    }
    assert_eq!(nodes, 3 * 48 + 24 + 2 * 27);
}
