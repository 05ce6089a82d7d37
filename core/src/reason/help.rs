//! What would help against each reason, with commands that can be pasted where there is one.
//! Must not know who may run them.

use super::{Dimension, PauseScope, Reason, SentStage, Shortage, text::count};

impl Reason {
    /// What would help, one or two sentences.
    pub fn help(&self) -> String {
        match self {
            Reason::WaitsForTask { tasks, .. } => match tasks.first() {
                Some(first) => format!(
                    "see what {:?} waits for: hortator explain RUN/{}",
                    first.task.as_str(),
                    first.task
                ),
                None => self.general_help(),
            },
            Reason::ItemsFull { max, .. } => {
                format!("wait for an item to end, or raise foreach.parallel above {max} in the workflow")
            }
            Reason::RunsFull { limit, .. } => format!(
                "wait for a run to end, cancel one with hortator cancel RUN, or raise concurrency.runs above {limit}"
            ),
            Reason::Paused { scope: PauseScope::Schedule(schedule), .. } => {
                format!("hortator schedule enable WORKFLOW/{schedule}")
            }
            Reason::Quarantined { .. } => {
                "keep this message for a report, then cancel the run (hortator cancel RUN) and start it again"
                    .into()
            }
            Reason::LimitFull { key, needed, max, .. } if needed > max => {
                format!("ask for less, or raise it: hortator limit set {key} {needed}")
            }
            Reason::LimitFull { key, .. } => {
                format!(
                    "wait for a holder to end (hortator limit show {key}), or raise it: hortator limit set {key} N"
                )
            }
            Reason::LimitUnknown { key } => {
                format!("set it (hortator limit set {key} N), or correct the name in the workflow")
            }
            Reason::NoCapacity { group, workers, .. } => {
                let nearest = workers.iter().min_by_key(|w| w.needed.saturating_sub(w.free));
                let short = nearest.map(short_by).unwrap_or_else(|| count(1, "slot"));
                format!("add a worker to group \"{group}\", or ask for less: the nearest is short by {short}")
            }
            Reason::GroupEmpty { group, similar, .. } => match similar.first() {
                Some(near) => format!("start a worker with --group {group}, or use group \"{near}\""),
                None => format!("start a worker with --group {group}"),
            },
            Reason::GroupUnknown { group, similar, .. } => match similar.first() {
                Some(near) => {
                    format!("did you mean \"{near}\"? Otherwise start a worker with --group {group}")
                }
                None => format!("correct the group in the workflow, or start a worker with --group {group}"),
            },
            Reason::WorkersDraining { workers, .. } => match workers.first() {
                Some(first) => format!("hortator worker uncordon {}, or add a worker", first.worker),
                None => self.general_help(),
            },
            Reason::KindUnsupported { kind, .. } => {
                format!("upgrade the workers, or use a group that runs tasks of kind {kind}")
            }
            Reason::Behind { ahead: 0, .. } => "nothing to do: it is its turn".to_owned(),
            Reason::SentNotAcknowledged { worker, stage: SentStage::Sent { .. }, .. } => {
                format!("usually passes by itself; otherwise: hortator worker show {}", worker.name)
            }
            Reason::WorkerSilent { worker, .. } => {
                format!(
                    "look at its host: hortator worker show {}; its loss is decided by itself",
                    worker.name
                )
            }
            _ => self.general_help(),
        }
    }

    /// The catalogue's advice.
    fn general_help(&self) -> String {
        super::code_entry(self.code()).expect("every code is in the catalogue").help.to_owned()
    }
}

fn short_by(shortage: &Shortage) -> String {
    let least = shortage.needed.saturating_sub(shortage.free).max(1);
    match &shortage.dimension {
        Dimension::Slots | Dimension::SlotsRefused => count(least, "slot"),
        Dimension::Cpu => format!("{} cpu", least as f64 / 1000.0),
        Dimension::Memory => format!("{least} MiB memory"),
        Dimension::Disk => format!("{least} MiB disk"),
        Dimension::Gpu => format!("{least} gpu"),
        Dimension::Named(name) => format!("{least} {name}"),
    }
}
