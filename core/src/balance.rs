//! Which shard leader moves next, so that all masters work: a pure choice over what the masters measured.
//! Must not know how a leader moves, nor what makes a master fit beyond what it is told.

/// Thousandths of an idle shard's share of work; all sums are whole numbers, so the choice repeats exactly.
const IDLE: u64 = 1_000;
/// Entries per second that weigh as much as leading an idle shard.
const PROPOSALS_UNIT: u64 = 200;
/// Live runs that weigh as much.
const RUNS_UNIT: u64 = 1_000;
/// A CPU that is busy all the time weighs half an idle shard: other programs count, but only as a tie-breaker.
const CPU_FULL: u64 = IDLE / 2;
/// The membership group's leader also dispatches; less than [`GAIN_MIN`], since beside a shard it answers sooner.
const MEMBERSHIP: u64 = IDLE / 5;
/// A move that gains less than this is not worth a rebuild.
pub const GAIN_MIN: u64 = IDLE / 4;

/// A master that could lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterLoad {
    pub id: u64,
    pub cpu_percent: u32,
    /// Leads the membership group.
    pub dispatches: Dispatches,
    pub fitness: Fitness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatches {
    Yes,
    No,
}

/// Whether a master may get a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    Fit,
    /// It joins, leaves, is silent, or has just started.
    Unfit,
}

/// A shard with its leader. `heirs`: those that have its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLoad {
    pub shard: u32,
    pub leader: u64,
    pub runs: u64,
    pub proposals_per_second: u64,
    pub heirs: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub shard: u32,
    pub from: u64,
    pub to: u64,
}

/// The move that evens out most, if any is worth it. Of equals the first shard and the first master.
pub fn next_move(masters: &[MasterLoad], shards: &[ShardLoad]) -> Option<Move> {
    let mut best: Option<(u64, Move)> = None;
    for shard in shards {
        let from = load(masters, shards, shard.leader);
        for to in masters.iter().filter(|master| may_get(master, shard)) {
            let after = load(masters, shards, to.id) + weight(shard);
            let gain = from.saturating_sub(after);
            if gain >= GAIN_MIN && best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, Move { shard: shard.shard, from: shard.leader, to: to.id }));
            }
        }
    }
    best.map(|(_, chosen)| chosen)
}

/// All moves until nothing is worth one, each after those before it.
pub fn plan(masters: &[MasterLoad], shards: &[ShardLoad]) -> Vec<Move> {
    let (mut shards, mut moves) = (shards.to_vec(), Vec::new());
    // No more moves than shards: a plan is for people, and what they weigh elsewhere has to be measured first.
    while let Some(next) = next_move(masters, &shards).filter(|_| moves.len() < shards.len()) {
        let moved = shards.iter_mut().find(|shard| shard.shard == next.shard).expect("one of them is moved");
        moved.leader = next.to;
        moves.push(next);
    }
    moves
}

fn may_get(master: &MasterLoad, shard: &ShardLoad) -> bool {
    master.fitness == Fitness::Fit && master.id != shard.leader && shard.heirs.contains(&master.id)
}

fn weight(shard: &ShardLoad) -> u64 {
    IDLE + shard.proposals_per_second * IDLE / PROPOSALS_UNIT + shard.runs * IDLE / RUNS_UNIT
}

