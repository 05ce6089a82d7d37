//! Reads what a task takes of a worker, and on which workers it would like to run.
//! Must not know which workers there are.

use super::Code;
use super::model::PlaceWish;
use super::reader::{Fields, shown};
use super::scalar::value_of_plain;
use super::task_reader::TaskReader;
use super::tree::{NodeId, Shape};
use super::vocabulary::{PLACE, RESOURCES};
use crate::dispatch::{Amounts, LabelRule, LabelTest, NAMED_MAX, REQUESTS_MAX, Resource, ZoneWish};
use crate::id::Name;
use crate::time::Span;

/// Most slots of one task; no worker has more.
pub(super) const SLOTS_MAX: u32 = 100_000;
/// Most cores of one task; no host has more.
const CORES_MAX: u32 = 10_000;
/// Most of anything that is counted: devices, licences.
const COUNT_MAX: u32 = 1_000_000;
/// Most labels of one kind of rule.
const LABELS_MAX: usize = 16;
/// Longest value of a label.
const LABEL_BYTES_MAX: usize = 128;
/// What a preference weighs that says nothing else.
const WEIGHT: u8 = 50;
/// How long a task insists on its zone when it does not say.
const ZONE_WAIT: Span = Span::from_secs(60);

/// What a task asks of a worker, as far as it says.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    /// Of the first.
    pub(super) slots: Option<u32>,
    /// None when it asks for slots only.
    pub(super) alternatives: Vec<Amounts>,
}

impl<'a> TaskReader<'_, 'a, '_> {
    /// One request, or a list of alternatives.
    pub(super) fn requests(&mut self, fields: &Fields<'a>) -> Option<Requests> {
        let node = fields.get("resources")?;
        let all = match self.reader.tree.shape(node) {
            Shape::List(requests) if !requests.is_empty() => {
                if requests.len() > REQUESTS_MAX {
                    let message = format!(
                        "there are {} alternatives; at most {REQUESTS_MAX} are allowed",
                        requests.len()
                    );
                    self.reader.error(Code::OutOfRange, node, message, None);
                }
                requests.iter().take(REQUESTS_MAX).filter_map(|request| self.request(*request)).collect()
            }
            _ => vec![self.request(node)?],
        };
        let slots = all.first().map(|first: &Amounts| first.get(&Resource::Slots) as u32);
        let simple = all.len() == 1 && all[0] == Amounts::slots(u64::from(slots.unwrap_or(1)));
        Some(Requests { slots, alternatives: if simple { Vec::new() } else { all } })
    }

