//! The command line: arguments in, requests to a cluster's HTTP API, results on stdout, an exit code out.
//! It has no way to a cluster that other clients do not have; `run FILE` and `dev` only start one first.

pub mod address;
pub mod args;
pub mod client;
pub mod codes;
pub mod commands;
pub mod context;
pub mod error;
pub mod history;
pub mod join;
pub mod output;
pub mod reference;
pub mod scrape;

pub mod follow;
mod logging;
mod progress;
pub mod session;
mod signals;
mod states;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{
    BackupVerb, Cli, ClusterVerb, Command, ImportVerb, RunVerb, SchemaVerb, SettingsVerb, SimVerb,
    WorkerVerb, WorkflowVerb,
};
use commands::{
    backup, bench, cluster, config, diff, doctor, durations, embedded, events, explain, faults, feed,
    forecast, help, inside, limit, local, logs, members, placement, policies, rehearse, replay, runs,
    schedule, server, shrink, sim, simulate, worker, workflow,
};
use error::{Error, Exit};
use hortator_proto::api::WorkerOrder;
use output::Output;
use session::Session;
pub(crate) use signals::interrupted;

/// Everything the program does when a person calls it.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are no errors; clap knows which stream and code each wants.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match dispatch(cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            if !error.is_silent() {
                eprintln!("{error}");
            }
            ExitCode::from(error.exit as u8)
        }
    }
}

/// Commands that need no cluster, or start one, are done here; the others ask one.
fn dispatch(cli: Cli) -> Result<Exit, Error> {
    let Cli { mut global, command } = cli;
    if matches!(command, Command::Sim { verb: SimVerb::Plan(_) }) {
        // The plan's own `--config`: what it says is no configuration of the program.
        global.config = None;
    }
    // These must work whatever the configuration says.
    let plain = || Output::new(&global, None);
    match &command {
        Command::Help { topic } => return help::help(topic, &plain()),
        Command::Version => return local::version(&plain()),
        Command::Completion(args) => return local::completion(args, &plain()),
        Command::Schema { verb: SchemaVerb::Workflow } => return local::schema(&plain()),
        Command::Config { verb } => return config::config(verb, &global, &plain()),
        Command::Server { verb } => return server::server(verb, &global),
        Command::Cluster { verb: ClusterVerb::Init(args) } => return members::init(args, &global, &plain()),
        Command::Backup { verb: BackupVerb::Inspect(args) } => return backup::look(args, &plain()),
        Command::Backup { verb: BackupVerb::Restore(args) } => return backup::make(args, &global, &plain()),
        _ => {}
    }
    let loaded = session::configuration(&global)?;
    let settings = &loaded.config;
    let output = session::output(&global, settings)?;
    match command {
        Command::Import { verb: ImportVerb::Wfcommons(args) } => local::import_wfcommons(&args, &output),
        Command::Workflow { verb: WorkflowVerb::Validate { files } } => workflow::validate(&files, &output),
        Command::Workflow { verb: WorkflowVerb::Test(args) } => rehearse::test(args, &output),
        Command::Workflow { verb: WorkflowVerb::Graph(args) } if workflow::is_file(&args.what) => {
            workflow::graph_of_file(&args, &output)
        }
        Command::Run(args) if args.verb.is_none() => embedded::run_file(args.file, &global, settings, output),
        Command::Dev(args) => embedded::dev(args, &global, settings, output),
        Command::Bench(args) => bench::bench(args, &global, settings, output),
        Command::Sim { verb: SimVerb::Run(args) } => simulate::run(&args, &output),
        Command::Sim { verb: SimVerb::Explore(args) } => simulate::explore(&args, &output),
        Command::Sim { verb: SimVerb::Replay(args) } => shrink::replay(&args, &output),
        Command::Sim { verb: SimVerb::Shrink(args) } => shrink::shrink(&args, &output),
        Command::Sim { verb: SimVerb::Twice(args) } => simulate::twice(&args, &output),
        Command::Sim { verb: SimVerb::Plan(args) } => forecast::plan(&args, &output),
        Command::Sim { verb: SimVerb::Policies(args) } => policies::policies(&args, &output),
        Command::Sim { verb: SimVerb::Process(args) } => sim::process(args, &output),
        Command::Sim { verb: SimVerb::List } => sim::list(&output),
        other => embedded::block_on(async {
            let session = Session::open(&global, settings)?;
            ask(&session, other).await
        }),
    }
}

