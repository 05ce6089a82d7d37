//! What a master tells of its own inside: actors and mailboxes, replicas of groups and their logs.
//! Each master answers for itself. Must not know how it is counted.

use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

/// A look into the master that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Actors {
        order: ActorOrder,
        top: usize,
    },
    /// One actor, by its id.
    Actor {
        id: String,
    },
    /// What it handles from now on, for so long.
    Messages {
        id: String,
        lasts: Span,
    },
    /// Lets a shard's actors begin anew from its rows.
    Restart {
        id: String,
    },
    /// The slowest turns, entries and syncs of the last hour.
    Slow {
        top: usize,
    },
    /// Messages to actors that were gone.
    DeadLetters,
    /// What is out of the ordinary, in sentences.
    Warnings,
    Raft,
    /// Sums of the groups' rows after some of the last entries.
    Sums,
    Log {
        group: u32,
        from: u64,
        limit: u64,
    },
    /// Cuts the log of the replica here behind what the others need.
    CutLog {
        group: u32,
    },
    /// Asks the group's leader, wherever it is, to hand leadership over; answered when it has happened.
    HandOver {
        group: u32,
        to: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Sight {
    Actors(ActorsView),
    Actor(Box<ActorDetail>),
    Messages(MessagesView),
    Restarted(RestartedView),
    Slow(SlowView),
    DeadLetters(DeadLettersView),
    Warnings(WarningsView),
    Raft(RaftView),
    Sums(SumsView),
    Log(LogView),
    HandedOver { leader: u64, term: u64 },
    LogCut(LogCutView),
}

/// By what the most noticeable actors are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorOrder {
    /// Messages that wait.
    #[default]
    Mailbox,
    /// How long the oldest of them has waited.
    Age,
    /// Time spent in handlers.
    #[serde(alias = "busy")]
    Time,
    /// Messages handled.
    #[serde(alias = "msgs")]
    Messages,
    /// The slowest turn.
    Slowest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActorsView {
    pub master: String,
    /// For how long it has counted.
    pub up_us: u64,
    pub kinds: Vec<KindView>,
    pub top: Vec<ActorView>,
}

/// All actors of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindView {
    pub kind: String,
    /// Alive now.
    pub actors: u64,
    /// Since the master started.
    pub started: u64,
    #[serde(flatten)]
    pub load: LoadView,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActorView {
    pub kind: String,
    pub name: String,
    /// By which it is asked for: `Shard:shard-1`.
    #[serde(default)]
    pub id: String,
    #[serde(flatten)]
    pub load: LoadView,
}

/// One actor, closely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActorDetail {
    pub master: String,
    #[serde(flatten)]
    pub view: ActorView,
    /// Since it began, in microseconds.
    pub age_us: u64,
    /// Messages that may wait.
    pub capacity: u64,
    /// Messages that found it full.
    pub refused: u64,
    /// What it handles at this moment, and for how long.
    pub now: Option<TurnView>,
    /// Half of the turns of its kind take no longer.
    pub kind_p50_us: u64,
    pub kind_p99_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    pub message: String,
    pub took_us: u64,
}

/// What one actor handled in a while, by message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessagesView {
    pub master: String,
    pub id: String,
    pub lasted_us: u64,
    pub messages: Vec<MessageView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    pub message: String,
    pub handled: u64,
    pub busy_us: u64,
    pub slowest_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartedView {
    pub id: String,
    pub epoch: u64,
    pub took_us: u64,
}

/// Slowest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowView {
    pub master: String,
    pub turns: Vec<SlowOne>,
    pub entries: Vec<SlowOne>,
    /// None where nobody counts them.
    pub syncs: Vec<SlowOne>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowOne {
    pub what: String,
    pub took_us: u64,
    /// For how long it has been over.
    pub ago_us: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLettersView {
    pub master: String,
    /// Kinds with any.
    pub kinds: Vec<DeadLettersOf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettersOf {
    pub kind: String,
    pub dead: u64,
    /// The last of them.
    pub last: String,
    /// Messages that found an actor of this kind full.
    pub refused: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarningsView {
    pub master: String,
    pub warnings: Vec<Warning>,
}

/// A sentence with the value and the limit in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// `actor`, `mailbox`, `raft`, `rows`, `disk`, `clock` or `worker`.
    pub about: String,
    pub sentence: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SumsView {
    pub master: String,
    pub id: u64,
    pub groups: Vec<GroupSumsView>,
}

/// Of one group, by rising index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSumsView {
    pub group: u32,
    pub applied: u64,
    pub sums: Vec<SumView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumView {
    pub index: u64,
    pub sum: u64,
}

/// Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadView {
    /// Messages that wait.
    pub mailbox: u64,
    /// The oldest of them has waited no longer.
    pub oldest_us: u64,
    pub handled: u64,
    pub busy_us: u64,
    pub slowest_us: u64,
    /// The message of the slowest turn; empty before the first.
    pub slowest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaftView {
    pub master: String,
    pub groups: Vec<RaftGroupView>,
}

/// A master's replica of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaftGroupView {
    pub group: u32,
    /// `leader`, `follower`, `candidate`, `learner` or `stopped`.
    pub role: String,
    pub term: u64,
    pub leader: Option<u64>,
    /// The epoch open here.
    pub epoch: Option<u64>,
    pub commit: u64,
    pub applied: u64,
    pub persisted: u64,
    pub first: u64,
    pub last: u64,
    pub log_bytes: u64,
    /// Waiting for the writer.
    pub queue_bytes: u64,
    pub queue_jobs: u64,
    /// Not yet committed.
    pub proposals: u64,
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    /// A change of the members is under way.
    pub pending_conf: bool,
    pub disk_low: bool,
    pub stopped: Option<String>,
    /// At the leader.
    pub peers: Vec<RaftPeerView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftPeerView {
    pub master: u64,
    pub matched: u64,
    pub lag: u64,
    pub live: bool,
    pub snapshot: bool,
    pub voter: bool,
}

/// What was left of a replica's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCutView {
    pub master: String,
    pub group: u32,
    /// Entries that went.
    pub gone: u64,
    pub first: u64,
    pub last: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogView {
    pub group: u32,
    pub first: u64,
    pub last: u64,
    pub commit: u64,
    pub entries: Vec<LogEntryView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntryView {
    pub index: u64,
    pub term: u64,
    pub bytes: u64,
    /// `nothing`, `barrier`, `rows`, `members` or `unknown`.
    pub content: String,
    pub epoch: Option<u64>,
    pub sequence: Option<u64>,
    /// Of members or an unknown entry.
    pub text: Option<String>,
    pub writes: Vec<LogWriteView>,
}

/// A row write, without the value: rows hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogWriteView {
    /// `put`, `put_at_index`, `delete` or `delete_range`.
    pub write: String,
    /// Which row, as `task run RUN/0.0`.
    pub row: String,
    pub bytes: u64,
}
