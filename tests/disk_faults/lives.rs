//! One case: lives of a server's disk side on one disk, and what they may not lose.

use std::path::PathBuf;
use std::sync::Arc;

use zkserver::jute::Writer;
use zkserver::persistence::snapshot::{Compression, SnapshotOptions, write_snapshot};
use zkserver::persistence::txn_log::ZeroFill;
use zkserver::persistence::{
    DataDir, DataDirOptions, Disk, DiskRequest, RestoreOptions, Restored, SyncQueue,
    SyncQueueOptions, restore,
};
use zkserver::proto::acl::write_acl_vector;
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::txns::{
    CreateKind, CreateTxn, DIGEST_VERSION, Txn, TxnDigest, TxnHeader, TxnRecord, write_multi_part,
};
use zkserver::proto::{Acl, SessionId, Ticket, Zxid, perms};
use zkserver::tree::{Database, SharedDatabase, TreeOptions};

use crate::disk::{Fault, FaultDisk};
use crate::random::Random;

const TREE: TreeOptions = TreeOptions {
    owners: OwnerEncoding { extended_types: true, emulate_353_ttl: false },
    digest_enabled: true,
    hash_seed: 7,
};
const MAX_RECORD: usize = 1 << 20;
const SESSIONS: u64 = 3;

/// Whether the last start may be refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peace {
    MustServe,
    MayRefuse,
}

/// All that can be told of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    digest: u64,
    nodes: usize,
    sessions: Vec<(i64, i32)>,
}

impl State {
    fn of(database: &Database) -> Self {
        let mut sessions: Vec<_> = database.sessions().map(|(id, ms)| (id.0, ms)).collect();
        sessions.sort();
        State { digest: database.tree.digest(), nodes: database.tree.node_count(), sessions }
    }
}

pub struct Case {
    pub random: Random,
    disk: FaultDisk,
    directories: DataDirOptions,
    queue: SyncQueueOptions,
    /// The states of the history, by zxid.
    history: Vec<State>,
    /// The last transaction that anybody was told of.
    acknowledged: u64,
    acl: Vec<u8>,
    tell: bool,
}

impl Case {
    pub fn new(seed: u64, tell: bool) -> Self {
        let mut random = Random::new(seed);
        let disk = FaultDisk::new(Random::new(random.next()), random.below(2) * 2_000_000_000);
        let data_log_dir = (random.below(3) == 0).then(|| PathBuf::from("/log"));
        let queue = SyncQueueOptions {
            pre_alloc_kb: [0, 2, 8, 16, 64][random.below(5) as usize],
            txn_log_size_limit_kb: [-1, -1, 8][random.below(3) as usize],
            ..SyncQueueOptions::default()
        };
        let mut acl = Vec::new();
        write_acl_vector(&[Acl::new(perms::ALL, b"world", b"anyone")], &mut acl);
        Case {
            random,
            disk,
            directories: DataDirOptions {
                data_dir: "/data".into(),
                data_log_dir,
                autocreate: true,
            },
            queue,
            history: vec![State::of(&Database::new(TREE))],
            acknowledged: 0,
            acl,
            tell,
        }
    }

    fn say(&self, line: impl FnOnce() -> String) {
        if self.tell {
            println!("{}", line());
        }
    }

    /// A life that ends with the fault, or at some time; answers whether the fault hit.
    pub fn life(&mut self, fault: Option<Fault>) -> bool {
        self.say(|| format!("a life with {fault:?}"));
        self.disk.plan(fault);
        let ended = self.live();
        let hit = self.disk.has_hit();
        let power_cut = self.random.below(3) == 0;
        self.say(|| format!("ended with {ended:?}, hit {hit}, power cut {power_cut}"));
        if let Err(sentence) = &ended {
            assert!(hit, "without a fault nothing fails: {sentence}");
            assert!(sentence.len() > 10, "it fails in words: {sentence:?}");
        }
        self.disk.plan(None);
        self.disk.restart(power_cut);
        hit
    }

