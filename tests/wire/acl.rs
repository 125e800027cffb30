//! ACL vectors: from requests, from replies, from the lists in snapshots.

use zkserver::jute::Reader;
use zkserver::proto::Acl;
use zkserver::proto::OpCode;
use zkserver::proto::acl::{raw_acl_vector, read_acl_vector, write_acl_vector};
use zkserver::proto::requests::{CreateRequest, SetAclRequest};

use crate::common::golden;

fn line(note: &str) -> Vec<u8> {
    let session = golden::session("client/session-A-all-ops.txt");
    session.into_iter().find(|line| line.note == note).expect("the line").body().to_vec()
}

fn bob() -> Acl {
    Acl::new(31, b"digest", b"bob:ikIaKsbtGweaHnb/jKn7OHqbunM=")
}

#[test]
fn a_mixed_list_decodes_and_encodes_again() {
    let frame = line("create with mixed ACL request");
    let create = CreateRequest::read(OpCode::Create, &mut Reader::unlimited(&frame[8..])).unwrap();
    let list = read_acl_vector(&mut Reader::unlimited(create.acl)).unwrap().expect("not null");
    assert_eq!(
        list,
        [
            Acl::new(1, b"world", b"anyone"),
            bob(),
            Acl::new(12, b"ip", b"127.0.0.1"),
            Acl::new(16, b"ip", b"10.0.0.0/8"),
        ]
    );
    let mut out = Vec::new();
    write_acl_vector(&list, &mut out);
    assert_eq!(out, create.acl);
}

#[test]
fn an_empty_id_is_not_null() {
    let frame = line("create with auth ACL request");
    let create = CreateRequest::read(OpCode::Create, &mut Reader::unlimited(&frame[8..])).unwrap();
    let list = read_acl_vector(&mut Reader::unlimited(create.acl)).unwrap().expect("not null");
    assert_eq!(list, [Acl::new(31, b"auth", b"")]);
    assert_eq!(list[0].id.as_deref(), Some(&b""[..]));
}

#[test]
fn the_raw_vector_ends_where_the_next_field_begins() {
    let frame = line("setACL request");
    let set = SetAclRequest::read(&mut Reader::unlimited(&frame[8..])).unwrap();
    assert_eq!(set.version, 0);
    let mut out = Vec::new();
    let list = [Acl::new(31, b"world", b"anyone"), Acl { perms: 1, ..bob() }];
    write_acl_vector(&list, &mut out);
    assert_eq!(set.acl, out);
}

#[test]
fn a_get_acl_reply_holds_the_expanded_list() {
    let frame = line("getACL reply");
    let mut r = Reader::unlimited(&frame[16..]);
    let list = read_acl_vector(&mut r).unwrap().expect("not null");
    assert_eq!(list, [Acl::new(31, b"digest", b"alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=")]);
    assert_eq!(r.remaining(), 68, "the stat");
}

#[test]
fn the_lists_of_every_snapshot_decode_and_encode_again() {
    let mut tried = 0;
    for dir in ["standalone-3.8.0", "standalone-3.9", "legacy-no-digest-3.8.0"] {
        let expected = golden::json(&format!("{dir}/expected-snapshots.json"));
        for (name, snapshot) in expected.as_object().unwrap() {
            let bytes = golden::bytes(&format!("{dir}/version-2/{name}"));
            let mut r = Reader::unlimited(&bytes[snapshot["off_acl"].as_u64().unwrap() as usize..]);
            let count = r.int().unwrap();
            assert_eq!(count as usize, snapshot["acls"].as_object().unwrap().len());
            for _ in 0..count {
                let index = r.long().unwrap();
                let raw = raw_acl_vector(&mut r).unwrap();
                let list = read_acl_vector(&mut Reader::unlimited(raw)).unwrap().unwrap();
                let mut out = Vec::new();
                write_acl_vector(&list, &mut out);
                assert_eq!(out, raw);
                let wanted = snapshot["acls"][index.to_string()].as_array().unwrap();
                let wanted: Vec<Acl> = wanted.iter().map(super::txns::acl_of).collect();
                assert_eq!(list, wanted, "{dir}/{name} list {index}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 10, "{tried}");
}
