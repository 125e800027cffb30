//! A member's directories on a disk that fails, with a history whose every state is known.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use zkserver::persistence::snapshot::{
    Compression, SnapshotOptions, SnapshotSpool, SnapshotStream, write_snapshot,
};
use zkserver::persistence::txn_log::ZeroFill;
use zkserver::persistence::{
    DataDir, DataDirOptions, Disk, DiskRequest, MemberFiles, MemberRestoreOptions, MemberRestored,
    RestoreOptions, SyncQueue, SyncQueueOptions, restore_member,
};
use zkserver::proto::acl::write_acl_vector;
use zkserver::proto::membership::{LearnerType, QuorumServer, ServerAddress};
use zkserver::proto::stat::OwnerEncoding;
use zkserver::proto::txns::{
    CreateKind, CreateTxn, DIGEST_VERSION, Txn, TxnDigest, TxnHeader, TxnRecord,
};
use zkserver::proto::{Acl, Epoch, LinkId, QuorumVerifier, SessionId, Sid, Ticket, Zxid, perms};
use zkserver::tree::{Database, SharedDatabase, TreeOptions};

use crate::disk::FaultDisk;
use crate::random::Random;

const TREE: TreeOptions = TreeOptions {
    owners: OwnerEncoding { extended_types: true, emulate_353_ttl: false },
    digest_enabled: true,
    hash_seed: 7,
};
const MAX_RECORD: usize = 1 << 20;
const SECTIONS: SnapshotOptions =
    SnapshotOptions { digest: true, last_zxid: true, compression: Compression::None };
const OPTIONS: MemberRestoreOptions = MemberRestoreOptions {
    restore: RestoreOptions {
        tree: TREE,
        max_record: MAX_RECORD,
        db_autocreate: true,
        snapshot_trust_empty: false,
        force_sync: true,
    },
    snapshot: SECTIONS,
    commit_log_count: 500,
};

/// How a scenario ended.
pub struct Outcome {
    /// Whether what was asked for was reported as durable.
    pub reported: bool,
}

pub struct Home {
    pub disk: FaultDisk,
    directories: DataDirOptions,
    dir: Option<Arc<DataDir>>,
    /// The digests of all states that there can be.
    states: BTreeMap<Zxid, u64>,
    /// The history, to be replayed.
    txns: Vec<(Zxid, Vec<u8>)>,
    last: Zxid,
    forked_end: Zxid,
    random: Random,
}

impl Home {
    /// A member in epoch 1 with `txns` transactions, `per_file` in each log, and snapshots behind
    /// those of these numbers; 0 is the empty tree.
    pub fn new(seed: u64, txns: u64, per_file: u64, snapshots: &[u64]) -> Home {
        let mut random = Random::new(seed);
        let disk = FaultDisk::new(Random::new(random.next()), 0);
        let data_log_dir = (seed / 1000 % 2 == 1).then(|| PathBuf::from("/log"));
        let directories =
            DataDirOptions { data_dir: "/data".into(), data_log_dir, autocreate: true };
        let mut home = Home {
            disk,
            directories,
            dir: None,
            states: BTreeMap::new(),
            txns: Vec::new(),
            last: Zxid::ZERO,
            forked_end: Zxid::ZERO,
            random,
        };
        let empty = home.restart();
        let served = SharedDatabase::new(empty.history.database);
        let empty_digest = served.read().tree.digest();
        home.states.insert(Zxid::ZERO, empty_digest);
        home.states.insert(Epoch(1).start(), empty_digest);
        let mut queue = home.queue(Zxid::ZERO);
        let mut batch = vec![
            DiskRequest::AcceptedEpoch { ticket: Ticket(1), epoch: Epoch(1) },
            DiskRequest::CurrentEpoch { ticket: Ticket(2), epoch: Epoch(1) },
        ];
        queue.process(&mut batch).expect("a working disk");
        for number in 1..=txns {
            let zxid = Zxid((1 << 32) + number);
            let bytes = transaction(&mut served.write(), zxid, 1);
            let ticket = Ticket(2 + number);
            let mut batch = vec![DiskRequest::Append { ticket, zxid, bytes: bytes.clone().into() }];
            if number.is_multiple_of(per_file) {
                batch.push(DiskRequest::Roll);
            }
            queue.process(&mut batch).expect("a working disk");
            home.states.insert(zxid, served.read().tree.digest());
            home.txns.push((zxid, bytes));
            home.last = zxid;
            if snapshots.contains(&number) {
                let dir = home.dir().snapshot_dir().to_owned();
                let capture = served.begin_snapshot();
                write_snapshot(&home.disk, &dir, &served, capture, SECTIONS, |_| ())
                    .expect("a working disk");
            }
        }
        home
    }

    pub fn dir(&self) -> Arc<DataDir> {
        self.dir.clone().expect("it is open")
    }

    pub fn last(&self) -> (Zxid, u64) {
        self.state_at(self.last)
    }

