//! Masters that come and go while everything else goes wrong: hosts are lost with their disks, disks are emptied or rot,
//! and an operator brings the cluster back to its size, one change at a time. What is to be done follows from what the
//! cluster says of its masters and which of them are wanted, never from a step before. Must not know who hurt them.

use std::rc::Rc;
use std::time::Duration;

use hortator_core::access::SecretHash;
use hortator_core::cluster::{JoinRole, JoinedAs, Joiner};
use hortator_core::time::Span;
use hortator_proto::api::{Command, MasterDetail, ProblemKind, Query, Request, Response};
use hortator_raft::memory::Crash;
use hortator_raft::sometimes;
use tokio::time::{Instant, sleep, timeout};

use super::Fault;
use crate::checkers::Violation;
use crate::marks::{Ear, MEMBERS};
use crate::world::draw::Draw;
use crate::world::net::Parting;
use crate::world::{World, name};

/// Fewer than these may lose nobody: what is left has to be a majority.
const LEAST: u64 = 3;
/// How long an operator waits for a master before asking the next one.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
/// Looks until an operator gives up; what is left undone is done when all is healed.
const LOOKS_MAX: u32 = 600;
/// Tries to let one node in.
const TRIES_MAX: u32 = 100;
/// L7: of a healed cluster. Each of four groups takes three small steps for a master that comes and one that goes.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// L7: what is promised.
pub const STEPS_END: &str = "changes of masters come to their end soon after the faults are over";
/// Bits that rot at a time.
const BITS: [u64; 2] = [1, 64];
/// Bytes that are looked at for one that is not zero: what was never written tells nobody that it is rotten.
const SPOTS: u32 = 256;
/// As the store writes them.
const PAGE_BYTES: usize = 4096;
/// Lives between an old directory and the one that it replaces, besides the last: boots are counted, and the old one counts
/// on from its own.
const LIVES_AGO: u32 = 2;
/// Looks until all others have heard of a new life, or the old directory stays where it is.
const HEARD_LOOKS_MAX: u32 = 100;
const JOIN_MAX: Span = Span::from_secs(600);

/// The only one who changes members at the moment.
struct Turn<'a>(&'a World);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.crew().end();
    }
}

/// Hurts a master, or takes one in; then brings the cluster back to its size. Nothing while another such fault is under
/// way, or while so few masters are there that a loss would be one for ever.
pub(super) async fn change(
    world: &Rc<World>,
    ear: &Ear,
    fault: Fault,
    victim: Option<u64>,
    lasts: Duration,
    draw: &mut Draw,
) {
    if !world.crew().begin() {
        return;
    }
    let _turn = Turn(world);
    let crew = world.crew();
    let Some(victim) = victim.filter(|_| fault == Fault::Grow || crew.wanted() >= LEAST) else { return };
    if !step(world).await {
        return;
    }
    // The rows of the masters are in order before all groups are.
    let loses = !matches!(fault, Fault::Grow | Fault::Shrink);
    if loses && !ear.bears_loss_of(victim, |id| crew.is_wanted(id)) {
        return;
    }
    match fault {
        Fault::Grow => {
            crew.want(crew.wanted() + 1);
            repair(world).await;
            sleep(lasts).await;
            crew.want(crew.wanted() - 1);
            let newest = world.master_ids().into_iter().rfind(|id| crew.is_wanted(*id));
            newest.into_iter().for_each(|id| crew.dismiss(id));
        }
        Fault::Shrink => {
            crew.want(crew.wanted() - 1);
            crew.dismiss(victim);
            repair(world).await;
            sleep(lasts).await;
            crew.want(crew.wanted() + 1);
        }
        Fault::Replace => {
            crew.spoil(victim);
            world.retire_master(victim, Parting::Silent);
            sleep(lasts).await;
        }
        Fault::Amnesia => {
            ear.forgets(victim);
            world.empty_master(victim).await;
            tokio::task::spawn_local(end_when_refused(world.clone(), victim));
            sleep(lasts).await;
        }
        Fault::OldDisk => {
            if age(world, ear, victim).await.is_none() {
                return;
            }
            tokio::task::spawn_local(end_when_refused(world.clone(), victim));
            sleep(lasts).await;
        }
        _ => {
            ear.spoils(victim);
            crew.spoil(victim);
            match fault {
                Fault::Misdirect => misdirect(world, victim, draw).await,
                _ => rot(world, victim, draw).await,
            }
            tokio::task::spawn_local(end_when_refused(world.clone(), victim));
            sleep(lasts).await;
        }
    }
    repair(world).await;
}

