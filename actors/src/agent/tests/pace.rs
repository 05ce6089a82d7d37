//! How fast the pure part is, and that what it remembers stays within its bound. Prints figures, gates none.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it prints how fast the pure part is"
)]

use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{FromWorker, Program, ToWorker};

use super::{Counter, N1, attempt, fence, name, profile, run};
use crate::agent::ledger::SETTLED_MAX;
use crate::agent::life::Stage;
use crate::agent::machine::{Effect, Input, Machine, Now};

const BATCH: u64 = 500;

fn ready() -> (Machine, Now) {
    let now = Now { boot: Span::from_secs(1), wall: Timestamp(0) };
    let mut machine = Machine::new(name("w"), profile(4), true, Vec::new(), Box::new(Counter(0)), now);
    let mut effects = Vec::new();
    machine.handle(Input::SessionOpened(N1), now, &mut effects);
    machine.flush(now, &mut effects);
    let Stage::Registering { life, .. } = machine.life.stage() else { panic!("not registering") };
    let frame = ToWorker::Registered { life: *life, incarnation: 1, cluster: [0; 16] };
    machine.handle(Input::Frame { from: N1, frame }, now, &mut effects);
    (machine, now)
}

/// Runs noops in batches, each acknowledged as soon as it is reported; the watermark stays behind at `watermark`.
fn drive(batches: u64, watermark: impl Fn(u64) -> u64) -> Machine {
    let (mut machine, now) = ready();
    let mut frames = 0;
    for batch in 1..=batches {
        let noop =
            |task| run(attempt(1, (batch * BATCH + task) as u32, 1), fence(1, batch), 1, 1, Program::Noop);
        let frame = ToWorker::Run((0..BATCH).map(noop).collect());
        let mut effects = Vec::new();
        machine.handle(Input::Frame { from: N1, frame }, now, &mut effects);
        machine.flush(now, &mut effects);
        let reports = effects.iter().filter_map(|effect| match effect {
            Effect::Send { frame: FromWorker::Reports(reports), .. } => Some(reports),
            _ => None,
        });
        let reports: Vec<_> =
            reports.inspect(|_| frames += 1).flatten().map(|r| (r.attempt, r.fence)).collect();
        assert_eq!(reports.len() as u64, BATCH);
        let frame = ToWorker::Acknowledge { reports, watermark: fence(1, watermark(batch)) };
        machine.handle(Input::Frame { from: N1, frame }, now, &mut effects);
    }
    assert_eq!(frames, batches, "a batch is one frame");
    machine
}

#[test]
fn noops_pass_quickly() {
    let begin = std::time::Instant::now();
    let machine = drive(200, |batch| batch);
    let pace = (200 * BATCH) as f64 / begin.elapsed().as_secs_f64();
    println!("{pace:.0} noops a second, unoptimised, from `Run` to acknowledged");
    assert_eq!((machine.reports.len(), machine.reports.weight()), (0, 0));
    assert!(machine.ledger.as_ref().unwrap().settled() <= BATCH as usize);
}

#[test]
fn a_watermark_that_stays_behind_does_not_fill_the_memory() {
    let batches = SETTLED_MAX as u64 / BATCH + 3;
    let mut machine = drive(batches, |_| 1);
    let settled = machine.ledger.as_ref().unwrap().settled();
    assert!(settled <= SETTLED_MAX && settled > SETTLED_MAX / 3, "{settled}");
    // What was forgotten does not start: it is called refused, and its shard knows better.
    let (_, now) = ready();
    let frame = ToWorker::Run(vec![run(attempt(1, BATCH as u32, 1), fence(1, 1), 1, 1, Program::Noop)]);
    machine.handle(Input::Frame { from: N1, frame }, now, &mut Vec::new());
    assert_eq!(machine.reports.len(), 1);
}
