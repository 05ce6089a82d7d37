//! Identities as they should be, and in every way in which they should not.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Instant;

use hortator_core::id::Name;
use hortator_core::time::{Span, Timestamp};
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use super::*;
use crate::env::SystemClock;
use hortator_actors::seam::Clock;

const CLUSTER: [u8; 16] = [7; 16];
const DAY: u64 = 24 * 60 * 60;

fn now() -> Timestamp {
    SystemClock.wall()
}

fn before(days: u64) -> Timestamp {
    Timestamp(now().0 - (days * DAY * 1_000_000) as i64)
}

fn master(id: u64) -> NodeRole {
    NodeRole::Master(id)
}

fn worker(name: &str) -> NodeRole {
    NodeRole::Worker(Name::new(name).unwrap())
}

fn identity(ca: &Ca, role: NodeRole, at: Timestamp) -> Identity {
    let key = NodeKey::create();
    let certificate_pem = ca.sign(&key.csr(), &role, &["127.0.0.1:7".into()], at).unwrap();
    let facts = ClusterFacts { cluster: ca.cluster(), name: "prod".into(), generation: 1, shards: 4 };
    Identity { facts, role, authority_pem: ca.certificate_pem().into(), certificate_pem, key }
}

fn tls(ca: &Ca, role: NodeRole) -> TlsIdentity {
    TlsIdentity::new(&identity(ca, role, now())).unwrap()
}

#[test]
fn an_authority_is_read_as_it_was_written_and_signs_on() {
    let ca = Ca::create(CLUSTER, now());
    let again = Ca::from_pem(ca.certificate_pem(), &ca.key_pem()).unwrap();
    assert_eq!((again.cluster(), again.fingerprint()), (CLUSTER, ca.fingerprint()));
    assert!(ca.fingerprint().len() == 64);
    let addresses = ["10.0.0.1:7001", "m1.example.org:7001", "[::1]:7001", "10.0.0.1:7002", "fe80::1", "M1"];
    let addresses = addresses.map(String::from);
    let pem = again.sign(&NodeKey::create().csr(), &master(3), &addresses, now()).unwrap();
    let certified = Certified::from_pem(&pem).unwrap();
    assert_eq!(certified.name.to_string(), "hortator://07070707070707070707070707070707/master/3");
    assert_eq!(certified.addresses, ["10.0.0.1", "m1.example.org", "::1", "fe80::1", "m1"]);
    assert!(!format!("{again:?} {:?}", NodeKey::create()).contains("PRIVATE"));
}

#[test]
fn authorities_that_are_none_are_refused() {
    let (ca, other) = (Ca::create(CLUSTER, now()), Ca::create(CLUSTER, now()));
    let node = identity(&ca, master(1), now());
    let torn = |pem: &str| pem[..pem.len() / 2].to_owned();
    let (pem, key) = (ca.certificate_pem().to_owned(), ca.key_pem());
    let check = |pem: &str, key: &str, sentence: &str| {
        let error = Ca::from_pem(pem, key).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    };
    check("", &key, "there is no certificate in it, or it is cut off");
    check(&torn(&pem), &key, "there is no certificate in it, or it is cut off");
    check(&pem, &torn(&key), "the authority's key cannot be read");
    check(&pem, &other.key_pem(), "does not belong to its certificate");
    check(&node.certificate_pem, &node.key.pem(), "a node's, not an authority's");
    check(&key, &pem, "no certificate");
}

#[test]
fn requests_that_are_none_are_refused() {
    let ca = Ca::create(CLUSTER, now());
    let csr = NodeKey::create().csr();
    let none: [&str; 0] = [];
    let check = |csr: &str, addresses: &[&str], sentence: &str| {
        let addresses: Vec<String> = addresses.iter().map(|&text| text.into()).collect();
        let error = ca.sign(csr, &master(1), &addresses, now()).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    };
    check("", &none, "cannot be read");
    check(&csr[..csr.len() - 40], &none, "cannot be read");
    check(&swapped(&csr), &none, "cannot be read, or is not signed by its own key");
    check(&"A".repeat(CSR_BYTES_MAX + 1), &none, "at most");
    for address in
        ["", "a b", "host:port", "host:99999", "-x", "a..b", "[::1", "[::1]x", "é", &"a".repeat(300)]
    {
        check(&csr, &[address], "is neither an IP address nor a DNS name");
    }
    check(&csr, &["h"; 33], "at most 32 are taken");
}

