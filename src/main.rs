//! The one binary of Hortator.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A warden must begin before any thread or descriptor of the rest exists.
    if let Some(code) = hortator::warden::main(std::env::args_os()) {
        return code;
    }
    // The same binary plays small parts of its own, such as the warden of a worker's processes.
    match hortator::warden::main(std::env::args_os()) {
        Some(code) => code,
        None => hortator::cli::main(std::env::args_os()),
    }
}
