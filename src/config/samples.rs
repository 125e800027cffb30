//! Files as they are found in the field, read whole.
//!
//! Comments and order are shortened; the keys and values are those of the products named.

use super::{Config, EnsembleConfig, File, Given, NoticeKind, Parsed, parse, resolve};
use crate::proto::Sid;

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), "zoo.cfg").unwrap_or_else(|errors| panic!("{errors}"))
}

fn keys_told(parsed: &Parsed, kind: NoticeKind) -> Vec<&str> {
    let of_kind = parsed.notices.iter().filter(|notice| notice.kind == kind);
    of_kind.map(|notice| notice.key.as_str()).collect()
}

fn errors(text: &str) -> Vec<String> {
    let errors = parse(text.as_bytes(), "zoo.cfg").expect_err(text).errors;
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_sample_that_comes_with_apache_zookeeper() {
    let parsed = read(
        "# basic unit\ntickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/tmp/zookeeper\n\
         clientPort=2181\n#maxClientCnxns=60\n#autopurge.snapRetainCount=3\n\
         #metricsProvider.httpPort=7000\n",
    );
    assert_eq!(parsed.notices, []);
    let Config { tick_time_ms, client_port, min_session_timeout_ms, .. } = parsed.config;
    assert_eq!((tick_time_ms, client_port, min_session_timeout_ms), (2000, Some(2181), 4000));
}

#[test]
fn the_file_that_the_container_image_writes() {
    let parsed = read(
        "dataDir=/data\ndataLogDir=/datalog\ntickTime=2000\ninitLimit=5\nsyncLimit=2\n\
         autopurge.snapRetainCount=3\nautopurge.purgeInterval=0\nmaxClientCnxns=60\n\
         standaloneEnabled=true\nadmin.enableServer=true\nserver.1=localhost:2888:3888;2181\n",
    );
    assert_eq!(keys_told(&parsed, NoticeKind::NotYet), ["admin.enableServer"]);
    assert_eq!(parsed.notices.len(), 1);
    assert_eq!(parsed.config.client_port, Some(2181));
    assert_eq!(parsed.config.data_log_dir.to_str(), Some("/datalog"));
}

#[test]
fn the_container_image_as_a_member_of_an_ensemble() {
    let parsed = read(
        "dataDir=/data\ndataLogDir=/datalog\ntickTime=2000\ninitLimit=5\nsyncLimit=2\n\
         autopurge.snapRetainCount=3\nautopurge.purgeInterval=0\nmaxClientCnxns=60\n\
         standaloneEnabled=true\nadmin.enableServer=false\nserver.1=zoo1:2888:3888;2181\n\
         server.2=zoo2:2888:3888;2181\nserver.3=zoo3:2888:3888;2181\n",
    );
    assert_eq!(parsed.notices, []);
    let member = parsed.as_member(Sid(2)).unwrap().config;
    assert_eq!((member.client_port, member.client_port_address), (Some(2181), None));
    let ensemble = member.ensemble.unwrap();
    assert_eq!((ensemble.init_limit_ticks, ensemble.sync_limit_ticks), (5, 2));
    assert_eq!(ensemble.members.members.len(), 3);
}

#[test]
fn the_zookeeper_properties_of_kafka() {
    let parsed = read(
        "dataDir=/tmp/zookeeper\nclientPort=2181\nmaxClientCnxns=0\nadmin.enableServer=false\n\
         # admin.serverPort=8080\n",
    );
    assert_eq!(parsed.notices, []);
    assert_eq!(parsed.config.max_client_cnxns, 0);
    assert_eq!(parsed.config.tick_time_ms, 3000);
}

#[test]
fn a_file_written_for_hbase_with_its_single_server_line() {
    let parsed = read(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/hbase/zookeeper\nclientPort=2181\n\
         maxClientCnxns=300\nserver.0=localhost:2888:3888\n",
    );
    assert_eq!(parsed.notices, []);
    assert_eq!(parsed.config.max_client_cnxns, 300);
    assert_eq!(parsed.config.client_port, Some(2181));
}

#[test]
fn the_tuned_file_that_clickhouse_recommends() {
    let common = "tickTime=2000\ninitLimit=300\nsyncLimit=10\nmaxClientCnxns=2000\n\
         maxSessionTimeout=60000000\ndataDir=/var/lib/zookeeper/data\n\
         dataLogDir=/var/lib/zookeeper/logs\nautopurge.snapRetainCount=10\n\
         autopurge.purgeInterval=1\npreAllocSize=131072\nsnapCount=3000000\nleaderServes=yes\n";
    let parsed = read(&format!("{common}clientPort=2181\nforceSync=yes\n"));
    assert_eq!(parsed.notices, []);
    let config = parsed.config;
    assert_eq!(config.max_session_timeout_ms, 60_000_000);
    assert_eq!((config.pre_alloc_size_kb, config.snap_count), (131_072, 3_000_000));
    assert!(config.force_sync);

    // The ensemble that goes with it.
    let text = format!("{common}standaloneEnabled=false\ndynamicConfigFile=/etc/zoo.cfg.dynamic\n");
    let members = "server.1=zk1:2888:3888:participant;0.0.0.0:2181\n\
                   server.2=zk2:2888:3888:participant;0.0.0.0:2181\n\
                   server.3=zk3:2888:3888:participant;0.0.0.0:2181";
    let given = Given {
        file: Some(File { name: "zoo.cfg", text: text.as_bytes() }),
        dynamic: Some(File { name: "zoo.cfg.dynamic", text: members.as_bytes() }),
        ..Given::default()
    };
    let member = resolve(&given).unwrap().as_member(Sid(3)).unwrap().config;
    assert_eq!(member.client_port, Some(2181));
    let ensemble = member.ensemble.unwrap();
    assert_eq!((ensemble.init_limit_ticks, ensemble.members.members.len()), (300, 3));
}

#[test]
fn a_hardened_file_is_refused_with_every_reason() {
    let told = errors(
        "dataDir=/data\nclientPort=2181\nsecureClientPort=2281\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         ssl.keyStore.location=/ks.jks\nssl.keyStore.password=geheim\n\
         authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
         sessionRequireClientSASLAuth=true\nquorum.auth.enableSasl=true\n",
    );
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told.iter().all(|line| line.contains("protection") && !line.contains("geheim")));
}