/// The text with one character in the middle replaced by another of the alphabet.
fn swapped(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn renewal_is_due_in_the_last_third() {
    let ca = Ca::create(CLUSTER, now());
    let node = identity(&ca, worker("w1"), now());
    let old = node.certified().unwrap();
    for (days, due, expired) in
        [(0, false, false), (700, false, false), (740, true, false), (1096, true, true)]
    {
        let at = now().plus(Span::from_secs(days * DAY));
        assert_eq!((old.needs_renewal(at), old.expired(at)), (due, expired), "after {days} days");
    }
    let later = now().plus(Span::from_secs(800 * DAY));
    let renewed =
        Certified::from_pem(&ca.renew(&old, &node.key.csr(), &old.addresses, later).unwrap()).unwrap();
    assert_eq!((&renewed.name, &renewed.addresses), (&old.name, &old.addresses));
    assert!(!renewed.needs_renewal(later));
    assert_eq!(ca.renew(&old, &NodeKey::create().csr(), &[], later), Err(SignError::OtherKey));
}

#[test]
fn node_names_have_one_spelling() {
    for good in ["master/1", "master/18446744073709551615", "worker/w-1", "api"] {
        assert_eq!(good.parse::<NodeRole>().unwrap().to_string(), good);
    }
    for bad in
        ["", "master", "master/", "master/0", "master/01", "master/+1", "worker/", "worker/W", "api/1", "x/1"]
    {
        assert!(bad.parse::<NodeRole>().is_err(), "{bad:?}");
    }
    let good = NodeName { cluster: CLUSTER, role: worker("w") }.to_string();
    assert!(good.parse::<NodeName>().is_ok());
    for bad in
        [good.replace("07", "0A"), good.replacen("07", "", 1), good.replace("hortator", "http"), good + "/x"]
    {
        assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
    }
}

fn join_token() -> JoinToken {
    JoinToken {
        cluster: CLUSTER,
        ca_fingerprint: [1; 32],
        id: "jt-4".into(),
        secret: random_bytes(),
        seeds: vec!["m1.example.org:8910".into(), "10.0.0.2:8910".into()],
    }
}

#[test]
fn tokens_tell_what_is_wrong_with_them() {
    let (join, api) = (join_token(), ApiToken::create());
    assert_eq!(join.to_string().parse::<JoinToken>().as_ref(), Ok(&join));
    assert_eq!(format!(" {}\n", api.text()).parse::<ApiToken>().as_ref(), Ok(&api));
    assert_eq!(api.hash(), hash(api.text()));
    assert!(!format!("{join:?} {api:?}").contains(&api.text()[5..]));
    let text = join.to_string();
    let join_error = |text: &str| text.parse::<JoinToken>().unwrap_err();
    assert_eq!(join_error(api.text()), TokenError::ApiTokenInstead);
    assert_eq!(join_error(&text.replace("hjt1_", "hjt2_")), TokenError::Later);
    assert_eq!(join_error("secret"), TokenError::NotAJoinToken);
    assert_eq!(join_error(""), TokenError::NotAJoinToken);
    assert_eq!(join_error("hjt1_"), TokenError::Damaged);
    assert_eq!(join_error(&format!("hjt1_{}", "A".repeat(1 << 20))), TokenError::Damaged);
    assert_eq!(text.parse::<ApiToken>(), Err(TokenError::NotAnApiToken));
    assert!(join_error(&swapped(&text)).to_string().contains("a character of it was changed or lost"));
}

proptest! {
    #[test]
    fn a_flipped_character_is_noticed(place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
        for text in [join_token().to_string(), ApiToken::create().text().to_owned()] {
            let place = place.index(text.len());
            let mut damaged = text.clone();
            damaged.replace_range(place..=place, &to);
            if damaged != text {
                prop_assert!(damaged.parse::<JoinToken>().is_err() && damaged.parse::<ApiToken>().is_err());
            }
            prop_assert!(text[..place].parse::<JoinToken>().is_err());
        }
    }

    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..600), text in ".{0,200}") {
        prop_assert!(Certified::from_der(&bytes).is_err());
        prop_assert!(Certified::from_pem(&text).is_err());
        prop_assert!(text.parse::<JoinToken>().is_err() && text.parse::<NodeName>().is_err());
        prop_assert!(NodeKey::from_pem(&text).is_err());
    }
}

