//! All that one simulated run is made of besides its seed: the cluster, its clients, its faults and how long they last.
//! A scenario is a plan in a file; a swarm seed draws one. Must not know how it is carried out.

mod cluster;

use hortator_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, FaultLine, Who};
use crate::workload::{Habits, Mix, SOON, draw_beginning};
use crate::world::clock::BEGINNING;
use crate::world::draw::Draw;

pub use cluster::Cluster;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: String,
    /// What it is there for, in a sentence.
    #[serde(default)]
    pub about: String,
    #[serde(skip)]
    pub origin: Origin,
    #[serde(default)]
    pub cluster: Cluster,
    /// What clocks that are right show when the world begins.
    #[serde(default = "beginning")]
    pub begins: Timestamp,
    /// How long faults come.
    #[serde(with = "crate::words::span")]
    pub lasts: Span,
    /// How many times in a row: each goes on from what the one before has left on its disks.
    #[serde(default = "once")]
    pub segments: u64,
    #[serde(default)]
    pub habits: Habits,
    /// Frames in a million that come a second time, much later.
    #[serde(default, with = "crate::words::share")]
    pub astray: u64,
    /// Frames in a million that are lost for good.
    #[serde(default, with = "crate::words::share")]
    pub dropped: u64,
    #[serde(default)]
    pub judge: Judge,
    /// Marks in the code that it must pass.
    #[serde(default)]
    pub expects: Vec<String>,
    /// Marks in the code that it must not pass.
    #[serde(default)]
    pub never: Vec<String>,
    #[serde(default, rename = "fault")]
    pub faults: Vec<FaultLine>,
}

/// Where a plan comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Somebody wrote it: what it does not do although it says so is a mistake.
    #[default]
    Scenario,
    /// A seed drew it.
    Swarm,
}

/// What is asked of a run besides the promises that hold under all faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    #[default]
    Safety,
    /// P7: its faults hurt one master at a time and no worker, and its tasks end by themselves, so each process does.
    Undisturbed,
}

impl Judge {
    pub(crate) fn is_safety(&self) -> bool {
        *self == Judge::Safety
    }
}

fn once() -> u64 {
    1
}

pub(crate) fn beginning() -> Timestamp {
    BEGINNING
}

/// How long faults come in a swarm's run.
const SWARM_LASTS: Span = Span::from_secs(60);

/// What lasts so long is seen as a loss, or ends just before that.
const BEYOND_LEASES: [Span; 2] = [Span::from_secs(9), Span::from_secs(30)];
/// Seeds in a million that are about leases: tasks last longer than those, and so do faults that part who talks. Either
/// alone shows little.
const ABOUT_LEASES: u64 = 400_000;

/// What lasts so long ends while others elect a leader, or right after that: whoever was one still believes it, and clients
/// still wait for its answer.
const ABOUT_AN_ELECTION: [Span; 2] = [Span::from_millis(600), Span::from_millis(2_500)];
/// Of these seeds with masters enough, how many in a million part the leader of the membership group from the other masters,
/// with some of the workers, for as long as it takes to lose them and to give their work to others.
const DISPATCHER_PARTED: u64 = 300_000;
const BEYOND_A_LOSS: [Span; 2] = [Span::from_secs(20), Span::from_secs(40)];

/// Chance of a family of other faults in these seeds.
const RARELY: u64 = 120_000;
/// The lines that these seeds have more of.
const PARTING: &[(Fault, &[Who])] = &[
    (Fault::Split, &[Who::Leader, Who::Leader, Who::Node]),
    (Fault::Cut, &[Who::Worker]),
    (Fault::CutIn, &[Who::Worker]),
    (Fault::CutOut, &[Who::Worker]),
    (Fault::Stop, &[Who::Worker]),
    (Fault::Kill, &[Who::Worker]),
    (Fault::PowerLoss, &[Who::Worker]),
    (Fault::Cut, &[Who::Leader, Who::Master]),
    (Fault::CutPeers, &[Who::Leader]),
    (Fault::Stop, &[Who::Leader]),
    (Fault::LongerLeases, &[Who::Master]),
];

