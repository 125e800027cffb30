//! Stat, as replies carry it, and StatPersisted, as snapshots carry it.

use zkserver::jute::{Reader, Writer};
use zkserver::proto::stat::{NodeOwner, OwnerEncoding};
use zkserver::proto::{StatPersisted, Zxid};

use crate::common::{Message, Stat, golden, hex};

#[test]
fn a_stat_has_the_fields_that_were_stored() {
    let session = golden::session("client/session-A-all-ops.txt");
    let line = session.iter().find(|line| line.note == "exists reply").expect("the line");
    let Message::Reply(reply) = Message::read(line.body()) else { panic!("a reply") };
    let stat = reply.stat();
    assert_eq!(
        stat,
        Stat {
            czxid: Zxid(8),
            mzxid: Zxid(8),
            ctime: 0x1a1_ff80_64cd,
            mtime: 0x1a1_ff80_64cd,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0x100_0017_a6e6_0000,
            data_length: 2,
            num_children: 0,
            pzxid: Zxid(8),
        }
    );
    let mut out = Vec::new();
    stat.write(&mut out);
    assert_eq!(out, reply.body);
}

/// Every node of every snapshot: the fields that are known to be in it, and the same bytes again.
#[test]
fn the_nodes_of_every_snapshot_decode_and_encode_again() {
    let mut tried = 0;
    for dir in ["standalone-3.8.0", "standalone-3.9", "legacy-no-digest-3.8.0"] {
        let expected = golden::json(&format!("{dir}/expected-snapshots.json"));
        for (name, snapshot) in expected.as_object().unwrap() {
            let bytes = golden::bytes(&format!("{dir}/version-2/{name}"));
            let start = snapshot["off_nodes"].as_u64().unwrap() as usize;
            let end = snapshot["off_end_of_nodes"].as_u64().unwrap() as usize;
            let mut r = Reader::unlimited(&bytes[start..end]);
            let mut out = Vec::new();
            loop {
                let path = r.required_ustring().unwrap();
                out.put_ustring(path);
                if path == b"/" {
                    break;
                }
                let data = r.buffer().unwrap();
                let acl = r.long().unwrap();
                let stat = StatPersisted::read(&mut r).unwrap();
                out.put_buffer(data);
                out.put_long(acl);
                stat.write(&mut out);
                let node = &snapshot["nodes"][std::str::from_utf8(path).unwrap()];
                assert_eq!(data.map(hex::encode).as_deref(), node["data"].as_str());
                assert_eq!(acl, node["acl"].as_i64().unwrap());
                let field = |key: &str| node["stat"][key].as_i64().unwrap();
                assert_eq!(stat.czxid.to_long(), field("czxid"));
                assert_eq!(stat.mzxid.to_long(), field("mzxid"));
                assert_eq!(stat.ctime, field("ctime"));
                assert_eq!(stat.mtime, field("mtime"));
                assert_eq!(stat.version as i64, field("version"));
                assert_eq!(stat.cversion as i64, field("cversion"));
                assert_eq!(stat.aversion as i64, field("aversion"));
                assert_eq!(stat.ephemeral_owner, field("ephemeralOwner"));
                assert_eq!(stat.pzxid.to_long(), field("pzxid"));
                tried += 1;
            }
            assert_eq!(r.remaining(), 0, "{dir}/{name}");
            assert_eq!(out, bytes[start..end], "{dir}/{name}");
        }
    }
    assert!(tried > 60, "{tried}");
}

/// The sum of the nodes' digests is the digest that Apache ZooKeeper stored beside them.
#[test]
fn node_digests_add_up_to_the_snapshots_digest() {
    for (dir, name) in [("standalone-3.8.0", "snapshot.40"), ("standalone-3.9", "snapshot.41")] {
        let expected = golden::json(&format!("{dir}/expected-snapshots.json"));
        let snapshot = &expected[name];
        assert_eq!(snapshot["digest_matches"], true);
        let bytes = golden::bytes(&format!("{dir}/version-2/{name}"));
        let start = snapshot["off_nodes"].as_u64().unwrap() as usize;
        let mut r = Reader::unlimited(&bytes[start..]);
        let mut sum = 0u64;
        loop {
            let path = r.required_ustring().unwrap();
            if path == b"/" {
                break;
            }
            let data = r.buffer().unwrap().unwrap_or_default();
            r.long().unwrap();
            let stat = StatPersisted::read(&mut r).unwrap();
            if !path.starts_with(b"/zookeeper/") {
                sum = sum.wrapping_add(u64::from(stat.digest(path, data)));
            }
        }
        assert_eq!(sum, snapshot["digest"]["digest"].as_u64().unwrap(), "{dir}/{name}");
    }
}

#[test]
fn owners_of_the_captured_nodes_are_what_they_were_created_as() {
    let on = OwnerEncoding { extended_types: true, emulate_353_ttl: false };
    let expected = golden::json("standalone-3.8.0/expected-snapshots.json");
    let owner = |path: &str| {
        let node = &expected["snapshot.40"]["nodes"][path]["stat"]["ephemeralOwner"];
        on.decode(node.as_i64().unwrap())
    };
    assert_eq!(owner("/app"), NodeOwner::None);
    assert_eq!(owner("/app/eph"), NodeOwner::Session(0x100_0017_a6e6_0000));
    assert_eq!(owner("/app/ttl"), NodeOwner::Ttl(86_400_000));
    assert_eq!(owner("/app/ttlseq-0000000009"), NodeOwner::Ttl(3_600_000));
    assert_eq!(owner("/m/cont"), NodeOwner::Container);
}
