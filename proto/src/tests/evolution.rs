//! Versions that meet in a rolling upgrade: what a newer one adds is tolerated where it can be left out and stops
//! the reader where it cannot; what an older one did not write has its meaning.

use std::fmt::Debug;

use bytes::Bytes;
use hortator_core::event::HistoryEntry;
use hortator_core::run::RunHeader;
use hortator_core::task_run::{LastAttempt, TaskState};
use proptest::prelude::*;
use protobuf::{EnumOrUnknown, Message};

use super::{frame_strategies as frames, strategies as rows};
use crate::codec::Form;
use crate::error::DecodeError;
use crate::frame::{FromWorker, Handshake, PeerFrame, ToWorker};
use crate::generated::{event, id, row as wire};
use crate::row::{self, ClusterRow, VersionRow, WorkerRow};

/// A field number that no message of this version has.
const NEWER: u32 = 500;

fn written<M: Message>(message: &M) -> Bytes {
    let mut bytes = vec![1];
    message.write_to_vec(&mut bytes).unwrap();
    bytes.into()
}

/// Bytes of a newer version that knows one more field of the outermost message.
fn with_newer_field<T: Form>(value: &T) -> Bytes {
    let mut message = value.to_message();
    message.mut_unknown_fields().add_length_delimited(NEWER, b"of a newer version".to_vec());
    message.mut_unknown_fields().add_varint(NEWER + 1, 7);
    written(&message)
}

fn check<T: Form + PartialEq + Debug>(
    value: T,
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(decode(&with_newer_field(&value)), Ok(value));
    Ok(())
}

proptest! {
    #[test]
    fn newer_fields_of_rows_are_left_out(
        header in rows::run_header(),
        state in rows::task_state(),
        attempt in rows::last_attempt(),
        entry in rows::history(),
    ) {
        check::<RunHeader>(header, row::decode_run)?;
        check::<TaskState>(state, row::decode_task)?;
        check::<LastAttempt>(attempt, row::decode_attempt)?;
        check::<HistoryEntry>(entry, row::decode_history)?;
    }

    #[test]
    fn newer_fields_of_frames_are_left_out(
        handshake in frames::handshake(),
        peer in frames::peer_frame(),
        to in frames::to_worker(),
        from in frames::from_worker(),
    ) {
        check(handshake, Handshake::decode)?;
        check(peer, PeerFrame::decode)?;
        check(to, ToWorker::decode)?;
        check(from, FromWorker::decode)?;
    }

    /// Also inside an event: another field leaves it what it is.
    #[test]
    fn newer_fields_of_events_are_left_out(entry in rows::history()) {
        let mut message = entry.to_message();
        for event in &mut message.events {
            event.special_fields.mut_unknown_fields().add_varint(NEWER, 1);
            if let Some(event::event::Kind::AttemptEnded(ended)) = &mut event.kind {
                ended.special_fields.mut_unknown_fields().add_fixed64(NEWER, 1);
            }
        }
        prop_assert_eq!(row::decode_history(&written(&message)), Ok(entry));
    }
}

#[test]
fn an_unknown_event_stops_the_reader() {
    let mut newer = event::Event::new();
    newer.special_fields.mut_unknown_fields().add_length_delimited(93, vec![1, 2]);
    let known = event::Event {
        kind: Some(event::event::Kind::RunStarted(id::Nothing::default())),
        ..Default::default()
    };
    let bytes = written(&event::History { events: vec![known, newer], ..Default::default() });
    let error = row::decode_history(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "a row of a run's history of {} bytes cannot be read: kind of event number 93 is not known to this \
             version; it was written by a newer one",
            bytes.len()
        )
    );
}

#[test]
fn an_unknown_frame_or_phase_stops_the_reader() {
    let mut bytes = vec![1];
    let mut frame = crate::generated::frame::PeerFrame::new();
    frame.special_fields.mut_unknown_fields().add_length_delimited(15, Vec::new());
    frame.write_to_vec(&mut bytes).unwrap();
    assert_eq!(
        PeerFrame::decode(&bytes).unwrap_err().why,
        "kind of frame number 15 is not known to this version; it was written by a newer one"
    );
    let mut state = wire::TaskState::new();
    state.special_fields.mut_unknown_fields().add_varint(13, 1);
    assert_eq!(
        row::decode_task(&written(&state)).unwrap_err().why,
        "phase of a task run number 13 is not known to this version; it was written by a newer one"
    );
}

