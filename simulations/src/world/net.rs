//! The wires between nodes, as TCP and the masters' relays make them: frames in order per pair and direction while a
//! session lasts, late, held up by losses, cut off in one direction or both, gone with their session. Must not know what
//! a frame asks for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError, Transport};
use hortator_proto::frame::NodeId;
use hortator_raft::sometimes;

use super::agenda::Agenda;
use super::draw::Draw;
use super::layers::Layer;
use super::trace::{self, Trace, What};
use super::weather::{FAIR, Sky, Trouble, Weather, Where};

#[cfg(test)]
mod tests;

/// Most bytes that wait for one peer, as in production.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// A session over which nothing comes through for so long ends, as in production.
const UNACKNOWLEDGED_MAX: u64 = 5_000_000;
/// Between two tries to open a session, as in production.
const REDIAL: [u64; 2] = [20_000, 800_000];
/// The first try, when a node starts.
const FIRST_DIAL: [u64; 2] = [1_000, 10_000];
/// How late a lost segment comes: the least retransmission timeout of the kernel, and a few of its doublings.
const RETRANSMISSION: [u64; 2] = [200_000, 1_600_000];
/// What is queued for a slow link may take minutes. Where more than this is left when links are fast again, the session ends.
const BACKLOG_MAX: u64 = 1_000_000;
/// Repetitions of a segment that may be lost; the pause before the next doubles.
const REPETITIONS_LOST_MAX: u32 = 4;
/// How late a frame may come a second time, by another way.
const ASTRAY: [u64; 2] = [100, 10_000_000];

/// How a process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Its kernel closes its connections.
    Told,
    /// Its host went with it: peers notice when nothing is answered.
    Silent,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

struct Shared {
    agenda: Arc<Agenda>,
    trace: Trace,
    seed: u64,
    wires: Mutex<Wires>,
}

struct Wires {
    sky: Sky,
    ends: BTreeMap<NodeId, End>,
    /// From one end to the other.
    lanes: BTreeMap<(NodeId, NodeId), Lane>,
    /// By pair, the smaller end first.
    links: BTreeMap<(NodeId, NodeId), Link>,
    sessions: u64,
    counts: Counts,
}

/// What the wires did, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub frames: u64,
    pub bytes: u64,
    pub sessions: u64,
    pub lost_with_session: u64,
    pub dropped: u64,
    pub astray: u64,
}

impl Counts {
    pub fn add(&mut self, more: &Counts) {
        self.frames += more.frames;
        self.bytes += more.bytes;
        self.sessions += more.sessions;
        self.lost_with_session += more.lost_with_session;
        self.dropped += more.dropped;
        self.astray += more.astray;
    }
}

struct End {
    name: Arc<str>,
    /// Another process under the same name hears nothing that was meant for this one.
    life: u64,
    incoming: Arc<dyn Incoming>,
    /// What comes while the process stands still waits here.
    held: Option<VecDeque<(NodeId, Item)>>,
}

struct Lane {
    draw: Draw,
    /// Faults that cut it now.
    cuts: u32,
    /// Counts cuts, so that the end of a long one is known from that of another.
    cut_number: u64,
    cut_at: u64,
    /// When the last that was sent arrives.
    last: u64,
    /// When the last word of a session's beginning or end arrives: what ended with a session holds up nothing of the next.
    turned: u64,
    waiting: usize,
    /// Sent into a cut, and to be sent again.
    stuck: VecDeque<(u64, Bytes)>,
    /// Its sender knows of this session.
    open: bool,
}

#[derive(Default)]
struct Link {
    session: Option<u64>,
    dialling: bool,
}

enum Item {
    Frame { session: u64, frame: Bytes },
    Opened { session: u64 },
    Closed,
}

/// One process' end of the wires.
struct Port {
    net: Net,
    me: NodeId,
    life: u64,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Net({:?})", self.counts())
    }
}

impl Transport for Port {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.net.send(self, to, frame)
    }

    fn listen(&self, incoming: Arc<dyn Incoming>) {
        self.net.join(&self.me, self.life, incoming);
    }
}

