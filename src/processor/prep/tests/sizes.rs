//! What could not be read back gets no place in the order, whatever kind it is.

use super::*;
use crate::processor::testing::*;
use OpCode::*;

/// A leader of a tree with `/a`, whose readers take records of so many bytes.
fn leader(max_txn_bytes: usize) -> Leader {
    let options = PrepOptions { max_txn_bytes, ..prep_options() };
    let mut leader = Leader::with(options);
    leader.prep.options.max_txn_bytes = 1 << 20;
    leader.given(Create, create("/a", 0));
    leader.apply_all();
    leader.prep.options.max_txn_bytes = max_txn_bytes;
    leader
}

/// A path of three thousand bytes.
fn long() -> String {
    format!("/{}", "n".repeat(3000))
}

/// C-296: with the log's limit, which is that of every field of a snapshot, too: a path, data and a
/// list come into the tree by one transaction each.
#[test]
fn each_kind_of_transaction_fits_exactly_or_is_refused() {
    let acl = |count: usize| {
        let entry =
            crate::proto::Acl::new(31, b"digest", format!("{}:x", "u".repeat(900)).as_bytes());
        let mut raw = Vec::new();
        crate::proto::acl::write_acl_vector(&vec![entry; count], &mut raw);
        raw
    };
    let set_acl = {
        let mut body = Vec::new();
        crate::jute::Writer::put_ustring(&mut body, b"/a");
        // Entries that are the same become one, so that they must differ.
        let entries: Vec<_> = (0..4)
            .map(|n| {
                let id = format!("{n}{}:x", "u".repeat(900));
                crate::proto::Acl::new(31, b"digest", id.as_bytes())
            })
            .collect();
        crate::proto::acl::write_acl_vector(&entries, &mut body);
        crate::jute::Writer::put_int(&mut body, -1);
        body
    };
    let cases: Vec<(OpCode, Vec<u8>)> = vec![
        (Create, create(&long(), 0)),
        (Create2, create(&long(), SEQUENTIAL)),
        (Create, create_with("/listed", &acl(1), 0)),
        (CreateContainer, create(&long(), 4)),
        (CreateTtl, create_ttl(&long(), 5, 1000)),
        (SetData, set_data("/a", &[b'x'; 3000], -1)),
        (SetAcl, set_acl),
        (
            Multi,
            multi(&(0..50).map(|_| (SetData, set_data("/a", &[b'x'; 60], -1))).collect::<Vec<_>>()),
        ),
        // One that fails is a list of errors.
        (Multi, multi(&(0..500).map(|_| (Delete, versioned("/none", -1))).collect::<Vec<_>>())),
    ];
    for (op, body) in cases {
        let mut roomy = leader(1 << 20);
        let words = roomy.prepare(op, body.clone());
        assert!(!words.starts_with("error"), "{op:?}: {words}");
        let size = roomy.proposals.back().expect("prepared").txn.len();
        roomy.apply_all();
        assert!(size > 900, "{op:?}");

        let mut exact = leader(size);
        exact.given_or_partial(op, body.clone());
        let txn = &exact.proposals.back().expect("prepared").txn;
        assert!(TxnRecord::read(txn, size).is_ok(), "{op:?}: a reader with the same limit");
        exact.apply_all();

        let mut short = leader(size - 1);
        let before = short.db.tree.node_count();
        assert_eq!(short.code(1, op, body), ErrorCode::MarshallingError.code(), "{op:?}");
        short.apply_all();
        assert_eq!(short.db.tree.node_count(), before, "{op:?}: nothing of it is done");
    }
}

impl Leader {
    /// Prepares what must not be refused as a whole.
    fn given_or_partial(&mut self, op: OpCode, body: Vec<u8>) {
        let words = self.prepare(op, body);
        assert!(!words.starts_with("error"), "{op:?}: {words}");
    }
}

/// C-296: the list of a session's ephemerals is left out when it would be too long: the session must
/// end.
#[test]
fn the_end_of_a_session_always_fits() {
    let mut leader = Leader::new();
    for n in 0..50 {
        leader.given(Create, create(&format!("/{n}{}", "e".repeat(100)), EPHEMERAL));
    }
    leader.apply_all();
    leader.prep.options.max_txn_bytes = 1024;
    assert_eq!(leader.prepare(CloseSession, vec![]), "closeSession []");
    let txn = &leader.proposals.back().expect("prepared").txn;
    assert!(txn.len() <= 1024 && TxnRecord::read(txn, 1024).is_ok());
    leader.apply_all();
    assert_eq!(leader.db.tree.ephemerals_count(), 0);
}
