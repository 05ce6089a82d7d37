//! One life of a node: a set of tasks on the world's one thread, which actors enter by the door. Must not know what
//! runs in it.

use hortator_actors::seam::{Room, Rooms};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, LocalSet};

type Work = Box<dyn FnOnce() + Send>;

/// All rooms of one life are one.
pub(crate) struct Door(UnboundedSender<Work>);

impl Rooms for Door {
    fn enter(&self, _: Room, work: Work) {
        // With nobody inside any more the life is over.
        let _ = self.0.send(work);
    }
}

/// See the module.
pub(crate) struct Life(JoinHandle<()>);

impl Life {
    pub(crate) fn begin() -> (Life, Door) {
        let (door, work) = unbounded_channel();
        let tasks = LocalSet::new();
        tasks.spawn_local(admit(work));
        (Life(tokio::task::spawn_local(tasks)), Door(door))
    }

    /// Drops all that is inside.
    pub(crate) async fn end(self) {
        self.0.abort();
        let ended = self.0.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "a life lasts until it is ended");
    }
}

async fn admit(mut work: UnboundedReceiver<Work>) {
    while let Some(work) = work.recv().await {
        work();
    }
    // Its actors live on until the life ends.
    std::future::pending::<()>().await;
}
