//! Pages of H9…: faults of Hortator, and benches that failed.

use super::{Page, entry};

pub(super) const PAGES: &[Page] = &[
    entry("H9001", "answers do not fit together", FAULT),
    entry("H9002", "a decision failed", FAULT),
    entry("H9003", "a run cannot be loaded", FAULT),
    entry("H9004", "rows cannot be read", FAULT),
    entry("H9005", "a row is missing", FAULT),
    entry(
        "H9010",
        "a decision failed",
        "A part of Hortator that decides what follows has failed on this run or workflow; that is a fault of Hortator, \
         and its message and the log of the master say where. A run is in quarantine from then on: it starts nothing, \
         what it runs is ended, everything else goes on. Look at it (hortator explain RUN), keep the message for a \
         report, then end it with hortator cancel RUN. It may be retried after that.",
    ),
    entry(
        "H9020",
        "reading or writing failed",
        "The operating system refused to read or write; the message has its reason.",
    ),
    entry(
        "H9021",
        "not built into this program",
        "This program was built without the part that the command needs.",
    ),
    entry(
        "H9040",
        "replicas of a group hold different rows",
        "After the same entry the rows of two masters are not the same, or those of one master are not what it wrote. \
         Runs may read differently on them. Find out which master is wrong: hortator raft verify --deep reads every row, \
         and with three masters the odd one out is. Remove it from the cluster, and add a new master with an empty \
         directory. Keep its directory, and report it: this should never happen.",
    ),
    entry(
        "H9030",
        "a run of the bench did not succeed",
        "The bench measures only runs whose every task succeeds. The message says how the run ended; the cluster's own \
         log lines, with -v, say more.",
    ),
    entry(
        "H9031",
        "this machine could not be measured",
        "The bench compares itself with what the machine does without it, and one of these measurements failed: \
         starting processes, or writing and syncing a file. The message has the operating system's reason.",
    ),
    entry(
        "H9032",
        "a node of the bench did not start",
        "With several masters the bench starts each node as a process of its own, and one of them did not come up or \
         does not answer. The message has its last word; with --data its whole log stays beside its data, in node.log.",
    ),
    entry(
        "H9033",
        "the bench's cluster is not ready",
        "The nodes run, but after half a minute a group still had no leader or a worker was not registered. The machine \
         may be far too busy. With --data the nodes' logs stay beside their data, in node.log.",
    ),
];

const FAULT: &str = "This is a fault of Hortator, not of what you did. Nothing was half done: what is not committed did \
                     not happen. Report it with the message and the lines of the master's log around it.";
