//! `mntr`: the server's metrics, a line for each number.

use std::fmt::{Display, Write as _};

use crate::metrics::{Digest, Kind, Sample, Value};
use crate::operator::java_text;
use crate::proto::ServerState;
use crate::status::{Descriptors, MemberStatus, Status, gauges};

/// What tools look for comes first, as some read no further than 2048 bytes. Then Apache's order:
/// what was counted, then what was measured.
pub(super) fn mntr(
    version: &str,
    status: &Status,
    descriptors: Descriptors,
    mut metrics: Vec<Sample>,
) -> String {
    let member = status.member.as_deref();
    let mode = member.map_or("standalone", MemberStatus::mode);
    let mut text = format!("zk_version\t{version}\nzk_server_state\t{mode}\n");
    if let Some(member) = member {
        line("", "peer_state", &member.peer_state(), &mut text);
        if let (ServerState::Observing, Some(leader)) = (member.stage.state, member.leader) {
            line("", "observer_master_id", &leader.0, &mut text);
        }
    }
    for gauge in gauges(status, descriptors) {
        lines(&gauge, &mut text);
    }
    for learner in member.iter().flat_map(|member| &member.learners) {
        if let Some((sid, _)) = learner.peer {
            line("", &format!("{}_learner_state", sid.0), &learner.peer_state(), &mut text);
        }
    }
    metrics.sort_by_key(|sample| match sample.kind {
        Kind::Gauge => 0,
        Kind::Counter => 1,
        Kind::Basic if sample.key.is_none() => 2,
        Kind::Advanced if sample.key.is_none() => 3,
        Kind::Basic | Kind::Advanced => 4,
    });
    for sample in &metrics {
        lines(sample, &mut text);
    }
    text
}

fn lines(sample: &Sample, text: &mut String) {
    let name = match &sample.key {
        Some(key) => format!("{}_{}", as_word(key), sample.name),
        None => sample.name.to_owned(),
    };
    match &sample.value {
        Value::Integer(n) => line("", &name, n, text),
        Value::Decimal(x) => line("", &name, &java_text::double(*x), text),
        Value::Digest(digest) => {
            let Digest { count, sum, min, max, percentiles } = digest;
            line("avg_", &name, &java_text::double(digest.avg()), text);
            line("min_", &name, min, text);
            line("max_", &name, max, text);
            line("cnt_", &name, count, text);
            line("sum_", &name, sum, text);
            let percentiles = percentiles.iter().flatten();
            for (which, value) in ["p50_", "p95_", "p99_", "p999_"].iter().zip(percentiles) {
                line(which, &name, value, text);
            }
        }
    }
}

fn line(which: &str, name: &str, value: &dyn Display, text: &mut String) {
    let _ = writeln!(text, "zk_{which}{name}\t{value}");
}

/// A member's name within a key. Clients choose it, and tools read a key up to the first blank
/// and know no other characters than these.
fn as_word(key: &str) -> String {
    let is_of_words = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    key.chars().map(|c| if is_of_words(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(key: Option<&str>, kind: Kind, value: Value) -> String {
        let key = key.map(str::to_owned);
        let mut text = String::new();
        lines(&Sample { name: "name", key, kind, help: "", value }, &mut text);
        text
    }

    #[test]
    fn numbers_are_javas() {
        assert_eq!(told(None, Kind::Counter, Value::Integer(-1)), "zk_name\t-1\n");
        assert_eq!(told(None, Kind::Gauge, Value::Decimal(2.0 / 3.0)), "zk_name\t0.6667\n");
    }

    #[test]
    fn a_summary_is_a_line_for_each_of_its_numbers() {
        let digest = Digest { count: 3, sum: 4, min: 0, max: 2, percentiles: None };
        let basic = "zk_avg_name\t1.3333\nzk_min_name\t0\nzk_max_name\t2\nzk_cnt_name\t3\n\
                     zk_sum_name\t4\n";
        assert_eq!(told(None, Kind::Basic, Value::Digest(digest)), basic);
        let digest = Digest { percentiles: Some([1, 2, 2, 2]), ..digest };
        let more = "zk_p50_name\t1\nzk_p95_name\t2\nzk_p99_name\t2\nzk_p999_name\t2\n";
        assert_eq!(told(None, Kind::Advanced, Value::Digest(digest)), format!("{basic}{more}"));
    }

    #[test]
    fn a_name_that_a_client_chose_breaks_no_line() {
        let told = told(Some("a\tb\nc d-é.1"), Kind::Counter, Value::Integer(1));
        assert_eq!(told, "zk_a_b_c_d-_.1_name\t1\n");
    }
}
