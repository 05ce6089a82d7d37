//! Workflows that a seed draws: small DAGs whose tasks fail, hang, ignore signals, come in items, may run once only. Must
//! not know who runs them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use hortator_core::definition::{self, Definition, canonical};
use hortator_core::time::Timestamp;
use hortator_proto::api::Command;

use super::Habits;
use super::quotas::TEAM;
use super::timings::draw_schedules;
use crate::evidence::{Delivery, TaskShape};
use crate::world::cast::{MARK_OUTPUT, MARK_VARIABLE, ODD_OUTPUT};
use crate::world::draw::Draw;

/// Chances of what a task is like, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    #[serde(with = "crate::words::numbers")]
    pub tasks: [u64; 2],
    /// Microseconds that a task takes.
    #[serde(with = "crate::words::micros")]
    pub takes: [u64; 2],
    #[serde(with = "crate::words::share")]
    pub fails: u64,
    #[serde(with = "crate::words::share")]
    pub flaky: u64,
    #[serde(with = "crate::words::share")]
    pub hangs: u64,
    #[serde(with = "crate::words::share")]
    pub deaf: u64,
    #[serde(with = "crate::words::share")]
    pub poison: u64,
    /// Of the poison, what spares no worker ever.
    #[serde(with = "crate::words::share")]
    pub deadly: u64,
    #[serde(with = "crate::words::share")]
    pub noop: u64,
    #[serde(with = "crate::words::share")]
    pub foreach: u64,
    #[serde(with = "crate::words::share")]
    pub at_most_once: u64,
    #[serde(with = "crate::words::share")]
    pub serial: u64,
    /// Workflows that start by themselves.
    #[serde(with = "crate::words::share")]
    pub schedules: u64,
    /// Microseconds from one time of a schedule to the next. From a minute on they are what people write: so many minutes, hours,
    /// days of a week or a month, the longest of them longer than this.
    #[serde(with = "crate::words::micros")]
    pub cadence: [u64; 2],
    /// Workflows, and each of their tasks, that have a priority of their own.
    #[serde(with = "crate::words::share")]
    pub ranked: u64,
    /// Tasks that must hold limits.
    #[serde(with = "crate::words::share")]
    pub limited: u64,
    /// Tasks that take devices or cores, where workers have some.
    #[serde(with = "crate::words::share")]
    pub equipped: u64,
    /// Tasks that take a licence, where workers have some.
    #[serde(with = "crate::words::share")]
    pub licensed: u64,
    /// Tasks that leave something, and those behind them that are given it or start on its word.
    #[serde(with = "crate::words::share")]
    pub telling: u64,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            tasks: [1, 5],
            takes: [5_000, 2_000_000],
            fails: 50_000,
            flaky: 100_000,
            hangs: 20_000,
            deaf: 20_000,
            poison: 0,
            deadly: 0,
            noop: 200_000,
            foreach: 100_000,
            at_most_once: 100_000,
            serial: 200_000,
            schedules: 0,
            cadence: SOON,
            ranked: 0,
            limited: 0,
            equipped: 0,
            licensed: 0,
            telling: 0,
        }
    }
}

/// Times that come several times in a simulated minute.
pub const SOON: [u64; 2] = [3_000_000, 12_000_000];

/// The limits that there are, each with its maximum. A task wants at most half of one, so that a world may halve it.
pub const LIMITS: [(&str, u32); 3] = [("alpha", 1), ("beta", 1), ("gamma", 4)];
/// Milliseconds that a task with limits takes at most: many wait for it, and all must be over in the time that a healed
/// cluster has.
const LIMITED_MAX: u64 = 1_000;

/// What workers may declare under a name of their own.
pub const LICENCE: &str = "licence";

/// The same of a task that takes devices, cores or licences, which may be rarer than slots.
const EQUIPPED_MAX: u64 = 6_000;
/// The least of one that takes devices: who trains a model outlasts a Dispatcher. Where runs start by themselves or hold
/// limits, others would come faster than they end.
const ON_DEVICES_MIN: u64 = 1_000;