    /// The disk works; answers whether the server does.
    pub fn peace(&mut self, peace: Peace) -> bool {
        self.disk.plan(None);
        for round in 0..2 {
            let before = self.finished_files();
            match self.start() {
                Ok((_dir, restored)) => {
                    assert_eq!(restored.digest_mismatches, 0, "digests fit");
                    assert!(round == 0 || restored.torn.is_none(), "torn twice");
                }
                Err(sentence) => {
                    assert!(peace == Peace::MayRefuse, "refused: {sentence}");
                    assert!(sentence.contains('/'), "it names a file: {sentence}");
                    self.say(|| format!("refused: {sentence}"));
                    assert_eq!(before, self.finished_files(), "nothing was changed");
                    return false;
                }
            }
        }
        // And it goes on from there.
        self.live().expect("a working disk");
        let (_dir, restored) = self.start().expect("a working disk");
        assert_eq!(restored.database.last_processed().0, self.acknowledged);
        true
    }

    /// What has the name of a file that is kept.
    fn finished_files(&self) -> Vec<PathBuf> {
        let is_kept = |file: &PathBuf| !file.to_string_lossy().contains("/tmp.");
        self.disk.files().into_iter().filter(is_kept).collect()
    }

    pub fn flip_a_bit(&mut self) {
        let flipped = self.disk.flip_a_bit();
        self.say(|| format!("flipped {flipped:?}"));
    }

