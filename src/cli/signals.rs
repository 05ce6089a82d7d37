//! Ctrl-C and TERM: what a person or a supervisor says to end this process.
//! Must not know what is ended.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::{Error, Exit};

/// Hears from its making on, so that nothing is missed until somebody waits.
#[derive(Debug)]
pub(crate) struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    pub(crate) fn listen() -> Result<Asked, Error> {
        let hear = |kind| signal(kind).map_err(|error| Error::io("cannot wait for signals", &error));
        Ok(Asked { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())? })
    }

    /// Resolves when the process is asked to end, or was and nobody waited.
    pub(crate) async fn heard(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Resolves when the process is asked to end from now on.
pub(crate) async fn interrupted() -> Result<(), Error> {
    Asked::listen()?.heard().await;
    Ok(())
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