#[test]
fn the_sample_that_comes_with_this_server() {
    let text = include_str!("../../conf/zoo_sample.cfg");
    let parsed = read(text);
    assert_eq!(parsed.notices, []);

    // Each key in effect stands there, commented out or not, and what is commented out besides
    // examples is the default: taking the comment sign away changes nothing.
    let plain =
        parse(b"dataDir=/var/lib/zookeeper\nclientPort=2181\ntickTime=2000\n", "f").unwrap();
    let mut all = String::new();
    for (key, _) in parsed.config.effective() {
        let line = text.lines().find(|line| {
            line.trim_start_matches('#').split_once('=').is_some_and(|(name, _)| name == key)
        });
        let line = line.unwrap_or_else(|| panic!("{key} is not in the sample"));
        let examples = [
            "clientPortAddress",
            "dataLogDir",
            "autopurge.purgeInterval",
            "diskReserveInMb",
            "DigestAuthenticationProvider.superDigest",
            "enforce.auth.schemes",
            "ensembleAuthName",
        ];
        if !examples.contains(&key.as_str()) {
            all.push_str(line.trim_start_matches('#'));
            all.push('\n');
        }
    }
    assert_eq!(read(&all).config, plain.config);
    assert_eq!(parsed.config, plain.config);
}

#[test]
fn the_sample_in_toml_means_the_same() {
    let cfg = include_str!("../../conf/zoo_sample.cfg");
    let toml = include_str!("../../conf/zoo_sample.toml");
    let in_toml =
        |text: &str| parse(text.as_bytes(), "zoo.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let as_it_stands = in_toml(toml);
    assert_eq!(as_it_stands.notices, []);
    assert_eq!(as_it_stands.config, read(cfg).config);

    // The same with every comment sign before a key taken away, but for the super user's digest,
    // which has no usable example.
    let (cfg, toml) =
        (uncommented(cfg, "=", "superDigest"), uncommented(toml, " = ", "superDigest"));
    let (from_cfg, from_toml) = (read(&cfg), in_toml(&toml));
    assert_eq!(from_toml.config, from_cfg.config);
    assert_eq!(from_toml.notices.len(), from_cfg.notices.len(), "{:?}", from_toml.notices);
    let keys = |parsed: &Parsed| parsed.origins.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&from_toml), keys(&from_cfg), "each key stands in both samples");
    assert!(keys(&from_toml).len() > 30);
}

/// The lines of a sample that are keys, commented out or not, without `but` and the comment signs.
fn uncommented(text: &str, separator: &str, but: &str) -> String {
    let is_key = |line: &&str| {
        let key = line.trim_start_matches('#').split(separator).next().unwrap_or_default();
        line.contains(separator)
            && !line.contains(but)
            && !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '"'))
            || *line == "[server]"
    };
    let lines = text.lines().filter(is_key).map(|line| line.trim_start_matches('#'));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_of_an_ensemble() {
    let text = include_str!("../../conf/zoo_ensemble.cfg");
    let parsed = read(text);
    assert_eq!(parsed.notices, []);
    let member = parsed.clone().as_member(Sid(3)).unwrap();
    assert_eq!((member.config.client_port, member.notices), (Some(2181), vec![]));

    // Each key of members stands there, and taking the comment sign away changes nothing, but for
    // what is an example.
    let ensemble = parsed.config.ensemble.clone().unwrap();
    for (key, _) in ensemble.effective() {
        let beginnings = [format!("{key}="), format!("#{key}=")];
        let stands = |line: &str| beginnings.iter().any(|begins| line.starts_with(begins));
        assert!(text.lines().any(stands), "{key} is not in the sample");
    }
    let mut all = read(&uncommented(text, "=", "dynamicConfigFile"));
    assert_eq!(all.notices, []);
    all.config.ensemble.as_mut().unwrap().observer_sync_enabled = None;
    assert_eq!(all.config, parsed.config);
}

#[test]
fn the_sample_of_an_ensemble_in_toml_means_the_same() {
    let cfg = include_str!("../../conf/zoo_ensemble.cfg");
    let toml = include_str!("../../conf/zoo_ensemble.toml");
    let in_toml =
        |text: &str| parse(text.as_bytes(), "zoo.toml").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(in_toml(toml).notices, []);
    assert_eq!(in_toml(toml).config, read(cfg).config);
    let from_cfg = read(&uncommented(cfg, "=", "dynamicConfigFile"));
    let from_toml = in_toml(&uncommented(toml, " = ", "dynamicConfigFile"));
    assert_eq!(from_toml.config, from_cfg.config);
    let keys = |parsed: &Parsed| parsed.origins.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&from_toml), keys(&from_cfg), "each key stands in both samples");
    let names = |text: &str| text.matches("dynamicConfigFile").count();
    assert_eq!((names(cfg), names(toml)), (1, 1));
}

#[test]
fn the_manual_lists_every_key_in_effect() {
    let manual = include_str!("../../docs/configuration.md");
    let mut config = Config::embedded_default("data");
    config.ensemble = Some(EnsembleConfig::default());
    for (key, _) in config.effective() {
        assert!(manual.contains(&format!("\n| `{key}` | ")), "{key}");
    }
}
