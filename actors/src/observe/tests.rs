//! One actor that is held up, and what shows of it.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::context::{Context, start};
use crate::mailbox::Meter;

struct Slow;

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(5);
    }
}

/// Holds the actor until the other end is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Hold(oneshot::Receiver<()>);

#[derive(Message)]
#[rtype(result = "()")]
struct Nap(Duration);

#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Handler<Hold> for Slow {
    type Result = ();

    fn handle(&mut self, Hold(until): Hold, ctx: &mut Context<Self>) {
        ctx.wait(async { drop(until.await) }.into_actor(self));
    }
}

impl Handler<Nap> for Slow {
    type Result = ();

    fn handle(&mut self, Nap(span): Nap, _: &mut Context<Self>) {
        let until = Instant::now() + span;
        while Instant::now() < until {}
    }
}

impl Handler<Leave> for Slow {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

#[test]
fn a_stuck_actor_shows_what_waits_and_a_gone_one_what_it_did() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let meter = Arc::<Meter>::default();
        let actor = start(&meter, ActorName::Text("one".into()), Slow);
        actor.ask(Nap(Duration::from_millis(3))).await.unwrap();
        let (hold, until) = oneshot::channel();
        actor.ask(Hold(until)).await.unwrap();
        for _ in 0..4 {
            actor.send(Nap(Duration::ZERO)).unwrap();
        }
        let refused = (0..9).filter(|_| actor.send(Nap(Duration::ZERO)).is_err()).count();
        assert!(refused > 0, "the mailbox is bounded");
        let sent = 13 - refused as u64;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let top = meter.actors.top(ActorOrder::Age, 3);
        assert_eq!((top.len(), &*top[0].kind, &*top[0].name), (1, "Slow", "one"));
        let load = &top[0].load;
        assert_eq!((load.mailbox, load.handled, &*load.slowest), (sent, 2, "Nap"));
        assert!(load.oldest_us >= 5_000 && load.slowest_us >= 3_000, "{load:?}");
        assert!(load.busy_us >= load.slowest_us, "{load:?}");
        drop(hold);
        actor.ask(Nap(Duration::ZERO)).await.unwrap();
        assert_eq!(meter.actors.top(ActorOrder::Mailbox, 1)[0].load.mailbox, 0);
        actor.ask(Leave).await.unwrap();
        while meter.actors.kinds()[0].actors > 0 {
            tokio::task::yield_now().await;
        }
        let gone = &meter.actors.kinds()[0];
        assert_eq!((gone.started, gone.load.handled, &*gone.load.slowest), (1, sent + 4, "Nap"));
        assert!(gone.load.busy_us >= 3_000);
        assert!(meter.actors.top(ActorOrder::Time, 9).is_empty());
        // Whoever still writes to it writes to nobody, and that shows.
        let letters = || meter.actors.dead_letters().remove(0);
        assert_eq!((letters().dead, letters().refused), (0, refused as u64));
        assert!(actor.send(Nap(Duration::ZERO)).is_err());
        assert!(actor.ask(Nap(Duration::ZERO)).await.is_err());
        assert_eq!((letters().dead, &*letters().last), (2, "Nap to Slow:one"));
        let slow = meter.actors.slowest(1);
        assert_eq!(&*slow[0].what, "Slow:one handled Nap");
    });
}
