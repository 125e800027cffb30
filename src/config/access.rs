//! Who may come in: what the keys of authentication mean together, once all of them are known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::notice::{NoticeKind, printable};
use super::parse::Draft;
use super::secret::Secret;
use super::setting::Setting;

const PACKAGE: &str = "org.apache.zookeeper.server.auth.";
const DIGEST_PROVIDER: &str = "DigestAuthenticationProvider";
const IP_PROVIDER: &str = "IPAuthenticationProvider";
const ENSEMBLE_PROVIDER: &str = "EnsembleAuthenticationProvider";

/// Whether `authProvider.*` may name this class: its scheme exists here.
pub fn is_our_provider(class: &str) -> bool {
    [DIGEST_PROVIDER, IP_PROVIDER, ENSEMBLE_PROVIDER].into_iter().any(|name| is_class(class, name))
}

/// What `authProvider.*` asks for that is not here, in words.
pub fn missing_provider(class: &str) -> &'static str {
    match class.strip_prefix(PACKAGE) {
        Some("SASLAuthenticationProvider") => "SASL",
        Some("X509AuthenticationProvider") => "TLS",
        Some("KeyAuthenticationProvider") => {
            "Apache ZooKeeper's sample of a provider, which opens to every multiple of a number \
             that anyone may read"
        }
        _ => "an authentication provider of your own, which is a Java class",
    }
}

fn is_class(class: &str, name: &str) -> bool {
    class.strip_prefix(PACKAGE) == Some(name)
}

/// Whether a key that is in effect asks for protection: written so that it has none, it must not be
/// passed over with a warning.
pub fn protects(key: &str, value: &str) -> bool {
    matches!(key, "enforce.auth.enabled" | "ensembleAuthName")
        && !value.is_empty()
        && !value.eq_ignore_ascii_case("false")
}

impl Draft {
    /// Checks what concerns several keys of authentication.
    pub(super) fn finish_access(&mut self, settings: &[Setting]) {
        let find = |key: &str| settings.iter().find(|setting| setting.key == key);
        let provider = |name: &str| {
            settings.iter().find(|setting| {
                setting.key.starts_with("authProvider.") && is_class(&setting.value, name)
            })
        };
        self.config.ensemble_scheme =
            !self.config.ensemble_auth_names.is_empty() || provider(ENSEMBLE_PROVIDER).is_some();
        if let Some(digest) = provider(DIGEST_PROVIDER)
            && !self.config.digest_provider_enabled
        {
            let what = "names the provider that DigestAuthenticationProvider.enabled=false turns \
                        off; leave one of the two out";
            self.refuse(&digest.written, Some(digest.origin), what.to_owned());
        }
        if let Some(setting) = find("DigestAuthenticationProvider.superDigest") {
            self.finish_super_digest(setting);
        }
        self.finish_enforced(find("enforce.auth.enabled"), find("enforce.auth.schemes"));
    }

    /// `name:base64(hash(name:password))`. Any other text could never match, and so would lock
    /// out the super user without a word.
    fn finish_super_digest(&mut self, setting: &Setting) {
        if setting.value.is_empty() {
            return;
        }
        let algorithm = self.config.digest_algorithm;
        let fits = setting.value.split_once(':').is_some_and(|(name, hash)| {
            let bytes = STANDARD.decode(hash).map(|hash| hash.len());
            !name.is_empty() && bytes == Ok(algorithm.bytes())
        });
        if fits {
            self.config.super_digest = Some(Secret::new(setting.value.as_str()));
        } else {
            let allowed = format!(
                "name:digest, the digest being base64 of the {} of name:password ({} characters), \
                 as ZooKeeper's DigestAuthenticationProvider prints it",
                algorithm.name(),
                algorithm.bytes().div_ceil(3) * 4
            );
            self.wrong(setting, &allowed);
        }
    }

    /// `enforce.auth.*`: each scheme must be one that can give an identity.
    fn finish_enforced(&mut self, enabled: Option<&Setting>, schemes: Option<&Setting>) {
        let (Some(enabled), true) = (enabled, self.config.enforce_auth_enabled) else {
            if let Some(schemes) = schemes {
                let what = "has no effect without enforce.auth.enabled=true: nobody has to \
                            authenticate";
                self.notice(NoticeKind::Warning, schemes, what.to_owned());
            }
            return;
        };
        let Some(schemes) = schemes else {
            let what = "is true, but enforce.auth.schemes does not say which schemes suffice";
            return self.refuse(&enabled.written, Some(enabled.origin), what.to_owned());
        };
        let digest = self.config.digest_provider_enabled.then_some("digest");
        let available: Vec<&str> = digest.into_iter().chain(["ip"]).collect();
        let names = self.config.enforce_auth_schemes.iter();
        let unknown: Vec<String> = names
            .filter(|name| !available.contains(&name.as_str()))
            .map(|name| format!("\"{}\"", printable(name)))
            .collect();
        if !unknown.is_empty() {
            let what = format!(
                "lists {}, by which nobody could authenticate here; there is {}",
                unknown.join(", "),
                available.join(" and ")
            );
            self.refuse(&schemes.written, Some(schemes.origin), what);
        } else if self.config.enforce_auth_schemes.iter().any(|name| name == "ip") {
            let what = "lists ip, which every connection has from the start: nobody has to \
                        authenticate";
            self.notice(NoticeKind::Warning, schemes, what.to_owned());
        }
    }
}