fn load(masters: &[MasterLoad], shards: &[ShardLoad], id: u64) -> u64 {
    let led: u64 = shards.iter().filter(|shard| shard.leader == id).map(weight).sum();
    let own = masters.iter().find(|master| master.id == id).map_or(0, |master| {
        let dispatches = if master.dispatches == Dispatches::Yes { MEMBERSHIP } else { 0 };
        dispatches + u64::from(master.cpu_percent.min(100)) * CPU_FULL / 100
    });
    led + own
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masters(count: u64) -> Vec<MasterLoad> {
        let dispatches = |id| if id == 1 { Dispatches::Yes } else { Dispatches::No };
        let master =
            |id| MasterLoad { id, cpu_percent: 10, dispatches: dispatches(id), fitness: Fitness::Fit };
        (1..=count).map(master).collect()
    }

    fn shards(leaders: &[u64]) -> Vec<ShardLoad> {
        let shard = |(shard, leader): (u32, &u64)| ShardLoad {
            shard,
            leader: *leader,
            runs: 0,
            proposals_per_second: 0,
            heirs: vec![1, 2, 3],
        };
        (1..).zip(leaders).map(shard).collect()
    }

    /// Moves until there is none; gives the leaders and how many moves it took.
    fn settled(masters: &[MasterLoad], mut shards: Vec<ShardLoad>) -> (Vec<u64>, usize) {
        let planned = plan(masters, &shards);
        let mut moves = 0;
        while let Some(next) = next_move(masters, &shards) {
            let shard = shards.iter_mut().find(|shard| shard.shard == next.shard).expect("one of them");
            assert_eq!(shard.leader, next.from);
            assert!(planned.get(moves).is_none_or(|planned| *planned == next), "{planned:?}");
            shard.leader = next.to;
            moves += 1;
            assert!(moves <= 64, "it goes round in circles");
        }
        (shards.iter().map(|shard| shard.leader).collect(), moves)
    }

    #[test]
    fn idle_shards_are_spread_with_as_few_moves_as_needed() {
        for (leaders, expected, moves) in [
            (&[1, 1, 1, 1][..], &[2, 3, 1, 1][..], 2),
            (&[3, 3, 3, 3][..], &[2, 1, 3, 3][..], 2),
            (&[1, 2, 3, 1][..], &[1, 2, 3, 1][..], 0),
            (&[1][..], &[1][..], 0),
        ] {
            assert_eq!(settled(&masters(3), shards(leaders)), (expected.to_vec(), moves), "{leaders:?}");
        }
    }

    #[test]
    fn nobody_unfit_or_behind_gets_a_leader() {
        let mut some = masters(3);
        some[1].fitness = Fitness::Unfit;
        let (leaders, _) = settled(&some, shards(&[1, 1, 1, 1]));
        assert!(leaders.iter().all(|leader| *leader != 2), "{leaders:?}");
        let mut behind = shards(&[1, 1, 1, 1]);
        behind.iter_mut().for_each(|shard| shard.heirs = vec![2]);
        let (leaders, _) = settled(&masters(3), behind);
        assert!(leaders.iter().all(|leader| *leader != 3), "{leaders:?}");
    }

    #[test]
    fn a_busy_shard_gets_a_master_of_its_own() {
        let mut some = shards(&[1, 1, 2, 3]);
        some[0].proposals_per_second = 1_000;
        let (leaders, _) = settled(&masters(3), some);
        assert!(leaders[1..].iter().all(|leader| *leader != leaders[0]), "{leaders:?}");
    }

    #[test]
    fn a_busy_cpu_alone_moves_nothing_for_a_small_gain() {
        let mut some = masters(3);
        some[0].cpu_percent = 50;
        assert_eq!(next_move(&some, &shards(&[1, 2, 3])), None);
    }

    proptest! {
        #[test]
        fn it_comes_to_rest(
            leaders in proptest::collection::vec(1u64..=3, 1..9),
            loads in proptest::collection::vec((0u64..3_000, 0u64..20_000), 9),
            cpu in proptest::collection::vec(0u32..=100, 3),
        ) {
            let mut some = masters(3);
            some.iter_mut().zip(cpu).for_each(|(master, cpu)| master.cpu_percent = cpu);
            let mut all = shards(&leaders);
            for (shard, (runs, proposals)) in all.iter_mut().zip(loads) {
                (shard.runs, shard.proposals_per_second) = (runs, proposals);
            }
            settled(&some, all);
        }
    }
}
