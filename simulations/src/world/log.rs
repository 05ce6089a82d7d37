//! Where the nodes of a world log to: beside its trace, when somebody reads it. Must not know who logs.

use std::fmt::{self, Write};
use std::sync::Arc;

use slog::{Drain, Logger, Never, OwnedKVList, Record, Serializer, o};

use super::agenda::Agenda;
use super::trace::Trace;

struct Aside {
    agenda: Arc<Agenda>,
    trace: Trace,
}

pub(super) fn logger(agenda: Arc<Agenda>, trace: Trace) -> Logger {
    match trace.is_read() {
        true => Logger::root(Aside { agenda, trace }, o!()),
        false => Logger::root(slog::Discard, o!()),
    }
}

impl Drain for Aside {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut words = Words(String::new());
        // A value that cannot be shown is left out.
        let _ = slog::KV::serialize(values, record, &mut words);
        let _ = slog::KV::serialize(&record.kv(), record, &mut words);
        self.trace.aside(self.agenda.now(), format_args!("{} {}{}", record.level(), record.msg(), words.0));
        Ok(())
    }
}

struct Words(String);

impl Serializer for Words {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(|_| slog::Error::Other)
    }
}
