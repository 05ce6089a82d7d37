//! Deliberate mistakes, chosen by name when a node starts: a checker that none of them wakes proves nothing.
//! A release build has none of them.

use std::str::FromStr;

/// The mistake that a node makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// The product as it is.
    #[default]
    None,
    /// Clients hear that their command took effect when it is proposed, not when it is committed.
    AcknowledgeBeforeCommit,
}

/// No such mistake, or a build that makes none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutantError {
    #[error("there is no mutant {0:?}; there are: {names}", names = names().join(", "))]
    Unknown(String),
    #[error("this build has no mutants; use one with debug assertions")]
    Release,
}

const NAMED: &[(&str, Mutant)] = &[("acknowledge-before-commit", Mutant::AcknowledgeBeforeCommit)];

/// What can be chosen.
pub fn names() -> Vec<&'static str> {
    NAMED.iter().map(|(name, _)| *name).collect()
}

impl FromStr for Mutant {
    type Err = MutantError;

    fn from_str(name: &str) -> Result<Mutant, MutantError> {
        if !cfg!(debug_assertions) {
            return Err(MutantError::Release);
        }
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, mutant)| *mutant).ok_or_else(|| MutantError::Unknown(name.to_owned()))
    }
}

impl Mutant {
    /// As people choose it.
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(_, mutant)| *mutant == self).map_or("none", |(name, _)| name)
    }

    /// Constant in a release build, so that nothing of a mistake is left there.
    pub(crate) fn is(self, mistake: Mutant) -> bool {
        cfg!(debug_assertions) && self == mistake
    }
}
