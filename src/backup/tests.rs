//! What is saved is what the rows are, and nothing else is taken for a backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::MasterState;
use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskKey, TaskRunId, WorkerRef, WorkflowName};
use hortator_core::task_run::{Attempt, FenceAt, TaskPhase, TaskState};
use hortator_core::time::Timestamp;
use hortator_proto::frame::{LifeId, WorkerProfile};
use hortator_proto::row::{
    self, Admission, CaRow, ClusterRow, Expiry, MasterRow, TokenRow, TokenState, WorkerRow, key,
};
use hortator_raft::memory::MemoryBackend;
use hortator_raft::{Entropy, Group, GroupConfig, Position, Rows, Seed, Seeding, StoreBackend, Wake};
use proptest::prelude::*;

use super::contents::Counts;
use super::*;

struct Nothing;

impl Entropy for Nothing {
    fn next_u64(&mut self, _: &str) -> u64 {
        4
    }
}

impl Wake for Nothing {
    fn wake(&self) {}
}

const OLD: [u8; 16] = [1; 16];
const NEW: [u8; 16] = [2; 16];
const CUT: Position = Position { term: 3, index: 900 };
const WRITTEN: Position = Position { term: 2, index: 70 };
const SHARDS: u32 = 2;

type Table = BTreeMap<Bytes, Bytes>;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn cluster() -> ClusterRow {
    ClusterRow { id: OLD, shards: SHARDS, generation: 5, feature_level: 1, next_master: 4 }
}

fn config(cluster: [u8; 16], group: u32) -> GroupConfig {
    GroupConfig { disk_low_bytes: 0, ballast_bytes: 0, ..GroupConfig::new(group, 1, cluster, vec![1]) }
}

fn open(backend: &Arc<MemoryBackend>, cluster: [u8; 16], group: u32) -> (Group, Rows) {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let backend: Arc<dyn StoreBackend> = backend.clone();
    Group::open(config(cluster, group), backend, Box::new(Nothing), log, Arc::new(Nothing)).unwrap()
}

/// A store with these rows in its groups.
fn store(tables: &BTreeMap<u32, Table>) -> Arc<MemoryBackend> {
    let backend = Arc::new(MemoryBackend::new());
    for (group, table) in tables {
        let seed = Seed { position: CUT, epoch: 8 };
        let mut seeding = Seeding::begin(config(OLD, *group), &*backend, &mut Nothing, seed).unwrap();
        seeding.put(table.iter().map(|(key, value)| (key, value, WRITTEN))).unwrap();
        seeding.finish(&*backend).unwrap();
    }
    backend
}

/// The file of a backup of these rows.
fn saved(tables: &BTreeMap<u32, Table>) -> (tempfile::TempDir, PathBuf) {
    let backend = store(tables);
    let groups = (1..=SHARDS).chain([0]);
    let opened: Vec<_> = groups.map(|group| (group, open(&backend, OLD, group))).collect();
    let views = opened.iter().map(|(group, (_, rows))| (*group, rows.read().unwrap())).collect();
    let mut saving = Saving::new("prod", views, Timestamp(7)).unwrap();
    let mut bytes = Vec::new();
    while let Some(frame) = saving.step().unwrap() {
        bytes.extend_from_slice(&frame);
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("b");
    std::fs::write(&path, bytes).unwrap();
    (home, path)
}

/// What is in the file.
fn rows_of(path: &Path) -> BTreeMap<u32, Table> {
    let mut tables: BTreeMap<u32, Table> = BTreeMap::new();
    read_backup(path, |part| {
        if let Part::Rows { group, rows } = part {
            for row in rows {
                assert_eq!(row.written, WRITTEN);
                let value = Bytes::copy_from_slice(row.value);
                tables.entry(group).or_default().insert(Bytes::copy_from_slice(row.key), value);
            }
        }
        Ok::<(), BackupError>(())
    })
    .unwrap();
    tables
}

fn run(number: u8) -> RunId {
    RunId::new(1_000 + u64::from(number), 1, u128::from(number))
}

/// A key of a shard, and as what it counts: its place in `counted`.
fn shard_key() -> impl Strategy<Value = (usize, Bytes)> {
    let workflow = |n: u8| WorkflowName { namespace: name("ns"), name: name(&format!("w{n}")) };
    let task_run = |n: u8| TaskRunId { run: run(n / 8), key: TaskKey { task: u32::from(n), item: 0 } };
    (0..KINDS, 0..40u8).prop_map(move |(kind, n)| {
        let key = match kind {
            0 => key::workflow(&workflow(n)),
            1 => key::version(&workflow(n), 3),
            2 => key::run(run(n)),
            3 => key::history(run(n), 9),
            4 => key::task_run(task_run(n)),
            5 => key::attempt(AttemptId { task_run: task_run(n), attempt: 2 }),
            6 => key::start_key(&workflow(n), &format!("key {n}")),
            7 => key::source_chunk(&workflow(n), 1, 0),
            _ => Bytes::from(format!("?{n}")),
        };
        (kind, key)
    })
}

const KINDS: usize = 9;

/// Kinds 7 and 8 are both others; the membership group has one row of its own among them.
fn counted(counts: &Counts) -> [u64; KINDS - 1] {
    let Counts { workflows, versions, runs_finished, history, task_runs, earlier_attempts, .. } = *counts;
    [
        workflows,
        versions,
        runs_finished,
        history,
        task_runs,
        earlier_attempts,
        counts.start_keys,
        counts.other - 1,
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    // Some that fill more than a page together.
    prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Bytes::from),
        1 => (0..300_000usize).prop_map(|length| Bytes::from(vec![7; length])),
    ]
}

