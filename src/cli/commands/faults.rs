//! `hortator fault list|add|clear`: a cluster that may be broken is broken for a while. Its words become an order here.
//! Must not know how it is carried out.

use hortator_core::time::Span;

use crate::api::body::Page;
use crate::api::problem::code;
use crate::cli::args::{AddFaultArgs, FaultVerb};
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::session::Session;
use crate::live_faults::{FaultView, Order, Path, Wanted};

const FAULTS: &str = "/cluster/faults";

/// `hortator fault …`
pub async fn fault(session: &Session, verb: FaultVerb) -> Result<Exit, Error> {
    match verb {
        FaultVerb::List => {
            let page: Page<FaultView> = session.client.ask(Call::get(FAULTS)).await?;
            session.output.list(&page.items)?;
        }
        FaultVerb::Add(AddFaultArgs { words }) | FaultVerb::Shortly(words) => {
            let wanted = wanted(&words).map_err(refused)?;
            let view: FaultView = session.client.ask(Call::post_json(FAULTS, &wanted)).await?;
            session.output.one(&view, &view.id.to_string(), || format!("{}\n", view.line()))?;
        }
        FaultVerb::Clear { id: Some(id) } => {
            let view: FaultView = session.client.ask(Call::delete(format!("{FAULTS}/{id}"))).await?;
            session.output.one(&view, &id.to_string(), || format!("ended: {}\n", view.fault))?;
        }
        FaultVerb::Clear { id: None } => {
            let page: Page<FaultView> = session.client.ask(Call::delete(FAULTS)).await?;
            session.output.list(&page.items)?;
            session.output.hint(&format!("ended {} faults", page.items.len()));
        }
    }
    Ok(Exit::Success)
}

fn refused(why: String) -> Error {
    Error::new(Exit::Usage, code::FAULT, why).hint("hortator fault add --help")
}

impl Listed for FaultView {
    const HEADERS: &'static [&'static str] = &["FAULT", "WHAT", "BY", "SINCE", "UNTIL"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.id.to_string().into(),
            self.fault.clone().into(),
            self.by.clone().into(),
            output.time(Some(self.since)).into(),
            output.time(Some(self.until)).into(),
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }
}

/// Words as `delay peer n1→n2 200ms±50 for 30s`.
fn wanted(words: &[String]) -> Result<Wanted, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_whitespace()).collect();
    let (what, lasts) = match &words[..] {
        [what @ .., "for", lasts] => (what, *lasts),
        // A pause says how long by itself.
        ["pause", _, lasts] if lasts.parse::<Span>().is_ok() => (&words[..2], *lasts),
        _ => return Err(format!("{:?} does not say how long; end it with `for 30s`", words.join(" "))),
    };
    let lasts = lasts.parse().map_err(|error| format!("in `for {lasts}`: {error}"))?;
    Ok(Wanted { fault: order(what)?, lasts })
}

fn order(words: &[&str]) -> Result<Order, String> {
    let node = |name: &str| name.to_owned();
    match words {
        [kind @ ("delay" | "drop"), "peer" | "link", rest @ ..] => order(&[&[*kind], rest].concat()),
        ["delay", path, by] => {
            let (by, spread) = around(by)?;
            Ok(Order::Delay { path: path.parse::<Path>()?, by, spread })
        }
        ["drop", path, share] => {
            let percent = share.strip_suffix('%').and_then(|number| number.parse().ok());
            let percent = percent.ok_or_else(|| format!("{share:?} is no share; write 30%"))?;
            Ok(Order::Drop { path: path.parse::<Path>()?, percent })
        }
        ["partition", sides @ ..] => partition(&sides.join(" ")),
        ["disk", name, "fsync-delay", by] => Ok(Order::FsyncDelay { node: node(name), by: span(by)? }),
        ["disk", name, "full"] => Ok(Order::DiskFull { node: node(name) }),
        ["disk", _, "bitflip"] => {
            Err("files that are kept are not damaged: rotten bits are the simulator's, \
                                       hortator sim explore --seeds 0..100"
                .into())
        }
        ["clock", name, "drift", rate] => {
            let rate = rate.parse().map_err(|_| format!("{rate:?} is no rate; write 1.01"))?;
            Ok(Order::ClockDrift { node: node(name), rate })
        }
        ["clock", name, by] => Ok(Order::ClockJump { node: node(name), micros: shift(by)? }),
        ["kill", name] => Ok(Order::Kill { node: node(name) }),
        ["pause", name] => Ok(Order::Pause { node: node(name) }),
        ["heartbeat-loss", name] => Ok(Order::HeartbeatLoss { node: node(name) }),
        ["panic", ..] => Err(
            "a part that panics ends its process, and here that is the whole cluster; let one begin anew \
                              with `hortator debug restart ACTOR`, or kill a node"
                .into(),
        ),
        _ => Err(format!("{:?} is no fault", words.join(" "))),
    }
}

