//! The raw rate at which this machine starts processes and waits for them: what every launcher is measured against.
//! Measured in a small fresh process, since a large one is slower. Must not know attempts.

use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// First argument of a process that measures; then milliseconds, threads, and the command.
pub const SPAWN_RATE_ARGUMENT: &str = "__spawn-rate";

/// Threads that are tried; the best of them is the machine's rate.
const THREADS: [usize; 3] = [1, 2, 4];

/// Processes per second with one number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpawnRate {
    pub threads: usize,
    pub per_second: f64,
}

/// Why no rate was measured.
#[derive(Debug, thiserror::Error)]
pub enum SpawnRateError {
    #[error("cannot start the measuring process {program}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("the measuring process gave no number but {answer:?}")]
    Answer { answer: String },
}

/// Starts and waits for `argv` again and again, `each` long per number of threads, in fresh processes of
/// `program` (which must call `warden::main` first); the best comes first.
pub fn spawn_rate(program: &Path, argv: &[&str], each: Duration) -> Result<Vec<SpawnRate>, SpawnRateError> {
    let mut rates = Vec::new();
    for threads in THREADS {
        let output = Command::new(program)
            .args([SPAWN_RATE_ARGUMENT, &each.as_millis().to_string(), &threads.to_string()])
            .args(argv)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| SpawnRateError::Start { program: program.display().to_string(), source })?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let per_second = answer.trim().parse().map_err(|_| SpawnRateError::Answer { answer })?;
        rates.push(SpawnRate { threads, per_second });
    }
    rates.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
    Ok(rates)
}

/// The measuring process: prints one number, processes per second.
pub(super) fn main(args: &[String]) -> ExitCode {
    let [millis, threads, argv @ ..] = args else { return ExitCode::FAILURE };
    let (Ok(millis), Ok(threads), false) = (millis.parse(), threads.parse(), argv.is_empty()) else {
        return ExitCode::FAILURE;
    };
    match measure(argv, Duration::from_millis(millis), threads) {
        Ok(rate) => {
            println!("{rate:.1}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", argv[0]);
            ExitCode::FAILURE
        }
    }
}

fn measure(argv: &[String], length: Duration, threads: usize) -> io::Result<f64> {
    let (start, total, failure) = (Instant::now(), Mutex::new(0u64), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut count = 0;
                // The standard library uses posix_spawn for a command as plain as this.
                let mut command = Command::new(&argv[0]);
                command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null());
                while start.elapsed() < length {
                    match command.spawn().and_then(|mut child| child.wait()) {
                        Ok(_) => count += 1,
                        Err(error) => return *failure.lock().expect("no panic inside") = Some(error),
                    }
                }
                *total.lock().expect("no panic inside") += count;
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    match failure.into_inner().expect("no panic inside") {
        Some(error) => Err(error),
        None => Ok(total.into_inner().expect("no panic inside") as f64 / seconds),
    }
}
