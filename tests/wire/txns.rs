//! Transactions: every record of every captured log, against the list of what is in it.

use serde_json::Value;
use zkserver::jute::Reader;
use zkserver::proto::acl::read_acl_vector;
use zkserver::proto::txns::{
    CreateKind, CreateTxn, Txn, TxnDigest, TxnHeader, TxnRecord, write_multi_part,
};
use zkserver::proto::{Acl, SessionId, Zxid};

use crate::common::{golden, hex};

const LOGS: [&str; 4] =
    ["standalone-3.8.0", "standalone-3.9", "legacy-3.4", "legacy-no-digest-3.8.0"];

/// An entry of an ACL list in the golden JSON.
pub fn acl_of(entry: &Value) -> Acl {
    let text = |i: usize| entry[i].as_str().unwrap().as_bytes();
    Acl::new(entry[0].as_i64().unwrap() as i32, text(1), text(2))
}

fn int(value: &Value) -> i32 {
    i32::try_from(value.as_i64().expect("a number")).expect("an int")
}

fn session_id(value: &Value) -> SessionId {
    let text = value.as_str().unwrap().strip_prefix("0x").expect("hex");
    SessionId(u64::from_str_radix(text, 16).unwrap() as i64)
}

fn header_of(json: &Value) -> TxnHeader {
    TxnHeader {
        client_id: session_id(&json["clientId"]),
        cxid: int(&json["cxid"]),
        zxid: Zxid(json["zxid"].as_u64().unwrap()),
        time: json["time"].as_i64().unwrap(),
        txn_type: int(&json["type"]),
    }
}

fn assert_acl(raw: &[u8], json: &Value) {
    let list = read_acl_vector(&mut Reader::unlimited(raw)).unwrap().expect("not null");
    let expected: Vec<Acl> = json.as_array().unwrap().iter().map(acl_of).collect();
    assert_eq!(list, expected);
}

fn assert_data(data: Option<&[u8]>, json: &Value) {
    assert_eq!(data.map(hex::encode).as_deref(), json.as_str());
}

fn assert_path(path: &[u8], json: &Value) {
    assert_eq!(std::str::from_utf8(path).unwrap(), json["path"].as_str().unwrap());
}

fn assert_create(create: &CreateTxn<'_>, name: &str, body: &Value) {
    assert_path(create.path, body);
    assert_data(create.data, &body["data"]);
    assert_acl(create.acl, &body["acl"]);
    assert_eq!(create.parent_cversion, int(&body["parentCVersion"]));
    let kind = match name {
        "create" | "create2" => CreateKind::Plain {
            ephemeral: body["ephemeral"].as_bool().unwrap(),
            with_stat: name == "create2",
        },
        "createContainer" => CreateKind::Container,
        "createTTL" => CreateKind::Ttl(body["ttl"].as_i64().unwrap()),
        other => panic!("{other} is no create"),
    };
    assert_eq!(create.kind, kind);
}

fn assert_txn(txn: &Txn<'_>, name: &str, body: &Value) {
    match txn {
        Txn::CreateSession { timeout_ms } => {
            assert_eq!((name, *timeout_ms), ("createSession", int(&body["timeOut"])));
        }
        Txn::CloseSession { paths } => {
            assert_eq!(name, "closeSession");
            let read: Option<Vec<&str>> =
                paths.map(|list| list.iter().map(|p| std::str::from_utf8(p).unwrap()).collect());
            let listed = body.get("paths2Delete").and_then(Value::as_array);
            let expected: Option<Vec<&str>> =
                listed.map(|list| list.iter().map(|path| path.as_str().unwrap()).collect());
            assert_eq!(read, expected);
        }
        Txn::Create(create) => assert_create(create, name, body),
        Txn::Delete { path } => {
            assert!(name == "delete" || name == "deleteContainer", "{name}");
            assert_path(path, body);
        }
        Txn::SetData { path, data, version } => {
            assert_eq!(name, "setData");
            assert_path(path, body);
            assert_data(*data, &body["data"]);
            assert_eq!(*version, int(&body["version"]));
        }
        Txn::SetAcl { path, acl, version } => {
            assert_eq!(name, "setACL");
            assert_path(path, body);
            assert_acl(acl, &body["acl"]);
            assert_eq!(*version, int(&body["version"]));
        }
        Txn::Check { path, version } => {
            assert_eq!(name, "check");
            assert_path(path, body);
            assert_eq!(*version, int(&body["version"]));
        }
        Txn::Error { err } => assert_eq!((name, *err), ("error", int(&body["err"]))),
        Txn::Multi(multi) => {
            assert_eq!(name, "multi");
            let expected = body["txns"].as_array().unwrap();
            let parts: Vec<_> = multi.parts().collect();
            assert_eq!(parts.len(), expected.len());
            let mut failed = false;
            let mut again = (parts.len() as i32).to_be_bytes().to_vec();
            for ((kind, part), json) in parts.iter().zip(expected) {
                let name = json["type"].as_str().unwrap();
                failed |= name == "error";
                assert_txn(part, name, &json["body"]);
                write_multi_part(*kind, part, &mut again);
            }
            assert_eq!(multi.failed(), failed);
            let mut whole = Vec::new();
            txn.write(&mut whole);
            assert_eq!(again, whole, "a multi is the sum of its parts");
        }
    }
}

