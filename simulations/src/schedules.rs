//! What became of a workload's schedules: they are switched off when all is healed, and their times up to then are
//! evidence, each with its run or with the line that says why there is none. Must not judge any of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_core::event::{Event, Origin};
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::schedule::{Cause, Fire, Policy, ScheduleEvent, ScheduleLine, Times};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Query, Request, Response, RunFilter, ScheduleSwitch, ScheduleView};
use tokio::time::{Instant, sleep};

use crate::census::ask;
use crate::evidence::{Decided, Fate, RunEvidence, ScheduleEvidence};
use crate::past::Past;
use crate::workload::Workload;
use crate::world::World;

/// A healed cluster answers by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a new leader has looked at everything that is due, and trusts itself.
const SETTLES: Duration = Duration::from_secs(5);
/// Times so short before the switching off need not be decided: they may have come together.
const JUST_BEFORE: Span = Span::from_secs(2);
const PAGE: u32 = 1_000;

/// The schedules, and up to when each was looked at: none when nobody said so.
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
            *until = view.switched_off.map(|off| Timestamp(off.since.0 - JUST_BEFORE.0 as i64));
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
async fn insist(world: &World, command: Command) -> Option<Response> {
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
        let Some(looked_until) = until else { return Err(format!("nobody switched {name} off")) };
        let times = Times::new(&view.timing).map_err(|error| format!("{name}: {error}"))?;
        let mut decided: Vec<Decided> =
            runs.iter().filter_map(|(id, run)| fired(*id, run, &workflow, &schedule)).collect();
        let lines = lines(world, &workflow, &schedule).await.ok_or(format!("nobody tells of {name}"))?;
        decided.extend(lines.iter().flat_map(|line| passed_over(line, &times)));
        let (timing, defined_at) = (view.timing, view.since);
        decided.retain(|decided| {
            decided.nominal <= looked_until && (decided.nominal > defined_at || is_new(decided, past))
        });
        decided.sort_by_key(|decided| (decided.at, decided.nominal));
        let policy = Policy { catch_up: view.catch_up, overlap: view.overlap };
        all.push(ScheduleEvidence { name, timing, policy, defined_at, looked_until, decided });
    }
    Ok(all)
}

/// Of times before the schedule was last switched on only what nobody has seen when they were judged: a time that fires again.
fn is_new(decided: &Decided, past: &Past) -> bool {
    matches!(decided.fate, Fate::Fired { run, .. } if !past.knows(run))
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

/// If the run is one of the schedule, made for one of its times.
fn fired(id: RunId, run: &RunEvidence, workflow: &WorkflowName, schedule: &Name) -> Option<Decided> {
    let mut fire: Option<(Timestamp, Fire)> = None;
    let (mut started_at, mut ended_at) = (None, None);
    let entries = run.history.iter();
    for (position, entry, event) in
        entries.flat_map(|(position, entry)| entry.events.iter().map(move |event| (position, entry, event)))
    {
        match event {
            Event::RunCreated { workflow: of, origin: Origin::Schedule(one), .. } if of == workflow => {
                fire = Some((entry.at, one.clone()));
            }
            // Stamps of two leaders may fall; the order of the log is that of time.
            Event::RunStarted => started_at = Some(Timestamp(position.index as i64)),
            Event::RunFinished { .. } => ended_at = Some(Timestamp(position.index as i64)),
            _ => {}
        }
    }
    let (at, fire) = fire.filter(|(_, fire)| fire.schedule == *schedule)?;
    let counts = !matches!(fire.cause, Cause::Triggered { .. });
    counts.then_some(Decided {
        nominal: fire.nominal,
        at,
        fate: Fate::Fired { run: id, started_at, ended_at },
    })
}

fn passed_over(line: &ScheduleLine, times: &Times) -> Vec<Decided> {
    let ScheduleEvent::PassedOver { first, last, why, .. } = line.event else { return Vec::new() };
    let (mut decided, mut next) = (Vec::new(), Some(first));
    while let Some(nominal) = next.filter(|nominal| *nominal <= last) {
        decided.push(Decided { nominal, at: line.at, fate: Fate::PassedOver(why) });
        next = times.after(nominal);
    }
    decided
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
