//! One workflow in use: its versions, the turn of its runs, and the idempotency keys of their starts. A thin shell
//! around its decider; it writes a run's first row and starts its actor.

mod deletion;
mod reschedule;
mod schedule_mistakes;
mod schedules;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use hortator_core::definition::{Definition, Priority, canonical};
use hortator_core::event::{Event, Origin};
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::run::{RunHeader, RunPhase};
use hortator_core::workflow::{
    self, LiveRun, Place, StartKey, Started, Version, WorkflowCommand, WorkflowEvent, WorkflowRejection,
    WorkflowState,
};
use hortator_proto::api::{Problem, ProblemKind, Response};
use hortator_proto::row::{self, CHUNK_BYTES, VersionRow, WorkflowRow};
use hortator_raft::{Write, sometimes};
use serde_json::Value;
use slog::{error, info};

use crate::caught::{self, Decides, caught};
use crate::context::{self, Context};
use crate::definitions::DefinitionError;
use crate::gateway::{ReplyTo, no_leader};
use crate::mailbox::Mailbox;
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::run::{RunActor, Wished};
use crate::shard::board::{Move, Wish};
use crate::shard::context::ShardContext;
use crate::shard::effect::{Answer, Effect};

pub use deletion::{DeleteRuns, Remains, RetireIfIdle, Victim};
pub use schedules::{LookAtSchedule, SwitchSchedule, TriggerSchedule};

/// Starts of one workflow that wait to be looked at; above it clients are told to come back.
const MAILBOX: usize = 4_096;
/// Rows of keys and runs read at a time when the actor starts.
const PAGE: usize = 2_000;

/// A checked definition is to become the newest version.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplyVersion {
    pub source: String,
    pub canonical: String,
    pub hash: String,
    pub if_version: Option<u32>,
    pub by: String,
    pub reply: ReplyTo,
}

/// A run is to be started.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartRun {
    pub version: Option<u32>,
    pub inputs: BTreeMap<String, Value>,
    pub priority: Option<Priority>,
    pub key: Option<String>,
    pub by: String,
    pub reply: ReplyTo,
}

/// A run of the workflow has finished, or is live again: which and how, the board says.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RunsMoved;

/// The rebuild has started the actors of all live runs: give those their turn who have none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle;

/// See the module.
pub struct WorkflowActor {
    context: Rc<ShardContext>,
    state: WorkflowState,
    schedules: BTreeMap<Name, schedules::Planned>,
    /// The newest run that it knows: ids rise, whatever the clock does.
    newest_run: RunId,
    /// Live runs, for starts and turns.
    created_at: hortator_core::time::Timestamp,
    /// Since it was last asked to retire.
    in_use: bool,
}

impl WorkflowActor {
    /// The workflow's actor, from its rows when it has not been in use in this epoch.
    pub fn of(
        context: &Rc<ShardContext>,
        name: &WorkflowName,
    ) -> Result<Mailbox<WorkflowActor>, DefinitionError> {
        context.workflows_asked_for.set(context.workflows_asked_for.get() + 1);
        if let Some(mailbox) = context.workflows.borrow().get(name) {
            return Ok(mailbox.clone());
        }
        let (state, created_at) = restore(context, name)?;
        let schedules = schedules::restore(context, name)?;
        let newest_run = state.live().map(|(run, _)| run).last().unwrap_or(RunId(0));
        let actor = WorkflowActor {
            context: context.clone(),
            state,
            schedules,
            newest_run,
            created_at,
            in_use: true,
        };
        let mailbox = context::start(&context.meter, ActorName::Text(name.to_string().into()), actor);
        context.workflows.borrow_mut().insert(name.clone(), mailbox.clone());
        Ok(mailbox)
    }

    fn name(&self) -> &WorkflowName {
        &self.state.name
    }

