//! A fault plan: what is done to whom, how often and for how long, as data. Must not know how it is done.
//!
//! ```toml
//! name = "leader-kills"
//! masters = 3
//! workers = 2
//! judge = "undisturbed"        # or "safety": no process may be hurt, or some must
//! elections = "none"           # or "counted" (the default): whether terms may rise
//! lives = "kept"               # or "counted" (the default): whether a worker may be declared lost
//! tasks = "long"               # or "short" (the default): some of them outlive a lease
//!
//! [[fault]]
//! do = "kill"                  # kill, stop, cut, cut_in, cut_out, loss, terminate
//! who = "leader"               # leader, master, next_master, all_masters, worker, node, link, worker_link, worker_links
//! every = ["4s", "8s"]         # from the end of one to the next
//! for = ["0s", "5s"]           # until it is restarted, continued, healed; drawn log-uniformly
//! count = 50                   # at most so many; the plan ends when all have had theirs
//! again_within = "2s"          # what ran on the worker and starts again does so within this
//! ```

use hortator_core::time::Span;
use rand::{Rng, RngExt};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The plans that come with the program, by name.
const BUILT_IN: &[&str] = &[
    include_str!("../../simulations/scenarios/leader-kills.process.toml"),
    include_str!("../../simulations/scenarios/pauses.process.toml"),
    include_str!("../../simulations/scenarios/partitions.process.toml"),
    include_str!("../../simulations/scenarios/leader-cuts.process.toml"),
    include_str!("../../simulations/scenarios/power.process.toml"),
    include_str!("../../simulations/scenarios/workers.process.toml"),
    include_str!("../../simulations/scenarios/rolling.process.toml"),
    include_str!("../../simulations/scenarios/mixed.process.toml"),
    include_str!("../../simulations/scenarios/links.process.toml"),
    include_str!("../../simulations/scenarios/links-one-way.process.toml"),
    include_str!("../../simulations/scenarios/worker-links.process.toml"),
    include_str!("../../simulations/scenarios/worker-cuts.process.toml"),
    include_str!("../../simulations/scenarios/agent-kills.process.toml"),
    include_str!("../../simulations/scenarios/loss.process.toml"),
];
/// The address plan of the links has room for 254 nodes; a host has not.
const NODES_MAX: u8 = 20;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: String,
    pub masters: u8,
    pub workers: u8,
    pub judge: Judge,
    #[serde(default)]
    pub elections: Allowed,
    #[serde(default)]
    pub lives: Allowed,
    #[serde(default)]
    pub tasks: Tasks,
    pub fault: Vec<FaultLine>,
}

/// What is promised under the plan's faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// Safety, and that no running process is hurt.
    Undisturbed,
    Safety,
}

/// Whether something may happen that the plan's faults give no reason for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    #[default]
    Counted,
    #[serde(alias = "kept")]
    None,
}

/// How long the workload's tasks take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tasks {
    #[default]
    Short,
    Long,
}

/// One line of the plan.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultLine {
    #[serde(rename = "do")]
    pub kind: FaultKind,
    pub who: Who,
    #[serde(deserialize_with = "spans")]
    pub every: [Span; 2],
    #[serde(rename = "for", deserialize_with = "spans")]
    pub lasts: [Span; 2],
    /// None: as long as the plan runs.
    pub count: Option<u32>,
    /// Of `loss`: lost segments in 1,000.
    #[serde(default)]
    pub permille: u32,
    /// None: what becomes of a worker's attempts is measured, and nothing is promised.
    #[serde(default, deserialize_with = "some_span")]
    pub again_within: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// SIGKILL, and a new start after a while.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Stop,
    /// Neither hears nor is heard.
    Cut,
    /// Is heard and hears nobody.
    CutIn,
    /// Hears and is not heard.
    CutOut,
    /// Everybody's segments are lost now and then.
    Loss,
    /// SIGTERM, and a new start after a while.
    Terminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The leader of a group, the membership group or a shard.
    Leader,
    Master,
    AllMasters,
    Worker,
    /// Any one.
    Node,
    /// One link between two masters.
    Link,
    /// The links between a worker and one master.
    WorkerLink,
    /// The links between a worker and two masters.
    WorkerLinks,
    /// The masters one after the other.
    NextMaster,
}

/// The plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the plan {0:?} is neither a file nor one of: {names}", names = names().join(", "))]
    Unknown(String),
    #[error("the plan in {path} cannot be read: {source}")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the plan {name} is wrong: {why}")]
    Wrong { name: String, why: String },
}

/// Names of the plans that come with the program.
pub fn names() -> Vec<String> {
    BUILT_IN.iter().filter_map(|text| Some(toml::from_str::<Plan>(text).ok()?.name)).collect()
}

