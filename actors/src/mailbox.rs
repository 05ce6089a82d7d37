//! The thin layer over actix: named mailboxes with a bound, a written answer to "full", and a count of what passes.
//! Everything else in this crate sends through here, so that actix stays replaceable and the count complete.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::dev::ToEnvelope;
use actix::prelude::*;

/// What one node did so far, for metrics and for the benchmark's cost per task run.
#[derive(Debug, Default)]
pub struct Meter {
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
}

impl Meter {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// The address of an actor, counted.
pub struct Mailbox<A: Actor> {
    address: Addr<A>,
    meter: Arc<Meter>,
}

/// The mailbox is full or its actor gone; the message comes to nothing and the sender's policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is full or closed")]
pub struct Refused;

impl<A: Actor> Mailbox<A> {
    pub fn new(address: Addr<A>, meter: Arc<Meter>) -> Mailbox<A> {
        Mailbox { address, meter }
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
        self.address.try_send(message).map_err(|_| {
            Meter::add(&self.meter.messages_refused, 1);
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
        self.address.send(message).await.map_err(|_| Refused)
    }

    /// The plain recipient of one kind of message.
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.address.clone().recipient()
    }

    /// Whether both lead to the same actor.
    pub fn same(&self, other: &Mailbox<A>) -> bool {
        self.address == other.address
    }
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Mailbox<A> {
        Mailbox { address: self.address.clone(), meter: self.meter.clone() }
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox<{}>", std::any::type_name::<A>())
    }
}