/// A process that is refused ends, as in production; its supervisor cannot help it.
async fn end_when_refused(world: Rc<World>, id: u64) {
    while world.master_ids().contains(&id) {
        if world.refusal(id).is_some() {
            sometimes!("faults: a master that has forgotten is refused for good");
            world.retire_master(id, Parting::Told);
        }
        sleep(LOOK).await;
    }
}

/// Puts back what lay on a master's disk some lives ago, once all others remember a later one: before that nobody
/// could know, and the operators' page says never to do it. None when they did not hear of it in time.
async fn age(world: &Rc<World>, ear: &Ear, id: u64) -> Option<()> {
    let (old, boots) = (world.disk(id)?.files().backup(), ear.boots_of(id));
    for _ in 0..LIVES_AGO {
        world.crash_master(id, Crash::Keep, Parting::Told);
        sleep(LOOK).await;
        world.start_master(id).await;
    }
    world.crash_master(id, Crash::Keep, Parting::Told);
    world.start_master(id).await;
    let mut looks = 0;
    while !ear.outlived(id, &boots, &world.master_ids()) {
        looks += 1;
        if looks > HEARD_LOOKS_MAX || !world.master_ids().contains(&id) {
            return None;
        }
        sleep(LOOK).await;
    }
    ear.ages(id);
    world.put_back(id, old).await;
    Some(())
}

/// A write that went astray: a page of a file in place of another one, under a running process or between two.
async fn misdirect(world: &Rc<World>, id: u64, draw: &mut Draw) {
    let stands = draw.chance(500_000);
    if stands {
        world.crash_master(id, Crash::Keep, Parting::Told);
    }
    let Some(disk) = world.disk(id) else { return };
    if let Some(file) = draw.pick(&disk.files().names()) {
        let content = disk.files().content(file).unwrap_or_default();
        let written: Vec<(usize, &[u8])> = content
            .chunks_exact(PAGE_BYTES)
            .enumerate()
            .filter(|(_, page)| page.iter().any(|byte| *byte != 0))
            .collect();
        if let (Some((_, page)), Some((place, _))) = (draw.pick(&written), draw.pick(&written)) {
            let _ = disk.files().overwrite(file, (place * PAGE_BYTES) as u64, page);
        }
    }
    if stands {
        world.start_master(id).await;
    }
}

/// Under a running process, whose memory still knows better, or between two.
async fn rot(world: &Rc<World>, id: u64, draw: &mut Draw) {
    let stands = draw.chance(500_000);
    if stands {
        world.crash_master(id, Crash::Keep, Parting::Told);
    }
    let Some(disk) = world.disk(id) else { return };
    let names = disk.files().names();
    if let Some(file) = draw.pick(&names) {
        let content = disk.files().content(file).unwrap_or_default();
        for _ in 0..draw.log_between(BITS) {
            let spot = (0..SPOTS)
                .map(|_| draw.below(content.len() as u64))
                .find(|at| content.get(*at as usize).is_some_and(|byte| *byte != 0));
            let _ = spot.map(|at| disk.files().flip_bit(file, at));
        }
    }
    if stands {
        world.start_master(id).await;
    }
}

