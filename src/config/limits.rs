//! Limits that are off unless a key sets them: on connections, on requests, on large requests.
//!
//! Each field has Apache ZooKeeper's default, with which nothing is limited.

use super::values::{Allowed, boolean, decimal, decoded};

/// What clients may ask of the server at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `maxCnxns`: client connections of the server; 0 is without limit.
    pub max_cnxns: u32,
    /// `clientTcpKeepAlive`: the system probes connections that are silent (SO_KEEPALIVE).
    pub client_tcp_keep_alive: bool,
    /// `largeRequestThreshold`: a request of more bytes is large; not positive is off.
    pub large_request_threshold: i32,
    /// `largeRequestMaxBytes`: the large requests under way together, in bytes.
    pub large_request_max_bytes: u32,
    /// The keys `request_throttle_*` and their like.
    pub requests: RequestThrottle,
    /// The keys `connection_throttle_*`.
    pub connections: ConnectionThrottle,
}

/// When a request waits, is dropped, or is answered with THROTTLEDOP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestThrottle {
    /// `request_throttle_max_requests`: requests under way above which further ones wait; 0 is off.
    pub max_requests: u32,
    /// `request_throttle_stall_time`: waiting requests are looked at again after this, ms.
    pub stall_time_ms: u32,
    /// `request_throttle_drop_stale`: a request that is stale is dropped, and its connection closed.
    pub drop_stale: bool,
    /// `request_stale_connection_check`: the request of a closed connection is stale.
    pub stale_connection_check: bool,
    /// `request_stale_latency_check`: a request older than its session's timeout is stale.
    pub stale_latency_check: bool,
    /// `throttled_op_wait_time`: who waited longer is told so instead, ms; 0 is off.
    pub throttled_op_wait_ms: u32,
}

/// How many sessions may begin in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionThrottle {
    /// `connection_throttle_tokens`: what the bucket holds; 0 is off.
    pub tokens: u32,
    /// `connection_throttle_fill_time`: the period in which it is filled, ms.
    pub fill_time_ms: u32,
    /// `connection_throttle_fill_count`: the tokens of one period.
    pub fill_count: u32,
    /// `connection_throttle_freeze_time`: how often the probability of a refusal changes, ms.
    /// None: nothing is refused by chance.
    pub freeze_time_ms: Option<u32>,
    /// `connection_throttle_drop_increase`: added to it while the bucket is empty.
    pub drop_increase: Ratio,
    /// `connection_throttle_drop_decrease`: taken from it while the bucket is full enough.
    pub drop_decrease: Ratio,
    /// `connection_throttle_decrease_ratio`: full enough is when no larger part is missing.
    pub decrease_ratio: Ratio,
    /// `connection_throttle_weight_enabled`: kinds of sessions cost differently.
    pub weight_enabled: bool,
    /// `connection_throttle_global_session_weight`: tokens of a new session.
    pub global_session_weight: u32,
    /// `connection_throttle_local_session_weight`: tokens of a new local session.
    pub local_session_weight: u32,
    /// `connection_throttle_renew_session_weight`: tokens of a session that goes on.
    pub renew_session_weight: u32,
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(f64);

/// It is never NaN.
impl Eq for Ratio {}

impl Ratio {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// `number` if it is one of these.
    pub(super) fn new(number: f64) -> Option<Self> {
        (0.0..=1.0).contains(&number).then_some(Ratio(number))
    }

    fn parse(value: &str) -> Result<Self, Allowed> {
        let number = value.parse::<f64>().ok().and_then(Ratio::new);
        number.ok_or_else(|| "a number from 0 to 1".to_owned())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_cnxns: 0,
            client_tcp_keep_alive: false,
            large_request_threshold: -1,
            large_request_max_bytes: 100 << 20,
            requests: RequestThrottle {
                max_requests: 0,
                stall_time_ms: 100,
                drop_stale: true,
                stale_connection_check: true,
                stale_latency_check: false,
                throttled_op_wait_ms: 0,
            },
            connections: ConnectionThrottle {
                tokens: 0,
                fill_time_ms: 1,
                fill_count: 1,
                freeze_time_ms: None,
                drop_increase: Ratio(0.02),
                drop_decrease: Ratio(0.002),
                decrease_ratio: Ratio(0.0),
                weight_enabled: false,
                global_session_weight: 3,
                local_session_weight: 1,
                renew_session_weight: 2,
            },
        }
    }
}

impl Limits {
    /// Takes the value of `key`; `None` if the key is none of these.
    pub(super) fn take(&mut self, key: &str, value: &str) -> Option<Result<(), Allowed>> {
        self.try_take(key, value)
            .map_or_else(|refused| Some(Err(refused)), |known| known.then_some(Ok(())))
    }

