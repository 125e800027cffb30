//! What becomes of single lines, and of lines that belong together.

use super::*;

const BASE: &str = "dataDir=/data\nclientPort=2181\n";

fn parsed(lines: &str) -> Parsed {
    let text = format!("{BASE}{lines}");
    parse(text.as_bytes(), "zoo.cfg").unwrap_or_else(|errors| panic!("{lines}: {errors}"))
}

/// What is said of `lines`, which begin on line 3.
fn notices(lines: &str) -> Vec<(NoticeKind, String)> {
    let told = parsed(lines).notices;
    told.into_iter().map(|notice| (notice.kind, notice.to_string())).collect()
}

fn errors(text: &str) -> Vec<String> {
    let errors = parse(text.as_bytes(), "zoo.cfg").expect_err(text).errors;
    errors.iter().map(ToString::to_string).collect()
}

fn base_errors(lines: &str) -> Vec<String> {
    errors(&format!("{BASE}{lines}"))
}

#[test]
fn a_minimal_file_gets_the_defaults_without_a_word() {
    let Parsed { config, notices, .. } = parsed("");
    assert_eq!(notices, []);
    assert_eq!(
        config,
        Config {
            client_port: Some(2181),
            ..Config::defaults("/data".into(), "/data".into(), 3000)
        }
    );
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (6000, 60_000));
    assert_eq!(config.four_letter_whitelist.to_string(), "srvr");
}

#[test]
fn all_errors_are_told_in_the_order_of_the_file() {
    let told = errors("tickTime=0\nforceSync=maybe\nsslQuorum=true\n\nclientPort=x\nsnapCount=\n");
    assert_eq!(
        told,
        [
            "line 1: tickTime must be a whole number from 1 to 107374182, not \"0\"",
            "line 2: forceSync must be yes or no (in lower case), not \"maybe\"",
            "line 3: sslQuorum asks for protection that this version does not have \
         (TLS between servers); remove it to run without",
            "line 5: clientPort must be a whole number from 0 to 65535 (0 is no client port), \
         not \"x\"",
            "line 6: snapCount must be a whole number from 0 to 2147483647, not \"\"",
            "dataDir is missing: it must name the directory of the snapshots",
        ]
    );
    assert_eq!(errors("a=\\u1\nb=\\uxyza").len(), 2);
}

#[test]
fn what_asks_for_protection_refuses() {
    for line in [
        "secureClientPort=2281",
        "secureClientPort=x",
        "secureClientPortAddress=0.0.0.0",
        "sslQuorum=TRUE",
        "portUnification=true",
        "sslQuorumReloadCertFiles=true",
        "client.portUnification=true",
        "client.certReload=true",
        "ssl.keyStore.location=/ks.jks",
        "ssl.quorum.trustStore.password=geheim",
        "ssl.clientAuth=need",
        "ssl.quorum.hostnameVerification=true",
        "ssl.authProvider=x509",
        "quorum.auth.enableSasl=true",
        "quorum.auth.learnerRequireSasl=true",
        "quorum.auth.kerberos.servicePrincipal=zk/_HOST",
        "java.security.auth.login.config=/jaas.conf",
        "requireKerberosConfig=true",
        "sessionRequireClientSASLAuth=true",
        "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        "authProvider.key=org.apache.zookeeper.server.auth.KeyAuthenticationProvider",
        "authProvider.9=com.example.OurProvider",
        "admin.forceHttps=true",
        "admin.needClientAuth=true",
        "admin.portUnification=true",
        "metricsProvider.httpsPort=7443",
        "metricsProvider.ssl.keyStore.location=/ks.jks",
        // Without effect in Apache, but nobody writes this and wants no protection.
        "zookeeper.sslQuorum=true",
        "zookeeper.ssl.keyStore.location=/ks.jks",
        "zookeeper.sessionRequireClientSASLAuth=true",
        "zookeeper.enforce.auth.enabled=true",
        "zookeeper.ensembleAuthName=prod",
    ] {
        let told = base_errors(line);
        let key = line.split('=').next().unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("line 3: {key} asks for protection")), "{told:?}");
        assert!(!told[0].contains("geheim"), "{told:?}");
    }
}

