//! YAML as a tree that knows its lines.
//!
//! In: the text of a file, which may be hostile. Out: nodes with the line of each, and faults. What a
//! configuration has no use for is refused: aliases (a small file could stand for a huge one), tags, several
//! documents, keys that are not text. Scalars stay text; what a text means is for the reader to say, so a
//! node named `123` or `no` keeps its name.

use std::collections::HashSet;

use granit_parser::{Event, Parser, ScalarStyle, Span, options};

use super::fault::{Fault, Origin};

/// Levels of lists and sections; a configuration needs seven.
const MAX_DEPTH: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// A fault was found here, so this is passed over from now on.
    Faulty,
}

/// One step from a node to a node below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the top to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    /// A path of keys written with dots.
    pub(super) fn of(keys: &str) -> Self {
        Self::default().key(keys)
    }

    /// Goes on by keys written with dots.
    pub(super) fn key(&self, keys: &str) -> Self {
        let steps = keys.split('.').map(|key| Step::Key(key.to_owned()));
        Self(self.0.iter().cloned().chain(steps).collect())
    }

    /// Goes on by one key of the user's, which may hold dots.
    pub(super) fn entry(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// Goes on as another path does after as many steps.
    pub(super) fn beyond(mut self, path: &Self) -> Self {
        self.0.extend(path.0.iter().skip(self.0.len()).cloned());
        self
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

// === impl Node ===

impl Node {
    pub(super) fn new(origin: Origin, value: Value) -> Self {
        Self { origin, value }
    }

    /// The node at a path that counts all list items, to be changed.
    pub(super) fn at_mut(&mut self, path: &Path) -> Option<&mut Self> {
        path.0
            .iter()
            .try_fold(self, |node, step| match (&mut node.value, step) {
                (Value::Map(entries), Step::Key(key)) => entries
                    .iter_mut()
                    .find(|(name, _)| name == key)
                    .map(|(_, node)| node),
                (Value::List(items), Step::Index(index)) => items.get_mut(*index),
                _ => None,
            })
    }

    /// The node at a path, or the nearest one around it, and the way there.
    ///
    /// The path counts list items as a reader does, who passes over the faulty ones; the way counts them all.
    pub(super) fn nearest(&self, path: &Path) -> (&Self, Path) {
        let (mut node, mut way) = (self, Path::default());
        for step in &path.0 {
            let below = match (&node.value, step) {
                (Value::Map(entries), Step::Key(key)) => entries
                    .iter()
                    .find(|(name, _)| name == key)
                    .map(|(_, below)| (step.clone(), below)),
                (_, Step::Index(nth)) => node
                    .items()
                    .nth(*nth)
                    .map(|(index, item)| (Step::Index(index), item)),
                _ => None,
            };
            let Some((step, below)) = below else { break };
            way.0.push(step);
            node = below;
        }
        (node, way)
    }

    /// Whether something right below is faulty.
    pub(super) fn holds_faulty(&self) -> bool {
        match &self.value {
            Value::List(items) => items.iter().any(Self::is_faulty),
            Value::Map(entries) => entries.iter().any(|(_, node)| node.is_faulty()),
            _ => false,
        }
    }

    pub(super) fn is_faulty(&self) -> bool {
        matches!(self.value, Value::Faulty)
    }

    /// The items of a list that are sound, with their place in the file.
    pub(super) fn items(&self) -> impl Iterator<Item = (usize, &Self)> {
        let items = if let Value::List(items) = &self.value {
            items.as_slice()
        } else {
            &[]
        };
        items.iter().enumerate().filter(|(_, item)| !item.is_faulty())
    }

    /// The value of a key, put there as an empty one where it is missing; none if this is no section.
    pub(super) fn section(&mut self, key: &str) -> Option<&mut Self> {
        if matches!(self.value, Value::Null) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let place = entries
            .iter()
            .position(|(name, _)| name == key)
            .unwrap_or_else(|| {
                entries.push((key.to_owned(), Self::new(self.origin.clone(), Value::Null)));
                entries.len() - 1
            });
        entries.get_mut(place).map(|(_, node)| node)
    }

    /// Whether a section has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        matches!(&self.value, Value::Map(entries) if entries.iter().any(|(name, _)| name == key))
    }

    /// Puts a value where a section has none yet.
    pub(super) fn fill(&mut self, key: &str, node: Self) {
        if let Some(slot) = self.section(key)
            && matches!(slot.value, Value::Null)
        {
            *slot = node;
        }
    }
}

/// Parses one document. Its tree is whole even where there are faults; where the syntax breaks there is none.
pub(super) fn parse(text: &str, faults: &mut Vec<Fault>) -> Option<Node> {
    let mut options = options! { block_nesting_limit: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH };
    options.set_emit_comments(false);
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        faults,
        broken: false,
    };
    let mut root = None;
    loop {
        match builder.next() {
            Some((Event::DocumentStart(..), span)) => {
                let node = builder
                    .next()
                    .map(|(event, at)| builder.node(event, at, &Path::default()));
                if root.is_some() {
                    builder.fault(span, &Path::default(), "holds a second document: keep one");
                }
                root = root.or(node);
            }
            Some(_) => {}
            None if builder.broken => return None,
            None => return Some(root.unwrap_or(Node::new(Origin::Line(1), Value::Null))),
        }
    }
}

struct Builder<'a, 'f> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    faults: &'f mut Vec<Fault>,
    broken: bool,
}

impl<'a> Builder<'a, '_> {
    /// The next event; none at the end or where the syntax breaks, which is a fault.
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        match self.parser.next_event()? {
            Ok(next) => Some(next),
            Err(error) => {
                self.broken = true;
                self.faults.push(Fault {
                    origin: Origin::Line(error.marker().line()),
                    path: String::new(),
                    reason: format!("is no YAML: {}", error.info()),
                });
                None
            }
        }
    }

    fn fault(&mut self, span: Span, path: &Path, reason: &str) {
        let origin = Origin::Line(span.start.line());
        self.faults.push(Fault {
            origin,
            path: path.to_string(),
            reason: reason.to_owned(),
        });
    }

    /// The node that an event begins; the parser bounds how deep this goes.
    fn node(&mut self, event: Event<'a>, span: Span, path: &Path) -> Node {
        let tagged = event.tag().is_some();
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => Value::Null,
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => self.list(path),
            Event::MappingStart(..) => self.map(path),
            _ => {
                self.fault(span, path, "is a YAML alias: write the value out");
                Value::Faulty
            }
        };
        if tagged {
            self.fault(span, path, "has a YAML tag: remove it");
        }
        Node::new(Origin::Line(span.start.line()), value)
    }

    fn list(&mut self, path: &Path) -> Value {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next() {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let at = path.index(items.len());
            items.push(self.node(event, span, &at));
        }
        Value::List(items)
    }

    fn map(&mut self, path: &Path) -> Value {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some((event, span)) = self.next() {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let Value::Text(key) = self.node(event, span, path).value else {
                self.fault(span, path, "has a key that is not text: quote it");
                if let Some((event, span)) = self.next() {
                    self.node(event, span, path);
                }
                continue;
            };
            let Some((event, at)) = self.next() else { break };
            let path = path.entry(&key);
            let value = self.node(event, at, &path).value;
            if seen.insert(key.clone()) {
                entries.push((key, Node::new(Origin::Line(span.start.line()), value)));
            } else {
                self.fault(span, &path, "stands here a second time: keep one");
            }
        }
        Value::Map(entries)
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}
