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
        proposal_bytes_last: _,
        proposal_bytes_min: _,
        proposal_bytes_max: _,
        member,
    } = status;
    let local_sessions = member.as_ref().map_or(0, |member| member.local_sessions);
    let mut gauges = Vec::with_capacity(40);
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
    gauge(
        "local_sessions",
        "Sessions that only this server knows (localSessionsEnabled).",
        integer(local_sessions as u64),
    );
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
    gauges.extend(members_gauges(status));
    gauges.push(Sample {
        name: "digest_mismatches_count",
        key: None,
        kind: Kind::Counter,
        help: "Transactions after which the tree's digest was not the one they were written with.",
        value: integer(*digest_mismatches),
    });
    gauges
}

/// What only a member of an ensemble has, and most of it only a leader.
fn members_gauges(status: &Status) -> Vec<Sample> {
    let Some(member) = &status.member else { return Vec::new() };
    let mut gauges = Vec::new();
    let mut gauge = |name, help, value| {
        gauges.push(Sample { name, key: None, kind: Kind::Gauge, help, value });
    };
    if member.leads() {
        let (followers, non_voting, observers) = member.synced();
        gauge("learners", "Learners connected.", integer(member.learners.len() as u64));
        gauge(
            "synced_followers",
            "Followers that have acknowledged that they have everything.",
            integer(followers as u64),
        );
        gauge(
            "synced_non_voting_followers",
            "Those of them without a vote in the configuration in force.",
            integer(non_voting as u64),
        );
        gauge(
            "synced_observers",
            "Observers that have acknowledged that they have everything.",
            integer(observers as u64),
        );
        gauge(
            "pending_syncs",
            "Syncs of learners' clients that are not answered yet.",
            integer(member.pending_syncs as u64),
        );
        gauge(
            "leader_uptime",
            "Milliseconds since this server began to lead.",
            integer(status.uptime_ms),
        );
        gauge(
            "last_proposal_size",
            "Bytes of the last proposal, -1 before the first.",
            Value::Integer(status.proposal_bytes_last),
        );
        gauge(
            "max_proposal_size",
            "Bytes of the largest proposal, -1 before the first.",
            Value::Integer(status.proposal_bytes_max),
        );
        gauge(
            "min_proposal_size",
            "Bytes of the smallest proposal, -1 before the first.",
            Value::Integer(status.proposal_bytes_min),
        );
    }
    let voters = member.config.voters().count();
    gauge("quorum_size", "Members with a vote.", integer(voters as u64));
    for learner in &member.learners {
        let Some((sid, _)) = learner.peer else { continue };
        let mut gauge = |name, help, n| {
            let (key, kind, value) = (Some(sid.0.to_string()), Kind::Gauge, integer(n));
            gauges.push(Sample { name, key, kind, help, value });
        };
        gauge(
            "learner_synced",
            "1 when this learner has acknowledged that it has everything; zkserver's own.",
            u64::from(learner.is_synced),
        );
        gauge(
            "learner_queued_bytes",
            "Bytes that wait to be sent to this learner; zkserver's own.",
            learner.queued_bytes,
        );
        gauge(
            "learner_silent_ms",
            "Milliseconds since something was heard of this learner; zkserver's own.",
            learner.silent_ms,
        );
        gauge(
            "learner_unacknowledged_ms",
            "Milliseconds for which this learner owes the acknowledgement of a proposal; zkserver's own.",
            learner.unacknowledged_ms,
        );
    }
    gauges
}

fn integer(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}
