//! `hortator sim plan`: a deployer's own workflows and schedules on virtual time against a planned cluster, as tables, JSON
//! and a timeline.

mod timeline;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use hortator_core::definition::Definition;
use hortator_core::id::Name;
use hortator_core::time::{Span, Timestamp};
use hortator_simulations::forecast::{Outlook, OutlookError, foresee};
use hortator_simulations::forecast_config::ForecastConfig;
use hortator_simulations::forecast_sums::{GroupSums, Late, Sums, WorkflowSums};
use hortator_simulations::scenarios;
use hortator_simulations::world::Band;
use hortator_simulations::world::equipment::Equipment;

use super::workflow::{check, read_file};
use crate::cli::args::SimPlanArgs;
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Field, Output, short};

/// Beside the workflows, unless another is named.
const DURATIONS: &str = "durations.toml";
/// Late runs shown; JSON has all of them.
const LATE_SHOWN: usize = 10;
/// Workflows shown, those with late runs first; JSON has all of them.
const WORKFLOWS_SHOWN: usize = 30;

pub(crate) fn plan(args: &SimPlanArgs, output: &Output) -> Result<Exit, Error> {
    let workflows = definitions(&args.workflows)?;
    let idle = without_schedules(&workflows);
    if idle.len() == workflows.len() {
        return Err(Error::usage(format!(
            "no workflow of {} has a schedule, so nothing would ever run",
            args.workflows.display()
        ))
        .hint("add `schedules:` to them; hortator schedule next WORKFLOW shows what a schedule comes to"));
    }
    let config = config(args)?;
    let unlimited = unlimited(&workflows, &config);
    let outlook = Outlook {
        workflows,
        bands: equipped(bands(&args.workers)?, &config)?,
        lasts: args.lasts,
        config,
        chaos: args.chaos.as_deref().map(chaos).transpose()?,
        late: args.late,
        seed: args.seed,
    };
    let began = Instant::now();
    let forecast = foresee(outlook).map_err(error)?;
    let sums = Sums::of(&forecast);
    if let Some(path) = &args.svg {
        std::fs::write(path, timeline::drawn(&forecast))
            .map_err(|error| Error::io(&format!("cannot write {}", path.display()), &error))?;
    }
    match output.is_json() {
        true => output.document(&sums)?,
        false => show(&sums, began.elapsed().as_secs_f64(), output)?,
    }
    if !idle.is_empty() {
        output.hint(&format!("without a schedule, so nothing of them was planned: {}", idle.join(", ")));
    }
    if !unlimited.is_empty() {
        let names = unlimited.join(", ");
        output.hint(&format!(
            "as if there were enough of these limits: {names}; say how much under [limits] in {DURATIONS}"
        ));
    }
    Ok(Exit::Success)
}

/// Limits that tasks want and of which nobody says how much there is.
fn unlimited(workflows: &[(String, Arc<Definition>)], config: &ForecastConfig) -> Vec<String> {
    let wanted: BTreeSet<_> = workflows.iter().flat_map(|(_, definition)| definition.limits()).collect();
    wanted.iter().filter(|limit| config.limit(limit).is_none()).map(ToString::to_string).collect()
}

/// With what the configuration says that their workers have.
fn equipped(bands: Vec<Band>, config: &ForecastConfig) -> Result<Vec<Band>, Error> {
    let known = |group: &Name| bands.iter().any(|band| band.group == *group);
    if let Some(group) = config.workers.keys().find(|group| !known(group)) {
        return Err(Error::usage(format!(
            "{DURATIONS} says what workers of group {group} have, and none is planned"
        ))
        .hint(format!("plan some, for example --workers 8x4,{group}:2x4")));
    }
    let one = |band: Band| {
        let equipment = config.workers.get(&band.group).cloned().unwrap_or_default();
        Band { equipment, ..band }
    };
    Ok(bands.into_iter().map(one).collect())
}

fn error(error: OutlookError) -> Error {
    match &error {
        OutlookError::Refused { problem, .. } => Error::new(Exit::Invalid, &problem.code, error.to_string()),
        OutlookError::NoWorkers { group, .. } => {
            Error::usage(error.to_string()).hint(format!("plan some, for example --workers 8x4,{group}:2x4"))
        }
        OutlookError::TooLittle { group, .. } => Error::new(Exit::Invalid, code::PLAN, error.to_string()).hint(format!(
            "say what they have in {DURATIONS}: [workers.{group}] has = {{ cpu = 16, memory = \"64GiB\", gpu = 2 }}, labels = {{ disk = \"ssd\" }}"
        )),
        OutlookError::Silent(_) => Error::new(Exit::Unexpected, code::CLUSTER_START, error.to_string()),
    }
}

/// All definitions of a directory, or one file's.
fn definitions(place: &Path) -> Result<Vec<(String, Arc<Definition>)>, Error> {
    let unreadable = |error| Error::io(&format!("cannot read {}", place.display()), &error);
    let mut files: Vec<PathBuf> = match place.is_dir() {
        true => {
            let entries = std::fs::read_dir(place).map_err(unreadable)?;
            entries.flatten().map(|entry| entry.path()).filter(|path| is_definition(path)).collect()
        }
        false => vec![place.to_owned()],
    };
    files.sort();
    if files.is_empty() {
        return Err(Error::usage(format!("{} holds no *.workflow.yaml", place.display())));
    }
    let one = |path: &PathBuf| {
        let (name, bytes) = read_file(path)?;
        let parsed = check(&name, &bytes)?;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), Arc::new(parsed.definition)))
    };
    files.iter().map(one).collect()
}

