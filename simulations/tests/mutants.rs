//! Deliberate mistakes are found on drawn seeds, each by the checker that guards the promise it breaks. All of them take
//! hours: `cargo test --release --config 'profile.release.debug-assertions=true' -p hortator-simulations --test mutants -- --ignored`.

use hortator_actors::mutant::{self, Mutant};
use hortator_simulations::hunt::hunt;

/// Seeds within which each must be found.
const SEEDS_MAX: u64 = 10_000;
/// Those that nearly every seed finds, and how many of them may miss.
const SOON: &[&str] = &[
    "keys-forgotten",
    "acknowledge-before-commit",
    "restarted-replica-waits",
    "rebuild-without-barrier",
    "read-before-applied",
];
const SOON_MAX: u64 = 25;

fn is_found(name: &str, limit: u64) -> Result<(), String> {
    let mutant: Mutant = name.parse().map_err(|error| format!("{name}: {error}"))?;
    let hunt = hunt(mutant, 0..limit);
    println!("{name}: {:?} seeds; {}", hunt.tried, hunt.words);
    let checker = mutant.checker().unwrap_or_default();
    let silent = || format!("{checker} does not find {name} in {limit} seeds; others: {:?}", hunt.others);
    hunt.tried.map(drop).ok_or_else(silent)
}

#[test]
fn some_are_found_soon() {
    let silent: Vec<String> = SOON.iter().filter_map(|name| is_found(name, SOON_MAX).err()).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
#[ignore = "takes hours"]
fn all_are_found_by_their_checkers() {
    let silent: Vec<String> =
        mutant::names().into_iter().filter_map(|name| is_found(name, SEEDS_MAX).err()).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