#[test]
fn what_asks_for_no_protection_says_nothing() {
    for line in [
        "secureClientPort=0",
        "secureClientPort=",
        "sslQuorum=false",
        "portUnification=False",
        "client.portUnification=false",
        "ssl.hostnameVerification=false",
        "ssl.keyStore.password=",
        "ssl.clientAuth=NONE",
        "quorum.auth.enableSasl=false",
        "java.security.auth.login.config=",
        "sessionRequireClientSASLAuth=false",
        "enforce.auth.enabled=false",
        "DigestAuthenticationProvider.digestAlg=SHA1",
        "authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
        "authProvider.2=org.apache.zookeeper.server.auth.IPAuthenticationProvider",
        "admin.forceHttps=false",
        "metricsProvider.httpsPort=-1",
    ] {
        assert_eq!(notices(line), [], "{line}");
    }
}

#[test]
fn a_switch_for_protection_is_a_switch() {
    for line in ["sslQuorum=yes", "portUnification=1", "sessionRequireClientSASLAuth=on"] {
        let told = base_errors(line);
        assert!(told[0].contains("must be true or false"), "{told:?}");
    }
}

#[test]
fn a_key_without_effect_yet_is_named_once() {
    for line in [
        "admin.serverPort=8080",
        "admin.enableServer=true",
        "superUser=ops",
        "superUser.2=dev",
        "fips-mode=true",
        "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
        "observerMasterPort=2191",
    ] {
        let key = line.split('=').next().unwrap();
        let what = format!("line 3: {key} is known but not yet in effect in this version");
        assert_eq!(notices(line), [(NoticeKind::NotYet, what)], "{line}");
    }
}

#[test]
fn a_key_that_asks_for_what_is_so_anyway_needs_no_word() {
    for line in [
        "admin.enableServer=false",
        "autopurge.purgeInterval=0",
        "peerType=participant",
        "electionAlg=3",
        "standaloneEnabled=true",
        "leaderServes=yes",
        "maxCnxns=0",
    ] {
        assert_eq!(notices(line), [], "{line}");
    }
}

#[test]
fn what_apache_refuses_of_keys_without_effect_is_refused() {
    for (line, allowed) in [
        ("initLimit=ten", "a whole number"),
        ("syncLimit=", "a whole number"),
        ("peerType=leader", "participant or observer"),
        ("electionAlg=0", "3"),
        ("syncEnabled=yes", "true or false"),
        ("localSessionsEnabled=1", "true or false"),
    ] {
        let told = base_errors(line);
        assert!(told[0].starts_with("line 3: ") && told[0].contains(allowed), "{told:?}");
    }
}

#[test]
fn a_key_that_means_nothing_here_is_ignored_and_named() {
    for line in ["jvm.pause.monitor=true", "nio.numWorkerThreads=8", "serverCnxnFactory=x.Y"] {
        let told = notices(line);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, NoticeKind::Ignored, "{told:?}");
    }
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_one() {
    for (line, hint) in [
        ("clientport=2182", "did you mean clientPort?"),
        ("tickTimes=2000", "did you mean tickTime?"),
        ("snapcount=5", "did you mean snapCount?"),
        ("sslquorum=true", "did you mean sslQuorum?"),
        ("zookeeper.snapCuont=5", "did you mean snapCount?"),
        ("connectionmaxtokens=5", "did you mean connectionMaxTokens?"),
        ("wholly.different.thing=5", "is unknown and has no effect"),
    ] {
        let told = notices(line);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, NoticeKind::Unknown);
        assert!(told[0].1.starts_with("line 3: ") && told[0].1.ends_with(hint), "{told:?}");
    }
}

#[test]
fn a_key_with_the_prefix_of_properties_has_no_effect_and_is_told() {
    let Parsed { config, notices, .. } = parsed("zookeeper.snapCount=7");
    assert_eq!(config.snap_count, 100_000);
    let told = notices[0].to_string();
    assert!(told.starts_with("line 3: zookeeper.snapCount has no effect"), "{told}");
    assert!(told.contains("write snapCount"), "{told}");
}

#[test]
fn a_repeated_key_is_told_and_the_last_counts() {
    let Parsed { config, notices, .. } = parsed("clientPort=2182\n");
    assert_eq!(config.client_port, Some(2182));
    assert_eq!(
        notices[0].to_string(),
        "line 3: clientPort stands on line 2 too; this later line counts"
    );
}

#[test]
fn every_notice_is_one_line_and_shows_no_value() {
    let told =
        notices("a\\nb\\u0007=geheim\nzookeeper.superUser=geheim\nsuperUser=geheim\n=geheim");
    assert_eq!(told.len(), 4);
    for (_, line) in told {
        assert!(!line.contains('\n') && !line.contains("geheim"), "{line}");
    }
}

