//! The unacknowledged reports on disk: appended before they are sent, read again by the next life.
//! Must not know when a report is settled: it is told what is still waiting and rewrites the file from that.

use std::fmt;

use hortator_proto::frame::{FromWorker, Report};
use slog::{Logger, error, info, warn};

use super::reports::{FRAME_REPORTS_MAX, FRAME_WEIGHT_MAX, Reports, weight};
use crate::seam::SpoolFile;

/// A file this large is rewritten when most of it is settled; below it a rewrite is not worth its rename.
const REWRITE_BYTES: usize = 4 << 20;
/// A file this large is emptied when nothing waits.
const EMPTY_BYTES: usize = 64 << 10;

/// The file, and how much of it there is.
pub(crate) struct Spool {
    file: Box<dyn SpoolFile>,
    bytes: usize,
    /// The file lacks reports, since writing failed; they are in memory and sent all the same.
    failing: bool,
    log: Logger,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("bytes", &self.bytes).field("failing", &self.failing).finish()
    }
}

impl Spool {
    /// Opens the file and hands out what earlier lives left in it.
    pub(crate) fn open(mut file: Box<dyn SpoolFile>, log: Logger) -> (Spool, Vec<Report>) {
        let (records, failing) = match file.read() {
            Ok(records) => (records, false),
            Err(error) => {
                error!(log, "the spool cannot be read, its reports are lost"; "error" => %error);
                (Vec::new(), true)
            }
        };
        let bytes = records.iter().map(|record| record.len()).sum();
        let mut reports = Vec::new();
        for record in &records {
            match FromWorker::decode(record) {
                Ok(FromWorker::Reports(some)) => reports.extend(some),
                Ok(_) => warn!(log, "a record of the spool holds no reports"),
                Err(error) => warn!(log, "a record of the spool cannot be read"; "error" => %error),
            }
        }
        if !reports.is_empty() {
            info!(log, "reports of an earlier life are sent again"; "reports" => reports.len());
        }
        (Spool { file, bytes, failing, log }, reports)
    }

    /// Appends new reports. A failure loses nothing while this process lives: should it die too, the loss of its
    /// incarnation is committed for these attempts as if they had still been running.
    pub(crate) fn keep(&mut self, reports: Vec<Report>) {
        if self.failing {
            return;
        }
        for record in records(reports) {
            if let Err(error) = self.file.append(&record) {
                error!(self.log, "the spool cannot be written"; "error" => %error);
                self.failing = true;
                return;
            }
            self.bytes += record.len();
        }
    }

    /// Rewrites the file when most of it is settled, or when it lacks something.
    pub(crate) fn tidy(&mut self, waiting: &Reports) {
        let emptied = waiting.len() == 0 && self.bytes > EMPTY_BYTES;
        let mostly_settled = self.bytes > REWRITE_BYTES && waiting.weight() < self.bytes / 4;
        if emptied || mostly_settled {
            self.rewrite(waiting);
        }
    }

    /// After a failure: puts all that waits into a new file. Called at the slow pace of ticks.
    pub(crate) fn recover(&mut self, waiting: &Reports) {
        if self.failing {
            self.rewrite(waiting);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn rewrite(&mut self, waiting: &Reports) {
        let records = records(waiting.iter().cloned().collect());
        match self.file.replace(&records) {
            Ok(()) => {
                self.bytes = records.iter().map(|record| record.len()).sum();
                if self.failing {
                    info!(self.log, "the spool can be written again");
                }
                self.failing = false;
            }
            Err(error) if !self.failing => {
                error!(self.log, "the spool cannot be rewritten"; "error" => %error);
                self.failing = true;
            }
            Err(_) => {}
        }
    }
}

/// Records of the size of frames: they are frames.
fn records(reports: Vec<Report>) -> Vec<bytes::Bytes> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut record_weight = 0;
    for report in reports {
        let weight = weight(&report.word);
        if record.len() == FRAME_REPORTS_MAX
            || (record_weight + weight > FRAME_WEIGHT_MAX && record_weight > 0)
        {
            records.push(FromWorker::Reports(std::mem::take(&mut record)).encode());
            record_weight = 0;
        }
        record_weight += weight;
        record.push(report);
    }
    if !record.is_empty() {
        records.push(FromWorker::Reports(record).encode());
    }
    records
}
