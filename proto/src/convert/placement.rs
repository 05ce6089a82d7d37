//! Frames of offers and grants. A frame names each shape and worker once.
//! Must not know streams' rules.

use std::sync::Arc;

use hortator_core::dispatch::stream::{
    Ageing, Credit, DispatcherFrame, DispatcherItem, DispatcherTerm, Held, OfferFrame, OfferItem, StreamId,
    Work,
};
use hortator_core::dispatch::{Ended, Grant, GrantFailed, Offer, Pace, Rank, Shape};
use hortator_core::id::{TaskKey, TaskRunId, WorkerRef};
use hortator_core::reason::Reason;
use hortator_core::time::{Span, Timestamp};

use super::enumerations::Choice;
use super::event::{WorkerTable, worker_at};
use super::shape::{ShapeTable, shape_at, shapes};
use super::worker::{amounts, amounts_message};
use super::{id, later, narrow, need, since, unknown_kind};
use crate::error::Unreadable;
use crate::generated::id::Nothing;
use crate::generated::placement as wire;

fn stream_message(stream: StreamId) -> wire::Stream {
    let StreamId { shard, shard_term, epoch, dispatcher_term } = stream;
    wire::Stream { shard, shard_term, epoch, dispatcher_term: dispatcher_term.0, ..Default::default() }
}

fn stream(message: &wire::Stream) -> StreamId {
    let wire::Stream { shard, shard_term, epoch, dispatcher_term, .. } = *message;
    StreamId { shard, shard_term, epoch, dispatcher_term: DispatcherTerm(dispatcher_term) }
}

pub(crate) fn offers_message(frame: &OfferFrame) -> wire::OfferFrame {
    let (mut shapes, mut workers) = (ShapeTable::default(), WorkerTable::default());
    let items = frame.items.iter().map(|item| offer_item_message(item, &mut shapes, &mut workers)).collect();
    wire::OfferFrame {
        stream: Some(stream_message(frame.stream)).into(),
        number: frame.number,
        list: frame.list.wire(),
        shapes: shapes.messages(),
        workers: workers.messages(),
        items,
        ..Default::default()
    }
}

fn offer_item_message<'a>(
    item: &'a OfferItem,
    shapes: &mut ShapeTable<'a>,
    workers: &mut WorkerTable<'a>,
) -> wire::OfferItem {
    use wire::offer_item::What;
    let (task_run, what) = match item {
        OfferItem::Offer(offer) => {
            (offer.task_run, What::Offer(offer_message(offer, shapes.place(&offer.shape))))
        }
        OfferItem::Withdraw(task_run) => (*task_run, What::Withdraw(Nothing::default())),
        OfferItem::Horizon { shape, hidden: Some((rank, task_run)) } => {
            let shape = shapes.place(shape);
            let rank = Some(rank_message(rank)).into();
            (*task_run, What::Horizon(wire::Horizon { shape, rank, ..Default::default() }))
        }
        OfferItem::Horizon { shape, hidden: None } => {
            let what = What::AllShown(shapes.place(shape));
            return wire::OfferItem { what: Some(what), ..Default::default() };
        }
        OfferItem::Pace { worker, pace } => {
            let (worker, ratios) = (workers.place(worker), pace.codes().into());
            let what = What::Pace(wire::Pace { worker, ratios, ..Default::default() });
            return wire::OfferItem { what: Some(what), ..Default::default() };
        }
        OfferItem::Work { group, work } => {
            let Work { task_runs, load } = work;
            let group = group.to_string();
            let what = What::Work(wire::GroupWork {
                group,
                task_runs: *task_runs,
                load: amounts_message(load),
                ..Default::default()
            });
            return wire::OfferItem { what: Some(what), ..Default::default() };
        }
        OfferItem::Dispatched { task_run, held } => {
            let holds = wire::Holds {
                worker: workers.place(&held.worker),
                shape: shapes.place(&held.shape),
                request: u32::from(held.request),
                devices: held.devices.clone(),
                ..Default::default()
            };
            (*task_run, What::Dispatched(holds))
        }
        OfferItem::Ended { task_run, how } => (*task_run, What::Ended(ended_message(*how))),
        OfferItem::GrantFailed { task_run, grant, why } => {
            let failed = wire::GrantFailed { grant: *grant, fault: why.wire(), ..Default::default() };
            (*task_run, What::GrantFailed(failed))
        }
    };
    wire::OfferItem {
        run_high: id::high(task_run.run.0),
        run_low: id::low(task_run.run.0),
        task: task_run.key.task,
        item: task_run.key.item,
        what: Some(what),
        ..Default::default()
    }
}

fn offer_message(offer: &Offer, shape: u32) -> wire::Offer {
    wire::Offer {
        shape,
        rank: Some(rank_message(&offer.rank)).into(),
        since: since(offer.rank.run_created, offer.since),
        ..Default::default()
    }
}

