//! Why bytes cannot be read, in words.
//! Must not know which message it is about until the outermost reader says so.

use hortator_core::id::NameError;

/// The bytes are not what they should be, or were written by a newer version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} of {bytes} bytes cannot be read: {why}")]
pub struct DecodeError {
    pub what: &'static str,
    pub bytes: usize,
    pub why: String,
}

/// What is wrong inside a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{what} number {number} is not known to this version; it was written by a newer one")]
    UnknownKind { what: &'static str, number: i64 },
    #[error("{what} is {value}, which is out of range")]
    Range { what: &'static str, value: u64 },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("value {name:?} is not JSON: {why}")]
    Json { name: String, why: String },
    #[error("the bytes are cut short or damaged ({0})")]
    Wire(String),
    #[error("it is empty")]
    Empty,
    #[error("it has format {0}, and this version knows {1} only")]
    Format(u8, u8),
    #[error("it is longer than the allowed {0} bytes")]
    Long(usize),
}

impl From<protobuf::Error> for Unreadable {
    fn from(error: protobuf::Error) -> Unreadable {
        Unreadable::Wire(error.to_string())
    }
}

impl Unreadable {
    pub(crate) fn of(self, what: &'static str, bytes: usize) -> DecodeError {
        DecodeError { what, bytes, why: self.to_string() }
    }
}
