//! The tables of configuration keys: the only place that names them, their defaults and what they mean.
//! Must not know files or the environment.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// One key, `section.name`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub path: &'static str,
    /// As TOML.
    pub default: &'static str,
    pub help: &'static str,
    /// A short variable beside `HORTATOR_SECTION__NAME`.
    pub variable: Option<&'static str>,
}

/// Keys of commands, in the order in which they are shown.
pub(super) const CLIENT: &[Key] = &[
    Key {
        path: "client.addresses",
        default: "[]",
        help: "Masters to ask, as HOST:PORT; empty means those of the context.",
        variable: Some("HORTATOR_ADDR"),
    },
    Key {
        path: "client.ca",
        default: "\"\"",
        help: "Authority of the cluster: file of its certificate, or sha256:FINGERPRINT; empty means that of the context.",
        variable: Some("HORTATOR_CA"),
    },
    Key {
        path: "client.token_file",
        default: "\"\"",
        help: "File that holds the bearer token; empty means that of the context.",
        variable: Some("HORTATOR_TOKEN_FILE"),
    },
    Key {
        path: "client.context",
        default: "\"\"",
        help: "Context to use; empty means the current one.",
        variable: Some("HORTATOR_CONTEXT"),
    },
    Key {
        path: "client.namespace",
        default: "\"default\"",
        help: "Namespace of names that are given without one.",
        variable: Some("HORTATOR_NAMESPACE"),
    },
    Key {
        path: "client.output",
        default: "\"\"",
        help: "Output form: table, json, jsonl or name; empty means table on a terminal, plain columns elsewhere.",
        variable: Some("HORTATOR_OUTPUT"),
    },
    Key {
        path: "client.connect_timeout",
        default: "\"1s\"",
        help: "How long one connection attempt may take, and the TLS handshake on it.",
        variable: None,
    },
    Key {
        path: "client.request_timeout",
        default: "\"30s\"",
        help: "How long one answer may take.",
        variable: None,
    },
    Key {
        path: "client.retry_for",
        default: "\"15s\"",
        help: "How long a request is repeated, with the same idempotency key, after a broken connection.",
        variable: None,
    },
    Key {
        path: "dev.masters",
        default: "3",
        help: "Masters of `hortator dev`; an odd number.",
        variable: None,
    },
    Key { path: "dev.workers", default: "2", help: "Workers of `hortator dev`.", variable: None },
    Key {
        path: "dev.slots",
        default: "0",
        help: "Slots of each worker of `dev` and `run FILE`; 0 means twice the cores, at least 8.",
        variable: None,
    },
    Key {
        path: "dev.port",
        default: "8910",
        help: "API port of `hortator dev`; the next free one is taken when it is in use, and 0 means any.",
        variable: None,
    },
    key("log.level", "\"warning\"", LOG_LEVEL),
];

const LOG_LEVEL: &str = "Least severe level that is logged: critical, error, warning, info or debug.";

/// Keys of a master, in the order of `configs/master.toml`.
pub(super) const MASTER: &[Key] = &[
    key(
        DATA,
        "\"/var/lib/hortator/master\"",
        "Where the master keeps everything: who it is, and the replicas.",
    ),
    key(SOURCE, "\"\"", SOURCE_HELP),
    key(
        "listen.peers",
        "\"127.0.0.1:8911\"",
        "Where other masters connect. An address other than loopback needs certificates: hortator cluster init.",
    ),
    key("listen.workers", "\"127.0.0.1:8912\"", "Where workers connect."),
    key("listen.api", "\"127.0.0.1:8910\"", "Where clients connect: commands, metrics, health."),
    key(
        "advertise.peers",
        "\"\"",
        "HOST:PORT under which other masters reach this one; empty means the address it listens on.",
    ),
    key("advertise.workers", "\"\"", "HOST:PORT under which workers reach this master."),
    key("advertise.api", "\"\"", "HOST:PORT under which clients reach this master."),
    key(
        "store.cache",
        "\"16MiB\"",
        "Memory for the pages of each group's file; there is one group for each shard, and one more.",
    ),
    key(
        "store.disk_low",
        "\"64MiB\"",
        "Free disk space under which new commands are refused, so that what runs can end.",
    ),
    key("store.ballast", "\"1MiB\"", "Kept in each group's directory, and given back when the disk is low."),
    key(JOIN, "\"\"", JOIN_HELP),
    key(
        "shutdown.grace",
        "\"10s\"",
        "How long a stop may take before the process ends anyway; a second signal ends it at once.",
    ),
    key(
        "faults.enabled",
        "false",
        "Allow admins to break this master for a while: hortator fault. For clusters that are there to be tried out.",
    ),
    key(SHARED_FILE, "\"\"", SHARED_FILE_HELP),
    key("development.id", "1", "Which of the masters this is; for a shared_file only."),
    key(
        "development.masters",
        "[]",
        "All masters with what they listen on, as { id = 1, peers = \"IP:PORT\" }; for a shared_file only.",
    ),
    key(FORMAT, "\"auto\"", FORMAT_HELP),
    key("log.level", "\"info\"", LOG_LEVEL),
];

