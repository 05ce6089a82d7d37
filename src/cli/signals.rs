//! Ctrl-C and TERM: what a person or a supervisor says to end this process.
//! Must not know what is ended.

use tokio::signal::unix::{SignalKind, signal};

use super::error::{Error, Exit};

/// Resolves when the process is asked to end.
pub(crate) async fn interrupted() -> Result<(), Error> {
    let failed = |error| Error::io("cannot wait for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// From now on being asked once more ends the process at once, also while this thread waits for something.
pub(crate) fn exit_when_asked_again() {
    let watch = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        if let Ok(runtime) = runtime
            && runtime.block_on(interrupted()).is_ok()
        {
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    // Without the thread a stop cannot be cut short, which is no reason not to stop.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(watch);
}
