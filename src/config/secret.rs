//! A value that is used but never shown.

use std::fmt;

/// A configured secret. `Debug` and `Display` show that there is one, not which.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands in place of a secret wherever one would be shown.
pub const REDACTED: &str = "***";

impl Secret {
    /// Keeps `value` out of sight.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The secret itself, for comparing; not for logging.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Whether the value of `key` must not be shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // `passwordPath` names a file, but a file that is meant to be found by few.
    ["password", "passwd", "superdigest", "secret", "credential"].iter().any(|s| key.contains(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_that_it_is_there() {
        let secret = Secret::new("super:hash");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "super:hash");
    }

    #[test]
    fn keys_that_carry_secrets_are_known_by_name() {
        for key in [
            "DigestAuthenticationProvider.superDigest",
            "SASLAuthenticationProvider.superPassword",
            "ssl.keyStore.password",
            "ssl.quorum.trustStore.passwordPath",
            "metricsProvider.ssl.keyStore.password",
        ] {
            assert!(is_secret(key), "{key}");
        }
        assert!(!is_secret("clientPort"));
    }
}
