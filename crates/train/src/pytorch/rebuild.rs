//! The instructions that would call a function: here they put the arguments together.

use std::sync::Arc;

use super::MAX_RANK;
use super::class::Class;
use super::machine::{Item, Machine, Node, StorageName};
use super::tensor::Window;
use crate::error::Error;

impl Machine<'_, '_> {
    /// `REDUCE`: what a class makes of its arguments.
    pub(super) fn reduce(&mut self) -> Result<(), Error> {
        let arguments = self.pop()?;
        let class = self.pop()?;
        let (Item::Class(class), Some(Node::Tuple(arguments))) = (class, self.node(arguments))
        else {
            return Err(self.refused("a call of something else", "a class and its arguments"));
        };
        let arguments = arguments.clone();
        match (class, &*arguments) {
            (Class::OrderedDict, []) => self.push_node(Node::Dict(Vec::new())),
            (Class::Size, &[sizes]) => match self.node(sizes) {
                Some(Node::Tuple(_)) => self.push(sizes),
                _ => Err(self.refused("the arguments of Size", "a tuple")),
            },
            (Class::RebuildTensor, &[storage, offset, shape, strides]) => {
                self.rebuild_tensor(storage, offset, shape, strides)
            }
            (
                Class::RebuildTensorV2,
                &[storage, offset, shape, strides, requires_grad, hooks, ref rest @ ..],
            ) => {
                self.check_plain(requires_grad, hooks)?;
                // The metadata say, for one, that all numbers are to be negated.
                if rest.len() > 1 || !rest.iter().all(|&metadata| self.is_empty(metadata)) {
                    return Err(self.refused("a tensor with metadata", "none"));
                }
                self.rebuild_tensor(storage, offset, shape, strides)
            }
            (Class::RebuildParameter, &[tensor, requires_grad, hooks]) => {
                self.check_plain(requires_grad, hooks)?;
                match self.node(tensor) {
                    Some(Node::Tensor(_)) => self.push(tensor),
                    _ => Err(self.refused("a parameter of something else", "a tensor")),
                }
            }
            _ => {
                let found = format!("{class:?} with {} arguments", arguments.len());
                Err(self.refused(found, "the arguments that torch.save writes"))
            }
        }
    }

    /// `BUILD`: attributes of an object. The only ones are the version numbers of a state dict's modules,
    /// which do not matter.
    pub(super) fn build(&mut self) -> Result<(), Error> {
        let state = self.pop()?;
        let object = self.pop()?;
        let (Some(Node::Dict(_)), Some(Node::Dict(state))) = (self.node(object), self.node(state))
        else {
            return Err(self.refused("attributes of something else", "attributes of a dict"));
        };
        for (name, _) in state {
            if self.text_of(*name).as_deref() != Some("_metadata") {
                return Err(self.refused("an attribute of a dict", "\"_metadata\" alone"));
            }
        }
        self.push(object)
    }

    /// `BINPERSID`: a storage, whose bytes are elsewhere in the file.
    pub(super) fn storage(&mut self, id: Item) -> Result<Arc<StorageName>, Error> {
        let arguments = match self.node(id) {
            Some(Node::Tuple(arguments)) => arguments.clone(),
            _ => return Err(self.refused("a reference to something else", "a storage")),
        };
        let kind = arguments.first().and_then(|&kind| self.text_of(kind));
        match (kind.as_deref(), &*arguments) {
            (
                Some("storage"),
                &[_, Item::Class(class), key, location, Item::Int(numbers), ref view @ ..],
            ) => {
                let (Class::Storage(element_type), Some(key), Some(_), Ok(numbers)) =
                    (class, self.text_of(key), self.text_of(location), usize::try_from(numbers))
                else {
                    return Err(
                        self.refused("a damaged reference to a storage", "class, key, length")
                    );
                };
                let part = self.part(view, numbers)?;
                let name = StorageName { key: key.clone(), element_type, numbers, part };
                self.declare(name)
            }
            (Some("module"), _) => Err(self.refused("a whole module", "a state dict")),
            _ => Err(self.refused("a reference to something else", "a storage")),
        }
    }

