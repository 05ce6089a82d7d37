//! What runs are shown as of: now, or a position or a time that was. Must not ask the cluster.

use hortator_core::id::Position;

use crate::cli::args::{AtArgs, Command, RunVerb};
use crate::cli::error::Error;
use crate::cli::reference::Then;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Now,
    Past(Then),
}

impl Moment {
    /// `at POSITION|TIME`, `now`, `step [+N|-N]`
    pub(super) fn moved(self, words: &[String]) -> Result<Moment, Error> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (&words[..], self) {
            (["now"], _) => Ok(Moment::Now),
            (["at", text], _) => text.parse().map(Moment::Past).map_err(|_| {
                let detail = format!("{text:?} is neither a position nor a time");
                Error::usage(detail)
                    .hint("write `at 2:812000` or `at 2026-11-20T14:02:03Z`; positions: run events RUN")
            }),
            (["step"], moment) => moment.step(1),
            (["step", by], moment) => {
                let by = by.parse().map_err(|_| Error::usage(format!("{by:?} is no number of entries")))?;
                moment.step(by)
            }
            _ => Err(Error::usage("write `at POSITION|TIME`, `step +1`, `step -1` or `now`")),
        }
    }

    fn step(self, by: i64) -> Result<Moment, Error> {
        match self {
            Moment::Past(Then::Position(Position { group, index })) => {
                let index = index.saturating_add_signed(by);
                Ok(Moment::Past(Then::Position(Position { group, index })))
            }
            Moment::Now | Moment::Past(Then::Time(_)) => {
                Err(Error::usage("steps go from entry to entry, so they begin at a position: at 2:812000"))
            }
        }
    }

    /// The command as of then. What only knows the present is refused rather than mixed with the past.
    pub(super) fn applied(self, command: Command) -> Result<Command, Error> {
        let Moment::Past(then) = self else { return Ok(command) };
        let (position, time) = match then {
            Then::Position(position) => (Some(position), None),
            Then::Time(time) => (None, Some(time)),
        };
        let at = |run: String| RunVerb::At(AtArgs { run, position, time });
        match command {
            // What names its own moments.
            Command::Diff(args) => Ok(Command::Diff(args)),
            Command::Explain(mut args) => {
                args.at = args.at.or(Some(then));
                Ok(Command::Explain(args))
            }
            Command::Run(mut args) => {
                args.verb = match args.verb {
                    Some(RunVerb::Show(show)) => Some(at(show.run)),
                    Some(RunVerb::Tasks(tasks)) if tasks.state.is_empty() && !tasks.failed => {
                        Some(at(tasks.run))
                    }
                    Some(verb @ (RunVerb::At(_) | RunVerb::Replay(_) | RunVerb::Events(_))) => Some(verb),
                    _ => return Err(self.present()),
                };
                Ok(Command::Run(args))
            }
            _ => Err(self.present()),
        }
    }

    fn present(self) -> Error {
        let detail = format!("the shell stands {self}, and this command only knows the present");
        Error::usage(detail)
            .hint("as of then: run show RUN, run tasks RUN, explain RUN; back to the present: now")
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Moment::Now => f.write_str("now"),
            Moment::Past(then) => write!(f, "@{then}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_move() {
        let at = |index| Moment::Past(Then::Position(Position { group: 2, index }));
        for (from, line, expected) in [
            (Moment::Now, "at 2:10", Some(at(10))),
            (at(10), "step", Some(at(11))),
            (at(10), "step -4", Some(at(6))),
            (at(10), "step +2", Some(at(12))),
            (at(10), "step -40", Some(at(0))),
            (at(10), "now", Some(Moment::Now)),
            (Moment::Now, "step 1", None),
            (Moment::Now, "at noon", None),
            (at(1), "step far", None),
            (at(1), "at", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(from.moved(&words).ok(), expected, "{from:?} {line}");
        }
        let time = Moment::Now.moved(&["at".into(), "2026-11-20T14:02:03Z".into()]).expect("a time");
        assert!(time.to_string().starts_with("@2026-11-20T14:02:03"), "{time}");
    }
}
