//! What works of the agenda want done by the world, which alone may end lives. Must not know how it is done.

use std::sync::{Mutex, PoisonError};

use hortator_core::id::Name;
use tokio::sync::Notify;

use super::disk::Death;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A master has died at its disk.
    MasterDied { master: u64, life: u64, death: Death },
    /// A process has killed its agent.
    AgentPoisoned { worker: Name },
}

#[derive(Debug, Default)]
pub(super) struct Wishes {
    open: Mutex<Vec<Wish>>,
    news: Notify,
}

impl Wishes {
    pub(super) fn make(&self, wish: Wish) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(wish);
        self.news.notify_one();
    }

    pub(super) async fn next(&self) -> Vec<Wish> {
        loop {
            let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
            if !open.is_empty() {
                return open;
            }
            self.news.notified().await;
        }
    }
}