/// Until the cluster is as it is wanted; an operator who gets nowhere gives up for now.
async fn repair(world: &Rc<World>) {
    for _ in 0..LOOKS_MAX {
        if step(world).await {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Brings the members of a healed cluster in order, and says what speaks against their promises.
pub async fn settle(world: &Rc<World>) -> Vec<Violation> {
    let crew = world.crew();
    if crew.is_untouched() {
        return Vec::new();
    }
    crew.want(world.shape().masters);
    let began = Instant::now();
    let mut violations = Vec::new();
    loop {
        let words = match step(world).await {
            true => match apart(world).await {
                None => break,
                Some(words) => words,
            },
            false => "the masters are not those that are wanted".to_owned(),
        };
        if began.elapsed() > SETTLED_MAX {
            let rows = rows(world).await.unwrap_or_default();
            let states: Vec<String> =
                rows.iter().map(|row| format!("n{} is {}", row.id, row.state)).collect();
            let detail = format!("after {SETTLED_MAX:?}: {words}; {}", states.join(", "));
            violations.push(Violation { checker: "L7", promise: STEPS_END, detail });
            break;
        }
        sleep(LOOK).await;
    }
    let twice = crew.wrong().into_iter();
    violations.extend(twice.map(|detail| Violation { checker: "S20", promise: MEMBERS, detail }));
    violations
}

/// Does what comes next, if the cluster answers. True when there is nothing to be done.
async fn step(world: &Rc<World>) -> bool {
    let Some(rows) = rows(world).await else { return false };
    let crew = world.crew();
    let present = world.master_ids();
    for row in rows.iter().filter(|row| row.state == "removed" && present.contains(&row.id)) {
        world.retire_master(row.id, Parting::Told);
    }
    let members: Vec<&MasterDetail> =
        rows.iter().filter(|row| ["joining", "member"].contains(&row.state.as_str())).collect();
    let wanted: Vec<u64> = members.iter().map(|row| row.id).filter(|id| crew.is_wanted(*id)).collect();
    let absent: Vec<u64> = wanted.iter().copied().filter(|id| !present.contains(id)).collect();
    for id in &absent {
        super::inject::start(world, &hortator_proto::frame::NodeId::Master(*id));
    }
    if (wanted.len() as u64) < crew.wanted() {
        let_in(world).await;
        return false;
    }
    if let Some(row) = members.iter().find(|row| !crew.is_wanted(row.id)) {
        ask(world, &Request::Command(Command::MasterRemove { id: row.id })).await;
        return false;
    }
    absent.is_empty() && rows.iter().all(|row| ["member", "removed"].contains(&row.state.as_str()))
}

/// A node shows a token until it has an id. Its process starts at the next look.
async fn let_in(world: &Rc<World>) {
    let number = world.crew().next_number();
    let (secret, token) = (SecretHash([number as u8; 32]), format!("token{number}"));
    let create = Command::JoinTokenCreate {
        id: token.clone(),
        hash: secret,
        role: JoinRole::Master { name: name(&format!("m{number}")) },
        valid_for: JOIN_MAX,
    };
    let at = |port: u64| format!("m{number}:{port}");
    let joiner = Joiner::Master { peer: at(1), worker: at(2), api: at(3) };
    let redeem = Command::Redeem { token, hash: secret, key: secret, joiner };
    for command in [create, redeem] {
        for _ in 0..TRIES_MAX {
            match ask(world, &Request::Command(command.clone())).await {
                Some(Response::Redeemed(welcome)) => {
                    if let JoinedAs::Master { id } = welcome.node {
                        world.crew().note_id(id);
                    }
                    return;
                }
                Some(Response::Changed { .. }) => break,
                // Too many, or too late.
                Some(_) => return,
                None => sleep(LOOK).await,
            }
        }
    }
}

async fn rows(world: &Rc<World>) -> Option<Vec<MasterDetail>> {
    match ask(world, &Request::Query(Query::Masters)).await {
        Some(Response::Masters(rows)) => Some(rows),
        _ => None,
    }
}

/// What speaks against it that all groups have the members that the rows say.
async fn apart(world: &Rc<World>) -> Option<String> {
    let members: Vec<u64> =
        rows(world).await?.iter().filter(|row| row.state == "member").map(|row| row.id).collect();
    for id in world.master_ids() {
        let Some(status) = crate::census::status(world, id).await else {
            return Some(format!("n{id} is not up"));
        };
        if let Some(group) = status.groups.iter().find(|group| group.voters != members) {
            let (voters, group) = (&group.voters, group.group);
            return Some(format!(
                "on n{id} the voters of group {group} are {voters:?}, the members {members:?}"
            ));
        }
    }
    None
}

/// The first final answer of any master.
async fn ask(world: &Rc<World>, request: &Request) -> Option<Response> {
    for id in world.master_ids() {
        let Some(gateway) = world.gateway(id) else { continue };
        match timeout(ANSWER_MAX, gateway.request(request.clone())).await {
            Ok(Response::Problem(problem))
                if matches!(
                    problem.kind,
                    ProblemKind::Unavailable | ProblemKind::Busy | ProblemKind::Internal
                ) => {}
            Ok(response) => return Some(response),
            Err(_) => {}
        }
    }
    None
}
