//! The workers of a study, and how people write them: `4x8,2x8@2`.
//! Must not know what runs on them.

use std::str::FromStr;

/// Most slots of a fleet: enough for every trace, few enough to be played.
const SLOTS_MAX: u64 = 100_000;

/// Some workers that are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    pub workers: u32,
    pub slots: u32,
    /// How many seconds of a trace one second is there.
    pub speed: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fleet(pub Vec<Band>);

/// The text is no fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fleet; write WORKERSxSLOTS, with @SPEED where it is not 1, for example 4x8,2x8@2")]
pub struct FleetError(String);

impl Fleet {
    /// Workers of one slot each, all of speed 1.
    pub fn of_slots(slots: u32) -> Fleet {
        Fleet(vec![Band { workers: slots, slots: 1, speed: 1.0 }])
    }

    /// Slots and speed of each worker.
    pub fn workers(&self) -> Vec<(u32, f64)> {
        let each = |band: &Band| vec![(band.slots, band.speed); band.workers as usize];
        self.0.iter().flat_map(each).collect()
    }

    pub fn slots(&self) -> u64 {
        self.0.iter().map(|band| u64::from(band.workers) * u64::from(band.slots)).sum()
    }

    /// Seconds of a trace that it works off in a second.
    pub fn power(&self) -> f64 {
        self.0.iter().map(|band| f64::from(band.workers) * f64::from(band.slots) * band.speed).sum()
    }

    pub fn speed_max(&self) -> f64 {
        self.0.iter().map(|band| band.speed).fold(0.0, f64::max)
    }
}

impl FromStr for Fleet {
    type Err = FleetError;
    fn from_str(text: &str) -> Result<Fleet, FleetError> {
        let band = |part: &str| {
            let (count, speed) = part.split_once('@').unwrap_or((part, "1"));
            let (workers, slots) = count.split_once('x')?;
            let band = Band {
                workers: workers.trim().parse().ok()?,
                slots: slots.trim().parse().ok()?,
                speed: speed.trim().parse().ok()?,
            };
            let good = band.workers > 0 && band.slots > 0 && band.speed >= 0.01 && band.speed <= 100.0;
            good.then_some(band)
        };
        let refuse = || FleetError(text.chars().take(80).collect());
        let bands: Option<Vec<Band>> = text.split(',').map(band).collect();
        let fleet = Fleet(bands.ok_or_else(refuse)?);
        if fleet.slots() > SLOTS_MAX { Err(refuse()) } else { Ok(fleet) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleets() {
        let fleet: Fleet = "4x8,2x8@2".parse().unwrap();
        assert_eq!((fleet.slots(), fleet.power(), fleet.speed_max()), (48, 64.0, 2.0));
        for bad in ["", "8", "0x1", "1x0", "1x1@0", "1x1@nan", "1x1,", "x", "100000x2"] {
            assert!(bad.parse::<Fleet>().is_err(), "{bad:?}");
        }
    }
}