    pub fn state_at(&self, zxid: Zxid) -> (Zxid, u64) {
        let digest = *self.states.get(&zxid).unwrap_or_else(|| panic!("a state at {zxid}"));
        // The start of an epoch is no transaction.
        (if zxid.counter() == 0 { Zxid::ZERO } else { zxid }, digest)
    }

    pub fn forked_end(&self) -> Zxid {
        self.forked_end
    }

    pub fn files(&self) -> Vec<String> {
        self.disk.files().iter().map(|path| path.display().to_string()).collect()
    }

    pub fn remove_snapshot(&self, name: &str) {
        let dir = self.dir();
        if self.disk.remove(&dir.snapshot_dir().join(name)).is_ok() {
            self.disk.sync_dir(dir.snapshot_dir()).expect("a working disk");
        }
    }

    /// Changes a byte of the record with that number in a log, durably.
    pub fn rot(&mut self, log: &str, record: usize) {
        let path = self.dir().log_dir().join(log);
        let file = self.disk.open_for_write(&path).expect("the log");
        let bytes = self.disk.read(&path).expect("the log");
        let mut at = 16;
        for _ in 0..record {
            let length = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
            at += length as usize + 13;
        }
        file.write_all_at(at as u64 + 50, &[!bytes[at + 50], !bytes[at + 51]]).expect("a write");
        file.sync_all().expect("a working disk");
    }

    /// A queue behind `last`.
    pub fn queue(&self, last: Zxid) -> SyncQueue {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let options = SyncQueueOptions { pre_alloc_kb: 2, ..SyncQueueOptions::default() };
        let (dir, clock) = (self.dir(), Arc::new(self.disk.clone()));
        let log_dir = dir.log_dir().to_owned();
        SyncQueue::new(disk, log_dir, last, options, clock, Box::new(ZeroFill::run))
            .with_member_files(MemberFiles {
                dir,
                config: Some("/conf/zoo.cfg".into()),
                first_snapshot: None,
            })
    }

    /// Carries the batch out; answers whether all of it was reported.
    pub fn process(&mut self, mut batch: Vec<DiskRequest>) -> bool {
        let mut queue = self.queue(self.last);
        match queue.process(&mut batch) {
            Ok(_) => true,
            Err(error) => {
                assert!(self.disk.has_hit(), "without a fault nothing fails: {error}");
                assert!(queue.process(&mut Vec::new()).is_err(), "a failure is final");
                false
            }
        }
    }

    /// Receives a leader's tree, in pieces of any size; answers whether it is complete and durable.
    pub fn spool(&mut self, link: LinkId, leader: &Leader) -> bool {
        let dir = self.dir().snapshot_dir().to_owned();
        let receive = || -> Result<(), String> {
            let mut spool = SnapshotSpool::new(&self.disk, &dir, link, TREE, MAX_RECORD)
                .map_err(|e| e.to_string())?;
            let mut rest = &leader.stream[..];
            while !spool.is_complete() {
                let n = (1 + self.random.below(400) as usize).min(rest.len());
                let taken = spool.take(&rest[..n]).map_err(|e| e.to_string())?;
                assert!(taken == n || spool.is_complete());
                rest = &rest[taken..];
            }
            assert_eq!(rest, b"what follows", "the stream's end is found");
            spool.finish().map_err(|e| e.to_string())
        };
        let mut receive = receive;
        match receive() {
            Ok(()) => true,
            Err(error) => {
                assert!(self.disk.has_hit(), "without a fault nothing fails: {error}");
                false
            }
        }
    }

    /// Restarts on a working disk.
    pub fn restart(&mut self) -> MemberRestored {
        self.try_restart().expect("it starts")
    }

    pub fn try_restart(&mut self) -> Result<MemberRestored, String> {
        self.dir = None;
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let dir = DataDir::open(disk, &self.directories).map_err(|e| e.to_string())?;
        let restored = restore_member(&dir, &OPTIONS, &mut |_| ());
        self.dir = Some(Arc::new(dir));
        restored.map_err(|e| e.to_string())
    }

    /// A state that is none of the history's.
    pub fn know(&mut self, zxid: Zxid, digest: u64) {
        self.states.insert(zxid, digest);
    }

    /// Requests that append other transactions behind `to` than the history's: of a later epoch.
    /// Tickets from 3 on.
    pub fn fork(&mut self, to: Zxid, count: u64) -> Vec<DiskRequest> {
        let database = self.database_at(to);
        self.forked_end = Zxid((4 << 32) + count);
        self.branch(database, count)
    }

    /// Requests that append transactions of a later epoch behind a leader's tree. Tickets from 3 on.
    pub fn fork_of(&mut self, leader: &Leader, count: u64) -> Vec<DiskRequest> {
        self.branch(Leader::database(leader.txns, leader.zxid), count)
    }

