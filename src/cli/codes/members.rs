//! Pages of H305… to H308…: masters, tokens, workers, settings.

use super::{Page, entry};

pub(super) const PAGES: &[Page] = &[
    entry("H3050", "no such master", "No master has this id. See: hortator cluster members."),
    entry(
        "H3051",
        "the master's name is taken",
        "Another master has this name, or an open join token was made for it. Choose another name.",
    ),
    entry(
        "H3052",
        "the cluster has its most masters",
        "Three masters survive the loss of one, five of two, seven of three; more only make every commit slower. \
         Remove one before you add another.",
    ),
    entry(
        "H3053",
        "the last master",
        "Without this master there would be no cluster. Add another one and wait until it is a member; then remove \
         this one.",
    ),
    entry(
        "H3054",
        "no majority would be left",
        "A cluster works while more than half of its masters answer. Without this master too few of the others would, \
         and nobody could change that any more. Bring the others back first: hortator status.",
    ),
    entry(
        "H3055",
        "no such join token",
        "The token was mistyped or cut short, belongs to another cluster, or was used long ago. Make a new one: \
         hortator cluster add.",
    ),
    entry(
        "H3056",
        "the join token was used",
        "A join token lets in one node. If that was not the node you meant, remove it. Make a new token for this one.",
    ),
    entry("H3057", "the join token has expired", "Make a new one: hortator cluster add."),
    entry(
        "H3058",
        "the join token is for another role",
        "Masters and workers join with tokens of their own: hortator cluster add master, \
         hortator cluster add worker.",
    ),
    entry(
        "H3059",
        "too many open join tokens",
        "The cluster keeps a bounded number of join tokens. Use those there are, or wait until they expire.",
    ),
    entry("H3060", "no such token", "No token has this name. See: hortator token list."),
    entry(
        "H3061",
        "the token's name is taken",
        "A token of this name exists or existed. Names are not used again, so that what was revoked stays revoked.",
    ),
    entry(
        "H3062",
        "the secret is another token's",
        "Each token has a secret of its own. Let hortator token create draw one.",
    ),
    entry(
        "H3063",
        "too many tokens",
        "The cluster keeps a bounded number of tokens, revoked ones too. Make one per person or program, not one per \
         call.",
    ),
    entry(
        "H3064",
        "the last admin token",
        "Without a token of the role admin nobody could change the cluster any more. Make another one first, then \
         revoke this one.",
    ),
    entry("H3065", "the join token exists", "Another join token has this id. Ask again; a new one is drawn."),
    entry(
        "H3066",
        "the address is another master's",
        "Two masters at one address would be taken for each other. Give this one another address, or remove the other \
         one first when it is gone for good.",
    ),
    entry(
        "H3067",
        "the cluster is not formed yet",
        "The first master has not written who it is. It does so within a second of its start; try again.",
    ),
    entry(
        "H3068",
        "the join token is not possible",
        "A join token lasts at most 30 days, and its id is letters and digits. Let hortator cluster add make it.",
    ),
    entry(
        "H3069",
        "a master cannot say where another one is, or where it is itself after it was removed",
        "Each master announces its own addresses when it starts with others than the cluster knows. One that was removed \
         is not listened to: let its host join anew with hortator cluster add.",
    ),
    entry("H3070", "no such worker", "No worker of this name ever registered. See: hortator worker list."),
    entry(
        "H3071",
        "the leases do not go together",
        "A worker stops what it runs when its lease has passed without word from the cluster; declare_lost later its \
         work starts elsewhere. declare_lost must be at least 3s longer than worker_lease, so that two clocks and the \
         worker's own grace fit in between. A lease has 10s to 10m; a loss is declared after 1h at the latest.",
    ),
    entry(
        "H3072",
        "the cluster keeps no leases",
        "`dev` and `run` keep the whole cluster in one process: a worker is lost there only with its warden, and there \
         is no lease to set.",
    ),
    entry(
        "H3073",
        "history cannot be kept like that",
        "A finished run is deleted when it ended history.keep ago, or when history.keep_runs newer ones of its workflow \
         succeeded (or did not, if it did not). history.keep is at least 1m, history.keep_runs at least 1. Live runs \
         are never deleted.",
    ),
    entry(
        "H3090",
        "a worker group or a quota cannot be like that",
        "Ageing is at least 1s (0s means none), slow_start at most 1h, and a threshold is a percentage from 0 (no limit) on. \
         A quota names resources: slots, cpu, memory, disk, gpu, or any name that workers declare. A cluster keeps 1,000 \
         groups and 10,000 quotas. See: hortator group set --help, hortator quota set --help",
    ),
    entry(
        "H3091",
        "no such worker group",
        "A worker group is there when somebody has set it, or when a worker is or was in it. See: hortator group list",
    ),
    entry(
        "H3092",
        "the worker group has workers",
        "A worker names its groups itself, in configs/worker.toml. Drain the workers and stop them, or start them with other \
         groups; once the last of them is declared lost, or has come back with other groups, the group can be deleted.",
    ),
    entry(
        "H3093",
        "not all lost workers of a group are forgotten at once",
        "A deletion makes lost workers forget that they were in the group, at most a thousand of them in one step. Delete it \
         again until it says that it is deleted.",
    ),
    entry(
        "H3074",
        "the worker still has attempts",
        "worker drain --wait has waited as long as --deadline said. The worker goes on draining: it gets nothing new, and \
         what it has goes on. Wait again, cancel the runs that hold it up, or stop the worker; what it has then runs \
         elsewhere, but for tasks with delivery: at_most_once.",
    ),
    entry(
        "H3075",
        "the worker has another order",
        "While worker drain --wait waited, somebody uncordoned or cordoned the worker, so it does not drain any more.",
    ),
    entry(
        "H3080",
        "the leadership did not change hands",
        "A leader hands over only to a master that has a vote in the group and answers. Which those are: \
         hortator shell -c 'raft show GROUP'. Nothing else has changed.",
    ),
    entry(
        "H3082",
        "no such actor",
        "The master that was asked has no actor of this id now, or several. Actors come and go with what they stand for; \
         hortator debug actors lists the most noticeable ones with their ids, and each master has its own.",
    ),
    entry(
        "H3083",
        "the actor does not begin anew",
        "Only what is made of rows alone is restarted: a shard's deciders, all of them together, on the master that leads \
         the shard. They drain what they decided, end their epoch, and are made again of rows, as with a new leader; \
         running tasks do not notice. The message says why this actor is not such a one.",
    ),
    entry(
        "H3081",
        "no such group",
        "A cluster has the membership group, 0, and one group for each of its shards. See: \
         hortator shell -c 'raft groups'.",
    ),
];
