//! Real traces for the laboratory, when they lie beside the repository, and a small one of our own.

use std::path::PathBuf;

use hortator_core::dispatch::Chance;
use hortator_core::dispatch::laboratory::Trace;
use hortator_core::time::Span;
use hortator_core::wfformat::WfTrace;

/// All WfCommons traces below `$HORTATOR_TEST_DATA`, or else `../shared/data` beside the repository; empty without either.
#[expect(clippy::disallowed_methods, reason = "a test reads its data")]
pub(crate) fn real() -> Vec<Trace> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let data = std::env::var_os("HORTATOR_TEST_DATA").map_or_else(beside, PathBuf::from);
    let Ok(files) = std::fs::read_dir(data.join("wfcommons")) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a readable trace");
        let name = path.file_stem().expect("a file has a name").to_string_lossy();
        let trace = WfTrace::read(&bytes).and_then(|trace| trace.for_laboratory(&name));
        trace.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

/// Of noise: `$HORTATOR_TEST_SEEDS`; the goal names 20, and the unoptimised build plays a few.
#[expect(clippy::disallowed_methods, reason = "a test reads how much it is to do")]
pub(crate) fn seeds() -> u64 {
    let asked = std::env::var("HORTATOR_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    asked.unwrap_or(if cfg!(debug_assertions) { 3 } else { 20 })
}

/// Wide levels with a long chain beside them that begins as late as everything else: order decides.
pub(crate) fn skewed() -> Trace {
    let mut needs: Vec<Vec<u32>> = vec![Vec::new()];
    let mut seconds = vec![1];
    for _ in 0..40 {
        needs.push(vec![0]);
        seconds.push(10);
    }
    let mut last = 0;
    for _ in 0..10 {
        needs.push(vec![last]);
        seconds.push(10);
        last = needs.len() as u32 - 1;
    }
    Trace::new("skewed", &needs, seconds.into_iter().map(Span::from_secs).collect())
}

/// Random layers: most tasks short, a few long.
pub(crate) fn layered(seed: u64) -> Trace {
    let mut chance = Chance::new(seed);
    let (mut needs, mut durations): (Vec<Vec<u32>>, Vec<Span>) = (Vec::new(), Vec::new());
    let mut before: Vec<u32> = Vec::new();
    for _ in 0..6 {
        let layer: Vec<u32> = (0..4 + chance.below(20)).map(|at| needs.len() as u32 + at as u32).collect();
        for _ in &layer {
            let mut parents: Vec<u32> = before.iter().copied().filter(|_| chance.below(4) == 0).collect();
            if parents.is_empty() {
                parents.extend(before.first());
            }
            needs.push(parents);
            let long = if chance.below(8) == 0 { 20 } else { 1 };
            durations.push(Span::from_millis(long * (500 + chance.below(4000))));
        }
        before = layer;
    }
    Trace::new("layered", &needs, durations)
}
