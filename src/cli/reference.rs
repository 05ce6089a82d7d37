//! How people name runs, task runs and workflows on a command line.
//! Must not ask the cluster: which run `etl@latest` is, the master knows.

use std::fmt;
use std::str::FromStr;

use hortator_core::id::{Name, Position};
use hortator_core::time::Timestamp;

use super::client::{encode, query};
use super::error::Error;

/// `ID`, `NAME@latest`, `NAME@-1` or `NAMESPACE/NAME@…`, then perhaps `/TASK` or `/TASK[ITEM]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReference {
    /// As the API takes it.
    pub run: String,
    pub namespace: Name,
    pub task: Option<TaskReference>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskReference {
    pub task: Name,
    pub item: Option<u32>,
}

impl RunReference {
    pub fn parse(text: &str, namespace: &Name) -> Result<RunReference, Error> {
        let (namespace, rest) = match text.split_once('@').and_then(|(workflow, _)| workflow.split_once('/'))
        {
            Some((namespace, _)) => (name(namespace)?, &text[namespace.len() + 1..]),
            None => (namespace.clone(), text),
        };
        let (run, task) = match rest.split_once('/') {
            Some((run, task)) => (run, Some(TaskReference::parse(task)?)),
            None => (rest, None),
        };
        if run.is_empty() {
            return Err(Error::usage(format!("{text:?} names no run; write an id, NAME@latest or NAME@-1")));
        }
        if !run.contains('@') && run.len() != 26 {
            let hint = format!("its newest run is {run}@latest, all are in: hortator ps {run}");
            return Err(Error::usage(format!("{run:?} is not a run id")).hint(hint));
        }
        Ok(RunReference { run: run.into(), namespace, task })
    }

    /// `/runs/…`, with what follows, and the query.
    pub fn path(&self, below: &str, pairs: &[(&str, Option<String>)]) -> String {
        let namespace = self.run.contains('@').then(|| self.namespace.to_string());
        let mut all = vec![("namespace", namespace)];
        all.extend_from_slice(pairs);
        format!("/runs/{}{below}{}", encode(&self.run), query(&all))
    }
}

impl TaskReference {
    pub fn parse(text: &str) -> Result<TaskReference, Error> {
        let (task, item) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((task, item)) => {
                let number = item.parse().map_err(|_| {
                    Error::usage(format!(
                        "{item:?} is not the number of an item; write for example {task}[0]"
                    ))
                })?;
                (task, Some(number))
            }
            None => (text, None),
        };
        Ok(TaskReference { task: name(task)?, item })
    }
}

/// A moment of the past: `GROUP:INDEX`, or a time such as `2026-11-20T14:02:03Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Position(Position),
    Time(Timestamp),
}

/// The text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a position nor a time; write 2:812000 or 2026-11-20T14:02:03Z")]
pub struct NoMoment(String);

impl FromStr for Then {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Then, NoMoment> {
        let position = text.parse().map(Then::Position).ok();
        let then = position.or_else(|| text.parse().map(Then::Time).ok());
        then.ok_or_else(|| NoMoment(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Then::Position(position) => write!(f, "{position}"),
            Then::Time(time) => write!(f, "{time}"),
        }
    }
}

/// `NAME[@VERSION]` or `NAMESPACE/NAME[@VERSION]`.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowReference {
    pub namespace: Name,
    pub name: Name,
    pub version: Option<u32>,
}

impl WorkflowReference {
    pub fn parse(text: &str, namespace: &Name) -> Result<WorkflowReference, Error> {
        let (full, version) = match text.split_once('@') {
            Some((full, version)) => {
                let number = version.parse().map_err(|_| {
                    Error::usage(format!("{version:?} is not a version; write for example {full}@3"))
                })?;
                (full, Some(number))
            }
            None => (text, None),
        };
        let (namespace, short) = match full.split_once('/') {
            Some((namespace, short)) => (name(namespace)?, short),
            None => (namespace.clone(), full),
        };
        Ok(WorkflowReference { namespace, name: name(short)?, version })
    }

    pub fn path(&self) -> String {
        let version = self.version.map(|version| version.to_string());
        format!("/workflows/{}/{}{}", self.namespace, self.name, query(&[("version", version)]))
    }
}

/// `WORKFLOW/SCHEDULE` or `NAMESPACE/WORKFLOW/SCHEDULE`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleReference {
    pub namespace: Name,
    pub workflow: Name,
    pub schedule: Name,
}

impl ScheduleReference {
    pub fn parse(text: &str, namespace: &Name) -> Result<ScheduleReference, Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, workflow, schedule) = match parts.as_slice() {
            [workflow, schedule] => (namespace.clone(), workflow, schedule),
            [namespace, workflow, schedule] => (name(namespace)?, workflow, schedule),
            _ => {
                let hint = "a schedule is named WORKFLOW/SCHEDULE; all of them: hortator schedule list";
                return Err(Error::usage(format!("{text:?} names no schedule")).hint(hint));
            }
        };
        Ok(ScheduleReference { namespace, workflow: name(workflow)?, schedule: name(schedule)? })
    }

    /// `/schedules/…`, with what follows, and the query.
    pub fn path(&self, below: &str, pairs: &[(&str, Option<String>)]) -> String {
        let ScheduleReference { namespace, workflow, schedule } = self;
        format!("/schedules/{namespace}/{workflow}/{schedule}{below}{}", query(pairs))
    }
}

pub fn name(text: &str) -> Result<Name, Error> {
    Name::new(text).map_err(|error| Error::usage(error.to_string()))
}

/// A task run's name as people write it: `transform`, or `transform[2]` for an item.
pub fn task_name(task: &Name, item: Option<u32>) -> String {
    match item {
        Some(item) => format!("{task}[{item}]"),
        None => task.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let home = Name::new("default").unwrap();
        let parse = |text: &str| RunReference::parse(text, &home);
        let full = parse("retail/daily@latest/load[3]").unwrap();
        assert_eq!((full.run.as_str(), full.namespace.as_str()), ("daily@latest", "retail"));
        assert_eq!(full.task.as_ref().map(|task| (task.task.as_str(), task.item)), Some(("load", Some(3))));
        assert_eq!(
            full.path("/explain", &[("task", Some("load".into()))]),
            "/runs/daily%40latest/explain?namespace=retail&task=load"
        );
        let id = parse("01JABCDEFGHJKMNPQRSTVWXYZ0/load").unwrap();
        assert_eq!(
            (id.namespace.as_str(), id.path("", &[])),
            ("default", "/runs/01JABCDEFGHJKMNPQRSTVWXYZ0".into())
        );
        assert!(parse("daily").unwrap_err().to_string().contains("daily@latest"));
        assert!(parse("").is_err() && parse("a@latest/B").is_err() && parse("a@latest/b[x]").is_err());
        let schedule = ScheduleReference::parse("retail/daily/nightly", &home).unwrap();
        assert_eq!(schedule.path("/next", &[]), "/schedules/retail/daily/nightly/next");
        assert_eq!(ScheduleReference::parse("daily/nightly", &home).unwrap().namespace, home);
        assert!(ScheduleReference::parse("daily", &home).is_err());
        let workflow = WorkflowReference::parse("retail/daily@7", &home).unwrap();
        assert_eq!(workflow.path(), "/workflows/retail/daily?version=7");
        assert!(WorkflowReference::parse("daily@x", &home).is_err());
    }
}
