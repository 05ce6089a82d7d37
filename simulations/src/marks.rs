//! What a world hears of the marks in the code: which of those that should be passed were, what never should have
//! happened, and whether replicas agree while they work. Must not know who runs.

mod names;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::rc::Rc;
use std::time::Duration;

use hortator_core::id::Name;
use hortator_proto::frame::NodeId;
use hortator_raft::marks::{Deed, Listener};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::amnesia::Amnesia;
use crate::attempts::Attempts;
use crate::checkers::Violation;
use crate::holds::Holds;
use crate::members::Members;
use crate::model::Model;
pub use names::{OF_SCENARIOS, REGISTERED, all, count, is_known, missed};

use crate::stock::Stock;
use crate::witness::Witness;
use crate::world::draw::Draw;
use crate::world::stage;
use crate::world::trace::Rolling;

/// S20: of masters that come and go.
pub const MEMBERS: &str = "members change one step at a time, ids are never used again, whoever has left or forgotten leads nobody, and \
                           nobody else is refused";

/// L8.
const HEARD_IN_TIME: &str =
    "whatever else is sent, heartbeats come in time: once all is healed, no lease ends";
/// A lease ends when that is passed.
const LEASE_ENDS: &str = "agent: a lease expired";
/// The longest lease that a test gives a worker which may be lost, and a little: what ends by then was silent before all was
/// healed.
const LEASES_END: Duration = Duration::from_secs(25);

/// A seed leaves half of what is rare out altogether, and in some seeds a thing is not rare at all: what needs two such
/// things at once comes up there.
const OFTEN: [u64; 8] = [0, 0, 0, 0, 1, 1, 1, 6];
/// In millionths: nothing is done differently for ever.
const MOST: u64 = 900_000;

/// What was heard. Clones share it.
#[derive(Clone, Debug)]
pub struct Ear(Rc<RefCell<Heard>>);

#[derive(Debug)]
struct Heard {
    seed: u64,
    passed: BTreeMap<&'static str, u64>,
    /// Who waits for a mark. Nobody else wakes when one is passed, so that a run that is played again wakes alike.
    waiting: Vec<Waiting>,
    violations: Vec<Violation>,
    memory: Memory,
    /// When the first deed was done, by the world's time.
    began: Option<Instant>,
    rare: BTreeMap<&'static str, Rare>,
    /// Who remembers what replicas do.
    witness: Option<Witness>,
    /// Nothing is done differently for once.
    calm: bool,
    /// When all was healed.
    calm_since: Option<Instant>,
}

/// What deeds are judged by: it outlives the processes that did them.
#[derive(Debug, Default)]
pub struct Memory {
    /// Who leads a group in a term.
    leaders: BTreeMap<(u32, u64), u64>,
    /// Term and checksum of what is committed at a place of a group's log.
    committed: BTreeMap<(u32, u64), (u64, u64)>,
    model: Model,
    members: Members,
    attempts: Attempts,
    holds: Holds,
    stock: Stock,
    amnesia: Amnesia,
}

impl Memory {
    /// Forgets what was committed more than so many entries before the last of each group: whoever is that far behind gets a
    /// snapshot, which is compared with the rows that the whole log has made. All else that is remembered does not grow
    /// with time: votes and promises of those who are there, what is open, the rows, the members after each change.
    pub fn forget_before(&mut self, entries: u64) {
        let last: BTreeMap<u32, u64> = self.committed.keys().copied().collect();
        self.committed.retain(|(group, index), _| index + entries >= last[group]);
        self.model.forget_before(entries);
        self.attempts.begin_anew();
        self.stock.forget_replaced();
    }
}

#[derive(Debug)]
struct Waiting {
    mark: String,
    /// What is passed before does not count.
    from: Instant,
    wake: oneshot::Sender<Option<NodeId>>,
}

#[derive(Debug)]
struct Rare {
    draw: Draw,
    /// How many times as often as usual it happens in this seed.
    times: u64,
}

