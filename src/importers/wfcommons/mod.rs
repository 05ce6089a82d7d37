//! WfCommons traces (WfFormat 1.5): a measured run of a scientific workflow becomes a workflow whose tasks read the
//! same files, take as long and write as much, all by real processes.
//!
//! ```text
//!   bytes ─wfformat─▶ tasks and files ─names─▶ ids of our grammar ─script─▶ sh ─▶ YAML
//! ```

mod names;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hortator_core::definition;
use hortator_core::id::Name;
use hortator_core::wfformat::{WfFormatError, WfTrace};

use names::{Names, slug};

/// The task that makes the files which nobody produces. Ids of trace tasks end in six hexadecimal digits, so none
/// of them can be the same.
const FIRST_TASK: &str = "make-inputs";

/// What the workflow is to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Each task sleeps its measured runtime times this.
    pub time_scale: f64,
    /// Files are as large as in the trace, but at most this.
    pub bytes_max: u64,
    /// The workflow's name; without it a slug of the trace's.
    pub name: Option<Name>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Trace(#[from] WfFormatError),
    #[error("the workflow would be invalid: {0}")]
    Invalid(String),
}

/// The trace as a workflow's YAML, checked.
pub fn import(bytes: &[u8], options: &Options) -> Result<String, Error> {
    let trace = WfTrace::read(bytes)?;
    let plan = Plan::new(&trace)?;
    let yaml = plan.write(options);
    match definition::parse("trace", yaml.as_bytes()) {
        Ok(_) => Ok(yaml),
        Err(invalid) => {
            let first = invalid.diagnostics.first().map(|one| format!("{} [{}]", one.message, one.code));
            Err(Error::Invalid(first.unwrap_or_default()))
        }
    }
}

/// The trace with everything resolved to our names.
struct Plan<'a> {
    trace: &'a WfTrace,
    tasks: Names,
    files: Names,
    /// By original id: who writes the file.
    producers: BTreeMap<&'a str, Vec<usize>>,
    /// Who needs whom, by place in the trace.
    needs: Vec<BTreeSet<usize>>,
}

impl<'a> Plan<'a> {
    fn new(trace: &'a WfTrace) -> Result<Plan<'a>, Error> {
        let specs = trace.tasks();
        let (needs, producers) = (trace.needs()?, trace.producers());
        let tasks = Names::new(specs.iter().map(|task| task.id.as_str()));
        let all_files = specs.iter().flat_map(|task| task.input_files.iter().chain(&task.output_files));
        let files = Names::new(all_files.map(String::as_str));
        Ok(Plan { trace, tasks, files, producers, needs })
    }

    fn write(&self, options: &Options) -> String {
        let mut yaml = String::new();
        let title = &self.trace.name;
        let name = options.name.as_ref().map_or_else(|| slug(title, definition_name_max()), Name::to_string);
        let _ = writeln!(yaml, "# From a WfCommons trace, by: hortator import wfcommons");
        let _ = writeln!(
            yaml,
            "# Runtimes × {}, files of at most {} bytes.",
            options.time_scale, options.bytes_max
        );
        let _ = writeln!(yaml, "hortator: v1\nname: {name}\ntitle: {}", quoted(title));
        let _ = writeln!(yaml, "tasks:");
        self.write_first(&mut yaml, options);
        for place in 0..self.trace.tasks().len() {
            self.write_task(&mut yaml, place, options);
        }
        yaml
    }

    /// The files that some task reads and none writes.
    fn sources(&self) -> BTreeSet<&'a str> {
        let inputs = self.trace.tasks().iter().flat_map(|task| &task.input_files);
        inputs.map(String::as_str).filter(|file| !self.producers.contains_key(file)).collect()
    }

    fn write_first(&self, yaml: &mut String, options: &Options) {
        let sources = self.sources();
        if sources.is_empty() {
            return;
        }
        let outputs = sources.iter().map(|file| self.output(file, options)).collect::<Vec<_>>();
        let _ = writeln!(yaml, "  - id: {FIRST_TASK}\n    title: Make the files that no task produces");
        write_script(yaml, &script::text(&[], 0.0, &outputs));
    }