/// The names between commas, blanks taken off. As Java splits: what is empty at the end does not
/// count, elsewhere it does.
pub fn names(value: &str) -> Vec<String> {
    let kept = value.trim_end_matches(',');
    kept.split(',').map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};
    use super::*;

    const CLASS: &str = "authProvider.1=org.apache.zookeeper.server.auth.";

    fn parsed(lines: &str) -> Result<(Config, Vec<String>), String> {
        let text = format!("dataDir=/data\nclientPort=2181\n{lines}");
        let told = |notices: Vec<super::super::Notice>| {
            notices.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        parse(text.as_bytes(), "zoo.cfg")
            .map(|parsed| (parsed.config, told(parsed.notices)))
            .map_err(|errors| errors.to_string())
    }

    /// C-205
    #[test]
    fn enforced_authentication_needs_schemes_that_exist() {
        for (lines, told) in [
            ("enforce.auth.enabled=true", "enforce.auth.schemes does not say"),
            ("enforce.auth.enabled=true\nenforce.auth.schemes=", "lists \"\", by which nobody"),
            ("enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl", "lists \"sasl\""),
            ("enforce.auth.enabled=true\nenforce.auth.schemes=digest,,ip", "lists \"\""),
            ("enforce.auth.enabled=TRUE\nenforce.auth.schemes=super,world", "\"super\", \"world\""),
            ("enforce.auth.enabled=true\nenforce.auth.schemes=Digest", "there is digest and ip"),
            (
                "DigestAuthenticationProvider.enabled=false\nenforce.auth.enabled=true\n\
                 enforce.auth.schemes=digest",
                "lists \"digest\", by which nobody could authenticate here; there is ip",
            ),
        ] {
            let error = parsed(lines).expect_err(lines);
            assert!(error.contains(told), "{lines}: {error}");
        }
        let (config, notices) =
            parsed("enforce.auth.enabled=true\nenforce.auth.schemes= digest ,").unwrap();
        assert_eq!((config.enforce_auth_enabled, notices), (true, vec![]));
        assert_eq!(config.enforce_auth_schemes, ["digest"]);
    }

    #[test]
    fn what_enforces_nothing_is_told() {
        for lines in [
            "enforce.auth.schemes=nosuch",
            "enforce.auth.enabled=false\nenforce.auth.schemes=digest",
            "enforce.auth.enabled=true\nenforce.auth.schemes=digest,ip",
        ] {
            let (_, notices) = parsed(lines).unwrap();
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert!(notices[0].contains("nobody has to authenticate"), "{notices:?}");
        }
    }

    #[test]
    fn the_super_digest_is_of_the_algorithm_wherever_that_stands() {
        let sha1 = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
        let sha3 = "DigestAuthenticationProvider.superDigest=\
                    super:cRy/KPYuDpW/dtsepniTMpuiuupnWgdU9txltIfv3hA=";
        let algorithm = "DigestAuthenticationProvider.digestAlg=sha3-256";
        assert!(parsed(sha1).unwrap().0.super_digest.is_some());
        assert!(parsed(&format!("{sha3}\n{algorithm}")).unwrap().0.super_digest.is_some());
        let error = parsed(&format!("{algorithm}\n{sha1}")).expect_err("too short");
        assert!(error.contains("base64 of the SHA3-256 of name:password (44 characters)"));
        assert!(!error.contains("InIHSb"), "{error}");
    }

    #[test]
    fn the_ensemble_scheme_comes_with_its_names_or_its_provider() {
        let (config, notices) = parsed("").unwrap();
        assert_eq!((config.ensemble_scheme, notices), (false, vec![]));
        let (config, notices) = parsed("ensembleAuthName=prod, stage").unwrap();
        assert_eq!((config.ensemble_scheme, notices), (true, vec![]));
        assert_eq!(config.ensemble_auth_names, ["prod", "stage"]);
        let (config, notices) = parsed(&format!("{CLASS}{ENSEMBLE_PROVIDER}")).unwrap();
        assert_eq!((config.ensemble_scheme, notices), (true, vec![]));
        assert!(config.ensemble_auth_names.is_empty());
        assert!(!parsed("ensembleAuthName=").unwrap().0.ensemble_scheme);
    }

    #[test]
    fn providers_that_are_not_here_refuse_by_their_names() {
        for (class, told) in [
            ("SASLAuthenticationProvider", "(SASL)"),
            ("X509AuthenticationProvider", "(TLS)"),
            ("KeyAuthenticationProvider", "sample of a provider"),
            ("NoSuchProvider", "which is a Java class"),
        ] {
            let error = parsed(&format!("{CLASS}{class}")).expect_err(class);
            assert!(error.contains("authProvider.1 asks for protection"), "{error}");
            assert!(error.contains(told), "{error}");
        }
        for class in [DIGEST_PROVIDER, IP_PROVIDER] {
            assert_eq!(parsed(&format!("{CLASS}{class}")).unwrap().1, [""; 0]);
        }
    }

    #[test]
    fn a_provider_that_is_named_and_turned_off_refuses() {
        let lines = format!("DigestAuthenticationProvider.enabled=false\n{CLASS}{DIGEST_PROVIDER}");
        let error = parsed(&lines).expect_err("a contradiction");
        assert!(error.contains("line 4: authProvider.1 names the provider that"), "{error}");
    }
}