/// Faults that go together, so that a seed leaves some out altogether: what is missing matters as much as what is there.
const FAMILIES: &[&[(Fault, &[Who])]] = &[
    &[(Fault::Kill, &[Who::Leader, Who::Master, Who::Master, Who::AllMasters])],
    &[(Fault::PowerLoss, &[Who::Leader, Who::Master, Who::AllMasters])],
    &[(Fault::Stop, &[Who::Leader, Who::Master, Who::Node])],
    &[
        (Fault::Cut, &[Who::Leader, Who::Master, Who::Link]),
        (Fault::CutIn, &[Who::Leader, Who::Master, Who::Link]),
        (Fault::CutOut, &[Who::Leader, Who::Master, Who::Link]),
    ],
    // Clients and workers still reach a leader that is none any more.
    &[(Fault::CutPeers, &[Who::Leader, Who::Leader, Who::Master])],
    &[
        (Fault::Split, &[Who::Node, Who::Leader]),
        (Fault::Bridge, &[Who::Node]),
        (Fault::Swizzle, &[Who::Node]),
    ],
    &[(Fault::Break, &[Who::Node, Who::Link]), (Fault::Storm, &[Who::Node]), (Fault::Throttle, &[Who::Node])],
    &[(Fault::DieInWrite, &[Who::Leader, Who::Master]), (Fault::DieAfterSync, &[Who::Leader, Who::Master])],
    &[(Fault::SyncFails, &[Who::Leader, Who::Master])],
    &[
        (Fault::SlowDisk, &[Who::Leader, Who::Master, Who::AllMasters]),
        (Fault::StallDisk, &[Who::Leader, Who::Master]),
    ],
    &[(Fault::DiskFull, &[Who::Leader, Who::Master])],
    &[(Fault::ClockJump, &[Who::Node, Who::Leader]), (Fault::ClockDrift, &[Who::Node, Who::AllMasters])],
    &[(Fault::Kill, &[Who::Worker]), (Fault::PowerLoss, &[Who::Worker]), (Fault::Stop, &[Who::Worker])],
    &[(Fault::Cut, &[Who::Worker]), (Fault::CutIn, &[Who::Worker]), (Fault::CutOut, &[Who::Worker])],
    &[(Fault::Terminate, &[Who::Leader, Who::Master])],
    &[(Fault::Cordon, &[Who::Worker]), (Fault::Drain, &[Who::Worker])],
    &[(Fault::LongerLeases, &[Who::Master])],
];

/// Of masters that come and go, and of their disks: apart from the others, and only where a majority can be left.
const MEMBERS: &[(Fault, &[Who])] = &[
    (Fault::Grow, &[Who::Master]),
    (Fault::Shrink, &[Who::Leader, Who::Master]),
    (Fault::Replace, &[Who::Leader, Who::Master]),
    (Fault::Amnesia, &[Who::Leader, Who::Master]),
    (Fault::BitRot, &[Who::Leader, Who::Master]),
];
/// How many seeds have some of them, in millionths.
const MEMBERS_CHANGE: u64 = 300_000;
/// How many seeds have workers whose hosts are exchanged.
const HOSTS_CHANGE: u64 = 100_000;

/// How many seeds have masters that are behind in one group when they come to lead another, in millionths. What a leader
/// reads of other groups' rows is as old as its own replicas of them, so it must not take what is missing for gone. Limits
/// are what shards read of each other, so these seeds have some.
const LAGGARDS: u64 = 250_000;

/// Of the seeds that have schedules, how many in a million begin where clocks somewhere change.
const CLOCKS_CHANGE: u64 = 500_000;
/// How many seeds hurt one master at a time and nobody else, so that no process may notice.
const UNDISTURBED: u64 = 60_000;
/// What may happen to one of three masters.
const ONE_MASTER: &[(Fault, &[Who])] = &[
    (Fault::Kill, &[Who::Leader, Who::NextMaster]),
    (Fault::PowerLoss, &[Who::Leader, Who::NextMaster]),
    (Fault::Stop, &[Who::Leader, Who::NextMaster]),
    (Fault::Cut, &[Who::Leader, Who::NextMaster]),
    (Fault::Terminate, &[Who::NextMaster]),
    (Fault::HandOver, &[Who::Leader]),
];
/// From the end of one to the next: by then another leads, and has asked the workers.
const ONE_AT_A_TIME: [Span; 2] = [Span::from_secs(2), Span::from_secs(8)];

