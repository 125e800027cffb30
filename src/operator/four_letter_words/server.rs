//! `srvr` and `stat`: the server in numbers.

use std::fmt::Write as _;

use super::clients::client_line;
use crate::operator::java_text;
use crate::status::{ClientLine, Status};

/// `srvr`; with the connections it is `stat`.
pub(super) fn srvr(version: &str, status: &Status, clients: Option<&[ClientLine]>) -> String {
    let mut text = format!("Zookeeper version: {version}\n");
    if let Some(clients) = clients {
        text.push_str("Clients:\n");
        for client in clients {
            client_line(client, false, &mut text);
        }
        text.push('\n');
    }
    let mode = status.member.as_ref().map_or("standalone", |member| member.mode());
    let _ = write!(
        text,
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {}\nMode: {mode}\nNode count: {}\n",
        status.latency_ms_min,
        java_text::double(status.latency_ms_avg),
        status.latency_ms_max,
        status.packets_received,
        status.packets_sent,
        status.connections,
        status.outstanding_requests,
        status.last_zxid,
        status.znode_count,
    );
    if status.member.as_ref().is_some_and(|member| member.leads()) {
        let _ = writeln!(
            text,
            "Proposal sizes last/min/max: {}/{}/{}",
            status.proposal_bytes_last, status.proposal_bytes_min, status.proposal_bytes_max,
        );
    }
    text
}
