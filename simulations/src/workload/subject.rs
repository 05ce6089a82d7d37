//! What has one value at a time, which each order about it replaces; and how one sees it. Must not know what was ordered.

use hortator_core::id::{Name, WorkflowName};
use hortator_proto::api::{Query, Response};

use super::FREE_WORD;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Switch(WorkflowName, Name),
    /// By the hash of its definition.
    Workflow(WorkflowName),
    Worker(Name),
    KeptRuns,
    /// Of a namespace, by resource.
    Quota(Name, String),
}

pub(super) const ON_WORD: &str = "on";
pub(super) const OFF_WORD: &str = "off";

impl Subject {
    /// What shows it.
    pub fn query(&self) -> Query {
        match self {
            Subject::Switch(workflow, schedule) => {
                Query::Schedule { workflow: workflow.clone(), schedule: schedule.clone() }
            }
            Subject::Workflow(name) => Query::Workflow { name: name.clone(), version: None },
            Subject::Worker(_) => Query::Workers,
            Subject::KeptRuns => Query::Settings,
            Subject::Quota(..) => Query::Quotas,
        }
    }

    /// None where the answer says nothing of it, or not for the whole cluster.
    pub fn read(&self, answer: &Response) -> Option<String> {
        let switch = |on: bool| if on { ON_WORD } else { OFF_WORD }.to_owned();
        match (self, answer) {
            (Subject::Switch(..), Response::Schedule(view)) => Some(switch(view.switched_off.is_none())),
            (Subject::Workflow(_), Response::Workflow(detail)) => Some(detail.hash.clone()),
            (Subject::Worker(name), Response::Workers(views)) => {
                let view = views.iter().find(|view| view.name == *name && view.seen_by.is_none())?;
                Some(switch(view.ordered.is_none()))
            }
            (Subject::KeptRuns, Response::Settings(view)) => Some(view.history.keep_runs.to_string()),
            (Subject::Quota(namespace, resource), Response::Quotas(views)) => {
                let view = views.iter().find(|view| view.namespace == *namespace);
                let most = view.and_then(|view| view.most.get(resource));
                Some(most.map_or_else(|| FREE_WORD.to_owned(), u64::to_string))
            }
            _ => None,
        }
    }
}
