//! `cons`: the connections one by one.

use std::fmt::Write as _;

use crate::operator::java_text::Address;
use crate::proto::OpCode;
use crate::status::ClientLine;

pub(super) fn cons(clients: &[ClientLine]) -> String {
    let mut text = String::new();
    for client in clients {
        client_line(client, true, &mut text);
    }
    text.push('\n');
    text
}

/// One connection's line: in full for `cons`, else as `stat` has it. A connection without a
/// session has the short line in both.
pub(super) fn client_line(client: &ClientLine, full: bool, text: &mut String) {
    let ClientLine { address, interest_ops, queued, stats, established_wall_ms, session } = client;
    let _ = write!(
        text,
        " {}[{interest_ops:x}](queued={queued},recved={},sent={}",
        Address(*address),
        stats.received,
        stats.sent,
    );
    if let Some((session, timeout_ms)) = session.filter(|_| full) {
        let _ = write!(
            text,
            ",sid={session},lop={},est={established_wall_ms},to={timeout_ms}",
            last_operation(stats.last_op),
        );
        if stats.last_cxid >= 0 {
            let _ = write!(text, ",lcxid=0x{:x}", stats.last_cxid);
        }
        let _ = write!(
            text,
            ",lzxid={},lresp={},llat={},minlat={},avglat={},maxlat={}",
            stats.last_zxid,
            stats.last_response_ms,
            stats.latency_ms_last(),
            stats.latency_ms_min(),
            stats.latency_ms_avg(),
            stats.latency_ms_max(),
        );
    }
    text.push_str(")\n");
}

/// Apache's code for an operation.
fn last_operation(op: Option<OpCode>) -> &'static str {
    match op {
        None | Some(OpCode::Auth | OpCode::Sasl | OpCode::Error) => "NA",
        Some(OpCode::Ping) => "PING",
        Some(OpCode::CreateSession) => "SESS",
        Some(OpCode::CloseSession) => "CLOS",
        Some(OpCode::Multi) => "MULT",
        Some(OpCode::MultiRead) => "MLTR",
        Some(OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl) => {
            "CREA"
        }
        Some(OpCode::Delete | OpCode::DeleteContainer) => "DELE",
        Some(OpCode::SetData) => "SETD",
        Some(OpCode::SetAcl) => "SETA",
        Some(OpCode::Reconfig) => "RECO",
        Some(OpCode::Sync) => "SYNC",
        Some(OpCode::Check) => "CHEC",
        Some(OpCode::Exists) => "EXIS",
        Some(OpCode::GetData) => "GETD",
        Some(OpCode::GetAcl) => "GETA",
        Some(OpCode::GetChildren | OpCode::GetChildren2) => "GETC",
        Some(OpCode::GetAllChildrenNumber) => "GETACN",
        Some(OpCode::GetEphemerals) => "GETE",
        Some(OpCode::SetWatches) => "SETW",
        Some(OpCode::SetWatches2) => "STW2",
        Some(OpCode::AddWatch) => "ADDW",
        Some(OpCode::CheckWatches) => "CHKW",
        Some(OpCode::RemoveWatches) => "REMW",
        Some(OpCode::WhoAmI) => "HOMI",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{SessionId, Zxid};
    use crate::status::{Answered, RequestStats};

    fn client(session: Option<(SessionId, i32)>) -> ClientLine {
        let mut stats = RequestStats::default();
        (stats.received, stats.sent) = (3, 2);
        stats.answered(&Answered {
            op: Some(OpCode::GetChildren2),
            cxid: 26,
            zxid: Zxid(0x1_0000_000f),
            count: 2,
            at_ms: 9000,
            latency_ms: 4,
        });
        ClientLine {
            address: "127.0.0.1:4711".parse().unwrap(),
            interest_ops: 5,
            queued: 1,
            stats,
            established_wall_ms: 1_795_630_621_000,
            session,
        }
    }

    #[test]
    fn the_full_line() {
        let client = client(Some((SessionId(0x100_0000_0000_0001), 12_000)));
        assert_eq!(
            cons(&[client]),
            " /127.0.0.1:4711[5](queued=1,recved=3,sent=2,sid=0x100000000000001,lop=GETC,\
             est=1795630621000,to=12000,lcxid=0x1a,lzxid=0x10000000f,lresp=9000,llat=4,minlat=4,\
             avglat=4,maxlat=4)\n\n"
        );
    }

    #[test]
    fn after_a_reset_there_is_no_cxid_and_the_zxid_is_minus_one() {
        let mut client = client(Some((SessionId(1), 12_000)));
        client.stats.reset();
        assert_eq!(
            cons(&[client]),
            " /127.0.0.1:4711[5](queued=1,recved=0,sent=0,sid=0x1,lop=NA,est=1795630621000,\
             to=12000,lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n\n"
        );
    }

    #[test]
    fn without_a_session_the_line_is_short() {
        assert_eq!(cons(&[client(None)]), " /127.0.0.1:4711[5](queued=1,recved=3,sent=2)\n\n");
    }
}