#[test]
fn client_port_and_address_go_together() {
    let address = |lines: &str| {
        let config = parse(format!("dataDir=/d\n{lines}").as_bytes(), "f").unwrap().config;
        (config.client_port_address, config.client_port)
    };
    assert_eq!(address("clientPort=1\nclientPortAddress=[::1]"), (Some("::1".to_owned()), Some(1)));
    assert_eq!(address("server.1=h:2:3;2181"), (None, Some(2181)));
    assert_eq!(
        address("clientPort=2181\nserver.1=h:2:3;10.0.0.1:2181"),
        (Some("10.0.0.1".to_owned()), Some(2181))
    );
    assert_eq!(
        address("clientPort=2181\nclientPortAddress=0.0.0.0\nserver.1=h:2:3;10.0.0.1:2181"),
        (Some("10.0.0.1".to_owned()), Some(2181))
    );
    assert_eq!(
        address("clientPort=2181\nclientPortAddress=10.0.0.2\nserver.1=h:2:3"),
        (Some("10.0.0.2".to_owned()), Some(2181))
    );
    for (lines, told) in [
        ("clientPortAddress=::1", "line 2: clientPortAddress needs a clientPort beside it"),
        (
            "clientPort=0\nclientPortAddress=::1",
            "line 3: clientPortAddress needs a clientPort beside it",
        ),
        (
            "clientPort=2182\nserver.1=h:2:3;2181",
            "line 2: clientPort is 2182, but the server line (line 3) has 2181",
        ),
        (
            "clientPort=2181\nclientPortAddress=10.0.0.2\nserver.1=h:2:3;2181",
            "line 3: clientPortAddress and the server line (line 4) have different addresses",
        ),
    ] {
        assert_eq!(errors(&format!("dataDir=/d\n{lines}")), [told]);
    }
    let told = parse(b"dataDir=/d", "f").unwrap_err();
    assert_eq!(told.errors[0].to_string(), "clientPort is not set: nobody could connect");
}

#[test]
fn session_timeouts_follow_the_tick_and_each_other() {
    let timeouts = |lines: &str| {
        let config = parsed(lines).config;
        (config.min_session_timeout_ms, config.max_session_timeout_ms)
    };
    assert_eq!(timeouts("tickTime=500"), (1000, 10_000));
    assert_eq!(timeouts("minSessionTimeout=-1\nmaxSessionTimeout=-1"), (6000, 60_000));
    assert_eq!(timeouts("maxSessionTimeout=60000000"), (6000, 60_000_000));
    assert_eq!(timeouts("tickTime=107374182").1, 2_147_483_640);
    for (lines, line) in [
        ("minSessionTimeout=9000\nmaxSessionTimeout=8000", "line 3: minSessionTimeout (9000 ms)"),
        ("maxSessionTimeout=5000", "line 3: minSessionTimeout (6000 ms)"),
        ("tickTime=100\nminSessionTimeout=9000", "line 4: minSessionTimeout (9000 ms)"),
        ("tickTime=x\nmaxSessionTimeout=5000", "line 3: tickTime must be"),
    ] {
        let told = base_errors(lines);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(line), "{told:?}");
    }
}

#[test]
fn extrasize_follows_maxbuffer() {
    let sizes = |lines: &str| {
        let config = parsed(lines).config;
        (config.jute_max_buffer, config.jute_max_buffer_extrasize)
    };
    assert_eq!(sizes(""), (1_048_575, 1_048_575));
    assert_eq!(sizes("jute.maxbuffer=0x400000"), (4_194_304, 4_194_304));
    assert_eq!(sizes("jute.maxbuffer=100"), (100, 1024));
    assert_eq!(sizes("jute.maxbuffer.extrasize=2000"), (1_048_575, 2000));
    assert_eq!(sizes("jute.maxbuffer.extrasize=5"), (1_048_575, 1024));
    assert_eq!(notices("jute.maxbuffer.extrasize=5").len(), 1);
}

#[test]
fn no_bytes_make_it_panic() {
    let text =
        b"dataDir=/d\nserver.1=[::1]:2888:3888|a:1:2:observer;[::]:2181;1\nclientPort=\\u0031\n";
    for at in 0..text.len() {
        for byte in [0, b'\n', b'\\', b'=', b':', b'[', b']', b';', b'|', b'-', 0xff] {
            let mut changed = text.to_vec();
            changed[at] = byte;
            if let Err(errors) = parse(&changed, "f") {
                assert!(!errors.errors.is_empty());
            }
            let _ = parse(&changed[..at], "f");
        }
    }
}
