//! Seeds one after the other, without the rest of the program: `cargo run -p hortator-simulations --example swarm -- 0 20`.

use std::time::Instant;

use hortator_actors::mutant::Mutant;
use hortator_simulations::plan::Plan;
use hortator_simulations::run::{Order, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, from, to, more @ ..] = &words[..] else { return Err("usage: swarm FROM TO [MUTANT]".into()) };
    let mutant = more.first().map_or(Ok(Mutant::None), |name| name.parse())?;
    for seed in from.parse()?..to.parse()? {
        let began = Instant::now();
        let reader = std::env::var_os("TRACE").map(std::fs::File::create).transpose()?;
        let reader =
            reader.map(|file| Box::new(std::io::BufWriter::new(file)) as Box<dyn std::io::Write + Send>);
        let verdict = simulate(Order { plan: Plan::swarm(seed), seed, mutant }, reader);
        let (took, seconds, trace) = (began.elapsed().as_secs_f64(), verdict.seconds, verdict.trace);
        println!("seed {seed}: {seconds:.0} s in {took:.1} s, {} runs, {trace}", verdict.runs);
        verdict.violations.iter().take(4).for_each(|violation| println!("  {violation}"));
    }
    Ok(())
}
