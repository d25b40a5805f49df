//! What a checkpoint keeps of a network: named tensors.

use std::collections::BTreeMap;

use super::{Layer, NamedLayer, Network, scale_state, walk};
use crate::error::{Error, ErrorKind};

/// One named tensor of a network's state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    /// Size of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub data: StateData,
}

/// The values of a [`StateTensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum StateData {
    /// Parameters and running statistics.
    F32(Vec<f32>),
    /// Counters.
    I64(Vec<i64>),
}

impl StateTensor {
    /// Wraps `values` of the given `shape`.
    pub fn f32(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape {shape:?}");
        Self { shape: shape.to_vec(), data: StateData::F32(values) }
    }

    /// Wraps a single counter.
    pub fn counter(value: i64) -> Self {
        Self { shape: vec![], data: StateData::I64(vec![value]) }
    }

    /// The name of the element type, as error messages print it.
    pub fn type_name(&self) -> &'static str {
        match self.data {
            StateData::F32(_) => "f32",
            StateData::I64(_) => "i64",
        }
    }
}

/// Whether names that only one side knows are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They are.
    Strict,
    /// They are reported.
    Lenient,
}

/// What [`Network::load_state`] met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Entries of the network that the state lacks; they keep their values.
    pub missing: Vec<String>,
    /// Entries of the state that the network does not know.
    pub unknown: Vec<String>,
}

impl Network {
    /// Everything that evaluation depends on, by name: parameters, running statistics, scales.
    ///
    /// # Source
    /// Names of networks.md 3.3.
    pub fn state(&self) -> BTreeMap<String, StateTensor> {
        let mut state = BTreeMap::new();
        for NamedLayer { name, layer } in self.leaves() {
            let entries = match layer {
                Layer::QuantizeShared(number) => scale_state::of(&self.shared[*number]),
                layer => layer.state(),
            };
            for (own, tensor) in entries {
                state.insert(format!("{name}.{own}"), tensor);
            }
        }
        state
    }

    /// Entries that a state may have or lack.
    fn optional_state(&self) -> BTreeMap<String, StateTensor> {
        let mut state = BTreeMap::new();
        for NamedLayer { name, layer } in self.leaves() {
            let entries = match layer {
                Layer::QuantizeShared(number) => scale_state::optional(&self.shared[*number]),
                layer => layer.optional_state(),
            };
            for (own, tensor) in entries {
                state.insert(format!("{name}.{own}"), tensor);
            }
        }
        state
    }

    /// Replaces the state by one that [`Network::state`] returned.
    ///
    /// Either all of it is taken or, on an error, nothing.
    ///
    /// # Errors
    /// [`ErrorKind::StateMismatch`] if an entry has another shape or type than the network's;
    /// [`ErrorKind::MissingState`] and [`ErrorKind::UnknownState`] if `strictness` asks for them.
    pub fn load_state(
        &mut self,
        state: &BTreeMap<String, StateTensor>,
        strictness: Strictness,
    ) -> Result<LoadReport, Error> {
        let own = self.state();
        let optional = self.optional_state();
        let mut report = LoadReport::default();
        for (name, tensor) in state {
            match own.get(name).or_else(|| optional.get(name)) {
                Some(expected) => check_same_kind(name, tensor, expected)?,
                None => report.unknown.push(name.clone()),
            }
        }
        for name in own.keys() {
            if !state.contains_key(name) && !optional.contains_key(name) {
                report.missing.push(name.clone());
            }
        }
        if strictness == Strictness::Strict {
            if let Some(name) = report.missing.first() {
                return Err(ErrorKind::MissingState { name: name.clone() }.into());
            }
            if let Some(name) = report.unknown.first() {
                return Err(ErrorKind::UnknownState { name: name.clone() }.into());
            }
        }
        let device = self.device().clone();
        let mut leaves = vec![];
        walk::leaves_mut(&mut self.layers, &mut leaves);
        for NamedLayer { name, layer } in leaves {
            let entry = |own: &str| state.get(&format!("{name}.{own}"));
            if let Layer::QuantizeShared(number) = layer {
                scale_state::load(&mut self.shared[*number], &device, entry);
            } else {
                layer.load_state(&device, entry);
            }
        }
        Ok(report)
    }
}

fn check_same_kind(name: &str, got: &StateTensor, expected: &StateTensor) -> Result<(), Error> {
    if got.shape == expected.shape && got.type_name() == expected.type_name() {
        return Ok(());
    }
    let describe =
        |tensor: &StateTensor| format!("{} of shape {:?}", tensor.type_name(), tensor.shape);
    Err(Error::new(ErrorKind::StateMismatch {
        name: name.to_owned(),
        got: describe(got),
        expected: describe(expected),
    }))
}
