//! A transaction in one line, as Apache's TxnLogToolkit prints it.
//!
//! ```text
//! 11/21/26, 7:26:55 PM UTC session 0x100002ab59c0000 cxid 0x1 zxid 0x2 create /app,root,[31,s{'world,'anyone}
//! ],false,1
//! ```
//!
//! The form is Java's: what it prints of a record ends with a line feed of its own, strings within
//! records begin with `'` and are escaped, data is taken for UTF-8, and the parts of a multi are
//! shown undecoded. Scripts cut these lines apart, so every byte counts.

use std::io::Write;

use super::java_date::short_date;
use super::time_zone::TimeZone;
use crate::jute::{JuteError, Reader};
use crate::proto::OpCode;
use crate::proto::acl::{Acl, read_acl_vector};
use crate::proto::txns::{CreateKind, Txn, TxnHeader, TxnRecord};

/// Appends the line of `txn`, with the line feed at its end.
///
/// # Errors
/// Bytes that are no transaction; then nothing was appended.
pub fn write(txn: &[u8], zone: &TimeZone, out: &mut Vec<u8>) -> Result<(), JuteError> {
    let record = TxnRecord::read(txn, i32::MAX as usize)?;
    let TxnHeader { client_id, cxid, zxid, time, txn_type } = record.header;
    let mut line = Vec::new();
    let date = short_date(time, zone);
    let (session, name) = (client_id.0, type_name(txn_type));
    // A negative cxid is widened to a long before it is printed, as Java does.
    let cxid = i64::from(cxid);
    put(
        &mut line,
        format_args!("{date} session 0x{session:x} cxid 0x{cxid:x} zxid 0x{:x} {name} ", zxid.0),
    );
    write_body(&record.txn, txn, &mut line)?;
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    out.append(&mut line);
    Ok(())
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes what is written");
}

/// The name of a transaction's type.
fn type_name(txn_type: i32) -> String {
    let name = match OpCode::from_int(txn_type) {
        Some(OpCode::Create) => "create",
        Some(OpCode::Create2) => "create2",
        Some(OpCode::CreateContainer) => "createContainer",
        Some(OpCode::CreateTtl) => "createTTL",
        Some(OpCode::Delete) => "delete",
        Some(OpCode::DeleteContainer) => "deleteContainer",
        Some(OpCode::SetData) => "setData",
        Some(OpCode::SetAcl) => "setACL",
        Some(OpCode::Reconfig) => "reconfig",
        Some(OpCode::Check) => "check",
        Some(OpCode::Multi) => "multi",
        Some(OpCode::Error) => "error",
        Some(OpCode::CreateSession) => "createSession",
        Some(OpCode::CloseSession) => "closeSession",
        _ => return format!("unknown {txn_type}"),
    };
    name.to_owned()
}

fn write_body(txn: &Txn<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), JuteError> {
    match txn {
        Txn::Create(create) => {
            text(Some(create.path), out);
            out.push(b',');
            text(create.data, out);
            out.push(b',');
            write_acl_list(create.acl, out)?;
            if let CreateKind::Plain { ephemeral, .. } = create.kind {
                put(out, format_args!(",{ephemeral}"));
            }
            put(out, format_args!(",{}", create.parent_cversion));
            if let CreateKind::Ttl(ttl_ms) = create.kind {
                put(out, format_args!(",{ttl_ms}"));
            }
        }
        Txn::SetData { path, data, version } => {
            text(Some(path), out);
            out.push(b',');
            text(*data, out);
            put(out, format_args!(",{version}"));
        }
        Txn::Multi(_) => write_parts(bytes, out)?,
        Txn::CreateSession { timeout_ms } => put(out, format_args!("{timeout_ms}\n")),
        Txn::Error { err } => put(out, format_args!("{err}\n")),
        Txn::Delete { path } => {
            escaped(path, out);
            out.push(b'\n');
        }
        Txn::Check { path, version } => {
            escaped(path, out);
            put(out, format_args!(",{version}\n"));
        }
        Txn::SetAcl { path, acl, version } => {
            escaped(path, out);
            out.extend_from_slice(b",v{");
            for (i, entry) in list(acl)?.iter().flatten().enumerate() {
                out.extend_from_slice(if i == 0 { b"s{" } else { b",s{" });
                write_acl(entry, out);
                out.push(b'}');
            }
            put(out, format_args!("}},{version}\n"));
        }
        Txn::CloseSession { paths: None } => {}
        Txn::CloseSession { paths: Some(paths) } => {
            out.extend_from_slice(b"v{");
            for (i, path) in paths.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                escaped(path, out);
            }
            out.extend_from_slice(b"}\n");
        }
    }
    Ok(())
}

/// The parts of the multi that the transaction `bytes` is: each its type and its bytes as text.
fn write_parts(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), JuteError> {
    let mut r = Reader::unlimited(bytes);
    r.take(TxnHeader::SIZE)?;
    for i in 0..r.vector()?.unwrap_or(0) {
        if i > 0 {
            out.push(b';');
        }
        put(out, format_args!("{}:", type_name(r.int()?)));
        text(r.buffer()?, out);
    }
    Ok(())
}

fn list(acl: &[u8]) -> Result<Option<Vec<Acl>>, JuteError> {
    read_acl_vector(&mut Reader::unlimited(acl))
}

/// A list as Java prints one: in brackets, each entry with the line feed of its record.
fn write_acl_list(acl: &[u8], out: &mut Vec<u8>) -> Result<(), JuteError> {
    let Some(entries) = list(acl)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    out.push(b'[');
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        write_acl(entry, out);
        out.push(b'\n');
    }
    out.push(b']');
    Ok(())
}

fn write_acl(entry: &Acl, out: &mut Vec<u8>) {
    put(out, format_args!("{},s{{", entry.perms));
    escaped(entry.scheme(), out);
    out.push(b',');
    escaped(entry.id(), out);
    out.push(b'}');
}

/// Bytes as text; null is nothing.
fn text(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes.unwrap_or_default());
    out.extend_from_slice(text.as_bytes());
}

/// A string within a record.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in String::from_utf8_lossy(bytes).as_bytes() {
        match byte {
            0 | b'\n' | b'\r' | b',' | b'}' | b'%' => put(out, format_args!("%{byte:02X}")),
            _ => out.push(byte),
        }
    }
}