impl Ear {
    pub fn new(seed: u64, witness: Option<Witness>) -> Ear {
        Ear::remembering(Memory::default(), seed, witness)
    }

    /// One that goes on where another ended.
    pub fn remembering(memory: Memory, seed: u64, witness: Option<Witness>) -> Ear {
        let heard = Heard {
            seed,
            passed: BTreeMap::new(),
            waiting: Vec::new(),
            violations: Vec::new(),
            memory,
            began: None,
            rare: BTreeMap::new(),
            witness,
            calm: false,
            calm_since: None,
        };
        Ear(Rc::new(RefCell::new(heard)))
    }

    /// Until it is given back nothing may happen.
    pub fn take_memory(&self) -> Memory {
        std::mem::take(&mut self.0.borrow_mut().memory)
    }

    pub fn give_memory(&self, memory: Memory) {
        self.0.borrow_mut().memory = memory;
    }

    /// One to which nothing is rare: what may be done differently never is.
    pub fn silent(seed: u64) -> Ear {
        let ear = Ear::new(seed, None);
        ear.0.borrow_mut().calm = true;
        ear
    }

    /// From now on nothing is done differently any more: what is healed has to get well within bounds.
    pub fn calm_down(&self) {
        let mut heard = self.0.borrow_mut();
        (heard.calm, heard.calm_since) = (true, Some(Instant::now()));
    }

    pub fn passed(&self) -> BTreeMap<String, u64> {
        self.0.borrow().passed.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// Of each group the last that was heard to lead it.
    pub fn leaders(&self) -> Vec<u64> {
        let last: BTreeMap<u32, u64> =
            self.0.borrow().memory.leaders.iter().map(|((group, _), replica)| (*group, *replica)).collect();
        last.into_values().collect()
    }

    /// The last that was heard to lead that group.
    pub fn leader_of(&self, group: u32) -> Option<u64> {
        let heard = self.0.borrow();
        let of_group = heard.memory.leaders.range((group, 0)..=(group, u64::MAX));
        of_group.last().map(|(_, replica)| *replica)
    }

    /// Waits until that mark is passed after that time, and says in whose process, if it was in one.
    pub async fn passes_after(&self, mark: &str, time: Duration) -> Option<NodeId> {
        let (wake, passed) = oneshot::channel();
        let waiting = Waiting { mark: mark.to_owned(), from: Instant::now() + time, wake };
        self.0.borrow_mut().waiting.push(waiting);
        // It is there as long as somebody waits.
        passed.await.ok().flatten()
    }

    /// That master has lost what it had on disk; what it said before holds no longer.
    pub fn forgets(&self, replica: u64) {
        let mut heard = self.0.borrow_mut();
        heard.memory.amnesia.forgets(replica);
        heard.memory.model.forgets(replica);
    }

    /// That master has an old directory of its own; what it said since no longer holds.
    pub fn ages(&self, replica: u64) {
        let mut heard = self.0.borrow_mut();
        heard.memory.amnesia.ages(replica);
        heard.memory.model.forgets(replica);
    }

    /// The boots that it is in, by group.
    pub fn boots_of(&self, replica: u64) -> BTreeMap<u32, u64> {
        self.0.borrow().memory.amnesia.boots_of(replica)
    }

    /// Whether all of these who vote with it remember a later boot of it than those.
    pub fn outlived(&self, replica: u64, boots: &BTreeMap<u32, u64>, all: &[u64]) -> bool {
        let heard = self.0.borrow();
        heard.memory.amnesia.outlived(replica, boots, all, &heard.memory.members)
    }

    /// What that master has on disk may be other than what it wrote; whoever refuses it is right.
    pub fn spoils(&self, replica: u64) {
        self.0.borrow_mut().memory.amnesia.spoils(replica);
    }

    /// Of the rows that the log makes, at that index.
    pub fn digest(&self, group: u32, index: u64) -> Option<u64> {
        self.0.borrow().memory.model.digest(group, index)
    }

    /// What workers have and namespaces may hold.
    pub fn with_stock<T>(&self, look: impl FnOnce(&Stock) -> T) -> T {
        look(&self.0.borrow().memory.stock)
    }

    /// Whether every group goes on without that master.
    pub fn bears_loss_of(&self, replica: u64, is_sound: impl Fn(u64) -> bool) -> bool {
        self.0.borrow().memory.members.bear_loss_of(replica, is_sound)
    }

    /// L7: groups that are between two sets of members.
    pub fn in_joint(&self) -> Vec<u32> {
        self.0.borrow().memory.members.in_joint()
    }

    /// L3 once more, in the end.
    pub fn left_open(&self) -> Vec<Violation> {
        self.0.borrow().memory.attempts.left()
    }

    /// Workers of which a life was lost by silence.
    pub fn losers(&self) -> BTreeSet<Name> {
        self.0.borrow().memory.attempts.losers()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().violations.clone()
    }
}

impl Heard {
    fn wake(&mut self, mark: &'static str) {
        let hears = |waiting: &Waiting| waiting.mark == mark && waiting.from <= Instant::now();
        if self.waiting.iter().any(hears) {
            let (woken, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(hears);
            self.waiting = waiting;
            for Waiting { wake, .. } in woken {
                // Gone with the line of faults that it was for.
                let _ = wake.send(stage::on_stage().and_then(|name| node(&name)));
            }
        }
    }
}

/// Of a life's name.
fn node(life: &str) -> Option<NodeId> {
    let master = life.strip_prefix('n').and_then(|id| id.parse().ok()).map(NodeId::Master);
    master.or_else(|| Name::new(life).ok().map(NodeId::Worker))
}

impl Listener for Ear {
    fn sometimes(&mut self, name: &'static str) {
        let mut heard = self.0.borrow_mut();
        *heard.passed.entry(name).or_default() += 1;
        heard.wake(name);
        if name == LEASE_ENDS
            && let Some(since) =
                heard.calm_since.map(|since| since.elapsed()).filter(|since| *since > LEASES_END)
        {
            let detail = format!("a lease ended {} s after all was healed", since.as_secs());
            heard.violations.push(Violation { checker: "L8", promise: HEARD_IN_TIME, detail });
        }
    }

