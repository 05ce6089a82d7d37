//! `hortator sim run`, `explore` and `twice`: clusters in a simulated world. Only these commands use the simulator.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hortator_actors::mutant::Mutant;
use hortator_simulations::haul::haul;
use hortator_simulations::marks;
use hortator_simulations::plan::Plan;
use hortator_simulations::resolved::Resolved;
use hortator_simulations::run::{Aside, Audience, Order, Verdict, play, simulate};
use hortator_simulations::scenarios;
use serde::Serialize;

use crate::cli::args::{SimExploreArgs, SimRunArgs, SimTwiceArgs};
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::Output;

/// Violations shown of one seed; the rest repeats them as a rule.
const SHOWN: usize = 10;

pub(crate) fn run(args: &SimRunArgs, output: &Output) -> Result<Exit, Error> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let order = order(args.scenario.as_deref(), seed, args.mutant.as_deref())?;
    if order.plan.segments > 1 {
        return run_segments(args, order, output);
    }
    let reader = args.trace.as_deref().map(trace_file).transpose()?;
    let began = Instant::now();
    let (verdict, resolved) = play(order, Audience { reader, witness: None });
    let took = began.elapsed().as_secs_f64();
    if output.is_json() {
        output.document(&Ran { verdict: &verdict, pace: Pace::new(&verdict, took) })?;
    } else {
        output.text(&format!("{}\n", story(&verdict, took)))?;
    }
    if let Some(path) = &args.save {
        store(&resolved, path)?;
    }
    if verdict.is_good() {
        return Ok(Exit::Success);
    }
    let path = args.save.clone().unwrap_or_else(|| place_of(&verdict));
    if args.save.is_none() {
        store(&resolved, &path)?;
    }
    eprintln!("repeat: {}", repeat(args.scenario.as_deref(), seed, args.mutant.as_deref()));
    eprintln!("stored: hortator sim replay {0}\nsmaller: hortator sim shrink {0}", path.display());
    Ok(Exit::Violated)
}

/// Says of each segment that it is over; they take long.
fn run_segments(args: &SimRunArgs, order: Order, output: &Output) -> Result<Exit, Error> {
    refuse_segments(&order, args.save.is_none(), "be stored")?;
    let reader = args.trace.as_deref().map(trace_file).transpose()?;
    let (seed, all, mut segment, began) = (order.seed, order.plan.segments, 0, Instant::now());
    let verdict = haul(order, reader, &mut |verdict| {
        segment += 1;
        let Verdict { runs, attempts, violations, .. } = verdict;
        let (took, wrong) = (began.elapsed().as_secs(), violations.len());
        eprintln!(
            "segment {segment} of {all}: {runs} runs, {attempts} attempts, {wrong} violations; {took} s so far"
        );
    });
    let took = began.elapsed().as_secs_f64();
    match output.is_json() {
        true => output.document(&Ran { verdict: &verdict, pace: Pace::new(&verdict, took) })?,
        false => output.text(&format!("{}\n", story(&verdict, took)))?,
    }
    if verdict.is_good() {
        return Ok(Exit::Success);
    }
    eprintln!("repeat: {}", repeat(args.scenario.as_deref(), seed, args.mutant.as_deref()));
    Ok(Exit::Violated)
}

/// A stored run is one segment that begins with nothing.
pub(super) fn refuse_segments(order: &Order, is_fine: bool, what: &str) -> Result<(), Error> {
    match order.plan.segments {
        segments if segments > 1 && !is_fine => Err(Error::usage(format!(
            "{} has {segments} segments, each of which needs what the one before has left, and cannot {what}",
            order.plan.name
        ))),
        _ => Ok(()),
    }
}

/// Where a run that broke a promise is stored when nobody says where.
pub(super) fn place_of(verdict: &Verdict) -> PathBuf {
    std::env::temp_dir().join(format!("hortator-{}-{}.run.toml", verdict.plan, verdict.seed))
}

pub(super) fn store(resolved: &Resolved, path: &Path) -> Result<(), Error> {
    std::fs::write(path, resolved.text())
        .map_err(|error| Error::io(&format!("cannot write {}", path.display()), &error))
}

