//! The table of codes: what `hortator help R301` says, and each reason's place in it.
//! Must not know actual values; `text` and `help` have those.

use super::Reason;

/// A code as such, without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeEntry {
    pub code: &'static str,
    pub name: &'static str,
    /// What it means, one sentence.
    pub summary: &'static str,
    /// What helps in general, to be put after "what would help".
    pub help: &'static str,
}

const fn entry(
    code: &'static str,
    name: &'static str,
    summary: &'static str,
    help: &'static str,
) -> CodeEntry {
    CodeEntry { code, name, summary, help }
}

/// All codes in order. Codes are never reused; R103, R104, R105 and R602 name situations that do not exist (decision 29).
pub const CATALOGUE: [CodeEntry; 27] = [
    entry(
        "R101",
        "WAITS_FOR_TASK",
        "The task needs others that have not ended yet.",
        "see what those wait for, with explain on each of them",
    ),
    entry(
        "R102",
        "RUN_IF_NOT_MET",
        "A task that it needs has ended against its run_if, so it will be skipped when the others have ended.",
        "change run_if in the workflow, or run the failed tasks again",
    ),
    entry(
        "R106",
        "RUN_ENDS",
        "Its run was cancelled, or stops because of a failure, and starts nothing new.",
        "wait until what runs has ended, then retry the run",
    ),
    entry(
        "R110",
        "NOT_BEFORE",
        "It may not start before a set time.",
        "wait, or start the run without the delay",
    ),
    entry(
        "R111",
        "BACKOFF",
        "An attempt failed, and the delay before the next one has not passed.",
        "look at the log of the failed attempt",
    ),
    entry(
        "R112",
        "WORKERS_LOST",
        "Several attempts in a row were lost with their workers, so the next one waits, and after ten it fails.",
        "see whether the task ends its worker (memory, signals to others); a failed one is tried again with retry",
    ),
    entry("R120", "PAUSED", "Somebody paused it.", "resume what was paused"),
    entry(
        "R130",
        "QUARANTINED",
        "A decision about its run failed, which is a fault of Hortator; the run starts nothing any more.",
        "keep the message for a report, then cancel the run and start it again",
    ),
    entry(
        "R201",
        "RUNS_FULL",
        "The workflow already has as many runs as its concurrency allows.",
        "wait for a run to end, cancel one, or raise concurrency.runs",
    ),
    entry(
        "R202",
        "LIMIT_FULL",
        "A limit that it must hold is used up by others.",
        "wait for a holder to end, or raise the limit",
    ),
    entry(
        "R203",
        "QUOTA",
        "A quota of its namespace or worker group is used up.",
        "wait for others to end, or raise the quota",
    ),
    entry(
        "R204",
        "LIMIT_UNKNOWN",
        "It wants a limit that nobody has set, so nothing of it may be used.",
        "set the limit, or correct the name in the workflow",
    ),
    entry(
        "R205",
        "ITEMS_FULL",
        "As many items of its task are active as foreach.parallel allows.",
        "wait for an item to end, or raise foreach.parallel in the workflow",
    ),
    entry(
        "R301",
        "NO_CAPACITY",
        "No worker of its group has room for what it asks.",
        "add a worker to the group, or ask for less",
    ),
    entry(
        "R302",
        "OVERLOADED",
        "Workers with room are over a load threshold.",
        "wait until the load falls, or raise the threshold",
    ),
    entry("R303", "GROUP_EMPTY", "Its worker group has no worker now.", "start a worker in the group"),
    entry(
        "R304",
        "GROUP_UNKNOWN",
        "Its worker group does not exist.",
        "correct the group in the workflow, or start a worker in a group of that name",
    ),
    entry(
        "R305",
        "NO_MATCHING_WORKER",
        "No worker of its group has what it requires.",
        "relax the requirement, or add a worker that meets it",
    ),
    entry(
        "R306",
        "WORKERS_DRAINING",
        "Workers of its group that could run it are draining or cordoned.",
        "uncordon a worker, or add one",
    ),
    entry(
        "R307",
        "KIND_UNSUPPORTED",
        "No worker of its group runs that kind of task, or their version is too old for it.",
        "upgrade the workers, or use a group that runs the kind",
    ),
    entry(
        "R308",
        "ZONE_WAIT",
        "Its own zone has no room, and it does not take another one yet.",
        "wait, add a worker in the zone, or shorten the wait for it",
    ),
    entry(
        "R309",
        "WORKERS_QUARANTINED",
        "Different tasks failed in a row on workers of its group, so these get nothing for a while.",
        "look at the hosts; a quarantine ends by itself, and a worker that starts again begins without one",
    ),
    entry(
        "R402",
        "BEHIND",
        "Others of its queue have a higher priority or came earlier.",
        "raise its priority, or add capacity",
    ),
    entry(
        "R501",
        "SENT_NOT_ACKNOWLEDGED",
        "A worker was chosen, but has not said yet that it started.",
        "usually passes by itself; otherwise look at the worker",
    ),
    entry(
        "R502",
        "WORKER_SILENT",
        "Its worker is not heard, and is not declared lost yet.",
        "look at the worker's host; the loss is decided by itself",
    ),
    entry(
        "R601",
        "NO_LEADER",
        "A Raft group that decides about it has no leader or no quorum.",
        "bring masters back until a majority is up",
    ),
    entry(
        "R603",
        "STARTING",
        "What decides about it has just begun, or has not answered yet.",
        "wait a moment; if it stays, see hortator doctor",
    ),
];

/// The entry of a code, in any case of letters.
pub fn code_entry(code: &str) -> Option<&'static CodeEntry> {
    CATALOGUE.iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
}

impl Reason {
    /// `R301`
    pub fn code(&self) -> &'static str {
        match self {
            Reason::WaitsForTask { .. } => "R101",
            Reason::RunIfNotMet { .. } => "R102",
            Reason::RunEnds { .. } => "R106",
            Reason::NotBefore { .. } => "R110",
            Reason::Backoff { .. } => "R111",
            Reason::WorkersLost { .. } => "R112",
            Reason::Paused { .. } => "R120",
            Reason::Quarantined { .. } => "R130",
            Reason::RunsFull { .. } => "R201",
            Reason::LimitFull { .. } => "R202",
            Reason::Quota { .. } => "R203",
            Reason::LimitUnknown { .. } => "R204",
            Reason::ItemsFull { .. } => "R205",
            Reason::NoCapacity { .. } => "R301",
            Reason::Overloaded { .. } => "R302",
            Reason::GroupEmpty { .. } => "R303",
            Reason::GroupUnknown { .. } => "R304",
            Reason::NoMatchingWorker { .. } => "R305",
            Reason::WorkersDraining { .. } => "R306",
            Reason::KindUnsupported { .. } => "R307",
            Reason::ZoneWait { .. } => "R308",
            Reason::WorkersQuarantined { .. } => "R309",
            Reason::Behind { .. } => "R402",
            Reason::SentNotAcknowledged { .. } => "R501",
            Reason::WorkerSilent { .. } => "R502",
            Reason::NoLeader { .. } => "R601",
            Reason::Starting { .. } => "R603",
        }
    }

    /// `NO_CAPACITY`
    pub fn name(&self) -> &'static str {
        code_entry(self.code()).expect("every code is in the catalogue").name
    }
}