    fn write_task(&self, yaml: &mut String, place: usize, options: &Options) {
        let task = &self.trace.tasks()[place];
        let _ = writeln!(yaml, "  - id: {}\n    title: {}", self.tasks.of(&task.id), quoted(&task.id));
        let mut needs: Vec<&str> =
            self.needs[place].iter().map(|other| self.tasks.of(&self.trace.tasks()[*other].id)).collect();
        if task.input_files.iter().any(|file| !self.producers.contains_key(file.as_str())) {
            needs.insert(0, FIRST_TASK);
        }
        if !needs.is_empty() {
            let _ = writeln!(yaml, "    needs: [{}]", needs.join(", "));
        }
        // What a task itself writes it cannot expect to be there.
        let own = |file: &&String| task.output_files.contains(file);
        let inputs: BTreeSet<&str> =
            task.input_files.iter().filter(|file| !own(file)).map(|file| self.files.of(file)).collect();
        let outputs: BTreeSet<(&str, u64)> =
            task.output_files.iter().map(|file| self.output(file, options)).collect();
        let seconds = self.trace.runtime(&task.id) * options.time_scale;
        let inputs: Vec<&str> = inputs.into_iter().collect();
        let outputs: Vec<(&str, u64)> = outputs.into_iter().collect();
        write_script(yaml, &script::text(&inputs, seconds, &outputs));
    }

    fn output(&self, file: &str, options: &Options) -> (&str, u64) {
        (self.files.of(file), self.trace.size(file).min(options.bytes_max))
    }
}

fn definition_name_max() -> usize {
    hortator_core::id::NAME_BYTES_MAX
}

/// JSON's form of a text is YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write_script(yaml: &mut String, script: &str) {
    yaml.push_str("    shell:\n      script: |\n");
    for line in script.lines() {
        let _ = writeln!(yaml, "        {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{
        "name": "Two Steps", "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [
                    {"name": "a", "id": "A_1", "parents": [], "children": ["B.2"],
                     "inputFiles": ["in.txt"], "outputFiles": ["Mid File"]},
                    {"name": "b", "id": "B.2", "parents": ["A_1"], "children": [],
                     "inputFiles": ["Mid File"], "outputFiles": ["out"]}
                ],
                "files": [{"id": "in.txt", "sizeInBytes": 10}, {"id": "Mid File", "sizeInBytes": 100000},
                          {"id": "out", "sizeInBytes": 0}]
            },
            "execution": {"makespanInSeconds": 3, "tasks": [
                {"id": "A_1", "runtimeInSeconds": 1.5}, {"id": "B.2", "runtimeInSeconds": 0}]}
        }
    }"#;

    fn options() -> Options {
        Options { time_scale: 0.1, bytes_max: 65_536, name: None }
    }

    #[test]
    fn a_trace_becomes_a_workflow() {
        let yaml = import(SMALL.as_bytes(), &options()).unwrap();
        let workflow = definition::parse("test", yaml.as_bytes()).unwrap().definition;
        assert_eq!(workflow.name.name.as_str(), "two-steps");
        let ids: Vec<&str> = workflow.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(ids[0], FIRST_TASK);
        assert!(ids[1].starts_with("a-1-") && ids[2].starts_with("b-2-"), "{ids:?}");
        assert_eq!(workflow.tasks[1].title.as_deref(), Some("A_1"));
        assert_eq!((workflow.graph.parents(1), workflow.graph.parents(2)), (&[0][..], &[1][..]));
        assert!(yaml.contains("sleep 0.150"), "{yaml}");
        assert!(yaml.contains(" 65536\n"), "the size is capped: {yaml}");
        assert_eq!(yaml, import(SMALL.as_bytes(), &options()).unwrap(), "the same trace gives the same text");
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        let refused = |bytes: &[u8]| import(bytes, &options()).unwrap_err().to_string();
        assert!(refused(&[0x28, 0xb5, 0x2f, 0xfd, 0]).contains("zstd"));
        assert!(refused(b"{").contains("not a WfFormat trace"));
        assert!(refused(SMALL.replace("1.5\"", "1.2\"").as_bytes()).contains("1.2"));
        assert!(refused(SMALL.replace("[\"A_1\"]", "[\"X\"]").as_bytes()).contains("a parent"));
        assert!(
            refused(SMALL.replace("\"id\": \"B.2\", \"parents\"", "\"id\": \"A_1\", \"parents\"").as_bytes())
                .contains("twice")
        );
    }
}
