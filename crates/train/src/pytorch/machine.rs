//! The machine: follows a pickle's instructions and builds plain data in an arena.
//!
//! Values that a pickle shares are shared here by their number, so that nothing grows faster than the
//! pickle; [`super::tree`] makes a tree of them, within limits of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::class::Class;
use super::element_type::ElementType;
use super::input::{Input, quoted};
use super::opcode::Opcode;
use super::tensor::Window;
use super::{MAX_STACK, MAX_VALUES};
use crate::error::Error;

/// A value on the machine's stack or in a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Class(Class),
    /// Number of a node of the arena.
    Node(usize),
}

/// A value that has a size, or that instructions change.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(Arc<str>),
    List(Vec<Item>),
    Tuple(Vec<Item>),
    Dict(Vec<(Item, Item)>),
    Storage(Arc<StorageName>),
    Tensor(Box<(Arc<StorageName>, Window)>),
}

/// What a pickle says of a storage that it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageName {
    /// The key under which its bytes are found.
    pub key: Arc<str>,
    /// What they are.
    pub element_type: ElementType,
    /// How many numbers it has.
    pub numbers: usize,
    /// The first number of a part of it, and how many numbers it has.
    pub part: (usize, usize),
}

/// What a pickle says.
#[derive(Debug)]
pub(super) struct Unpickled {
    /// The value.
    pub root: Item,
    /// Where its parts are.
    pub arena: Vec<Node>,
    /// The storages by key.
    pub storages: BTreeMap<Arc<str>, Arc<StorageName>>,
    /// How many bytes it took.
    pub length: usize,
}

/// Follows a pickle up to its end.
///
/// # Errors
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) with the byte of the instruction that is not
/// followed, and the name of the instruction or class.
pub(super) fn unpickle(input: &mut Input<'_>) -> Result<Unpickled, Error> {
    let start = input.at();
    let mut machine = Machine {
        input,
        opcode_at: start,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        arena: Vec::new(),
        storages: BTreeMap::new(),
        values: 0,
    };
    let root = machine.run()?;
    let length = machine.input.at() - start;
    Ok(Unpickled { root, arena: machine.arena, storages: machine.storages, length })
}

pub(super) struct Machine<'m, 'a> {
    input: &'m mut Input<'a>,
    /// Where the running instruction begins.
    opcode_at: usize,
    stack: Vec<Item>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: Vec<Item>,
    pub(super) arena: Vec<Node>,
    pub(super) storages: BTreeMap<Arc<str>, Arc<StorageName>>,
    /// How many values have been made.
    values: usize,
}

impl Machine<'_, '_> {
    fn run(&mut self) -> Result<Item, Error> {
        loop {
            self.opcode_at = self.input.at();
            let byte = self.input.byte()?;
            let opcode = match Opcode::of(byte) {
                Ok(opcode) => opcode,
                Err(Some(name)) => {
                    let found = format!("the instruction {name}");
                    return Err(self.refused(found, "the instructions of torch.save"));
                }
                Err(None) => {
                    return Err(self.refused(format!("{byte:#04x}"), "an instruction of a pickle"));
                }
            };
            if opcode == Opcode::Stop {
                let root = self.pop()?;
                if self.stack.is_empty() && self.marks.is_empty() {
                    return Ok(root);
                }
                return Err(self.refused("values that nothing uses", "one value at the end"));
            }
            self.follow(opcode)?;
        }
    }

