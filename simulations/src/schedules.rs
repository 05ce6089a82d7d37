//! What became of a workload's schedules: they are switched off when all is healed, and their times up to then are
//! evidence, spell by spell, each with its run or with the line that says why there is none. Must not judge any of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_core::event::{Event, Origin};
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::schedule::{Cause, Fire, Policy, ScheduleEvent, ScheduleLine, Turn};
use hortator_core::time::Timestamp;
use hortator_proto::api::{Command, Query, Request, Response, RunFilter, ScheduleSwitch, ScheduleView};
use tokio::time::{Instant, sleep};

use crate::census::ask;
use crate::evidence::{Decided, Fate, Ran, RunEvidence, ScheduleEvidence, Spell};
use crate::past::Past;
use crate::reckoning::Reckoning;
use crate::workload::{Flow, Workload};
use crate::world::World;

/// A healed cluster answers by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a new leader has looked at everything that is due, and trusts itself.
const SETTLES: Duration = Duration::from_secs(5);
const PAGE: u32 = 1_000;

/// The schedules, and since when each is off: none when nobody said so.
pub(crate) type Looked = BTreeMap<(WorkflowName, Name), Option<Timestamp>>;

/// Lets all schedules come to rest, and cancels what they still have going: a workload ends when its clients do.
pub(crate) async fn quiet(world: &Rc<World>, workload: &Workload) -> Looked {
    let mut looked = Looked::new();
    for flow in workload.flows() {
        for schedule in &flow.definition.schedules {
            looked.insert((flow.definition.name.clone(), schedule.id.clone()), None);
        }
    }
    if looked.is_empty() {
        return looked;
    }
    for (workflow, schedule) in looked.keys() {
        let _ = view(world, workflow, schedule).await;
    }
    sleep(SETTLES).await;
    for ((workflow, schedule), until) in &mut looked {
        let (workflow, schedule) = (workflow.clone(), schedule.clone());
        let off = Command::ScheduleSwitch {
            workflow: workflow.clone(),
            schedule: schedule.clone(),
            to: ScheduleSwitch::Off,
            by: "the end".into(),
        };
        if insist(world, off).await.is_some()
            && let Some(view) = view(world, &workflow, &schedule).await
        {
            *until = view.switched_off.map(|off| off.since);
        }
    }
    cancel_theirs(world, workload).await;
    looked
}

async fn cancel_theirs(world: &World, workload: &Workload) {
    let scheduled = workload.flows().iter().filter(|flow| !flow.definition.schedules.is_empty());
    for flow in scheduled {
        let states = vec!["queued".to_owned(), "running".to_owned()];
        let workflow = Some(flow.definition.name.clone());
        let filter = RunFilter { states, workflow, ..RunFilter::default() };
        let query = Query::Runs { filter, before: None, limit: PAGE };
        let Some(Response::Runs(views)) = ask(world, &query, PATIENCE).await else { continue };
        for view in views.into_iter().filter(|view| view.by.starts_with("schedule ")) {
            let _ = insist(world, Command::Cancel { run: view.id, reason: None, by: "the end".into() }).await;
        }
    }
}

async fn view(world: &World, workflow: &WorkflowName, schedule: &Name) -> Option<ScheduleView> {
    let query = Query::Schedule { workflow: workflow.clone(), schedule: schedule.clone() };
    match ask(world, &query, PATIENCE).await {
        Some(Response::Schedule(view)) => Some(*view),
        _ => None,
    }
}

/// Until somebody answers.
pub(crate) async fn insist(world: &World, command: Command) -> Option<Response> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        for id in world.master_ids() {
            let Some(gateway) = world.gateway(id) else { continue };
            match gateway.request(Request::Command(command.clone())).await {
                Response::Problem(problem) if problem.code == "H1102" || problem.code == "H1104" => {}
                response => return Some(response),
            }
        }
        sleep(Duration::from_millis(250)).await;
    }
    None
}

