//! The schedules of a workflow: what becomes of each time that has come, in one entry with the run that it makes and the
//! next time. So whoever leads next finds it decided, and nobody decides it twice. It must not know any timer.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use hortator_core::definition::{Definition, inputs};
use hortator_core::event::{Event, Origin};
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::run::{RunHeader, RunPhase};
use hortator_core::schedule::{
    self, Cause, Fire, LastFire, Overlap, PassedOver, ScheduleCommand, ScheduleEvent, ScheduleLine,
    ScheduleRecord, Situation, Start, Times, Trust, Turn,
};
use hortator_core::time::{Span, Timestamp};
use hortator_core::workflow::{Place, StartKey, WorkflowCommand, WorkflowEvent, WorkflowRejection};
use hortator_proto::api::{Problem, ProblemKind, Response, ScheduleSwitch};
use hortator_proto::row;
use hortator_raft::{Write, always, sometimes};
use slog::{error, info};

use super::schedule_mistakes::mistaken;
use super::{WorkflowActor, refuse, rejected};
use crate::caught::{Decides, caught};
use crate::context::Context;
use crate::definitions::DefinitionError;
use crate::gateway::{ReplyTo, no_leader};
use crate::run::RunActor;
use crate::schedule::AlarmsChanged;
use crate::shard::context::ShardContext;
use crate::shard::effect::{Answer, Effect, ScheduleCount};

/// Lines of one schedule that are kept: a week of one a minute.
const LINES_KEPT: u64 = 10_000;
/// As fine as timers are.
const GRAIN: Span = Span::from_millis(1);
/// After so many new lines the oldest go.
const LINES_TRIMMED_EVERY: u64 = 500;

/// It may be time for a schedule.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LookAtSchedule {
    pub schedule: Name,
    pub trust: Trust,
}

/// Somebody wants a run of a schedule now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TriggerSchedule {
    pub schedule: Name,
    pub key: Option<String>,
    pub by: String,
    pub reply: ReplyTo,
}

/// Somebody switches a schedule.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SwitchSchedule {
    pub schedule: Name,
    pub to: ScheduleSwitch,
    pub by: String,
    pub reply: ReplyTo,
}

/// A schedule in use.
pub(super) struct Planned {
    pub(super) record: ScheduleRecord,
    pub(super) times: Times,
}

/// What one turn about a schedule does, until all of it is handed in together.
#[derive(Default)]
pub(super) struct Fires {
    pub(super) writes: Vec<Write>,
    history: Vec<(RunId, Event)>,
    effects: Vec<Effect>,
    made: Vec<(RunHeader, Arc<Definition>)>,
    follows: Vec<WorkflowEvent>,
}

/// Why a fire makes no run.
enum NoRun {
    Rejected(WorkflowRejection),
    /// The key has made this one already.
    Existing(RunId),
    Problem(Problem),
}

/// Reads a workflow's schedules from its rows. One whose zone this program does not know stays as it is.
pub(super) fn restore(
    context: &ShardContext,
    name: &WorkflowName,
) -> Result<BTreeMap<Name, Planned>, DefinitionError> {
    let mut planned = BTreeMap::new();
    let prefix = row::key::schedules_of(name);
    for (_, stored) in context.rows.scan_prefix(&prefix, hortator_core::definition::SCHEDULES_MAX + 1)? {
        let read = row::decode_schedule(&stored.value).map_err(|error| error.to_string());
        let made = read.and_then(|record| {
            let times = Times::new(&record.timing).map_err(|error| error.to_string())?;
            Ok((record.schedule.clone(), mistaken(context, Planned { record, times })))
        });
        match made {
            Ok((schedule, one)) => drop(planned.insert(schedule, one)),
            Err(error) => {
                error!(context.log, "schedule cannot be used"; "workflow" => %name, "error" => error)
            }
        }
    }
    Ok(planned)
}

