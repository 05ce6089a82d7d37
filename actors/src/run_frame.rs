//! An attempt's `Run` frame, derived from its run's definition, inputs and outputs: the same each time it is made, so
//! a new leader can send it again.

use std::collections::BTreeMap;

use hortator_core::definition::{ShellSource, TaskKind};
use hortator_core::dispatch::Resource;
use hortator_core::event::Share;
use hortator_core::expression::{ExpressionError, contains_template};
use hortator_core::id::{AttemptId, Fence, TaskKey, WorkerRef};
use hortator_core::time::Span;
use hortator_proto::frame::{Program, RunAttempt};
use serde_json::Value;

use crate::scope::RunScope;
use crate::shard::context::ShardContext;

/// Between TERM and KILL, for a program to put its things in order; a setting of the task later.
const GRACE: Span = Span::from_secs(10);
/// Environment of a process, all variables together; the kernel takes 2 MiB with the arguments, and a single string
/// of 128 KiB at most.
pub const ENVIRONMENT_BYTES_MAX: usize = 1 << 20;

/// The frame. A task whose variables have no value gets a script that says so and fails, so that the attempt ends
/// like any other and its log tells why.
pub fn run_attempt(
    context: &ShardContext,
    scope: &RunScope,
    (attempt, fence): (AttemptId, Fence),
    worker: &WorkerRef,
    share: &Share,
) -> RunAttempt {
    let key = attempt.task_run.key;
    let task = scope.task(key);
    let mut requests = task.requests();
    let place = usize::from(share.request).min(requests.len() - 1);
    let request = requests.swap_remove(place);
    let (program, env) = match environment(context, scope, key, attempt.attempt) {
        Ok(mut env) => {
            let row = context.workers().get(&worker.name).cloned();
            let all = row.as_ref().map_or(&[][..], |row| &row.profile.devices);
            name_devices(&mut env, &share.devices, all);
            (program(&task.kind), env)
        }
        Err(error) => (complaint(&error), BTreeMap::new()),
    };
    RunAttempt {
        attempt,
        fence,
        incarnation: worker.incarnation,
        term: context.journal.term(),
        namespace: scope.definition.name.namespace.clone(),
        workflow: scope.definition.name.name.clone(),
        task: task.id.clone(),
        item: task.foreach.as_ref().map(|_| key.item),
        slots: u32::try_from(request.get(&Resource::Slots)).unwrap_or(u32::MAX),
        resources: request.with(Resource::Slots, 0),
        devices: share.devices.clone(),
        program,
        env,
        outputs: task.outputs.clone(),
        grace: GRACE,
        timeout: task.timeout,
    }
}

/// Ours, and the one that CUDA's programs obey; an empty one hides all devices.
const DEVICE_VARIABLES: [&str; 2] = ["HTR_DEVICES", "CUDA_VISIBLE_DEVICES"];
/// Workers number devices along the bus; without this CUDA counts the fastest first.
const DEVICE_ORDER: (&str, &str) = ("CUDA_DEVICE_ORDER", "PCI_BUS_ID");

/// Names the attempt's devices, where its worker has some: programs that look for devices see these and no others.
fn name_devices(env: &mut BTreeMap<String, String>, own: &[String], of_worker: &[String]) {
    if own.is_empty() && of_worker.is_empty() {
        return;
    }
    for variable in DEVICE_VARIABLES {
        env.insert(variable.to_owned(), own.join(","));
    }
    let (variable, order) = DEVICE_ORDER;
    env.entry(variable.to_owned()).or_insert_with(|| order.to_owned());
}

/// EX_CONFIG of sysexits.h: what the task says cannot be carried out.
const EXIT_CONFIG: u8 = 78;

fn complaint(error: &ExpressionError) -> Program {
    let quoted = error.to_string().replace('\'', "'\\''");
    let text =
        format!("echo 'hortator: the environment cannot be filled in: {quoted}' >&2\nexit {EXIT_CONFIG}\n");
    Program::Script { interpreter: "sh".into(), text }
}

/// Inputs, the item, and the task's own variables with their templates filled in.
pub fn environment(
    context: &ShardContext,
    scope: &RunScope,
    key: TaskKey,
    attempt: u16,
) -> Result<BTreeMap<String, String>, ExpressionError> {
    let task = scope.task(key);
    if let TaskKind::Noop = task.kind {
        return Ok(BTreeMap::new());
    }
    scope.with(&context.engine, key, Some(attempt), |values, item| {
        let mut env: BTreeMap<String, String> =
            scope.inputs.iter().map(|(name, value)| (input_variable(name), text(value))).collect();
        if let Some(item) = item {
            env.insert("HTR_ITEM".into(), text(item));
        }
        for (name, value) in &task.env {
            let value =
                if contains_template(value) { context.engine.render(value, values)? } else { value.clone() };
            env.insert(name.clone(), value);
        }
        let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        match bytes > ENVIRONMENT_BYTES_MAX {
            true => Err(ExpressionError::Evaluation(format!(
                "the environment has {bytes} bytes, at most {ENVIRONMENT_BYTES_MAX} fit"
            ))),
            false => Ok(env),
        }
    })
}

/// What the frame weighs, about.
pub fn bytes(run: &RunAttempt) -> usize {
    let program = match &run.program {
        Program::Noop => 0,
        Program::Script { text, .. } => text.len(),
        Program::File { path, .. } => path.len(),
    };
    program + run.env.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

fn program(kind: &TaskKind) -> Program {
    match kind {
        TaskKind::Noop => Program::Noop,
        TaskKind::Shell(shell) => {
            let interpreter = shell.interpreter.clone();
            match &shell.source {
                ShellSource::Script(text) => Program::Script { interpreter, text: text.clone() },
                ShellSource::File(path) => Program::File { interpreter, path: path.clone() },
            }
        }
    }
}

/// `HTR_INPUT_DAY` for `day`; dashes become underscores.
fn input_variable(name: &str) -> String {
    format!("HTR_INPUT_{}", name.to_uppercase().replace('-', "_"))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_its_devices_and_no_others() {
        let all = ["0", "1", "2"];
        let cases: [(&[&str], &[&str], &str, &str); 5] = [
            (&["0", "2"], &all, "", "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=0,2 HTR_DEVICES=0,2"),
            (&[], &all, "", "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES= HTR_DEVICES="),
            (&[], &[], "", ""),
            // A worker whose row is gone or changed since.
            (&["1"], &[], "", "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=1 HTR_DEVICES=1"),
            // The order is the task's own matter, the devices are not.
            (
                &["1"],
                &all,
                "CUDA_DEVICE_ORDER=FASTEST_FIRST CUDA_VISIBLE_DEVICES=0",
                "CUDA_DEVICE_ORDER=FASTEST_FIRST CUDA_VISIBLE_DEVICES=1 HTR_DEVICES=1",
            ),
        ];
        for (own, of_worker, task, expected) in cases {
            let pairs = task.split_whitespace().filter_map(|pair| pair.split_once('='));
            let mut env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let names = |devices: &[&str]| devices.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            name_devices(&mut env, &names(own), &names(of_worker));
            let said: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(said.join(" "), expected, "{own:?} of {of_worker:?}");
        }
    }
}
