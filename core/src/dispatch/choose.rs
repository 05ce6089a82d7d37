//! Granting in strict order: the best offer of all, on the worker that its group's policy takes among those that fit.
//! Must not know what became of earlier grants.

use super::account::Worker;
use super::amounts::Resource;
use super::chance::Chance;
use super::crowd::{ClassIndex, WorkerIndex};
use super::engine::{Alarm, Dispatch, Mistake, OfferState};
use super::filters::{self, ALL_ALLOWED, Allowed, Refusal};
use super::groups::Policy;
use super::offer::{LabelRule, ZoneWish};
use super::queues::{REACH_MAX, Reach, ShapeIndex, ShapeQueue, Standing, Suits, ZoneStanding};
use super::score::{self, Candidate, Terms};
use super::trail::{Line, TOLD_MAX, Verdict};
use super::worker::Devices;
use crate::id::{TaskRunId, WorkerRef};
use crate::time::{Span, Timestamp};

/// Up to so many workers with room all are asked.
const ALL_ASKED_MAX: usize = 64;
/// Above, so many are: of more candidates hardly a better one is found, and a choice costs the same in any cluster.
const SAMPLE: usize = 32;
/// So many of a sample are the first by load where the policy looks at load; the others are drawn. With drawn ones alone
/// some workers would be left out by chance; with the first ones alone what they all lack would never be found.
const FIRST: usize = 16;

/// A worker for a task run: soft, checked by the shard against its own state and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub task_run: TaskRunId,
    pub worker: WorkerRef,
    /// Which of the shape's requests.
    pub request: u8,
    /// What its process may use of the worker's devices.
    pub devices: Vec<String>,
    /// Names the grant within its Dispatcher's term.
    pub number: u64,
    /// From its arrival; clocks of two masters are never compared. The Dispatcher keeps the room twice as long.
    pub valid_for: Span,
}

enum Choice {
    Worker(Candidate),
    NoRoom,
    NoQuota,
}

/// What a look at workers found.
struct Look {
    /// Whether every worker that may fit was asked.
    complete: bool,
    refused: Vec<(WorkerIndex, Refusal)>,
}

impl Dispatch {
    /// Grants in strict order until nothing more fits or `limit` is reached. Call after every batch of news, again while
    /// it returns `limit`.
    pub fn place(&mut self, limit: usize, chance: &mut Chance, now: Timestamp) -> Vec<Grant> {
        self.wake();
        let mut grants = Vec::new();
        while grants.len() < limit {
            let Some((_, shape)) = self.queues.best() else {
                break;
            };
            match self.choose(shape, chance, now) {
                Choice::Worker(candidate) => grants.push(self.grant(shape, &candidate, now)),
                Choice::NoRoom => self.park(shape, now),
                Choice::NoQuota => self.queues.park(shape, Standing::NoQuota),
            }
        }
        self.drop_void();
        grants
    }

    /// Lets the shapes compete again that a changed worker now fits.
    fn wake(&mut self) {
        let touched = self.crowd.take_touched();
        if self.config.mistake == Mistake::WakesNobody {
            return;
        }
        for index in touched {
            let groups: Vec<_> = match self.crowd.known(index).and_then(Worker::joined) {
                Some(joined) => joined.memberships.iter().map(|member| member.group).collect(),
                None => continue,
            };
            for group in groups {
                let narrow: Vec<ShapeIndex> = self.queues.narrow_of(group).collect();
                for shape in narrow {
                    let worker = self.crowd.get(index);
                    if check(self.queues.get_mut(shape), worker, ALL_ALLOWED).is_ok() {
                        self.queues.reach(shape, index);
                    }
                }
            }
        }
    }

    fn choose(&mut self, shape: ShapeIndex, chance: &mut Chance, now: Timestamp) -> Choice {
        let queue = self.queues.get(shape);
        let allowed = self.quotas.allowed(queue.account, &queue.shape);
        let all = (1u16 << queue.shape.requests.len()) - 1;
        if u16::from(allowed) != all {
            self.quotas.wait(queue.account, shape);
        }
        if allowed == 0 {
            return Choice::NoQuota;
        }
        let mut found = std::mem::take(&mut self.scratch);
        let look = self.look(shape, allowed, &mut found, chance, now);
        let choice = match found.is_empty() {
            true => Choice::NoRoom,
            false => {
                let place = self.take(shape, &found, chance);
                self.remember(shape, &found, place, &look.refused, now);
                Choice::Worker(found[place])
            }
        };
        if look.complete && found.len() < REACH_MAX {
            self.queues.narrow(shape, found.iter().map(|candidate| candidate.worker).collect());
        }
        found.clear();
        self.scratch = found;
        choice
    }

