//! What a mark costs where nobody listens, against a loop that has none, in one run:
//! `cargo test --release -p hortator-raft --test marks_cost -- --ignored --nocapture`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a measurement is of real time")]

use std::hint::black_box;
use std::time::Instant;

use hortator_raft::{always, sometimes};

const ROUNDS: u64 = 200_000_000;
/// The least of so many is what the machine's other work has touched least.
const TRIES: u32 = 5;

fn nanoseconds(step: impl Fn(u64)) -> f64 {
    let time = || {
        let began = Instant::now();
        (0..ROUNDS).for_each(&step);
        began.elapsed().as_secs_f64() * 1e9 / ROUNDS as f64
    };
    (0..TRIES).map(|_| time()).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement"]
fn an_inert_mark() {
    let empty = nanoseconds(|round| {
        black_box(round);
    });
    let some = nanoseconds(|round| {
        sometimes!(black_box(round) == 0, "cost: of a mark");
        black_box(round);
    });
    let holds = nanoseconds(|round| {
        always!(black_box(round) > 0, "cost: of a mark that must hold");
        black_box(round);
    });
    println!("an empty round {empty:.2} ns; with a sometimes! {some:.2} ns ({:.2} times)", some / empty);
    println!("with an always! {holds:.2} ns ({:.2} times)", holds / empty);
}
