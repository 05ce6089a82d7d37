//! What a task does in place of its process: for each attempt an end and how long it takes. Must not know who plays it.

use std::str::FromStr;

use hortator_core::time::Span;
use serde::Deserialize;

use crate::world::host::Script;

/// What one attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    how: How,
    /// None: as long as such a task takes anyway.
    pub(crate) takes: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Succeeds,
    Fails,
    /// Until somebody ends it.
    Hangs,
}

/// What the attempts of one task do, one after the other; the last stands for all that follow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Stub(Vec<Act>);

/// The text is no stub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no stub; write ok, fail, hang, 2s, ok:2s or fail:2s, several with commas for one attempt each"
)]
pub struct StubError(String);

impl Act {
    /// Of a task of which no stub says anything.
    pub(crate) const USUAL: Act = Act { how: How::Succeeds, takes: None };
    pub(crate) const FAILS: Act = Act { how: How::Fails, takes: None };

    pub(crate) fn script(self, takes: Span) -> Script {
        let millis = takes.0 / 1_000;
        match self.how {
            How::Succeeds => Script::Run { millis },
            How::Fails => Script::Fail { millis },
            How::Hangs => Script::Hang,
        }
    }
}

impl TryFrom<String> for Stub {
    type Error = StubError;

    fn try_from(text: String) -> Result<Stub, StubError> {
        text.parse()
    }
}

impl FromStr for Stub {
    type Err = StubError;

    fn from_str(text: &str) -> Result<Stub, StubError> {
        let error = || StubError(text.to_owned());
        let act = |word: &str| {
            let (how, takes) = match word.split_once(':') {
                Some((how, takes)) => (how, Some(takes.parse().map_err(|_| error())?)),
                None => match word.parse::<Span>() {
                    Ok(takes) => ("ok", Some(takes)),
                    Err(_) => (word, None),
                },
            };
            let how = match how {
                "ok" => How::Succeeds,
                "fail" => How::Fails,
                "hang" => How::Hangs,
                _ => return Err(error()),
            };
            Ok(Act { how, takes })
        };
        text.split(',').map(act).collect::<Result<_, _>>().map(Stub)
    }
}

impl Stub {
    pub(crate) fn act(&self, attempt: u16) -> Act {
        let place = usize::from(attempt.max(1) - 1).min(self.0.len() - 1);
        self.0[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs() {
        let act = |how, secs| Act { how, takes: Some(Span::from_secs(secs)) };
        let usual = |how| Act { how, takes: None };
        for (text, acts) in [
            ("ok", vec![usual(How::Succeeds)]),
            ("fail", vec![usual(How::Fails)]),
            ("2s", vec![act(How::Succeeds, 2)]),
            ("fail:3s,ok", vec![act(How::Fails, 3), usual(How::Succeeds)]),
            ("hang", vec![usual(How::Hangs)]),
        ] {
            assert_eq!(text.parse(), Ok(Stub(acts)), "{text}");
        }
        for text in ["", "okay", "fail:", "2", "ok,"] {
            assert!(text.parse::<Stub>().is_err(), "{text:?}");
        }
        let stub: Stub = "fail,ok".parse().expect("a stub");
        assert_eq!(
            [1, 2, 3].map(|attempt| stub.act(attempt).how),
            [How::Fails, How::Succeeds, How::Succeeds]
        );
    }
}
