//! Frames of offers and grants. A frame names each shape and worker once.
//! Must not know streams' rules.

use std::sync::Arc;

use hortator_core::id::{RunId, TaskKey, TaskRunId, WorkerRef};
use hortator_core::placement::{
    Credit, DispatcherFrame, DispatcherItem, Grant, Offer, OfferFrame, OfferItem, Rank, Shape, StreamId,
};
use hortator_core::reason::Reason;
use hortator_core::time::{Span, Timestamp};

use super::enumerations::Choice;
use super::event::{WorkerTable, worker_at};
use super::{id, later, need, since, unknown_kind};
use crate::error::Unreadable;
use crate::generated::id::Nothing;
use crate::generated::placement as wire;

/// The shapes of a message, each once, in order of first use.
#[derive(Debug, Default)]
struct ShapeTable<'a>(Vec<&'a Arc<Shape>>);

impl<'a> ShapeTable<'a> {
    fn place(&mut self, shape: &'a Arc<Shape>) -> u32 {
        let same = |known: &&Arc<Shape>| Arc::ptr_eq(known, shape) || **known == *shape;
        let place = match self.0.iter().rposition(same) {
            Some(place) => place,
            None => {
                self.0.push(shape);
                self.0.len() - 1
            }
        };
        u32::try_from(place).expect("a message names fewer shapes than fit into memory")
    }

    fn messages(&self) -> Vec<wire::Shape> {
        let message = |shape: &&Arc<Shape>| wire::Shape {
            group: shape.group.to_string(),
            kind: shape.kind.wire(),
            slots: shape.slots,
            ..Default::default()
        };
        self.0.iter().map(message).collect()
    }
}

fn shapes(messages: Vec<wire::Shape>) -> Result<Vec<Arc<Shape>>, Unreadable> {
    let shape = |message: wire::Shape| {
        let group = id::name(message.group)?;
        Ok(Arc::new(Shape { group, kind: Choice::read(message.kind)?, slots: message.slots }))
    };
    messages.into_iter().map(shape).collect()
}

fn shape_at(shapes: &[Arc<Shape>], place: u32) -> Result<Arc<Shape>, Unreadable> {
    shapes
        .get(place as usize)
        .cloned()
        .ok_or(Unreadable::Range { what: "place of a shape", value: u64::from(place) })
}

fn stream_message(stream: StreamId) -> wire::Stream {
    let StreamId { shard, shard_term, epoch, dispatcher_term } = stream;
    wire::Stream { shard, shard_term, epoch, dispatcher_term, ..Default::default() }
}

fn stream(message: &wire::Stream) -> StreamId {
    let wire::Stream { shard, shard_term, epoch, dispatcher_term, .. } = *message;
    StreamId { shard, shard_term, epoch, dispatcher_term }
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
        OfferItem::Dispatched { task_run, worker, slots } => {
            let holds = wire::Holds { worker: workers.place(worker), slots: *slots, ..Default::default() };
            (*task_run, What::Dispatched(holds))
        }
        OfferItem::Ended { task_run, how } => (*task_run, What::Ended(how.wire())),
        OfferItem::GrantRefused { task_run, grant } => (*task_run, What::GrantRefused(*grant)),
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
    let Rank { run_priority, run_order: (created_at, run), task_priority, activation } = offer.rank;
    let run_order = (run != offer.task_run.run).then(|| id::run_message(run));
    wire::Offer {
        shape,
        run_priority: run_priority.wire(),
        run_created_at: created_at.0,
        run_order: run_order.into(),
        task_priority: task_priority.wire(),
        activation,
        since: since(created_at, offer.since),
        ..Default::default()
    }
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
            OfferItem::Dispatched { task_run, worker: worker_at(workers, holds.worker)?, slots: holds.slots }
        }
        Some(What::Ended(how)) => OfferItem::Ended { task_run, how: Choice::read(how)? },
        Some(What::GrantRefused(grant)) => OfferItem::GrantRefused { task_run, grant },
        None => return Err(unknown_kind("item of a list of offers", &message.special_fields)),
    })
}

fn offer(message: wire::Offer, task_run: TaskRunId, shapes: &[Arc<Shape>]) -> Result<Offer, Unreadable> {
    let created_at = Timestamp(message.run_created_at);
    let run: RunId = message.run_order.as_ref().map_or(task_run.run, |run| id::run_id(run.high, run.low));
    Ok(Offer {
        task_run,
        shape: shape_at(shapes, message.shape)?,
        rank: Rank {
            run_priority: Choice::read(message.run_priority)?,
            run_order: (created_at, run),
            task_priority: Choice::read(message.task_priority)?,
            activation: message.activation,
        },
        since: later(created_at, message.since),
    })
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
            ..Default::default()
        }),
        DispatcherItem::Credit(Credit { shape, credits }) => {
            What::Credit(wire::Credit { shape: shapes.place(shape), credits: *credits, ..Default::default() })
        }
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
        }),
        Some(What::Credit(credit)) => {
            DispatcherItem::Credit(Credit { shape: shape_at(shapes, credit.shape)?, credits: credit.credits })
        }
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

fn reason_text(reason: &Reason) -> String {
    serde_json::to_string(reason).expect("a reason is made of numbers and texts")
}

fn reason(text: &str) -> Result<Reason, Unreadable> {
    serde_json::from_str(text).map_err(|why| Unreadable::Json { name: "reason".into(), why: why.to_string() })
}
