//! `balance` in the shell: who leads what, and what the Balancer would move. Must not know how it chooses.

use hortator_proto::api::{BalanceView, MasterLoadView, MoveView};

use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::session::Session;

pub async fn balance(session: &Session) -> Result<Exit, Error> {
    let view: BalanceView = session.client.ask(Call::get("/cluster/balance")).await?;
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

impl Listed for MasterLoadView {
    const HEADERS: &'static [&'static str] =
        &["MASTER", "FIT", "SHARDS", "LEADS", "RUNS", "ENTRIES/S", "CPU"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let leads: Vec<String> = self.leads.iter().map(u32::to_string).collect();
        vec![
            format!("n{}", self.id).into(),
            if self.fit { "yes" } else { "no" }.to_owned().into(),
            self.leads.len().to_string().into(),
            if leads.is_empty() { output.nothing() } else { leads.join(", ") }.into(),
            self.runs.to_string().into(),
            self.proposals_per_second.to_string().into(),
            format!("{:.0}%", self.cpu_percent).into(),
        ]
    }

    fn name(&self) -> String {
        format!("n{}", self.id)
    }
}
