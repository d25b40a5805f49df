//! From the machine's arena to a tree, within limits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::class::Class;
use super::input::quoted;
use super::machine::{Item, Node, StorageName, Unpickled};
use super::tensor::{Tensor, Window};
use super::value::{Key, Value};
use super::{MAX_DEPTH, MAX_OVERLAP};
use crate::error::Error;

/// Where the bytes of each storage are in the file.
pub(super) type Storages = BTreeMap<Arc<str>, Range<usize>>;

/// Makes a tree of what a pickle said.
///
/// # Errors
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) if it is too deep, repeats too much, has a value
/// that is no data, a key twice, or a storage of another length.
pub(super) fn grow(
    unpickled: &Unpickled,
    storages: &Storages,
    bytes: &Arc<Vec<u8>>,
    file: &Path,
) -> Result<Value, Error> {
    let mut grower = Grower {
        unpickled,
        storages,
        bytes,
        file,
        tensors: BTreeMap::new(),
        // A value takes at least a byte, so that only repetition exceeds this; a little is fine.
        values_left: unpickled.length + 1024,
        bytes_left: bytes.len().saturating_mul(MAX_OVERLAP) + (1 << 20),
        path: Vec::new(),
    };
    grower.value(unpickled.root)
}

struct Grower<'a> {
    unpickled: &'a Unpickled,
    storages: &'a Storages,
    bytes: &'a Arc<Vec<u8>>,
    file: &'a Path,
    /// By number of the node.
    tensors: BTreeMap<usize, Arc<Tensor>>,
    values_left: usize,
    /// That tensors may still have.
    bytes_left: usize,
    /// The keys and indices around the value.
    path: Vec<Step>,
}

/// One step from a container to a value in it.
enum Step {
    Index(usize),
    Key(Key),
}

impl Grower<'_> {
    fn value(&mut self, item: Item) -> Result<Value, Error> {
        let Some(left) = self.values_left.checked_sub(1) else {
            return Err(self.malformed("values repeated too often", "at most one for each byte"));
        };
        self.values_left = left;
        match item {
            Item::None => Ok(Value::None),
            Item::Bool(value) => Ok(Value::Bool(value)),
            Item::Int(value) => Ok(Value::Int(value)),
            Item::Float(value) => Ok(Value::Float(value)),
            Item::Class(Class::Dtype(element_type)) => Ok(Value::ElementType(element_type)),
            Item::Class(class) => Err(self.malformed(format!("the class {class:?}"), "a value")),
            Item::Node(node) => self.node(node),
        }
    }

    fn node(&mut self, node: usize) -> Result<Value, Error> {
        let unpickled = self.unpickled;
        match &unpickled.arena[node] {
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::List(items) => self.sequence(items).map(Value::List),
            Node::Tuple(items) => self.sequence(items).map(Value::Tuple),
            Node::Dict(entries) => self.dict(entries).map(Value::Dict),
            Node::Storage(_) => Err(self.malformed("a bare storage", "a tensor")),
            Node::Tensor(tensor) => {
                let (storage, window) = &**tensor;
                self.tensor(node, storage, window).map(Value::Tensor)
            }
        }
    }

    fn sequence(&mut self, items: &[Item]) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        for (index, &item) in items.iter().enumerate() {
            values.push(self.child(Step::Index(index), item)?);
        }
        Ok(values)
    }

    fn dict(&mut self, entries: &[(Item, Item)]) -> Result<Vec<(Key, Value)>, Error> {
        let mut values = Vec::new();
        let mut known = BTreeSet::new();
        for &(key, value) in entries {
            let key = self.key(key)?;
            if !known.insert(key.clone()) {
                return Err(self.malformed(format!("the key {key} twice"), "each key once"));
            }
            let value = self.child(Step::Key(key.clone()), value)?;
            values.push((key, value));
        }
        Ok(values)
    }

    fn key(&mut self, item: Item) -> Result<Key, Error> {
        match item {
            Item::Int(value) => Ok(Key::Int(value)),
            Item::Node(node) => match &self.unpickled.arena[node] {
                Node::Text(text) => Ok(Key::Text(text.clone())),
                _ => Err(self.malformed("a key that is a container", "text or an integer")),
            },
            _ => Err(self.malformed("a key of another kind", "text or an integer")),
        }
    }

    fn child(&mut self, step: Step, item: Item) -> Result<Value, Error> {
        if self.path.len() >= MAX_DEPTH {
            return Err(
                self.malformed("too many containers in each other", format!("at most {MAX_DEPTH}"))
            );
        }
        self.path.push(step);
        let value = self.value(item)?;
        self.path.pop();
        Ok(value)
    }

    fn tensor(
        &mut self,
        node: usize,
        name: &StorageName,
        window: &Window,
    ) -> Result<Arc<Tensor>, Error> {
        let size = name.element_type.size();
        let length = window.len().and_then(|numbers| numbers.checked_mul(size));
        let Some(left) = length.and_then(|length| self.bytes_left.checked_sub(length)) else {
            let expected = format!("at most {MAX_OVERLAP} times the length of the file");
            return Err(self.malformed("overlapping tensors that are too large", expected));
        };
        self.bytes_left = left;
        if let Some(known) = self.tensors.get(&node) {
            return Ok(known.clone());
        }
        let Some(range) = self.storages.get(&name.key) else {
            let found = format!("no storage {}", quoted(&name.key));
            return Err(self.malformed(found, "a storage for each tensor"));
        };
        if name.numbers.checked_mul(size) != Some(range.len()) {
            let found = format!("a storage of {} bytes", range.len());
            return Err(self.malformed(found, format!("{} numbers of {size} bytes", name.numbers)));
        }
        let (offset, numbers) = name.part;
        let start = range.start + offset * size;
        let storage = start..start + numbers * size;
        let tensor = Tensor::new(self.bytes.clone(), storage, name.element_type, window.clone());
        let tensor = Arc::new(tensor);
        self.tensors.insert(node, tensor.clone());
        Ok(tensor)
    }

    fn malformed(&self, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> Error {
        let mut place = "contents".to_owned();
        for step in &self.path {
            place += &match step {
                Step::Index(index) => format!("[{index}]"),
                Step::Key(key) => format!("[{key}]"),
            };
        }
        Error::malformed(self.file, place, found, expected)
    }
}
