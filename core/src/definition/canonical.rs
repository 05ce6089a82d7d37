//! A definition as JSON with a fixed order, what stores and sends it, and the hash that tells two versions apart.
//! Must not know YAML.

use super::model::Definition;
use crate::id::fnv1a64;

/// The JSON is not a definition's.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    #[error("the stored definition cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("the stored definition has {tasks} tasks, but its graph {graph}")]
    Graph { tasks: usize, graph: usize },
}

/// The definition as compact JSON; equal definitions give equal bytes. What has its default is left out.
pub fn to_json(definition: &Definition) -> Vec<u8> {
    serde_json::to_vec(definition).expect("maps of a definition have text as keys")
}

/// The definition of `to_json`; nothing is checked but shapes, and that the graph is one of these tasks.
pub fn from_json(json: &[u8]) -> Result<Definition, CanonicalError> {
    let definition: Definition = serde_json::from_slice(json)?;
    let (tasks, graph) = (definition.tasks.len(), definition.graph.len());
    if tasks == graph { Ok(definition) } else { Err(CanonicalError::Graph { tasks, graph }) }
}

/// 128 bits over the canonical JSON, as 32 hexadecimal digits: equal for definitions that mean the same, whatever
/// their comments, order of keys and spelling of defaults. Not a protection against somebody who wants a collision.
pub fn hash(definition: &Definition) -> String {
    hash_of_json(&to_json(definition))
}

/// The hash of a definition whose canonical JSON is at hand.
pub fn hash_of_json(json: &[u8]) -> String {
    // The second half starts from another state, so both halves collide only together.
    let second = json.iter().fold(!fnv1a64(b"hortator"), |hash, byte| {
        (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    format!("{:016x}{second:016x}", fnv1a64(json))
}
