//! A graph to be changed: who makes a tensor, who uses it, and the edits that keep both right.
//!
//! [`Graph::new`] takes a model apart, [`Graph::into_model`] puts it together again. What was not changed stays as it
//! was, field by field and in the file's order; nodes that are not in an order of computation any more are put into one.
//!
//! ```
//! use fewbit_onnx::builder::{GraphBuilder, Node};
//! use fewbit_onnx::graph::Graph;
//! use fewbit_onnx::tensor::TensorValue;
//!
//! let mut builder = GraphBuilder::new("example");
//! builder.input("x", &[1, 3])?;
//! builder.add(Node::standard("same", "Identity").inputs(["x"]).output("y", &[1, 3]))?;
//! builder.add(Node::standard("positive", "Relu").inputs(["y"]).output("z", &[1, 3]))?;
//! builder.output("z")?;
//!
//! let mut graph = Graph::new(builder.finish("an example", "1.0")?)?;
//! let same = graph.maker("y").expect("a node makes it");
//! graph.redirect("y", "x");
//! graph.remove(same);
//! graph.rename("z", "global_out")?;
//! let model = graph.into_model()?;
//! assert_eq!(model.graph.unwrap().node[0].input, ["x"]);
//! # Ok::<(), fewbit_onnx::Error>(())
//! ```

mod inner;
mod types;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::proto::{
    GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorAnnotation, TensorProto,
};
use crate::tensor::{TensorValue, place};
use crate::{Error, ErrorKind, check};

/// A model whose graph can be changed.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The model; its graph has no nodes while they are here.
    model: ModelProto,
    graph: GraphProto,
    nodes: Vec<Option<NodeProto>>,
    makers: HashMap<String, NodeId>,
    users: HashMap<String, BTreeSet<NodeId>>,
}

