//! How fast the Dispatcher is, by hand: `cargo run --release -p hortator-core --example dispatch`.
//! 1,000,000 queued task runs in one value, four shapes a group; prints placements per second of processor time, what one
//! costs, the slowest of a hundred by the clock, and memory, for a growing number of workers in a hundred groups and in one.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hortator_core::definition::Priority;
use hortator_core::dispatch::KindTag;
use hortator_core::dispatch::{
    Amounts, Chance, Dispatch, DispatchConfig, Ended, GroupConfig, Load, Offer, Policy, Rank, Resource,
    Shape, WorkerFacts,
};
use hortator_core::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use hortator_core::time::{Span, Timestamp};

const TASKS: u32 = 1_000_000;
const RUNS: u32 = 10_000;
const NOW: Timestamp = Timestamp(1_000_000);
/// Placements of the steady part, where each end makes room for the next.
const STEADY: usize = 200_000;

fn main() {
    println!(
        "{:>6} {:>7} {:>10} {:>10} {:>8} {:>8} {:>8} {:>9} {:>6}",
        "groups", "workers", "fill/s", "steady/s", "us each", "p50 us", "p99 us", "max us", "MiB"
    );
    for groups in [100, 1] {
        for workers in [100, 1_000, 10_000] {
            measure(groups, workers);
        }
    }
}

fn measure(groups: u32, workers: u32) {
    let mut dispatch = crowd(groups, workers);
    queue(&mut dispatch, groups);
    let mut chance = Chance::new(1);
    let (filled, took, mut running) = fill(&mut dispatch, &mut chance);
    let fill_rate = filled as f64 / took;
    let (took, mut each) = steady(&mut dispatch, &mut running, &mut chance);
    each.sort_unstable();
    let micros = |at: usize| each[at.min(each.len() - 1)] as f64 / 1e3;
    println!(
        "{groups:>6} {workers:>7} {fill_rate:>10.0} {:>10.0} {:>8.2} {:>8.1} {:>8.1} {:>9.1} {:>6}",
        STEADY as f64 / took,
        took / STEADY as f64 * 1e6,
        micros(each.len() / 2),
        micros(each.len() * 99 / 100),
        micros(each.len()),
        memory()
    );
}

/// Every worker is in one of the groups; a tenth has a device.
fn crowd(groups: u32, workers: u32) -> Dispatch {
    let config = DispatchConfig { silent_after: Span::from_secs(3600), ..DispatchConfig::default() };
    let mut dispatch = Dispatch::new(config);
    let group_config =
        GroupConfig { slow_start: Span::ZERO, policy: Policy::LeastLoaded, ..GroupConfig::default() };
    (0..groups).for_each(|group| dispatch.on_group(&group_name(group), group_config, NOW));
    for number in 0..workers {
        let id = WorkerRef { name: name(&format!("w{number}")), incarnation: 1 };
        let mut facts = WorkerFacts::of_slots(id.clone(), vec![group_name(number % groups)], 8);
        facts.total = facts.total.with(Resource::Cpu, 16_000).with(Resource::Memory, 64_000);
        if (number / groups).is_multiple_of(10) {
            facts = facts.with_devices(&["0", "1"]);
        }
        dispatch.on_worker(facts, NOW);
        dispatch.on_heartbeat(&id, &Load::idle(), NOW);
    }
    dispatch
}

fn queue(dispatch: &mut Dispatch, groups: u32) {
    let shapes: Vec<Arc<Shape>> = (0..groups).flat_map(shapes).collect();
    let levels = [Priority::High, Priority::Normal, Priority::Low];
    for number in 0..TASKS {
        let run = number % RUNS;
        let task_run = TaskRunId {
            run: RunId::new(u64::from(run), 1, 0),
            key: TaskKey { task: number / RUNS, item: 0 },
        };
        let rank = Rank {
            run_priority: levels[(run % 3) as usize],
            run_created: Timestamp(i64::from(run)),
            task_priority: Priority::Normal,
            remaining: Span::from_secs(u64::from(number % 97)),
            activation: u64::from(number),
        };
        let shape = shapes[((number / 7 * 31 + number) % (groups * 4)) as usize].clone();
        let offer = Offer { task_run, shape, rank, since: NOW };
        dispatch.offer(1, offer, NOW).expect("a good offer");
    }
}

fn shapes(group: u32) -> Vec<Arc<Shape>> {
    let slots = |slots| Amounts::slots(slots);
    let requests = [
        vec![slots(1)],
        vec![slots(1).with(Resource::Cpu, 2_000).with(Resource::Memory, 4_000)],
        vec![slots(2).with(Resource::Memory, 8_000)],
        vec![slots(1).with(Resource::Gpu, 1), slots(2).with(Resource::Cpu, 4_000)],
    ];
    let shape = |requests| {
        let plain = Shape::of_slots(group_name(group), name("bench"), KindTag::Shell, 1);
        Arc::new(Shape { requests, ..plain })
    };
    requests.map(shape).to_vec()
}

/// Places until everything is full.
fn fill(dispatch: &mut Dispatch, chance: &mut Chance) -> (usize, f64, VecDeque<TaskRunId>) {
    let mut running = VecDeque::new();
    let begin = processor_time();
    loop {
        let grants = dispatch.place(1000, chance, NOW);
        for grant in &grants {
            dispatch.dispatched(grant.task_run);
            running.push_back(grant.task_run);
        }
        if grants.len() < 1000 {
            break;
        }
    }
    (running.len(), processor_time() - begin, running)
}

/// One ends, and what fits takes its place; each such step is timed for itself.
fn steady(
    dispatch: &mut Dispatch,
    running: &mut VecDeque<TaskRunId>,
    chance: &mut Chance,
) -> (f64, Vec<u128>) {
    let mut each = Vec::with_capacity(STEADY);
    let mut placed = 0;
    let begin = processor_time();
    while placed < STEADY {
        let one = Instant::now();
        // Neither the oldest nor the newest.
        let at = chance.below(running.len() as u64) as usize;
        let ended = running.swap_remove_back(at).expect("something runs");
        let took = Span::from_secs(1);
        let how = Ended::Succeeded { task: u64::from(ended.key.task), took, expected: Some(took) };
        dispatch.ended(ended, how, NOW);
        let grants = dispatch.place(1000, chance, NOW);
        for grant in &grants {
            dispatch.dispatched(grant.task_run);
            running.push_back(grant.task_run);
        }
        placed += grants.len();
        each.push(one.elapsed().as_nanos() / grants.len().max(1) as u128);
    }
    (processor_time() - begin, each)
}

/// Seconds that this process has had a processor: other processes of the host do not count.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// Resident memory of this process in MiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn group_name(group: u32) -> Name {
    name(&format!("g{group}"))
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}
