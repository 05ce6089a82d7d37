//! What travels between replicas of a group: one kind byte, a number (most often the sender's boot counter), a body.
//! Knows only bytes; who may say what is judged by the group.

use bytes::{Buf, Bytes};
use protobuf2::Message as _;
use raft::eraftpb::Message;

use crate::hello::Hello;
use crate::position::ReplicaId;

/// Largest payload taken from a peer, in bytes: frames end at 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest encoded rows of one snapshot chunk, in bytes.
pub(crate) const CHUNK_BYTES_MAX: usize = 1024 * 1024;

const KIND_RAFT: u8 = 0;
const KIND_FETCH: u8 = 1;
const KIND_CHUNK: u8 = 2;
const KIND_FETCHED: u8 = 3;
const KIND_HELLO: u8 = 4;
const KIND_WHO: u8 = 5;
const KIND_REFUSAL: u8 = 6;
const KIND_WHO_IS: u8 = 7;
const KIND_INTRODUCTION: u8 = 8;

/// What a greeting answers; no question has this number.
pub(crate) const UNASKED: u64 = 0;

/// One payload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Envelope {
    /// A message of raft itself.
    Raft { boot: u64, message: Message },
    /// Asks for a chunk of a snapshot: the rows after a key.
    Fetch { boot: u64, fetch: Fetch },
    /// Rows of a snapshot.
    Chunk { boot: u64, chunk: SnapshotChunk },
    /// The snapshot is installed, or not wanted (`ok` false: it failed).
    Fetched { boot: u64, id: u64, ok: bool },
    /// Who I am, and which question that answers; [`UNASKED`] when nobody asked.
    Hello { answers: u64, hello: Hello },
    /// Who are you? What I was told of you does not fit, or I was told nothing.
    Who { question: u64 },
    /// I refuse that boot of yours, and why.
    Refusal { boot: u64, reason: String },
    /// Do you know that peer?
    WhoIs { peer: ReplicaId },
    /// What a peer once said of itself to me, as far as I remember it.
    Introduction { hello: Hello },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) id: u64,
    pub(crate) ordinal: u32,
    pub(crate) after: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotChunk {
    pub(crate) id: u64,
    pub(crate) ordinal: u32,
    pub(crate) body: ChunkBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChunkBody {
    /// The sender has no such snapshot any more.
    Gone,
    /// Rows; `next_after` is the key to ask for next, nothing after the last chunk.
    Rows { rows: Bytes, count: u64, next_after: Option<Bytes> },
}

/// Why a payload is no envelope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EnvelopeError {
    #[error("payload kind {0} is not known to this build")]
    UnknownKind(u8),
    #[error("payload is cut short")]
    CutShort,
    #[error("checksum of the chunk does not match")]
    Checksum,
    #[error("not a raft message: {0}")]
    Raft(String),
}

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Envelope::Raft { boot, message } => {
                out.reserve(16 + message.compute_size() as usize);
                head(&mut out, KIND_RAFT, *boot);
                message.write_to_vec(&mut out).expect("a raft message always encodes");
            }
            Envelope::Fetch { boot, fetch } => {
                head(&mut out, KIND_FETCH, *boot);
                out.extend_from_slice(&fetch.id.to_le_bytes());
                out.extend_from_slice(&fetch.ordinal.to_le_bytes());
                put_key(&mut out, fetch.after.as_ref());
            }
            Envelope::Chunk { boot, chunk } => {
                head(&mut out, KIND_CHUNK, *boot);
                encode_chunk(chunk, &mut out);
            }
            Envelope::Fetched { boot, id, ok } => {
                head(&mut out, KIND_FETCHED, *boot);
                out.extend_from_slice(&id.to_le_bytes());
                out.push(u8::from(*ok));
            }
            Envelope::Hello { answers, hello } => {
                head(&mut out, KIND_HELLO, *answers);
                hello.encode(&mut out);
            }
            Envelope::Who { question } => head(&mut out, KIND_WHO, *question),
            Envelope::Refusal { boot, reason } => {
                head(&mut out, KIND_REFUSAL, *boot);
                out.extend_from_slice(reason.as_bytes());
            }
            Envelope::WhoIs { peer } => head(&mut out, KIND_WHO_IS, *peer),
            Envelope::Introduction { hello } => {
                head(&mut out, KIND_INTRODUCTION, hello.replica);
                hello.encode(&mut out);
            }
        }
        out.into()
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Envelope, EnvelopeError> {
        let mut rest = payload;
        let kind = number(&mut rest, 1)? as u8;
        let first = number(&mut rest, 8)?;
        match kind {
            KIND_HELLO => Ok(Envelope::Hello { answers: first, hello: hello(rest)? }),
            KIND_WHO => Ok(Envelope::Who { question: first }),
            KIND_WHO_IS => Ok(Envelope::WhoIs { peer: first }),
            KIND_INTRODUCTION => Ok(Envelope::Introduction { hello: hello(rest)? }),
            KIND_REFUSAL => {
                Ok(Envelope::Refusal { boot: first, reason: String::from_utf8_lossy(rest).into_owned() })
            }
            KIND_RAFT => match Message::parse_from_bytes(rest) {
                Ok(message) => Ok(Envelope::Raft { boot: first, message }),
                Err(error) => Err(EnvelopeError::Raft(error.to_string())),
            },
            KIND_FETCH => {
                let id = number(&mut rest, 8)?;
                let ordinal = number(&mut rest, 4)? as u32;
                let after = take_key(&mut rest)?;
                Ok(Envelope::Fetch { boot: first, fetch: Fetch { id, ordinal, after } })
            }
            KIND_CHUNK => Ok(Envelope::Chunk { boot: first, chunk: decode_chunk(rest)? }),
            KIND_FETCHED => {
                let id = number(&mut rest, 8)?;
                Ok(Envelope::Fetched { boot: first, id, ok: number(&mut rest, 1)? == 1 })
            }
            other => Err(EnvelopeError::UnknownKind(other)),
        }
    }
}

