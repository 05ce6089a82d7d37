//! Where this process's own log lines go: stderr, readable on a terminal and one JSON document a line elsewhere.
//! Must not know who logs.

use std::fmt::Debug;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use slog::{Drain, Fuse, Level, LevelFilter, Logger, o};
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
    let (queue, guard) = match text {
        true => {
            let decorator = slog_term::TermDecorator::new().stderr().build();
            queue(slog_term::FullFormat::new(decorator).build().fuse())
        }
        false => queue(slog_json::Json::new(io::stderr()).add_default_keys().build().fuse()),
    };
    Ok((Logger::root(only(level, queue), o!()), guard))
}

fn queue<D>(drain: D) -> (Async, AsyncGuard)
where
    D: Drain<Err = slog::Never, Ok = ()> + Send + 'static,
{
    Async::new(drain).chan_size(WAITING_MAX).build_with_guard()
}

/// In front of the queue: whatever comes to that is made text and wakes a thread, and raft has a line for each message.
fn only<D: Drain>(level: Level, queue: D) -> Fuse<LevelFilter<D>>
where
    D::Err: Debug,
{
    LevelFilter::new(queue, level).fuse()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fmt;
    use std::sync::Mutex;

    use slog::{OwnedKVList, Record, debug, info};

    use super::*;

    /// Keeps the messages that come to it.
    struct Queue<'a>(&'a Mutex<Vec<String>>);

    impl Drain for Queue<'_> {
        type Ok = ();
        type Err = Infallible;

        fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Infallible> {
            self.0.lock().expect("nobody panics").push(record.msg().to_string());
            Ok(())
        }
    }

    /// Fails where it is made text.
    struct Unread;

    impl fmt::Display for Unread {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("a line that nobody wants was made text")
        }
    }

    #[test]
    fn what_is_below_the_level_never_comes_to_the_queue() {
        let came: &Mutex<Vec<String>> = Box::leak(Box::default());
        let log = Logger::root(only(Level::Info, Queue(came)), o!());
        debug!(log, "{}", Unread);
        info!(log, "a leader");
        assert_eq!(*came.lock().expect("nobody panics"), ["a leader"]);
    }
}
