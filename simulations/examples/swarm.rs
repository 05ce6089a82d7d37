//! Seeds one after the other, without the rest of the program: `cargo run -p hortator-simulations --example swarm -- 0 20`.
//! With a mutant's name behind them its mistake is made; `TRACE=FILE` writes a trace, `REPLAY=1` plays each once more
//! from what it resolved to, `SHRINK=SECONDS` makes those smaller that break a promise. `SCENARIO=NAME`: that scenario.
//! `swarm check FROM TO`: says only what must be the same in every process, and fails when a promise is broken.
//! `swarm mutants STARTS LIMIT [NAME…]`: for each deliberate mistake how many seeds find it, in ranges that begin at STARTS
//! (`0,1000,2000`) and have LIMIT seeds at most.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hortator_actors::mutant::{self, Mutant};
use hortator_simulations::diagram;
use hortator_simulations::haul::haul;
use hortator_simulations::hunt::{Hunt, hunt, median};
use hortator_simulations::marks;
use hortator_simulations::plan::Plan;
use hortator_simulations::resolved::Resolved;
use hortator_simulations::run::{Aside, Audience, Order, Verdict, play, replay, simulate};
use hortator_simulations::scenarios;
use hortator_simulations::shrink::{Shrinking, shrink};
use hortator_simulations::witness::Witness;

/// A world makes and drops small things all the time, in one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, starts, limit, names @ ..] = &words[..]
        && word == "mutants"
    {
        return hunt_all(starts, limit.parse()?, names);
    }
    if let [_, word, from, to] = &words[..]
        && word == "check"
    {
        return check(from.parse()?..to.parse()?, chosen()?);
    }
    let scenario = chosen()?;
    let (mut simulated, mut wall, mut events) = (0.0, 0.0, 0);
    let [_, from, to, more @ ..] = &words[..] else { return Err("usage: swarm FROM TO [MUTANT]".into()) };
    let mutant = more.first().map_or(Ok(Mutant::None), |name| name.parse())?;
    for seed in from.parse()?..to.parse()? {
        let began = Instant::now();
        let reader = trace_file("")?;
        let plan = scenario.clone().unwrap_or_else(|| Plan::swarm(seed));
        let order = Order { plan, seed, mutant };
        if order.plan.segments > 1 {
            let Verdict { seconds, trace, .. } = haul_all(order, reader);
            simulated += seconds;
            (wall, events) = (wall + began.elapsed().as_secs_f64(), events + trace.lines);
            continue;
        }
        let (verdict, resolved) = play(order, Audience { reader, witness: None });
        let (took, seconds, trace) = (began.elapsed().as_secs_f64(), verdict.seconds, verdict.trace);
        let (pace, runs, attempts) = (seconds / took, verdict.runs, verdict.attempts);
        println!(
            "seed {seed}: {seconds:.0} s in {took:.1} s ({pace:.0}x), {runs} runs, {attempts} attempts, {trace}"
        );
        (simulated, wall, events) = (simulated + seconds, wall + took, events + trace.lines);
        verdict.violations.iter().take(4).for_each(|violation| println!("  {violation}"));
        verdict.aside.sentences().for_each(|sentence| println!("  not what it is for: {sentence}"));
        if std::env::var_os("REPLAY").is_some() {
            let (again, _) =
                replay(resolved.clone(), mutant, Audience { reader: trace_file(".again")?, witness: None });
            println!(
                "  once more: {}",
                if again.trace == verdict.trace { "the same" } else { "NOT THE SAME" }
            );
        }
        if let Ok(seconds) = std::env::var("SHRINK") {
            smaller(&verdict, resolved, mutant, Duration::from_secs(seconds.parse()?));
        }
    }
    println!(
        "{simulated:.0} s in {wall:.1} s: {:.0}x, {:.0} events/s",
        simulated / wall,
        events as f64 / wall
    );
    Ok(())
}

/// A line for each segment.
fn haul_all(order: Order, reader: Option<Box<dyn std::io::Write + Send>>) -> Verdict {
    let (seed, mut began) = (order.seed, Instant::now());
    let mut segment = 0;
    let verdict = haul(order, reader, &mut |verdict| {
        segment += 1;
        let (seconds, took) = (verdict.seconds, began.elapsed().as_secs_f64());
        let Verdict { runs, attempts, trace, .. } = verdict;
        println!(
            "seed {seed}, segment {segment}: {seconds:.0} s in {took:.1} s, {runs} runs, {attempts} attempts, {trace}"
        );
        began = Instant::now();
    });
    let Verdict { runs, attempts, trace, .. } = &verdict;
    println!("seed {seed}: {:.0} s, {runs} runs, {attempts} attempts, {trace}", verdict.seconds);
    verdict.violations.iter().take(4).for_each(|violation| println!("  {violation}"));
    verdict.aside.sentences().for_each(|sentence| println!("  not what it is for: {sentence}"));
    verdict
}

