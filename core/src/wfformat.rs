//! Traces of scientific workflows (WfFormat 1.5): the parts that matter here, checked. Pure: bytes in, a trace out.
//! Must not know Hortator's names, scripts or policies.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::dispatch::laboratory;
use crate::time::Span;

const VERSION: &str = "1.5";

/// Why bytes are no trace.
#[derive(Debug, thiserror::Error)]
pub enum WfFormatError {
    #[error("it is compressed ({0}); decompress it first")]
    Compressed(&'static str),
    #[error("it is not a WfFormat trace: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has schema version {0:?}; only 1.5 is understood")]
    Version(String),
    #[error("task {0:?} is there twice")]
    TwiceTheSame(String),
    #[error("task {task:?} names {other:?} as {role}, which is no task of the trace")]
    UnknownTask { task: String, other: String, role: &'static str },
    #[error("its tasks wait for each other in a circle")]
    Circle,
}

/// A trace, with its measurements at hand by id.
#[derive(Debug)]
pub struct WfTrace {
    pub name: String,
    tasks: Vec<TaskSpec>,
    sizes: BTreeMap<String, u64>,
    runtimes: BTreeMap<String, f64>,
}

/// A task as specified.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    pub id: String,
    #[serde(default)]
    pub parents: Vec<String>,
    #[serde(default)]
    pub children: Vec<String>,
    #[serde(default)]
    pub input_files: Vec<String>,
    #[serde(default)]
    pub output_files: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    name: String,
    schema_version: String,
    workflow: Workflow,
}

#[derive(Deserialize)]
struct Workflow {
    specification: Specification,
    #[serde(default)]
    execution: Execution,
}

#[derive(Deserialize)]
struct Specification {
    tasks: Vec<TaskSpec>,
    #[serde(default)]
    files: Vec<FileSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileSpec {
    id: String,
    #[serde(default)]
    size_in_bytes: u64,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default)]
    tasks: Vec<TaskExecution>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskExecution {
    id: String,
    #[serde(default)]
    runtime_in_seconds: f64,
}

impl WfTrace {
    pub fn read(bytes: &[u8]) -> Result<WfTrace, WfFormatError> {
        match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(WfFormatError::Compressed("zstd")),
            [0x1f, 0x8b, ..] => return Err(WfFormatError::Compressed("gzip")),
            _ => {}
        }
        let document: Document = serde_json::from_slice(bytes)?;
        if document.schema_version != VERSION {
            return Err(WfFormatError::Version(document.schema_version));
        }
        let Workflow { specification, execution } = document.workflow;
        Ok(WfTrace {
            name: document.name,
            tasks: specification.tasks,
            sizes: specification.files.into_iter().map(|file| (file.id, file.size_in_bytes)).collect(),
            runtimes: execution.tasks.into_iter().map(|task| (task.id, task.runtime_in_seconds)).collect(),
        })
    }

    pub fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    /// Bytes of a file; 0 when the trace does not say.
    pub fn size(&self, file: &str) -> u64 {
        self.sizes.get(file).copied().unwrap_or(0)
    }

    /// Seconds that the task took; 0 when it was not measured, and never negative.
    pub fn runtime(&self, task: &str) -> f64 {
        self.runtimes.get(task).copied().filter(|seconds| seconds.is_finite()).unwrap_or(0.0).max(0.0)
    }

    /// By file: the places of the tasks that write it.
    pub fn producers(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut producers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, task) in self.tasks.iter().enumerate() {
            for file in &task.output_files {
                producers.entry(file).or_default().push(place);
            }
        }
        producers
    }

    /// Who needs whom, by place: as parents, as children, and by files.
    pub fn needs(&self) -> Result<Vec<BTreeSet<usize>>, WfFormatError> {
        let mut places = BTreeMap::new();
        for (place, task) in self.tasks.iter().enumerate() {
            if places.insert(task.id.as_str(), place).is_some() {
                return Err(WfFormatError::TwiceTheSame(task.id.clone()));
            }
        }
        let producers = self.producers();
        let mut needs = vec![BTreeSet::new(); self.tasks.len()];
        for (place, task) in self.tasks.iter().enumerate() {
            let find = |other: &String, role| {
                let unknown =
                    || WfFormatError::UnknownTask { task: task.id.clone(), other: other.clone(), role };
                places.get(other.as_str()).copied().ok_or_else(unknown)
            };
            for parent in &task.parents {
                needs[place].insert(find(parent, "a parent")?);
            }
            for child in &task.children {
                needs[find(child, "a child")?].insert(place);
            }
            // A file that another task writes is waited for even where the trace forgot to say so.
            for file in &task.input_files {
                let writers = producers.get(file.as_str()).into_iter().flatten();
                needs[place].extend(writers.filter(|writer| **writer != place));
            }
        }
        Ok(needs)
    }

    /// As the laboratory plays it; traces of one family bear the same name, so the caller tells them apart.
    pub fn for_laboratory(&self, name: &str) -> Result<laboratory::Trace, WfFormatError> {
        let needs: Vec<Vec<u32>> = self
            .needs()?
            .iter()
            .map(|parents| parents.iter().map(|parent| *parent as u32).collect())
            .collect();
        if crate::definition::Graph::new(&needs).topological().is_err() {
            return Err(WfFormatError::Circle);
        }
        let duration = |task: &TaskSpec| Span((self.runtime(&task.id) * 1e6) as u64);
        Ok(laboratory::Trace::new(name, &needs, self.tasks.iter().map(duration).collect()))
    }
}