fn span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// `200ms±50ms`; a spread without a unit has that of the span before it.
fn around(text: &str) -> Result<(Span, Span), String> {
    let Some((by, spread)) = text.split_once('±').or_else(|| text.split_once("+-")) else {
        return Ok((span(text)?, Span(0)));
    };
    let unit = by.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let bare = spread.bytes().all(|byte| byte.is_ascii_digit());
    let spread = if bare { format!("{spread}{unit}") } else { spread.to_owned() };
    Ok((span(by)?, span(&spread)?))
}

/// `+5s`, `-2h`: microseconds.
fn shift(text: &str) -> Result<i64, String> {
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return Err(format!("{text:?} is neither ahead nor behind; write +5s, -5s or drift 1.01")),
    };
    Ok(sign * i64::try_from(span(rest)?.0).unwrap_or(i64::MAX))
}

/// `n1 | n2,n3`; a slash or `from` will do where a bar means something else.
fn partition(text: &str) -> Result<Order, String> {
    let halves = text.split_once('|').or_else(|| text.split_once('/')).or_else(|| text.split_once(" from "));
    let (one, other) = halves.ok_or_else(|| format!("{text:?} has no two sides; write n1 | n2,n3"))?;
    let names = |side: &str| {
        let names = side.split([',', ' ']).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    Ok(Order::Partition { one: names(one), other: names(other) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Wanted, String> {
        wanted(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_become_orders_and_orders_read_as_their_words() {
        for (line, again, lasts) in [
            ("delay peer n1→n2 200ms±50 for 30s", "delay n1→n2 200ms±50ms", 30),
            ("delay n1->w2 1s+-10ms for 1m", "delay n1→w2 1s±10ms", 60),
            ("delay n2 1s for 1s", "delay n2 1s", 1),
            ("drop peer n2 30% for 5s", "drop n2 30%", 5),
            ("partition n1 | n2,n3 for 30s", "partition n1 | n2,n3", 30),
            ("partition n1/n2, n3 for 30s", "partition n1 | n2,n3", 30),
            ("partition n1,w1 from n2 for 1s", "partition n1,w1 | n2", 1),
            ("disk n2 fsync-delay 2s for 1m", "disk n2 fsync-delay 2s", 60),
            ("disk n2 full for 1m", "disk n2 full", 60),
            ("clock n3 +5s for 10s", "clock n3 +5s", 10),
            ("clock n3 -2h for 10s", "clock n3 -2h", 10),
            ("clock n3 drift 1.01 for 10s", "clock n3 drift 1.01", 10),
            ("kill n2 for 10s", "kill n2", 10),
            ("pause w1 20s", "pause w1", 20),
            ("pause w1 for 20s", "pause w1", 20),
            ("heartbeat-loss w2 for 20s", "heartbeat-loss w2", 20),
        ] {
            let wanted = parsed(line).unwrap();
            assert_eq!((wanted.fault.to_string().as_str(), wanted.lasts), (again, Span::from_secs(lasts)));
            let json = serde_json::to_string(&wanted).unwrap();
            assert_eq!(serde_json::from_str::<Wanted>(&json).unwrap(), wanted, "{json}");
        }
        for (line, part) in [
            ("kill n2", "does not say how long"),
            ("kill n2 for", "does not say how long"),
            ("kill n2 for 10", "has no unit"),
            ("kill for 10s", "is no fault"),
            ("drop n2 x for 10s", "is no share"),
            ("clock n2 5s for 10s", "neither ahead nor behind"),
            ("partition n1 for 1s", "no two sides"),
            ("panic actor Shard:shard-1 for 1s", "the whole cluster"),
            ("disk n1 bitflip for 1s", "the simulator's"),
            ("delay n1→n1 1s for 1s", "no link to itself"),
        ] {
            let refused = parsed(line).expect_err(line);
            assert!(refused.contains(part), "{line}: {refused:?} lacks {part:?}");
        }
    }
}