impl Net {
    pub fn new(seed: u64, agenda: Arc<Agenda>, trace: Trace) -> Net {
        let wires = Wires {
            sky: Sky::of(FAIR),
            ends: BTreeMap::new(),
            lanes: BTreeMap::new(),
            links: BTreeMap::new(),
            sessions: 0,
            counts: Counts::default(),
        };
        Net(Arc::new(Shared { agenda, trace, seed, wires: Mutex::new(wires) }))
    }

    /// The end of one life of a node; what earlier lives hold is dead.
    pub fn port(&self, me: NodeId, life: u64) -> Arc<dyn Transport> {
        Arc::new(Port { net: self.clone(), me, life })
    }

    /// What the wires are without faults, from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.turn_weather(|sky| sky.set_usual(weather));
    }

    /// Until `calm` takes it back.
    pub fn trouble(&self, trouble: Trouble, place: Where) -> Layer {
        self.turn_weather(|sky| sky.add(trouble, place))
    }

    pub fn calm(&self, layer: Layer) {
        self.turn_weather(|sky| sky.remove(layer));
    }

    /// No fault makes it worse than it usually is, which is fair.
    pub fn clear_up(&self) {
        self.turn_weather(|sky| *sky = Sky::of(FAIR));
    }

    fn turn_weather<T>(&self, turn: impl FnOnce(&mut Sky) -> T) -> T {
        let late = self.now() + BACKLOG_MAX;
        let mut wires = self.wires();
        let late: Vec<(NodeId, NodeId)> =
            wires.lanes.iter().filter(|(_, lane)| lane.last > late).map(|(ends, _)| ends.clone()).collect();
        let is_slow = |sky: &Sky, ends: &(NodeId, NodeId)| sky.over(ends).bytes_per_milli > 0;
        let slow: Vec<(NodeId, NodeId)> = late.into_iter().filter(|ends| is_slow(&wires.sky, ends)).collect();
        let turned = turn(&mut wires.sky);
        let fast = slow.iter().filter(|ends| !is_slow(&wires.sky, ends));
        let links: BTreeSet<(NodeId, NodeId)> = fast.map(|(from, to)| pair(from, to)).collect();
        drop(wires);
        links.iter().for_each(|link| self.break_session(link));
        turned
    }

    pub fn counts(&self) -> Counts {
        self.wires().counts
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.0.agenda.now()
    }

    fn send(&self, port: &Port, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        let (now, from) = (self.now(), &port.me);
        let refused = || SendError::NotConnected(to.clone());
        let mut wires = self.wires();
        let alive = wires.ends.get(from).is_some_and(|end| end.life == port.life);
        let session = wires.links.get(&pair(from, to)).and_then(|link| link.session);
        let (from_name, to_name) = (wires.name(from), wires.name(to));
        let ends = (from.clone(), to.clone());
        let weather = wires.sky.over(&ends);
        let lane = wires.lanes.get_mut(&ends).filter(|lane| alive && lane.open);
        let (Some(lane), Some(session)) = (lane, session) else {
            if alive {
                self.0.trace.note(now, &from_name, What::Unsent { to: &to_name });
            }
            return Err(refused());
        };
        if lane.waiting + frame.len() > QUEUE_BYTES_MAX {
            return Err(SendError::Full { to: to.clone(), bytes: lane.waiting, max: QUEUE_BYTES_MAX });
        }
        self.0.trace.note(now, &from_name, What::Sent { to: &to_name, bytes: trace::Bytes(&frame) });
        if lane.draw.chance(weather.dropped) {
            wires.counts.dropped += 1;
            sometimes!("wires: a frame is lost for good");
            return Ok(());
        }
        lane.waiting += frame.len();
        if lane.cuts > 0 {
            lane.stuck.push_back((session, frame));
            return Ok(());
        }
        let at = lane.arrival(now, frame.len(), &weather);
        let breaks = lane.draw.chance(weather.broken);
        let astray = lane.draw.chance(weather.astray).then(|| at + lane.draw.log_between(ASTRAY));
        if let Some(late) = astray {
            wires.counts.astray += 1;
            self.deliver_at(late, from, to, Item::Frame { session: 0, frame: frame.clone() });
        }
        drop(wires);
        self.deliver_at(at, from, to, Item::Frame { session, frame });
        if breaks {
            sometimes!("wires: a session broke by itself");
            self.break_session(&pair(from, to));
        }
        Ok(())
    }

    fn deliver_at(&self, at: u64, from: &NodeId, to: &NodeId, item: Item) {
        let (net, from, to) = (self.clone(), from.clone(), to.clone());
        self.0.agenda.at(at, move || net.deliver(from, to, item));
    }

    fn deliver(&self, from: NodeId, to: NodeId, item: Item) {
        let mut wires = self.wires();
        if let Item::Frame { session, frame } = &item {
            if let Some(lane) = wires.lanes.get_mut(&(from.clone(), to.clone())) {
                lane.waiting = lane.waiting.saturating_sub(frame.len());
            }
            let present = wires.links.get(&pair(&from, &to)).and_then(|link| link.session);
            // Session 0: it found another way.
            if *session != 0 && present != Some(*session) {
                wires.counts.lost_with_session += 1;
                return;
            }
        }
        let Some(end) = wires.ends.get_mut(&to) else { return };
        if let Some(held) = &mut end.held {
            held.push_back((from, item));
            return;
        }
        self.hand_in(wires, from, &to, item);
    }

    /// The process hears of it.
    fn hand_in(&self, mut wires: MutexGuard<'_, Wires>, from: NodeId, to: &NodeId, item: Item) {
        let Some(end) = wires.ends.get(to) else { return };
        let (incoming, name, from_name) = (end.incoming.clone(), end.name.clone(), wires.name(&from));
        let what = match &item {
            Item::Frame { frame, session } => {
                sometimes!(*session == 0, "wires: a frame came once more, by another way");
                wires.counts.frames += 1;
                wires.counts.bytes += frame.len() as u64;
                What::Frame { from: &from_name, bytes: trace::Bytes(frame) }
            }
            Item::Opened { session } => {
                let present = wires.links.get(&pair(&from, to)).and_then(|link| link.session);
                if present != Some(*session) {
                    return;
                }
                wires.lane(self.0.seed, to, &from).open = true;
                What::Opened { peer: &from_name }
            }
            Item::Closed => {
                let lane = wires.lane(self.0.seed, to, &from);
                if !std::mem::replace(&mut lane.open, false) {
                    return;
                }
                What::Closed { peer: &from_name }
            }
        };
        self.0.trace.note(self.now(), &name, what);
        drop(wires);
        match item {
            Item::Frame { frame, .. } => incoming.frame(&from, frame),
            Item::Opened { .. } => incoming.session_opened(&from),
            Item::Closed => incoming.session_closed(&from),
        }
    }

    fn join(&self, me: &NodeId, life: u64, incoming: Arc<dyn Incoming>) {
        // A host that lost its power has told nobody.
        let before = self.wires().links_of(me);
        before.iter().for_each(|(link, _)| self.break_session(link));
        let mut wires = self.wires();
        let name: Arc<str> = me.to_string().into();
        wires.ends.insert(me.clone(), End { name, life, incoming, held: None });
        let others: Vec<NodeId> = wires.ends.keys().filter(|other| meets(me, other)).cloned().collect();
        drop(wires);
        for other in others {
            self.dial(&pair(me, &other), FIRST_DIAL);
        }
    }

    /// The process is dead and sends nothing more.
    pub fn leave(&self, me: &NodeId, parting: Parting) {
        let mut wires = self.wires();
        if wires.ends.remove(me).is_none() {
            return;
        }
        for (_, lane) in wires.lanes.iter_mut().filter(|((from, _), _)| from == me) {
            lane.open = false;
        }
        let links = wires.links_of(me);
        drop(wires);
        for (link, session) in links {
            match parting {
                Parting::Told => self.break_session(&link),
                Parting::Silent => {
                    let net = self.clone();
                    self.0.agenda.after(UNACKNOWLEDGED_MAX, move || net.give_up(&link, session));
                }
            }
        }
    }

    /// Nobody has answered in that session.
    fn give_up(&self, link: &(NodeId, NodeId), session: u64) {
        let present = self.wires().links.get(link).and_then(|link| link.session);
        if present == Some(session) {
            self.break_session(link);
        }
    }

    /// The process stands still, or goes on and finds all that came meanwhile.
    pub fn freeze(&self, me: &NodeId, frozen: bool) {
        let mut wires = self.wires();
        let Some(end) = wires.ends.get_mut(me) else { return };
        if frozen {
            end.held.get_or_insert_default();
            return;
        }
        let Some(held) = end.held.take() else { return };
        drop(wires);
        for (from, item) in held {
            self.hand_in(self.wires(), from, me, item);
        }
    }

    /// Nothing travels from one to the other until it is mended as often as it was cut.
    pub fn cut(&self, from: &NodeId, to: &NodeId) {
        let now = self.now();
        let mut wires = self.wires();
        let lane = wires.lane(self.0.seed, from, to);
        lane.cuts += 1;
        if lane.cuts > 1 {
            return;
        }
        lane.cut_number += 1;
        lane.cut_at = now;
        let (number, patience) = (lane.cut_number, UNACKNOWLEDGED_MAX + lane.draw.below(1_000_000));
        drop(wires);
        let (net, from, to) = (self.clone(), from.clone(), to.clone());
        self.0.agenda.after(patience, move || {
            let mut wires = net.wires();
            let lane = wires.lane(net.0.seed, &from, &to);
            let still = lane.cuts > 0 && lane.cut_number == number;
            drop(wires);
            if still {
                sometimes!("wires: a cut ended a session");
                net.break_session(&pair(&from, &to));
            }
        });
    }

    pub fn mend(&self, from: &NodeId, to: &NodeId) {
        let now = self.now();
        let mut wires = self.wires();
        let weather = wires.sky.over(&(from.clone(), to.clone()));
        let lane = wires.lane(self.0.seed, from, to);
        lane.cuts = lane.cuts.saturating_sub(1);
        if lane.cuts > 0 {
            return;
        }
        // The kernel's next try; its pauses double.
        let pause = lane.draw.below((now - lane.cut_at).clamp(RETRANSMISSION[0], RETRANSMISSION[1]));
        let stuck = std::mem::take(&mut lane.stuck);
        let arrivals: Vec<_> = stuck
            .into_iter()
            .map(|(session, frame)| (lane.arrival(now + pause, frame.len(), &weather), session, frame))
            .collect();
        drop(wires);
        for (at, session, frame) in arrivals {
            self.deliver_at(at, from, to, Item::Frame { session, frame });
        }
    }

    pub fn mend_all(&self) {
        let cut: Vec<(NodeId, NodeId)> = {
            let mut wires = self.wires();
            let cut = wires.lanes.iter_mut().filter(|(_, lane)| lane.cuts > 0);
            cut.map(|(ends, lane)| {
                lane.cuts = 1;
                ends.clone()
            })
            .collect()
        };
        cut.iter().for_each(|(from, to)| self.mend(from, to));
    }

    /// Ends the session between two, with all that is under way in it; they try for another.
    pub fn break_session(&self, link: &(NodeId, NodeId)) {
        let now = self.now();
        let mut wires = self.wires();
        let Some(present) = wires.links.get_mut(link) else { return };
        let was = present.session.take();
        let weather = wires.sky.over(link);
        for (from, to) in [(&link.0, &link.1), (&link.1, &link.0)] {
            let lane = wires.lane(self.0.seed, from, to);
            lane.stuck.clear();
            lane.waiting = 0;
            lane.last = lane.last.min(lane.turned);
            if was.is_some() {
                let at = lane.turn(now, &weather);
                self.deliver_at(at, from, to, Item::Closed);
            }
        }
        drop(wires);
        self.dial(link, REDIAL);
    }

    fn dial(&self, link: &(NodeId, NodeId), pause: [u64; 2]) {
        let mut wires = self.wires();
        let both = wires.ends.contains_key(&link.0) && wires.ends.contains_key(&link.1);
        let state = wires.links.entry(link.clone()).or_default();
        if !both || state.session.is_some() || state.dialling {
            return;
        }
        state.dialling = true;
        let pause = wires.lane(self.0.seed, &link.0, &link.1).draw.log_between(pause);
        drop(wires);
        let (net, link) = (self.clone(), link.clone());
        self.0.agenda.after(pause, move || net.connect(&link));
    }

    fn connect(&self, link: &(NodeId, NodeId)) {
        let now = self.now();
        let mut wires = self.wires();
        let listens = |wires: &Wires, end: &NodeId| wires.ends.get(end).is_some_and(|end| end.held.is_none());
        let both = listens(&wires, &link.0) && listens(&wires, &link.1);
        let whole = wires.lane(self.0.seed, &link.0, &link.1).cuts == 0
            && wires.lane(self.0.seed, &link.1, &link.0).cuts == 0;
        let state = wires.links.entry(link.clone()).or_default();
        state.dialling = false;
        if !both || !whole {
            drop(wires);
            return self.dial(link, REDIAL);
        }
        wires.sessions += 1;
        wires.counts.sessions += 1;
        let session = wires.sessions;
        wires.links.entry(link.clone()).or_default().session = Some(session);
        let weather = wires.sky.over(link);
        for (from, to) in [(&link.0, &link.1), (&link.1, &link.0)] {
            let at = wires.lane(self.0.seed, from, to).turn(now, &weather);
            self.deliver_at(at, from, to, Item::Opened { session });
        }
    }
}