fn membership() -> Table {
    let token = Bytes::from_static(b"secret");
    Table::from([
        (key::cluster(), cluster().encode()),
        (key::worker(&name("w1")), worker(6).encode()),
        (key::token(&name("ci")), token.clone()),
        (key::join_token("x"), token.clone()),
        (key::authority(), token),
    ])
}

fn worker(incarnation: u64) -> WorkerRow {
    let profile = WorkerProfile {
        groups: vec![name("default")],
        slots: 2,
        kinds: Vec::new(),
        zone: None,
        labels: BTreeMap::new(),
        version: "1".into(),
        host: "h".into(),
        ..WorkerProfile::default()
    };
    WorkerRow {
        name: name("w1"),
        incarnation,
        life: LifeId { number: 1, nonce: 1 },
        profile,
        registered_at: Timestamp(1),
        lost_through: 2,
        spooled: vec![(AttemptId { task_run: dispatched().0, attempt: 1 }, fence())],
        admission: Admission::Open,
    }
}

fn fence() -> Fence {
    Fence { generation: 5, shard: 1, term: WRITTEN.term, index: WRITTEN.index }
}

/// A task run that is with life 6 of w1, with its fence in its place only.
fn dispatched() -> (TaskRunId, TaskState) {
    let key = TaskKey { task: 0, item: 0 };
    let attempt = Attempt {
        share: Default::default(),
        number: 1,
        worker: WorkerRef { name: name("w1"), incarnation: 6 },
        ready_at: Timestamp(10),
        dispatched_at: Timestamp(20),
        fence: FenceAt::ThisRow,
    };
    let state = TaskState {
        key,
        round: 0,
        attempts: 1,
        tries: 0,
        losses: 0,
        last: None,
        phase: TaskPhase::Dispatched(attempt),
    };
    (TaskRunId { run: run(1), key }, state)
}

fn tables(shard_1: Table) -> BTreeMap<u32, Table> {
    BTreeMap::from([(0, membership()), (1, shard_1), (2, Table::new())])
}

