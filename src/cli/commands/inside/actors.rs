//! `hortator debug …`: actors and mailboxes of the master that is asked. Must not know how anything is counted.

use std::collections::BTreeMap;

use hortator_core::time::Span;
use hortator_proto::api::{
    ActorDetail, ActorView, ActorsView, DeadLettersOf, DeadLettersView, KindView, LoadView, MessageView,
    MessagesView, RestartedView, SlowOne, SlowView, Warning, WarningsView,
};

use crate::api::inside::RestartBody;
use crate::cli::args::{ActorsArgs, By, DebugVerb};
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Form, Listed, Output, short};
use crate::cli::session::Session;

/// Actors of a tree: as many as one answer has.
const TREE_MAX: usize = 1_000;

/// `hortator debug …`
pub async fn debug(session: &Session, verb: DebugVerb) -> Result<Exit, Error> {
    let (client, output) = (&session.client, &session.output);
    let of = |id: &str| query(&[("id", Some(id.to_owned()))]);
    match verb {
        DebugVerb::Actors(args) => return actors(session, &args).await,
        DebugVerb::Actor(args) => {
            let view: ActorDetail = client.ask(Call::get(format!("/cluster/actor{}", of(&args.id)))).await?;
            output.one(&view, &view.view.id, || sheet(&view))?;
        }
        DebugVerb::Messages { actor, lasts } => {
            let pairs = [("id", Some(actor.id)), ("for", Some(lasts.to_string()))];
            let call =
                Call::get(format!("/cluster/actor/messages{}", query(&pairs))).extra(lasts.as_duration());
            let view: MessagesView = client.ask(call).await?;
            output.list(&view.messages)?;
            output.hint(&format!("what {} handled in {}", view.id, short(Span(view.lasted_us))));
        }
        DebugVerb::Restart(args) => {
            let body = RestartBody { id: args.id };
            let done: RestartedView = client.ask(Call::post_json("/cluster/actor/restart", &body)).await?;
            output.one(&done, &done.id, || {
                format!("{} began anew in {}, epoch {}\n", done.id, short(Span(done.took_us)), done.epoch)
            })?;
        }
        DebugVerb::Slow(args) => {
            let pairs = [("top", Some(args.top.to_string()))];
            let view: SlowView = client.ask(Call::get(format!("/cluster/slow{}", query(&pairs)))).await?;
            match output.is_json() {
                true => output.document(&view)?,
                false => {
                    let all: Vec<SlowOne> = [view.turns, view.entries, view.syncs].concat();
                    output.list(&all)?;
                }
            }
        }
        DebugVerb::DeadLetters => {
            let view: DeadLettersView = client.ask(Call::get("/cluster/dead-letters")).await?;
            output.list(&view.kinds)?;
        }
        DebugVerb::Warnings => {
            let view: WarningsView = client.ask(Call::get("/cluster/warnings")).await?;
            output.list(&view.warnings)?;
            if view.warnings.is_empty() {
                output.hint(&format!("{} sees nothing out of the ordinary", view.master));
            }
        }
    }
    Ok(Exit::Success)
}

fn sheet(view: &ActorDetail) -> String {
    let load = &view.view.load;
    let time = |micros| short(Span(micros));
    let now = match &view.now {
        Some(turn) => format!("{} for {}", turn.message, time(turn.took_us)),
        None => "nothing".into(),
    };
    let slowest = match load.slowest.is_empty() {
        true => "none yet".into(),
        false => format!("{} over {}", time(load.slowest_us), load.slowest),
    };
    let lines = [
        ("actor", format!("{} on {}", view.view.id, view.master)),
        ("mailbox", format!("{} of {}, refused {}", load.mailbox, view.capacity, view.refused)),
        ("oldest", format!("waits {}", time(load.oldest_us))),
        ("handles", now),
        ("handled", format!("{}, busy {}", load.handled, time(load.busy_us))),
        ("slowest", slowest),
        (
            "its kind",
            format!("half within {}, 99 % within {}", time(view.kind_p50_us), time(view.kind_p99_us)),
        ),
    ];
    lines.iter().map(|(label, value)| format!("{label:<10} {value}\n")).collect()
}

/// `actors tree` in the shell: whose actors are whose, as far as their names say.
pub async fn tree(session: &Session) -> Result<Exit, Error> {
    let pairs = [("by", Some("time".to_owned())), ("top", Some(TREE_MAX.to_string()))];
    let view: ActorsView = session.client.ask(Call::get(format!("/cluster/actors{}", query(&pairs)))).await?;
    session.output.text(&drawn(&view.master, &view.top))?;
    if view.top.len() == TREE_MAX {
        session.output.hint(&format!("the busiest {TREE_MAX} of more"));
    }
    Ok(Exit::Success)
}

/// Groups, then runs, then task runs; all else stands beside them.
fn drawn(master: &str, actors: &[ActorView]) -> String {
    let mut lines: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for actor in actors {
        let line = format!("{}  handled {}, waiting {}", actor.id, actor.load.handled, actor.load.mailbox);
        let mut place = place(actor);
        place.push(actor.id.clone());
        lines.insert(place, line);
    }
    let mut text = format!("{master}\n");
    let mut open: Vec<String> = Vec::new();
    for (place, line) in lines {
        let (last, above) = place.split_last().expect("an actor has an id");
        let _ = last;
        for (depth, part) in above.iter().enumerate() {
            if open.get(depth) != Some(part) {
                open.truncate(depth);
                open.push(part.clone());
                text.push_str(&format!("{}{part}\n", "  ".repeat(depth + 1)));
            }
        }
        open.truncate(above.len());
        text.push_str(&format!("{}{line}\n", "  ".repeat(above.len() + 1)));
    }
    text
}