    /// Decides and folds; what the events mean outside of the workflow's state is done by `carry_out`.
    fn decide(&mut self, command: &WorkflowCommand) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
        let decided =
            caught(|| Decides::Workflow(self.name().clone()), || workflow::decide(&self.state, command));
        let events = decided.unwrap_or_else(|why| {
            error!(self.context.log, "decision about a workflow failed"; "workflow" => %self.name(), "why" => &why);
            Err(WorkflowRejection::Failed { why })
        })?;
        for event in &events {
            self.state.apply(event);
        }
        Ok(events)
    }

    /// Turns and cancels for runs that have an actor.
    fn carry_out(&self, events: &[WorkflowEvent]) {
        for event in events {
            let (run, wish) = match event {
                WorkflowEvent::RunAdmitted { run } => (run, Wish::Begin),
                WorkflowEvent::RunDisplaced { run, why } => {
                    sometimes!("workflow: a run gives way to a newer one");
                    (run, Wish::GiveWay(*why))
                }
                _ => continue,
            };
            if let Some(actor) = self.context.runs.borrow().get(run) {
                self.context.board.wish(*run, wish);
                // Full means that it has messages to handle, and with each of them it looks at the board.
                let _ = actor.send(Wished);
            }
        }
    }

    /// What has become of its runs, before anything else is decided.
    fn follow_runs(&mut self) {
        for what in self.context.board.take_moves(&self.state.name) {
            let command = match what {
                Move::Left(run) => WorkflowCommand::RunFinished { run },
                Move::Returned { run, place } => WorkflowCommand::RetryRun { run, place },
            };
            if let Ok(events) = self.decide(&command) {
                self.carry_out(&events);
            }
        }
    }

    fn apply_version(&mut self, message: ApplyVersion) {
        let latest = self.state.latest.as_ref().map(|version| version.number);
        if let Some(expected) = message.if_version
            && Some(expected) != latest
        {
            let found = latest
                .map_or("it does not exist".to_string(), |number| format!("the newest is version {number}"));
            let detail = format!("workflow {} is not at version {expected}: {found}", self.name());
            let hint = format!("look at it, then apply again: hortator workflow show {}", self.name());
            return refuse(message.reply, Problem::new(ProblemKind::Conflict, "H2301", detail).hint(hint));
        }
        let definition = match canonical::from_json(message.canonical.as_bytes()) {
            Ok(definition) => Arc::new(definition),
            Err(error) => {
                let detail = format!("the definition of {} cannot be read: {error}", self.name());
                return refuse(message.reply, Problem::new(ProblemKind::Invalid, "H2302", detail));
            }
        };
        let command =
            WorkflowCommand::ApplyVersion { hash: message.hash.clone(), concurrency: definition.concurrency };
        let name = self.name().clone();
        match self.decide(&command) {
            Ok(events) => {
                let version = self.state.latest.as_ref().map_or(0, |version| version.number);
                let before = self.schedule_ids();
                let mut writes = self.version_writes(version, &definition, &message);
                writes.extend(self.reschedule(&definition, &message.by));
                self.context.definitions.put(&name, version, definition);
                info!(self.context.log, "version applied"; "workflow" => %name, "version" => version, "by" => message.by);
                let answer = Answer::Applied { name, version, changed: true };
                self.context.hand_in(writes, Vec::new(), vec![Effect::Reply { to: message.reply, answer }]);
                self.carry_out(&events);
                self.set_alarms(&before);
            }
            Err(WorkflowRejection::Unchanged { version }) => {
                let answer = Answer::Applied { name, version, changed: false };
                self.context.hand_in(
                    Vec::new(),
                    Vec::new(),
                    vec![Effect::Reply { to: message.reply, answer }],
                );
            }
            Err(rejection) => refuse(message.reply, rejected(&name, &rejection)),
        }
    }

    fn version_writes(&self, version: u32, definition: &Definition, message: &ApplyVersion) -> Vec<Write> {
        let name = self.name();
        let chunks = |text: &str| text.len().div_ceil(CHUNK_BYTES) as u32;
        let version_row = VersionRow {
            version,
            hash: message.hash.clone(),
            tasks: definition.tasks.len() as u32,
            applied_at: self.context.journal.now(),
            by: message.by.clone(),
            source_chunks: chunks(&message.source),
            canonical_chunks: chunks(&message.canonical),
        };
        let created_at = if version == 1 { version_row.applied_at } else { self.created_at };
        let workflow_row = WorkflowRow { name: name.clone(), latest: version, created_at };
        let put = |key: Bytes, value: Bytes| Write::Put { key, value };
        let mut writes = vec![
            put(row::key::workflow(name), workflow_row.encode()),
            put(row::key::version(name, version), version_row.encode()),
        ];
        let source = message.source.as_bytes().chunks(CHUNK_BYTES).enumerate();
        writes.extend(source.map(|(place, chunk)| {
            put(row::key::source_chunk(name, version, place as u32), Bytes::copy_from_slice(chunk))
        }));
        let canonical = message.canonical.as_bytes().chunks(CHUNK_BYTES).enumerate();
        writes.extend(canonical.map(|(place, chunk)| {
            put(row::key::canonical_chunk(name, version, place as u32), Bytes::copy_from_slice(chunk))
        }));
        writes
    }

    fn start(&mut self, message: StartRun) {
        let name = self.name().clone();
        let Some(latest) = self.state.latest.as_ref().map(|version| version.number) else {
            let detail = format!("workflow {name} does not exist");
            let hint = "apply it first: hortator workflow apply FILE";
            return refuse(message.reply, Problem::new(ProblemKind::NotFound, "H2201", detail).hint(hint));
        };
        let version = message.version.unwrap_or(latest);
        let definition = match self.context.definitions.get(&self.context.rows, &name, version) {
            Ok(definition) => definition,
            Err(error) => {
                return refuse(
                    message.reply,
                    Problem::new(ProblemKind::NotFound, "H2202", error.to_string()),
                );
            }
        };
        let inputs = match hortator_core::definition::inputs::resolve(&definition, &message.inputs) {
            Ok(inputs) => inputs,
            Err(errors) => {
                let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                return refuse(message.reply, Problem::new(ProblemKind::Invalid, "H2401", detail));
            }
        };
        let run = self.new_run_id();
        let key = message
            .key
            .as_ref()
            .map(|key| StartKey { key: key.clone(), request_hash: request_hash(&message) });
        let command = WorkflowCommand::StartRun { run, key, place: Place::Free };
        match self.decide(&command) {
            Ok(events) => {
                let header = RunHeader {
                    id: run,
                    workflow: name,
                    version,
                    inputs,
                    priority: message.priority.unwrap_or(definition.priority),
                    key: message.key,
                    by: message.by,
                    origin: Origin::Asked,
                    created_at: self.context.journal.now(),
                    round: 0,
                    phase: RunPhase::Queued,
                };
                sometimes!(
                    !events.iter().any(|event| matches!(event, WorkflowEvent::RunAdmitted { .. })),
                    "workflow: a run waits for its turn"
                );
                self.accept(header, definition, &events, message.reply);
                self.carry_out(&events);
            }
            Err(WorkflowRejection::SameKey { run }) => {
                sometimes!("workflow: a start came once more with its key");
                let answer = Answer::Started { run, existing: true };
                self.context.hand_in(
                    Vec::new(),
                    Vec::new(),
                    vec![Effect::Reply { to: message.reply, answer }],
                );
            }
            Err(rejection) => refuse(message.reply, rejected(&name, &rejection)),
        }
    }

    /// Writes the run's first rows and starts its actor.
    fn accept(
        &self,
        header: RunHeader,
        definition: Arc<Definition>,
        events: &[WorkflowEvent],
        reply: ReplyTo,
    ) {
        let run = header.id;
        let (writes, created) = self.first_rows(&header, events);
        info!(self.context.log, "run created"; "run" => %run, "workflow" => %header.workflow,
            "version" => header.version, "by" => &header.by);
        let answer = Answer::Started { run, existing: false };
        self.context.hand_in(writes, vec![(run, created)], vec![Effect::Reply { to: reply, answer }]);
        RunActor::start_new(&self.context, header, definition);
    }

    /// The rows with which a run begins, and the first event of its history.
    fn first_rows(&self, header: &RunHeader, events: &[WorkflowEvent]) -> (Vec<Write>, Event) {
        let run = header.id;
        let mut writes = vec![
            Write::Put { key: row::key::run(run), value: row::encode_run(header) },
            Write::Put { key: row::key::run_of_workflow(&header.workflow, run), value: Bytes::new() },
            Write::Put { key: row::key::live_run(run), value: Bytes::new() },
        ];
        if self.context.mutant.is(Mutant::ListsNoRun) {
            let listed = row::key::run_of_workflow(&header.workflow, run);
            writes.retain(|write| !matches!(write, Write::Put { key, .. } if *key == listed));
        }
        for event in events {
            match event {
                WorkflowEvent::RunAccepted { run, key: Some(key), .. } => writes.push(Write::Put {
                    key: row::key::start_key(&header.workflow, &key.key),
                    value: row::encode_start_key(&Started { run: *run, request_hash: key.request_hash }),
                }),
                WorkflowEvent::KeyForgotten { key } => {
                    writes.push(Write::Delete { key: row::key::start_key(&header.workflow, key) });
                }
                _ => {}
            }
        }
        let created = Event::RunCreated {
            workflow: header.workflow.clone(),
            version: header.version,
            inputs: header.inputs.clone(),
            priority: header.priority,
            by: header.by.clone(),
            key: header.key.clone(),
            origin: header.origin.clone(),
        };
        (writes, created)
    }

    /// Ids rise, so that runs of one turn, and those of a clock that went back, keep their order.
    fn new_run_id(&mut self) -> RunId {
        let random = (u128::from(self.context.random("run")) << 64) | u128::from(self.context.random("run"));
        let drawn = RunId::new(self.context.journal.now().millis(), self.context.shard, random);
        self.newest_run = drawn.max(RunId(self.newest_run.0 + 1));
        self.newest_run
    }
}

