//! Any commands, in any order, late, twice or for other attempts: what a task run keeps.

use std::collections::BTreeMap;

use hortator_core::definition::Delivery;
use hortator_core::event::{AttemptResult, Event, Share, StopCause};
use hortator_core::id::{TaskKey, WorkerRef};
use hortator_core::task_run::{
    FenceAt, LOSSES_MAX, Outstanding, Rejection, Stance, TaskCommand, TaskPhase, TaskSpec, TaskState, decide,
};
use hortator_core::time::{Span, Timestamp};
use proptest::prelude::*;

use crate::definitions::{name, retry};
use crate::task_stories::{end, fence};

#[derive(Clone, Debug)]
enum Step {
    Tell(TaskCommand),
    /// The Journal says where the newest dispatch stands.
    Placed,
    Stance(Stance),
    Wait(u64),
}

fn commands() -> impl Strategy<Value = TaskCommand> {
    let results = prop_oneof![
        Just(AttemptResult::Succeeded { outputs: BTreeMap::new() }),
        Just(AttemptResult::Exited { code: 1 }),
        Just(AttemptResult::TimedOut),
        Just(AttemptResult::Cancelled),
    ];
    prop_oneof![
        5 => (0..2u64, 1..3u64).prop_map(|(worker, incarnation)| TaskCommand::Grant {
            worker: WorkerRef { name: name(["a", "b"][worker as usize]), incarnation },
            share: Share::default(),
        }),
        5 => (1..4u16, 1..5u64, results)
            .prop_map(|(attempt, at, result)| TaskCommand::Report { attempt, fence: fence(at), end: end(result) }),
        2 => (1..4u16, 1..5u64)
            .prop_map(|(attempt, at)| TaskCommand::Refused { attempt, fence: fence(at), why: "full".into() }),
        2 => (1..4u16).prop_map(|attempt| TaskCommand::TimeoutElapsed { attempt }),
        1 => Just(TaskCommand::BackoffElapsed),
        1 => Just(TaskCommand::Cancel),
        1 => Just(TaskCommand::Stop),
        1 => (0..2usize, 1..3u64)
            .prop_map(|(worker, through)| TaskCommand::WorkerLost { name: name(["a", "b"][worker]), through }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => commands().prop_map(Step::Tell),
        6 => Just(Step::Placed),
        1 => prop_oneof![Just(Stance::Going), Just(Stance::Stopping), Just(Stance::Cancelling)].prop_map(Step::Stance),
        3 => (0..20u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// Everything that has happened to the task run, to be checked from outside of its state.
#[derive(Default)]
struct Witness {
    open: Option<u16>,
    stopping: Option<StopCause>,
    newest: u16,
    tries: u32,
    losses: u32,
    ended: bool,
}

impl Witness {
    fn see(&mut self, event: &Event, stance: Stance) {
        assert!(!self.ended, "{event:?} after the end");
        match event {
            Event::AttemptDispatched { attempt, .. } => {
                assert_eq!(self.open, None, "two attempts at a time");
                assert_eq!(*attempt, self.newest + 1);
                assert_eq!(stance, Stance::Going, "nothing new starts");
                (self.open, self.newest) = (Some(*attempt), *attempt);
            }
            Event::AttemptStopping { attempt, cause, .. } => {
                assert_eq!(self.open, Some(*attempt));
                assert_ne!(self.stopping, Some(StopCause::Cancelled), "a cancel is final");
                self.stopping = Some(*cause);
            }
            Event::AttemptRefused { attempt, .. } => {
                self.close(*attempt);
                self.newest -= 1;
            }
            Event::AttemptEnded { attempt, end, .. } => {
                self.close(*attempt);
                self.losses = 0;
                self.tries += u32::from(!matches!(end.result, AttemptResult::Succeeded { .. }));
            }
            Event::AttemptLost { attempt, .. } => {
                self.losses += 1;
                self.tries += u32::from(self.stopping == Some(StopCause::Timeout));
                self.close(*attempt);
            }
            Event::TaskBackoff { .. } => assert_eq!(self.open, None),
            Event::TaskEnded { .. } => {
                assert_eq!(self.open, None, "it ends only after its attempt");
                self.ended = true;
            }
            other => panic!("not a task run's event: {other:?}"),
        }
    }

    fn close(&mut self, attempt: u16) {
        assert_eq!(self.open.take(), Some(attempt));
        self.stopping = None;
    }
}

fn agree(state: &TaskState, seen: &Witness, spec: &TaskSpec) {
    assert_eq!(state.attempt().map(|attempt| attempt.number), seen.open);
    assert_eq!((state.attempts, state.tries, state.losses), (seen.newest, seen.tries, seen.losses));
    assert!(state.losses < LOSSES_MAX || seen.ended);
    assert!(state.tries <= spec.retry.max + 1);
    assert_eq!(matches!(state.phase, TaskPhase::Ended { .. }), seen.ended);
    let effect = match (seen.open, seen.stopping) {
        (None, _) => Outstanding::None,
        (Some(_), None) => Outstanding::Run,
        (Some(_), Some(_)) => Outstanding::Stop,
    };
    assert_eq!(state.effect(), effect);
    assert_eq!(state.ready_at().is_some(), seen.open.is_none() && !seen.ended);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_task_run_keeps_its_rules(steps in steps(), max in 0..3u32, delay in 0..10u64, jitter: u64) {
        let timeout = Some(Span::from_secs(5));
        let mut spec = TaskSpec { retry: retry(max, Span::from_secs(delay)), timeout, delivery: Delivery::AtLeastOnce, losses_max: LOSSES_MAX, stance: Stance::Going };
        let fresh = TaskState::ready(TaskKey { task: 3, item: 1 }, 0, 0, Timestamp(0));
        // Folded from the events alone; differs only in not knowing fences.
        let (mut state, mut folded) = (fresh.clone(), fresh);
        let (mut now, mut index, mut seen) = (Timestamp(0), 0, Witness::default());
        for step in steps {
            match step {
                Step::Wait(seconds) => now = now.plus(Span::from_secs(seconds)),
                Step::Stance(stance) => spec.stance = stance,
                Step::Placed => {
                    state.resolve_fence(fence(index));
                    folded.resolve_fence(fence(index));
                }
                Step::Tell(command) => {
                    let known = state.attempt().map(|attempt| attempt.fence);
                    match decide(&state, &spec, &command, jitter, now) {
                        Ok(events) => {
                            for event in &events {
                                if let Event::AttemptDispatched { .. } = event {
                                    index += 1;
                                }
                                seen.see(event, spec.stance);
                                state.apply(event, now);
                            }
                            if let TaskCommand::Report { fence, .. } | TaskCommand::Refused { fence, .. } = &command {
                                prop_assert_eq!(known, Some(FenceAt::Known(*fence)));
                            }
                            events.iter().for_each(|event| folded.apply(event, now));
                        }
                        Err(Rejection::NotDue { until }) => prop_assert!(until > now),
                        Err(_) => {}
                    }
                }
            }
            agree(&state, &seen, &spec);
            prop_assert_eq!(&state, &folded);
        }
    }
}
