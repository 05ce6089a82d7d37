//! `hortator server`: a master or a worker as a process, until a signal ends it.
//! What happens in between is in `src/server`.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use serde::de::DeserializeOwned;
use slog::{Logger, warn};

use crate::api;
use crate::cli::args::{Global, ServerVerb};
use crate::cli::commands::config::invalid;
use crate::cli::error::{Error, Exit, code};
use crate::cli::logging::server_logger;
use crate::config::{
    AllFile, Loaded, MasterFile, Role, ServerLog, ShutdownSection, Sources, WorkerFile, load,
};
use crate::env::raise_open_files;
use crate::server::{self, Nodes, live, start_all, start_master, start_worker};

pub fn server(verb: &ServerVerb, global: &Global) -> Result<Exit, Error> {
    match verb {
        ServerVerb::Master(args) => {
            let loaded: Loaded<MasterFile> = read(Role::Master, global)?;
            let MasterFile { log, shutdown, .. } = loaded.config.clone();
            run(&log, shutdown, &loaded, |file, log| start_master(file, args.join.as_deref(), log))
        }
        ServerVerb::Worker(args) => {
            let loaded: Loaded<WorkerFile> = read(Role::Worker, global)?;
            let WorkerFile { log, shutdown, .. } = loaded.config.clone();
            run(&log, shutdown, &loaded, |file, log| start_worker(file, args.join.as_deref(), log))
        }
        ServerVerb::All(args) => {
            let loaded: Loaded<AllFile> = read(Role::All, global)?;
            let AllFile { log, shutdown, .. } = loaded.config.clone();
            run(&log, shutdown, &loaded, |file, log| start_all(file, args.join.as_deref(), log))
        }
    }
}

fn read<T: DeserializeOwned>(role: Role, global: &Global) -> Result<Loaded<T>, Error> {
    load(role, &Sources::system(global.config.clone(), None)).map_err(invalid)
}

fn run<T>(
    section: &ServerLog,
    shutdown: ShutdownSection,
    loaded: &Loaded<T>,
    start: impl FnOnce(&T, &Logger) -> Result<Nodes, server::Error>,
) -> Result<Exit, Error> {
    let (log, _written) = server_logger(section)?;
    for warning in &loaded.warnings {
        warn!(log, "{}", warning);
    }
    raise_open_files(&log);
    let grace: Duration = shutdown.grace.as_duration();
    let nodes = start(&loaded.config, &log).map_err(|error| not_started(&error))?;
    live(nodes, grace, &log).map_err(|error| not_started(&error))?;
    Ok(Exit::Success)
}

pub(super) fn not_started(error: &server::Error) -> Error {
    let mut detail = format!("this node does not start: {error}");
    let (mut source, mut kind) = (error.source(), None);
    while let Some(cause) = source {
        detail.push_str(&format!(": {cause}"));
        kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        source = cause.source();
    }
    let (exit, code) = match error {
        server::Error::Plain { .. } => (Exit::Invalid, code::PLAIN_LISTENER),
        server::Error::NoIdentity { .. } => (Exit::Conflict, code::NO_IDENTITY),
        server::Error::Development { .. }
        | server::Error::Name { .. }
        | server::Error::Unreachable { .. }
        | server::Error::Mutant(_)
        | server::Error::NoMasters => (Exit::Invalid, code::CONFIG),
        server::Error::Somebodys { .. }
        | server::Error::Remains { .. }
        | server::Error::Interrupted { .. }
        | server::Error::OtherRole { .. }
        | server::Error::Renamed { .. }
        | server::Error::Refused { .. }
        | server::Error::OtherCluster { .. } => (Exit::Conflict, code::SOMEBODYS),
        server::Error::Token(_) => (Exit::Usage, code::NOT_LET_IN),
        server::Error::NotLetIn(refusal) => (refusal.exit, code::NOT_LET_IN),
        server::Error::Node(_) | server::Error::Api(api::Error::Bind { .. }) | server::Error::Http { .. } => {
            match kind {
                Some(ErrorKind::AddrInUse) => (Exit::Conflict, code::PORT_IN_USE),
                // Another process has the directory.
                Some(ErrorKind::WouldBlock) => (Exit::Conflict, code::NODE_START),
                _ => (Exit::Unexpected, code::NODE_START),
            }
        }
        server::Error::Backup(_) | server::Error::Plant(_) => (Exit::Invalid, code::BACKUP_DAMAGED),
        server::Error::Api(_)
        | server::Error::System(_)
        | server::Error::Identity(_)
        | server::Error::Tls(_)
        | server::Error::Sign(_)
        | server::Error::NotFormed(_) => (Exit::Unexpected, code::NODE_START),
    };
    Error::new(exit, code, detail)
}