pub(super) fn order(scenario: Option<&str>, seed: u64, mutant: Option<&str>) -> Result<Order, Error> {
    let plan = match scenario {
        None => Plan::swarm(seed),
        Some(which) => scenarios::find(which).map_err(|error| {
            Error::new(Exit::Invalid, code::PLAN, error.to_string()).hint("hortator sim list")
        })?,
    };
    let mutant = mutant.map_or(Ok(Mutant::None), str::parse);
    let mutant = mutant.map_err(|error| Error::usage(error.to_string()))?;
    Ok(Order { plan, seed, mutant })
}

pub(super) fn trace_file(path: &Path) -> Result<Box<dyn Write + Send>, Error> {
    let file = std::fs::File::create(path)
        .map_err(|error| Error::io(&format!("cannot write {}", path.display()), &error))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn repeat(scenario: Option<&str>, seed: u64, mutant: Option<&str>) -> String {
    let scenario = scenario.map(|name| format!(" {name}")).unwrap_or_default();
    let mutant = mutant.map(|name| format!(" --mutant {name}")).unwrap_or_default();
    format!("hortator sim run{scenario} --seed {seed}{mutant} --trace story.txt")
}

pub(super) fn story(verdict: &Verdict, took: f64) -> String {
    let Verdict { plan, seed, masters, workers, shards, seconds, .. } = verdict;
    let mut text = format!(
        "{plan}, seed {seed}: {masters} masters, {workers} workers, {shards} shards; {seconds:.0} s in {took:.1} s\n"
    );
    let faults: Vec<String> =
        verdict.faults.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
    text.push_str(&format!("  faults: {}\n", faults.join(", ")));
    text.push_str(&format!(
        "  {} runs, {} of them acknowledged; {} attempts; {} calls; {} frames\n",
        verdict.runs, verdict.runs_acknowledged, verdict.attempts, verdict.calls, verdict.wires.frames
    ));
    let Pace { times, events_per_s, .. } = Pace::new(verdict, took);
    text.push_str(&format!("  {times:.0} times as fast as a clock, {events_per_s:.0} events/s\n"));
    text.push_str(&format!("  trace {}\n", verdict.trace));
    match verdict.violations.len() {
        0 => text.push_str("no violation"),
        many => {
            text.push_str(&format!("{many} VIOLATIONS"));
            for violation in verdict.violations.iter().take(SHOWN) {
                text.push_str(&format!("\n  {violation}"));
            }
        }
    }
    for sentence in verdict.aside.sentences() {
        text.push_str(&format!("\nnot what the scenario is for: {sentence}"));
    }
    text
}

/// A verdict, and how fast it came.
#[derive(Debug, Serialize)]
struct Ran<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    pace: Pace,
}

/// How fast a world went: the only thing that differs when a seed is repeated.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pace {
    took_s: f64,
    /// Seconds of the world's time in one second.
    times: f64,
    events_per_s: f64,
}

impl Pace {
    fn new(verdict: &Verdict, took_s: f64) -> Pace {
        Pace { took_s, times: verdict.seconds / took_s, events_per_s: verdict.trace.lines as f64 / took_s }
    }
}

/// What many seeds came to.
#[derive(Debug, Serialize)]
struct Explored {
    seeds: u64,
    failed: Vec<Failed>,
    /// Of the worlds' time, in seconds.
    simulated_s: f64,
    took_s: f64,
    seeds_per_minute: f64,
    /// Seconds of the worlds' time in one second of each thread's.
    pace: f64,
    /// Of each thread.
    events_per_s: f64,
    runs: usize,
    attempts: usize,
    frames: u64,
    events: u64,
    /// How often each mark in the code was passed.
    marks: BTreeMap<String, u64>,
    /// Marks that so many drawn seeds should have passed; of a scenario what no seed of it did, or one did that must not.
    missed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    checkers: Vec<&'static str>,
    first: String,
    repeat: String,
}

