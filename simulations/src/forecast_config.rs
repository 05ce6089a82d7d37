//! What a deployer states about a planned cluster: how long tasks take and what they leave, what workers have beside slots,
//! how much there is of each limit. Must not know how it is played.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::Definition;
use hortator_core::dispatch::WorkerClass;
use hortator_core::id::{LimitName, Name, WorkflowName};
use hortator_core::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stub::Stub;
use crate::world::equipment::Equipment;

/// See the module.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForecastConfig {
    /// Of tasks of which nothing else is said; each attempt draws its own.
    #[serde(with = "crate::words::spans")]
    pub task: [Span; 2],
    /// Attempts in a million that fail.
    #[serde(with = "crate::words::share")]
    pub fails: u64,
    /// By workflow and task.
    pub tasks: BTreeMap<String, BTreeMap<String, Stated>>,
    /// What attempts do in place of taking their time and succeeding, by workflow and task.
    pub stubs: BTreeMap<String, BTreeMap<String, Stub>>,
    /// What tasks leave when they succeed, by workflow, task and name.
    pub gives: BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>,
    /// By worker group, of each of its workers.
    pub workers: BTreeMap<Name, Equipment>,
    /// Which class of learned durations the workers of a group are of, where what they have does not tell.
    #[serde(deserialize_with = "classes")]
    pub classes: BTreeMap<Name, WorkerClass>,
    /// By `NAME`, or `NAMESPACE/NAME` outside of `default`.
    pub limits: BTreeMap<String, u32>,
}

impl Default for ForecastConfig {
    fn default() -> ForecastConfig {
        ForecastConfig {
            task: [Span::from_secs(30), Span::from_secs(120)],
            fails: 0,
            tasks: BTreeMap::new(),
            stubs: BTreeMap::new(),
            gives: BTreeMap::new(),
            workers: BTreeMap::new(),
            classes: BTreeMap::new(),
            limits: BTreeMap::new(),
        }
    }
}

/// `"5m"` or `["5m", "20m"]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stated {
    Always(#[serde(with = "crate::words::span")] Span),
    Between(#[serde(with = "crate::words::spans")] [Span; 2]),
}

impl ForecastConfig {
    pub fn parse(text: &str) -> Result<ForecastConfig, String> {
        toml::from_str(text).map_err(|error| crate::scenarios::advice(&error))
    }

    /// If it is stated of this very task.
    pub(crate) fn takes(&self, workflow: &WorkflowName, task: &Name) -> Option<[Span; 2]> {
        of(&self.tasks, workflow).and_then(|tasks| tasks.get(task.as_str())).map(|stated| match stated {
            Stated::Always(span) => [*span, *span],
            Stated::Between(range) => *range,
        })
    }

    pub(crate) fn stub(&self, workflow: &WorkflowName, task: &Name) -> Option<&Stub> {
        of(&self.stubs, workflow)?.get(task.as_str())
    }

    pub(crate) fn gives(&self, workflow: &WorkflowName, task: &Name) -> BTreeMap<String, Value> {
        let gives = of(&self.gives, workflow).and_then(|tasks| tasks.get(task.as_str()));
        gives.cloned().unwrap_or_default()
    }

    /// A workflow that something is said of and that is not among these: it would never be seen.
    pub(crate) fn stranger(&self, all: &[(String, Arc<Definition>)]) -> Option<&str> {
        let named = self.tasks.keys().chain(self.stubs.keys()).chain(self.gives.keys());
        let is_there = |name: &str| {
            let names = all.iter().map(|(_, definition)| &definition.name);
            names.into_iter().any(|there| there.to_string() == name || there.name.as_str() == name)
        };
        named.map(String::as_str).find(|name| !is_there(name))
    }

    /// What is said of this workflow that it has not: it would never be seen.
    pub(crate) fn strange(&self, definition: &Definition) -> Option<String> {
        let stated = of(&self.tasks, &definition.name).into_iter().flat_map(BTreeMap::keys);
        let stubs = of(&self.stubs, &definition.name).into_iter().flat_map(BTreeMap::keys);
        let gives = of(&self.gives, &definition.name).into_iter().flatten();
        let task = |id: &str| definition.task(id).map(|(_, task)| task);
        let mut named = stated.chain(stubs).chain(gives.clone().map(|(task, _)| task));
        if let Some(id) = named.find(|id| task(id).is_none()) {
            return Some(format!("something is said of task {id:?}, and the workflow has none of that name"));
        }
        let undeclared = gives
            .flat_map(|(id, outputs)| outputs.keys().map(move |name| (id, name)))
            .find(|(id, name)| task(id).is_some_and(|task| !task.outputs.contains_key(*name)));
        undeclared.map(|(id, name)| format!("task {id} is to give {name:?}, which is none of its outputs"))
    }

    /// How much there is of it, if that is stated.
    pub fn limit(&self, limit: &LimitName) -> Option<u32> {
        let short = Some(limit.name.as_str()).filter(|_| limit.namespace.as_str() == "default");
        let whole = limit.to_string();
        short.into_iter().chain([whole.as_str()]).find_map(|name| self.limits.get(name)).copied()
    }
}

/// By `NAME`, or by `NAMESPACE/NAME`.
fn of<'a, T>(all: &'a BTreeMap<String, T>, workflow: &WorkflowName) -> Option<&'a T> {
    all.get(&workflow.to_string()).or_else(|| all.get(workflow.name.as_str()))
}

