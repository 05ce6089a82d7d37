//! Free space: the watermark below which ordinary proposals are refused, and the stop when the disk is full.
//! A full disk is not a verdict; the replica opens again when there is space.

use super::{Group, Notice};
use crate::store::JobKind;

/// Ticks between two looks at the free space (half a second at 50 ms).
pub(super) const DISK_CHECK_TICKS: u64 = 10;
/// Back to normal at this multiple of the watermark, so that it does not flap.
const RECOVERED_FACTOR: u64 = 2;

#[derive(Debug, Default)]
pub(super) struct Disk {
    low: bool,
    stopped: Option<(String, Cause)>,
    returned: bool,
}

/// Why a replica stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No space; it may be opened again when there is some.
    Full,
    /// Something acknowledged is gone; it never takes part again.
    Amnesia,
}

impl Disk {
    pub(super) fn is_low(&self) -> bool {
        self.low
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Stopped for want of space, and for nothing else.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.stopped, Some((_, Cause::Full)))
    }

    /// The next look that finds space says so once more.
    pub(super) fn try_again(&mut self) {
        self.returned = false;
    }

    pub(super) fn stopped(&self) -> Option<&String> {
        self.stopped.as_ref().map(|(reason, _)| reason)
    }
}

impl Group {
    pub(super) fn check_disk(&mut self) {
        let free = match self.backend.free_bytes() {
            Ok(free) => free,
            Err(error) => {
                slog::warn!(self.log, "free space is not known"; "error" => %error);
                return;
            }
        };
        let watermark = self.config.disk_low_bytes;
        if let Some((_, cause)) = &self.disk.stopped {
            if free >= watermark && *cause == Cause::Full && !self.disk.returned {
                self.disk.returned = true;
                self.notify(Notice::SpaceReturned);
            }
            return;
        }
        let low =
            if self.disk.low { free < watermark.saturating_mul(RECOVERED_FACTOR) } else { free < watermark };
        if low == self.disk.low {
            return;
        }
        self.disk.low = low;
        self.notify(Notice::DiskLow { low });
        if self.config.ballast_bytes > 0 {
            let bytes = if low { 0 } else { self.config.ballast_bytes };
            self.push(JobKind::Ballast { bytes });
        }
    }

    /// Nothing more is written or said by this replica; nothing that it promised is lost by that.
    pub(super) fn stop(&mut self, reason: String, cause: Cause) {
        self.lose_epoch();
        self.drop_reads();
        self.flights.clear();
        self.incoming = None;
        self.node.mut_store().desk.get_mut().clear();
        self.disk.stopped = Some((reason.clone(), cause));
        self.notify(Notice::Stopped { reason });
    }
}