    fn try_take(&mut self, key: &str, value: &str) -> Result<bool, Allowed> {
        const MAX: i64 = i32::MAX as i64;
        let without_limit = |allowed| format!("{allowed} (0 is without limit)");
        let off = |allowed| format!("{allowed} (0 is off)");
        let Limits { requests, connections, .. } = self;
        match key {
            "maxCnxns" => self.max_cnxns = decoded(value, 0..=MAX).map_err(without_limit)?,
            "clientTcpKeepAlive" => self.client_tcp_keep_alive = boolean(value)?,
            "largeRequestThreshold" => {
                self.large_request_threshold =
                    decoded(value, -1..=MAX).map_err(|allowed| format!("{allowed} (-1 is off)"))?;
            }
            "largeRequestMaxBytes" => self.large_request_max_bytes = decoded(value, 1..=MAX)?,
            "request_throttle_max_requests" => {
                requests.max_requests = decoded(value, 0..=MAX).map_err(off)?;
            }
            "request_throttle_stall_time" => requests.stall_time_ms = decoded(value, 1..=MAX)?,
            "request_throttle_drop_stale" => requests.drop_stale = boolean(value)?,
            "request_stale_connection_check" => requests.stale_connection_check = boolean(value)?,
            "request_stale_latency_check" => requests.stale_latency_check = boolean(value)?,
            "throttled_op_wait_time" => {
                requests.throttled_op_wait_ms = decoded(value, 0..=MAX).map_err(off)?;
            }
            "connection_throttle_tokens" => {
                connections.tokens = decoded(value, 0..=MAX).map_err(off)?;
            }
            "connection_throttle_fill_time" => connections.fill_time_ms = decoded(value, 1..=MAX)?,
            "connection_throttle_fill_count" => connections.fill_count = decoded(value, 1..=MAX)?,
            "connection_throttle_freeze_time" => {
                let millis: i32 =
                    decimal(value, -1..=MAX).map_err(|allowed| format!("{allowed} (-1 is off)"))?;
                connections.freeze_time_ms = u32::try_from(millis).ok();
            }
            "connection_throttle_drop_increase" => {
                connections.drop_increase = Ratio::parse(value)?;
            }
            "connection_throttle_drop_decrease" => {
                connections.drop_decrease = Ratio::parse(value)?;
            }
            "connection_throttle_decrease_ratio" => {
                connections.decrease_ratio = Ratio::parse(value)?;
            }
            "connection_throttle_weight_enabled" => connections.weight_enabled = boolean(value)?,
            "connection_throttle_global_session_weight" => {
                connections.global_session_weight = decoded(value, 1..=MAX)?;
            }
            "connection_throttle_local_session_weight" => {
                connections.local_session_weight = decoded(value, 1..=MAX)?;
            }
            "connection_throttle_renew_session_weight" => {
                connections.renew_session_weight = decoded(value, 1..=MAX)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Every key and its value, in `zoo.cfg`'s words.
    pub(super) fn effective(&self) -> Vec<(&'static str, String)> {
        let Limits { requests, connections, .. } = self;
        let freeze = connections.freeze_time_ms.map_or("-1".to_owned(), |ms| ms.to_string());
        let weights = [
            ("connection_throttle_global_session_weight", connections.global_session_weight),
            ("connection_throttle_local_session_weight", connections.local_session_weight),
            ("connection_throttle_renew_session_weight", connections.renew_session_weight),
        ];
        let mut pairs = vec![
            ("maxCnxns", self.max_cnxns.to_string()),
            ("clientTcpKeepAlive", self.client_tcp_keep_alive.to_string()),
            ("largeRequestThreshold", self.large_request_threshold.to_string()),
            ("largeRequestMaxBytes", self.large_request_max_bytes.to_string()),
            ("request_throttle_max_requests", requests.max_requests.to_string()),
            ("request_throttle_stall_time", requests.stall_time_ms.to_string()),
            ("request_throttle_drop_stale", requests.drop_stale.to_string()),
            ("request_stale_connection_check", requests.stale_connection_check.to_string()),
            ("request_stale_latency_check", requests.stale_latency_check.to_string()),
            ("throttled_op_wait_time", requests.throttled_op_wait_ms.to_string()),
            ("connection_throttle_tokens", connections.tokens.to_string()),
            ("connection_throttle_fill_time", connections.fill_time_ms.to_string()),
            ("connection_throttle_fill_count", connections.fill_count.to_string()),
            ("connection_throttle_freeze_time", freeze),
            ("connection_throttle_drop_increase", connections.drop_increase.get().to_string()),
            ("connection_throttle_drop_decrease", connections.drop_decrease.get().to_string()),
            ("connection_throttle_decrease_ratio", connections.decrease_ratio.get().to_string()),
            ("connection_throttle_weight_enabled", connections.weight_enabled.to_string()),
        ];
        pairs.extend(weights.map(|(key, weight)| (key, weight.to_string())));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(limits: &Limits, key: &str) -> String {
        limits.effective().into_iter().find(|(name, _)| *name == key).expect("told").1
    }

    #[test]
    fn every_key_is_taken_and_told_and_changes_no_other() {
        let other = |key: &str, default: &str| match default {
            "true" => "false".to_owned(),
            "false" => "true".to_owned(),
            _ if key.contains("_drop_") || key.ends_with("_ratio") => "0.5".to_owned(),
            _ => "7".to_owned(),
        };
        let defaults = Limits::default().effective();
        assert_eq!(defaults.len(), 21);
        for (key, default) in &defaults {
            let given = other(key, default);
            let mut limits = Limits::default();
            limits.take(key, &given).expect("known").expect("allowed");
            for (name, value) in &defaults {
                let expected = if name == key { &given } else { value };
                assert_eq!(&value_of(&limits, name), expected, "{key} and {name}");
            }
        }
        assert_eq!(Limits::default().take("maxClientCnxns", "7"), None);
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        for (key, value) in [
            ("maxCnxns", "-1"),
            ("clientTcpKeepAlive", "yes"),
            ("largeRequestThreshold", "-2"),
            ("largeRequestMaxBytes", "0"),
            ("request_throttle_stall_time", "0"),
            ("connection_throttle_fill_time", "0"),
            ("connection_throttle_freeze_time", "-2"),
            ("connection_throttle_drop_increase", "1.5"),
            ("connection_throttle_drop_decrease", "NaN"),
            ("connection_throttle_decrease_ratio", "-0.1"),
            ("connection_throttle_global_session_weight", "0"),
        ] {
            assert!(Limits::default().take(key, value).expect("known").is_err(), "{key}={value}");
        }
    }
}