    fn follow(&mut self, opcode: Opcode) -> Result<(), Error> {
        match opcode {
            Opcode::Proto => self.protocol(),
            Opcode::Frame => self.frame(),
            Opcode::Stop => Ok(()), // The loop ends with it.
            Opcode::Mark => self.mark(),
            Opcode::None => self.push(Item::None),
            Opcode::NewTrue => self.push(Item::Bool(true)),
            Opcode::NewFalse => self.push(Item::Bool(false)),
            Opcode::BinInt => {
                let value = i32::from_le_bytes(self.input.array()?);
                self.push(Item::Int(value.into()))
            }
            Opcode::BinInt1 => {
                let value = self.input.byte()?;
                self.push(Item::Int(value.into()))
            }
            Opcode::BinInt2 => {
                let value = u16::from_le_bytes(self.input.array()?);
                self.push(Item::Int(value.into()))
            }
            Opcode::Long1 => self.long(),
            Opcode::BinFloat => {
                let value = f64::from_be_bytes(self.input.array()?);
                self.push(Item::Float(value))
            }
            Opcode::ShortBinString | Opcode::ShortBinUnicode => {
                let length = self.input.byte()?;
                self.text(length.into())
            }
            Opcode::BinUnicode => {
                let length = u32::from_le_bytes(self.input.array()?);
                self.text(length as usize)
            }
            Opcode::BinUnicode8 => {
                let length = self.input.length()?;
                self.text(length)
            }
            Opcode::EmptyList => self.push_node(Node::List(Vec::new())),
            Opcode::EmptyTuple => self.push_node(Node::Tuple(Vec::new())),
            Opcode::EmptyDict => self.push_node(Node::Dict(Vec::new())),
            Opcode::Tuple => {
                let items = self.pop_to_mark()?;
                self.push_node(Node::Tuple(items))
            }
            Opcode::Tuple1 => self.tuple(1),
            Opcode::Tuple2 => self.tuple(2),
            Opcode::Tuple3 => self.tuple(3),
            Opcode::Append => {
                let item = self.pop()?;
                self.append(&[item])
            }
            Opcode::Appends => {
                let items = self.pop_to_mark()?;
                self.append(&items)
            }
            Opcode::SetItem => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])
            }
            Opcode::SetItems => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)
            }
            Opcode::Global => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                self.class(module, name)
            }
            Opcode::StackGlobal => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (self.text_of(module), self.text_of(name)) {
                    (Some(module), Some(name)) => self.class(&module, &name),
                    _ => Err(self.refused("a class named by no text", "text")),
                }
            }
            Opcode::Reduce => self.reduce(),
            Opcode::Build => self.build(),
            Opcode::BinPersId => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push_node(Node::Storage(storage))
            }
            Opcode::BinPut => {
                let index = self.input.byte()?;
                self.memorize(index.into())
            }
            Opcode::LongBinPut => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.memorize(index as usize)
            }
            Opcode::Memoize => self.memorize(self.memo.len()),
            Opcode::BinGet => {
                let index = self.input.byte()?;
                self.recall(index.into())
            }
            Opcode::LongBinGet => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.recall(index as usize)
            }
        }
    }

    fn protocol(&mut self) -> Result<(), Error> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            other => Err(self.refused(format!("protocol {other}"), "a protocol up to 5")),
        }
    }

    /// Frames help to read in pieces; everything is in memory here.
    fn frame(&mut self) -> Result<(), Error> {
        let length = self.input.length()?;
        if length > self.input.left() {
            let found = format!("a frame of {length} bytes");
            return Err(self.refused(found, format!("at most {}", self.input.left())));
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Error> {
        if self.marks.len() >= MAX_STACK {
            return Err(self.refused("too many marks", format!("at most {MAX_STACK}")));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Pushes a little-endian integer in two's complement.
    fn long(&mut self) -> Result<(), Error> {
        let length = self.input.byte()?;
        let bytes = self.input.take(length.into())?;
        let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        let Some(low) = wide.get_mut(..bytes.len()) else {
            let found = format!("an integer of {length} bytes");
            return Err(self.refused(found, "at most 8 bytes"));
        };
        low.copy_from_slice(bytes);
        self.push(Item::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, length: usize) -> Result<(), Error> {
        let text = self.input.text(length)?;
        self.push_node(Node::Text(text.into()))
    }

    fn tuple(&mut self, length: usize) -> Result<(), Error> {
        let mut items = vec![Item::None; length];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push_node(Node::Tuple(items))
    }

    fn append(&mut self, items: &[Item]) -> Result<(), Error> {
        match self.top_node()? {
            Some(Node::List(list)) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(self.refused("values added to something else", "a list")),
        }
    }

    fn set_items(&mut self, items: &[Item]) -> Result<(), Error> {
        let (pairs, rest) = items.as_chunks();
        match self.top_node()? {
            Some(Node::Dict(entries)) if rest.is_empty() => {
                entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err(self.refused("entries that are no pairs, or of no dict", "entries of a dict")),
        }
    }

    fn class(&mut self, module: &str, name: &str) -> Result<(), Error> {
        match Class::named(module, name) {
            Some(class) => self.push(Item::Class(class)),
            None => {
                let found = format!("the class {}", quoted(&format!("{module}.{name}")));
                Err(self.refused(found, Class::KNOWN))
            }
        }
    }

    /// Keeps a value: at the next number, as picklers count, or in place of another.
    fn memorize(&mut self, index: usize) -> Result<(), Error> {
        let item = self.top()?;
        let known = self.memo.len();
        match self.memo.get_mut(index) {
            Some(place) => *place = item,
            None if index == known => self.memo.push(item),
            None => {
                let found = format!("memo {index}");
                return Err(self.refused(found, format!("at most the next, {known}")));
            }
        }
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), Error> {
        let Some(&item) = self.memo.get(index) else {
            let found = format!("memo {index}");
            return Err(self.refused(found, format!("one of {} that were set", self.memo.len())));
        };
        self.push(item)
    }

    pub(super) fn push(&mut self, item: Item) -> Result<(), Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.refused("too many values", format!("at most {MAX_VALUES}")));
        }
        if self.stack.len() >= MAX_STACK {
            return Err(self.refused("too many unfinished values", format!("at most {MAX_STACK}")));
        }
        self.stack.push(item);
        Ok(())
    }

    pub(super) fn push_node(&mut self, node: Node) -> Result<(), Error> {
        self.push(Item::Node(self.arena.len()))?;
        self.arena.push(node);
        Ok(())
    }

    /// How high the stack is below the values of the innermost mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Item, Error> {
        match self.stack.last() {
            Some(&item) if self.stack.len() > self.floor() => Ok(item),
            _ => Err(self.refused("no value", "a value on the stack")),
        }
    }

    fn top_node(&mut self) -> Result<Option<&mut Node>, Error> {
        Ok(match self.top()? {
            Item::Node(node) => Some(&mut self.arena[node]),
            _ => None,
        })
    }

    pub(super) fn pop(&mut self) -> Result<Item, Error> {
        let item = self.top()?;
        self.stack.pop();
        Ok(item)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Item>, Error> {
        let Some(mark) = self.marks.pop() else {
            return Err(self.refused("no mark", "a mark on the stack"));
        };
        // No pop goes below a mark.
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn node(&self, item: Item) -> Option<&Node> {
        match item {
            Item::Node(node) => Some(&self.arena[node]),
            _ => None,
        }
    }

    pub(super) fn text_of(&self, item: Item) -> Option<Arc<str>> {
        match self.node(item)? {
            Node::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The error that the running instruction is.
    pub(super) fn refused(
        &self,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> Error {
        self.input.malformed(self.opcode_at, found, expected)
    }
}
