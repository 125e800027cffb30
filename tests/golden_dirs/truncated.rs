//! Logs that were cut by TRUNC: a file that ends right behind a record, without zeros, and the
//! next one beside it.

use std::path::Path;

use zkserver::jute::Writer;
use zkserver::persistence::txn_log::record::{self, FILE_HEADER};

use crate::common::{RawClient, Setup, TestServer, bodies, golden, op};
use crate::whole::{assert_digests_matched, setup};

/// What a client reads of a node.
type Seen = (String, Option<Vec<u8>>, zkserver::proto::Stat);

/// Every node below `path`, parents first.
fn read_all(client: &mut RawClient, path: &str, into: &mut Vec<Seen>) {
    let (data, stat) = client.get_data(path, false).ok().data();
    into.push((path.to_owned(), data, stat));
    for name in client.get_children(path, false).ok().children() {
        read_all(client, &format!("{}/{name}", path.trim_end_matches('/')), into);
    }
}

fn served(setup: Setup) -> (TestServer, Vec<Seen>) {
    let server = setup.start();
    let mut client = RawClient::new(&server);
    let mut nodes = Vec::new();
    read_all(&mut client, "/", &mut nodes);
    (server, nodes)
}

/// C-262: a member of an ensemble of 3.8.0 that had logged two transactions too many: TRUNC cut
/// `log.100000009`, and what came then is in `log.10000000e`. It has the tree of the member that
/// never had to cut anything.
#[test]
fn a_log_that_trunc_cut_is_followed_by_the_next_one() {
    let cut = golden::path("quorum-3.8.0/server3/version-2/log.100000009");
    let records = golden::json("quorum-3.8.0/server3/expected-txns.json");
    let end = records["log.100000009"]["endOfRecords"].as_u64();
    assert_eq!(std::fs::metadata(cut).expect("the log").len(), end.expect("a number"));
    let whole = setup("quorum-3.8.0/server1/version-2", &[]);
    std::fs::remove_file(whole.version_dir().join("snapshot.10000001e")).expect("the snapshot");
    let cut = setup("quorum-3.8.0/server3/version-2", &[]);
    // The snapshot that was taken behind the cut would hide the log that was cut.
    std::fs::remove_file(cut.version_dir().join("snapshot.10000000d")).expect("the snapshot");
    let ((whole, expected), (cut, found)) = (served(whole), served(cut));
    assert_eq!(found, expected);
    assert!(expected.len() > 5);
    for server in [whole, cut] {
        assert_digests_matched(&server);
    }
}

/// Where the record with this zxid begins in a golden log.
fn offset(log: &str, zxid: u64) -> u64 {
    let golden = golden::json("standalone-3.9/expected-txns.json");
    let records = golden[log]["records"].as_array().expect("records");
    let record = records.iter().find(|record| record["header"]["zxid"].as_u64() == Some(zxid));
    record.expect("a record")["offset"].as_u64().expect("a number")
}

/// A log of one setData of `/app`, as another leader had it at this zxid.
fn write_log(file: &Path, zxid: i64) {
    let mut txn = Vec::new();
    txn.put_long(0x100_002a_b59c_0000);
    txn.put_int(0);
    txn.put_long(zxid);
    txn.put_long(1_795_289_300_000);
    txn.put_int(op::SET_DATA);
    txn.extend_from_slice(&bodies::set_data("/app", Some(b"after the cut"), 77));
    let mut log = FILE_HEADER.to_vec();
    record::append(&txn, &mut log);
    std::fs::write(file, log).expect("the log");
}

/// C-262: what was cut off did not happen, also when the next file has other transactions under
/// the same zxids. The cut ones set and deleted nodes; so those must be as they were before.
#[test]
fn cut_transactions_give_way_to_those_of_the_next_log() {
    const FIRST_CUT: i64 = 60;
    let setup = setup("standalone-3.9/version-2", &[]);
    let file = |name: &str| setup.version_dir().join(name);
    for later in ["snapshot.41", "log.42"] {
        std::fs::remove_file(file(later)).expect("the file");
    }
    let log = std::fs::File::options().write(true).open(file("log.1")).expect("the log");
    log.set_len(offset("log.1", FIRST_CUT as u64)).expect("cut");
    write_log(&file("log.3c"), FIRST_CUT);
    let mut server = setup.start();
    for _ in 0..2 {
        assert_eq!(server.zxid(), FIRST_CUT);
        let mut client = RawClient::new(&server);
        let (data, stat) = client.get_data("/app", false).ok().data();
        assert_eq!(data.as_deref(), Some(&b"after the cut"[..]));
        assert_eq!((stat.mzxid.to_long(), stat.version), (FIRST_CUT, 77));
        assert_eq!((client.stat("/wr").version, client.stat("/wr").num_children), (0, 1));
        assert!(client.has("/wr/c") && client.has("/app/cont"));
        assert_digests_matched(&server);
        // Nothing but the client's session came since; it is cut off for the second start.
        server.kill();
        std::fs::remove_file(server.version_dir().join("log.3d")).expect("the new log");
        server.restart();
    }
}
