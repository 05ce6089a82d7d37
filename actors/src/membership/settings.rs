//! The settings' row on its way: written when the cluster is new, changed by operators and by the number of masters,
//! settled when what was shortened has passed. It must not know workers.

use hortator_core::lease::{LeaseRule, LeaseTerms, Leases};
use hortator_core::retention::{DEFAULT_RULE, HistoryRule};
use hortator_core::time::Span;
use hortator_proto::api::{Problem, ProblemKind, Response, SettingsChange, SettingsView};
use hortator_proto::row::{self, SettingsRow};
use hortator_raft::{ReadError, Rows, Write};
use slog::info;

use super::{Epoch, MembershipActor};
use crate::journal::Turn;

/// The row as this master has applied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settings {
    /// The first leader has not written it yet.
    Unwritten,
    Written {
        row: SettingsRow,
        /// When this master saw it first, in time since boot: no earlier than its commit.
        seen_at: Span,
    },
}

impl Settings {
    pub(super) fn row(&self) -> Option<&SettingsRow> {
        match self {
            Settings::Unwritten => None,
            Settings::Written { row, .. } => Some(row),
        }
    }

    /// As the rows have it now; a row that is the same was seen before.
    pub(super) fn read(&self, rows: &Rows, now: Span) -> Result<Settings, ReadError> {
        let Some(stored) = rows.get(&row::key::settings())? else { return Ok(Settings::Unwritten) };
        let row = SettingsRow::decode(&stored.value).expect("rows of this group were written by this crate");
        Ok(match self {
            Settings::Written { row: before, .. } if *before == row => *self,
            Settings::Written { .. } | Settings::Unwritten => Settings::Written { row, seen_at: now },
        })
    }
}

/// From this master's rows.
pub(super) fn answer(rows: &Rows) -> Response {
    let read =
        rows.get(&row::key::settings()).map(|stored| stored.map(|row| SettingsRow::decode(&row.value)));
    Response::Problem(match read {
        Ok(Some(Ok(SettingsRow { leases, history }))) => {
            return Response::Settings(SettingsView {
                leases: leases.asked,
                in_force: leases.in_force,
                nobody_lost_before: leases.outlasting,
                history,
            });
        }
        Ok(Some(Err(error))) => internal(&error),
        Ok(None) => unwritten(),
        Err(error) => internal(&error),
    })
}

fn internal(error: &dyn std::error::Error) -> Problem {
    Problem::new(ProblemKind::Internal, "H9004", format!("the settings cannot be read: {error}"))
}

fn unwritten() -> Problem {
    let detail = "the cluster has just been made, and its settings are not written yet";
    Problem::new(ProblemKind::Unavailable, "H1107", detail).hint("try again in a moment")
}

fn changed_leases(
    decided: &SettingsRow,
    change: &SettingsChange,
    masters: usize,
) -> Result<LeaseRule, Problem> {
    let SettingsChange { worker_lease, declare_lost, .. } = *change;
    if worker_lease.is_none() && declare_lost.is_none() {
        return Ok(decided.leases);
    }
    let Leases::Kept(present) = decided.leases.asked else {
        let detail =
            "this cluster runs in one process and keeps no leases: a worker is lost only with its warden";
        return Err(Problem::new(ProblemKind::Conflict, "H3072", detail));
    };
    let asked = LeaseTerms {
        worker_lease: worker_lease.unwrap_or(present.worker_lease),
        declare_lost: declare_lost.unwrap_or(present.declare_lost),
    };
    let terms = asked.check().map_err(|error| {
        let hint = "hortator settings set --worker-lease 10s --declare-lost 13s";
        Problem::new(ProblemKind::Invalid, "H3071", error.to_string()).hint(hint)
    })?;
    match terms == present {
        true => Ok(decided.leases),
        false => Ok(decided.leases.changed(Leases::Kept(terms), masters)),
    }
}

fn changed_history(decided: &SettingsRow, change: &SettingsChange) -> Result<HistoryRule, Problem> {
    let asked = HistoryRule {
        keep: change.history_keep.unwrap_or(decided.history.keep),
        keep_runs: change.history_keep_runs.unwrap_or(decided.history.keep_runs),
    };
    asked.check().map_err(|error| {
        let hint = "hortator settings set --history-keep 30d --history-keep-runs 10000";
        Problem::new(ProblemKind::Invalid, "H3073", error.to_string()).hint(hint)
    })
}

impl Epoch {
    /// What changed settings write, and the answer.
    pub(super) fn change_settings(
        &mut self,
        change: SettingsChange,
    ) -> Result<(Vec<Write>, Response), Problem> {
        let decided = self.settings.ok_or_else(unwritten)?;
        let row = SettingsRow {
            leases: changed_leases(&decided, &change, self.masters)?,
            history: changed_history(&decided, &change)?,
        };
        let response = |changed| Response::Changed { name: "settings".into(), changed };
        if row == decided {
            return Ok((Vec::new(), response(false)));
        }
        self.settings = Some(row);
        let write = Write::Put { key: row::key::settings(), value: row.encode() };
        Ok((vec![write], response(true)))
    }

    /// Settings that follow from what happens; they may run ahead of the rows.
    pub(super) fn decide_settings(&mut self, row: SettingsRow) {
        self.settings = Some(row);
        let write = Write::Put { key: row::key::settings(), value: row.encode() };
        self.journal.hand_in(Turn { writes: vec![write], ..Turn::default() });
        self.journal.flush();
    }
}

impl MembershipActor {
    /// What the settings' row lacks: its first writing, the number of masters, or that a change has passed.
    pub(super) fn tend_settings(&mut self, now: Span) {
        let masters = self.replicas.of(0).voters.len();
        let initial = self.initial_leases;
        let seen_at = match self.settings {
            Settings::Written { seen_at, .. } => seen_at,
            Settings::Unwritten => now,
        };
        let Some(epoch) = &mut self.epoch else { return };
        epoch.masters = masters;
        let Some(decided) = epoch.settings else {
            return epoch.decide_settings(SettingsRow {
                leases: LeaseRule::new(initial, masters),
                history: DEFAULT_RULE,
            });
        };
        let rule = decided.leases;
        let fitting = rule.changed(rule.asked, masters);
        if fitting != rule {
            info!(self.log, "leases follow the number of masters"; "masters" => masters,
                "in_force" => ?fitting.in_force);
            return epoch.decide_settings(SettingsRow { leases: fitting, ..decided });
        }
        // Leases of an earlier leader were given before this one's election, its own before it saw the new row.
        let older_until = Span(seen_at.0.max(epoch.began.0) + rule.outlasting.0);
        let is_applied = self.settings.row() == Some(&decided);
        if rule.settled() != rule && is_applied && now >= older_until {
            info!(self.log, "shorter leases count from here"; "in_force" => ?rule.in_force);
            epoch.decide_settings(SettingsRow { leases: rule.settled(), ..decided });
        }
    }

    /// What acknowledgements name; none until the first row is applied.
    pub(super) fn lease_in_force(&self) -> Option<Span> {
        self.settings.row().map(|row| match row.leases.in_force {
            Leases::NotKept => Span::ZERO,
            Leases::Kept(terms) => terms.worker_lease,
        })
    }
}