    /// Asks the workers that may fit: those that are known to, or a sample, or all when none of the sample does.
    fn look(
        &mut self,
        shape: ShapeIndex,
        allowed: Allowed,
        found: &mut Vec<Candidate>,
        chance: &mut Chance,
        now: Timestamp,
    ) -> Look {
        let queue = self.queues.get_mut(shape);
        let mut look = Look { complete: true, refused: Vec::new() };
        let group = self.crowd.groups.get(queue.group);
        let of = queue.shape.clone();
        let reach = std::mem::replace(&mut queue.reach, Reach::Any);
        let crew = match &reach {
            Reach::Only(workers) => workers.as_slice(),
            Reach::Any if of.requests.iter().all(|request| request.get(&Resource::Slots) > 0) => {
                group.roomy.as_slice()
            }
            Reach::Any => group.open.as_slice(),
        };
        let crowd = &self.crowd;
        let mut ask = |index: WorkerIndex, found: &mut Vec<Candidate>, look: &mut Look| {
            let Some(worker) = crowd.known(index) else { return };
            match check(queue, worker, allowed) {
                Ok(request) => {
                    let terms = Terms { shape: &of, spread: &queue.spread, config: &group.config, now };
                    found.push(Candidate::new(index, worker, request, &terms));
                }
                Err(refusal) if look.refused.len() < TOLD_MAX => look.refused.push((index, refusal)),
                Err(_) => {}
            }
        };
        if crew.len() <= ALL_ASKED_MAX {
            crew.iter().for_each(|index| ask(*index, found, &mut look));
        } else {
            let begin = chance.below(crew.len() as u64) as usize;
            let stride = stride(crew.len(), chance);
            let first: Vec<WorkerIndex> = match group.config.policy {
                Policy::LeastLoaded => group.by_load().take(FIRST).collect(),
                Policy::BinPack => group.by_load().rev().take(FIRST).collect(),
                // Drawn ones may all be saturated while it is not.
                Policy::WeightedRoundRobin => group.by_load().take(1).collect(),
                Policy::RoundRobin | Policy::Random => Vec::new(),
            };
            first.iter().for_each(|index| ask(*index, found, &mut look));
            let drawn = SAMPLE - first.len();
            let drawn = (0..drawn).map(|step| crew[(begin + step * stride) % crew.len()]);
            drawn.filter(|index| !first.contains(index)).for_each(|index| ask(index, found, &mut look));
            look.complete = false;
            if found.is_empty() {
                let mut asked = 0;
                while asked < crew.len() && found.len() < REACH_MAX {
                    ask(crew[(begin + asked) % crew.len()], found, &mut look);
                    asked += 1;
                }
                look.complete = asked == crew.len();
            }
        }
        self.queues.get_mut(shape).reach = reach;
        look
    }

    /// Whether one more of the shape would find a worker, as far as a look at a few tells.
    pub(super) fn has_room(&mut self, shape: ShapeIndex) -> bool {
        let queue = self.queues.get_mut(shape);
        let allowed = self.quotas.allowed(queue.account, &queue.shape);
        let group = self.crowd.groups.get(queue.group);
        let reach = std::mem::replace(&mut queue.reach, Reach::Any);
        let crew = match &reach {
            Reach::Only(workers) => workers.as_slice(),
            Reach::Any => group.open.as_slice(),
        };
        let mut asked = crew.iter().take(ALL_ASKED_MAX).filter_map(|index| self.crowd.known(*index));
        let has_room = asked.any(|worker| check(queue, worker, allowed).is_ok());
        queue.reach = reach;
        has_room
    }

    /// Lets the group's policy take one.
    fn take(&mut self, shape: ShapeIndex, found: &[Candidate], chance: &mut Chance) -> usize {
        let group = self.queues.get(shape).group;
        let policy = self.crowd.groups.get(group).config.policy;
        if policy != Policy::WeightedRoundRobin {
            return score::take(policy, found, &mut [], chance);
        }
        let credit = |dispatch: &Dispatch, candidate: &Candidate| {
            let joined = dispatch.crowd.get(candidate.worker).joined();
            joined.and_then(|joined| joined.membership(group)).map_or(0.0, |member| member.credit)
        };
        let mut credits: Vec<f64> = found.iter().map(|candidate| credit(self, candidate)).collect();
        let place = score::take(policy, found, &mut credits, chance);
        for (candidate, credit) in found.iter().zip(credits) {
            let joined = self.crowd.get_mut(candidate.worker).joined_mut().expect("candidates are in");
            joined.memberships.iter_mut().filter(|m| m.group == group).for_each(|m| m.credit = credit);
        }
        place
    }

