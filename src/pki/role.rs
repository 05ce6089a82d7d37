//! What a certificate makes of its holder, and how that is written into it: one URI.

use std::fmt;
use std::str::FromStr;

use hortator_core::id::Name;
use hortator_proto::frame::NodeId;

use super::{from_hex, hex};

const SCHEME: &str = "hortator://";

/// What the holder of a certificate may be taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeRole {
    Master(u64),
    Worker(Name),
    /// Serves the API and nothing else.
    Api,
}

/// A role in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName {
    pub cluster: [u8; 16],
    pub role: NodeRole,
}

/// Whom a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    Masters,
    Workers,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no node of a Hortator cluster")]
pub struct NodeNameError(String);

impl NodeRole {
    /// The node, when the role is one's that exchanges frames.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            NodeRole::Master(id) => Some(NodeId::Master(*id)),
            NodeRole::Worker(name) => Some(NodeId::Worker(name.clone())),
            NodeRole::Api => None,
        }
    }
}

impl PeerKind {
    pub fn admits(self, node: &NodeId) -> bool {
        match (self, node) {
            (PeerKind::Masters, NodeId::Master(_)) | (PeerKind::Workers, NodeId::Worker(_)) => true,
            (PeerKind::Masters, NodeId::Worker(_)) | (PeerKind::Workers, NodeId::Master(_)) => false,
        }
    }
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerKind::Masters => "masters",
            PeerKind::Workers => "workers",
        })
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeRole::Master(id) => write!(f, "master/{id}"),
            NodeRole::Worker(name) => write!(f, "worker/{name}"),
            NodeRole::Api => f.write_str("api"),
        }
    }
}

impl FromStr for NodeRole {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<NodeRole, NodeNameError> {
        let wrong = || NodeNameError(text.to_owned());
        match text.split_once('/') {
            None if text == "api" => Ok(NodeRole::Api),
            // As it is written only, so that one node has one name.
            Some(("master", id)) => match id.parse::<u64>() {
                Ok(number) if number > 0 && number.to_string() == id => Ok(NodeRole::Master(number)),
                _ => Err(wrong()),
            },
            Some(("worker", name)) => Name::new(name).map(NodeRole::Worker).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", hex(&self.cluster), self.role)
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<NodeName, NodeNameError> {
        let wrong = || NodeNameError(text.to_owned());
        let (cluster, role) =
            text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        let cluster = from_hex(cluster).filter(|bytes| hex(bytes) == cluster).ok_or_else(wrong)?;
        Ok(NodeName { cluster, role: role.parse().map_err(|_| wrong())? })
    }
}