fn busy_shard() -> Table {
    let (id, state) = dispatched();
    Table::from([(key::task_run(id), row::encode_task(&state)), (key::run(run(1)), Bytes::from_static(b"r"))])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn inspecting_what_was_saved_agrees_with_the_rows(
        rows in prop::collection::btree_map(shard_key(), value(), 0..60),
    ) {
        let shard: Table = rows.iter().map(|((_, key), value)| (key.clone(), value.clone())).collect();
        let (_home, path) = saved(&tables(shard.clone()));
        let contents = inspect(&path).unwrap();
        let mut model = [0; KINDS - 1];
        rows.keys().for_each(|(kind, _)| model[(*kind).min(KINDS - 2)] += 1);
        prop_assert_eq!(counted(&contents.counts), model);
        prop_assert_eq!((contents.counts.workers, contents.counts.runs_live), (1, 0));
        let found: Vec<(u32, u64, u64)> =
            contents.contents.iter().map(|group| (group.group, group.rows, group.bytes)).collect();
        let size = |table: &Table| table.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        let kept: Table = membership().into_iter().filter(|(key, _)| !key::opens_doors(key)).collect();
        prop_assert_eq!(found, [(1, shard.len() as u64, size(&shard)), (2, 0, 0), (0, 2, size(&kept))]);
        let read = rows_of(&path);
        prop_assert_eq!(read.get(&1).cloned().unwrap_or_default(), shard);
        prop_assert_eq!(&read[&0], &kept);
        prop_assert_eq!(contents.header.groups[0], GroupCut { group: 1, term: 3, index: 900, epoch: 8 });
    }
}

fn refused(bytes: &[u8]) -> BackupError {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("b");
    std::fs::write(&path, bytes).unwrap();
    inspect(&path).expect_err("it is not what was saved")
}

#[test]
fn what_is_not_a_whole_backup_is_refused_with_its_reason() {
    let (_home, path) = saved(&tables(busy_shard()));
    let good = std::fs::read(&path).unwrap();
    let frames = frames(&good);
    let cat = |parts: &[&[u8]]| parts.concat();
    let (begin, rest) = good.split_at(20);
    for (what, bytes, reason) in [
        ("nothing", Vec::new(), "is no backup"),
        ("a word", b"hello".to_vec(), "is no backup"),
        ("another file", vec![b'x'; 4_000], "is no backup"),
        ("a later format", cat(&[&good[..16], &2u32.to_le_bytes(), rest]), "has format 2"),
        ("only the beginning", begin.to_vec(), "ends at byte 20"),
        ("no end", cat(&[begin, &frames[..frames.len() - 1].concat()]), "in the middle"),
        ("a byte less", good[..good.len() - 1].to_vec(), "in the middle"),
        ("a byte more", cat(&[&good, b"x"]), "something follows the end"),
        ("twice", cat(&[&good, &good]), "something follows the end"),
        (
            "without a group's end",
            cat(&[begin, frames[0], frames[1], &frames[3..].concat()]),
            "group 1 has 2 rows, and group 2",
        ),
        ("without its rows", cat(&[begin, frames[0], &frames[2..].concat()]), "group 1 has 0 rows"),
        ("rows twice", cat(&[begin, frames[0], frames[1], &frames[1..].concat()]), "group 1 has 4 rows"),
        ("no header", cat(&[begin, &frames[1..].concat()]), "Rows stands where Header belongs"),
        ("the end first", cat(&[begin, frames[0], frames[frames.len() - 1]]), "End stands inside a group"),
        ("another header", cat(&[begin, &other_header(), &frames[1..].concat()]), "SHA-256 is"),
    ] {
        let error = refused(&bytes).to_string();
        assert!(error.contains(reason), "{what}: {error}");
    }
    assert!(inspect(&path).is_ok());
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = refused(&flipped);
        let cut = matches!(error, BackupError::CutShort { .. } | BackupError::Io { .. });
        assert!(!cut, "byte {at} was flipped, nothing is missing: {error}");
    }
}

/// The frames of a good file, the first is the header.
fn frames(good: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (Vec::new(), &good[20..]);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (frame, left) = rest.split_at(9 + length + 4);
        frames.push(frame);
        rest = left;
    }
    frames
}

/// As somebody would change it who knows how frames are made.
fn other_header() -> Vec<u8> {
    let cut = |group| GroupCut { group, term: 3, index: 900, epoch: 8 };
    let header = Header {
        cluster: "00".into(),
        name: "other".into(),
        generation: 5,
        shards: SHARDS,
        feature_level: 1,
        taken_at: Timestamp(7),
        version: "0".into(),
        groups: vec![cut(1), cut(2), cut(0)],
    };
    let mut out = Vec::new();
    super::format::json_frame(super::format::Kind::Header, &mut out, &header);
    out
}

