//! `hortator bench`: starts the cluster that is measured, and shows the figures.
//! What is measured, and how, is in `src/bench`.

use serde::Serialize;

use crate::bench::{self, Beside, Cluster, Kind, Plan, Processes, Shape};
use crate::cli::args::Global;
use crate::cli::args::{BenchArgs, BenchKind, BenchShape};
use crate::cli::error::{Error, Exit};
use crate::cli::logging::logger;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::config::Config;
use crate::live_faults::LiveFaults;
use crate::node::EmbeddedConfig;

use super::embedded::{Place, block_on, session_with, start};

/// Starts a cluster of its own; its files go with it unless they were asked for.
pub fn bench(args: BenchArgs, global: &Global, config: &Config, output: Output) -> Result<Exit, Error> {
    let kind = match args.kind {
        BenchKind::Noop => Kind::Noop,
        BenchKind::Process => Kind::Process,
    };
    let shape = match args.shape {
        BenchShape::Fan => Shape::Fan,
        BenchShape::Chain => Shape::Chain,
        BenchShape::Diamond => Shape::Diamond,
    };
    let (log, _written) = logger(&config.log.level)?;
    let place = Place::new(args.data.as_deref())?;
    let plan = Plan {
        shape,
        kind,
        tasks: args.tasks,
        masters: args.masters,
        workers: args.sessions.map_or(args.workers, |_| 0),
        slots: args.slots.unwrap_or_else(|| bench::slots(kind)),
        runs: args.runs,
        load: args.load.map_or(Beside::HalfOfTheRate, Beside::Tasks),
        data: place.path().to_owned(),
        log: log.clone(),
    };
    let cluster = match plan.masters {
        1 if args.sessions.is_none() => Cluster::Here(start(EmbeddedConfig {
            cluster: "bench".into(),
            masters: plan.masters,
            workers: plan.workers,
            slots: plan.slots,
            data: plan.data.clone(),
            port: 0,
            log,
            faults: LiveFaults::Off,
        })?),
        _ => Cluster::Processes(Processes::start(&plan)?),
    };
    let session = session_with(cluster.target(), config, output, global)?;
    let shown = block_on(async {
        bench::until_ready(&session, &plan, &cluster).await?;
        match args.sessions {
            None => {
                let report = bench::bench(&plan, &cluster, &session).await?;
                show(&session, &report, || report.lines())
            }
            Some(count) => {
                let report = bench::sessions(count, &plan, &cluster, &session).await?;
                show(&session, &report, || report.lines())
            }
        }
    });
    cluster.stop();
    place.remove();
    shown.map(|()| Exit::Success)
}

fn show(session: &Session, report: &impl Serialize, lines: impl FnOnce() -> String) -> Result<(), Error> {
    match session.output.is_json() {
        true => session.output.document(report),
        false => session.output.text(&lines()),
    }
}
