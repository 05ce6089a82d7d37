//! Where this process's own log lines go: stderr, readable on a terminal and one JSON document a line elsewhere.
//! Must not know who logs.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use slog::{Drain, Level, LevelFilter, Logger, o};
use slog_async::{Async, AsyncGuard};

use super::error::{Error, Exit, code};
use crate::config::{LogFormat, ServerLog};

/// Lines that wait to be written; what does not fit is dropped and counted, never waited for.
const WAITING_MAX: usize = 4_096;

/// The logger, and the guard that writes what waits when it is dropped.
pub(crate) fn logger(level: &str) -> Result<(Logger, AsyncGuard), Error> {
    made(level, LogFormat::Auto)
}

/// A node's, as its configuration says.
pub(crate) fn server_logger(section: &ServerLog) -> Result<(Logger, AsyncGuard), Error> {
    made(&section.level, section.format)
}

fn made(level: &str, format: LogFormat) -> Result<(Logger, AsyncGuard), Error> {
    let text = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        // The journal shows lines as they are.
        LogFormat::Auto => io::stderr().is_terminal() || std::env::var_os("JOURNAL_STREAM").is_some(),
    };
    let level = Level::from_str(level).map_err(|()| {
        let detail = format!("log.level is {level:?}; levels are critical, error, warning, info, debug");
        Error::new(Exit::Invalid, code::CONFIG, detail).hint("hortator config show --origin")
    })?;
    let (drain, guard) = match text {
        true => {
            let decorator = slog_term::TermDecorator::new().stderr().build();
            queue(slog_term::FullFormat::new(decorator).build().fuse(), level)
        }
        false => queue(slog_json::Json::new(io::stderr()).add_default_keys().build().fuse(), level),
    };
    Ok((Logger::root(drain.fuse(), o!()), guard))
}

fn queue<D>(drain: D, level: Level) -> (Async, AsyncGuard)
where
    D: Drain<Err = slog::Never, Ok = ()> + Send + 'static,
{
    Async::new(LevelFilter::new(drain, level).fuse()).chan_size(WAITING_MAX).build_with_guard()
}
