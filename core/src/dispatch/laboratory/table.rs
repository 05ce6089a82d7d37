//! Orders and policies beside each other: the same jobs, the same fleet, the same seeds.
//! Must not know how a table is shown.

use serde::Serialize;

use super::{
    Failover, Fleet, Job, Memory, Order, Played, Sight, Study, Sums, Trace, Weather, geometric_mean, median,
    play, sums,
};
use crate::definition::Priority;
use crate::dispatch::Policy;
use crate::time::{Span, Timestamp};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    pub policy: Policy,
    pub order: Order,
}

/// One trace under one case: medians over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub trace: String,
    pub tasks: usize,
    pub makespan: f64,
    pub lower_bound: f64,
    pub ratio: f64,
    pub imbalance: f64,
}

/// All traces under one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub case: Case,
    /// Geometric mean of makespan ÷ lower bound, each trace alone.
    pub ratio: f64,
    pub cells: Vec<Cell>,
    /// All traces at once, with the five priorities in turn.
    pub together: Sums,
}

pub fn compare(traces: &[Trace], fleet: &Fleet, cases: &[Case], noise: f64, seeds: u64) -> Vec<Row> {
    let row = |case: &Case| {
        let cells: Vec<Cell> = traces.iter().map(|trace| cell(trace, fleet, *case, noise, seeds)).collect();
        let ratio = geometric_mean(cells.iter().map(|cell| cell.ratio));
        Row { case: *case, ratio, cells, together: together(traces, fleet, *case, noise) }
    };
    cases.iter().map(row).collect()
}

fn cell(trace: &Trace, fleet: &Fleet, case: Case, noise: f64, seeds: u64) -> Cell {
    let job = Job { trace, priority: Priority::Normal, arrives: Timestamp(0) };
    // Without noise and chance all seeds are the same.
    let seeds = if noise == 0.0 && case.policy != Policy::Random { 1 } else { seeds.max(1) };
    let one = |seed| {
        let study = study(fleet, vec![job], case, noise, seed);
        let played: Played = play(&study);
        sums(&study, &played)
    };
    let all: Vec<Sums> = (1..=seeds).map(one).collect();
    let of = |what: fn(&Sums) -> f64| median(all.iter().map(what).collect());
    Cell {
        trace: trace.name.clone(),
        tasks: trace.graph.len(),
        makespan: of(|sums| sums.makespan),
        lower_bound: all[0].lower_bound,
        ratio: of(|sums| sums.ratio),
        imbalance: of(|sums| sums.imbalance),
    }
}

fn together(traces: &[Trace], fleet: &Fleet, case: Case, noise: f64) -> Sums {
    let levels = [Priority::Highest, Priority::High, Priority::Normal, Priority::Low, Priority::Lowest];
    let job = |(at, trace)| Job { trace, priority: levels[at % levels.len()], arrives: Timestamp(0) };
    let jobs = traces.iter().enumerate().map(job).collect();
    let study = study(fleet, jobs, case, noise, 1);
    let played = play(&study);
    sums(&study, &played)
}

fn study<'a>(fleet: &'a Fleet, jobs: Vec<Job<'a>>, case: Case, noise: f64, seed: u64) -> Study<'a> {
    Study {
        fleet,
        jobs,
        order: case.order,
        policy: case.policy,
        sight: Sight::Accounts { beat: Span::ZERO },
        memory: Memory::None,
        failover: Failover::Never,
        weather: Weather::Calm,
        noise,
        seed,
    }
}
