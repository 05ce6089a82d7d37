//! Nodes that only tell each other of their links, over links that are cut one way or both.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::frame::{Content, NodeId};

use super::super::paths::{Path, Paths, Session};

pub(super) fn node(text: &str) -> NodeId {
    match text.strip_prefix('n').and_then(|id| id.parse().ok()) {
        Some(id) => NodeId::Master(id),
        None => NodeId::Worker(Name::new(text).expect("a name")),
    }
}

struct Mesh {
    now: Span,
    nodes: BTreeMap<NodeId, Paths>,
    /// From whom to whom nothing travels.
    cut: BTreeSet<(NodeId, NodeId)>,
    connected: BTreeSet<(NodeId, NodeId)>,
    /// What each heard of its sessions since it was last asked.
    heard: BTreeMap<NodeId, Vec<Session>>,
}

impl Mesh {
    /// All know each other; workers know masters only.
    fn new(names: &str) -> Mesh {
        let now = Span::from_secs(3_600);
        let nodes = names.split(' ').map(node).map(|node| (node.clone(), Paths::new(node, now))).collect();
        let mut mesh =
            Mesh { now, nodes, cut: BTreeSet::new(), connected: BTreeSet::new(), heard: BTreeMap::new() };
        let all: Vec<NodeId> = mesh.nodes.keys().cloned().collect();
        for (place, a) in all.iter().enumerate() {
            for b in &all[place + 1..] {
                if matches!(a, NodeId::Master(_)) || matches!(b, NodeId::Master(_)) {
                    mesh.connect(a, b);
                }
            }
        }
        mesh.run(Span::from_secs(2));
        mesh.heard.clear();
        mesh
    }

    fn connect(&mut self, a: &NodeId, b: &NodeId) {
        for (own, other) in [(a, b), (b, a)] {
            self.connected.insert((own.clone(), other.clone()));
            let sessions = self.nodes.get_mut(own).expect("a node").opened(other, self.now);
            self.heard.entry(own.clone()).or_default().extend(sessions);
        }
    }

    /// The connection itself ends, as it does when the other process dies.
    fn disconnect(&mut self, a: &NodeId, b: &NodeId) {
        for (own, other) in [(a, b), (b, a)] {
            self.connected.remove(&(own.clone(), other.clone()));
            let sessions = self.nodes.get_mut(own).expect("a node").closed(other, self.now);
            self.heard.entry(own.clone()).or_default().extend(sessions);
        }
    }

    /// `n1-n3` both ways, `n1>n3` one way.
    fn cut(&mut self, cuts: &str) {
        self.cut = cuts
            .split_whitespace()
            .flat_map(|cut| match (cut.split_once('-'), cut.split_once('>')) {
                (Some((a, b)), _) => vec![(node(a), node(b)), (node(b), node(a))],
                (None, Some((a, b))) => vec![(node(a), node(b))],
                (None, None) => panic!("{cut} is no cut"),
            })
            .collect();
    }

    fn run(&mut self, span: Span) {
        let until = self.now.0 + span.0;
        while self.now.0 < until {
            self.now = Span(self.now.0 + 50_000);
            let all: Vec<NodeId> = self.nodes.keys().cloned().collect();
            for own in all {
                let look = self.nodes.get_mut(&own).expect("a node").look(self.now);
                self.heard.entry(own.clone()).or_default().extend(look.sessions);
                for (to, content) in look.pings {
                    let way = (own.clone(), to.clone());
                    if self.connected.contains(&way) && !self.cut.contains(&way) {
                        self.arrive(&own, &to, content);
                    }
                }
            }
        }
    }

    fn arrive(&mut self, from: &NodeId, to: &NodeId, content: Content) {
        let paths = self.nodes.get_mut(to).expect("a node");
        paths.hear(from, self.now);
        match content {
            Content::Links(links) => paths.on_links(from, links, self.now),
            Content::Workers { version, names } => paths.on_workers(from, version, names, self.now),
            Content::Frame(_) => unreachable!("links are all they tell"),
        }
    }

    fn relayed(&self) -> String {
        let mut own = Vec::new();
        for from in self.nodes.keys() {
            for to in self.nodes.keys() {
                if let Path::Via(via) = self.nodes[from].path(to) {
                    own.push(format!("{from}>{to} n{via}"));
                }
            }
        }
        own.join(", ")
    }

    fn sessions(&mut self, of: &str) -> Vec<Session> {
        self.heard.remove(&node(of)).unwrap_or_default()
    }
}

