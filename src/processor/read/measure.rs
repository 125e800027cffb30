//! What a read that was answered has read, in bytes.

use crate::jute::Reader;
use crate::proto::OpCode;

/// Length and header of a reply. One that has nothing else is an error, or says no more than that
/// there was none.
const BEGINNING_BYTES: usize = 4 + 16;
/// A stat counts with everything that is read, whether it was asked for or not.
const STAT_BYTES: usize = 68;
/// The length of data or of a name, or the number of names.
const INT_BYTES: usize = 4;

/// The path a request names, and the bytes that were read there, as Apache counts them: the path,
/// the stat, and the data or the children's names. `reply` is the frame that answered it. `None`
/// if no node was read.
#[inline]
pub fn measure<'a>(op: OpCode, body: &'a [u8], reply: &[u8]) -> Option<(&'a [u8], u64)> {
    let answer = reply.get(BEGINNING_BYTES..).filter(|answer| !answer.is_empty())?;
    let content = match op {
        OpCode::Exists => 0,
        OpCode::GetData => answer.len().checked_sub(INT_BYTES + STAT_BYTES)?,
        OpCode::GetChildren | OpCode::GetChildren2 => {
            let stat = if op == OpCode::GetChildren2 { STAT_BYTES } else { 0 };
            let names = Reader::unlimited(answer).int().ok()?.max(0) as usize;
            answer.len().checked_sub(INT_BYTES * (1 + names) + stat)?
        }
        _ => return None,
    };
    let path = Reader::unlimited(body).ustring().ok()??;
    Some((path, (path.len() + STAT_BYTES + content) as u64))
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

    /// A frame that answers with so many bytes, which begin with this number.
    fn reply(bytes: usize, number: i32) -> Vec<u8> {
        let mut frame = vec![0; BEGINNING_BYTES];
        frame.put_int(number);
        frame.resize(BEGINNING_BYTES + bytes, b'x');
        frame
    }

    #[test]
    fn path_stat_and_content_are_counted() {
        let body = body(b"/app/x");
        let count = |op, reply: &[u8]| measure(op, &body, reply);
        let path = &b"/app/x"[..];
        assert_eq!(count(OpCode::GetData, &reply(4 + 100 + 68, 100)), Some((path, 174)));
        assert_eq!(count(OpCode::Exists, &reply(68, 0)), Some((path, 74)));
        let names = 4 + (4 + 2) + (4 + 3);
        assert_eq!(count(OpCode::GetChildren, &reply(names, 2)), Some((path, 79)));
        assert_eq!(count(OpCode::GetChildren2, &reply(names + 68, 2)), Some((path, 79)));
    }

    #[test]
    fn where_no_node_was_read_nothing_is_counted() {
        let error = vec![0; BEGINNING_BYTES];
        assert_eq!(measure(OpCode::GetData, &body(b"/none"), &error), None);
        assert_eq!(measure(OpCode::Ping, b"", &error), None);
        assert_eq!(measure(OpCode::WhoAmI, &body(b"/app"), &reply(40, 1)), None);
        assert_eq!(measure(OpCode::GetData, &body(b"/short"), &reply(8, 1)), None);
    }
}
