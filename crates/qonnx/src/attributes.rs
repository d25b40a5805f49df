//! The attributes of a node, each asked for once; what nobody asked for is an error.

use std::collections::BTreeSet;

use fewbit_onnx::proto::NodeProto;
use fewbit_onnx::tensor::TensorValue;

use crate::error::Fault;
use crate::value::{Value, value_of};

/// The attributes of one node and the version of its operator set.
pub(crate) struct Attributes<'a> {
    node: &'a NodeProto,
    version: i64,
    asked: BTreeSet<&'static str>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(node: &'a NodeProto, version: i64) -> Self {
        Self { node, version, asked: BTreeSet::new() }
    }

    /// The version of the operator set that the node belongs to.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    /// How many outputs the node has that are used by name.
    pub(crate) fn output_count(&self) -> usize {
        let outputs = &self.node.output;
        outputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// True if the attribute is there, whatever its type.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.node.attribute(name).is_some()
    }

    pub(crate) fn int(&mut self, name: &'static str) -> Result<Option<i64>, Fault> {
        self.asked.insert(name);
        Ok(self.node.int(name)?)
    }

    pub(crate) fn float(&mut self, name: &'static str) -> Result<Option<f32>, Fault> {
        self.asked.insert(name);
        Ok(self.node.float(name)?)
    }

    pub(crate) fn ints(&mut self, name: &'static str) -> Result<Option<&'a [i64]>, Fault> {
        self.asked.insert(name);
        Ok(self.node.ints(name)?)
    }

    pub(crate) fn floats(&mut self, name: &'static str) -> Result<Option<&'a [f32]>, Fault> {
        self.asked.insert(name);
        Ok(self.node.floats(name)?)
    }

    pub(crate) fn string(&mut self, name: &'static str) -> Result<Option<&'a str>, Fault> {
        self.asked.insert(name);
        Ok(self.node.string(name)?)
    }

    pub(crate) fn tensor(&mut self, name: &'static str) -> Result<Option<Value>, Fault> {
        self.asked.insert(name);
        let Some(tensor) = self.node.tensor(name)? else { return Ok(None) };
        value_of(TensorValue::from_proto(tensor)?, &format!("attribute {name:?}")).map(Some)
    }

    /// An integer that has to be there.
    pub(crate) fn required_int(&mut self, name: &'static str) -> Result<i64, Fault> {
        self.int(name)?.ok_or_else(|| Fault::missing(format_args!("attribute {name:?}")))
    }

    /// An integer that is 0 or 1.
    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, Fault> {
        Ok(self.switch(name)?.unwrap_or(default))
    }

    /// An integer that is 0 or 1 and has to be there.
    pub(crate) fn required_flag(&mut self, name: &'static str) -> Result<bool, Fault> {
        self.switch(name)?.ok_or_else(|| Fault::missing(format_args!("attribute {name:?}")))
    }

    fn switch(&mut self, name: &'static str) -> Result<Option<bool>, Fault> {
        match self.int(name)? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(other) => Err(Fault::value(format_args!("attribute {name:?}"), other, "0 or 1")),
        }
    }

    /// Notes that an attribute has no effect here.
    pub(crate) fn ignore(&mut self, name: &'static str) {
        self.asked.insert(name);
    }

    /// Refuses an attribute that asks for something else than the one value that is supported.
    pub(crate) fn only_int(&mut self, name: &'static str, supported: i64) -> Result<(), Fault> {
        match self.int(name)? {
            Some(value) if value != supported => {
                Err(Fault::unsupported(format_args!("attribute {name:?} with the value {value}")))
            }
            _ => Ok(()),
        }
    }

    /// Fails if the node has an attribute that nobody asked for, or one twice.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        let mut seen = BTreeSet::new();
        for attribute in &self.node.attribute {
            let name = attribute.name();
            if !self.asked.contains(name) {
                return Err(Fault::unsupported(format_args!("attribute {name:?}")));
            }
            if !seen.insert(name) {
                return Err(Fault::Malformed(format!("attribute {name:?} is there twice")));
            }
        }
        Ok(())
    }
}
