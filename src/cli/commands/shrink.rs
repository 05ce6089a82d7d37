//! `hortator sim replay` and `shrink`: stored runs played again, and made smaller until a person can read them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hortator_actors::mutant::Mutant;
use hortator_core::time::Span;
use hortator_simulations::diagram;
use hortator_simulations::resolved::Resolved;
use hortator_simulations::run::{Audience, Verdict, play, replay as play_again};
use hortator_simulations::shrink::{End, Shrinking, shrink as make_smaller};
use hortator_simulations::witness::Witness;
use serde::Serialize;

use super::simulate::{order, place_of, refuse_segments, store, story, trace_file};
use crate::cli::args::{SimReplayArgs, SimShrinkArgs};
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::Output;

pub(crate) fn replay(args: &SimReplayArgs, output: &Output) -> Result<Exit, Error> {
    let (resolved, mutant) = read(&args.file)?;
    let reader = args.trace.as_deref().map(trace_file).transpose()?;
    let witness = Witness::default();
    let began = Instant::now();
    let (verdict, _) = play_again(resolved, mutant, Audience { reader, witness: Some(witness.clone()) });
    match output.is_json() {
        true => output.document(&verdict)?,
        false => {
            let took = began.elapsed().as_secs_f64();
            let drawn = diagram::draw(&witness.moments());
            output.text(&format!("{drawn}\n{}\n", story(&verdict, took)))?;
        }
    }
    Ok(if verdict.is_good() { Exit::Success } else { Exit::Violated })
}

fn read(path: &Path) -> Result<(Resolved, Mutant), Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(&format!("cannot read {}", path.display()), &error))?;
    let wrong = |why: String| {
        Error::new(Exit::Invalid, code::PLAN, format!("{} is no stored run: {why}", path.display()))
            .hint("hortator sim run --seed N --save FILE")
    };
    let resolved = Resolved::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let mutant = resolved.mutant.as_deref().map_or(Ok(Mutant::None), str::parse);
    Ok((resolved, mutant.map_err(|error| wrong(error.to_string()))?))
}

/// What was made smaller, in JSON.
#[derive(Serialize)]
struct Smaller<'a> {
    checker: &'a str,
    file: String,
    tries: u64,
    seconds: f64,
    /// False when the time was over before nothing was left to try.
    smallest: bool,
    errands: [usize; 2],
    faults: [usize; 2],
    masters: [u64; 2],
    workers: [u64; 2],
    verdict: &'a Verdict,
}

pub(crate) fn shrink(args: &SimShrinkArgs, output: &Output) -> Result<Exit, Error> {
    let budget: Span = args.budget.parse().map_err(|error| Error::usage(format!("--for: {error}")))?;
    let began = Instant::now();
    let (from, mutant, verdict) = first(args)?;
    let speaks = |name: &str| verdict.violations.iter().any(|violation| violation.checker == name);
    let checker = match &args.checker {
        Some(name) if speaks(name) => name.clone(),
        Some(name) => return Err(Error::usage(format!("{name} has nothing to say of this run"))),
        None => match verdict.violations.first() {
            Some(violation) => violation.checker.to_owned(),
            None => {
                output.text("no violation: there is nothing to make smaller\n")?;
                return Ok(Exit::Success);
            }
        },
    };
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let asked = Shrinking {
        from: from.clone(),
        mutant,
        checker: checker.clone(),
        budget: budget.as_duration(),
        tries_max: u64::MAX,
        jobs,
    };
    let shrunk = make_smaller(asked, &mut |step| eprintln!("{step}"));
    let witness = Witness::default();
    let audience = Audience { reader: None, witness: Some(witness.clone()) };
    let (verdict, mut to) = play_again(shrunk.to.clone(), mutant, audience);
    // Errands that nobody set out for any more stay in the file as they were.
    to.errands = shrunk.to.errands;
    let path = args.save.clone().unwrap_or_else(|| smaller_place(args.what.as_deref(), &verdict));
    store(&to, &path)?;
    let smaller = Smaller {
        checker: &checker,
        file: path.display().to_string(),
        tries: shrunk.tries,
        seconds: began.elapsed().as_secs_f64(),
        smallest: shrunk.end == End::Smallest,
        errands: [from.errands.len(), to.errands.len()],
        faults: [from.hits.len(), to.hits.len()],
        masters: [from.cluster.masters, to.cluster.masters],
        workers: [from.cluster.workers, to.cluster.workers],
        verdict: &verdict,
    };
    match output.is_json() {
        true => output.document(&smaller)?,
        false => output.text(&format!("{}\n{}", diagram::draw(&witness.moments()), told(&smaller)))?,
    }
    Ok(Exit::Violated)
}

/// The run as it is before anything is taken away.
fn first(args: &SimShrinkArgs) -> Result<(Resolved, Mutant, Verdict), Error> {
    match (args.seed, args.what.as_deref()) {
        (None, Some(path)) => {
            let (resolved, mutant) = read(Path::new(path))?;
            let (verdict, _) = play_again(resolved.clone(), mutant, Audience::default());
            Ok((resolved, mutant, verdict))
        }
        (seed, scenario) => {
            let order = order(scenario, seed.unwrap_or_default(), args.mutant.as_deref())?;
            refuse_segments(&order, false, "be made smaller")?;
            let mutant = order.mutant;
            let (verdict, resolved) = play(order, Audience::default());
            Ok((resolved, mutant, verdict))
        }
    }
}

fn smaller_place(what: Option<&str>, verdict: &Verdict) -> PathBuf {
    match what.map(Path::new) {
        Some(path) if path.is_file() => path.with_extension("small.toml"),
        _ => place_of(verdict).with_extension("small.toml"),
    }
}

fn told(smaller: &Smaller<'_>) -> String {
    let Smaller { checker, file, tries, seconds, smallest, errands, faults, masters, workers, verdict } =
        smaller;
    let [words, more] = match smallest {
        true => ["nothing more can be left out", ""],
        false => ["the time was over", "; more with a longer --for"],
    };
    let mut text = format!(
        "\n{checker} still speaks after {tries} tries in {seconds:.0} s ({words}{more}):\n  errands {} -> {}, faults {} -> {}, masters {} -> {}, workers {} -> {}\n",
        errands[0], errands[1], faults[0], faults[1], masters[0], masters[1], workers[0], workers[1],
    );
    for violation in verdict.violations.iter().filter(|violation| violation.checker == *checker).take(3) {
        text.push_str(&format!("  {violation}\n"));
    }
    text.push_str(&format!("hortator sim replay {file}\n"));
    text
}
