//! `balance` in the shell and `hortator cluster rebalance`: who leads what, and what the Balancer would move. Must not
//! know how it chooses.

use hortator_proto::api::{BalanceView, MasterLoadView, MoveView};
use serde::Serialize;

use crate::api::inside::{TransferBody, TransferredBody};
use crate::cli::args::RebalanceArgs;
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::session::Session;

pub async fn balance(session: &Session) -> Result<Exit, Error> {
    let view = view(session).await?;
    if session.output.is_json() {
        session.output.document(&view)?;
        return Ok(Exit::Success);
    }
    session.output.list(&view.masters)?;
    match (&view.next, &view.why_not) {
        (Some(MoveView { shard, from, to }), _) => {
            session.output.hint(&format!("next, shard {shard} goes from n{from} to n{to}"));
        }
        (None, Some(why)) => session.output.hint(&format!("nothing is moved: {why}")),
        (None, None) => {}
    }
    Ok(Exit::Success)
}

async fn view(session: &Session) -> Result<BalanceView, Error> {
    session.client.ask(Call::get("/balance")).await
}

/// A move, and what became of it.
#[derive(Debug, Serialize)]
struct Moved {
    #[serde(flatten)]
    planned: MoveView,
    result: String,
}

/// `hortator cluster rebalance`: the Balancer's own moves, without the pause in which it measures what each changed.
pub async fn rebalance(session: &Session, args: &RebalanceArgs) -> Result<Exit, Error> {
    let view = view(session).await?;
    let mut done = Vec::new();
    let mut failed = 0;
    for planned in view.moves {
        let result = match args.dry_run {
            true => "would be moved".to_owned(),
            false => match transfer(session, planned).await {
                Ok(TransferredBody { term, .. }) => format!("moved, term {term}"),
                // The next one may well succeed, and the Balancer goes on with what is left.
                Err(error) => {
                    failed += 1;
                    format!("not moved: {}", error.detail)
                }
            },
        };
        done.push(Moved { planned, result });
    }
    session.output.list(&done)?;
    match (done.len(), failed, args.dry_run) {
        (0, _, _) => {
            let unfit = view.masters.iter().any(|master| !master.fit);
            let more = if unfit { "; a master that is silent or just up gets none" } else { "" };
            session.output.hint(&format!("nothing to move: no move would even out enough{more}"));
        }
        (_, 0, true) => session.output.hint("nothing was moved; without --dry-run it is"),
        (_, 0, false) => session.output.hint("see how it is now: hortator shell -c balance"),
        (_, _, _) => return Ok(Exit::Partly),
    }
    Ok(Exit::Success)
}

async fn transfer(session: &Session, planned: MoveView) -> Result<TransferredBody, Error> {
    let path = format!("/cluster/raft/{}/transfer", planned.shard);
    session.client.ask(Call::post_json(path, &TransferBody { to: planned.to })).await
}

impl Listed for Moved {
    const HEADERS: &'static [&'static str] = &["SHARD", "FROM", "TO", "RESULT"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        let MoveView { shard, from, to } = self.planned;
        vec![
            shard.to_string().into(),
            format!("n{from}").into(),
            format!("n{to}").into(),
            self.result.clone().into(),
        ]
    }

    fn name(&self) -> String {
        self.planned.shard.to_string()
    }
}

impl Listed for MasterLoadView {
    const HEADERS: &'static [&'static str] =
        &["MASTER", "FIT", "SHARDS", "LEADS", "WORKERS", "RUNS", "ENTRIES/S", "CPU"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let leads: Vec<String> = self.leads.iter().map(u32::to_string).collect();
        vec![
            format!("n{}", self.id).into(),
            if self.fit { "yes" } else { "no" }.to_owned().into(),
            self.leads.len().to_string().into(),
            if leads.is_empty() { output.nothing() } else { leads.join(", ") }.into(),
            self.workers.to_string().into(),
            self.runs.to_string().into(),
            self.proposals_per_second.to_string().into(),
            format!("{:.0}%", self.cpu_percent).into(),
        ]
    }

    fn name(&self) -> String {
        format!("n{}", self.id)
    }
}
