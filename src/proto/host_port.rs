//! `host:port` as text, IPv6 hosts in brackets.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Takes `host:` off the front of `text`; what follows the colon remains. An IPv6 host loses its
/// brackets, and gets the form in which Java writes it ([`canonical`]).
pub fn split_host(text: &str) -> Option<(String, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            (host.contains(':').then_some(host)?, rest.strip_prefix(':')?)
        }
        None => text.split_once(':')?,
    };
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !"[];|,=/".contains(c);
    (!host.is_empty() && host.chars().all(fits)).then(|| (canonical(host), rest))
}

/// A host and a port, and nothing else.
pub fn split_host_port(text: &str) -> Option<(String, u16)> {
    let (host, rest) = split_host(text)?;
    Some((host, port(rest)?))
}

/// A port that somebody else can connect to: 1 to 65535 in decimal digits.
pub fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|&port| port != 0)
}

/// A host as Java writes it: an IPv6 address with all of its eight groups, one that only wraps an
/// IPv4 address as that; anything else unchanged.
pub fn canonical(host: &str) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => match address.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => address.segments().map(|group| format!("{group:x}")).join(":"),
        },
        Err(_) => host.to_owned(),
    }
}

/// Whether `host` stands for every address of whichever machine reads it (`0.0.0.0`, `::`).
pub fn is_wildcard(host: &str) -> bool {
    host.parse().is_ok_and(|address: IpAddr| address.is_unspecified())
}

/// Whether `host` is the machine itself, whichever reads it.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Writes a host, an IPv6 one in brackets.
pub struct Delimited<'a>(pub &'a str);

impl fmt::Display for Delimited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_be_a_name_or_an_address_and_ipv6_stands_in_brackets() {
        for (text, host, port) in [
            ("zk-1.zk.svc:2888", "zk-1.zk.svc", 2888),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:65535", "0:0:0:0:0:0:0:1", 65535),
            ("[fd00::A:1]:2", "fd00:0:0:0:0:0:a:1", 2),
            ("[::ffff:10.0.0.1]:2", "10.0.0.1", 2),
            ("[fe80::1%eth0]:2", "fe80::1%eth0", 2),
        ] {
            assert_eq!(split_host_port(text), Some((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "", ":", "h", "h:", ":1", "h:0", "h:65536", "h:-1", "h:+1", "h:1 ", "h h:1", "::1:5",
            "[::1]", "[::1", "[::1]5", "[h]:5", "[]:5", "h:1:2", "a|b:1", "h:٣",
        ] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
    }

    #[test]
    fn wildcards_and_the_own_machine_say_nothing_to_others() {
        assert!(is_wildcard("0.0.0.0") && is_wildcard("::") && is_wildcard("0:0:0:0:0:0:0:0"));
        assert!(!is_wildcard("h") && !is_wildcard("127.0.0.1"));
        assert!(is_loopback("127.0.0.9") && is_loopback("LocalHost") && is_loopback("::1"));
        assert!(!is_loopback("10.0.0.1") && !is_loopback("h"));
    }
}
