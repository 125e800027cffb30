//! What a read that was answered has read, in bytes.

use crate::jute::Reader;
use crate::proto::OpCode;

/// The header of a reply. One that has nothing else is an error, or says no more than that there
/// was none.
const REPLY_HEADER_BYTES: usize = 16;

/// The path a request names, and the bytes that were read there, as Apache counts them: the path,
/// the stat and the data. `reply_bytes` is the reply without its length in front. `None` if no
/// node was read.
pub fn measure(op: OpCode, body: &[u8], reply_bytes: usize) -> Option<(&[u8], u64)> {
    use OpCode::{Exists, GetAcl, GetAllChildrenNumber, GetChildren, GetChildren2, GetData};
    let names_node =
        matches!(op, Exists | GetAcl | GetAllChildrenNumber | GetChildren | GetChildren2 | GetData);
    let read = reply_bytes.checked_sub(REPLY_HEADER_BYTES).filter(|read| *read > 0)?;
    if !names_node {
        return None;
    }
    let path = Reader::unlimited(body).ustring().ok()??;
    let data_length = if op == GetData { 4 } else { 0 };
    Some((path, (path.len() + read - data_length) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Writer;

    fn body(path: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_ustring(path);
        body.push(0);
        body
    }

    #[test]
    fn data_is_counted_with_its_path_and_stat() {
        let body = body(b"/app/x");
        let reply = 16 + 4 + 100 + 68;
        assert_eq!(measure(OpCode::GetData, &body, reply), Some((&b"/app/x"[..], 174)));
        assert_eq!(measure(OpCode::Exists, &body, 16 + 68), Some((&b"/app/x"[..], 74)));
    }

    #[test]
    fn where_no_node_was_read_nothing_is_counted() {
        assert_eq!(measure(OpCode::GetData, &body(b"/none"), 16), None);
        assert_eq!(measure(OpCode::Ping, b"", 16), None);
        assert_eq!(measure(OpCode::WhoAmI, &body(b"/app"), 40), None);
    }
}
