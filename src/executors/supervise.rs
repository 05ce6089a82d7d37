//! The life of wardens: follows one until it is gone, makes sure that nothing it had is left, starts the next.
//! Must not know attempts.

use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hortator_actors::seam::LaunchEvent;
use hortator_core::time::Timestamp;
use slog::{error, info, warn};

use super::connection::{Connection, start_warden};
use super::follow::Follower;
use super::launcher::Shared;
use crate::warden::lock::clear_and_lock;
use crate::warden::wall_micros;
use crate::warden::wire::EndReason;

/// Least time between a warden's end and the word that a new one is ready: what the agent asked of the old one
/// without knowing of its end must not reach the new one.
const REPLACE_PAUSE: Duration = Duration::from_millis(200);

/// Between tries to get a new warden.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The follow thread: ends when the launcher was shut down.
pub(super) fn run(shared: &Shared, mut child: Child, mut connection: Arc<Connection>) {
    loop {
        let (reason, left) = Follower::new(shared, &connection).run();
        let gone_at = Instant::now();
        let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        shared.orders.refuse();
        *shared.connection.lock().expect("no panic under this lock") = None;
        // After the lock was ours once, nothing is half handed over any more.
        let now = Timestamp(wall_micros());
        let half_started = connection.take_fresh().into_iter().map(|(_, followed)| followed);
        let abandoned = left.into_iter().chain(half_started).map(|f| f.abandon(now, shared)).count();
        let reason = reason_text(reason, &status);
        info!(shared.log, "warden gone"; "reason" => &reason, "attempts_without_end" => abandoned);
        shared.deliver(vec![LaunchEvent::WardenGone { reason }]);
        match replace(shared, gone_at) {
            Some((new_child, new_connection)) => (child, connection) = (new_child, new_connection),
            None => break,
        }
    }
    shared.orders.close();
    shared.remover.close();
}

fn reason_text(reason: Option<EndReason>, status: &str) -> String {
    match reason {
        Some(EndReason::Shutdown) => "it was told to end".into(),
        Some(EndReason::Deadline) => "the lease deadline has passed".into(),
        Some(EndReason::AgentGone) => "it lost its agent".into(),
        None => format!("it died unexpectedly ({status})"),
    }
}

/// Kills what the old warden left and starts a new one, however long that takes; none after a shutdown.
fn replace(shared: &Shared, gone_at: Instant) -> Option<(Child, Arc<Connection>)> {
    while !shared.orders.is_shut_down() {
        let tag_base = shared.lock.tag_base;
        let lock = clear_and_lock(&shared.config.data_dir, Some(tag_base), Duration::ZERO, &shared.log);
        let lock = match lock {
            Ok(lock) => lock,
            Err(error) => {
                error!(shared.log, "no new warden: the old one's processes do not end"; "error" => %error);
                std::thread::sleep(RETRY_PAUSE);
                continue;
            }
        };
        match start_warden(&shared.config.warden, lock, shared.open_files, tag_base) {
            Ok((child, connection)) => {
                let connection = Arc::new(connection);
                std::thread::sleep(REPLACE_PAUSE.saturating_sub(gone_at.elapsed()));
                *shared.connection.lock().expect("no panic under this lock") = Some(connection.clone());
                shared.orders.accept();
                if shared.orders.is_shut_down() {
                    // Asked for while there was nobody to tell.
                    shared.orders.shutdown();
                }
                info!(shared.log, "new warden"; "pid" => child.id());
                // This agent has run under one boot, and everything of the old warden is dead.
                shared.deliver(vec![LaunchEvent::WardenReady { earlier_lives_dead: true }]);
                return Some((child, connection));
            }
            Err(error) => {
                warn!(shared.log, "no new warden yet"; "error" => %error);
                std::thread::sleep(RETRY_PAUSE);
            }
        }
    }
    // So that nothing is left when the launcher is.
    if let Err(error) =
        clear_and_lock(&shared.config.data_dir, Some(shared.lock.tag_base), Duration::ZERO, &shared.log)
    {
        error!(shared.log, "processes do not end"; "error" => %error);
    }
    None
}
