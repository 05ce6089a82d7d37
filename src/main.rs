//! The one binary of Hortator.

use std::process::ExitCode;

fn main() -> ExitCode {
    hortator::server::end_on_panic();
    // A warden must begin before any thread or descriptor of the rest exists.
    match hortator::warden::main(std::env::args_os()) {
        Some(code) => code,
        None => hortator::cli::main(std::env::args_os()),
    }
}