/// Keys of a worker, in the order of `configs/worker.toml`.
pub(super) const WORKER: &[Key] = &[
    key(DATA, "\"/var/lib/hortator/worker\"", "Where the worker keeps everything: who it is, reports, logs."),
    key(SOURCE, "\"\"", SOURCE_HELP),
    key(
        "worker.name",
        "\"\"",
        "What it is called, in lower case with digits and dashes; empty means this host's name. Two workers never \
         share one.",
    ),
    key("worker.groups", "[\"default\"]", "Worker groups that it belongs to; tasks ask for one."),
    key("worker.slots", "0", "How many one-slot tasks run at a time; 0 means twice the cores, at least 8."),
    key("worker.zone", "\"\"", "Where it stands: a rack, a room, a region."),
    key("worker.labels", "{}", "What it calls itself, for tasks to ask for: { disk = \"ssd\" }."),
    key("worker.cpu", "0.0", "Cores that tasks may ask for; 0 means all of this host."),
    key("worker.memory", "\"0B\"", "Memory that tasks may ask for; 0B means all of this host."),
    key("worker.disk", "\"0B\"", "Disk that tasks may ask for; 0B means that none is to be had."),
    key(
        "worker.devices",
        "[\"auto\"]",
        "What task processes call its GPUs, for example [\"0\", \"1\"]; [\"auto\"] means those that this host has.",
    ),
    key("worker.resources", "{}", "Whatever else tasks may ask for, by name: { licence = 2 }."),
    key(
        "worker.thresholds",
        "{}",
        "Percent above which it gets nothing new, in place of its groups' limits: { cpu_percent = 90.0 }.",
    ),
    key("worker.weight", "100", "Its share against other workers' in groups that go by weights."),
    key(
        "worker.masters",
        "[]",
        "Masters to connect to first, HOST:PORT of their listen.workers; a name may stand for several. The others \
         are learned from these. Empty means those that there were when this worker joined.",
    ),
    key(
        "worker.runs",
        "\"\"",
        "Where runs have their shared directories, one place for all workers of a host; empty means `runs` in \
         node.data.",
    ),
    key(
        "listen.http",
        "\"\"",
        "Where this worker answers /livez, /readyz and /metrics, IP:PORT; empty means nowhere.",
    ),
    key("logs.keep", "\"30d\"", "How long the logs of attempts are kept."),
    key("logs.keep_size", "\"10GiB\"", "How much of them is kept; the oldest go first."),
    key(JOIN, "\"\"", JOIN_HELP),
    key(
        "shutdown.grace",
        "\"10s\"",
        "How long a stop may take: tasks that run may end in it, and start nothing new. A second signal ends all at \
         once.",
    ),
    key(SHARED_FILE, "\"\"", SHARED_FILE_HELP),
    key(FORMAT, "\"auto\"", FORMAT_HELP),
    key("log.level", "\"info\"", LOG_LEVEL),
];

/// Of a master and a worker in one process: the keys of both.
pub(super) static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let help = "Where both keep everything: the master in `master`, the worker in `worker` below it.";
    let data = key(DATA, "\"/var/lib/hortator\"", help);
    let more = WORKER.iter().filter(|key| MASTER.iter().all(|master| master.path != key.path));
    let keys = MASTER.iter().chain(more).filter(|key| key.path != DATA);
    let mut keys: Vec<Key> = std::iter::once(&data).chain(keys).copied().collect();
    // Sections stay together; their order is that of the tables.
    let section = |key: &Key| key.path.split('.').next().unwrap_or_default();
    let sections: Vec<&str> = keys.iter().map(section).collect();
    keys.sort_by_key(|key| sections.iter().position(|other| *other == section(key)));
    keys
});

const DATA: &str = "node.data";
const SOURCE: &str = "node.source";
const SOURCE_HELP: &str = "Address of this host from which other nodes are called, where it has several; empty leaves that to the system.";
const JOIN: &str = "join.token_file";
const JOIN_HELP: &str = "File with the token that `hortator cluster add` printed; read once, at the first start. HORTATOR_JOIN_TOKEN may \
     hold the token itself.";
const SHARED_FILE: &str = "development.shared_file";
const SHARED_FILE_HELP: &str = "For trying out on one host, without certificates: a file that all nodes share, made \
                                by the first that starts. Empty everywhere else.";
const FORMAT: &str = "log.format";
const FORMAT_HELP: &str =
    "auto, text or json; auto is text on a terminal and in the journal, else one JSON document a line.";

const fn key(path: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { path, default, help, variable: None }
}

/// The file with every key at its default, commented.
pub(super) fn default_text(title: &str, keys: &[Key]) -> String {
    let mut text = format!("# {title}\n# Every value here is the default.\n");
    let mut section = "";
    for key in keys {
        let (of, name) = key.path.split_once('.').expect("every key has a section");
        if of != section {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        for line in wrapped(key.help) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "{name} = {}", key.default);
    }
    text
}

/// Lines that fit an editor of 100 columns.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        match line.len() + word.len() {
            _ if line.is_empty() => line.push_str(word),
            length if length < LINE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

const LINE: usize = 96;