#[test]
fn every_record_of_every_log_decodes_and_encodes_again() {
    let mut tried = 0;
    for dir in LOGS {
        for (name, log) in golden::json(&format!("{dir}/expected-txns.json")).as_object().unwrap() {
            let bytes = golden::bytes(&format!("{dir}/version-2/{name}"));
            let mut end = 16;
            for record in log["records"].as_array().unwrap() {
                let offset = record["offset"].as_u64().unwrap() as usize;
                let length = record["length"].as_u64().unwrap() as usize;
                assert_eq!(offset, end, "records follow one another");
                let checksum = i64::from_be_bytes(bytes[offset..offset + 8].try_into().unwrap());
                let stored = i32::from_be_bytes(bytes[offset + 8..offset + 12].try_into().unwrap());
                assert_eq!(stored as usize, length);
                let payload = &bytes[offset + 12..offset + 12 + length];
                end = offset + 12 + length + 1;
                assert_eq!(bytes[end - 1], b'B');

                let mut adler = simd_adler32::Adler32::new();
                adler.write(payload);
                assert_eq!(i64::from(adler.finish()), checksum);
                assert_eq!(checksum, record["adler32"].as_i64().unwrap());

                let read = TxnRecord::read(payload, 0xf_ffff).expect("a record");
                assert_eq!(read.header, header_of(&record["header"]));
                let kind = record["header"]["typeName"].as_str().unwrap();
                assert_txn(&read.txn, kind, &record["body"]);
                let digest = record.get("digest").filter(|digest| !digest.is_null());
                let digest = digest.map(|digest| TxnDigest {
                    version: int(&digest["version"]),
                    tree_digest: digest["treeDigest"].as_u64().unwrap(),
                });
                assert_eq!(read.digest, digest);

                let mut out = Vec::new();
                read.header.write(&mut out);
                read.txn.write(&mut out);
                if let Some(digest) = read.digest {
                    digest.write(&mut out);
                }
                assert_eq!(out, payload, "{dir}/{name} at {offset}");
                tried += 1;
            }
            assert_eq!(end as u64, log["endOfRecords"].as_u64().unwrap());
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn the_logs_hold_every_type_that_a_standalone_server_writes() {
    let mut types = std::collections::BTreeSet::new();
    for dir in LOGS {
        for (_, log) in golden::json(&format!("{dir}/expected-txns.json")).as_object().unwrap() {
            for record in log["records"].as_array().unwrap() {
                types.insert(int(&record["header"]["type"]));
            }
        }
    }
    assert_eq!(
        types.into_iter().collect::<Vec<_>>(),
        [-11, -10, -1, 1, 2, 5, 7, 14, 15, 19, 20, 21]
    );
}

#[test]
fn no_record_decodes_when_its_body_is_cut() {
    let log = golden::json("standalone-3.9/expected-txns.json");
    let bytes = golden::bytes("standalone-3.9/version-2/log.1");
    for record in log["log.1"]["records"].as_array().unwrap() {
        let offset = record["offset"].as_u64().unwrap() as usize + 12;
        let length = record["length"].as_u64().unwrap() as usize;
        let digest = if record["digest"].is_null() { 0 } else { TxnDigest::SIZE };
        let kind = record["header"]["typeName"].as_str().unwrap();
        let whole = length - digest;
        for end in 0..whole {
            let readable = match kind {
                // The older form of a create lacks the last field.
                "create" | "create2" => end >= whole - 4,
                // The older form of a closeSession has no body; and twelve bytes that begin with
                // the int 2, here a vector's count, are taken for a digest without one.
                "closeSession" => end == TxnHeader::SIZE || end == TxnHeader::SIZE + 12,
                _ => false,
            };
            if readable {
                continue;
            }
            let cut = &bytes[offset..offset + end];
            assert!(TxnRecord::read(cut, 0xf_ffff).is_err(), "{kind} at {offset} cut at {end}");
        }
    }
}
