//! Published networks with stored outputs.

use fewbit_data::{Dataset, DatasetName, Split};
use fewbit_qonnx::{Mode, Model, Options, Value};

use crate::{difference, floats, npy, predictions, shared};

/// The three files of the zoo over all of MNIST, against the logits that qonnx computed.
#[test]
fn mnist_networks() {
    let Some(shared) = shared() else { return };
    let data = Dataset::open(DatasetName::Mnist, &shared.join("data"), Split::Test, None).unwrap();
    let pixels: Vec<f32> = data.images().iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    assert_eq!(data.len(), 10_000);
    let images = Value::new(vec![data.len(), 1, 28, 28], pixels).unwrap();
    for (name, right) in [("TFC_1W1A", 9296), ("TFC_1W2A", 9474), ("TFC_2W2A", 9660)] {
        let folder = shared.join("models/zoo_tfc");
        let expected = npy(&folder.join(format!("{name}_mnist_test_logits_qonnx1.0.0.npy")));
        for mode in [Mode::Canonical, Mode::Reference] {
            let path = folder.join(format!("{name}.onnx"));
            let model = Model::load(&path, Options { mode, ..Options::default() }).unwrap();
            let input = model.inputs()[0].name();
            let start = std::time::Instant::now();
            let outputs = model.run(&[(input, images.clone())], &[]).unwrap();
            eprintln!("{name} {mode:?} {:?}", start.elapsed());
            let found = floats(outputs.first());
            let labels = predictions(found, 10);
            assert_eq!(labels, predictions(floats(&expected), 10), "{name} {mode:?}");
            let correct = labels.iter().zip(data.labels()).filter(|&(&p, &l)| p == usize::from(l));
            assert_eq!(correct.count(), right, "{name} {mode:?}");
            let difference = difference(found, floats(&expected));
            eprintln!("{name} {mode:?}: {difference:?}");
            // The sums of the original depend on its batch; in units of the logits' last place this is a few.
            assert!(difference.largest <= 3e-6, "{name} {mode:?}: {difference:?}");
        }
    }
}
