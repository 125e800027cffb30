//! `conf`, `dirs` and `envi`: how the server was set up.

use std::fmt::Write as _;

use crate::proto::membership::{LearnerType, ServerAddress};
use crate::status::{DirSizes, EnsembleSettings, MemberStatus, Settings};

/// A member tells of its ensemble, too.
pub(super) fn conf(settings: &Settings, sizes: DirSizes, member: Option<&MemberStatus>) -> String {
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
    if let (Some(ensemble), Some(member)) = (&settings.ensemble, member) {
        text.push_str(&ensemble_conf(ensemble, member));
    }
    text
}

/// The configuration in force ends it, without a newline.
fn ensemble_conf(ensemble: &EnsembleSettings, member: &MemberStatus) -> String {
    let own = member.config.members.get(&member.sid);
    let ports = |port: fn(&ServerAddress) -> u16| {
        let mut ports: Vec<String> = Vec::new();
        for address in own.iter().flat_map(|own| &own.addresses) {
            let port = port(address).to_string();
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        ports.join("|")
    };
    let peer_type = match own.map(|own| own.learner_type) {
        None | Some(LearnerType::Participant) => 0,
        Some(LearnerType::Observer) => 1,
    };
    format!(
        "initLimit={}\nsyncLimit={}\nelectionAlg=3\nelectionPort={}\nquorumPort={}\n\
         peerType={peer_type}\nmembership: \n{}",
        ensemble.init_limit_ticks,
        ensemble.sync_limit_ticks,
        ports(|address| address.election_port),
        ports(|address| address.quorum_port),
        member.config.to_text(),
    )
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
            ensemble: None,
        };
        assert_eq!(
            conf(&settings, DirSizes { data: 7, log: 67_108_880 }, None),
            "clientPort=2181\nsecureClientPort=-1\ndataDir=/d/version-2\ndataDirSize=7\n\
             dataLogDir=/l/version-2\ndataLogSize=67108880\ntickTime=2000\nmaxClientCnxns=60\n\
             minSessionTimeout=4000\nmaxSessionTimeout=40000\nclientPortListenBacklog=-1\n\
             serverId=0\n"
        );
    }
}
