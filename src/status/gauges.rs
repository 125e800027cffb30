//! What is the case now, under Apache ZooKeeper's names.
//!
//! The order is that of the older servers: some tools take the beginning of an answer for all of
//! it.

use super::{Descriptors, Status};
use crate::metrics::{Kind, Sample, Value};

/// A server's gauges. What the system does not tell is left out.
pub fn gauges(status: &Status, descriptors: Descriptors) -> Vec<Sample> {
    let Status {
        connections,
        latency_ms_min,
        latency_ms_avg,
        latency_ms_max,
        packets_received,
        packets_sent,
        outstanding_requests,
        last_zxid: _,
        znode_count,
        ephemerals_count,
        approximate_data_size,
        global_sessions,
        digest_mismatches,
        reply_bytes_last,
        reply_bytes_min,
        reply_bytes_max,
        watch_count,
        uptime_ms,
    } = status;
    let mut gauges = Vec::with_capacity(24);
    let mut gauge = |name, help, value| {
        gauges.push(Sample { name, key: None, kind: Kind::Gauge, help, value });
    };
    gauge(
        "avg_latency",
        "Milliseconds from a request's receipt to its reply, the mean.",
        Value::Decimal(*latency_ms_avg),
    );
    gauge("max_latency", "The longest of them.", integer(*latency_ms_max));
    gauge("min_latency", "The shortest of them.", integer(*latency_ms_min));
    gauge(
        "packets_received",
        "Requests, words and handshakes taken from clients.",
        integer(*packets_received),
    );
    gauge(
        "packets_sent",
        "Replies, events and answers to words given to clients.",
        integer(*packets_sent),
    );
    gauge("num_alive_connections", "Connections open.", integer(*connections as u64));
    gauge(
        "outstanding_requests",
        "Requests taken that wait for the disk or for a reply.",
        integer(*outstanding_requests),
    );
    gauge(
        "znode_count",
        "Nodes, and one more: the root counts twice.",
        integer(*znode_count as u64),
    );
    gauge("watch_count", "Watches on data and on children.", integer(*watch_count as u64));
    gauge("ephemerals_count", "Ephemeral nodes.", integer(*ephemerals_count as u64));
    gauge("approximate_data_size", "Bytes of all paths and data.", integer(*approximate_data_size));
    if let Some(open) = descriptors.open {
        gauge("open_file_descriptor_count", "File descriptors the process has.", integer(open));
    }
    if let Some(max) = descriptors.max {
        gauge("max_file_descriptor_count", "File descriptors the process may have.", integer(max));
    }
    gauge("global_sessions", "Sessions.", integer(*global_sessions as u64));
    gauge("local_sessions", "Local sessions: there are none.", integer(0));
    gauge("uptime", "Milliseconds since the server began to serve.", integer(*uptime_ms));
    gauge(
        "last_client_response_size",
        "Bytes of the last reply, -1 before the first.",
        Value::Integer(*reply_bytes_last),
    );
    gauge(
        "max_client_response_size",
        "Bytes of the largest reply, -1 before the first.",
        Value::Integer(*reply_bytes_max),
    );
    gauge(
        "min_client_response_size",
        "Bytes of the smallest reply, -1 before the first.",
        Value::Integer(*reply_bytes_min),
    );
    gauges.push(Sample {
        name: "digest_mismatches_count",
        key: None,
        kind: Kind::Counter,
        help: "Transactions after which the tree's digest was not the one they were written with.",
        value: integer(*digest_mismatches),
    });
    gauges
}

fn integer(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}
