//! No bytes make a reader panic: random ones, and valid ones that were changed, cut or lengthened.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{frame_strategies as frames, strategies as rows};
use crate::frame::{FromWorker, Handshake, PeerFrame, ToWorker};
use crate::row::{self, ClusterRow, SettingsRow, VersionRow, WorkerRow, WorkflowRow, key};

/// Every reader there is.
fn read_all(bytes: &[u8]) {
    drop(Handshake::decode(bytes));
    drop(PeerFrame::decode(bytes));
    drop(PeerFrame::decode_shared(&Bytes::copy_from_slice(bytes)));
    drop(ToWorker::decode(bytes));
    drop(FromWorker::decode(bytes));
    drop(row::decode_run(bytes));
    drop(row::decode_task(bytes));
    drop(row::decode_attempt(bytes));
    drop(row::decode_history(bytes));
    drop(row::decode_start_key(bytes));
    drop(WorkflowRow::decode(bytes));
    drop(VersionRow::decode(bytes));
    drop(WorkerRow::decode(bytes));
    drop(ClusterRow::decode(bytes));
    drop(SettingsRow::decode(bytes));
    key::parse(bytes);
    key::parse_run_of_workflow(bytes);
}

fn valid() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        frames::peer_frame().prop_map(|frame| frame.encode()),
        frames::to_worker().prop_map(|frame| frame.encode()),
        frames::from_worker().prop_map(|frame| frame.encode()),
        rows::run_header().prop_map(|row| row::encode_run(&row)),
        rows::task_state().prop_map(|row| row::encode_task(&row)),
        rows::history().prop_map(|row| row::encode_history(&row)),
    ]
}

proptest! {
    #[test]
    fn random(mut bytes in vec(any::<u8>(), 0..200), formatted in any::<bool>()) {
        if formatted && !bytes.is_empty() {
            bytes[0] = 1;
        }
        read_all(&bytes);
    }

    #[test]
    fn mutated(bytes in valid(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<bool>()) {
        let mut bytes = bytes.to_vec();
        for (place, byte) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        if cut {
            bytes.truncate(changes[0].0.index(bytes.len()));
        }
        read_all(&bytes);
        bytes.extend_from_slice(&[0x0b, 0xff]);
        read_all(&bytes);
    }
}

#[test]
fn deep_nesting_is_refused() {
    // Field 1000 as the start of a group, again and again: unknown to all, so the reader has to skip it.
    let mut groups = vec![1u8];
    groups.extend([0xc3, 0x3e].repeat(500_000));
    // Field 3 with a length, again and again: offers inside offers.
    let mut lengths = vec![1u8];
    lengths.extend([0x1a, 0x7f].repeat(100_000));
    let read = move || {
        for bytes in [groups, lengths] {
            read_all(&bytes);
            assert!(PeerFrame::decode(&bytes).is_err());
            assert!(row::decode_task(&bytes).is_err());
        }
    };
    // An eighth of what a thread usually has.
    std::thread::Builder::new().stack_size(256 << 10).spawn(read).unwrap().join().unwrap();
}

#[test]
fn a_length_that_lies_reserves_nothing() {
    // A payload that says it has 4 GB.
    let bytes = [1, 0x0a, 0x06, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(PeerFrame::decode(&bytes).is_err());
}

#[test]
fn errors_say_what_and_why() {
    let error = |bytes: &[u8]| PeerFrame::decode(bytes).unwrap_err().to_string();
    assert_eq!(error(&[]), "a frame of a master of 0 bytes cannot be read: it is empty");
    assert_eq!(
        error(&[2]),
        "a frame of a master of 1 bytes cannot be read: it has format 2, and this version knows 1 only"
    );
    assert_eq!(error(&[1]), "a frame of a master of 1 bytes cannot be read: kind of frame is missing");
    assert_eq!(error(&[1, 0x1a, 0x00]), "a frame of a master of 3 bytes cannot be read: stream is missing");
}