/// How many seeds have hosts on which a master and a worker stand still together, and links that are worse than others.
const HOSTS_STAND_STILL: u64 = 150_000;
const BAD_LINKS: u64 = 150_000;
/// How many seeds have a disk that writes in a wrong place, or a directory that is put back.
const WRONG_DISKS: u64 = 120_000;

/// Marks right after which some lines hit: more of what is rare happens there than at any other time.
const MOMENTS: &[&str] = &[
    "raft: nobody leads",
    "raft: an epoch ended",
    "raft: a snapshot is sent",
    "raft: a snapshot was installed",
    "agent: a lease expired",
    "membership: a worker was declared lost",
];

impl Plan {
    /// Everything drawn: sizes, clients, which families of faults there are and how often they come.
    pub fn swarm(seed: u64) -> Plan {
        let mut draw = Draw::of(seed, "swarm");
        let leases = draw.chance(ABOUT_LEASES);
        let [least, most] = if leases { [2, 6] } else { [1, 6] };
        let mut cluster = Cluster {
            masters: [1, 3, 3, 3, 5][draw.below(5) as usize],
            workers: draw.between([least, 5]),
            shards: draw.between([1, 3]) as u32,
            slots: draw.between([least, most]) as u32,
            log_keep: [4, 30, 200, 10_000][draw.below(4) as usize],
            gpus: 0,
            cpu: 0,
            licences: 0,
        };
        let mut faults = if leases { draw_parting(&mut draw) } else { Vec::new() };
        let mut apart = Draw::of(seed, "swarm's parted Dispatcher");
        if leases && cluster.masters >= 3 && apart.chance(DISPATCHER_PARTED) {
            faults.push(FaultLine {
                lasts: BEYOND_A_LOSS,
                after: None,
                ..draw_line(Fault::Split, &[Who::Dispatcher], &mut apart)
            });
        }
        let keeps = if leases { RARELY } else { draw.between([80_000, 600_000]) };
        for family in FAMILIES {
            if !draw.chance(keeps) {
                continue;
            }
            for (fault, whos) in *family {
                if family.len() > 1 && draw.chance(400_000) {
                    continue;
                }
                faults.push(draw_line(*fault, whos, &mut draw));
            }
        }
        let astray = draw.below(2) * draw.log_between([10, 20_000]);
        let dropped = draw.below(2) * draw.log_between([10, 20_000]);
        let habits = draw_habits(&mut draw);
        let mut habits = if leases { long_tasks(habits.mix, &mut draw) } else { habits };
        // A stream of its own: seeds tell the same story besides.
        let mut apart = Draw::of(seed, "swarm's schedules");
        habits.mix.schedules = if apart.chance(500_000) { apart.between([200_000, 900_000]) } else { 0 };
        let mut apart = Draw::of(seed, "swarm's beginning");
        let changes = habits.mix.schedules > 0 && apart.chance(CLOCKS_CHANGE);
        let begins = if changes { draw_beginning(&mut apart) } else { BEGINNING };
        let mut apart = Draw::of(seed, "swarm's priorities");
        habits.mix.ranked = if apart.chance(500_000) { apart.between([300_000, 900_000]) } else { 0 };
        let mut apart = Draw::of(seed, "swarm's laggards");
        let laggards = cluster.masters >= 3 && apart.chance(LAGGARDS);
        if laggards {
            cluster.shards = cluster.shards.max(2);
            faults.extend(lagging());
        }
        // Runs that start by themselves would come faster than limits let them go.
        let mut apart = Draw::of(seed, "swarm's limits");
        let limited = habits.mix.schedules == 0 && (apart.chance(600_000) || laggards);
        habits.mix.limited = if limited { apart.between([200_000, 900_000]) } else { 0 };
        if limited {
            // What ends workers would keep what it holds for as long as a loss takes, one after the other.
            habits.mix.poison = 0;
        }
        let Mix { equipped, licensed, .. } = cluster.equip(seed);
        (habits.mix.equipped, habits.mix.licensed) = (equipped, licensed);
        // As with limits.
        let mut apart = Draw::of(seed, "swarm's quotas");
        let counted = habits.mix.schedules == 0 && apart.chance(400_000);
        habits.quotas = if counted { apart.between([100_000, 500_000]) } else { 0 };
        let mut apart = Draw::of(seed, "swarm's outputs");
        habits.mix.telling = if apart.chance(600_000) { apart.between([300_000, 900_000]) } else { 0 };
        let mut apart = Draw::of(seed, "swarm's orders");
        habits.orders = if apart.chance(600_000) { apart.between([100_000, 700_000]) } else { 0 };
        // Faults have orders of their own for workers, and nobody knows whose was the last then.
        let theirs = faults.iter().any(|line| matches!(line.fault, Fault::Cordon | Fault::Drain));
        habits.cordons = if theirs { 0 } else { apart.below(2) * 400_000 };
        let mut apart = Draw::of(seed, "swarm's members");
        if apart.chance(MEMBERS_CHANGE) {
            for (fault, whos) in MEMBERS {
                let bearable = *fault == Fault::Grow || cluster.masters >= 3;
                if bearable && apart.chance(500_000) {
                    faults.push(draw_line(*fault, whos, &mut apart));
                }
            }
            for mark in ["raft: members are to change", "raft: a learner got a vote"] {
                if apart.chance(300_000) {
                    let line = draw_line(Fault::Kill, &[Who::Leader], &mut apart);
                    faults.push(FaultLine { after: Some(mark.to_owned()), ..line });
                }
            }
        }
        if apart.chance(HOSTS_CHANGE) {
            faults.push(draw_line(Fault::NewHost, &[Who::Worker], &mut apart));
        }
        faults.extend(draw_apart(seed, cluster));
        let plan = Plan {
            name: "swarm".into(),
            about: String::new(),
            origin: Origin::Swarm,
            cluster,
            begins,
            lasts: SWARM_LASTS,
            segments: 1,
            habits,
            astray,
            dropped,
            judge: Judge::Safety,
            expects: Vec::new(),
            never: Vec::new(),
            faults,
        };
        match Draw::of(seed, "swarm's undisturbed").chance(UNDISTURBED) {
            true => plan.undisturbed(seed),
            false => plan,
        }
    }

