//! Seeds one after the other, without the rest of the program: `cargo run -p hortator-simulations --example swarm -- 0 20`.
//! With a mutant's name behind them its mistake is made; `TRACE=FILE` writes a trace, `REPLAY=1` plays each once more
//! from what it resolved to, `SHRINK=SECONDS` makes those smaller that break a promise.

use std::time::{Duration, Instant};

use hortator_actors::mutant::Mutant;
use hortator_simulations::diagram;
use hortator_simulations::plan::Plan;
use hortator_simulations::resolved::Resolved;
use hortator_simulations::run::{Audience, Order, Verdict, play, replay};
use hortator_simulations::shrink::{Shrinking, shrink};
use hortator_simulations::witness::Witness;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, from, to, more @ ..] = &words[..] else { return Err("usage: swarm FROM TO [MUTANT]".into()) };
    let mutant = more.first().map_or(Ok(Mutant::None), |name| name.parse())?;
    for seed in from.parse()?..to.parse()? {
        let began = Instant::now();
        let reader = trace_file("")?;
        let order = Order { plan: Plan::swarm(seed), seed, mutant };
        let (verdict, resolved) = play(order, Audience { reader, witness: None });
        let (took, seconds, trace) = (began.elapsed().as_secs_f64(), verdict.seconds, verdict.trace);
        println!("seed {seed}: {seconds:.0} s in {took:.1} s, {} runs, {trace}", verdict.runs);
        verdict.violations.iter().take(4).for_each(|violation| println!("  {violation}"));
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
