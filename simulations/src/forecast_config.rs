//! What a deployer states about a planned cluster: how long tasks take, what workers have beside slots, how much there is
//! of each limit. Must not know how it is played.

use std::collections::BTreeMap;

use hortator_core::id::{LimitName, Name};
use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

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
    /// By worker group, of each of its workers.
    pub workers: BTreeMap<Name, Equipment>,
    /// By `NAME`, or `NAMESPACE/NAME` outside of `default`.
    pub limits: BTreeMap<String, u32>,
}

impl Default for ForecastConfig {
    fn default() -> ForecastConfig {
        ForecastConfig {
            task: [Span::from_secs(30), Span::from_secs(120)],
            fails: 0,
            tasks: BTreeMap::new(),
            workers: BTreeMap::new(),
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

    pub(crate) fn takes(&self, workflow: &str, task: &str) -> [Span; 2] {
        match self.tasks.get(workflow).and_then(|tasks| tasks.get(task)) {
            Some(Stated::Always(span)) => [*span, *span],
            Some(Stated::Between(range)) => *range,
            None => self.task,
        }
    }

    /// How much there is of it, if that is stated.
    pub fn limit(&self, limit: &LimitName) -> Option<u32> {
        let short = Some(limit.name.as_str()).filter(|_| limit.namespace.as_str() == "default");
        let whole = limit.to_string();
        short.into_iter().chain([whole.as_str()]).find_map(|name| self.limits.get(name)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_is_read_and_bad_words_are_refused() {
        let config = ForecastConfig::parse(
            r#"
            task = ["1s", "2s"]
            [tasks.etl]
            load = "5m"
            [workers.gpu]
            has = { cpu = 1.5, memory = "2GiB", gpu = 2, licence = 3 }
            labels = { disk = "ssd" }
            [limits]
            crane = 2
            "ops/crane" = 3
            "#,
        )
        .expect("all of it is known");
        assert_eq!(config.takes("etl", "load"), [Span::from_secs(300); 2]);
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
        ] {
            let refused = ForecastConfig::parse(text).expect_err(text);
            assert!(refused.contains(said), "{refused}");
        }
    }
}
