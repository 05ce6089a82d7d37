//! The table of configuration keys: the only place that names them, their defaults and what they mean.
//! Must not know files or the environment.

use std::fmt::Write as _;

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

/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key {
        path: "client.addresses",
        default: "[]",
        help: "Masters to ask, as IP:PORT; empty means those of the context.",
        variable: Some("HORTATOR_ADDR"),
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
        default: "\"2s\"",
        help: "How long one connection attempt may take.",
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
    Key {
        path: "log.level",
        default: "\"warning\"",
        help: "Least severe level that is logged: critical, error, warning, info or debug.",
        variable: None,
    },
];

/// The file with every key at its default, commented.
pub fn default_text() -> String {
    let mut text = String::from("# Hortator's configuration. Every value here is the default.\n");
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.path.split_once('.').expect("every key has a section");
        if of != section {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = write!(text, "# {}\n{name} = {}\n", key.help, key.default);
    }
    text
}