#[test]
fn a_cut_link_is_replaced_by_a_master_that_has_both() {
    let three = "n1 n2 n3 w1 w2";
    for (nodes, cuts, within, relayed) in [
        (three, "n1-n3", 350, "n1>n3 n2, n3>n1 n2"),
        // One way is as good as none: the end that hears nothing says so.
        (three, "n1>n3", 350, "n1>n3 n2, n3>n1 n2"),
        (three, "n3>n1", 350, "n1>n3 n2, n3>n1 n2"),
        (three, "n1-n2 n1-n3", 2_000, ""),
        (three, "n1-n2 n2-n3", 2_000, ""),
        (three, "n1-w1", 3_300, "n1>w1 n2, w1>n1 n2"),
        (three, "w1>n1", 3_300, "n1>w1 n2, w1>n1 n2"),
        (three, "n1-w1 n2-w1", 3_300, "n1>w1 n3, n2>w1 n3, w1>n1 n3, w1>n2 n3"),
        (three, "n1-w1 n2-w1 n3-w1", 5_000, ""),
        (three, "n1-n3 n1-w1", 3_300, "n1>n3 n2, n1>w1 n2, n3>n1 n2, w1>n1 n2"),
        // Two hops would be needed.
        (three, "n1-n3 n2-w1 n1-w1", 5_000, "n1>n3 n2, n2>w1 n3, n3>n1 n2, w1>n2 n3"),
        ("n1 n2 n3 n4 n5", "n1-n5 n2-n5", 400, "n1>n5 n3, n2>n5 n3, n5>n1 n3, n5>n2 n3"),
        ("n1 n2", "n1-n2", 2_000, ""),
    ] {
        let mut mesh = Mesh::new(nodes);
        mesh.cut(cuts);
        mesh.run(Span::from_millis(within));
        assert_eq!(mesh.relayed(), relayed, "{cuts}");
        mesh.run(Span::from_secs(10));
        assert_eq!(mesh.relayed(), relayed, "{cuts}, later");
        mesh.cut("");
        mesh.run(Span::from_secs(3));
        assert_eq!(mesh.relayed(), "", "{cuts}, healed");
    }
}

#[test]
fn a_change_of_the_path_is_a_new_session_and_a_link_must_last_to_be_used_again() {
    let mut mesh = Mesh::new("n1 n2 n3");
    mesh.cut("n1-n3");
    mesh.run(Span::from_secs(1));
    let (n3, via) = (node("n3"), Path::Via(2));
    assert_eq!(mesh.sessions("n1"), [Session::Closed(n3.clone()), Session::Opened(n3.clone(), via)]);
    assert_eq!(mesh.sessions("n2"), [], "the relay has direct links");
    for _ in 0..5 {
        mesh.cut("");
        mesh.run(Span::from_millis(600));
        mesh.cut("n1-n3");
        mesh.run(Span::from_millis(400));
    }
    assert_eq!(mesh.sessions("n1"), [], "a link that comes and goes changes nothing");
    mesh.cut("");
    mesh.run(Span::from_millis(1_200));
    assert_eq!(mesh.sessions("n1"), [Session::Closed(n3.clone()), Session::Opened(n3, Path::Direct)]);
}

#[test]
fn a_node_that_is_dead_or_stands_still_is_reached_over_nobody() {
    for silent in [false, true] {
        let mut mesh = Mesh::new("n1 n2 n3 w1");
        if silent {
            mesh.cut("n3-n1 n3-n2 n3-w1");
        } else {
            for other in ["n1", "n2", "w1"] {
                mesh.disconnect(&node("n3"), &node(other));
            }
        }
        for _ in 0..100 {
            mesh.run(Span::from_millis(50));
            assert_eq!(mesh.relayed(), "", "silent {silent}");
        }
    }
}

#[test]
fn who_stood_still_blames_nobody() {
    let mut mesh = Mesh::new("n1 n2 n3");
    mesh.now = Span(mesh.now.0 + 5_000_000);
    mesh.run(Span::from_secs(1));
    assert_eq!((mesh.relayed().as_str(), mesh.sessions("n1")), ("", vec![]));
}

#[test]
fn a_connection_that_closes_waits_for_its_next_call() {
    let mut mesh = Mesh::new("n1 n2 n3");
    let (n1, n3) = (node("n1"), node("n3"));
    mesh.disconnect(&n1, &n3);
    mesh.run(Span::from_millis(100));
    assert_eq!(mesh.relayed(), "");
    mesh.run(Span::from_millis(200));
    assert_eq!(mesh.relayed(), "n1>n3 n2, n3>n1 n2");
    mesh.connect(&n1, &n3);
    mesh.run(Span::from_millis(500));
    assert_eq!(mesh.relayed(), "n1>n3 n2, n3>n1 n2", "it has to last");
    mesh.run(Span::from_secs(1));
    assert_eq!(mesh.relayed(), "");
}

#[test]
fn a_removed_master_is_not_reached_over_others_and_relays_nothing() {
    let mut mesh = Mesh::new("n1 n2 n3 w1");
    mesh.cut("n1-n3 n1-w1");
    mesh.run(Span::from_secs(4));
    assert_eq!(mesh.relayed(), "n1>n3 n2, n1>w1 n2, n3>n1 n2, w1>n1 n2");
    for paths in mesh.nodes.values_mut() {
        paths.set_masters([1, 2].into(), [].into());
    }
    mesh.run(Span::from_secs(1));
    assert_eq!(mesh.relayed(), "n1>w1 n2, w1>n1 n2");
    for paths in mesh.nodes.values_mut() {
        paths.set_masters([].into(), [2].into());
    }
    mesh.run(Span::from_secs(1));
    assert_eq!(mesh.relayed(), "", "n2 was removed, and n3 has no link to n1");
}

#[test]
fn thousands_of_workers_are_told_of_once() {
    let names: Vec<String> = (1..=300).map(|number| format!("w{number}")).collect();
    let mut mesh = Mesh::new(&format!("n1 n2 n3 {}", names.join(" ")));
    let n1 = mesh.nodes.get_mut(&node("n1")).expect("n1");
    let mut lists = 0;
    for _ in 0..100 {
        mesh.now = Span(mesh.now.0 + 50_000);
        let pings = n1.look(mesh.now).pings;
        lists += pings.iter().filter(|(_, content)| matches!(content, Content::Workers { .. })).count();
    }
    assert_eq!(lists, 0, "both masters know the list, and nothing has changed");
}
