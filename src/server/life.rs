//! The life of a process: it says when it is ready, shows signs of life, and ends when it is asked to.

use std::io::Write;
use std::time::Duration;

use slog::{Logger, error, info};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::notify::Supervisor;
use super::{Error, Nodes, signals};

/// Between two looks whether all is well: readiness is told this late.
const LOOK: Duration = Duration::from_millis(100);
/// The same once it is ready and nobody watches.
const PAUSE: Duration = Duration::from_secs(1);
/// A look that takes longer is no sign of life.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Returns when the process was asked to end and all is over; an error when a node of it was refused by its cluster.
pub fn live(mut nodes: Nodes, grace: Duration, log: &Logger) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::System)?;
    let asked = signals::asked_to_end(log)?;
    let supervisor = Supervisor::of_environment();
    announce(&nodes);
    let ended = runtime.block_on(until_asked(&mut nodes, &supervisor, asked));
    supervisor.tell("STOPPING=1");
    info!(log, "stopping"; "grace" => ?grace);
    end_after(grace, log);
    nodes.stop(&runtime, grace);
    ended
}

fn announce(nodes: &Nodes) {
    let mut out = std::io::stdout().lock();
    // Whoever started this may not read it.
    let _ = nodes.ready_lines().iter().try_for_each(|line| writeln!(out, "{line}"));
    let _ = out.flush();
}

async fn until_asked(
    nodes: &mut Nodes,
    supervisor: &Supervisor,
    asked: oneshot::Receiver<()>,
) -> Result<(), Error> {
    tokio::select! {
        biased;
        _ = asked => Ok(()),
        refusal = watch(nodes, supervisor) => Err(refusal),
    }
}

/// Ready is told once. A sign of life is one of the node's own parts, which answer only while they work.
/// Returns when a node is refused.
async fn watch(nodes: &mut Nodes, supervisor: &Supervisor) -> Error {
    let pause = supervisor.watchdog.map_or(PAUSE, |most| most / 3);
    let (mut ready, mut told) = (false, String::new());
    loop {
        nodes.tend();
        if let Some(refusal) = nodes.refusal() {
            return refusal;
        }
        if let Ok(lacks) = timeout(LOOK_MAX, nodes.lacks()).await {
            let status = lacks.clone().unwrap_or_else(|| "at work".into());
            if status != told {
                supervisor.tell(&format!("STATUS={status}"));
                told = status;
            }
            if lacks.is_none() && !ready {
                supervisor.tell("READY=1");
                ready = true;
            }
            if supervisor.watchdog.is_some() {
                supervisor.tell("WATCHDOG=1");
            }
        }
        sleep(if ready { pause } else { pause.min(LOOK) }).await;
    }
}

/// Ends the process, whatever it is still doing. Stopping blocks the main thread at times, so another watches it.
fn end_after(grace: Duration, log: &Logger) {
    let log = log.clone();
    let watch = move || {
        std::thread::sleep(grace);
        error!(log, "not everything has stopped in time, so the process ends now"; "grace" => ?grace);
        // The line above is written by another thread.
        std::thread::sleep(LOOK);
        std::process::exit(1);
    };
    // Without this thread a stop may take longer, which is no reason not to stop.
    let _ = std::thread::Builder::new().name("grace".into()).spawn(watch);
}
