//! `hortator sim policies`: the policy laboratory on traces of real workflows, as tables or JSON.
//! Must not know how a play goes.

use std::path::PathBuf;

use hortator_core::dispatch::Policy;
use hortator_core::dispatch::laboratory::{Case, Fleet, Order, Row, Trace, compare};
use hortator_core::wfformat::WfTrace;
use serde::Serialize;

use crate::cli::args::SimPoliciesArgs;
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Field, Output};

/// Most seeds of noise: a median of more says nothing new.
const SEEDS_MAX: u64 = 1_000;

/// Largest trace that is read: ten times the largest that is published.
const BYTES_MAX: u64 = 256 << 20;

/// All that was compared, with what repeats it.
#[derive(Serialize)]
struct Report<'a> {
    workers: &'a str,
    noise: f64,
    seeds: u64,
    rows: Vec<Row>,
}

pub(crate) fn policies(args: &SimPoliciesArgs, output: &Output) -> Result<Exit, Error> {
    if !(0.0..=1.0).contains(&args.noise) {
        return Err(Error::usage(format!("--noise is {}; it is a share from 0 to 1", args.noise)));
    }
    if !(1..=SEEDS_MAX).contains(&args.seeds) {
        return Err(Error::usage(format!("--seeds is {}; from 1 to {SEEDS_MAX} are possible", args.seeds)));
    }
    let fleet: Fleet = args.workers.parse().map_err(|error| Error::usage(format!("--workers: {error}")))?;
    let traces = args.traces.iter().map(read).collect::<Result<Vec<Trace>, Error>>()?;
    let rows = compare(&traces, &fleet, &cases(), args.noise, args.seeds);
    let report = Report { workers: &args.workers, noise: args.noise, seeds: args.seeds, rows };
    match output.is_json() {
        true => output.document(&report)?,
        false => show(&report, output)?,
    }
    Ok(Exit::Success)
}

/// Every policy with every order, the default policy first: which task goes and where it goes are independent of each other.
fn cases() -> Vec<Case> {
    let others = Policy::ALL.into_iter().filter(|policy| *policy != Policy::default());
    let policies = std::iter::once(Policy::default()).chain(others);
    policies.flat_map(|policy| Order::ALL.map(|order| Case { policy, order })).collect()
}

fn read(path: &PathBuf) -> Result<Trace, Error> {
    let name = path.display();
    let unreadable = |error| Error::io(&format!("cannot read {name}"), &error);
    if std::fs::metadata(path).map_err(unreadable)?.len() > BYTES_MAX {
        let why = format!("{name} is larger than {BYTES_MAX} bytes, so hardly a trace");
        return Err(Error::new(Exit::Invalid, code::TRACE, why));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    let trace = WfTrace::read(&bytes).and_then(|trace| trace.for_laboratory(&stem));
    trace.map_err(|error| Error::new(Exit::Invalid, code::TRACE, format!("{name}: {error}")))
}

fn show(report: &Report<'_>, output: &Output) -> Result<(), Error> {
    let figure = |value: f64| -> Field { format!("{value:.3}").into() };
    let row = |row: &Row| -> Vec<Field> {
        let waits = row.together.waits.iter().map(|wait| format!("{:.0}", wait.mean));
        vec![
            row.case.policy.name().to_owned().into(),
            row.case.order.name().to_owned().into(),
            figure(row.ratio),
            figure(row.cells.iter().map(|cell| cell.ratio).fold(0.0, f64::max)),
            figure(row.together.ratio),
            format!("{:.1}", row.together.slowdown).into(),
            waits.collect::<Vec<_>>().join(" ").into(),
            figure(row.together.imbalance),
        ]
    };
    output.table(
        &[
            "POLICY",
            "ORDER",
            "MAKESPAN / BOUND",
            "WORST",
            "ALL AT ONCE",
            "SLOWDOWN",
            "WAIT S BY PRIORITY",
            "IMBALANCE",
        ],
        report.rows.iter().map(row).collect(),
    )?;
    output.text("\n")?;
    let by_order = &report.rows[..Order::ALL.len()];
    let cells = |at: usize| -> Vec<Field> {
        let first = &by_order[0].cells[at];
        let mut fields: Vec<Field> = vec![first.trace.clone().into(), first.tasks.to_string().into()];
        fields.extend(by_order.iter().map(|row| figure(row.cells[at].ratio)));
        fields
    };
    output.table(
        &["TRACE", "TASKS", "CRITICAL PATH", "FIFO", "LONGEST TASK", "SHORTEST TASK"],
        (0..by_order[0].cells.len()).map(cells).collect(),
    )?;
    let Report { workers, noise, seeds, .. } = report;
    output.hint(&format!(
        "workers {workers}, noise {noise}, median of {seeds} seeds; the bound is the longest path or all work at full power"
    ));
    Ok(())
}