impl WorkflowActor {
    /// Decides a command about one schedule, and makes the runs that follow. None when there is no such schedule.
    fn about_schedule(&mut self, id: &Name, command: &ScheduleCommand, trust: Trust) -> Option<()> {
        let events = self.decide_schedule(id, command, trust)?;
        if events.is_empty() {
            // What is due and may not be decided yet waits for the alarm that is set already.
            match self.wake_at(id) {
                Some(at) if at <= self.context.journal.now() => {}
                // Due, but not by the stamp of the entry that is open: that one goes out first.
                Some(at) if at <= self.context.journal.time() => {
                    self.alarm(id, Some(self.context.journal.time().plus(GRAIN)));
                }
                _ => self.set_alarm(id),
            }
            return Some(());
        }
        let mut fires = Fires::default();
        for event in events {
            self.enact(id, event, &mut fires);
        }
        self.hand_in_fires(id, fires);
        self.set_alarm(id);
        Some(())
    }

    pub(super) fn decide_schedule(
        &self,
        id: &Name,
        command: &ScheduleCommand,
        trust: Trust,
    ) -> Option<Vec<ScheduleEvent>> {
        let Planned { record, times } = self.schedules.get(id)?;
        let live = u32::try_from(self.state.live_of_schedule(id)).unwrap_or(u32::MAX);
        let situation = Situation { times, policy: record.policy, live, trust };
        let now = self.context.journal.now();
        let decided = caught(
            || Decides::Workflow(self.name().clone()),
            || schedule::decide(&record.state, command, &situation, now),
        );
        Some(decided.unwrap_or_else(|why| {
            error!(self.context.log, "decision about a schedule failed"; "workflow" => %self.name(),
                "schedule" => %id, "why" => why);
            Vec::new()
        }))
    }

    /// One event: the run that it makes, its line, and the schedule's new state. A time whose run is refused is passed
    /// over, with that as the reason.
    fn enact(&mut self, id: &Name, event: ScheduleEvent, fires: &mut Fires) {
        let asked = match &event {
            ScheduleEvent::Fired { nominal, cause, start, next } => {
                sometimes!(
                    *nominal < self.context.journal.began_at(),
                    "schedule: a new leader decides what was due before it led"
                );
                always!(next.is_none_or(|next| next > *nominal), "schedule: its times rise");
                sometimes!(
                    self.turns_clocks(id, *nominal, *next),
                    "schedule: clocks are turned before the next time"
                );
                Some((*nominal, cause.clone(), *start))
            }
            _ => None,
        };
        let (event, run) = match asked {
            None => (event, None),
            Some((nominal, ..)) if self.skips(id, nominal) => {
                let Some(Planned { record, .. }) = self.schedules.get_mut(id) else { return };
                return record.state.apply(&event);
            }
            Some((nominal, cause, start)) => match self.make_run(id, nominal, cause, start, None, fires) {
                Ok(run) => (event, Some(run)),
                Err(why) => {
                    info!(self.context.log, "no run for a schedule's time"; "workflow" => %self.name(),
                        "schedule" => %id, "nominal" => %nominal, "why" => why.words());
                    (refused(event), None)
                }
            },
        };
        self.write_line(id, event, run, fires);
    }

    fn turns_clocks(&self, id: &Name, from: Timestamp, next: Option<Timestamp>) -> bool {
        let Some((Planned { times, .. }, next)) = self.schedules.get(id).zip(next) else { return false };
        times.offset(from) != times.offset(next)
    }

