//! Rows that core does not define, as messages and back.
//! Must not know keys.

use hortator_core::lease::{LeaseRule, LeaseTerms, Leases};
use hortator_core::retention::{DEFAULT_RULE, HistoryRule};
use hortator_core::time::{Span, Timestamp};
use hortator_core::workflow::Started;

use super::{Admission, ClusterRow, Ordered, SettingsRow, VersionRow, WorkerRow, WorkflowRow};
use crate::codec::Form;
use crate::convert::{id, need, unknown_kind, worker};
use crate::error::Unreadable;
use crate::generated::id::Nothing;
use crate::generated::row as wire;

impl Form for WorkflowRow {
    type Message = wire::Workflow;
    const WHAT: &'static str = "workflow's row";

    fn to_message(&self) -> wire::Workflow {
        wire::Workflow {
            namespace: self.name.namespace.to_string(),
            name: self.name.name.to_string(),
            latest: self.latest,
            created_at: self.created_at.0,
            ..Default::default()
        }
    }

    fn from_message(message: wire::Workflow) -> Result<WorkflowRow, Unreadable> {
        Ok(WorkflowRow {
            name: id::workflow(&message.namespace, &message.name)?,
            latest: message.latest,
            created_at: Timestamp(message.created_at),
        })
    }
}

impl Form for VersionRow {
    type Message = wire::Version;
    const WHAT: &'static str = "row of a workflow's version";

    fn to_message(&self) -> wire::Version {
        wire::Version {
            version: self.version,
            hash: self.hash.clone(),
            tasks: self.tasks,
            applied_at: self.applied_at.0,
            by: self.by.clone(),
            source_chunks: self.source_chunks,
            canonical_chunks: self.canonical_chunks,
            ..Default::default()
        }
    }

    fn from_message(message: wire::Version) -> Result<VersionRow, Unreadable> {
        Ok(VersionRow {
            version: message.version,
            hash: message.hash,
            tasks: message.tasks,
            applied_at: Timestamp(message.applied_at),
            by: message.by,
            source_chunks: message.source_chunks,
            canonical_chunks: message.canonical_chunks,
        })
    }
}

impl Form for Started {
    type Message = wire::StartKey;
    const WHAT: &'static str = "row of a start's key";

    fn to_message(&self) -> wire::StartKey {
        wire::StartKey {
            run_high: id::high(self.run.0),
            run_low: id::low(self.run.0),
            request_hash: self.request_hash,
            ..Default::default()
        }
    }

    fn from_message(message: wire::StartKey) -> Result<Started, Unreadable> {
        let run = id::run_id(message.run_high, message.run_low);
        Ok(Started { run, request_hash: message.request_hash })
    }
}

impl Form for WorkerRow {
    type Message = wire::WorkerRow;
    const WHAT: &'static str = "worker's row";

    fn to_message(&self) -> wire::WorkerRow {
        wire::WorkerRow {
            name: self.name.to_string(),
            incarnation: self.incarnation,
            number: self.life.number,
            session_high: id::high(self.life.nonce),
            session_low: id::low(self.life.nonce),
            profile: Some(worker::profile_message(&self.profile)).into(),
            registered_at: self.registered_at.0,
            lost_through: self.lost_through,
            spooled: id::fenced_list(&self.spooled),
            admission: admission_message(&self.admission),
            ..Default::default()
        }
    }

    fn from_message(message: wire::WorkerRow) -> Result<WorkerRow, Unreadable> {
        Ok(WorkerRow {
            name: id::name(message.name)?,
            incarnation: message.incarnation,
            life: worker::life(message.number, message.session_high, message.session_low),
            profile: worker::profile(need(message.profile, "profile of the worker")?)?,
            registered_at: Timestamp(message.registered_at),
            lost_through: message.lost_through,
            spooled: id::read_fenced_list(&message.spooled)?,
            admission: message.admission.map_or(Admission::Open, admission),
        })
    }
}

