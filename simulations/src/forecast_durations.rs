//! How long attempts of planned tasks take: as stated, else as a cluster has learned it, else as any task. Must not know how
//! they are played.

use std::collections::BTreeMap;

use hortator_core::definition::{Definition, TaskKind};
use hortator_core::dispatch::WorkerClass;
use hortator_core::id::{Name, WorkflowName};
use hortator_core::time::Span;
use hortator_proto::api::{DurationView, DurationsView};
use serde::Serialize;

use crate::forecast_config::ForecastConfig;
use crate::world::draw::Draw;

/// Ninety-five of a hundred draws of the normal distribution are below.
const Z95: f64 = 1.644_853_626_951_472_2;
/// Rarer draws, of which there is one in 700, are taken for this one: a few dozen successes say nothing of them.
const Z_MAX: f64 = 3.0;
/// Shorter tasks are not told apart.
const LEAST_S: f64 = 0.001;
/// Longer ones are a mistake in a file.
const MOST_S: f64 = 366.0 * 86_400.0;

/// What `hortator workflow durations -o json` told, by workflow.
#[derive(Clone, Debug, Default)]
pub struct Learned(BTreeMap<WorkflowName, Vec<DurationView>>);

/// How long an attempt takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Takes {
    /// Each as likely.
    Between([Span; 2]),
    Learned(Spread),
}

/// A log-normal distribution: the plainest that is never negative, has its long tail to the right as tasks have, and is
/// given whole by the two figures that are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    p50_s: f64,
    p95_s: f64,
}

/// Of how many planned tasks the durations come from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sources {
    pub stated: usize,
    /// On workers of the planned class.
    pub learned: usize,
    /// On workers of another class, since no other was seen.
    pub learned_elsewhere: usize,
    /// Neither stated nor learned.
    pub usual: usize,
}

impl Learned {
    /// Takes one file in: a document, or several one after the other.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        for view in serde_json::Deserializer::from_str(text).into_iter::<DurationsView>() {
            let DurationsView { namespace, workflow: name, tasks, .. } =
                view.map_err(|why| why.to_string())?;
            let workflow = WorkflowName { namespace, name };
            if let Some(DurationView { task, p50_s, p95_s, .. }) = tasks.iter().find(|task| !is_spread(task))
            {
                return Err(format!(
                    "of task {task} of {workflow} half take {p50_s} s and 95 of 100 take {p95_s} s"
                ));
            }
            if self.0.insert(workflow.clone(), tasks).is_some() {
                return Err(format!("the durations of {workflow} are told a second time"));
            }
        }
        Ok(())
    }

    /// On that class of workers; without a success there, on the one with most of them.
    fn of(&self, workflow: &WorkflowName, task: &Name, class: WorkerClass) -> Option<(&DurationView, bool)> {
        let class = format!("{class:04x}");
        let own = || self.0.get(workflow).into_iter().flatten().filter(|known| known.task == *task);
        let same = own().find(|known| known.class == class);
        let most = || own().max_by_key(|known| (known.samples, std::cmp::Reverse(known.class.clone())));
        same.map(|known| (known, true)).or_else(|| most().map(|known| (known, false)))
    }
}

fn is_spread(view: &DurationView) -> bool {
    view.p50_s >= 0.0 && view.p50_s <= view.p95_s && view.p95_s <= MOST_S
}

