//! The crates' arrows are those of ARCHITECTURE.md: a new one is a decision, not a line in a manifest.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Who may depend on whom, among our own crates.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("hortator-core", &[]),
    ("hortator-proto", &["hortator-core"]),
    ("hortator-raft", &[]),
    ("hortator-actors", &["hortator-core", "hortator-proto", "hortator-raft"]),
    ("hortator-simulations", &["hortator-actors", "hortator-core", "hortator-proto", "hortator-raft"]),
    (
        "hortator",
        &["hortator-actors", "hortator-core", "hortator-proto", "hortator-raft", "hortator-simulations"],
    ),
];

/// Libraries that a crate may never name, since its purity rests on their absence.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("hortator-core", &["tokio", "actix", "actix-rt", "rand", "protobuf", "slog"]),
    ("hortator-proto", &["tokio", "actix", "actix-rt", "rand", "raft", "redb"]),
    ("hortator-raft", &["tokio", "actix", "actix-rt", "rand"]),
];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo can describe this workspace");
    metadata
        .packages
        .iter()
        .map(|package| {
            let named =
                package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            (package.name.to_string(), named.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn no_arrow_that_is_not_allowed() {
    let dependencies = dependencies();
    assert_eq!(
        dependencies.len(),
        ALLOWED.len(),
        "a crate is missing in this test: {:?}",
        dependencies.keys()
    );
    for (package, allowed) in ALLOWED {
        for name in &dependencies[package] {
            let ours = name.starts_with("hortator");
            assert!(!ours || allowed.contains(&name.as_str()), "{package} must not depend on {name}");
        }
    }
}

#[test]
fn pure_crates_name_nothing_impure() {
    let dependencies = dependencies();
    for (package, forbidden) in FORBIDDEN {
        for name in forbidden {
            assert!(!dependencies[package].contains(*name), "{package} must not depend on {name}");
        }
    }
}

#[test]
fn a_forbidden_arrow_would_be_seen() {
    // The reading itself works: arrows that are there are found.
    let dependencies = dependencies();
    assert!(dependencies["hortator-actors"].contains("hortator-raft"));
    assert!(dependencies["hortator-core"].contains("serde"));
}