    pub(super) fn write_line(
        &mut self,
        id: &Name,
        event: ScheduleEvent,
        run: Option<RunId>,
        fires: &mut Fires,
    ) {
        let at = self.context.journal.now();
        let name = self.state.name.clone();
        let Some(Planned { record, .. }) = self.schedules.get_mut(id) else { return };
        record.state.apply(&event);
        let begins = matches!(event, ScheduleEvent::Enabled { .. } | ScheduleEvent::Retimed { .. });
        if begins {
            record.since = at;
        }
        let line = ScheduleLine { at, generation: record.state.generation, event, run };
        if let Some(run) = run {
            record.last = Some(LastFire { nominal: line.time(), at, run });
        }
        record.lines += 1;
        let key = row::key::schedule_line(&name, id, &line);
        fires.writes.push(Write::Put { key, value: row::encode_schedule_line(&line) });
        if let Some(count) = count(&name, &line) {
            fires.effects.push(Effect::CountSchedule(count));
        }
    }

    /// Queues a run of the newest version for the schedule.
    fn make_run(
        &mut self,
        id: &Name,
        nominal: Timestamp,
        cause: Cause,
        start: Start,
        key: Option<String>,
        fires: &mut Fires,
    ) -> Result<RunId, NoRun> {
        let (version, definition) = self.newest()?;
        let given = definition.schedule(id).map(|schedule| schedule.inputs.clone()).unwrap_or_default();
        let inputs = inputs::resolve(&definition, &given).map_err(|errors| {
            let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            NoRun::Problem(Problem::new(ProblemKind::Invalid, "H2401", detail))
        })?;
        let run = self.new_run_id();
        let fire = self.fire(id, nominal, cause, start).ok_or_else(|| NoRun::Problem(self.unknown(id)))?;
        let origin = Origin::Schedule(fire);
        let asked = hortator_core::id::fnv1a64(format!("schedule {id}").as_bytes());
        let start_key = key.as_ref().map(|key| StartKey { key: key.clone(), request_hash: asked });
        let command = WorkflowCommand::StartRun { run, key: start_key, place: Place::of(&origin) };
        let events = self.decide(&command).map_err(|rejection| match rejection {
            WorkflowRejection::SameKey { run } => NoRun::Existing(run),
            other => NoRun::Rejected(other),
        })?;
        let header = RunHeader {
            id: run,
            workflow: self.name().clone(),
            version,
            inputs,
            priority: definition.priority,
            key,
            by: format!("schedule {id}"),
            origin,
            created_at: self.context.journal.now(),
            round: 0,
            phase: RunPhase::Queued,
        };
        let (writes, created) = self.first_rows(&header, &events);
        fires.writes.extend(writes);
        fires.history.push((run, created));
        fires.made.push((header, definition));
        fires.follows.extend(events);
        Ok(run)
    }

    fn newest(&self) -> Result<(u32, Arc<Definition>), NoRun> {
        let rejected = || NoRun::Rejected(WorkflowRejection::NoVersion);
        let version = self.state.latest.as_ref().map(|version| version.number).ok_or_else(rejected)?;
        let found = self.context.definitions.get(&self.context.rows, self.name(), version);
        let definition = found.map_err(|error| {
            NoRun::Problem(Problem::new(ProblemKind::Internal, "H9002", error.to_string()))
        })?;
        Ok((version, definition))
    }

    fn fire(&self, id: &Name, nominal: Timestamp, cause: Cause, start: Start) -> Option<Fire> {
        let record = &self.schedules.get(id)?.record;
        let triggered = matches!(cause, Cause::Triggered { .. });
        let turn = match (record.policy.overlap, start) {
            (Overlap::Allow, _) => Turn::Free,
            (Overlap::Skip, _) if triggered => Turn::Free,
            (_, Start::InPlaceOfTheOldest) => Turn::InPlaceOfTheOldest,
            (_, Start::AtOnce | Start::BehindTheOthers) => Turn::OneAtATime,
        };
        Some(Fire { schedule: id.clone(), generation: record.state.generation, nominal, cause, turn })
    }