/// What a payload that passes between replicas says, in a few words for people; nothing for what only keeps up.
pub fn words_of(payload: &[u8]) -> Option<String> {
    use raft::eraftpb::MessageType;
    let message = match Envelope::decode(payload).ok()? {
        Envelope::Raft { message, .. } => message,
        Envelope::Fetch { fetch, .. } => {
            return Some(format!("asks for part {} of a snapshot", fetch.ordinal));
        }
        Envelope::Chunk { chunk, .. } => return Some(format!("part {} of a snapshot", chunk.ordinal)),
        Envelope::Refusal { reason, .. } => return Some(format!("refuses: {reason}")),
        _ => return None,
    };
    let term = message.term;
    match message.get_msg_type() {
        MessageType::MsgRequestVote => Some(format!("asks for its vote in term {term}")),
        MessageType::MsgRequestVoteResponse if message.reject => Some(format!("no vote in term {term}")),
        MessageType::MsgRequestVoteResponse => Some(format!("its vote in term {term}")),
        MessageType::MsgTimeoutNow => Some("hands leadership over".to_owned()),
        MessageType::MsgSnapshot => Some("offers a snapshot".to_owned()),
        MessageType::MsgAppend if !message.entries.is_empty() => {
            let (from, to) = (message.index + 1, message.index + message.entries.len() as u64);
            Some(if from == to { format!("entry {from}") } else { format!("entries {from} to {to}") })
        }
        _ => None,
    }
}

fn head(out: &mut Vec<u8>, kind: u8, boot: u64) {
    out.push(kind);
    out.extend_from_slice(&boot.to_le_bytes());
}

fn encode_chunk(chunk: &SnapshotChunk, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&chunk.id.to_le_bytes());
    out.extend_from_slice(&chunk.ordinal.to_le_bytes());
    match &chunk.body {
        ChunkBody::Gone => out.push(0),
        ChunkBody::Rows { rows, count, next_after } => {
            out.push(1);
            out.extend_from_slice(&count.to_le_bytes());
            put_key(out, next_after.as_ref());
            out.extend_from_slice(rows);
        }
    }
    let crc = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

