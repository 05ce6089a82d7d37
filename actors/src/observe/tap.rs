//! What one actor handles, by message, while somebody listens. Must not know what messages say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hortator_proto::api::MessageView;

/// Costs one look at a flag while nobody listens.
#[derive(Debug, Default)]
pub(super) struct Tap {
    open: AtomicBool,
    /// One for each type of message, so there are few.
    heard: Mutex<BTreeMap<&'static str, Heard>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    handled: u64,
    busy_ns: u64,
    slowest_ns: u64,
}

impl Tap {
    pub(super) fn open(&self) {
        self.lock().clear();
        self.open.store(true, Ordering::Relaxed);
    }

    pub(super) fn note(&self, name: impl Fn(&'static str) -> &'static str, message: &'static str, ns: u64) {
        if self.open.load(Ordering::Relaxed) {
            let mut all = self.lock();
            let heard = all.entry(name(message)).or_default();
            heard.handled += 1;
            heard.busy_ns += ns;
            heard.slowest_ns = heard.slowest_ns.max(ns);
        }
    }

    /// Closes it. The busiest first.
    pub(super) fn take(&self) -> Vec<MessageView> {
        self.open.store(false, Ordering::Relaxed);
        let mut heard: Vec<(&str, Heard)> = std::mem::take(&mut *self.lock()).into_iter().collect();
        heard.sort_by_key(|(_, heard)| std::cmp::Reverse(heard.busy_ns));
        let view = |(message, heard): (&str, Heard)| MessageView {
            message: message.into(),
            handled: heard.handled,
            busy_us: heard.busy_ns / 1_000,
            slowest_us: heard.slowest_ns / 1_000,
        };
        heard.into_iter().map(view).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
