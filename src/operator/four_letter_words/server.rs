//! `srvr`, `stat` and `mntr`: the server in numbers.

use std::fmt::Write as _;

use super::clients::client_line;
use crate::operator::java_text;
use crate::status::{ClientLine, Descriptors, Status};

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
    let _ = write!(
        text,
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {}\nMode: standalone\nNode count: {}\n",
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
    text
}

pub(super) fn mntr(version: &str, status: &Status, descriptors: Descriptors) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "zk_{key}\t{value}");
    };
    line("version", &version);
    line("server_state", &"standalone");
    line("avg_latency", &java_text::double(status.latency_ms_avg));
    line("max_latency", &status.latency_ms_max);
    line("min_latency", &status.latency_ms_min);
    line("packets_received", &status.packets_received);
    line("packets_sent", &status.packets_sent);
    line("num_alive_connections", &status.connections);
    line("outstanding_requests", &status.outstanding_requests);
    line("znode_count", &status.znode_count);
    line("watch_count", &status.watch_count);
    line("ephemerals_count", &status.ephemerals_count);
    line("approximate_data_size", &status.approximate_data_size);
    line("global_sessions", &status.global_sessions);
    line("local_sessions", &0);
    line("uptime", &status.uptime_ms);
    if let Some(open) = descriptors.open {
        line("open_file_descriptor_count", &open);
    }
    if let Some(max) = descriptors.max {
        line("max_file_descriptor_count", &max);
    }
    line("digest_mismatches_count", &status.digest_mismatches);
    for (key, value) in &status.counters {
        line(key, value);
    }
    for (namespace, name, value) in &status.by_namespace {
        line(&format!("{namespace}_{name}"), value);
    }
    text
}
