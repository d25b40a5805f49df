//! Published and golden networks.

use std::time::Instant;

use fewbit_data::npz::NpzArchive;
use fewbit_qonnx::prove::{Certificate, InputValues, Proof, Verdict};

use super::{input, read};
use crate::{array, shared};

struct Case {
    file: &'static str,
    /// Sums, those of them that are exact for every input, and batch normalizations.
    layers: [usize; 3],
    /// Pairs of channel and value that batch normalization meets, and those that the formulas tell apart.
    pairs: [u64; 2],
    verdict: Verdict,
    /// False if the last bias is off the grid.
    equal_outputs: bool,
}

const fn proved(file: &'static str, sums: usize, normalizations: usize, pairs: [u64; 2]) -> Case {
    let layers = [sums, sums, normalizations];
    Case { file, layers, pairs, verdict: Verdict::ProvedForAllInputs, equal_outputs: true }
}

const fn with_bias(case: Case) -> Case {
    Case { equal_outputs: false, ..case }
}

/// The pairs of resnet18_e3m1 are those that numpy counted with the formulas of both originals.
const CASES: &[Case] = &[
    with_bias(proved("golden/nets/resnet18_e3m1_clean.onnx", 21, 20, [148_800, 34_597])),
    proved("golden/nets/cnv_1w1a_clean.onnx", 9, 8, [1_978_560, 512_214]),
    proved("golden/nets/cnv_2w2a_clean.onnx", 9, 8, [1_753_629, 451_762]),
    proved("golden/d_nets/sfc_1w1a.onnx", 4, 3, [0, 0]),
    proved("golden/d_nets/sfc_1w2a_clean.onnx", 4, 3, [0, 0]),
    proved("golden/d_nets/sfc_2w2a_clean.onnx", 4, 3, [0, 0]),
    proved("golden/d_nets/tfc_1w1a_clean.onnx", 4, 3, [58_560, 14_276]),
    proved("golden/d_nets/tfc_1w2a.onnx", 4, 3, [0, 0]),
    proved("golden/d_nets/tfc_2w2a.onnx", 4, 3, [0, 0]),
    with_bias(proved("golden/e_traj_tiny_e3m1.end.onnx", 7, 6, [2208, 412])),
    proved("golden/e_traj_tiny_cnv_1w1a.end.onnx", 4, 3, [0, 0]),
    proved("golden/e_traj_tiny_cnv_2w2a.end.onnx", 4, 3, [36_950, 9290]),
    proved("models/zoo_tfc/TFC_1W1A.onnx", 4, 3, [0, 0]),
    proved("models/zoo_tfc/TFC_1W2A.onnx", 4, 3, [0, 0]),
    proved("models/zoo_tfc/TFC_2W2A.onnx", 4, 3, [43_722, 13_979]),
    Case {
        file: "golden/nets/resnet18w16_e4m3.onnx",
        layers: [21, 0, 20],
        pairs: [251_292, 70_788],
        verdict: Verdict::NotProvable,
        equal_outputs: false,
    },
    Case {
        file: "golden/e_traj_tiny_4w4a.end.onnx",
        layers: [4, 0, 3],
        pairs: [0, 0],
        verdict: Verdict::NotProvable,
        equal_outputs: false,
    },
];

#[test]
fn networks() {
    let Some(shared) = shared() else { return };
    let mut wrong = Vec::new();
    for case in CASES {
        let model = read(&shared.join(case.file));
        let start = Instant::now();
        let certificate = Proof::new(&model, &InputValues::Any).unwrap().certificate();
        let seconds = start.elapsed().as_secs_f64();
        let Certificate { verdict, sums, normalizations, .. } = &certificate;
        eprintln!("{}: {verdict}, {sums:?}, {normalizations:?}, {seconds:.3} s", case.file);
        let layers = [sums.layers, sums.exact_for_all_inputs, normalizations.layers];
        let pairs = [normalizations.pairs_tried, normalizations.pairs_normalized_differently];
        let equal = certificate.outputs.iter().all(|output| output.equal_bits_in_every_order);
        let right = *verdict == case.verdict
            && certificate.proved_for_all_inputs == (case.verdict == Verdict::ProvedForAllInputs)
            && layers == case.layers
            && (pairs == case.pairs || case.pairs == [0, 0])
            && equal == case.equal_outputs
            && normalizations.disagreements == 0
            && certificate.to_string().contains("up to the sums before the last bias")
                == (certificate.proved_for_all_inputs && !case.equal_outputs);
        if !right {
            wrong.push(format!("{}: {certificate}", case.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sums of e4m3 may become too large, but do not for real images; then other images may still fail.
#[test]
fn e4m3_for_images() {
    let Some(shared) = shared() else { return };
    let nets = shared.join("golden/nets");
    let model = read(&nets.join("resnet18w16_e4m3_clean.onnx"));
    let images = array(&NpzArchive::open(&nets.join("resnet18w16_e4m3_golden.npz")).unwrap(), "x");
    let mut proof = Proof::new(&model, &InputValues::Pixels).unwrap();
    assert!(proof.needs_images());
    proof.check(&[(&input(&model), images.clone())]).unwrap();
    let certificate = proof.certificate();
    assert_eq!(certificate.verdict, Verdict::ProvedForTheseImages, "{certificate}");
    assert_eq!((certificate.images, certificate.proved_for_all_inputs), (20, false));
    for layer in
        certificate.layers.iter().filter(|layer| layer.verdict != Verdict::ProvedForAllInputs)
    {
        let units = layer.sum.as_ref().unwrap().bound_units_of_images.unwrap();
        assert!(units > 1e5 && units < 16_777_216.0, "{}: {units}", layer.name);
    }
    // A thousand times as bright.
    let (shape, _) = images.clone().into_parts();
    let bright: Vec<f32> = images.as_slice::<f32>().unwrap().iter().map(|v| v * 1000.0).collect();
    let bright = fewbit_qonnx::Value::new(shape, bright).unwrap();
    let refused = proof.check(&[(&input(&model), bright.clone())]).unwrap_err();
    assert!(refused.to_string().contains("pixels k / 255"), "{refused}");
    let mut proof = Proof::new(&model, &InputValues::Any).unwrap();
    proof.check(&[(&input(&model), images)]).unwrap();
    proof.check(&[(&input(&model), bright)]).unwrap();
    let certificate = proof.certificate();
    assert_eq!((certificate.verdict, certificate.images), (Verdict::NotProvable, 40));
    let reason = certificate.layers.iter().find(|layer| layer.verdict == Verdict::NotProvable);
    let reason = reason.unwrap().reason.clone().unwrap();
    assert!(reason.contains("(of 40, the first is 0) a sum of channel"), "{reason}");
}

/// Which scale it is that is no power of two.
#[test]
fn uneven_scales_are_named() {
    let Some(shared) = shared() else { return };
    let model = read(&shared.join("golden/e_traj_tiny_4w4a.end.onnx"));
    let certificate = Proof::new(&model, &InputValues::Any).unwrap().certificate();
    let layer = certificate.layers.iter().find(|layer| layer.name == "/c2/Conv").unwrap();
    let reason = layer.reason.as_deref().unwrap();
    let expected =
        "the scale 0.34771428 of /relu1/act_quant/export_handler/Quant is no power of two";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(certificate.to_string().contains(expected));
    let json = serde_json::to_value(&certificate).unwrap();
    assert_eq!(json["verdict"], "not_provable");
    assert_eq!(json["proved_for_all_inputs"], false);
    assert_eq!(json["sums"]["limit_units"], 1 << 24);
}
