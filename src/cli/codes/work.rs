//! Pages of H3…: workflows, runs and their logs.

use super::{Page, entry};

pub(super) const PAGES: &[Page] = &[
    entry(
        "H3001",
        "no such run",
        "No run has this id, or it has finished and was deleted since: finished runs are kept for a time, and of each \
         workflow only so many. See: hortator ps --all-namespaces, and hortator settings show.",
    ),
    entry(
        "H3002",
        "the workflow has no such run",
        "NAME@latest and NAME@-N count back from the newest run; the workflow has fewer.",
    ),
    entry(
        "H3003",
        "no such task in the run",
        "The run's workflow version has no task of this name. See: hortator run tasks RUN.",
    ),
    entry("H3004", "no such item", "The task has no item of this number; items of a foreach count from 0."),
    entry(
        "H3010",
        "the log's worker does not answer",
        "Logs lie on the worker that ran the attempt. It does not answer now; if its host is lost, so are its logs. \
         See: hortator worker list.",
    ),
    entry(
        "H3011",
        "the log is not there",
        "The worker answers but has no such log: it was swept, or the attempt never started.",
    ),
    entry(
        "H3012",
        "the task was never started",
        "A task that never started has no log. Why it did not: hortator explain RUN/TASK.",
    ),
    entry("H3013", "no such attempt", "The task run has fewer attempts; they count from 1."),
    entry(
        "H3014",
        "the log broke off",
        "The connection broke several times while the log was read. Read on later: hortator logs RUN TASK.",
    ),
    entry(
        "H3015",
        "the run did not exist then",
        "The position or time asked for lies before the run's creation. Positions and times of a run: \
         hortator run events RUN.",
    ),
    entry(
        "H3016",
        "the history no longer begins with the run's creation",
        "Retention has trimmed the beginning of the run's history, so no earlier state can be folded from it. What is \
         left: hortator run events RUN.",
    ),
    entry(
        "H3101",
        "the workflow has its most runs",
        "concurrency.runs limits how many runs there may be, and when_full is `skip`, so the start is refused. Wait \
         for a run to end, or cancel one.",
    ),
    entry(
        "H3102",
        "too many live runs",
        "The shard keeps as many live runs as it may. Wait for some to end.",
    ),
    entry(
        "H3103",
        "the start contradicts the workflow's state",
        "Something changed between the request and its turn; the message says what.",
    ),
    entry(
        "H3110",
        "a limit cannot be like that",
        "A limit is a number from 0 to 10,000, and a cluster keeps some 10,000 limits for each of its shards. See: hortator \
         limit set --help, and hortator limit list.",
    ),
    entry(
        "H3111",
        "no such limit",
        "Nobody has set a limit of this name in the namespace, and no task holds it or waits for it. Set it: hortator limit \
         set KEY N. Those that there are: hortator limit list.",
    ),
    entry(
        "H3201",
        "the run is in the wrong state for this",
        "Only a run that is not over can be cancelled, and only one that is over can be retried. See: hortator run \
         show RUN.",
    ),
    entry(
        "H3202",
        "the run is quarantined or cannot take this now",
        "Deciding on this run failed, and so it stands still instead of doing harm. The message says where.",
    ),
];
