//! Messages: a client's requests as the bytes it sends, and the server's bytes as answers.
//!
//! What is read here is judged: bytes that are no message are an error in words, never a guess.

use std::sync::Arc;

use zkserver::jute::{JuteError, Reader, Writer};
use zkserver::proto::{SessionId, Stat, Zxid};

use crate::bodies::{self, flag, op};
use crate::history::{NodeStat, Path, Request, Response, Value};

/// A connect request's frame.
pub fn connect(session: SessionId, password: &[u8], timeout_ms: i32, last_seen: Zxid) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_int(4 + 8 + 4 + 8 + 4 + password.len() as i32 + 1);
    out.put_int(0);
    out.put_long(last_seen.to_long());
    out.put_int(timeout_ms);
    out.put_long(session.0);
    out.put_buffer(Some(password));
    out.put_bool(false);
    out
}

/// What a connect response says.
#[derive(Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Negotiated; 0 where the session is refused.
    pub timeout_ms: i32,
    /// [`SessionId::NONE`] where it is refused.
    pub session: SessionId,
    /// To resume it with.
    pub password: Vec<u8>,
}

/// Reads a connect response.
pub fn welcome(frame: &[u8]) -> Result<Welcome, JuteError> {
    let mut r = Reader::unlimited(frame);
    r.int()?;
    let (timeout_ms, session) = (r.int()?, SessionId(r.long()?));
    let password = r.buffer()?.unwrap_or_default().to_vec();
    Ok(Welcome { timeout_ms, session, password })
}

/// The request's frame. Values are followed by `padding` bytes.
pub fn encode(xid: i32, request: &Request, padding: usize) -> Vec<u8> {
    let (op, body) = operation(request, padding);
    bodies::frame(xid, op, &body)
}

fn operation(request: &Request, padding: usize) -> (i32, Vec<u8>) {
    match request {
        Request::Create { path, value, ephemeral, sequential } => {
            let flags = match (ephemeral, sequential) {
                (false, false) => flag::PERSISTENT,
                (true, false) => flag::EPHEMERAL,
                (false, true) => flag::SEQUENTIAL,
                (true, true) => flag::EPHEMERAL_SEQUENTIAL,
            };
            let data = data(*value, padding);
            let body = bodies::create(&**path, Some(&data), &bodies::open_acl(), flags);
            (op::CREATE2, body)
        }
        Request::CreateReaped { path, value, ttl_ms } => {
            let (path, data, acl) = (&**path, data(*value, padding), bodies::open_acl());
            match ttl_ms {
                None => {
                    let body = bodies::create(path, Some(&data), &acl, flag::CONTAINER);
                    (op::CREATE_CONTAINER, body)
                }
                Some(ttl_ms) => {
                    let ttl_ms = i64::from(*ttl_ms);
                    let body = bodies::create_ttl(path, Some(&data), &acl, flag::TTL, ttl_ms);
                    (op::CREATE_TTL, body)
                }
            }
        }
        Request::Delete { path, version } => (op::DELETE, bodies::numbered(&**path, *version)),
        Request::SetData { path, value, version } => {
            let data = data(*value, padding);
            (op::SET_DATA, bodies::set_data(&**path, Some(&data), *version))
        }
        Request::GetData { path, watch } => (op::GET_DATA, bodies::watched(&**path, *watch)),
        Request::Exists { path, watch } => (op::EXISTS, bodies::watched(&**path, *watch)),
        Request::GetChildren { path, watch } => {
            (op::GET_CHILDREN2, bodies::watched(&**path, *watch))
        }
        Request::Sync { path } => (op::SYNC, bodies::path(&**path)),
        Request::Check { path, version } => (op::CHECK, bodies::numbered(&**path, *version)),
        Request::Multi(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| operation(part, padding)).collect();
            (op::MULTI, bodies::multi(&parts))
        }
        Request::SetWatches { relative, data, exists, children } => {
            let lists = [data, exists, children]
                .map(|list| list.iter().map(|path| &**path).collect::<Vec<&str>>());
            let lists: Vec<&[&str]> = lists.iter().map(Vec::as_slice).collect();
            (op::SET_WATCHES, bodies::set_watches(relative.to_long(), &lists))
        }
        Request::Reconfig { joining, leaving } => {
            let mut body = Vec::new();
            body.put_ustring(joining.as_bytes());
            body.put_ustring(leaving.as_bytes());
            body.put_buffer(None);
            body.put_long(-1);
            (op::RECONFIG, body)
        }
        Request::Ping => (op::PING, Vec::new()),
        Request::CloseSession => (op::CLOSE_SESSION, Vec::new()),
    }
}

fn data(value: Value, padding: usize) -> Vec<u8> {
    let mut data = value.to_be_bytes().to_vec();
    data.resize(8 + padding, value as u8);
    data
}

/// Reads the answer to `request` from what is behind its header without an error.
pub fn answer(request: &Request, body: &[u8]) -> Result<Response, String> {
    let mut r = Reader::unlimited(body);
    let response = read(request, &mut r).map_err(|error| format!("{error:?}"))?;
    if r.remaining() > 0 {
        return Err(format!("{} bytes behind the answer", r.remaining()));
    }
    Ok(response)
}

fn read(request: &Request, r: &mut Reader<'_>) -> Result<Response, JuteError> {
    Ok(match request {
        Request::Create { .. } | Request::CreateReaped { .. } => {
            Response::Created { path: path(r)?, stat: stat(r)? }
        }
        Request::SetData { .. } | Request::Exists { .. } => Response::Stat(stat(r)?),
        Request::GetData { .. } => {
            let data = r.buffer()?.unwrap_or_default();
            let value = data.first_chunk().map_or(0, |bytes| Value::from_be_bytes(*bytes));
            Response::Data { value, stat: stat(r)? }
        }
        Request::GetChildren { .. } => {
            let count = r.vector()?.unwrap_or_default();
            let mut names = (0..count).map(|_| path(r)).collect::<Result<Vec<_>, _>>()?;
            names.sort();
            Response::Children { names, stat: stat(r)? }
        }
        Request::Multi(parts) => multi(parts, r)?,
        Request::Sync { .. } => {
            r.ustring()?;
            Response::Done
        }
        Request::Reconfig { .. } => {
            r.buffer()?;
            stat(r)?;
            Response::Done
        }
        Request::Delete { .. }
        | Request::Check { .. }
        | Request::SetWatches { .. }
        | Request::Ping
        | Request::CloseSession => Response::Done,
    })
}

fn multi(parts: &[Request], r: &mut Reader<'_>) -> Result<Response, JuteError> {
    let (mut responses, mut codes) = (Vec::new(), Vec::new());
    loop {
        let (kind, done, err) = (r.int()?, r.bool()?, r.int()?);
        if done {
            break;
        }
        if kind == -1 {
            r.int()?;
            codes.push(err);
            continue;
        }
        let Some(part) = parts.get(responses.len()) else { break };
        responses.push(read(part, r)?);
    }
    Ok(if codes.is_empty() { Response::Multi(responses) } else { Response::MultiFailed(codes) })
}

fn path(r: &mut Reader<'_>) -> Result<Path, JuteError> {
    Ok(Arc::from(String::from_utf8_lossy(r.required_ustring()?)))
}

fn stat(r: &mut Reader<'_>) -> Result<NodeStat, JuteError> {
    let stat = Stat::read(r)?;
    Ok(NodeStat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        pzxid: stat.pzxid,
        version: stat.version,
        cversion: stat.cversion,
        owner: SessionId(stat.ephemeral_owner),
        children: stat.num_children,
    })
}