impl Wires {
    fn lane(&mut self, seed: u64, from: &NodeId, to: &NodeId) -> &mut Lane {
        self.lanes.entry((from.clone(), to.clone())).or_insert_with(|| Lane {
            draw: Draw::of(seed, &format!("net {from} {to}")),
            cuts: 0,
            cut_number: 0,
            cut_at: 0,
            last: 0,
            turned: 0,
            waiting: 0,
            stuck: VecDeque::new(),
            open: false,
        })
    }

    /// Those with a session.
    fn links_of(&self, me: &NodeId) -> Vec<((NodeId, NodeId), u64)> {
        let mine = self.links.iter().filter(|((a, b), _)| a == me || b == me);
        mine.filter_map(|(link, state)| Some((link.clone(), state.session?))).collect()
    }

    fn name(&self, node: &NodeId) -> Arc<str> {
        self.ends.get(node).map_or_else(|| node.to_string().into(), |end| end.name.clone())
    }
}

impl Lane {
    /// When the word of a session's beginning or end arrives.
    fn turn(&mut self, now: u64, weather: &Weather) -> u64 {
        self.turned = self.arrival(now, 0, weather);
        self.turned
    }

    /// When something sent now arrives: always after what was sent earlier, since ties are drawn.
    fn arrival(&mut self, now: u64, bytes: usize, weather: &Weather) -> u64 {
        let mut at = now + weather.latency_least + self.draw.about(weather.latency_more);
        if self.draw.chance(weather.loss) {
            sometimes!("wires: a lost segment holds up what follows");
            at += self.draw.log_between(RETRANSMISSION);
        }
        if weather.lost_alone > 0 && self.last <= now {
            let lost = (0..=REPETITIONS_LOST_MAX).take_while(|_| self.draw.chance(weather.lost_alone));
            at += lost.map(|lost| RETRANSMISSION[0] << lost).sum::<u64>();
        }
        let way = (bytes as u64 * 1_000).checked_div(weather.bytes_per_milli).unwrap_or(0);
        sometimes!(way > 0 && self.last > at, "wires: a frame waits for others on a slow link");
        self.last = at.max(self.last + 1) + way;
        self.last
    }
}

fn pair(a: &NodeId, b: &NodeId) -> (NodeId, NodeId) {
    if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

/// Workers talk to masters only.
fn meets(a: &NodeId, b: &NodeId) -> bool {
    a != b && (matches!(a, NodeId::Master(_)) || matches!(b, NodeId::Master(_)))
}
