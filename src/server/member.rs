//! The start of an ensemble's member: from what is on its disk to a [`Member`] that may look for a
//! leader.
//!
//! No threads and no clock: production calls it once, a simulation at every start.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::persistence::config_files::last_seen;
use crate::persistence::snapshot::FirstSnapshot;
use crate::persistence::{
    DataDir, DiskError, HistoryRestored, MemberRestoreOptions, MemberRestored, Refusal,
    RestoreReport, RestoreStage, restore_member,
};
use crate::processor::sync::{SnapshotSchedule, SyncRequestProcessor};
use crate::proto::membership::QuorumServer;
use crate::proto::{LinkId, QuorumVerifier, Sid, Vote, Zxid, path};
use crate::quorum::committed_log::CommittedLog;
use crate::quorum::configs::Configs;
use crate::quorum::durable::Tickets;
use crate::quorum::early_links::EarlyLinks;
use crate::quorum::member::{Member, MemberOptions};
use crate::tree::Database;

/// Who starts, and how it is set up.
pub struct Beginning<'a> {
    /// Its id.
    pub me: Sid,
    /// The ensemble as its configuration has it.
    pub config: Arc<QuorumVerifier>,
    /// The configuration file, beside which newer configurations lie; `None` if there are none to
    /// go by: `reconfigEnabled` is off, or there is no file. Then nothing is written there either.
    pub config_file: Option<&'a Path>,
    /// How it behaves.
    pub options: MemberOptions,
    /// How its history is restored.
    pub restore: MemberRestoreOptions,
    /// When snapshots are due.
    pub schedule: SnapshotSchedule,
    /// For waits that should differ from server to server.
    pub seed: u64,
}