    /// Everything of the turn in one entry; then the runs get their actors.
    fn hand_in_fires(&mut self, id: &Name, mut fires: Fires) {
        if let Some(Planned { record, .. }) = self.schedules.get(id) {
            let key = row::key::schedule(&record.workflow, id);
            fires.writes.push(Write::Put { key, value: row::encode_schedule(record) });
            fires.writes.extend(self.trim(record));
        }
        for (header, _) in &fires.made {
            info!(self.context.log, "run created"; "run" => %header.id, "workflow" => %header.workflow,
                "version" => header.version, "by" => &header.by);
        }
        self.context.hand_in(fires.writes, fires.history, fires.effects);
        for (header, definition) in fires.made {
            RunActor::start_new(&self.context, header, definition);
        }
        self.carry_out(&fires.follows);
    }

    /// The oldest lines go, now and then.
    fn trim(&self, record: &ScheduleRecord) -> Option<Write> {
        if record.lines <= LINES_KEPT || !record.lines.is_multiple_of(LINES_TRIMMED_EVERY) {
            return None;
        }
        let prefix = row::key::schedule_lines(&record.workflow, &record.schedule);
        let (from, to) = row::key::range(&prefix);
        let kept = self.context.rows.scan(&from, &to, LINES_KEPT as usize, true).ok()?;
        let (oldest_kept, _) = kept.last()?;
        Some(Write::DeleteRange { from, to: oldest_kept.clone() })
    }

    fn wake_at(&self, id: &Name) -> Option<Timestamp> {
        self.schedules.get(id)?.record.state.wake_at()
    }

    fn set_alarm(&self, id: &Name) {
        self.alarm(id, self.wake_at(id));
    }

    fn alarm(&self, id: &Name, at: Option<Timestamp>) {
        let earlier = {
            let mut alarms = self.context.alarms.borrow_mut();
            let before = alarms.first();
            alarms.set(self.name(), id, at);
            alarms.first() < before || before.is_none()
        };
        if earlier && let Some(actor) = self.context.schedule_actor.borrow().as_ref() {
            // A full mailbox has such a message already.
            let _ = actor.send(AlarmsChanged);
        }
    }

    /// Alarms of all its schedules, and none of those that it has no more.
    pub(super) fn set_alarms(&self, before: &[Name]) {
        for id in before.iter().chain(self.schedules.keys()) {
            self.set_alarm(id);
        }
    }

    pub(super) fn schedule_ids(&self) -> Vec<Name> {
        self.schedules.keys().cloned().collect()
    }

    fn trigger(&mut self, TriggerSchedule { schedule: id, key, by, reply }: TriggerSchedule) {
        let command = ScheduleCommand::Trigger { by };
        let Some(events) = self.decide_schedule(&id, &command, Trust::Steady) else {
            return refuse(reply, self.unknown(&id));
        };
        let mut fires = Fires::default();
        for event in events {
            let ScheduleEvent::Triggered { at, by, start } = &event else { continue };
            let cause = Cause::Triggered { by: by.clone() };
            match self.make_run(&id, *at, cause, *start, key.clone(), &mut fires) {
                Ok(run) => {
                    let answer = Answer::Started { run, existing: false };
                    self.write_line(&id, event.clone(), Some(run), &mut fires);
                    fires.effects.push(Effect::Reply { to: reply, answer });
                    return self.hand_in_fires(&id, fires);
                }
                Err(NoRun::Existing(run)) => {
                    let answer = Answer::Started { run, existing: true };
                    return self.context.hand_in(
                        Vec::new(),
                        Vec::new(),
                        vec![Effect::Reply { to: reply, answer }],
                    );
                }
                Err(NoRun::Rejected(rejection)) => return refuse(reply, rejected(self.name(), &rejection)),
                Err(NoRun::Problem(problem)) => return refuse(reply, problem),
            }
        }
        let detail = format!("the decision about {}/{id} came to nothing", self.name());
        refuse(reply, Problem::new(ProblemKind::Internal, crate::caught::CODE, detail));
    }

