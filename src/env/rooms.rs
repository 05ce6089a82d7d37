//! Rooms as threads: one named thread with a single-threaded runtime per room, made when first entered.
//! Must not know what works in them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use hortator_actors::seam::{Room, Rooms};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

type Work = Box<dyn FnOnce() + Send>;

/// A node's threads. Dropping them ends every actor in them and joins the threads.
pub struct ThreadRooms {
    /// Tells the threads of several nodes in one process apart.
    prefix: String,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    rooms: BTreeMap<Room, RoomThread>,
    closed: bool,
}

struct RoomThread {
    /// Unbounded: only the start and the stop of a node's parts come this way.
    work: UnboundedSender<Work>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for ThreadRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadRooms({})", self.prefix)
    }
}

impl ThreadRooms {
    /// `prefix` begins the threads' names; Linux shows 15 characters of them.
    pub fn new(prefix: &str) -> ThreadRooms {
        ThreadRooms { prefix: prefix.to_owned(), threads: Mutex::default() }
    }

    /// The rooms that somebody has entered.
    pub(crate) fn entered(&self) -> Vec<Room> {
        let threads = self.threads.lock().expect("nothing panics while it holds the rooms");
        threads.rooms.keys().copied().collect()
    }

    /// Ends all actors and joins the threads; what enters later is dropped. Called from within a room it does not
    /// wait for that room.
    pub fn stop(&self) {
        let mut threads = self.threads.lock().expect("nothing panics while it holds the rooms");
        threads.closed = true;
        let rooms = std::mem::take(&mut threads.rooms);
        drop(threads);
        let joins: Vec<JoinHandle<()>> = rooms.into_values().map(|room| room.thread).collect();
        for join in joins.into_iter().filter(|join| join.thread().id() != thread::current().id()) {
            // A thread that panicked has said so; the others are joined all the same.
            join.join().unwrap_or(());
        }
    }
}

impl Drop for ThreadRooms {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Rooms for ThreadRooms {
    fn enter(&self, room: Room, work: Work) {
        let mut threads = self.threads.lock().expect("nothing panics while it holds the rooms");
        if threads.closed {
            return;
        }
        let place = threads.rooms.entry(room).or_insert_with(|| spawn(&self.prefix, room));
        // The thread ends only when the sender is gone, or by a panic that has been reported.
        place.work.send(work).unwrap_or(());
    }
}

fn spawn(prefix: &str, room: Room) -> RoomThread {
    let name = match room {
        Room::Raft => format!("{prefix}-raft"),
        Room::Deciders(group) => format!("{prefix}-decide{group}"),
        Room::Edge => format!("{prefix}-edge"),
        Room::Reads => format!("{prefix}-reads"),
        Room::Agent => format!("{prefix}-agent"),
    };
    let (work, incoming) = unbounded_channel();
    let thread =
        thread::Builder::new().name(name).spawn(move || live(incoming)).expect("the system gives a thread");
    RoomThread { work, thread }
}

/// Runs whatever enters, and all that it spawns, until nobody can enter any more.
fn live(mut incoming: UnboundedReceiver<Work>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a runtime");
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        while let Some(work) = incoming.recv().await {
            work();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_room_is_one_thread_and_stop_ends_what_lives_in_it() {
        struct Guard(std::sync::mpsc::Sender<String>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.send("ended".into()).unwrap();
            }
        }
        let rooms = ThreadRooms::new("t");
        let (sender, receiver) = channel();
        for room in [Room::Edge, Room::Edge, Room::Deciders(3)] {
            let sender = sender.clone();
            let work = move || {
                tokio::task::spawn_local(async move {
                    let guard = Guard(sender);
                    guard.0.send(thread::current().name().unwrap().to_owned()).unwrap();
                    std::future::pending::<()>().await;
                });
            };
            rooms.enter(room, Box::new(work));
        }
        let mut names: Vec<String> = (0..3).map(|_| receiver.recv().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["t-decide3", "t-edge", "t-edge"]);
        rooms.stop();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["ended", "ended", "ended"]);
        rooms.enter(Room::Edge, Box::new(|| panic!("it is closed")));
    }
}
