//! What a deployer states about a planned cluster: how long tasks take, what workers have beside slots, how much there is
//! of each limit. Must not know how it is played.

use std::collections::BTreeMap;

use hortator_core::definition::Task;
use hortator_core::dispatch::{Amounts, DEVICES_MAX, LabelRule, Labels, Resource};
use hortator_core::id::{LimitName, Name};
use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

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

/// What a worker has beside slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Equipment {
    /// As workflows write it: `{ cpu = 16, memory = "64GiB", gpu = 2, licence = 3 }`.
    #[serde(deserialize_with = "amounts")]
    pub has: Amounts,
    pub labels: Labels,
    pub zone: Option<String>,
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

impl Equipment {
    /// What keeps that task from ever running on a worker of so many slots with this.
    pub(crate) fn lacks(&self, task: &Task, slots: u32) -> Option<String> {
        let refused =
            |rule: &&LabelRule| matches!(rule, LabelRule::Require(test) if !test.holds(&self.labels));
        if task.place.labels.iter().any(|rule| refused(&rule)) {
            return Some("its workers have not the labels that it requires".into());
        }
        let room = self.has.clone().with(Resource::Slots, u64::from(slots));
        let requests = task.requests();
        if requests.iter().any(|request| request.fit(&room)) {
            return None;
        }
        let first = requests.first()?.shortfalls(&room).into_iter().next()?;
        Some(format!("it asks for {} {}, and a worker has {}", first.needed, first.resource, first.free))
    }
}

fn amounts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Amounts, D::Error> {
    use serde::de::Error;
    let written = BTreeMap::<String, toml::Value>::deserialize(deserializer)?;
    written.into_iter().try_fold(Amounts::default(), |all, (name, value)| {
        let resource: Resource =
            name.parse().map_err(|error| D::Error::custom(format!("{name:?} is no resource: {error}")))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let amount = resource.parse_amount(&text);
        let amount = amount.ok_or_else(|| D::Error::custom(format!("{text:?} is no amount of {name}")))?;
        if resource == Resource::Gpu && amount > DEVICES_MAX as u64 {
            return Err(D::Error::custom(format!(
                "{amount} GPUs are more than the {DEVICES_MAX} that a worker may have"
            )));
        }
        Ok(all.with(resource, amount))
    })
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