#[test]
fn an_identity_is_read_as_it_was_written_by_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("n3");
    let ca = Ca::create(CLUSTER, now());
    let mut written = identity(&ca, master(3), before(800));
    written.write(&at).unwrap();
    let read = Identity::read(&at).unwrap();
    assert_eq!((&read.facts, &read.role), (&written.facts, &written.role));
    for file in fs::read_dir(&at).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let old = written.certified().unwrap();
    let renewed = ca.renew(&old, &written.key.csr(), &["moved.example.org:1".into()], now()).unwrap();
    written.replace_certificate(&at, renewed).unwrap();
    assert!(Identity::read(&at).unwrap().certified().unwrap().valid_until > old.valid_until);
    let other = identity(&ca, master(3), now()).certificate_pem;
    assert!(matches!(written.replace_certificate(&at, other), Err(IdentityError::OtherKey)));
    Identity::read(&at).unwrap();
}

#[test]
fn an_identity_of_odd_parts_says_what_to_do() {
    let ca = Ca::create(CLUSTER, now());
    let other = identity(&Ca::create(CLUSTER, now()), master(3), now());
    let worker = identity(&ca, worker("w"), now());
    type Change<'a> = &'a dyn Fn(&std::path::Path);
    let check = |change: Change<'_>, sentence: &str| {
        let directory = tempfile::tempdir().unwrap();
        identity(&ca, master(3), now()).write(directory.path()).unwrap();
        change(directory.path());
        let error = Identity::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    };
    let put = |path: std::path::PathBuf, text: &str| fs::write(path, text).unwrap();
    check(&|d| fs::remove_file(d.join("identity.toml")).unwrap(), "has not joined a cluster");
    check(&|d| fs::remove_file(d.join("node.key")).unwrap(), "node.key is missing beside");
    check(&|d| put(d.join("identity.toml"), "node = "), "identity.toml is damaged");
    check(&|d| put(d.join("identity.toml"), ""), "identity.toml is damaged: missing field");
    check(&|d| put(d.join("node.key"), "x"), "node.key is damaged");
    check(&|d| put(d.join("node.key"), &worker.key.pem()), "node.key does not belong to node.pem");
    check(&|d| put(d.join("node.pem"), "-----BEGIN CERTIFICATE-----\nMII"), "node.pem cannot be read");
    check(&|d| put(d.join("node.pem"), &worker.certificate_pem), "node.pem is another node's");
    check(&|d| put(d.join("ca.pem"), &other.authority_pem), "not signed by the authority");
    check(&|d| put(d.join("ca.pem"), "x"), "ca.pem is damaged");
}

/// Shakes hands in memory: what each side says in the end, and whom the server then sees.
fn shake(server: ServerConfig, client: ClientConfig) -> Result<Option<String>, (String, String)> {
    let name = ServerName::try_from("anything").unwrap();
    shake_as(&Arc::new(server), &Arc::new(client), name).map(|(_, node)| node)
}

type Shaken = (HandshakeKind, Option<String>);

