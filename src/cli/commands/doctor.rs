//! `hortator doctor`: everything that is usually looked at one by one, each with a sentence and what to do about it.
//! Asks every master for itself; must not know how any of it is counted.

mod checks;
mod evidence;
mod groups;

use serde::Serialize;

use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Form, Listed, Output};
use crate::cli::session::Session;

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub check: &'static str,
    pub result: Verdict,
    /// A sentence with the value and the limit.
    pub what: String,
    /// What to do; empty when nothing has to be done.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    /// Somebody wanted it so, or it passes by itself.
    Note,
    Problem,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, result: Verdict::Ok, what: what.into(), advice: String::new() }
    }

    fn note(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, result: Verdict::Note, what: what.into(), advice: advice.into() }
    }

    fn problem(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, result: Verdict::Problem, what: what.into(), advice: advice.into() }
    }
}

/// `hortator doctor`; exit 12 when there is a problem.
pub async fn doctor(session: &Session) -> Result<Exit, Error> {
    let evidence = evidence::gather(session).await?;
    let found = checks::all(&evidence);
    let output = &session.output;
    match output.form {
        Form::Table => {
            output.text(&found.iter().map(|finding| shown(finding, output)).collect::<String>())?
        }
        _ => output.list(&found)?,
    }
    let problems = found.iter().filter(|finding| finding.result == Verdict::Problem).count();
    match problems {
        0 => {
            output.hint(&format!("{} checks, nothing is wrong", found.len()));
            Ok(Exit::Success)
        }
        problems => {
            output.hint(&format!("{problems} of {} checks found something wrong", found.len()));
            Ok(Exit::Problems)
        }
    }
}

/// Sentences are longer than columns of a table.
fn shown(finding: &Finding, output: &Output) -> String {
    let arrow = if output.ascii { "->" } else { "→" };
    let mut text = format!("{:<8} {:<13} {}\n", finding.result.shown(), finding.check, finding.what);
    if !finding.advice.is_empty() {
        text.push_str(&format!("{:<22} {arrow} {}\n", "", finding.advice));
    }
    text
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Problem => "problem",
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Verdict::Problem => "PROBLEM",
            other => other.word(),
        }
    }
}

impl Listed for Finding {
    const HEADERS: &'static [&'static str] = &["RESULT", "CHECK", "WHAT", "ADVICE"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        vec![
            self.result.word().to_owned().into(),
            self.check.to_owned().into(),
            self.what.clone().into(),
            self.advice.clone().into(),
        ]
    }

    fn name(&self) -> String {
        self.check.to_owned()
    }
}
