//! An order in which nodes can be run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::proto::NodeProto;
use crate::text;
use crate::{Error, ErrorKind};

/// Sorts nodes so that each comes after those it needs; of those that could come next, the one that
/// comes first in the file. `needs[n]` are the nodes whose outputs node `n` uses.
pub(super) fn topological(nodes: &[NodeProto], needs: &[Vec<usize>]) -> Result<Vec<usize>, Error> {
    let mut users = vec![Vec::new(); nodes.len()];
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (node, needed) in needs.iter().enumerate() {
        for &maker in needed {
            users[maker].push(node);
        }
    }
    let ready = open.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut ready: BinaryHeap<_> = ready.map(|(node, _)| Reverse(node)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &user in &users[node] {
            open[user] -= 1;
            if open[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if order.len() == nodes.len() { Ok(order) } else { Err(cycle(nodes, needs, &open)) }
}

/// The error that names the nodes of one cycle; `open[n]` is above 0 for what could not be run.
fn cycle(nodes: &[NodeProto], needs: &[Vec<usize>], open: &[usize]) -> Error {
    // Going from a node to one that it waits for, a node comes again at last.
    let blocked = |node: &usize| open[*node] > 0;
    let mut seen_at = vec![None; nodes.len()];
    let mut path = Vec::new();
    let mut next = (0..nodes.len()).find(blocked);
    while let Some(node) = next {
        if let Some(start) = seen_at[node] {
            path.drain(..start);
            break;
        }
        seen_at[node] = Some(path.len());
        path.push(node);
        next = needs[node].iter().copied().find(blocked);
    }
    // From inputs to outputs, as people read, and from the first of the file.
    path.reverse();
    let first = path.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
    path.rotate_left(first);
    let names = path.iter().map(|&node| {
        let node = &nodes[node];
        let first_output = node.output.first().map(String::as_str).unwrap_or_default();
        if node.name().is_empty() { first_output } else { node.name() }
    });
    let found = format_args!("nodes that depend on each other in a circle: {}", text::list(names));
    Error::new(ErrorKind::Graph, found).expected("a graph without cycles")
}