    /// The same cluster with tasks that end by themselves, one line of faults, and nothing else that could end a process.
    fn undisturbed(self, seed: u64) -> Plan {
        let mut draw = Draw::of(seed, "swarm's one master");
        let (fault, whos) = ONE_MASTER[draw.below(ONE_MASTER.len() as u64) as usize];
        let line = FaultLine { every: ONE_AT_A_TIME, after: None, ..draw_line(fault, whos, &mut draw) };
        let mix = Mix {
            fails: 0,
            flaky: 0,
            noop: self.habits.mix.noop,
            foreach: 0,
            ..long_tasks(self.habits.mix, &mut draw).mix
        };
        let mix = Mix { takes: [50_000, 12_000_000], schedules: 0, limited: 0, ..mix };
        let habits = Habits { cancels: 0, retries_failed: 0, mix, ..self.habits };
        let cluster = Cluster { masters: self.cluster.masters.max(3), ..self.cluster };
        Plan { cluster, habits, astray: 0, dropped: 0, judge: Judge::Undisturbed, faults: vec![line], ..self }
    }
}

/// Faults of one kind, and to whom they may happen.
type Family = &'static [(Fault, &'static [Who])];

/// Faults that came later than the others, each kind by a stream of its own.
fn draw_apart(seed: u64, cluster: Cluster) -> Vec<FaultLine> {
    let kinds: [(&str, u64, Family); 3] = [
        ("swarm's hosts", HOSTS_STAND_STILL, &[(Fault::StopHost, &[Who::Leader, Who::Master])]),
        (
            "swarm's bad links",
            BAD_LINKS,
            &[
                (Fault::Squall, &[Who::Link, Who::Leader, Who::Worker]),
                (Fault::Clog, &[Who::Link, Who::Master]),
            ],
        ),
        (
            "swarm's wrong disks",
            if cluster.masters >= 3 { WRONG_DISKS } else { 0 },
            &[(Fault::Misdirect, &[Who::Leader, Who::Master]), (Fault::OldDisk, &[Who::Leader, Who::Master])],
        ),
    ];
    let mut faults = Vec::new();
    for (stream, chance, kinds) in kinds {
        let mut draw = Draw::of(seed, stream);
        if draw.chance(chance) {
            faults.extend(kinds.iter().map(|(fault, whos)| draw_line(*fault, whos, &mut draw)));
        }
    }
    faults
}

