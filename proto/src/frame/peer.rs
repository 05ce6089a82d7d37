//! Frames between masters, and the handshake, as messages and back.
//! Must not look into payloads: raft's bytes and JSON bodies pass through.

use hortator_core::dispatch::stream::DispatcherTerm;
use hortator_core::id::Name;

use hortator_core::time::{Span, Timestamp};

use super::from_worker::{heartbeat, heartbeat_message, registration, registration_message};
use super::to_worker::registered_message;
use super::{Handshake, HeardHeartbeat, LedShard, LoadReport, NodeId, PeerFrame, RowSum};
use crate::codec::Form;
use crate::convert::{id, need, placement, unknown_kind, worker};
use crate::error::Unreadable;
use crate::generated::frame as wire;

impl Form for Handshake {
    type Message = wire::HandshakeFrame;
    const WHAT: &'static str = "handshake";

    fn to_message(&self) -> wire::HandshakeFrame {
        use wire::handshake::Node;
        let cluster = u128::from_be_bytes(self.cluster);
        let handshake = wire::Handshake {
            cluster_high: id::high(cluster),
            cluster_low: id::low(cluster),
            node: Some(match &self.node {
                NodeId::Master(id) => Node::Master(*id),
                NodeId::Worker(name) => Node::Worker(name.to_string()),
            }),
            version: self.version.clone(),
            boot: self.boot,
            ..Default::default()
        };
        wire::HandshakeFrame { handshake: Some(handshake).into(), ..Default::default() }
    }

    fn from_message(message: wire::HandshakeFrame) -> Result<Handshake, Unreadable> {
        use wire::handshake::Node;
        let message = need(message.handshake, "handshake")?;
        Ok(Handshake {
            cluster: id::join(message.cluster_high, message.cluster_low).to_be_bytes(),
            node: match message.node {
                Some(Node::Master(id)) => NodeId::Master(id),
                Some(Node::Worker(name)) => NodeId::Worker(Name::try_from(name)?),
                None => return Err(unknown_kind("kind of node", &message.special_fields)),
            },
            version: message.version,
            boot: message.boot,
        })
    }
}

impl Form for PeerFrame {
    type Message = wire::PeerFrame;
    const WHAT: &'static str = "frame of a master";

    fn to_message(&self) -> wire::PeerFrame {
        use wire::peer_frame::Body;
        let payload = |group: &u32, payload: &bytes::Bytes| wire::Payload {
            group: *group,
            payload: payload.clone(),
            ..Default::default()
        };
        let call =
            |id: &u64, body: &bytes::Bytes| wire::Call { id: *id, body: body.clone(), ..Default::default() };
        let body = match self {
            PeerFrame::Raft { group, payload: bytes } => Body::Raft(payload(group, bytes)),
            PeerFrame::Hello { group, payload: bytes } => Body::Hello(payload(group, bytes)),
            PeerFrame::Offers(frame) => Body::Offers(placement::offers_message(frame)),
            PeerFrame::Dispatcher(frame) => Body::Dispatcher(placement::dispatcher_message(frame)),
            PeerFrame::DispatcherHere { term } => {
                Body::DispatcherHere(wire::DispatcherHere { term: term.0, ..Default::default() })
            }
            PeerFrame::Request { id, body } => Body::Request(call(id, body)),
            PeerFrame::Response { id, body } => Body::Response(call(id, body)),
            PeerFrame::Heartbeats(heard) => Body::Heartbeats(wire::Heartbeats {
                heard: heard.iter().map(heard_message).collect(),
                ..Default::default()
            }),
            PeerFrame::Load(report) => Body::Load(load_message(report)),
            PeerFrame::HandShardOver { shard, to } => {
                Body::HandShardOver(wire::HandShardOver { shard: *shard, to: *to, ..Default::default() })
            }
            PeerFrame::HeartbeatsSeen { term, lease, seen } => Body::HeartbeatsSeen(wire::HeartbeatsSeen {
                term: *term,
                lease: lease.0,
                seen: seen.iter().map(seen_message).collect(),
                ..Default::default()
            }),
            PeerFrame::Registration(registration) => Body::Registration(registration_message(registration)),
            PeerFrame::Registered { term, worker, life, incarnation, cluster } => {
                Body::Registered(wire::RegisteredAt {
                    term: *term,
                    worker: worker.to_string(),
                    registered: Some(registered_message(*life, *incarnation, *cluster)).into(),
                    ..Default::default()
                })
            }
        };
        wire::PeerFrame { body: Some(body), ..Default::default() }
    }

