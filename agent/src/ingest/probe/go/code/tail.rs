//! The end of an amd64 function: from where does every way lead to a RET, with nothing left to do?
//!
//! In: the graph of its instructions. Out: return points, cheap where the code allows it.
//!
//! Why it is sound: the *tail* is a set of instructions that holds each RET and that is never left once
//! entered: every instruction that may follow one of the tail is in the tail. So each call that returns
//! enters it, once. The points are its entrances, none of which can be reached from within. What is said
//! of an instruction of the tail (how deep the stack is, where a result is) is derived backward from RET,
//! where the stack is as at entry and each result in its register, and holds on every way.
//!
//! A call that panics between the point and the RET is reported as returned.

use std::collections::VecDeque;

use iced_x86::InstructionInfoFactory;

use super::{
    Register, Return, ReturnKind, Source, Want, amd64,
    callees::Callee,
    graph::{Flow, Graph},
    value::{self, Place},
};

/// What holds right before an instruction of the tail runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    /// How far SP is below where it was at entry.
    depth: i32,
    /// Where each wanted result is; `None` where no single place holds it on every way.
    results: Vec<Option<Place>>,
}

struct Tail<'a> {
    graph: &'a Graph,
    wants: &'a [Want],
    /// The prologue is no place to return from.
    entry: u32,
    states: Vec<Option<State>>,
}

/// The return points of the function, or none that are better than its RETs.
///
/// A jump through a table may go anywhere, also around a point: then only the RETs are sure.
pub(super) fn returns(graph: &Graph, entry: u32, wants: &[Want]) -> Option<Vec<Return>> {
    if graph.nodes.iter().any(|node| node.flow == Flow::Anywhere) {
        return None;
    }
    let mut tail = Tail::grow(graph, entry, wants);
    tail.shrink();
    let entrances = (0..graph.nodes.len()).filter(|&index| tail.holds(index) && tail.is_entrance(index));
    let mut returns = entrances
        .map(|index| tail.point(tail.later(index)))
        .collect::<Option<Vec<_>>>()?;
    returns.sort_by_key(|point| point.offset);
    Some(returns)
}

impl<'a> Tail<'a> {
    /// Everything from which all ways that return lead to a RET without a call of consequence or a loop.
    fn grow(graph: &'a Graph, entry: u32, wants: &'a [Want]) -> Self {
        let returning = returning(graph);
        let recovers = graph.nodes.iter().any(|node| node.flow.resumes());
        let mut tail = Self {
            graph,
            wants,
            entry,
            states: vec![None; graph.nodes.len()],
        };
        let mut info = InstructionInfoFactory::new();
        // An instruction is looked at when all its successors are in; in a loop none ever is.
        let mut missing: Vec<usize> = (0..graph.nodes.len())
            .map(|index| graph.after(index).filter(|&after| returning[after]).count())
            .collect();
        let mut ready: Vec<usize> = (0..graph.nodes.len())
            .filter(|&index| graph.nodes[index].flow == Flow::Ret)
            .collect();
        while let Some(index) = ready.pop() {
            let strays = graph.after(index).any(|after| !returning[after]);
            let node = &graph.nodes[index];
            let may_panic =
                node.flow == Flow::Call(Callee::Idle) || value::may_fault(&node.instruction, &mut info);
            // A panic that this function recovers would bring it back to a point after it had passed one.
            if recovers && (strays || may_panic) {
                continue;
            }
            tail.states[index] = tail.derive(index, &mut info);
            if tail.states[index].is_some() {
                for &before in graph.before(index) {
                    missing[before] -= 1;
                    if missing[before] == 0 {
                        ready.push(before);
                    }
                }
            }
        }
        tail
    }