fn chosen() -> Result<Option<Plan>, scenarios::ScenarioError> {
    std::env::var("SCENARIO").ok().map(|name| scenarios::find(&name)).transpose()
}

/// The trace of each seed and what is wrong with it, and at last how often each mark was passed: many seeds that miss one
/// have not been where they should go.
fn check(seeds: std::ops::Range<u64>, scenario: Option<Plan>) -> Result<(), Box<dyn std::error::Error>> {
    let (mut broken, mut worlds, mut asides) = (Vec::new(), Vec::new(), Vec::new());
    for seed in seeds {
        let plan = scenario.clone().unwrap_or_else(|| Plan::swarm(seed));
        let verdict = simulate(Order { plan, seed, mutant: Mutant::None }, None);
        println!("seed {seed}: {}", verdict.trace);
        verdict.violations.iter().take(4).for_each(|violation| println!("  {violation}"));
        if !verdict.is_good() {
            println!("  repeat: hortator sim run --seed {seed} --trace story.txt");
            broken.push(seed);
        }
        asides.push(verdict.aside);
        worlds.push(verdict.marks);
    }
    let passed = marks::count(worlds.iter());
    passed.iter().for_each(|(mark, times)| println!("mark {mark:?}: {times}"));
    let aside = Aside::of_all(&asides);
    let missed: Vec<&str> = match scenario {
        Some(_) => aside.sentences().collect(),
        None => marks::missed(worlds.len() as u64, &passed),
    };
    match (&broken[..], &missed[..]) {
        ([], []) => Ok(()),
        ([], missed) => Err(format!("missed: {missed:?}").into()),
        (broken, _) => Err(format!("seeds {broken:?} break promises").into()),
    }
}

/// A row of a table for each mutant: seeds until its own checker spoke in each range, and who spoke besides.
fn hunt_all(starts: &str, limit: u64, names: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let starts: Vec<u64> = starts.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let all = mutant::names();
    let columns: Vec<String> = starts.iter().map(|start| format!("from {start}")).collect();
    println!("| mutant | checker | {} | median | others that spoke |", columns.join(" | "));
    println!("| --- | --- {}| --- | --- |", "| --- ".repeat(starts.len()));
    let words = |tried: Option<u64>| tried.map_or(format!("> {limit}"), |tried| tried.to_string());
    for name in all.into_iter().filter(|name| names.is_empty() || names.iter().any(|wanted| wanted == name)) {
        let mutant: Mutant = name.parse()?;
        let hunts: Vec<Hunt> = starts.iter().map(|start| hunt(mutant, *start..start + limit)).collect();
        let tried: Vec<String> = hunts.iter().map(|hunt| words(hunt.tried)).collect();
        let others: BTreeSet<&str> = hunts.iter().flat_map(|hunt| hunt.others.iter().copied()).collect();
        let (checker, median) = (mutant.checker().unwrap_or_default(), words(median(&hunts)));
        let others = others.into_iter().collect::<Vec<_>>().join(" ");
        println!("| {name} | {checker} | {} | {median} | {others} |", tried.join(" | "));
        hunts.iter().for_each(|hunt| eprintln!("{name}: {}", hunt.words));
    }
    Ok(())
}

fn trace_file(ending: &str) -> std::io::Result<Option<Box<dyn std::io::Write + Send>>> {
    let Ok(path) = std::env::var("TRACE") else { return Ok(None) };
    let file = std::fs::File::create(format!("{path}{ending}"))?;
    Ok(Some(Box::new(std::io::BufWriter::new(file))))
}

fn smaller(verdict: &Verdict, from: Resolved, mutant: Mutant, budget: Duration) {
    let Some(violation) = verdict.violations.first() else { return };
    let checker = violation.checker.to_owned();
    let asked = Shrinking { from, mutant, checker, budget, tries_max: u64::MAX, jobs: 2 };
    let shrunk = shrink(asked, &mut |step| println!("  {step}"));
    let witness = Witness::default();
    replay(shrunk.to.clone(), mutant, Audience { reader: None, witness: Some(witness.clone()) });
    println!("{}\n{}", shrunk.to.text(), diagram::draw(&witness.moments()));
}
