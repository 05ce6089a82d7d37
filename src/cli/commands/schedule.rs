//! `hortator schedule …` and `hortator explain schedule …`: when workflows start by themselves, and why they did not.
//! Nothing is worked out here: times and reasons are the cluster's.

use std::fmt::Write as _;

use hortator_core::schedule::{
    CatchUp, Cause, ClockChange, Overlap, PassedOver, ScheduleEvent, ScheduleLine, Timing,
};
use hortator_proto::api::{ScheduleExplain, ScheduleHistory, ScheduleView, Upcoming};

use crate::api::body::{ChangedBody, Page, StartedBody};
use crate::cli::args::{ScheduleArgs, ScheduleVerb};
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::reference::ScheduleReference;
use crate::cli::session::Session;

pub async fn schedule(session: &Session, verb: ScheduleVerb) -> Result<Exit, Error> {
    match verb {
        ScheduleVerb::List { all_namespaces } => list(session, all_namespaces).await,
        ScheduleVerb::Show(args) => show(session, &args).await,
        ScheduleVerb::Next { schedule, count } => next(session, &schedule, count).await,
        ScheduleVerb::History { schedule, limit } => history(session, &schedule, limit).await,
        ScheduleVerb::Trigger(args) => trigger(session, &args).await,
        ScheduleVerb::Enable(args) => switch(session, &args, "enable").await,
        ScheduleVerb::Disable(args) => switch(session, &args, "disable").await,
    }
}

async fn list(session: &Session, all_namespaces: bool) -> Result<Exit, Error> {
    let namespace = (!all_namespaces).then(|| session.namespace.to_string());
    let (mut schedules, mut cursor) = (Vec::new(), None);
    loop {
        let pairs = [("namespace", namespace.clone()), ("limit", Some("1000".into())), ("cursor", cursor)];
        let page: Page<ScheduleView> =
            session.client.ask(Call::get(format!("/schedules{}", query(&pairs)))).await?;
        schedules.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    session.output.list(&schedules)?;
    if schedules.is_empty() {
        session.output.hint("no schedules; a workflow has them under the key schedules");
    }
    Ok(Exit::Success)
}

impl Listed for ScheduleView {
    const HEADERS: &'static [&'static str] =
        &["NAMESPACE", "WORKFLOW", "SCHEDULE", "WHEN", "STATE", "NEXT", "LAST"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.namespace.to_string().into(),
            self.workflow.to_string().into(),
            self.id.to_string().into(),
            when(&self.timing).into(),
            self.state.clone().into(),
            self.next.as_ref().map_or_else(|| "-".to_owned(), |next| next.wall.clone()).into(),
            output.time(self.last.map(|last| last.nominal)).into(),
        ]
    }

    fn name(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.workflow, self.id)
    }
}

impl Listed for Upcoming {
    const HEADERS: &'static [&'static str] = &["TIME", "UTC", "NOTE"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        let note = match self.clock_change {
            None => "",
            Some(ClockChange::AfterGap) => "clocks go forward: right after the gap",
            Some(ClockChange::FirstOfTwo) => "clocks go back: the first of two",
        };
        vec![self.wall.clone().into(), self.at.to_string().into(), note.to_owned().into()]
    }

    fn name(&self) -> String {
        self.at.to_string()
    }
}

impl Listed for ScheduleLine {
    const HEADERS: &'static [&'static str] = &["TIME", "WHAT", "RUN", "DECIDED"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.time().to_string().into(),
            what(&self.event).into(),
            self.run.map_or_else(|| "-".to_owned(), |run| run.to_string()).into(),
            output.time(Some(self.at)).into(),
        ]
    }

    fn name(&self) -> String {
        self.run.map_or_else(String::new, |run| run.to_string())
    }
}

fn when(timing: &Timing) -> String {
    match timing {
        Timing::Cron { expression, zone } => format!("{expression} {zone}"),
        Timing::Every(span) => format!("every {span}"),
        Timing::At(at) => format!("at {at}"),
    }
}

fn what(event: &ScheduleEvent) -> String {
    match event {
        ScheduleEvent::Fired { cause: Cause::CaughtUp, .. } => "caught up".into(),
        ScheduleEvent::Fired { .. } => "fired".into(),
        ScheduleEvent::Triggered { by, .. } => format!("triggered by {by}"),
        ScheduleEvent::PassedOver { count, why, .. } => {
            let why = match why {
                PassedOver::Missed => "missed",
                PassedOver::Overlap => "skipped: a run of it was live",
                PassedOver::Refused => "refused: the workflow took no run",
                PassedOver::SwitchedOff => "switched off before it was decided",
                PassedOver::Retimed => "it got another timing before it was decided",
            };
            if *count == 1 { why.into() } else { format!("{count} times {why}") }
        }
        ScheduleEvent::Enabled { by, .. } => format!("switched on by {by}"),
        ScheduleEvent::Disabled { by, .. } => format!("switched off by {by}"),
        ScheduleEvent::Retimed { .. } => "new timing".into(),
    }
}