impl Takes {
    /// Of each task of a workflow, on workers of the class that its group's are planned with.
    pub(crate) fn of(
        definition: &Definition,
        config: &ForecastConfig,
        learned: &Learned,
        class: impl Fn(&Name) -> WorkerClass,
        sources: &mut Sources,
    ) -> BTreeMap<Name, Takes> {
        let tasks = definition.tasks.iter().filter(|task| !matches!(task.kind, TaskKind::Noop));
        let takes = tasks.map(|task| {
            let known = learned.of(&definition.name, &task.id, class(&task.group));
            let takes = match (config.takes(&definition.name, &task.id), known) {
                (Some(stated), _) => {
                    sources.stated += 1;
                    Takes::Between(stated)
                }
                (None, Some((view, same_class))) => {
                    match same_class {
                        true => sources.learned += 1,
                        false => sources.learned_elsewhere += 1,
                    }
                    Takes::Learned(Spread::of(view))
                }
                (None, None) => {
                    sources.usual += 1;
                    Takes::Between(config.task)
                }
            };
            (task.id.clone(), takes)
        });
        takes.collect()
    }

    pub(crate) fn draw(self, draw: &mut Draw) -> Span {
        match self {
            Takes::Between([least, most]) => Span(draw.between([least.0, most.0])),
            Takes::Learned(spread) => spread.draw(draw),
        }
    }
}

impl Spread {
    fn of(view: &DurationView) -> Spread {
        let p50_s = view.p50_s.max(LEAST_S);
        Spread { p50_s, p95_s: view.p95_s.max(p50_s) }
    }

    fn draw(self, draw: &mut Draw) -> Span {
        let z = normal(draw).clamp(-Z_MAX, Z_MAX);
        let seconds = self.p50_s * (self.p95_s / self.p50_s).powf(z / Z95);
        Span((seconds * 1e6) as u64)
    }
}

/// After Box and Muller.
fn normal(draw: &mut Draw) -> f64 {
    // Never 0, of which there is no logarithm.
    let mut unit = || ((draw.word() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (one, two) = (unit(), unit());
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: &str = r#"{ "namespace": "default", "workflow": "etl", "classes": [], "tasks": [
        { "task": "load", "class": "3f2a", "samples": 9, "p50_s": 60.0, "p95_s": 600.0, "last_seen": "2026-11-20T00:00:00Z" },
        { "task": "load", "class": "0001", "samples": 2, "p50_s": 5.0, "p95_s": 5.0, "last_seen": "2026-11-20T00:00:00Z" }
    ] }"#;

    #[test]
    fn draws_have_the_quantiles_that_were_learned() {
        let spread = Spread { p50_s: 60.0, p95_s: 600.0 };
        let mut draw = Draw::of(1, "spread");
        let mut millis: Vec<u64> = (0..10_000).map(|_| spread.draw(&mut draw).0 / 1_000).collect();
        millis.sort_unstable();
        let near = |place: usize, expected: u64| {
            let found = millis[place * 100];
            assert!(found.abs_diff(expected) < expected / 10, "{place} %: {found} ms and not {expected} ms");
        };
        near(50, 60_000);
        near(95, 600_000);
        near(5, 6_000);
        assert!(millis[9_999] <= 4_000_000, "no draw is beyond what is known: {}", millis[9_999]);
    }

    #[test]
    fn the_class_counts_before_the_number_of_successes() {
        let mut learned = Learned::default();
        learned.read(VIEW).expect("it is a view");
        let of = |task: &str, class| {
            let workflow =
                WorkflowName { namespace: "default".parse().unwrap(), name: "etl".parse().unwrap() };
            let found = learned.of(&workflow, &task.parse().unwrap(), class);
            found.map(|(view, same)| (view.p50_s, same))
        };
        assert_eq!(of("load", 1), Some((5.0, true)));
        assert_eq!(of("load", 0x3f2a), Some((60.0, true)));
        assert_eq!(of("load", 7), Some((60.0, false)), "of most successes");
        assert_eq!(of("lod", 1), None);
        assert!(learned.read(VIEW).unwrap_err().contains("a second time"));
        for (from, to) in [("600.0", "6.0"), ("60.0", "-1.0"), ("600.0", "1e12")] {
            let wrong = VIEW.replace(from, to);
            assert!(Learned::default().read(&wrong).unwrap_err().contains("of task load"), "{wrong}");
        }
        assert!(Learned::default().read("{}").is_err());
    }
}