    fn request(&mut self, node: NodeId) -> Option<Amounts> {
        let fields = self.reader.record(node, &RESOURCES)?;
        let count = |task: &mut Self, key: &'static str, least, most| {
            let node = fields.get(key)?;
            task.reader.number(node, &format!("\"{key}\""), least, most).map(u64::from)
        };
        let slots = count(self, "slots", 1, SLOTS_MAX).unwrap_or(1);
        let mut amounts = Amounts::slots(slots);
        if let Some(cpu) = fields.get("cpu").and_then(|cpu| self.cpu(cpu)) {
            amounts = amounts.with(Resource::Cpu, cpu);
        }
        for (key, resource) in [("memory", Resource::Memory), ("disk", Resource::Disk)] {
            if let Some(size) = fields.get(key).and_then(|size| self.size(size, key)) {
                amounts = amounts.with(resource, size);
            }
        }
        if let Some(gpu) = count(self, "gpu", 1, crate::dispatch::DEVICES_MAX as u32) {
            amounts = amounts.with(Resource::Gpu, gpu);
        }
        if let Some(named) = fields.get("named") {
            let entries = self.reader.entries(named, "\"named\"").unwrap_or_default();
            if entries.len() > NAMED_MAX {
                let message = format!("there are {} names; at most {NAMED_MAX} are allowed", entries.len());
                self.reader.error(Code::OutOfRange, named, message, None);
            }
            for entry in entries.into_iter().take(NAMED_MAX) {
                let name = self.reader.name(entry.key_node, "the name of a resource");
                let amount = self.reader.number(entry.value, "a resource", 1, COUNT_MAX);
                if let (Some(name), Some(amount)) = (name, amount) {
                    amounts = amounts.with(Resource::Named(name), u64::from(amount));
                }
            }
        }
        Some(amounts)
    }

    /// Cores, in thousandths: `2`, `0.5` or `500m`.
    fn cpu(&mut self, node: NodeId) -> Option<u64> {
        let text = match self.reader.tree.shape(node) {
            Shape::Scalar(text, _) => text,
            _ => "",
        };
        let thousandths = match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<u64>().ok(),
            None => value_of_plain(text).as_f64().map(|cores| (cores * 1000.0).round() as u64),
        };
        let most = u64::from(CORES_MAX) * 1000;
        let fits = thousandths.filter(|thousandths| (1..=most).contains(thousandths));
        if fits.is_none() {
            let message = format!("\"cpu\" cannot be \"{}\"", shown(text));
            let help = "write cores, for example 2 or 0.5, or thousandths: 500m".into();
            self.reader.error(Code::OutOfRange, node, message, Some(help));
        }
        fits
    }

    /// In MiB: `512MiB`, `8GiB`, `1TiB`.
    fn size(&mut self, node: NodeId, key: &str) -> Option<u64> {
        let text = match self.reader.tree.shape(node) {
            Shape::Scalar(text, _) => text,
            _ => "",
        };
        let units = [("MiB", 1u64), ("GiB", 1 << 10), ("TiB", 1 << 20)];
        let sized = units.iter().find_map(|(unit, mib)| {
            let number = text.strip_suffix(unit)?.trim_end().parse::<f64>().ok()?;
            Some((number * *mib as f64).round() as u64)
        });
        let fits = sized.filter(|size| (1..=1 << 34).contains(size));
        if fits.is_none() {
            let message = format!("\"{key}\" cannot be \"{}\"", shown(text));
            let help = "write a number with MiB, GiB or TiB, for example 512MiB".into();
            self.reader.error(Code::OutOfRange, node, message, Some(help));
        }
        fits
    }

    pub(super) fn place(&mut self, fields: &Fields<'a>) -> Option<PlaceWish> {
        let fields = self.reader.record(fields.get("place")?, &PLACE)?;
        let mut labels = Vec::new();
        if let Some(node) = fields.get("require") {
            let tests = self.labels(node, "\"require\"");
            labels.extend(
                tests.into_iter().map(|(key, values)| LabelRule::Require(LabelTest::Is { key, values })),
            );
        }
        if let Some(node) = fields.get("avoid") {
            let tests = self.labels(node, "\"avoid\"");
            labels.extend(
                tests.into_iter().map(|(key, values)| LabelRule::Require(LabelTest::IsNot { key, values })),
            );
        }
        if let Some(node) = fields.get("has") {
            let keys = self.names(node, "\"has\"");
            labels.extend(keys.into_iter().map(|key| LabelRule::Require(LabelTest::Has { key })));
        }
        if let Some(node) = fields.get("prefer") {
            let tests = self.labels(node, "\"prefer\"");
            labels.extend(tests.into_iter().map(|(key, values)| LabelRule::Prefer {
                test: LabelTest::Is { key, values },
                weight: WEIGHT,
            }));
        }
        if let Some(node) = fields.get("spread") {
            let keys = self.names(node, "\"spread\"");
            labels.extend(keys.into_iter().map(|key| LabelRule::Spread { key }));
        }
        let zone = fields.get("zone").and_then(|zone| self.reader.text_of(zone, "\"zone\"", LABEL_BYTES_MAX));
        let wait = fields.get("zone_wait").and_then(|wait| self.reader.span(wait, "\"zone_wait\""));
        if let (None, Some(node)) = (zone, fields.get("zone_wait")) {
            self.reader.no_effect(node, "\"zone_wait\" has no effect without \"zone\"".into());
        }
        let zone = match zone {
            Some(zone) => ZoneWish::Near { zone: zone.to_owned(), wait: wait.unwrap_or(ZONE_WAIT) },
            None => ZoneWish::Anywhere,
        };
        Some(PlaceWish { labels, zone })
    }

    /// Labels with one value each, or a list of values of which any will do.
    fn labels(&mut self, node: NodeId, what: &str) -> Vec<(Name, Vec<String>)> {
        let entries = self.reader.entries(node, what).unwrap_or_default();
        if entries.len() > LABELS_MAX {
            let message = format!("{what} has {} labels; at most {LABELS_MAX} are allowed", entries.len());
            self.reader.error(Code::OutOfRange, node, message, None);
        }
        let mut labels = Vec::new();
        for entry in entries.into_iter().take(LABELS_MAX) {
            let values: &[NodeId] = match self.reader.tree.shape(entry.value) {
                Shape::List(values) => values,
                _ => std::slice::from_ref(&entry.value),
            };
            let values = values.iter().take(LABELS_MAX);
            let values: Vec<String> = values
                .filter_map(|value| self.reader.written(*value, "the value of a label"))
                .map(str::to_owned)
                .collect();
            if let Some(key) = self.reader.name(entry.key_node, "the name of a label") {
                labels.push((key, values));
            }
        }
        labels
    }

    /// One name, or a list of names.
    fn names(&mut self, node: NodeId, what: &str) -> Vec<Name> {
        let names: &[NodeId] = match self.reader.tree.shape(node) {
            Shape::List(names) => names,
            _ => std::slice::from_ref(&node),
        };
        names.iter().take(LABELS_MAX).filter_map(|name| self.reader.name(*name, what)).collect()
    }
}
