//! The decaying average of a network that is being trained.

use std::collections::BTreeMap;

use super::scale_state::{PARAMETER, PASSES, VALUE};
use super::{Network, StateData, StateTensor};
use crate::ops;

impl Network {
    /// Moves `average`, a state of this network from earlier, towards its state: `a += (1 - decay) (x - a)`.
    ///
    /// Parameters and learned scales are averaged, and so are the running statistics of normalizations: they
    /// belong to the averaged weights as well as statistics of single steps belong to theirs. Counters are
    /// copied, and so is what a scale that is still being measured has found: a maximum is not averaged.
    ///
    /// # Source
    /// PyTorch `AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)`, whose first
    /// average is a copy of the first state.
    pub fn average_into(&self, average: &mut BTreeMap<String, StateTensor>, decay: f64) {
        let now = self.state();
        let is_measured = |name: &str| {
            let passes = name.strip_suffix(VALUE).map(|layer| format!("{layer}{PASSES}"));
            name.ends_with(PARAMETER) || passes.is_some_and(|passes| now.contains_key(&passes))
        };
        average.retain(|name, _| now.contains_key(name));
        for (name, tensor) in &now {
            if let Some(StateTensor { shape, data: StateData::F32(old) }) = average.get_mut(name)
                && let StateData::F32(new) = &tensor.data
                && *shape == tensor.shape
                && !is_measured(name)
            {
                ops::average(old, new, decay);
            } else {
                average.insert(name.clone(), tensor.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::config::{Architecture, NetworkConfig};
    use crate::network::{Pass, Strictness};
    use crate::tensor::Tensor;

    /// Scales are measured in the first passes: until then their average is the newest measurement.
    #[test]
    fn what_is_measured_is_copied() {
        let mut config = NetworkConfig::named("RESNET18_4W4A").unwrap();
        let Architecture::Resnet18Integer { widths, .. } = &mut config.architecture else {
            panic!("a ResNet18")
        };
        *widths = vec![2; 4];
        let device = Device::cpu();
        let mut network = Network::new(&config, 1, &device).unwrap();
        let pass = |network: &mut Network, level: f32| {
            let images = (0..2 * 3072).map(|i| level * (i % 7) as f32 / 7.0).collect();
            let images = Tensor::from_vec(images, &[2, 3, 32, 32], &device);
            network.forward(&images, Pass::Training { step: 0 }).unwrap();
        };
        let mut average = network.state();
        let unmeasured = average.len();
        pass(&mut network, 0.5);
        network.average_into(&mut average, 0.5);
        pass(&mut network, 1.0);
        let (before, now) = (average.clone(), network.state());
        network.average_into(&mut average, 0.5);
        let mut counts = [0; 3];
        for (name, tensor) in &now {
            let kind = if name.contains("scaling_impl") {
                assert_eq!(&average[name], tensor, "{name}");
                0
            } else if name.ends_with("running_mean") || name.ends_with("running_var") {
                let values = |tensor: &StateTensor| match &tensor.data {
                    StateData::F32(values) => values.clone(),
                    StateData::I64(_) => unreachable!("{name}"),
                };
                let (old, new) = (values(&before[name]), values(tensor));
                for ((old, new), found) in old.iter().zip(new).zip(values(&average[name])) {
                    assert_eq!(found, new - (new - old) * 0.5, "{name}");
                }
                1
            } else {
                // Nothing has trained the weights.
                assert_eq!(&average[name], tensor, "{name}");
                2
            };
            counts[kind] += 1;
        }
        assert!(counts[0] > 3 && counts[1] > 20 && counts[2] > 20, "{counts:?}");

        // Once they are measured, they are parameters like others.
        let measured = now
            .into_iter()
            .filter(|(name, _)| !name.ends_with(PASSES) && !name.ends_with(PARAMETER));
        let mut learned: BTreeMap<_, _> = measured.collect();
        assert!(learned.len() > unmeasured);
        for (name, tensor) in &mut learned {
            if let (true, StateData::F32(values)) = (name.ends_with(VALUE), &mut tensor.data) {
                values.iter_mut().for_each(|value| *value *= 3.0);
            }
        }
        network.load_state(&learned, Strictness::Strict).unwrap();
        let before = average.clone();
        network.average_into(&mut average, 0.5);
        assert_eq!(average.keys().collect::<Vec<_>>(), learned.keys().collect::<Vec<_>>());
        for (name, tensor) in average.iter().filter(|(name, _)| name.ends_with(VALUE)) {
            let StateData::F32(found) = &tensor.data else { unreachable!("{name}") };
            let StateData::F32(old) = &before[name].data else { unreachable!("{name}") };
            for (found, old) in found.iter().zip(old) {
                assert!((found / old - 2.0).abs() < 1e-6, "{name}: {found} {old}");
            }
        }
    }
}