pub(crate) fn explore(args: &SimExploreArgs, output: &Output) -> Result<Exit, Error> {
    // What is wrong with the arguments is said once, not by every thread.
    order(args.scenario.as_deref(), args.seeds.start, args.mutant.as_deref())?;
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores).max(1);
    let next = AtomicU64::new(args.seeds.start);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.seeds.end {
                        return;
                    }
                    let Ok(order) = order(args.scenario.as_deref(), seed, args.mutant.as_deref()) else {
                        return;
                    };
                    let verdict = simulate(order, None);
                    if !verdict.is_good() {
                        if args.first {
                            next.store(args.seeds.end, Ordering::Relaxed);
                        }
                        eprintln!("{}", repeat(args.scenario.as_deref(), seed, args.mutant.as_deref()));
                        verdict.violations.iter().take(3).for_each(|violation| eprintln!("  {violation}"));
                    }
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).push(verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let explored = sum_up(args, verdicts, began.elapsed().as_secs_f64(), jobs);
    match output.is_json() {
        true => output.document(&explored)?,
        false => output.text(&explored.to_string())?,
    }
    Ok(if explored.failed.is_empty() && explored.missed.is_empty() { Exit::Success } else { Exit::Violated })
}

fn sum_up(args: &SimExploreArgs, mut verdicts: Vec<Verdict>, took_s: f64, jobs: usize) -> Explored {
    verdicts.sort_by_key(|verdict| verdict.seed);
    let failed = verdicts.iter().filter(|verdict| !verdict.is_good()).map(|verdict| {
        let mut checkers: Vec<&'static str> = verdict.violations.iter().map(|found| found.checker).collect();
        checkers.sort_unstable();
        checkers.dedup();
        Failed {
            seed: verdict.seed,
            checkers,
            first: verdict.violations.first().map(ToString::to_string).unwrap_or_default(),
            repeat: repeat(args.scenario.as_deref(), verdict.seed, args.mutant.as_deref()),
        }
    });
    let passed = marks::count(verdicts.iter().map(|verdict| &verdict.marks));
    let missed = match &args.scenario {
        Some(_) => Aside::of_all(verdicts.iter().map(|verdict| &verdict.aside))
            .sentences()
            .map(str::to_owned)
            .collect(),
        None => marks::missed(verdicts.len() as u64, &passed).into_iter().map(str::to_owned).collect(),
    };
    let simulated_s: f64 = verdicts.iter().map(|verdict| verdict.seconds).sum();
    Explored {
        seeds: verdicts.len() as u64,
        failed: failed.collect(),
        simulated_s,
        took_s,
        seeds_per_minute: verdicts.len() as f64 / took_s * 60.0,
        pace: simulated_s / took_s / jobs as f64,
        events_per_s: verdicts.iter().map(|verdict| verdict.trace.lines as f64).sum::<f64>()
            / took_s
            / jobs as f64,
        runs: verdicts.iter().map(|verdict| verdict.runs).sum(),
        attempts: verdicts.iter().map(|verdict| verdict.attempts).sum(),
        frames: verdicts.iter().map(|verdict| verdict.wires.frames).sum(),
        events: verdicts.iter().map(|verdict| verdict.trace.lines).sum(),
        marks: passed,
        missed,
    }
}

impl std::fmt::Display for Explored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Explored { seeds, simulated_s, took_s, seeds_per_minute, pace, .. } = self;
        writeln!(
            f,
            "{seeds} seeds, {simulated_s:.0} s of their time in {took_s:.1} s: {seeds_per_minute:.0} seeds a minute, {pace:.0} times as fast as a clock on each thread"
        )?;
        writeln!(
            f,
            "{} runs, {} attempts, {} frames, {} events: {:.0} a second on each thread",
            self.runs, self.attempts, self.frames, self.events, self.events_per_s
        )?;
        for failed in &self.failed {
            writeln!(f, "seed {}: {}\n  {}", failed.seed, failed.checkers.join(", "), failed.repeat)?;
        }
        for (name, count) in &self.marks {
            writeln!(f, "  {count:>9} {name}")?;
        }
        if !self.missed.is_empty() {
            writeln!(f, "MISSED: {}", self.missed.join(", "))?;
        }
        match self.failed.len() {
            0 => writeln!(f, "no violation"),
            many => writeln!(f, "{many} SEEDS WITH VIOLATIONS"),
        }
    }
}

