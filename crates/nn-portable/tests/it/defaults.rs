//! The defaults on the processor against its own implementations.

use crate::agreement::differences;
use crate::computations::{Distance, fused, portable};

#[test]
fn every_operation_agrees() {
    let own = fused::operations(&fewbit_nn::Device::cpu());
    let defaults = portable::operations(&fewbit_nn_portable::Device::cpu());
    assert!(own.len() > 150, "only {} computations", own.len());
    let found = differences(&own, &defaults, 1.0);
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), own.len(), found.join("\n"));
}

/// Of every kind of network one: binary and integer, with constant, measured and learned scales, minifloats.
pub const NETWORKS: [&str; 8] = [
    "TFC_1W1A",
    "TFC_2W2A",
    "CNV_1W1A",
    "CNV_2W2A",
    "RESNET18_4W4A",
    "RESNET18_8W8A_FLOAT",
    "RESNET18_5W5A_FLOAT_E3M1",
    "RESNET18_32W32A_FLOAT_E8M23",
];

/// Sums in another order. The logits come after four steps of Adam, which makes a last bit of a small
/// gradient large, so that single values can be quantized to the neighbour.
const LIMITS: Distance = Distance { losses: 1e-5, gradients: 1e-5, logits: 1e-2 };

#[test]
fn short_trainings_agree() {
    let mut found = vec![];
    for name in NETWORKS {
        let own = fused::training(name, 4, &fewbit_nn::Device::cpu());
        let defaults = portable::training(name, 4, &fewbit_nn_portable::Device::cpu());
        let distance = own.distance(&defaults);
        eprintln!("{name}: {distance:?}");
        if !distance.is_within(LIMITS) {
            found.push(format!("{name}: {distance:?}"));
        }
    }
    assert!(found.is_empty(), "{}\nlimits: {LIMITS:?}", found.join("\n"));
}
