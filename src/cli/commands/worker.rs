//! `hortator worker show|drain|cordon|uncordon` and `hortator settings`: who gets new work, and when a silent worker
//! counts as lost. Must not know how that is decided.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hortator_core::id::Name;
use hortator_core::lease::Leases;
use hortator_core::retention::HistoryRule;
use hortator_proto::api::{OrderView, SettingsView, WorkerOrder, WorkerView};

use crate::api::body::{ChangedBody, SettingsBody};
use crate::cli::args::worker::{DrainArgs, SetArgs};
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::Output;
use crate::cli::session::Session;

/// Between two looks at a worker that drains: heartbeats come twice a second.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

/// `hortator worker show`
pub async fn show(session: &Session, name: &Name) -> Result<Exit, Error> {
    let view: WorkerView = session.client.ask(Call::get(format!("/workers/{name}"))).await?;
    let output = &session.output;
    output.one(&view, name.as_str(), || sheet(&view, output))?;
    Ok(Exit::Success)
}

fn sheet(view: &WorkerView, output: &Output) -> String {
    let groups: Vec<&str> = view.groups.iter().map(Name::as_str).collect();
    let mut text = String::new();
    let mut line = |label: &str, value: String| text.push_str(&format!("{label:<10} {value}\n"));
    line("worker", format!("{}, life {}", view.name, view.incarnation));
    line("state", output.state(&view.state));
    if let Some(OrderView { order, by, since }) = &view.ordered {
        let word = match order {
            WorkerOrder::Cordon => "cordoned",
            WorkerOrder::Drain => "draining",
            WorkerOrder::Uncordon => "open",
        };
        line("order", format!("{word} by {by} since {}", output.time(Some(*since))));
    }
    line("attempts", format!("{} left", view.running));
    line("slots", format!("{} of {} used", view.slots_used, view.slots));
    line("groups", groups.join(", "));
    line("host", format!("{}, version {}", view.host, view.version));
    line("heard", output.time(view.seen_at));
    text
}

/// `hortator worker cordon`, `uncordon` and `drain`
pub async fn order(session: &Session, name: &Name, order: WorkerOrder) -> Result<Exit, Error> {
    let word = match order {
        WorkerOrder::Cordon => "cordon",
        WorkerOrder::Uncordon => "uncordon",
        WorkerOrder::Drain => "drain",
    };
    let call = Call::post(format!("/workers/{name}/{word}"), Default::default());
    let body: ChangedBody = session.client.ask(call).await?;
    session.output.one(&body, name.as_str(), || match (order, body.changed) {
        (_, false) => format!("worker {name} was so already\n"),
        (WorkerOrder::Cordon, true) => format!("worker {name} is cordoned: it gets nothing new\n"),
        (WorkerOrder::Uncordon, true) => format!("worker {name} gets work again\n"),
        (WorkerOrder::Drain, true) => {
            format!("worker {name} is draining; what is left: hortator worker show {name}\n")
        }
    })?;
    Ok(Exit::Success)
}

