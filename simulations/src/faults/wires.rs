//! Faults of the wires: who no longer hears whom, and for how long.

use std::rc::Rc;
use std::time::Duration;

use hortator_proto::frame::NodeId;
use tokio::time::sleep;

use super::Fault;
use crate::world::World;
use crate::world::draw::Draw;
use crate::world::weather::{Trouble, Where};

/// Directions that are cut.
type Cuts = Vec<(NodeId, NodeId)>;

pub(super) async fn disturb(
    world: &Rc<World>,
    fault: Fault,
    victims: &[NodeId],
    lasts: Duration,
    draw: &mut Draw,
) {
    let nodes = nodes(world);
    let cuts: Cuts = match fault {
        Fault::Cut => [outwards(victims, &nodes), inwards(victims, &nodes)].concat(),
        Fault::CutPeers => {
            let masters = masters(world);
            [outwards(victims, &masters), inwards(victims, &masters)].concat()
        }
        Fault::CutOut => outwards(victims, &nodes),
        Fault::CutIn => inwards(victims, &nodes),
        Fault::Split => split(victims, &nodes, draw),
        Fault::Bridge => bridge(&nodes, draw),
        Fault::Chain => chain(&nodes, draw),
        Fault::Swizzle => return swizzle(world, nodes, lasts, draw).await,
        Fault::Break => return break_sessions(world, victims, &nodes),
        Fault::Squall | Fault::Clog => {
            return local_weather(world, fault, (victims, &nodes), lasts, draw).await;
        }
        _ => return weather(world, fault, lasts, draw).await,
    };
    cuts.iter().for_each(|(from, to)| world.net().cut(from, to));
    sleep(lasts).await;
    cuts.iter().for_each(|(from, to)| world.net().mend(from, to));
}

fn nodes(world: &World) -> Vec<NodeId> {
    let workers = world.worker_names().into_iter().map(NodeId::Worker);
    masters(world).into_iter().chain(workers).collect()
}

fn masters(world: &World) -> Vec<NodeId> {
    world.master_ids().into_iter().map(NodeId::Master).collect()
}

/// From a victim to all others, or between the two ends of a link.
fn outwards(victims: &[NodeId], nodes: &[NodeId]) -> Cuts {
    let Some(first) = victims.first() else { return Cuts::new() };
    let others: Vec<&NodeId> = match victims {
        [_, second] => vec![second],
        _ => nodes.iter().filter(|node| *node != first).collect(),
    };
    others.into_iter().map(|other| (first.clone(), other.clone())).collect()
}

fn inwards(victims: &[NodeId], nodes: &[NodeId]) -> Cuts {
    outwards(victims, nodes).into_iter().map(|(from, to)| (to, from)).collect()
}

fn between(one: &[NodeId], other: &[NodeId]) -> Cuts {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a.clone(), b.clone())));
    pairs.flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)]).collect()
}

/// In two, by chance; a master among the victims is on the side that has no majority.
fn split(victims: &[NodeId], nodes: &[NodeId], draw: &mut Draw) -> Cuts {
    let is_master = |node: &&NodeId| matches!(node, NodeId::Master(_));
    let Some(victim) = victims.first().filter(is_master) else {
        let (one, other): (Vec<NodeId>, Vec<NodeId>) =
            nodes.iter().cloned().partition(|_| draw.chance(500_000));
        return between(&one, &other);
    };
    let few = nodes.iter().filter(is_master).count().saturating_sub(1) / 2;
    let mut beside = few.saturating_sub(1);
    let mut with_it = |node: &NodeId| match node {
        one if one == victim => true,
        NodeId::Master(_) if beside > 0 => {
            beside -= 1;
            true
        }
        NodeId::Master(_) => false,
        NodeId::Worker(_) => draw.chance(500_000),
    };
    let (one, other): (Vec<NodeId>, Vec<NodeId>) = nodes.iter().cloned().partition(|node| with_it(node));
    between(&one, &other)
}

fn bridge(nodes: &[NodeId], draw: &mut Draw) -> Cuts {
    let mut masters: Vec<NodeId> =
        nodes.iter().filter(|node| matches!(node, NodeId::Master(_))).cloned().collect();
    draw.shuffle(&mut masters);
    // The last of them hears all.
    masters.pop();
    let (one, other) = masters.split_at(masters.len() / 2);
    between(one, other)
}

fn chain(nodes: &[NodeId], draw: &mut Draw) -> Cuts {
    let mut masters: Vec<NodeId> =
        nodes.iter().filter(|node| matches!(node, NodeId::Master(_))).cloned().collect();
    draw.shuffle(&mut masters);
    let far = (0..masters.len()).flat_map(|one| (one + 2..masters.len()).map(move |other| (one, other)));
    far.flat_map(|(one, other)| {
        let (one, other) = (masters[one].clone(), masters[other].clone());
        [(one.clone(), other.clone()), (other, one)]
    })
    .collect()
}

async fn swizzle(world: &Rc<World>, mut nodes: Vec<NodeId>, lasts: Duration, draw: &mut Draw) {
    draw.shuffle(&mut nodes);
    nodes.truncate(draw.between([1, nodes.len() as u64]) as usize);
    let all = self::nodes(world);
    let step = lasts / (2 * nodes.len().max(1) as u32);
    let cuts = |node: &NodeId| {
        let victim = std::slice::from_ref(node);
        [outwards(victim, &all), inwards(victim, &all)].concat()
    };
    for node in &nodes {
        cuts(node).iter().for_each(|(from, to)| world.net().cut(from, to));
        sleep(step).await;
    }
    draw.shuffle(&mut nodes);
    for node in &nodes {
        cuts(node).iter().for_each(|(from, to)| world.net().mend(from, to));
        sleep(step).await;
    }
}

fn break_sessions(world: &World, victims: &[NodeId], nodes: &[NodeId]) {
    for (from, to) in outwards(victims, nodes) {
        let link = if from < to { (from, to) } else { (to, from) };
        world.net().break_session(&link);
    }
}

async fn weather(world: &World, fault: Fault, lasts: Duration, draw: &mut Draw) {
    let layer = world.net().trouble(trouble(fault, draw), Where::Everywhere);
    sleep(lasts).await;
    world.net().calm(layer);
}

/// On the links of the first victim, or on the one between two.
async fn local_weather(
    world: &World,
    fault: Fault,
    (victims, nodes): (&[NodeId], &[NodeId]),
    lasts: Duration,
    draw: &mut Draw,
) {
    let links = Where::on(outwards(victims, nodes));
    let layer = world.net().trouble(trouble(fault, draw), links);
    sleep(lasts).await;
    world.net().calm(layer);
}

fn trouble(fault: Fault, draw: &mut Draw) -> Trouble {
    match fault {
        Fault::Throttle | Fault::Clog => Trouble::Throttle { bytes_per_milli: draw.log_between([2, 2_000]) },
        _ => Trouble::Storm {
            latency_least: draw.log_between([100, 10_000]),
            latency_more: draw.log_between([100, 60_000]),
            loss: draw.log_between([1_000, 200_000]),
            broken: draw.below(2) * draw.log_between([10, 5_000]),
        },
    }
}