fn decode_chunk(mut rest: &[u8]) -> Result<SnapshotChunk, EnvelopeError> {
    let crc = number(&mut rest, 4)? as u32;
    if crc32fast::hash(rest) != crc {
        return Err(EnvelopeError::Checksum);
    }
    let id = number(&mut rest, 8)?;
    let ordinal = number(&mut rest, 4)? as u32;
    let body = if number(&mut rest, 1)? == 0 {
        ChunkBody::Gone
    } else {
        let count = number(&mut rest, 8)?;
        let next_after = take_key(&mut rest)?;
        ChunkBody::Rows { rows: Bytes::copy_from_slice(rest), count, next_after }
    };
    Ok(SnapshotChunk { id, ordinal, body })
}

/// A key or none: the length plus one, or zero.
fn put_key(out: &mut Vec<u8>, key: Option<&Bytes>) {
    let length = key.map_or(0, |key| key.len() as u32 + 1);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(key.map_or(&[], |key| key));
}

fn take_key(rest: &mut &[u8]) -> Result<Option<Bytes>, EnvelopeError> {
    let Some(length) = (number(rest, 4)? as usize).checked_sub(1) else {
        return Ok(None);
    };
    let (key, left) = rest.split_at_checked(length).ok_or(EnvelopeError::CutShort)?;
    *rest = left;
    Ok(Some(Bytes::copy_from_slice(key)))
}

fn hello(rest: &[u8]) -> Result<Hello, EnvelopeError> {
    Hello::decode(rest).ok_or(EnvelopeError::CutShort)
}

fn number(rest: &mut &[u8], bytes: usize) -> Result<u64, EnvelopeError> {
    if rest.len() < bytes {
        return Err(EnvelopeError::CutShort);
    }
    Ok(rest.get_uint_le(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::Lives;

    fn greeting() -> Hello {
        let (cluster_id, lives) = ([1; 16], Lives::default());
        Hello { cluster_id, group: 2, replica: 3, origin: 4, boot: 5, lives, term: 6, commit: 7, last: 8 }
    }

    fn samples() -> Vec<Envelope> {
        let rows = ChunkBody::Rows {
            rows: Bytes::from_static(b"rows"),
            count: 3,
            next_after: Some(Bytes::from_static(b"key")),
        };
        vec![
            Envelope::Raft { boot: 3, message: Message { term: 4, ..Message::default() } },
            Envelope::Fetch { boot: 1, fetch: Fetch { id: 9, ordinal: 2, after: None } },
            Envelope::Fetch { boot: 1, fetch: Fetch { id: 9, ordinal: 2, after: Some(Bytes::new()) } },
            Envelope::Chunk { boot: 1, chunk: SnapshotChunk { id: 9, ordinal: 2, body: ChunkBody::Gone } },
            Envelope::Chunk { boot: 1, chunk: SnapshotChunk { id: 9, ordinal: 2, body: rows } },
            Envelope::Fetched { boot: 5, id: 7, ok: true },
            Envelope::Hello { answers: 4, hello: greeting() },
            Envelope::Who { question: 5 },
            Envelope::Refusal { boot: 6, reason: "because".into() },
            Envelope::WhoIs { peer: 3 },
            Envelope::Introduction { hello: greeting() },
        ]
    }

    #[test]
    fn decodes_what_it_encoded() {
        for envelope in samples() {
            assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }

    #[test]
    fn a_damaged_chunk_is_noticed() {
        let payload = samples().remove(4).encode();
        for at in 9..payload.len() {
            let mut damaged = payload.to_vec();
            damaged[at] ^= 1;
            assert_eq!(Envelope::decode(&damaged), Err(EnvelopeError::Checksum), "byte {at}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Envelope::decode(&[]), Err(EnvelopeError::CutShort));
        assert_eq!(Envelope::decode(&[99, 0, 0, 0, 0, 0, 0, 0, 0]), Err(EnvelopeError::UnknownKind(99)));
    }
}