    fn switch(&mut self, SwitchSchedule { schedule: id, to, by, reply }: SwitchSchedule) {
        let command = match to {
            ScheduleSwitch::On => ScheduleCommand::Enable { by },
            ScheduleSwitch::Off => ScheduleCommand::Disable { by },
        };
        let Some(events) = self.decide_schedule(&id, &command, Trust::Steady) else {
            return refuse(reply, self.unknown(&id));
        };
        let name = format!("{}/{id}", self.name());
        let answer = Answer::Complete(Response::Changed { name, changed: !events.is_empty() });
        let effect = Effect::Reply { to: reply, answer };
        if events.is_empty() {
            return self.context.hand_in(Vec::new(), Vec::new(), vec![effect]);
        }
        let mut fires = Fires::default();
        for event in events {
            self.write_line(&id, event, None, &mut fires);
        }
        fires.effects.push(effect);
        self.hand_in_fires(&id, fires);
        self.set_alarm(&id);
    }

    fn unknown(&self, id: &Name) -> Problem {
        let detail = format!("workflow {} has no schedule {id}", self.name());
        Problem::new(ProblemKind::NotFound, "H2203", detail).hint("those there are: hortator schedule list")
    }
}

impl NoRun {
    fn words(&self) -> String {
        match self {
            NoRun::Rejected(rejection) => rejection.to_string(),
            NoRun::Existing(run) => format!("run {run} has its key"),
            NoRun::Problem(problem) => problem.detail.clone(),
        }
    }
}

/// The time has no run, whatever was decided before the workflow was asked.
fn refused(event: ScheduleEvent) -> ScheduleEvent {
    match event {
        ScheduleEvent::Fired { nominal, next, .. } => ScheduleEvent::PassedOver {
            first: nominal,
            last: nominal,
            count: 1,
            why: PassedOver::Refused,
            next,
        },
        other => other,
    }
}

/// What a line adds to the metrics.
fn count(workflow: &WorkflowName, line: &ScheduleLine) -> Option<ScheduleCount> {
    let namespace = workflow.namespace.clone();
    match &line.event {
        ScheduleEvent::Fired { nominal, cause, .. } => {
            let cause = if *cause == Cause::Due { "due" } else { "caught_up" };
            let delay = line.at.since(*nominal);
            Some(ScheduleCount::Fired { namespace, cause, delay })
        }
        ScheduleEvent::Triggered { .. } => {
            Some(ScheduleCount::Fired { namespace, cause: "triggered", delay: Span(0) })
        }
        ScheduleEvent::PassedOver { count, why, .. } => {
            let cause = match why {
                PassedOver::Missed => "missed",
                PassedOver::Overlap => "overlap",
                PassedOver::Refused => "refused",
                PassedOver::SwitchedOff => "switched_off",
                PassedOver::Retimed => "retimed",
            };
            Some(ScheduleCount::Missed { namespace, cause, times: u64::from(*count) })
        }
        ScheduleEvent::Enabled { .. } | ScheduleEvent::Disabled { .. } | ScheduleEvent::Retimed { .. } => {
            None
        }
    }
}

impl Handler<LookAtSchedule> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, LookAtSchedule { schedule, trust }: LookAtSchedule, _: &mut Context<Self>) {
        self.in_use = true;
        self.follow_runs();
        if self.context.journal.is_open()
            && self.about_schedule(&schedule, &ScheduleCommand::Look, trust).is_none()
        {
            self.context.alarms.borrow_mut().set(self.name(), &schedule, None);
        }
    }
}

impl Handler<TriggerSchedule> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, message: TriggerSchedule, _: &mut Context<Self>) {
        self.in_use = true;
        self.follow_runs();
        match self.context.journal.is_open() {
            true => self.trigger(message),
            false => message.reply.send(no_leader(self.context.shard)),
        }
    }
}

impl Handler<SwitchSchedule> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, message: SwitchSchedule, _: &mut Context<Self>) {
        self.in_use = true;
        self.follow_runs();
        match self.context.journal.is_open() {
            true => self.switch(message),
            false => message.reply.send(no_leader(self.context.shard)),
        }
    }
}