    /// Opens and restores, and holds what was restored against the history. What is served now
    /// counts as told: clients read it.
    fn start(&mut self) -> Result<(DataDir, Restored), String> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let dir = DataDir::open(disk, &self.directories).map_err(|e| e.to_string())?;
        let options = RestoreOptions {
            tree: TREE,
            max_record: MAX_RECORD,
            db_autocreate: true,
            snapshot_trust_empty: false,
            force_sync: true,
        };
        let restored = restore(&dir, &options).map_err(|e| e.to_string())?;
        let reached = restored.database.last_processed().0;
        let told = self.acknowledged;
        self.say(|| format!("restored to {reached}, told {told}, torn {:?}", restored.torn));
        assert!(reached >= told, "it goes back to {reached}, but clients were told of {told}");
        let expected = self.history.get(reached as usize);
        assert_eq!(Some(&State::of(&restored.database)), expected, "the state at {reached}");
        Ok((dir, restored))
    }

    fn live(&mut self) -> Result<(), String> {
        let (dir, restored) = self.start()?;
        let needs_snapshot = restored.needs_snapshot();
        let reached = restored.database.last_processed();
        // A second reading of the same files is what the transactions are prepared on.
        let (same, ahead) = self.start()?;
        drop(same);
        let mut ahead = ahead.database;
        assert_eq!(ahead.last_processed(), reached);
        let served = SharedDatabase::new(restored.database);
        if needs_snapshot {
            self.snapshot(&dir, &served)?;
        }
        self.acknowledged = reached.0;
        self.history.truncate(reached.0 as usize + 1);

        // Fills are done at once, or never: there may be no thread.
        let fills = self.random.below(4) > 0;
        let filler = Box::new(move |job: ZeroFill| if fills { job.run() } else { drop(job) });
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock = Arc::new(self.disk.clone());
        let log_dir = dir.log_dir().to_owned();
        let mut queue = SyncQueue::new(disk, log_dir, reached, self.queue, clock, filler);
        let mut ticket = 0;
        for _ in 0..self.random.below(25) {
            let mut batch = Vec::new();
            let mut records = Vec::new();
            let mut snapshot = false;
            for _ in 0..1 + self.random.below(6) {
                let bytes = self.transaction(&mut ahead);
                ticket += 1;
                let zxid = ahead.last_processed();
                batch.push(DiskRequest::Append {
                    ticket: Ticket(ticket),
                    zxid,
                    bytes: bytes.clone().into(),
                });
                records.push(bytes);
                if self.random.below(30) == 0 {
                    batch.push(DiskRequest::Roll);
                    snapshot = true;
                }
            }
            let report = match queue.process(&mut batch) {
                Ok(report) => report,
                Err(error) => {
                    let again = queue.process(&mut Vec::new());
                    assert!(again.is_err(), "a failure is final");
                    return Err(error.to_string());
                }
            };
            assert_eq!(report.ticket, Ticket(ticket));
            assert_eq!(report.slow_sync, report.sync_nanos > 1_000_000_000, "slow syncs are told");
            self.acknowledged = ahead.last_processed().0;
            for bytes in records {
                let record = TxnRecord::read(&bytes, MAX_RECORD).expect("a transaction");
                served.write().apply(&record, &mut ());
            }
            if snapshot {
                self.snapshot(&dir, &served)?;
            }
        }
        if self.random.below(3) == 0 {
            queue.close().map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn snapshot(&mut self, dir: &DataDir, served: &SharedDatabase) -> Result<(), String> {
        let kinds = [Compression::None, Compression::None, Compression::Gzip, Compression::Snappy];
        let compression = kinds[self.random.below(4) as usize];
        let sections = SnapshotOptions { digest: true, last_zxid: true, compression };
        let capture = served.begin_snapshot();
        let written =
            write_snapshot(&self.disk, dir.snapshot_dir(), served, capture, sections, |_| ());
        written.map(drop).map_err(|e| e.to_string())
    }

    /// The next transaction: applied to `ahead`, remembered in the history, and encoded.
    fn transaction(&mut self, ahead: &mut Database) -> Vec<u8> {
        let zxid = ahead.last_processed().next();
        let session = SessionId(1 + self.random.below(SESSIONS) as i64);
        let path = format!("/n{}", self.random.below(40)).into_bytes();
        let size = match self.random.below(40) {
            0 => 20_000 + self.random.below(30_000),
            1..8 => self.random.below(3_000),
            _ => self.random.below(60),
        };
        // Compressible and not, zeros too: sectors of zeros are what torn records are known by.
        let fill = [0, 1, 0x42][self.random.below(3) as usize];
        let mut data = vec![fill; size as usize];
        if self.random.below(2) == 0 {
            data.iter_mut().for_each(|byte| *byte = self.random.next() as u8);
        }
        let exists = ahead.tree.node(&path).is_some();
        let acl = self.acl.clone();
        let create = |path| {
            Txn::Create(CreateTxn {
                path,
                data: Some(&data),
                acl: &acl,
                parent_cversion: zxid.0 as i32,
                kind: CreateKind::Plain { ephemeral: false, with_stat: false },
            })
        };
        let mut body = Vec::new();
        let txn_type = match self.random.below(12) {
            0 => {
                Txn::CreateSession { timeout_ms: 4_000 }.write(&mut body);
                -10
            }
            1 => {
                body.put_int(0);
                -11
            }
            2 => {
                Txn::Error { err: -101 }.write(&mut body);
                -1
            }
            3 => {
                let other = format!("/m{}", zxid.0).into_bytes();
                body.put_int(2);
                write_multi_part(1, &create(&other), &mut body);
                write_multi_part(2, &Txn::Delete { path: &other }, &mut body);
                14
            }
            4..6 if exists => {
                Txn::Delete { path: &path }.write(&mut body);
                2
            }
            _ if exists => {
                let version = zxid.0 as i32;
                Txn::SetData { path: &path, data: Some(&data), version }.write(&mut body);
                5
            }
            _ => {
                create(&path).write(&mut body);
                1
            }
        };
        let header =
            TxnHeader { client_id: session, cxid: 0, zxid, time: zxid.to_long(), txn_type };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        bytes.append(&mut body);
        let record = TxnRecord::read(&bytes, MAX_RECORD).expect("a transaction");
        ahead.apply(&record, &mut ());
        assert_eq!(ahead.last_processed(), Zxid(self.history.len() as u64));
        self.history.push(State::of(ahead));
        let digest = TxnDigest { version: DIGEST_VERSION, tree_digest: ahead.tree.digest() };
        digest.write(&mut bytes);
        bytes
    }
}
