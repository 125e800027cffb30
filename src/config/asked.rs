//! Whether a value asks for something the server does not do.

use super::access::is_our_provider;
use super::keys::{Asks, Form};
use super::values::{Allowed, boolean, decimal};

/// Whether a value wants anything of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is met as things are.
    Nothing,
    /// It is not.
    Something,
}

impl Asked {
    fn unless(idle: bool) -> Asked {
        if idle { Asked::Nothing } else { Asked::Something }
    }
}

/// Whether `value` asks for protection.
pub fn asked(asks: Asks, value: &str) -> Result<Asked, Allowed> {
    let idle = match asks {
        _ if value.is_empty() => true,
        Asks::True => !boolean(value)?,
        Asks::UnlessFalse => value.eq_ignore_ascii_case("false"),
        Asks::Unless(word) => value.eq_ignore_ascii_case(word),
        // -1 is what some keys call no port.
        Asks::Port => decimal::<i64>(value, i64::MIN..=i64::MAX).is_ok_and(|port| port <= 0),
        Asks::OtherProvider => is_our_provider(value),
    };
    Ok(Asked::unless(idle))
}

/// Whether `value` asks for something that has no effect yet; an error where Apache would refuse it.
pub fn check_form(form: Form, value: &str) -> Result<Asked, Allowed> {
    const I32: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
    let idle = match form {
        Form::Text(idle) => idle.is_some_and(|idle| value == idle),
        Form::Int(idle) => Some(decimal::<i32>(value, I32)?) == idle,
    };
    Ok(Asked::unless(idle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_is_asked_for_by_value() {
        let something = |asks, value| asked(asks, value) == Ok(Asked::Something);
        assert!(something(Asks::True, "True") && !something(Asks::True, "false"));
        assert!(asked(Asks::True, "yes").is_err());
        assert!(something(Asks::UnlessFalse, "need") && !something(Asks::UnlessFalse, "FALSE"));
        assert!(
            something(Asks::Unless("none"), "want") && !something(Asks::Unless("none"), "None")
        );
        assert!(something(Asks::Port, "2281") && something(Asks::Port, "x"));
        assert!(!something(Asks::Port, "0") && !something(Asks::Port, "-1"));
        assert!(something(Asks::OtherProvider, "DigestAuthenticationProvider"));
        for asks in [Asks::True, Asks::UnlessFalse, Asks::Port, Asks::OtherProvider] {
            assert!(!something(asks, ""));
        }
    }
}
