//! Rows that core does not define, as messages and back.
//! Must not know keys.

use hortator_core::time::Timestamp;
use hortator_core::workflow::Started;

use super::{ClusterRow, VersionRow, WorkerRow, WorkflowRow};
use crate::codec::Form;
use crate::convert::{id, need, worker};
use crate::error::Unreadable;
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
            session_high: id::high(self.session),
            session_low: id::low(self.session),
            profile: Some(worker::profile_message(&self.profile)).into(),
            registered_at: self.registered_at.0,
            lost_through: self.lost_through,
            spooled: id::fenced_list(&self.spooled),
            cordoned: self.cordoned,
            ..Default::default()
        }
    }

    fn from_message(message: wire::WorkerRow) -> Result<WorkerRow, Unreadable> {
        Ok(WorkerRow {
            name: id::name(message.name)?,
            incarnation: message.incarnation,
            session: id::join(message.session_high, message.session_low),
            profile: worker::profile(need(message.profile, "profile of the worker")?)?,
            registered_at: Timestamp(message.registered_at),
            lost_through: message.lost_through,
            spooled: id::read_fenced_list(&message.spooled)?,
            cordoned: message.cordoned,
        })
    }
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
        })
    }
}