/// `hortator worker drain`: waits until its last attempt has ended where that was asked for.
pub async fn drain(session: &Session, args: &DrainArgs) -> Result<Exit, Error> {
    let name = &args.worker.name;
    if !args.wait {
        return order(session, name, WorkerOrder::Drain).await;
    }
    let call = Call::post(format!("/workers/{name}/drain"), Default::default());
    let _: ChangedBody = session.client.ask(call).await?;
    let until = args.deadline.map(|deadline| Instant::now() + deadline.as_duration());
    let mut told = None;
    loop {
        let view: WorkerView = session.client.ask(Call::get(format!("/workers/{name}"))).await?;
        match Draining::of(&view.state, view.seen_by.as_deref()) {
            Draining::GoesOn => {}
            Draining::Over => {
                session.output.one(&view, name.as_str(), || format!("worker {name} is {}\n", view.state))?;
                return Ok(Exit::Success);
            }
            Draining::Undone => {
                let detail =
                    format!("worker {name} is {} now: somebody else has given another order", view.state);
                return Err(Error::new(Exit::Conflict, "H3075", detail).hint("hortator worker list"));
            }
        }
        let left = (view.state.clone(), view.running);
        if told.as_ref() != Some(&left) {
            session.output.hint(&format!("worker {name} is {}: {} attempts left", left.0, left.1));
            told = Some(left);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            let running = view.running;
            let detail = format!("worker {name} still has {running} attempts; it goes on draining");
            return Err(
                Error::new(Exit::TimedOut, "H3074", detail).hint(format!("hortator worker show {name}"))
            );
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// How it stands with a worker that was told to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Draining {
    GoesOn,
    Over,
    Undone,
}

impl Draining {
    /// `seen_by`: the master whose word it is, where that does not lead.
    fn of(state: &str, seen_by: Option<&str>) -> Draining {
        match (state, seen_by) {
            // It may not have heard of the order yet.
            (_, Some(_)) => Draining::GoesOn,
            ("draining" | "silent", None) => Draining::GoesOn,
            // Nothing runs on a lost one any more either; what ran is decided elsewhere.
            ("drained" | "lost", None) => Draining::Over,
            (_, None) => Draining::Undone,
        }
    }
}

/// `hortator settings show`
pub async fn settings(session: &Session) -> Result<Exit, Error> {
    let view: SettingsView = session.client.ask(Call::get("/settings")).await?;
    session.output.one(&view, "settings", || {
        let terms = |leases: Leases| match leases {
            Leases::NotKept => "none: the cluster runs in one process".to_owned(),
            Leases::Kept(terms) => {
                format!("worker_lease {}, declare_lost {}", terms.worker_lease, terms.declare_lost)
            }
        };
        let mut text = format!("leases    {}\n", terms(view.leases));
        if view.in_force != view.leases {
            let _ = writeln!(text, "in force  {}, since there is one master", terms(view.in_force));
        }
        let settled = match view.in_force {
            Leases::NotKept => true,
            Leases::Kept(terms) => terms.declare_lost == view.nobody_lost_before,
        };
        if !settled {
            let _ = writeln!(
                text,
                "for now   nobody is lost before {}: longer leases were given",
                view.nobody_lost_before
            );
        }
        let HistoryRule { keep, keep_runs } = view.history;
        let _ = writeln!(
            text,
            "history   {keep} from a run's end; of each workflow {keep_runs} that succeeded and {keep_runs} that did not"
        );
        text
    })?;
    Ok(Exit::Success)
}

/// `hortator settings set`
pub async fn set(session: &Session, args: &SetArgs) -> Result<Exit, Error> {
    let text = |span: Option<hortator_core::time::Span>| span.map(|span| span.to_string());
    let body = SettingsBody {
        worker_lease: text(args.worker_lease),
        declare_lost: text(args.declare_lost),
        history_keep: text(args.history_keep),
        history_keep_runs: args.history_keep_runs,
    };
    let changed: ChangedBody = session.client.ask(Call::post_json("/settings", &body)).await?;
    session.output.one(&changed, "settings", || match changed.changed {
        true => "set; see: hortator settings show\n".into(),
        false => "the settings were so already\n".into(),
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_judged_by_the_leaders_word_alone() {
        for (state, seen_by, expected) in [
            ("draining", None, Draining::GoesOn),
            ("silent", None, Draining::GoesOn),
            ("drained", None, Draining::Over),
            ("lost", None, Draining::Over),
            ("up", None, Draining::Undone),
            ("cordoned", None, Draining::Undone),
            ("up", Some("n2"), Draining::GoesOn),
            ("drained", Some("n2"), Draining::GoesOn),
            ("lost", Some("n2"), Draining::GoesOn),
        ] {
            assert_eq!(Draining::of(state, seen_by), expected, "{state} {seen_by:?}");
        }
    }
}
