//! GPUs against the processor, on machines and in builds that have any.

use fewbit_nn::{Device, DeviceKind, DeviceName};

use crate::agreement::differences;
use crate::computations::fused;

/// The devices to test; none is said, so that a passing test is not taken for a GPU that works.
fn gpus() -> Vec<DeviceName> {
    let mut found = Device::available();
    found.retain(|name| name.kind != DeviceKind::Cpu);
    if found.is_empty() {
        println!("skipped: this build finds no GPU on this machine");
    }
    found
}

#[test]
fn every_operation_agrees_with_the_processor() {
    for name in gpus() {
        let device = Device::open(name).unwrap();
        let own = fused::operations(&Device::cpu());
        let gpu = fused::operations(&device);
        // GPUs divide and take roots to an ulp or two.
        let found = differences(&own, &gpu, 8.0);
        assert!(found.is_empty(), "{name}, {}:\n{}", found.len(), found.join("\n"));
    }
}

#[test]
fn short_trainings_agree_with_the_processor() {
    for name in gpus() {
        let device = Device::open(name).unwrap();
        for network in ["TFC_2W2A", "CNV_2W2A", "RESNET18_8W8A_FLOAT", "RESNET18_4W4A"] {
            let apart = fused::training(network, 3, &Device::cpu())
                .distance(&fused::training(network, 3, &device));
            println!("{name}, {network}: {apart:?}");
            assert!(apart.largest() <= 1e-2, "{name}, {network}: {apart:?}");
        }
    }
}
