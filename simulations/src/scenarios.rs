//! Scenarios: plans with names, in files that come with the program or lie elsewhere. Must not know how they are run.

use hortator_core::definition::Suggestions;

use crate::marks;
use crate::plan::Plan;

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        &[$(include_str!(concat!("../scenarios/", $name, ".world.toml"))),+]
    };
}

/// The scenarios that come with the program.
const BUILT_IN: &[&str] = built_in![
    "agent-stopped-children-run",
    "all-workers-lost",
    "amnesia-rejoin",
    "asymmetric-partition",
    "at-most-once",
    "bad-links",
    "bit-rot-minority",
    "bridge-partition",
    "cancel-races-success",
    "chained-partition",
    "clock-drift",
    "clock-jump",
    "clogged-links",
    "cron-clock-jump",
    "cron-dst",
    "cron-dst-gap",
    "cron-failover",
    "cron-midnight-herd",
    "crowded-worker",
    "deaf-tasks",
    "die-after-sync",
    "die-in-write",
    "disk-full-leader",
    "false-death-storm",
    "flaky-retries",
    "foreach-everywhere",
    "frames-lost",
    "fsync-fails-once",
    "full-load",
    "host-stands-still",
    "huge-dag",
    "impatient-clients",
    "joint-leader-loss",
    "late-run-frame",
    "leader-kill-loop",
    "lone-master",
    "long-haul",
    "membership-churn",
    "misdirected-write",
    "old-backup-restored",
    "one-master-at-a-time",
    "pause-resume",
    "poison",
    "poison-task",
    "power-loss-all",
    "priority-inversion",
    "priority-order",
    "quota-leak",
    "reconnect-herd",
    "rolling-restart",
    "serial-queues",
    "shard-leader-move",
    "slow-disk",
    "slow-follower-snapshot",
    "snapshot-sender-dies",
    "split",
    "stalled-disk",
    "steady-load",
    "storm",
    "swizzle",
    "two-of-five-lost",
    "two-snapshots",
    "worker-power-loss",
    "zombie-worker",
    "zombie-worker-during-failover",
];

/// The scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("the scenario {0:?} is neither a file nor one of: {names}", names = names().join(", "))]
    Unknown(String),
    #[error("the scenario in {path} cannot be read: {source}")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the scenario {name} is wrong: {why}")]
    Wrong { name: String, why: String },
}

/// Names of the scenarios that come with the program.
pub fn names() -> Vec<String> {
    BUILT_IN.iter().filter_map(|text| Some(toml::from_str::<Plan>(text).ok()?.name)).collect()
}

/// The scenario of that name, or in that file.
pub fn find(which: &str) -> Result<Plan, ScenarioError> {
    for text in BUILT_IN {
        let plan = parse(which, text)?;
        if plan.name == which {
            return Ok(plan);
        }
    }
    if !which.contains(['/', '.']) {
        return Err(ScenarioError::Unknown(which.to_owned()));
    }
    let text = std::fs::read_to_string(which)
        .map_err(|source| ScenarioError::Unreadable { path: which.to_owned(), source })?;
    parse(which, &text)
}

fn parse(name: &str, text: &str) -> Result<Plan, ScenarioError> {
    let wrong = |why: String| ScenarioError::Wrong { name: name.to_owned(), why };
    let plan: Plan = toml::from_str(text).map_err(|error| wrong(advice(&error)))?;
    if plan.cluster.is_empty() {
        return Err(wrong("it needs masters, workers, shards and slots".to_owned()));
    }
    if plan.segments == 0 {
        return Err(wrong("it needs a segment at least".to_owned()));
    }
    let moments = plan.faults.iter().filter_map(|line| line.after.as_ref());
    let named = plan.expects.iter().chain(&plan.never).chain(moments);
    if let Some(mark) = named.into_iter().find(|mark| !marks::is_known(mark)) {
        let help = nearest(mark, marks::all());
        return Err(wrong(format!("it names {mark:?}, and there is no such mark{help}")));
    }
    Ok(plan)
}

/// What is wrong with the text, with the word that was meant when one is near.
pub(crate) fn advice(error: &toml::de::Error) -> String {
    let words = error.message();
    let quoted: Vec<&str> = words.split('`').skip(1).step_by(2).collect();
    let help = match quoted[..] {
        [word, ref known @ ..] if words.starts_with("unknown ") => nearest(word, known.iter().copied()),
        _ => String::new(),
    };
    format!("{}{help}", error.to_string().trim_end())
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let meant = Suggestions::new().nearest(word, known);
    meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_refused_with_advice() {
        let refused = |text: &str| parse("x", text).expect_err("it is wrong").to_string();
        for (text, meant) in [
            ("name = \"x\"\nlasts = \"1s\"\nexpets = []", "did you mean \"expects\"?"),
            ("name = \"x\"\nlasts = \"1s\"\n[cluster]\nmaster = 3", "did you mean \"masters\"?"),
            ("name = \"x\"\nlasts = \"1s\"\n[habits.mix]\npoisson = 0.1", "did you mean \"poison\"?"),
            (
                "name = \"x\"\nlasts = \"1s\"\n[[fault]]\ndo = \"kil\"\nwho = \"leader\"\nevery = [\"1s\", \"2s\"]\nfor = [\"1s\", \"2s\"]",
                "did you mean \"kill\"?",
            ),
            (
                "name = \"x\"\nlasts = \"1s\"\nexpects = [\"task: a third atempt\"]",
                "did you mean \"task: a third attempt\"?",
            ),
            ("name = \"x\"\nlasts = \"1s\"\n[habits]\ncancels = 5", "no share of one"),
            ("name = \"x\"\nlasts = \"1s\"\n[habits]\npause = [\"2s\", \"1s\"]", "[least, most]"),
        ] {
            assert!(refused(text).contains(meant), "{}", refused(text));
        }
    }

    #[test]
    fn every_file_is_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files = std::fs::read_dir(folder).expect("scenarios").flatten();
        let mut files: Vec<String> = files
            .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".world.toml")?.to_owned()))
            .collect();
        files.sort();
        let mut names = names();
        names.sort();
        assert_eq!(files, names, "a file is named after its scenario");
    }

    #[test]
    fn the_scenarios_that_come_with_the_program() {
        let names = names();
        assert_eq!(names.len(), BUILT_IN.len(), "{names:?}");
        assert!(names.iter().all(|name| find(name).is_ok()));
        assert!(matches!(find("nothing"), Err(ScenarioError::Unknown(_))));
        assert!(matches!(find("./nothing.toml"), Err(ScenarioError::Unreadable { .. })));
    }
}
