//! What a run gives back.

use crate::value::Value;

/// The outputs of a model and the inner tensors that were asked for, by name.
#[derive(Clone, Debug)]
pub struct Outputs(Vec<(String, Value)>);

impl Outputs {
    pub(crate) fn new(tensors: Vec<(String, Value)>) -> Self {
        assert!(!tensors.is_empty(), "a model has an output");
        Self(tensors)
    }

    /// Returns the first output of the model.
    pub fn first(&self) -> &Value {
        &self.0[0].1
    }

    /// Returns a tensor.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Goes through the tensors: the model's outputs first, then the others in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl IntoIterator for Outputs {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    /// Gives the tensors away, in the order of [`Outputs::iter`].
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
