//! A trace as its file has it: the parts of WfFormat 1.5 that matter here.
//! Must not know Hortator's names or scripts.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;

const VERSION: &str = "1.5";

/// A trace, with its measurements at hand by id.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) name: String,
    tasks: Vec<TaskSpec>,
    sizes: BTreeMap<String, u64>,
    runtimes: BTreeMap<String, f64>,
}

/// A task as specified.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskSpec {
    pub(super) id: String,
    #[serde(default)]
    pub(super) parents: Vec<String>,
    #[serde(default)]
    pub(super) children: Vec<String>,
    #[serde(default)]
    pub(super) input_files: Vec<String>,
    #[serde(default)]
    pub(super) output_files: Vec<String>,
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

impl Trace {
    pub(super) fn read(bytes: &[u8]) -> Result<Trace, Error> {
        match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(Error::Compressed("zstd")),
            [0x1f, 0x8b, ..] => return Err(Error::Compressed("gzip")),
            _ => {}
        }
        let document: Document = serde_json::from_slice(bytes)?;
        if document.schema_version != VERSION {
            return Err(Error::Version(document.schema_version));
        }
        let Workflow { specification, execution } = document.workflow;
        Ok(Trace {
            name: document.name,
            tasks: specification.tasks,
            sizes: specification.files.into_iter().map(|file| (file.id, file.size_in_bytes)).collect(),
            runtimes: execution.tasks.into_iter().map(|task| (task.id, task.runtime_in_seconds)).collect(),
        })
    }

    pub(super) fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    /// Bytes of a file; 0 when the trace does not say.
    pub(super) fn size(&self, file: &str) -> u64 {
        self.sizes.get(file).copied().unwrap_or(0)
    }

    /// Seconds that the task took; 0 when it was not measured, and never negative.
    pub(super) fn runtime(&self, task: &str) -> f64 {
        self.runtimes.get(task).copied().filter(|seconds| seconds.is_finite()).unwrap_or(0.0).max(0.0)
    }
}
