//! `hortator status` and `hortator worker list`: whether the cluster is usable, and who works in it.
//! The verdict is the cluster's own, from its quorum.

use std::fmt::Write as _;

use hortator_core::access::Role;
use hortator_core::id::Name;
use hortator_proto::api::{MasterView, RelayedView, StatusView, WorkerView};

use crate::api::body::{Page, WhoBody};
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Form, Listed, Output};
use crate::cli::session::Session;

/// `hortator status`; exit 6 when the cluster is unavailable.
pub async fn status(session: &Session) -> Result<Exit, Error> {
    let view: StatusView = session.client.ask(Call::get("/status")).await?;
    let exit = if view.verdict == "unavailable" { Exit::Unavailable } else { Exit::Success };
    let output = &session.output;
    if output.form != Form::Table {
        output.one(&view, &view.verdict, || {
            let faults: String = view.faults.iter().map(|fault| format!("fault\t{fault}\n")).collect();
            format!("{}\t{}\n{faults}", view.verdict, view.sentence)
        })?;
        return Ok(exit);
    }
    output.text(&format!("{}\n{}\n", view.sentence, banner(&view.faults, output)))?;
    let rows = view.masters.iter().map(|master| master_row(master, output)).collect();
    output.table(&["MASTERS", "STATE", "LEADS", "LAG"], rows)?;
    output.text(&totals(&view))?;
    output.text(&relayed(&view.relayed))?;
    Ok(exit)
}

/// What is wrong on purpose, where nobody can miss it.
fn banner(faults: &[String], output: &Output) -> String {
    let (on, off) = if output.colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    faults.iter().map(|fault| format!("{on}FAULT  {fault}{off}\n")).collect()
}

fn master_row(master: &MasterView, output: &Output) -> Vec<Field> {
    let group = |group: &u32| {
        if *group == 0 { "membership".into() } else { group.to_string() }
    };
    let leads: Vec<String> = master.leads.iter().map(group).collect();
    vec![
        master.name.clone().into(),
        Field::State(master.state.clone()),
        if leads.is_empty() { output.nothing() } else { leads.join(", ") }.into(),
        master.lag.to_string().into(),
    ]
}

/// Nothing while all links are whole.
pub(super) fn relayed(paths: &[RelayedView]) -> String {
    let mut text = String::new();
    for (place, RelayedView { from, to, via }) in paths.iter().enumerate() {
        let head = if place == 0 { "\nRELAYED  " } else { "         " };
        let _ = writeln!(text, "{head}{from}→{to} via {via}");
    }
    text
}

fn totals(view: &StatusView) -> String {
    let mut states: std::collections::BTreeMap<&str, u32> = Default::default();
    view.workers.iter().for_each(|worker| *states.entry(&worker.state).or_default() += 1);
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let states = if states.is_empty() { "none".into() } else { states.join(", ") };
    let used: u32 = view.workers.iter().map(|worker| worker.slots_used).sum();
    let slots: u32 = view.workers.iter().map(|worker| worker.slots).sum();
    let mut text = String::from("\n");
    let _ = writeln!(text, "WORKERS  {states}    slots {used}/{slots}");
    let _ = writeln!(
        text,
        "RUNS     {} live, of which {} queued    {} task runs active",
        view.runs_live, view.runs_queued, view.tasks_active
    );
    let advice = advice(view);
    if !advice.is_empty() {
        text.push('\n');
        advice.iter().for_each(|line| text.push_str(&format!("! {line}\n")));
    }
    text
}

/// What is wrong and what to do about it.
fn advice(view: &StatusView) -> Vec<String> {
    let mut lines = Vec::new();
    for master in view.masters.iter().filter(|master| master.state == "down") {
        lines.push(format!(
            "Restore {0}, or replace it: hortator cluster add master --name NAME, then hortator cluster remove {0}",
            master.name
        ));
    }
    for worker in view.workers.iter().filter(|worker| worker.state == "lost") {
        lines.push(format!("{} is lost; what it had runs elsewhere: hortator worker show {0}", worker.name));
    }
    if view.verdict == "unavailable" {
        lines.push(
            "Ask another master too: hortator --addr ADDRESS status. Bring back as many as a quorum needs"
                .into(),
        );
    }
    lines
}

/// `hortator worker list`
pub async fn workers(session: &Session) -> Result<Exit, Error> {
    let page: Page<WorkerView> = session.client.ask(Call::get("/workers")).await?;
    session.output.list(&page.items)?;
    if let Some(master) = page.items.iter().find_map(|worker| worker.seen_by.as_ref()) {
        session.output.hint(&format!(
            "as {master} hears them, since the membership leader does not answer: one that is silent here may be heard elsewhere"
        ));
    }
    Ok(Exit::Success)
}

/// `hortator whoami`
pub async fn whoami(session: &Session) -> Result<Exit, Error> {
    let who: WhoBody = session.client.ask(Call::get("/whoami")).await?;
    let role = match who.role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    };
    session.output.one(&who, &who.name, || format!("{}, {role}\n", who.name))?;
    Ok(Exit::Success)
}

impl Listed for WorkerView {
    const HEADERS: &'static [&'static str] =
        &["WORKER", "STATE", "GROUPS", "SLOTS", "CPU", "LOAD", "MEMORY", "HOST", "VERSION", "LIFE", "SEEN"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let groups: Vec<&str> = self.groups.iter().map(Name::as_str).collect();
        vec![
            self.name.to_string().into(),
            Field::State(self.state.clone()),
            groups.join(",").into(),
            format!("{}/{}", self.slots_used, self.slots).into(),
            format!("{:.0}%", self.cpu_percent).into(),
            format!("{:.2}", self.load1).into(),
            format!("{}/{}", size(self.memory_used), size(self.memory_total)).into(),
            self.host.clone().into(),
            self.version.clone().into(),
            self.incarnation.to_string().into(),
            output.time(self.seen_at).into(),
        ]
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}

/// Bytes in the largest unit that keeps a digit before the point: `512MiB`, `1.5GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit >= 3 {
        true => format!("{value:.1}{}", UNITS[unit]),
        false => format!("{value:.0}{}", UNITS[unit]),
    }
}