fn rank_message(rank: &Rank) -> wire::Rank {
    let Rank { run_priority, run_created, task_priority, remaining, activation } = *rank;
    wire::Rank {
        run_priority: run_priority.wire(),
        run_created_at: run_created.0,
        task_priority: task_priority.wire(),
        remaining: remaining.0,
        activation,
        ..Default::default()
    }
}

fn rank(message: &wire::Rank) -> Result<Rank, Unreadable> {
    Ok(Rank {
        run_priority: Choice::read(message.run_priority)?,
        run_created: Timestamp(message.run_created_at),
        task_priority: Choice::read(message.task_priority)?,
        remaining: Span(message.remaining),
        activation: message.activation,
    })
}

fn ended_message(how: Ended) -> wire::AttemptOver {
    use wire::attempt_over::How;
    let how = match how {
        Ended::Succeeded { task, took, expected } => How::Succeeded(wire::Success {
            task,
            took: took.0,
            expected: expected.map(|expected| expected.0),
            ..Default::default()
        }),
        Ended::Failed { task } => How::Failed(task),
        Ended::Refused => How::Refused(Nothing::default()),
        Ended::Otherwise => How::Otherwise(Nothing::default()),
    };
    wire::AttemptOver { how: Some(how), ..Default::default() }
}

fn ended(message: &wire::AttemptOver) -> Result<Ended, Unreadable> {
    use wire::attempt_over::How;
    Ok(match &message.how {
        Some(How::Succeeded(success)) => Ended::Succeeded {
            task: success.task,
            took: Span(success.took),
            expected: success.expected.map(Span),
        },
        Some(How::Failed(task)) => Ended::Failed { task: *task },
        Some(How::Refused(_)) => Ended::Refused,
        Some(How::Otherwise(_)) => Ended::Otherwise,
        None => return Err(unknown_kind("end of a dispatch", &message.special_fields)),
    })
}

pub(crate) fn offers(message: wire::OfferFrame) -> Result<OfferFrame, Unreadable> {
    let shapes = shapes(message.shapes)?;
    let workers = message.workers.into_iter().map(id::worker).collect::<Result<Vec<_>, _>>()?;
    let items = message.items.into_iter().map(|item| offer_item(item, &shapes, &workers));
    Ok(OfferFrame {
        stream: stream(&need(message.stream, "stream")?),
        number: message.number,
        list: Choice::read(message.list)?,
        items: items.collect::<Result<_, _>>()?,
    })
}

fn task_run(high: u64, low: u64, task: u32, item: u32) -> TaskRunId {
    TaskRunId { run: id::run_id(high, low), key: TaskKey { task, item } }
}

fn offer_item(
    message: wire::OfferItem,
    shapes: &[Arc<Shape>],
    workers: &[WorkerRef],
) -> Result<OfferItem, Unreadable> {
    use wire::offer_item::What;
    let task_run = task_run(message.run_high, message.run_low, message.task, message.item);
    Ok(match message.what {
        Some(What::Offer(message)) => OfferItem::Offer(offer(message, task_run, shapes)?),
        Some(What::Withdraw(_)) => OfferItem::Withdraw(task_run),
        Some(What::Dispatched(holds)) => {
            OfferItem::Dispatched { task_run, held: held(holds, shapes, workers)? }
        }
        Some(What::Ended(how)) => OfferItem::Ended { task_run, how: ended(&how)? },
        Some(What::GrantFailed(failed)) => {
            let why: GrantFailed = Choice::read(failed.fault)?;
            OfferItem::GrantFailed { task_run, grant: failed.grant, why }
        }
        Some(What::Horizon(horizon)) => {
            let hidden = rank(&need(horizon.rank, "rank")?)?;
            OfferItem::Horizon { shape: shape_at(shapes, horizon.shape)?, hidden: Some((hidden, task_run)) }
        }
        Some(What::Work(message)) => {
            let wire::GroupWork { group, task_runs, load, .. } = message;
            OfferItem::Work { group: id::name(group)?, work: Work { task_runs, load: amounts(load)? } }
        }
        Some(What::Pace(message)) => {
            let worker = worker_at(workers, message.worker)?;
            OfferItem::Pace { worker, pace: Pace::of_codes(&message.ratios) }
        }
        Some(What::AllShown(shape)) => OfferItem::Horizon { shape: shape_at(shapes, shape)?, hidden: None },
        None => return Err(unknown_kind("item of a list of offers", &message.special_fields)),
    })
}

fn held(message: wire::Holds, shapes: &[Arc<Shape>], workers: &[WorkerRef]) -> Result<Held, Unreadable> {
    let shape = shape_at(shapes, message.shape)?;
    let request = narrow(message.request, "place of a request")?;
    if usize::from(request) >= shape.requests.len() {
        return Err(Unreadable::Range { what: "place of a request", value: u64::from(request) });
    }
    Ok(Held { worker: worker_at(workers, message.worker)?, shape, request, devices: message.devices })
}

