//! Faults as data: what is done to whom, how often and for how long. One line is one source of faults; many lines make a
//! plan. Must not know how they are carried out, see `inject`.
//!
//! ```toml
//! [[fault]]
//! do = "power_loss"            # see Fault
//! who = "leader"               # see Who
//! every = ["4s", "8s"]         # from the end of one to the next
//! for = ["0s", "5s"]           # until it is undone; long and short ones alike
//! count = 3                    # at most so many
//! after = "raft: nobody leads"  # each time right after this mark in the code is passed
//! ```

mod hit;
mod inject;
mod members;
mod orders;
mod wires;

use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

pub use hit::{After, Hit};
pub use inject::{Due, Dues, Injector, heal, repeat};
pub use members::{STEPS_END, settle};
pub use orders::take_back;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The process goes at once; what it wrote without a sync stays.
    Kill,
    /// The host goes at once; sectors that were not synced are lost, kept or torn.
    PowerLoss,
    /// A master is asked to hand over, then goes.
    Terminate,
    /// A master is asked to give its leaderships away, and stays.
    HandOver,
    /// The process stands still.
    Stop,
    /// A master's whole host stands still, and with it the workers on it and their processes; clocks go on.
    StopHost,
    /// Neither hears nor is heard.
    Cut,
    /// A master neither hears nor is heard by other masters; workers hear it.
    CutPeers,
    /// Is heard and hears nobody.
    CutIn,
    /// Hears and is not heard.
    CutOut,
    /// All nodes fall into two parts that do not hear each other.
    Split,
    /// Two halves of the masters that only one master hears both of.
    Bridge,
    /// Each master hears only its two neighbours in a row.
    Chain,
    /// Nodes are cut off one after the other, and come back in another order.
    Swizzle,
    /// Sessions break and open again.
    Break,
    /// Lost and late segments on all links.
    Storm,
    /// Few bytes a second on all links.
    Throttle,
    /// Lost and late segments on the links of whoever is named.
    Squall,
    /// Few bytes a second on the links of whoever is named.
    Clog,
    /// A master dies in the middle of a write.
    DieInWrite,
    /// A master dies after a sync and before it says so.
    DieAfterSync,
    /// The next sync fails; the master must end.
    SyncFails,
    SlowDisk,
    StallDisk,
    DiskFull,
    /// Wall time jumps, and back.
    ClockJump,
    /// Seconds are too short or too long, by at most the 1 % that leases allow for.
    ClockDrift,
    /// An operator keeps new work from a worker, and lets it in again.
    Cordon,
    /// An operator wants a worker empty, and lets work in again.
    Drain,
    /// An operator makes leases longer, and shortens them again.
    LongerLeases,
    /// One more master joins, and leaves again.
    Grow,
    /// A master leaves, and later another one joins.
    Shrink,
    /// A master's host is lost with its disk; later another one takes its place, and it is removed.
    Replace,
    /// A master comes back with an empty disk under its old id: nobody may listen to it. Later it is replaced.
    Amnesia,
    /// Bits of a master's disk flip; later it is replaced.
    BitRot,
    /// A page of a master's file lands where another one lies; later it is replaced.
    Misdirect,
    /// A master's directory of some lives ago is put back: nobody may listen to it. Later it is replaced.
    OldDisk,
    /// A worker's host is exchanged for another one of the same name.
    NewHost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The leader of a group, the membership group or a shard.
    Leader,
    /// The leader of the membership group: it hears the workers, and places.
    Dispatcher,
    Master,
    /// The master after the last that was hurt by this line.
    NextMaster,
    /// A master that leads no group, if there is one.
    Follower,
    AllMasters,
    Worker,
    AllWorkers,
    /// Any one.
    Node,
    /// One link between two nodes that talk.
    Link,
    /// Whoever passed the mark that the line waits for; any master where no process did.
    Passer,
}

/// One source of faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultLine {
    #[serde(rename = "do")]
    pub fault: Fault,
    pub who: Who,
    #[serde(with = "crate::words::spans")]
    pub every: [Span; 2],
    #[serde(rename = "for", with = "crate::words::spans")]
    pub lasts: [Span; 2],
    /// None: as long as the plan runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// A mark in the code: each hit waits until it is passed once more, and then comes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