fn shake_as(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Shaken, (String, String)> {
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let (mut client_says, mut server_says) = (String::new(), String::new());
    let word = |error: rustls::Error| explain(&io::Error::other(error));
    for _ in 0..10 {
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        server.read_tls(&mut &there[..]).unwrap();
        there.clear();
        if server_says.is_empty() {
            server_says = server.process_new_packets().map_or_else(word, |_| String::new());
        }
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        client.read_tls(&mut &back[..]).unwrap();
        back.clear();
        if client_says.is_empty() {
            client_says = client.process_new_packets().map_or_else(word, |_| String::new());
        }
    }
    match client_says.is_empty() && server_says.is_empty() && !server.is_handshaking() {
        true => {
            let node = TlsIdentity::peer(server.peer_certificates(), now()).ok();
            Ok((server.handshake_kind().unwrap(), node.map(|node| node.to_string())))
        }
        false => Err((server_says, client_says)),
    }
}

fn listener(identity: &TlsIdentity, kind: PeerKind) -> ServerConfig {
    ServerConfig::clone(&identity.node_listener(kind))
}

fn dialler(identity: &TlsIdentity) -> ClientConfig {
    ClientConfig::clone(&identity.node_dialler())
}

#[test]
fn each_port_lets_in_its_role_and_believes_the_certificate() {
    let ca = Ca::create(CLUSTER, now());
    let (m, m2, w) = (tls(&ca, master(1)), tls(&ca, master(2)), tls(&ca, worker("w1")));
    let check = |server: &TlsIdentity, kind, client: &TlsIdentity, expected: Result<&str, &str>| match (
        shake(listener(server, kind), dialler(client)),
        expected,
    ) {
        (Ok(Some(node)), Ok(expected)) => assert_eq!(node, expected),
        (Err((server, client)), Err(sentence)) => {
            assert!(server.contains(sentence) || client.contains(sentence), "{server:?} {client:?}")
        }
        (other, expected) => panic!("{other:?}, and not {expected:?}"),
    };
    let at = |role, ca: &Ca, when| TlsIdentity::new(&identity(ca, role, when)).unwrap();
    check(&m, PeerKind::Masters, &m2, Ok(&m2.role().node().unwrap().to_string()));
    check(&m, PeerKind::Workers, &w, Ok(&w.role().node().unwrap().to_string()));
    check(&m, PeerKind::Masters, &w, Err("worker/w1, and only masters are let in here"));
    check(&m, PeerKind::Workers, &m2, Err("master/2, and only workers are let in here"));
    check(&w, PeerKind::Masters, &m, Err("its certificate is for another role"));
    check(&m, PeerKind::Masters, &at(NodeRole::Api, &ca, now()), Err("is for another role"));
    check(&at(NodeRole::Api, &ca, now()), PeerKind::Masters, &m, Err("and only masters are let in"));
    let (foreign, same_id) = (Ca::create([8; 16], now()), Ca::create(CLUSTER, now()));
    for other in [foreign, same_id] {
        check(&m, PeerKind::Masters, &at(master(2), &other, now()), Err("belongs to another cluster"));
    }
    check(&m, PeerKind::Masters, &at(master(2), &ca, before(NODE_DAYS + 1)), Err("has expired"));
    check(&at(master(2), &ca, before(NODE_DAYS + 1)), PeerKind::Masters, &m, Err("has expired"));
    let early = now().plus(Span::from_secs(3 * DAY));
    check(&m, PeerKind::Masters, &at(master(2), &ca, early), Err("not valid yet"));
}

#[test]
fn the_api_is_believed_by_authority_or_fingerprint() {
    let (ca, other) = (Ca::create(CLUSTER, now()), Ca::create(CLUSTER, now()));
    let (m, w) = (tls(&ca, master(1)), tls(&ca, worker("w1")));
    assert_eq!(shake(m.api_listener(), client_of_fingerprint(ca.fingerprint_bytes())), Ok(None));
    assert_eq!(shake(m.api_listener(), client_of_authority(ca.certificate_pem()).unwrap()), Ok(None));
    assert!(
        shake(m.api_listener(), w.api_dialler()).unwrap().unwrap().contains("w1"),
        "a node may say who it is"
    );
    let check = |server: ServerConfig, client: ClientConfig, sentence: &str| {
        let (_, says) = shake(server, client).unwrap_err();
        assert!(says.contains(sentence), "{says}");
    };
    check(m.api_listener(), client_of_fingerprint(other.fingerprint_bytes()), "of another cluster");
    check(m.api_listener(), client_of_authority(other.certificate_pem()).unwrap(), "another cluster");
    check(w.api_listener(), client_of_authority(ca.certificate_pem()).unwrap(), "another role");
    assert!(client_of_authority("no PEM").is_err());
    assert!(client_of_authority(&identity(&ca, master(1), now()).certificate_pem).is_err());
}

#[test]
fn sessions_are_resumed_with_the_same_node_port_and_certificate() {
    let ca = Ca::create(CLUSTER, now());
    let (m, m2, w) = (tls(&ca, master(1)), tls(&ca, master(2)), tls(&ca, worker("w1")));
    let (of_m, of_m2) = (m.node_listener(PeerKind::Workers), m2.node_listener(PeerKind::Workers));
    let dialler = w.node_dialler();
    let kind = |server: &Arc<ServerConfig>, port: u16| {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        let (kind, node) = shake_as(server, &dialler, w.session_name(address)).unwrap();
        assert_eq!(node.as_deref(), Some("w1"));
        kind
    };
    assert_eq!(kind(&of_m, 1), HandshakeKind::Full);
    for _ in 0..20 {
        assert_eq!(kind(&of_m, 1), HandshakeKind::Resumed);
    }
    assert_eq!(kind(&of_m, 2), HandshakeKind::Full, "another port may be another node");
    assert_ne!(kind(&of_m2, 1), HandshakeKind::Resumed, "it has other keys");
    assert_ne!(kind(&m.node_listener(PeerKind::Workers), 2), HandshakeKind::Resumed, "as after its restart");
    let later = identity(&ca, worker("w1"), now().plus(Span::from_secs(1)));
    let name = w.session_name(SocketAddr::from(([10, 0, 0, 1], 2)));
    let other = TlsIdentity::new(&later).unwrap();
    assert_ne!(
        other.session_name(SocketAddr::from(([10, 0, 0, 1], 2))),
        name,
        "a renewed certificate begins anew"
    );
}

/// A resumed session shows the certificate of its first handshake, and nobody checks that again.
#[test]
fn an_expired_certificate_is_nobodys() {
    let ca = Ca::create(CLUSTER, now());
    let certificate = |at| super::certified::der(&identity(&ca, worker("w1"), at).certificate_pem).unwrap();
    let (good, old) = ([certificate(now())], [certificate(before(NODE_DAYS + 1))]);
    assert!(TlsIdentity::peer(Some(&good), now()).is_ok());
    assert_eq!(TlsIdentity::peer(Some(&old), now()), Err(PeerError::Expired));
    assert_eq!(TlsIdentity::peer(None, now()), Err(PeerError::Nameless));
}

/// Both sides of a handshake on one core, for the record.
#[test]
fn handshakes_a_second() {
    const COUNT: u32 = 500;
    let ca = Ca::create(CLUSTER, now());
    let (m, w) = (tls(&ca, master(1)), tls(&ca, worker("w1")));
    let (listener, dialler) = (m.node_listener(PeerKind::Workers), w.node_dialler());
    for (what, kind, ports) in
        [("full", HandshakeKind::Full, u16::MAX), ("resumed", HandshakeKind::Resumed, 1)]
    {
        // The first has nothing to resume.
        shake_as(&listener, &dialler, w.session_name(SocketAddr::from(([10, 0, 0, 1], 0)))).unwrap();
        let (begun, cpu) = (Instant::now(), cpu_time());
        for number in 1..=COUNT {
            let address = SocketAddr::from(([10, 0, 0, 1], number as u16 % ports));
            assert_eq!(shake_as(&listener, &dialler, w.session_name(address)).unwrap().0, kind);
        }
        let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), cpu_time() - cpu);
        let (rate, each) = (f64::from(COUNT) / elapsed, cpu * 1e6 / f64::from(COUNT));
        println!("{what}: {rate:.0} handshakes a second, {each:.0} µs of processor each for both sides");
    }
}