    /// The part of a storage that another one is: `(key, offset, length)`, in old files.
    fn part(&self, view: &[Item], numbers: usize) -> Result<(usize, usize), Error> {
        match view {
            [] | [Item::None] => Ok((0, numbers)),
            &[view] => {
                let part = match self.node(view) {
                    Some(Node::Tuple(view)) => match **view {
                        [_, Item::Int(offset), Item::Int(length)] => {
                            usize::try_from(offset).ok().zip(usize::try_from(length).ok())
                        }
                        _ => None,
                    },
                    _ => None,
                };
                let fits = part.filter(|(offset, length)| {
                    offset.checked_add(*length).is_some_and(|end| end <= numbers)
                });
                fits.ok_or_else(|| {
                    self.refused("a damaged part of a storage", "key, offset, length")
                })
            }
            _ => Err(self.refused("a damaged reference to a storage", "class, key, length")),
        }
    }

    /// Enters a storage; every reference to it has to say the same.
    fn declare(&mut self, name: StorageName) -> Result<Arc<StorageName>, Error> {
        if let Some(known) = self.storages.get(&name.key) {
            if known.element_type != name.element_type || known.numbers != name.numbers {
                let describe = |name: &StorageName| {
                    format!("{} numbers of {}", name.numbers, name.element_type)
                };
                return Err(self.refused(describe(&name), describe(known)));
            }
            return Ok(if known.part == name.part { known.clone() } else { Arc::new(name) });
        }
        let name = Arc::new(name);
        self.storages.insert(name.key.clone(), name.clone());
        Ok(name)
    }

    fn rebuild_tensor(
        &mut self,
        storage: Item,
        offset: Item,
        shape: Item,
        strides: Item,
    ) -> Result<(), Error> {
        let Some(Node::Storage(storage)) = self.node(storage) else {
            return Err(self.refused("a tensor without storage", "a storage"));
        };
        let storage = storage.clone();
        let size = |item| match item {
            Item::Int(value) => usize::try_from(value).ok(),
            _ => None,
        };
        let sizes = |item| match self.node(item) {
            Some(Node::Tuple(items)) if items.len() <= MAX_RANK => {
                items.iter().map(|&item| size(item)).collect::<Option<Vec<usize>>>()
            }
            _ => None,
        };
        let (Some(offset), Some(shape), Some(strides)) =
            (size(offset), sizes(shape), sizes(strides))
        else {
            let expected = format!("numbers from 0, for at most {MAX_RANK} dimensions");
            return Err(self.refused("the offset, shape or strides of a tensor", expected));
        };
        if shape.len() != strides.len() {
            let found = format!("shape {shape:?} with strides {strides:?}");
            return Err(self.refused(found, "one stride for each dimension"));
        }
        let window = Window { offset, shape, strides };
        let (_, numbers) = storage.part;
        if window.reach().is_none_or(|reach| reach > numbers) {
            let Window { offset, shape, strides } = window;
            let found = format!("shape {shape:?} with strides {strides:?} from {offset}");
            return Err(self.refused(found, format!("a tensor inside its storage of {numbers}")));
        }
        self.push_node(Node::Tensor(Box::new((storage, window))))
    }

    /// Checks what does not matter here: whether it has a gradient, and that nobody is told.
    fn check_plain(&self, requires_grad: Item, hooks: Item) -> Result<(), Error> {
        if matches!(requires_grad, Item::Bool(_)) && self.is_empty(hooks) {
            return Ok(());
        }
        Err(self.refused("a tensor with hooks", "none"))
    }

    fn is_empty(&self, item: Item) -> bool {
        match item {
            Item::None => true,
            item => matches!(self.node(item), Some(Node::Dict(entries)) if entries.is_empty()),
        }
    }
}