    fn never(&mut self, name: &'static str) {
        let promise = "what is marked as always true is always true";
        let violation = Violation { checker: "always", promise, detail: name.to_owned() };
        self.0.borrow_mut().violations.push(violation);
    }

    fn buggify(&mut self, name: &'static str, millionths: u64) -> bool {
        let mut heard = self.0.borrow_mut();
        let (seed, calm) = (heard.seed, heard.calm);
        let rare = heard.rare.entry(name).or_insert_with(|| {
            let mut draw = Draw::of(seed, &format!("buggify {name}"));
            let times = OFTEN[draw.below(OFTEN.len() as u64) as usize];
            Rare { draw, times }
        });
        !calm && rare.draw.chance((millionths * rare.times).min(MOST))
    }

    fn deed(&mut self, deed: Deed<'_>) {
        let mut heard = self.0.borrow_mut();
        if let Some(witness) = &heard.witness {
            witness.deed(deed);
        }
        let second = heard.began.get_or_insert_with(Instant::now).elapsed().as_secs();
        let Heard { memory, violations, .. } = &mut *heard;
        violations.extend([memory.model.on(&deed), memory.members.on(&deed)].into_iter().flatten());
        violations.extend(memory.attempts.on(&deed, second));
        violations.extend(memory.holds.on(&deed));
        memory.stock.on(&deed);
        violations.extend(memory.amnesia.on(&deed, &memory.members));
        let wrong = match deed {
            Deed::Leads { group, term, replica } => {
                let first = *memory.leaders.entry((group, term)).or_insert(replica);
                (first != replica)
                    .then(|| format!("group {group} has two leaders in term {term}: n{first} and n{replica}"))
            }
            Deed::Applies { group, replica, index, term, data } => {
                let mut sum = Rolling::default();
                sum.write(data);
                let entry = (term, sum.finish());
                let first = *memory.committed.entry((group, index)).or_insert(entry);
                (first != entry).then(|| {
                    format!(
                        "n{replica} applies entry {group}:{index} of term {term}, another that of term {}",
                        first.0
                    )
                })
            }
            _ => None,
        };
        if let Some(detail) = wrong {
            let promise = "a term has one leader, and a place in the log one entry";
            violations.push(Violation { checker: "S13", promise, detail });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn replicas_that_disagree_are_seen() {
        let data: Vec<Bytes> = (0u8..10).map(|kind| Bytes::from(vec![kind])).collect();
        let applies = |replica, index, term, kind: usize| Deed::Applies {
            group: 1,
            replica,
            index,
            term,
            data: &data[kind],
        };
        for (deeds, expected) in [
            (vec![applies(1, 5, 2, 7), applies(2, 5, 2, 7), applies(2, 6, 2, 8)], 0),
            (vec![applies(1, 5, 2, 7), applies(2, 5, 3, 7)], 1),
            (vec![applies(1, 5, 2, 7), applies(2, 5, 2, 9)], 1),
            (
                vec![
                    Deed::Leads { group: 1, term: 2, replica: 1 },
                    Deed::Leads { group: 1, term: 2, replica: 1 },
                ],
                0,
            ),
            (
                vec![
                    Deed::Leads { group: 1, term: 2, replica: 1 },
                    Deed::Leads { group: 1, term: 2, replica: 3 },
                ],
                1,
            ),
            (
                vec![
                    Deed::Leads { group: 1, term: 2, replica: 1 },
                    Deed::Leads { group: 2, term: 2, replica: 3 },
                ],
                0,
            ),
        ] {
            let mut ear = Ear::new(1, None);
            deeds.iter().for_each(|deed| ear.deed(*deed));
            assert_eq!(ear.violations().len(), expected, "{deeds:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ends_in_a_healed_world_is_seen() {
        for (healed, wait, expected) in [
            (true, LEASES_END + Duration::from_secs(1), 1),
            (true, LEASES_END, 0),
            (false, LEASES_END + Duration::from_secs(1), 0),
        ] {
            let mut ear = Ear::new(1, None);
            if healed {
                ear.calm_down();
            }
            tokio::time::sleep(wait).await;
            ear.sometimes("raft: nobody leads");
            ear.sometimes(LEASE_ENDS);
            assert_eq!(ear.violations().len(), expected, "{healed} {wait:?}");
        }
    }

    #[test]
    fn whoever_passes_a_mark_is_known_by_the_life_it_is_in() {
        let named = ["n3", "w1", "gpu-2"].map(node);
        let worker = |name| Name::new(name).ok().map(NodeId::Worker);
        assert_eq!(named, [Some(NodeId::Master(3)), worker("w1"), worker("gpu-2")]);
    }

    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("sources") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                collect(&path, found);
                continue;
            }
            if path.ends_with("marks.rs") || path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            for mark in text.split("sometimes!(").skip(1) {
                let name = mark.split('"').nth(1).expect("a mark has a name");
                assert!(found.insert(name.to_owned()), "{name:?} marks two places");
            }
        }
    }

    #[test]
    fn every_mark_is_registered() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let mut found = BTreeSet::new();
        collect(&root.join("raft/src"), &mut found);
        collect(&root.join("actors/src"), &mut found);
        collect(&root.join("simulations/src/world"), &mut found);
        collect(&root.join("simulations/src/faults"), &mut found);
        let registered: BTreeSet<String> = all().map(str::to_owned).collect();
        assert_eq!(found, registered);
    }
}
