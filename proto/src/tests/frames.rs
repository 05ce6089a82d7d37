//! Frames come back as they went in; no frame is read as one of another direction.

use bytes::Bytes;
use proptest::prelude::*;

use super::frame_strategies as any;
use crate::frame::{
    Content, DecodeError, Envelope, FRAME_BYTES_MAX, FromWorker, Handshake, Heartbeat, PeerFrame, Route,
    SpeaksFor, ToWorker,
};

proptest! {
    #[test]
    fn handshakes(frame in any::handshake()) {
        prop_assert_eq!(Handshake::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn peer_frames(frame in any::peer_frame()) {
        let bytes = frame.encode();
        prop_assert_eq!(PeerFrame::decode(&bytes), Ok(frame.clone()));
        prop_assert_eq!(PeerFrame::decode_shared(&bytes), Ok(frame));
        prop_assert!(ToWorker::decode(&bytes).is_err());
        prop_assert!(FromWorker::decode(&bytes).is_err());
        prop_assert!(Handshake::decode(&bytes).is_err());
    }

    #[test]
    fn envelopes(envelope in any::envelope()) {
        let bytes = envelope.encode();
        prop_assert!(Envelope::is_one(&bytes));
        prop_assert_eq!(Envelope::decode_shared(&bytes), Ok(envelope));
        prop_assert!(PeerFrame::decode(&bytes).is_err());
        prop_assert!(ToWorker::decode(&bytes).is_err());
        prop_assert!(FromWorker::decode(&bytes).is_err());
    }

    #[test]
    fn plain_frames_are_no_envelopes(frame in any::peer_frame()) {
        let bytes = frame.encode();
        prop_assert!(!Envelope::is_one(&bytes));
        prop_assert!(Envelope::decode_shared(&bytes).is_err());
    }

    #[test]
    fn frames_to_workers(frame in any::to_worker()) {
        let bytes = frame.encode();
        prop_assert_eq!(ToWorker::decode(&bytes), Ok(frame));
        prop_assert!(FromWorker::decode(&bytes).is_err());
        prop_assert!(PeerFrame::decode(&bytes).is_err());
    }

    #[test]
    fn frames_from_workers(frame in any::from_worker()) {
        let bytes = frame.encode();
        prop_assert_eq!(FromWorker::decode(&bytes), Ok(frame));
        prop_assert!(ToWorker::decode(&bytes).is_err());
        prop_assert!(PeerFrame::decode(&bytes).is_err());
    }
}

#[test]
fn payloads_share_the_memory_of_their_frame() {
    let payload = Bytes::from(vec![7u8; 100_000]);
    let bytes = PeerFrame::Raft { group: 3, payload }.encode();
    let Ok(PeerFrame::Raft { payload, .. }) = PeerFrame::decode_shared(&bytes) else {
        panic!("no raft frame")
    };
    assert!(bytes.as_ptr_range().contains(&payload.as_ptr()), "the payload was copied");
}

#[test]
fn an_enveloped_frame_shares_the_memory_of_its_envelope() {
    let frame = Bytes::from(vec![7u8; 100_000]);
    let speaks_for = SpeaksFor::Group { group: 1, term: 2 };
    let bytes = Envelope { speaks_for, route: Route::Direct, content: Content::Frame(frame) }.encode();
    let Ok(Envelope { content: Content::Frame(frame), .. }) = Envelope::decode_shared(&bytes) else {
        panic!("no frame")
    };
    assert!(bytes.as_ptr_range().contains(&frame.as_ptr()), "the frame was copied");
}

#[test]
fn the_cap_is_exact() {
    let frame =
        |payload: usize| PeerFrame::Raft { group: 0, payload: Bytes::from(vec![0; payload]) }.encode();
    let overhead = frame(FRAME_BYTES_MAX).len() - FRAME_BYTES_MAX;
    assert!(PeerFrame::decode(&frame(FRAME_BYTES_MAX - overhead)).is_ok());
    let DecodeError { what, bytes, why } =
        PeerFrame::decode(&frame(FRAME_BYTES_MAX - overhead + 1)).unwrap_err();
    assert_eq!((what, bytes), ("frame of a master", FRAME_BYTES_MAX + 1));
    assert_eq!(why, "it is longer than the allowed 16777216 bytes");
}

#[test]
fn a_load_that_is_no_number_reads_as_zero() {
    let heartbeat =
        Heartbeat { cpu_percent: f32::NAN, load1: f32::INFINITY, sequence: 4, ..Heartbeat::default() };
    let read = FromWorker::decode(&FromWorker::Heartbeat(heartbeat).encode());
    assert_eq!(read, Ok(FromWorker::Heartbeat(Heartbeat { sequence: 4, ..Heartbeat::default() })));
}
