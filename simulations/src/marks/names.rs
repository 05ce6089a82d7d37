//! The marks that there are, and which of them so many worlds should have passed. Must not know who passes them.

use std::collections::BTreeMap;

/// Every `sometimes!` of the masters, the workers and the world that drawn seeds pass: a long swarm that misses one has not
/// been there. A test compares it with the sources.
pub const REGISTERED: &[&str] = &[
    "agent: a dispatch is refused",
    "agent: a fence that it never saw is refused",
    "agent: a lease expired",
    "clock: a wrong time is told",
    "clock: seconds of another length are counted",
    "disk: a process died after a sync",
    "disk: a process died within a write",
    "disk: a write takes a tenth of a second",
    "disk: a write waits until its disk goes on",
    "faults: a master that has forgotten is refused for good",
    "faults: two of five masters are down",
    "host: a lease ended while all stood still",
    "host: a process does not mind that it is to end",
    "journal: a clock is behind what its group's rows name",
    "journal: an entry follows large ones at once",
    "limit: a hold is given",
    "membership: a loss came with a snapshot",
    "membership: a worker was declared lost",
    "raft: a change of members came to nothing",
    "raft: a learner got a vote",
    "raft: a message of an earlier boot is refused",
    "raft: a message waited for its sender's introduction",
    "raft: a new leader leaves a joint configuration",
    "raft: a peer is known by another's word",
    "raft: a read asks everybody",
    "raft: a read is dropped with its term",
    "raft: a replica that has forgotten is refused",
    "raft: a snapshot is sent",
    "raft: a snapshot was installed",
    "raft: an epoch ended",
    "raft: members are to change",
    "raft: nobody leads",
    "raft: who is alone elects itself",
    "raft: words that do not fit are asked for once more",
    "relay: a frame comes over a third",
    "schedule: a new leader decides what was due before it led",
    "shard: a Dispatcher's word was lost",
    "shard: a grant comes before the rows it rests on",
    "store: a failed sync stopped a replica",
    "store: a full disk stopped a replica",
    "store: a replica stopped for good",
    "task: a grant came after a second",
    "task: a grant is not used",
    "task: a report of another attempt is only recorded",
    "task: a success comes while it is to be cancelled",
    "task: a third attempt",
    "task: an attempt was lost with its worker",
    "task: an item was lost with its worker",
    "task: given up after losses in a row",
    "task: what may start once only was lost",
    "wires: a cut ended a session",
    "wires: a frame came once more, by another way",
    "wires: a frame is lost for good",
    "wires: a frame waits for others on a slow link",
    "wires: a link is worse than others",
    "wires: a lost segment holds up what follows",
    "wires: a session broke by itself",
    "worker: processes run on while their agent stands still",
    "workflow: a run gives way to a newer one",
    "workflow: a run waits for its turn",
    "workflow: a start came once more with its key",
    "world: a master with a spoilt disk ends by itself",
];

/// Marks that only scenarios pass, which say so: no seed draws so many tasks or schedules, or such a day.
pub const OF_SCENARIOS: &[&str] = &[
    "run: a hundred tasks are rebuilt",
    "schedule: clocks are turned before the next time",
    "schedule: many are due at once",
];

/// Whether there is such a mark.
pub fn is_known(mark: &str) -> bool {
    all().any(|known| known == mark)
}

/// Every mark, wherever it is passed.
pub fn all() -> impl Iterator<Item = &'static str> {
    REGISTERED.iter().chain(OF_SCENARIOS).copied()
}

/// So many drawn seeds pass every mark, or something keeps them from where they should go.
const MARKS_SEEDS: u64 = 500;

/// How often each registered mark was passed in these worlds, and any other that was.
pub fn count<'v>(worlds: impl Iterator<Item = &'v BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut passed: BTreeMap<String, u64> = REGISTERED.iter().map(|mark| ((*mark).to_owned(), 0)).collect();
    for (mark, times) in worlds.flatten() {
        *passed.entry(mark.clone()).or_default() += times;
    }
    passed
}

/// Registered marks that so many drawn seeds should have passed and did not.
pub fn missed(seeds: u64, passed: &BTreeMap<String, u64>) -> Vec<&'static str> {
    let is_missed = |mark: &&'static str| seeds >= MARKS_SEEDS && passed.get(*mark) == Some(&0);
    REGISTERED.iter().copied().filter(is_missed).collect()
}
