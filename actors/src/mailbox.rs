//! The thin layer over actix: named mailboxes with a bound, a written answer to "full", and a count of what passes.
//! Everything else in this crate sends through here, so that actix stays replaceable and the count complete.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::dev::ToEnvelope;
use actix::prelude::*;

use crate::histogram::Histogram;
use crate::observe::{ActorName, Actors, Gauge, SlowBoard};
use crate::pace::Pace;
use crate::schedule_counts::ScheduleCounts;
use crate::sums::Comparisons;
use crate::tally::Tally;
use crate::waits::Waits;

/// What one node did so far, for metrics and for the benchmark's cost per task run.
#[derive(Debug, Default)]
pub struct Meter {
    /// Of all actors that it counts.
    pub pace: Pace,
    pub actor_messages: AtomicU64,
    pub messages_refused: AtomicU64,
    pub entries: AtomicU64,
    pub row_writes: AtomicU64,
    pub frames_sent: AtomicU64,
    pub frames_received: AtomicU64,
    pub dispatches: AtomicU64,
    pub attempts_ended: AtomicU64,
    pub runs_finished: AtomicU64,
    pub rejections: AtomicU64,
    pub leader_changes: AtomicU64,
    pub handed_over: AtomicU64,
    pub heartbeats: AtomicU64,
    pub leases_renewed: AtomicU64,
    pub workers_lost: AtomicU64,
    pub reports: AtomicU64,
    /// The actors of the node, and what goes through their mailboxes.
    pub actors: Actors,
    /// From ready to dispatched.
    pub dispatch: Histogram,
    /// The same by worker group, and what came before it.
    pub waits: Waits,
    pub schedules: ScheduleCounts,
    /// Reports about task runs that have no attempt any more.
    pub orphan_reports: AtomicU64,
    /// Grants of the Dispatcher here.
    pub grants: AtomicU64,
    /// What was decided, by its outcome.
    pub tally: Tally,
    /// Of the logs of attempts that have ended, on a worker.
    pub log_bytes: AtomicU64,
    pub log_dropped: AtomicU64,
    /// Entries that took long to commit.
    pub slow_entries: SlowBoard,
    /// Rows here compared with those of other replicas.
    pub rows: Comparisons,
    groups: Mutex<BTreeMap<u32, Arc<GroupMeter>>>,
}

/// What one replica did.
#[derive(Debug, Default)]
pub struct GroupMeter {
    /// From proposed to committed.
    pub commit: Histogram,
    /// From committed to visible, of entries proposed here.
    pub apply: Histogram,
    pub proposals: AtomicU64,
    pub leader_changes: AtomicU64,
    /// To other replicas.
    pub messages: AtomicU64,
    /// Snapshots taken over from a leader.
    pub snapshots: AtomicU64,
}

impl Meter {
    /// One whose actors go at that pace.
    pub fn at(pace: Pace) -> Meter {
        Meter { pace, ..Meter::default() }
    }

    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub fn of_group(&self, group: u32) -> Arc<GroupMeter> {
        self.lock_groups().entry(group).or_default().clone()
    }

    pub fn groups(&self) -> BTreeMap<u32, Arc<GroupMeter>> {
        self.lock_groups().clone()
    }

    fn lock_groups(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Arc<GroupMeter>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of an actor, counted.
pub struct Mailbox<A: Actor> {
    address: Addr<A>,
    meter: Arc<Meter>,
    gauge: Arc<Gauge>,
}

/// A mailbox for one kind of message, whoever reads it.
pub struct Door<M: Message + Send + 'static>
where
    M::Result: Send,
{
    recipient: Recipient<M>,
    gauge: Arc<Gauge>,
}

/// The mailbox is full or its actor gone; the message comes to nothing and the sender's policy applies.
///
/// Whose loss would leave somebody waiting for ever is never a message alone: it is state that the receiver looks at with
/// every message (a full mailbox holds some, so it will look), or the sender says it again by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is full or closed")]
pub struct Refused;

impl<A: Actor> Mailbox<A> {
    /// That of an actor in actix's own context, which counts no turns.
    pub fn new(address: Addr<A>, meter: Arc<Meter>) -> Mailbox<A> {
        let gauge = meter.actors.enter::<A>(ActorName::Only);
        Mailbox { address, meter, gauge }
    }

    pub(crate) fn of(address: Addr<A>, meter: Arc<Meter>, gauge: Arc<Gauge>) -> Mailbox<A> {
        Mailbox { address, meter, gauge }
    }

    /// Hands a message over without waiting.
    pub fn send<M>(&self, message: M) -> Result<(), Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Meter::add(&self.meter.actor_messages, 1);
        self.knock(message).inspect_err(|_| Meter::add(&self.meter.messages_refused, 1))
    }

    /// The same, and a full mailbox gives the message back.
    pub fn offer<M>(&self, message: M) -> Result<(), M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.door().send(message).map_err(SendError::into_inner)
    }

    /// Hands over what is no message between actors: a wake-up from a thread of its own.
    pub(crate) fn knock<M>(&self, message: M) -> Result<(), Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        if !self.gauge.admits() {
            return Err(Refused);
        }
        self.address.try_send(message).map_err(|error| {
            self.gauge.bounces(&error);
            Refused
        })
    }

    /// Asks and awaits the answer; only from outside of actors, which never wait.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Meter::add(&self.meter.actor_messages, 1);
        self.gauge.sends();
        self.address.send(message).await.map_err(|error| {
            if let MailboxError::Closed = error {
                self.gauge.was_gone(std::any::type_name::<M>());
            }
            Refused
        })
    }

    /// For one kind of message.
    pub fn door<M>(&self) -> Door<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Door { recipient: self.address.clone().recipient(), gauge: self.gauge.clone() }
    }

    /// Whether both lead to the same actor.
    pub fn same(&self, other: &Mailbox<A>) -> bool {
        self.address == other.address
    }
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Mailbox<A> {
        Mailbox { address: self.address.clone(), meter: self.meter.clone(), gauge: self.gauge.clone() }
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox<{}>", std::any::type_name::<A>())
    }
}

impl<M: Message + Send + 'static> Door<M>
where
    M::Result: Send,
{
    /// A full mailbox gives the message back.
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        if !self.gauge.admits() {
            return Err(SendError::Full(message));
        }
        self.recipient.try_send(message).inspect_err(|error| self.gauge.bounces(error))
    }
}

impl<M: Message + Send + 'static> fmt::Debug for Door<M>
where
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door<{}>", std::any::type_name::<M>())
    }
}