/// Commands that ask a cluster.
pub(crate) async fn ask(session: &Session, command: Command) -> Result<Exit, Error> {
    match command {
        Command::Start(args) => runs::start(session, args).await,
        Command::Ps(args) => runs::ps(session, args).await,
        Command::Logs(args) => logs::logs(session, args).await,
        Command::Explain(args) => explain::explain(session, args).await,
        Command::Cancel(args) => runs::cancel(session, args).await,
        Command::Retry(args) => runs::retry(session, args).await,
        Command::Run(args) => match args.verb.expect("a file was handled before") {
            RunVerb::Show(args) => runs::show(session, args).await,
            RunVerb::Tasks(args) => runs::tasks(session, args).await,
            RunVerb::Events(args) => events::events(session, args).await,
            RunVerb::At(args) => replay::at(session, args).await,
            RunVerb::Replay(args) => replay::replay(session, args).await,
            RunVerb::Start(args) => runs::start(session, args).await,
            RunVerb::Cancel(args) => runs::cancel(session, args).await,
            RunVerb::Retry(args) => runs::retry(session, args).await,
        },
        Command::Workflow { verb } => match verb {
            WorkflowVerb::Apply { files, if_version } => workflow::apply(session, &files, if_version).await,
            WorkflowVerb::List { all_namespaces } => workflow::list(session, all_namespaces).await,
            WorkflowVerb::Show { name, source } => workflow::show(session, &name, source).await,
            WorkflowVerb::Durations { names } => durations::durations(session, &names).await,
            WorkflowVerb::Graph(args) => workflow::graph_of_applied(session, &args).await,
            WorkflowVerb::Validate { .. } | WorkflowVerb::Test(_) => {
                unreachable!("what needs no cluster was handled before")
            }
        },
        Command::Schedule { verb } => schedule::schedule(session, verb).await,
        Command::Worker { verb } => match verb {
            WorkerVerb::List => cluster::workers(session).await,
            WorkerVerb::Show(args) => worker::show(session, &args.name).await,
            WorkerVerb::Why(args) => placement::why(session, &args.name).await,
            WorkerVerb::Drain(args) => worker::drain(session, &args).await,
            WorkerVerb::Cordon(args) => worker::order(session, &args.name, WorkerOrder::Cordon).await,
            WorkerVerb::Uncordon(args) => worker::order(session, &args.name, WorkerOrder::Uncordon).await,
        },
        Command::Group { verb } => placement::group(session, verb).await,
        Command::Quota { verb } => placement::quota(session, verb).await,
        Command::Limit { verb } => limit::limit(session, verb).await,
        Command::Settings { verb } => match verb {
            SettingsVerb::Show => worker::settings(session).await,
            SettingsVerb::Set(args) => worker::set(session, &args).await,
        },
        Command::Cluster { verb } => members::ask(session, verb).await,
        Command::Backup { verb: BackupVerb::Save(args) } => backup::save(session, &args).await,
        Command::Status => cluster::status(session).await,
        Command::Doctor => doctor::doctor(session).await,
        Command::Events(args) => feed::feed(session, args).await,
        Command::Diff(args) => diff::diff(session, args).await,
        Command::Raft { verb } => inside::raft(session, verb).await,
        Command::Debug { verb } => inside::debug(session, verb).await,
        Command::Fault { verb } => faults::fault(session, verb).await,
        Command::Whoami => cluster::whoami(session).await,
        // It asks again for each of its own commands.
        Command::Shell(args) => Box::pin(crate::shell::shell(session, args)).await,
        Command::Dev(_)
        | Command::Backup { .. }
        | Command::Import { .. }
        | Command::Bench(_)
        | Command::Server { .. }
        | Command::Sim { .. }
        | Command::Config { .. }
        | Command::Schema { .. }
        | Command::Completion(_)
        | Command::Version
        | Command::Help { .. } => unreachable!("handled before a cluster is asked"),
    }
}