/// What was decided about them. The runs speak for themselves; lines only tell what has none.
pub(crate) async fn gather(
    world: &World,
    flows: &[Flow],
    looked: Looked,
    runs: &BTreeMap<RunId, RunEvidence>,
    past: &Past,
) -> Result<Vec<ScheduleEvidence>, String> {
    let mut all = Vec::new();
    for ((workflow, schedule), until) in looked {
        let name = format!("{workflow}/{schedule}");
        let Some(view) = view(world, &workflow, &schedule).await else {
            // Its workflow was never applied, since no client came through.
            continue;
        };
        let Some(until) = until else { return Err(format!("nobody switched {name} off")) };
        let source = flows.iter().find(|flow| flow.definition.name == workflow).map(|flow| &flow.source);
        let reckoning = Reckoning::read(source.map_or("", |source| source), schedule.as_str());
        let reckoning = reckoning.map_err(|why| format!("{name}: {why}"))?;
        let defined_at = first_applied(world, &workflow).await;
        let defined_at = defined_at.ok_or_else(|| format!("nobody says when {workflow} was applied"))?;
        let mut lines = lines(world, &workflow, &schedule).await.ok_or(format!("nobody tells of {name}"))?;
        lines.sort_by_key(|line| (line.generation, line.at));
        let fired: Vec<Fired> =
            runs.iter().filter_map(|(id, run)| fired(*id, run, &workflow, &schedule)).collect();
        let asked = fired.iter().filter(|fired| fired.is_triggered() && fired.fire.turn != Turn::Free);
        let triggered = asked.map(|fired| fired.ran).collect();
        let generation = view.generation;
        let mut spells = spells(generation, defined_at, until, &lines, &fired, &reckoning);
        spells.retain(|generation, _| !past.has_judged(&name, *generation));
        let spells = spells.into_values().chain(again(&name, until, &fired, past)).collect();
        let policy = Policy { catch_up: view.catch_up, overlap: view.overlap };
        all.push(ScheduleEvidence { name, reckoning, policy, generation, spells, triggered });
    }
    Ok(all)
}

/// Runs of spells that were judged before, which nobody has seen then: no time was left for them.
fn again(name: &str, until: Timestamp, fired: &[Fired], past: &Past) -> Option<Spell> {
    let late = fired.iter().filter(|fired| past.has_judged(name, fired.fire.generation));
    let new = late.filter(|fired| !fired.is_triggered() && !past.knows(fired.ran.run));
    let decided: Vec<Decided> = new.map(Fired::decided).collect();
    (!decided.is_empty()).then_some(Spell { since: until, until, decided })
}

/// Lets all schedules go on, after they have been judged. The first that nobody switches on.
pub(crate) async fn rouse(world: &Rc<World>, workload: &Workload) -> Result<(), String> {
    for flow in workload.flows() {
        for schedule in &flow.definition.schedules {
            let (workflow, schedule) = (flow.definition.name.clone(), schedule.id.clone());
            let (to, name) = (ScheduleSwitch::On, format!("{workflow}/{schedule}"));
            let on = Command::ScheduleSwitch { workflow, schedule, to, by: "the next segment".into() };
            insist(world, on).await.ok_or(format!("nobody switched {name} on"))?;
        }
    }
    Ok(())
}

/// When the schedules of the workflow began.
async fn first_applied(world: &World, workflow: &WorkflowName) -> Option<Timestamp> {
    let query = Query::Workflow { name: workflow.clone(), version: Some(1) };
    match ask(world, &query, PATIENCE).await {
        Some(Response::Workflow(detail)) => Some(detail.view.applied_at),
        _ => None,
    }
}