#[test]
fn an_unknown_word_of_an_enumeration_stops_the_reader() {
    let finished = event::RunFinished { outcome: EnumOrUnknown::from_i32(9), ..Default::default() };
    let event = event::Event { kind: Some(event::event::Kind::RunFinished(finished)), ..Default::default() };
    let bytes = written(&event::History { events: vec![event], ..Default::default() });
    assert_eq!(
        row::decode_history(&bytes).unwrap_err().why,
        "run outcome number 9 is not known to this version; it was written by a newer one"
    );
}

/// A worker of a newer version says that it also runs kinds that are not known here.
#[test]
fn an_unknown_task_kind_of_a_worker_is_left_out() {
    let profile = wire::WorkerProfile { kinds: vec!["noop".into(), "spark".into()], ..Default::default() };
    let message = wire::WorkerRow { name: "w1".into(), profile: Some(profile).into(), ..Default::default() };
    let row = WorkerRow::decode(&written(&message)).unwrap();
    assert_eq!(row.profile.kinds, [hortator_core::dispatch::KindTag::Noop]);
}

/// Bytes as version 1 writes them, by hand: whatever reads rows has to go on reading these.
#[test]
fn rows_of_the_first_version_can_be_read() {
    let state = [
        &[1u8, 0x08, 0x05, 0x20, 0x01][..], // format; task 5; attempts 1
        &[0x42, 0x14],                      // dispatched, 20 bytes:
        &[0x08, 0x01, 0x12, 0x02, b'w', b'1', 0x18, 0x03], // number 1, worker w1, incarnation 3
        &[0x20, 0x80, 0x89, 0x7a, 0x28, 0x0a], // ready_at 1_000_000, dispatched 5 after
        &[0x32, 0x04, 0x10, 0x02, 0x20, 0x09], // fence: shard 2, index 9
    ]
    .concat();
    let state = row::decode_task(&state).unwrap();
    assert_eq!(row::encode_task(&state).len(), 27);
    assert_eq!(
        format!("{:?}", state.phase),
        "Dispatched(Attempt { number: 1, worker: WorkerRef { name: Name(\"w1\"), incarnation: 3 }, ready_at: \
         Timestamp(1000000), dispatched_at: Timestamp(1000005), fence: Known(Fence { generation: 0, shard: 2, \
         term: 0, index: 9 }), share: Share { request: 0, devices: [] } })"
    );
    let version = VersionRow::decode(&[1, 0x08, 0x02, 0x12, 0x01, b'h', 0x18, 0x03]).unwrap();
    assert_eq!((version.version, version.hash.as_str(), version.tasks, version.by.as_str()), (2, "h", 3, ""));
    let cluster = ClusterRow::decode(&[1, 0x18, 0x04]).unwrap();
    assert_eq!((cluster.shards, cluster.generation, cluster.feature_level), (4, 0, 0));
}

/// What an older version leaves out and this one cannot do without.
#[test]
fn what_must_be_there_is_named() {
    let why = |result: Result<(), DecodeError>| result.unwrap_err().why;
    assert_eq!(why(ClusterRow::decode(&[1]).map(drop)), "number of shards is missing");
    assert_eq!(
        why(WorkerRow::decode(&[1]).map(drop)),
        "\"\" is not a name: it is empty; a name is a \
        lower-case letter, then up to 62 of a-z, 0-9 and -"
    );
    assert_eq!(why(row::decode_task(&[1]).map(drop)), "phase of a task run is missing");
    assert_eq!(why(row::decode_run(&[1]).map(drop)), "phase of a run is missing");
    assert_eq!(why(row::decode_attempt(&[1]).map(drop)), "fate of an attempt is missing");
    assert_eq!(why(ToWorker::decode(&[1, 0x92, 0x01, 0]).map(drop)), "watermark is missing");
    let place = [1, 0x1a, 0x04, 0x0a, 0x02, 0x20, 0x07]; // an attempt dispatched to worker 7 of none
    assert_eq!(why(row::decode_history(&place).map(drop)), "place of a worker is 7, which is out of range");
}
