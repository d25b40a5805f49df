//! What a file stores, against what the exporter writes for the checkpoint.
//!
//! Running a file cannot see a weight that quantizes to the same value as the right one. So beside
//! the computation, everything that is stored is compared: initializers and attributes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fewbit_onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use fewbit_onnx::tensor::{TensorData, TensorValue};
use serde::Serialize;

/// The comparison of what two files store.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Constants {
    /// Initializers that both files have.
    pub initializers_compared: u64,
    /// Attributes of the nodes that both files have.
    pub attributes_compared: u64,
    /// Number of entries in `differ`.
    pub constants_differ: u64,
    /// What both files have, but differently.
    pub differ: Vec<Difference>,
    /// What only the exporter writes for this checkpoint.
    pub only_expected: Vec<String>,
    /// What only the file has.
    pub only_in_file: Vec<String>,
}

/// Something that is stored differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `initializer`, `attribute`, `node` or `operator set`.
    pub kind: &'static str,
    /// The initializer's name, `node.attribute`, the node's name or the domain.
    pub name: String,
    /// What the exporter writes for the checkpoint.
    pub expected: String,
    /// What the file has.
    pub file: String,
}

impl Constants {
    /// Compares `file` with `expected`, the exporter's output for the checkpoint.
    pub fn compare(expected: &ModelProto, file: &ModelProto) -> Self {
        let mut all = Self::default();
        let empty = GraphProto::default();
        let (left, right) =
            (expected.graph.as_ref().unwrap_or(&empty), file.graph.as_ref().unwrap_or(&empty));
        all.compare_operator_sets(expected, file);
        all.compare_initializers(left, right);
        all.compare_nodes(left, right);
        all.constants_differ = all.differ.len() as u64;
        all
    }

    fn compare_operator_sets(&mut self, expected: &ModelProto, file: &ModelProto) {
        let versions = |model: &ModelProto| -> BTreeMap<String, i64> {
            let pairs = model.opset_import.iter();
            pairs.map(|set| (set.domain().to_owned(), set.version())).collect()
        };
        let describe = |domain: &String| format!("operator set {domain:?}");
        for (domain, left, right) in self.pair(versions(expected), versions(file), describe) {
            if left != right {
                let name = if domain.is_empty() { "ai.onnx".to_owned() } else { domain };
                self.note("operator set", name, left.to_string(), right.to_string());
            }
        }
    }

    fn compare_initializers(&mut self, expected: &GraphProto, file: &GraphProto) {
        let by_name = |graph: &GraphProto| -> BTreeMap<String, TensorProto> {
            graph.initializer.iter().map(|t| (t.name().to_owned(), t.clone())).collect()
        };
        let describe = |name: &String| format!("initializer {name}");
        for (name, left, right) in self.pair(by_name(expected), by_name(file), describe) {
            self.initializers_compared += 1;
            if let Some((left, right)) = tensors_differ(&left, &right) {
                self.note("initializer", name, left, right);
            }
        }
    }

    fn compare_nodes(&mut self, expected: &GraphProto, file: &GraphProto) {
        let describe = |output: &String| format!("node that makes {output}");
        for (output, left, right) in self.pair(nodes(expected), nodes(file), describe) {
            let name = if left.name().is_empty() { &output } else { left.name() };
            if left.name() != right.name() {
                // Other programs rename nodes; that changes nothing of what they compute.
                self.only_expected.push(format!("node name {:?}", left.name()));
                self.only_in_file.push(format!("node name {:?}", right.name()));
            }
            let (signature, found) = (signature(&left), signature(&right));
            if signature != found {
                self.note("node", name.to_owned(), signature, found);
            }
            self.compare_attributes(name, attributes(&left), attributes(&right));
        }
    }

    /// An attribute that is left out is another one: it has its default.
    fn compare_attributes(
        &mut self,
        node: &str,
        mut expected: BTreeMap<String, AttributeProto>,
        mut file: BTreeMap<String, AttributeProto>,
    ) {
        let names: BTreeSet<String> = expected.keys().chain(file.keys()).cloned().collect();
        for name in names {
            self.attributes_compared += 1;
            let text = |attribute: Option<AttributeProto>| {
                attribute.map_or_else(|| "nothing".to_owned(), |found| attribute_text(&found))
            };
            let (left, right) = (text(expected.remove(&name)), text(file.remove(&name)));
            if left != right {
                self.note("attribute", format!("{node}.{name}"), left, right);
            }
        }
    }

