//! The one binary of Hortator.

use std::process::ExitCode;

/// Decisions make and drop small things all the time, most of them in the thread that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hortator::server::end_on_panic();
    // A warden must begin before any thread or descriptor of the rest exists.
    match hortator::warden::main(std::env::args_os()) {
        Some(code) => code,
        None => hortator::cli::main(std::env::args_os()),
    }
}
