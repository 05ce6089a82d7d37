//! What tells the lives of a directory apart. A boot's number says how many came before it and carries a number that was drawn
//! for it, and the directory keeps those of its newest boots: one that was put back counts on from its own past, and never
//! has the numbers that others remember of the other one. Pure; must not know files or peers.

/// Of one file: more boots than there will be. What is above them tells directories apart.
const COUNT_BITS: u32 = 16;
/// Two histories agree in one of so many boots by chance; 48 bits in all fit wherever people read them.
const DRAW_BITS: u32 = 16;
const ORIGIN_BITS: u32 = 16;
/// So many starts in a row may be heard by nobody before an old directory is judged by its count alone.
const LIVES_KEPT: usize = 64;
/// Encoded.
pub(crate) const LIVES_BYTES: usize = LIVES_KEPT * 2;

/// The numbers drawn for a directory's newest boots, the last one first; 0 where none is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives([u16; LIVES_KEPT]);

impl Default for Lives {
    fn default() -> Lives {
        Lives([0; LIVES_KEPT])
    }
}

/// Where a new directory begins to count. Messages name their sender's boot only: an emptied directory in its first boot must
/// not be taken for the one that it was, until its greeting comes.
pub(crate) fn boot_before_first(origin: u64) -> u64 {
    (origin % (1 << ORIGIN_BITS)) << (COUNT_BITS + DRAW_BITS)
}

/// Whether the directory was never started before.
pub(crate) fn is_first(boot: u64) -> bool {
    count(boot) % (1 << COUNT_BITS) == 1
}

impl Lives {
    /// The number of the boot after `before`.
    pub(crate) fn begin(&mut self, before: u64, drawn: u64) -> u64 {
        let drawn = (drawn % u64::from(u16::MAX)) as u16 + 1;
        self.0.rotate_right(1);
        self.0[0] = drawn;
        (count(before) + 1) << DRAW_BITS | u64::from(drawn)
    }

    /// Whether a directory in that boot, which has these, was never in `remembered`, which it has behind it by its count. What
    /// lies further back than is kept is believed.
    pub(crate) fn contradict(&self, boot: u64, remembered: u64) -> bool {
        match count(boot).checked_sub(count(remembered)) {
            Some(0) => boot != remembered,
            Some(since) => {
                let kept = usize::try_from(since).ok().and_then(|since| self.0.get(since)).copied();
                kept.is_some_and(|drawn| drawn != 0 && drawn != remembered as u16)
            }
            None => false,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|drawn| drawn.to_le_bytes()).collect()
    }

    /// Nothing when the length is wrong.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Lives> {
        let (pairs, []) = bytes.as_chunks::<2>() else { return None };
        let drawn: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        drawn.try_into().ok().map(Lives)
    }
}

fn count(boot: u64) -> u64 {
    boot >> DRAW_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that was started with these numbers, and its boots.
    fn started(drawn: &[u64]) -> (Lives, Vec<u64>) {
        let (mut lives, mut boots) = (Lives::default(), vec![boot_before_first(7)]);
        for number in drawn {
            boots.push(lives.begin(boots[boots.len() - 1], *number));
        }
        (lives, boots.split_off(1))
    }

    #[test]
    fn boots_count_up_whatever_is_drawn() {
        let (lives, boots) = started(&[u64::MAX, 0, 5, 5]);
        assert!(boots.is_sorted() && boots[0] > boot_before_first(7), "{boots:?}");
        assert!(boots.iter().all(|boot| *boot < 1 << 48), "{boots:?}");
        let first: Vec<bool> = boots.iter().map(|boot| is_first(*boot)).collect();
        assert_eq!(first, [true, false, false, false]);
        assert_eq!(Lives::decode(&lives.encode()), Some(lives));
        assert_eq!(Lives::decode(&lives.encode()[2..]), None);
    }

    #[test]
    fn a_past_that_was_not_is_noticed() {
        let (_, first) = started(&[1, 2, 3, 4]);
        for (what, drawn, remembered, expected) in [
            ("the same boot", &[1, 2, 3, 4][..], 3, false),
            ("a later boot of the same", &[1, 2, 3, 4, 5], 3, false),
            ("as often started since it was copied", &[1, 2, 8, 9], 3, true),
            ("more often", &[1, 2, 8, 9, 10], 3, true),
            ("more often, and they met before the copy", &[1, 2, 8, 9, 10], 1, false),
            ("less often: its count shows it", &[1, 2, 8], 3, false),
        ] {
            let (lives, boots) = started(drawn);
            let boot = boots[boots.len() - 1];
            assert_eq!(lives.contradict(boot, first[remembered]), expected, "{what}");
        }
    }

    #[test]
    fn what_is_older_than_what_is_kept_is_believed() {
        let (_, first) = started(&[1, 2]);
        for (starts, expected) in [(LIVES_KEPT, true), (LIVES_KEPT + 1, false)] {
            let drawn: Vec<u64> = std::iter::once(1).chain(10..).take(starts + 1).collect();
            let (lives, boots) = started(&drawn);
            assert_eq!(lives.contradict(boots[starts], first[1]), expected, "{starts}");
        }
        // Before numbers were drawn.
        assert!(!Lives::default().contradict(first[1], first[0]));
    }
}