fn new_cluster() -> NewCluster {
    let master = MasterRow {
        id: 1,
        name: name("n1"),
        peer: "p:1".into(),
        worker: "w:1".into(),
        api: "a:1".into(),
        state: MasterState::Member,
        added_at: Timestamp(9),
    };
    let admin = TokenRow {
        name: name("admin"),
        hash: SecretHash([7; 32]),
        role: Role::Admin,
        created_at: Timestamp(9),
        expires: Expiry::Never,
        state: TokenState::Valid,
    };
    let authority = CaRow { certificate: "new".into(), key: "new".into() };
    NewCluster { id: NEW, generation: 6, master, authority, admin }
}

#[test]
fn a_planted_cluster_goes_on_with_the_rows_and_without_the_old_nodes() {
    let (_home, path) = saved(&tables(busy_shard()));
    let backend = Arc::new(MemoryBackend::new());
    plant(&path, &new_cluster(), &*backend, &mut Nothing).unwrap();
    let (_group, rows) = open(&backend, NEW, 0);
    let get = |key: &[u8]| rows.get(key).unwrap().map(|row| row.value);
    let cluster = ClusterRow::decode(&get(&key::cluster()).unwrap()).unwrap();
    let expected = ClusterRow { id: NEW, shards: SHARDS, generation: 6, feature_level: 1, next_master: 2 };
    assert_eq!(cluster, expected);
    let lost = WorkerRow::decode(&get(&key::worker(&name("w1"))).unwrap()).unwrap();
    assert_eq!(lost, WorkerRow { lost_through: 6, spooled: Vec::new(), ..worker(6) });
    assert_eq!(get(&key::token(&name("ci"))), None, "only the new admin comes in");
    assert_eq!(get(&key::join_token("x")), None);
    assert_eq!(get(&key::authority()), Some(new_cluster().authority.encode()));
    assert!(get(&key::token(&name("admin"))).is_some() && get(&key::master(1)).is_some());

    let (_group, rows) = open(&backend, NEW, 1);
    assert_eq!(rows.applied(), CUT.index, "positions go on, so that histories do");
    let (id, state) = dispatched();
    let stored = rows.get(&key::task_run(id)).unwrap().unwrap();
    let mut known = state;
    known.resolve_fence(fence());
    assert_eq!(
        row::decode_task(&stored.value).unwrap(),
        known,
        "of the generation in which it was dispatched"
    );
    assert_eq!(&rows.get(&key::run(run(1))).unwrap().unwrap().value[..], b"r");
}

#[test]
fn what_does_not_fit_together_is_not_planted() {
    let worker_of = |row: Option<WorkerRow>| {
        let mut tables = tables(busy_shard());
        let membership = tables.get_mut(&0).unwrap();
        membership.remove(&key::worker(&name("w1")));
        membership.extend(row.map(|row| (key::worker(&name("w1")), row.encode())));
        tables
    };
    let mut later = tables(busy_shard());
    later.get_mut(&0).unwrap().insert(key::cluster(), ClusterRow { feature_level: 99, ..cluster() }.encode());
    let mut garbled = tables(busy_shard());
    garbled.get_mut(&1).unwrap().insert(key::task_run(dispatched().0), Bytes::from_static(&[9, 9]));
    for (what, tables, reason) in [
        ("a worker without a row", worker_of(None), "with w1, which has no row"),
        ("a life its row does not know", worker_of(Some(worker(5))), "life 6 of w1, whose row knows 5"),
        ("a later feature level", later, "feature level 99"),
        ("a row of no sense", garbled, "cannot be understood"),
    ] {
        let (_home, path) = saved(&tables);
        let backend = Arc::new(MemoryBackend::new());
        let error = plant(&path, &new_cluster(), &*backend, &mut Nothing).unwrap_err().to_string();
        assert!(error.contains(reason), "{what}: {error}");
        for group in 0..=SHARDS {
            assert!(
                !backend.exists(&format!("group-{group}.redb")).unwrap(),
                "{what}: group {group} is there"
            );
        }
    }
}
