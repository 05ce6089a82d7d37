//! What a node does for its place in the cluster beside its work, on one thread: its certificate, and its addresses or
//! the masters' ones. Must not know when each of these has something to do.

use std::thread::JoinHandle;

use hortator_actors::gateway::GatewayHandle;
use hortator_actors::tables::{MasterTable, Tables};
use hortator_proto::frame::MasterAddress;
use slog::Logger;
use tokio::sync::{oneshot, watch};

use super::Error;
use super::addresses::Reachable;
use super::known_masters::{self, KnownMaster};
use super::moving;
use super::renewal::{self, Papers, Surroundings};
use crate::env::{OsEntropy, SystemClock};

/// A running upkeep; it ends with `stop`.
pub(super) struct Upkeep {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    pub(super) fn of_master(
        papers: Papers,
        gateway: GatewayHandle,
        id: u64,
        here: Reachable,
        log: &Logger,
    ) -> Result<Upkeep, Error> {
        let log = log.clone();
        Upkeep::start(move || async move {
            let surroundings = MasterSurroundings { id, tables: gateway.tables().clone() };
            tokio::join!(
                renewal::keep(papers, surroundings, SystemClock, OsEntropy::new(), log.clone()),
                moving::announce(gateway, id, here, log.clone()),
            );
        })
    }

    pub(super) fn of_worker(
        papers: Papers,
        pushed: watch::Receiver<Vec<MasterAddress>>,
        log: &Logger,
    ) -> Result<Upkeep, Error> {
        let log = log.clone();
        Upkeep::start(move || async move {
            let data = papers.data.clone();
            let known = known_masters::read(&data);
            let surroundings = WorkerSurroundings { known, pushed: pushed.clone() };
            tokio::join!(
                renewal::keep(papers, surroundings, SystemClock, OsEntropy::new(), log.clone()),
                known_masters::keep(data, pushed, log.clone()),
            );
        })
    }

    fn start<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) -> Result<Upkeep, Error> {
        let (stop, stopped) = oneshot::channel();
        // The HTTP client wants a system of its own around it.
        let run = move || {
            actix_rt::System::new().block_on(async move {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = work() => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(run).map_err(Error::System)?;
        Ok(Upkeep { stop, thread })
    }

    pub(super) fn stop(self) {
        // It may have ended by itself.
        self.stop.send(()).unwrap_or(());
        self.thread.join().unwrap_or(());
    }
}

struct MasterSurroundings {
    id: u64,
    tables: Tables,
}

impl MasterSurroundings {
    fn table(&self) -> std::sync::Arc<MasterTable> {
        self.tables.masters()
    }
}

impl Surroundings for MasterSurroundings {
    fn apis(&self) -> Vec<String> {
        self.table().present().map(|row| row.api.clone()).filter(|api| !api.is_empty()).collect()
    }

    fn own_addresses(&self) -> Vec<String> {
        let table = self.table();
        let own = table.present().find(|row| row.id == self.id);
        own.map(|row| vec![row.peer.clone(), row.worker.clone(), row.api.clone()]).unwrap_or_default()
    }

    async fn changed(&mut self) {
        if self.tables.masters.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

struct WorkerSurroundings {
    /// From before this start.
    known: Vec<KnownMaster>,
    pushed: watch::Receiver<Vec<MasterAddress>>,
}

impl Surroundings for WorkerSurroundings {
    fn apis(&self) -> Vec<String> {
        let pushed = self.pushed.borrow();
        let told = pushed.iter().map(|master| master.api.clone());
        let kept = self.known.iter().map(|master| master.api.clone());
        let all: Vec<String> = if pushed.is_empty() { kept.collect() } else { told.collect() };
        all.into_iter().filter(|api| !api.is_empty()).collect()
    }

    fn own_addresses(&self) -> Vec<String> {
        Vec::new()
    }

    async fn changed(&mut self) {
        if self.pushed.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