    fn from_message(message: wire::PeerFrame) -> Result<PeerFrame, Unreadable> {
        use wire::peer_frame::Body;
        Ok(match message.body {
            Some(Body::Raft(raft)) => PeerFrame::Raft { group: raft.group, payload: raft.payload },
            Some(Body::Hello(hello)) => PeerFrame::Hello { group: hello.group, payload: hello.payload },
            Some(Body::Offers(offers)) => PeerFrame::Offers(placement::offers(offers)?),
            Some(Body::Dispatcher(frame)) => PeerFrame::Dispatcher(placement::dispatcher(frame)?),
            Some(Body::DispatcherHere(here)) => PeerFrame::DispatcherHere { term: DispatcherTerm(here.term) },
            Some(Body::Request(call)) => PeerFrame::Request { id: call.id, body: call.body },
            Some(Body::Response(call)) => PeerFrame::Response { id: call.id, body: call.body },
            Some(Body::Heartbeats(m)) => {
                PeerFrame::Heartbeats(m.heard.into_iter().map(heard).collect::<Result<_, _>>()?)
            }
            Some(Body::Load(m)) => PeerFrame::Load(load(m)),
            Some(Body::HandShardOver(m)) => PeerFrame::HandShardOver { shard: m.shard, to: m.to },
            Some(Body::HeartbeatsSeen(m)) => PeerFrame::HeartbeatsSeen {
                term: m.term,
                lease: Span(m.lease),
                seen: m.seen.into_iter().map(seen).collect::<Result<_, _>>()?,
            },
            Some(Body::Registration(m)) => PeerFrame::Registration(registration(m)?),
            Some(Body::Registered(m)) => {
                let registered = need(m.registered, "answer to the registration")?;
                PeerFrame::Registered {
                    term: m.term,
                    worker: id::name(m.worker)?,
                    life: worker::life(registered.number, registered.session_high, registered.session_low),
                    incarnation: registered.incarnation,
                    cluster: id::join(registered.cluster_high, registered.cluster_low).to_be_bytes(),
                }
            }
            None => return Err(unknown_kind("kind of frame", &message.special_fields)),
        })
    }
}

fn heard_message(heard: &HeardHeartbeat) -> wire::HeardHeartbeat {
    wire::HeardHeartbeat {
        worker: heard.worker.to_string(),
        heartbeat: Some(heartbeat_message(&heard.heartbeat)).into(),
        ..Default::default()
    }
}

fn heard(message: wire::HeardHeartbeat) -> Result<HeardHeartbeat, Unreadable> {
    let beat = need(message.heartbeat, "heartbeat")?;
    Ok(HeardHeartbeat { worker: id::name(message.worker)?, heartbeat: heartbeat(beat)? })
}

fn seen_message((worker, sequence): &(Name, u64)) -> wire::SeenHeartbeat {
    wire::SeenHeartbeat { worker: worker.to_string(), sequence: *sequence, ..Default::default() }
}

fn seen(message: wire::SeenHeartbeat) -> Result<(Name, u64), Unreadable> {
    Ok((id::name(message.worker)?, message.sequence))
}

fn load_message(report: &LoadReport) -> wire::LoadReport {
    let led = |led: &LedShard| wire::LedShard {
        shard: led.shard,
        term: led.term,
        runs: led.runs,
        proposals_per_second: led.proposals_per_second,
        heirs: led.heirs.clone(),
        ..Default::default()
    };
    wire::LoadReport {
        up: report.up.0,
        cpu_percent: report.cpu_percent,
        leads: report.leads.iter().map(led).collect(),
        wall: report.wall.0,
        sums: report.sums.iter().map(sum_message).collect(),
        workers: report.workers,
        ..Default::default()
    }
}

fn load(message: wire::LoadReport) -> LoadReport {
    let led = |led: wire::LedShard| LedShard {
        shard: led.shard,
        term: led.term,
        runs: led.runs,
        proposals_per_second: led.proposals_per_second,
        heirs: led.heirs,
    };
    LoadReport {
        up: Span(message.up),
        cpu_percent: message.cpu_percent,
        leads: message.leads.into_iter().map(led).collect(),
        wall: Timestamp(message.wall),
        sums: message.sums.into_iter().map(sum).collect(),
        workers: message.workers,
    }
}

fn sum_message(sum: &RowSum) -> wire::RowSum {
    let RowSum { group, index, sum } = *sum;
    wire::RowSum { group, index, sum, ..Default::default() }
}

fn sum(message: wire::RowSum) -> RowSum {
    RowSum { group: message.group, index: message.index, sum: message.sum }
}