    fn grant(&mut self, shape: ShapeIndex, chosen: &Candidate, now: Timestamp) -> Grant {
        let Candidate { worker, request, .. } = *chosen;
        let queue = self.queues.get(shape);
        let (key, offer) = queue.waiting.first_key_value().expect("the best shape has a best offer");
        let (key, offer, of) = (*key, *offer, queue.shape.clone());
        self.queues.remove(shape, &key, self.offers[offer].source);
        let amounts = &of.requests[usize::from(request)];
        let chosen = self.crowd.get(worker);
        let names = &chosen.joined().expect("candidates are in").facts.devices;
        let devices =
            Devices::first_free(chosen.devices.any(), amounts.get(&Resource::Gpu).min(names.len() as u64));
        let (id, names) = (chosen.id.clone(), devices.names(names));
        self.grants_made += 1;
        let number = self.grants_made;
        self.offers[offer].state = OfferState::Granted { worker, request, devices, number, at: now };
        self.crowd.grant(worker, amounts, devices);
        self.quotas.take(self.queues.get(shape).account, amounts);
        if of.labels.iter().any(|rule| matches!(rule, LabelRule::Spread { .. })) {
            self.count_spread(shape, worker);
        }
        if let ZoneWish::Near { .. } = of.zone
            && filters::is_near(self.crowd.get(worker).joined().expect("candidates are in"), &of)
        {
            self.queues.get_mut(shape).zone = ZoneStanding::Insisting;
        }
        self.grants.push_back((now, number, offer));
        let (task_run, valid_for) = (key.task_run(), self.config.grant_life);
        Grant { task_run, worker: id, request, devices: names, number, valid_for }
    }

    fn park(&mut self, shape: ShapeIndex, now: Timestamp) {
        self.queues.park(shape, Standing::NoRoom);
        let queue = self.queues.get_mut(shape);
        if let (ZoneWish::Near { wait, .. }, ZoneStanding::Insisting) = (&queue.shape.zone, queue.zone)
            && wait.0 > 0
        {
            self.alarms.insert((now.plus(*wait), Alarm::Zone(shape)));
            queue.zone = ZoneStanding::Blocked { since: now };
        }
    }

    /// Tells the chosen one and a few of the others; which of the others changes from choice to choice.
    fn remember(
        &mut self,
        shape: ShapeIndex,
        found: &[Candidate],
        place: usize,
        refused: &[(WorkerIndex, Refusal)],
        at: Timestamp,
    ) {
        let queue = self.queues.get(shape);
        let (key, _) = queue.waiting.first_key_value().expect("the best shape has a best offer");
        let task_run = key.task_run();
        let best = found[place].score;
        let others = || (0..found.len()).filter(|other| *other != place);
        let next_best = others().map(|other| found[other].score).min_by(f64::total_cmp);
        let candidates = found.len() as u32;
        let chosen = (found[place].worker, Verdict::Chosen { score: best, next_best, candidates });
        let begin = self.grants_made as usize;
        let told = (0..TOLD_MAX.min(found.len())).map(|step| (begin + step) % found.len());
        let outscored = told
            .filter(|other| *other != place)
            .map(|other| (found[other].worker, Verdict::Outscored { score: found[other].score, best }));
        let refused = refused.iter().filter_map(|(worker, refusal)| {
            let reason = self.refusal_reason(queue, *worker, *refusal)?;
            Some((*worker, Verdict::Refused(Box::new(reason))))
        });
        let refused: Vec<(WorkerIndex, Verdict)> = refused.collect();
        for (worker, verdict) in std::iter::once(chosen).chain(outscored).chain(refused) {
            if let Some(joined) = self.crowd.get_mut(worker).joined_mut() {
                joined.remember(Line { at, task_run, verdict });
            }
        }
    }
}

/// The whole chain of filters for one worker, with what is known of its class.
fn check(queue: &mut ShapeQueue, worker: &Worker, allowed: Allowed) -> Result<u8, Refusal> {
    let (group, zones, of) = (queue.group, queue.zones(), queue.shape.clone());
    filters::chain(worker, group, &of, allowed, zones, |joined| match known_to_suit(queue, joined.class) {
        Suits::Yes => Ok(()),
        Suits::No | Suits::Unknown => {
            let suits = filters::suits(joined, &of);
            queue.suits[joined.class as usize] = if suits.is_ok() { Suits::Yes } else { Suits::No };
            suits
        }
    })
}

fn known_to_suit(queue: &mut ShapeQueue, class: ClassIndex) -> Suits {
    let at = class as usize;
    if queue.suits.len() <= at {
        queue.suits.resize(at + 1, Suits::Unknown);
    }
    queue.suits[at]
}

/// A step that visits no worker twice within a sample, so that neighbours in a list are not always drawn together.
fn stride(crew: usize, chance: &mut Chance) -> usize {
    let longest = crew / SAMPLE;
    1 + chance.below(longest as u64) as usize
}
