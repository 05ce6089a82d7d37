//! The pages of `hortator help CODE` for everything but definitions and reasons, which are core's.
//! H1… connection, access, cluster; H2… definitions, files, configuration; H3… runs; H4… disks and backups; H9… faults
//! of Hortator. A code is never reused and never disappears.

mod storage;

/// One page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub code: &'static str,
    pub title: &'static str,
    pub text: &'static str,
}

const fn entry(code: &'static str, title: &'static str, text: &'static str) -> Page {
    Page { code, title, text }
}

/// The page of a code.
pub fn page(code: &str) -> Option<&'static Page> {
    pages().find(|page| page.code == code)
}

/// All pages.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    PAGES.iter().chain(storage::PAGES)
}

const PAGES: &[Page] = &[
    entry(
        "H1001",
        "no master can be reached",
        "The command tried every address it knows, repeatedly, and none took the connection. The message says where \
         the addresses come from: a flag, a variable, or a context. Check that a node runs there, or start a cluster \
         for trying out: hortator dev.",
    ),
    entry(
        "H1002",
        "a master did not answer in time",
        "The connection stands, but no answer came within client.request_timeout. The request may or may not have \
         happened; a repeated start with the same --key cannot start a second run. See: hortator status.",
    ),
    entry(
        "H1003",
        "an answer is not understood",
        "Something answered that is not a Hortator master, or one of another version. Compare hortator version with \
         what hortator status shows.",
    ),
    entry(
        "H1004",
        "no cluster or no token is named",
        "Commands find their cluster by --addr, HORTATOR_ADDR, or a context in the user's configuration directory. \
         `hortator dev` writes the context \"dev\". The token comes with the context, or from HORTATOR_TOKEN or \
         HORTATOR_TOKEN_FILE.",
    ),
    entry(
        "H1005",
        "the master's certificate cannot be checked or is not believed",
        "Masters on other hosts are asked over HTTPS, and the command must know the cluster's authority: `ca` in the \
         context, or HORTATOR_CA, is the file of its certificate (ca.pem in any node's data directory) or sha256: and \
         its fingerprint. When the certificate is not believed, the context is of another cluster, the clocks differ, \
         or the node's certificate has expired; the message says which.",
    ),
    entry(
        "H1010",
        "the port is in use",
        "Another process listens on the port that was asked for. Choose another with --port, or 0 for any.",
    ),
    entry(
        "H1011",
        "the cluster in this process did not start",
        "`run FILE` and `dev` start masters and workers in their own process. The message says which part failed; \
         often the data directory is used by another process, or cannot be written.",
    ),
    entry(
        "H1012",
        "the node does not start",
        "`server master` and `server worker` say which part failed and why. Often the data directory belongs to another \
         user or to a process that still runs, or the disk is full.",
    ),
    entry(
        "H1013",
        "the node belongs to no cluster",
        "A node knows its cluster from its data directory, and this one is empty. Form a cluster with hortator cluster \
         init, or join one with the token that hortator cluster add prints on one of its masters. An empty directory \
         where there was one before means that the disk was lost or is not mounted: a lost node joins again as a new one.",
    ),
    entry(
        "H1014",
        "a listener without certificates",
        "Without certificates everything is sent as it is, so a node without an identity only listens on loopback \
         addresses. Form a cluster with hortator cluster init, which makes certificates, or listen on 127.0.0.1.",
    ),
    entry(
        "H1015",
        "the node was not let in",
        "The node showed its join token, and no master let it in; the message has the master's own words. A token lets \
         in one node and lasts an hour unless it was made for longer. Make a new one: hortator cluster add.",
    ),
    entry(
        "H1016",
        "the data directory is somebody else's",
        "The directory holds the identity of another node or of another cluster, or what a node has left whose identity \
         is gone. A node never takes over another one's past: give it an empty directory and let it join as a new node, \
         and remove the old one with hortator cluster remove.",
    ),
    entry(
        "H1017",
        "a node's certificate is not renewed yet",
        "A node asks any master for a new certificate when a third of the old one's time is left, or when it has moved. It \
         goes on asking; until then everything works. The message says why no master gave one: mostly none was reached, \
         so see hortator status. hortator_certificate_seconds_left in the metrics says how long there is.",
    ),
    entry(
        "H1018",
        "a node's certificate has expired",
        "No new connection of this node is let in any more. Compare its clock with those of other hosts first. If the clock \
         is right, let it join again: an empty data directory and a new token from hortator cluster add; a master gets a new \
         id, and its old one is removed with hortator cluster remove.",
    ),
    entry(
        "H1019",
        "few files may be open",
        "The hard limit of open files of this process is below 65,536. Connections, files of the groups and logs share it. \
         Under systemd set LimitNOFILE=65536 in the unit; in a shell see ulimit -Hn; in a container see its --ulimit nofile.",
    ),
    entry(
        "H1020",
        "the shell is read-only",
        "`hortator shell` changes nothing until it is told to: write on CLUSTER, with the cluster's name, or start it \
         with --write. `write off` goes back.",
    ),
    entry(
        "H1102",
        "a group has no leader",
        "A shard can only decide with a leader, and a leader needs a majority of the masters. After the loss of a \
         leader the next is elected within about a second, and commands repeat themselves meanwhile. If it lasts, too \
         many masters are down: hortator status.",
    ),
    entry(
        "H1103",
        "the master is busy",
        "As many requests are under way on this master as it takes at a time. Nothing was done. The command repeats \
         itself for a while; later the same request may succeed.",
    ),
    entry(
        "H1104",
        "no leader answered in time",
        "The master passed the request on, and the leader of the shard did not answer in time. Whether it happened is \
         unknown; a repeated start with the same idempotency key cannot happen twice. See: hortator status.",
    ),
    entry(
        "H1105",
        "the shard has too much to write",
        "More changes wait to be committed than the shard allows at a time. Nothing was done; try again in a moment. \
         If it lasts, the disk is slow or a majority of masters is not reachable.",
    ),
    entry(
        "H1106",
        "the shard's file is not open",
        "This master cannot read its copy of the shard right now: it starts, stops, or its disk is full. Another \
         master can answer. See: hortator status.",
    ),
    entry(
        "H1107",
        "the settings are not written yet",
        "The cluster has just been made, and its first leader has not written its settings. Try again in a moment.",
    ),
    entry(
        "H1108",
        "the master has not caught up",
        "This master has just joined or started and does not know the cluster's tokens yet. Nothing was done. Another \
         master can answer; the command asks the others by itself when it knows several addresses.",
    ),
    entry(
        "H1109",
        "this master is behind",
        "It has not applied yet what its leaders have committed, and what was asked needs all of it. It catches up by          itself; ask another master meanwhile: --addr HOST:PORT.",
    ),
    entry(
        "H1201",
        "the token is missing or wrong",
        "Every request needs the cluster's bearer token. Contexts carry it; HORTATOR_TOKEN or HORTATOR_TOKEN_FILE \
         override it. A cluster that was made anew has a new token.",
    ),
    entry(
        "H1202",
        "the token has expired or was revoked",
        "The token was one of this cluster and does not open it any more, nor what was open with it. An admin makes \
         another one: hortator cluster token create NAME --role ROLE.",
    ),
    entry(
        "H1203",
        "the token's role does not allow it",
        "Viewers read; operators also apply, start, cancel and retry; admins also change masters, workers, tokens and \
         settings. The message names the role that is needed. An admin can make a token with it.",
    ),
    entry(
        "H1204",
        "the Host header is refused",
        "The API only answers to names that mean this host, 127.0.0.1, localhost and [::1] with its port, so that a \
         web page cannot reach it under a name of its own. Use one of these in the URL.",
    ),
    entry(
        "H1205",
        "the cluster has no authority for certificates here",
        "Nodes join clusters that were formed with `hortator cluster init`. A cluster of `hortator dev` or `run` is one \
         process and nobody joins it. A master that has just started may not have caught up yet: ask another one.",
    ),
    entry(
        "H1206",
        "the join request cannot be taken",
        "The token is of another cluster, the certificate request is damaged, or an address is not HOST:PORT. The \
         message says which. Nothing was used up: correct it and join again with the same token.",
    ),
    entry(
        "H1207",
        "too many nodes ask to join",
        "A master takes a bounded number of join requests a minute, so that nobody can fill the log by guessing \
         tokens. Wait a minute; the token stays good.",
    ),
    entry(
        "H1208",
        "the certificate is not renewed",
        "A node renews its certificate by showing the old one, over the same key, while it is valid and the node \
         belongs to the cluster. One that has expired joins again with a new join token, a master under a new id.",
    ),
    entry(
        "H1301",
        "nothing at this path",
        "The API has no such path, or the path does not take this method. All paths begin with /api/v1.",
    ),
    entry(
        "H1302",
        "the request is malformed",
        "A part of the request is not what the path or the command takes; the message names the part.",
    ),
    entry("H1303", "the body is too large", "Definitions may have 16 MiB, every other body 1 MiB."),
    entry(
        "H1304",
        "too many streams",
        "This master has as many open streams and waits as it takes. Ask another master, or close some.",
    ),
    entry(
        "H2001",
        "the definition is invalid",
        "The file was read and something in it is wrong; every place is shown with a code of its own. Check it \
         without a cluster: hortator workflow validate FILE.",
    ),
    entry(
        "H2002",
        "the configuration is invalid",
        "A configuration file or variable has an unknown key or a value of the wrong type. See what comes from where: \
         hortator config show --origin.",
    ),
    entry(
        "H2003",
        "the file cannot be read or written",
        "The operating system refused; the message has its reason.",
    ),
    entry(
        "H2004",
        "the trace cannot be imported",
        "The file is not a WfFormat 1.5 trace, or what it describes is no valid workflow.",
    ),
    entry(
        "H2005",
        "the fault plan cannot be used",
        "It is neither one of those that come with the program (hortator sim list) nor a file that holds one.",
    ),
    entry(
        "H2201",
        "no such workflow",
        "No workflow of that name is applied in that namespace. See: hortator workflow list --all-namespaces.",
    ),
    entry(
        "H2202",
        "no such version",
        "The workflow has no version of that number; versions count from 1 and the newest is shown by hortator \
         workflow show NAME.",
    ),
    entry(
        "H2301",
        "the version is not the expected one",
        "--if-version named another version than the latest: somebody applied a new one meanwhile. Look at it, then \
         apply again.",
    ),
    entry(
        "H2302",
        "the checked definition cannot be read",
        "A master of another version checked the definition. Upgrade all masters, then apply again.",
    ),
    entry(
        "H2401",
        "the inputs do not fit",
        "The workflow declares its inputs; the message lists every one that is unknown, missing or of another type.",
    ),
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
        "H3080",
        "the leadership did not change hands",
        "A leader hands over only to a master that has a vote in the group and answers. Which those are: \
         hortator shell -c 'raft show GROUP'. Nothing else has changed.",
    ),
    entry(
        "H3081",
        "no such group",
        "A cluster has the membership group, 0, and one group for each of its shards. See: \
         hortator shell -c 'raft groups'.",
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