fn place(actor: &ActorView) -> Vec<String> {
    let run = |name: &str| -> Vec<String> {
        let run = name.split('/').next().unwrap_or(name);
        let shard = run.parse().map(|run: hortator_core::id::RunId| format!("shard-{}", run.shard()));
        vec![shard.unwrap_or_else(|_| "runs".into()), format!("run {run}")]
    };
    match actor.kind.as_str() {
        "GroupActor" | "Shard" => vec![actor.name.clone()],
        "MembershipActor" => vec!["membership".into()],
        "RunActor" | "TaskActor" => run(&actor.name),
        "WorkflowActor" => vec!["workflows".into()],
        "WorkerActor" => vec!["workers".into()],
        _ => vec!["master".into()],
    }
}

impl Listed for MessageView {
    const HEADERS: &'static [&'static str] = &["MESSAGE", "HANDLED", "BUSY", "SLOWEST"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        vec![
            self.message.clone().into(),
            self.handled.to_string().into(),
            short(Span(self.busy_us)).into(),
            short(Span(self.slowest_us)).into(),
        ]
    }

    fn name(&self) -> String {
        self.message.clone()
    }
}

impl Listed for SlowOne {
    const HEADERS: &'static [&'static str] = &["TOOK", "WHAT", "AGO"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        vec![short(Span(self.took_us)).into(), self.what.clone().into(), short(Span(self.ago_us)).into()]
    }

    fn name(&self) -> String {
        self.what.clone()
    }
}

impl Listed for DeadLettersOf {
    const HEADERS: &'static [&'static str] = &["KIND", "DEAD", "LAST", "REFUSED"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.kind.clone().into(),
            self.dead.to_string().into(),
            if self.last.is_empty() { output.nothing() } else { self.last.clone() }.into(),
            self.refused.to_string().into(),
        ]
    }

    fn name(&self) -> String {
        self.kind.clone()
    }
}

impl Listed for Warning {
    const HEADERS: &'static [&'static str] = &["ABOUT", "WARNING"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        vec![self.about.clone().into(), self.sentence.clone().into()]
    }

    fn name(&self) -> String {
        self.about.clone()
    }
}

/// `hortator debug actors`
pub async fn actors(session: &Session, args: &ActorsArgs) -> Result<Exit, Error> {
    let by = match args.by {
        By::Mailbox => "mailbox",
        By::Age => "age",
        By::Time => "time",
        By::Messages => "messages",
        By::Slowest => "slowest",
    };
    let pairs = [("by", Some(by.to_owned())), ("top", Some(args.top.to_string()))];
    let view: ActorsView = session.client.ask(Call::get(format!("/cluster/actors{}", query(&pairs)))).await?;
    let output = &session.output;
    if output.is_json() {
        output.document(&view)?;
        return Ok(Exit::Success);
    }
    if output.form == Form::Table {
        output.text(&format!("{} up {}\n\n", view.master, short(Span(view.up_us))))?;
    }
    output.list(&view.kinds)?;
    output.text("\n")?;
    output.list(&view.top)?;
    Ok(Exit::Success)
}

fn load(load: &LoadView) -> Vec<Field> {
    vec![
        load.mailbox.to_string().into(),
        short(Span(load.oldest_us)).into(),
        load.handled.to_string().into(),
        short(Span(load.busy_us)).into(),
        short(Span(load.slowest_us)).into(),
        load.slowest.clone().into(),
    ]
}

impl Listed for KindView {
    const HEADERS: &'static [&'static str] =
        &["KIND", "ALIVE", "STARTED", "MAILBOX", "OLDEST", "HANDLED", "BUSY", "SLOWEST", "OVER"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        let mut cells: Vec<Field> =
            vec![self.kind.clone().into(), self.actors.to_string().into(), self.started.to_string().into()];
        cells.extend(load(&self.load));
        cells
    }

    fn name(&self) -> String {
        self.kind.clone()
    }
}

impl Listed for ActorView {
    const HEADERS: &'static [&'static str] =
        &["ACTOR", "MAILBOX", "OLDEST", "HANDLED", "BUSY", "SLOWEST", "OVER"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        let mut cells: Vec<Field> = vec![self.id.clone().into()];
        cells.extend(load(&self.load));
        cells
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_puts_task_runs_below_their_run() {
        let actor = |kind: &str, name: &str| ActorView {
            kind: kind.into(),
            name: name.into(),
            id: format!("{kind}:{name}"),
            load: LoadView::default(),
        };
        let actors = [
            actor("TaskActor", "x/0[0]"),
            actor("Shard", "shard-1"),
            actor("RunActor", "x"),
            actor("Gateway", "-"),
            actor("GroupActor", "shard-1"),
        ];
        let text = drawn("n1", &actors);
        let lines: Vec<&str> =
            text.lines().map(|line| line.split("  handled").next().unwrap_or("")).collect();
        assert_eq!(
            lines,
            [
                "n1",
                "  master",
                "    Gateway:-",
                "  runs",
                "    run x",
                "      RunActor:x",
                "      TaskActor:x/0[0]",
                "  shard-1",
                "    GroupActor:shard-1",
                "    Shard:shard-1",
            ]
        );
    }
}
