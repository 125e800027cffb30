//! The part of the ZooKeeper client protocol (jute records in length-prefixed
//! frames, big-endian) that a load generator needs.

pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const MULTI: i32 = 14;
    pub const ADD_WATCH: i32 = 106;
    pub const CLOSE: i32 = -11;
}

pub mod err {
    pub const OK: i32 = 0;
    pub const NO_NODE: i32 = -101;
    pub const NODE_EXISTS: i32 = -110;
}

pub const XID_NOTIFICATION: i32 = -1;
pub const XID_PING: i32 = -2;
pub const FLAG_EPHEMERAL_SEQUENTIAL: i32 = 3;

/// Offset of the xid inside an encoded request (after the frame length).
pub const XID_AT: usize = 4;
/// Digits of the decimal numbers that end the paths this tool generates.
pub const DIGITS: usize = 10;

/// A jute writer over a growing buffer.
pub trait Put {
    fn bytes(&mut self) -> &mut Vec<u8>;

    fn int(&mut self, v: i32) -> &mut Self {
        self.bytes().extend_from_slice(&v.to_be_bytes());
        self
    }
    fn long(&mut self, v: i64) -> &mut Self {
        self.bytes().extend_from_slice(&v.to_be_bytes());
        self
    }
    fn boolean(&mut self, v: bool) -> &mut Self {
        self.bytes().push(v as u8);
        self
    }
    fn buffer(&mut self, v: &[u8]) -> &mut Self {
        self.int(v.len() as i32).bytes().extend_from_slice(v);
        self
    }
    fn string(&mut self, v: &str) -> &mut Self {
        self.buffer(v.as_bytes())
    }
    fn open_acl(&mut self) -> &mut Self {
        self.int(1).int(31).string("world").string("anyone")
    }
}

impl Put for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }
}

/// Appends one frame whose payload `body` writes.
pub fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.int(0);
    body(out);
    let length = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

pub fn request(out: &mut Vec<u8>, xid: i32, opcode: i32, body: impl FnOnce(&mut Vec<u8>)) {
    frame(out, |b| {
        b.int(xid).int(opcode);
        body(b);
    });
}

pub fn path_and_flag(out: &mut Vec<u8>, path: &str, flag: bool) {
    out.string(path).boolean(flag);
}

pub fn create_body(out: &mut Vec<u8>, path: &str, data: &[u8], flags: i32) {
    out.string(path).buffer(data).open_acl().int(flags);
}

pub fn set_body(out: &mut Vec<u8>, path: &str, data: &[u8]) {
    out.string(path).buffer(data).int(-1);
}

pub fn delete_body(out: &mut Vec<u8>, path: &str) {
    out.string(path).int(-1);
}

#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Session {
    pub id: i64,
    pub password: [u8; 16],
    pub timeout_ms: i32,
}

pub fn connect_request(out: &mut Vec<u8>, last_zxid: i64, timeout_ms: i32, session: &Session) {
    frame(out, |b| {
        b.int(0)
            .long(last_zxid)
            .int(timeout_ms)
            .long(session.id)
            .buffer(&session.password)
            .boolean(false);
    });
}

/// A server answers an unknown or expired session with a timeout of zero.
pub fn parse_connect_response(payload: &[u8]) -> Option<Session> {
    let timeout_ms = int_at(payload, 4)?;
    let id = long_at(payload, 8)?;
    let mut password = [0; 16];
    password.copy_from_slice(payload.get(20..36)?);
    Some(Session { id, password, timeout_ms })
}

pub struct Reply<'a> {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: &'a [u8],
}

pub fn parse_reply(payload: &[u8]) -> Option<Reply<'_>> {
    Some(Reply {
        xid: int_at(payload, 0)?,
        zxid: long_at(payload, 4)?,
        err: int_at(payload, 12)?,
        body: &payload[16..],
    })
}

/// The leading string or buffer of a reply body.
pub fn leading_buffer(body: &[u8]) -> Option<&[u8]> {
    body.get(4..4 + usize::try_from(int_at(body, 0)?).ok()?)
}

pub fn parse_children(body: &[u8]) -> Option<Vec<String>> {
    let mut rest = &body[4..];
    let mut names = Vec::new();
    for _ in 0..int_at(body, 0)? {
        let name = leading_buffer(rest)?;
        rest = &rest[4 + name.len()..];
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(names)
}

pub fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub fn long_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Splits the first whole frame's payload off `bytes`; returns the bytes it took.
pub fn split_frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let length = int_at(bytes, 0)? as usize;
    Some((bytes.get(4..4 + length)?, 4 + length))
}

pub fn number_name(n: u64) -> String {
    format!("{n:0width$}", width = DIGITS)
}

pub fn write_number(at: &mut [u8], mut n: u64) {
    for digit in at[..DIGITS].iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

/// A pre-encoded request; sending it means copying it and patching the xid and
/// the decimal numbers at the end of its path(s).
pub struct Template {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
}

impl Template {
    /// `body` writes paths in which each number is spelled as ten `#`.
    pub fn new(opcode: i32, body: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::new();
        request(&mut bytes, 0, opcode, body);
        let mark = [b'#'; DIGITS];
        let mut numbers = Vec::new();
        let mut at = 0;
        while at + DIGITS <= bytes.len() {
            if bytes[at..at + DIGITS] == mark {
                numbers.push(at);
                at += DIGITS;
            } else {
                at += 1;
            }
        }
        Template { bytes, numbers }
    }

    /// Appends the request, calling `number(i)` for the i-th number of it.
    pub fn emit(&self, out: &mut Vec<u8>, xid: i32, mut number: impl FnMut(usize) -> u64) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        let fresh = &mut out[at..];
        fresh[XID_AT..XID_AT + 4].copy_from_slice(&xid.to_be_bytes());
        for (i, &place) in self.numbers.iter().enumerate() {
            write_number(&mut fresh[place..], number(i));
        }
    }
}

/// What a number in a template's path is spelled as.
pub const NUMBER: &str = "##########";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_request_is_45_bytes_of_payload() {
        let mut out = Vec::new();
        connect_request(&mut out, 7, 30_000, &Session::default());
        assert_eq!(int_at(&out, 0), Some(45));
        assert_eq!(out.len(), 49);
        assert_eq!(long_at(&out, 8), Some(7));
    }

    #[test]
    fn template_patches_xid_and_numbers() {
        let template =
            Template::new(op::GET_DATA, |b| path_and_flag(b, &format!("/k/{NUMBER}"), false));
        let mut patched = Vec::new();
        template.emit(&mut patched, 9, |_| 42);
        let mut direct = Vec::new();
        request(&mut direct, 9, op::GET_DATA, |b| {
            path_and_flag(b, &format!("/k/{}", number_name(42)), false)
        });
        assert_eq!(patched, direct);
    }

    #[test]
    fn frames_split_only_when_whole() {
        let mut bytes = Vec::new();
        frame(&mut bytes, |b| {
            b.int(5);
        });
        assert!(split_frame(&bytes[..7]).is_none());
        assert_eq!(split_frame(&bytes), Some((&bytes[4..], 8)));
    }

    #[test]
    fn children_parse() {
        let mut body = Vec::new();
        body.int(2).string("a").string("bc");
        assert_eq!(parse_children(&body).unwrap(), ["a", "bc"]);
    }
}
