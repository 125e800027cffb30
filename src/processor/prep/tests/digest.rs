//! Whatever is asked, in whatever order, and however far apply lags: what prep foretells comes true.
//!
//! [`Leader::apply_next`] compares the digests; here requests are drawn from a seed.

use super::*;
use crate::processor::testing::*;
use crate::proto::stat::StatPersisted;
use OpCode::*;

const PATHS: [&str; 12] = [
    "/",
    "/a",
    "/b",
    "/a/x",
    "/a/y",
    "/b/x",
    "/a/x/1",
    "/a/x/2",
    "/s-0000000000",
    "/zookeeper/mine",
    "/zookeeper/quota/a",
    "/zookeeper/mine/x",
];

struct Story {
    leader: Leader,
    dice: Dice,
    sessions: Vec<i64>,
}

impl Story {
    fn new(seed: u64) -> Self {
        Story { leader: Leader::new(), dice: Dice(seed), sessions: vec![1, 2] }
    }

    fn version(&mut self) -> i32 {
        *self.dice.one_of(&[-1, -1, -1, 0, 1])
    }

    fn create(&mut self) -> (OpCode, Vec<u8>) {
        let path = *self.dice.one_of(&PATHS);
        let path = if self.dice.below(4) == 0 { "/s-" } else { path };
        match self.dice.below(7) {
            4 => (CreateContainer, create(path, 4)),
            flags @ 5.. => {
                (CreateTtl, create_ttl(path, flags as i32, 1 + self.dice.below(9) as i64))
            }
            flags => (*self.dice.one_of(&[Create, Create2]), create(path, flags as i32)),
        }
    }

    fn part(&mut self) -> (OpCode, Vec<u8>) {
        let path = *self.dice.one_of(&PATHS);
        let version = self.version();
        match self.dice.below(8) {
            0..=3 => self.create(),
            4..=5 => (Delete, versioned(path, version)),
            6 => {
                let data = vec![b'd'; self.dice.below(20)];
                (SetData, set_data(path, &data, version))
            }
            _ => (Check, versioned(path, version)),
        }
    }

    fn ask(&mut self) {
        let session = *self.dice.one_of(&self.sessions);
        let path = *self.dice.one_of(&PATHS);
        let (op, body) = match self.dice.below(20) {
            0 => return self.close(session),
            1 => {
                (DeleteContainer, path.as_bytes()[..path.len() * usize::from(path != "/")].to_vec())
            }
            2..=3 => {
                let perms = *self.dice.one_of(&[31, 31, 31, 27]);
                (SetAcl, set_acl(path, &world(perms), self.version()))
            }
            4..=8 => {
                let parts: Vec<_> = (0..self.dice.below(5)).map(|_| self.part()).collect();
                (Multi, multi(&parts))
            }
            _ => match self.part() {
                (Check, _) => (SetData, set_data(path, b"", -1)),
                other => other,
            },
        };
        self.leader.prepare_for(session, op, body);
    }

    /// As the role does it; then another session comes.
    fn close(&mut self, session: i64) {
        self.leader.sessions.set_closing(SessionId(session));
        self.leader.prepare_for(session, CloseSession, vec![]);
        self.leader.sessions.remove(SessionId(session));
        let new = self.leader.sessions.create_id();
        self.leader.sessions.track(new, 10_000, self.leader.now);
        self.leader.prepare_for(new.0, CreateSession, 10_000_i32.to_be_bytes().to_vec());
        self.sessions.retain(|id| *id != session);
        self.sessions.push(new.0);
    }

    /// Every node as the next request will find it.
    fn foretold(&self) -> Vec<Option<(StatPersisted, usize, AclList)>> {
        let canonical = PATHS.iter().map(|path| path::canonical(path.as_bytes()));
        let nodes = canonical.map(|path| self.leader.prep.node(path, &self.leader.db));
        nodes.map(|node| node.map(|n| (n.stat, n.num_children, n.acl))).collect()
    }

    /// Applies some of what is outstanding, and reports some of that.
    fn apply(&mut self) {
        for _ in 0..self.dice.below(8) {
            let Some(zxid) = self.leader.apply_next() else { return };
            if self.dice.below(2) == 0 {
                self.leader.prep.retire(zxid);
            }
        }
    }
}

/// What the tree's nodes add up to, on foot.
fn digest_on_foot(tree: &crate::tree::DataTree) -> u64 {
    let mut sum = 0_u64;
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let node = tree.node(&path).expect("a child's path leads to it");
        if !path.starts_with(b"/zookeeper/") {
            let digest = node.persisted().digest(&path, node.data().unwrap_or_default());
            sum = sum.wrapping_add(digest.into());
        }
        waiting.extend(node.children().map(|name| [&path[..], b"/", name].concat()));
    }
    sum
}

#[test]
fn every_transaction_foretells_the_tree_it_makes() {
    let mut prepared = 0;
    for seed in 1..=40 {
        let mut story = Story::new(seed * 0x9e37_79b9);
        for _ in 0..150 {
            story.ask();
            if story.dice.below(3) == 0 {
                let foretold = story.foretold();
                story.apply();
                assert_eq!(story.foretold(), foretold, "seed {seed}: apply surprised prep");
            }
        }
        let foretold = story.foretold();
        prepared += story.leader.prep.last_zxid().0;
        while story.leader.apply_next().is_some() {}
        story.leader.prep.retire(story.leader.prep.last_zxid());
        assert_eq!(story.leader.prep.outstanding(), 0, "seed {seed}");
        assert_eq!(story.foretold(), foretold, "seed {seed}: the tree alone");
        let tree = &story.leader.db.tree;
        assert_eq!(tree.digest(), digest_on_foot(tree), "seed {seed}");
        assert_eq!(story.leader.db.digest_mismatches(), 0);
        for (owner, _) in tree.ephemeral_owners() {
            assert!(story.sessions.contains(&owner.0), "seed {seed}: an orphan of {owner}");
        }
    }
    assert!(prepared >= 6000, "the stories were long enough: {prepared}");
}

#[test]
fn without_digests_no_transaction_carries_one() {
    let mut leader = Leader::with(PrepOptions { digest_enabled: false, ..prep_options() });
    leader.given(Create, create("/a", 0));
    let txn = &leader.proposals[0].txn;
    assert_eq!(TxnRecord::read(txn, usize::MAX).unwrap().digest, None);
}
