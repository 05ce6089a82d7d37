//! Any frame.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hortator_core::dispatch::stream::{
    Ageing, Credit, DispatcherFrame, DispatcherItem, DispatcherTerm, Held, ListState, OfferFrame, OfferItem,
    StreamId, Work,
};
use hortator_core::dispatch::{
    Amounts, Ended, Grant, GrantFailed, KindTag, LabelRule, LabelTest, Metric, Offer, Pace, Rank, Resource,
    Shape, ZoneWish,
};
use hortator_core::reason::{Reason, TaskStanding};
use hortator_core::time::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::strategies::*;
use crate::frame::*;

pub(super) fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

pub(super) fn node() -> impl Strategy<Value = NodeId> {
    prop_oneof![any::<u64>().prop_map(NodeId::Master), name().prop_map(NodeId::Worker)]
}

pub(super) fn handshake() -> impl Strategy<Value = Handshake> {
    (any::<[u8; 16]>(), node(), text(), any::<u64>()).prop_map(|(cluster, node, version, boot)| Handshake {
        cluster,
        node,
        version,
        boot,
    })
}

fn speaks_for() -> impl Strategy<Value = SpeaksFor> {
    prop_oneof![
        Just(SpeaksFor::Nobody),
        (any::<u32>(), any::<u64>()).prop_map(|(group, term)| SpeaksFor::Group { group, term }),
    ]
}

fn links() -> impl Strategy<Value = Links> {
    let path = (node(), any::<u64>()).prop_map(|(to, via)| RelayedPath { to, via });
    (any::<bool>(), vec(any::<u64>(), 0..4), any::<[u64; 2]>(), vec(path, 0..3)).prop_map(
        |(hears_you, masters, [workers_version, workers_known], relayed)| Links {
            hears_you,
            masters,
            workers_version,
            workers_known,
            relayed,
        },
    )
}

pub(super) fn envelope() -> impl Strategy<Value = Envelope> {
    let route = prop_oneof![
        Just(Route::Direct),
        (node(), node(), any::<u64>()).prop_map(|(origin, destination, via)| Route::Relayed {
            origin,
            destination,
            via
        }),
    ];
    let content = prop_oneof![
        payload().prop_map(Content::Frame),
        links().prop_map(Content::Links),
        (any::<u64>(), vec(name(), 0..4)).prop_map(|(version, names)| Content::Workers { version, names }),
    ];
    (speaks_for(), route, content).prop_map(|(speaks_for, route, content)| Envelope {
        speaks_for,
        route,
        content,
    })
}

fn shape() -> impl Strategy<Value = Arc<Shape>> {
    let kind = select(vec![KindTag::Shell, KindTag::Noop]);
    let zone = prop_oneof![
        Just(ZoneWish::Anywhere),
        (text(), span()).prop_map(|(zone, wait)| ZoneWish::Near { zone, wait })
    ];
    let rules = vec(label_rule(), 0..3);
    (name(), name(), kind, vec(amounts(), 1..3), rules, zone).prop_map(
        |(group, namespace, kind, requests, labels, zone)| {
            Arc::new(Shape { group, namespace, kind, requests, labels, zone })
        },
    )
}

fn amounts() -> impl Strategy<Value = Amounts> {
    (any::<[u32; 3]>(), name(), any::<u64>()).prop_map(|([slots, cpu, gpu], name, named)| {
        let amounts = Amounts::slots(u64::from(slots)).with(Resource::Cpu, u64::from(cpu));
        // A name may be that of a resource that every worker has.
        amounts.with(Resource::Gpu, u64::from(gpu)).with(name.as_str().parse().unwrap(), named)
    })
}

fn label_test() -> impl Strategy<Value = LabelTest> {
    prop_oneof![
        (name(), vec(text(), 0..3)).prop_map(|(key, values)| LabelTest::Is { key, values }),
        (name(), vec(text(), 0..3)).prop_map(|(key, values)| LabelTest::IsNot { key, values }),
        name().prop_map(|key| LabelTest::Has { key }),
    ]
}

fn label_rule() -> impl Strategy<Value = LabelRule> {
    prop_oneof![
        label_test().prop_map(LabelRule::Require),
        (label_test(), any::<u8>()).prop_map(|(test, weight)| LabelRule::Prefer { test, weight }),
        name().prop_map(|key| LabelRule::Spread { key }),
    ]
}

fn rank() -> impl Strategy<Value = Rank> {
    (priority(), time(), priority(), span(), any::<u64>()).prop_map(
        |(run_priority, run_created, task_priority, remaining, activation)| Rank {
            run_priority,
            run_created,
            task_priority,
            remaining,
            activation,
        },
    )
}