fn without_schedules(workflows: &[(String, Arc<Definition>)]) -> Vec<String> {
    let idle = workflows.iter().filter(|(_, definition)| definition.schedules.is_empty());
    idle.map(|(_, definition)| definition.name.to_string()).collect()
}

fn is_definition(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".workflow.yaml", ".workflow.yml"].iter().any(|ending| name.ends_with(ending))
}

/// `8x4,gpu:2x1`: workers of the group `default` with four slots each, and two of `gpu` with one.
fn bands(text: &str) -> Result<Vec<Band>, Error> {
    let wrong = |part: &str| {
        Error::usage(format!("{part:?} plans no workers; write 8x4 for 8 workers of 4 slots, or gpu:2x1"))
    };
    let one = |part: &str| {
        let (group, size) = part.split_once(':').unwrap_or(("default", part));
        let (workers, slots) = size.split_once('x').ok_or_else(|| wrong(part))?;
        let (workers, slots) = (workers.parse().ok(), slots.parse().ok());
        let group: Name = group.parse().map_err(|_| wrong(part))?;
        match (workers, slots) {
            (Some(workers @ 1..=10_000), Some(slots @ 1..=10_000)) => {
                Ok(Band { group, workers, slots, equipment: Equipment::default() })
            }
            _ => Err(wrong(part)),
        }
    };
    let bands: Vec<Band> = text.split(',').map(one).collect::<Result<_, _>>()?;
    match bands
        .iter()
        .enumerate()
        .find(|(place, band)| bands[..*place].iter().any(|other| other.group == band.group))
    {
        Some((_, twice)) => {
            Err(Error::usage(format!("worker group {:?} is planned twice", twice.group.as_str())))
        }
        None => Ok(bands),
    }
}

fn config(args: &SimPlanArgs) -> Result<ForecastConfig, Error> {
    let beside = args.workflows.join(DURATIONS);
    let path = match &args.config {
        Some(path) => path.clone(),
        None if beside.is_file() => beside,
        None => return Ok(ForecastConfig::default()),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(&format!("cannot read {}", path.display()), &error))?;
    ForecastConfig::parse(&text).map_err(|why| {
        Error::new(Exit::Invalid, code::PLAN, format!("{} says no durations: {why}", path.display()))
    })
}

fn chaos(which: &str) -> Result<hortator_simulations::plan::Plan, Error> {
    scenarios::find(which)
        .map_err(|error| Error::new(Exit::Invalid, code::PLAN, error.to_string()).hint("hortator sim list"))
}

fn show(sums: &Sums, took: f64, output: &Output) -> Result<(), Error> {
    let span = |seconds: f64| short(Span((seconds * 1e6) as u64));
    let Sums { days, runs, failed, open, task_runs, late, makespan_s, .. } = sums;
    output.text(&format!(
        "{days:.1} days from {}: {runs} runs, {failed} failed, {open} still open a day later, {} late; {task_runs} task runs; the last ends after {}\n\n",
        Timestamp(sums.began.0 / 1_000_000 * 1_000_000),
        late.len(),
        span(*makespan_s),
    ))?;
    let group = |group: &GroupSums| -> Vec<Field> {
        vec![
            group.group.clone().into(),
            format!("{} / {}", group.workers, group.slots).into(),
            group.processes.to_string().into(),
            format!("{:.1} %", 100.0 * group.utilisation).into(),
            group.busy_most.to_string().into(),
            span(group.wait_p50_s).into(),
            span(group.wait_p99_s).into(),
            span(group.wait_most_s).into(),
            group.waiting_most.to_string().into(),
        ]
    };
    output.table(
        &["GROUP", "WORKERS / SLOTS", "ATTEMPTS", "BUSY", "MOST", "WAIT P50", "P99", "MAX", "QUEUE MAX"],
        sums.groups.iter().map(group).collect(),
    )?;
    output.text("\n")?;
    let mut workflows: Vec<&WorkflowSums> = sums.workflows.iter().collect();
    workflows.sort_by_key(|workflow| std::cmp::Reverse((workflow.late, workflow.failed)));
    let row = |workflow: &&WorkflowSums| -> Vec<Field> {
        vec![
            workflow.workflow.clone().into(),
            workflow.runs.to_string().into(),
            workflow.failed.to_string().into(),
            workflow.late.to_string().into(),
            span(workflow.took_p50_s).into(),
            span(workflow.took_most_s).into(),
        ]
    };
    output.table(
        &["WORKFLOW", "RUNS", "FAILED", "LATE", "TOOK P50", "MAX"],
        workflows.iter().take(WORKFLOWS_SHOWN).map(row).collect(),
    )?;
    for Late { workflow, at, by_s } in late.iter().take(LATE_SHOWN) {
        let by = by_s.map_or("not started".to_owned(), |seconds| format!("{} late", span(seconds)));
        output.text(&format!("late: {workflow} of {at}, {by}\n"))?;
    }
    output.hint(&format!("planned in {took:.1} s; -o json has all of it, --svg FILE draws it"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_are_planned() {
        let bands = |text: &str| {
            bands(text).map(|bands| {
                bands
                    .into_iter()
                    .map(|band| (band.group.to_string(), band.workers, band.slots))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(bands("8x4,gpu:2x1").unwrap(), [("default".to_owned(), 8, 4), ("gpu".to_owned(), 2, 1)]);
        for wrong in ["", "8", "x4", "0x4", "8x0", "8x4,8x2", "gp u:1x1", "8x4,"] {
            assert!(bands(wrong).is_err(), "{wrong:?}");
        }
    }
}
