use hortator_core::dispatch::stream::OfferItem;
use hortator_core::dispatch::{Ended, GrantFailed, KindTag, Offer, Quota, Rank};
use hortator_core::id::{RunId, TaskKey};
use hortator_proto::frame::{LifeId, WorkerProfile};
use hortator_proto::row::{Admission, QuotaRow, WorkerRow, key};
use hortator_raft::{Batch, Write};

use super::*;

const TERM: DispatcherTerm = DispatcherTerm(1);
const SHARD: u32 = 1;
/// Lives as long as a shard may use a grant.
const VALID: Span = Span::from_millis(500);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn worker() -> WorkerRef {
    WorkerRef { name: name("w1"), incarnation: 1 }
}

fn task_run(number: u32) -> TaskRunId {
    TaskRunId { run: RunId::new(1_000, SHARD, 1), key: TaskKey { task: number, item: 0 } }
}

/// A slot and a device.
fn shape() -> Arc<Shape> {
    let slots = Shape::of_slots(name("w"), name("default"), KindTag::Shell, 1);
    let requests = vec![slots.requests[0].clone().with(Resource::Gpu, 1)];
    Arc::new(Shape { requests, ..slots })
}

/// A worker of three slots and three devices, in a namespace that may have two of these from index 2 on.
fn stock() -> Stock {
    let profile = WorkerProfile {
        slots: 3,
        devices: ["0", "1", "2"].map(Into::into).into(),
        ..WorkerProfile::default()
    };
    let row = WorkerRow {
        name: name("w1"),
        incarnation: 1,
        life: LifeId::default(),
        profile,
        registered_at: Timestamp(0),
        lost_through: 0,
        spooled: Vec::new(),
        admission: Admission::Open,
    };
    let quota = QuotaRow { namespace: name("default"), most: Quota::from([(Resource::Gpu, 2)]) };
    let rows = [
        Write::Put { key: key::worker(&row.name), value: row.encode() },
        Write::Put { key: key::quota(&quota.namespace), value: quota.encode() },
    ];
    let mut stock = Stock::default();
    for (index, write) in (1..).zip(rows) {
        stock.applies(index, || Some(Batch { writes: vec![write] }));
    }
    stock
}

#[derive(Clone, Copy)]
enum Step {
    /// A list of what is offered, and of what is held with its device.
    Lists(&'static [u32], &'static [(u32, &'static str)]),
    /// The same by a later epoch of the shard.
    Anew(&'static [u32], &'static [(u32, &'static str)]),
    /// With the number of the grant, its device, and the index of the rows.
    Grants(u32, u64, &'static str, u64),
    Dispatched(u32, &'static str),
    Ends(u32),
    Fails(u32, u64),
    Waits(Span),
}

fn offer(number: u32) -> OfferItem {
    let rank = Rank {
        run_priority: Default::default(),
        run_created: Timestamp(0),
        task_priority: Default::default(),
        remaining: Span::ZERO,
        activation: u64::from(number),
    };
    OfferItem::Offer(Offer { task_run: task_run(number), shape: shape(), rank, since: Timestamp(0) })
}

fn dispatched(number: u32, device: &str) -> OfferItem {
    let held = Held { worker: worker(), shape: shape(), request: 0, devices: vec![device.into()] };
    OfferItem::Dispatched { task_run: task_run(number), held }
}

fn count(steps: &[Step]) -> usize {
    let (mut seen, mut now, mut epoch, stock) = (Seen::default(), Timestamp(0), 1, stock());
    for step in steps {
        if matches!(step, Step::Anew(..)) {
            epoch += 1;
        }
        let stream = StreamId { shard: SHARD, shard_term: 1, epoch, dispatcher_term: TERM };
        let mut hears = |list, items| {
            seen.hears(OfferFrame { stream, number: 1, list, items }, FrameTaken::Yes);
        };
        match *step {
            Step::Lists(offers, holds) | Step::Anew(offers, holds) => {
                let holds = holds.iter().map(|(task, device)| dispatched(*task, device));
                hears(ListState::Whole, offers.iter().copied().map(offer).chain(holds).collect());
            }
            Step::Dispatched(task, device) => hears(ListState::Delta, vec![dispatched(task, device)]),
            Step::Ends(task) => {
                let ended = OfferItem::Ended { task_run: task_run(task), how: Ended::Otherwise };
                hears(ListState::Delta, vec![ended]);
            }
            Step::Fails(task, grant) => {
                let failed =
                    OfferItem::GrantFailed { task_run: task_run(task), grant, why: GrantFailed::AtShard };
                hears(ListState::Delta, vec![failed]);
            }
            Step::Grants(task, number, device, rows) => {
                let grant = Grant {
                    task_run: task_run(task),
                    worker: worker(),
                    request: 0,
                    devices: vec![device.into()],
                    number,
                    valid_for: VALID,
                };
                let items = vec![DispatcherItem::Grant(grant)];
                let frame = DispatcherFrame { stream, list: 1, number, round: 1, rows, items };
                seen.says(&stock, TERM, &[frame], now);
            }
            Step::Waits(span) => now = now.plus(span),
        }
    }
    seen.violations.len()
}

#[test]
fn what_is_given_twice_or_too_much_of_is_seen() {
    use Step::{Anew, Dispatched, Ends, Fails, Grants, Lists, Waits};
    let twice = Span(VALID.0 * 2);
    for (case, steps, expected) in [
        ("each its own", vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Grants(2, 2, "1", 1)], 0),
        ("granted twice", vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Grants(2, 2, "0", 1)], 1),
        ("of one that a list names", vec![Lists(&[2], &[(1, "0")]), Grants(2, 1, "0", 1)], 1),
        ("of one that has ended", vec![Lists(&[2], &[(1, "0")]), Ends(1), Grants(2, 1, "0", 1)], 0),
        (
            "of one that runs on another device than was granted",
            vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Dispatched(1, "1"), Grants(2, 2, "1", 1)],
            1,
        ),
        ("failed", vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Fails(1, 1), Grants(2, 2, "0", 1)], 0),
        (
            "an earlier one failed",
            vec![Lists(&[1, 2], &[]), Grants(1, 2, "0", 1), Fails(1, 1), Grants(2, 3, "0", 1)],
            1,
        ),
        (
            "too late to be used",
            vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Waits(twice), Grants(2, 2, "0", 1)],
            0,
        ),
        (
            "it may still be used",
            vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Waits(VALID), Grants(2, 2, "0", 1)],
            1,
        ),
        (
            "listed once more",
            vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Lists(&[1, 2], &[]), Grants(2, 2, "0", 1)],
            1,
        ),
        (
            "a later epoch uses no earlier grant",
            vec![Lists(&[1, 2], &[]), Grants(1, 1, "0", 1), Anew(&[1, 2], &[]), Grants(2, 2, "0", 1)],
            0,
        ),
        ("the last room", vec![Lists(&[4], &[(1, "0"), (2, "1")]), Grants(4, 1, "2", 1)], 0),
        // Of slots and of devices.
        ("no room", vec![Lists(&[4], &[(1, "0"), (2, "1"), (3, "2")]), Grants(4, 1, "3", 1)], 2),
        ("the last of the quota", vec![Lists(&[4], &[(1, "0")]), Grants(4, 1, "2", 2)], 0),
        ("beyond the quota", vec![Lists(&[4], &[(1, "0"), (2, "1")]), Grants(4, 1, "2", 2)], 1),
    ] {
        assert_eq!(count(&steps), expected, "{case}");
    }
}
