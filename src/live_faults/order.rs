//! What a fault is to be, as data and as a sentence. Must not know how it is carried out.

use std::fmt;
use std::str::FromStr;

use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

/// Nobody means to leave a cluster broken for longer; a second order goes on where the first has ended.
pub const LASTS_MAX: Span = Span::from_secs(3_600);
/// Frames that are later than this are as good as lost.
const DELAY_MAX: Span = Span::from_secs(60);
/// A wall clock that is further off proves nothing more.
const JUMP_MAX: i64 = 30 * 86_400 * 1_000_000;
/// Seconds twice as long or half as long are far beyond any real clock.
const RATES: [f64; 2] = [0.5, 2.0];

/// An order and how long it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub fault: Order,
    #[serde(rename = "for", with = "text")]
    pub lasts: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Frames come so much later, give or take the spread, in order.
    Delay {
        path: Path,
        #[serde(with = "text")]
        by: Span,
        #[serde(with = "text", default)]
        spread: Span,
    },
    /// So many frames of a hundred are lost.
    Drop { path: Path, percent: u8 },
    /// Nobody of the one side has a link to anybody of the other.
    Partition { one: Vec<String>, other: Vec<String> },
    /// Each sync of the master's files takes so much longer.
    FsyncDelay {
        node: String,
        #[serde(with = "text")]
        by: Span,
    },
    /// The master's disk has no space left.
    DiskFull { node: String },
    /// The node's wall clock is so many microseconds ahead.
    ClockJump { node: String, micros: i64 },
    /// The node's wall clock runs so many times as fast.
    ClockDrift { node: String, rate: f64 },
    /// The node is gone and comes back with its files in the end.
    Kill { node: String },
    /// The node stands still, and goes on in the end.
    Pause { node: String },
    /// Nobody hears that the worker lives.
    HeartbeatLoss { node: String },
}

/// Frames from one node to another, or all from and to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Path {
    Link { from: String, to: String },
    Around(String),
}

impl Order {
    /// A word for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Order::Delay { .. } => "delay",
            Order::Drop { .. } => "drop",
            Order::Partition { .. } => "partition",
            Order::FsyncDelay { .. } => "fsync-delay",
            Order::DiskFull { .. } => "disk-full",
            Order::ClockJump { .. } => "clock-jump",
            Order::ClockDrift { .. } => "clock-drift",
            Order::Kill { .. } => "kill",
            Order::Pause { .. } => "pause",
            Order::HeartbeatLoss { .. } => "heartbeat-loss",
        }
    }

    /// The nodes that it names.
    pub fn nodes(&self) -> Vec<&str> {
        match self {
            Order::Delay { path, .. } | Order::Drop { path, .. } => match path {
                Path::Link { from, to } => vec![from, to],
                Path::Around(node) => vec![node],
            },
            Order::Partition { one, other } => one.iter().chain(other).map(String::as_str).collect(),
            Order::FsyncDelay { node, .. }
            | Order::DiskFull { node }
            | Order::ClockJump { node, .. }
            | Order::ClockDrift { node, .. }
            | Order::Kill { node }
            | Order::Pause { node }
            | Order::HeartbeatLoss { node } => vec![node],
        }
    }

    /// A sentence about what is out of bounds.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Order::Delay { by, spread, .. } if spread > by || *by > DELAY_MAX || by.0 == 0 => Err(format!(
                "frames can be late by 1ms to {DELAY_MAX}, with a spread of at most that, not by {by}±{spread}"
            )),
            Order::Drop { percent, .. } if !(1..=100).contains(percent) => {
                Err(format!("1% to 100% of frames can be lost, not {percent}%"))
            }
            Order::Partition { one, other } => match one.iter().find(|node| other.contains(node)) {
                Some(both) => Err(format!("{both} cannot be on both sides of a partition")),
                None if one.is_empty() || other.is_empty() => {
                    Err("a partition has nodes on both sides, as in n1 | n2,n3".into())
                }
                None => Ok(()),
            },
            Order::FsyncDelay { by, .. } if *by > DELAY_MAX || by.0 == 0 => {
                Err(format!("a sync can take 1ms to {DELAY_MAX} longer, not {by}"))
            }
            Order::ClockJump { micros, .. } if micros.unsigned_abs() > JUMP_MAX as u64 || *micros == 0 => {
                Err("a clock can be wrong by up to 30d, as in +5s or -2h".into())
            }
            Order::ClockDrift { rate, .. } if !(RATES[0]..=RATES[1]).contains(rate) || *rate == 1.0 => {
                Err(format!("a clock can run {} to {} times as fast, not {rate} times", RATES[0], RATES[1]))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Delay { path, by, spread: Span(0) } => write!(f, "delay {path} {by}"),
            Order::Delay { path, by, spread } => write!(f, "delay {path} {by}±{spread}"),
            Order::Drop { path, percent } => write!(f, "drop {path} {percent}%"),
            Order::Partition { one, other } => {
                write!(f, "partition {} | {}", one.join(","), other.join(","))
            }
            Order::FsyncDelay { node, by } => write!(f, "disk {node} fsync-delay {by}"),
            Order::DiskFull { node } => write!(f, "disk {node} full"),
            Order::ClockJump { node, micros } => {
                let sign = if *micros < 0 { '-' } else { '+' };
                write!(f, "clock {node} {sign}{}", Span(micros.unsigned_abs()))
            }
            Order::ClockDrift { node, rate } => write!(f, "clock {node} drift {rate}"),
            Order::Kill { node } => write!(f, "kill {node}"),
            Order::Pause { node } => write!(f, "pause {node}"),
            Order::HeartbeatLoss { node } => write!(f, "heartbeat-loss {node}"),
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Path, String> {
        let halves = text.split_once('→').or_else(|| text.split_once("->"));
        match halves {
            Some((from, to)) if from == to => Err(format!("{from} has no link to itself")),
            Some((from, to)) if !from.is_empty() && !to.is_empty() => {
                Ok(Path::Link { from: from.into(), to: to.into() })
            }
            None if !text.is_empty() => Ok(Path::Around(text.into())),
            _ => Err(format!("{text:?} is no link; write n1→n2, n1->n2, or n2 for all of its links")),
        }
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Path, String> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> String {
        path.to_string()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Link { from, to } => write!(f, "{from}→{to}"),
            Path::Around(node) => f.write_str(node),
        }
    }
}

/// Spans as people write them.
mod text {
    use hortator_core::time::Span;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(span)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