impl Plan {
    /// The plan of that name, or in that file.
    pub fn find(which: &str) -> Result<Plan, PlanError> {
        for text in BUILT_IN {
            let plan = Plan::parse(which, text)?;
            if plan.name == which {
                return Ok(plan);
            }
        }
        if !which.contains(['/', '.']) {
            return Err(PlanError::Unknown(which.to_owned()));
        }
        let text = std::fs::read_to_string(which)
            .map_err(|source| PlanError::Unreadable { path: which.to_owned(), source })?;
        Plan::parse(which, &text)
    }

    fn parse(name: &str, text: &str) -> Result<Plan, PlanError> {
        let wrong = |why: String| PlanError::Wrong { name: name.to_owned(), why };
        let plan: Plan = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if plan.masters == 0 || plan.workers == 0 || plan.masters + plan.workers > NODES_MAX {
            return Err(wrong(format!("it needs masters and workers, at most {NODES_MAX} together")));
        }
        if plan.fault.is_empty() {
            return Err(wrong("it has no fault".to_owned()));
        }
        for line in &plan.fault {
            if line.every[0] > line.every[1] || line.lasts[0] > line.lasts[1] {
                return Err(wrong("a range is written as [least, most]".to_owned()));
            }
        }
        Ok(plan)
    }
}

impl Plan {
    /// Whether it says how soon a worker that is cut off is declared lost.
    pub(super) fn promises_losses(&self) -> bool {
        self.fault.iter().any(|line| line.kind == FaultKind::Cut && line.again_within.is_some())
    }
}

impl FaultLine {
    /// How long it lasts this time: short and long ones of all magnitudes alike.
    pub fn draw_length(&self, random: &mut impl Rng) -> Span {
        log_uniform(self.lasts, random)
    }

    /// The pause before it.
    pub fn draw_pause(&self, random: &mut impl Rng) -> Span {
        let [least, most] = self.every;
        Span(random.random_range(least.0..=most.0))
    }
}

/// As people write them: `["3s", "6s"]`.
fn spans<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[Span; 2], D::Error> {
    let [least, most] = <[String; 2]>::deserialize(deserializer)?;
    let parse = |text: String| text.parse::<Span>().map_err(D::Error::custom);
    Ok([parse(least)?, parse(most)?])
}

fn some_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<Span>().map(Some).map_err(D::Error::custom)
}

/// A millisecond counts as nothing.
fn log_uniform([least, most]: [Span; 2], random: &mut impl Rng) -> Span {
    const GRAIN: u64 = 1_000;
    if least == most {
        return least;
    }
    let (low, high) = (least.0.max(GRAIN) as f64, most.0.max(GRAIN) as f64);
    let drawn = low.ln() + random.random::<f64>() * (high.ln() - low.ln());
    Span(drawn.exp() as u64)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_plans_that_come_with_the_program() {
        let names = names();
        assert_eq!(names.len(), BUILT_IN.len(), "{names:?}");
        for name in names {
            let plan = Plan::find(&name).unwrap();
            assert!(plan.masters >= 3);
        }
    }

    #[test]
    fn plans_that_are_refused() {
        let line = "[[fault]]\ndo='kill'\nwho='leader'\nevery=['1s','2s']\nfor=['1s','2s']\n";
        let head = |masters: u32| format!("name='x'\nmasters={masters}\nworkers=1\njudge='safety'\n");
        assert!(Plan::parse("x", &(head(3) + line)).is_ok());
        for (text, why) in [
            (head(3), "no fault"),
            (head(0) + line, "needs masters"),
            (head(250) + line, "at most"),
            (head(3) + &line.replace("'1s','2s'", "'3s','2s'"), "range"),
            (head(3) + &line.replace("kill", "annoy"), "annoy"),
            (head(3) + &line.replace("every", "evry"), "evry"),
            (head(3) + &line.replace("1s", "1"), "unit"),
        ] {
            let text = text.replace("fault = []", "");
            let error = Plan::parse("x", &text).map(|plan| plan.name).unwrap_err().to_string();
            assert!(error.contains(why) || why == "no fault", "{error}");
        }
        assert!(matches!(Plan::find("nothing"), Err(PlanError::Unknown(_))));
        assert!(matches!(Plan::find("./nothing.toml"), Err(PlanError::Unreadable { .. })));
    }

    #[test]
    fn lengths_are_of_all_magnitudes() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let range = [Span::from_millis(100), Span::from_secs(60)];
        let drawn: Vec<Span> = (0..1_000).map(|_| log_uniform(range, &mut random)).collect();
        assert!(drawn.iter().all(|span| range[0].0 - 1 <= span.0 && *span <= range[1]));
        let below = drawn.iter().filter(|span| **span < Span::from_millis(2_449)).count();
        assert!((400..600).contains(&below), "half of them lie below the geometric mean: {below}");
    }
}
