//! What the doctor looks at: the answers of every master that can be asked. Must not judge any of it.

use futures_util::future::join_all;
use hortator_proto::api::{
    BalanceView, MasterDetail, RaftView, StatusView, Warning, WarningsView, WorkerView,
};

use crate::api::body::Page;
use crate::cli::client::{Call, Client};
use crate::cli::error::Error;
use crate::cli::scrape::Metrics;
use crate::cli::session::Session;

#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) masters: Vec<MasterSeen>,
    pub(super) workers: Vec<WorkerView>,
    /// None while the membership group has no leader.
    pub(super) balance: Option<BalanceView>,
}

/// A master of the cluster, removed ones left out.
#[derive(Clone, Debug)]
pub(super) struct MasterSeen {
    pub(super) id: u64,
    pub(super) name: String,
    /// `member`, `joining` or `leaving`.
    pub(super) state: String,
    pub(super) answer: Answer,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Told(Box<Inside>),
    /// It did not answer, for this reason.
    Silent(String),
    /// All masters live in one process that answers for one of them.
    NoAddress,
}

#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) raft: RaftView,
    pub(super) warnings: Vec<Warning>,
    pub(super) metrics: Metrics,
}

impl Evidence {
    pub(super) fn told(&self) -> impl Iterator<Item = (&MasterSeen, &Inside)> {
        self.masters.iter().filter_map(|master| match &master.answer {
            Answer::Told(inside) => Some((master, &**inside)),
            Answer::Silent(_) | Answer::NoAddress => None,
        })
    }

    /// A master as people call it.
    pub(super) fn name(&self, id: u64) -> String {
        let master = self.masters.iter().find(|master| master.id == id);
        master.map_or_else(|| format!("n{id}"), |master| master.name.clone())
    }
}

pub(super) async fn gather(session: &Session) -> Result<Evidence, Error> {
    let client = &session.client;
    let status: StatusView = client.ask(Call::get("/status")).await?;
    let page: Page<MasterDetail> = client.ask(Call::get("/cluster/masters")).await?;
    // Without a leader of the membership group these are not to be had, and that is said by itself.
    let balance = client.ask(Call::get("/balance")).await.ok();
    let workers: Option<Page<WorkerView>> = client.ask(Call::get("/workers")).await.ok();
    let present = page.items.iter().filter(|master| master.state != "removed");
    let asked = inside(client).await?;
    let masters = join_all(present.map(|master| seen(client, &asked, master))).await;
    Ok(Evidence { masters, workers: workers.map_or(status.workers, |page| page.items), balance })
}

async fn seen(client: &Client, asked: &Inside, master: &MasterDetail) -> MasterSeen {
    let name = master.name.to_string();
    let answer = match master.api.parse() {
        _ if asked.raft.master == name => Answer::Told(Box::new(asked.clone())),
        Ok(address) => match inside(&client.once(address)).await {
            Ok(told) => Answer::Told(Box::new(told)),
            Err(error) => Answer::Silent(error.detail),
        },
        Err(_) => Answer::NoAddress,
    };
    MasterSeen { id: master.id, name, state: master.state.clone(), answer }
}

async fn inside(client: &Client) -> Result<Inside, Error> {
    let raft = client.ask(Call::get("/cluster/raft")).await?;
    let WarningsView { warnings, .. } = client.ask(Call::get("/cluster/warnings")).await?;
    Ok(Inside { raft, warnings, metrics: client.metrics().await? })
}