/// Of this thread, in seconds.
fn cpu_time() -> f64 {
    let line = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn nobody_without_a_certificate_and_no_old_tls() {
    let ca = Ca::create(CLUSTER, now());
    let m = tls(&ca, master(1));
    let bare = client_of_authority(ca.certificate_pem()).unwrap();
    let (server, client) = shake(listener(&m, PeerKind::Masters), bare).unwrap_err();
    assert_eq!(server, "it shows no certificate");
    assert_eq!(client, "it wants a certificate, and none was shown");
    let config = format!("{:?}", listener(&m, PeerKind::Workers));
    assert!(config.contains("TLSv1_3") && !config.contains("TLSv1_2"), "{config}");
}

#[test]
fn a_renewed_certificate_is_shown_at_once() {
    let ca = Ca::create(CLUSTER, now());
    let old = identity(&ca, master(1), before(NODE_DAYS + 1));
    let own = TlsIdentity::new(&old).unwrap();
    let peer = tls(&ca, master(2));
    assert!(shake(listener(&peer, PeerKind::Masters), dialler(&own)).is_err());
    own.replace(&ca.renew(&own.certified(), &old.key.csr(), &[], now()).unwrap()).unwrap();
    assert!(shake(listener(&peer, PeerKind::Masters), dialler(&own)).is_ok());
    assert!(own.replace(&identity(&ca, master(2), now()).certificate_pem).is_err());
    assert!(own.replace(&identity(&ca, master(1), now()).certificate_pem).is_err());
    assert!(own.replace("torn").is_err());
}