/// Files stand still for about as long as an election takes, and leaderships go on meanwhile.
fn lagging() -> [FaultLine; 2] {
    let [now_and_then, briefly] = [[500, 3_000], [300, 4_000]].map(|range| range.map(Span::from_millis));
    let line =
        |fault, who, lasts| FaultLine { fault, who, every: now_and_then, lasts, count: None, after: None };
    [
        line(Fault::StallDisk, Who::Master, briefly),
        line(Fault::HandOver, Who::Leader, [Span(0), Span::from_millis(500)]),
    ]
}

/// A few lines of those that part for longer than leases last.
fn draw_parting(draw: &mut Draw) -> Vec<FaultLine> {
    let mut lines = Vec::new();
    for _ in 0..draw.between([1, 3]) {
        let (fault, whos) = PARTING[draw.below(PARTING.len() as u64) as usize];
        lines.push(FaultLine {
            every: [Span::from_secs(1), Span::from_secs(10)],
            lasts: BEYOND_LEASES,
            ..draw_line(fault, whos, draw)
        });
    }
    lines
}

fn draw_line(fault: Fault, whos: &[Who], draw: &mut Draw) -> FaultLine {
    let who = whos[draw.below(whos.len() as u64) as usize];
    let rest = draw.log_between([1_000_000, 20_000_000]);
    // Now and then nothing is wrong, or there would be nobody to hurt.
    let longest = draw.log_between([200_000, 3 * rest]);
    let lasts = match draw.chance(250_000) {
        true => ABOUT_AN_ELECTION,
        false => [Span(10_000), Span(longest)],
    };
    FaultLine {
        fault,
        who,
        every: [Span(rest / 2), Span(rest * 2)],
        lasts,
        count: None,
        after: draw.chance(150_000).then(|| MOMENTS[draw.below(MOMENTS.len() as u64) as usize].to_owned()),
    }
}

/// Few tasks that last longer than leases, so that what a lost worker has still runs when it is declared lost. Nothing
/// that ends them late: all must be over in the time that a healed cluster has.
fn long_tasks(mix: Mix, draw: &mut Draw) -> Habits {
    let mix = Mix {
        tasks: [1, 2],
        takes: [2_000_000, 50_000_000],
        fails: 0,
        flaky: 0,
        hangs: 0,
        deaf: 0,
        poison: 0,
        foreach: 0,
        serial: 0,
        ..mix
    };
    Habits {
        repeats: 0,
        gives_up: 0,
        cancels: draw.below(100_000),
        retries_failed: 0,
        orders: 0,
        cordons: 0,
        quotas: 0,
        mix,
        clients: draw.between([1, 3]),
        workflows: draw.between([1, 3]),
        pause: [10_000, 1_000_000],
        patience: [500_000, 12_000_000],
    }
}

fn draw_habits(draw: &mut Draw) -> Habits {
    let mut some = |most: u64| if draw.chance(500_000) { draw.below(most) } else { 0 };
    let mix = Mix {
        tasks: [1, 1 + some(8)],
        takes: [2_000, 20_000 + some(4_000_000)],
        fails: some(150_000),
        flaky: some(200_000),
        hangs: some(150_000),
        deaf: some(150_000),
        poison: some(60_000),
        deadly: 0,
        noop: some(400_000),
        foreach: some(250_000),
        at_most_once: some(400_000),
        serial: some(900_000),
        schedules: 0,
        cadence: SOON,
        ranked: 0,
        limited: 0,
        equipped: 0,
        licensed: 0,
        telling: 0,
    };
    Habits {
        repeats: some(400_000),
        gives_up: some(300_000),
        cancels: some(250_000),
        retries_failed: some(500_000),
        orders: 0,
        cordons: 0,
        quotas: 0,
        mix,
        clients: draw.between([1, 5]),
        workflows: draw.between([1, 5]),
        pause: [10_000, draw.log_between([100_000, 4_000_000])],
        patience: [draw.log_between([50_000, 2_000_000]), 12_000_000],
    }
}