/// Of the workflows of a world with quotas, those in a namespace of their own, in millionths.
const ELSEWHERE: u64 = 400_000;

/// The least that a limit may be, for whoever changes it on the way.
pub(super) fn half(max: u32) -> u32 {
    max.div_ceil(2)
}

/// A workflow with all that its clients and judges need.
#[derive(Clone, Debug)]
pub struct Flow {
    pub source: String,
    pub definition: Arc<Definition>,
    pub shapes: Vec<TaskShape>,
    /// Whether a run of it must succeed when nothing stops it: no task fails by itself.
    pub harmless: bool,
}

/// All workflows of a seed.
pub fn draw_flows(seed: u64, habits: &Habits, begins: Timestamp) -> Vec<Flow> {
    (0..habits.workflows.max(1))
        .map(|number| {
            let mut draw = Draw::of(seed, &format!("workflow {number}"));
            // A stream of its own: the tasks are the same with and without.
            let mut apart = Draw::of(seed, &format!("schedules of workflow {number}"));
            let mut head = draw_schedules(&habits.mix, begins, &mut apart);
            let mut ranks = Draw::of(seed, &format!("priorities of workflow {number}"));
            if let Some(priority) = draw_priority(&habits.mix, &mut ranks) {
                let _ = writeln!(head, "{priority}");
            }
            let limits = Draw::of(seed, &format!("limits of workflow {number}"));
            let resources = Draw::of(seed, &format!("resources of workflow {number}"));
            let outputs = Draw::of(seed, &format!("outputs of workflow {number}"));
            let licences = Draw::of(seed, &format!("licences of workflow {number}"));
            let mut apart = Apart { ranks, limits, resources, licences, outputs, tellers: Vec::new() };
            let mut mix = habits.mix;
            let mut spaces = Draw::of(seed, &format!("namespace of workflow {number}"));
            if habits.quotas > 0 && spaces.chance(ELSEWHERE) {
                let _ = writeln!(head, "namespace: {TEAM}");
                // Limits are their namespace's own, and clients set those of the other one.
                mix.limited = 0;
            }
            Flow::draw(&format!("flow-{number}"), &head, &mix, &mut draw, &mut apart)
        })
        .collect()
}

/// Streams of what is drawn besides: the tasks are the same with and without.
struct Apart {
    ranks: Draw,
    limits: Draw,
    resources: Draw,
    licences: Draw,
    outputs: Draw,
    /// Tasks so far that leave something.
    tellers: Vec<u64>,
}

impl Flow {
    pub fn new(source: String, harmless: bool) -> Flow {
        let parsed = definition::parse("flow", source.as_bytes());
        let definition = match parsed {
            Ok(parsed) => parsed.definition,
            Err(invalid) => panic!("{invalid}: {:?}\n{source}", invalid.diagnostics),
        };
        Flow { source, shapes: shapes(&definition), definition: Arc::new(definition), harmless }
    }

    /// `head`: what stands before the tasks and is drawn apart.
    fn draw(name: &str, head: &str, mix: &Mix, draw: &mut Draw, apart: &mut Apart) -> Flow {
        let mut text = format!("hortator: v1\nname: {name}\n{head}");
        if draw.chance(mix.serial) {
            let full = ["queue", "queue", "skip", "cancel_oldest"][draw.below(4) as usize];
            let runs = draw.between([1, 2]);
            let _ = writeln!(text, "concurrency: {{ runs: {runs}, when_full: {full} }}");
        }
        let on_failure = ["continue", "stop"][draw.below(2) as usize];
        let _ = writeln!(text, "on_failure: {on_failure}\ntasks:");
        let mut harmless = true;
        for number in 0..draw.between(mix.tasks).max(1) {
            let task = DrawnTask::draw(number, mix, draw, apart);
            harmless &= task.harmless;
            text.push_str(&task.line);
        }
        Flow::new(text, harmless)
    }

    /// The same tasks under another description.
    pub(super) fn edition(&self, number: u32) -> Flow {
        let source = self.source.replacen("\nname:", &format!("\ndescription: edition {number}\nname:"), 1);
        Flow::new(source, self.harmless)
    }