/// A node of a [`Graph`]; it stands for the same node until that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl Graph {
    /// Takes a model apart.
    ///
    /// # Errors
    /// Those of [`check::validate`].
    pub fn new(mut model: ModelProto) -> Result<Self, Error> {
        check::validate(&model)?;
        let mut graph = model.graph.take().unwrap_or_default();
        let nodes: Vec<Option<NodeProto>> =
            std::mem::take(&mut graph.node).into_iter().map(Some).collect();
        let mut this = Self { model, graph, nodes, makers: HashMap::new(), users: HashMap::new() };
        for index in 0..this.nodes.len() {
            this.enter(NodeId(index));
        }
        Ok(this)
    }

    /// Puts the model together again.
    ///
    /// # Errors
    /// Those of [`check::validate`]: edits can leave a tensor that nothing makes, or a circle.
    pub fn into_model(self) -> Result<ModelProto, Error> {
        let Self { mut model, mut graph, nodes, .. } = self;
        graph.node = nodes.into_iter().flatten().collect();
        let inputs: BTreeSet<&str> = graph.input.iter().map(|input| input.name()).collect();
        let listed = graph.initializer.iter().all(|tensor| inputs.contains(tensor.name()));
        // Before version 4, stored tensors had to be inputs, too; before 3, the operator set had no name.
        if model.ir_version() < 4 && !listed {
            if model.ir_version() < 3
                && !model.opset_import.iter().any(|set| matches!(set.domain(), "" | "ai.onnx"))
            {
                model.opset_import.push(crate::proto::OperatorSetIdProto {
                    domain: Some(String::new()),
                    version: Some(1),
                });
            }
            model.ir_version = Some(4);
        }
        model.graph = Some(graph);
        let order = check::validate(&model)?;
        if let Some(graph) = &mut model.graph
            && !order.is_sorted()
        {
            let mut nodes: Vec<Option<NodeProto>> =
                std::mem::take(&mut graph.node).into_iter().map(Some).collect();
            graph.node = order.into_iter().filter_map(|index| nodes[index].take()).collect();
        }
        Ok(model)
    }

    /// The nodes, in the file's order; added ones behind.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeProto)> {
        let entries = self.nodes.iter().enumerate();
        entries.filter_map(|(index, node)| Some((NodeId(index), node.as_ref()?)))
    }

    /// The nodes in an order of computation.
    pub fn sorted(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut done = vec![false; self.nodes.len()];
        for (start, _) in self.nodes() {
            // Depth first without recursion: graphs of files can be long chains.
            let mut path = vec![(start, false)];
            while let Some((id, ready)) = path.pop() {
                if ready {
                    order.push(id);
                    continue;
                }
                if std::mem::replace(&mut done[id.0], true) {
                    continue;
                }
                path.push((id, true));
                let makers =
                    inner::uses(self.node(id)).into_iter().filter_map(|name| self.maker(name));
                let open: Vec<NodeId> = makers.filter(|maker| !done[maker.0]).collect();
                path.extend(open.into_iter().rev().map(|maker| (maker, false)));
            }
        }
        order
    }

    /// A node that is there.
    ///
    /// # Panics
    /// If it was removed.
    pub fn node(&self, id: NodeId) -> &NodeProto {
        self.nodes[id.0].as_ref().expect("the node was removed")
    }

    /// The node that makes a tensor.
    pub fn maker(&self, tensor: &str) -> Option<NodeId> {
        self.makers.get(tensor).copied()
    }

    /// The nodes that use a tensor, or whose inner graphs do.
    pub fn users(&self, tensor: &str) -> Vec<NodeId> {
        self.users.get(tensor).map(|users| users.iter().copied().collect()).unwrap_or_default()
    }

    /// True for an input of the graph.
    pub fn is_input(&self, tensor: &str) -> bool {
        self.graph.input.iter().any(|input| input.name() == tensor)
    }

    /// True for an output of the graph.
    pub fn is_output(&self, tensor: &str) -> bool {
        self.graph.output.iter().any(|output| output.name() == tensor)
    }

    /// The names of the inputs, stored tensors that old files list there included.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.graph.input.iter().map(|input| input.name())
    }

    /// The names of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.graph.output.iter().map(|output| output.name())
    }

    /// The stored tensors.
    pub fn stored_tensors(&self) -> &[TensorProto] {
        &self.graph.initializer
    }

    /// A stored tensor.
    pub fn stored(&self, tensor: &str) -> Option<&TensorProto> {
        self.graph.initializer.iter().find(|stored| stored.name() == tensor)
    }

    /// Adds a node.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if it makes a tensor that is there already.
    pub fn add(&mut self, node: NodeProto) -> Result<NodeId, Error> {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if self.is_defined(name) {
                let error = Error::new(ErrorKind::Graph, "there is a tensor of this name already");
                return Err(error.within(place(name)).within(node.label()));
            }
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(Some(node));
        self.enter(id);
        Ok(id)
    }

    /// Takes a node out. What it made is made by nothing then.
    ///
    /// # Panics
    /// If it was removed before.
    pub fn remove(&mut self, id: NodeId) -> NodeProto {
        self.leave(id);
        self.nodes[id.0].take().expect("the node was removed")
    }

    /// Changes a node.
    ///
    /// # Panics
    /// If it was removed.
    pub fn edit(&mut self, id: NodeId, change: impl FnOnce(&mut NodeProto)) {
        self.leave(id);
        change(self.nodes[id.0].as_mut().expect("the node was removed"));
        self.enter(id);
    }

    /// Stores a tensor, in place of one of the same name if there is one.
    pub fn store(&mut self, name: &str, value: &TensorValue) {
        let tensor = value.to_proto(name);
        match self.graph.initializer.iter_mut().find(|stored| stored.name() == name) {
            Some(stored) => *stored = tensor,
            None => self.graph.initializer.push(tensor),
        }
        // What the file states about it has to be true.
        if self.info(name).is_some() {
            self.set_type(name, value.data_type(), value.dims());
        }
    }

    /// Lets all nodes that use a tensor use another one; outputs of the graph keep their names.
    pub fn redirect(&mut self, from: &str, to: &str) {
        for id in self.users(from) {
            self.edit(id, |node| inner::rename_uses(node, from, to));
        }
    }

    /// Gives a tensor another name, wherever it is named.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if the new name is in use.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.rename_all(&BTreeMap::from([(from.to_owned(), to.to_owned())]))
    }

    /// Gives tensors other names at once: they may exchange theirs.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] if two tensors would have one name.
    pub fn rename_all(&mut self, names: &BTreeMap<String, String>) -> Result<(), Error> {
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        let stored: BTreeSet<&str> = self.graph.initializer.iter().map(TensorProto::name).collect();
        let inputs: BTreeSet<&str> = self.inputs().collect();
        let defined = |name: &str| {
            self.makers.contains_key(name) || stored.contains(name) || inputs.contains(name)
        };
        for to in names.values() {
            let free = !defined(to) || names.contains_key(to);
            if to.is_empty() || !free || !taken.insert(to) {
                let error = Error::new(ErrorKind::Graph, "there is a tensor of this name already");
                return Err(error.within(place(to)));
            }
        }
        let new = |name: &mut String| {
            if let Some(to) = names.get(name.as_str()) {
                name.clone_from(to);
            }
        };
        for node in self.nodes.iter_mut().flatten() {
            node.output.iter_mut().for_each(new);
            inner::rename_all(node, names);
        }
        let graph = &mut self.graph;
        let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        infos.filter_map(|info| info.name.as_mut()).for_each(new);
        graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut()).for_each(new);
        let sparse =
            graph.sparse_initializer.iter_mut().filter_map(|tensor| tensor.values.as_mut());
        sparse.filter_map(|tensor| tensor.name.as_mut()).for_each(new);
        for note in &mut graph.quantization_annotation {
            note.tensor_name.iter_mut().for_each(new);
            // Values are names of tensors, or of data types.
            let values = note.quant_parameter_tensor_names.iter_mut();
            values.filter_map(|entry| entry.value.as_mut()).for_each(new);
        }
        self.index();
        Ok(())
    }

    /// A name that no tensor has: `stem`, or with a number behind it.
    pub fn fresh(&self, stem: &str) -> String {
        let candidates =
            std::iter::once(stem.to_owned()).chain((1_u64..).map(|i| format!("{stem}_{i}")));
        let mut free =
            candidates.filter(|name| !self.is_defined(name) && !self.users.contains_key(name));
        free.next().unwrap_or_default()
    }

    /// What the file notes about the numbers of a tensor under a key, such as `finn_datatype`.
    pub fn annotation(&self, tensor: &str, key: &str) -> Option<&str> {
        let notes = self.graph.quantization_annotation.iter();
        let entries = notes
            .filter(|note| note.tensor_name() == tensor)
            .flat_map(|note| &note.quant_parameter_tensor_names);
        entries.into_iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
    }

    /// Notes something about the numbers of a tensor.
    pub fn annotate(&mut self, tensor: &str, key: &str, value: &str) {
        let notes = &mut self.graph.quantization_annotation;
        let at = notes.iter().position(|note| note.tensor_name() == tensor).unwrap_or_else(|| {
            notes.push(TensorAnnotation {
                tensor_name: Some(tensor.to_owned()),
                ..TensorAnnotation::default()
            });
            notes.len() - 1
        });
        let entries = &mut notes[at].quant_parameter_tensor_names;
        entries.retain(|entry| entry.key() != key);
        entries.push(StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        });
    }

    /// The version of an operator set, if the model names it.
    pub fn operator_set(&self, domain: &str) -> Option<i64> {
        let sets = self.model.opset_import.iter();
        sets.filter(|set| set.domain() == domain).map(|set| set.version()).next()
    }

    /// Adds an operator set, unless the model has this version of it or a later one.
    pub fn require(&mut self, domain: &str, version: i64) {
        let sets = &mut self.model.opset_import;
        match sets.iter_mut().find(|set| set.domain() == domain) {
            Some(set) if set.version() >= version => {}
            Some(set) => set.version = Some(version),
            None => sets.push(crate::proto::OperatorSetIdProto {
                domain: Some(domain.to_owned()),
                version: Some(version),
            }),
        }
    }

    /// Takes out nodes whose results nothing uses, and what is said and stored about tensors that are not there.
    pub fn remove_unused(&mut self) -> Removed {
        let mut removed = Removed::default();
        let order = self.sorted();
        for &id in order.iter().rev() {
            let idle = |name: &String| !self.users.contains_key(name) && !self.is_output(name);
            if self.node(id).output.iter().all(idle) {
                self.remove(id);
                removed.nodes += 1;
            }
        }
        let graph = &self.graph;
        let used = |name: &str| {
            self.users.contains_key(name) || graph.output.iter().any(|output| output.name() == name)
        };
        let kept: BTreeSet<String> = graph
            .initializer
            .iter()
            .map(|tensor| tensor.name().to_owned())
            .filter(|name| used(name))
            .collect();
        let there = |name: &str| {
            kept.contains(name)
                || self.makers.contains_key(name)
                || graph.input.iter().any(|input| input.name() == name)
        };
        let infos: BTreeSet<String> = graph
            .value_info
            .iter()
            .map(|info| info.name().to_owned())
            .chain(graph.quantization_annotation.iter().map(|note| note.tensor_name().to_owned()))
            .filter(|name| there(name))
            .collect();
        let before = self.graph.initializer.len();
        // Stored tensors that are listed as inputs go from both lists.
        let stored: BTreeSet<String> =
            self.graph.initializer.iter().map(|tensor| tensor.name().to_owned()).collect();
        self.graph.initializer.retain(|tensor| kept.contains(tensor.name()));
        self.graph
            .input
            .retain(|input| !stored.contains(input.name()) || kept.contains(input.name()));
        self.graph.value_info.retain(|info| infos.contains(info.name()));
        self.graph.quantization_annotation.retain(|note| infos.contains(note.tensor_name()));
        removed.stored = before - self.graph.initializer.len();
        removed
    }

    /// Takes stored tensors off the list of inputs, where files of the first versions have them.
    pub fn remove_stored_inputs(&mut self) -> usize {
        let stored: BTreeSet<String> =
            self.graph.initializer.iter().map(|tensor| tensor.name().to_owned()).collect();
        let before = self.graph.input.len();
        let (kept, moved): (Vec<_>, Vec<_>) = std::mem::take(&mut self.graph.input)
            .into_iter()
            .partition(|input| !stored.contains(input.name()));
        self.graph.input = kept;
        let known: BTreeSet<String> =
            self.graph.value_info.iter().map(|info| info.name().to_owned()).collect();
        self.graph.value_info.extend(moved.into_iter().filter(|info| !known.contains(info.name())));
        before - self.graph.input.len()
    }

    fn is_defined(&self, name: &str) -> bool {
        self.makers.contains_key(name)
            || self.is_input(name)
            || self.stored(name).is_some()
            || self
                .graph
                .sparse_initializer
                .iter()
                .any(|tensor| tensor.values.as_ref().is_some_and(|values| values.name() == name))
    }

    fn index(&mut self) {
        self.makers.clear();
        self.users.clear();
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_some() {
                self.enter(NodeId(index));
            }
        }
    }

    fn enter(&mut self, id: NodeId) {
        let Some(node) = &self.nodes[id.0] else { return };
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            self.makers.insert(name.clone(), id);
        }
        for name in inner::uses(node) {
            self.users.entry(name.to_owned()).or_default().insert(id);
        }
    }

    fn leave(&mut self, id: NodeId) {
        let Some(node) = &self.nodes[id.0] else { return };
        for name in &node.output {
            if self.makers.get(name) == Some(&id) {
                self.makers.remove(name);
            }
        }
        for name in inner::uses(node) {
            if let Some(users) = self.users.get_mut(name) {
                users.remove(&id);
                if users.is_empty() {
                    self.users.remove(name);
                }
            }
        }
    }
}

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Nodes.
    pub nodes: usize,
    /// Stored tensors.
    pub stored: usize,
}

#[cfg(test)]
mod tests;
