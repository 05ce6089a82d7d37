//! Scenarios: plans with names, in files that come with the program or lie elsewhere. Must not know how they are run.

use crate::plan::Plan;

/// The scenarios that come with the program.
const BUILT_IN: &[&str] = &[include_str!("../scenarios/leader-kill-loop.world.toml")];

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
    let plan: Plan = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let cluster = plan.cluster;
    if cluster.masters == 0 || cluster.workers == 0 || cluster.shards == 0 || cluster.slots == 0 {
        return Err(wrong("it needs masters, workers, shards and slots".to_owned()));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_that_come_with_the_program() {
        let names = names();
        assert_eq!(names.len(), BUILT_IN.len(), "{names:?}");
        assert!(names.iter().all(|name| find(name).is_ok()));
        assert!(matches!(find("nothing"), Err(ScenarioError::Unknown(_))));
        assert!(matches!(find("./nothing.toml"), Err(ScenarioError::Unreadable { .. })));
    }
}
