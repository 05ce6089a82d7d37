//! The context that actors of this crate run in: actix's, and a clock around each turn. Must not know any actor.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::{
    AsyncContextParts, ContextFut, ContextParts, Envelope, EnvelopeProxy, Mailbox as Queue, MessageResponse,
    ToEnvelope,
};
use actix::prelude::*;
use tokio::sync::oneshot::Sender;
use tokio::time::Instant;

use crate::mailbox::{Mailbox, Meter};
use crate::observe::{ActorName, Gauge};

/// By how much a narrow mailbox is smaller: those of a shard's actors hold a message or two then, those of raft groups
/// four.
const NARROW: usize = 4_096;

/// See the module.
pub struct Context<A: Actor<Context = Context<A>>> {
    parts: ContextParts<A>,
    seat: Seat,
}

/// An actor's place among those of its node, given back when the actor is dropped.
struct Seat {
    gauge: Arc<Gauge>,
    meter: Arc<Meter>,
}

/// Starts an actor on this thread.
pub fn start<A: Actor<Context = Context<A>>>(meter: &Arc<Meter>, name: ActorName, actor: A) -> Mailbox<A> {
    create(meter, name, |_| actor)
}

/// Starts an actor that needs its own context to be made.
pub fn create<A: Actor<Context = Context<A>>>(
    meter: &Arc<Meter>,
    name: ActorName,
    make: impl FnOnce(&mut Context<A>) -> A,
) -> Mailbox<A> {
    let gauge = meter.actors.enter::<A>(name);
    let queue = Queue::default();
    let parts = ContextParts::new(queue.sender_producer());
    let mut context = Context { parts, seat: Seat { gauge, meter: meter.clone() } };
    // Unbounded for actix: the gauge counts.
    context.parts.set_mailbox_capacity(0);
    let actor = make(&mut context);
    let mailbox = context.mailbox();
    actix::spawn(ContextFut::new(context, actor, queue));
    mailbox
}

impl<A: Actor<Context = Context<A>>> Context<A> {
    /// How many messages may wait. In a simulated world some mailboxes are narrow: to be refused is legal at any time.
    pub fn set_mailbox_capacity(&mut self, messages: usize) {
        let narrow = hortator_raft::buggify!("mailbox: narrow", 300_000);
        self.seat.gauge.set_capacity(if narrow { (messages / NARROW).max(1) } else { messages });
    }

    /// How often this node's actors look at what is due every so often.
    pub fn paced(&self, every: Duration) -> Duration {
        self.seat.meter.pace.every(every)
    }

    /// The actor's own.
    pub fn mailbox(&self) -> Mailbox<A> {
        Mailbox::of(self.parts.address(), self.seat.meter.clone(), self.seat.gauge.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.meter.actors.leave(&self.gauge);
    }
}

impl<A: Actor<Context = Context<A>>> std::fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context<{}>", std::any::type_name::<A>())
    }
}

impl<A: Actor<Context = Context<A>>> ActorContext for Context<A> {
    fn stop(&mut self) {
        self.parts.stop();
    }

    fn terminate(&mut self) {
        self.parts.terminate();
    }

    fn state(&self) -> ActorState {
        self.parts.state()
    }
}

impl<A: Actor<Context = Context<A>>> AsyncContext<A> for Context<A> {
    fn address(&self) -> Addr<A> {
        self.parts.address()
    }

    fn spawn<F: ActorFuture<A, Output = ()> + 'static>(&mut self, future: F) -> SpawnHandle {
        self.parts.spawn(future)
    }

    fn wait<F: ActorFuture<A, Output = ()> + 'static>(&mut self, future: F) {
        self.parts.wait(future);
    }

    fn waiting(&self) -> bool {
        self.parts.waiting()
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.parts.cancel_future(handle)
    }
}

impl<A: Actor<Context = Context<A>>> AsyncContextParts<A> for Context<A> {
    fn parts(&mut self) -> &mut ContextParts<A> {
        &mut self.parts
    }
}

impl<A, M> ToEnvelope<A, M> for Context<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(message: M, answer: Option<Sender<M::Result>>) -> Envelope<A> {
        Envelope::with_proxy(Box::new(Timed { message: Some(message), answer, sent: Instant::now() }))
    }
}

/// A message on its way, with the time when it was sent.
struct Timed<M: Message> {
    message: Option<M>,
    answer: Option<Sender<M::Result>>,
    sent: Instant,
}

impl<A, M> EnvelopeProxy<A> for Timed<M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn handle(&mut self, actor: &mut A, context: &mut Context<A>) {
        // Looking at the clock is most of what observing costs: once for the beginning, once for the end.
        let began = Instant::now();
        context.seat.gauge.begins(self.sent, began, std::any::type_name::<M>());
        let answer = self.answer.take();
        // Nobody waits for the answer any more.
        if answer.as_ref().is_some_and(Sender::is_closed) {
            context.seat.gauge.skips();
            return;
        }
        let Some(message) = self.message.take() else { return };
        let response = <A as Handler<M>>::handle(actor, message, context);
        response.handle(context, answer);
        context.seat.gauge.ends(began.elapsed(), std::any::type_name::<M>());
    }
}
