//! TERM and INT end the process cleanly, a second one at once; HUP is noticed.

use std::thread;

use slog::{Logger, info};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Error;

/// What a process that was ended by a signal exits with, by convention.
const SIGNALLED: i32 = 128;

/// Resolves when the process is asked to end. The signals are waited for on a thread of their own, which is there
/// also when the main thread is busy with the end.
pub(super) fn asked_to_end(log: &Logger) -> Result<oneshot::Receiver<()>, Error> {
    let (sender, receiver) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(Error::System)?;
    let (terminate, interrupt, hang_up) = {
        let _inside = runtime.enter();
        let wait = |kind| signal(kind).map_err(Error::System);
        (wait(SignalKind::terminate())?, wait(SignalKind::interrupt())?, wait(SignalKind::hangup())?)
    };
    let log = log.clone();
    let watch = move || runtime.block_on(watch([terminate, interrupt], hang_up, sender, &log));
    thread::Builder::new().name("signals".into()).spawn(watch).map_err(Error::System)?;
    Ok(receiver)
}

async fn watch(ends: [Signal; 2], mut hang_up: Signal, first: oneshot::Sender<()>, log: &Logger) {
    let mut first = Some(first);
    let [mut terminate, mut interrupt] = ends;
    loop {
        let signal = tokio::select! {
            biased;
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = hang_up.recv() => {
                info!(log, "signal ignored: the log goes to standard error, and configuration is read at a start";
                    "signal" => "HUP");
                continue;
            }
        };
        match first.take() {
            Some(first) => first.send(()).unwrap_or(()),
            None => std::process::exit(SIGNALLED + signal.as_raw_value()),
        }
    }
}
