//! `hortator sim plan`: a deployer's own workflows and schedules on virtual time against a planned cluster, as tables, JSON
//! and a timeline.

mod timeline;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use hortator_core::definition::Definition;
use hortator_core::id::{Name, WorkflowName};
use hortator_core::time::{Span, Timestamp};
use hortator_simulations::forecast::{Outlook, OutlookError, foresee};
use hortator_simulations::forecast_chaos::{ChaosSums, FaultSums, fits};
use hortator_simulations::forecast_config::ForecastConfig;
use hortator_simulations::forecast_durations::{Learned, Sources};
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
    let (mut config, place) = config(args)?;
    add_stubs(args, &workflows, &mut config)?;
    let place = place.display().to_string();
    let unlimited = unlimited(&workflows, &config);
    let scheduled = scheduled(&workflows);
    let outlook = Outlook {
        workflows,
        bands: equipped(bands(&args.workers)?, &config, &place)?,
        from: args.from,
        lasts: args.lasts,
        config,
        learned: learned(&args.learned)?,
        chaos: args.chaos.as_deref().map(chaos).transpose()?,
        late: args.late,
        seed: args.seed,
    };
    let began = Instant::now();
    let forecast = foresee(outlook).map_err(|why| error(&why, &place))?;
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
    let silent = silent(&scheduled, &sums);
    if !silent.is_empty() {
        let silent = silent.join(", ");
        output.hint(&format!(
            "no time of their schedules is in the plan: {silent}; --from begins it elsewhere"
        ));
    }
    if !unlimited.is_empty() {
        let names = unlimited.join(", ");
        output.hint(&format!(
            "as if there were enough of these limits: {names}; say how much under [limits] in {place}"
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
fn equipped(bands: Vec<Band>, config: &ForecastConfig, place: &str) -> Result<Vec<Band>, Error> {
    let known = |group: &Name| bands.iter().any(|band| band.group == *group);
    if let Some(group) = config.workers.keys().chain(config.classes.keys()).find(|group| !known(group)) {
        return Err(Error::usage(format!(
            "{place} says what workers of group {group} have or are, and none is planned"
        ))
        .hint(format!("plan some, for example --workers 8x4,{group}:2x4")));
    }
    let one = |band: Band| {
        let equipment = config.workers.get(&band.group).cloned().unwrap_or_default();
        Band { equipment, ..band }
    };
    Ok(bands.into_iter().map(one).collect())
}

fn error(error: &OutlookError, place: &str) -> Error {
    match error {
        OutlookError::Refused { problem, .. } => Error::new(Exit::Invalid, &problem.code, error.to_string()),
        OutlookError::NoWorkers { group, .. } => {
            Error::usage(error.to_string()).hint(format!("plan some, for example --workers 8x4,{group}:2x4"))
        }
        OutlookError::Stranger { .. } | OutlookError::Strange { .. } => Error::new(Exit::Invalid, code::PLAN, error.to_string())
            .hint(format!("look at [tasks], [stubs] and [gives] in {place}, and at --stub and --gives")),
        OutlookError::TooLittle { group, .. } => Error::new(Exit::Invalid, code::PLAN, error.to_string()).hint(format!(
            "say what they have in {place}: [workers.{group}] has = {{ cpu = 16, memory = \"64GiB\", gpu = 2 }}, labels = {{ disk = \"ssd\" }}"
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

fn scheduled(workflows: &[(String, Arc<Definition>)]) -> Vec<String> {
    let scheduled = workflows.iter().filter(|(_, definition)| !definition.schedules.is_empty());
    scheduled.map(|(_, definition)| definition.name.to_string()).collect()
}

/// Those that never ran.
fn silent<'a>(scheduled: &'a [String], sums: &Sums) -> Vec<&'a str> {
    let ran: BTreeSet<&str> = sums.workflows.iter().map(|one| one.workflow.as_str()).collect();
    scheduled.iter().map(String::as_str).filter(|name| !ran.contains(name)).collect()
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

/// With the file that says it, or could.
fn config(args: &SimPlanArgs) -> Result<(ForecastConfig, PathBuf), Error> {
    let beside = match args.workflows.is_dir() {
        true => args.workflows.join(DURATIONS),
        false => args.workflows.with_file_name(DURATIONS),
    };
    let path = match &args.config {
        Some(path) => path.clone(),
        None if beside.is_file() => beside,
        None => return Ok((ForecastConfig::default(), beside)),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(&format!("cannot read {}", path.display()), &error))?;
    let config = ForecastConfig::parse(&text).map_err(|why| {
        Error::new(Exit::Invalid, code::PLAN, format!("{} says no durations: {why}", path.display()))
    })?;
    Ok((config, path))
}

fn learned(files: &[PathBuf]) -> Result<Learned, Error> {
    let mut learned = Learned::default();
    for path in files {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::io(&format!("cannot read {}", path.display()), &error))?;
        learned.read(&text).map_err(|why| {
            let detail = format!("{} has no learned durations: {why}", path.display());
            Error::new(Exit::Invalid, code::PLAN, detail)
                .hint("make it with: hortator workflow durations -o json")
        })?;
    }
    Ok(learned)
}

/// What `--stub` and `--gives` say counts before what the file says.
fn add_stubs(
    args: &SimPlanArgs,
    workflows: &[(String, Arc<Definition>)],
    config: &mut ForecastConfig,
) -> Result<(), Error> {
    for (what, stub) in &args.stubs {
        let (workflow, task) = meant(what, workflows)?;
        config.stubs.entry(workflow).or_default().insert(task, stub.clone());
    }
    for (what, name, value) in &args.outputs {
        let (workflow, task) = meant(what, workflows)?;
        config
            .gives
            .entry(workflow)
            .or_default()
            .entry(task)
            .or_default()
            .insert(name.clone(), value.clone());
    }
    Ok(())
}

/// The workflow's whole name and the task's.
fn meant(text: &str, workflows: &[(String, Arc<Definition>)]) -> Result<(String, String), Error> {
    let all = || workflows.iter().map(|(_, definition)| &definition.name);
    let (found, task) = match text.rsplit_once('/') {
        Some((workflow, task)) => {
            let is_meant = |name: &&WorkflowName| match workflow.contains('/') {
                true => name.to_string() == workflow,
                false => name.name.as_str() == workflow,
            };
            (all().filter(is_meant).collect::<Vec<_>>(), task)
        }
        None => (all().collect(), text),
    };
    match found[..] {
        [only] => Ok((only.to_string(), task.to_owned())),
        [] => Err(Error::usage(format!("{text:?} is of none of the planned workflows"))),
        [first, ..] => Err(Error::usage(format!("{text:?} may be of several planned workflows"))
            .hint(format!("say which, for example {first}/{task}"))),
    }
}

fn chaos(which: &str) -> Result<hortator_simulations::plan::Plan, Error> {
    let refused = |why: String| Error::new(Exit::Invalid, code::PLAN, why).hint("hortator sim list");
    let plan = scenarios::find(which).map_err(|error| refused(error.to_string()))?;
    fits(&plan).map_err(|misfit| refused(misfit.to_string()))?;
    Ok(plan)
}

fn show(sums: &Sums, took: f64, output: &Output) -> Result<(), Error> {
    let span = |seconds: f64| short(Span((seconds * 1e6) as u64));
    let Sums { days, runs, failed, open, task_runs, late, makespan_s, .. } = sums;
    output.text(&format!(
        "{days:.1} days from {} to {}: {runs} runs, {failed} failed, {open} still open a day later, {} late; {task_runs} task runs; the last ends after {}\n\n",
        whole(sums.began),
        whole(sums.ends),
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
    if let Some(chaos) = &sums.chaos {
        output.text(&told(chaos))?;
    }
    let Sources { stated, learned, learned_elsewhere, usual } = &sums.durations;
    output.hint(&format!(
        "durations of {stated} tasks are stated, of {learned} learned, of {learned_elsewhere} learned on other workers, of {usual} as of any task"
    ));
    output.hint(&format!("planned in {took:.1} s; -o json has all of it, --svg FILE draws it"));
    Ok(())
}

/// To the second.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp(time.0.div_euclid(1_000_000) * 1_000_000)
}

/// What the faults did, in sentences.
fn told(chaos: &ChaosSums) -> String {
    let span = |seconds: f64| short(Span((seconds * 1e6) as u64));
    let ChaosSums { scenario, faults, lost_attempts, runs_fewer, failed_more, later, .. } = chaos;
    let one = |sum: &FaultSums| format!("{} {} for {}", sum.hits, sum.word(), span(sum.for_s));
    let faults: Vec<String> = faults.iter().map(one).collect();
    format!(
        "\nchaos {scenario}: {}; {lost_attempts} attempts were lost\nagainst the same plan without: {runs_fewer} runs fewer, {failed_more} failed more, {later} late that were not; starts come {} later in all, at most {}, ends {} in all\n",
        faults.join(", "),
        span(chaos.start_added_s),
        span(chaos.start_added_most_s),
        span(chaos.end_added_s),
    )
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
