//! `hortator sim process`: hurts a cluster of real processes and judges what it does. Only these commands use the
//! simulator's parts.

use std::path::PathBuf;
use std::time::Duration;

use hortator_actors::mutant::Mutant;
use hortator_simulations::scenarios;

use super::embedded::block_on;
use crate::chaos::{self, ChaosConfig, plan};
use crate::cli::args::SimProcessArgs;
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::Output;

/// Longest that may be asked for: a week.
const MINUTES_MAX: f64 = 7.0 * 24.0 * 60.0;

pub(crate) fn process(args: SimProcessArgs, output: &Output) -> Result<Exit, Error> {
    if !(args.minutes > 0.0 && args.minutes <= MINUTES_MAX) {
        return Err(Error::usage(format!(
            "--minutes is {}, at most {MINUTES_MAX} can be asked for",
            args.minutes
        )));
    }
    let plan = plan::Plan::find(&args.scenario).map_err(|error| {
        Error::new(Exit::Invalid, code::PLAN, error.to_string()).hint("hortator sim list")
    })?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    if let Some(Err(error)) = args.mutant.as_ref().map(|name| name.parse::<Mutant>()) {
        return Err(Error::usage(error.to_string()));
    }
    eprintln!("plan {}, seed {seed}", plan.name);
    let program = std::env::current_exe().map_err(|error| Error::io("cannot find this program", &error))?;
    let place = Place::new(args.data)?;
    let config = ChaosConfig {
        program,
        plan,
        seed,
        mutant: args.mutant,
        most: Duration::from_secs_f64(args.minutes * 60.0),
        directory: place.path(),
    };
    let report = match block_on(tokio::task::LocalSet::new().run_until(chaos::run(config))) {
        Ok(report) => report,
        Err(error) => {
            let hint = format!("the nodes' logs are in {}", place.keep().display());
            return Err(Error::new(Exit::Unexpected, code::CLUSTER_START, error.to_string()).hint(hint));
        }
    };
    match output.is_json() {
        true => output.document(&report)?,
        false => output.text(&format!("{report}\n"))?,
    }
    if report.is_good() {
        return Ok(Exit::Success);
    }
    place.keep();
    Ok(Exit::Violated)
}

pub(crate) fn list(output: &Output) -> Result<Exit, Error> {
    let (scenarios, plans) = (scenarios::names(), plan::names());
    match output.is_json() {
        true => output.document(&serde_json::json!({ "scenarios": scenarios, "process": plans }))?,
        false => {
            let lines = |names: &[String]| names.iter().map(|name| format!("  {name}\n")).collect::<String>();
            let scenarios: Vec<String> = scenarios.iter().map(|name| described(name)).collect();
            output.text(&format!(
                "hortator sim run\n{}hortator sim process\n{}",
                lines(&scenarios),
                lines(&plans)
            ))?;
        }
    }
    Ok(Exit::Success)
}

/// A scenario with what it is there for.
fn described(name: &str) -> String {
    let about = scenarios::find(name).map(|plan| plan.about).unwrap_or_default();
    format!("{name:<32} {about}").trim_end().to_owned()
}

/// Where the files of a chaos run lie.
enum Place {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    fn new(given: Option<PathBuf>) -> Result<Place, Error> {
        match given {
            Some(path) => std::path::absolute(path)
                .map(Place::Given)
                .map_err(|error| Error::io("no such directory", &error)),
            None => tempfile::Builder::new()
                .prefix("hortator-sim-")
                .tempdir()
                .map(Place::Temporary)
                .map_err(|error| Error::io("cannot make a temporary directory", &error)),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Place::Given(path) => path.clone(),
            Place::Temporary(directory) => directory.path().to_owned(),
        }
    }

    /// The files outlive the program.
    fn keep(self) -> PathBuf {
        match self {
            Place::Given(path) => path,
            Place::Temporary(directory) => directory.keep(),
        }
    }
}