fn admission_message(admission: &Admission) -> Option<wire::worker_row::Admission> {
    use wire::worker_row::Admission as Wire;
    let ordered = |ordered: &Ordered| wire::Ordered {
        by: ordered.by.clone(),
        since: ordered.since.0,
        ..Default::default()
    };
    match admission {
        Admission::Open => None,
        Admission::Cordoned(by) => Some(Wire::Cordoned(ordered(by))),
        Admission::Draining(by) => Some(Wire::Draining(ordered(by))),
    }
}

fn admission(message: wire::worker_row::Admission) -> Admission {
    use wire::worker_row::Admission as Wire;
    let ordered = |message: wire::Ordered| Ordered { by: message.by, since: Timestamp(message.since) };
    match message {
        Wire::Cordoned(by) => Admission::Cordoned(ordered(by)),
        Wire::Draining(by) => Admission::Draining(ordered(by)),
    }
}

impl Form for SettingsRow {
    type Message = wire::Settings;
    const WHAT: &'static str = "row of the settings";

    fn to_message(&self) -> wire::Settings {
        wire::Settings {
            asked: Some(leases_message(self.leases.asked)).into(),
            in_force: Some(leases_message(self.leases.in_force)).into(),
            outlasting: self.leases.outlasting.0,
            history: Some(wire::HistoryKept {
                keep: self.history.keep.0,
                keep_runs: self.history.keep_runs,
                ..Default::default()
            })
            .into(),
            ..Default::default()
        }
    }

    fn from_message(message: wire::Settings) -> Result<SettingsRow, Unreadable> {
        let leases = LeaseRule {
            asked: leases(need(message.asked, "leases that are asked for")?)?,
            in_force: leases(need(message.in_force, "leases that are in force")?)?,
            outlasting: Span(message.outlasting),
        };
        let history = message.history.into_option().map_or(DEFAULT_RULE, |history| HistoryRule {
            keep: Span(history.keep),
            keep_runs: history.keep_runs,
        });
        Ok(SettingsRow { leases, history })
    }
}

fn leases_message(leases: Leases) -> wire::Leases {
    use wire::leases::Kind;
    let kind = match leases {
        Leases::NotKept => Kind::NotKept(Nothing::default()),
        Leases::Kept(LeaseTerms { worker_lease, declare_lost }) => Kind::Kept(wire::LeaseTerms {
            worker_lease: worker_lease.0,
            declare_lost: declare_lost.0,
            ..Default::default()
        }),
    };
    wire::Leases { kind: Some(kind), ..Default::default() }
}

fn leases(message: wire::Leases) -> Result<Leases, Unreadable> {
    use wire::leases::Kind;
    Ok(match message.kind {
        Some(Kind::NotKept(_)) => Leases::NotKept,
        Some(Kind::Kept(terms)) => Leases::Kept(LeaseTerms {
            worker_lease: Span(terms.worker_lease),
            declare_lost: Span(terms.declare_lost),
        }),
        None => return Err(unknown_kind("kind of leases", &message.special_fields)),
    })
}

impl Form for ClusterRow {
    type Message = wire::Cluster;
    const WHAT: &'static str = "cluster's row";

    fn to_message(&self) -> wire::Cluster {
        let number = u128::from_be_bytes(self.id);
        wire::Cluster {
            id_high: id::high(number),
            id_low: id::low(number),
            shards: self.shards,
            generation: self.generation,
            feature_level: self.feature_level,
            next_master: self.next_master,
            ..Default::default()
        }
    }

    fn from_message(message: wire::Cluster) -> Result<ClusterRow, Unreadable> {
        if message.shards == 0 {
            return Err(Unreadable::Missing("number of shards"));
        }
        Ok(ClusterRow {
            id: id::join(message.id_high, message.id_low).to_be_bytes(),
            shards: message.shards,
            generation: message.generation,
            feature_level: message.feature_level,
            next_master: message.next_master,
        })
    }
}
