//! `hortator run FILE` and `hortator dev`: a cluster in this process.
//! Once it runs, it is asked over HTTP like any other; only starting and stopping it is done here.

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use hortator_core::definition::{self, Parsed, inputs};
use hortator_core::id::RunId;
use hortator_core::limit::MAX_MOST;

use super::runs::submit;
use super::staying::{Meanwhile, Outcome, exit_of, until_end};
use super::{result, workflow};
use crate::api::body::{AcceptedBody, CancelBody, ChangedBody, LimitBody, StartBody};
use crate::cli::args::{DevArgs, Global, RunFileArgs};
use crate::cli::client::{Call, Target, Way};
use crate::cli::context::{Context, config_home, save};
use crate::cli::error::{Error, Exit, code};
use crate::cli::follow::infos;
use crate::cli::logging::logger;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::signals::{Asked, exit_when_asked_again, interrupted};
use crate::config::Config;
use crate::live_faults::{Board, LiveFaults};
use crate::node::{Embedded, EmbeddedConfig, start_embedded};

/// Slots of a worker when nobody says: tasks wait more than they compute.
const SLOTS_MIN: u32 = 8;
/// Ports tried after the usual one when it is in use.
const PORTS_TRIED: u16 = 50;

/// `hortator run FILE`. Starts everything on this thread: the parts of a node outlive no thread that they did not
/// start themselves.
pub fn run_file(args: RunFileArgs, global: &Global, config: &Config, output: Output) -> Result<Exit, Error> {
    let path = args.file.clone().expect("clap requires the file");
    let (name, bytes) = workflow::read_file(&path)?;
    let parsed = workflow::check(&name, &bytes)?;
    if !parsed.warnings.is_empty() {
        eprint!("{}", definition::render_all(&parsed.warnings, &String::from_utf8_lossy(&bytes)));
    }
    check_inputs(&parsed, &args)?;
    // The cluster's own lines would stand between the tasks'.
    let level = if global.verbose > 0 { &config.log.level } else { "error" };
    let (log, _written) = logger(level)?;
    let place = Place::new(args.data.as_deref())?;
    let embedded = start(EmbeddedConfig {
        cluster: "run".into(),
        masters: 1,
        workers: 1,
        slots: args.slots.unwrap_or_else(|| slots(config)),
        data: place.path().to_owned(),
        port: 0,
        log,
        faults: LiveFaults::Off,
    })?;
    let session = session(&embedded, config, output, global)?;
    let exit = block_on(execute(&session, &args, name, bytes, parsed));
    if let Ok(Exit::Interrupted) = exit {
        // Interrupted twice: the tasks end with this process, whose warden sees to that.
        place.remove();
        return exit;
    }
    exit_when_asked_again();
    embedded.stop();
    place.remove();
    exit
}

fn check_inputs(parsed: &Parsed, args: &RunFileArgs) -> Result<(), Error> {
    let given = args.inputs.iter().cloned().collect();
    inputs::resolve(&parsed.definition, &given).map(|_| ()).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Error::new(Exit::Usage, "H2401", errors.join("; ")).hint("give inputs as -i NAME=VALUE")
    })
}

async fn execute(
    session: &Session,
    args: &RunFileArgs,
    name: String,
    bytes: Vec<u8>,
    parsed: Parsed,
) -> Result<Exit, Error> {
    // From before the run is there: whoever sees it may ask for its end.
    let mut asked = Asked::listen()?;
    let applied = workflow::send(session, &name, bytes, None).await?;
    // The run has this cluster for itself: what others leave of a limit elsewhere is not known here.
    for name in parsed.definition.limits() {
        let path = format!("/limits/{}/{}", name.namespace, name.name);
        let call = Call::post_json(path, &LimitBody { max: MAX_MOST });
        let _: ChangedBody = session.client.ask(call).await?;
    }
    let body = StartBody {
        workflow: applied.name,
        namespace: applied.namespace,
        inputs: args.inputs.iter().cloned().collect(),
        priority: None,
        version: Some(applied.version),
    };
    let run = submit(session, &body, None).await?.run;
    let meanwhile = match args.follow {
        true => Meanwhile::Logs(infos(&parsed.definition)),
        false => Meanwhile::Progress,
    };
    let timeout = args.timeout.map(|span| span.as_duration());
    match until_end(session, run, meanwhile, timeout, &mut asked).await? {
        Outcome::Ended(state) => {
            result::print(session, run).await?;
            Ok(exit_of(&state))
        }
        Outcome::TimedOut => {
            eprintln!("the time is over; cancelling the run");
            cancel(session, run, "its time was over", Exit::TimedOut, &mut asked).await
        }
        Outcome::Interrupted => {
            eprintln!("\ncancelling the run; Ctrl-C once more ends it at once");
            cancel(session, run, "interrupted", Exit::RunFailed, &mut asked).await
        }
    }
}

/// Cancels the run, waits for its last task to end, and shows the result.
async fn cancel(
    session: &Session,
    run: RunId,
    reason: &str,
    exit: Exit,
    asked: &mut Asked,
) -> Result<Exit, Error> {
    let body = CancelBody { reason: Some(reason.into()) };
    // A run that ended meanwhile cannot be cancelled; its end is then seen below.
    let _: Result<AcceptedBody, Error> =
        session.client.ask(Call::post_json(format!("/runs/{run}/cancel"), &body)).await;
    match until_end(session, run, Meanwhile::Progress, None, asked).await? {
        Outcome::Ended(_) => {
            result::print(session, run).await?;
            Ok(exit)
        }
        Outcome::Interrupted | Outcome::TimedOut => Ok(Exit::Interrupted),
    }
}

