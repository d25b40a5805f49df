//! GPUs against the processor, on machines and in builds that have any.

use fewbit_nn::{Device, DeviceKind, DeviceName};

use crate::agreement::differences;
use crate::computations::{Distance, fused};
use crate::defaults::NETWORKS;

/// The devices to test; none is said, so that a passing test is not taken for a GPU that works.
fn gpus() -> Vec<DeviceName> {
    let mut found = Device::available();
    found.retain(|name| name.kind != DeviceKind::Cpu);
    if found.is_empty() {
        eprintln!("skipped: this build finds no GPU on this machine");
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

/// As [`defaults`](crate::defaults), with sums and functions that are further apart.
const LIMITS: Distance = Distance { losses: 1e-3, gradients: 1e-2, logits: 5e-2 };

#[test]
fn short_trainings_agree_with_the_processor() {
    for name in gpus() {
        let device = Device::open(name).unwrap();
        for network in NETWORKS {
            let own = fused::training(network, 4, &Device::cpu());
            let distance = own.distance(&fused::training(network, 4, &device));
            eprintln!("{name}, {network}: {distance:?}");
            assert!(
                distance.is_within(LIMITS),
                "{name}, {network}: {distance:?}, limits {LIMITS:?}"
            );
        }
    }
}
