//! What a worker has beside slots, and whether a task could ever run there. Must not know who asks.

use std::collections::BTreeMap;

use hortator_core::definition::Task;
use hortator_core::dispatch::{Amounts, DEVICES_MAX, LabelRule, Labels, Resource};
use serde::Deserialize;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Equipment {
    /// As workflows write it: `{ cpu = 16, memory = "64GiB", gpu = 2, licence = 3 }`.
    #[serde(deserialize_with = "amounts")]
    pub has: Amounts,
    pub labels: Labels,
    pub zone: Option<String>,
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
        let [needed, free] = [first.needed, first.free].map(|amount| first.resource.written(amount));
        Some(format!("it asks for {needed} {}, and a worker has {free}", first.resource))
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