/// Reads a workflow's state from its rows.
fn restore(
    context: &ShardContext,
    name: &WorkflowName,
) -> Result<(WorkflowState, hortator_core::time::Timestamp), DefinitionError> {
    let damaged = |why: String| DefinitionError::Damaged { name: name.clone(), version: 0, why };
    let mut state = WorkflowState::new(name.clone());
    let Some(stored) = context.rows.get(&row::key::workflow(name))? else {
        return Ok((state, context.journal.now()));
    };
    let workflow = WorkflowRow::decode(&stored.value).map_err(|error| damaged(error.to_string()))?;
    let definition = context.definitions.get(&context.rows, name, workflow.latest)?;
    let stored = context.rows.get(&row::key::version(name, workflow.latest))?;
    let version = stored.ok_or_else(|| damaged("its newest version has no row".into()))?;
    let version = VersionRow::decode(&version.value).map_err(|error| damaged(error.to_string()))?;
    state.latest =
        Some(Version { number: workflow.latest, hash: version.hash, concurrency: definition.concurrency });
    if !context.mutant.is(Mutant::ForgetsKeys) {
        restore_keys(context, name, &mut state)?;
    }
    restore_runs(context, name, &mut state)?;
    Ok((state, workflow.created_at))
}

/// Keys are remembered oldest first; a run's id says when it was made.
fn restore_keys(
    context: &ShardContext,
    name: &WorkflowName,
    state: &mut WorkflowState,
) -> Result<(), DefinitionError> {
    let prefix = row::key::start_keys(name);
    let mut keys: Vec<(RunId, StartKey)> = Vec::new();
    for (key, stored) in context.rows.scan_prefix(&prefix, workflow::KEYS_MAX + 1)? {
        let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        match row::decode_start_key(&stored.value) {
            Ok(Started { run, request_hash }) => keys.push((run, StartKey { key: text, request_hash })),
            Err(error) => {
                error!(context.log, "key's row cannot be read"; "workflow" => %name, "error" => %error)
            }
        }
    }
    keys.sort_by_key(|(run, _)| *run);
    for (run, key) in keys {
        state.restore_key(&key, run);
    }
    Ok(())
}

