//! The defaults on the processor against its own implementations.

use crate::agreement::differences;
use crate::computations::{fused, portable};

#[test]
fn every_operation_agrees() {
    let own = fused::operations(&fewbit_nn::Device::cpu());
    let defaults = portable::operations(&fewbit_nn_portable::Device::cpu());
    assert!(own.len() > 150, "only {} computations", own.len());
    let found = differences(&own, &defaults, 1.0);
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), own.len(), found.join("\n"));
}

/// Networks, and how far losses, gradients and logits may be apart.
const NETWORKS: [(&str, f32); 8] = [
    ("TFC_1W1A", 1e-3),
    ("TFC_2W2A", 1e-3),
    ("CNV_1W1A", 1e-3),
    ("CNV_2W2A", 1e-3),
    ("RESNET18_4W4A", 1e-3),
    ("RESNET18_8W8A_FLOAT", 1e-3),
    ("RESNET18_5W5A_FLOAT_E3M1", 1e-3),
    ("RESNET18_32W32A_FLOAT_E8M23", 1e-3),
];

#[test]
fn short_trainings_agree() {
    let mut found = vec![];
    for (name, limit) in NETWORKS {
        let own = fused::training(name, 3, &fewbit_nn::Device::cpu());
        let defaults = portable::training(name, 3, &fewbit_nn_portable::Device::cpu());
        let apart = own.distance(&defaults);
        println!("{name}: {apart:?}");
        if !(apart.largest() <= limit) {
            found.push(format!("{name}: {apart:?}, limit {limit}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