    pub(super) fn hash(&self) -> String {
        canonical::hash_of_json(&canonical::to_json(&self.definition))
    }

    /// The command that stores it.
    pub fn apply(&self) -> Command {
        let json = canonical::to_json(&self.definition);
        Command::Apply {
            name: self.definition.name.clone(),
            source: self.source.clone(),
            hash: canonical::hash_of_json(&json),
            canonical: String::from_utf8_lossy(&json).into_owned(),
            if_version: None,
            by: "client".into(),
        }
    }
}

/// As a workflow or a task has it.
fn draw_priority(mix: &Mix, draw: &mut Draw) -> Option<String> {
    let levels = ["highest", "high", "normal", "low", "lowest"];
    let ranked = draw.chance(mix.ranked);
    ranked.then(|| format!("priority: {}", levels[draw.below(levels.len() as u64) as usize]))
}

/// Some of them, in any order.
fn draw_limits(mix: &Mix, draw: &mut Draw) -> Option<String> {
    if !draw.chance(mix.limited) {
        return None;
    }
    let first = draw.below(LIMITS.len() as u64) as usize;
    let step = 1 + draw.below(2) as usize;
    let wants = (0..1 + draw.below(2) as usize).map(|place| {
        let (key, max) = LIMITS[(first + place * step) % LIMITS.len()];
        format!("{{ key: {key}, weight: {} }}", 1 + draw.below(u64::from(half(max))))
    });
    Some(format!("limits: [{}]", wants.collect::<Vec<_>>().join(", ")))
}

/// One kind of what workers have besides, and one of it: who has fewer slots than devices has all of them used.
fn draw_resources(mix: &Mix, apart: &mut Apart) -> Option<String> {
    let kinds = ["gpu: 1", "gpu: 1, cpu: 1", "cpu: 2"];
    let draw = &mut apart.resources;
    let equipped =
        draw.chance(mix.equipped).then(|| kinds[draw.below(kinds.len() as u64) as usize].to_owned());
    let licensed = apart.licences.chance(mix.licensed).then(|| format!("named: {{ {LICENCE}: 1 }}"));
    let takes: Vec<String> = equipped.into_iter().chain(licensed).collect();
    (!takes.is_empty()).then(|| format!("resources: {{ {} }}", takes.join(", ")))
}

/// What it is given of a task before it, and whether it starts on its word.
fn draw_told(needs: &[String], mix: &Mix, apart: &mut Apart) -> Vec<String> {
    let mut tellers = apart.tellers.iter().map(|teller| format!("t{teller}"));
    let teller = tellers.rfind(|teller| needs.contains(teller));
    let [given, asks] = [apart.outputs.chance(mix.telling), apart.outputs.chance(mix.telling / 4)];
    let Some(teller) = teller else { return Vec::new() };
    let given = given.then(|| {
        format!("env: {{ {MARK_VARIABLE}: \"{teller} {{{{ tasks.{teller}.outputs.{MARK_OUTPUT} }}}}\" }}")
    });
    let asks = asks.then(|| format!("when: tasks.{teller}.outputs.{ODD_OUTPUT}"));
    given.into_iter().chain(asks).collect()
}

struct DrawnTask {
    line: String,
    harmless: bool,
}

