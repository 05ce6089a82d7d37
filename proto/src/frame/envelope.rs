//! What lies around a frame that speaks for a group or is relayed, and what nodes tell each other about their links.
//! Must not know which path a frame should take.

use bytes::Bytes;
use hortator_core::id::Name;

use super::{FRAME_BYTES_MAX, NodeId};
use crate::codec::{Form, Format};
use crate::convert::{id, need, unknown_kind};
use crate::error::{DecodeError, Unreadable};
use crate::generated::frame as wire;

/// Plain frames have format 1.
const FORMAT: Format = Format { version: 0x45, bytes_max: FRAME_BYTES_MAX };

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub speaks_for: SpeaksFor,
    pub route: Route,
    pub content: Content,
}

/// In whose name a frame is sent: who has heard of a later term of that group refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeaksFor {
    Nobody,
    Group { group: u32, term: u64 },
}

/// Which way a frame goes. A relay passes a frame on that comes from its origin, and so each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Direct,
    Relayed { origin: NodeId, destination: NodeId, via: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Frame(Bytes),
    Links(Links),
    /// All workers to which the sender has a good link.
    Workers {
        version: u64,
        names: Vec<Name>,
    },
}

/// The sender's links, told to each of its peers several times in the time after which silence counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Something came directly from the one to whom this is told, not long ago.
    pub hears_you: bool,
    /// Masters to which the sender has a good link: both hear each other.
    pub masters: Vec<u64>,
    /// Of its list of workers.
    pub workers_version: u64,
    /// Of the receiver's list of workers, as the sender has it.
    pub workers_known: u64,
    /// Paths of the sender that lead over a third; for people.
    pub relayed: Vec<RelayedPath>,
}

/// A path over a third.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedPath {
    pub to: NodeId,
    pub via: u64,
}

impl Envelope {
    pub fn encode(&self) -> Bytes {
        FORMAT.encode(self)
    }

    /// Without copying: the frame shares the envelope's memory.
    pub fn decode_shared(bytes: &Bytes) -> Result<Envelope, DecodeError> {
        FORMAT.decode_shared(bytes)
    }

    /// Whether these bytes are an envelope and no plain frame.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.first() == Some(&FORMAT.version)
    }
}

impl Form for Envelope {
    type Message = wire::Envelope;
    const WHAT: &'static str = "envelope";

    fn to_message(&self) -> wire::Envelope {
        use wire::envelope::Body;
        let body = match &self.content {
            Content::Frame(frame) => Body::Frame(frame.clone()),
            Content::Links(links) => Body::Links(links_message(links)),
            Content::Workers { version, names } => Body::Workers(wire::LinkedWorkers {
                version: *version,
                names: names.iter().map(ToString::to_string).collect(),
                ..Default::default()
            }),
        };
        let speaks_for = match self.speaks_for {
            SpeaksFor::Nobody => None,
            SpeaksFor::Group { group, term } => Some(wire::SpeaksFor { group, term, ..Default::default() }),
        };
        let relayed = match &self.route {
            Route::Direct => None,
            Route::Relayed { origin, destination, via } => Some(wire::Relayed {
                origin: Some(node_message(origin)).into(),
                destination: Some(node_message(destination)).into(),
                via: *via,
                ..Default::default()
            }),
        };
        wire::Envelope {
            body: Some(body),
            speaks_for: speaks_for.into(),
            relayed: relayed.into(),
            ..Default::default()
        }
    }

    fn from_message(message: wire::Envelope) -> Result<Envelope, Unreadable> {
        use wire::envelope::Body;
        let content = match message.body {
            Some(Body::Frame(frame)) => Content::Frame(frame),
            Some(Body::Links(links)) => Content::Links(read_links(links)?),
            Some(Body::Workers(m)) => Content::Workers {
                version: m.version,
                names: m.names.into_iter().map(id::name).collect::<Result<_, _>>()?,
            },
            None => return Err(unknown_kind("kind of envelope", &message.special_fields)),
        };
        let speaks_for = match message.speaks_for.into_option() {
            None => SpeaksFor::Nobody,
            Some(m) => SpeaksFor::Group { group: m.group, term: m.term },
        };
        let route = match message.relayed.into_option() {
            None => Route::Direct,
            Some(m) => Route::Relayed {
                origin: node(need(m.origin, "origin")?)?,
                destination: node(need(m.destination, "destination")?)?,
                via: m.via,
            },
        };
        Ok(Envelope { speaks_for, route, content })
    }
}

fn links_message(links: &Links) -> wire::Links {
    let path = |path: &RelayedPath| wire::RelayedPath {
        to: Some(node_message(&path.to)).into(),
        via: path.via,
        ..Default::default()
    };
    wire::Links {
        hears_you: links.hears_you,
        masters: links.masters.clone(),
        workers_version: links.workers_version,
        workers_known: links.workers_known,
        relayed: links.relayed.iter().map(path).collect(),
        ..Default::default()
    }
}

fn read_links(message: wire::Links) -> Result<Links, Unreadable> {
    let path = |m: wire::RelayedPath| Ok(RelayedPath { to: node(need(m.to, "end of a path")?)?, via: m.via });
    Ok(Links {
        hears_you: message.hears_you,
        masters: message.masters,
        workers_version: message.workers_version,
        workers_known: message.workers_known,
        relayed: message.relayed.into_iter().map(path).collect::<Result<_, Unreadable>>()?,
    })
}

fn node_message(node: &NodeId) -> wire::Node {
    use wire::node::Node;
    let node = match node {
        NodeId::Master(id) => Node::Master(*id),
        NodeId::Worker(name) => Node::Worker(name.to_string()),
    };
    wire::Node { node: Some(node), ..Default::default() }
}

fn node(message: wire::Node) -> Result<NodeId, Unreadable> {
    use wire::node::Node;
    match message.node {
        Some(Node::Master(id)) => Ok(NodeId::Master(id)),
        Some(Node::Worker(name)) => Ok(NodeId::Worker(id::name(name)?)),
        None => Err(unknown_kind("kind of node", &message.special_fields)),
    }
}