/// A member that may begin.
pub struct Started {
    /// It, with everything it has promised.
    pub member: Member,
    /// What it has logged, applied. Nobody is served from it yet.
    pub database: Database,
    /// How it was restored.
    pub report: RestoreReport,
    /// What its disk queue writes first, if it has no data.
    pub first_snapshot: Option<FirstSnapshot>,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StartError {
    #[error(transparent)]
    Restore(#[from] Refusal),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{file} cannot be read: {why}")]
    Config { file: String, why: String },
}

/// Restores a member from `dir`. What must be durable before it takes part is when this returns.
///
/// # Errors
/// The history is refused, or a configuration beside the file cannot be read.
pub fn start(
    dir: &DataDir,
    beginning: Beginning<'_>,
    tell: &mut dyn FnMut(RestoreStage<'_>),
) -> Result<Started, StartError> {
    let Beginning { me, config, config_file, options, restore, schedule, seed } = beginning;
    // First: a configuration that cannot be read leaves the history as it is.
    let configs = match config_file {
        None => Configs::new(config),
        Some(file) => configs(dir, file, config)?,
    };
    let restored = restore_member(dir, &restore, tell)?;
    let MemberRestored { history, accepted_epoch, current_epoch, has_data, may_vote } = restored;
    let HistoryRestored { database, last_zxid, recent, mut report } = history;
    report.notices.extend(of_another_ensemble(&database, &configs.current));
    let committed = CommittedLog::restored(last_zxid, recent, options.commit_log_count);
    let peer_epoch = i64::from(current_epoch.0);
    let vote = Vote { leader: me, zxid: last_zxid.to_long(), peer_epoch };
    let member = Member {
        me,
        options,
        configs,
        accepted_epoch,
        current_epoch,
        tickets: Tickets::default(),
        last_logged: last_zxid,
        committed,
        has_data,
        may_vote,
        database_is_current: true,
        unlogged: false,
        tree_on_trial: false,
        acknowledged: Zxid::ZERO,
        reloading: false,
        round: 0,
        vote: (vote, 0),
        connected: BTreeSet::new(),
        met: BTreeSet::new(),
        lately: Default::default(),
        sync: SyncRequestProcessor::new(schedule, seed, report.txns_replayed, 0),
        random: seed,
        next_link: LinkId(0),
        early: EarlyLinks::default(),
    };
    let first_snapshot = (!has_data).then(|| restore.first_snapshot());
    Ok(Started { member, database, report, first_snapshot })
}

/// What there is to say if the data was last served by an ensemble that has no server in common with
/// this one. Where its history is the longer one, this ensemble would take it up. But an ensemble
/// may have moved, or begin with a copy of another's data: so it is said, and not refused.
fn of_another_ensemble(db: &Database, config: &QuorumVerifier) -> Option<String> {
    let text = db.tree.node(path::CONFIG)?.data()?;
    let before = QuorumVerifier::parse(text).ok()?;
    let has = |server: &QuorumServer| {
        let mut others = config.members.values().flat_map(|member| &member.addresses);
        others.any(|address| server.addresses.contains(address))
    };
    if before.members.is_empty() || before.members.values().any(has) {
        return None;
    }
    let of = |config: &QuorumVerifier| {
        let addresses = config.members.values().filter_map(|server| server.addresses.first());
        let hosts: Vec<String> =
            addresses.map(|at| format!("{}:{}", at.host, at.quorum_port)).collect();
        hosts.join(", ")
    };
    Some(format!(
        "the data here was last served by the servers {}, and none of them is among those of the \
         configuration, {}; if this is the data of another ensemble, stop this server before the \
         others take it up, and give it the right dataDir; if the ensemble has moved, all is well",
        of(&before),
        of(config)
    ))
}

/// The configuration in force and the one that was proposed last, as the files beside `file` have
/// them; `first` is what `file` itself says.
fn configs(dir: &DataDir, file: &Path, first: Arc<QuorumVerifier>) -> Result<Configs, StartError> {
    let disk = &**dir.disk();
    let parent = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.dynamic.");
    let mut configs = Configs::new(first);
    for entry in disk.list(parent)? {
        let Some(version) = entry.name.strip_prefix(&prefix) else { continue };
        let Ok(version) = i64::from_str_radix(version, 16) else { continue };
        if version > configs.current.version {
            let path = parent.join(&entry.name);
            let config = parsed(&disk.read(&path)?, &path)?;
            configs = Configs::new(Arc::new(QuorumVerifier { version, ..config }));
        }
    }
    if let Some(text) = last_seen(disk, file)? {
        let config = parsed(&text, &parent.join(format!("{prefix}next")))?;
        if config.version > configs.current.version {
            configs.last_seen = Arc::new(config);
        }
    }
    Ok(configs)
}

fn parsed(text: &[u8], path: &Path) -> Result<QuorumVerifier, StartError> {
    let file = path.display().to_string();
    QuorumVerifier::parse(text).map_err(|why| StartError::Config { file, why: why.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::testing::tree_options;
    use crate::proto::Zxid;

    fn ensemble(hosts: &[&str]) -> QuorumVerifier {
        let line = |(n, host): (usize, &&str)| format!("server.{}={host}:2888:3888", n + 1);
        let lines: Vec<String> = hosts.iter().enumerate().map(line).collect();
        QuorumVerifier::parse(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn data_that_no_server_of_the_ensemble_has_served_is_told_of() {
        let mut db = Database::new(tree_options());
        let here = ensemble(&["a", "b", "c"]);
        assert_eq!(of_another_ensemble(&db, &here), None, "nobody has served it");
        let served = ensemble(&["c", "d", "e"]).to_text();
        db.tree.set_config(served.as_bytes(), Zxid::ZERO, 0);
        assert_eq!(of_another_ensemble(&db, &here), None, "c has");
        let told = of_another_ensemble(&db, &ensemble(&["a", "b"])).expect("nobody has");
        assert!(told.contains("servers c:2888, d:2888, e:2888, and none"), "{told}");
        assert!(told.contains("configuration, a:2888, b:2888;"), "{told}");
        db.tree.set_config(b"garbage", Zxid::ZERO, 0);
        assert_eq!(of_another_ensemble(&db, &here), None);
    }
}