    /// What both maps have; notes what only one has.
    fn pair<T>(
        &mut self,
        expected: BTreeMap<String, T>,
        mut file: BTreeMap<String, T>,
        describe: impl Fn(&String) -> String,
    ) -> Vec<(String, T, T)> {
        let mut both = Vec::new();
        for (name, left) in expected {
            match file.remove(&name) {
                Some(right) => both.push((name, left, right)),
                None => self.only_expected.push(describe(&name)),
            }
        }
        self.only_in_file.extend(file.keys().map(describe));
        both
    }

    fn note(&mut self, kind: &'static str, name: String, expected: String, file: String) {
        self.differ.push(Difference { kind, name, expected, file });
    }
}

/// Nodes by their first output, which is theirs alone: names need not be.
fn nodes(graph: &GraphProto) -> BTreeMap<String, NodeProto> {
    let output = |node: &NodeProto| node.output.first().cloned().unwrap_or_default();
    graph.node.iter().map(|node| (output(node), node.clone())).collect()
}

fn attributes(node: &NodeProto) -> BTreeMap<String, AttributeProto> {
    node.attribute.iter().map(|a| (a.name().to_owned(), a.clone())).collect()
}

fn signature(node: &NodeProto) -> String {
    let separator = if node.domain().is_empty() { "" } else { "::" };
    format!(
        "{}{separator}{}({}) -> {}",
        node.domain(),
        node.op_type(),
        node.input.join(", "),
        node.output.join(", ")
    )
}

/// The value of an attribute, with every bit of it.
fn attribute_text(attribute: &AttributeProto) -> String {
    let mut text = String::new();
    let mut part = |piece: String| {
        let separator = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{separator}{piece}");
    };
    if let Some(value) = attribute.f {
        part(format!("{value:?}"));
    }
    if let Some(value) = attribute.i {
        part(value.to_string());
    }
    if let Some(value) = &attribute.s {
        part(format!("{:?}", String::from_utf8_lossy(value)));
    }
    if let Some(value) = &attribute.t {
        part(format!("{:?} {:?} {:?}", value.data_type(), value.dims, payload(value)));
    }
    if !attribute.floats.is_empty() {
        part(format!("{:?}", attribute.floats));
    }
    if !attribute.ints.is_empty() {
        part(format!("{:?}", attribute.ints));
    }
    if !attribute.strings.is_empty() {
        let strings: Vec<_> =
            attribute.strings.iter().map(|s| String::from_utf8_lossy(s)).collect();
        part(format!("{strings:?}"));
    }
    text
}

/// The first value that differs, on both sides, with the number of all that do.
fn tensors_differ(expected: &TensorProto, file: &TensorProto) -> Option<(String, String)> {
    if (expected.data_type(), &expected.dims) != (file.data_type(), &file.dims) {
        let describe =
            |t: &TensorProto| format!("data type {} and shape {:?}", t.data_type(), t.dims);
        return Some((describe(expected), describe(file)));
    }
    // The usual case, without taking large tensors apart.
    if expected.raw_data.is_some() && expected.raw_data == file.raw_data {
        return None;
    }
    let (left, right) = (payload(expected), payload(file));
    if left == right {
        return None;
    }
    let Some(index) = left.iter().zip(&right).position(|(l, r)| l != r) else {
        return Some((format!("{} values", left.len()), format!("{} values", right.len())));
    };
    let count = left.iter().zip(&right).filter(|(l, r)| l != r).count();
    let place = format!("at value {index} ({count} of {} differ)", left.len());
    Some((left[index].clone(), format!("{} {place}", right[index])))
}

/// The elements as text that tells every bit; an element that cannot be read says so.
fn payload(tensor: &TensorProto) -> Vec<String> {
    fn texts<T: std::fmt::Debug>(values: &[T]) -> Vec<String> {
        values.iter().map(|value| format!("{value:?}")).collect()
    }
    let value = match TensorValue::from_proto(tensor) {
        Ok(value) => value,
        Err(error) => return vec![error.to_string()],
    };
    match value.data() {
        TensorData::F32(values) => texts(values),
        TensorData::F64(values) => texts(values),
        TensorData::I8(values) => texts(values),
        TensorData::I16(values) => texts(values),
        TensorData::I32(values) => texts(values),
        TensorData::I64(values) => texts(values),
        TensorData::U8(values) => texts(values),
        TensorData::U16(values) | TensorData::F16(values) | TensorData::Bf16(values) => {
            texts(values)
        }
        TensorData::U32(values) => texts(values),
        TensorData::U64(values) => texts(values),
        TensorData::Bool(values) => texts(values),
        TensorData::String(values) => texts(values),
        TensorData::Packed { bytes, .. } => texts(bytes),
        other => vec![format!("{other:?}")],
    }
}