/// Four hexadecimal digits, as clusters tell them.
fn classes<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Name, WorkerClass>, D::Error> {
    use serde::de::Error;
    let written = BTreeMap::<Name, String>::deserialize(deserializer)?;
    let one = |(group, text): (Name, String)| {
        let class = WorkerClass::from_str_radix(&text, 16).ok().filter(|_| text.len() == 4);
        let why =
            || D::Error::custom(format!("{text:?} is no class; hortator workflow durations shows them"));
        Ok((group, class.ok_or_else(why)?))
    };
    written.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use hortator_core::definition;

    use super::*;

    #[test]
    fn what_is_said_of_nobody_is_found() {
        let source = "hortator: v1\nname: etl\ntasks: [{ id: load, shell: { script: ./load } }]\n";
        let parsed = definition::parse("etl", source.as_bytes()).expect("it is a workflow");
        let all = [(source.to_owned(), Arc::new(parsed.definition))];
        for (text, workflow, task) in [
            ("[tasks.etl]\nload = \"1s\"\n[stubs.\"default/etl\"]\nload = \"ok\"", None, None),
            ("[tasks.elt]\nload = \"1s\"", Some("elt"), None),
            ("[gives.elt]\nload = { rows = 1 }", Some("elt"), None),
            ("[tasks.etl]\nlaod = \"1s\"", None, Some("\"laod\"")),
            ("[stubs.etl]\nlaod = \"ok\"", None, Some("\"laod\"")),
            ("[gives.etl]\nload = { rows = 1 }", None, Some("\"rows\", which is none of its outputs")),
        ] {
            let config = ForecastConfig::parse(text).expect(text);
            assert_eq!(config.stranger(&all), workflow, "{text}");
            let strange = config.strange(&all[0].1);
            match task {
                None => assert_eq!(strange, None, "{text}"),
                Some(word) => assert!(strange.as_ref().is_some_and(|why| why.contains(word)), "{strange:?}"),
            }
        }
    }

    #[test]
    fn what_is_stated_is_read_and_bad_words_are_refused() {
        let config = ForecastConfig::parse(
            r#"
            task = ["1s", "2s"]
            [tasks.etl]
            load = "5m"
            [stubs."ops/etl"]
            load = "fail:2s,ok"
            [gives.etl]
            load = { rows = 7 }
            [classes]
            gpu = "3f2a"
            [workers.gpu]
            has = { cpu = 1.5, memory = "2GiB", gpu = 2, licence = 3 }
            labels = { disk = "ssd" }
            [limits]
            crane = 2
            "ops/crane" = 3
            "#,
        )
        .expect("all of it is known");
        let etl = WorkflowName { namespace: Name::new("ops").unwrap(), name: Name::new("etl").unwrap() };
        let task = |name: &str| Name::new(name).unwrap();
        assert_eq!(config.takes(&etl, &task("load")), Some([Span::from_secs(300); 2]));
        assert_eq!(config.takes(&etl, &task("sum")), None);
        assert_eq!(config.gives(&etl, &task("load"))["rows"], 7);
        assert_eq!(config.stub(&etl, &task("load")), "fail:2s,ok".parse().ok().as_ref());
        assert_eq!(config.classes[&task("gpu")], 0x3f2a);
        let gpu = &config.workers[&Name::new("gpu").unwrap()];
        let of = |name: &str| gpu.has.get(&name.parse().unwrap());
        assert_eq!(["cpu", "memory", "gpu", "licence"].map(of), [1_500, 2_048, 2, 3]);
        let limit = |text: &str| {
            let (namespace, name) = text.split_once('/').unwrap();
            let [namespace, name] = [namespace, name].map(|word| Name::new(word).unwrap());
            config.limit(&LimitName { namespace, name })
        };
        assert_eq!(["default/crane", "ops/crane", "dev/crane"].map(limit), [Some(2), Some(3), None]);
        for (text, said) in [
            ("[workers.gpu]\nhas = { memory = 5 }", "is no amount of memory"),
            ("[workers.gpu]\nhave = {}", "have"),
            ("[limit]\na = 1", "limit"),
            ("[classes]\na = \"3f\"", "is no class"),
            ("[stubs.a]\nb = \"okay\"", "is no stub"),
        ] {
            let refused = ForecastConfig::parse(text).expect_err(text);
            assert!(refused.contains(said), "{refused}");
        }
    }
}