async fn show(session: &Session, args: &ScheduleArgs) -> Result<Exit, Error> {
    let reference = ScheduleReference::parse(&args.name, &session.namespace)?;
    let view: ScheduleView = session.client.ask(Call::get(reference.path("", &[]))).await?;
    session.output.one(&view, &view.name(), || sheet(&view, &session.output))?;
    session.output.hint(&format!("what became of its times: hortator schedule history {}", view.name()));
    Ok(Exit::Success)
}

fn sheet(view: &ScheduleView, output: &Output) -> String {
    let mut text = format!("{}\n", view.name());
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<10}{value}\n"));
    line("when", when(&view.timing));
    line("state", view.state.clone());
    if let Some(off) = &view.switched_off {
        line("", format!("switched off by {} {}", off.by, output.time(Some(off.since))));
    }
    line(
        "catch_up",
        match view.catch_up {
            CatchUp::None => "none".into(),
            CatchUp::Latest => "latest".into(),
            CatchUp::All { max } => format!("all, of the newest {max}"),
        },
    );
    let overlap = match view.overlap {
        Overlap::Queue => "queue",
        Overlap::Skip => "skip",
        Overlap::CancelOldest => "cancel_oldest",
        Overlap::Allow => "allow",
    };
    line("overlap", overlap.into());
    if let Some(next) = &view.next {
        line("next", next.wall.clone());
    }
    if let Some(last) = view.last {
        line("last", format!("{}: run {}", last.nominal, last.run));
    }
    text
}

async fn next(session: &Session, args: &ScheduleArgs, count: u32) -> Result<Exit, Error> {
    let reference = ScheduleReference::parse(&args.name, &session.namespace)?;
    let call = Call::get(reference.path("/next", &[("count", Some(count.to_string()))]));
    let page: Page<Upcoming> = session.client.ask(call).await?;
    session.output.list(&page.items)?;
    if page.items.is_empty() {
        session.output.hint("it has no time left");
    }
    Ok(Exit::Success)
}

async fn history(session: &Session, args: &ScheduleArgs, limit: u32) -> Result<Exit, Error> {
    let reference = ScheduleReference::parse(&args.name, &session.namespace)?;
    let call = Call::get(reference.path("/history", &[("limit", Some(limit.to_string()))]));
    let history: ScheduleHistory = session.client.ask(call).await?;
    session.output.list(&history.lines)?;
    if history.lines.is_empty() {
        session.output.hint("nothing has been decided yet");
    }
    Ok(Exit::Success)
}

async fn trigger(session: &Session, args: &ScheduleArgs) -> Result<Exit, Error> {
    let reference = ScheduleReference::parse(&args.name, &session.namespace)?;
    let key = format!("cli-{:032x}", rand::random::<u128>());
    let call = Call::post(reference.path("/trigger", &[]), Default::default()).header("Idempotency-Key", key);
    let started: StartedBody = session.client.ask(call).await?;
    let run = started.run.to_string();
    session.output.one(&started, &run, || format!("{run}\n"))?;
    session.output.hint(&format!("watch it: hortator run show {run} --wait"));
    Ok(Exit::Success)
}

async fn switch(session: &Session, args: &ScheduleArgs, word: &str) -> Result<Exit, Error> {
    let reference = ScheduleReference::parse(&args.name, &session.namespace)?;
    let call = Call::post(reference.path(&format!("/{word}"), &[]), Default::default());
    let body: ChangedBody = session.client.ask(call).await?;
    session.output.one(&body, &body.name, || match body.changed {
        true => format!("schedule {} is {word}d\n", body.name),
        false => format!("schedule {} was so already\n", body.name),
    })?;
    Ok(Exit::Success)
}

/// `hortator explain schedule NAME [--at TIME]`
pub async fn explain(session: &Session, name: &str, at: Option<String>) -> Result<Exit, Error> {
    let reference = ScheduleReference::parse(name, &session.namespace)?;
    let explained: ScheduleExplain =
        session.client.ask(Call::get(reference.path("/explain", &[("at", at)]))).await?;
    let name = explained.schedule.name();
    session.output.one(&explained, &name, || {
        let mut text = format!("{name}: {}\n", explained.answer);
        for reason in &explained.reasons {
            let _ = writeln!(text, "  {} {}   {}", reason.code(), reason.name(), reason.text());
        }
        for line in &explained.lines {
            let run = line.run.map_or_else(String::new, |run| format!("   run {run}"));
            let _ = writeln!(text, "  {}  {}{run}", line.time(), what(&line.event));
        }
        let _ = writeln!(text, "\nAt position {}.", explained.position);
        text
    })?;
    Ok(Exit::Success)
}
