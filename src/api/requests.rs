//! How many requests this server has answered, by route and status, and how long they took. Must not know what they asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hortator_actors::histogram::Histogram;

/// The route of requests that lead nowhere: paths are the client's own words, and there is no end to them.
const NOWHERE: &str = "none";

/// As many series as there are routes and statuses of them.
#[derive(Debug, Default)]
pub(super) struct Requests {
    answered: Mutex<BTreeMap<(String, u16), u64>>,
    took: Histogram,
}

impl Requests {
    /// `route`: its pattern. A stream counts when its head is answered.
    pub(super) fn answered(&self, route: Option<String>, status: u16, took: Duration) {
        let route = route.unwrap_or_else(|| NOWHERE.to_owned());
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner).entry((route, status)).or_default() +=
            1;
        self.took.add(took);
    }

    pub(super) fn write(&self, text: &mut String) {
        text.push_str(
            "# HELP hortator_http_requests Requests answered.\n# TYPE hortator_http_requests counter\n",
        );
        for ((route, status), count) in &*self.answered.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = format!("route=\"{route}\",code=\"{status}\"");
            let _ = writeln!(text, "hortator_http_requests_total{{{labels}}} {count}");
        }
        text.push_str("# HELP hortator_http_request_seconds Until an answer begins.\n");
        text.push_str("# TYPE hortator_http_request_seconds histogram\n");
        self.took.write(text, "http_request_seconds", "");
    }
}
