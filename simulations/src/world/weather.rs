//! How the wires are: what they usually are, and what the faults that hold make of it. Must not know frames.

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

/// The weather now. Of two troubles of one kind the later counts, while both hold.
#[derive(Debug)]
pub(super) struct Sky {
    usual: Weather,
    troubles: Layers<Trouble>,
    now: Weather,
}

impl Sky {
    pub(super) fn of(usual: Weather) -> Sky {
        Sky { usual, troubles: Layers::NONE, now: usual }
    }

    pub(super) fn weather(&self) -> Weather {
        self.now
    }

    pub(super) fn set_usual(&mut self, weather: Weather) {
        self.usual = weather;
        self.look();
    }

    pub(super) fn add(&mut self, trouble: Trouble) -> Layer {
        let layer = self.troubles.add(trouble);
        self.look();
        layer
    }

    pub(super) fn remove(&mut self, layer: Layer) {
        self.troubles.remove(layer);
        self.look();
    }

    fn look(&mut self) {
        self.now = self.troubles.all().fold(self.usual, |weather, trouble| trouble.of(weather));
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

    #[test]
    fn troubles_that_overlap_leave_nothing_behind() {
        let usual = Weather { astray: 7, ..FAIR };
        let storm = Trouble::Storm { latency_least: 1, latency_more: 2, loss: 3, broken: 4 };
        let (slow, slower) =
            (Trouble::Throttle { bytes_per_milli: 9 }, Trouble::Throttle { bytes_per_milli: 5 });
        let mut sky = Sky::of(usual);
        let first = sky.add(storm);
        let second = sky.add(slow);
        let third = sky.add(slower);
        assert_eq!((sky.weather().loss, sky.weather().bytes_per_milli, sky.weather().astray), (3, 5, 7));
        sky.remove(first);
        assert_eq!(sky.weather(), Weather { bytes_per_milli: 5, ..usual });
        sky.remove(third);
        assert_eq!(sky.weather(), Weather { bytes_per_milli: 9, ..usual });
        sky.remove(second);
        assert_eq!(sky.weather(), usual);
    }
}