/// `hortator dev`
pub fn dev(args: DevArgs, global: &Global, config: &Config, output: Output) -> Result<Exit, Error> {
    let (log, _written) = logger(&config.log.level)?;
    let place = Place::new(args.data.as_deref())?;
    let (masters, workers) =
        (args.masters.unwrap_or(config.dev.masters), args.workers.unwrap_or(config.dev.workers));
    let port = match args.port {
        Some(port) => free_port(port, 0)?,
        None => free_port(config.dev.port, PORTS_TRIED)?,
    };
    let embedded = start(EmbeddedConfig {
        cluster: "dev".into(),
        masters,
        workers,
        slots: args.slots.unwrap_or_else(|| slots(config)),
        data: place.path().to_owned(),
        port,
        faults: if args.faults { LiveFaults::On(Board::start(&log)) } else { LiveFaults::Off },
        log,
    })?;
    let written = write_context(&embedded);
    let ready = written.and_then(|()| announce(&embedded, masters, workers, &place, &output, global));
    let waited = ready.and_then(|()| block_on(interrupted()));
    eprintln!("stopping");
    exit_when_asked_again();
    embedded.stop();
    if place.is_temporary() && waited.is_ok() {
        output.hint("its data is gone; keep it next time with: hortator dev --data DIR");
    }
    place.remove();
    waited.map(|()| Exit::Success)
}

fn write_context(embedded: &Embedded) -> Result<(), Error> {
    let Some(home) = config_home() else {
        eprintln!("warning: neither XDG_CONFIG_HOME nor HOME is set, so no context is written");
        return Ok(());
    };
    let context = Context {
        addresses: vec![embedded.api.into()],
        token: embedded.token.clone(),
        ca: None,
        learned: Vec::new(),
        namespace: None,
    };
    save(&home, "dev", context)
}

/// The ready line on stdout is what scripts wait for.
fn announce(
    embedded: &Embedded,
    masters: u32,
    workers: u32,
    place: &Place,
    output: &Output,
    global: &Global,
) -> Result<(), Error> {
    let url = format!("http://{}", embedded.api);
    if !global.quiet && !output.is_json() {
        let count =
            |number: u32, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let kept = match place.is_temporary() {
            true => "temporary; keep data with --data DIR".into(),
            false => format!("data in {}", place.path().display()),
        };
        eprintln!(
            "  Hortator {}   {}, {} in this process   ({kept})",
            env!("CARGO_PKG_VERSION"),
            count(masters, "master"),
            count(workers, "worker"),
        );
        eprintln!("  API     {url}/api/v1");
        eprintln!("  CLI     already pointed here: try  hortator status   in another terminal");
        eprintln!("  Samples hortator workflow apply configs/workflows/*.workflow.yaml");
    }
    match output.is_json() {
        true => {
            output.text(&format!("{}\n", serde_json::json!({ "ready": true, "api": url, "context": "dev" })))
        }
        false => output.text(&format!("ready {url}\n")),
    }
}

/// The port, or one of the next when it is in use and others may be tried.
fn free_port(port: u16, others: u16) -> Result<u16, Error> {
    for candidate in port..=port.saturating_add(others) {
        if candidate == 0 || TcpListener::bind(("127.0.0.1", candidate)).is_ok() {
            if candidate != port {
                eprintln!("port {port} is in use; taking {candidate}");
            }
            return Ok(candidate);
        }
    }
    Err(Error::new(Exit::Conflict, code::PORT_IN_USE, format!("port {port} is in use"))
        .hint("choose another with --port, or --port 0 for any"))
}

fn slots(config: &Config) -> u32 {
    match config.dev.slots {
        0 => SLOTS_MIN.max(2 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)),
        slots => slots,
    }
}

pub(super) fn start(config: EmbeddedConfig) -> Result<Embedded, Error> {
    start_embedded(config).map_err(|error| {
        let mut detail = format!("the cluster did not start: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            detail.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Error::new(Exit::Unavailable, code::CLUSTER_START, detail)
    })
}

fn session(embedded: &Embedded, config: &Config, output: Output, global: &Global) -> Result<Session, Error> {
    let target = Target {
        addresses: vec![embedded.api.into()],
        token: embedded.token.clone(),
        way: Way::Plain,
        source: "this process".into(),
    };
    session_with(target, config, output, global)
}

/// For a cluster that this process has started.
pub(super) fn session_with(
    target: Target,
    config: &Config,
    output: Output,
    global: &Global,
) -> Result<Session, Error> {
    let namespace = crate::api::body::namespace_default();
    Ok(Session::new(target, config, output, namespace, global.verbose > 0))
}

/// Runs a client's work on this thread.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(work)
}

/// Where a cluster's files lie.
#[derive(Debug)]
pub(super) enum Place {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    pub(super) fn new(data: Option<&Path>) -> Result<Place, Error> {
        match data {
            Some(path) => Ok(Place::Kept(path.to_owned())),
            None => match tempfile::Builder::new().prefix("hortator-").tempdir() {
                Ok(directory) => Ok(Place::Temporary(directory)),
                Err(error) => Err(Error::io("cannot make a temporary directory", &error)),
            },
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Place::Kept(path) => path,
            Place::Temporary(directory) => directory.path(),
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Place::Temporary(_))
    }

    pub(super) fn remove(self) {
        if let Place::Temporary(directory) = self
            && let Err(error) = directory.close()
        {
            eprintln!("warning: the temporary directory cannot be removed: {error}");
        }
    }
}
