//! Bytes and back: one byte with the format, then a protobuf message.
//! Must not know what a message says.

use bytes::Bytes;
use protobuf::Message;

use crate::error::{DecodeError, Unreadable};

/// A plain type and the message that carries it.
pub(crate) trait Form: Sized {
    type Message: Message;
    /// What people call it, in errors.
    const WHAT: &'static str;

    fn to_message(&self) -> Self::Message;
    fn from_message(message: Self::Message) -> Result<Self, Unreadable>;
}

/// Frames and rows count their formats separately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) version: u8,
    pub(crate) bytes_max: usize,
}

impl Format {
    /// The size is computed first, so there is one allocation, and each payload is copied once.
    pub(crate) fn encode<T: Form>(self, value: &T) -> Bytes {
        let message = value.to_message();
        let size = usize::try_from(message.compute_size()).expect("a message fits into memory");
        let mut bytes = Vec::with_capacity(1 + size);
        bytes.push(self.version);
        message.write_to_vec(&mut bytes).expect("a message without required fields can be written to memory");
        Bytes::from(bytes)
    }

    pub(crate) fn decode<T: Form>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        self.body(bytes)
            .and_then(|()| Ok(T::Message::parse_from_bytes(&bytes[1..])?))
            .and_then(T::from_message)
            .map_err(|why| why.of(T::WHAT, bytes.len()))
    }

    /// The same without copying: what the message calls `bytes` shares the frame's memory.
    pub(crate) fn decode_shared<T: Form>(self, bytes: &Bytes) -> Result<T, DecodeError> {
        self.body(bytes)
            .and_then(|()| Ok(T::Message::parse_from_tokio_bytes(&bytes.slice(1..))?))
            .and_then(T::from_message)
            .map_err(|why| why.of(T::WHAT, bytes.len()))
    }

    fn body(self, bytes: &[u8]) -> Result<(), Unreadable> {
        match bytes.first() {
            None => Err(Unreadable::Empty),
            Some(_) if bytes.len() > self.bytes_max => Err(Unreadable::Long(self.bytes_max)),
            Some(version) if *version != self.version => Err(Unreadable::Format(*version, self.version)),
            Some(_) => Ok(()),
        }
    }
}