impl DrawnTask {
    fn draw(number: u64, mix: &Mix, draw: &mut Draw, apart: &mut Apart) -> DrawnTask {
        let needs: Vec<String> =
            (0..number).filter(|_| draw.chance(400_000)).map(|parent| format!("t{parent}")).collect();
        let told = draw_told(&needs, mix, apart);
        let millis = draw.log_between([mix.takes[0] / 1_000, mix.takes[1] / 1_000]);
        let mut keys = vec![format!("id: t{number}")];
        keys.extend(draw_priority(mix, &mut apart.ranks));
        let limits = draw_limits(mix, &mut apart.limits);
        let limited = limits.is_some();
        let millis = if limited { millis.min(LIMITED_MAX) } else { millis };
        keys.extend(limits);
        let takes = draw_resources(mix, apart);
        let millis = match &takes {
            Some(takes) if takes.contains("gpu") && !limited && mix.schedules == 0 => {
                apart.licences.between([ON_DEVICES_MIN, EQUIPPED_MAX])
            }
            Some(_) => millis.min(EQUIPPED_MAX),
            None => millis,
        };
        if !needs.is_empty() {
            keys.push(format!("needs: [{}]", needs.join(", ")));
        }
        if draw.chance(mix.noop) {
            keys.push("noop: {}".to_owned());
            return DrawnTask { line: format!("  - {{ {} }}\n", keys.join(", ")), harmless: true };
        }
        keys.extend(takes);
        keys.extend(told);
        let mut harmless = true;
        let tries = draw.below(4);
        let mut retry = tries > 0;
        let script = if draw.chance(mix.fails) {
            harmless = false;
            format!("fail {millis}")
        } else if draw.chance(mix.flaky) {
            retry = true;
            harmless = false;
            format!("flaky {millis} {}", 1 + tries)
        } else if draw.chance(mix.hangs) {
            harmless = false;
            keys.push(format!("timeout: {}ms", 500 + draw.below(3_000)));
            "hang".to_owned()
        } else if draw.chance(mix.deaf) {
            harmless = false;
            keys.push(format!("timeout: {}ms", 300 + draw.below(1_000)));
            format!("deaf {}", millis + 500)
        } else if draw.chance(mix.poison) {
            harmless = false;
            let spares = if mix.deadly > 0 && draw.chance(mix.deadly) {
                u64::from(u16::MAX)
            } else {
                2 + draw.below(3)
            };
            format!("poison {millis} {spares}")
        } else {
            format!("run {millis}")
        };
        // What failed and is to be tried again starts more than once, as its author wants it.
        let once = draw.chance(mix.at_most_once);
        if retry && !once {
            keys.push(format!("retry: {{ max: {}, delay: {}ms }}", tries.max(1), 50 + draw.below(400)));
        }
        if draw.chance(mix.foreach) {
            let items: Vec<String> = (0..draw.between([2, 6])).map(|item| item.to_string()).collect();
            keys.push(format!("foreach: {{ items: [{}], as: part }}", items.join(", ")));
        } else if apart.outputs.chance(mix.telling) {
            keys.push(format!("outputs: {{ {MARK_OUTPUT}: string, {ODD_OUTPUT}: bool }}"));
            apart.tellers.push(number);
        }
        if once {
            harmless = false;
            keys.push("delivery: at_most_once".to_owned());
        }
        keys.push(format!("shell: {{ script: {script} }}"));
        DrawnTask { line: format!("  - {{ {} }}\n", keys.join(", ")), harmless }
    }
}

/// The definition as the checkers need it.
fn shapes(definition: &Definition) -> Vec<TaskShape> {
    let parents =
        |task: usize| definition.graph.parents(task as u32).iter().map(|parent| *parent as usize).collect();
    let shape = |(number, task): (usize, &definition::Task)| TaskShape {
        name: task.id.to_string(),
        parents: parents(number),
        delivery: match task.delivery {
            definition::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
            definition::Delivery::AtMostOnce => Delivery::AtMostOnce,
        },
        limits: task.limits.iter().map(|want| (want.key.to_string(), want.weight)).collect(),
        takes: takes(task),
        only_if_odd: task.when.as_deref().and_then(|when| {
            let teller = when.strip_prefix("tasks.")?.strip_suffix(&format!(".outputs.{ODD_OUTPUT}"))?;
            definition.tasks.iter().position(|task| task.id.as_str() == teller)
        }),
    };
    definition.tasks.iter().enumerate().map(shape).collect()
}

/// Where there is one way only to run it.
fn takes(task: &definition::Task) -> BTreeMap<String, u64> {
    let requests = task.requests();
    let only = if requests.len() == 1 { requests.first() } else { None };
    only.into_iter()
        .flat_map(|request| request.iter())
        .map(|(resource, amount)| (resource.to_string(), amount))
        .collect()
}