/// Seeds whose two traces were not the same.
#[derive(Debug, Serialize)]
struct Repeated {
    seeds: u64,
    events: u64,
    apart: Vec<Apart>,
}

#[derive(Debug, Serialize)]
struct Apart {
    seed: u64,
    line: u64,
    one: String,
    other: String,
}

pub(crate) fn twice(args: &SimTwiceArgs, output: &Output) -> Result<Exit, Error> {
    order(args.scenario.as_deref(), args.seeds.start, None)?;
    let Range { start, end } = args.seeds;
    let mut repeated = Repeated { seeds: end - start, events: 0, apart: Vec::new() };
    for seed in start..end {
        let [one, other] = in_two_processes(args, seed, None)?;
        repeated.events += one["trace"]["lines"].as_u64().unwrap_or(0);
        if one != other {
            repeated.apart.push(first_difference(args, seed)?);
        }
    }
    match output.is_json() {
        true => output.document(&repeated)?,
        false => output.text(&repeated.to_string())?,
    }
    Ok(if repeated.apart.is_empty() { Exit::Success } else { Exit::Violated })
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Apart { seed, line, one, other } in &self.apart {
            writeln!(f, "seed {seed} is not repeated from line {line} on:\n  {one}\n  {other}")?;
        }
        let Repeated { seeds, events, .. } = self;
        match self.apart.len() {
            0 => writeln!(f, "{seeds} seeds, {events} events, each in two processes: the same"),
            many => writeln!(f, "{many} OF {seeds} SEEDS ARE NOT REPEATED"),
        }
    }
}

/// The verdicts of both, which name the hash of all that happened.
fn in_two_processes(
    args: &SimTwiceArgs,
    seed: u64,
    traces: Option<[&Path; 2]>,
) -> Result<[serde_json::Value; 2], Error> {
    let program = std::env::current_exe().map_err(|error| Error::io("cannot find this program", &error))?;
    let begin = |trace: Option<&Path>| {
        let mut command = Command::new(&program);
        command.args(["sim", "run", "-o", "json", "--seed", &seed.to_string()]);
        command.args(args.scenario.as_deref());
        if let Some(trace) = trace {
            command.arg("--trace").arg(trace);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        child.map_err(|error| Error::io("cannot start this program once more", &error))
    };
    let children = [begin(traces.map(|pair| pair[0]))?, begin(traces.map(|pair| pair[1]))?];
    let [one, other] = children.map(|child| {
        let finished =
            child.wait_with_output().map_err(|error| Error::io("a simulation did not end", &error))?;
        let mut told = serde_json::from_slice::<serde_json::Value>(&finished.stdout).map_err(|error| {
            Error::io(&format!("the simulation of seed {seed} told nothing"), &error.into())
        })?;
        told.as_object_mut().map(|told| told.remove("pace"));
        Ok(told)
    });
    Ok([one?, other?])
}

fn first_difference(args: &SimTwiceArgs, seed: u64) -> Result<Apart, Error> {
    let unwritable = |error: std::io::Error| Error::io("cannot keep traces", &error);
    let place = tempfile::tempdir().map_err(unwritable)?;
    let paths = [place.path().join("one"), place.path().join("other")];
    in_two_processes(args, seed, Some([&paths[0], &paths[1]]))?;
    let lines = |path: &Path| Ok(BufReader::new(std::fs::File::open(path)?).lines());
    let (mut one, mut other) = (lines(&paths[0]).map_err(unwritable)?, lines(&paths[1]).map_err(unwritable)?);
    for line in 1.. {
        let ends = || "(it ends)".to_owned();
        let pair =
            (one.next().transpose().map_err(unwritable)?, other.next().transpose().map_err(unwritable)?);
        match pair {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                return Ok(Apart { seed, line, one: a.unwrap_or_else(ends), other: b.unwrap_or_else(ends) });
            }
        }
    }
    let same = "(this time they are the same)".to_owned();
    Ok(Apart { seed, line: 0, one: same.clone(), other: same })
}