    fn branch(&mut self, mut database: Database, count: u64) -> Vec<DiskRequest> {
        let mut requests = Vec::new();
        for number in 1..=count {
            let zxid = Zxid((4 << 32) + number);
            let bytes = transaction(&mut database, zxid, 4);
            self.states.insert(zxid, database.tree.digest());
            let ticket = Ticket(2 + number);
            requests.push(DiskRequest::Append { ticket, zxid, bytes: bytes.into() });
        }
        requests
    }

    fn database_at(&self, zxid: Zxid) -> Database {
        let mut database = Database::new(TREE);
        for (_, bytes) in self.txns.iter().filter(|(at, _)| *at <= zxid) {
            database.apply(&TxnRecord::read(bytes, MAX_RECORD).expect("a transaction"), &mut ());
        }
        database
    }

    /// Appends to what was found, and restarts: that is found, and nothing else.
    pub fn go_on(&mut self, found: MemberRestored, epoch: u64) {
        let last = found.history.last_zxid;
        let mut database = found.history.database;
        let mut queue = self.queue(last);
        let mut zxids: Vec<Zxid> = Vec::new();
        for number in 1..=4 {
            // Some behind the last one of its epoch, under zxids that may have been cut; then more.
            let zxid = if number <= 2 && last.counter() > 0 {
                Zxid(last.0 + number)
            } else {
                Zxid(
                    (epoch << 32)
                        + zxids.iter().filter(|z| z.epoch().0 == epoch as u32).count() as u64
                        + 1,
                )
            };
            let bytes = transaction(&mut database, zxid, epoch);
            let request = DiskRequest::Append { ticket: Ticket(number), zxid, bytes: bytes.into() };
            queue.process(&mut vec![request]).expect("a working disk");
            zxids.push(zxid);
        }
        drop(queue);
        self.disk.restart(true);
        let again = self.restart();
        assert_eq!(again.history.last_zxid, *zxids.last().expect("four"));
        assert_eq!(again.history.database.tree.digest(), database.tree.digest());
        assert_eq!(again.history.report.digest_mismatches, 0);
    }
}

/// Another server's tree, as it sends it.
pub struct Leader {
    pub zxid: Zxid,
    pub digest: u64,
    /// Of the tree, and some bytes behind it.
    pub stream: Vec<u8>,
    txns: u64,
}

impl Leader {
    /// The tree behind `txns` transactions, the last of which is `last`.
    pub fn new(txns: u64, last: u64) -> Leader {
        let database = Leader::database(txns, Zxid(last));
        let digest = database.tree.digest();
        let shared = SharedDatabase::new(database);
        let mut stream = SnapshotStream::new(shared.begin_snapshot());
        let mut bytes = Vec::new();
        while stream.next_piece(&shared, &mut bytes).expect("the tree stays") {}
        bytes.extend_from_slice(b"what follows");
        Leader { zxid: Zxid(last), digest, stream: bytes, txns }
    }

    fn database(txns: u64, last: Zxid) -> Database {
        let mut database = Database::new(TREE);
        for number in (0..txns).rev() {
            transaction(&mut database, Zxid(last.0 - number), 2);
        }
        database
    }
}

/// A configuration of `count` servers.
pub fn config(count: i64, version: i64) -> Arc<QuorumVerifier> {
    let server = |n: i64| QuorumServer {
        addresses: vec![ServerAddress {
            host: format!("host{n}"),
            quorum_port: 2888,
            election_port: 3888,
        }],
        learner_type: LearnerType::Participant,
        client: Some(("0.0.0.0".to_owned(), 2181)),
        secure_client: None,
    };
    let members = (1..=count).map(|n| (Sid(n), server(n))).collect();
    Arc::new(QuorumVerifier { members, version, hierarchy: None })
}

/// A transaction, applied and encoded: a node with that zxid's name, whose data tells the `branch`
/// of the history.
fn transaction(database: &mut Database, zxid: Zxid, branch: u64) -> Vec<u8> {
    let mut acl = Vec::new();
    write_acl_vector(&[Acl::new(perms::ALL, b"world", b"anyone")], &mut acl);
    let path = format!("/n{:x}", zxid.0).into_bytes();
    let data = format!("{branch} ").repeat(30 + zxid.counter() as usize % 7 * 40).into_bytes();
    let header = TxnHeader {
        client_id: SessionId(1),
        cxid: 0,
        zxid,
        time: zxid.counter().into(),
        txn_type: 1,
    };
    let txn = Txn::Create(CreateTxn {
        path: &path,
        data: Some(&data),
        acl: &acl,
        parent_cversion: database.tree.node_count() as i32,
        kind: CreateKind::Plain { ephemeral: false, with_stat: false },
    });
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    txn.write(&mut bytes);
    database.apply(&TxnRecord::read(&bytes, MAX_RECORD).expect("a transaction"), &mut ());
    let digest = TxnDigest { version: DIGEST_VERSION, tree_digest: database.tree.digest() };
    digest.write(&mut bytes);
    bytes
}
