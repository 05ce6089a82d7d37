//! How many workers a group could use: what is in use, and what would begin all that waits in time, by the resource of which
//! the present workers have least. Must not know shards or where sums come from.

use super::backlog::Work;
use crate::dispatch::{Amounts, GroupRoom, Resource};

/// What a group could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Task runs that wait for it, shown or not.
    pub waiting: u64,
    pub amounts: Amounts,
    /// None while it has no worker whose size could be taken for theirs.
    pub workers: Option<WantedWorkers>,
}

/// As many workers, as large as the present ones are in the mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedWorkers {
    pub count: u64,
    /// The resource that asks for the most of them: of all others so many have enough.
    pub by: Resource,
}

impl Wanted {
    pub(super) fn of(waiting: &Work, room: &GroupRoom) -> Wanted {
        let mut amounts = room.reserved.clone();
        amounts.add(&waiting.wanted());
        // More workers like these have no more of what none of them has.
        let counts = room.total.iter().map(|(resource, total)| {
            let wanted = u128::from(amounts.get(&resource)) * u128::from(room.workers);
            (wanted.div_ceil(u128::from(total)) as u64, resource)
        });
        // Of equals the first: slots before the others.
        let workers = counts.reduce(|most, next| if next.0 > most.0 { next } else { most });
        let workers = workers.map(|(count, by)| WantedWorkers { count, by });
        Wanted { waiting: waiting.task_runs, amounts, workers }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backlog::Backlog;
    use super::*;
    use crate::dispatch::{KindTag, Shape};
    use crate::id::Name;
    use crate::time::{Span, Timestamp};

    fn amounts(text: &str) -> Amounts {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        let read = |(name, amount): (&str, &str)| (name.parse().unwrap(), amount.parse().unwrap());
        pairs.map(read).fold(Amounts::default(), |all, (resource, amount)| all.with(resource, amount))
    }

    /// So many task runs that ask for that and take so many seconds, if it is known.
    type Ready = (u64, &'static str, Option<u64>);

    /// What it is about; how many workers, what each has, what is reserved of all; what is ready; what is wanted.
    type Case = (&'static str, u64, &'static str, &'static str, &'static [Ready], &'static str);

    fn work(ready: &[Ready]) -> Work {
        let name = |text| Name::new(text).unwrap();
        let mut backlog = Backlog::default();
        for (count, asks, seconds) in ready {
            let shape = Shape::of_slots(name("etl"), name("retail"), KindTag::Shell, 1);
            let shape = Shape { requests: vec![amounts(asks), Amounts::slots(1_000)], ..shape };
            (0..*count).for_each(|_| backlog.enter(&shape, seconds.map(Span::from_secs)));
        }
        backlog.news(Timestamp(0)).pop().map(|(_, work)| work).unwrap_or_default()
    }

    #[test]
    fn workers_by_learned_work_and_the_scarcest_resource() {
        const FOUR: &str = "slots=4";
        const GPU: &str = "slots=8 cpu=16000 memory=65536 gpu=2 licence=1";
        let cases: &[Case] = &[
            ("nothing waits, nothing runs", 3, FOUR, "", &[], "0 by slots"),
            ("what runs stays", 3, FOUR, "slots=5", &[], "2 by slots"),
            ("a thousand of a second", 1, FOUR, "", &[(1_000, "slots=1", Some(1))], "5 by slots"),
            ("ten of an hour", 1, FOUR, "", &[(10, "slots=1", Some(3_600))], "3 by slots"),
            ("ten of unknown time", 1, FOUR, "", &[(10, "slots=1", None)], "3 by slots"),
            ("beside what runs", 2, FOUR, "slots=8", &[(10, "slots=1", None)], "5 by slots"),
            (
                "a long one among short ones is one slot, not all",
                1,
                FOUR,
                "",
                &[(1, "slots=1", Some(3_600)), (59, "slots=1", Some(1))],
                "1 by slots",
            ),
            ("devices", 1, GPU, "", &[(6, "slots=1 gpu=1", None)], "3 by gpu"),
            ("cores", 1, GPU, "", &[(10, "slots=1 cpu=4000", None)], "3 by cpu"),
            ("memory", 2, GPU, "slots=1 memory=32768", &[(4, "slots=1 memory=49152", None)], "4 by memory"),
            (
                "something named",
                1,
                GPU,
                "slots=1 licence=1",
                &[(3, "slots=1 licence=1", Some(600))],
                "4 by licence",
            ),
            (
                "many that ask for little beside few that ask for much",
                1,
                GPU,
                "",
                &[(80, "slots=1", None), (2, "slots=1 gpu=2", None)],
                "11 by slots",
            ),
            ("what no worker has", 2, FOUR, "", &[(3, "slots=1 gpu=1", None)], "1 by slots"),
            ("no worker", 0, "", "", &[(3, "slots=1 gpu=1", None)], "unknown"),
        ];
        for (what, workers, each, reserved, ready, expected) in cases {
            let total = amounts(each).map(|amount| amount * workers);
            let room = GroupRoom { workers: *workers, total, reserved: amounts(reserved) };
            let found = match Wanted::of(&work(ready), &room).workers {
                Some(WantedWorkers { count, by }) => format!("{count} by {by}"),
                None => "unknown".into(),
            };
            assert_eq!(found, *expected, "{what}");
        }
    }

    #[test]
    fn amounts_are_told_whoever_has_them() {
        let ready = work(&[(120, "slots=1 memory=1024", Some(30)), (1, "slots=2 gpu=1", None)]);
        let room = GroupRoom { workers: 0, total: Amounts::default(), reserved: amounts("slots=3") };
        let wanted = Wanted::of(&ready, &room);
        assert_eq!((wanted.waiting, wanted.amounts), (121, amounts("slots=65 memory=61440 gpu=1")));
    }
}
