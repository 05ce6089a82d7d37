//! How the wires are: what they usually are, and what the faults that hold make of it. Must not know frames.

use std::collections::BTreeSet;

use hortator_proto::frame::NodeId;
use hortator_raft::sometimes;

use super::layers::{Layer, Layers};

/// How the wires are. Chances are in millionths, per frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Microseconds from end to end, at least.
    pub latency_least: u64,
    /// And what comes to it, on average.
    pub latency_more: u64,
    /// A segment is lost and comes again: all behind it wait.
    pub loss: u64,
    /// A segment is lost while nothing else is under way, and so may each of its repetitions be: what is sent meanwhile
    /// comes together with it. Milder than `loss`, and what relays in front of real processes do.
    pub lost_alone: u64,
    /// A frame is lost for good, as when a queue is full.
    pub dropped: u64,
    /// A frame comes once more, at any time later.
    pub astray: u64,
    /// The session breaks.
    pub broken: u64,
    /// Bytes in a millisecond over one link; 0 for no bound.
    pub bytes_per_milli: u64,
}

/// A good local network.
pub const FAIR: Weather = Weather {
    latency_least: 60,
    latency_more: 120,
    loss: 0,
    lost_alone: 0,
    dropped: 0,
    astray: 0,
    broken: 0,
    bytes_per_milli: 0,
};

/// What a fault makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Storm { latency_least: u64, latency_more: u64, loss: u64, broken: u64 },
    Throttle { bytes_per_milli: u64 },
}

/// Which links a fault makes worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    Everywhere,
    /// In both directions.
    On(BTreeSet<(NodeId, NodeId)>),
}

impl Where {
    /// These links, whichever end is named first.
    pub fn on(links: impl IntoIterator<Item = (NodeId, NodeId)>) -> Where {
        let both = |(one, other): (NodeId, NodeId)| [(other.clone(), one.clone()), (one, other)];
        Where::On(links.into_iter().flat_map(both).collect())
    }

    fn has(&self, link: &(NodeId, NodeId)) -> bool {
        match self {
            Where::Everywhere => true,
            Where::On(links) => links.contains(link),
        }
    }
}

/// The weather now. Of two troubles of one kind the later counts, while both hold.
#[derive(Debug)]
pub(super) struct Sky {
    usual: Weather,
    troubles: Layers<(Trouble, Where)>,
    /// Where no fault is about one link alone.
    now: Weather,
    /// Some are.
    patchy: bool,
}

impl Sky {
    pub(super) fn of(usual: Weather) -> Sky {
        Sky { usual, troubles: Layers::NONE, now: usual, patchy: false }
    }

    pub(super) fn over(&self, link: &(NodeId, NodeId)) -> Weather {
        if !self.patchy {
            return self.now;
        }
        let weather = self.sum(|place| place.has(link));
        sometimes!(weather != self.now, "wires: a link is worse than others");
        weather
    }

    pub(super) fn set_usual(&mut self, weather: Weather) {
        self.usual = weather;
        self.look();
    }

    pub(super) fn add(&mut self, trouble: Trouble, place: Where) -> Layer {
        let layer = self.troubles.add((trouble, place));
        self.look();
        layer
    }

    pub(super) fn remove(&mut self, layer: Layer) {
        self.troubles.remove(layer);
        self.look();
    }

    fn look(&mut self) {
        self.now = self.sum(|place| *place == Where::Everywhere);
        self.patchy = self.troubles.all().any(|(_, place)| *place != Where::Everywhere);
    }

    fn sum(&self, counts: impl Fn(&Where) -> bool) -> Weather {
        let troubles = self.troubles.all().filter(|(_, place)| counts(place));
        troubles.fold(self.usual, |weather, (trouble, _)| trouble.of(weather))
    }
}

impl Trouble {
    fn of(self, weather: Weather) -> Weather {
        match self {
            Trouble::Storm { latency_least, latency_more, loss, broken } => {
                Weather { latency_least, latency_more, loss, broken, ..weather }
            }
            Trouble::Throttle { bytes_per_milli } => Weather { bytes_per_milli, ..weather },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(one: u64, other: u64) -> (NodeId, NodeId) {
        (NodeId::Master(one), NodeId::Master(other))
    }

    #[test]
    fn troubles_that_overlap_leave_nothing_behind() {
        let usual = Weather { astray: 7, ..FAIR };
        let storm = Trouble::Storm { latency_least: 1, latency_more: 2, loss: 3, broken: 4 };
        let (slow, slower) =
            (Trouble::Throttle { bytes_per_milli: 9 }, Trouble::Throttle { bytes_per_milli: 5 });
        let mut sky = Sky::of(usual);
        let here = link(1, 2);
        let first = sky.add(storm, Where::Everywhere);
        let second = sky.add(slow, Where::Everywhere);
        let third = sky.add(slower, Where::Everywhere);
        let weather = sky.over(&here);
        assert_eq!((weather.loss, weather.bytes_per_milli, weather.astray), (3, 5, 7));
        sky.remove(first);
        assert_eq!(sky.over(&here), Weather { bytes_per_milli: 5, ..usual });
        sky.remove(third);
        assert_eq!(sky.over(&here), Weather { bytes_per_milli: 9, ..usual });
        sky.remove(second);
        assert_eq!(sky.over(&here), usual);
    }

    #[test]
    fn a_trouble_of_one_link_leaves_the_others() {
        let (slow, slower) =
            (Trouble::Throttle { bytes_per_milli: 9 }, Trouble::Throttle { bytes_per_milli: 5 });
        let mut sky = Sky::of(FAIR);
        let local = sky.add(slow, Where::on([link(1, 2)]));
        let pace = |sky: &Sky, one, other| sky.over(&link(one, other)).bytes_per_milli;
        assert_eq!((pace(&sky, 1, 2), pace(&sky, 2, 1), pace(&sky, 1, 3)), (9, 9, 0));
        let wide = sky.add(slower, Where::Everywhere);
        assert_eq!((pace(&sky, 1, 2), pace(&sky, 1, 3)), (5, 5));
        sky.remove(wide);
        sky.remove(local);
        assert_eq!((pace(&sky, 1, 2), pace(&sky, 1, 3)), (0, 0));
    }
}