    /// What holds before this instruction, from what holds after it; none if it cannot be in the tail.
    fn derive(&self, index: usize, info: &mut InstructionInfoFactory) -> Option<State> {
        let node = &self.graph.nodes[index];
        if node.flow == Flow::Ret {
            let result = |want: &Want| Some(Place::Register(want.register()));
            return Some(State {
                depth: 0,
                results: self.wants.iter().map(result).collect(),
            });
        }
        // And before the goroutine is in its register again, no call can be told from another.
        let of_consequence = matches!(
            node.flow,
            Flow::Call(Callee::Consequence | Callee::Defers | Callee::Diverges)
        );
        if of_consequence || value::sets(amd64::GOROUTINE, &node.instruction, info) {
            return None;
        }
        let mut after = self
            .graph
            .after(index)
            .filter_map(|after| self.states[after].as_ref());
        let first = after.next()?.clone();
        let joined = match after.next() {
            None => first,
            Some(second) if first.depth != second.depth => return None,
            Some(second) => State {
                depth: first.depth,
                results: self.join(index, &first, second),
            },
        };
        let depth = joined.depth - value::deepens(&node.instruction)?;
        let before = |place: &Option<Place>| match (node.flow, (*place)?) {
            (Flow::Call(Callee::Barrier), place) => (place != Place::Register(R11)).then_some(place),
            (Flow::Call(Callee::Idle), place) => (place == Place::Zero).then_some(place),
            (_, place) => value::before(place, &node.instruction, depth, info),
        };
        let results = joined.results.iter().map(before).collect();
        Some(State { depth, results })
    }

    /// The branch decides between two places of each result.
    fn join(&self, branch: usize, first: &State, second: &State) -> Vec<Option<Place>> {
        // `first` is where the branch goes, `second` is what comes next.
        let zero = value::zero_at(self.graph, branch);
        let both = first.results.iter().zip(&second.results);
        let places = self.wants.iter().zip(both).map(|(&want, (&first, &second))| {
            let (first, second) = (first?, second?);
            value::join(want, first, second, zero)
        });
        places.collect()
    }

    /// Takes out what would be an entrance but cannot be a point, and what leads to an entrance from within.
    fn shrink(&mut self) {
        let mut suspects: VecDeque<usize> = (0..self.graph.nodes.len()).collect();
        while let Some(index) = suspects.pop_front() {
            if !self.holds(index) || !self.is_entrance(index) {
                continue;
            }
            let mut out: Vec<usize> = self.graph.before(index).to_vec();
            if !self.can_point(index) {
                out.push(index);
            }
            while let Some(index) = out.pop() {
                if self.states[index].take().is_some() {
                    out.extend(self.graph.before(index));
                    suspects.extend(self.graph.after(index));
                }
            }
        }
    }

    fn holds(&self, index: usize) -> bool {
        self.states[index].is_some()
    }

    /// May it be reached from outside of the tail?
    fn is_entrance(&self, index: usize) -> bool {
        let before = self.graph.before(index);
        index == 0 || before.is_empty() || before.iter().any(|&before| !self.holds(before))
    }

    /// The last place for a point on the only way that leads on from here: nearer to the RET is truer.
    fn later(&self, entrance: usize) -> usize {
        let mut point = entrance;
        let mut at = entrance;
        loop {
            let mut after = self.graph.after(at).filter(|&after| self.holds(after));
            let (Some(next), None) = (after.next(), after.next()) else {
                return point;
            };
            let returns = self.graph.nodes[next].flow == Flow::Ret;
            if returns || self.graph.before(next).len() != 1 || self.is_entrance(next) {
                return point;
            }
            if self.can_point(next) {
                point = next;
            }
            at = next;
        }
    }

    fn can_point(&self, index: usize) -> bool {
        self.point(index).is_some()
    }

    fn point(&self, index: usize) -> Option<Return> {
        let node = &self.graph.nodes[index];
        let offset = node.offset();
        if node.flow == Flow::Ret {
            return Some(Return::ret(offset, self.wants));
        }
        let state = self.states[index].as_ref()?;
        let frame = u32::try_from(state.depth).ok()?;
        let source = |place: &Option<Place>| match (*place)? {
            Place::Register(register) => Some(Source::Register(register)),
            Place::Zero => Some(Source::Zero),
            Place::Slot(slot) => u32::try_from(state.depth + slot).ok().map(Source::Stack),
        };
        let results = state.results.iter().map(source).collect::<Option<_>>()?;
        (offset > self.entry && node.emulated).then_some(Return {
            offset,
            frame,
            kind: ReturnKind::Early,
            results,
        })
    }
}

/// The instructions from which a RET may be reached.
fn returning(graph: &Graph) -> Vec<bool> {
    let mut returning = vec![false; graph.nodes.len()];
    let mut reached: Vec<usize> = (0..graph.nodes.len())
        .filter(|&index| graph.nodes[index].flow == Flow::Ret)
        .collect();
    while let Some(index) = reached.pop() {
        if !std::mem::replace(&mut returning[index], true) {
            reached.extend(graph.before(index));
        }
    }
    returning
}

const R11: Register = Register(11);