fn stream() -> impl Strategy<Value = StreamId> {
    (any::<u32>(), any::<[u64; 3]>()).prop_map(|(shard, [shard_term, epoch, dispatcher_term])| StreamId {
        shard,
        shard_term,
        epoch,
        dispatcher_term: DispatcherTerm(dispatcher_term),
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    (task_run_id(), shape(), rank(), time()).prop_map(|(task_run, shape, rank, since)| Offer {
        task_run,
        shape,
        rank,
        since,
    })
}

fn offer_item() -> BoxedStrategy<OfferItem> {
    let how = prop_oneof![
        (any::<u64>(), span(), option::of(span())).prop_map(|(task, took, expected)| Ended::Succeeded {
            task,
            took,
            expected
        }),
        any::<u64>().prop_map(|task| Ended::Failed { task }),
        Just(Ended::Refused),
        Just(Ended::Otherwise),
    ];
    let held = (worker(), shape(), vec(text(), 0..3)).prop_map(|(worker, shape, devices)| {
        let request = (shape.requests.len() - 1) as u8;
        Held { worker, shape, request, devices }
    });
    let why = select(vec![GrantFailed::AtWorker, GrantFailed::AtShard]);
    prop_oneof![
        offer().prop_map(OfferItem::Offer),
        task_run_id().prop_map(OfferItem::Withdraw),
        (shape(), option::of((rank(), task_run_id())))
            .prop_map(|(shape, hidden)| OfferItem::Horizon { shape, hidden }),
        (worker(), vec(any::<u8>(), 0..16))
            .prop_map(|(worker, codes)| OfferItem::Pace { worker, pace: Pace::of_codes(&codes) }),
        (name(), any::<[u32; 3]>()).prop_map(|(group, [task_runs, slots, gpu])| {
            let load = Amounts::slots(u64::from(slots)).with(Resource::Gpu, u64::from(gpu));
            OfferItem::Work { group, work: Work { task_runs: u64::from(task_runs), load } }
        }),
        (task_run_id(), held).prop_map(|(task_run, held)| OfferItem::Dispatched { task_run, held }),
        (task_run_id(), how).prop_map(|(task_run, how)| OfferItem::Ended { task_run, how }),
        (task_run_id(), any::<u64>(), why).prop_map(|(task_run, grant, why)| OfferItem::GrantFailed {
            task_run,
            grant,
            why
        }),
    ]
    .boxed()
}

/// Reasons travel as JSON, so their times must be printable.
fn reason() -> impl Strategy<Value = Reason> {
    let standing = (name(), text()).prop_map(|(task, state)| TaskStanding { task, state });
    let time = (0i64..2_000_000_000_000_000).prop_map(Timestamp);
    prop_oneof![
        (any::<u64>(), vec(standing, 0..3)).prop_map(|(open, tasks)| Reason::WaitsForTask { open, tasks }),
        time.prop_map(|time| Reason::NotBefore { time }),
        (name(), vec(name(), 0..2), vec(name(), 0..2))
            .prop_map(|(group, groups, similar)| { Reason::GroupUnknown { group, groups, similar } }),
        (any::<u64>(), text()).prop_map(|(done, what)| Reason::Starting { what, done, total: 9 }),
    ]
}

fn dispatcher_item() -> BoxedStrategy<DispatcherItem> {
    let grant = (task_run_id(), worker(), any::<u64>(), span(), any::<u8>(), vec(text(), 0..3)).prop_map(
        |(task_run, worker, number, valid_for, request, devices)| Grant {
            task_run,
            worker,
            number,
            valid_for,
            request,
            devices,
        },
    );
    let ageing = (span(), any::<i64>()).prop_map(|(every, now)| Ageing { every, now: Timestamp(now) });
    prop_oneof![
        grant.prop_map(DispatcherItem::Grant),
        (shape(), any::<u32>(), option::of(ageing)).prop_map(|(shape, credits, ageing)| {
            DispatcherItem::Credit(Credit { shape, credits, ageing })
        }),
        (shape(), vec(reason(), 0..3)).prop_map(|(shape, reasons)| DispatcherItem::Parked { shape, reasons }),
        shape().prop_map(|shape| DispatcherItem::Unparked { shape }),
        any::<u64>().prop_map(|seen| DispatcherItem::Restart { seen }),
    ]
    .boxed()
}

fn row_sum() -> impl Strategy<Value = RowSum> {
    (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(group, index, sum)| RowSum { group, index, sum })
}

fn led_shard() -> impl Strategy<Value = LedShard> {
    (any::<u32>(), any::<[u64; 3]>(), vec(any::<u64>(), 0..3)).prop_map(
        |(shard, [term, runs, proposals_per_second], heirs)| LedShard {
            shard,
            term,
            runs,
            proposals_per_second,
            heirs,
        },
    )
}

pub(super) fn peer_frame() -> BoxedStrategy<PeerFrame> {
    use ListState::{Begin, Delta, End, Part, Whole};
    let list = select(vec![Delta, Begin, Part, End, Whole]);
    let offers = (stream(), any::<u64>(), list, vec(offer_item(), 0..4))
        .prop_map(|(stream, number, list, items)| OfferFrame { stream, number, list, items });
    let dispatcher = (stream(), any::<[u64; 4]>(), vec(dispatcher_item(), 0..4)).prop_map(
        |(stream, [list, number, round, rows], items)| DispatcherFrame {
            stream,
            list,
            number,
            round,
            rows,
            items,
        },
    );
    prop_oneof![
        (any::<u32>(), payload()).prop_map(|(group, payload)| PeerFrame::Raft { group, payload }),
        (any::<u32>(), payload()).prop_map(|(group, payload)| PeerFrame::Hello { group, payload }),
        offers.prop_map(PeerFrame::Offers),
        dispatcher.prop_map(PeerFrame::Dispatcher),
        any::<u64>().prop_map(|term| PeerFrame::DispatcherHere { term: DispatcherTerm(term) }),
        (any::<u64>(), payload()).prop_map(|(id, body)| PeerFrame::Request { id, body }),
        (any::<u64>(), payload()).prop_map(|(id, body)| PeerFrame::Response { id, body }),
        vec((name(), heartbeat()).prop_map(|(worker, heartbeat)| HeardHeartbeat { worker, heartbeat }), 0..3)
            .prop_map(PeerFrame::Heartbeats),
        (any::<u64>(), span(), vec((name(), any::<u64>()), 0..3))
            .prop_map(|(term, lease, seen)| PeerFrame::HeartbeatsSeen { term, lease, seen }),
        (any::<u32>(), any::<u64>()).prop_map(|(shard, to)| PeerFrame::HandShardOver { shard, to }),
        (span(), 0f32..100.0, vec(led_shard(), 0..3), any::<i64>(), vec(row_sum(), 0..3), any::<u32>())
            .prop_map(|(up, cpu_percent, leads, wall, sums, workers)| {
                let wall = Timestamp(wall);
                PeerFrame::Load(LoadReport { up, cpu_percent, leads, wall, sums, workers })
            }),
        registration().prop_map(PeerFrame::Registration),
        (any::<u64>(), name(), life(), any::<u64>(), any::<[u8; 16]>()).prop_map(
            |(term, worker, life, incarnation, cluster)| PeerFrame::Registered {
                term,
                worker,
                life,
                incarnation,
                cluster
            }
        ),
    ]
    .boxed()
}

fn program() -> impl Strategy<Value = Program> {
    prop_oneof![
        Just(Program::Noop),
        (text(), text()).prop_map(|(interpreter, text)| Program::Script { interpreter, text }),
        (text(), text()).prop_map(|(interpreter, path)| Program::File { interpreter, path }),
    ]
}

fn run_attempt() -> BoxedStrategy<RunAttempt> {
    let about = (attempt_id(), fence(), any::<u64>(), any::<u64>());
    let task = (name(), name(), name(), option::of(any::<u32>()), any::<u32>(), program());
    let variables = (btree_map(text(), text(), 0..3), btree_map(text(), value_type(), 0..3));
    (about, task, variables, span(), option::of(span()))
        .prop_map(
            |(
                (attempt, fence, incarnation, term),
                (namespace, workflow, task, item, slots, program),
                (env, outputs),
                grace,
                timeout,
            ): (_, _, (BTreeMap<_, _>, _), _, _)| RunAttempt {
                resources: Amounts::default().with(Resource::Memory, u64::from(slots)),
                devices: vec![slots.to_string()],
                attempt,
                fence,
                incarnation,
                term,
                namespace,
                workflow,
                task,
                item,
                slots,
                program,
                env,
                outputs,
                grace,
                timeout,
            },
        )
        .boxed()
}

fn log_request() -> impl Strategy<Value = LogRequest> {
    let task = (name(), name(), name(), option::of(any::<u32>()));
    (any::<u64>(), attempt_id(), task, any::<u64>(), any::<u32>()).prop_map(
        |(id, attempt, (namespace, workflow, task, item), offset, bytes_max)| LogRequest {
            id,
            attempt,
            namespace,
            workflow,
            task,
            item,
            offset,
            bytes_max,
        },
    )
}

pub(super) fn to_worker() -> BoxedStrategy<ToWorker> {
    let stop = (attempt_id(), fence(), any::<u64>(), stop_cause())
        .prop_map(|(attempt, fence, incarnation, cause)| StopAttempt { attempt, fence, incarnation, cause });
    prop_oneof![
        (life(), any::<u64>(), any::<[u8; 16]>())
            .prop_map(|(life, incarnation, cluster)| { ToWorker::Registered { life, incarnation, cluster } }),
        (any::<u32>(), any::<u64>(), fence()).prop_map(|(shard, term, watermark)| ToWorker::Leads {
            shard,
            term,
            watermark
        }),
        vec(run_attempt(), 0..3).prop_map(ToWorker::Run),
        vec(stop, 0..3).prop_map(ToWorker::Stop),
        (any::<u64>(), fenced()).prop_map(|(incarnation, attempts)| ToWorker::Ask { incarnation, attempts }),
        (fenced(), fence()).prop_map(|(reports, watermark)| ToWorker::Acknowledge { reports, watermark }),
        (any::<u64>(), span(), any::<u64>()).prop_map(|(sequence, lease, leader)| ToWorker::HeartbeatSeen {
            sequence,
            lease,
            leader
        }),
        vec(run_id(), 0..3).prop_map(ToWorker::RunsEnded),
        log_request().prop_map(ToWorker::ReadLog),
        (vec(master_address(), 0..3), any::<u64>())
            .prop_map(|(masters, index)| ToWorker::Members { masters, index }),
    ]
    .boxed()
}

fn master_address() -> BoxedStrategy<MasterAddress> {
    let parts = (any::<u64>(), text(), text());
    parts.prop_map(|(id, address, api)| MasterAddress { id, address, api }).boxed()
}

pub(super) fn profile() -> BoxedStrategy<WorkerProfile> {
    let kinds = vec(select(vec![KindTag::Shell, KindTag::Noop]), 0..3);
    let labels = btree_map(text(), text(), 0..3);
    let more = (amounts(), vec(text(), 0..3), 1..1000u32, 0f64..100.0);
    (vec(name(), 0..3), any::<u32>(), kinds, option::of(text()), labels, (text(), text()), more)
        .prop_map(|(groups, slots, kinds, zone, labels, (version, host), more)| WorkerProfile {
            resources: more.0,
            devices: more.1,
            weight: more.2,
            thresholds: BTreeMap::from([(Metric::PressureMemory, more.3)]),
            groups,
            slots,
            kinds,
            zone,
            labels,
            version,
            host,
        })
        .boxed()
}

fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    (any::<[u64; 6]>(), any::<[u32; 2]>(), [-1e9f32..1e9, 0f32..1.0, 0f32..100.0]).prop_map(
        |(
            [incarnation, sequence, memory_used, memory_total, disk_free, log_bytes_dropped],
            [running_slots, running],
            [cpu_percent, load1, pressure_cpu],
        )| Heartbeat {
            resources: Amounts::default().with(Resource::Cpu, u64::from(running)),
            disk_total: disk_free / 2,
            pressure_memory: pressure_cpu / 2.0,
            pressure_io: load1,
            cores: running_slots / 2,
            incarnation,
            sequence,
            running_slots,
            running,
            cpu_percent,
            memory_used,
            memory_total,
            disk_free,
            load1,
            pressure_cpu,
            log_bytes_dropped,
        },
    )
}

pub(super) fn life() -> impl Strategy<Value = LifeId> {
    (any::<u64>(), any::<u128>()).prop_map(|(number, nonce)| LifeId { number, nonce })
}

fn registration() -> impl Strategy<Value = Registration> {
    (name(), life(), profile().prop_map(Box::new), any::<bool>(), fenced()).prop_map(
        |(name, life, facts, earlier_lives_dead, spooled)| Registration {
            name,
            life,
            facts,
            earlier_lives_dead,
            spooled,
        },
    )
}

pub(super) fn from_worker() -> BoxedStrategy<FromWorker> {
    let word =
        prop_oneof![attempt_end().prop_map(Word::Ended), text().prop_map(|why| Word::Refused { why }),];
    let report = (attempt_id(), fence(), worker(), word).prop_map(|(attempt, fence, worker, word)| Report {
        attempt,
        fence,
        worker,
        word,
    });
    let chunk = (payload(), any::<u64>(), any::<bool>())
        .prop_map(|(bytes, next_offset, open)| Ok(LogChunk { bytes, next_offset, open }));
    let result = prop_oneof![chunk, text().prop_map(Err)];
    prop_oneof![
        registration().prop_map(FromWorker::Register),
        heartbeat().prop_map(FromWorker::Heartbeat),
        vec(report, 0..3).prop_map(FromWorker::Reports),
        (any::<u64>(), fenced(), fenced()).prop_map(|(incarnation, running, spooled)| {
            FromWorker::Inventory { incarnation, running, spooled }
        }),
        (any::<u64>(), fenced())
            .prop_map(|(incarnation, attempts)| FromWorker::Running { incarnation, attempts }),
        (any::<u64>(), result).prop_map(|(id, result)| FromWorker::Log(LogAnswer { id, result })),
    ]
    .boxed()
}