fn restore_runs(
    context: &ShardContext,
    name: &WorkflowName,
    state: &mut WorkflowState,
) -> Result<(), DefinitionError> {
    let (mut from, to) = row::key::live_runs();
    loop {
        let page = context.rows.scan(&from, &to, PAGE, false)?;
        for (key, _) in &page {
            let Some(run) = row::key::parse_live_run(key) else { continue };
            let Some(stored) = context.rows.get(&row::key::run(run))? else { continue };
            match row::decode_run(&stored.value) {
                Ok(header) if header.workflow == *name => {
                    if context.mutant.is(Mutant::ForgetsTheQueue) && header.phase == RunPhase::Queued {
                        continue;
                    }
                    let place = match context.mutant.is(Mutant::ForgetsLanes) {
                        true => Place::Free,
                        false => Place::of(&header.origin),
                    };
                    state.restore_run(run, &header.phase, &place);
                }
                Ok(_) => {}
                Err(error) => error!(context.log, "run row cannot be read"; "run" => %run, "error" => %error),
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => {
                let mut next = key.to_vec();
                next.push(0);
                from = next.into();
            }
            _ => return Ok(()),
        }
    }
}

/// Of what a start asks for, so that a key is not taken for another start.
fn request_hash(message: &StartRun) -> u64 {
    let asked = serde_json::json!([message.version, message.inputs, message.priority]);
    hortator_core::id::fnv1a64(asked.to_string().as_bytes())
}

fn rejected(name: &WorkflowName, rejection: &WorkflowRejection) -> Problem {
    let detail = format!("workflow {name}: {rejection}");
    match rejection {
        WorkflowRejection::Full { holders, .. } => {
            let held: Vec<String> = holders.iter().map(RunId::to_string).collect();
            Problem::new(ProblemKind::Conflict, "H3101", format!("{detail}: {}", held.join(", ")))
                .hint("wait for one to end, or cancel one: hortator cancel RUN")
        }
        WorkflowRejection::Failed { .. } => Problem::new(ProblemKind::Internal, caught::CODE, detail),
        WorkflowRejection::TooManyRuns => Problem::new(ProblemKind::Busy, "H3102", detail),
        WorkflowRejection::NoVersion => Problem::new(ProblemKind::NotFound, "H2201", detail),
        WorkflowRejection::Unchanged { .. }
        | WorkflowRejection::SameKey { .. }
        | WorkflowRejection::KeyTaken { .. }
        | WorkflowRejection::AlreadyLive
        | WorkflowRejection::NotLive => Problem::new(ProblemKind::Conflict, "H3103", detail),
    }
}

fn refuse(reply: ReplyTo, problem: Problem) {
    reply.send(Response::Problem(problem));
}

impl std::fmt::Debug for WorkflowActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkflowActor({})", self.state.name)
    }
}

impl Actor for WorkflowActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<ApplyVersion> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, message: ApplyVersion, _: &mut Context<Self>) {
        self.in_use = true;
        self.follow_runs();
        match self.context.journal.is_open() {
            true => self.apply_version(message),
            false => message.reply.send(no_leader(self.context.shard)),
        }
    }
}

impl Handler<StartRun> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, message: StartRun, _: &mut Context<Self>) {
        self.in_use = true;
        self.follow_runs();
        match self.context.journal.is_open() {
            true => self.start(message),
            false => message.reply.send(no_leader(self.context.shard)),
        }
    }
}

impl Handler<RunsMoved> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, _: RunsMoved, _: &mut Context<Self>) {
        self.follow_runs();
    }
}

impl Handler<Settle> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, _: Settle, _: &mut Context<Self>) {
        self.follow_runs();
        if let Ok(events) = self.decide(&WorkflowCommand::Advance) {
            self.carry_out(&events);
        }
        // A run that has its turn but whose start was not committed is told again.
        for (run, live) in self.state.live().collect::<Vec<_>>() {
            if live == LiveRun::Running {
                self.carry_out(&[WorkflowEvent::RunAdmitted { run }]);
            }
        }
    }
}