/// A spell is what the cluster calls a generation: each switching on begins one.
fn spells(
    newest: u32,
    defined_at: Timestamp,
    until: Timestamp,
    lines: &[ScheduleLine],
    fired: &[Fired],
    reckoning: &Reckoning,
) -> BTreeMap<u32, Spell> {
    let begun = lines.iter().filter(|line| matches!(line.event, ScheduleEvent::Enabled { .. }));
    let begun: BTreeMap<u32, Timestamp> = begun.map(|line| (line.generation, line.at)).collect();
    let first = begun.keys().next().map_or(newest, |enabled| enabled - 1);
    let begins = std::iter::once((first, defined_at)).chain(begun);
    let spell = |(generation, since)| {
        let ends = lines.iter().filter(|line| line.generation == generation);
        let off = ends.clone().find_map(|line| match line.event {
            ScheduleEvent::Disabled { at, .. } => Some(at),
            _ => None,
        });
        let until = off.unwrap_or(until);
        let due = fired.iter().filter(|fired| fired.fire.generation == generation && !fired.is_triggered());
        let mut decided: Vec<Decided> = due.map(Fired::decided).collect();
        decided.extend(ends.flat_map(|line| passed_over(line, reckoning)));
        // A leader whose clock was ahead has decided what nobody else would have yet.
        decided.retain(|decided| decided.nominal <= until);
        decided.sort_by_key(|decided| (decided.at, decided.nominal));
        (generation, Spell { since, until, decided })
    };
    begins.map(spell).collect()
}

/// A run that a schedule made.
struct Fired {
    fire: Fire,
    at: Timestamp,
    ran: Ran,
}

impl Fired {
    /// Whether somebody asked for it, beside the times.
    fn is_triggered(&self) -> bool {
        matches!(self.fire.cause, Cause::Triggered { .. })
    }

    fn decided(&self) -> Decided {
        Decided { nominal: self.fire.nominal, at: self.at, fate: Fate::Fired(self.ran) }
    }
}

/// If the run is one of the schedule.
fn fired(run: RunId, told: &RunEvidence, workflow: &WorkflowName, schedule: &Name) -> Option<Fired> {
    let mut fire: Option<(Timestamp, Fire)> = None;
    let mut ran = Ran { run, started_at: None, ended_at: None };
    let entries = told.history.iter();
    for (position, entry, event) in
        entries.flat_map(|(position, entry)| entry.events.iter().map(move |event| (position, entry, event)))
    {
        match event {
            Event::RunCreated { workflow: of, origin: Origin::Schedule(one), .. } if of == workflow => {
                fire = Some((entry.at, one.clone()));
            }
            // Stamps of two leaders may fall; the order of the log is that of time.
            Event::RunStarted => ran.started_at = Some(Timestamp(position.index as i64)),
            Event::RunFinished { .. } => ran.ended_at = Some(Timestamp(position.index as i64)),
            _ => {}
        }
    }
    let (at, fire) = fire.filter(|(_, fire)| fire.schedule == *schedule)?;
    Some(Fired { fire, at, ran })
}

fn passed_over(line: &ScheduleLine, reckoning: &Reckoning) -> Vec<Decided> {
    let ScheduleEvent::PassedOver { first, last, why, .. } = line.event else { return Vec::new() };
    let just_before = Timestamp(first.0 - 1);
    let times = reckoning.due(just_before, last);
    times.into_iter().map(|nominal| Decided { nominal, at: line.at, fate: Fate::PassedOver(why) }).collect()
}

async fn lines(world: &World, workflow: &WorkflowName, schedule: &Name) -> Option<Vec<ScheduleLine>> {
    let (mut lines, mut before) = (Vec::new(), None);
    loop {
        let (workflow, schedule) = (workflow.clone(), schedule.clone());
        let query = Query::ScheduleHistory { workflow, schedule, before, limit: PAGE };
        let Some(Response::ScheduleHistory(page)) = ask(world, &query, PATIENCE).await else { return None };
        lines.extend(page.lines);
        before = page.next;
        if before.is_none() {
            return Some(lines);
        }
    }
}
