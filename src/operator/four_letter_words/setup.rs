//! `conf`, `dirs` and `envi`: how the server was set up.

use std::fmt::Write as _;

use crate::status::{DirSizes, Settings};

pub(super) fn conf(settings: &Settings, sizes: DirSizes) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{key}={value}");
    };
    line("clientPort", &settings.client_port);
    line("secureClientPort", &-1);
    line("dataDir", &settings.data_dir.display());
    line("dataDirSize", &sizes.data);
    line("dataLogDir", &settings.data_log_dir.display());
    line("dataLogSize", &sizes.log);
    line("tickTime", &settings.tick_time_ms);
    line("maxClientCnxns", &settings.max_client_cnxns);
    line("minSessionTimeout", &settings.min_session_timeout_ms);
    line("maxSessionTimeout", &settings.max_session_timeout_ms);
    line("clientPortListenBacklog", &settings.client_port_listen_backlog.map_or(-1, i64::from));
    line("serverId", &settings.server_id);
    text
}

pub(super) fn dirs(sizes: DirSizes) -> String {
    format!("datadir_size: {}\nlogdir_size: {}\n", sizes.data, sizes.log)
}

/// What is not known, or is only Java's, is `<NA>`.
pub(super) fn envi(version: &str, environment: &[(&str, Option<String>)]) -> String {
    let mut text = format!("Environment:\nzookeeper.version={version}\n");
    for (key, value) in environment {
        let _ = writeln!(text, "{key}={}", value.as_deref().unwrap_or("<NA>"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conf_has_apaches_lines() {
        let settings = Settings {
            client_port: 2181,
            data_dir: "/d/version-2".into(),
            data_log_dir: "/l/version-2".into(),
            tick_time_ms: 2000,
            max_client_cnxns: 60,
            min_session_timeout_ms: 4000,
            max_session_timeout_ms: 40_000,
            client_port_listen_backlog: None,
            server_id: 0,
        };
        assert_eq!(
            conf(&settings, DirSizes { data: 7, log: 67_108_880 }),
            "clientPort=2181\nsecureClientPort=-1\ndataDir=/d/version-2\ndataDirSize=7\n\
             dataLogDir=/l/version-2\ndataLogSize=67108880\ntickTime=2000\nmaxClientCnxns=60\n\
             minSessionTimeout=4000\nmaxSessionTimeout=40000\nclientPortListenBacklog=-1\n\
             serverId=0\n"
        );
    }
}
