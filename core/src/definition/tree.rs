//! YAML text as a compact tree in which every value knows its place: one array of nodes, one of children.
//! Must not know the format of definitions. Aliases share nodes, so nothing is expanded; all of it is bounded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::Code;
use super::findings::{Findings, Place};

/// Deepest nesting; the format itself needs eight, outputs and items a few more.
const DEPTH_MAX: usize = 64;
/// Most values: 100,000 tasks with 1,000,000 needs make about 3,000,000.
const NODES_MAX: usize = 4_000_000;
/// Most values that aliases may stand for together; what is read through them is read again each time.
const ALIASED_MAX: u64 = 100_000;

/// A node's place in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

#[derive(Debug)]
pub(super) struct Tree<'t> {
    nodes: Vec<Node<'t>>,
    children: Vec<NodeId>,
    root: NodeId,
}

#[derive(Debug)]
struct Node<'t> {
    place: Place,
    content: Content<'t>,
}

#[derive(Debug)]
enum Content<'t> {
    Scalar {
        text: Cow<'t, str>,
        plain: bool,
    },
    /// A part of `children`.
    List {
        first: u32,
        count: u32,
    },
    /// As a list, keys and values in turn.
    Map {
        first: u32,
        count: u32,
    },
}

/// What a node is, to match on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// A text and whether it was written without quotes.
    Scalar(&'a str, bool),
    List(&'a [NodeId]),
    /// Keys and values in turn.
    Map(&'a [NodeId]),
}

impl<'t> Tree<'t> {
    /// Reads the first document; what stops reading is found as a fault and leaves no tree.
    pub(super) fn parse(findings: &mut Findings<'t>) -> Option<Tree<'t>> {
        let mut options = granit_parser::options! {
            block_nesting_limit: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            disallow_directives: true,
        };
        options.set_emit_comments(false);
        let mut builder = Builder::default();
        for event in Parser::new_from_str_with_options(findings.text(), options) {
            let step = match event {
                Ok((event, span)) => builder.take(event, &span),
                Err(error) => Err(refuse(&error)),
            };
            if let Err((code, place, message, help)) = step {
                findings.error(code, place, message, String::new(), help);
                return None;
            }
        }
        let Some(root) = builder.root else {
            nothing(findings);
            return None;
        };
        Some(Tree { nodes: builder.nodes, children: builder.children, root })
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn place(&self, id: NodeId) -> Place {
        self.nodes[id.0 as usize].place
    }

    pub(super) fn shape(&self, id: NodeId) -> Shape<'_> {
        let part = |first: &u32, count: &u32| &self.children[*first as usize..(*first + *count) as usize];
        match &self.nodes[id.0 as usize].content {
            Content::Scalar { text, plain } => Shape::Scalar(text, *plain),
            Content::List { first, count } => Shape::List(part(first, count)),
            Content::Map { first, count } => Shape::Map(part(first, count)),
        }
    }
}

/// Says that there is no definition at all.
pub(super) fn nothing(findings: &mut Findings<'_>) {
    let help = Some("hortator workflow init prints one to begin with".into());
    let message = "the file holds no definition".into();
    findings.error(Code::MissingKey, Place::default(), message, String::new(), help);
}

type Refusal = (Code, Place, String, Option<String>);

#[derive(Default)]
struct Builder<'t> {
    nodes: Vec<Node<'t>>,
    children: Vec<NodeId>,
    /// Children of all open collections, innermost last.
    pending: Vec<NodeId>,
    open: Vec<Open>,
    /// Anchored nodes that are complete, and how many values each stands for.
    anchors: BTreeMap<usize, (NodeId, u64)>,
    aliased: u64,
    /// Values so far, those behind aliases included.
    total: u64,
    documents: usize,
    root: Option<NodeId>,
}

struct Open {
    node: NodeId,
    first_pending: usize,
    anchor: usize,
    total_before: u64,
}

impl<'t> Builder<'t> {
    fn take(&mut self, event: Event<'t>, span: &Span) -> Result<(), Refusal> {
        let place = place_of(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "the file holds more than one document".into();
                    return Err((
                        Code::ManyDocuments,
                        place,
                        message,
                        Some("put each definition into a file of its own".into()),
                    ));
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                no_tag(span)?;
                let plain = style == ScalarStyle::Plain;
                let node = self.add(Content::Scalar { text, plain }, place)?;
                if anchor > 0 {
                    self.anchors.insert(anchor, (node, 1));
                }
                self.finish(node);
            }
            Event::SequenceStart(_, anchor, _) => {
                no_tag(span)?;
                self.begin(Content::List { first: 0, count: 0 }, anchor, place)?;
            }
            Event::MappingStart(_, anchor, _) => {
                no_tag(span)?;
                self.begin(Content::Map { first: 0, count: 0 }, anchor, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            Event::Alias(anchor) => self.alias(anchor, place)?,
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, content: Content<'t>, place: Place) -> Result<NodeId, Refusal> {
        if self.nodes.len() >= NODES_MAX {
            let message = format!("the file holds more than {NODES_MAX} values");
            return Err((Code::TooComplex, place, message, None));
        }
        self.nodes.push(Node { place, content });
        self.total += 1;
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    fn begin(&mut self, content: Content<'t>, anchor: usize, place: Place) -> Result<(), Refusal> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(place));
        }
        let total_before = self.total;
        let node = self.add(content, place)?;
        self.open.push(Open { node, first_pending: self.pending.len(), anchor, total_before });
        Ok(())
    }

    fn end(&mut self, end: Place) {
        let open = self.open.pop().expect("the parser ends only what it began");
        let inner = self.pending.drain(open.first_pending..);
        let (first_child, added) = (self.children.len() as u32, inner.len() as u32);
        self.children.extend(inner);
        let node = &mut self.nodes[open.node.0 as usize];
        node.place.end = node.place.end.max(end.end);
        match &mut node.content {
            Content::List { first, count } | Content::Map { first, count } => {
                (*first, *count) = (first_child, added)
            }
            Content::Scalar { .. } => unreachable!("only collections are opened"),
        }
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, (open.node, self.total - open.total_before));
        }
        self.finish(open.node);
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Refusal> {
        let Some((node, size)) = self.anchors.get(&anchor).copied() else {
            return Err((
                Code::TooComplex,
                place,
                "an alias stands for something it is part of".into(),
                None,
            ));
        };
        self.aliased += size;
        self.total += size;
        if self.aliased > ALIASED_MAX {
            let message = format!("aliases repeat more than {ALIASED_MAX} values");
            return Err((
                Code::TooComplex,
                place,
                message,
                Some("write the values out, or use defaults".into()),
            ));
        }
        self.finish(node);
        Ok(())
    }

    fn finish(&mut self, node: NodeId) {
        match self.open.is_empty() {
            true => self.root = Some(node),
            false => self.pending.push(node),
        }
    }
}

fn place_of(span: &Span) -> Place {
    let range = span.byte_range().unwrap_or_default();
    Place::new(range.start, range.end)
}

fn no_tag(span: &Span) -> Result<(), Refusal> {
    let Some(tag) = span.tag_span() else { return Ok(()) };
    let help = Some("leave the tag out; put the value in quotes to make it text".into());
    Err((Code::YamlFeature, place_of(&tag), "tags are not used here".into(), help))
}

fn too_deep(place: Place) -> Refusal {
    (Code::TooComplex, place, format!("the file nests deeper than {DEPTH_MAX} levels"), None)
}

fn refuse(error: &ScanError) -> Refusal {
    let at = error.marker().byte_offset().unwrap_or(0);
    let place = Place::new(at, at + 1);
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(place),
        ErrorKind::DirectiveDisallowed => {
            (Code::YamlFeature, place, "directives are not used here".into(), Some("remove the line".into()))
        }
        ErrorKind::UnknownAnchor => (
            Code::Syntax,
            place,
            "an alias (*) names an anchor (&) that is not above it".into(),
            quote_hint(),
        ),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            (Code::Syntax, place, "a tab is used for indentation".into(), Some("indent with spaces".into()))
        }
        _ => (Code::Syntax, place, format!("this is not YAML: {}", error.info()), None),
    }
}

fn quote_hint() -> Option<String> {
    Some("put a text that begins with \"*\" or \"&\" in quotes".into())
}
