//! Frames of raft are most of what masters send each other. They are written and read without a message in between; the
//! bytes are the same. Must not look into payloads.

use bytes::Bytes;

use super::{DecodeError, FORMAT, PeerFrame};

/// The fields of `PeerFrame.raft`, `Payload.group` and `Payload.payload`, as they are written.
const RAFT: u8 = 1 << 3 | 2;
const GROUP: u8 = 1 << 3;
const PAYLOAD: u8 = 2 << 3 | 2;
/// Of a number of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

impl PeerFrame {
    pub fn encode(&self) -> Bytes {
        match self {
            PeerFrame::Raft { group, payload } => written(*group, payload),
            other => FORMAT.encode(other),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<PeerFrame, DecodeError> {
        PeerFrame::decode_shared(&Bytes::copy_from_slice(bytes))
    }

    /// The same without copying: payloads share the frame's memory and keep it alive.
    pub fn decode_shared(bytes: &Bytes) -> Result<PeerFrame, DecodeError> {
        match read(bytes) {
            Some(frame) => Ok(frame),
            None => FORMAT.decode_shared(bytes),
        }
    }
}

/// Fields with nothing in them are left out.
fn written(group: u32, payload: &Bytes) -> Bytes {
    let mut inner = Vec::with_capacity(2 + 2 * VARINT_BYTES_MAX);
    if group > 0 {
        inner.push(GROUP);
        put_varint(&mut inner, u64::from(group));
    }
    if !payload.is_empty() {
        inner.push(PAYLOAD);
        put_varint(&mut inner, payload.len() as u64);
    }
    let mut frame = Vec::with_capacity(2 + VARINT_BYTES_MAX + inner.len() + payload.len());
    frame.extend([FORMAT.version, RAFT]);
    put_varint(&mut frame, (inner.len() + payload.len()) as u64);
    frame.extend_from_slice(&inner);
    frame.extend_from_slice(payload);
    frame.into()
}

/// None for whatever is not written exactly like that, good or bad.
fn read(frame: &Bytes) -> Option<PeerFrame> {
    let rest = frame.strip_prefix(&[FORMAT.version, RAFT]).filter(|_| frame.len() <= FORMAT.bytes_max)?;
    let (length, rest) = varint(rest)?;
    let rest = rest.strip_prefix(&[GROUP]).filter(|_| length == rest.len() as u64)?;
    let (group, rest) = varint(rest)?;
    let (length, rest) = varint(rest.strip_prefix(&[PAYLOAD])?)?;
    let payload = frame.slice_ref(rest);
    (length == rest.len() as u64).then_some(PeerFrame::Raft { group: u32::try_from(group).ok()?, payload })
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(VARINT_BYTES_MAX - 1).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_message() {
        for group in [0, 1, 127, 128, 70_000, u32::MAX] {
            for length in [0, 1, 100, 127, 128, 130, 20_000, 3_000_000] {
                let frame = PeerFrame::Raft { group, payload: vec![7; length].into() };
                let bytes = frame.encode();
                assert_eq!(bytes, FORMAT.encode(&frame), "group {group}, {length} bytes");
                assert_eq!(PeerFrame::decode(&bytes).ok(), Some(frame.clone()));
                assert_eq!(FORMAT.decode::<PeerFrame>(&bytes).ok(), Some(frame));
            }
        }
    }

    #[test]
    fn whatever_else_there_is_the_message_judges() {
        let good = PeerFrame::Raft { group: 300, payload: vec![7; 200].into() }.encode();
        for at in 0..12 {
            for byte in 0..=u8::MAX {
                let mut bytes = good.to_vec();
                bytes[at] = byte;
                let (quick, general) = (PeerFrame::decode(&bytes), FORMAT.decode::<PeerFrame>(&bytes));
                assert_eq!(quick.ok(), general.ok(), "{byte} at {at}");
            }
        }
        for length in 0..good.len() {
            let cut = &good[..length];
            assert_eq!(PeerFrame::decode(cut).ok(), FORMAT.decode::<PeerFrame>(cut).ok(), "{length} bytes");
        }
    }
}