fn offer(message: wire::Offer, task_run: TaskRunId, shapes: &[Arc<Shape>]) -> Result<Offer, Unreadable> {
    let rank = rank(&need(message.rank, "rank")?)?;
    let since = later(rank.run_created, message.since);
    Ok(Offer { task_run, shape: shape_at(shapes, message.shape)?, rank, since })
}

pub(crate) fn dispatcher_message(frame: &DispatcherFrame) -> wire::DispatcherFrame {
    let (mut shapes, mut workers) = (ShapeTable::default(), WorkerTable::default());
    let items = frame
        .items
        .iter()
        .map(|item| wire::DispatcherItem {
            what: Some(dispatcher_what(item, &mut shapes, &mut workers)),
            ..Default::default()
        })
        .collect();
    wire::DispatcherFrame {
        stream: Some(stream_message(frame.stream)).into(),
        list: frame.list,
        number: frame.number,
        round: frame.round,
        rows: frame.rows,
        shapes: shapes.messages(),
        workers: workers.messages(),
        items,
        ..Default::default()
    }
}

fn dispatcher_what<'a>(
    item: &'a DispatcherItem,
    shapes: &mut ShapeTable<'a>,
    workers: &mut WorkerTable<'a>,
) -> wire::dispatcher_item::What {
    use wire::dispatcher_item::What;
    match item {
        DispatcherItem::Grant(grant) => What::Grant(wire::Grant {
            run_high: id::high(grant.task_run.run.0),
            run_low: id::low(grant.task_run.run.0),
            task: grant.task_run.key.task,
            item: grant.task_run.key.item,
            worker: workers.place(&grant.worker),
            number: grant.number,
            valid_for: grant.valid_for.0,
            request: u32::from(grant.request),
            devices: grant.devices.clone(),
            ..Default::default()
        }),
        DispatcherItem::Credit(Credit { shape, credits, ageing }) => What::Credit(wire::Credit {
            shape: shapes.place(shape),
            credits: *credits,
            ageing: ageing.map(ageing_message).into(),
            ..Default::default()
        }),
        DispatcherItem::Parked { shape, reasons } => What::Parked(wire::Parked {
            shape: shapes.place(shape),
            reasons: reasons.iter().map(reason_text).collect(),
            ..Default::default()
        }),
        DispatcherItem::Unparked { shape } => What::Unparked(shapes.place(shape)),
        DispatcherItem::Restart { seen } => What::Restart(*seen),
    }
}

pub(crate) fn dispatcher(message: wire::DispatcherFrame) -> Result<DispatcherFrame, Unreadable> {
    let shapes = shapes(message.shapes)?;
    let workers = message.workers.into_iter().map(id::worker).collect::<Result<Vec<_>, _>>()?;
    let items = message.items.into_iter().map(|item| dispatcher_item(item, &shapes, &workers));
    Ok(DispatcherFrame {
        stream: stream(&need(message.stream, "stream")?),
        list: message.list,
        number: message.number,
        round: message.round,
        rows: message.rows,
        items: items.collect::<Result<_, _>>()?,
    })
}

fn dispatcher_item(
    message: wire::DispatcherItem,
    shapes: &[Arc<Shape>],
    workers: &[WorkerRef],
) -> Result<DispatcherItem, Unreadable> {
    use wire::dispatcher_item::What;
    Ok(match message.what {
        Some(What::Grant(grant)) => DispatcherItem::Grant(Grant {
            task_run: task_run(grant.run_high, grant.run_low, grant.task, grant.item),
            worker: worker_at(workers, grant.worker)?,
            number: grant.number,
            valid_for: Span(grant.valid_for),
            request: narrow(grant.request, "place of a request")?,
            devices: grant.devices,
        }),
        Some(What::Credit(credit)) => DispatcherItem::Credit(Credit {
            shape: shape_at(shapes, credit.shape)?,
            credits: credit.credits,
            ageing: credit.ageing.into_option().map(|message| ageing(&message)),
        }),
        Some(What::Parked(parked)) => DispatcherItem::Parked {
            shape: shape_at(shapes, parked.shape)?,
            reasons: parked.reasons.iter().map(|text| reason(text)).collect::<Result<_, _>>()?,
        },
        Some(What::Unparked(place)) => DispatcherItem::Unparked { shape: shape_at(shapes, place)? },
        Some(What::Restart(seen)) => DispatcherItem::Restart { seen },
        None => {
            return Err(unknown_kind("item of the Dispatcher's answer", &message.special_fields));
        }
    })
}

fn ageing_message(ageing: Ageing) -> wire::Ageing {
    wire::Ageing { every: ageing.every.0, now: ageing.now.0, ..Default::default() }
}

fn ageing(message: &wire::Ageing) -> Ageing {
    Ageing { every: Span(message.every), now: Timestamp(message.now) }
}

fn reason_text(reason: &Reason) -> String {
    serde_json::to_string(reason).expect("a reason is made of numbers and texts")
}

fn reason(text: &str) -> Result<Reason, Unreadable> {
    serde_json::from_str(text).map_err(|why| Unreadable::Json { name: "reason".into(), why: why.to_string() })
}
