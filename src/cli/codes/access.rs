//! Pages of H1…: connection, access, nodes.

use super::{Page, entry};

pub(super) const PAGES: &[Page] = &[
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
        "H1209",
        "faults may not be injected here",
        "Faults are for clusters that may be broken: hortator dev --faults, or masters with faults.enabled = true in their \
         configuration. Everywhere else they are refused, whoever asks. What real clusters bear is tried with hortator sim \
         process, and in simulated time with hortator sim run.",
    ),
    entry(
        "H1210",
        "this fault cannot be injected",
        "The message says why: it is out of bounds, it has no end (each says how long, as in `for 30s`), it names a node \
         that does not run in the process that was asked, or one process cannot do it. hortator fault add --help shows \
         what there is. Rotten files, panics in the middle of a decision and wrong clocks since boot are the simulator's: \
         hortator sim list.",
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
        "H1305",
        "no such state",
        "A filter names a state that runs or task runs do not have, and would match nothing for ever. The message lists \
         the words; hortator ps --help does too.",
    ),
    entry(
        "H1304",
        "too many streams",
        "This master has as many open streams and waits as it takes. Ask another master, or close some.",
    ),
];
